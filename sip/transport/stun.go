package transport

import (
	"encoding/binary"
	"net/netip"
)

// STUN (RFC 8489), as much of it as phones keep their NAT binding open with, and
// learn by that it moved (RFC 5626 §4.4.2, §8): a Binding request over UDP is
// answered with the address it came from. It is between SIP on the same port,
// told apart by its first byte. Nobody proves anything by it and nothing is kept:
// one datagram out for one in, at most twice its size with its IP and UDP
// headers (trust.md §1).
const (
	stunHeader = 20
	stunCookie = 0x2112A442

	stunRequest    = 0x0001 // Binding
	stunIndication = 0x0011
	stunSuccess    = 0x0101
	stunError      = 0x0111

	stunErrorCode     = 0x0009
	stunUnknown       = 0x000A // attributes
	stunMappedAddress = 0x0020 // XOR-MAPPED-ADDRESS
	stunOptional      = 0x8000 // from here on attributes may be ignored

	maxUnknown = 8 // attributes that one answer names
)

// isSTUN reports whether a datagram is of STUN: no SIP message begins with a byte
// below 64 (RFC 7983 §7).
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == stunCookie
}

// answerSTUN appends the answer to a datagram of STUN from a peer: none to an
// indication. It reports false for what is damaged, or no Binding.
func answerSTUN(dst, b []byte, from netip.AddrPort) (answer []byte, ok bool) {
	unknown, ok := stunUnknowns(b)
	if !ok {
		return nil, false
	}
	switch binary.BigEndian.Uint16(b) {
	case stunRequest:
	case stunIndication:
		return nil, true
	default:
		return nil, false
	}
	kind := uint16(stunSuccess)
	if len(unknown) > 0 {
		kind = stunError
	}
	dst = binary.BigEndian.AppendUint16(dst, kind)
	dst = append(dst, 0, 0)
	dst = append(dst, b[4:stunHeader]...) // cookie and transaction
	if len(unknown) > 0 {
		dst = appendUnknown(dst, unknown)
	} else {
		dst = appendMapped(dst, b, from)
	}
	binary.BigEndian.PutUint16(dst[2:], uint16(len(dst)-stunHeader))
	return dst, true
}

// stunUnknowns returns the attributes of a message that must be understood and
// are not, the first of them, and whether the message is whole.
func stunUnknowns(b []byte) (unknown []uint16, ok bool) {
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length%4 != 0 || length != len(b)-stunHeader {
		return nil, false
	}
	for b = b[stunHeader:]; len(b) > 0; {
		if len(b) < 4 {
			return nil, false
		}
		name, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		n = (n + 3) &^ 3 // padded
		if n > len(b)-4 {
			return nil, false
		}
		if name < stunOptional && !ofCredentials(name) && len(unknown) < maxUnknown {
			unknown = append(unknown, name)
		}
		b = b[4+n:]
	}
	return unknown, true
}

// ofCredentials reports whether an attribute is USERNAME, MESSAGE-INTEGRITY,
// REALM, NONCE or one that came with them: nobody is asked for credentials here.
func ofCredentials(name uint16) bool {
	switch name {
	case 0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E:
		return true
	default:
		return false
	}
}

// appendUnknown appends what an answer says to attributes that are not
// understood: 420 (RFC 8489 §14.8) and their names.
func appendUnknown(dst []byte, names []uint16) []byte {
	dst = binary.BigEndian.AppendUint16(dst, stunErrorCode)
	dst = append(dst, 0, 4, 0, 0, 4, 20)
	dst = binary.BigEndian.AppendUint16(dst, stunUnknown)
	dst = binary.BigEndian.AppendUint16(dst, uint16(2*len(names)))
	for _, n := range names {
		dst = binary.BigEndian.AppendUint16(dst, n)
	}
	if len(names)%2 == 1 {
		dst = append(dst, 0, 0)
	}
	return dst
}

// appendMapped appends the address of the peer, hidden from NATs that rewrite what
// looks like it (RFC 8489 §14.2).
func appendMapped(dst, request []byte, from netip.AddrPort) []byte {
	raw, family := from.Addr().Unmap().AsSlice(), byte(1)
	if len(raw) == 16 {
		family = 2
	}
	dst = binary.BigEndian.AppendUint16(dst, stunMappedAddress)
	dst = binary.BigEndian.AppendUint16(dst, uint16(4+len(raw)))
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, from.Port()^stunCookie>>16)
	for i, c := range raw {
		dst = append(dst, c^request[4+i])
	}
	return dst
}

// stun answers a datagram of STUN.
func (t *Transport) stun(p *Packet, b []byte) {
	answer, ok := answerSTUN(make([]byte, 0, 64), b, p.Flow.Remote)
	if !ok {
		t.metrics.garbage.Inc()
		return
	}
	t.metrics.keepalives.Inc()
	if len(answer) > 0 {
		_ = t.Send(p.Flow, answer) // counted there; who asked asks again
	}
}
