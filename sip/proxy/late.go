package proxy

import (
	"slices"
	"strconv"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A late is what is left of a call when its ringing is over: every 2xx that
// still comes goes up as it is (RFC 3261 §16.7 step 5). It is all that a finished
// transaction keeps alive.
type late struct {
	x   *Proxy
	srv *transaction.Server
}

// Response implements [transaction.User].
func (l *late) Response(_ *transaction.Client, res *wire.Message) {
	if res.Status()/100 != 2 {
		return
	}
	buf := l.x.txs.Buffer()
	*buf = l.x.appendUp(*buf, res, 0, false, nil)
	l.srv.Send(res.Status(), *buf)
	l.x.txs.Release(buf)
}

// Failed implements [transaction.User].
func (l *late) Failed(*transaction.Client) {}

// TimerC implements [transaction.User].
func (l *late) TimerC(c *transaction.Client) { c.Cancel(nil) }

// An unwanted is what is left of a branch whose answer nobody takes: its 2xx is
// acknowledged as often as it comes (RFC 3261 §13.2.2.4), for the ACK may be
// lost.
type unwanted struct {
	x      *Proxy
	set    *transaction.Set
	hungUp bool // BYE was sent
}

// Response implements [transaction.User].
func (u *unwanted) Response(c *transaction.Client, res *wire.Message) {
	if res.Status()/100 == 2 {
		u.x.hangUp(u.set, c.Flow(), res, u.hungUp)
		u.hungUp = true
	}
}

// Failed implements [transaction.User].
func (u *unwanted) Failed(*transaction.Client) {}

// TimerC implements [transaction.User].
func (u *unwanted) TimerC(c *transaction.Client) { c.Cancel(nil) }

// Stray forwards a 2xx to an INVITE whose transaction is gone, when it is of a call
// that talks: the daemon died between the 2xx and its ACK, and without this the
// callee would never see the ACK. It reports whether it did. Anything else that is
// stray is dropped (RFC 6026 §7.3).
func (x *Proxy) Stray(p *transport.Packet) bool {
	m := &p.Msg
	if m.Status()/100 != 2 || m.CSeqMethod() != wire.Invite {
		return false
	}
	c, ok := x.calls.Find(m.CallID(), m.FromTag())
	if !ok || c.State != feed.Talking || c.CalleeTag != string(m.ToTag()) || !c.CallerAddr.IsValid() || c.CallerAddr.Port() == 0 || c.CalleeAddr.Addr() != p.Flow.Remote.Addr() {
		return false
	}
	vias := 0
	for range m.All(wire.Via) {
		vias++
	}
	local := p.Flow.Local
	for _, l := range x.ends.Locals() {
		if local.Addr().Is4() != c.CallerAddr.Addr().Is4() && l.Addr().Is4() == c.CallerAddr.Addr().Is4() {
			local = l
		}
	}
	if vias < 2 {
		return false
	}
	buf := x.txs.Buffer()
	defer x.txs.Release(buf)
	*buf = x.appendUp(*buf, m, 0, false, nil)
	return x.net.Send(location.Flow{Transport: location.UDP, Local: local, Remote: c.CallerAddr}, *buf) == nil
}

// hangUp ends the dialog of a 2xx that nobody takes, because the caller has
// another final response already: with ACK and BYE, as if we were the caller.
// Only the response is needed for that (RFC 3261 §12.1.2, §15).
func (x *Proxy) hangUp(set *transaction.Set, flow location.Flow, res *wire.Message, again bool) {
	contact := res.ContactURI()
	if len(contact) == 0 {
		return
	}
	routes := x.routesBehind(res)
	id := transaction.NewID()
	buf := x.txs.Buffer()
	defer x.txs.Release(buf)
	*buf = x.appendOwn(*buf, "ACK", res, flow, id, contact, routes, res.CSeq())
	_ = x.net.Send(flow, *buf) // the 2xx comes again, and this with it
	if again {
		return
	}
	id = transaction.NewID()
	*buf = x.appendOwn((*buf)[:0], "BYE", res, flow, id, contact, routes, res.CSeq()+1)
	_, _ = set.Request(flow, wire.Bye, id, *buf, nil, 0)
}

// routesBehind are the proxies between us and the callee, nearest first: the
// Record-Route values that were added after ours.
func (x *Proxy) routesBehind(res *wire.Message) (routes [][]byte) {
	for v := range res.All(wire.RecordRoute) {
		if x.ends.OurRoute(v) {
			break
		}
		routes = append(routes, v.Bytes())
	}
	slices.Reverse(routes)
	return routes
}

// appendOwn appends a request of ours within the dialog of res.
func (x *Proxy) appendOwn(dst []byte, method string, res *wire.Message, flow location.Flow, id transaction.ID, uri []byte, routes [][]byte, cseq uint32) []byte {
	dst = append(append(append(dst, method...), ' '), uri...)
	dst = append(append(append(dst, " SIP/2.0\r\nVia: SIP/2.0/"...), flow.Transport.String()...), ' ')
	dst = x.net.Advertise(flow.Local).AppendTo(dst)
	dst = id.AppendBranch(append(dst, ";branch="...), 0)
	dst = append(dst, "\r\nMax-Forwards: 70\r\n"...)
	for _, r := range routes {
		dst = wire.AppendLine(dst, "Route", r)
	}
	for _, f := range [...]wire.Field{wire.From, wire.To, wire.CallID} {
		if v, ok := res.Get(f); ok {
			dst = wire.AppendLine(dst, f.String(), v.Bytes())
		}
	}
	dst = append(dst, "CSeq: "...)
	dst = strconv.AppendUint(dst, uint64(cseq), 10)
	dst = append(append(append(dst, ' '), method...), "\r\nContent-Length: 0\r\n\r\n"...)
	return dst
}
