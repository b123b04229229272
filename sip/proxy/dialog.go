package proxy

import (
	"bytes"
	"net/netip"
	"time"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A Dialog is where a request within a dialog goes, read from the token of our
// Record-Route alone: no memory of the call is needed (RFC 3261 §16.12).
type Dialog struct {
	flow      location.Flow
	direction auth.Direction
	uri       []byte // of a strict router: the Request-URI to restore
	contact   []byte // what the Request-URI becomes, which is a GRUU (RFC 5627 §4.4)
	popped    bool
	ok        bool

	side auth.Side // of a BYE: who it is for, in the domain home
	home string
}

// Valid reports that the request may be forwarded.
func (d Dialog) Valid() bool { return d.ok }

// Dialog proves that a request belongs to a dialog of ours and finds the other
// end. domains are the canonical names of the domains of From and To; "" for
// none of ours. When it is not valid, status says how to refuse it: 481 for no
// dialog of ours, 403 for a sender that is not the end it claims to be, 480 for
// an end that is gone.
func (x *Proxy) Dialog(p *transport.Packet, fromDomain, toDomain string) (d Dialog, status int) {
	m := &p.Msg
	token, d := x.ownRoute(p)
	if token == nil {
		return Dialog{}, 481
	}
	for _, domain := range [...]string{fromDomain, toDomain} {
		if domain == "" {
			continue
		}
		tok, dir, ok := x.tokens.Verify(token, domain, m.CallID(), m.FromTag(), m.ToTag())
		if !ok {
			continue
		}
		d.direction = dir
		here, there := fromDomain, toDomain
		if here == "" {
			here = domain
		}
		if there == "" {
			there = domain
		}
		if !x.comesFrom(p, tok.Origin(dir), here, d.direction) {
			return Dialog{}, 403
		}
		d.flow, d.ok = x.find(p, tok.Other(dir), there, d.direction)
		if waits(m, tok.Other(dir)) {
			d.side, d.home = tok.Other(dir), there
			if !d.ok {
				d.flow, d.ok = location.Flow{}, true
			}
		}
		if !d.ok {
			return Dialog{}, 480
		}
		if d.uri == nil && isGRUU(m.RequestURI()) {
			if contact, ok := x.ends.Contact(tok.Other(dir), there, d.flow); ok {
				d.contact = []byte(contact)
			}
		}
		return d, 0
	}
	return Dialog{}, 481
}

// isGRUU reports whether a URI is that of one instance (RFC 5627 §3.1).
func isGRUU(uri []byte) bool {
	if !bytes.Contains(uri, []byte(";gr")) { // almost always
		return false
	}
	u, ok := wire.ParseURI(uri)
	_, gruu := u.Param("gr")
	return ok && gruu
}

// ownRoute takes our Route value off and returns its token: the topmost Route,
// or, behind a strict router, the Request-URI (RFC 3261 §16.4).
func (x *Proxy) ownRoute(p *transport.Packet) (token []byte, d Dialog) {
	m := &p.Msg
	if v, ok := m.Get(wire.Route); ok {
		for first := range m.All(wire.Route) {
			v = first
			break
		}
		na, ok := wire.ParseNameAddr(v.Bytes())
		if !ok {
			return nil, d
		}
		if u, ok := wire.ParseURI(na.URI); ok && x.ends.Ours(u) {
			d.popped = true
			return u.User, d
		}
	}
	u, ok := wire.ParseURI(m.RequestURI())
	if !ok || len(u.User) == 0 || !x.ends.Ours(u) {
		return nil, d
	}
	var last wire.Value
	for v := range m.All(wire.Route) {
		last = v
	}
	if last.IsZero() {
		return nil, d
	}
	na, ok := wire.ParseNameAddr(last.Bytes())
	if !ok {
		return nil, d
	}
	d.uri = bytes.Clone(na.URI) // the request may wait
	return u.User, d
}

// comesFrom reports whether p was sent by side: down a flow, or from an address,
// of that end (trust.md §1).
func (x *Proxy) comesFrom(p *transport.Packet, s auth.Side, domain string, dir auth.Direction) bool {
	if is, known := x.ends.From(p.Flow, s, domain); is || known {
		return is
	}
	addr, ok := x.remembered(p, dir == auth.Downstream)
	return ok && addr.Addr() == p.Flow.Remote.Addr() && (addr.Port() == 0) == (p.Flow.Transport != location.UDP)
}

// find returns the flow to side: the newest one of its binding, else the one the
// call was made over.
func (x *Proxy) find(p *transport.Packet, s auth.Side, domain string, dir auth.Direction) (location.Flow, bool) {
	if f, ok := x.ends.Find(s, domain, p.Msg.RequestURI()); ok || s.Kind == auth.Address {
		return f, ok
	}
	addr, ok := x.remembered(p, dir == auth.Upstream)
	return location.Flow{Transport: location.UDP, Local: p.Flow.Local, Remote: addr}, ok && addr.Port() != 0
}

// remembered returns where an end was when the call was answered: for a device
// that is no longer registered. The port of one that had a connection is 0.
func (x *Proxy) remembered(p *transport.Packet, caller bool) (netip.AddrPort, bool) {
	call, ok := x.callOf(&p.Msg)
	if !ok {
		return netip.AddrPort{}, false
	}
	addr := call.CalleeAddr
	if caller {
		addr = call.CallerAddr
	}
	return addr, addr.IsValid()
}

func (x *Proxy) callOf(m *wire.Message) (*feed.Call, bool) {
	if c, ok := x.calls.Find(m.CallID(), m.FromTag()); ok {
		return c, true
	}
	return x.calls.Find(m.CallID(), m.ToTag())
}

// Ack forwards the ACK of a 2xx: it has no transaction, and needs no answer.
func (x *Proxy) Ack(p *transport.Packet, d Dialog) {
	var o outgoing
	x.within(&o, p, d)
	o.id = transaction.NewID()
	buf := x.txs.Buffer()
	*buf = x.compose(*buf, p, &o)
	if x.net.Send(o.flow, *buf) != nil {
		x.metrics.sendFailed.Inc()
	}
	x.txs.Release(buf)
}

// StrayAck counts an ACK that was for nobody.
func (x *Proxy) StrayAck() { x.metrics.strayAck.Inc() }

func (x *Proxy) within(o *outgoing, p *transport.Packet, d Dialog) {
	o.flow, o.popped, o.inside, o.uri = d.flow, d.popped, true, d.uri
	o.loop = x.loop(&p.Msg)
	if o.strict = d.uri != nil; d.contact != nil {
		o.uri = d.contact
	}
}

// InDialog forwards a request within a dialog by its token.
func (x *Proxy) InDialog(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, d Dialog) {
	p := srv.Request
	r := &relay{x: x, set: set, srv: srv}
	srv.User = r
	var o outgoing
	x.within(&o, p, d)
	switch srv.Method() {
	case wire.Bye:
		r.finished = x.hungUp(&p.Msg)
	case wire.Invite, wire.Update:
		r.finished = x.alive(&p.Msg)
	default:
	}
	if !d.flow.IsZero() {
		r.add(&o, p)
	}
	if r.open == 0 && waits(&p.Msg, d.side) {
		x.await(ln, set, p, d)
	} else {
		srv.Brief(true)
	}
	r.start(480)
}

// hungUp ends the account of the call that the BYE m belongs to, before its
// final response goes up: whatever that is, the call is over for the sender.
func (x *Proxy) hungUp(m *wire.Message) func(int) {
	c, ok := x.callOf(m)
	if !ok {
		return nil
	}
	return func(int) {
		over := &ended{call: *c} // in one piece: every call ends so
		next := &over.call
		next.State, next.EndedAt = feed.Ended, time.Now()
		next.Legs = feed.AppendEnded(over.legs[:0], c.Legs, next.EndedAt)
		if err := x.calls.Ended(next); err != nil {
			x.metrics.journalFailed.Inc()
			x.log.Error("record not journaled", "call", next.ID, "err", err)
		}
	}
}

// alive notes a sign of life of a call: a re-INVITE or UPDATE that was accepted
// (rule busy).
func (x *Proxy) alive(m *wire.Message) func(int) {
	c, ok := x.callOf(m)
	if !ok {
		return nil
	}
	id := c
	return func(status int) {
		if status/100 == 2 {
			next := *id
			next.Deadline = time.Now().Add(callDeadline)
			x.calls.Update(&next)
		}
	}
}

// appendToken appends the token of a call, or nothing when it cannot be made.
func (x *Proxy) appendToken(dst []byte, m *wire.Message, domain string, t *auth.Token) []byte {
	out, err := x.tokens.Append(dst, *t, domain, m.CallID(), m.FromTag())
	if err != nil {
		x.log.Warn("no token for a call", "err", err)
		return dst
	}
	return out
}
