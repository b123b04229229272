package event

import (
	"hash/maphash"
	"sync"
)

// shards is the number of parts of an index, each under its own lock: calls look
// into one all the time.
const shards = 64

// An index finds something by a key. It is safe for concurrent use; looking costs no
// memory.
type index[K comparable, V any] struct {
	seed   maphash.Seed
	shards [shards]struct {
		mu sync.RWMutex
		m  map[K]V
	}
}

func newIndex[K comparable, V any]() *index[K, V] {
	x := &index[K, V]{seed: maphash.MakeSeed()}
	for i := range x.shards {
		x.shards[i].m = make(map[K]V)
	}
	return x
}

// get returns what is under k, and its zero value for nothing.
func (x *index[K, V]) get(k K) V {
	s := &x.shards[maphash.Comparable(x.seed, k)%shards]
	s.mu.RLock()
	v := s.m[k]
	s.mu.RUnlock()
	return v
}

// put puts v under k.
func (x *index[K, V]) put(k K, v V) {
	s := &x.shards[maphash.Comparable(x.seed, k)%shards]
	s.mu.Lock()
	s.m[k] = v
	s.mu.Unlock()
}

// drop takes out what is under k, when it is what was says.
func (x *index[K, V]) drop(k K, was func(V) bool) {
	s := &x.shards[maphash.Comparable(x.seed, k)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.m[k]; ok && was(v) {
		delete(s.m, k)
	}
}

// each calls f with all that is in the index; f must not use it.
func (x *index[K, V]) each(f func(K, V)) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.RLock()
		for k, v := range s.m {
			f(k, v)
		}
		s.mu.RUnlock()
	}
}
