// Package lane runs the steps of one call one after another, without a
// goroutine of its own: a [Lane] is a queue and a flag. Who posts an event to
// an idle lane runs its step, so a socket reader carries a message from receive
// to send without a hand-off; who posts to a busy one only queues.
//
// All state of a call lives in its lane and is touched by its steps alone, so
// it needs no lock. Steps never block: what blocks goes through [Lane.Do], and
// time comes as the event [Fired] of a [Timer]. A [Table] finds the lane of a
// Call-ID. [Pool.Run] owns all goroutines.
//
// Lock order: Lane.mu, then one of Pool.mu, the lock of a shard of a [Table] or
// that of a wheel of timers. None is held during a step.
package lane

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
)

const (
	// Depth is how many events may wait in a lane.
	Depth = 64
	// Burst is how many steps a caller runs before a worker goes on.
	Burst = 16
)

// ErrFull reports that there was no room: the event was not taken. A new
// request is answered with 503, anything else is dropped; [Pool.Refused] counts.
var ErrFull = errors.New("lane: full")

// ErrClosed reports that the lane is over. Who got it from a [Table] asks the
// table again: it has forgotten the closed lane.
var ErrClosed = errors.New("lane: closed")

// An Event is what happened to a call. A lane cannot name the events of the
// packages above it; the switch in a step panics on one it does not know.
type Event any

// A Continue is an event that is the rest of a step that waited for something,
// or a step that somebody outside wants done: the step of every lane runs it.
type Continue func()

// A Lane is the serial executor of one call. Get one from [Table.GetOrNew].
type Lane struct {
	// State is the state of the call. Only steps of this lane touch it.
	State any

	kept   int    // how often Keep was called without Let; touched by steps only
	shard  *shard // forgets the lane when it closes
	callID string
	urgent bool   // it has the places that are kept free: see Table.Urgent
	wheel  *wheel // has the timers of the lane

	armed *Timer // timers that are set, guarded by wheel.mu
	deaf  bool   // closed, as timers see it; guarded by wheel.mu

	mu      sync.Mutex    // guards what follows; never held during a step
	queue   []Event       // waiting, oldest first
	owed    int           // places kept for the results of Do
	running bool          // somebody drains the lane, or a worker is about to
	closed  bool          //
	aliases []string      // other Call-IDs that the table finds the lane by
	done    chan struct{} // made when somebody asks
}

// CallID returns the Call-ID under which a [Table] finds the lane.
func (l *Lane) CallID() string { return l.callID }

// Run runs the step of ev now, on the caller's goroutine, when the lane is
// idle, and then what was posted meanwhile, [Burst] steps at most; ev may be
// borrowed, for it is not kept. When the lane is busy it returns (false, nil)
// and does nothing: the caller makes ev its own and calls [Lane.Post]. After
// [ErrClosed] the caller gets the lane from the [Table] again. Hold no lock
// that a step may want.
func (l *Lane) Run(ev Event) (ran bool, err error) {
	l.mu.Lock()
	if l.closed || l.running {
		if l.closed {
			err = ErrClosed
		}
		l.mu.Unlock()
		return false, err
	}
	l.running = true
	l.mu.Unlock()
	l.run(ev)
	l.drain(1)
	return true, nil
}

// Post queues ev and, when nobody runs the lane, runs it here, [Burst] steps at
// most. It never waits. Hold no lock that a step may want.
func (l *Lane) Post(ev Event) error { return l.post(ev, 0) }

// Do runs f, which may block, in the pool and posts what it returns. A place is
// kept for that event, so it is never dropped. On an error f does not run. The
// context of f ends with [Pool.Run].
func (l *Lane) Do(f func(context.Context) Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.roomLocked()
	if err == nil && !l.pool().submit(job{l, f}) {
		err = l.pool().refuse()
	}
	if err == nil {
		l.owed++ // before the result can want it: post needs mu
	}
	return err
}

// Expect keeps a place for an event that somebody outside will bring: one
// [Lane.Deliver] or [Lane.Forgo] follows, in time or when the lane has closed.
// Until then the lane does not close by itself.
func (l *Lane) Expect() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.roomLocked()
	if err == nil {
		l.owed++
	}
	return err
}

// Deliver posts an event that was expected; it is never dropped, but by a lane
// that closed meanwhile.
func (l *Lane) Deliver(ev Event) { _ = l.post(ev, 1) }

// Forgo gives back the place of an event that will not come. Only steps may call
// it.
func (l *Lane) Forgo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owed--
}

// Close ends the lane: the step that runs is the last one, what waits is
// dropped, its timers are stopped, and the table forgets it at once. It may be
// called from a step, and more than once.
func (l *Lane) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeLocked()
}

func (l *Lane) closeLocked() {
	if l.closed {
		return
	}
	l.closed, l.queue = true, nil
	l.shard.forget(l)
	l.wheel.forget(l)
	if !l.running && l.done != nil {
		close(l.done)
	}
}

// CloseIdle closes the lane, when nothing waits in it and no [Lane.Do] is under
// way. A step calls it when it left no state behind: what came meanwhile is not
// lost, and whoever comes later gets a new lane. A lane that is kept stays.
func (l *Lane) CloseIdle() {
	if l.kept > 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 && l.owed == 0 {
		l.closeLocked()
	}
}

// shut closes a lane that another one is to take over, and returns what waits in
// it; false: there is more in it. The table still knows it.
func (l *Lane) shut() (waiting []Event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.owed > 0 || len(l.aliases) > 0 {
		return nil, false
	}
	waiting, l.queue, l.closed = l.queue, nil, true
	return waiting, true
}

// reopen takes shut back.
func (l *Lane) reopen(waiting []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue, l.closed = waiting, false
}

// inherit has l take events and the Call-ID of a lane that was shut. begins says
// that the caller is to run them; false: there is no room.
func (l *Lane) inherit(from *Lane, events []Event) (begins, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.roomLocked() != nil {
		return false, false
	}
	l.queue = append(l.queue, events...)
	s := from.shard
	s.mu.Lock()
	s.lanes[from.callID] = l
	s.mu.Unlock()
	l.aliases = append(l.aliases, from.callID)
	begins = !l.running
	l.running = true
	return begins, true
}

// Keep keeps the lane open when nothing happens in it, until [Lane.Let] was
// called as often: a call talks for hours without a message. Only steps may call
// it.
func (l *Lane) Keep() { l.kept++ }

// Let takes one Keep back.
func (l *Lane) Let() { l.kept-- }

// Done returns a channel that is closed when the lane is closed and its last
// step has returned.
func (l *Lane) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.closed && !l.running {
			close(l.done)
		}
	}
	return l.done
}

func (l *Lane) pool() *Pool { return l.shard.table.pool }

// post takes ev and gives back the place that was kept for it, if any.
func (l *Lane) post(ev Event, kept int) error {
	l.mu.Lock()
	l.owed -= kept
	if err := l.roomLocked(); err != nil {
		l.mu.Unlock()
		return err
	}
	if l.running {
		l.queue = append(l.queue, ev)
		l.mu.Unlock()
		return nil
	}
	l.running = true
	l.mu.Unlock()
	l.run(ev)
	l.drain(1)
	return nil
}

func (l *Lane) roomLocked() error {
	switch {
	case l.closed:
		return ErrClosed
	case len(l.queue)+l.owed >= Depth:
		return l.pool().refuse()
	default:
		return nil
	}
}

// drain runs what waits until the lane is empty or it is a worker's turn, which
// it is when n reaches Burst. One goroutine drains at a time: the one that set
// running, or the worker it handed over to.
func (l *Lane) drain(n int) {
	for ; ; n++ {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.running = false
			if l.closed && l.done != nil {
				close(l.done)
			}
			l.mu.Unlock()
			return
		}
		if n >= Burst && l.pool().ready(l) {
			l.mu.Unlock()
			return
		}
		ev := l.queue[0]
		l.queue = slices.Delete(l.queue, 0, 1)
		l.mu.Unlock()
		l.run(ev)
	}
}

func (l *Lane) run(ev Event) {
	defer l.recovered(ev)
	l.shard.table.step(l, ev)
}

// perform runs f of [Lane.Do] and posts its result.
func (l *Lane) perform(ctx context.Context, f func(context.Context) Event) {
	defer l.recovered(nil)
	_ = l.post(f(ctx), 1) // a lane that closed meanwhile wants no result
}

// recovered ends the call whose step panicked, and no other.
func (l *Lane) recovered(ev Event) {
	v := recover()
	if v == nil {
		return
	}
	p := l.pool()
	p.panics.Inc()
	p.opts.Logger.Error("panic ends a call", slog.String("call", l.callID),
		slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
	l.Close()
	if p.opts.Panicked != nil {
		p.opts.Panicked(l, ev)
	}
}
