package binding

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"bellhop/routing/location"
)

// gather is the least time between two groups: rows that come meanwhile are saved
// together, and a lone one does not wait. With the commits before and after it a
// row waits at most 10 ms (trust.md §3) on a disk that is not stuck.
const gather = 7 * time.Millisecond

// Bounds of groups, in rows.
const (
	maxGroup = 500           // saved together
	maxQueue = 20 * maxGroup // waiting without a goroutine of theirs
)

// saveTimeout bounds one commit, and how long a row may wait for its turn.
const saveTimeout = 5 * time.Second

var errSaveSlow = errors.New("binding: store too slow")

// group lets those who save at the same time save together. While [group.run]
// runs, it saves the rows of all who wait. Before and after that the first to come
// leads and saves the rows of all who wait, then hands on to the first of those
// who came meanwhile.
type group struct {
	mu      sync.Mutex
	queue   []waiter
	leading bool          // somebody saves
	running bool          // run does, or will
	wake    chan struct{} // tells run that there is work; capacity 1
	last    time.Time     // end of the last group
}

// waiter is one row that waits. done is told how it went: of the row that is saved
// in its place, since another node was first, or of an error. lead, if not nil, is
// closed when the waiter is the first and nobody leads.
type waiter struct {
	row   Row
	since time.Time
	done  func(theirs *Row, err error)
	lead  chan struct{}
}

// save returns when r is saved, or with what is saved in its place. Once it is queued it does not follow ctx, since
// it may be saved at any moment.
func (g *group) save(ctx context.Context, t *Table, r Row) (*Row, error) {
	type outcome struct {
		theirs *Row
		err    error
	}
	ended := make(chan outcome, 1)
	lead := make(chan struct{})
	g.mu.Lock()
	g.queue = append(g.queue, waiter{
		row: r, since: time.Now(), lead: lead,
		done: func(theirs *Row, err error) { ended <- outcome{theirs, err} },
	})
	g.nextLocked()
	g.mu.Unlock()
	select {
	case o := <-ended:
		return o.theirs, o.err
	case <-lead:
		g.one(context.WithoutCancel(ctx), t)
	}
	o := <-ended
	return o.theirs, o.err
}

// begin has r saved and done told of it, on the goroutine of run. It reports false
// when nobody runs, or too many wait.
func (g *group) begin(r Row, now time.Time, done func(theirs *Row, err error)) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.running || len(g.queue) >= maxQueue {
		return false
	}
	g.queue = append(g.queue, waiter{row: r, since: now, done: done})
	g.nextLocked()
	return true
}

// nextLocked finds somebody to lead, when there is work and nobody does.
func (g *group) nextLocked() {
	switch {
	case g.leading || len(g.queue) == 0:
	case g.running:
		select {
		case g.wake <- struct{}{}:
		default:
		}
	default: // who came while run did not have itself saved
		g.leading = true
		close(g.queue[0].lead)
	}
}

// run leads until ctx ends and nobody waits.
func (g *group) run(ctx context.Context, t *Table) {
	g.mu.Lock()
	g.running = true
	g.mu.Unlock()
	end := ctx.Done()
	for {
		g.mu.Lock()
		if end == nil && !g.leading && len(g.queue) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		leads := !g.leading && len(g.queue) > 0
		g.leading = g.leading || leads
		g.mu.Unlock()
		if leads {
			g.one(context.WithoutCancel(ctx), t)
			continue
		}
		select {
		case <-g.wake:
		case <-end:
			end = nil
		}
	}
}

// one saves one group; the caller leads until it returns.
func (g *group) one(ctx context.Context, t *Table) {
	g.mu.Lock()
	pause := gather - time.Since(g.last)
	g.mu.Unlock()
	if pause > 0 {
		timer := time.NewTimer(pause)
		<-timer.C
	}
	members := g.take(time.Now())
	rows := make([]Row, len(members))
	for i := range members {
		rows[i] = members[i].row
	}
	var stale []Row
	var err error
	if len(rows) > 0 {
		stale, err = t.save(ctx, rows)
	}
	g.mu.Lock()
	g.last = time.Now()
	g.leading = false
	g.nextLocked()
	g.mu.Unlock()
	for i := range members {
		members[i].done(rowOf(stale, members[i].row.AOR), err)
	}
}

// take takes the next group out of the queue. Who waited for too long hears so:
// the store is stuck, and the peer gave up or will be told to come later.
func (g *group) take(now time.Time) []waiter {
	g.mu.Lock()
	n := min(len(g.queue), maxGroup)
	members := make([]waiter, n)
	copy(members, g.queue)
	rest := copy(g.queue, g.queue[n:])
	clear(g.queue[rest:])
	g.queue = g.queue[:rest]
	g.mu.Unlock()
	return slices.DeleteFunc(members, func(w waiter) bool {
		late := now.Sub(w.since) > saveTimeout
		if late {
			w.done(nil, errSaveSlow)
		}
		return late
	})
}

// rowOf returns the row of an AOR, nil when there is none. An AOR is in a group
// once, since its changes wait for each other.
func rowOf(rows []Row, a location.AOR) *Row {
	for i := range rows {
		if rows[i].AOR == a {
			return &rows[i]
		}
	}
	return nil
}

// save hands rows to the saver.
func (t *Table) save(ctx context.Context, rows []Row) (stale []Row, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, saveTimeout, errSaveSlow)
	defer cancel()
	start := time.Now()
	stale, err = t.saver.SaveBindings(ctx, rows)
	t.metrics.commit.Observe(time.Since(start).Seconds())
	t.metrics.rows.Add(float64(len(rows)))
	if err != nil {
		t.metrics.errors.Inc()
		return nil, err
	}
	if t.tell == nil {
		return stale, nil
	}
	if len(stale) > 0 {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return rowOf(stale, r.AOR) != nil })
	}
	t.tell(rows)
	return stale, nil
}
