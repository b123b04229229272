package auth

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"bellhop/routing/location"
)

// A token, before base64url: format, key id, node, the caller's side, the
// callee's side, MAC (96 bits). The MAC covers all before it, the canonical
// domain, the Call-ID and the caller's tag (trust.md §1).
//
// A side starts with a byte: what it is (3 bits) and a length (5 bits).
//
//	digits   the user part of an AOR in half bytes, then its Mark (4 bytes)
//	text     the same for one that is no number, a byte each
//	trunk    the name of a trunk, a byte each
//	v4, v6   an address and port (6 or 18 bytes) after the listener (1 byte);
//	         the length is the transport
//	self     nothing: we are that end of the dialog
//
// Names of lines stand in a token rather than an index of bindings, so that it
// is understood after a restart and by every node, from the bindings alone. 33
// bytes are for both sides. Two numbers of up to 22 digits fit, and so does one
// of 16 beside an IPv6 address; a trunk or a line that is no number has room for
// 15 characters beside a number of 16 digits, for 20 beside one of 6.
// [ErrTokenSize] refuses what does not fit.
const (
	tokenFormat = 1
	tokenMAC    = 12
	tokenSize   = 48 // 64 characters
	maxName     = 31
)

const (
	sideDigits = iota + 1
	sideText
	sideTrunk
	sideV4
	sideV6
	sideSelf
)

// Errors of [Tokens.Append].
var (
	// ErrTokenSize reports sides whose names are too long for a token.
	ErrTokenSize = errors.New("auth: sides do not fit in a token")
	// ErrSide reports a side that names nothing.
	ErrSide = errors.New("auth: not a side of a call")
)

// A SideKind says how the end of a call is found.
type SideKind uint8

// The kinds of sides.
const (
	Line    SideKind = iota + 1 // a device that registered: the binding of AOR Name that has the Mark
	Trunk                       // the trunk called Name
	Address                     // a device that called without registering: its flow
	Self                        // we: the other end of a leg of an anchored call
)

// A Side is one end of a call, by id. It is comparable.
type Side struct {
	Kind SideKind
	Name string // Line: user part of the AOR; Trunk: its name
	Mark Mark   // Line: which device and instance

	// Addr, Transport and Listener are the flow of an Address: where its
	// requests come from, and the index of the listener that they reached.
	// The address was proved, by digest, when the token was made.
	Addr      netip.AddrPort
	Transport location.Transport
	Listener  uint8
}

// A Mark tells the bindings of one AOR apart: a hash of the device and one of
// the device and its instance. It needs no key: devices are named by
// administrators, and a device gains nothing from instances of its own that
// look alike. It is compared with the marks of the few bindings of an AOR.
type Mark struct{ Device, Instance uint16 }

// MarkOf returns the mark of a binding: the authorization name of the device
// and its +sip.instance, or the contact where it has none. A side whose exact
// mark is gone may still find its device by Device alone.
func MarkOf(device, instance string) Mark {
	h := fnv(2166136261, device)
	d := uint16(h>>16) ^ uint16(h)
	h = fnv(h*16777619, instance) // a zero byte between the two
	return Mark{Device: d, Instance: uint16(h>>16) ^ uint16(h)}
}

// fnv is FNV-1a (32 bits), continued from h.
func fnv(h uint32, s string) uint32 {
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// A Token is what a Record-Route of ours says about a call.
type Token struct {
	Caller, Callee Side
	Node           uint8 // which node of the cluster made it
}

// A Direction is which way a request within a dialog goes.
type Direction uint8

// The directions.
const (
	Downstream Direction = iota + 1 // from the caller to the callee
	Upstream                        // from the callee to the caller
)

// Other returns the side that a request in direction d goes to.
func (t Token) Other(d Direction) Side {
	if d == Downstream {
		return t.Callee
	}
	return t.Caller
}

// Origin returns the side that a request in direction d must come from: who
// sends it from elsewhere gets 403 (trust.md §1).
func (t Token) Origin(d Direction) Side {
	if d == Downstream {
		return t.Caller
	}
	return t.Callee
}

// Tokens makes and verifies tokens.
type Tokens struct{ *signer }

// NewTokens returns tokens under the ring of keys. The error is [ErrNoKeys].
func NewTokens(keys Keys) (*Tokens, error) {
	s, err := newSigner(keys, purposeToken)
	if err != nil {
		return nil, err
	}
	return &Tokens{s}, nil
}

// Append appends a token: at most 64 characters, all of them good in the user
// part of a URI as they are (RFC 3261 §25.1, unreserved). The dialog is that of
// the caller in a domain (canonical name). Errors are [ErrTokenSize] and
// [ErrSide]; dst is then as it was.
func (t *Tokens) Append(dst []byte, tok Token, domain string, callID, callerTag []byte) ([]byte, error) {
	k := t.newest()
	var b [tokenSize + 2*(maxName+5)]byte
	raw := append(b[:0], tokenFormat, k.id, tok.Node)
	for _, s := range [...]*Side{&tok.Caller, &tok.Callee} {
		var err error
		if raw, err = s.append(raw); err != nil {
			return dst, err
		}
	}
	if len(raw) > tokenSize-tokenMAC {
		return dst, ErrTokenSize
	}
	m := k.mac()
	defer k.done(m)
	tokenInput(m, raw, domain, callID, callerTag)
	raw = append(raw, m.sum()[:tokenMAC]...)
	return base64.RawURLEncoding.AppendEncode(dst, raw), nil
}

// Verify reads a token that a request within a dialog brought back in a Route.
// domain is the canonical name of the domain that the host of its From (or else
// of its To) belongs to. It is false for what we did not make for this dialog,
// under no key that still verifies, or without a tag that is the caller's. A
// request whose two tags are the same has no direction, and is refused.
//
// The direction says only which end the request claims to come from; that it
// came from a flow or an address of [Token.Origin] is for the caller to check.
func (t *Tokens) Verify(token []byte, domain string, callID, fromTag, toTag []byte) (Token, Direction, bool) {
	var b [tokenSize]byte
	if len(token) > base64.RawURLEncoding.EncodedLen(tokenSize) || string(fromTag) == string(toTag) {
		return Token{}, 0, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(b[:], token)
	if err != nil || n < 3+tokenMAC || b[0] != tokenFormat {
		return Token{}, 0, false
	}
	raw, sum := b[:n-tokenMAC], b[n-tokenMAC:n]
	k := t.byID(raw[1])
	if k == nil {
		return Token{}, 0, false
	}
	m := k.mac()
	defer k.done(m)
	dir := Downstream
	if tokenInput(m, raw, domain, callID, fromTag); !m.equal(sum) {
		dir = Upstream
		m.in = m.in[:0]
		if tokenInput(m, raw, domain, callID, toTag); !m.equal(sum) {
			return Token{}, 0, false
		}
	}
	tok := Token{Node: raw[2]}
	rest := raw[3:]
	for _, s := range [...]*Side{&tok.Caller, &tok.Callee} {
		var ok bool
		if rest, ok = s.parse(rest); !ok {
			return Token{}, 0, false
		}
	}
	return tok, dir, len(rest) == 0
}

func tokenInput(m *mac, raw []byte, domain string, callID, callerTag []byte) {
	m.field(raw)
	m.text(domain)
	m.field(callID)
	m.field(callerTag)
}

// append writes a side as the format says.
func (s *Side) append(dst []byte) ([]byte, error) {
	switch s.Kind {
	case Line:
		if s.Name == "" || len(s.Name) > maxName {
			break
		}
		dst = appendLine(dst, s.Name)
		dst = binary.BigEndian.AppendUint16(dst, s.Mark.Device)
		return binary.BigEndian.AppendUint16(dst, s.Mark.Instance), nil
	case Trunk:
		if s.Name == "" || len(s.Name) > maxName {
			break
		}
		return append(append(dst, sideTrunk<<5|byte(len(s.Name))), s.Name...), nil
	case Address:
		addr := s.Addr.Addr().Unmap()
		if !addr.IsValid() || addr.Zone() != "" {
			break
		}
		kind := byte(sideV6)
		if addr.Is4() {
			kind = sideV4
		}
		dst = append(dst, kind<<5|byte(s.Transport)&maxName, s.Listener)
		dst = append(dst, addr.AsSlice()...)
		return binary.BigEndian.AppendUint16(dst, s.Addr.Port()), nil
	case Self:
		return append(dst, sideSelf<<5), nil
	default:
		return dst, fmt.Errorf("%w: kind %d", ErrSide, s.Kind)
	}
	if len(s.Name) > maxName {
		return dst, ErrTokenSize
	}
	return dst, fmt.Errorf("%w: kind %d without a name or an address", ErrSide, s.Kind)
}

// parse reads one side and returns what follows it.
func (s *Side) parse(b []byte) (rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	kind, n := b[0]>>5, int(b[0]&maxName)
	b = b[1:]
	switch kind {
	case sideDigits, sideText:
		size := n
		if kind == sideDigits {
			size = (n + 1) / 2
		}
		if n == 0 || len(b) < size+4 {
			return nil, false
		}
		if kind == sideText {
			*s = Side{Kind: Line, Name: string(b[:n])}
		} else {
			*s = Side{Kind: Line, Name: digits(b, n)}
		}
		s.Mark = Mark{binary.BigEndian.Uint16(b[size:]), binary.BigEndian.Uint16(b[size+2:])}
		return b[size+4:], true
	case sideTrunk:
		if n == 0 || len(b) < n {
			return nil, false
		}
		*s = Side{Kind: Trunk, Name: string(b[:n])}
		return b[n:], true
	case sideV4, sideV6:
		size := 4
		if kind == sideV6 {
			size = 16
		}
		if len(b) < 1+size+2 {
			return nil, false
		}
		addr, _ := netip.AddrFromSlice(b[1 : 1+size])
		*s = Side{
			Kind: Address, Transport: location.Transport(n), Listener: b[0],
			Addr: netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[1+size:])),
		}
		return b[1+size+2:], true
	case sideSelf:
		*s = Side{Kind: Self}
		return b, n == 0
	default:
		return nil, false
	}
}

// halfBytes are the characters of a number, in the order of their half bytes.
const halfBytes = "0123456789+*#"

// appendLine appends the user part of an AOR, in half bytes when it is a number.
func appendLine(dst []byte, name string) []byte {
	start := len(dst)
	dst = append(dst, sideDigits<<5|byte(len(name)))
	for i := range len(name) {
		v := halfByte(name[i])
		if v < 0 {
			dst = append(dst[:start], sideText<<5|byte(len(name)))
			return append(dst, name...)
		}
		if i%2 == 0 {
			dst = append(dst, byte(v)<<4)
		} else {
			dst[len(dst)-1] |= byte(v)
		}
	}
	return dst
}

func halfByte(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c == '+':
		return 10
	case c == '*':
		return 11
	case c == '#':
		return 12
	default:
		return -1
	}
}

// digits reads n half bytes. The MAC was right, so they are ours.
func digits(b []byte, n int) string {
	var out [maxName]byte
	for i := range n {
		v := b[i/2]
		if i%2 == 0 {
			v >>= 4
		}
		out[i] = halfBytes[min(int(v&15), len(halfBytes)-1)]
	}
	return string(out[:n])
}
