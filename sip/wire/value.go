package wire

import (
	"bytes"
	"iter"
)

// A Value is a header field value and its place in a message: the whole value
// of a header line, or one of several that commas part. It borrows the
// message's bytes and is valid as long as they are.
type Value struct {
	b    []byte
	off  uint16
	line uint8 // number of the header line plus one; 0: belongs to no message
	part bool  // shares its line with others
}

// Bytes returns the value without blanks around it. A folded value has its
// line breaks inside.
func (v Value) Bytes() []byte { return v.b }

// Span returns where the value stands in the message.
func (v Value) Span() Span { return Span{Off: v.off, Len: uint16(len(v.b))} }

// IsZero reports whether v belongs to no message.
func (v Value) IsZero() bool { return v.line == 0 }

// valueAt returns the value at [off, end) on line number l.
func (m *Message) valueAt(l, off, end int) Value {
	ln := &m.lines[l]
	return Value{
		b: m.b[off:end], off: uint16(off), line: uint8(l + 1),
		part: off != int(ln.value) || end != int(ln.valueEnd),
	}
}

func (m *Message) wholeLine(l int) Value {
	ln := &m.lines[l]
	return Value{b: m.b[ln.value:ln.valueEnd], off: ln.value, line: uint8(l + 1)}
}

// Get returns the whole value of the first line of field f, commas included.
func (m *Message) Get(f Field) (Value, bool) {
	if f == Other || f >= fieldCount || m.first[f] == 0 {
		return Value{}, false
	}
	return m.wholeLine(int(m.first[f]) - 1), true
}

// Has reports whether the message has a line of field f.
func (m *Message) Has(f Field) bool { return f < fieldCount && m.first[f] != 0 }

// All iterates over the values of field f in order, one by one where the
// field is a list (RFC 3261 §7.3.1): commas part values, but not inside
// quotes and angle brackets. Empty values in a list are passed over.
func (m *Message) All(f Field) iter.Seq[Value] {
	return func(yield func(Value) bool) { m.eachValue(f, yield) }
}

func (m *Message) eachValue(f Field, yield func(Value) bool) {
	if f >= fieldCount {
		return
	}
	for n := m.first[f]; n != 0; n = m.lines[n-1].next {
		if !m.eachOnLine(int(n)-1, yield) {
			return
		}
	}
}

func (m *Message) eachOnLine(l int, yield func(Value) bool) bool {
	ln := &m.lines[l]
	off, end := int(ln.value), int(ln.valueEnd)
	if !fields[ln.field].list || bytes.IndexByte(m.b[off:end], ',') < 0 {
		return yield(m.valueAt(l, off, end))
	}
	b := m.b[:end]
	for off < end {
		stop := listEnd(b, off, ln.field != Via)
		if v := trim(b[off:stop]); len(v) > 0 {
			from := offsetIn(b, v)
			if !yield(m.valueAt(l, from, from+len(v))) {
				return false
			}
		}
		off = stop + 1
	}
	return true
}

// listEnd returns where the list element that begins at b[i] ends: at a
// comma outside quotes and, where the field has them, angle brackets, or at
// the end.
func listEnd(b []byte, i int, angles bool) int {
	angle := false
	for ; i < len(b); i++ {
		switch b[i] {
		case '"':
			if angle {
				continue
			}
			end := quotedEnd(b, i)
			if end < 0 {
				return len(b)
			}
			i = end - 1
		case '<':
			angle = angles
		case '>':
			angle = false
		case ',':
			if !angle {
				return i
			}
		}
	}
	return i
}

// Named iterates over the whole values of the lines whose name is name, in
// order. Case is ignored, and for known fields the compact form is the same
// name.
func (m *Message) Named(name string) iter.Seq[Value] {
	return func(yield func(Value) bool) { m.eachNamed(name, yield) }
}

func (m *Message) eachNamed(name string, yield func(Value) bool) {
	f := ParseField(name)
	for n := m.first[f]; n != 0; n = m.lines[n-1].next {
		l := int(n) - 1
		if f == Other && !fold(m.lineName(l), name) {
			continue
		}
		if !yield(m.wholeLine(l)) {
			return
		}
	}
}

// Lines iterates over all header lines in order, as their field and whole
// value.
func (m *Message) Lines() iter.Seq2[Field, Value] {
	return func(yield func(Field, Value) bool) { m.eachLine(yield) }
}

func (m *Message) eachLine(yield func(Field, Value) bool) {
	for l := range m.lines {
		if !yield(m.lines[l].field, m.wholeLine(l)) {
			return
		}
	}
}

// Name returns the name of the line v stands on, as written.
func (m *Message) Name(v Value) []byte {
	if v.line == 0 || int(v.line) > len(m.lines) {
		return nil
	}
	return m.lineName(int(v.line) - 1)
}

func (m *Message) lineName(l int) []byte {
	ln := &m.lines[l]
	return m.b[ln.start : int(ln.start)+int(ln.nameLen)]
}

// offsetIn returns where sub, which was cut from b without limiting its
// capacity, begins in it.
func offsetIn(b, sub []byte) int { return cap(b) - cap(sub) }
