//go:build !linux

package transport

import (
	"net"
	"net/netip"
)

// openUDP binds one socket: where there is no SO_REUSEPORT that spreads peers,
// one reader is all there is.
func openUDP(t *Transport, bind netip.AddrPort, o *Options) (netip.AddrPort, []endpoint, error) {
	network := "udp4"
	if bind.Addr().Is6() {
		network = "udp6"
	}
	pc, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(bind))
	if err != nil {
		return netip.AddrPort{}, nil, err
	}
	for _, err := range []error{pc.SetReadBuffer(o.ReadBuffer), pc.SetWriteBuffer(o.WriteBuffer)} {
		if err != nil {
			t.log.Warn("kernel buffer not as asked", "error", err)
		}
	}
	c := newConn(t, pc)
	return c.local, []endpoint{c}, nil
}
