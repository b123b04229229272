package location

import (
	"errors"
	"fmt"
	"strings"
)

// ErrBadAOR reports a text that is no address-of-record; 404 to who sent it
// (RFC 3261 §10.3 step 5).
var ErrBadAOR = errors.New("location: not an address-of-record")

// maxAOR bounds the user part and the domain of an AOR, in bytes.
const maxAOR = 255

// An AOR is an address-of-record in canonical form: the user part unescaped,
// the domain in lower case, no port, password or parameters. It is comparable,
// so it is the map key everywhere; [NewAOR] and [ParseAOR] make it.
type AOR struct{ user, domain string }

// NewAOR returns the AOR of an unescaped user part at a domain, a host name or
// an address without a port. It fails with [ErrBadAOR].
func NewAOR(user, domain string) (AOR, error) {
	if !plainUser(user) || !plainDomain(domain) {
		return AOR{}, fmt.Errorf("%w: user %.80q at %.80q", ErrBadAOR, user, domain)
	}
	return AOR{user: user, domain: strings.ToLower(domain)}, nil
}

// ParseAOR reads the AOR of a sip or sips URI: escapes are undone, parameters
// and header fields are dropped (RFC 3261 §10.3 step 5), and so are password
// and port, since an AOR is of a domain and not of a host. sip and sips are one
// AOR (RFC 5630 §5.4). It fails with [ErrBadAOR].
func ParseAOR(s string) (AOR, error) {
	u, ok := splitURI(s)
	if !ok || u.user == "" {
		return AOR{}, fmt.Errorf("%w: %.80q", ErrBadAOR, s)
	}
	user, _, _ := strings.Cut(u.user, ":")
	plain, ok := unescape(user)
	if !ok {
		return AOR{}, fmt.Errorf("%w: %.80q", ErrBadAOR, s)
	}
	return NewAOR(plain, u.host)
}

// User returns the user part, unescaped: the number or the device's name.
func (a AOR) User() string { return a.user }

// Domain returns the domain in lower case.
func (a AOR) Domain() string { return a.domain }

// IsZero reports whether a is no AOR.
func (a AOR) IsZero() bool { return a == AOR{} }

// String returns the canonical URI, the user part escaped where it must be.
func (a AOR) String() string {
	if !needsEscape(a.user) {
		return "sip:" + a.user + "@" + a.domain
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len("sip:@")+3*len(a.user)+len(a.domain))
	b = append(b, "sip:"...)
	for i := range len(a.user) {
		if c := a.user[i]; userByte(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	b = append(b, '@')
	return string(append(b, a.domain...))
}

// plainUser reports whether s can be a user part once it is escaped.
func plainUser(s string) bool {
	if s == "" || len(s) > maxAOR {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// plainDomain reports whether s is a host name, an IPv4 address or an IPv6
// reference in brackets, by its alphabet (RFC 3261 §25.1, host).
func plainDomain(s string) bool {
	if s == "" || len(s) > maxAOR {
		return false
	}
	inner, six := strings.CutPrefix(s, "[")
	if six {
		if inner, six = strings.CutSuffix(inner, "]"); !six {
			return false
		}
	}
	for i := range len(inner) {
		c := inner[i]
		if !alphanumeric(c) && c != '.' && (six || c != '-' && c != '_') && (!six || c != ':') {
			return false
		}
	}
	return inner != ""
}

// needsEscape reports whether s has a byte that a user part may not hold.
func needsEscape(s string) bool {
	for i := range len(s) {
		if !userByte(s[i]) {
			return true
		}
	}
	return false
}

// userByte reports whether c may stand in a user part as it is: unreserved and
// user-unreserved of RFC 3261 §25.1, less the "?" and ";" that readers trip over.
func userByte(c byte) bool {
	return alphanumeric(c) || c != 0 && strings.IndexByte("-_.!~*'()&=+$,/", c) >= 0
}

// alphanumeric reports whether c is an ASCII letter or digit.
func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}
