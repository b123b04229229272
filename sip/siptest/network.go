// Package siptest is what tests of the SIP side are made of: a network without
// sockets that loses, doubles, delays and reorders datagrams as a seed says, and
// phones that follow a script or their own mind. Phones read and build messages
// with sipgo's parser and types and answer challenges with icholy/digest, so that
// what the server understands is not what it wrote itself.
//
// Everything works inside the bubbles of testing/synctest: three minutes of
// ringing take no time.
package siptest

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Faults are what a [Network] does to datagrams. The zero Faults are none.
type Faults struct {
	Loss     float64       // share of datagrams that never arrive
	Double   float64       // share that arrives twice
	Late     float64       // share that is overtaken by others
	Delay    time.Duration // of every datagram
	Lateness time.Duration // how much later a late one comes, at most
}

// A Datagram is on its way.
type Datagram struct {
	From, To netip.AddrPort
	Data     []byte
}

// A Network carries datagrams between its [Conn]s. It is safe for concurrent
// use. Make one with [NewNetwork].
type Network struct {
	mu     sync.Mutex // guards what follows
	rand   *rand.Rand
	faults Faults
	drop   func(Datagram) bool
	conns  map[netip.AddrPort]*Conn
	stats  Stats
}

// Stats are what a network did so far.
type Stats struct{ Sent, Lost, Doubled, Late int }

// NewNetwork returns a network whose chances follow from seed.
func NewNetwork(seed uint64) *Network {
	return &Network{rand: rand.New(rand.NewPCG(seed, 2)), conns: make(map[netip.AddrPort]*Conn)} //nolint:gosec // to be repeated
}

// SetFaults makes the network unkind, or kind again.
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Drop loses every datagram that lose says; nil loses none. lose must not use
// the network.
func (n *Network) Drop(lose func(Datagram) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drop = lose
}

// Stats returns what the network did so far.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// depth is how many datagrams wait at an address; what is more is lost, as in a
// full socket.
const depth = 4096

// Listen returns the socket of an address; one that had it before gets nothing
// any more.
func (n *Network) Listen(at netip.AddrPort) *Conn {
	c := &Conn{net: n, addr: at, queue: make(chan Datagram, depth), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[at] = c
	return c
}

// send puts a datagram on its way.
func (n *Network) send(d Datagram) {
	n.mu.Lock()
	n.stats.Sent++
	f := n.faults
	if n.drop != nil && n.drop(d) || n.rand.Float64() < f.Loss {
		n.stats.Lost++
		n.mu.Unlock()
		return
	}
	waits := []time.Duration{f.Delay}
	if n.rand.Float64() < f.Double {
		n.stats.Doubled++
		waits = append(waits, f.Delay+n.lateness())
	}
	if n.rand.Float64() < f.Late {
		n.stats.Late++
		waits[0] += n.lateness()
	}
	n.mu.Unlock()
	for _, wait := range waits {
		if wait == 0 {
			n.deliver(d)
		} else {
			time.AfterFunc(wait, func() { n.deliver(d) })
		}
	}
}

func (n *Network) lateness() time.Duration {
	if n.faults.Lateness <= 0 {
		return 0
	}
	return time.Duration(n.rand.Int64N(int64(n.faults.Lateness)))
}

func (n *Network) deliver(d Datagram) {
	n.mu.Lock()
	c := n.conns[d.To]
	n.mu.Unlock()
	if c == nil {
		return
	}
	select {
	case c.queue <- d:
	default:
	}
}

// A Conn is one address of a [Network], a [net.PacketConn] of UDP addresses.
type Conn struct {
	net    *Network
	addr   netip.AddrPort
	queue  chan Datagram
	once   sync.Once
	closed chan struct{}
	stream net.Conn // of a phone that has a connection
	deaf   atomic.Bool
}

// ErrClosed ends reads of a closed [Conn].
var ErrClosed = errors.New("siptest: connection closed")

// ReadFrom waits for a datagram.
func (c *Conn) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case <-c.closed:
		return 0, nil, ErrClosed
	case d := <-c.queue:
		return copy(p, d.Data), net.UDPAddrFromAddrPort(d.From), nil
	}
}

// WriteTo sends a copy of p. It never waits.
func (c *Conn) WriteTo(p []byte, to net.Addr) (int, error) {
	a, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, os.ErrInvalid
	}
	if c.stream != nil {
		return c.stream.Write(p)
	}
	c.net.send(Datagram{From: c.addr, To: a.AddrPort(), Data: append([]byte(nil), p...)})
	return len(p), nil
}

// Close ends the reads; what comes later is lost.
func (c *Conn) Close() error {
	c.once.Do(func() {
		if c.stream != nil {
			_ = c.stream.Close()
		}
		c.net.mu.Lock()
		if c.net.conns[c.addr] == c {
			delete(c.net.conns, c.addr)
		}
		c.net.mu.Unlock()
		close(c.closed)
	})
	return nil
}

// LocalAddr is the address of the socket.
func (c *Conn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.addr) }

// SetDeadline does nothing: tests end by the clock of their bubble.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

var _ net.PacketConn = (*Conn)(nil)
