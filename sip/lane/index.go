package lane

import (
	"hash/maphash"
	"slices"
	"sync"
)

// An Index finds lanes by something else than their Call-ID: those in which a
// number rings. A key may have many. It is safe for use by many goroutines. Make
// one with [NewIndex].
type Index[K comparable] struct {
	seed   maphash.Seed
	shards [shards]indexShard[K]
}

type indexShard[K comparable] struct {
	mu      sync.Mutex // guards entries
	entries map[K][]Entry
}

// An Entry is a lane that stands in an [Index], and what in it.
type Entry struct {
	Lane *Lane
	Who  any // comparable
}

// NewIndex returns an empty index.
func NewIndex[K comparable]() *Index[K] {
	x := &Index[K]{seed: maphash.MakeSeed()}
	for i := range x.shards {
		x.shards[i].entries = make(map[K][]Entry)
	}
	return x
}

func (x *Index[K]) shard(key K) *indexShard[K] {
	return &x.shards[maphash.Comparable(x.seed, key)%shards]
}

// Add puts who, in lane l, under key.
func (x *Index[K]) Add(key K, l *Lane, who any) {
	s := x.shard(key)
	s.mu.Lock()
	s.entries[key] = append(s.entries[key], Entry{l, who})
	s.mu.Unlock()
}

// Remove takes who from under key; it may not be there.
func (x *Index[K]) Remove(key K, who any) {
	s := x.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(s.entries[key], func(e Entry) bool { return e.Who == who })
	if len(left) == 0 {
		delete(s.entries, key)
		return
	}
	s.entries[key] = left
}

// At returns what stands under key.
func (x *Index[K]) At(key K) []Entry {
	s := x.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries[key])
}

// Len is how many entries there are.
func (x *Index[K]) Len() (n int) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for _, es := range s.entries {
			n += len(es)
		}
		s.mu.Unlock()
	}
	return n
}
