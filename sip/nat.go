package sip

import (
	"bytes"
	"net/netip"

	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// behindNAT reports whether the session description of p comes from behind NAT:
// neither it nor the Contact names the address the request came from, so the
// sender does not know how it is reached (architecture.md §3). A device that
// signals from its own address and takes media elsewhere is not meant.
func behindNAT(p *transport.Packet) bool {
	if p.Flow.WebSocket() { // its Contact is never an address, and its media is not ours to judge
		return false
	}
	media, ok := connection(p.Msg.Body())
	source := p.Flow.Remote.Addr().Unmap().WithZone("")
	if !ok || media.IsUnspecified() || media == source { // unspecified: on hold
		return false
	}
	for v := range p.Msg.All(wire.Contact) {
		n, ok := wire.ParseNameAddr(v.Bytes())
		if !ok {
			return true
		}
		u, _ := wire.ParseURI(n.URI)
		a, err := netip.ParseAddr(string(bytes.Trim(u.Host, "[]")))
		return err != nil || a.Unmap() != source
	}
	return false
}

// connection returns the address of the first connection field of a session
// description (RFC 8866 §5.7).
func connection(sdp []byte) (netip.Addr, bool) {
	const ip4, ip6 = "c=IN IP4 ", "c=IN IP6 "
	for line := range bytes.Lines(sdp) {
		if !bytes.HasPrefix(line, []byte(ip4)) && !bytes.HasPrefix(line, []byte(ip6)) {
			continue
		}
		text, _, _ := bytes.Cut(bytes.TrimSpace(line[len(ip4):]), []byte("/"))
		a, err := netip.ParseAddr(string(text))
		return a.Unmap(), err == nil
	}
	return netip.Addr{}, false
}
