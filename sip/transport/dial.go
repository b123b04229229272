package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"bellhop/routing/location"
)

// Dial returns a flow to a peer that we may call by its address: a trunk, never
// a device. A connection of the same transport, address and server name that is
// open is used again (RFC 5923); otherwise one is made, and Dial waits until it
// stands or ctx ends. serverName is what the certificate of a TLS peer must be
// for; the peer has proved that name then. The Local of the flow is a listener of
// that transport, or else one of the same address family.
//
// A flow whose connection is gone fails at the next Send: Dial again.
func (t *Transport) Dial(ctx context.Context, tr location.Transport, addr netip.AddrPort, serverName string) (location.Flow, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	ln := t.toward(tr, addr.Addr())
	if ln == nil {
		return location.Flow{}, ErrNoListener
	}
	f := location.Flow{Transport: tr, Local: ln.local, Remote: addr}
	switch tr {
	case location.UDP:
		return f, nil
	case location.TCP:
		serverName = "" // the same connection for all names
	case location.TLS:
		serverName = strings.ToLower(serverName)
	case location.WS, location.WSS:
		return location.Flow{}, errors.New("transport: dial: browsers call, and are not called")
	default:
		return location.Flow{}, ErrNoListener
	}
	p, err := t.dials.get(ctx, target{tr, addr, serverName}, func() (*Peer, error) { return t.connect(ctx, f, serverName) })
	if err != nil {
		return location.Flow{}, fmt.Errorf("transport: dial %s %s: %w", tr, addr, err)
	}
	return p.flow, nil
}

// toward returns the listener that a peer at addr is to know us by, nil when none
// is of its address family: rather one that it can reach than one of its
// transport, and rather the first of the options.
func (t *Transport) toward(tr location.Transport, addr netip.Addr) (best *listener) {
	most := 0
	for _, ln := range t.all {
		local := ln.local.Addr()
		if local.Is4() != addr.Is4() || ln.protocol > location.TLS || tr == location.UDP && ln.protocol != tr {
			continue
		}
		n := 1
		if ln.protocol == tr {
			n++
		}
		if local.IsUnspecified() || local.IsLoopback() == addr.IsLoopback() {
			n += 2
		}
		if n > most {
			best, most = ln, n
		}
	}
	return best
}

// connect makes a connection. It counts as Proven: we chose the peer.
func (t *Transport) connect(ctx context.Context, f location.Flow, serverName string) (*Peer, error) {
	raw, err := t.dial(ctx, f.Local.Addr(), f.Remote)
	if err != nil {
		return nil, err
	}
	p, why := t.streams.admit(wireLink{Conn: raw, raw: raw}, f.Remote.Addr(), true)
	if p == nil {
		_ = raw.Close()
		return nil, errors.New("no room: " + why)
	}
	p.Prove(Proven)
	l := wireLink{Conn: raw, raw: raw}
	if f.Transport == location.TLS {
		var secure *tls.Conn
		if secure, err = t.shakeAsClient(ctx, raw, serverName); err == nil {
			l.Conn, p.names = secure, []string{serverName}
		}
	}
	if err != nil || !p.attach(l) {
		p.close(reasonHandshake)
		t.streams.leave(p)
		return nil, errors.Join(err, context.Cause(ctx))
	}
	t.streams.enter(p, f)
	go func() { // streams.close waits for it
		defer t.streams.leave(p)
		p.close(t.receive(p, l))
	}()
	return p, nil
}

func (t *Transport) shakeAsClient(ctx context.Context, raw net.Conn, serverName string) (*tls.Conn, error) {
	c := new(tls.Config)
	if t.clientTLS != nil {
		c = t.clientTLS.Clone()
	}
	c.MinVersion, c.ServerName = max(c.MinVersion, tls.VersionTLS12), serverName
	secure := tls.Client(raw, c)
	return secure, secure.HandshakeContext(ctx)
}

// dialTCP connects from the address of a listener, where it has one.
func dialTCP(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive}
	if !from.IsUnspecified() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

// A target is what connections that we made are known by.
type target struct {
	transport location.Transport
	addr      netip.AddrPort
	name      string
}

// dials are the connections that we made, one for each target.
type dials struct {
	mu  sync.Mutex // guards all
	all map[target]*dialed
}

// dialed is a connection that is made, or was.
type dialed struct {
	done chan struct{} // closed when peer is set
	peer *Peer         // nil: it failed
}

// get returns the open connection to a target, or makes one by connect. Who
// comes while one is made waits for it.
func (d *dials) get(ctx context.Context, to target, connect func() (*Peer, error)) (*Peer, error) {
	for {
		d.mu.Lock()
		e := d.all[to]
		if e == nil {
			e = &dialed{done: make(chan struct{})}
			d.all[to] = e
			d.mu.Unlock()
			var err error
			e.peer, err = connect()
			close(e.done)
			if err != nil {
				d.forget(to, e)
			}
			return e.peer, err
		}
		d.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-e.done:
		}
		if e.peer != nil {
			select {
			case <-e.peer.done:
			default:
				return e.peer, nil
			}
		}
		d.forget(to, e) // gone, or another failed: it is our turn
	}
}

func (d *dials) forget(to target, e *dialed) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all[to] == e {
		delete(d.all, to)
	}
}
