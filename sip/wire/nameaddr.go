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

// ContactURI returns the URI of the first Contact, nil when there is none or it
// cannot be read.
func (m *Message) ContactURI() []byte {
	for v := range m.All(Contact) {
		n, _ := ParseNameAddr(v.Bytes())
		return n.URI
	}
	return nil
}

// ParseNameAddr reads one name-addr or addr-spec. It tolerates a display name
// that should have been quoted and blanks inside the brackets (RFC 4475
// §3.1.2.14, §3.1.2.15). It refuses unbalanced quotes and brackets, text that
// is no URI, a bare URI with a question mark (RFC 3261 §20.10, RFC 4475
// §3.1.2.13), and anything but parameters behind the URI, a second value too.
func ParseNameAddr(b []byte) (n NameAddr, ok bool) {
	n, _, ok = parseNameAddr(b)
	return n, ok
}

// parseNameAddr reads a name-addr or addr-spec and the parameter tag on the
// way, which is what the index wants of From and To.
func parseNameAddr(b []byte) (n NameAddr, tag []byte, ok bool) {
	b = trim(b)
	var open int
	if len(b) > 0 && b[0] == '"' {
		end := quotedEnd(b, 0)
		if end < 0 {
			return n, nil, false
		}
		n.Display = b[:end]
		open = skip(b, end, clsBlank)
		if open == len(b) || b[open] != '<' {
			return n, nil, false
		}
	} else {
		open = bytes.IndexByte(b, '<')
		if open < 0 || bytes.IndexByte(b[:open], ';') >= 0 {
			n, ok = parseAddrSpec(b)
			if !ok {
				return n, nil, false
			}
			tag, ok = checkParams(n.Params)
			return n, tag, ok
		}
		n.Display = trim(b[:open])
		if bytes.IndexByte(n.Display, '"') >= 0 {
			return n, nil, false
		}
	}
	size := bytes.IndexByte(b[open:], '>')
	if size < 0 {
		return n, nil, false
	}
	n.URI = trim(b[open+1 : open+size])
	n.Params = trim(b[open+size+1:])
	if !hasScheme(n.URI) {
		return n, nil, false
	}
	tag, ok = checkParams(n.Params)
	return n, tag, ok
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
	return n, hasScheme(n.URI)
}

// hasScheme reports whether b begins like a URI and has only bytes that may
// stand in one.
func hasScheme(b []byte) bool {
	i := schemeEnd(b)
	return i > 0 && i+1 < len(b) && skip(b, i, clsURI) == len(b)
}

// checkParams reports whether b is empty or parameters and nothing else, and
// returns the first called tag. Empty ones are tolerated.
func checkParams(b []byte) (tag []byte, ok bool) {
	for i := 0; i < len(b); {
		if b[i] != ';' {
			return nil, false
		}
		p := scanParam(b, i)
		if !p.ok && (p.nameEnd > p.nameOff || p.hasValue) {
			return nil, false
		}
		if tag == nil && p.hasValue && fold(b[p.nameOff:p.nameEnd], "tag") {
			tag = b[p.valueOff:p.valueEnd]
		}
		i = p.next
	}
	return tag, true
}
