package ring

import (
	"fmt"
	"time"
)

// phase is where a call is.
type phase uint8

const (
	idle     phase = iota
	ringing        // branches of a group ring
	clearing       // the ring time is over or somebody declined: waiting for those cancelled
	visiting       // waiting for a Decided
	leaving        // the caller gave up: waiting for those cancelled
	ended          // the caller has its final response
)

// State is a plan being carried out. It is a value: Step never changes the one
// it is called on. The zero State ignores everything; [New] makes others.
type State struct {
	plan      Plan
	joined    []Target // devices that registered meanwhile, newest last
	declined  []string // members of a group that did not want the call
	branches  branches
	start     time.Time
	clockAt   time.Duration // when the timers are due, since start
	stageAt   time.Duration
	nextAt    time.Duration
	numberAt  time.Duration // the first INVITE of the number, since start
	stageEnd  time.Duration // of a stage with remote destinations: when they are given up
	timed     bool          // TimerStage runs
	delayed   bool          // TimerDelay runs
	remotes   bool          // the stage at hand has remote destinations
	alone     bool          // no device of the stage rings nor will: only remote destinations do
	stageOver bool          // the stage at hand is over
	last      bool          // no group of this number follows any more
	phase     phase
	base      BranchID // first branch of the plan at hand
	stage     int      // index of the stage that rings
	q         int      // of the group that rings
	best      verdict
	reason    string // of a CANCEL that is still to come
	outcome   Outcome
}

// step is a State while an event changes it.
type step struct {
	State
	now     time.Time
	effects []Effect
}

// New begins to carry p out: now is the time of the number's first INVITE. What
// is to be done is appended to dst, which may be nil.
func New(p Plan, now time.Time, dst []Effect) (State, []Effect) {
	s := step{now: now, effects: dst}
	s.start = now
	s.clockAt = p.Clock
	if s.clockAt <= 0 {
		s.clockAt = ClockTime
	}
	s.begin(p)
	if s.phase != ended {
		s.timer(TimerClock, s.clockAt)
	}
	return s.State, s.effects
}

// Step returns the state after ev; what is to be done for it, in order, is
// appended to dst, which may be nil.
func (s State) Step(ev Event, dst []Effect) (State, []Effect) {
	if s.phase == idle {
		return s, dst
	}
	x := step{State: s, effects: dst}
	switch ev := ev.(type) {
	case Response:
		x.now = ev.Now
		x.response(ev)
	case Failed:
		x.now = ev.Now
		x.failed(ev.Branch)
	case Fired:
		x.now = ev.Now
		x.fired(ev.Timer)
	case Cancelled:
		x.now = ev.Now
		x.cancelled(ev.Reason)
	case Registered:
		x.now = ev.Now
		x.registered(ev.Target)
	case Picked:
		x.now = ev.Now
		if x.Rings() && ev.Target.Pickup {
			t := ev.Target
			x.branch(&t)
		}
	case Decided:
		x.now = ev.Now
		x.decided(ev)
	default:
		panic(fmt.Sprintf("ring: unknown event %T", ev))
	}
	return x.State, x.effects
}

// Ended reports whether the caller got its final response, and which.
func (s State) Ended() (Outcome, bool) { return s.outcome, s.phase == ended }

// Done reports whether nothing can come any more: the call ended and so did
// every branch.
func (s State) Done() bool {
	return s.phase == idle || s.phase == ended && !s.branches.any(branch.mayAnswer)
}

// Rings reports whether somebody who takes the call now would have it.
func (s State) Rings() bool { return s.phase == ringing }

// Began returns when the number at hand began to ring, or the member of a group.
func (s State) Began() time.Time { return s.start.Add(s.numberAt) }

// Branches returns how many branches there were so far.
func (s State) Branches() int { return s.branches.n }

// Target returns the target of a branch as it is now; false for no branch.
func (s State) Target(b BranchID) (Target, bool) {
	if b < 0 || int(b) >= s.branches.n {
		return Target{}, false
	}
	return *s.branches.at(b).target, true
}

func (s *step) response(ev Response) {
	i := ev.Branch
	if i < 0 || int(i) >= s.branches.n {
		return
	}
	switch {
	case ev.Status < 100 || ev.Status > 699:
	case ev.Status < 200:
		s.provisional(i, ev.Status, ev.SDP)
	case ev.Status < 300:
		s.success(i, ev.Status)
	default:
		s.failure(i, ev.Status)
	}
}

// provisional takes a 1xx.
func (s *step) provisional(i BranchID, status int, sdp bool) {
	b := s.branches.at(i)
	switch b.state {
	case trying:
		if b.timed() {
			s.stop(TimerSilent, i)
		}
		b.state = early
	case silent: // ring.silent: now it can be cancelled
		b.state = cancelling
		s.cancel(i, &b, s.reason)
	case cancelling:
		if b.timed() && s.phase != ended {
			s.stop(TimerSilent, i)
		}
	case early:
	case broken, lost, over, won:
		return
	default:
		panic("ring: branch without a state")
	}
	b.heard = true
	b.rang = b.rang || status > 100
	s.branches.set(i, b)
	if b.state == early && status > 100 && s.rings() {
		s.relay(i, status, sdp)
	}
}

// relay sends a provisional response upstream (rule ring.early-media). From the
// only and last branch it goes as it is, a 180 with SDP too.
func (s *step) relay(i BranchID, status int, sdp bool) {
	if s.only(i) {
		s.do(Reply{From: i, Status: status})
		return
	}
	if status/10 == 18 {
		status = 180
	}
	s.do(Reply{From: i, Status: status, DropSDP: sdp})
}

// only reports whether no branch or stage but i can still answer.
func (s *step) only(i BranchID) bool {
	for j := range BranchID(s.branches.n) {
		if j != i && s.branches.at(j).mayAnswer() {
			return false
		}
	}
	return s.plan.Visits&^VisitsOn(Redirected) == 0 && !s.more()
}

// success takes a 2xx: the first wins, whoever gives it (RFC 3261 §16.7 step 5,
// rule ring.stage).
func (s *step) success(i BranchID, status int) {
	b := s.branches.at(i)
	b.state = won
	s.branches.set(i, b)
	if s.phase != ended {
		s.do(Reply{From: i, Status: status})
		reason := ElsewhereReason
		if b.target.Service {
			reason = ""
		}
		s.giveUp(reason, true)
		s.end(Outcome{Kind: Answered, Status: status, Branch: i})
		return
	}
	switch {
	case s.outcome.Kind == Answered && !s.plan.OwnLegs:
		// RFC 3261 §16.7 step 5: every 2xx goes upstream, and so do their
		// retransmissions (RFC 6026 §7.1).
		s.do(Reply{From: i, Status: status})
	case s.outcome.Kind == Answered && s.outcome.Branch == i:
		// The leg acknowledges its own retransmissions.
	default:
		s.do(HangUp{Branch: i})
	}
}

// failure takes a final response from 300 on.
func (s *step) failure(i BranchID, status int) {
	b := s.branches.at(i)
	was := b
	switch b.state {
	case over, won:
		return
	case broken, lost:
		b.state = over
		s.branches.set(i, b)
		return
	case trying, early, silent, cancelling:
	default:
		panic("ring: branch without a state")
	}
	b.state = over
	if s.phase == ended {
		s.branches.set(i, b)
		return
	}
	s.unstop(i, &b)
	s.branches.set(i, b)
	if was.timed() {
		s.stop(TimerSilent, i)
	}
	switch {
	case was.state == cancelling && (status == 487 || status == 408):
		// ring.stage: those we caused never take part.
	case b.target.Pickup: // whoever was rung is rung on
	case was.state != cancelling && (status == 430 || status == 408 && !b.heard) && s.retry(i):
	case b.remote(), b.member():
		s.count(i, judgeRemote(status, b.rang))
	case s.follows(&b, status):
		s.count(i, redirected(i))
	default:
		s.count(i, judge(i, status, b.rang))
	}
	// 603 declines for the number, and other 6xx end its search as well
	// (RFC 3261 §16.7 step 5); 600 is this device only (rule busy). A redirect of a
	// device is dialled instead of what rings (rule device.redirect).
	if !b.target.Pickup && (status > 600 && !b.remote() || s.follows(&b, status)) && i >= s.base && s.rings() {
		if b.member() {
			s.decline(b.target.Number)
		} else {
			s.clear(true)
		}
	}
	s.advance()
}

// follows reports whether a response is a redirect of a device to be dialled.
func (s *step) follows(b *branch, status int) bool {
	return status < 400 && !s.last && s.plan.Visits.Has(Redirected) && b.target.Trunk == "" && !b.remote() && !b.member()
}

// rings reports whether the number still rings, or waits for the branches of a
// group that was given up.
func (s *step) rings() bool { return s.phase == ringing || s.phase == clearing }

// failed takes the loss of a flow.
func (s *step) failed(i BranchID) {
	if i < 0 || int(i) >= s.branches.n {
		return
	}
	b := s.branches.at(i)
	was := b
	switch b.state {
	case broken, lost, over, won:
		return
	case cancelling:
		b.state = over
	case early:
		b.state = broken
	case trying, silent:
		b.state = lost
	default:
		panic("ring: branch without a state")
	}
	if was.state == early && s.phase == ringing {
		// The device has the INVITE: it goes on over its next flow.
		if t := s.spare(b.target); t != nil {
			b.state, b.target = early, t
			s.branches.set(i, b)
			s.do(Move{Branch: i, Target: *t})
			return
		}
	}
	if s.phase == ended {
		s.branches.set(i, b)
		return
	}
	s.unstop(i, &b)
	s.branches.set(i, b)
	if was.timed() {
		s.stop(TimerSilent, i)
	}
	if b.state != over && (b.state != lost || b.target.Pickup || !s.retry(i)) {
		s.count(i, missed(b.rang))
	}
	s.advance()
}

// count takes a verdict about a branch, unless it is of a number that is over.
func (s *step) count(i BranchID, v verdict) {
	if i >= s.base && !s.branches.at(i).target.Pickup {
		s.best = s.best.better(v)
	}
}

// cancelled takes the caller's CANCEL. The branches are waited for, so that no
// 2xx comes after the 487 (RFC 3261 §9.2, §16.10).
func (s *step) cancelled(reason string) {
	if s.phase == ended || s.phase == leaving {
		return
	}
	s.giveUp(reason, true)
	s.stopStage()
	s.stopDelay()
	if s.phase == clearing {
		s.stop(TimerNext, 0)
	}
	s.phase = leaving
	s.patience()
	if s.branches.any(branch.holds) {
		switch left := s.clockAt - s.elapsed(); {
		case left > cancelTime:
			s.clock(cancelTime)
		case left <= 0: // it fired already
			s.clock(NextTime)
		}
	}
	s.advance()
}

// decided takes what a visit came to.
func (s *step) decided(ev Decided) {
	if s.phase != visiting {
		return
	}
	if ev.Status != 0 {
		if ev.Status < 300 || ev.Status > 699 || ev.Status == 408 || ev.Status == 487 || ev.Status == 503 {
			ev.Status = 480 // ring.final
		}
		s.reject(Outcome{Kind: s.outcome.Kind, Status: ev.Status, Branch: None})
		return
	}
	s.begin(ev.Plan)
}

// patience bounds the waiting for branches of trunks that never spoke, which
// cannot be cancelled yet: a device has its TimerSilent already.
func (s *step) patience() {
	for i := range BranchID(s.branches.n) {
		if b := s.branches.at(i); b.target.Trunk != "" && b.timed() {
			s.do(StartTimer{Timer: Timer{Kind: TimerSilent, Branch: i}, After: SilentTime})
		}
	}
}

// reject sends the final response of an outcome and ends the call. A redirect
// itself never goes upstream (rule device.redirect).
func (s *step) reject(o Outcome) {
	if o.Kind == Redirected {
		o.Branch = None
	}
	s.do(Reply{From: o.Branch, Status: o.Status})
	s.end(o)
}

// end says that the caller has its final response.
func (s *step) end(o Outcome) {
	s.phase, s.outcome = ended, o
	s.timed, s.delayed = false, false
	s.do(End{Outcome: o})
}

// giveUp cancels every branch that rings, or only those of devices, and
// remembers the reason for those that cannot be cancelled yet.
func (s *step) giveUp(reason string, all bool) {
	s.reason = reason
	for i := range BranchID(s.branches.n) {
		if b := s.branches.at(i); b.rings() && (all || !b.remote()) {
			b.state = cancelling
			s.unstop(i, &b)
			s.branches.set(i, b)
			s.cancel(i, &b, reason)
		}
	}
}

// cancel gives branch i, which is b, up. A phone that is told that somebody else
// answered logs no missed call.
func (s *step) cancel(i BranchID, b *branch, reason string) {
	if b.target.Unlogged {
		reason = ElsewhereReason
	}
	s.do(Cancel{Branch: i, Reason: reason})
}

func (s *step) do(e Effect) { s.effects = append(s.effects, e) }

func (s *step) timer(k TimerKind, after time.Duration) {
	s.do(StartTimer{Timer: Timer{Kind: k}, After: after})
}

// clock moves the end of the call.
func (s *step) clock(after time.Duration) {
	s.clockAt = s.elapsed() + after
	s.timer(TimerClock, after)
}

func (s *step) stop(k TimerKind, i BranchID) { s.do(StopTimer{Timer{Kind: k, Branch: i}}) }

// elapsed returns how long the call rings.
func (s *step) elapsed() time.Duration { return s.now.Sub(s.start) }
