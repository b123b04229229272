package b2bua

import (
	"cmp"
	"math/rand/v2"

	"bellhop/feed"
	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// A branch is one who is rung: a device, or a number outside by a trunk. It has a
// pair of dialogs for each To tag that answers (RFC 3261 §12.1.2: somebody behind
// it forked), the first of them from the start.
type branch struct {
	a        *anchor
	id       ring.BranchID
	leg      int // in the Legs of the call
	target   ring.Target
	alert    string
	d        dialog // with who is rung, as each pair begins it
	client   *transaction.Client
	first    call.State // of a pair, before any response
	session  call.Session
	pairs    []*pair
	final    *wire.Message // owned; a non-2xx final response that may go up
	redirect string        // Contact of a 3xx
	trunk    *trunk        // nil: a device
	service  *served       // nil: none of ours
	ended    bool          // no response is awaited any more
	gaveUp   bool          // it was cancelled
	left     bool          // the phone that would pick the call up is gone, or was told to go
}

// invite begins a branch.
func (a *anchor) invite(e ring.Invite) {
	for len(a.branches) <= int(e.Branch) {
		a.branches = append(a.branches, nil)
	}
	br := &a.room.branch
	if br.a != nil { // not the first
		br = new(branch)
	}
	*br = branch{a: a, id: e.Branch, target: *e.Target, alert: a.rings.Alert, leg: len(a.live.Legs)}
	if br.target.Identity == nil {
		br.target.Identity = a.rings.Identity
	}
	a.branches[e.Branch] = br
	if br.target.Service && a.service != nil {
		br.service = &served{Service: *a.service, br: br}
		br.service.timer.Owner = br.service
	}
	a.b.metrics.branches.Inc()
	if br.target.Pickup && a.picker != nil {
		br.joins()
	} else {
		br.meet()
	}
	a.update(func(l *feed.Call) {
		l.Legs = append(l.Legs, feed.Leg{
			Number: br.number(), Device: e.Target.Device, Trunk: e.Target.Trunk, Remote: e.Target.Remote,
			Identity: identity(br.target.Identity), By: br.by(), Kind: e.Target.Kind, State: feed.Calling, Started: a.now,
		})
	})
	p := br.pair()
	o := call.Options{SDP: a.sdp, Session: a.sess, Interval: interval}
	if e.Target.Trunk != "" || a.from.Trunk.Trunk != "" {
		o.Deadline = longest
	}
	var effects []call.Effect
	p.state, effects = call.New(o, a.now, p.effects[:0])
	br.first = p.state
	p.carryOut(effects)
}

// number is who the branch rings: the number at hand, or the one outside.
func (br *branch) number() string {
	if br.target.Trunk != "" {
		return br.target.Contact
	}
	return cmp.Or(br.target.Number, br.a.rings.Number)
}

// by is the number that sends the call out by a trunk: the one at hand for its
// remote destination, else whose forward came last, else the caller's.
func (br *branch) by() string {
	a := br.a
	switch n := len(a.hops); {
	case br.target.Trunk == "":
		return ""
	case br.target.Remote != "":
		return cmp.Or(br.target.Number, a.rings.Number)
	case n > 0:
		return a.hops[n-1].Number
	default:
		return a.from.Caller.Number
	}
}

// anonymous is what a leg says where nobody is shown to it.
const anonymous = "anonymous"

// identity is who is shown to a target as a leg says it.
func identity(id *ring.Identity) string {
	switch {
	case id == nil:
		return ""
	case id.Hidden:
		return anonymous
	default:
		return id.User
	}
}

// meet makes our side of the dialog with who is rung.
func (br *branch) meet() {
	a := br.a
	m := a.request()
	br.d = dialog{
		leg: call.B, callID: a.live.ID + "-" + newTag(), localTag: newTag(), target: br.target.Contact, localSeq: firstSeq, flow: br.target.Flow,
		side: auth.LineSide(br.number(), &br.target), home: a.domain, secure: a.a.secure,
	}
	if m != nil {
		br.d.remote = nameOf(m, wire.To)
	}
	br.shows(br.target.Identity)
	if br.target.Trunk != "" {
		br.d.side = auth.Side{Kind: auth.Trunk, Name: br.target.Trunk}
		return // its Contact is that of the listener that an attempt leaves by
	}
	if br.service != nil {
		return // nobody outside of us hears of this dialog
	}
	br.d.contact = a.b.contact(&br.d, a.domain)
	a.b.lanes.Alias(br.d.callID, a.lane)
}

// shows is who is rung being shown somebody: in From, and beside it.
func (br *branch) shows(id *ring.Identity) {
	br.target.Identity = id
	if m := br.a.request(); m != nil {
		br.d.local = br.a.shown(m, id)
	}
	br.d.hides = id != nil && id.Hidden
}

// pair adds a pair of dialogs to the branch.
func (br *branch) pair() *pair {
	p := &br.a.room.pair
	if p.a != nil { // not the first
		p = new(pair)
	} else {
		br.pairs = br.a.room.pairs[:0]
	}
	p.a, p.br, p.state = br.a, br, br.first
	p.first = exchange{pair: p, id: call.First, method: call.Invite, word: "INVITE", to: call.B, srv: br.a.srv, came: br.a.a.remoteSeq}
	p.first.timer.Owner = &p.first
	p.legs[call.A], p.legs[call.B] = br.a.a, br.d
	p.legs[call.A].localTag = br.a.nextTag()
	p.legs[call.A].rseq = rand.Uint32N(1 << 30) // RFC 3262 §3
	br.pairs = append(br.pairs, p)
	return p
}

// maxForks is how many dialogs one who is rung can make (RFC 3261 §12.1.2): no
// more than any real one does.
const maxForks = 12

// pairOf returns the pair that a response belongs to; nil for one dialog too
// many. The one that answers first always has a pair.
func (br *branch) pairOf(res *wire.Message) *pair {
	tag := string(res.ToTag())
	if tag == "" || res.Status() >= 300 {
		return br.pairs[0]
	}
	for _, p := range br.pairs {
		if d := &p.legs[call.B]; d.remoteTag == tag {
			return p
		}
	}
	p := br.pairs[0]
	if p.legs[call.B].remoteTag != "" {
		if len(br.pairs) >= maxForks && (res.Status() < 200 || br.a.joined) {
			return nil
		}
		p = br.pair()
		p.legs[call.B].localSeq, p.first.seq = br.d.localSeq, br.d.localSeq
	}
	p.legs[call.B].remoteTag = tag
	return p
}

// begin sends the INVITE, or sends it again with another session interval.
func (br *branch) begin(s call.Session) {
	br.session = s
	if br.service != nil {
		br.service.begin()
		return
	}
	if br.target.Trunk != "" {
		br.dial()
		return
	}
	if br.target.Pickup {
		if !br.beginPicked() {
			br.unsent()
		}
		return
	}
	if !br.send(&invite{flow: br.target.Flow, uri: br.target.Contact, routes: br.target.Path}) {
		br.unsent()
	}
}

// unsent says that the INVITE could not be sent: its flow is gone. A device that
// comes back gets another branch (rule ring.devices).
func (br *branch) unsent() {
	a := br.a
	br.finished(408)
	for _, p := range br.pairs {
		p.step(call.Response{Now: a.now, Leg: call.B, ID: call.First, Status: 408})
	}
	a.step(ring.Failed{Now: a.now, Branch: br.id})
}

// send sends the INVITE once more as a new transaction; false: it could not be.
func (br *branch) send(i *invite) bool {
	a := br.a
	m := a.request()
	if m == nil {
		return false // the caller has its final response
	}
	br.d.localSeq++
	br.d.flow = i.flow
	i.id, i.session = transaction.NewID(), br.session
	buf := a.b.txs.Buffer()
	defer a.b.txs.Release(buf)
	*buf = br.compose(*buf, m, &br.d, i)
	if i.large = i.most > 0 && len(*buf) > i.most; i.large {
		br.d.localSeq--
		return false
	}
	client, err := a.set.Request(i.flow, wire.Invite, i.id, *buf, br, 0)
	if err != nil {
		a.b.metrics.sendFailed.Inc()
		return false
	}
	br.client = client
	a.rung = true
	for _, p := range br.pairs {
		d := &p.legs[call.B]
		d.localSeq, d.flow, d.contact, d.target, d.remote = br.d.localSeq, br.d.flow, br.d.contact, br.d.target, br.d.remote
		d.local, d.hides, d.side = br.d.local, br.d.hides, br.d.side
		p.first.seq = br.d.localSeq
	}
	return true
}

// cancel gives the branch up.
func (br *branch) cancel(reason string) {
	br.gaveUp = true
	if br.trunk != nil {
		br.trunk.stop()
	}
	if br.client == nil { // it was never sent
		br.missed(487)
		return
	}
	br.client.Cancel(reasonLine(reason))
}

// move takes another flow of the device for what is still to be sent.
func (br *branch) move(t ring.Target) {
	br.target = t
	br.d.flow = t.Flow
	if br.client != nil {
		br.client.Move(t.Flow)
	}
	for _, p := range br.pairs {
		p.legs[call.B].flow = t.Flow
	}
}

// Response implements [transaction.User].
func (br *branch) Response(c *transaction.Client, res *wire.Message) {
	a := br.a
	if c != br.client {
		a.unwanted(br, c, res, c.Branch == 0) // of an attempt that was left behind
		return
	}
	a.tick()
	if br.trunk != nil && br.trunk.took(res) || res.Status() == 100 {
		a.settle()
		return
	}
	br.took(res)
}

// Failed implements [transaction.User].
func (br *branch) Failed(c *transaction.Client) {
	a := br.a
	a.tick()
	if c != br.client {
		return
	}
	if br.trunk != nil && br.trunk.failed(408) {
		a.settle()
		return
	}
	br.missed(408) // RFC 3261 §16.8
}

// TimerC implements [transaction.User]: rule ring.clock ends a call long before.
func (br *branch) TimerC(c *transaction.Client) { c.Cancel(nil) }

// missed is a final response that nobody sent.
func (br *branch) missed(status int) {
	br.say(&response{pair: br.pairs[0], branch: br, status: status})
}

// took takes a response to the INVITE above 100.
func (br *branch) took(res *wire.Message) {
	a := br.a
	p := br.pairOf(res)
	if p == nil {
		a.unwanted(br, br.client, res, br.client.Branch == 0)
		return
	}
	status := res.Status()
	switch {
	case status < 200:
		if p.repeated(&p.first, res) {
			a.settle()
			return
		}
		p.legs[call.B].learn(res)
	case status < 300:
		if p.state.Ended() && !p.first.acked { // another dialog of the fork was quicker
			a.unwanted(br, br.client, res, !p.first.got2xx)
			p.first.got2xx = true
			return
		}
		if p.first.again() {
			return
		}
		p.legs[call.B].learn(res)
	default:
		if status/100 == 3 {
			br.redirect = string(res.ContactURI())
		}
		if status != 487 && a.request() != nil {
			br.final = res.Clone()
		}
	}
	r := &response{pair: p, branch: br, msg: res, status: status, sdp: hasSDP(res)}
	r.reliable = status < 200 && reliably(res) && res.Has(wire.RSeq)
	br.say(r)
}

// A response is one to the INVITE of a branch while it is taken: by the plan, and
// by the pair that it belongs to.
type response struct {
	branch   *branch
	pair     *pair
	msg      *wire.Message // nil: nobody sent it
	status   int
	sdp      bool
	reliable bool
	stepped  bool // the pair took it
	resent   bool // and the INVITE went out again (RFC 4028 §7.3)
}

// say tells the plan and the pair of a response: the plan decides what the
// caller hears of it.
func (br *branch) say(r *response) {
	a := br.a
	before := a.res // while effects are carried out another branch may fail at once
	a.res = r
	if r.status == 422 && !br.gaveUp {
		a.respond(0, false)
	}
	if !r.resent {
		if r.status >= 200 {
			br.finished(r.status)
		} else {
			br.rang(r.status)
		}
		a.step(ring.Response{Now: a.now, Branch: br.id, Status: r.status, SDP: r.sdp})
		a.respond(0, false)
	}
	a.res = before
	if r.status >= 200 && !r.resent {
		for _, p := range br.pairs {
			if p != r.pair { // the other dialogs of a fork end with it (RFC 3261 §13.2.2.4)
				p.step(call.Response{Now: a.now, Leg: call.B, ID: call.First, Status: max(r.status, 487)})
			}
		}
	}
	a.settle()
}

// respond has the pair take the response at hand: up is what the caller gets of
// it, 0 for nothing.
func (a *anchor) respond(up int, drop bool) {
	r := a.res
	if r == nil || r.stepped {
		return
	}
	r.stepped = true
	r.pair.msg = r.msg
	ev := call.Response{
		Now: a.now, Leg: call.B, ID: call.First, Status: r.status, SDP: r.sdp, Reliable: r.reliable, Random: rand.Uint32(),
		Up: up, DropSDP: drop,
	}
	if r.msg != nil && (r.status != 422 || !r.branch.gaveUp) { // who was given up is not asked again
		ev.Session = sessionOf(r.msg)
	}
	r.pair.step(ev)
	r.pair.msg = nil
}

// reply sends what the plan says to the caller: the response at hand, the final
// one of another branch, or one of our own.
func (a *anchor) reply(e ring.Reply) {
	r := a.res
	if r != nil && e.From != r.branch.id {
		r = nil
	}
	switch {
	case e.Status >= 300:
	case r != nil && e.Status/100 == 2:
		a.answered(r)
		a.respond(e.Status, false)
		return
	case r != nil:
		a.respond(e.Status, e.DropSDP)
		return
	}
	if a.srv == nil || a.srv.Request == nil {
		return
	}
	var res *wire.Message
	switch {
	case r != nil:
		res = r.msg
	case e.From != ring.None && int(e.From) < len(a.branches):
		res = a.branches[e.From].final
	}
	status := e.Status
	if status == 401 || status == 407 {
		status = 403 // the challenge was for us (RFC 3261 §22.3 is for proxies)
	}
	if res == nil || status < 300 {
		a.b.reply(a.srv, status, a.tag, nil)
		return
	}
	u := up{status: status, tag: a.tag, from: &a.branches[e.From].d, to: &a.a}
	if status == 422 {
		u.session.MinSE = sessionOf(res).MinSE
	}
	buf := a.b.txs.Buffer()
	*buf = a.b.pass(*buf, res, a.srv.Request, &u)
	a.srv.Send(status, *buf)
	a.b.txs.Release(buf)
}

// rang notes that a branch rings.
func (br *branch) rang(status int) {
	a := br.a
	if status <= 100 || a.released || a.live.Legs[br.leg].State != feed.Calling {
		return
	}
	a.update(func(l *feed.Call) {
		if l.State == feed.Calling {
			l.State = feed.Ringing
		}
		l.Legs[br.leg].State = feed.Ringing
	})
}

// finished notes the final response of a branch.
func (br *branch) finished(status int) {
	if br.ended {
		return
	}
	br.ended = true
	if br.trunk != nil && status/100 != 2 {
		br.trunk.stop()
	}
	if br.target.Pickup && status/100 != 2 {
		br.dropped()
	}
	br.a.update(func(l *feed.Call) {
		leg := &l.Legs[br.leg]
		leg.Status = status
		if status/100 != 2 {
			leg.State, leg.EndedAt, leg.Dialog = feed.Ended, br.a.now, nil
		}
	})
}

// done reports whether nothing can come of the branch any more.
func (br *branch) done() bool {
	if !br.ended {
		return false
	}
	for _, p := range br.pairs {
		if !p.state.Done() {
			return false
		}
	}
	return true
}

// unwanted ends what a response to an attempt that was left behind begins, or one
// of a dialog that nobody joins: a 2xx is acknowledged, and hung up the first time
// (RFC 3261 §13.2.2.4).
func (a *anchor) unwanted(br *branch, c *transaction.Client, res *wire.Message, first bool) {
	if res.Status()/100 != 2 {
		return
	}
	d := br.d
	if !d.kept {
		d.routes = nil
	}
	d.flow, d.localSeq = c.Flow(), res.CSeq()
	d.learn(res)
	if f, ok := res.Get(wire.To); ok && f.Bytes() != nil {
		d.remote = nameOf(res, wire.To)
	}
	a.hangUp(&d, first)
	c.Branch = 1 // its 2xx may come again, the BYE does not
}

// hangUp acknowledges a 2xx that nobody takes, and ends its dialog.
func (a *anchor) hangUp(d *dialog, bye bool) {
	f, ask := a.b.way(d)
	if ask == "" {
		a.hangUpOver(d, f, bye)
		return
	}
	lost := *d
	a.look(d, ask, func(f location.Flow, err error) { a.hangUpOver(&lost, lost.found(ask, f, err), bye) })
}

func (a *anchor) hangUpOver(d *dialog, flow location.Flow, bye bool) {
	buf := a.b.txs.Buffer()
	defer a.b.txs.Release(buf)
	*buf = a.b.own(*buf, "ACK", d, flow, transaction.NewID(), d.localSeq, nil, body{})
	_ = a.b.net.Send(flow, *buf) // lost: the 2xx comes again, and this with it
	if !bye {
		return
	}
	a.b.metrics.late.Inc()
	id := transaction.NewID()
	*buf = a.b.own((*buf)[:0], "BYE", d, flow, id, d.localSeq+1, nil, body{})
	_, _ = a.set.Request(flow, wire.Bye, id, *buf, nil, 0)
}
