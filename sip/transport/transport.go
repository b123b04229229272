// Package transport carries SIP messages (RFC 3261 §18): listeners, flows and
// their limits. So far it speaks UDP, with one socket and one reader for each
// core.
//
// A reader hands each message to the [Handler] on its own goroutine, so that a
// message goes from receive to send without a hand-off. [Transport.Run] owns the
// readers.
package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// DefaultBuffer is the size of the kernel's buffers of a socket: 4 MB hold a
// second of 4,000 messages.
const DefaultBuffer = 4 << 20

// A Listener is one address that messages come to.
type Listener struct {
	Bind      netip.AddrPort // port 0 takes a free one
	Advertise netip.AddrPort // how others reach it: used in Via and Record-Route; zero: Bind
	Transport location.Transport
	// Conn, when set, is used instead of a socket: a network that a test made.
	Conn net.PacketConn
}

// A Handler takes a message on the goroutine that read it. p is borrowed: who
// wants to keep it calls [Packet.Own].
type Handler func(p *Packet)

// Options are the parts of a [Transport].
type Options struct {
	Listeners   []Listener
	Readers     int // sockets and readers of a UDP listener; 0: one a core
	ReadBuffer  int // bytes; 0: DefaultBuffer
	WriteBuffer int
	Handler     Handler
	Registerer  prometheus.Registerer
	Logger      *slog.Logger // nil: discard
}

// ErrNoListener reports a flow that belongs to no listener of ours.
var ErrNoListener = errors.New("transport: no listener for the flow")

// A Transport is all listeners of a daemon. Make one with [New], then
// [Transport.Run] it once.
type Transport struct {
	opts      Options
	listeners []*listener
	metrics   *metrics
}

// A listener is a Listener and its sockets.
type listener struct {
	local, advertise netip.AddrPort
	sockets          []socket
}

// A socket reads and writes datagrams. One goroutine reads; any may write.
type socket interface {
	// read waits for a datagram; ok is false when there is none yet, which
	// the reader takes to look whether it shall end.
	read(buf []byte) (n int, from netip.AddrPort, ok bool, err error)
	// write never blocks.
	write(b []byte, to netip.AddrPort) error
	// drops is how many datagrams the kernel had no room for.
	drops() uint64
	// hogs reports whether read holds a processor of the Go runtime.
	hogs() bool
	close() error
}

// New binds every listener. When it fails, nothing stays bound.
func New(o Options) (_ *Transport, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Readers == 0 {
		o.Readers = runtime.NumCPU()
	}
	if o.ReadBuffer == 0 {
		o.ReadBuffer = DefaultBuffer
	}
	if o.WriteBuffer == 0 {
		o.WriteBuffer = DefaultBuffer
	}
	t := &Transport{opts: o}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	for _, l := range o.Listeners {
		bound, err := o.listen(l)
		if err != nil {
			return nil, fmt.Errorf("transport: %s %s: %w", l.Transport, l.Bind, err)
		}
		t.listeners = append(t.listeners, bound)
	}
	if t.metrics, err = newMetrics(o.Registerer, t); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	return t, nil
}

func (o *Options) listen(l Listener) (*listener, error) {
	out := &listener{local: l.Bind, advertise: l.Advertise}
	switch {
	case l.Conn != nil:
		out.sockets = []socket{&conn{PacketConn: l.Conn}}
		if a, ok := l.Conn.LocalAddr().(*net.UDPAddr); ok {
			out.local = a.AddrPort()
		}
	case l.Transport == location.UDP:
		var err error
		if out.sockets, out.local, err = openUDP(l.Bind, o.Readers, o.ReadBuffer, o.WriteBuffer); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("this transport is not built yet")
	}
	if !out.advertise.IsValid() {
		out.advertise = out.local
	}
	if out.advertise.Port() == 0 {
		out.advertise = netip.AddrPortFrom(out.advertise.Addr(), out.local.Port())
	}
	return out, nil
}

// Addrs are the addresses that listeners are bound to, in the order of the
// options: they tell which port a 0 became.
func (t *Transport) Addrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(t.listeners))
	for i, l := range t.listeners {
		addrs[i] = l.local
	}
	return addrs
}

// Advertise returns how others reach the listener that is bound to local.
func (t *Transport) Advertise(local netip.AddrPort) netip.AddrPort {
	if l := t.listener(local); l != nil {
		return l.advertise
	}
	return local
}

func (t *Transport) listener(local netip.AddrPort) *listener {
	for _, l := range t.listeners {
		if l.local == local {
			return l
		}
	}
	return nil
}

// Send puts b on a flow. It never blocks and does not keep b. A datagram that the
// kernel has no room for is lost, as datagrams are. A flow of another
// family or of a listener that is gone is an error.
func (t *Transport) Send(f location.Flow, b []byte) error {
	l := t.listener(f.Local)
	if l == nil || f.Transport != location.UDP || !f.Remote.IsValid() {
		return ErrNoListener
	}
	// One peer always by the same socket: its messages keep their order.
	s := l.sockets[int(f.Remote.Port())%len(l.sockets)]
	if err := s.write(b, f.Remote); err != nil {
		t.metrics.sendErrors.Inc()
		return fmt.Errorf("transport: send to %s: %w", f.Remote, err)
	}
	t.metrics.sent.Inc()
	return nil
}

// Run reads until ctx ends, and returns when no reader is left and all sockets
// are closed.
func (t *Transport) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, l := range t.listeners {
		for _, s := range l.sockets {
			wg.Go(func() {
				if err := t.read(ctx, l, s); err != nil {
					cancel(err)
				}
			})
		}
	}
	<-ctx.Done()
	for _, l := range t.listeners {
		for _, s := range l.sockets {
			if !s.hogs() {
				_ = s.close() // wakes its reader
			}
		}
	}
	wg.Wait()
	t.close()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (t *Transport) close() {
	for _, l := range t.listeners {
		for _, s := range l.sockets {
			_ = s.close()
		}
	}
}

// maxDatagram is the largest UDP payload.
const maxDatagram = 65535

// read hands what s receives to the handler until ctx ends.
func (t *Transport) read(ctx context.Context, l *listener, s socket) error {
	if s.hogs() {
		defer reserve()()
	}
	buf := make([]byte, maxDatagram)
	p := &Packet{Flow: location.Flow{Transport: location.UDP, Local: l.local}}
	for {
		n, from, ok, err := s.read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("transport: read %s: %w", l.local, err)
		case !ok:
			runtime.Gosched() // see udp.read
			continue
		case keepAlive(buf[:n]):
			t.metrics.keepAlives.Inc()
			continue
		}
		t.metrics.received.Inc()
		p.Flow.Remote, p.Received, p.Err = from, time.Now(), nil
		if err := p.Msg.Parse(buf[:n]); err != nil {
			p.Err = p.Msg.Err()
			t.metrics.garbage.Inc()
		}
		t.handle(p)
	}
}

// handle runs the handler; a panic ends the message, not the reader.
func (t *Transport) handle(p *Packet) {
	defer func() {
		if v := recover(); v != nil {
			t.metrics.panics.Inc()
			t.opts.Logger.Error("panic ends a message", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
		}
	}()
	t.opts.Handler(p)
}

// keepAlive reports whether a datagram only keeps a NAT binding open: nothing,
// line ends (RFC 5626 §3.5.1 says CRLF for streams; phones send it over UDP as
// well), or a few zero bytes.
func keepAlive(b []byte) bool {
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

// A Packet is a message and where it came from.
type Packet struct {
	Msg      wire.Message
	Flow     location.Flow // to answer on
	Received time.Time
	Err      *wire.ParseError // what is wrong with Msg, nil: nothing
	owned    bool
}

// Own returns a copy of p that stays, or p itself when it is one already.
func (p *Packet) Own() *Packet {
	if p.owned {
		return p
	}
	q := &Packet{Flow: p.Flow, Received: p.Received, Err: p.Err, owned: true}
	p.Msg.CloneTo(&q.Msg)
	return q
}
