package siptest

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
)

// Keys is a key ring with one key that everybody knows. It seals in name only:
// a secret and the place it belongs to stand side by side.
type Keys struct{}

// Derive implements auth.Keys.
func (Keys) Derive(purpose string) (ids []byte, secrets [][]byte) {
	mac := hmac.New(sha256.New, []byte("siptest"))
	mac.Write([]byte(purpose))
	return []byte{1}, [][]byte{mac.Sum(nil)}
}

// Seal makes what Open opens.
func (Keys) Seal(purpose string, plain, aad []byte) []byte {
	mac := hmac.New(sha256.New, []byte("siptest"))
	mac.Write([]byte(purpose))
	mac.Write(aad)
	return append(mac.Sum(nil), plain...)
}

// Open implements auth.Keys.
func (k Keys) Open(purpose string, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < sha256.Size || !hmac.Equal(k.Seal(purpose, sealed[sha256.Size:], aad), sealed) {
		return nil, errors.New("siptest: sealed elsewhere")
	}
	return append([]byte(nil), sealed[sha256.Size:]...), nil
}
