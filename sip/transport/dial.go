package transport

import (
	"context"
	"fmt"
	"net/netip"

	"bellhop/routing/location"
)

// Dial returns a flow to a peer that we may call by its address: a trunk, never
// a device. A connection of the same transport, address and server name that is
// open is used again (RFC 5923); otherwise one is made, and Dial waits until it
// stands or ctx ends. serverName is what the certificate of a TLS peer must be
// for. The Local of the flow is a listener of that transport, or else one of the
// same address family.
//
// A flow whose connection is gone fails at the next Send: Dial again.
func (t *Transport) Dial(_ context.Context, tr location.Transport, addr netip.AddrPort, _ string) (location.Flow, error) {
	if tr != location.UDP {
		return location.Flow{}, fmt.Errorf("transport: dial %s: not built", tr)
	}
	for _, ln := range t.listeners {
		if ln.local.Addr().Is4() == addr.Addr().Unmap().Is4() {
			return location.Flow{Transport: tr, Local: ln.local, Remote: addr}, nil
		}
	}
	return location.Flow{}, ErrNoListener
}
