package auth

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// GRUUs are URIs that reach one instance of an AOR (RFC 5627). A public one is
// the AOR and the instance. A temporary one tells who gets it nothing: its user
// part is a sealed text that names both, and the Call-ID of the registration, with
// which it ends (§3.1.2).
type GRUUs struct{ *signer }

const (
	// temporary begins the user part of a temporary GRUU; no number begins so.
	temporary = "tgruu."
	gruuNonce = 12
	gruuMark  = 8 // bytes of the hash of instance and Call-ID
)

// NewGRUUs returns GRUUs under the ring of keys. The error is [ErrNoKeys].
func NewGRUUs(keys Keys) (*GRUUs, error) {
	s, err := newSigner(keys, purposeGRUU)
	if err != nil {
		return nil, err
	}
	return &GRUUs{s}, nil
}

// AppendPublic appends the public GRUU of an instance of an AOR.
func (g *GRUUs) AppendPublic(dst []byte, aor location.AOR, instance string) []byte {
	dst = append(append(dst, aor.String()...), ";gr="...)
	for _, c := range []byte(strings.Trim(instance, "<>")) {
		if isParam(c) {
			dst = append(dst, c)
		} else {
			const hex = "0123456789ABCDEF"
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// isParam reports whether c may stand in a parameter of a URI as it is (RFC 3261
// §25.1, paramchar).
func isParam(c byte) bool {
	return c-'0' < 10 || c|0x20-'a' < 26 || bytes.IndexByte([]byte("-_.!~*'()[]/:&+$"), c) >= 0
}

// AppendTemporary appends a new temporary GRUU of a binding.
func (g *GRUUs) AppendTemporary(dst []byte, aor location.AOR, b *location.Binding) []byte {
	k := g.newest()
	aead := k.aead()
	raw := make([]byte, 1+gruuNonce, 1+gruuNonce+gruuMark+len(aor.User())+aead.Overhead())
	raw[0] = k.id
	_, _ = rand.Read(raw[1:]) // it cannot fail
	mark := gruuMarkOf(b)
	plain := append(mark[:], aor.User()...)
	raw = aead.Seal(raw, raw[1:1+gruuNonce], plain, []byte(aor.Domain()))
	dst = append(dst, "sip:"+temporary...)
	dst = base64.RawURLEncoding.AppendEncode(dst, raw)
	return append(append(append(dst, '@'), aor.Domain()...), ";gr"...)
}

// Resolve returns the number and the instance that the URI of a request for a
// domain (canonical name) means, when it is a GRUU; the instance is without angle
// brackets. That of a temporary one that has ended is a text that nobody is.
func (g *GRUUs) Resolve(u wire.URI, domain string, loc Location) (number, instance string, ok bool) {
	gr, is := u.Param("gr")
	if !is {
		return "", "", false
	}
	user := string(wire.AppendUnescaped(nil, u.User))
	if len(gr) > 0 {
		return user, strings.Trim(string(wire.AppendUnescaped(nil, gr)), "<>"), true
	}
	number, mark, ok := g.open(user, domain)
	if !ok {
		return "", "", false
	}
	aor, err := location.NewAOR(number, domain)
	if err != nil {
		return "", "", false
	}
	bs := loc.AppendBindings(nil, aor, time.Now())
	for i := range bs {
		if gruuMarkOf(&bs[i]) == mark {
			return number, strings.Trim(bs[i].Instance, "<>"), true
		}
	}
	return number, "ended", true
}

// open reads the user part of a temporary GRUU.
func (g *GRUUs) open(user, domain string) (number string, mark [gruuMark]byte, ok bool) {
	text, is := strings.CutPrefix(user, temporary)
	if !is || len(text) > 256 {
		return "", mark, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 1+gruuNonce {
		return "", mark, false
	}
	k := g.byID(raw[0])
	if k == nil {
		return "", mark, false
	}
	plain, err := k.aead().Open(nil, raw[1:1+gruuNonce], raw[1+gruuNonce:], []byte(domain))
	if err != nil || len(plain) <= gruuMark {
		return "", mark, false
	}
	return string(plain[gruuMark:]), [gruuMark]byte(plain), true
}

// gruuMarkOf tells the registrations of an AOR apart.
func gruuMarkOf(b *location.Binding) (mark [gruuMark]byte) {
	h := sha256.New()
	h.Write([]byte(b.Instance))
	h.Write([]byte{0})
	h.Write([]byte(b.CallID))
	copy(mark[:], h.Sum(nil))
	return mark
}

// aead seals under a key of the ring.
func (k *key) aead() cipher.AEAD {
	secret := sha256.Sum256(k.secret)
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic(err) // the size is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the right block
	}
	return aead
}
