package auth

import "encoding/base64"

// tagSize is the length of the MAC in a stateless To tag, in bytes: 72 bits,
// where RFC 3261 §19.3 asks for 32.
const tagSize = 9

// Tags makes the To tags of stateless responses: the same for each
// retransmission of a request, and not to be guessed (RFC 3261 §8.2.7, §19.3).
type Tags struct{ *signer }

// NewTags returns tags under the ring of keys. The error is [ErrNoKeys].
func NewTags(keys Keys) (*Tags, error) {
	s, err := newSigner(keys, purposeTag)
	if err != nil {
		return nil, err
	}
	return &Tags{s}, nil
}

// Append appends the To tag of a response to the request with this Call-ID,
// From tag and top Via branch: 12 characters of a token. The ACK of a response
// carries the same three (RFC 3261 §17.1.1.3).
func (t *Tags) Append(dst, callID, fromTag, branch []byte) []byte {
	k := t.newest()
	m := k.mac()
	defer k.done(m)
	tagInput(m, callID, fromTag, branch)
	return base64.RawURLEncoding.AppendEncode(dst, m.sum()[:tagSize])
}

// Verify reports whether Append made tag for such a request: the ACK of a
// stateless response is known by it, and dropped.
func (t *Tags) Verify(tag, callID, fromTag, branch []byte) bool {
	var b [tagSize]byte
	if len(tag) != base64.RawURLEncoding.EncodedLen(tagSize) {
		return false
	}
	if _, err := base64.RawURLEncoding.Decode(b[:], tag); err != nil {
		return false
	}
	for _, k := range t.current().keys {
		m := k.mac()
		tagInput(m, callID, fromTag, branch)
		ok := m.equal(b[:])
		k.done(m)
		if ok {
			return true
		}
	}
	return false
}

func tagInput(m *mac, callID, fromTag, branch []byte) {
	m.field(callID)
	m.field(fromTag)
	m.field(branch)
}
