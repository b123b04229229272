package proxy

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"strconv"

	"bellhop/routing"
	"bellhop/routing/location"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// maxBreadth is the Max-Breadth of a request that came without (RFC 5393 §5.3.3).
const maxBreadth = 60

// maxForwards is the Max-Forwards of a request that came without (RFC 3261 §16.6 step 3).
const maxForwards = 70

// outgoing is what one branch changes in the request it forwards.
type outgoing struct {
	flow    location.Flow
	uri     []byte   // Request-URI, nil: as received
	routes  []string // Path of the binding (RFC 3327 §5.3)
	id      transaction.ID
	loop    uint32
	token   []byte // user part of our Record-Route, nil: none
	breadth int    // Max-Breadth, 0: as received
	hops    []routing.Hop
	domain  string
	alert   string
	realm   string
	origin  routing.Origin
	popped  bool // our own Route value goes
	inside  bool // belongs to a dialog
	strict  bool // the last Route value became the Request-URI (RFC 3261 §16.4)
}

// compose appends the request p as the branch o forwards it (RFC 3261 §16.6):
// fields spliced in, out and over, everything else byte for byte.
func (x *Proxy) compose(dst []byte, p *transport.Packet, o *outgoing) []byte {
	sp := x.splices.Get().(*wire.Splice)
	defer x.splices.Put(sp)
	m := &p.Msg
	sp.Reset(m)
	if o.uri != nil {
		sp.SetRequestURI(o.uri)
	}
	var room [512]byte
	top := room[:0]
	ours := x.net.Advertise(o.flow.Local)
	top = append(top, "Via: SIP/2.0/"...)
	top = append(top, o.flow.Transport.String()...)
	top = append(top, ' ')
	top = ours.AppendTo(top)
	top = append(top, ";branch="...)
	top = o.id.AppendBranch(top, o.loop)
	top = append(top, "\r\n"...)
	if o.token != nil {
		top = append(top, "Record-Route: <sip:"...)
		top = append(top, o.token...)
		top = append(top, '@')
		top = ours.AppendTo(top)
		top = append(top, ";lr>\r\n"...)
	}
	sp.InsertTop(top)
	x.fixTopVia(sp, p)
	x.decrement(sp, m)
	x.dropRoutes(sp, m, o)
	var routeRoom [256]byte
	lines := routeRoom[:0]
	for _, r := range o.routes {
		lines = append(lines, "Route: "...)
		lines = append(lines, r...)
		lines = append(lines, "\r\n"...)
	}
	if len(lines) > 0 {
		sp.InsertBefore(wire.Route, lines)
	}
	if o.realm != "" {
		dropCredentials(sp, m, wire.Authorization, o.realm)
		dropCredentials(sp, m, wire.ProxyAuthorization, o.realm)
	}
	var more []byte
	if !o.inside {
		x.cross(sp, m, o.origin)
		more = appendHops(more, o)
		if o.breadth > 0 {
			sp.RemoveAll(wire.MaxBreadth)
			more = append(more, "Max-Breadth: "...)
			more = strconv.AppendInt(more, int64(o.breadth), 10)
			more = append(more, "\r\n"...)
		}
		if o.alert != "" {
			sp.RemoveAll(wire.AlertInfo)
			more = append(append(append(more, "Alert-Info: "...), o.alert...), "\r\n"...)
		}
	}
	if len(more) > 0 {
		sp.Append(more)
	}
	return sp.AppendTo(dst)
}

// dropRoutes takes out the Route values that were for us.
func (x *Proxy) dropRoutes(sp *wire.Splice, m *wire.Message, o *outgoing) {
	if !o.popped && !o.strict {
		return
	}
	var last wire.Value
	for v := range m.All(wire.Route) {
		if o.popped {
			sp.Remove(v)
			return
		}
		last = v
	}
	sp.Remove(last)
}

// fixTopVia fills received and rport of the Via the request came with
// (RFC 3261 §18.2.1, RFC 3581 §4).
func (x *Proxy) fixTopVia(sp *wire.Splice, p *transport.Packet) {
	via := p.Msg.TopVia()
	if !via.HasRPort && len(via.Received) == 0 {
		if a, err := netip.ParseAddr(string(bytes.Trim(via.Host, "[]"))); err == nil && a == p.Flow.Remote.Addr() {
			return
		}
	}
	var room [256]byte
	sp.Replace(via.Value, p.Msg.AppendTopVia(room[:0], p.Flow.Remote))
}

// decrement takes one from Max-Forwards (RFC 3261 §16.6 step 3).
func (x *Proxy) decrement(sp *wire.Splice, m *wire.Message) {
	n, ok := m.MaxForwards()
	if !ok {
		n = maxForwards + 1
	}
	sp.SetMaxForwards(n - 1)
}

// dropCredentials removes those credentials that are for realm: they are ours
// and go no further (RFC 3261 §16.6 step 7, trust.md §1).
func dropCredentials(sp *wire.Splice, m *wire.Message, f wire.Field, realm string) {
	if !m.Has(f) {
		return
	}
	for v := range m.All(f) {
		if a, ok := wire.ParseAuth(v.Bytes()); ok {
			if r, ok := a.Param("realm"); ok && string(r) == realm {
				sp.Remove(v)
			}
		}
	}
}

// loop is the value by which a request is known again (RFC 3261 §16.6 step 8):
// of all that could change where it goes.
func (x *Proxy) loop(m *wire.Message) uint32 {
	var h maphash.Hash
	h.SetSeed(x.seed)
	_, _ = h.Write(m.RequestURI())
	_ = h.WriteByte(0)
	_, _ = h.Write(m.FromTag())
	_ = h.WriteByte(0)
	_, _ = h.Write(m.ToTag())
	_ = h.WriteByte(0)
	_, _ = h.Write(m.CallID())
	n := m.CSeq()
	_, _ = h.Write([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	if v, ok := m.Get(wire.Route); ok {
		_, _ = h.Write(v.Bytes())
	}
	return uint32(h.Sum64())
}

// looped reports that the request went through here before, unchanged in all
// that routing looks at (RFC 3261 §16.3 step 4).
func (x *Proxy) looped(m *wire.Message, loop uint32, local netip.AddrPort) bool {
	var room [64]byte
	ours := x.net.Advertise(local).AppendTo(room[:0])
	for v := range m.All(wire.Via) {
		via, ok := wire.ParseVia(v.Bytes())
		if !ok {
			continue
		}
		if _, l, ok := transaction.ParseBranch(via.Branch); !ok || l != loop {
			continue
		}
		if len(via.Host)+1+len(via.Port) == len(ours) && bytes.HasPrefix(ours, via.Host) && bytes.HasSuffix(ours, via.Port) {
			return true
		}
	}
	return false
}
