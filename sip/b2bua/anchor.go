package b2bua

import (
	"sync/atomic"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// An anchor is an anchored call from the decision to its end: a plan that ring
// carries out, a branch for each who is rung, and a pair of dialogs for each that
// may be joined. It lives in the lane of the caller's Call-ID; only steps touch
// it.
type anchor struct {
	b    *B2BUA
	next *anchor // in the same lane
	lane *lane.Lane
	set  *transaction.Set
	srv  *transaction.Server // of the caller's INVITE
	from auth.From
	live *feed.Call

	rings    routing.Ring  // of the number at hand
	hops     []routing.Hop // that led to it
	domain   string        // canonical name
	told     bool          // the caller had its 181
	ring     ring.State
	branches []*branch
	timers   []*ringTimer
	pending  []ring.Event // made while effects were carried out
	busy     bool         // effects are being carried out
	places   []*place     // where it rings

	now  time.Time // of this step
	res  *response // that this step is about, nil: none
	ids  call.ID   // of requests that came in, the last
	tags int       // how many tags of ours were given out
	tag  string    // of what we say to the caller before anybody else does
	a    dialog    // with the caller, as each pair begins it
	sdp  bool      // the caller's INVITE has an offer
	sess call.Session

	talks    *pair // that was answered
	callee   int   // which of the legs of the call it has, after a restart
	joined   bool  // somebody was: the account of the call is that of the pair
	over     bool  // its record is closed
	released bool  // nothing is left of it
	dirty    bool  // the account changed since it was shown
	rung     bool  // an INVITE was sent since it was journaled
	begun    bool  // it was handed on
	release  func()
	service  *Service // that answers, nil: somebody is rung

	picker  *dialog     // of a phone whose branch is about to begin
	claimed atomic.Bool // somebody is about to pick the call up

	room room
}

// A room is the memory of what most calls have: one who is rung, and dialogs with
// one phone.
type room struct {
	branches [1]*branch
	branch   branch
	pairs    [1]*pair
	pair     pair
	set      [2]*ringTimer
	timers   [2]ringTimer
	effects  [6]ring.Effect
}

// A ringTimer is one timer of the plan.
type ringTimer struct {
	anchor *anchor
	name   ring.Timer
	timer  lane.Timer
}

// Fired is the step of a timer of the plan.
func (t *ringTimer) Fired() { t.anchor.step(ring.Fired{Now: t.anchor.tick(), Timer: t.name}) }

// An Invitation is an INVITE that belongs to no dialog and that routing decided
// about: a call that is to be anchored.
type Invitation struct {
	From auth.From
	Plan routing.Plan // its decision is a Ring
	Live *feed.Call   // the account of the call so far

	service *Service // see [B2BUA.Answer]
}

// Invite begins a call. The server transaction of the caller's INVITE owns it.
func (b *B2BUA) Invite(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, i *Invitation) {
	rings := i.Plan.Decision.(routing.Ring)
	m := &srv.Request.Msg
	a := &anchor{
		b: b, lane: ln, set: set, srv: srv, from: i.From, live: i.Live, rings: rings, hops: i.Plan.Hops, domain: i.From.Domain,
		now: time.Now(), sdp: hasSDP(m), sess: sessionOf(m), service: i.service,
	}
	var tag [32]byte
	a.tag = string(b.tags.Append(tag[:0], m.CallID(), m.FromTag(), m.TopVia().Branch))
	a.branches, a.timers = a.room.branches[:0], a.room.set[:0]
	srv.User = a
	srv.Brief(true)
	if status, lines := a.acceptable(m); status != 0 {
		a.refuse(status, lines)
		return
	}
	if !a.meet() {
		a.refuse(400, nil)
		return
	}
	if i.From.Trunk.Trunk != "" && b.trunks != nil {
		release, err := b.trunks.Acquire(i.From.Trunk.Domain, i.From.Trunk.Trunk)
		if err != nil {
			b.log.Info("call refused", "call", a.live.ID, "trunk", i.From.Trunk.Trunk, "err", err)
			a.refuse(503, []byte("Retry-After: 5\r\n"))
			return
		}
		a.release = release
	}
	a.lodge()
	a.live.Anchored = string(i.Plan.Anchored)
	a.help()
	a.live.Legs = make([]feed.Leg, 1, legsAtFirst)
	a.live.Legs[0] = feed.Leg{
		Caller: true, Number: i.From.Caller.Number, Device: i.From.Caller.Device, Trunk: i.From.Trunk.Trunk, State: feed.Calling, Started: a.now,
	}
	a.dirty = true // others see it when this step is over, or somebody is rung
	b.metrics.begun.Inc()
	a.arrive(&i.Plan)
	var effects []ring.Effect
	a.ring, effects = ring.New(i.Plan.RingPlan(&a.rings), a.now, a.room.effects[:0])
	a.carryOut(effects)
}

// lodge ties the call to its lane, which stays open for it.
func (a *anchor) lodge() {
	a.next, _ = a.set.Tied.(*anchor)
	a.set.Tied = a
	a.lane.Keep()
	a.b.metrics.live.Inc()
}

// leave is the end of the call in its lane.
func (a *anchor) leave() {
	if a.released {
		return
	}
	a.released = true
	if first, _ := a.set.Tied.(*anchor); first == a {
		if a.set.Tied = a.next; a.next == nil {
			a.set.Tied = nil
		}
	} else {
		for first != nil && first.next != a {
			first = first.next
		}
		if first != nil {
			first.next = a.next
		}
	}
	if a.srv != nil && a.srv.User == a {
		a.srv.User = nil
	}
	if a.service != nil && a.service.left != nil {
		a.service.left()
	}
	a.lane.Let()
	a.b.metrics.live.Dec()
	a.forget()
}

// forget lets go of what the transactions that linger for half a minute have no
// use for: they only acknowledge what comes again.
func (a *anchor) forget() {
	a.live, a.rings, a.hops, a.timers, a.pending = nil, routing.Ring{}, nil, nil, nil
	a.ring, a.sess = ring.State{}, call.Session{}
	if a.talks != nil {
		a.talks.forget()
	}
	for _, br := range a.branches {
		br.final, br.target.Path = nil, nil
		for _, p := range br.pairs {
			p.forget()
		}
	}
	a.srv = nil
}

// refuse ends a call that never rang.
func (a *anchor) refuse(status int, lines []byte) {
	a.close(status, ring.Refused.String())
	a.b.reply(a.srv, status, a.tag, lines)
	a.srv.User = nil
	if a.service != nil && a.service.left != nil {
		a.service.left()
	}
}

// arrive begins with another number: that of a plan.
func (a *anchor) arrive(plan *routing.Plan) {
	a.stopRinging()
	if a.rings.Group == "" {
		a.ringsAt(a.rings.Number, "")
	}
	for _, number := range a.rings.Members() {
		a.ringsAt(number, number)
	}
	a.offered()
	if plan.Forwarded() && !a.told && !reliably(a.request()) {
		a.told = true // rule ring.181; never reliable, so not to a caller that asks for that
		a.b.reply(a.srv, 181, a.tag, nil)
	}
}

// A place is a number at which a call rings.
type place struct {
	*anchor
	aor    location.AOR
	member string // of a group, "" for the number of the plan
	since  time.Time
	group  string // of pickup, when that is what it stands in the index by
}

// Registered takes a device that registered while its number rings. It is for
// steps of the call's lane.
func (p *place) Registered(target ring.Target) {
	a := p.anchor
	if a.released || a.a.secure && !target.Flow.Secure() || !a.rings.Joins(&target) {
		return
	}
	target.Number = p.member
	a.step(ring.Registered{Now: a.tick(), Target: target})
}

func (a *anchor) ringsAt(number, member string) {
	aor, err := location.NewAOR(number, a.domain)
	if err != nil {
		return // outside
	}
	p := &place{anchor: a, aor: aor, member: member, since: a.now}
	a.places = append(a.places, p)
	a.b.ringing.Add(aor, a.lane, p)
}

func (a *anchor) stopRinging() {
	for _, p := range a.places {
		if p.group != "" {
			a.b.groups.Remove(pickupKey{a.domain, p.group}, p)
			continue
		}
		a.b.ringing.Remove(p.aor, p)
	}
	a.places = nil
}

// offered has the members of pickup groups find the call.
func (a *anchor) offered() {
	if len(a.rings.Pickup) == 0 {
		return
	}
	aor, err := location.NewAOR(a.rings.Number, a.domain)
	if err != nil {
		return
	}
	for _, g := range a.rings.Pickup {
		p := &place{anchor: a, aor: aor, since: a.now, group: g}
		a.places = append(a.places, p)
		a.b.groups.Add(pickupKey{a.domain, g}, a.lane, p)
	}
}

// request is the caller's INVITE; nil after its final response.
func (a *anchor) request() *wire.Message {
	if a.srv == nil || a.srv.Request == nil {
		return nil
	}
	return &a.srv.Request.Msg
}

// Gone takes that a connection closed: nobody will answer over it. A device that
// comes back rings again (rule ring.devices). It is for steps of the call's lane.
func (a *anchor) Gone(flow location.Flow) {
	for i, br := range a.branches {
		if br != nil && br.client != nil && !br.client.Done() && br.client.Flow() == flow {
			a.step(ring.Failed{Now: a.tick(), Branch: ring.BranchID(i)})
		}
	}
}

// CancelAll takes the CANCEL of the caller's INVITE.
func (a *anchor) CancelAll(reason string) {
	a.step(ring.Cancelled{Now: a.tick(), Reason: reason})
}

// tick begins a step: what happens in it happens now.
func (a *anchor) tick() time.Time {
	a.now = time.Now()
	return a.now
}

// step takes an event of the plan and carries out what follows from it.
func (a *anchor) step(ev ring.Event) {
	if a.busy { // an effect failed at once: its event waits for the effects before it
		a.pending = append(a.pending, ev)
		return
	}
	var effects []ring.Effect
	a.ring, effects = a.ring.Step(ev, a.room.effects[:0])
	a.carryOut(effects)
}

func (a *anchor) carryOut(effects []ring.Effect) {
	for {
		a.busy = true
		for _, e := range effects {
			a.do(e)
		}
		a.busy = false
		clear(effects)
		if len(a.pending) == 0 {
			a.settle()
			return
		}
		ev := a.pending[0]
		a.pending = append(a.pending[:0], a.pending[1:]...)
		a.ring, effects = a.ring.Step(ev, a.room.effects[:0])
	}
}

// settle shows what the step changed, and lets go of the call when nothing is
// open any more.
func (a *anchor) settle() {
	if a.busy {
		return
	}
	a.show()
	if !a.ring.Done() {
		return
	}
	for _, br := range a.branches {
		if !br.done() {
			return
		}
	}
	if a.talks != nil && !a.talks.state.Done() {
		return
	}
	a.leave()
}

func (a *anchor) do(e ring.Effect) {
	switch e := e.(type) {
	case ring.Invite:
		a.invite(e)
	case ring.Cancel:
		a.branches[e.Branch].cancel(e.Reason)
	case ring.Move:
		a.branches[e.Branch].move(e.Target)
	case ring.Reply:
		a.reply(e)
	case ring.StartTimer:
		a.timer(e.Timer, true).timer.Set(a.lane, e.After)
	case ring.StopTimer:
		if t := a.timer(e.Timer, false); t != nil {
			t.timer.Stop()
		}
	case ring.Doubt:
		if aor, err := location.NewAOR(a.branches[e.Branch].number(), a.domain); err == nil {
			a.b.loc.Doubt(aor, a.branches[e.Branch].target.Flow)
		}
	case ring.Visit:
		a.visit(e.Outcome)
	case ring.HangUp:
		a.b.metrics.late.Inc()
		a.respond(0, false)
	case ring.End:
		a.end(e.Outcome)
	default:
		panic("b2bua: unknown effect of a plan")
	}
}

// timer finds the timer of a name, or makes it.
func (a *anchor) timer(name ring.Timer, create bool) *ringTimer {
	for _, t := range a.timers {
		if t.name == name {
			return t
		}
	}
	if !create {
		return nil
	}
	var t *ringTimer
	if n := len(a.timers); n < len(a.room.timers) && n < cap(a.timers) {
		t = &a.room.timers[n]
	} else {
		t = new(ringTimer)
	}
	t.anchor, t.name, t.timer.Owner = a, name, t
	a.timers = append(a.timers, t)
	return t
}

// visit asks what follows an outcome, with the settings of this moment.
func (a *anchor) visit(o ring.Outcome) {
	v := a.rings.Outcomes.After(o.Kind)
	if o.Kind == ring.Redirected && int(o.Branch) < len(a.branches) {
		v = a.rings.Redirected(a.branches[o.Branch].redirect)
	}
	if v == nil {
		a.step(ring.Decided{Now: a.now, Status: o.Status})
		return
	}
	a.begin() // it counts
	a.b.resolver.Resolve(a.lane, a.now, v, a.decided)
}

// decided goes on with the plan of the next number.
func (a *anchor) decided(plan routing.Plan, trace routing.Trace, err error) {
	now := a.tick()
	if _, ended := a.ring.Ended(); ended || a.released {
		return
	}
	a.tell(trace)
	if err != nil {
		a.b.log.Warn("decision failed", "call", a.live.ID, "err", err)
		a.step(ring.Decided{Now: now, Status: 480})
		return
	}
	switch d := plan.Decision.(type) {
	case routing.Reject:
		a.update(func(l *feed.Call) { l.Rule = string(d.Rule) })
		a.step(ring.Decided{Now: now, Status: d.Status})
	case routing.Act: // nobody forwards to a code
		a.step(ring.Decided{Now: now, Status: 480})
	case routing.Ring:
		a.rings, a.hops = d, plan.Hops
		a.update(func(l *feed.Call) { l.Number = d.Number })
		a.arrive(&plan)
		p := plan.RingPlan(&a.rings)
		p.OwnLegs = true // it stays anchored: nothing learnt later changes that
		a.step(ring.Decided{Now: now, Plan: p})
	default:
		panic("b2bua: unknown decision")
	}
}

// end closes the account of the ringing.
func (a *anchor) end(o ring.Outcome) {
	a.stopRinging()
	if o.Kind == ring.Answered {
		a.b.counter.Call("answered", a.live.Rule)
		return
	}
	a.close(o.Status, o.Kind.String())
}
