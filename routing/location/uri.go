package location

import (
	"net/netip"
	"strings"
)

// uri is a sip or sips URI cut at its joints; nothing is unescaped.
type uri struct {
	sips    bool
	user    string // with the password, "" for none
	hasUser bool
	host    string
	port    string
	params  string // without the first ";"
	headers string // without the "?"
}

// splitURI cuts a sip or sips URI. It reports false for other schemes and for
// what has no host.
func splitURI(s string) (uri, bool) {
	var u uri
	scheme, rest, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return u, false
	case strings.EqualFold(scheme, "sips"):
		u.sips = true
	case !strings.EqualFold(scheme, "sip"):
		return u, false
	}
	// "@" stands in no other part unescaped (RFC 3261 §25.1), and "?" and ";"
	// may stand in the user part, so this cut comes first.
	if user, after, found := strings.Cut(rest, "@"); found {
		u.user, u.hasUser, rest = user, true, after
	}
	rest, u.headers, _ = strings.Cut(rest, "?")
	rest, u.params, _ = strings.Cut(rest, ";")
	u.host = rest
	if strings.HasPrefix(rest, "[") {
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return u, false
		}
		u.host = rest[:end+1]
		rest = rest[end+1:]
		if rest != "" && rest[0] != ':' {
			return u, false
		}
		u.port = strings.TrimPrefix(rest, ":")
	} else if host, port, found := strings.Cut(rest, ":"); found {
		u.host, u.port = host, port
	}
	return u, u.host != ""
}

// EqualURI compares two URIs by RFC 3261 §19.1.4. URIs of other schemes than
// sip and sips are equal when they are the same text. The relation is not
// transitive: parameters that only one of the two has are ignored.
func EqualURI(a, b string) bool {
	if a == b {
		return true
	}
	u, ok := splitURI(a)
	if !ok {
		return false
	}
	v, ok := splitURI(b)
	return ok && u.sips == v.sips &&
		u.hasUser == v.hasUser && equalText(u.user, v.user, false) &&
		equalHost(u.host, v.host) && u.port == v.port &&
		paramsAgree(u.params, v.params) && paramsAgree(v.params, u.params) &&
		headersWithin(u.headers, v.headers) && headersWithin(v.headers, u.headers)
}

// equalHost compares hosts: names without case, IPv6 references by value
// (RFC 5954 §4.1).
func equalHost(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	x, ok := hostAddr(a)
	if !ok || !x.Is6() {
		return false
	}
	y, ok := hostAddr(b)
	return ok && x == y
}

// hostAddr returns the address a host part spells, if it is one.
func hostAddr(host string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(host)
	return a, err == nil
}

// paramsAgree reports whether every parameter of a is the same in b, or may
// be missing there: user, ttl, method, maddr and transport may not.
func paramsAgree(a, b string) bool {
	for p := range strings.SplitSeq(a, ";") {
		if p == "" {
			continue
		}
		name, value, _ := strings.Cut(p, "=")
		other, found := param(b, name)
		if found && !equalText(value, other, true) || !found && decisive(name) {
			return false
		}
	}
	return true
}

// decisive reports whether a parameter that only one URI has makes two URIs
// differ. The list of RFC 3261 §19.1.4 lacks transport, its examples have it.
func decisive(name string) bool {
	for _, d := range [...]string{"transport", "user", "method", "ttl", "maddr"} {
		if strings.EqualFold(name, d) {
			return true
		}
	}
	return false
}

// param returns the value of a named parameter.
func param(params, name string) (string, bool) {
	for p := range strings.SplitSeq(params, ";") {
		n, v, _ := strings.Cut(p, "=")
		if n != "" && equalText(n, name, true) {
			return v, true
		}
	}
	return "", false
}

// headersWithin reports whether every header field of a is in b. None is ever
// ignored (RFC 3261 §19.1.4).
func headersWithin(a, b string) bool {
	for h := range strings.SplitSeq(a, "&") {
		name, value, _ := strings.Cut(h, "=")
		found := name == ""
		for g := range strings.SplitSeq(b, "&") {
			n, v, _ := strings.Cut(g, "=")
			found = found || equalText(n, name, true) && equalText(v, value, false)
		}
		if !found {
			return false
		}
	}
	return true
}

// equalText compares two parts of URIs. An escaped character is the same as the
// plain one unless it is reserved (RFC 3261 §19.1.4).
func equalText(a, b string, fold bool) bool {
	for a != "" && b != "" {
		x, m := char(a, fold)
		y, n := char(b, fold)
		if x != y {
			return false
		}
		a, b = a[m:], b[n:]
	}
	return a == b
}

// escaped marks a reserved character that was escaped: it differs from the same
// one in the plain.
const escaped = 0x100

// char returns the first character of s and how many bytes it takes.
func char(s string, fold bool) (c uint16, n int) {
	c, n = uint16(s[0]), 1
	if v, ok := hexByte(s); ok {
		c, n = uint16(v), 3
		if strings.IndexByte(";/?:@&=+$,", v) >= 0 {
			return c | escaped, n
		}
	}
	if fold && 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c, n
}

// hexByte reads "%41".
func hexByte(s string) (byte, bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, ok := hexDigit(s[1])
	if !ok {
		return 0, false
	}
	lo, ok := hexDigit(s[2])
	return hi<<4 | lo, ok
}

// hexDigit returns the value of a hexadecimal digit.
func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return (c | 0x20) - 'a' + 10, true
	default:
		return 0, false
	}
}

// unescape undoes every escape of s; false means one is cut short or no hex.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		v, ok := hexByte(s[i:])
		if !ok {
			return "", false
		}
		b = append(b, v)
		i += 2
	}
	return string(b), true
}

// behindNAT reports whether a contact does not name the address its messages
// come from.
func behindNAT(contact string, source netip.Addr) bool {
	u, ok := splitURI(contact)
	if !ok {
		return true
	}
	a, ok := hostAddr(u.host)
	return !ok || a.Unmap() != source.Unmap().WithZone("")
}

// A Spot is where the Contact of a device points: the user part, host and port of
// a SIP URI in canonical form. It is comparable.
type Spot struct{ user, host, port string }

// SpotOf returns the spot of a sip or sips URI; false when it has none, for want of
// a user part.
func SpotOf(uri string) (Spot, bool) {
	u, ok := splitURI(uri)
	if !ok || u.user == "" {
		return Spot{}, false
	}
	user, ok := unescape(u.user)
	host := strings.ToLower(u.host)
	if a, is := hostAddr(u.host); is {
		host = a.Unmap().String()
	}
	return Spot{user, host, u.port}, ok
}

// User returns the user part, unescaped.
func (s Spot) User() string { return s.user }

// At returns the binding whose Contact points to a spot, nil for none: the one whose
// Contact is the URI, if there is one, else the one seen last.
func (bs Bindings) At(s Spot, uri string) (best *Binding) {
	for i := range bs {
		b := &bs[i]
		if at, ok := SpotOf(b.Contact); !ok || at != s {
			continue
		}
		if EqualURI(b.Contact, uri) {
			return b
		}
		if best == nil || b.Seen.After(best.Seen) {
			best = b
		}
	}
	return best
}
