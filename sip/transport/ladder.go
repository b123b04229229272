package transport

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"bellhop/routing/location"
)

// segmentSize is the size of a segment of a [Ladder]: more than the longest
// message, and little enough to be copied while a reader waits (some 20 us).
const segmentSize = 256 << 10

// A Ladder keeps the last messages that came and went, in a ring of fixed size:
// the SIP ladder of a call is read from it afterwards. A nil Ladder keeps none.
// It is safe for use by many goroutines.
type Ladder struct {
	mu       sync.Mutex // guards all
	segments []segment
	at       int // the segment that is written
}

// A segment is a run of messages; none crosses to the next. Its memory is made
// when it is first written.
type segment struct{ buf []byte }

// NewLadder returns a ladder of a size in bytes, of which it has at least one
// segment of 256 KiB; 0 is none.
func NewLadder(size int) *Ladder {
	if size <= 0 {
		return nil
	}
	return &Ladder{segments: make([]segment, max(size/segmentSize, 1))}
}

// A Message is one that came or went.
type Message struct {
	At      time.Time
	Sent    bool // by us
	Flow    location.Flow
	Content []byte // as it was on the wire
}

// The record of a message is its length, and then what these are the offsets of.
const (
	recordLen    = 4
	recordAt     = recordLen // unix nanoseconds
	recordSent   = recordAt + 8
	recordProto  = recordSent + 1
	recordConn   = recordProto + 1
	recordLocal  = recordConn + 8
	recordRemote = recordLocal + 18
	recordHead   = recordRemote + 18
)

// add keeps a message.
func (l *Ladder) add(at time.Time, sent bool, f location.Flow, b []byte) {
	if l == nil || len(b) > segmentSize-recordHead {
		return
	}
	var head [recordHead]byte
	binary.LittleEndian.PutUint32(head[:], uint32(recordHead+len(b))) //nolint:gosec // at most a segment
	binary.LittleEndian.PutUint64(head[recordAt:], uint64(at.UnixNano()))
	if sent {
		head[recordSent] = 1
	}
	head[recordProto] = byte(f.Transport)
	binary.LittleEndian.PutUint64(head[recordConn:], f.Conn)
	putAddr(head[recordLocal:], f.Local)
	putAddr(head[recordRemote:], f.Remote)

	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.segments[l.at]
	if len(s.buf)+recordHead+len(b) > segmentSize {
		l.at = (l.at + 1) % len(l.segments)
		s = &l.segments[l.at]
		s.buf = s.buf[:0]
	}
	if s.buf == nil {
		s.buf = make([]byte, 0, segmentSize)
	}
	s.buf = append(append(s.buf, head[:]...), b...)
}

func putAddr(b []byte, a netip.AddrPort) {
	ip := a.Addr().As16()
	copy(b, ip[:])
	binary.LittleEndian.PutUint16(b[16:], a.Port())
}

func addrOf(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.LittleEndian.Uint16(b[16:]))
}

// Find returns the messages that hold one of some strings, oldest first, at most
// limit. It reads the whole ring, so it is for people.
func (l *Ladder) Find(of []string, limit int) (out []Message) {
	if l == nil || len(of) == 0 {
		return nil
	}
	want := make([][]byte, len(of))
	for i, s := range of {
		want[i] = []byte(s)
	}
	l.mu.Lock()
	first := l.at + 1
	l.mu.Unlock()
	var buf []byte
	for i := range l.segments {
		l.mu.Lock() // only while it is copied
		buf = append(buf[:0], l.segments[(first+i)%len(l.segments)].buf...)
		l.mu.Unlock()
		out = found(out, buf, want)
	}
	slices.SortStableFunc(out, func(a, b Message) int { return a.At.Compare(b.At) })
	return out[:min(len(out), limit)]
}

// found appends the messages of a segment that hold one of the wanted strings.
func found(out []Message, buf []byte, want [][]byte) []Message {
	for len(buf) >= recordHead {
		n := int(binary.LittleEndian.Uint32(buf))
		rec := buf[:n]
		buf = buf[n:]
		content := rec[recordHead:]
		if !slices.ContainsFunc(want, func(w []byte) bool { return bytes.Contains(content, w) }) {
			continue
		}
		out = append(out, Message{
			At: time.Unix(0, int64(binary.LittleEndian.Uint64(rec[recordAt:]))).UTC(), Sent: rec[recordSent] == 1, //nolint:gosec // what add wrote
			Flow: location.Flow{
				Transport: location.Transport(rec[recordProto]), Conn: binary.LittleEndian.Uint64(rec[recordConn:]),
				Local: addrOf(rec[recordLocal:]), Remote: addrOf(rec[recordRemote:]),
			},
			Content: bytes.Clone(content),
		})
	}
	return out
}
