package binding

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"bellhop/routing/location"
)

// gather is how long a group waits for more rows when groups follow each other
// closely; a lone one does not wait. Together with the commit before it a row
// waits at most 10 ms (trust.md §3) on a disk that is not stuck.
const gather = 3 * time.Millisecond

// maxGroup bounds a group, in rows.
const maxGroup = 500

// saveTimeout bounds one commit.
const saveTimeout = 5 * time.Second

var errSaveSlow = errors.New("binding: store too slow")

// group lets callers that save at the same time save together: the first to
// come leads and saves the rows of all who wait, then hands on to the first of
// those who came meanwhile.
type group struct {
	mu      sync.Mutex
	queue   []*waiter
	leading bool
	last    time.Time // end of the last group
}

// waiter is one row that waits.
type waiter struct {
	row  Row
	news chan news // capacity 1
}

// news tells a waiter how it went, or that it leads now.
type news struct {
	lead   bool
	theirs *Row // what is saved instead: another node was first
	err    error
}

// save returns when r is saved, or with what is saved in its place. Once it is queued it does not follow ctx, since
// it may be saved at any moment.
func (g *group) save(ctx context.Context, t *Table, r Row) (theirs *Row, err error) {
	w := &waiter{row: r, news: make(chan news, 1)}
	g.mu.Lock()
	g.queue = append(g.queue, w)
	lead := !g.leading
	g.leading = true
	g.mu.Unlock()
	if !lead {
		if n := <-w.news; !n.lead {
			return n.theirs, n.err
		}
	}
	return g.lead(context.WithoutCancel(ctx), t, w)
}

// lead saves the group that w is the first of.
func (g *group) lead(ctx context.Context, t *Table, w *waiter) (theirs *Row, err error) {
	g.mu.Lock()
	soon := time.Since(g.last) < 2*gather
	g.mu.Unlock()
	if soon {
		timer := time.NewTimer(gather)
		<-timer.C
	}
	g.mu.Lock()
	n := min(len(g.queue), maxGroup)
	members := make([]*waiter, n)
	copy(members, g.queue)
	rest := copy(g.queue, g.queue[n:])
	clear(g.queue[rest:])
	g.queue = g.queue[:rest]
	g.mu.Unlock()

	rows := make([]Row, n)
	for i, m := range members {
		rows[i] = m.row
	}
	stale, err := t.save(ctx, rows)

	g.mu.Lock()
	g.last = time.Now()
	if len(g.queue) > 0 {
		g.queue[0].news <- news{lead: true}
	} else {
		g.leading = false
	}
	g.mu.Unlock()
	for _, m := range members {
		instead := rowOf(stale, m.row.AOR)
		if m == w {
			theirs = instead
			continue
		}
		m.news <- news{theirs: instead, err: err}
	}
	return theirs, err
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
