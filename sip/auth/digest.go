package auth

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
)

// An algorithm is a hash of RFC 7616 and RFC 8760 that we offer.
type algorithm uint8

const (
	algMD5 algorithm = iota
	algSHA256
)

// parseAlgorithm reads the parameter of credentials; none is MD5 (RFC 7616
// §3.4). The -sess forms are not offered.
func parseAlgorithm(b []byte) (alg algorithm, ok bool) {
	switch {
	case b == nil, bytes.EqualFold(b, []byte("MD5")):
		return algMD5, true
	case bytes.EqualFold(b, []byte("SHA-256")):
		return algSHA256, true
	default:
		return 0, false
	}
}

// appendHex appends the hash of b in hexadecimal.
func (alg algorithm) appendHex(dst, b []byte) []byte {
	if alg == algSHA256 {
		sum := sha256.Sum256(b)
		return hex.AppendEncode(dst, sum[:])
	}
	sum := md5.Sum(b) // RFC 3261 §22.4: phones know nothing else
	return hex.AppendEncode(dst, sum[:])
}

// appendAnswer appends the response that credentials must have (RFC 7616
// §3.4.1, qop=auth).
func (alg algorithm) appendAnswer(dst []byte, h *ha1, method []byte, c *credentials) []byte {
	var room [512]byte
	var sum [2 * sha256.Size]byte
	b := append(room[:0], method...)
	b = append(b, ':')
	b = append(b, c.uri...)
	ha2 := alg.appendHex(sum[:0], b)
	b = append(b[:0], h.of(alg)...)
	for _, part := range [...][]byte{c.nonce, c.nc, c.cnonce, c.qop, ha2} {
		b = append(b, ':')
		b = append(b, part...)
	}
	return alg.appendHex(dst, b)
}

// ha1 is H(username:realm:secret) under both algorithms, in hexadecimal, and
// what it was derived from.
type ha1 struct {
	sealed, username, realm string
	md5                     [2 * md5.Size]byte
	sha256                  [2 * sha256.Size]byte
}

func (h *ha1) of(alg algorithm) []byte {
	if alg == algSHA256 {
		return h.sha256[:]
	}
	return h.md5[:]
}

func newHA1(username, realm string, secret []byte) *ha1 {
	h := &ha1{realm: realm}
	b := make([]byte, 0, len(username)+len(realm)+len(secret)+2)
	b = append(append(append(append(append(b, username...), ':'), realm...), ':'), secret...)
	algMD5.appendHex(h.md5[:0], b)
	algSHA256.appendHex(h.sha256[:0], b)
	clear(b)
	return h
}
