package b2bua

import (
	"bytes"
	"math/rand/v2"
	"strings"

	"bellhop/routing/call"
	"bellhop/sip/auth"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A Dialog is the leg that a request within a call of ours came over.
type Dialog struct {
	pair *pair
	leg  call.Leg
}

// Dialog finds the leg that the request p belongs to, in the lane of its
// Call-ID. ours says that there is one; status is 0 when the request comes from
// its end, and otherwise says how to refuse it.
func (b *B2BUA) Dialog(set *transaction.Set, p *transport.Packet) (d Dialog, status int, ours bool) {
	m := &p.Msg
	first, _ := set.Tied.(*anchor)
	for a := first; a != nil; a = a.next {
		pr, leg := a.find(m)
		if pr == nil {
			continue
		}
		if status = b.admits(&pr.legs[leg], a.domain, p); status != 0 {
			b.metrics.refused.Inc()
		}
		return Dialog{pr, leg}, status, true
	}
	return Dialog{}, 0, false
}

// find returns the leg of a call that a request within a dialog belongs to (RFC
// 3261 §12.2.2).
func (a *anchor) find(m *wire.Message) (*pair, call.Leg) {
	is := func(p *pair, leg call.Leg) bool {
		d := &p.legs[leg]
		return d.remoteTag == string(m.FromTag()) && d.localTag == string(m.ToTag()) && d.callID == string(m.CallID())
	}
	for _, leg := range [...]call.Leg{call.A, call.B} {
		if a.talks != nil && is(a.talks, leg) {
			return a.talks, leg
		}
	}
	for _, br := range a.branches {
		for _, p := range br.pairs {
			for _, leg := range [...]call.Leg{call.A, call.B} {
				if is(p, leg) {
					return p, leg
				}
			}
		}
	}
	return nil, 0
}

// Ack takes the ACK of a 2xx.
func (d Dialog) Ack(p *transport.Packet) {
	pr := d.pair
	m := &p.Msg
	pr.a.tick()
	x := &pr.first
	if d.leg != call.A || x.srv == nil || x.came != m.CSeq() {
		x = nil
		for _, o := range pr.open {
			if o.method == call.Invite && o.srv != nil && o.to == d.leg.Other() && o.came == m.CSeq() {
				x = o
			}
		}
	}
	if x == nil || !x.confirmed() {
		return
	}
	pr.msg = m
	pr.step(call.Acked{Now: pr.a.now, Leg: d.leg, SDP: hasSDP(m)})
	pr.msg = nil
	if v := pr.serves(call.B); v != nil && x == &pr.first {
		v.acked(pr)
	}
	pr.a.settle()
}

// Request takes any other request, which srv is the transaction of.
func (d Dialog) Request(srv *transaction.Server) {
	pr := d.pair
	a := pr.a
	m := &srv.Request.Msg
	leg := &pr.legs[d.leg]
	a.tick()
	if m.CSeq() < leg.remoteSeq { // RFC 3261 §12.2.2
		a.b.reply(srv, 500, "", []byte("Retry-After: 0\r\n"))
		return
	}
	leg.remoteSeq = m.CSeq()
	leg.flow = srv.Request.Flow
	if !a.takes(leg, m) {
		a.b.reply(srv, 405, "", []byte("Allow: "+allowOutside+"\r\n"))
		return
	}
	if d.leaves(srv) {
		return
	}
	x := &exchange{
		pair: pr, method: methodOf(m.Method()), word: string(m.MethodBytes()), to: d.leg.Other(), srv: srv, came: m.CSeq(),
	}
	x.timer.Owner = x
	if status, lines := unsupported(m); status != 0 && x.method != call.Bye { // who hangs up has hung up
		a.b.reply(srv, status, "", lines)
		return
	}
	switch x.method {
	case call.Invite, call.Update:
		x.target = string(m.ContactURI())
	case call.Prack:
		if !pr.rack(x, m) { // RFC 3262 §3
			a.b.reply(srv, 481, "", nil)
			return
		}
	case call.Bye, call.Info, call.MethodOptions, call.Refer, call.Other:
	default:
		panic("b2bua: unknown method")
	}
	a.ids++
	x.id = a.ids
	srv.User = x
	srv.Brief(true)
	pr.opened(x)
	pr.step(call.Request{
		Now: a.now, Leg: d.leg, ID: x.id, Method: x.method, SDP: hasSDP(m), Session: sessionOf(m), Random: rand.Uint32(),
	})
	a.settle()
}

// allowOutside is what an end outside of the domain may send within a call.
const allowOutside = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE"

// takes reports whether an end may send a request within a call: what is not
// needed for calls comes from outside by a switch of the trunk only (trust.md §1).
func (a *anchor) takes(d *dialog, m *wire.Message) bool {
	switch methodOf(m.Method()) {
	case call.Refer, call.Other:
	case call.Invite, call.Update, call.Prack, call.Bye, call.Info, call.MethodOptions:
		return true
	default:
		panic("b2bua: unknown method")
	}
	switch {
	case d.stranger:
		return false
	case d.side.Kind == auth.Trunk:
		return a.b.trunks != nil && a.b.trunks.Takes(a.domain, d.side.Name, string(m.MethodBytes()))
	default:
		return true
	}
}

// rack finds the reliable 1xx that a PRACK acknowledges, and writes what the
// PRACK on the other leg says.
func (p *pair) rack(x *exchange, m *wire.Message) bool {
	v, ok := m.Get(wire.RAck)
	if !ok {
		return false
	}
	f := bytes.Fields(v.Bytes())
	if len(f) != 3 || !strings.EqualFold(string(f[2]), "INVITE") {
		return false
	}
	for i := range p.reliable {
		r := &p.reliable[i]
		if r.to != x.to.Other() || r.ours != atoi(f[0]) || r.came != atoi(f[1]) {
			continue
		}
		x.lines = append(x.lines, "RAck: "...)
		x.lines = appendUint(appendUint(x.lines, r.theirs), r.theirCSeq)
		x.lines = append(x.lines, "INVITE\r\n"...)
		p.reliable = append(p.reliable[:i], p.reliable[i+1:]...)
		return true
	}
	return false
}

// Stray takes a 2xx to an INVITE that no transaction knows, in the lane of its
// call: the process that sent the INVITE died before its ACK. It reports whether
// the response was of a call of ours.
func (b *B2BUA) Stray(set *transaction.Set, m *wire.Message) bool {
	if m.Status()/100 != 2 || m.CSeqMethod() != wire.Invite {
		return false
	}
	first, _ := set.Tied.(*anchor)
	for a := first; a != nil; a = a.next {
		if a.talks == nil || a.talks.br != nil {
			continue
		}
		d := &a.talks.legs[call.B]
		if x := &a.talks.first; d.callID == string(m.CallID()) && d.localTag == string(m.FromTag()) && d.remoteTag == string(m.ToTag()) && x.seq == m.CSeq() {
			x.sendAck()
			return true
		}
	}
	return false
}
