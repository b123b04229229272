// Package keyring keeps the secrets of a node in a folder of key files, one
// random 32-byte master each, and derives from them one secret per purpose
// (HKDF, RFC 5869). Purposes are independent: who learns the secret of nonces
// learns nothing of tokens or of sealed credentials (trust.md §1).
//
// A ring has one newest key, which signs and seals, and older ones. An older
// key still verifies for [Grace] after its successor was made; sealed values
// may be opened with every key of the ring, however old, until they are
// sealed anew.
//
// Key files are text of mode 0600 in a folder that nobody else may write to;
// anything laxer is refused. Several nodes share a ring by having the same
// files. The package starts no goroutine.
package keyring

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Grace is how long a key verifies after its successor was made.
const Grace = 24 * time.Hour

// masterSize is the length of a master secret, in bytes.
const masterSize = 32

// sealFormat is the first byte of a sealed value.
const sealFormat = 1

// Errors of a ring.
var (
	// ErrEmpty reports a folder without keys where none may be made.
	ErrEmpty = errors.New("keyring: no key in the folder")
	// ErrMode reports a key file or folder that others may read or write.
	ErrMode = errors.New("keyring: permissions too wide")
	// ErrFormat reports a file that is no key file, or one of a newer format.
	ErrFormat = errors.New("keyring: not a key file of this release")
	// ErrSealed reports a value that no key of the ring opens: damaged, sealed
	// for another purpose or place, or by a key that is gone.
	ErrSealed = errors.New("keyring: cannot open sealed value")
)

// Options say where a ring is.
type Options struct {
	// Dir is the folder of the key files.
	Dir string
	// Create allows a first key to be made when the folder has none; the
	// folder is made too. Without it an empty folder is [ErrEmpty].
	Create bool
}

// key is one master secret.
type key struct {
	id     byte
	made   time.Time
	master [masterSize]byte
}

// A Ring is a set of keys. Make one with [New]; it may be used by many
// goroutines.
type Ring struct {
	dir string

	mu      sync.RWMutex
	keys    []key // newest first
	derived map[string]derived
	aeads   map[sealer]cipher.AEAD
}

// derived is what Derive answered for a purpose, good until a key grows too old.
type derived struct {
	until   time.Time
	ids     []byte
	secrets [][]byte
}

// sealer names the cipher of one key for one purpose.
type sealer struct {
	id      byte
	purpose string
}

// New reads the ring in o.Dir, and makes its first key where o.Create allows
// it. Errors are [ErrEmpty], [ErrMode], [ErrFormat] or those of the file system.
func New(o Options) (*Ring, error) {
	if o.Dir == "" {
		return nil, errors.New("keyring: no folder given")
	}
	r := &Ring{dir: o.Dir}
	keys, err := load(o.Dir, o.Create)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 && o.Create {
		if err := create(o.Dir, firstID, time.Now()); err != nil {
			return nil, err
		}
		if keys, err = load(o.Dir, false); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrEmpty, o.Dir)
	}
	r.set(keys)
	return r, nil
}

// Reload reads the folder again, so that a key another node or an operator put
// there is used. On an error the ring stays as it was.
func (r *Ring) Reload() error {
	keys, err := load(r.dir, false)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: %s", ErrEmpty, r.dir)
	}
	r.set(keys)
	return nil
}

// Rotate makes a new key, which signs and seals from now on; the one before it
// verifies for [Grace]. A ring holds at most 255 keys; one that is full reports
// an error.
func (r *Ring) Rotate() error {
	r.mu.RLock()
	id, ok := freeID(r.keys)
	r.mu.RUnlock()
	if !ok {
		return errors.New("keyring: all 255 key ids are taken; remove the oldest files")
	}
	if err := create(r.dir, id, time.Now()); err != nil {
		return err
	}
	return r.Reload()
}

// Derive returns the secrets for purpose, 32 bytes each, and the ids of their
// keys, newest first: the first signs, all verify. The slices are shared: do
// not change them, and do not keep them for longer than a minute, since keys
// come and go.
func (r *Ring) Derive(purpose string) (ids []byte, secrets [][]byte) {
	now := time.Now()
	r.mu.RLock()
	d, ok := r.derived[purpose]
	r.mu.RUnlock()
	if ok && now.Before(d.until) {
		return d.ids, d.secrets
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d = derived{until: now.Add(time.Minute)}
	for i, k := range r.keys {
		if i > 0 { // the key before this one in the slice is its successor
			if end := r.keys[i-1].made.Add(Grace); !now.Before(end) {
				break
			} else if end.Before(d.until) {
				d.until = end
			}
		}
		d.ids = append(d.ids, k.id)
		d.secrets = append(d.secrets, expand(k, "derive/"+purpose))
	}
	r.derived[purpose] = d
	return d.ids, d.secrets
}

// Seal encrypts plain for purpose with the newest key (AES-256-GCM, random
// nonce). The value opens only with the same purpose and the same aad, which
// names the place it belongs to.
func (r *Ring) Seal(purpose string, plain, aad []byte) ([]byte, error) {
	r.mu.RLock()
	id := r.keys[0].id
	r.mu.RUnlock()
	aead, err := r.aead(sealer{id: id, purpose: purpose})
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 2+len(plain)+aead.Overhead())
	out = append(out, sealFormat, id)
	return aead.Seal(out, nil, plain, aad), nil
}

// Open decrypts what [Ring.Seal] made. The error is [ErrSealed] whatever was
// wrong, so that it tells an attacker nothing.
func (r *Ring) Open(purpose string, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != sealFormat {
		return nil, ErrSealed
	}
	aead, err := r.aead(sealer{id: sealed[1], purpose: purpose})
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed[2:], aad)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// Stale reports whether sealed was made by another key than the newest, and
// should be sealed anew when it is written next.
func (r *Ring) Stale(sealed []byte) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(sealed) < 2 || sealed[0] != sealFormat || sealed[1] != r.keys[0].id
}

// aead returns the cipher that s names, made once.
func (r *Ring) aead(s sealer) (cipher.AEAD, error) {
	r.mu.RLock()
	a, ok := r.aeads[s]
	i := slices.IndexFunc(r.keys, func(k key) bool { return k.id == s.id })
	if ok || i < 0 {
		r.mu.RUnlock()
		if i < 0 {
			return nil, ErrSealed
		}
		return a, nil
	}
	k := r.keys[i]
	r.mu.RUnlock()

	block, err := aes.NewCipher(expand(k, "seal/"+s.purpose))
	if err != nil {
		return nil, fmt.Errorf("keyring: cipher: %w", err)
	}
	if a, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, fmt.Errorf("keyring: cipher: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aeads[s] = a
	return a, nil
}

// set puts keys in force and forgets what was derived from others.
func (r *Ring) set(keys []key) {
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(b.made.Compare(a.made), cmp.Compare(b.id, a.id))
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = keys
	r.derived = make(map[string]derived)
	r.aeads = make(map[sealer]cipher.AEAD)
}

// expand derives 32 bytes from k for one use.
func expand(k key, info string) []byte {
	b, err := hkdf.Key(sha256.New, k.master[:], nil, "bellhop 1 "+info, masterSize)
	if err != nil { // only for lengths over 255 hashes
		panic(err)
	}
	return b
}

// random returns a new master secret.
func random() (m [masterSize]byte) {
	_, _ = rand.Read(m[:]) // never fails (crypto/rand)
	return m
}
