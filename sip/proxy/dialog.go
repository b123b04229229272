package proxy

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
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
	popped    bool
	ok        bool
}

// Valid reports that the request may be forwarded.
func (d Dialog) Valid() bool { return d.ok }

// isOurs reports whether a URI of a Route names one of our listeners.
func (x *Proxy) isOurs(u wire.URI) bool {
	if !bytes.EqualFold(u.Scheme, []byte("sip")) {
		return false
	}
	port := uint64(5060)
	if len(u.Port) > 0 {
		var err error
		if port, err = strconv.ParseUint(string(u.Port), 10, 16); err != nil {
			return false
		}
	}
	host := bytes.Trim(u.Host, "[]")
	for _, ours := range x.ours {
		if uint16(port) == ours.Port() && isAddr(host, ours.Addr()) {
			return true
		}
	}
	return false
}

// isAddr reports whether text is the address a.
func isAddr(text []byte, a netip.Addr) bool {
	var room [64]byte
	if bytes.Equal(text, a.AppendTo(room[:0])) {
		return true
	}
	if a.Is4() { // written in one way only
		return false
	}
	other, err := netip.ParseAddr(string(text))
	return err == nil && other == a
}

// ourRoute reports whether the value of a Route or Record-Route is ours.
func (x *Proxy) ourRoute(v wire.Value) bool {
	na, ok := wire.ParseNameAddr(v.Bytes())
	if !ok {
		return false
	}
	u, ok := wire.ParseURI(na.URI)
	return ok && x.isOurs(u)
}

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
		if d.flow, d.ok = x.find(p, tok.Other(dir), there, d.direction); !d.ok {
			return Dialog{}, 480
		}
		return d, 0
	}
	return Dialog{}, 481
}

// OwnRoute reports whether the topmost Route of a request that belongs to no
// dialog is ours, to be popped. It is not ok when there is one of somebody else:
// a device has no business to route past us.
func (x *Proxy) OwnRoute(p *transport.Packet) (popped, ok bool) {
	for v := range p.Msg.All(wire.Route) {
		if !x.ourRoute(v) {
			return false, false
		}
		popped = true
	}
	return popped, true
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
		if u, ok := wire.ParseURI(na.URI); ok && x.isOurs(u) {
			d.popped = true
			return u.User, d
		}
	}
	u, ok := wire.ParseURI(m.RequestURI())
	if !ok || len(u.User) == 0 || !x.isOurs(u) {
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
	d.uri = na.URI
	return u.User, d
}

// comesFrom reports whether p was sent by side: down a flow, or from an address,
// of that end (trust.md §1).
func (x *Proxy) comesFrom(p *transport.Packet, s auth.Side, domain string, dir auth.Direction) bool {
	if s.Kind == auth.Address {
		return s.Transport == p.Flow.Transport && s.Addr.Addr() == p.Flow.Remote.Addr()
	}
	bs, known := x.bindings(s, domain)
	for i := range bs {
		if bs[i].Flow.Transport == p.Flow.Transport && bs[i].Flow.Remote.Addr() == p.Flow.Remote.Addr() {
			return true
		}
	}
	if known {
		return false
	}
	f, ok := x.remembered(p, dir == auth.Downstream)
	return ok && f.Transport == p.Flow.Transport && f.Remote.Addr() == p.Flow.Remote.Addr()
}

// find returns the flow to side: the newest one of its binding, else the one the
// call was made over.
func (x *Proxy) find(p *transport.Packet, s auth.Side, domain string, dir auth.Direction) (location.Flow, bool) {
	if s.Kind == auth.Address {
		if int(s.Listener) >= len(x.locals) {
			return location.Flow{}, false
		}
		return location.Flow{Transport: s.Transport, Local: x.locals[s.Listener], Remote: s.Addr}, true
	}
	bs, _ := x.bindings(s, domain)
	best := -1
	for i := range bs {
		if best < 0 || nearer(&bs[i], &bs[best], s.Mark, p.Msg.RequestURI()) {
			best = i
		}
	}
	if best >= 0 {
		return bs[best].Flow, true
	}
	return x.remembered(p, dir == auth.Upstream)
}

// nearer prefers the exact instance, then the binding whose contact is the
// Request-URI, then the one seen last.
func nearer(a, b *location.Binding, mark auth.Mark, uri []byte) bool {
	am, bm := auth.MarkOf(a.Device, instance(a)) == mark, auth.MarkOf(b.Device, instance(b)) == mark
	if am != bm {
		return am
	}
	au, bu := a.Contact == string(uri), b.Contact == string(uri)
	if au != bu {
		return au
	}
	return a.Seen.After(b.Seen)
}

func instance(b *location.Binding) string {
	if b.Instance != "" {
		return b.Instance
	}
	return b.Contact
}

// bindings returns the bindings that side may mean: those of its device.
func (x *Proxy) bindings(s auth.Side, domain string) (bs location.Bindings, known bool) {
	aor, err := location.NewAOR(s.Name, domain)
	if err != nil {
		return nil, false
	}
	all := x.loc.Bindings(aor)
	n := 0
	for i := range all {
		if auth.MarkOf(all[i].Device, instance(&all[i])).Device == s.Mark.Device {
			n++
		}
	}
	if n == len(all) {
		return all, n > 0
	}
	for i := range all {
		if auth.MarkOf(all[i].Device, instance(&all[i])).Device == s.Mark.Device {
			bs = append(bs, all[i])
		}
	}
	return bs, n > 0
}

// remembered returns the flow that an end had when the call was answered: for a
// device that is no longer registered.
func (x *Proxy) remembered(p *transport.Packet, caller bool) (location.Flow, bool) {
	call, ok := x.callOf(&p.Msg)
	if !ok {
		return location.Flow{}, false
	}
	addr := call.CalleeAddr
	if caller {
		addr = call.CallerAddr
	}
	return location.Flow{Transport: location.UDP, Local: p.Flow.Local, Remote: addr}, addr.IsValid()
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
	o.strict = d.uri != nil
}

// InDialog forwards a request within a dialog by its token.
func (x *Proxy) InDialog(set *transaction.Set, srv *transaction.Server, d Dialog) {
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
	r.add(&o, p)
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
		next := *c
		next.State, next.EndedAt = feed.Ended, time.Now()
		if err := x.calls.Ended(&next); err != nil {
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

// callerSide is the caller as the token of a call names it: its binding when it
// is registered from here, else the flow it proved.
func (x *Proxy) callerSide(p *transport.Packet, from From) auth.Side {
	if from.Caller.Number != "" && from.Origin == routing.OriginDevice {
		if aor, err := location.NewAOR(from.Caller.Number, from.Caller.Domain); err == nil {
			bs := x.loc.Bindings(aor)
			for i := range bs {
				if bs[i].Device == from.Caller.Device && sameAddr(bs[i].Flow, p.Flow) {
					return auth.Side{Kind: auth.Line, Name: from.Caller.Number, Mark: auth.MarkOf(bs[i].Device, instance(&bs[i]))}
				}
			}
		}
	}
	at := slices.Index(x.locals, p.Flow.Local)
	return auth.Side{Kind: auth.Address, Addr: p.Flow.Remote, Transport: p.Flow.Transport, Listener: uint8(max(0, at))}
}

// sideOf is a target as the token of a call names it.
func sideOf(number string, t *ring.Target) auth.Side {
	return auth.Side{Kind: auth.Line, Name: number, Mark: auth.MarkOf(t.Device, t.Instance)}
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
