package ring

import "time"

// anyQ is above every q, and the q of a stage that rings together.
const anyQ = 1 << 16

// begin starts a plan with its first group.
func (s *step) begin(p Plan) {
	s.plan, s.joined = p, nil
	s.base = BranchID(s.branches.n)
	s.stage, s.q = 0, anyQ
	s.best, s.last, s.reason = verdict{}, false, ""
	if p.Together {
		s.q = anyQ + 1
	}
	s.next()
}

// next starts the next group that has a target, or comes to the outcome.
func (s *step) next() {
	for !s.last {
		q, ok := s.below(s.stage, s.q)
		if !ok {
			if s.stage++; s.stage >= len(s.plan.Stages) {
				break
			}
			s.q = anyQ
			if s.plan.Together {
				s.q++
			}
			continue
		}
		s.q = q
		if s.invite() {
			s.phase = ringing
			s.ringTime()
			return
		}
	}
	s.conclude()
}

// below returns the highest q of a stage below another.
func (s *step) below(stage, than int) (q int, ok bool) {
	if stage >= len(s.plan.Stages) {
		return 0, false
	}
	if targets := s.plan.Stages[stage]; s.plan.Together {
		return anyQ, than > anyQ && len(targets) > 0
	}
	targets := s.plan.Stages[stage]
	for j := range targets {
		if t := int(targets[j].Q); t < than && (!ok || t > q) && leads(targets, j) {
			q, ok = t, true
		}
	}
	return q, ok
}

// leads reports whether the target at j is the first of its instance.
func leads(targets []Target, j int) bool {
	for k := range j {
		if same(&targets[k], &targets[j]) {
			return false
		}
	}
	return true
}

// invite invites the targets of the group at hand, and devices that registered
// since the last group ended. It reports whether there were any.
func (s *step) invite() bool {
	n := s.branches.n
	targets := s.plan.Stages[s.stage]
	for j := range targets {
		t := &targets[j]
		if s.inGroup(t) && leads(targets, j) && !s.used(t) {
			s.branch(s.newest(t))
		}
	}
	for j := len(s.joined) - 1; j >= 0; j-- { // the newest first
		if t := &s.joined[j]; !s.used(t) && !s.later(t) {
			s.branch(t)
		}
	}
	return s.branches.n > n
}

// inGroup reports whether t rings in the group at hand of its stage.
func (s *step) inGroup(t *Target) bool { return s.q == anyQ || s.q == int(t.Q) }

// branch invites t.
func (s *step) branch(t *Target) {
	i := s.branches.add(branch{target: t, state: trying})
	s.do(Invite{Branch: i, Target: *t})
	s.do(StartTimer{Timer: Timer{Kind: TimerSilent, Branch: i}, After: SilentTime})
}

// used reports whether the device of t had a branch already (rule
// ring.device-once).
func (s *step) used(t *Target) bool { return s.branchOf(t) != None }

// branchOf returns the newest branch of the device of t, or None. Legs with
// Call-IDs of their own count for the plan at hand only.
func (s *step) branchOf(t *Target) BranchID {
	least := BranchID(0)
	if s.plan.OwnLegs {
		least = s.base
	}
	for i := BranchID(s.branches.n) - 1; i >= least; i-- {
		if same(s.branches.at(i).target, t) {
			return i
		}
	}
	return None
}

// newest returns t as it registered last.
func (s *step) newest(t *Target) *Target {
	for j := len(s.joined) - 1; j >= 0; j-- {
		if o := &s.joined[j]; o.RegID == t.RegID && same(o, t) {
			return o
		}
	}
	return t
}

// later reports whether the device of t is to ring in a later group or stage.
func (s *step) later(t *Target) bool {
	return s.anyLater(func(o *Target) bool { return same(o, t) })
}

// more reports whether a group or stage with a new target can still follow.
func (s *step) more() bool {
	return !s.last && s.anyLater(func(o *Target) bool { return !s.used(o) })
}

// anyLater reports whether a target of a later group or stage is so.
func (s *step) anyLater(is func(*Target) bool) bool {
	for k := s.stage; k < len(s.plan.Stages); k++ {
		targets := s.plan.Stages[k]
		for j := range targets {
			t := &targets[j]
			if (k > s.stage || int(t.Q) < s.q && s.q < anyQ) && leads(targets, j) && is(t) {
				return true
			}
		}
	}
	return false
}

// ringTime starts the ring time of the group at hand, unless the clock ends it.
func (s *step) ringTime() {
	left := s.clockAt - s.elapsed()
	d := left
	if s.plan.RingTime > 0 {
		d = s.plan.RingTime / time.Duration(s.groups(s.stage, anyQ+1))
	} else {
		rest := 1 + s.groups(s.stage, s.q)
		for k := s.stage + 1; k < len(s.plan.Stages); k++ {
			rest += s.groups(k, anyQ+1)
		}
		d /= time.Duration(rest)
	}
	if d >= left {
		s.stopStage()
		return
	}
	s.timed, s.stageAt = true, s.elapsed()+d
	s.timer(TimerStage, d)
}

// groups counts the groups of a stage below a q.
func (s *step) groups(stage, than int) int {
	n := 0
	for {
		q, ok := s.below(stage, than)
		if !ok {
			return n
		}
		than = q
		n++
	}
}

// stopStage stops the ring time.
func (s *step) stopStage() {
	if s.timed {
		s.timed = false
		s.stop(TimerStage, 0)
	}
}

// clear gives the group at hand up; with last no group of the number follows.
func (s *step) clear(last bool) {
	s.last = last
	for i := range BranchID(s.branches.n) {
		if b := s.branches.at(i); b.rings() {
			s.best = s.best.better(missed(b.heard))
		}
	}
	s.giveUp("") // ring.reason: none when the plan moves on
	s.stopStage()
	if s.phase == clearing {
		return
	}
	s.phase = clearing
	s.nextAt = s.elapsed() + NextTime
	s.timer(TimerNext, NextTime)
}

// advance goes on when no branch holds the call up any more.
func (s *step) advance() {
	if s.phase == visiting || s.phase == ended || s.branches.any(branch.holds) {
		return
	}
	if s.phase == clearing {
		s.stop(TimerNext, 0)
	}
	s.proceed()
}

// proceed goes on whether or not branches are still there; nothing waits for
// those any more.
func (s *step) proceed() {
	for i := range BranchID(s.branches.n) {
		if b := s.branches.at(i); b.state == cancelling && !b.quiet {
			b.quiet = true
			s.branches.set(i, b)
		}
	}
	switch s.phase {
	case ringing, clearing:
		s.next()
	case leaving:
		s.reject(Outcome{Kind: CallerGaveUp, Status: 487, Branch: None})
	case visiting, ended, idle:
	default:
		panic("ring: unknown phase")
	}
}

// conclude comes to the outcome of the number.
func (s *step) conclude() {
	v := s.best
	if v.rank == nothing {
		v = missed(false)
	}
	o := Outcome{Kind: v.kind, Status: v.status, Branch: v.from}
	if s.plan.Visits.Has(o.Kind) && s.elapsed() < s.clockAt {
		s.stopStage()
		s.phase, s.outcome = visiting, o
		s.do(Visit{Outcome: o})
		return
	}
	s.reject(o)
}

// retry invites the next flow of the device of branch i, whose flow is broken,
// and reports whether there was one (RFC 5626 §5.3, rule ring.devices).
func (s *step) retry(i BranchID) bool {
	if s.phase != ringing || i < s.base {
		return false
	}
	t := s.spare(s.branches.at(i).target)
	if t != nil {
		s.branch(t)
	}
	return t != nil
}

// spare returns a target of the same device on a flow that no branch had yet.
func (s *step) spare(t *Target) *Target {
	if s.stage >= len(s.plan.Stages) {
		return nil
	}
	for _, targets := range [...][]Target{s.joined, s.plan.Stages[s.stage]} {
		for j := range targets {
			o := s.newest(&targets[j])
			if same(o, t) && !s.branches.any(func(b branch) bool { return same(b.target, o) && b.target.Flow == o.Flow }) {
				return o
			}
		}
	}
	return nil
}

// fired takes a timer. One that is early, and so is stale or was moved, is set
// again; one that nothing waits for is ignored.
func (s *step) fired(t Timer) {
	switch t.Kind {
	case TimerSilent:
		s.silence(t.Branch)
	case TimerStage:
		if s.phase == ringing && s.timed && s.due(t.Kind, s.stageAt) {
			s.timed = false
			s.clear(false)
			s.advance()
		}
	case TimerNext:
		if s.phase == clearing && s.due(t.Kind, s.nextAt) {
			s.proceed()
		}
	case TimerClock:
		if s.phase != ended && s.due(t.Kind, s.clockAt) {
			s.timeUp()
		}
	case TimerDelay, TimerStop:
	default:
	}
}

// due reports whether a timer is due, and sets it again when it is not.
func (s *step) due(k TimerKind, at time.Duration) bool {
	left := at - s.elapsed()
	if left > 0 {
		s.timer(k, left)
	}
	return left <= 0
}

// timeUp ends unanswered ringing (rule ring.clock).
func (s *step) timeUp() {
	switch s.phase {
	case ringing, clearing:
		s.clear(true)
		s.advance()
	case visiting:
		s.reject(s.outcome)
	case leaving:
		s.proceed()
	case idle, ended:
	default:
		panic("ring: unknown phase")
	}
}

// silence abandons a branch without a 1xx (rule ring.silent).
func (s *step) silence(i BranchID) {
	if i < 0 || int(i) >= s.branches.n || s.phase == ended {
		return
	}
	b := s.branches.at(i)
	if !b.timed() {
		return
	}
	if b.state == trying {
		b.state = silent
		s.best = s.best.better(missed(false))
	} else {
		b.quiet = true
	}
	s.branches.set(i, b)
	if doubtable(b.target) {
		s.do(Doubt{Branch: i})
	}
	s.advance()
}

// registered takes a device that registered while its number rings (rule
// ring.devices).
func (s *step) registered(t Target) {
	if s.phase == ended {
		return
	}
	if i := s.branchOf(&t); i != None {
		s.returned(i, t)
		return
	}
	if s.phase == leaving || s.phase == visiting || s.last {
		return
	}
	n := s.join(t)
	if s.phase == ringing && !s.later(n) {
		s.branch(n)
	}
}

// join keeps t instead of what the same flow of its device was before, and
// returns where.
func (s *step) join(t Target) *Target {
	joined := make([]Target, 0, len(s.joined)+1)
	for j := range s.joined {
		if o := &s.joined[j]; o.RegID != t.RegID || !same(o, &t) {
			joined = append(joined, *o)
		}
	}
	s.joined = append(joined, t)
	return &s.joined[len(s.joined)-1]
}

// returned takes a device that has a branch and registered again.
func (s *step) returned(i BranchID, t Target) {
	b := s.branches.at(i)
	again := s.phase == ringing
	switch b.state {
	case over, won:
		return
	case lost: // the device never saw the INVITE
		if again {
			s.branch(s.join(t))
		}
		return
	case trying, early, silent, cancelling, broken:
	default:
		panic("ring: branch without a state")
	}
	if b.target.Flow == t.Flow && b.state != broken {
		return // a refresh
	}
	b.target = s.join(t)
	s.do(Move{Branch: i, Target: t})
	switch {
	case b.state == broken && again:
		b.state = early
	case b.state == silent && again: // the INVITE is sent again over the new flow
		b.state = trying
		s.do(StartTimer{Timer: Timer{Kind: TimerSilent, Branch: i}, After: SilentTime})
	}
	s.branches.set(i, b)
}
