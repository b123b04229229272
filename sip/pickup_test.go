package sip_test

import (
	"strings"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// room puts numbers into a pickup group.
func (h *house) room(tb testing.TB, name string, members ...string) {
	tb.Helper()
	h.apply(tb, put(directory.KindGroup, name, `{"kind":"pickup","members":["`+strings.Join(members, `","`)+`"]}`))
}

// pickup answers the re-INVITE that a phone which dialled a code gets, and returns
// it.
func pickup(t *testing.T, p *siptest.Phone, leg *siptest.Leg) *siptest.Message {
	t.Helper()
	held := p.Wait(t, "200 INVITE")
	if !strings.Contains(held.Body(), "a=inactive") {
		t.Errorf("the phone is not held\n%s", held.Raw)
	}
	leg.Ack(held)
	return p.Wait(t, "INVITE")
}

const pickerSDP = "v=0\r\no=- 3 3 IN IP4 192.0.2.13\r\ns=-\r\nc=IN IP4 192.0.2.13\r\nt=0 0\r\nm=audio 4300 RTP/AVP 0\r\n"

func withBody(status int, sdp string) siptest.Answer {
	return siptest.Answer{Status: status, Body: sdp, Lines: []string{"Content-Type: application/sdp"}}
}

// records returns the records by what was called.
func (h *house) records(tb testing.TB) map[string]*feed.Call {
	tb.Helper()
	calls, _, err := h.store.Records(tb.Context(), domain, feed.Filter{})
	if err != nil {
		tb.Fatal(err)
	}
	out := make(map[string]*feed.Call)
	for _, c := range calls {
		out[c.Called] = c
	}
	return out
}

// TestPickup: a phone takes a call that rings at another number, by both codes, and
// talks to the caller as if it had been called.
func TestPickup(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"**1002", "*8"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				h.room(t, "room", "1002", "1003")
				ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
				leg := ana.Call(t, "1002")
				rings := ben.Wait(t, "INVITE")
				ben.Reply(rings, siptest.Answer{Status: 180})
				ana.Wait(t, "180 INVITE")
				pass(3 * time.Second)
				picks := cyd.Call(t, code)
				again := pickup(t, cyd, picks)
				if again.Body() != siptest.SDP || again.ToTag() == "" || again.CallID() != picks.CallID || again.Header("P-Asserted-Identity") != "<sip:1001@bellhop.test>" {
					t.Errorf("the re-INVITE is\n%s", again.Raw)
				}
				cyd.Reply(again, withBody(200, pickerSDP))
				ok := ana.Wait(t, "200 INVITE")
				if ok.Body() != pickerSDP {
					t.Errorf("the caller heard\n%s", ok.Raw)
				}
				if c := cancelled(t, ben, rings); c.Header("Reason") != `SIP;cause=200;text="Call completed elsewhere"` {
					t.Errorf("Reason: %s", c.Header("Reason"))
				}
				leg.Ack(ok)
				cyd.Wait(t, "ACK")
				pass(time.Millisecond)
				h.busy(t, map[string]int{"1001": 1, "1002": 0, "1003": 1})

				leg.SendInvite(t) // each end changes the session
				hold := cyd.Wait(t, "INVITE")
				cyd.Reply(hold, withBody(200, pickerSDP))
				leg.Ack(ana.Wait(t, "200 INVITE"))
				cyd.Wait(t, "ACK")
				picks.SendInvite(t)
				ana.Reply(ana.Wait(t, "INVITE"), withBody(200, siptest.SDP))
				picks.Ack(cyd.Wait(t, "200 INVITE"))
				ana.Wait(t, "ACK")

				picks.Bye()
				bye := ana.Wait(t, "BYE")
				ana.Reply(bye, siptest.Answer{Status: 200})
				cyd.Wait(t, "200 BYE")
				pass(time.Second)
				r := h.records(t)
				if c := r["1002"]; c == nil || c.Outcome != "answered" || c.Number != "1003" || c.Device != "desk-1003" || c.Anchored != "anchor.pickup" ||
					len(c.Legs) != 3 || c.Legs[2].Number != "1003" || c.Legs[2].Device != "desk-1003" || c.Legs[2].Status != 200 || c.Legs[1].Status != 487 ||
					c.Story[len(c.Story)-1].Value != "picked-up" || c.Story[len(c.Story)-1].To != "1002" {
					t.Errorf("record %+v", c)
				}
				if c := r[code]; c == nil || c.State != feed.Ended || c.Rule != "dial.feature" || c.Number != "1003" {
					t.Errorf("record of the code %+v", c)
				}
			})
		})
	}
}

// TestPickupRights: who may not pick up is told why, and nothing else happens.
func TestPickupRights(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, code, word, reason string
		group                    []string
	}{
		{"others", "**1002", "403 INVITE", "No Common Pickup Group", []string{"1002", "1004"}},
		{"no group", "*8", "403 INVITE", "No Pickup Group", []string{"1002", "1004"}},
		{"no number", "**1999", "404 INVITE", "Not Found", []string{"1002", "1003"}},
		{"nothing rings there", "**1004", "480 INVITE", "No Call Rings", []string{"1002", "1003", "1004"}},
		{"nothing rings in the group", "*8", "480 INVITE", "No Call Rings", []string{"1003", "1004"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				h.room(t, "room", tt.group...)
				ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
				leg := ana.Call(t, "1002")
				rings := ben.Wait(t, "INVITE")
				ben.Reply(rings, siptest.Answer{Status: 180})
				ana.Wait(t, "180 INVITE")
				picks := cyd.Call(t, tt.code)
				res := cyd.Wait(t, tt.word)
				picks.Refused(res)
				if res.Reason() != tt.reason {
					t.Errorf("reason %q, want %q", res.Reason(), tt.reason)
				}
				ben.Reply(rings, withSDP(200))
				leg.Ack(ana.Wait(t, "200 INVITE"))
				ben.Wait(t, "ACK")
				leg.Bye()
				ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
				ana.Wait(t, "200 BYE")
			})
		})
	}
}

// TestPickupOwnNumber: another phone of the number itself takes the call; without a
// pickup group the call is proxied, and stays where it rings.
func TestPickupOwnNumber(t *testing.T) {
	t.Parallel()
	for _, grouped := range []bool{true, false} {
		in(t, func(t *testing.T, h *house) {
			if grouped {
				h.room(t, "room", "1002")
			}
			ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
			soft := h.phone("soft-1002", 22) // calls, and has not registered
			leg := ana.Call(t, "1002")
			rings := ben.Wait(t, "INVITE")
			ben.Reply(rings, siptest.Answer{Status: 180})
			ana.Wait(t, "180 INVITE")
			picks := soft.Call(t, "**1002")
			challenge := soft.Wait(t, "407 INVITE")
			soft.Learn(t, challenge)
			picks.Refused(challenge)
			picks.SendInvite(t)
			if !grouped {
				res := soft.Wait(t, "480 INVITE")
				picks.Refused(res)
				if res.Reason() != "Not In A Pickup Group" {
					t.Errorf("reason %q", res.Reason())
				}
				ben.Reply(rings, siptest.Answer{Status: 486})
				ben.Wait(t, "ACK")
				leg.Refused(ana.Wait(t, "486 INVITE"))
				return
			}
			soft.Reply(pickup(t, soft, picks), withBody(200, pickerSDP))
			leg.Ack(ana.Wait(t, "200 INVITE"))
			cancelled(t, ben, rings)
			soft.Wait(t, "ACK")
			leg.Bye()
			soft.Reply(soft.Wait(t, "BYE"), siptest.Answer{Status: 200})
			ana.Wait(t, "200 BYE")
		})
	}
}

// TestPickupLongest: of two calls the one that has rung longest is taken, then the
// other one.
func TestPickupLongest(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.room(t, "room", "1002", "1003", "1004", "1006")
		ana, eve := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1005", 15)
		ben, dan := h.registered(t, "desk-1002", 12), h.registered(t, "desk-1004", 14)
		cyd, fay := h.registered(t, "desk-1003", 13), h.registered(t, "desk-1006", 16)
		second := eve.Call(t, "1004")
		there := dan.Wait(t, "INVITE")
		dan.Reply(there, siptest.Answer{Status: 180})
		eve.Wait(t, "180 INVITE")
		pass(time.Second)
		first := ana.Call(t, "1002")
		rings := ben.Wait(t, "INVITE")
		ben.Reply(rings, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		a := cyd.Call(t, "*8")
		one := pickup(t, cyd, a)
		b := fay.Call(t, "*8")
		two := pickup(t, fay, b)
		if one.Header("P-Asserted-Identity") != "<sip:1005@bellhop.test>" || two.Header("P-Asserted-Identity") != "<sip:1001@bellhop.test>" {
			t.Errorf("picked up %s and %s", one.Header("P-Asserted-Identity"), two.Header("P-Asserted-Identity"))
		}
		cyd.Reply(one, withBody(200, pickerSDP))
		fay.Reply(two, withBody(200, pickerSDP))
		second.Ack(eve.Wait(t, "200 INVITE"))
		cancelled(t, dan, there)
		cancelled(t, ben, rings)
		first.Ack(ana.Wait(t, "200 INVITE"))
		cyd.Wait(t, "ACK")
		fay.Wait(t, "ACK")
		pass(time.Minute)
		if n := len(h.store.Calls.Live(domain)); n != 2 {
			t.Errorf("%d calls", n)
		}
		second.Bye()
		cyd.Reply(cyd.Wait(t, "BYE"), siptest.Answer{Status: 200})
		eve.Wait(t, "200 BYE")
		b.Bye()
		ana.Reply(ana.Wait(t, "BYE"), siptest.Answer{Status: 200})
		fay.Wait(t, "200 BYE")
	})
}

// TestPickupRaces: what else happens while somebody picks a call up.
func TestPickupRaces(t *testing.T) {
	t.Parallel()
	type scene struct {
		*house
		t             *testing.T
		ana, ben, cyd *siptest.Phone
		leg, picks    *siptest.Leg
		rings         *siptest.Message
	}
	hangsUp := func(s *scene, p *siptest.Phone) { p.Reply(p.Wait(s.t, "BYE"), siptest.Answer{Status: 200}) }
	answered := func(s *scene) { // by the phone that rang
		s.ben.Reply(s.rings, withSDP(200))
		s.leg.Ack(s.ana.Wait(s.t, "200 INVITE"))
		s.ben.Wait(s.t, "ACK")
	}
	ends := func(s *scene) {
		s.leg.Bye()
		s.ben.Reply(s.ben.Wait(s.t, "BYE"), siptest.Answer{Status: 200})
		s.ana.Wait(s.t, "200 BYE")
	}
	for _, tt := range []struct {
		name string
		run  func(s *scene)
	}{
		{"the caller hangs up before the phone is asked", func(s *scene) {
			held := s.cyd.Wait(s.t, "200 INVITE")
			s.leg.Cancel()
			s.ana.Wait(s.t, "200 CANCEL")
			cancelled(s.t, s.ben, s.rings)
			s.leg.Refused(s.ana.Wait(s.t, "487 INVITE"))
			s.picks.Ack(held)
			hangsUp(s, s.cyd)
		}},
		{"the caller hangs up while the phone is asked", func(s *scene) {
			again := pickup(s.t, s.cyd, s.picks)
			s.cyd.Reply(again, siptest.Answer{Status: 100})
			pass(10 * time.Millisecond)
			s.leg.Cancel()
			s.ana.Wait(s.t, "200 CANCEL")
			cancelled(s.t, s.ben, s.rings)
			cancelled(s.t, s.cyd, again)
			hangsUp(s, s.cyd)
			s.leg.Refused(s.ana.Wait(s.t, "487 INVITE"))
		}},
		{"the caller hangs up, and the phone has answered", func(s *scene) {
			again := pickup(s.t, s.cyd, s.picks)
			s.cyd.Reply(again, siptest.Answer{Status: 100})
			pass(10 * time.Millisecond)
			s.leg.Cancel()
			s.ana.Wait(s.t, "200 CANCEL")
			cancelled(s.t, s.ben, s.rings)
			s.cyd.Reply(s.cyd.Wait(s.t, "CANCEL"), siptest.Answer{Status: 200})
			s.cyd.Reply(again, withBody(200, pickerSDP))
			m := s.ana.Next(s.t, time.Second)
			switch {
			case m == nil:
				s.t.Fatal("the caller hears nothing")
			case m.Word() == "200 INVITE": // it was quicker than we were
				s.leg.Ack(m)
				s.cyd.Wait(s.t, "ACK")
				s.leg.Bye()
				hangsUp(s, s.cyd)
				s.ana.Wait(s.t, "200 BYE")
			default:
				s.leg.Refused(m)
				s.cyd.Wait(s.t, "ACK")
				hangsUp(s, s.cyd)
			}
		}},
		{"the phone that rings answers before the other is asked", func(s *scene) {
			held := s.cyd.Wait(s.t, "200 INVITE")
			answered(s)
			s.picks.Ack(held)
			hangsUp(s, s.cyd)
			ends(s)
		}},
		{"the phone that rings answers while the other is asked", func(s *scene) {
			again := pickup(s.t, s.cyd, s.picks)
			s.cyd.Reply(again, siptest.Answer{Status: 100})
			pass(10 * time.Millisecond)
			answered(s)
			cancelled(s.t, s.cyd, again)
			hangsUp(s, s.cyd)
			ends(s)
		}},
		{"both answer", func(s *scene) {
			again := pickup(s.t, s.cyd, s.picks)
			s.ben.Reply(s.rings, withSDP(200))
			s.cyd.Reply(again, withBody(200, pickerSDP))
			s.leg.Ack(s.ana.Wait(s.t, "200 INVITE"))
			s.ben.Wait(s.t, "ACK")
			s.cyd.Wait(s.t, "ACK")
			hangsUp(s, s.cyd)
			ends(s)
		}},
		{"the phone hangs up before it is asked", func(s *scene) {
			held := s.cyd.Wait(s.t, "200 INVITE")
			s.picks.Took(held)
			s.picks.Bye() // and its ACK is lost
			s.cyd.Wait(s.t, "200 BYE")
			answered(s)
			ends(s)
		}},
		{"the phone hangs up while it is asked", func(s *scene) {
			again := pickup(s.t, s.cyd, s.picks)
			s.picks.Bye()
			s.cyd.Wait(s.t, "200 BYE")
			s.cyd.Reply(again, siptest.Answer{Status: 487})
			s.cyd.Wait(s.t, "ACK")
			answered(s)
			ends(s)
		}},
		{"the phone gives up at once", func(s *scene) {
			s.picks.Cancel()
			n := 0
			for m := s.cyd.Next(s.t, 2*time.Second); m != nil; m = s.cyd.Next(s.t, 2*time.Second) {
				switch m.Word() {
				case "487 INVITE":
					s.picks.Refused(m)
				case "200 INVITE": // too late: it takes the answer, and hangs up
					if n++; n == 1 {
						s.picks.Ack(m)
						s.picks.Bye()
					}
				case "INVITE":
					s.cyd.Reply(m, siptest.Answer{Status: 481})
				}
			}
			answered(s)
			ends(s)
		}},
		{"the phone refuses, and somebody else picks up", func(s *scene) {
			again := pickup(s.t, s.cyd, s.picks)
			s.cyd.Reply(again, siptest.Answer{Status: 488})
			s.cyd.Wait(s.t, "ACK")
			hangsUp(s, s.cyd)
			next := s.cyd.Call(s.t, "**1002")
			s.cyd.Reply(pickup(s.t, s.cyd, next), withBody(200, pickerSDP))
			s.leg.Ack(s.ana.Wait(s.t, "200 INVITE"))
			cancelled(s.t, s.ben, s.rings)
			s.cyd.Wait(s.t, "ACK")
			s.leg.Bye()
			hangsUp(s, s.cyd)
			s.ana.Wait(s.t, "200 BYE")
		}},
		{"the phone never answers again", func(s *scene) {
			pickup(s.t, s.cyd, s.picks)
			answered(s)
			for m := s.cyd.Next(s.t, time.Minute); m != nil; m = s.cyd.Next(s.t, time.Minute) {
				if w := m.Word(); w != "INVITE" && w != "CANCEL" && w != "BYE" {
					s.t.Errorf("got %s", w)
				}
			}
			ends(s)
		}},
		{"the ACK never comes", func(s *scene) {
			for m := s.cyd.Next(s.t, 40*time.Second); m != nil; m = s.cyd.Next(s.t, 40*time.Second) {
				if m.Word() == "BYE" {
					s.cyd.Reply(m, siptest.Answer{Status: 200})
				}
			}
			answered(s)
			ends(s)
		}},
		{"two at once", func(s *scene) {
			again := pickup(s.t, s.cyd, s.picks)
			dan := s.registered(s.t, "desk-1004", 14)
			other := dan.Call(s.t, "**1002")
			res := dan.Wait(s.t, "480 INVITE")
			other.Refused(res)
			if res.Reason() != "Picked Up Already" {
				s.t.Errorf("reason %q", res.Reason())
			}
			s.cyd.Reply(again, withBody(200, pickerSDP))
			s.leg.Ack(s.ana.Wait(s.t, "200 INVITE"))
			cancelled(s.t, s.ben, s.rings)
			s.cyd.Wait(s.t, "ACK")
			s.leg.Bye()
			hangsUp(s, s.cyd)
			s.ana.Wait(s.t, "200 BYE")
		}},
		{"two at the same moment", func(s *scene) {
			dan := s.phone("desk-1004", 14)
			other := dan.Call(s.t, "**1002")
			challenge := dan.Wait(s.t, "407 INVITE")
			dan.Learn(s.t, challenge)
			other.Refused(challenge)
			other.SendInvite(s.t)
			got := 0
			for _, by := range []struct {
				phone *siptest.Phone
				leg   *siptest.Leg
			}{{s.cyd, s.picks}, {dan, other}} {
				m := by.phone.Next(s.t, time.Second)
				if m.Word() == "200 INVITE" {
					got++
					by.leg.Ack(m)
					again := by.phone.Wait(s.t, "INVITE")
					by.phone.Reply(again, withBody(200, pickerSDP))
					s.leg.Ack(s.ana.Wait(s.t, "200 INVITE"))
					cancelled(s.t, s.ben, s.rings)
					by.phone.Wait(s.t, "ACK")
					s.leg.Bye()
					hangsUp(s, by.phone)
					s.ana.Wait(s.t, "200 BYE")
				} else {
					by.leg.Refused(m)
				}
			}
			if got != 1 {
				s.t.Errorf("%d phones have the call", got)
			}
		}},
		{"the call is hung up from outside", func(s *scene) {
			s.cyd.Reply(pickup(s.t, s.cyd, s.picks), withBody(200, pickerSDP))
			s.leg.Ack(s.ana.Wait(s.t, "200 INVITE"))
			cancelled(s.t, s.ben, s.rings)
			s.cyd.Wait(s.t, "ACK")
			if err := s.server.HangUp(s.t.Context(), s.store.Calls.Live(domain)[0].ID); err != nil {
				s.t.Fatal(err)
			}
			hangsUp(s, s.cyd)
			hangsUp(s, s.ana)
		}},
		{"the process dies", func(s *scene) {
			s.cyd.Reply(pickup(s.t, s.cyd, s.picks), withBody(200, pickerSDP))
			s.leg.Ack(s.ana.Wait(s.t, "200 INVITE"))
			cancelled(s.t, s.ben, s.rings)
			s.cyd.Wait(s.t, "ACK")
			pass(time.Second)
			s.again(s.t)
			s.picks.Bye()
			hangsUp(s, s.ana)
			s.cyd.Wait(s.t, "200 BYE")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				h.room(t, "room", "1002", "1003", "1004")
				s := &scene{house: h, t: t, ana: h.registered(t, "desk-1001", 11), ben: h.registered(t, "desk-1002", 12), cyd: h.registered(t, "desk-1003", 13)}
				s.leg = s.ana.Call(t, "1002")
				s.rings = s.ben.Wait(t, "INVITE")
				s.ben.Reply(s.rings, siptest.Answer{Status: 180})
				s.ana.Wait(t, "180 INVITE")
				s.picks = s.cyd.Call(t, "**1002")
				tt.run(s)
			})
		})
	}
}

// TestPickupLateOffer: a caller that makes no offer gets that of the phone which picks
// its call up, and answers it in its ACK.
func TestPickupLateOffer(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.room(t, "room", "1002", "1003")
		ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		leg := lateCall(t, ana, "1002")
		rings := ben.Wait(t, "INVITE")
		ben.Reply(rings, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		picks := cyd.Call(t, "**1002")
		again := pickup(t, cyd, picks)
		if again.Body() != "" {
			t.Errorf("the re-INVITE has an offer\n%s", again.Raw)
		}
		cyd.Reply(again, withBody(200, pickerSDP))
		ok := ana.Wait(t, "200 INVITE")
		cancelled(t, ben, rings)
		if ok.Body() != pickerSDP {
			t.Errorf("the offer is\n%s", ok.Raw)
		}
		leg.Took(ok)
		ana.Send(&siptest.Request{
			Method: "ACK", URI: leg.Target, From: leg.Local, To: leg.Remote, CallID: leg.CallID, CSeq: ok.CSeq(), Routes: leg.Routes,
			Lines: []string{"Content-Type: application/sdp"}, Body: siptest.SDP,
		})
		if ack := cyd.Wait(t, "ACK"); ack.Body() != siptest.SDP {
			t.Errorf("the answer is\n%s", ack.Raw)
		}
		leg.Bye()
		cyd.Reply(cyd.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Wait(t, "200 BYE")
	})
}

// lateCall sends an INVITE without an offer.
func lateCall(t *testing.T, p *siptest.Phone, to string) *siptest.Leg {
	t.Helper()
	id := p.ID()
	uri := "sip:" + to + "@" + p.Domain
	l := &siptest.Leg{Phone: p, CallID: id, Target: uri, Local: "<" + p.AOR() + ">;tag=f" + id, Remote: "<" + uri + ">", CSeq: 1}
	l.Invite = siptest.Request{Method: "INVITE", URI: uri, From: l.Local, To: l.Remote, CallID: id, CSeq: 1}
	if line := p.Credentials(t, "INVITE", uri); line != "" {
		l.Invite.Lines = append(l.Invite.Lines, line)
	}
	l.Text = p.Send(&l.Invite)
	return l
}
