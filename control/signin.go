package control

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id (RFC 9106 §4 adapted to a server that shares its
// memory with calls): 19 MiB, two passes, one lane.
const (
	argonTime   = 2
	argonMemory = 19 << 10 // KiB
	argonLen    = 32
	saltLen     = 16
)

// errBusy says that too many sign-ins wait for a processor already.
var errBusy = errors.New("control: too many sign-ins at once")

// A hasher makes and checks password hashes, at most one per processor at a
// time (trust.md §2): sign-ins never take the processors away from calls.
type hasher struct {
	cost  cost
	slots chan struct{}
	queue chan struct{} // who runs or waits
	dummy string        // checked for users that do not exist
}

func newHasher(c cost) *hasher {
	n := runtime.GOMAXPROCS(0)
	return &hasher{
		cost: c, slots: make(chan struct{}, n), queue: make(chan struct{}, 16*n),
		dummy: c.encode(make([]byte, saltLen), make([]byte, argonLen)),
	}
}

// A cost is what a new hash takes.
type cost struct{ time, memory uint32 } // passes, KiB

func fullCost() cost { return cost{argonTime, argonMemory} }

// acquire waits for a processor; the caller releases it.
func (h *hasher) acquire(ctx context.Context) error {
	select {
	case h.queue <- struct{}{}:
	default:
		return errBusy
	}
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		<-h.queue
		return context.Cause(ctx)
	}
}

func (h *hasher) release() { <-h.slots; <-h.queue }

// hash returns the encoded hash of password under a new salt.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if err := h.acquire(ctx); err != nil {
		return "", err
	}
	defer h.release()
	return h.cost.hash(password), nil
}

// HashPassword returns the encoded hash of password under a new salt, for who
// provisions users without the API. It takes a processor for a while; the API
// itself never does that more than once per processor at a time.
func HashPassword(password string) string { return fullCost().hash(password) }

func (c cost) hash(password string) string {
	salt := make([]byte, saltLen)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return c.encode(salt, argon2.IDKey([]byte(password), salt, c.time, c.memory, 1, argonLen))
}

// verify reports whether password made encoded. An empty or unreadable hash
// costs the same time and matches nothing.
func (h *hasher) verify(ctx context.Context, encoded, password string) (bool, error) {
	salt, sum, t, m, known := decodeHash(encoded)
	if !known {
		salt, sum, t, m, _ = decodeHash(h.dummy)
	}
	if err := h.acquire(ctx); err != nil {
		return false, err
	}
	defer h.release()
	got := argon2.IDKey([]byte(password), salt, t, m, 1, argonLen)
	return subtle.ConstantTimeCompare(got, sum) == 1 && known, nil
}

func (c cost) encode(salt, sum []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, c.memory, c.time, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// decodeHash reads what [cost.encode] wrote, also with other parameters, within
// bounds: a hash in a store must not make us take all memory.
func decodeHash(s string) (salt, sum []byte, t, m uint32, ok bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return nil, nil, 0, 0, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=1", &m, &t); n != 2 || err != nil || m > 256<<10 || t == 0 || t > 16 {
		return nil, nil, 0, 0, false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	sum, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	return salt, sum, t, m, err1 == nil && err2 == nil && len(sum) == argonLen
}

// Brakes of the sign-in. What counts is the pair of user and source first, so
// that an outsider's failures never lock the user's own place out; a source
// alone and a user alone have more room.
const (
	pairFree     = 3
	sourceFree   = 20
	userFree     = 50
	pairLongest  = time.Minute
	userLongest  = 5 * time.Second
	brakeForgets = 15 * time.Minute
	brakeSlots   = 1 << 14
)

// A brake slows failed sign-ins down. It is a sketch of fixed size: keys that
// share a slot share their fate, and no stranger can make it grow.
type brake struct {
	seed  maphash.Seed
	mu    sync.Mutex // guards slots
	slots []brakeSlot
}

type brakeSlot struct {
	fails int32
	until int64 // unix milliseconds
	last  int64
}

func newBrake() *brake {
	return &brake{seed: maphash.MakeSeed(), slots: make([]brakeSlot, brakeSlots)}
}

// brakeKey is one key of an attempt: how many failures it has free, and the
// longest it is held.
type brakeKey struct {
	slot    uint64
	free    int32
	longest time.Duration
}

// keys of an attempt of user from source; IPv6 counts by /64.
func (b *brake) keys(user string, source netip.Addr) [3]brakeKey {
	bits := 32
	if source.Is6() {
		bits = 64
	}
	prefix, _ := source.Prefix(bits)
	src := prefix.String()
	at := func(s string) uint64 { return maphash.String(b.seed, s) % brakeSlots }
	return [3]brakeKey{
		{at("p\x00" + user + "\x00" + src), pairFree, pairLongest},
		{at("s\x00" + src), sourceFree, pairLongest},
		{at("u\x00" + user), userFree, userLongest},
	}
}

// admit lets an attempt of user from source through, or says how long it must
// wait: 1 s, 2 s, 4 s, ... An attempt counts as failed from the start, so that
// many at once gain nothing; [brake.succeeded] takes that back.
func (b *brake) admit(user string, source netip.Addr, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	ms := now.UnixMilli()
	keys := b.keys(user, source)
	var longest int64
	for _, k := range keys {
		longest = max(longest, b.slots[k.slot].until-ms)
	}
	if longest > 0 {
		return time.Duration(longest) * time.Millisecond
	}
	for _, k := range keys {
		s := &b.slots[k.slot]
		if ms-s.last > brakeForgets.Milliseconds() {
			s.fails = 0
		}
		s.fails++
		s.last = ms
		if over := s.fails - k.free; over >= 0 {
			delay := min(time.Second<<min(over, 10), k.longest)
			s.until = ms + delay.Milliseconds()
		}
	}
	return 0
}

// succeeded clears the pair. The source and the user only lose this attempt, so
// that one known password does not free guesses at others.
func (b *brake) succeeded(user string, source netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, k := range b.keys(user, source) {
		s := &b.slots[k.slot]
		if i == 0 {
			*s = brakeSlot{}
			continue
		}
		s.fails = max(s.fails-1, 0)
		if s.fails < k.free {
			s.until = 0
		}
	}
}
