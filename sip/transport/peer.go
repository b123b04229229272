package transport

import (
	"container/list"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bellhop/routing/location"
)

// A Standing is what a connection has proved, and so how long it may stay.
type Standing uint8

// The standings, from worst to best.
const (
	// Unproven connections have a quota of their own and a few seconds.
	Unproven Standing = iota
	// Guest connections carried something that we took: a call of a stranger where
	// the domain allows it, a request within a dialog. They count as Unproven ones
	// and are the next to go.
	Guest
	// Proven connections are those of devices, trunks and nodes.
	Proven
)

// A Peer is the other end of a connection, as long as the connection lives. A
// [Packet] that came over one has it; those of UDP have none. Its methods are
// safe for use by many goroutines.
type Peer struct {
	flow    location.Flow
	names   []string
	s       *streams
	started time.Time
	done    chan struct{} // closed when the connection is

	standing atomic.Uint32 // written under s.mu
	place    *list.Element // in s.unproven; guarded by s.mu
	source   netip.Addr    // who pays for it; guarded by s.mu
	held     int           // bytes beyond the base; guarded by s.mu
	value    atomic.Value
	why      atomic.Pointer[string] // it was closed

	mu      sync.Mutex // guards what follows
	link    link
	ties    []location.AOR
	out     *batch // waits for the writer; nil: nothing
	writing bool
	ending  bool // closes when out is written
	closed  bool
}

// A link is a connection as the peer uses it.
type link interface {
	// write puts whole messages on the connection, and waits for that.
	write(b *batch) error
	// cut ends reads and writes at once.
	cut() error
}

// A batch is messages that go out together.
type batch struct {
	bytes []byte
	ends  []int // where each message ends
}

func (b *batch) reset() { b.bytes, b.ends = b.bytes[:0], b.ends[:0] }

// Flow is the flow of the connection.
func (p *Peer) Flow() location.Flow { return p.flow }

// Names are the identities that the certificate of a TLS peer proves: host names
// and the domains of SIP URIs in subjectAltName (RFC 5922 §7.1), in lower case.
// There are none without a certificate that one of our authorities signed, and
// of a nil peer.
func (p *Peer) Names() []string {
	if p == nil {
		return nil
	}
	return p.names
}

// Prove raises the standing of the connection; it never falls. A nil peer has
// none.
func (p *Peer) Prove(to Standing) {
	if p == nil || Standing(p.standing.Load()) >= to {
		return
	}
	p.s.prove(p, to)
}

// Value is what SetValue set last; nil before.
func (p *Peer) Value() any { return p.value.Load() }

// SetValue ties something to the connection; always of one type, never nil. It
// reports false when the connection has closed, and nobody will be told of it.
func (p *Peer) SetValue(v any) (open bool) {
	p.value.Store(v)
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed
}

// Tie remembers that bindings of an AOR lead down the connection. It reports
// false when the connection has closed, and nobody will be told of it.
func (p *Peer) Tie(aor location.AOR) (open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.ties, aor) {
		p.ties = append(p.ties, aor)
	}
	return !p.closed
}

// Ties are the AORs of which bindings led down the connection.
func (p *Peer) Ties() []location.AOR {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ties)
}

// maxQueue is how many bytes may wait for a peer that reads slowly, beside those
// that the kernel and the writer have: two of the largest messages.
const maxQueue = 128 << 10

// writeTimeout is how long a peer may take to read what was written at once.
const writeTimeout = 10 * time.Second

// send queues a copy of b. A full queue closes the connection: the stream has no
// way to leave a message out.
func (p *Peer) send(b []byte) error {
	p.mu.Lock()
	if p.closed || p.ending {
		p.mu.Unlock()
		return ErrGone
	}
	if p.out == nil {
		p.out = p.s.batches.Get().(*batch)
	}
	if len(p.out.bytes)+len(b) > maxQueue {
		p.mu.Unlock()
		p.close(reasonQueue)
		return ErrGone
	}
	p.out.bytes = append(p.out.bytes, b...)
	p.out.ends = append(p.out.ends, len(p.out.bytes))
	if !p.writing {
		p.writing = true
		p.s.wg.Go(p.drain)
	}
	p.mu.Unlock()
	return nil
}

// drain writes until nothing waits. There is a writer only while there is
// something to write.
func (p *Peer) drain() {
	for {
		p.mu.Lock()
		b := p.out
		p.out = nil
		if b == nil || p.closed {
			p.writing = false
			last := p.ending
			p.mu.Unlock()
			if last {
				p.close(reasonGarbage)
			}
			return
		}
		l := p.link
		p.mu.Unlock()
		err := l.write(b)
		if cap(b.bytes) <= maxQueue {
			b.reset()
			p.s.batches.Put(b)
		}
		if err != nil {
			p.close(reasonWrite)
		}
	}
}

// end closes the connection when all that waits is written, and waits for that.
func (p *Peer) end(why string) {
	p.mu.Lock()
	p.ending = true
	busy := p.writing
	p.mu.Unlock()
	if !busy {
		p.close(why)
	}
	<-p.done // a peer that does not read is closed by the time of writing
}

// close ends the connection; the first reason counts. Its reader sees to the
// rest.
func (p *Peer) close(why string) {
	p.why.CompareAndSwap(nil, &why)
	p.mu.Lock()
	was, l := p.closed, p.link
	p.closed = true
	p.mu.Unlock()
	if !was {
		close(p.done)
		_ = l.cut() // it is gone either way
	}
}

// attach makes l the connection of p; false when p was closed meanwhile.
func (p *Peer) attach(l link) bool {
	p.mu.Lock()
	p.link = l
	closed := p.closed
	p.mu.Unlock()
	if closed {
		_ = l.cut()
	}
	return !closed
}

// deadline is until when the peer must have sent something: heard is when it last
// did, begun when the message began that it is at, zero for none.
func (p *Peer) deadline(heard, begun time.Time) time.Time {
	d := heard.Add(p.s.limits.Idle)
	if Standing(p.standing.Load()) == Unproven {
		d = earlier(d, p.started.Add(provingTime))
	}
	if !begun.IsZero() {
		d = earlier(d, begun.Add(messageTime))
	}
	return d
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

const (
	// provingTime is how long a connection may be Unproven, handshake included
	// (trust.md §1).
	provingTime = 10 * time.Second
	// messageTime is how long a message may take from its first byte to its last.
	messageTime = 10 * time.Second
)

// late says why a connection whose deadline passed is closed; "" when the
// deadline moved meanwhile.
func (p *Peer) late(heard, begun time.Time) string {
	now := time.Now()
	switch {
	case now.Before(p.deadline(heard, begun)):
		return ""
	case !begun.IsZero() && !now.Before(begun.Add(messageTime)):
		return reasonSlow
	case Standing(p.standing.Load()) == Unproven:
		return reasonUnproven
	default:
		return reasonIdle
	}
}

// A wireLink is a link over TCP or TLS. It is cut without TLS's goodbye, which
// might wait for the peer.
type wireLink struct {
	net.Conn // TCP, or TLS over raw
	raw      net.Conn
}

func (l wireLink) write(b *batch) error {
	if err := l.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := l.Write(b.bytes)
	return err
}

func (l wireLink) cut() error { return l.raw.Close() }
