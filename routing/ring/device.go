package ring

// inviteJoined invites devices that registered since the last group ended, the
// newest first, and reports whether there were any.
func (s *step) inviteJoined() bool {
	n := s.branches.n
	for j := len(s.joined) - 1; j >= 0; j-- {
		if t := &s.joined[j]; !s.used(t) && !s.expired(t) && !s.later(t) && s.welcome(t) {
			s.branch(t)
		}
	}
	return s.branches.n > n
}

// newest returns t as it registered last.
func (s *step) newest(t *Target) *Target {
	for j := len(s.joined) - 1; j >= 0; j-- {
		if o := &s.joined[j]; o.RegID == t.RegID && o.Remote == t.Remote && same(o, t) {
			return o
		}
	}
	return t
}

// later reports whether the device of t is to ring in a later group or stage.
func (s *step) later(t *Target) bool {
	return s.anyLater(func(o *Target) bool { return same(o, t) })
}

// retry invites the next flow of the device of branch i, whose flow is broken,
// and reports whether there was one (RFC 5626 §5.3, rule ring.devices).
func (s *step) retry(i BranchID) bool {
	if s.phase != ringing || i < s.base {
		return false
	}
	t := s.spare(s.branches.at(i).target)
	if t == nil || s.expired(t) {
		return false
	}
	s.branch(t)
	return true
}

// spare returns a target of the same device on a flow that no branch had yet.
func (s *step) spare(t *Target) *Target {
	if s.stage >= len(s.plan.Stages) {
		return nil
	}
	for _, targets := range [...][]Target{s.joined, s.plan.Stages[s.stage]} {
		for j := range targets {
			o := s.newest(&targets[j])
			if o.Remote == t.Remote && same(o, t) && !s.branches.any(func(b branch) bool { return same(b.target, o) && b.target.Flow == o.Flow }) {
				return o
			}
		}
	}
	return nil
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
	s.resemble(&t)
	n := s.join(t)
	if s.phase == ringing && !s.expired(n) && !s.later(n) && s.welcome(n) {
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

// resemble has a device that joins ring as the plan says, or as the others of its
// number do.
func (s *step) resemble(t *Target) {
	for k := range s.plan.Stages {
		for j := range s.plan.Stages[k] {
			o := &s.plan.Stages[k][j]
			switch {
			case o.Remote != "" || o.Number != t.Number:
			case same(o, t):
				t.keep(o)
				return
			case o.Device != "":
				t.Alert, t.Unlogged = o.Alert, o.Unlogged
			}
		}
	}
}

// keep takes over what the plan says of a target that registered again.
func (t *Target) keep(o *Target) {
	t.Service, t.Remote, t.Delay, t.StopAfter = o.Service, o.Remote, o.Delay, o.StopAfter
	t.Identity, t.Alert, t.Unlogged = o.Identity, o.Alert, o.Unlogged
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
	again = again && !s.expired(b.target)
	t.keep(b.target)
	b.target = s.join(t)
	s.do(Move{Branch: i, Target: t})
	switch {
	case b.state == broken && again:
		b.state = early
	case b.state == silent && again: // the INVITE is sent again over the new flow
		b.state = trying
		s.do(StartTimer{Timer: Timer{Kind: TimerSilent, Branch: i}, After: SilentTime})
	default:
		again = false
	}
	if again && t.StopAfter > 0 {
		s.stopIn(i, &b, t.StopAfter-s.ofNumber())
	}
	s.branches.set(i, b)
}
