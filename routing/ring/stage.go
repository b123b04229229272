package ring

import "time"

// anyQ is above every q, and the q of a stage that rings together.
const anyQ = 1 << 16

// begin starts a plan with its first group.
func (s *step) begin(p Plan) {
	s.plan, s.joined, s.declined = p, nil, nil
	s.base = BranchID(s.branches.n)
	s.numberAt = s.elapsed()
	s.stage, s.stageOver = -1, true
	s.best, s.last, s.reason = verdict{}, false, ""
	s.next()
}

// next starts the next group that has a target, or comes to the outcome. The
// remote destinations of a stage start with its first group, each after its
// delay, and ring on beside and after the groups.
func (s *step) next() {
	for !s.last {
		if s.stageOver {
			if s.stage++; s.stage >= len(s.plan.Stages) {
				break
			}
			s.enter()
		}
		s.alone = !s.group()
		if s.remotes {
			s.startRemotes()
		}
		if !s.alone || s.branches.any(branch.rings) {
			s.phase = ringing
			s.ringTime()
			return
		}
		s.stageOver = true
	}
	s.conclude()
}

// enter begins a stage.
func (s *step) enter() {
	s.stageOver, s.alone, s.q = false, false, s.top()
	if targets := s.plan.Stages[s.stage]; len(targets) > 0 && targets[0].Number != "" {
		s.numberAt = s.elapsed()
	}
	if s.remotes = hasRemotes(s.plan.Stages[s.stage]); !s.remotes {
		return
	}
	d := s.plan.RingTime
	if d <= 0 {
		d = (s.clockAt - s.elapsed()) * time.Duration(s.weight(s.stage)) / time.Duration(s.weight(s.stage)+s.laterGroups())
	}
	s.stageEnd = s.elapsed() + d
}

// top is above the q of every group.
func (s *step) top() int {
	if s.plan.Together {
		return anyQ + 1
	}
	return anyQ
}

// group invites the next group of the stage that has a target, and reports
// whether there was one.
func (s *step) group() bool {
	for {
		q, ok := s.below(s.stage, s.q)
		if !ok {
			break
		}
		s.q = q
		if s.invite() {
			return true
		}
	}
	return s.q < s.top() && s.inviteJoined()
}

// below returns the highest q of a stage below another. Remote destinations are
// in no group.
func (s *step) below(stage, than int) (q int, ok bool) {
	if stage >= len(s.plan.Stages) {
		return 0, false
	}
	targets := s.plan.Stages[stage]
	for j := range targets {
		if targets[j].Remote != "" {
			continue
		}
		if s.plan.Together {
			return anyQ, than > anyQ
		}
		if t := int(targets[j].Q); t < than && (!ok || t > q) && leads(targets, j) {
			q, ok = t, true
		}
	}
	return q, ok
}

// leads reports whether the target at j is the first device of its instance.
func leads(targets []Target, j int) bool {
	for k := range j {
		if targets[k].Remote == "" && same(&targets[k], &targets[j]) {
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
		if t.Remote == "" && s.inGroup(t) && leads(targets, j) && !s.used(t) && !s.expired(t) && !s.unwilling(t) {
			s.branch(s.newest(t))
		}
	}
	s.inviteJoined()
	return s.branches.n > n
}

// inGroup reports whether t rings in the group at hand of its stage.
func (s *step) inGroup(t *Target) bool { return s.q == anyQ || s.q == int(t.Q) }

// branch invites t.
func (s *step) branch(t *Target) {
	i := s.branches.add(branch{target: t, state: trying})
	s.do(Invite{Branch: i, Target: t})
	if t.Trunk == "" {
		s.do(StartTimer{Timer: Timer{Kind: TimerSilent, Branch: i}, After: SilentTime})
	}
	if t.StopAfter > 0 {
		b := s.branches.at(i)
		s.stopIn(i, &b, t.StopAfter-s.ofNumber())
		s.branches.set(i, b)
	}
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

// more reports whether a group, a stage or a remote destination with a new target
// can still follow.
func (s *step) more() bool {
	if s.last {
		return false
	}
	if s.delayed {
		return true
	}
	return s.anyLater(func(o *Target) bool { return !s.used(o) })
}

// anyLater reports whether a target of a later group or stage is so.
func (s *step) anyLater(is func(*Target) bool) bool {
	for k := s.stage; k < len(s.plan.Stages); k++ {
		targets := s.plan.Stages[k]
		for j := range targets {
			t := &targets[j]
			if (k > s.stage || t.Remote == "" && int(t.Q) < s.q && s.q < anyQ) && leads(targets, j) && is(t) {
				return true
			}
		}
	}
	return false
}

// ringTime starts the ring time of the group at hand, unless the clock ends it.
// The last group of a stage with remote destinations rings as long as those.
func (s *step) ringTime() {
	left := s.clockAt - s.elapsed()
	var d time.Duration
	switch below := s.groups(s.stage, s.q); {
	case s.remotes && below == 0:
		d = max(s.stageEnd-s.elapsed(), NextTime)
	case s.plan.RingTime > 0:
		d = s.plan.RingTime / time.Duration(s.groups(s.stage, anyQ+1))
	default:
		d = left / time.Duration(1+below+s.laterGroups())
	}
	if d >= left {
		s.stopStage()
		return
	}
	s.timed, s.stageAt = true, s.elapsed()+d
	s.timer(TimerStage, d)
}

// laterGroups counts the groups of the stages that follow.
func (s *step) laterGroups() int {
	n := 0
	for k := s.stage + 1; k < len(s.plan.Stages); k++ {
		n += s.weight(k)
	}
	return n
}

// weight counts the groups of a stage; remote destinations alone are one.
func (s *step) weight(stage int) int {
	n := s.groups(stage, anyQ+1)
	if n == 0 && hasRemotes(s.plan.Stages[stage]) {
		return 1
	}
	return n
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

// clear gives the group at hand up, and with the last group of the stage its
// remote destinations; with last no group of the number follows.
func (s *step) clear(last bool) {
	_, more := s.below(s.stage, s.q)
	s.last, s.stageOver = last, last || !more
	if s.stageOver {
		s.stopDelay()
	}
	for i := range BranchID(s.branches.n) {
		if b := s.branches.at(i); b.rings() && (s.stageOver || !b.remote()) {
			s.best = s.best.better(missed(b.heard))
		}
	}
	s.giveUp("", s.stageOver) // ring.reason: none when the plan moves on
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
	if s.phase == visiting || s.phase == ended {
		return
	}
	// Remote destinations do not hold up the next group of devices.
	all := s.phase == leaving || s.alone || s.stageOver
	if s.branches.any(func(b branch) bool { return b.holds() && (all || !b.remote()) }) {
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
		s.stopDelay()
		s.phase, s.outcome = visiting, o
		s.do(Visit{Outcome: o})
		return
	}
	s.reject(o)
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
	case TimerDelay:
		if s.rings() && s.delayed {
			s.startRemotes()
		}
	case TimerStop:
		s.stopped(t.Branch)
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
		s.unstop(i, &b)
		s.count(i, missed(false))
	} else {
		b.quiet = true
	}
	s.branches.set(i, b)
	if doubtable(b.target) {
		s.do(Doubt{Branch: i})
	}
	s.advance()
}
