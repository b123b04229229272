package trunk

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// Next returns the flow of a request within a call to the next hop that uri names:
// the topmost Route, or the Contact of a peer of the trunk (RFC 3261 §8.1.2, RFC
// 3263). was is the flow that the call has. One whose connection is gone is made
// again to the peer that it was to, if that is still one of the trunk's. It may
// wait for DNS and for a connection.
func (m *Manager) Next(ctx context.Context, domain, name, uri string, was location.Flow) (location.Flow, error) {
	ways := m.back(ctx, domain, name, was)
	p, err := peerOf([]byte(uri))
	if err == nil {
		var found []endpoint
		found, err = m.resolver.resolve(ctx, p)
		slices.SortStableFunc(found, func(a, b endpoint) int { // rather the way it goes already
			return cmp.Compare(differs(a.transport != was.Transport), differs(b.transport != was.Transport))
		})
		for _, ep := range found {
			ways = append(ways, &way{endpoint: ep})
		}
	}
	for _, w := range ways {
		if m.dial(ctx, []*way{w}); w.err == nil {
			return w.flow, nil
		}
		err = w.err
	}
	return location.Flow{}, err
}

// back returns the ways to the peer of a trunk that had a connection.
func (m *Manager) back(ctx context.Context, domain, name string, was location.Flow) (ways []*way) {
	if was.Transport == location.UDP {
		return nil
	}
	m.mu.Lock()
	t := m.trunks[key{domain, name}]
	var peers []*peer
	if t != nil {
		peers = t.peers
	}
	m.mu.Unlock()
	if t == nil {
		return nil
	}
	ways = m.resolve(ctx, t, peers)
	ways = slices.DeleteFunc(ways, func(w *way) bool {
		return w.transport != was.Transport || w.addr.Addr() != was.Remote.Addr()
	})
	slices.SortStableFunc(ways, func(a, b *way) int { // that very port first: it was we who dialled
		return cmp.Compare(differs(a.addr != was.Remote), differs(b.addr != was.Remote))
	})
	return ways
}

func differs(is bool) int {
	if is {
		return 1
	}
	return 0
}

// peerOf reads the host of a SIP URI as that of a peer: with its port and
// transport. A maddr, which nobody needs who has Route, counts as the host (RFC
// 3261 §19.1.1).
func peerOf(uri []byte) (p directory.Peer, err error) {
	u, ok := wire.ParseURI(uri)
	if !ok || len(u.Host) == 0 {
		return p, fmt.Errorf("trunk: %q is no next hop", uri)
	}
	host := u.Host
	if maddr, ok := u.Param("maddr"); ok && len(maddr) > 0 {
		host = maddr
	}
	p.Host = string(bytes.ToLower(bytes.Trim(host, "[]")))
	if len(u.Port) > 0 {
		n, err := strconv.ParseUint(string(u.Port), 10, 16)
		if err != nil {
			return p, fmt.Errorf("trunk: port of %q: %w", uri, err)
		}
		p.Port = uint16(n)
	}
	if t, ok := u.Param("transport"); ok {
		p.Transport = string(bytes.ToLower(t))
	}
	if bytes.EqualFold(u.Scheme, []byte("sips")) {
		p.Transport = "tls" // RFC 3261 §26.2.2
	}
	return p, nil
}
