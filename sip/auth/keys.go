package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"hash"
	"sync"
	"sync/atomic"
	"time"
)

// Keys is the ring of keys (store/keyring).
type Keys interface {
	// Derive returns the secrets of a purpose and the ids of their keys, newest
	// first: the first signs, all verify. It leaves out keys that are too old
	// to verify (24 h after they were replaced). It does not block.
	Derive(purpose string) (ids []byte, secrets [][]byte)
	// Open decrypts a sealed value; aad names the place it belongs to. What it
	// returns is the caller's, who wipes it.
	Open(purpose string, sealed, aad []byte) ([]byte, error)
}

// Purposes of the secrets that this package derives.
const (
	purposeNonce = "sip nonce"
	purposeToken = "sip token"
	purposeTag   = "sip tag"
	purposeGRUU  = "sip gruu"
)

// ErrNoKeys reports a ring without keys.
var ErrNoKeys = errors.New("auth: the key ring is empty")

// rekeyAfter is how long derived secrets are kept before the ring is asked
// again. A new key is used, and an old one refused, at most this much late.
const rekeyAfter = 30 * time.Second

// A signer makes and checks MACs for one purpose under the ring of keys.
type signer struct {
	keys    Keys
	purpose string
	set     atomic.Pointer[keySet]
}

// A keySet is the keys of a purpose as the ring had them last.
type keySet struct {
	keys  []*key // newest first
	until time.Time
}

func newSigner(keys Keys, purpose string) (*signer, error) {
	s := &signer{keys: keys, purpose: purpose}
	if s.refresh(); s.set.Load() == nil {
		return nil, ErrNoKeys
	}
	return s, nil
}

// newest returns the key that signs.
func (s *signer) newest() *key { return s.current().keys[0] }

// byID returns the key with an id, or nil when the ring has none that verifies.
func (s *signer) byID(id byte) *key {
	for _, k := range s.current().keys {
		if k.id == id {
			return k
		}
	}
	return nil
}

func (s *signer) current() *keySet {
	if ks := s.set.Load(); time.Now().Before(ks.until) {
		return ks
	}
	return s.refresh()
}

// refresh asks the ring again. Keys that stay keep their pools of MACs. A ring
// that answers nothing leaves the last keys in force.
func (s *signer) refresh() *keySet {
	old := s.set.Load()
	ids, secrets := s.keys.Derive(s.purpose)
	if len(ids) == 0 || len(ids) != len(secrets) {
		return old
	}
	next := &keySet{until: time.Now().Add(rekeyAfter)}
	for i, id := range ids {
		next.keys = append(next.keys, old.keep(id, secrets[i]))
	}
	s.set.Store(next)
	return next
}

// keep returns the key with this id and secret, the old one where it is known.
func (ks *keySet) keep(id byte, secret []byte) *key {
	if ks != nil {
		for _, k := range ks.keys {
			if k.id == id && bytes.Equal(k.secret, secret) {
				return k
			}
		}
	}
	return newKey(id, secret)
}

// A key is one secret of a ring with the MACs that are ready to use it.
type key struct {
	id     byte
	secret []byte
	macs   sync.Pool
}

func newKey(id byte, secret []byte) *key {
	k := &key{id: id, secret: bytes.Clone(secret)}
	k.macs.New = func() any { return &mac{h: hmac.New(sha256.New, k.secret)} }
	return k
}

// mac returns an HMAC-SHA256 under k. Give it back with [key.done].
func (k *key) mac() *mac {
	m, _ := k.macs.Get().(*mac)
	m.in = m.in[:0]
	return m
}

func (k *key) done(m *mac) { k.macs.Put(m) }

// A mac is an HMAC-SHA256 and the input it is made over. It is reused, so that
// signing allocates nothing.
type mac struct {
	h   hash.Hash
	in  []byte
	out [sha256.Size]byte
}

// field appends a field with its length before it, so that the input cannot be
// read in two ways.
func (m *mac) field(b []byte) {
	m.in = append(m.in, byte(len(b)>>8), byte(len(b)))
	m.in = append(m.in, b...)
}

// text is field for a string.
func (m *mac) text(s string) {
	m.in = append(m.in, byte(len(s)>>8), byte(len(s)))
	m.in = append(m.in, s...)
}

// sum returns the MAC over the input, good until the mac is given back.
func (m *mac) sum() []byte {
	m.h.Reset()
	m.h.Write(m.in)
	return m.h.Sum(m.out[:0])
}

// equal compares the first len(want) bytes of the MAC in constant time.
func (m *mac) equal(want []byte) bool { return hmac.Equal(m.sum()[:len(want)], want) }
