package auth

import (
	"sync"
	"time"
)

// firstUse is how old a nonce may be at its first right answer. Later, or after
// we forgot it, it is stale. So a nonce of another node, or of a run before this
// one, is worth at most this long after it was made.
const firstUse = 32 * time.Second

const (
	replayShards = 64
	replayWays   = 8
	replayWindow = 64 // nonce counts behind the highest one that may still come
)

// replay remembers which counts of a nonce were used. It has a fixed size and
// holds only nonces that were answered rightly. What does not fit is forgotten,
// the longest unused first; a forgotten nonce is stale, never new again: each
// set keeps a floor, and takes no unknown nonce that was made before it.
type replay struct {
	lifetime int64 // of a nonce, ms
	locks    [replayShards]sync.Mutex
	sets     []replaySet // a power of two; a lock guards every 64th
}

type replaySet struct {
	floor int64 // ms
	uses  [replayWays]nonceUse
}

type nonceUse struct {
	nonceID        // zero key: free
	used    int64  // ms of the last use
	seen    uint64 // bit i: count top-i was used
	top     uint32 // the highest count
}

// newReplay returns room for about size nonces. Nonces made before start are
// stale from the outset, since an earlier run may have seen them used.
func newReplay(size int, lifetime time.Duration, start int64) *replay {
	sets := replayShards
	for sets*replayWays < size {
		sets *= 2
	}
	r := &replay{lifetime: lifetime.Milliseconds(), sets: make([]replaySet, sets)}
	for i := range r.sets {
		r.sets[i].floor = start - 1
	}
	return r
}

// use takes count nc of a nonce and reports whether it may be used: the nonce
// lives, and the count was not used before.
func (r *replay) use(id nonceID, nc uint32, now int64) bool {
	i := int(id.key) & (len(r.sets) - 1)
	r.locks[i%replayShards].Lock()
	defer r.locks[i%replayShards].Unlock()
	set := &r.sets[i]
	victim := &set.uses[0]
	for j := range set.uses {
		u := &set.uses[j]
		if u.nonceID == id {
			return u.again(nc, now)
		}
		if u.used < victim.used {
			victim = u
		}
	}
	if id.issued <= set.floor || now-id.issued > firstUse.Milliseconds() {
		return false
	}
	if victim.key != 0 && now-victim.issued <= r.lifetime {
		set.floor = max(set.floor, victim.issued)
	}
	*victim = nonceUse{nonceID: id, used: now, seen: 1, top: nc}
	return true
}

// again takes another count of a nonce that is known: higher than all before,
// or one of the last that has not come yet (datagrams overtake each other).
func (u *nonceUse) again(nc uint32, now int64) bool {
	switch {
	case nc > u.top:
		u.seen = u.seen<<min(nc-u.top, replayWindow) | 1 // a shift by 64 is zero
		u.top = nc
	case u.top-nc >= replayWindow || u.seen&(1<<(u.top-nc)) != 0:
		return false
	default:
		u.seen |= 1 << (u.top - nc)
	}
	u.used = now
	return true
}
