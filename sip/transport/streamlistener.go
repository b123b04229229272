package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// A doorway is a listener for connections.
type doorway struct {
	t        *Transport
	ln       net.Listener
	protocol location.Transport
	local    netip.AddrPort
	tls      *tls.Config
	fronts   []netip.Prefix // load balancers
}

// openDoor binds a listener for connections.
func openDoor(t *Transport, l Listener) (*doorway, error) {
	d := &doorway{t: t, ln: l.Stream, protocol: l.Transport, fronts: l.ProxyFrom}
	if l.Transport == location.TLS {
		if l.TLS == nil {
			return nil, errors.New("a TLS listener needs a certificate")
		}
		d.tls = l.TLS.Clone()
		d.tls.MinVersion = max(d.tls.MinVersion, tls.VersionTLS12)
		if d.tls.ClientCAs != nil {
			d.tls.ClientAuth = tls.RequestClientCert // verifiedNames verifies: phones have certificates of their own
		}
	}
	if d.ln == nil {
		network := "tcp4"
		if l.Bind.Addr().Is6() {
			network = "tcp6"
		}
		lc := net.ListenConfig{KeepAliveConfig: keepAlive}
		err := errNoPort
		if l.Bind.Port() == 0 { // the one that UDP got, if it is free
			if beside := t.datagramPort(l.Bind.Addr()); beside.IsValid() {
				d.ln, err = lc.Listen(context.Background(), network, beside.String())
			}
		}
		if err != nil {
			d.ln, err = lc.Listen(context.Background(), network, l.Bind.String())
		}
		if err != nil {
			return nil, err
		}
	}
	d.local = tcpAddr(d.ln.Addr())
	if l.Bind.Addr().Is6() { // as the configuration has it
		d.local = netip.AddrPortFrom(l.Bind.Addr(), d.local.Port())
	}
	return d, nil
}

var errNoPort = errors.New("transport: no port yet")

// datagramPort is the port that the first UDP listener got at an address.
func (t *Transport) datagramPort(at netip.Addr) netip.AddrPort {
	for _, ln := range t.listeners {
		if ln.local.Addr() == at {
			return ln.local
		}
	}
	return netip.AddrPort{}
}

// keepAlive finds peers that are gone without a word within two minutes.
var keepAlive = net.KeepAliveConfig{ //nolint:gochecknoglobals // a constant
	Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4,
}

// longestPause is how long accepting rests at most after it failed, such as for
// want of file descriptors.
const longestPause = time.Second

// accept takes connections until ctx ends. No error ends it before: those that
// connect shall be able to as soon as there is room again. What a connection
// does before its first message happens on a goroutine of its own.
func (d *doorway) accept(ctx context.Context) {
	pause := time.Duration(0)
	for {
		nc, err := d.ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = nc.Close()
			}
			return
		}
		if err != nil {
			pause = min(max(2*pause, 5*time.Millisecond), longestPause)
			d.t.log.WarnContext(ctx, "accept failed", slog.String("listener", d.local.String()), slog.Any("err", err))
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			continue
		}
		pause = 0
		d.take(nc) //nolint:contextcheck // a connection ends with the transport, and by its own times
	}
}

// take makes a connection a peer, or closes it.
func (d *doorway) take(nc net.Conn) {
	s, from := d.t.streams, tcpAddr(nc.RemoteAddr())
	fronted := slices.ContainsFunc(d.fronts, func(front netip.Prefix) bool { return front.Contains(from.Addr()) })
	p, why := s.admit(wireLink{Conn: nc, raw: nc}, from.Addr(), fronted)
	if p == nil {
		s.metrics.refused(d.protocol, why)
		_ = nc.Close()
		return
	}
	go func() { // streams.close waits for it
		defer s.leave(p)
		if fronted {
			if from, why = d.behind(p, nc, from); why != "" {
				s.metrics.refused(d.protocol, why)
				p.close(why)
				return
			}
		}
		d.serve(p, nc, from)
	}()
}

// behind returns who the load balancer at from speaks for, and makes it pay.
func (d *doorway) behind(p *Peer, nc net.Conn, from netip.AddrPort) (client netip.AddrPort, why string) {
	_ = nc.SetReadDeadline(p.started.Add(provingTime)) // a closed connection needs none
	client, err := readProxyHeader(nc)
	switch {
	case err != nil:
		return from, reasonHandshake
	case !client.IsValid():
		return from, ""
	default:
		return client, d.t.streams.charge(p, client.Addr())
	}
}

// serve is the life of a connection.
func (d *doorway) serve(p *Peer, nc net.Conn, from netip.AddrPort) {
	l := wireLink{Conn: nc, raw: nc}
	if d.tls != nil {
		secure := tls.Server(nc, d.tls)
		if err := d.shake(p, secure); err != nil {
			p.close(reasonHandshake)
			d.t.streams.metrics.refused(d.protocol, reasonHandshake)
			return
		}
		l.Conn = secure
	}
	if !p.attach(l) {
		return
	}
	d.t.streams.enter(p, location.Flow{Transport: d.protocol, Local: d.local, Remote: from})
	p.close(d.t.receive(p, l))
}

// shake makes the handshake and looks at who the peer is.
func (d *doorway) shake(p *Peer, c *tls.Conn) error {
	if err := c.SetDeadline(p.started.Add(provingTime)); err != nil {
		return err
	}
	if err := c.HandshakeContext(context.Background()); err != nil { // the deadline ends it
		return err
	}
	p.names = verifiedNames(c.ConnectionState(), d.tls.ClientCAs)
	return c.SetDeadline(time.Time{})
}

// receive hands on what comes until the connection ends, and returns why.
func (t *Transport) receive(p *Peer, l wireLink) (why string) {
	var f framer
	s, m := t.streams, t.streams.metrics.of[p.flow.Transport]
	pk := &Packet{Flow: p.flow, Peer: p}
	heard, begun := time.Now(), time.Time{}
	for {
		room := f.room()
		if len(room) == 0 {
			size := f.larger()
			if !s.hold(p, size-baseBuffer) {
				return reasonUnparsed
			}
			f.grow(size)
			continue
		}
		s.hold(p, f.held())
		_ = l.SetReadDeadline(p.deadline(heard, begun)) // a closed connection needs none
		n, err := l.Read(room)
		if n > 0 {
			f.filled(n)
			heard = time.Now()
			if why := t.cut(&f, p, pk, m); why != "" {
				return why
			}
			switch {
			case !f.open():
				begun = time.Time{}
			case begun.IsZero() || f.from > 0: // another message than before
				begun = heard
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			if why := p.late(heard, begun); why != "" {
				return why
			}
		case errors.Is(err, io.EOF):
			return reasonPeer
		default:
			return reasonBroken
		}
	}
}

// cut hands on the frames that are there. It returns why the connection must
// end, if so.
func (t *Transport) cut(f *framer, p *Peer, pk *Packet, m *metrics) (why string) {
	pongs := 0
	for {
		what, err := f.next(&pk.Msg)
		switch what {
		case noFrame:
			return ""
		case isPing:
			m.keepalives.Inc()
			if pongs++; pongs == 1 && p.send(pong) != nil { // one for all that came at once
				return reasonQueue
			}
		case isMessage:
			t.hand(pk, m)
		case isLost:
			if err == nil || !pk.Msg.Answerable() {
				m.received.Inc()
				m.garbage.Inc()
				return reasonGarbage
			}
			t.hand(pk, m) // is told why; then the connection ends
			p.end(reasonGarbage)
			return reasonGarbage
		}
	}
}

var pong = []byte("\r\n") //nolint:gochecknoglobals // a constant

// hand gives a parsed message to the handler.
func (t *Transport) hand(p *Packet, m *metrics) {
	m.received.Inc()
	p.Received = time.Now()
	t.ladder.add(p.Received, false, p.Flow, p.Msg.Bytes())
	defer t.recoveredAs(p, m)
	if p.Err = p.Msg.Err(); p.Err != nil {
		if !p.Msg.Answerable() {
			m.garbage.Inc()
			return
		}
		m.malformed.Inc()
	}
	t.handler(p)
}

// recoveredAs keeps the daemon alive when the handler panicked.
func (t *Transport) recoveredAs(p *Packet, m *metrics) {
	v := recover()
	if v == nil {
		return
	}
	m.panics.Inc()
	t.log.Error("panic drops a message", slog.Any("panic", v), slog.String("stack", string(debug.Stack())),
		slog.String("call", string(p.Msg.CallID())), slog.String("remote", p.Flow.Remote.String()))
	p.Msg = wire.Message{} // whatever state it is in
}

// tcpAddr converts the address of a connection.
func tcpAddr(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// sendStream sends b down the connection of f.
func (t *Transport) sendStream(f location.Flow, b []byte) error {
	m := t.streams.metrics.of[f.Transport]
	if m == nil {
		return ErrNoListener
	}
	err := ErrGone
	if p := t.streams.peer(f); p != nil {
		err = p.send(b)
	}
	if err != nil {
		m.unsent.Inc()
		return err
	}
	m.sent.Inc()
	t.kept(f, b)
	return nil
}
