package transport

import (
	"bytes"

	"bellhop/sip/wire"
)

const (
	// baseBuffer is what a connection without half a message holds, in bytes.
	baseBuffer = 2 << 10
	// maxBuffer is the largest message and one byte, by which it is seen that one
	// is larger.
	maxBuffer = wire.MaxMessage + 1
)

// A framer cuts what comes from a stream into messages (RFC 3261 §18.3) and
// keep-alives (RFC 5626 §4.4.1). It parses a message when all of it is there: a
// peer that sends byte by byte costs no more than its bytes. The zero framer is
// ready.
type framer struct {
	b    []byte // what came and was not taken; its capacity is the buffer
	from int    // what is before was taken
	scan int    // before it there is no end of the header that begins at from
	need int    // size of the message at from, 0: not known
	ends int    // of the CRLFs in a row between messages
}

// A frame is what a framer found.
type frame uint8

const (
	noFrame   frame = iota // more must come
	isMessage              // a message; with an error it is malformed, and what follows is not harmed
	isPing                 // CRLFCRLF: to be answered with CRLF
	isLost                 // nobody knows where the next message begins
)

// room returns where the next bytes go. It is empty when the buffer is full: see
// grow.
func (f *framer) room() []byte {
	if f.b == nil {
		f.b = make([]byte, 0, baseBuffer)
	}
	if f.from > 0 {
		n := copy(f.b[:cap(f.b)], f.b[f.from:])
		f.b, f.scan, f.from = f.b[:n], f.scan-f.from, 0
		if n == 0 && cap(f.b) > baseBuffer {
			f.b = make([]byte, 0, baseBuffer)
		}
	}
	return f.b[len(f.b):cap(f.b)]
}

// filled says that n bytes came where room said.
func (f *framer) filled(n int) { f.b = f.b[:len(f.b)+n] }

// larger returns the capacity that a full buffer needs next.
func (f *framer) larger() int { return min(max(2*cap(f.b), f.need), maxBuffer) }

// grow makes room for size bytes.
func (f *framer) grow(size int) {
	b := make([]byte, len(f.b), size)
	copy(b, f.b)
	f.b = b
}

// held is how many bytes the buffer has beyond the base.
func (f *framer) held() int { return max(0, cap(f.b)-baseBuffer) }

// open reports whether a message has begun and not ended.
func (f *framer) open() bool { return len(f.b) > f.from }

// next takes the next frame. After isMessage m has the message, which borrows
// the buffer until room is asked for; its error is what ParseStream says. After
// isLost m has what could be read.
func (f *framer) next(m *wire.Message) (frame, error) {
	for f.from < len(f.b) && (f.b[f.from] == '\r' || f.b[f.from] == '\n') {
		f.from++
		if f.b[f.from-1] == '\r' {
			continue
		}
		if f.ends++; f.ends == 2 {
			f.ends = 0
			return isPing, nil
		}
	}
	rest := f.b[f.from:]
	if len(rest) == 0 {
		return noFrame, nil
	}
	f.ends = 0
	if c := rest[0]; c <= ' ' || c >= 0x7f {
		*m = wire.Message{}
		return isLost, nil // no method and no version begins so
	}
	if len(rest) < f.need || f.need == 0 && !f.headed() && len(rest) < maxBuffer {
		return noFrame, nil
	}
	n, err := m.ParseStream(rest)
	switch {
	case n > 0:
		f.from += n
		f.need, f.scan = 0, f.from
		return isMessage, err
	case err != nil:
		return isLost, err
	}
	if f.need = m.StreamSize(); f.need <= len(rest) { // cannot be: it would have been read
		return isLost, nil
	}
	return noFrame, nil
}

// headed looks for the empty line that ends a header.
func (f *framer) headed() bool {
	for at := max(f.scan, f.from); ; {
		i := bytes.IndexByte(f.b[at:], '\n')
		if i < 0 {
			f.scan = len(f.b)
			return false
		}
		at += i + 1
		switch tail := f.b[at:]; {
		case len(tail) == 0, len(tail) == 1 && tail[0] == '\r':
			f.scan = at - 1 // look at this LF again
			return false
		case tail[0] == '\n', tail[0] == '\r' && tail[1] == '\n':
			return true
		}
	}
}
