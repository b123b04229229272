package auth_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"sync"
)

// ring is a key ring for tests: its keys, newest first. A sealed secret is
// "purpose/aad/secret".
type ring struct {
	mu   sync.Mutex
	keys []byte
}

func newRing(ids ...byte) *ring { return &ring{keys: ids} }

func (r *ring) set(ids ...byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = ids
}

func (r *ring) Derive(purpose string) (ids []byte, secrets [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.keys {
		b, err := hkdf.Key(sha256.New, bytes.Repeat([]byte{id}, 32), nil, purpose, 32)
		if err != nil {
			panic(err)
		}
		ids, secrets = append(ids, id), append(secrets, b)
	}
	return ids, secrets
}

func (r *ring) Open(purpose string, sealed, aad []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte(purpose+"/"+string(aad)+"/"))
	if !ok {
		return nil, errors.New("cannot open")
	}
	return bytes.Clone(plain), nil
}
