package lane

import (
	"hash/maphash"
	"sync"
)

// shards is how many locks a table has; a power of two.
const shards = 64

// A Table finds the lane of a call by its Call-ID. It is safe for use by many
// goroutines. Make one with [NewTable].
type Table struct {
	pool   *Pool
	step   func(*Lane, Event)
	seed   maphash.Seed // a stranger chooses Call-IDs, but not their shards
	shards [shards]shard
}

type shard struct {
	table *Table
	wheel *wheel

	mu    sync.Mutex // guards lanes
	lanes map[string]*Lane
}

// NewTable returns an empty table whose lanes run in pool; their steps are
// calls of step.
func NewTable(pool *Pool, step func(*Lane, Event)) *Table {
	t := &Table{pool: pool, step: step, seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].table = t
		t.shards[i].wheel = &pool.clock.wheels[i%wheels]
		t.shards[i].lanes = make(map[string]*Lane)
	}
	return t
}

// Get returns the open lane of callID, nil when there is none.
func (t *Table) Get(callID []byte) *Lane {
	s := t.shard(callID)
	s.mu.Lock()
	l := s.lanes[string(callID)]
	s.mu.Unlock()
	return l
}

// GetOrNew returns the open lane of callID; when there is none it makes one and
// reports it as fresh. The only error is [ErrFull], when [PoolOptions].MaxLanes
// are open.
func (t *Table) GetOrNew(callID []byte) (l *Lane, fresh bool, err error) {
	return t.getOrNew(callID, false)
}

// Urgent is GetOrNew for a call that no overload may stop: it finds room where
// others find none, and so do the calls of its [Lane.Do]. [Reserve] of such lanes
// may be open beyond the limit.
func (t *Table) Urgent(callID []byte) (l *Lane, fresh bool, err error) {
	return t.getOrNew(callID, true)
}

func (t *Table) getOrNew(callID []byte, urgent bool) (l *Lane, fresh bool, err error) {
	s := t.shard(callID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l = s.lanes[string(callID)]; l != nil {
		return l, false, nil
	}
	most := t.pool.opts.MaxLanes
	if urgent {
		most += Reserve
	}
	if t.pool.open.Add(1) > int64(most) {
		t.pool.open.Add(-1)
		return nil, false, t.pool.refuse()
	}
	l = &Lane{shard: s, wheel: s.wheel, callID: string(callID), urgent: urgent}
	s.lanes[l.callID] = l
	return l, true, nil
}

// Alias makes the table find l by one more Call-ID, until l closes: the legs of an
// anchored call share a lane. It reports false, and does nothing, when l is closed
// or another lane has that Call-ID.
func (t *Table) Alias(callID string, l *Lane) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	s := t.shard([]byte(callID))
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.lanes[callID]; other != nil {
		return other == l
	}
	s.lanes[callID] = l
	l.aliases = append(l.aliases, callID)
	return true
}

// Len is under how many Call-IDs lanes are open in the table.
func (t *Table) Len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.lanes)
		s.mu.Unlock()
	}
	return n
}

// All calls f with each open lane until f returns false, with one that has
// aliases more than once. Lanes that open or close meanwhile may be missed. No lock is held while f runs.
func (t *Table) All(f func(*Lane) bool) {
	var ls []*Lane
	for i := range t.shards {
		s := &t.shards[i]
		ls = ls[:0]
		s.mu.Lock()
		for _, l := range s.lanes {
			ls = append(ls, l)
		}
		s.mu.Unlock()
		for _, l := range ls {
			if !f(l) {
				return
			}
		}
	}
}

func (t *Table) shard(callID []byte) *shard {
	return &t.shards[maphash.Bytes(t.seed, callID)%shards]
}

// Merge ends the lane from, whose step runs, and has the lane to take its Call-ID
// over: ev is the first that to hears of it, then what waits in from, then what
// comes. It reports false, and does nothing, when there is more in from than what
// its step knows of (a call, a [Lane.Do], an alias), or to is closed or full.
func (t *Table) Merge(from, to *Lane, ev Event) bool {
	if from == to || from.kept > 0 {
		return false
	}
	waiting, ok := from.shut()
	if !ok {
		return false
	}
	// Whoever finds from in the table now is told that it is closed, and asks again.
	begins, ok := to.inherit(from, append([]Event{ev}, waiting...))
	if !ok {
		from.reopen(waiting)
		return false
	}
	from.wheel.forget(from)
	t.pool.open.Add(-1)
	if begins {
		to.drain(0)
	}
	return true
}

// forget is called once, by the end of l, with l.mu held: whoever finds l
// closed no longer finds it here, by none of its Call-IDs.
func (s *shard) forget(l *Lane) {
	s.mu.Lock()
	delete(s.lanes, l.callID)
	s.mu.Unlock()
	for _, id := range l.aliases {
		other := s.table.shard([]byte(id))
		other.mu.Lock()
		delete(other.lanes, id)
		other.mu.Unlock()
	}
	l.aliases = nil
	s.table.pool.open.Add(-1)
}
