package proxy

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/lane"
)

// ringing knows which calls ring at a number, so that a device that registers
// meanwhile can join (rule ring.devices).
type ringing struct {
	seed   maphash.Seed
	shards [64]ringingShard
}

type ringingShard struct {
	mu    sync.Mutex // guards calls
	calls map[location.AOR][]*call
}

func (r *ringing) init() {
	r.seed = maphash.MakeSeed()
	for i := range r.shards {
		r.shards[i].calls = make(map[location.AOR][]*call)
	}
}

func (r *ringing) shard(aor location.AOR) *ringingShard {
	return &r.shards[maphash.Comparable(r.seed, aor)%uint64(len(r.shards))]
}

func (r *ringing) add(aor location.AOR, c *call) {
	s := r.shard(aor)
	s.mu.Lock()
	s.calls[aor] = append(s.calls[aor], c)
	s.mu.Unlock()
}

func (r *ringing) remove(aor location.AOR, c *call) {
	s := r.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(s.calls[aor], func(other *call) bool { return other == c })
	if len(left) == 0 {
		delete(s.calls, aor)
		return
	}
	s.calls[aor] = left
}

func (r *ringing) at(aor location.AOR) []*call {
	s := r.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[aor])
}

// Registered tells the calls that ring at aor of a device that registered.
func (x *Proxy) Registered(aor location.AOR, target ring.Target) {
	for _, c := range x.ringing.at(aor) {
		_ = c.lane.Post(Continue(func() { // a full or closed lane: the device rings at the next call
			c.now = time.Now()
			c.step(ring.Registered{Now: c.now, Target: target})
		}))
	}
}

var _ lane.Event = Continue(nil)

// Ringing is how many numbers ring.
func (x *Proxy) Ringing() (n int) {
	for i := range x.ringing.shards {
		s := &x.ringing.shards[i]
		s.mu.Lock()
		for _, calls := range s.calls {
			n += len(calls)
		}
		s.mu.Unlock()
	}
	return n
}
