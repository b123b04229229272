package wire

import "iter"

// param is one parameter of a header field value: offsets into its bytes.
type param struct {
	semi               int // where its semicolon stands
	nameOff, nameEnd   int
	valueOff, valueEnd int
	hasValue           bool
	ok                 bool // well formed: a name, a closed quote, nothing behind the value
	next               int  // the next semicolon, a comma, or the end
}

// scanParam reads the parameter whose semicolon stands at b[i] (RFC 3261
// §25.1 generic-param). Blanks and folds may stand around every part.
func scanParam(b []byte, i int) param {
	p := param{semi: i}
	i = skip(b, i+1, clsBlank)
	p.nameOff = i
	i = until(b, i, clsName)
	p.nameEnd = i
	p.ok = p.nameEnd > p.nameOff
	i = skip(b, i, clsBlank)
	p.valueOff, p.valueEnd = p.nameEnd, p.nameEnd
	if i < len(b) && b[i] == '=' {
		p.hasValue = true
		equals := i + 1
		i = skip(b, equals, clsBlank)
		p.valueOff = i
		if i < len(b) && b[i] == '"' {
			end := quotedEnd(b, i)
			if end < 0 {
				p.ok, end = false, len(b)
			}
			i = end
		} else {
			i = until(b, i, clsValue)
		}
		if p.valueEnd = i; i == p.valueOff { // the blanks are not of it
			p.valueOff, p.valueEnd = equals, equals
		}
		i = skip(b, i, clsBlank)
	}
	for i < len(b) && b[i] != ';' && b[i] != ',' {
		p.ok = false
		i++
	}
	p.next = i
	return p
}

// Params iterates over the parameters in b, ";name=value;name" as
// [NameAddr].Params holds them, in order. Values are as written, quotes
// included (see [AppendUnquoted]); a parameter without value has nil. Empty
// parameters are passed over.
func Params(b []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) { eachParam(b, yield) }
}

func eachParam(b []byte, yield func(name, value []byte) bool) {
	i := skip(b, 0, clsBlank)
	if i < len(b) && b[i] != ';' {
		i-- // tolerate a list without its first semicolon
	}
	for i < len(b) {
		p := scanParam(b, i)
		if p.nameEnd > p.nameOff {
			var value []byte
			if p.hasValue {
				value = b[p.valueOff:p.valueEnd]
			}
			if !yield(b[p.nameOff:p.nameEnd], value) {
				return
			}
		}
		i = p.next
	}
}

// Param returns the first parameter in b called name, case ignored. Its value
// is nil when it has none.
func Param(b []byte, name string) (value []byte, ok bool) {
	for n, v := range Params(b) {
		if fold(n, name) {
			return v, true
		}
	}
	return nil, false
}

// AppendUnquoted appends b to dst; a quoted-string without its quotes and
// backslashes (RFC 3261 §25.1), anything else as it is.
func AppendUnquoted(dst, b []byte) []byte {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return append(dst, b...)
	}
	b = b[1 : len(b)-1]
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		dst = append(dst, b[i])
	}
	return dst
}

// AppendQuoted appends s to dst as a quoted-string (RFC 3261 §25.1). Control
// characters, which no quoted-string needs, become blanks.
func AppendQuoted[T []byte | string](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			dst = append(dst, ' ')
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// An Auth is the value of an Authorization, Proxy-Authorization,
// WWW-Authenticate or Proxy-Authenticate field (RFC 3261 §25.1).
type Auth struct {
	Scheme []byte // "Digest"
	Params []byte // comma separated name=value
}

// ParseAuth reads a challenge or credentials. ok is false when there is no
// scheme.
func ParseAuth(b []byte) (a Auth, ok bool) {
	b = trim(b)
	i := skip(b, 0, clsToken)
	a = Auth{Scheme: b[:i], Params: trim(b[i:])}
	return a, i > 0
}

// Param returns the parameter called name, case ignored, as written: a
// quoted-string keeps its quotes.
func (a Auth) Param(name string) (value []byte, ok bool) {
	b := a.Params
	for i := 0; i < len(b); i++ {
		end := listEnd(b, i, false)
		element := b[i:end]
		i = end
		p := scanParam(element, -1)
		if p.hasValue && fold(element[p.nameOff:p.nameEnd], name) {
			return element[p.valueOff:p.valueEnd], true
		}
	}
	return nil, false
}
