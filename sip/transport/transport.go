// Package transport receives and sends SIP messages over UDP, TCP, TLS and
// WebSocket. It binds listeners, hands every message that could be read to one
// handler, on the goroutine that received it, and sends bytes down a
// [location.Flow]. A flow of UDP is a pair of addresses, for which nothing is
// kept; one of a stream is a connection, a [Peer] with an identity of its own:
// what is sent down it reaches that peer or nobody.
//
// Datagrams that only keep a NAT binding open are swallowed, those that are no
// SIP are counted and dropped, and a panic of the handler costs its packet.
//
// On Linux each listener has several sockets with SO_REUSEPORT; the kernel
// spreads peers over them, so that the messages of one peer keep their order.
// See socket for how they are read.
//
// A connection has one goroutine that reads, and one that writes while there is
// something to write: a peer that stalls in a handshake or reads slowly delays
// nobody else, and is closed when it goes on. [Limits] bound what connections
// take; those that proved nothing go first. [Transport.Run] owns all of these
// goroutines.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// defaultBuffer is the size of kernel buffers of a socket in bytes: a second of
// a burst of 4000 messages, as the kernel counts them.
const defaultBuffer = 4 << 20

// ErrNoListener reports that no listener has the local address of a flow.
var ErrNoListener = errors.New("transport: no listener of that address")

// ErrClosed reports that the transport is closed.
var ErrClosed = errors.New("transport: closed")

// ErrBusy reports that the kernel had no room for the message. It was dropped,
// as the network might have done.
var ErrBusy = errors.New("transport: send buffer full")

// A Handler takes a message on the goroutine that received it. The packet is
// borrowed: it ends when the handler returns; see [Packet.Own]. Packet.Err is
// set when the message is malformed but a request that can be answered.
type Handler func(p *Packet)

// A Listener is one address that SIP is spoken on.
type Listener struct {
	Bind      netip.AddrPort     // port 0: any; a wildcard needs Advertise
	Advertise netip.AddrPort     // what Via and Contact say; zero: the bound address; port 0: its port
	Transport location.Transport // for WS and WSS Bind is that of the HTTP server which has [Transport.WebSocket]
	Private   bool               // nobody who can reach it forges source addresses

	// TLS is the configuration of a TLS listener. With ClientCAs, peers are asked
	// for a certificate: see [Peer.Names].
	TLS *tls.Config

	// Conn and Stream, when set, are used instead of a socket bound to Bind, and
	// are closed in the end. They are for tests, in synctest bubbles too.
	Conn   net.PacketConn
	Stream net.Listener

	// Origins are the hosts, as patterns of path.Match, whose pages may connect by
	// WebSocket; those of the server itself may.
	Origins []string

	// ProxyFrom are load balancers: a connection from one begins with a header of
	// the PROXY protocol, which says who the peer is.
	ProxyFrom []netip.Prefix
}

// Options are the parts of a [Transport].
type Options struct {
	Listeners []Listener // at least one
	Handler   Handler
	Gone      func(*Peer) // told of every connection that closed, on its goroutine; nil: nobody. Not when all end
	Limits    Limits      // of connections
	Ladder    *Ladder     // keeps what comes and goes; nil: nothing is kept
	ClientTLS *tls.Config // of TLS connections that we make: authorities, our certificate; nil: those of the system, none
	// Connect makes the connections of Dial from a local address; nil: over TCP.
	// It is for tests.
	Connect func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)

	Readers     int  // sockets of a listener; 0: one a core
	ReadBuffer  int  // SO_RCVBUF of a socket in bytes; 0: 4 MiB
	WriteBuffer int  // SO_SNDBUF of a socket in bytes; 0: 4 MiB
	Parked      bool // readers wait in the network poller only; see socket

	Logger     *slog.Logger          // nil: discard
	Registerer prometheus.Registerer // nil: metrics are kept, not shown
}

// A Transport is all listeners. Make one with [New], then [Transport.Run] it
// once. Its methods are safe for use by many goroutines.
type Transport struct {
	handler   Handler
	ladder    *Ladder
	log       *slog.Logger
	metrics   metrics
	listeners []*listener // of UDP
	all       []*listener // in the order of the options
	streams   *streams
	dials     dials
	dial      func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
	clientTLS *tls.Config
	cores     int
	holding   atomic.Int32 // readers that hold a P; at most cores
	closing   atomic.Bool
	ends      sync.Once
}

// A listener is an address and what is bound to it.
type listener struct {
	protocol         location.Transport
	local, advertise netip.AddrPort
	private          bool
	ends             []endpoint // of UDP: at least one
	door             *doorway   // of TCP and TLS
	origins          []string   // of WebSocket
}

// An endpoint is one socket of a listener.
type endpoint interface {
	read() error                                             // until the endpoint is closed, or broken
	send(b []byte, from netip.Addr, to netip.AddrPort) error // from may be a wildcard: any of ours
	wake()                                                   // read is to see that the transport is closing
	close() error                                            // read has returned
	drops() uint64
}

// New binds all listeners. It panics when metrics of these names are registered
// already.
func New(o Options) (*Transport, error) {
	if len(o.Listeners) == 0 {
		return nil, errors.New("transport: no listener")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	cores := min(runtime.NumCPU(), runtime.GOMAXPROCS(0))
	orDefault(&o.Readers, cores)
	orDefault(&o.ReadBuffer, defaultBuffer)
	orDefault(&o.WriteBuffer, defaultBuffer)
	t := &Transport{
		handler: o.Handler, ladder: o.Ladder, log: o.Logger, cores: cores,
		dials: dials{all: make(map[target]*dialed)}, dial: o.Connect, clientTLS: o.ClientTLS,
	}
	if t.dial == nil {
		t.dial = dialTCP
	}
	if o.Parked {
		t.cores = 0
	}
	for _, l := range o.Listeners {
		if err := t.listen(l, &o); err != nil {
			return nil, errors.Join(fmt.Errorf("transport: listen on %s: %w", l.Bind, err), t.Close())
		}
	}
	t.metrics = newMetrics(o.Registerer, t.Drops)
	of := make(map[location.Transport]bool)
	for _, ln := range t.all {
		of[ln.protocol] = ln.protocol != location.UDP
	}
	t.streams = newStreams(o.Limits, o.Gone, newStreamMetrics(o.Registerer, of))
	return t, nil
}

func orDefault(n *int, otherwise int) {
	if *n <= 0 {
		*n = otherwise
	}
}

func (t *Transport) listen(l Listener, o *Options) error {
	ln := &listener{protocol: l.Transport, advertise: l.Advertise, private: l.Private}
	var err error
	switch l.Transport {
	case location.UDP:
		if l.Conn != nil {
			c := newConn(t, l.Conn)
			ln.local, ln.ends = c.local, []endpoint{c}
		} else if ln.local, ln.ends, err = openUDP(t, l.Bind, o); err != nil {
			return err
		}
		t.listeners = append(t.listeners, ln)
	case location.TCP, location.TLS:
		if ln.door, err = openDoor(t, l); err != nil {
			return err
		}
		ln.local = ln.door.local
	case location.WS, location.WSS:
		ln.local, ln.origins = l.Bind, l.Origins
	default:
		return fmt.Errorf("transport %s is not built", l.Transport)
	}
	t.all = append(t.all, ln)
	switch {
	case !ln.advertise.Addr().IsValid() && ln.local.Addr().IsUnspecified():
		return errors.New("a wildcard address needs an address to advertise")
	case !ln.advertise.Addr().IsValid():
		ln.advertise = ln.local
	case ln.advertise.Port() == 0:
		ln.advertise = netip.AddrPortFrom(ln.advertise.Addr(), ln.local.Port())
	}
	return nil
}

// Addrs are the bound addresses of the listeners, in the order of the options.
func (t *Transport) Addrs() []netip.AddrPort {
	as := make([]netip.AddrPort, len(t.all))
	for i, ln := range t.all {
		as[i] = ln.local
	}
	return as
}

// Advertise returns what the listener bound to local is called by in Via,
// Record-Route and Contact; local itself when there is none.
func (t *Transport) Advertise(local netip.AddrPort) netip.AddrPort {
	if ln := find(t.all, local); ln != nil {
		return ln.advertise
	}
	return local
}

// Private reports whether the UDP listener bound to local believes source
// addresses.
func (t *Transport) Private(local netip.AddrPort) bool {
	ln := t.listener(local)
	return ln != nil && ln.private
}

func (t *Transport) listener(local netip.AddrPort) *listener { return find(t.listeners, local) }

// find returns the listener that has an address: the one bound to it, else the
// one bound to a wildcard; nil for none.
func find(ls []*listener, local netip.AddrPort) *listener {
	for _, ln := range ls { // a handful
		if ln.local == local {
			return ln
		}
	}
	for _, ln := range ls {
		if Serves(ln.local, local) {
			return ln
		}
	}
	return nil
}

// Serves reports whether a listener bound to an address has the local address of
// a flow: the same, or any of its family and port when it is bound to a wildcard.
func Serves(bound, local netip.AddrPort) bool {
	return bound == local || bound.Addr().IsUnspecified() && bound.Port() == local.Port() && bound.Addr().Is4() == local.Addr().Is4()
}

// Send sends one message down f. It never waits: a datagram that the kernel has
// no room for is dropped ([ErrBusy]), a connection whose queue is full is closed.
// The connection of a flow that is gone is not made again ([ErrGone]). b is not
// kept.
func (t *Transport) Send(f location.Flow, b []byte) error {
	if f.Transport != location.UDP {
		return t.sendStream(f, b)
	}
	ln := t.listener(f.Local)
	if ln == nil {
		t.metrics.unsent.Inc()
		return ErrNoListener
	}
	err := ln.ends[int(f.Remote.Port())%len(ln.ends)].send(b, f.Local.Addr(), f.Remote)
	if err != nil {
		t.metrics.unsent.Inc()
		return err
	}
	t.metrics.sent.Inc()
	t.kept(f, b)
	return nil
}

// kept keeps a message that was sent.
func (t *Transport) kept(f location.Flow, b []byte) {
	if t.ladder != nil {
		t.ladder.add(time.Now(), true, f, b)
	}
}

// Between returns the flow of the connection that is open between the addresses of
// f, and f itself when it is UDP. It is for ends of calls that are known by their
// address, which they proved; a binding has the flow itself.
func (t *Transport) Between(f location.Flow) (location.Flow, bool) {
	if f.Transport == location.UDP {
		return f, true
	}
	if p := t.streams.between(f); p != nil {
		return p.flow, true
	}
	return location.Flow{}, false
}

// Run reads from all listeners until ctx ends, then closes them and returns
// when all readers have. It returns an error when a reader broke: then all end.
//
// Readers that hold a P while they wait (see socket) must leave one for each
// core, so Run raises GOMAXPROCS for the life of the process.
func (t *Transport) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if procs := 2 * t.cores; runtime.GOMAXPROCS(0) < procs {
		runtime.GOMAXPROCS(procs)
	}
	var wg sync.WaitGroup
	broken := make(chan error, t.endpoints())
	for _, ln := range t.listeners {
		for _, e := range ln.ends {
			wg.Go(func() {
				if err := e.read(); err != nil && !t.closing.Load() {
					broken <- fmt.Errorf("transport: receive on %s: %w", ln.local, err)
					cancel()
				}
			})
		}
	}
	for _, ln := range t.all {
		if ln.door != nil {
			wg.Go(func() { ln.door.accept(ctx) })
		}
	}
	<-ctx.Done()
	t.wake()
	wg.Wait()
	close(broken)
	errs := []error{t.Close()}
	for err := range broken {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Close unbinds the listeners. It is for a transport that is not to Run; Run
// does it in the end.
func (t *Transport) Close() error {
	var errs []error
	t.ends.Do(func() {
		t.wake()
		for _, ln := range t.listeners {
			for _, e := range ln.ends {
				errs = append(errs, e.close())
			}
		}
		if t.streams != nil { // New succeeded
			t.streams.close()
		}
	})
	return errors.Join(errs...)
}

// wake ends reading.
func (t *Transport) wake() {
	t.closing.Store(true)
	for _, ln := range t.listeners {
		for _, e := range ln.ends {
			e.wake()
		}
	}
	for _, ln := range t.all {
		if ln.door != nil {
			_ = ln.door.ln.Close() // closed is what it shall be
		}
	}
}

func (t *Transport) endpoints() (n int) {
	for _, ln := range t.listeners {
		n += len(ln.ends)
	}
	return n
}

// Drops is how many datagrams the kernel dropped for want of room.
func (t *Transport) Drops() (n uint64) {
	for _, ln := range t.listeners {
		for _, e := range ln.ends {
			n += e.drops()
		}
	}
	return n
}

// deliver hands one datagram to the handler. p has its flow, and is reused.
func (t *Transport) deliver(p *Packet, b []byte) {
	if keepsAlive(b) {
		t.metrics.keepalives.Inc()
		return
	}
	if isSTUN(b) {
		t.stun(p, b)
		return
	}
	t.metrics.received.Inc()
	p.Received = time.Now()
	t.ladder.add(p.Received, false, p.Flow, b)
	defer t.recovered(p)
	p.Err = nil
	if err := p.Msg.Parse(b); err != nil {
		p.Err = p.Msg.Err()
		if !p.Msg.Answerable() {
			t.metrics.garbage.Inc()
			return
		}
		t.metrics.malformed.Inc()
	}
	t.handler(p)
}

// recovered keeps the daemon alive when the handler panicked.
func (t *Transport) recovered(p *Packet) {
	v := recover()
	if v == nil {
		return
	}
	t.metrics.panics.Inc()
	t.log.Error("panic drops a message", slog.Any("panic", v), slog.String("stack", string(debug.Stack())),
		slog.String("call", string(p.Msg.CallID())), slog.String("remote", p.Flow.Remote.String()))
	p.Msg = wire.Message{} // whatever state it is in
}
