package b2bua

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// An exchange is a request within a call: as it came over one leg and as it went
// on over the other, or one of our own.
type exchange struct {
	pair   *pair
	id     call.ID
	method call.Method
	word   string   // its method
	to     call.Leg // that it is sent on

	srv    *transaction.Server // as it came; nil: it is our own
	came   uint32              // its CSeq there
	target string              // the Contact it came with

	client  *transaction.Client // as it was sent; of the first INVITE the branch has it
	seq     uint32              // its CSeq there
	session call.Session
	lines   []byte // more header lines
	sdp     body   // of our own
	line    []byte // credentials
	rseq    uint32 // of the last reliable 1xx that came

	answered bool // a challenge was
	dialled  bool // its connection was made again
	given    bool // it is given up before it was sent
	looking  bool // its way, or that of its ACK, is looked up
	final    bool // a final response came
	waits    bool // for an end that has no connection now
	tries    int8 // how often it could not be sent
	got2xx   bool // of an INVITE
	acked    bool // we acknowledged it
	ackBody  body

	inside bool                          // it is of a service of ours
	then   func(status int, answer body) // told the final response of one of a service; may be nil

	up    *[]byte // the 2xx to an INVITE that we sent, repeated until its ACK; lent
	wait  time.Duration
	timer lane.Timer
}

// words are the methods that package call knows by a number of their own.
func word(m call.Method) string {
	switch m {
	case call.Invite:
		return "INVITE"
	case call.Update:
		return "UPDATE"
	case call.Prack:
		return "PRACK"
	case call.Bye:
		return "BYE"
	case call.Info:
		return "INFO"
	case call.MethodOptions:
		return "OPTIONS"
	case call.Refer:
		return "REFER"
	case call.Other:
		return ""
	default:
		panic("b2bua: unknown method")
	}
}

func methodOf(m wire.Method) call.Method {
	switch m {
	case wire.Invite:
		return call.Invite
	case wire.Update:
		return call.Update
	case wire.Prack:
		return call.Prack
	case wire.Bye:
		return call.Bye
	case wire.Info:
		return call.Info
	case wire.Options:
		return call.MethodOptions
	case wire.Refer:
		return call.Refer
	default:
		return call.Other
	}
}

// send sends the request as a new transaction; false: it could not be. Where its
// next hop has to be looked up or dialled it goes out later.
func (x *exchange) send() bool {
	a := x.pair.a
	d := &x.pair.legs[x.to]
	if v := x.pair.serves(x.to); v != nil {
		d.localSeq++
		x.seq, x.final = d.localSeq, false
		return v.request(x)
	}
	f, ask := a.b.way(d)
	if ask == "" {
		if x.sendOver(f) {
			return true
		}
		if d.side.Kind != auth.Trunk || f.Transport == location.UDP || x.dialled {
			return false
		}
		x.dialled, ask = true, d.next()
	}
	x.looking = a.look(d, ask, func(f location.Flow, err error) {
		x.looking = false
		d := &x.pair.legs[x.to]
		switch {
		case x.given:
			x.pair.step(call.Response{Now: a.tick(), Leg: x.to, ID: x.id, Status: 487})
		case err != nil && d.flow.Transport != location.UDP, !x.sendOver(d.found(ask, f, err)):
			a.tick()
			x.pair.lost(x)
		}
		a.settle()
	})
	return x.looking
}

// look has the next hop of a request to a peer looked up or dialled; then is a
// step of the lane.
func (a *anchor) look(d *dialog, uri string, then func(location.Flow, error)) bool {
	if a.b.trunks == nil {
		return false
	}
	b, domain, name, was := a.b, a.domain, d.side.Name, d.flow
	return a.lane.Do(func(ctx context.Context) lane.Event {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		f, err := b.trunks.Next(ctx, domain, name, uri, was)
		if err != nil {
			b.log.InfoContext(ctx, "next hop not found", "trunk", name, "uri", uri, "err", err)
		}
		return lane.Continue(func() { then(f, err) })
	}) == nil
}

// found remembers where the next hop is, and returns the flow to it: that of the
// call when there is none.
func (d *dialog) found(uri string, f location.Flow, err error) location.Flow {
	switch {
	case err != nil:
		f = d.flow
	case d.flow.Transport != location.UDP:
		d.flow = f
	default:
		d.named, d.near = uri, f
	}
	return f
}

// cancel gives the request up.
func (x *exchange) cancel() {
	if x.client == nil {
		x.given = true
		return
	}
	x.client.Cancel(nil)
}

// sendOver sends the request down a flow; false: it could not be.
func (x *exchange) sendOver(f location.Flow) bool {
	p := x.pair
	a := p.a
	d := &p.legs[x.to]
	d.localSeq++
	x.seq, x.final = d.localSeq, false
	id := transaction.NewID()
	lines := append(append([]byte(nil), x.lines...), x.line...)
	buf := a.b.txs.Buffer()
	defer a.b.txs.Release(buf)
	if x.srv != nil {
		if x.srv.Request == nil {
			return false
		}
		*buf = a.b.relay(*buf, &x.srv.Request.Msg, &p.legs[x.to.Other()], d, f, id, x.session, lines)
	} else {
		*buf = a.b.own(*buf, x.word, d, f, id, x.seq, appendSession(lines, x.session, false), x.sdp)
	}
	client, err := a.set.Request(f, wire.ParseMethod([]byte(x.word)), id, *buf, x, 0)
	if err != nil {
		return false
	}
	x.client = client
	return true
}

// Response implements [transaction.User].
func (x *exchange) Response(c *transaction.Client, res *wire.Message) {
	status := res.Status()
	if c != x.client || status == 100 {
		return
	}
	p := x.pair
	p.a.tick()
	switch {
	case status < 200:
		if p.repeated(x, res) {
			return
		}
	case (status == 401 || status == 407) && x.challenged(res):
		return
	case status/100 == 2 && x.method == call.Invite && x.again():
		return
	default:
		x.final = true
	}
	if status/100 == 2 && (x.method == call.Invite || x.method == call.Update) {
		if uri := res.ContactURI(); len(uri) > 0 {
			p.legs[x.to].target = string(uri) // RFC 3261 §12.2.1.2, RFC 3311 §5.1
		}
	}
	p.msg = res
	p.step(call.Response{
		Now: p.a.now, Leg: x.to, ID: x.id, Status: status, SDP: hasSDP(res), Session: sessionOf(res), Random: rand.Uint32(),
		Reliable: status < 200 && reliably(res) && res.Has(wire.RSeq),
	})
	p.msg = nil
	p.a.settle()
}

// Failed implements [transaction.User].
func (x *exchange) Failed(c *transaction.Client) {
	if c != x.client {
		return
	}
	p := x.pair
	p.a.tick()
	x.final = true
	p.step(call.Response{Now: p.a.now, Leg: x.to, ID: x.id, Status: 408, Random: rand.Uint32()})
	p.a.settle()
}

// TimerC implements [transaction.User].
func (x *exchange) TimerC(c *transaction.Client) { c.Cancel(nil) }

// CancelAll takes the CANCEL of a re-INVITE.
func (x *exchange) CancelAll(string) {
	p := x.pair
	p.step(call.Cancelled{Now: p.a.tick(), Leg: x.to.Other(), ID: x.id})
	p.a.settle()
}

// again takes a 2xx to an INVITE that may have come before: its ACK goes out
// again, when there was one. It reports whether it was.
func (x *exchange) again() bool {
	if !x.got2xx {
		x.got2xx = true
		return false
	}
	if x.acked {
		x.sendAck()
	}
	return true
}

// ack acknowledges the 2xx to an INVITE; with sdp the body is that of the ACK at
// hand.
func (x *exchange) ack(sdp bool) {
	p := x.pair
	x.acked = true
	if sdp && p.msg != nil {
		x.ackBody = bodyOf(p.msg)
		p.legs[x.to].sdp = x.ackBody
	}
	x.sendAck()
}

func (x *exchange) sendAck() {
	a := x.pair.a
	if x.pair.serves(x.to) != nil {
		return
	}
	d := &x.pair.legs[x.to]
	f, ask := a.b.way(d)
	if ask == "" && x.ackOver(f) || x.looking {
		return
	}
	if ask == "" {
		if d.side.Kind != auth.Trunk || f.Transport == location.UDP {
			return
		}
		ask = d.next()
	}
	x.looking = a.look(d, ask, func(f location.Flow, err error) {
		x.looking = false
		x.ackOver(x.pair.legs[x.to].found(ask, f, err))
	})
}

// ackOver sends the ACK down a flow; false: it could not be.
func (x *exchange) ackOver(f location.Flow) bool {
	a := x.pair.a
	d := &x.pair.legs[x.to]
	line := x.line
	if br := x.pair.br; x.id == call.First && br != nil && br.trunk != nil {
		line = br.trunk.line // RFC 3261 §13.2.2.4: the credentials of the INVITE
	}
	buf := a.b.txs.Buffer()
	*buf = a.b.own(*buf, "ACK", d, f, transaction.NewID(), x.seq, line, x.ackBody)
	err := a.b.net.Send(f, *buf)
	a.b.txs.Release(buf)
	if err != nil {
		a.b.metrics.sendFailed.Inc()
	}
	return err == nil
}

// answer sends a response to the request as it came. A 2xx to an INVITE is sent
// again until its ACK comes (RFC 3261 §13.3.1.4).
func (x *exchange) answer(status int, b []byte) {
	if status/100 == 2 {
		if x.target != "" {
			x.pair.legs[x.to.Other()].target = x.target // RFC 3261 §12.2.2
		}
		if x.method == call.Invite {
			if x.up == nil {
				x.up = x.pair.a.b.txs.Buffer()
			}
			*x.up = append((*x.up)[:0], b...)
			x.wait = x.pair.a.b.txs.Timers().T1
			x.timer.Set(x.pair.a.lane, x.wait)
		}
	}
	x.srv.Send(status, b)
}

// Fired is the step of the timer that repeats a 2xx. When its time is over package
// call ends the call.
func (x *exchange) Fired() {
	if x.waits {
		x.waits = false
		x.pair.a.tick()
		if x.method != call.Bye && x.pair.state.Ended() || !x.send() {
			x.pair.lost(x)
		}
		x.pair.a.settle()
		return
	}
	if x.up == nil {
		return
	}
	x.srv.Send(200, *x.up)
	x.wait = min(2*x.wait, x.pair.a.b.txs.Timers().T2)
	x.timer.Set(x.pair.a.lane, x.wait)
}

// confirmed takes the ACK of the 2xx that we sent; false: it is none, or came
// before.
func (x *exchange) confirmed() bool {
	if x.up == nil {
		return false
	}
	x.pair.a.b.txs.Release(x.up)
	x.up = nil
	x.timer.Stop()
	return true
}

// over reports whether nothing can come of the request any more.
func (x *exchange) over() bool {
	return !x.waits && !x.looking && (x.srv == nil || x.srv.Done()) && x.up == nil && (x.client == nil || x.final && (!x.got2xx || x.acked))
}

// cseqOf is the value of CSeq.
func cseqOf(m *wire.Message) string {
	return strconv.FormatUint(uint64(m.CSeq()), 10) + " " + string(m.CSeqMethodBytes())
}

func atoi(b []byte) uint32 {
	n, err := strconv.ParseUint(string(b), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// appendUint writes a number and a blank.
func appendUint(dst []byte, n uint32) []byte {
	return append(strconv.AppendUint(dst, uint64(n), 10), ' ')
}
