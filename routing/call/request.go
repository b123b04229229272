package call

import "time"

// most is how many requests of the ends may be open at once: an end that asks
// and asks fills nothing but its own patience.
const most = 16

// request takes a request of an end.
func (s *step) request(ev Request) {
	if ev.Leg == B {
		s.dialog = true
	}
	switch {
	case ev.Method == Bye:
		s.bye(ev)
	case s.phase == over, !s.dialog, s.legs[A].hungUp:
		s.refuse(ev, 481)
	case ev.Method == Refer:
		s.refuse(ev, TransferStatus)
	case len(s.open) >= most:
		s.refuse(ev, 500)
	case (ev.Method == Invite || ev.Method == Update) && ev.Session.TooShort():
		s.do(Answer{Leg: ev.Leg, ID: ev.ID, Status: 422, MinSE: MinSession})
	case ev.Method == Update && !ev.SDP && s.phase == up && s.updateNow(ev) == 0:
		s.refreshed(ev)
	default:
		s.consider(ev)
	}
}

// consider sends a request on, unless another one is in its way.
func (s *step) consider(ev Request) {
	status := 0
	switch ev.Method {
	case Invite:
		status = s.inviteNow(ev)
	case Update:
		status = s.updateNow(ev)
	case Prack:
		status = s.prackNow(ev)
	case Bye, Info, MethodOptions, Refer, Other:
	default:
	}
	if status != 0 {
		s.refuse(ev, status)
		return
	}
	r := request{id: ev.ID, from: ev.Leg, method: ev.Method, session: ev.Session}
	from := &s.legs[ev.Leg]
	relay := Relay{To: ev.Leg.Other(), ID: ev.ID, Method: ev.Method}
	switch ev.Method {
	case Invite:
		from.invite, from.pracks = ev.ID, 0
		r.late = !ev.SDP
		relay.Session = s.ask(relay.To, false)
	case Update:
		if s.phase == up {
			relay.Session = s.ask(relay.To, false)
		}
	case Prack:
		from.pracks--
		if ev.SDP && from.owesByPrack() {
			s.settle(from.by)
			ev.SDP = false
		}
	case Bye, Info, MethodOptions, Refer, Other:
		ev.SDP = false // of a body that is none of an offer
	default:
	}
	if ev.Method == Invite || ev.Method == Update {
		from.timing.Update = from.timing.Update || ev.Session.Update
	}
	if ev.SDP {
		s.offers(ev.Leg, ev.ID)
	}
	s.add(r)
	s.do(relay)
}

// refreshed answers an UPDATE without an offer: it refreshes a leg's session timer
// or moves its remote target, and both end here. The other end may not even know
// UPDATE.
func (s *step) refreshed(ev Request) {
	g := &s.legs[ev.Leg]
	g.timing.Update = g.timing.Update || ev.Session.Update
	session := s.refreshedByEnd(ev.Leg, ev.Session)
	s.do(Journal{})
	s.do(Answer{Leg: ev.Leg, ID: ev.ID, Status: 200, Session: session})
}

// refuse answers a request. A 500 says when to try again (RFC 3261 §14.2,
// RFC 3311 §5.2).
func (s *step) refuse(ev Request, status int) {
	a := Answer{Leg: ev.Leg, ID: ev.ID, Status: status}
	if status == 500 {
		a.RetryAfter = time.Duration(ev.Random%11) * time.Second
	}
	s.do(a)
}

// inviteNow returns the status that an INVITE of an end gets, 0 when it can go
// on. The end whose own INVITE is open gets 500, and 491 when one is under way
// towards it (RFC 3261 §14.2), or when the other leg is not free: one whose ACK is
// still to come is, when nothing but the ACK is open, for whoever got our ACK may
// be quicker than the other end's. An INVITE that refreshes has an offer: that is
// in the way.
func (s *step) inviteNow(ev Request) int {
	x, y := &s.legs[ev.Leg], &s.legs[ev.Leg.Other()]
	switch {
	case s.inviting(ev.Leg) >= 0:
		return 500
	case s.phase == early, s.inviting(ev.Leg.Other()) >= 0, y.waits, x.waits:
		return 491
	}
	if x.unacked { // its ACK is lost or late, but it has our 2xx (RFC 5407 §3.1.5)
		s.acked(ev.Leg, false)
	}
	return s.offerNow(ev.Leg)
}

// offerNow returns the status that an offer of an end gets, 0 when it can go on:
// 500 while it has made another one, 491 while one is under way towards it
// (RFC 3311 §5.2, RFC 6337 §3.4) or the other leg is not free.
func (s *step) offerNow(l Leg) int {
	switch x := &s.legs[l]; {
	case x.offer == theirs:
		return 500
	case x.offer == ours, s.legs[l.Other()].offer != stable, s.expectsOffer():
		return 491
	default:
		return 0
	}
}

// expectsOffer reports whether an INVITE without an offer is open, whose
// response is to bring one.
func (s *step) expectsOffer() bool {
	for _, r := range s.open {
		if r.late && !r.answered {
			return true
		}
	}
	return false
}

// updateNow returns the status that an UPDATE of an end gets, 0 when it can go
// on.
func (s *step) updateNow(ev Request) int {
	for _, r := range s.open {
		if r.method == Update && !r.own && r.from == ev.Leg && !r.answered {
			return 500 // RFC 3311 §5.2
		}
	}
	if !ev.SDP {
		return 0
	}
	return s.offerNow(ev.Leg)
}

// prackNow returns the status that a PRACK of an end gets, 0 when it can go on.
func (s *step) prackNow(ev Request) int {
	x := &s.legs[ev.Leg]
	switch {
	case x.pracks == 0:
		return 481 // RFC 3262 §3
	case !ev.SDP, x.owesByPrack():
		return 0
	default:
		return s.offerNow(ev.Leg)
	}
}

// owesByPrack reports whether the answer to a late offer comes in a PRACK: the
// offer was in a reliable 1xx. That of a 2xx is answered in its ACK (RFC 6337 §2.2).
func (g *leg) owesByPrack() bool { return g.offer == ours && g.by == g.invite && !g.waits }

// bye takes the BYE of an end.
func (s *step) bye(ev Request) {
	g := &s.legs[ev.Leg]
	switch {
	case s.phase == up:
		s.acked(ev.Leg, false) // who sends BYE has our 2xx
		g.hungUp, g.gotBye = true, true
		s.end(HungUp, ev.Leg)
		s.refuse(ev, 200)
		s.tearDown(ev.ID)
	case s.phase == early && ev.Leg == A && s.dialog && !g.hungUp:
		// RFC 3261 §15: only the caller may end an early dialog so.
		g.hungUp, g.gotBye = true, true
		s.refuse(ev, 200)
		s.do(GiveUp{})
	case g.byeDue: // it was to get one itself
		g.byeDue, g.hungUp, g.gotBye = false, true, true
		s.acked(ev.Leg, false)
		s.refuse(ev, 200)
	case s.phase == over && g.hungUp && !g.gotBye: // it crosses ours
		g.gotBye = true
		s.refuse(ev, 200)
	default:
		s.refuse(ev, 481)
	}
}

// cancelled takes the CANCEL of a re-INVITE (RFC 3261 §9).
func (s *step) cancelled(ev Cancelled) {
	i := s.find(ev.ID)
	if i < 0 || ev.ID == First || s.phase != up {
		return
	}
	r := s.open[i]
	if r.own || r.method != Invite || r.from != ev.Leg || r.cancelled || r.answered {
		return
	}
	r.cancelled = true
	s.set(i, r)
	s.do(Cancel{Leg: ev.Leg.Other(), ID: ev.ID})
}
