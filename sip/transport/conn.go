package transport

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// conn is an endpoint on any net.PacketConn.
type conn struct {
	t     *Transport
	pc    net.PacketConn
	local netip.AddrPort
	shut  func() error
}

func newConn(t *Transport, pc net.PacketConn) *conn {
	return &conn{t: t, pc: pc, local: addrPort(pc.LocalAddr()), shut: sync.OnceValue(pc.Close)}
}

func (c *conn) read() error {
	b := make([]byte, wire.MaxMessage+1) // one more, so that it is seen to be too large
	p := &Packet{Flow: location.Flow{Transport: location.UDP, Local: c.local}}
	for {
		n, from, err := c.pc.ReadFrom(b)
		if err != nil {
			return err
		}
		p.Flow.Remote = addrPort(from)
		c.t.deliver(p, b[:n])
	}
}

func (c *conn) send(b []byte, _ netip.Addr, to netip.AddrPort) error {
	_, err := c.pc.WriteTo(b, net.UDPAddrFromAddrPort(to))
	if errors.Is(err, net.ErrClosed) {
		return ErrClosed
	}
	return err
}

func (c *conn) wake()         { _ = c.shut() }
func (c *conn) close() error  { return c.shut() }
func (c *conn) drops() uint64 { return 0 }

// addrPort converts the address of a datagram.
func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
