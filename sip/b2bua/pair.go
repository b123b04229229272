package b2bua

import (
	"math/rand/v2"
	"slices"
	"time"

	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// A pair is the two dialogs of a call that may be joined, or are: ours with the
// caller and ours with one who was called. Package call says what goes over.
type pair struct {
	a     *anchor
	br    *branch // nil after a restart
	state call.State
	legs  [2]dialog

	first    exchange    // the INVITE that began it
	open     []*exchange // the requests since
	timers   []*pairTimer
	reliable []reliable // 1xx that we sent reliably and that were not acknowledged yet
	kept     body       // of a reliable 1xx that went up without
	pending  []call.Event
	busy     bool
	msg      *wire.Message // that this step is about, nil: none

	// What a call without more than its INVITE and BYE takes of these.
	openRoom   [2]*exchange
	timersRoom [2]*pairTimer
	timerRoom  [2]pairTimer
	effects    [4]call.Effect
}

// forget lets go of what transactions that linger have no use for.
func (p *pair) forget() {
	p.legs[call.A].sdp, p.legs[call.B].sdp, p.kept = body{}, body{}, body{}
	p.open, p.timers, p.reliable, p.first.srv = nil, nil, nil, nil
	p.openRoom, p.timersRoom = [2]*exchange{}, [2]*pairTimer{}
}

// A reliable is a 1xx that went over reliably (RFC 3262): each leg counts for
// itself.
type reliable struct {
	to              call.Leg // it was sent there
	id              call.ID
	theirs, ours    uint32 // RSeq as it came and as it was sent
	theirCSeq, came uint32 // of the INVITE: that we sent, that we received
	text            []byte // as sent, nil: it was held back
	status          int
}

// A pairTimer is one timer of a pair.
type pairTimer struct {
	pair  *pair
	name  call.Timer
	timer lane.Timer
}

// Fired is the step of a timer of a pair.
func (t *pairTimer) Fired() {
	if t.name.Kind == call.TimerAck {
		t.pair.confirm(t.name.Leg)
	}
	t.pair.step(call.Fired{Now: t.pair.a.tick(), Timer: t.name})
	t.pair.a.settle()
}

// step takes an event and carries out what follows from it.
func (p *pair) step(ev call.Event) {
	if p.busy {
		p.pending = append(p.pending, ev)
		return
	}
	var effects []call.Effect
	p.state, effects = p.state.Step(ev, p.effects[:0])
	p.carryOut(effects)
}

func (p *pair) carryOut(effects []call.Effect) {
	for {
		p.busy = true
		for _, e := range effects {
			p.do(e)
		}
		p.busy = false
		clear(effects)
		if len(p.pending) == 0 {
			p.prune()
			return
		}
		ev := p.pending[0]
		p.pending = append(p.pending[:0], p.pending[1:]...)
		p.state, effects = p.state.Step(ev, p.effects[:0])
	}
}

// prune forgets the requests that are over; of a pair that is done, all.
func (p *pair) prune() {
	done := p.state.Done()
	if done {
		p.first.timer.Stop()
	}
	p.open = slices.DeleteFunc(p.open, func(x *exchange) bool {
		if done {
			x.timer.Stop()
		}
		return x.over() || done
	})
}

func (p *pair) do(e call.Effect) {
	a := p.a
	switch e := e.(type) {
	case call.Relay:
		p.relay(e)
	case call.Pass:
		p.pass(e)
	case call.Answer:
		p.answer(e)
	case call.Ack:
		if x := p.exchange(e.ID); x != nil {
			x.ack(e.SDP)
		}
	case call.Prack1xx:
		p.prack(e)
	case call.Cancel:
		if x := p.exchange(e.ID); x != nil {
			x.cancel()
		}
	case call.SendBye:
		p.bye(e)
	case call.Refresh:
		p.refresh(e)
	case call.Probe:
		p.begin(&exchange{pair: p, id: e.ID, method: call.MethodOptions, word: "OPTIONS", to: e.Leg, lines: []byte("Accept: application/sdp\r\n")})
	case call.Resend:
		p.resend(e)
	case call.StartTimer:
		p.timer(e.Timer, true).timer.Set(a.lane, e.After)
	case call.StopTimer:
		if t := p.timer(e.Timer, false); t != nil {
			t.timer.Stop()
		}
		if e.Timer.Kind == call.TimerAck {
			p.confirm(e.Timer.Leg)
		}
	case call.Journal:
		a.journal()
	case call.GiveUp:
		a.step(ring.Cancelled{Now: a.now})
	case call.End:
		a.hungUp(p, e)
	default:
		panic("b2bua: unknown effect of a call")
	}
}

// timer finds the timer of a name, or makes it.
func (p *pair) timer(name call.Timer, create bool) *pairTimer {
	for _, t := range p.timers {
		if t.name == name {
			return t
		}
	}
	if !create {
		return nil
	}
	if p.timers == nil {
		p.timers = p.timersRoom[:0]
	}
	var t *pairTimer
	if n := len(p.timers); n < len(p.timerRoom) {
		t = &p.timerRoom[n]
	} else {
		t = new(pairTimer)
	}
	t.pair, t.name, t.timer.Owner = p, name, t
	p.timers = append(p.timers, t)
	return t
}

// confirm stops repeating the 2xx to the INVITEs of a leg: it has them, or never
// will.
func (p *pair) confirm(leg call.Leg) {
	if leg == call.A {
		p.first.confirmed()
	}
	for _, x := range p.open {
		if x.srv != nil && x.to == leg.Other() {
			x.confirmed()
		}
	}
}

func (p *pair) exchange(id call.ID) *exchange {
	if id == call.First {
		return &p.first
	}
	for _, x := range p.open {
		if x.id == id {
			return x
		}
	}
	return nil
}

// relay sends a request on to the other leg.
func (p *pair) relay(e call.Relay) {
	if e.ID == call.First {
		p.br.begin(e.Session)
		return
	}
	x := p.exchange(e.ID)
	if x != nil && x.inside {
		x.session = e.Session
		if len(x.sdp.bytes) > 0 {
			p.legs[e.To].sdp = x.sdp
		}
		if !x.send() {
			p.lost(x)
		}
		return
	}
	if x == nil || x.srv == nil || x.srv.Request == nil {
		return
	}
	x.session = e.Session
	if sdp := bodyOf(&x.srv.Request.Msg); e.Method != call.Prack && len(sdp.bytes) > 0 {
		p.legs[e.To].sdp = sdp
	}
	if !x.send() {
		p.lost(x)
	}
}

// opened notes a request.
func (p *pair) opened(x *exchange) {
	if p.open == nil {
		p.open = p.openRoom[:0]
	}
	p.open = append(p.open, x)
}

// begin sends a request of our own.
func (p *pair) begin(x *exchange) {
	x.timer.Owner = x
	p.opened(x)
	if !x.send() {
		p.lost(x)
	}
}

const (
	// awayTries and awayPause are how often, and after what pause, a request of ours is
	// tried for a device whose connection closed: as long as one that is not answered
	// (Timer F).
	awayTries = 32
	awayPause = time.Second
)

// lost says that a request could not be sent. A device whose connection closed may
// come back: what is ours waits for it, above all the BYE of a call that it would sit
// in for ever. What the other end sent is refused; a 408 would end the call for it
// (RFC 5057 §5.1).
func (p *pair) lost(x *exchange) {
	d, status := &p.legs[x.to], 408
	switch away := d.side.Kind == auth.Line && d.flow.Transport != location.UDP; {
	case away && x.srv != nil:
		status = 480
	case away && x.tries < awayTries && (x.method == call.Bye || !p.state.Ended()):
		x.tries++
		x.waits = true
		x.timer.Set(p.a.lane, awayPause)
		return
	}
	p.a.b.metrics.sendFailed.Inc()
	p.step(call.Response{Now: p.a.now, Leg: x.to, ID: x.id, Status: status, Random: rand.Uint32()})
}

// refresh sends a request of our own that keeps a session alive. After a restart
// we may not know any more which description an end was sent: then it is not asked.
func (p *pair) refresh(e call.Refresh) {
	x := &exchange{pair: p, id: e.ID, method: e.Method, word: word(e.Method), to: e.Leg, session: e.Session}
	if e.Method == call.Invite {
		if x.sdp = p.legs[e.Leg].sdp; len(x.sdp.bytes) == 0 {
			p.step(call.Response{Now: p.a.now, Leg: e.Leg, ID: e.ID, Status: 488})
			return
		}
	}
	p.begin(x)
}

// bye sends BYE, with what the one of the other leg says of its reason.
func (p *pair) bye(e call.SendBye) {
	x := &exchange{pair: p, id: e.ID, method: call.Bye, word: "BYE", to: e.Leg}
	if like := p.exchange(e.Like); e.Like > 0 && like != nil && like.srv != nil && like.srv.Request != nil {
		for v := range like.srv.Request.Msg.All(wire.Reason) {
			x.lines = wire.AppendLine(x.lines, "Reason", v.Bytes())
		}
	}
	p.begin(x)
}

// resend sends a request again with another session interval.
func (p *pair) resend(e call.Resend) {
	if e.ID == call.First {
		if r := p.a.res; r != nil {
			r.resent = true
		}
		p.br.begin(e.Session)
		return
	}
	x := p.exchange(e.ID)
	if x == nil {
		return
	}
	x.session = e.Session
	if !x.send() {
		p.lost(x)
	}
}

// prack acknowledges a reliable 1xx that nobody else hears of.
func (p *pair) prack(e call.Prack1xx) {
	if p.msg == nil {
		return
	}
	v, _ := p.msg.Get(wire.RSeq)
	x := &exchange{pair: p, id: e.ID, method: call.Prack, word: "PRACK", to: e.Leg}
	x.lines = wire.AppendLine(nil, "RAck", string(v.Bytes())+" "+cseqOf(p.msg))
	p.begin(x)
}

// pass sends the response at hand on to the other leg.
func (p *pair) pass(e call.Pass) {
	a := p.a
	x := p.exchange(e.ID)
	if x != nil && x.inside {
		if e.Status >= 200 {
			answer := body{}
			if p.msg != nil {
				answer = bodyOf(p.msg)
			}
			x.heard(e.Status, answer)
		}
		return
	}
	if x == nil || x.srv == nil || x.srv.Request == nil {
		return
	}
	d := &p.legs[e.To]
	if p.msg == nil { // nobody sent it
		a.b.reply(x.srv, e.Status, d.localTag, nil)
		return
	}
	u := up{status: e.Status, session: e.Session, tag: d.localTag, contact: d.contact, from: &p.legs[e.To.Other()], to: d}
	switch {
	case x.method != call.Invite && x.method != call.Update:
		u.contact = ""
	case e.Status == 100:
		return
	}
	switch e.Body {
	case call.Received:
		if sdp := bodyOf(p.msg); e.Status < 300 && len(sdp.bytes) > 0 {
			d.sdp = sdp
		}
	case call.Dropped:
		u.drop = true
		if e.Status < 200 && reliably(p.msg) {
			p.kept = bodyOf(p.msg)
		}
	case call.Kept:
		u.kept, u.body = len(p.kept.bytes) > 0, p.kept
		d.sdp, p.kept = p.kept, body{}
	default:
		panic("b2bua: unknown body")
	}
	if e.Reliable {
		d.rseq++
		u.rseq = d.rseq
	}
	buf := a.b.txs.Buffer()
	defer a.b.txs.Release(buf)
	*buf = a.b.pass(*buf, p.msg, x.srv.Request, &u)
	if e.Reliable {
		p.remember(x, e, *buf)
	}
	x.answer(e.Status, *buf)
}

// remember keeps a reliable 1xx until it is acknowledged.
func (p *pair) remember(x *exchange, e call.Pass, text []byte) {
	v, _ := p.msg.Get(wire.RSeq)
	p.reliable = append(p.reliable, reliable{
		to: e.To, id: e.ID, theirs: atoi(v.Bytes()), ours: p.legs[e.To].rseq, theirCSeq: x.seq, came: x.came,
		text: slices.Clone(text), status: e.Status,
	})
}

// maxReliable is how many reliable 1xx may wait for their PRACK; nobody has more
// than one or two (RFC 3262 §3).
const maxReliable = 16

// repeated takes a reliable 1xx to the INVITE that came before: it goes over
// once more, for its PRACK did not come. It takes one too many as well.
func (p *pair) repeated(x *exchange, res *wire.Message) bool {
	v, ok := res.Get(wire.RSeq)
	if !ok || !reliably(res) {
		return false
	}
	n := atoi(v.Bytes())
	if x.rseq != 0 && n <= x.rseq {
		for i := range p.reliable {
			r := &p.reliable[i]
			if r.id == x.id && r.theirs == n && x.srv != nil {
				x.srv.Send(r.status, r.text)
			}
		}
		return true
	}
	if len(p.reliable) >= maxReliable || len(p.open) > maxReliable {
		return true
	}
	x.rseq = n
	return false
}

// answer sends a response of our own.
func (p *pair) answer(e call.Answer) {
	x := p.exchange(e.ID)
	if x != nil && x.inside && e.Status >= 200 {
		x.heard(e.Status, body{})
		return
	}
	if x == nil || x.srv == nil {
		return
	}
	var lines []byte
	if e.Status == 500 {
		lines = appendSeconds(lines, "Retry-After", e.RetryAfter)
	}
	if e.MinSE > 0 {
		lines = appendSeconds(lines, "Min-SE", e.MinSE)
	}
	if e.Status == 405 {
		lines = append(lines, "Allow: "+allow+"\r\n"...)
	}
	if e.Status/100 == 2 && (x.method == call.Invite || x.method == call.Update) {
		lines = wire.AppendLine(lines, "Contact", p.legs[e.Leg].contact)
		lines = appendSession(lines, e.Session, true)
	}
	if e.Status/100 == 2 && x.method == call.MethodOptions {
		lines = append(lines, "Allow: "+allow+"\r\nAccept: application/sdp\r\n"...)
	}
	p.a.b.reply(x.srv, e.Status, p.legs[e.Leg].localTag, lines)
}

var _ transaction.User = (*exchange)(nil)
