package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"
	"time"

	"bellhop/routing/location"
)

// A nonce, before base64url: format, key id, time (ms, 48 bits), a number that
// makes it unique (48 bits), MAC (80 bits). The MAC covers these and the
// transport, the source address (without port: NATs and reconnects move it)
// and the domain (trust.md §1).
const (
	nonceFormat = 1
	nonceHead   = 14
	nonceMAC    = 10
	nonceSize   = nonceHead + nonceMAC
	nonceText   = nonceSize / 3 * 4
)

// nonceSkew is how far the clock of another node may be ahead of ours.
const nonceSkew = 2 * time.Second

// A nonceID is what is remembered of a nonce after a right answer to it. The
// key is a part of its MAC: unique, and not for a peer to choose.
type nonceID struct {
	key    uint64
	issued int64 // ms since the Unix epoch
}

// nonces makes and verifies nonces. It stores none.
type nonces struct {
	*signer
	clock  clock
	unique atomic.Uint64
}

func newNonces(keys Keys, c clock) (*nonces, error) {
	s, err := newSigner(keys, purposeNonce)
	if err != nil {
		return nil, err
	}
	n := &nonces{signer: s, clock: c}
	var b [8]byte
	_, _ = rand.Read(b[:])                        // never fails (crypto/rand)
	n.unique.Store(binary.BigEndian.Uint64(b[:])) // nodes and runs do not count alike
	return n, nil
}

// append appends a new nonce for requests of domain from the source of flow.
func (n *nonces) append(dst []byte, domain string, flow location.Flow, now time.Time) []byte {
	k := n.newest()
	m := k.mac()
	defer k.done(m)
	var b [nonceSize]byte
	b[0], b[1] = nonceFormat, k.id
	put48(b[2:], uint64(n.clock.ms(now)))
	put48(b[8:], n.unique.Add(1))
	nonceInput(m, b[:nonceHead], domain, flow)
	copy(b[nonceHead:], m.sum())
	return base64.RawURLEncoding.AppendEncode(dst, b[:])
}

// verify reports whether we made text for requests of domain from the source
// of flow, and when. It does not ask whether it is too old, or was used before.
func (n *nonces) verify(text []byte, domain string, flow location.Flow) (nonceID, bool) {
	var b [nonceSize]byte
	if len(text) != nonceText {
		return nonceID{}, false
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(b[:], text); err != nil || b[0] != nonceFormat {
		return nonceID{}, false
	}
	k := n.byID(b[1])
	if k == nil {
		return nonceID{}, false
	}
	m := k.mac()
	defer k.done(m)
	nonceInput(m, b[:nonceHead], domain, flow)
	if !m.equal(b[nonceHead:]) {
		return nonceID{}, false
	}
	return nonceID{key: binary.BigEndian.Uint64(b[nonceHead:]), issued: int64(get48(b[2:]))}, true
}

func nonceInput(m *mac, head []byte, domain string, flow location.Flow) {
	source := flow.Remote.Addr().As16() // IPv4 and IPv4 in IPv6 alike
	m.in = append(m.in, head...)
	m.in = append(m.in, byte(flow.Transport))
	m.in = append(m.in, source[:]...)
	m.in = append(m.in, domain...)
}

func put48(b []byte, v uint64) {
	binary.BigEndian.PutUint16(b, uint16(v>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(v))
}

func get48(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint16(b))<<32 | uint64(binary.BigEndian.Uint32(b[2:]))
}

// A clock turns times into milliseconds since the Unix epoch without following
// jumps of the wall clock: it counts on monotonically from when it was made
// (trust.md §3).
type clock struct{ base time.Time }

func (c clock) ms(now time.Time) int64 {
	return c.base.UnixMilli() + now.Sub(c.base).Milliseconds()
}
