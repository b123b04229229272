package proxy

import (
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
	from From

	plan     routing.Plan
	ring     ring.State
	branches []branch
	timers   []*ringTimer
	room     [3]ringTimer // for the timers of a call with one branch
	effects  []ring.Effect
	pending  []ring.Event // made while effects were carried out
	busy     bool         // effects are being carried out

	now    time.Time     // of this step
	res    *wire.Message // the response this step is about
	source ring.BranchID // whose response it is

	loop      uint32
	popped    bool // the request carried a Route of ours
	cancelled bool // by the caller, before there was a plan
	reason    string
	ringKey   location.AOR
	live      *feed.Call
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

// Fired implements the step of a timer of a plan. The dispatcher calls it for
// a [lane.Fired] that belongs to no transaction.
func Fired(ev lane.Fired) {
	if t, ok := ev.Timer.Owner.(*ringTimer); ok {
		t.call.step(ring.Fired{Now: time.Now(), Timer: t.name})
	}
}

// Invite begins a call with an INVITE that belongs to no dialog and whose origin
// is proven. The server transaction owns it.
func (x *Proxy) Invite(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, v routing.Visit, from From, popped bool) {
	c := &call{x: x, lane: ln, set: set, srv: srv, from: from, popped: popped, now: srv.Request.Received}
	srv.User = c
	m := &srv.Request.Msg
	c.loop = x.loop(m)
	c.live = &feed.Call{
		ID: x.calls.NewID(c.now), Domain: from.Domain, CallID: ln.CallID(), CallerTag: string(m.FromTag()),
		Caller: from.Caller.Number, CallerDev: from.Caller.Device, Called: v.Target,
		State: feed.Calling, Started: c.now,
	}
	if x.looped(m, c.loop, srv.Request.Flow.Local) {
		c.refuse(482, "", "")
		return
	}
	x.resolve(ln, c.now, &v, c.decided)
}

// decided begins to carry out the plan.
func (c *call) decided(plan routing.Plan, trace routing.Trace, err error) {
	c.now = time.Now()
	c.live.Story = story(trace)
	if n := len(trace); n > 0 {
		c.live.Rule = string(trace[n-1].Rule)
	}
	if c.cancelled {
		c.refuse(487, "", "")
		return
	}
	if err != nil {
		c.x.log.Warn("decision failed", "call", c.live.ID, "err", err)
		c.refuse(c.x.status(err), "", "")
		return
	}
	c.plan = plan
	switch d := plan.Decision.(type) {
	case routing.Reject:
		c.live.Rule = string(d.Rule)
		if n := len(trace); n > 0 && (d.Status == 480 || d.Status == 486) {
			c.live.Number = trace[n-1].Number // whose phones do not ring: it is in their journal
		}
		c.refuse(d.Status, d.Reason, string(d.Rule))
	case routing.Ring:
		c.live.Number = d.Number
		if plan.Anchored != "" {
			c.refuse(501, "Anchored Call Needed: "+string(plan.Anchored), string(plan.Anchored))
			return
		}
		c.begin(d)
	default:
		panic("proxy: unknown decision")
	}
}

func (c *call) begin(d routing.Ring) {
	stages := make([][]ring.Target, len(d.Stages))
	for i, s := range d.Stages {
		stages[i] = s.Targets
	}
	c.x.calls.Begin(c.live)
	if aor, err := location.NewAOR(d.Number, c.from.Domain); err == nil {
		c.ringKey = aor
		c.x.ringing.add(aor, c)
	}
	if len(c.plan.Hops) > 0 {
		c.x.reply(c.srv, 181, "", nil) // rule ring.181
	}
	var effects []ring.Effect
	c.ring, effects = ring.New(ring.Plan{Stages: stages, RingTime: d.RingTime}, c.now, nil)
	c.carryOut(effects)
}

// refuse ends a call that never rang.
func (c *call) refuse(status int, reason, rule string) {
	if rule != "" {
		c.live.Rule = rule
	}
	outcome := ring.Refused
	switch status {
	case 480:
		outcome = ring.Unreachable
	case 486:
		outcome = ring.Busy
	case 487:
		outcome = ring.CallerGaveUp
	}
	c.close(status, outcome.String())
	c.x.reply(c.srv, status, reason, nil)
}

// step takes an event of the plan and carries out what follows from it.
func (c *call) step(ev ring.Event) {
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
	if !c.ring.Done() {
		return
	}
	rest := &late{c.x, c.srv}
	for i := range c.branches {
		b := &c.branches[i]
		switch {
		case b.client == nil:
		case b.hungUp:
			b.client.SetUser(&unwanted{c.x, c.set})
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
	case ring.Visit: // of anchored calls only
		panic("proxy: effect of an anchored call")
	default:
		panic("proxy: unknown effect")
	}
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
	if n := len(c.timers); n < len(c.room) {
		t = &c.room[n]
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
	b.target = e.Target
	p := c.srv.Request
	if p == nil {
		return
	}
	o := outgoing{
		flow: e.Target.Flow, uri: []byte(e.Target.Contact), routes: e.Target.Path,
		id: transaction.NewID(), loop: c.loop, hops: c.plan.Hops, domain: c.from.Domain,
		realm: c.from.Realm, origin: c.from.Origin, popped: c.popped, breadth: c.breadth(&p.Msg),
	}
	o.token = &auth.Token{Caller: c.x.callerSide(p, c.from), Callee: sideOf(c.live.Number, &e.Target), Node: c.x.node}
	if d, ok := c.plan.Decision.(routing.Ring); ok {
		o.alert = d.Alert
		o.forked = targets(d) > 1
	}
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
	if d, ok := c.plan.Decision.(routing.Ring); ok {
		n /= targets(d)
	}
	return max(1, n)
}

// targets is how many branches a plan may have at once, at least 1.
func targets(d routing.Ring) int {
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

// CancelAll implements [Branching]: the caller gave up.
func (c *call) CancelAll(reason string) {
	c.now = time.Now()
	if c.plan.Decision == nil { // the decision is not back yet: it will see
		c.cancelled, c.reason = true, reason
		return
	}
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
		l.CallerAddr, l.CalleeAddr = c.srv.ReplyFlow().Remote, c.branches[from].target.Flow.Remote
		l.Deadline = c.now.Add(callDeadline)
	})
	if err := c.x.calls.Answered(c.live); err != nil {
		c.x.metrics.journalFailed.Inc()
		c.x.log.Error("call not journaled", "call", c.live.ID, "err", err)
	}
	c.x.metrics.setup.Observe(c.now.Sub(c.live.Started).Seconds())
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
	c.x.ringing.remove(c.ringKey, c)
	if o.Kind == ring.Answered {
		c.x.metrics.call("answered", c.live.Rule)
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
	c.live = &next
	if err := c.x.calls.Ended(c.live); err != nil {
		c.x.metrics.journalFailed.Inc()
		c.x.log.Error("record not journaled", "call", c.live.ID, "err", err)
	}
	c.x.metrics.call(outcome, next.Rule)
}

// story is a trace as a call keeps it.
func story(trace routing.Trace) []feed.Step {
	if len(trace) == 0 {
		return nil
	}
	steps := make([]feed.Step, len(trace))
	for i, e := range trace {
		steps[i] = feed.Step{At: e.At, Rule: string(e.Rule), Number: e.Number, To: e.To, Setting: e.Setting, Value: e.Value}
	}
	return steps
}

// forwardAll sends a request that is no INVITE to all targets of the plan.
func (x *Proxy) forwardAll(set *transaction.Set, srv *transaction.Server, d routing.Ring, from From, popped bool) {
	p := srv.Request
	r := &relay{x: x, set: set, srv: srv}
	srv.User = r
	loop := x.loop(&p.Msg)
	for _, s := range d.Stages {
		for _, t := range s.Targets {
			o := outgoing{
				flow: t.Flow, uri: []byte(t.Contact), routes: t.Path, loop: loop,
				realm: from.Realm, origin: from.Origin, domain: from.Domain, popped: popped,
			}
			if createsDialog(srv.Method()) {
				o.token = &auth.Token{Caller: x.callerSide(p, from), Callee: sideOf(d.Number, &t), Node: x.node}
			}
			r.add(&o, p)
		}
	}
	r.start(480)
}

// Forward routes a request that belongs to no dialog and is no INVITE: MESSAGE,
// OPTIONS, SUBSCRIBE, and methods nobody here knows.
func (x *Proxy) Forward(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, v routing.Visit, from From, popped bool) {
	if x.looped(&srv.Request.Msg, x.loop(&srv.Request.Msg), srv.Request.Flow.Local) {
		x.reply(srv, 482, "", nil)
		return
	}
	x.resolve(ln, srv.Request.Received, &v, func(plan routing.Plan, _ routing.Trace, err error) {
		if err != nil {
			x.reply(srv, x.status(err), "", nil)
			return
		}
		switch d := plan.Decision.(type) {
		case routing.Reject:
			x.reply(srv, d.Status, d.Reason, nil)
		case routing.Ring:
			if plan.Anchored != "" && len(d.Stages) == 0 {
				x.reply(srv, 501, "", nil)
				return
			}
			x.forwardAll(set, srv, d, from, popped)
		default:
			panic("proxy: unknown decision")
		}
	})
}

func createsDialog(m wire.Method) bool {
	return m == wire.Invite || m == wire.Subscribe || m == wire.Refer
}
