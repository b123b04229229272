package wire

import "strconv"

// A Splice forwards a message with edits: what no edit touches comes out byte
// for byte. One that came without Content-Length, as a datagram may, gets it:
// where it goes on over a connection it needs one (RFC 3261 §18.3, §20.14).
// The zero Splice is ready; one that is used again and again does not allocate.
// It borrows the message, which must have parsed without error,
// from Reset to AppendTo; what the edits write it copies.
//
// Nothing an edit writes can break the message apart: texts that stand inside
// a line get blanks for line breaks and NULs, and lines that are none are left
// out (see [CheckLines]). A value that was taken from a peer enters a line by
// [AppendLine].
type Splice struct {
	m     *Message
	edits []edit // by offset; they do not overlap
	text  []byte // what the edits write

	setBody          bool
	bodyFrom, bodyTo int // the new body in text
}

// edit replaces [off, end) of the message by text[from:to].
type edit struct {
	off, end uint16
	from, to uint32
	line     uint8 // of a value that shares its line: number plus one; else 0
	remove   bool
}

// Reset begins anew, to forward m.
func (s *Splice) Reset(m *Message) {
	s.m = m
	s.edits = s.edits[:0]
	s.text = s.text[:0]
	s.setBody = false
}

// add puts e in its place by offset. Insertions stand before what is replaced
// at the same offset, in the order they came. Of two edits of the same bytes
// the wider wins, of two as wide the later.
func (s *Splice) add(e edit) {
	if e.end > e.off {
		kept := 0
		for _, old := range s.edits {
			if old.off <= e.off && e.end <= old.end && old.end-old.off > e.end-e.off {
				return // nothing was dropped: what e covers lay in old, which stood alone
			}
			if old.end == old.off || old.off < e.off || e.end < old.end {
				s.edits[kept] = old
				kept++
			}
		}
		s.edits = s.edits[:kept]
	}
	s.edits = append(s.edits, e)
	for i := len(s.edits) - 1; i > 0 && s.edits[i-1].follows(e); i-- {
		s.edits[i-1], s.edits[i] = e, s.edits[i-1]
	}
}

func (a edit) follows(e edit) bool {
	if a.off != e.off {
		return a.off > e.off
	}
	return e.off == e.end && a.end > a.off
}

// write adds an edit that replaces [off, end) by what was appended to the
// text since from.
func (s *Splice) write(off, end, from int) {
	s.add(edit{off: uint16(off), end: uint16(end), from: uint32(from), to: uint32(len(s.text))})
}

// SetRequestURI replaces the Request-URI. A response has none, and stays as it
// is.
func (s *Splice) SetRequestURI(uri []byte) {
	if !s.m.request {
		return
	}
	from := len(s.text)
	s.text = appendText(s.text, uri)
	s.write(int(s.m.uri.Off), s.m.uri.End(), from)
}

// SetStatus replaces status and reason phrase of a response. An empty reason
// is the usual one of the status. A request stays as it is.
func (s *Splice) SetStatus(status int, reason string) {
	if s.m.request {
		return
	}
	from := len(s.text)
	s.text = appendStatus(s.text, status, reason)
	s.write(len("SIP/2.0 "), s.m.reason.End(), from)
}

// Remove takes out one value: with its comma when it shares its line, with
// the line when it is alone there.
func (s *Splice) Remove(v Value) {
	switch {
	case v.line == 0:
	case v.part:
		sp := v.Span()
		s.add(edit{off: sp.Off, end: uint16(sp.End()), line: v.line, remove: true})
	default:
		s.removeLine(int(v.line) - 1)
	}
}

func (s *Splice) removeLine(l int) {
	ln := &s.m.lines[l]
	s.add(edit{off: ln.start, end: ln.end})
}

// RemoveAll takes out every line of field f.
func (s *Splice) RemoveAll(f Field) {
	if f == Other || f >= fieldCount {
		return
	}
	for n := s.m.first[f]; n != 0; n = s.m.lines[n-1].next {
		s.removeLine(int(n) - 1)
	}
}

// Replace puts other text in the place of one value.
func (s *Splice) Replace(v Value, with []byte) {
	if v.line == 0 {
		return
	}
	from := len(s.text)
	s.text = appendText(s.text, with)
	e := edit{off: v.off, end: v.off + uint16(len(v.b)), from: uint32(from), to: uint32(len(s.text))}
	if v.part {
		e.line = v.line
	}
	s.add(e)
}

// SetMaxForwards replaces the Max-Forwards value, or adds the field.
func (s *Splice) SetMaxForwards(n int) { s.setNumber(MaxForwards, n) }

// setNumber replaces the value of f's first line, or appends the field.
func (s *Splice) setNumber(f Field, n int) {
	from := len(s.text)
	if v, ok := s.m.Get(f); ok {
		s.text = strconv.AppendInt(s.text, int64(n), 10)
		s.write(int(v.off), v.Span().End(), from)
		return
	}
	s.text = append(append(s.text, fields[f].name...), ": "...)
	s.text = strconv.AppendInt(s.text, int64(n), 10)
	s.text = append(s.text, '\r', '\n')
	s.write(s.end(), s.end(), from)
}

// InsertTop puts lines before the first header line. Each is "Name: value"
// and CRLF. Lines inserted at one place stand in the order of the calls.
func (s *Splice) InsertTop(lines []byte) { s.insert(int(s.m.startEnd), lines) }

// InsertBefore puts lines before the first line of field f, or on top when
// there is none.
func (s *Splice) InsertBefore(f Field, lines []byte) {
	at := int(s.m.startEnd)
	if f != Other && s.m.Has(f) {
		at = int(s.m.lines[s.m.first[f]-1].start)
	}
	s.insert(at, lines)
}

// Append puts lines after the last header line.
func (s *Splice) Append(lines []byte) { s.insert(s.end(), lines) }

// end returns where the last header line ends.
func (s *Splice) end() int {
	if n := len(s.m.lines); n > 0 {
		return int(s.m.lines[n-1].end)
	}
	return int(s.m.startEnd)
}

func (s *Splice) insert(at int, lines []byte) {
	from := len(s.text)
	s.text = appendLines(s.text, lines)
	s.write(at, at, from)
}

// DropBody takes the body out, with the fields that describe it, and sets
// Content-Length to 0.
func (s *Splice) DropBody() {
	s.RemoveAll(ContentType)
	s.RemoveAll(ContentEncoding)
	s.RemoveAll(ContentDisposition)
	s.RemoveAll(ContentLanguage)
	s.SetBody(nil)
}

// SetBody puts another body in the place of the body, and sets
// Content-Length. What describes the body stays.
func (s *Splice) SetBody(body []byte) {
	s.setNumber(ContentLength, len(body))
	s.bodyFrom = len(s.text)
	s.text = append(s.text, body...)
	s.bodyTo = len(s.text)
	s.setBody = true
}

// AppendTo appends the message with all edits to dst. It may be called again,
// and after more edits.
func (s *Splice) AppendTo(dst []byte) []byte {
	b := s.m.b
	pos := 0
	for i := 0; i < len(s.edits); {
		e := &s.edits[i]
		if e.line != 0 {
			n := i + 1
			for n < len(s.edits) && s.edits[n].line == e.line {
				n++
			}
			dst, pos = s.appendList(dst, pos, s.edits[i:n])
			i = n
			continue
		}
		dst = append(dst, b[pos:e.off]...)
		dst = append(dst, s.text[e.from:e.to]...)
		pos = int(e.end)
		i++
	}
	if s.setBody {
		dst = append(dst, b[pos:s.m.headEnd]...)
		return append(dst, s.text[s.bodyFrom:s.bodyTo]...)
	}
	if s.m.contentLength < 0 { // edits are in the header
		end := s.end()
		dst = append(append(append(dst, b[pos:end]...), fields[ContentLength].name...), ": "...)
		dst = strconv.AppendInt(dst, int64(len(s.m.Body())), 10)
		dst, pos = append(dst, '\r', '\n'), end
	}
	return append(dst, b[pos:]...)
}

// appendList appends the message from pos to the end of a line of several
// values, some of them edited, and returns where to go on. Without any value
// left the line is left out.
func (s *Splice) appendList(dst []byte, pos int, edits []edit) ([]byte, int) {
	b := s.m.b
	l := int(edits[0].line) - 1
	ln := &s.m.lines[l]
	dst = append(dst, b[pos:ln.start]...)
	mark := len(dst)
	dst = append(dst, b[ln.start:ln.value]...)
	some := false
	previous := int(ln.value) // end of the value before, kept or not
	s.m.eachOnLine(l, func(v Value) bool {
		text := v.b
		separator := b[previous:v.off]
		previous = v.Span().End()
		if len(edits) > 0 && edits[0].off == v.off {
			e := edits[0]
			edits = edits[1:]
			if e.remove {
				return true
			}
			text = s.text[e.from:e.to]
		}
		if some {
			dst = append(dst, separator...)
		}
		some = true
		dst = append(dst, text...)
		return true
	})
	if !some {
		return dst[:mark], int(ln.end)
	}
	return dst, int(ln.valueEnd)
}
