package call

// end says that the call is over, before anything of it is sent: its record can
// be closed.
func (s *step) end(c Cause, by Leg) {
	s.phase = over
	s.do(End{Cause: c, By: by})
	for l := range s.legs {
		s.time(Leg(l), 0, false)
	}
	if !s.deadline.IsZero() {
		s.stop(TimerDeadline, A)
	}
	if !s.probeAt.IsZero() {
		s.stop(TimerProbe, A)
	}
}

// abandon answers what is open of the ends: with the dialog their requests are
// over (RFC 3261 §15.1.2). An INVITE that went on is cancelled as well.
func (s *step) abandon() {
	for i := range s.open {
		r := s.open[i]
		if r.method == Invite && !r.cancelled {
			s.do(Cancel{Leg: r.from.Other(), ID: r.id})
		}
		if !r.own && !r.answered {
			r.answered = true
			s.do(Answer{Leg: r.from, ID: r.id, Status: 487})
		}
		s.set(i, r)
	}
}

// tearDown ends the legs that have not ended. Like is the BYE of one, 0 for none.
func (s *step) tearDown(like ID) {
	s.abandon()
	for l := range s.legs {
		g := &s.legs[l]
		if g.waits { // the answer does not come any more: the ACK goes without it
			g.waits = false
			s.do(Ack{Leg: Leg(l).Other(), ID: g.invite})
		}
		if g.hungUp && g.unacked { // its BYE came before the answer: no ACK need come
			g.unacked = false
			s.stop(TimerAck, Leg(l))
		}
	}
	for l := range s.legs {
		g := &s.legs[l]
		switch {
		case g.hungUp:
		case g.unacked && g.invite == First:
			// RFC 3261 §15: not before the ACK of the first 2xx.
			g.byeDue = true
		default:
			if g.unacked {
				g.unacked = false
				s.stop(TimerAck, Leg(l))
			}
			s.sendBye(Leg(l), like)
		}
	}
}

// sendBye ends a leg.
func (s *step) sendBye(l Leg, like ID) {
	id := s.mine()
	s.legs[l].hungUp = true
	s.add(request{id: id, from: l.Other(), method: Bye, own: true})
	s.do(SendBye{Leg: l, ID: id, Like: like})
}

// unacked ends a call whose 2xx has no ACK (RFC 3261 §13.3.1.4).
func (s *step) unacked(l Leg) {
	g := &s.legs[l]
	if s.phase == up {
		s.end(NoAck, l)
		g.unacked = false
		s.tearDown(0)
		return
	}
	s.acked(l, false)
}

// failed takes the loss of a leg.
func (s *step) failed(l Leg) {
	g := &s.legs[l]
	switch {
	case s.phase == up:
		s.end(Lost, l)
		if g.unacked {
			g.unacked = false
			s.stop(TimerAck, l)
		}
		s.tearDown(0)
	case g.byeDue:
		s.acked(l, false)
	default: // before the answer it is ring's
	}
}
