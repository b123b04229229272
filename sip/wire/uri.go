package wire

import "bytes"

// A URI is the parts of a URI, as written (RFC 3261 §19.1, §25.1).
type URI struct {
	Scheme   []byte // "sip"
	User     []byte // escapes left in place, see [AppendUnescaped]; of a tel URI the number
	Password []byte
	Host     []byte // an IPv6 address with its brackets
	Port     []byte // digits; empty when there is none
	Params   []byte // ";name=value..."
	Headers  []byte // what follows the question mark
	Opaque   []byte // all behind the scheme, when that is not sip, sips or tel
	HasUser  bool   // there is an "@", though the user may be empty
}

// schemeEnd returns where the colon of b's scheme stands, or -1.
func schemeEnd(b []byte) int {
	if len(b) == 0 || class[b[0]]&clsAlpha == 0 {
		return -1
	}
	i := skip(b, 1, clsScheme)
	if i == len(b) || b[i] != ':' {
		return -1
	}
	return i
}

// ParseURI reads a URI. For sip and sips it is false without a host, with a
// malformed host or port, or with bytes that no URI may have; other schemes
// are opaque (RFC 4475 §3.3.2, §3.3.3). Unescaped bytes above 127 and
// malformed escapes are tolerated.
func ParseURI(b []byte) (u URI, ok bool) {
	colon := schemeEnd(b)
	if colon < 0 || skip(b, colon, clsURI) != len(b) {
		return u, false
	}
	u.Scheme = b[:colon]
	rest := b[colon+1:]
	switch {
	case fold(u.Scheme, "sip"), fold(u.Scheme, "sips"):
		return u, u.parseSIP(rest)
	case fold(u.Scheme, "tel"):
		i := bytes.IndexByte(rest, ';')
		if i < 0 {
			i = len(rest)
		}
		u.User, u.Params = rest[:i], rest[i:]
		return u, i > 0
	default:
		u.Opaque = rest
		return u, len(rest) > 0
	}
}

func (u *URI) parseSIP(b []byte) bool {
	// The user part may hold ";" and "?" but no "@" (RFC 4475 §3.1.1.9).
	if at := bytes.IndexByte(b, '@'); at >= 0 {
		u.HasUser = true
		u.User = b[:at]
		if colon := bytes.IndexByte(u.User, ':'); colon >= 0 {
			u.User, u.Password = b[:colon], b[colon+1:at]
		}
		b = b[at+1:]
	}
	host, port, end, ok := hostPort(b, 0, false)
	if !ok {
		return false
	}
	u.Host, u.Port = host.of(b), port.of(b)
	b = b[end:]
	if q := bytes.IndexByte(b, '?'); q >= 0 {
		u.Headers = b[q+1:]
		b = b[:q]
	}
	u.Params = b
	return len(b) == 0 || b[0] == ';'
}

// hostPort reads host [":" port] at b[i]. Blanks may stand around the colon
// only where lws says so: in a Via (RFC 3261 §25.1 COLON).
func hostPort(b []byte, i int, lws bool) (host, port Span, end int, ok bool) {
	start := i
	if i < len(b) && b[i] == '[' {
		i++
		for i < len(b) && b[i] != ']' {
			// "[::1:::]" passes: RFC 5118 §4.10 asks for tolerance.
			if c := lower(b[i]); c-'0' > 9 && c-'a' > 5 && c != ':' && c != '.' && c != '%' {
				return host, port, i, false
			}
			i++
		}
		if i == len(b) || i == start+1 {
			return host, port, i, false
		}
		i++
	} else {
		i = skip(b, i, clsHost)
	}
	if i == start {
		return host, port, i, false
	}
	host = span(start, i)
	colon := i
	if lws {
		colon = skip(b, i, clsBlank)
	}
	if colon == len(b) || b[colon] != ':' {
		return host, port, i, true
	}
	i = colon + 1
	if lws {
		i = skip(b, i, clsBlank)
	}
	start = i
	i = skip(b, i, clsDigit)
	n, big, ok := number(b[start:i])
	port = span(start, i)
	return host, port, i, ok && !big && n <= 65535
}

// Param returns the URI parameter called name, case ignored. Its value is nil
// when it has none.
func (u URI) Param(name string) (value []byte, ok bool) {
	for rest := u.Params; len(rest) > 0; {
		var n []byte
		n, value, rest = cutURIParam(rest)
		if fold(n, name) {
			return value, true
		}
	}
	return nil, false
}

// cutURIParam takes the first parameter from b, which begins with a semicolon.
func cutURIParam(b []byte) (name, value, rest []byte) {
	b = b[1:]
	if i := bytes.IndexByte(b, ';'); i >= 0 {
		b, rest = b[:i], b[i:]
	}
	if i := bytes.IndexByte(b, '='); i >= 0 {
		return b[:i], b[i+1:], rest
	}
	return b, nil, rest
}

// AppendUnescaped appends b to dst with its %HH escapes resolved (RFC 3261
// §19.1.2). A malformed escape stays as it is.
func AppendUnescaped(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		c, n := unescape(b[i:])
		dst = append(dst, c)
		i += n
	}
	return dst
}

// unescape returns the first character of b and how many bytes wrote it.
func unescape(b []byte) (c byte, n int) {
	if b[0] == '%' && len(b) > 2 {
		hi, lo := unhex(b[1]), unhex(b[2])
		if hi < 16 && lo < 16 {
			return hi<<4 | lo, 3
		}
	}
	return b[0], 1
}

func unhex(c byte) byte {
	switch {
	case c-'0' <= 9:
		return c - '0'
	case lower(c)-'a' < 6:
		return lower(c) - 'a' + 10
	default:
		return 255
	}
}

// AppendEscapedUser appends s to dst as the user part of a SIP URI: what may
// not stand there is escaped (RFC 3261 §25.1 user).
func AppendEscapedUser[T []byte | string](dst []byte, s T) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if class[c]&(clsAlpha|clsDigit) != 0 || bytes.IndexByte([]byte("-_.!~*'()&=+$,;?/"), c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// EqualURI compares two URIs by RFC 3261 §19.1.4. URIs that are neither sip
// nor sips are compared byte by byte, but for the case of the scheme.
func EqualURI(a, b []byte) bool {
	u, ok := ParseURI(a)
	v, ok2 := ParseURI(b)
	if !ok || !ok2 || !fold(u.Scheme, v.Scheme) {
		return false
	}
	if len(u.Host) == 0 {
		return bytes.Equal(a[len(u.Scheme):], b[len(v.Scheme):])
	}
	return u.HasUser == v.HasUser && equalEscaped(u.User, v.User, false) &&
		equalEscaped(u.Password, v.Password, false) &&
		fold(u.Host, v.Host) && equalPort(u.Port, v.Port) &&
		includesParams(u, v) && includesParams(v, u) &&
		includesHeaders(u.Headers, v.Headers) && includesHeaders(v.Headers, u.Headers)
}

func equalPort(a, b []byte) bool {
	m, _, ok := number(a)
	n, _, ok2 := number(b)
	return m == n && ok == ok2 // no port is not 5060
}

// equalEscaped compares a and b with escapes resolved.
func equalEscaped(a, b []byte, ignoreCase bool) bool {
	for len(a) > 0 && len(b) > 0 {
		c, i := unescape(a)
		d, j := unescape(b)
		if c != d && (!ignoreCase || lower(c) != lower(d)) {
			return false
		}
		a, b = a[i:], b[j:]
	}
	return len(a) == len(b)
}

// includesParams reports whether each parameter of u matches v's of that
// name, or is one that may be missing there.
func includesParams(u, v URI) bool {
	for rest := u.Params; len(rest) > 0; {
		var name, value []byte
		name, value, rest = cutURIParam(rest)
		if len(name) == 0 {
			continue
		}
		other, ok := paramOf(v.Params, name)
		if ok && !equalEscaped(value, other, true) {
			return false
		}
		if !ok && decides(name) {
			return false
		}
	}
	return true
}

func paramOf(params, name []byte) (value []byte, ok bool) {
	for len(params) > 0 {
		var n []byte
		n, value, params = cutURIParam(params)
		if equalEscaped(n, name, true) {
			return value, true
		}
	}
	return nil, false
}

// decides reports whether a parameter in only one of two URIs makes them
// differ. RFC 3261 §19.1.4 names user, ttl, method and maddr, and shows
// transport.
func decides(name []byte) bool {
	return fold(name, "user") || fold(name, "ttl") || fold(name, "method") ||
		fold(name, "maddr") || fold(name, "transport")
}

// includesHeaders reports whether each header of a is in b, with its value.
func includesHeaders(a, b []byte) bool {
	for header := range bytes.SplitSeq(a, []byte("&")) {
		found := len(header) == 0
		for other := range bytes.SplitSeq(b, []byte("&")) {
			if found {
				break
			}
			found = equalHeader(header, other)
		}
		if !found {
			return false
		}
	}
	return true
}

func equalHeader(a, b []byte) bool {
	name, value, _ := bytes.Cut(a, []byte("="))
	other, otherValue, _ := bytes.Cut(b, []byte("="))
	return equalEscaped(name, other, true) && equalEscaped(value, otherValue, false)
}
