package call

import "time"

// response takes a response to a request that we sent.
func (s *step) response(ev Response) {
	i := s.find(ev.ID)
	if i < 0 || s.open[i].from == ev.Leg || ev.Status <= 100 || ev.Status > 699 {
		return
	}
	r := s.open[i]
	switch {
	case ev.Status < 200:
		if r.method == Invite && !r.own && !r.answered {
			s.provisional(i, ev)
		}
		return
	case ev.Status == 422 && ev.Session.MinSE > 0 && s.phase != over && r.mayRaise():
		r.raised++
		s.set(i, r)
		s.do(Resend{Leg: ev.Leg, ID: r.id, Session: s.raise(ev.Leg, ev.Session.MinSE)})
		return
	}
	s.remove(i)
	ok := ev.Status < 300
	switch {
	case r.own:
		s.ownFinal(r, ev)
	case r.method == Invite && ok:
		s.success(r, ev)
	case r.id == First:
		s.neverAnswered()
	default:
		s.final(r, ev)
	}
}

// mayRaise reports whether r can be sent again after a 422.
func (r request) mayRaise() bool {
	return r.raised < 2 && !r.heard && !r.cancelled && (r.method == Invite || r.method == Update)
}

// provisional takes a 1xx to an INVITE of an end, which goes on. That of First
// goes on as ring says.
func (s *step) provisional(i int, ev Response) {
	r := s.open[i]
	if !r.heard {
		r.heard = true
		s.set(i, r)
	}
	s.dialog = true
	if r.id != First {
		ev.Up, ev.DropSDP = ev.Status, false
	}
	drop := ev.SDP && ev.DropSDP
	reliable := ev.Reliable && ev.Up != 0 && !drop
	if ev.Reliable && !reliable {
		// The offer of a 1xx that nobody sees cannot be answered: the shell does not
		// let a branch of several speak reliably when First has no offer.
		if ev.SDP && r.late {
			return
		}
		if ev.SDP && s.legs[ev.Leg].offer == ours && s.legs[ev.Leg].by == r.id {
			s.settleLeg(ev.Leg, r.id)
			r.kept = true
			s.set(i, r)
		}
		id := s.mine()
		s.add(request{id: id, from: r.from, method: Prack, own: true})
		s.do(Prack1xx{Leg: ev.Leg, ID: id})
	}
	if ev.Up == 0 {
		return
	}
	p := Pass{To: r.from, ID: r.id, Status: ev.Up, Reliable: reliable}
	if drop {
		p.Body = Dropped
	}
	if reliable {
		s.legs[r.from].pracks++
		if ev.SDP {
			s.described(&r, ev.Leg)
			s.set(i, r)
		}
	}
	s.do(p)
}

// described takes the session description of a reliable response to INVITE r
// that goes on: the answer, or the offer of one that had none (RFC 6337 §2.2).
// One that repeats the answer is neither.
func (s *step) described(r *request, from Leg) {
	if r.late {
		r.late = false
		if s.legs[A].offer == stable && s.legs[B].offer == stable {
			s.offers(from, r.id)
		}
		return
	}
	if s.legs[from].offer == ours {
		s.settle(r.id)
	}
}

// success takes the 2xx to an INVITE of an end.
func (s *step) success(r request, ev Response) {
	if r.answered || r.id == First && ev.Up == 0 { // nobody takes it
		s.do(Ack{Leg: ev.Leg, ID: r.id})
		if r.id == First {
			s.neverAnswered()
			s.sendBye(ev.Leg, 0)
		}
		return
	}
	late := r.late && ev.SDP
	if late {
		s.described(&r, ev.Leg)
	} else {
		s.settleUnless(r)
	}
	p := Pass{To: r.from, ID: r.id, Status: ev.Status}
	if r.kept && !ev.SDP {
		p.Body = Kept
	}
	s.refreshedByUs(ev.Leg, ev.Session)
	p.Session = s.refreshedByEnd(r.from, r.session)
	if r.id == First {
		s.phase, s.dialog = up, true
		if s.lasts > 0 {
			s.deadline = s.now.Add(s.lasts)
			s.start(TimerDeadline, A, s.lasts)
		}
		s.watch(ProbeTime)
	}
	s.do(Journal{}) // first: one that dies now is sent the 2xx again
	if !late {
		s.do(Ack{Leg: ev.Leg, ID: r.id})
	}
	s.do(p)
	g := &s.legs[r.from]
	g.invite, g.unacked, g.waits, g.ackBy = r.id, true, late, s.now.Add(AckTime)
	s.start(TimerAck, r.from, AckTime)
	if g.hungUp { // it sent BYE before the answer
		s.end(HungUp, r.from)
		s.tearDown(0)
	}
}

// settleUnless ends the offer of INVITE r with its 2xx; one that a 1xx made, and
// whose answer is still to come in a PRACK, stays until the ACK.
func (s *step) settleUnless(r request) {
	if s.legs[r.from].offer == theirs {
		s.settle(r.id)
	}
}

// neverAnswered ends a call whose first INVITE failed. What the caller hears of
// it is ring's to say.
func (s *step) neverAnswered() {
	s.end(Unanswered, B)
	s.abandon()
}

// final passes the final response to a request of an end on.
func (s *step) final(r request, ev Response) {
	s.settle(r.id)
	if r.answered {
		return
	}
	p := Pass{To: r.from, ID: r.id, Status: ev.Status}
	a := Answer{Leg: r.from, ID: r.id}
	switch {
	case ev.Status < 300:
		if r.method == Update && s.phase == up {
			s.refreshedByUs(ev.Leg, ev.Session)
			p.Session = s.refreshedByEnd(r.from, r.session)
			s.do(Journal{})
		}
	case ev.Status < 400: // a redirect of one end is no address for the other
		a.Status = 480
	case r.cancelled:
		a.Status = 487
	case ev.Status == 401, ev.Status == 407: // nothing the other end can answer
		a.Status = 403
	default:
	}
	if a.Status != 0 && a.Status != ev.Status {
		s.do(a)
	} else {
		s.do(p)
	}
	if s.phase == up && gone(r.method, ev.Status) {
		s.end(Lost, ev.Leg)
		s.tearDown(0)
	}
}

// gone reports whether a response says that the dialog is no more: RFC 3261
// §12.2.1.2, RFC 5057 §5.1. The 481 of a PRACK is about its 1xx (RFC 3262 §3). A
// 408 to what an end may not know is not held against it.
func gone(m Method, status int) bool {
	return status == 481 && m != Prack || status == 408 && (m == Invite || m == Update)
}

// ownFinal takes the final response to a request of ours.
func (s *step) ownFinal(r request, ev Response) {
	l := ev.Leg
	if r.method == Invite && ev.Status < 300 {
		s.do(Ack{Leg: l, ID: r.id})
	}
	if s.phase == up && s.legs[l].probe == r.id {
		s.probed(r, ev)
		return
	}
	if s.phase != up || s.legs[l].refresh != r.id {
		return
	}
	s.legs[l].refresh = 0
	s.settleLeg(l, r.id)
	switch {
	case ev.Status < 300:
		s.refreshedByUs(l, ev.Session)
		s.do(Journal{})
	case gone(r.method, ev.Status):
		s.end(Lost, l)
		s.tearDown(0)
	case ev.Status == 491, ev.Status == 500:
		s.legs[l].glare = true
		s.start(TimerGlare, l, glareTime(l, ev.Random))
	case r.method == Update && (ev.Status == 405 || ev.Status == 501):
		s.legs[l].timing.Update = false
		s.refresh(l)
	default: // the session may still run until it expires
	}
}

// glareTime returns when to try again after a 491: 2.1 to 4 s as the owner of
// the Call-ID, else 0 to 2 s, in units of 10 ms (RFC 3261 §14.1).
func glareTime(l Leg, random uint32) time.Duration {
	const unit = 10 * time.Millisecond
	if l == B {
		return 2100*time.Millisecond + time.Duration(random%191)*unit
	}
	return max(unit, time.Duration(random%201)*unit)
}

// acked takes the ACK of a 2xx, or what shows that the end has the 2xx.
func (s *step) acked(l Leg, sdp bool) {
	g := &s.legs[l]
	if !g.unacked {
		return
	}
	g.unacked = false
	s.stop(TimerAck, l)
	s.settle(g.invite)
	if g.waits {
		g.waits = false
		s.do(Ack{Leg: l.Other(), ID: g.invite, SDP: sdp})
	}
	if g.byeDue {
		g.byeDue = false
		s.sendBye(l, 0)
	}
}
