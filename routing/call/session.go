package call

import "time"

// soon is when a refresh is tried again that something else is in the way of.
const soon = 2 * time.Second

// ask returns what a request to leg l says of the session timer: who refreshed
// it goes on to. At first we would rather be refreshed than refresh, so that an
// end shows that it is there.
func (s *step) ask(l Leg, first bool) Session {
	q := Session{Supported: true}
	switch t := s.legs[l].timing; {
	case t.Interval > 0 && t.Ours:
		q.Expires, q.Refresher = t.Interval, UAC
	case t.Interval > 0:
		q.Expires, q.Refresher = t.Interval, UAS
	case first && s.interval > 0:
		q.Expires, q.Refresher = s.interval, UAS
	}
	return q
}

// raise returns what a request says after a 422 (RFC 4028 §7.3).
func (s *step) raise(l Leg, least time.Duration) Session {
	q := s.ask(l, s.phase == early)
	q.MinSE = max(least, MinSession)
	q.Expires = max(q.Expires, q.MinSE)
	return q
}

// refreshedByUs takes the session timer of the 2xx to a request of ours on leg
// l. An end that says nothing knows no session timers.
func (s *step) refreshedByUs(l Leg, in Session) {
	s.legs[l].timing.Update = s.legs[l].timing.Update || in.Update
	if in.Expires <= 0 {
		s.time(l, 0, false)
		return
	}
	s.time(l, max(in.Expires, MinSession), in.Refresher != UAS)
}

// refreshedByEnd takes the session timer of a request of the end of leg l, whose
// 2xx it returns what to say in. One that asks for none gets ours if it knows
// session timers (RFC 4028 §9).
func (s *step) refreshedByEnd(l Leg, in Session) Session {
	out := Session{Supported: true, Expires: in.Expires, Refresher: in.Refresher}
	if out.Expires == 0 && in.Supported {
		out.Expires = s.interval
		if t := s.legs[l].timing; t.Interval > 0 {
			out.Expires = t.Interval
		}
	}
	if out.Expires == 0 {
		s.time(l, 0, false)
		return Session{}
	}
	out.Expires = max(out.Expires, in.MinSE)
	if out.Refresher == Unsaid || !in.Supported {
		out.Refresher = UAC
		if !in.Supported { // a proxy asked for it
			out.Refresher = UAS
		}
	}
	s.time(l, out.Expires, out.Refresher == UAS)
	return out
}

// time starts the session timer of leg l anew, or ends it. What we are to
// refresh is refreshed after half the interval (RFC 4028 §7.2).
func (s *step) time(l Leg, interval time.Duration, mine bool) {
	g := &s.legs[l]
	was := g.timing
	g.timing = Timing{Interval: interval, Ours: mine, Update: was.Update, Last: s.now}
	if g.glare {
		g.glare = false
		s.stop(TimerGlare, l)
	}
	switch {
	case interval > 0:
		s.start(TimerExpire, l, interval-margin(interval))
	case was.Interval > 0:
		s.stop(TimerExpire, l)
	}
	switch {
	case interval > 0 && mine:
		s.start(TimerRefresh, l, interval/2)
	case was.Ours:
		s.stop(TimerRefresh, l)
	}
}

// margin is how long before the end of the interval a leg that nobody refreshed
// is hung up (RFC 4028 §10).
func margin(interval time.Duration) time.Duration { return min(32*time.Second, interval/3) }

// resume starts the session timer of leg l after a restart.
func (s *step) resume(l Leg) {
	t := s.legs[l].timing
	if t.Interval <= 0 {
		return
	}
	due := t.Last.Add(t.Interval - margin(t.Interval))
	s.start(TimerExpire, l, max(due.Sub(s.now), grace))
	if t.Ours {
		s.start(TimerRefresh, l, max(t.Last.Add(t.Interval/2).Sub(s.now), time.Second))
	}
}

// refresh sends a refresh of ours on leg l, or tries again soon.
func (s *step) refresh(l Leg) {
	g := &s.legs[l]
	if s.phase != up || g.refresh != 0 || !g.timing.Ours {
		return
	}
	m := Update
	if !g.timing.Update {
		m = Invite
		// RFC 3261 §14.1: one INVITE at a time in a dialog, and one offer.
		if g.offer != stable || g.unacked || s.inviting(A) >= 0 || s.inviting(B) >= 0 {
			s.start(TimerRefresh, l, soon)
			return
		}
	}
	g.refresh = s.mine()
	if m == Invite {
		g.offer, g.by = ours, g.refresh
	}
	s.add(request{id: g.refresh, from: l.Other(), method: m, own: true})
	s.do(Refresh{Leg: l, ID: g.refresh, Method: m, Session: s.ask(l, false)})
}

// fired takes a timer. One that is early, and so is stale or was moved, is set
// again; one that nothing waits for is ignored.
func (s *step) fired(t Timer) {
	if t.Leg > B {
		return
	}
	g := &s.legs[t.Leg]
	switch t.Kind {
	case TimerAck:
		if g.unacked && s.due(t, g.ackBy) {
			s.unacked(t.Leg)
		}
	case TimerRefresh:
		if g.timing.Ours && s.phase == up && s.due(t, g.timing.Last.Add(g.timing.Interval/2)) {
			s.refresh(t.Leg)
		}
	case TimerExpire:
		if g.timing.Interval > 0 && s.phase == up && s.due(t, g.timing.Last.Add(g.timing.Interval-margin(g.timing.Interval))) {
			s.end(Expired, t.Leg)
			s.tearDown(0)
		}
	case TimerGlare:
		if g.glare {
			g.glare = false
			s.refresh(t.Leg)
		}
	case TimerDeadline:
		if t.Leg == A && s.phase == up && !s.deadline.IsZero() && s.due(t, s.deadline) {
			s.end(Overtime, A)
			s.tearDown(0)
		}
	case TimerProbe:
		if t.Leg == A && s.phase == up && s.due(t, s.probeAt) {
			s.probe()
		}
	default:
	}
}

// due reports whether a timer is due, and sets it again when it is not.
func (s *step) due(t Timer, at time.Time) bool {
	left := at.Sub(s.now)
	if left > 0 {
		s.do(StartTimer{Timer: t, After: left})
	}
	return left <= 0
}
