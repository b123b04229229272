package transport

import (
	"time"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// A Packet is a received message and where it came from.
type Packet struct {
	Msg      wire.Message
	Flow     location.Flow    // Remote is the source (RFC 3261 §18.2.1, RFC 3581 §4)
	Received time.Time        //
	Err      *wire.ParseError // what is wrong with Msg; nil: nothing
	Peer     *Peer            // the connection it came over; nil for UDP

	// Again says that it is handled again: what was not in memory then was looked for.
	Again bool

	owned bool
}

// Own returns a packet that may be kept: p itself when it may be, else a copy
// with bytes of its own.
func (p *Packet) Own() *Packet {
	if p.owned {
		return p
	}
	q := new(Packet)
	p.copyTo(q)
	return q
}

// OwnIn is [Packet.Own], and makes the copy in the memory of q, to which nothing may
// point any more: the zero Packet, or one that OwnIn made.
func (p *Packet) OwnIn(q *Packet) *Packet {
	if p.owned {
		return p
	}
	p.copyTo(q)
	return q
}

func (p *Packet) copyTo(q *Packet) {
	p.Msg.CloneTo(&q.Msg)
	q.Flow, q.Received, q.Err, q.Peer, q.Again, q.owned = p.Flow, p.Received, p.Err, p.Peer, false, true
}

// keepsAlive reports whether b is a datagram that only keeps a NAT binding
// open: CRLFs (RFC 5626 §4.4.1), or the few zero bytes that some phones send.
func keepsAlive(b []byte) bool {
	if len(b) > 8 {
		return false
	}
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}
