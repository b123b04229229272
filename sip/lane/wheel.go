package lane

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	levelBits = 6
	slots     = 1 << levelBits
	levels    = 6 // 64^6 ticks are 21 years
	lastTick  = 1<<(levels*levelBits) - 1
	never     = math.MaxInt64
)

// A wheel has the timers of some lanes by their tick: a hierarchical timing
// wheel (Varghese and Lauck 1987, scheme 7). Slot s of level n has the timers
// whose tick first differs from cur in its nth group of six bits, which is s
// there. So all timers of a level are due before those of the levels above it,
// in the order of their slots, and next needs no search. Setting and stopping
// are O(1) and leave nothing behind that would keep a call alive.
type wheel struct {
	soon atomic.Int64 // no timer is due before this tick; written with mu held

	mu    sync.Mutex // guards what follows, and the links of the timers in it
	cur   int64      // the last tick that was looked at
	used  [levels]uint64
	slots [levels][slots]*Timer
}

// set makes t due at tick, for l, now being the current tick. It reports false
// when l is closed.
func (w *wheel) set(t *Timer, l *Lane, now, tick int64) (at int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropLocked(t)
	t.gen++
	if l.deaf {
		return 0, false
	}
	return w.putLocked(t, l, now, tick), true
}

// again makes t, which fired as generation gen and was not taken, due at tick.
func (w *wheel) again(t *Timer, l *Lane, gen uint32, now, tick int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.gen == gen && !l.deaf {
		w.putLocked(t, l, now, tick)
	}
}

// stop makes t not due, and stale what it fired before.
func (w *wheel) stop(t *Timer) {
	w.mu.Lock()
	w.dropLocked(t)
	t.gen++
	w.mu.Unlock()
}

// forget stops all timers of l, for good.
func (w *wheel) forget(l *Lane) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.deaf = true
	for l.armed != nil {
		w.dropLocked(l.armed)
	}
}

// due appends to fired the timers that are due at tick now, and returns it with
// a tick before which no other is due.
func (w *wheel) due(now int64, fired []due) ([]due, int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		level, slot, at := w.nextLocked()
		if at > now {
			w.cur = max(w.cur, now)
			w.soon.Store(at)
			return fired, at
		}
		w.cur = at
		for t := w.slots[level][slot]; t != nil; {
			next := t.next
			l := t.lane
			tick := t.tick
			w.dropLocked(t)
			if tick <= at {
				fired = append(fired, due{t, l, t.gen})
			} else {
				w.linkLocked(t, l, tick) // one level down, at least
			}
			t = next
		}
	}
}

// nextLocked finds the slot that is due first and its tick, or never.
func (w *wheel) nextLocked() (level, slot int, at int64) {
	for level, used := range w.used {
		if used == 0 {
			continue
		}
		slot := bits.TrailingZeros64(used)
		shift := level * levelBits
		above := w.cur >> (shift + levelBits) << (shift + levelBits)
		return level, slot, above | int64(slot)<<shift
	}
	return 0, 0, never
}

func (w *wheel) putLocked(t *Timer, l *Lane, now, tick int64) int64 {
	if w.used == [levels]uint64{} {
		w.cur = max(w.cur, now) // as if it had turned all the time
	}
	tick = min(max(tick, w.cur+1), lastTick)
	w.linkLocked(t, l, tick)
	if tick < w.soon.Load() {
		w.soon.Store(tick)
	}
	return tick
}

func (w *wheel) linkLocked(t *Timer, l *Lane, tick int64) {
	level := (bits.Len64(uint64(tick^w.cur)|1) - 1) / levelBits
	slot := int(tick>>(level*levelBits)) % slots
	head := &w.slots[level][slot]
	w.used[level] |= 1 << slot
	t.tick, t.lane, t.slot = tick, l, uint16(level*slots+slot)
	t.prev, t.next = nil, *head
	if t.next != nil {
		t.next.prev = t
	}
	*head = t
	t.older, t.newer = l.armed, nil
	if t.older != nil {
		t.older.newer = t
	}
	l.armed = t
}

// dropLocked takes t out of its slot and of the list of its lane.
func (w *wheel) dropLocked(t *Timer) {
	l := t.lane
	if l == nil {
		return // it is not set
	}
	level, slot := t.slot/slots, t.slot%slots
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else if w.slots[level][slot] = t.next; t.next == nil {
		w.used[level] &^= 1 << slot
	}
	if t.older != nil {
		t.older.newer = t.newer
	}
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		l.armed = t.older
	}
	t.lane, t.next, t.prev, t.older, t.newer = nil, nil, nil, nil, nil
}
