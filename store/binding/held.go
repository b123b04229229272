package binding

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"

	"bellhop/routing/location"
)

// held counts the bindings of each flow, so that a message which came down one
// is known to be a device's, whatever it says. It is asked where an address might
// be a trunk's too.
type held struct {
	seed   maphash.Seed
	shards [shards]heldShard
}

type heldShard struct {
	mu    sync.Mutex // guards count; taken with a shard of the table held
	count map[uint64]uint32
}

func newHeld() *held {
	h := &held{seed: maphash.MakeSeed()}
	for i := range h.shards {
		h.shards[i].count = make(map[uint64]uint32)
	}
	return h
}

// key is what a flow is counted under: a keyed hash of where it comes from. That
// two flows share one among 2^64 does not happen.
func (h *held) key(f location.Flow) uint64 {
	return maphash.Comparable(h.seed, struct {
		transport location.Transport
		remote    netip.AddrPort
	}{f.Transport, f.Remote})
}

// change counts the flows of bs instead of those under the keys old, and returns
// their keys. When nothing changes, as on a refresh, it does not allocate.
func (h *held) change(old []uint64, bs location.Bindings) []uint64 {
	same := len(old) == len(bs)
	for i := range bs {
		if same = same && old[i] == h.key(bs[i].Flow); !same {
			break
		}
	}
	if same {
		return old
	}
	keys := make([]uint64, len(bs))
	for i := range bs {
		keys[i] = h.key(bs[i].Flow)
		h.add(keys[i], 1)
	}
	for _, k := range old {
		h.add(k, -1)
	}
	return slices.Clip(keys)
}

func (h *held) add(k uint64, n int) {
	sh := &h.shards[k%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if left := int(sh.count[k]) + n; left > 0 {
		sh.count[k] = uint32(left)
	} else {
		delete(sh.count, k)
	}
}

// Registered reports whether a binding leads down the flow f: what comes down it
// is a device's.
func (t *Table) Registered(f location.Flow) bool {
	k := t.held.key(f)
	sh := &t.held.shards[k%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.count[k] > 0
}
