package proxy

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"strconv"

	"bellhop/routing"
	"bellhop/routing/location"
	"bellhop/sip/auth"
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
	token   *auth.Token    // of our Record-Route, nil: none
	came    *location.Flow // how the request came
	breadth int            // Max-Breadth, 0: as received
	hops    []routing.Hop
	domain  string
	alert   string
	realm   string
	from    *auth.From
	popped  bool // our own Route value goes
	forked  bool // one of several branches of an INVITE
	inside  bool // belongs to a dialog
	strict  bool // the last Route value became the Request-URI (RFC 3261 §16.4)
}

// A composer is the memory that composing a message takes, lent by a pool.
type composer struct {
	wire.Splice
	line  []byte // header lines being written
	token []byte
}

// compose appends the request p as the branch o forwards it (RFC 3261 §16.6):
// fields spliced in, out and over, everything else byte for byte.
func (x *Proxy) compose(dst []byte, p *transport.Packet, o *outgoing) []byte {
	c := x.composers.Get().(*composer)
	defer x.composers.Put(c)
	m := &p.Msg
	c.Reset(m)
	if o.uri != nil {
		c.SetRequestURI(o.uri)
	}
	o.came = &p.Flow
	x.insertTop(c, m, o)
	x.fixTopVia(c, p)
	c.decrement(m)
	x.dropRoutes(c, m, o)
	c.line = c.line[:0]
	for _, r := range o.routes {
		c.line = wire.AppendLine(c.line, "Route", r)
	}
	if len(c.line) > 0 {
		c.InsertBefore(wire.Route, c.line)
	}
	auth.DropCredentials(&c.Splice, m, o.realm)
	if !o.inside {
		auth.Cross(&c.Splice, m, o.from)
		c.line = auth.AppendHistory(c.line[:0], o.hops, o.domain)
		if o.breadth > 0 {
			c.RemoveAll(wire.MaxBreadth)
			c.line = append(c.line, "Max-Breadth: "...)
			c.line = strconv.AppendInt(c.line, int64(o.breadth), 10)
			c.line = append(c.line, "\r\n"...)
		}
		if o.forked {
			c.dropReliable(m)
		}
		if o.alert != "" {
			c.RemoveAll(wire.AlertInfo)
			c.line = wire.AppendLine(c.line, "Alert-Info", o.alert)
		}
		c.Append(c.line)
	}
	return c.AppendTo(dst)
}

// dropReliable takes 100rel out of Supported: responses of several branches lose
// their session description on the way up (rule ring.early-media), and one that was
// sent reliably must not (RFC 3262 §3).
func (c *composer) dropReliable(m *wire.Message) {
	for v := range m.All(wire.Supported) {
		if bytes.EqualFold(v.Bytes(), []byte("100rel")) {
			c.Remove(v)
		}
	}
}

// insertTop puts our Via and, with a token, our Record-Route on top.
func (x *Proxy) insertTop(c *composer, m *wire.Message, o *outgoing) {
	ours := x.net.Advertise(o.flow.Local)
	c.line = append(c.line[:0], "Via: SIP/2.0/"...)
	c.line = append(append(c.line, o.flow.Transport.String()...), ' ')
	c.line = ours.AppendTo(c.line)
	c.line = append(c.line, ";branch="...)
	c.line = o.id.AppendBranch(c.line, o.loop)
	c.line = append(c.line, "\r\n"...)
	if o.token != nil {
		c.token = x.appendToken(c.token[:0], m, o.domain, o.token)
		sips := isSIPS(m.RequestURI())
		c.recordRoute(ours, o.flow.Transport, sips)
		// Each end gets an address it reaches (RFC 5658).
		if came := x.net.Advertise(o.came.Local); came != ours || o.came.Transport != o.flow.Transport {
			c.recordRoute(came, o.came.Transport, sips)
		}
	}
	c.InsertTop(c.line)
}

// recordRoute adds our Record-Route with the token that was made last; none when
// it could not be made.
func (c *composer) recordRoute(at netip.AddrPort, tr location.Transport, sips bool) {
	if len(c.token) == 0 {
		return
	}
	scheme, param := "sip:", auth.TransportParam(tr)
	if sips { // RFC 3261 §16.6 step 4
		if scheme = "sips:"; tr == location.TLS {
			param = ""
		}
	}
	c.line = append(append(c.line, "Record-Route: <"...), scheme...)
	c.line = append(append(c.line, c.token...), '@')
	c.line = at.AppendTo(c.line)
	c.line = append(c.line, param...)
	c.line = append(c.line, ";lr>\r\n"...)
}

// isSIPS reports whether a URI is to be reached over TLS all the way (RFC 3261
// §26.2.2).
func isSIPS(uri []byte) bool { return len(uri) > 5 && bytes.EqualFold(uri[:5], []byte("sips:")) }

// dropRoutes takes out the Route values that were for us: one, or two where the
// call crosses from one listener to another. Outside of a dialog all of them are
// ([auth.Ends.Popped]).
func (x *Proxy) dropRoutes(c *composer, m *wire.Message, o *outgoing) {
	if o.popped {
		for v := range m.All(wire.Route) {
			if o.inside && !x.ends.OurRoute(v) {
				return
			}
			c.Remove(v)
		}
	}
	if o.strict {
		var last wire.Value
		for v := range m.All(wire.Route) {
			last = v
		}
		c.Remove(last)
	}
}

// fixTopVia fills received and rport of the Via the request came with
// (RFC 3261 §18.2.1, RFC 3581 §4).
func (x *Proxy) fixTopVia(c *composer, p *transport.Packet) {
	via := p.Msg.TopVia()
	if !via.HasRPort && len(via.Received) == 0 {
		c.line = p.Flow.Remote.Addr().AppendTo(c.line[:0])
		if bytes.Equal(c.line, bytes.Trim(via.Host, "[]")) {
			return
		}
	}
	c.line = p.Msg.AppendTopVia(c.line[:0], p.Flow.Remote)
	c.Replace(via.Value, c.line)
}

// decrement takes one from Max-Forwards (RFC 3261 §16.6 step 3).
func (c *composer) decrement(m *wire.Message) {
	n, ok := m.MaxForwards()
	if !ok {
		n = maxForwards + 1
	}
	c.SetMaxForwards(n - 1)
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

// Loop returns the value by which a request is known again, and whether it went
// through here before, unchanged in all that routing looks at (RFC 3261 §16.3
// step 4).
func (x *Proxy) Loop(p *transport.Packet) (value uint32, looped bool) {
	value = x.loop(&p.Msg)
	return value, x.looped(&p.Msg, value, p.Flow.Local)
}

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

func atoi(b []byte, otherwise int) int {
	n, err := strconv.Atoi(string(b))
	if err != nil || n < 0 {
		return otherwise
	}
	return n
}
