package wire

import "bytes"

// A NameAddr is the value of From, To, Contact, Route and their like: a URI
// with a display name and parameters (RFC 3261 §20.10, §25.1).
type NameAddr struct {
	Display []byte // as written, quotes included; see [AppendUnquoted]
	URI     []byte // without angle brackets
	Params  []byte // ";name=value..." behind the URI; empty when there is none
}

// Param returns the parameter called name, case ignored.
func (n NameAddr) Param(name string) (value []byte, ok bool) { return Param(n.Params, name) }

// ParseNameAddr reads one name-addr or addr-spec. It tolerates a display name
// that should have been quoted and blanks inside the brackets (RFC 4475
// §3.1.2.14, §3.1.2.15). It refuses unbalanced quotes and brackets, text that
// is no URI, a bare URI with a question mark (RFC 3261 §20.10, RFC 4475
// §3.1.2.13), and anything but parameters behind the URI, a second value too.
func ParseNameAddr(b []byte) (n NameAddr, ok bool) {
	b = trim(b)
	open := 0
	if len(b) > 0 && b[0] == '"' {
		end := quotedEnd(b, 0)
		if end < 0 {
			return n, false
		}
		n.Display = b[:end]
		open = skip(b, end, clsBlank)
		if open == len(b) || b[open] != '<' {
			return n, false
		}
	} else {
		open = bytes.IndexByte(b, '<')
		if open < 0 || bytes.IndexByte(b[:open], ';') >= 0 {
			return parseAddrSpec(b)
		}
		n.Display = trim(b[:open])
		if bytes.IndexByte(n.Display, '"') >= 0 {
			return n, false
		}
	}
	size := bytes.IndexByte(b[open:], '>')
	if size < 0 {
		return n, false
	}
	n.URI = trim(b[open+1 : open+size])
	n.Params = trim(b[open+size+1:])
	return n, hasScheme(n.URI) && validParams(n.Params)
}

// parseAddrSpec reads a URI without brackets; all parameters are the field's
// (RFC 3261 §20.10).
func parseAddrSpec(b []byte) (n NameAddr, ok bool) {
	i := 0
	for i < len(b) && b[i] != ';' && b[i] != '?' && b[i] != ',' && class[b[i]]&clsURI != 0 {
		i++
	}
	n.URI = b[:i]
	n.Params = trim(b[i:])
	return n, hasScheme(n.URI) && validParams(n.Params)
}

// hasScheme reports whether b begins like a URI and has only bytes that may
// stand in one.
func hasScheme(b []byte) bool {
	i := schemeEnd(b)
	return i > 0 && i+1 < len(b) && skip(b, i, clsURI) == len(b)
}

// validParams reports whether b is empty or parameters and nothing else.
// Empty ones are tolerated.
func validParams(b []byte) bool {
	for i := 0; i < len(b); {
		if b[i] != ';' {
			return false
		}
		p := scanParam(b, i)
		if !p.ok && (p.nameEnd > p.nameOff || p.hasValue) {
			return false
		}
		i = p.next
	}
	return true
}
