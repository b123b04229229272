package ring

import "time"

// hasRemotes reports whether a stage has remote destinations.
func hasRemotes(targets []Target) bool {
	for j := range targets {
		if targets[j].Remote != "" {
			return true
		}
	}
	return false
}

// startRemotes starts the remote destinations whose delay is over, and all of
// them when no device rings: they wait for the desk only (rule snr.delay).
func (s *step) startRemotes() {
	var next time.Duration
	targets := s.plan.Stages[s.stage]
	for j := range targets {
		t := &targets[j]
		if !s.waits(t) {
			continue
		}
		if left := t.Delay - s.ofNumber(); s.alone || left <= 0 {
			s.branch(s.newest(t))
		} else if next == 0 || left < next {
			next = left
		}
	}
	if next == 0 {
		s.stopDelay()
		return
	}
	s.delayed = true
	s.timer(TimerDelay, next)
}

// waits reports whether t is a remote destination of the stage at hand that is
// still to start.
func (s *step) waits(t *Target) bool {
	return t.Remote != "" && !s.used(t) && !s.expired(t) && !s.unwilling(t)
}

// expired reports whether the time of t is over (rule snr.stop-after).
func (s *step) expired(t *Target) bool { return t.StopAfter > 0 && t.StopAfter <= s.ofNumber() }

// ofNumber returns how long the number rings.
func (s *step) ofNumber() time.Duration { return s.elapsed() - s.numberAt }

// stopDelay stops waiting for the delay of a remote destination.
func (s *step) stopDelay() {
	if s.delayed {
		s.delayed = false
		s.stop(TimerDelay, 0)
	}
}

// stopIn starts the TimerStop of branch i, which is b.
func (s *step) stopIn(i BranchID, b *branch, d time.Duration) {
	b.stopAt = max(1, int32((s.elapsed()+d)/time.Millisecond))
	s.do(StartTimer{Timer: Timer{Kind: TimerStop, Branch: i}, After: d})
}

// unstop stops the TimerStop of branch i, which is b.
func (s *step) unstop(i BranchID, b *branch) {
	if b.stopAt != 0 {
		b.stopAt = 0
		s.stop(TimerStop, i)
	}
}

// stopped gives up a branch whose time is over (rule snr.stop-after), and half a
// second later the waiting for it.
func (s *step) stopped(i BranchID) {
	if i < 0 || int(i) >= s.branches.n || s.phase == ended {
		return
	}
	b := s.branches.at(i)
	if b.stopAt == 0 {
		return
	}
	if left := time.Duration(b.stopAt)*time.Millisecond - s.elapsed(); left > 0 { // stale, or moved
		s.stopIn(i, &b, left)
		return
	}
	b.stopAt = 0
	switch {
	case b.rings():
		s.count(i, missed(b.heard))
		b.state = cancelling
		s.cancel(i, &b, "")
		s.stopIn(i, &b, NextTime)
	case b.state == cancelling:
		b.quiet = true
	default: // it ended, or never spoke
	}
	s.branches.set(i, b)
	s.advance()
}
