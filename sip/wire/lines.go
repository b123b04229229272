package wire

import (
	"bytes"
	"strconv"
)

// CheckText reports whether b can stand inside a header line: it has no CR,
// LF or NUL.
func CheckText[T []byte | string](b T) bool {
	for i := range len(b) {
		if b[i] == '\r' || b[i] == '\n' || b[i] == 0 {
			return false
		}
	}
	return true
}

// appendText appends b to dst with blanks for CR, LF and NUL, so that it
// cannot end its line. A folded value is unfolded by this (RFC 3261 §7.3.1).
func appendText[T []byte | string](dst []byte, b T) []byte {
	from := len(dst)
	dst = append(dst, b...)
	added := dst[from:]
	if bytes.IndexByte(added, '\n') >= 0 || bytes.IndexByte(added, '\r') >= 0 || bytes.IndexByte(added, 0) >= 0 {
		for i, c := range added {
			if c == '\r' || c == '\n' || c == 0 {
				added[i] = ' '
			}
		}
	}
	return dst
}

// AppendLine appends the header line "name: value" with its CRLF to dst. CR,
// LF and NUL in value become blanks, so that no value of a peer can begin a
// line of its own. name is the program's, not a peer's.
func AppendLine[T []byte | string](dst []byte, name string, value T) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(appendText(dst, value), '\r', '\n')
}

// CheckLines reports whether b is nothing but whole header lines: each a name,
// a colon, a value and CRLF, or the continuation of one (RFC 3261 §7.3.1). No
// lines at all are fine.
func CheckLines(b []byte) bool {
	for first := true; len(b) > 0; first = false {
		i := bytes.IndexByte(b, '\n')
		if i < 0 || !checkLine(b[:i+1], first) {
			return false
		}
		b = b[i+1:]
	}
	return true
}

// checkLine reports whether b, which ends in LF, is a header line, or its
// continuation unless it is the first.
func checkLine(b []byte, first bool) bool {
	n := len(b) - 2
	if n < 0 || b[n] != '\r' {
		return false
	}
	b = b[:n]
	if bytes.IndexByte(b, '\r') >= 0 || bytes.IndexByte(b, 0) >= 0 {
		return false
	}
	if n > 0 && (b[0] == ' ' || b[0] == '\t') {
		return !first && len(trim(b)) > 0
	}
	i := skip(b, 0, clsToken)
	if i == 0 {
		return false
	}
	i = skip(b, i, clsBlank)
	return i < n && b[i] == ':'
}

// appendLines appends those of lines that are lines. Anything else is the
// caller's mistake, and must not become the end of a header.
func appendLines(dst, lines []byte) []byte {
	if CheckLines(lines) {
		return append(dst, lines...)
	}
	first := true
	for line := range bytes.Lines(lines) {
		good := line[len(line)-1] == '\n' && checkLine(line, first)
		if good {
			dst = append(dst, line...)
		}
		first = !good // what continues a line that was left out is left out too
	}
	return dst
}

// appendStatus appends "status reason".
func appendStatus(dst []byte, status int, reason string) []byte {
	if reason == "" {
		reason = ReasonPhrase(status)
	}
	dst = strconv.AppendInt(dst, int64(status), 10)
	return appendText(append(dst, ' '), reason)
}
