package proxy

import (
	"cmp"
	"net/netip"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// A call is a proxied INVITE from the decision to its final response: a plan
// that ring carries out, and the branches that do what it says. It lives in the
// lane of its Call-ID; only steps touch it.
type call struct {
	x    *Proxy
	lane *lane.Lane
	set  *transaction.Set
	srv  *transaction.Server
	from auth.From

	hops     []routing.Hop
	rings    routing.Ring
	ring     ring.State
	branches []branch
	timers   []*ringTimer
	effects  []ring.Effect
	room     room
	pending  []ring.Event // made while effects were carried out
	busy     bool         // effects are being carried out

	now    time.Time     // of this step
	res    *wire.Message // the response this step is about
	source ring.BranchID // whose response it is

	loop    uint32
	popped  bool // the request carried a Route of ours
	secure  bool // it was for a sips URI
	ringKey location.AOR
	live    *feed.Call
	handed  bool // b2bua goes on
}

// A room is what the lists of a call to one phone take.
type room struct {
	branches [1]branch
	timers   [3]ringTimer
	set      [3]*ringTimer
	effects  [6]ring.Effect
}

type branch struct {
	client *transaction.Client
	target ring.Target
	final  *wire.Message // owned; a non-2xx final response that may go up
	hungUp bool
}

// A ringTimer is one timer of the plan.
type ringTimer struct {
	call  *call
	name  ring.Timer
	timer lane.Timer
}

// Fired is the step of a timer of a plan.
func (t *ringTimer) Fired() { t.call.step(ring.Fired{Now: time.Now(), Timer: t.name}) }

// An Invitation is an INVITE that belongs to no dialog and that routing decided
// about.
type Invitation struct {
	From   auth.From
	Popped bool   // it carried a Route of ours
	Loop   uint32 // of [Proxy.Loop]
	Ring   routing.Ring
	Hops   []routing.Hop
	Live   *feed.Call // the account of the call so far
}

// Invite begins a call: the plan of an INVITE that is proxied. The server
// transaction owns it.
func (x *Proxy) Invite(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, i *Invitation) {
	c := &call{
		x: x, lane: ln, set: set, srv: srv, from: i.From, popped: i.Popped, loop: i.Loop, now: time.Now(),
		secure: isSIPS(srv.Request.Msg.RequestURI()), rings: i.Ring, hops: i.Hops, live: i.Live,
	}
	c.branches, c.timers = c.room.branches[:0], c.room.set[:0]
	srv.User = c
	srv.Brief(true)
	x.calls.Begin(c.live)
	if aor, err := location.NewAOR(i.Ring.Number, i.From.Domain); err == nil {
		c.ringKey = aor
		x.ringing.Add(aor, ln, c)
	}
	if len(i.Hops) > 0 {
		x.reply(srv, 181, "", nil) // rule ring.181
	}
	stages := make([][]ring.Target, len(i.Ring.Stages))
	for n, s := range i.Ring.Stages {
		stages[n] = s.Targets
	}
	var effects []ring.Effect
	plan := ring.Plan{Stages: stages, RingTime: i.Ring.RingTime}
	if i.Ring.Redirect != nil {
		plan.Visits = ring.VisitsOn(ring.Redirected)
	}
	c.ring, effects = ring.New(plan, c.now, c.room.effects[:0])
	c.carryOut(effects)
}

// Registered takes a device that registered while the number rings. It is for
// steps of the call's lane.
func (c *call) Registered(target ring.Target) {
	if c.secure && !target.Flow.Secure() || !c.rings.Joins(&target) {
		return
	}
	c.now = time.Now()
	c.step(ring.Registered{Now: c.now, Target: target})
}

// Gone takes that a connection closed: nobody will answer over it. A device that
// comes back rings again (rule ring.devices). It is for steps of the call's lane.
func (c *call) Gone(flow location.Flow) {
	for i := range c.branches {
		if b := &c.branches[i]; b.client != nil && !b.client.Done() && b.target.Flow == flow {
			c.now = time.Now()
			c.step(ring.Failed{Now: c.now, Branch: ring.BranchID(i)})
		}
	}
}

// step takes an event of the plan and carries out what follows from it.
func (c *call) step(ev ring.Event) {
	if c.handed {
		return
	}
	if c.busy { // an effect failed at once: its event waits for the effects before it
		c.pending = append(c.pending, ev)
		return
	}
	var effects []ring.Effect
	c.ring, effects = c.ring.Step(ev, c.effects[:0])
	c.carryOut(effects)
}

func (c *call) carryOut(effects []ring.Effect) {
	for {
		c.busy = true
		for _, e := range effects {
			c.do(e)
		}
		c.effects = effects[:0]
		c.busy = false
		if len(c.pending) == 0 {
			c.release()
			return
		}
		ev := c.pending[0]
		c.pending = append(c.pending[:0], c.pending[1:]...)
		c.ring, effects = c.ring.Step(ev, c.effects)
	}
}

// release lets go of the call when nothing is open any more. The transactions
// linger for half a minute; they shall not keep all of it alive.
func (c *call) release() {
	if c.handed || !c.ring.Done() {
		return
	}
	rest := &late{c.x, c.srv}
	for i := range c.branches {
		b := &c.branches[i]
		switch {
		case b.client == nil:
		case b.hungUp:
			b.client.SetUser(&unwanted{c.x, c.set, true})
		default:
			b.client.SetUser(rest)
		}
	}
	c.srv.User = nil
}

func (c *call) do(e ring.Effect) {
	switch e := e.(type) {
	case ring.Invite:
		c.invite(e)
	case ring.Cancel:
		if b := &c.branches[e.Branch]; b.client != nil {
			b.client.Cancel(reasonLine(e.Reason))
		}
	case ring.Move:
		b := &c.branches[e.Branch]
		b.target = e.Target
		if b.client != nil {
			b.client.Move(e.Target.Flow)
		}
	case ring.Reply:
		c.reply(e)
	case ring.StartTimer:
		c.timer(e.Timer, true).timer.Set(c.lane, e.After)
	case ring.StopTimer:
		if t := c.timer(e.Timer, false); t != nil {
			t.timer.Stop()
		}
	case ring.Doubt:
		b := c.branches[e.Branch]
		c.x.loc.Doubt(c.ringKey, b.target.Flow)
	case ring.End:
		c.end(e.Outcome)
	case ring.HangUp:
		if c.res != nil {
			b := &c.branches[e.Branch]
			c.x.hangUp(c.set, b.client.Flow(), c.res, b.hungUp)
			b.hungUp = true
		}
	case ring.Visit: // of a redirect only: the other outcomes of a proxied call have none
		c.handOver(e.Outcome)
	default:
		panic("proxy: unknown effect")
	}
}

// handOver has an anchored call follow a redirect (rule device.redirect): the
// INVITE that the phone was sent to has a leg of its own, which a proxied call
// cannot give it. What the branches given up still answer is hung up.
func (c *call) handOver(o ring.Outcome) {
	c.handed = true
	c.srv.Brief(false) // b2bua keeps the request
	c.pending = nil
	c.x.ringing.Remove(c.ringKey, c)
	for _, t := range c.timers {
		t.timer.Stop()
	}
	for i := range c.branches {
		if b := &c.branches[i]; b.client != nil {
			b.client.SetUser(&unwanted{x: c.x, set: c.set})
		}
	}
	contact := ""
	if o.Branch != ring.None && c.branches[o.Branch].final != nil {
		contact = string(c.branches[o.Branch].final.ContactURI())
	}
	c.x.redirect(c.lane, c.set, c.srv, &Redirect{From: c.from, Live: c.live, Visit: c.rings.Redirected(contact), Status: o.Status})
}

// A Redirect is a proxied call that a phone sent elsewhere.
type Redirect struct {
	From   auth.From
	Live   *feed.Call
	Visit  *routing.Visit // what follows; nil: nothing
	Status int            // the final response then
}

// timer finds the timer of a name, or makes it.
func (c *call) timer(name ring.Timer, create bool) *ringTimer {
	for _, t := range c.timers {
		if t.name == name {
			return t
		}
	}
	if !create {
		return nil
	}
	var t *ringTimer
	if n := len(c.timers); n < len(c.room.timers) {
		t = &c.room.timers[n]
		t.call, t.name = c, name
	} else {
		t = &ringTimer{call: c, name: name}
	}
	t.timer.Owner = t
	c.timers = append(c.timers, t)
	return t
}

func (c *call) invite(e ring.Invite) {
	for len(c.branches) <= int(e.Branch) {
		c.branches = append(c.branches, branch{})
	}
	b := &c.branches[e.Branch]
	b.target = *e.Target
	p := c.srv.Request
	if p == nil {
		return
	}
	o := outgoing{
		flow: e.Target.Flow, uri: []byte(e.Target.Contact), routes: e.Target.Path,
		id: transaction.NewID(), loop: c.loop, hops: c.hops, domain: c.from.Domain,
		realm: c.from.Realm, from: &c.from, popped: c.popped, breadth: c.breadth(&p.Msg),
	}
	o.token = &auth.Token{Caller: c.x.ends.CallerSide(p.Flow, &c.from), Callee: auth.LineSide(c.live.Number, e.Target), Node: c.x.node}
	o.alert = cmp.Or(e.Target.Alert, c.rings.Alert)
	o.forked = targets(&c.rings) > 1
	buf := c.x.txs.Buffer()
	*buf = c.x.compose(*buf, p, &o)
	client, err := c.set.Request(o.flow, wire.Invite, o.id, *buf, c, int(e.Branch))
	c.x.txs.Release(buf)
	if err != nil {
		c.x.metrics.sendFailed.Inc()
		c.step(ring.Failed{Now: c.now, Branch: e.Branch})
		return
	}
	b.client = client
}

// breadth is the share of Max-Breadth of one branch (RFC 5393 §5.3.3).
func (c *call) breadth(m *wire.Message) int {
	n := maxBreadth
	if v, ok := m.Get(wire.MaxBreadth); ok {
		n = atoi(v.Bytes(), maxBreadth)
	}
	return max(1, n/targets(&c.rings))
}

// targets is how many branches a plan may have at once, at least 1.
func targets(d *routing.Ring) int {
	n := 1
	for _, s := range d.Stages {
		n = max(n, len(s.Targets))
	}
	return n
}

// Response implements [transaction.User].
func (c *call) Response(client *transaction.Client, res *wire.Message) {
	status := res.Status()
	if status == 100 {
		return // RFC 3261 §16.7 step 5; ring.silent counts from the first 1xx below
	}
	c.now = time.Now()
	c.res, c.source = res, ring.BranchID(client.Branch)
	b := &c.branches[client.Branch]
	if status >= 300 {
		if status != 487 && !c.srv.Done() {
			b.final = res.Clone()
		}
	}
	if status > 100 && status < 200 && c.live.State == feed.Calling {
		c.update(func(l *feed.Call) { l.State = feed.Ringing })
	}
	c.step(ring.Response{Now: c.now, Branch: c.source, Status: status, SDP: len(res.Body()) > 0})
	c.res = nil
}

// Failed implements [transaction.User].
func (c *call) Failed(client *transaction.Client) {
	c.now = time.Now()
	c.step(ring.Response{Now: c.now, Branch: ring.BranchID(client.Branch), Status: 408}) // RFC 3261 §16.8
}

// TimerC implements [transaction.User]: rule ring.clock ends a call long before.
func (c *call) TimerC(client *transaction.Client) { client.Cancel(nil) }

// CancelAll implements [transaction.Branching]: the caller gave up.
func (c *call) CancelAll(reason string) {
	c.now = time.Now()
	c.step(ring.Cancelled{Now: c.now, Reason: reason})
}

// reply sends a response upstream.
func (c *call) reply(e ring.Reply) {
	res := c.res
	if e.From != ring.None && e.From != c.source || res == nil {
		res = nil
		if e.From != ring.None && int(e.From) < len(c.branches) {
			res = c.branches[e.From].final
		}
	}
	if e.From == ring.None || res == nil {
		c.x.reply(c.srv, e.Status, "", nil)
		return
	}
	if e.Status/100 == 2 {
		c.answered(e.From, res)
	}
	buf := c.x.txs.Buffer()
	*buf = c.x.appendUp(*buf, res, e.Status, e.DropSDP, c.challenges(e.From, res))
	c.srv.Send(e.Status, *buf)
	c.x.txs.Release(buf)
}

// challenges are those of the other branches, when the response of from is one.
func (c *call) challenges(from ring.BranchID, res *wire.Message) (lines []byte) {
	if !isChallenge(res) {
		return nil
	}
	for i := range c.branches {
		if ring.BranchID(i) != from {
			lines = appendChallenges(lines, c.branches[i].final)
		}
	}
	return lines
}

// answered journals the call before its 2xx goes up (trust.md §3).
func (c *call) answered(from ring.BranchID, res *wire.Message) {
	if c.live.State == feed.Talking {
		return // a second 2xx, relayed as it is
	}
	c.update(func(l *feed.Call) {
		l.State, l.AnsweredAt, l.Status, l.Outcome = feed.Talking, c.now, res.Status(), "answered"
		l.CalleeTag = string(res.ToTag())
		l.Device = c.branches[from].target.Device
		l.CallerAddr, l.CalleeAddr = placeOf(c.srv.ReplyFlow()), placeOf(c.branches[from].target.Flow)
		l.Deadline = c.now.Add(callDeadline)
		if p := c.srv.Request; p != nil {
			l.Legs = c.others(c.x.legsOf(l, &p.Msg, res, c.srv.ReplyFlow(), c.branches[from].target.Flow), from, 487) // they get CANCEL
		}
	})
	if err := c.x.calls.Answered(c.live); err != nil {
		c.x.metrics.journalFailed.Inc()
		c.x.log.Error("call not journaled", "call", c.live.ID, "err", err)
	}
	c.x.counter.Setup(c.now.Sub(c.live.Started))
}

// others appends the legs of the branches that are over, or are about to be: all
// but the one that answered. status is that of one without final response.
func (c *call) others(legs []feed.Leg, answered ring.BranchID, status int) []feed.Leg {
	for i := range c.branches {
		if ring.BranchID(i) == answered {
			continue
		}
		b := &c.branches[i]
		l := feed.Leg{Number: c.live.Number, Device: b.target.Device, State: feed.Ended, Status: status, Started: c.live.Started, EndedAt: c.now}
		if b.final != nil {
			l.Status = b.final.Status()
		}
		legs = append(legs, l)
	}
	return legs
}

// placeOf is the other end of a flow as a call remembers it.
func placeOf(f location.Flow) netip.AddrPort {
	if f.Transport == location.UDP {
		return f.Remote
	}
	return netip.AddrPortFrom(f.Remote.Addr(), 0)
}

// callDeadline is how long a call counts without a sign of life (rule busy).
const callDeadline = time.Hour

// update replaces the call that others see: what was handed on never changes.
func (c *call) update(change func(*feed.Call)) {
	next := *c.live
	change(&next)
	c.live = &next
	if next.State != feed.Talking {
		c.x.calls.Update(c.live)
	}
}

// end closes the account of the ringing.
func (c *call) end(o ring.Outcome) {
	c.x.ringing.Remove(c.ringKey, c)
	if o.Kind == ring.Answered {
		c.x.counter.Call("answered", c.live.Rule)
		return
	}
	c.close(o.Status, o.Kind.String())
}

// close records a call that was not answered. It comes before the final response
// goes up, so that whoever sees that response finds the record.
func (c *call) close(status int, outcome string) {
	if c.live.State == feed.Ended || c.live.State == feed.Talking {
		return
	}
	next := *c.live
	next.State, next.EndedAt, next.Status, next.Outcome = feed.Ended, c.now, status, outcome
	if len(c.branches) > 0 {
		next.Legs = make([]feed.Leg, 1, 1+len(c.branches))
		next.Legs[0] = feed.Leg{Caller: true, Number: next.Caller, Device: next.CallerDev, State: feed.Ended, Status: status, Started: next.Started, EndedAt: c.now}
		silent := 487
		if outcome == ring.Unreachable.String() {
			silent = 408
		}
		next.Legs = c.others(next.Legs, ring.None, silent)
	}
	c.live = &next
	if err := c.x.calls.Ended(c.live); err != nil {
		c.x.metrics.journalFailed.Inc()
		c.x.log.Error("record not journaled", "call", c.live.ID, "err", err)
	}
	c.x.counter.Call(outcome, next.Rule)
}

// Forward sends a request that belongs to no dialog and is no INVITE to all
// targets of its plan: MESSAGE, OPTIONS, SUBSCRIBE, and methods nobody here knows.
// watch, which may be nil, sees how it comes out; best returns the best final
// response so far, 0 for none.
func (x *Proxy) Forward(set *transaction.Set, srv *transaction.Server, d *routing.Ring, from *auth.From, popped bool, watch Watch) (best func() int) {
	p := srv.Request
	r := &relay{x: x, set: set, srv: srv, watch: watch}
	srv.User = r
	srv.Brief(true)
	loop := x.loop(&p.Msg)
	for _, s := range d.Stages {
		for _, t := range s.Targets {
			if t.Trunk != "" {
				continue // trunks take calls, and nothing else
			}
			o := outgoing{
				flow: t.Flow, uri: []byte(t.Contact), routes: t.Path, loop: loop,
				realm: from.Realm, from: from, domain: from.Domain, popped: popped,
			}
			if createsDialog(srv.Method()) {
				o.token = &auth.Token{Caller: x.ends.CallerSide(p.Flow, from), Callee: auth.LineSide(d.Number, &t), Node: x.node}
			}
			r.add(&o, p)
		}
	}
	r.start(480)
	return r.bestStatus
}

func createsDialog(m wire.Method) bool {
	return m == wire.Invite || m == wire.Subscribe || m == wire.Refer
}
