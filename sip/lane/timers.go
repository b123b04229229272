package lane

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// Tick is the grain of timers: they are due at the end of a tick, so that
	// the daemon wakes up a hundred times a second at most, however many calls
	// there are.
	Tick = 10 * time.Millisecond
	// Coarse is the grain of [Timer.SetCoarse].
	Coarse = time.Second
	// late is when a timer that found its lane full tries again: late, not lost.
	late = 50 * time.Millisecond
	// wheels is how many locks all timers have.
	wheels = 16
)

// A Timer is state of a lane: only its steps may use it, and it belongs to the
// first lane that it was set for. The zero Timer is not set. It must not be
// copied. [Lane.Close] stops it.
type Timer struct {
	// Owner is whose timer it is, for the step that takes its [Fired]; lane does
	// not look at it.
	Owner any

	// The links are guarded by the wheel of the lane.
	next, prev   *Timer // in the slot
	older, newer *Timer // in the lane
	lane         *Lane  // nil: not set
	wheel        *wheel // where it was set
	tick         int64
	slot         uint16
	gen          uint32 // written by steps only, with the wheel locked
}

// Set makes the timer due once, as an event [Fired] in l, d from now, rounded
// up to a [Tick]. What was set before is stale. On a closed lane it does
// nothing.
func (t *Timer) Set(l *Lane, d time.Duration) { t.set(l, d, 1) }

// SetCoarse is Set, up to a [Coarse] later: for what many lanes wait for and
// nobody notices, such as the end of finished transactions. A thousand of them
// then cost one wake-up.
func (t *Timer) SetCoarse(l *Lane, d time.Duration) { t.set(l, d, int64(Coarse/Tick)) }

// set makes the timer due at the next tick that is a multiple of grain.
func (t *Timer) set(l *Lane, d time.Duration, grain int64) {
	c := l.pool().clock
	t.wheel = l.wheel
	since := time.Since(c.epoch)
	tick := int64((since + max(d, 0) + Tick - 1) / Tick)
	tick = (tick + grain - 1) / grain * grain
	at, ok := l.wheel.set(t, l, int64(since/Tick), tick)
	if ok && at < c.armed.Load() {
		c.arm(at)
	}
}

// Stop makes the timer not due. What it fired before is stale.
func (t *Timer) Stop() {
	if t.wheel != nil {
		t.wheel.stop(t)
	}
}

// Fired is the event of a due timer. A step ignores it when it is stale.
type Fired struct {
	Timer *Timer
	gen   uint32
}

// Stale reports whether the timer was stopped or set again since. It is for
// steps of the timer's lane.
func (f Fired) Stale() bool { return f.gen != f.Timer.gen }

// A clock wakes up when timers are due: one goroutine and one runtime timer for
// all wheels.
type clock struct {
	epoch  time.Time // of ticks
	timer  *time.Timer
	armed  atomic.Int64 // tick of timer, or never; written with mu held
	mu     sync.Mutex   // guards timer
	wheels [wheels]wheel
}

// due is a timer that is due, and the generation that is.
type due struct {
	timer *Timer
	lane  *Lane
	gen   uint32
}

func newClock() *clock {
	c := &clock{epoch: time.Now(), timer: time.NewTimer(0)}
	c.timer.Stop()
	c.armed.Store(never)
	for i := range c.wheels {
		c.wheels[i].soon.Store(never)
	}
	return c
}

// run posts what is due until ctx ends.
func (c *clock) run(ctx context.Context) {
	defer c.timer.Stop()
	var fired []due
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.timer.C:
			fired = c.fire(fired[:0])
		}
	}
}

// fire posts what is due now; it uses fired as scratch. Who sets a timer while
// it looks at the wheels either is seen by it or arms the clock itself.
func (c *clock) fire(fired []due) []due {
	c.mu.Lock()
	c.armed.Store(never)
	c.mu.Unlock()
	now := int64(time.Since(c.epoch) / Tick)
	next := int64(never)
	for i := range c.wheels {
		soon := c.wheels[i].soon.Load()
		if soon <= now {
			fired, soon = c.wheels[i].due(now, fired)
		}
		next = min(next, soon)
	}
	if next != never {
		c.arm(next)
	}
	for _, d := range fired {
		if err := d.lane.Post(Fired{d.timer, d.gen}); errors.Is(err, ErrFull) {
			at := now + int64(late/Tick)
			d.lane.wheel.again(d.timer, d.lane, d.gen, now, at)
			c.arm(at)
		}
	}
	clear(fired)
	return fired
}

// arm makes the clock wake up at tick, or before.
func (c *clock) arm(tick int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if tick < c.armed.Load() {
		c.armed.Store(tick)
		c.timer.Reset(time.Until(c.epoch.Add(time.Duration(tick) * Tick)))
	}
}
