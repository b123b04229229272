package sip_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// An answered call goes on in the next process as if nothing had happened.
func TestAnchoredCallOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	for _, callee := range []bool{false, true} {
		name := "the caller acts"
		if callee {
			name = "the callee acts"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				caller, called := joined(t, h, ana, ben)
				h.again(t)
				a, b := ends(callee, caller, called)
				r := a.Within("INVITE", "Content-Type: application/sdp")
				r.Body = siptest.SDP
				a.Phone.Send(r)
				a.Invite = *r
				got := b.Phone.Wait(t, "INVITE")
				if got.CallID() != b.CallID || got.ToTag() == "" || got.CSeq() < 2 {
					t.Errorf("re-INVITE after the restart:\n%s", got.Raw)
				}
				b.Phone.Reply(got, withSDP(200))
				b.Phone.Wait(t, "ACK")
				a.Ack(a.Phone.Wait(t, "200 INVITE"))
				h.again(t) // and once more
				over(t, b, a)
				if c := h.record(t); c.Outcome != "answered" || len(c.Legs) != 2 || c.Legs[1].Device != "desk-1002" {
					t.Errorf("record %+v", c)
				}
			})
		})
	}
}

// A call whose answer was on its way when the process died: the callee repeats
// its 2xx and gets its ACK, the caller its BYE or its talk.
func TestAnchoredCallDiesBeforeTheAck(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		leg := ana.Call(t, "1002")
		inv := ben.Wait(t, "INVITE")
		ok := ben.Reply(inv, withSDP(200))
		ben.Wait(t, "ACK")
		h.again(t)
		ben.SendRaw(ok, "200 again") // its ACK was lost
		ben.Wait(t, "ACK")
		leg.Ack(ana.Wait(t, "200 INVITE"))
		over(t, leg, ben.Answered(inv))
	})
}

// A call that rang ends on both sides.
func TestRingingCallsEndWithTheProcess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		ring func(t *testing.T, x *cast)
		end  func(t *testing.T, x *cast)
	}{
		{"it rings", func(t *testing.T, x *cast) {
			t.Helper()
			x.ben.Reply(x.inv, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
		}, func(t *testing.T, x *cast) {
			t.Helper()
			cancel := x.ben.Wait(t, "CANCEL")
			if cancel.Branch() != x.inv.Branch() || cancel.CallID() != x.inv.CallID() || cancel.FromTag() != x.inv.FromTag() || cancel.CSeq() != x.inv.CSeq() || cancel.URI() != x.inv.URI() {
				t.Errorf("CANCEL after the restart:\n%s\nof\n%s", cancel.Raw, x.inv.Raw)
			}
			x.ben.Reply(cancel, siptest.Answer{Status: 200})
			x.ben.Reply(x.inv, siptest.Answer{Status: 487})
			x.ben.Wait(t, "ACK")
		}},
		{"nobody said anything", func(*testing.T, *cast) {}, func(t *testing.T, x *cast) {
			t.Helper()
			x.ben.Reply(x.ben.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			x.ben.Reply(x.inv, siptest.Answer{Status: 487})
			x.ben.Wait(t, "ACK")
		}},
		{"it answers meanwhile", func(*testing.T, *cast) {}, func(t *testing.T, x *cast) {
			t.Helper()
			x.ben.Reply(x.ben.Wait(t, "CANCEL"), siptest.Answer{Status: 481})
			x.ben.Reply(x.inv, withSDP(200))
			x.ben.Wait(t, "ACK")
			x.ben.Reply(x.ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				h.apply(t, noAnswer("1002", "1003"))
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				leg := ana.Call(t, "1002")
				inv := ben.Wait(t, "INVITE")
				x := &cast{h: h, ana: ana, ben: ben, inv: inv}
				tt.ring(t, x)
				pass(0)
				h.again(t)
				leg.Refused(ana.Wait(t, "480 INVITE"))
				tt.end(t, x)
				ana.Quiet(t, 40*time.Second)
				if c := h.record(t); c.Outcome != "lost" || c.Status != 480 {
					t.Errorf("record %+v", c)
				}
			})
		})
	}
}

// TestHangUp ends calls from outside.
func TestHangUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		anchored bool
		restart  bool
	}{{"anchored", true, false}, {"anchored, after a restart", true, true}, {"proxied", false, false}, {"proxied, after a restart", false, true}}
	for _, tt := range tests {
		t.Run(tt.name+", talking", func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				if tt.anchored {
					joined(t, h, ana, ben)
				} else {
					a, b := talk(t, ana, ben)
					ben.Send(b.Within("INFO")) // both ends have a CSeq
					reply(ana, ana.Wait(t, "INFO"), 200)
					ben.Wait(t, "200 INFO")
					ana.Send(a.Within("INFO"))
					reply(ben, ben.Wait(t, "INFO"), 200)
					ana.Wait(t, "200 INFO")
				}
				if tt.restart {
					h.again(t)
				}
				live := h.store.Calls.Live(domain)
				if len(live) != 1 {
					t.Fatalf("%d live calls", len(live))
				}
				if err := h.server.HangUp(t.Context(), live[0].ID); err != nil {
					t.Fatal(err)
				}
				for _, p := range []*siptest.Phone{ana, ben} {
					bye := p.Wait(t, "BYE")
					if bye.URI() != p.Contact() || bye.ToTag() == "" || bye.FromTag() == "" || bye.CSeq() <= 2 && !tt.anchored {
						t.Errorf("BYE:\n%s", bye.Raw)
					}
					p.Reply(bye, siptest.Answer{Status: 200})
				}
				ana.Quiet(t, time.Second)
				ben.Quiet(t, time.Second)
				if c := h.record(t); c.State != feed.Ended || c.EndedAt.IsZero() {
					t.Errorf("record %+v", c)
				}
				if err := h.server.HangUp(t.Context(), live[0].ID); err == nil {
					t.Error("a call ended twice")
				}
			})
		})
	}
	for _, anchored := range []bool{true, false} {
		name := "proxied, ringing"
		if anchored {
			name = "anchored, ringing"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				if anchored {
					h.apply(t, anchors("1001"))
				}
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				leg := ana.Call(t, "1002")
				inv := ben.Wait(t, "INVITE")
				ben.Reply(inv, siptest.Answer{Status: 180})
				ana.Wait(t, "180 INVITE")
				pass(0)
				if err := h.server.HangUp(t.Context(), h.store.Calls.Live(domain)[0].ID); err != nil {
					t.Fatal(err)
				}
				ben.Reply(ben.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
				ben.Reply(inv, siptest.Answer{Status: 487})
				ben.Wait(t, "ACK")
				leg.Refused(ana.Wait(t, "487 INVITE"))
			})
		})
	}
}

// TestSessionTimers: ends that are gone are noticed (RFC 4028).
func TestSessionTimers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		lines  []string
		script func(t *testing.T, x *cast)
	}{
		{
			"we refresh by UPDATE",
			[]string{"Supported: timer", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE", "Session-Expires: 600;refresher=uas"},
			func(t *testing.T, x *cast) {
				t.Helper()
				x.ana.Patience = time.Hour
				for range 10 { // fifty minutes
					start := time.Now()
					m := x.ana.Wait(t, "UPDATE")
					if d := time.Since(start); d < 250*time.Second || d > 350*time.Second {
						t.Errorf("UPDATE after %v", d)
					}
					x.ana.Reply(m, siptest.Answer{Status: 200, Lines: []string{"Supported: timer", "Session-Expires: 600;refresher=uac", "Require: timer"}})
				}
				x.ben.Quiet(t, time.Second) // it never said that it knows of timers
				over(t, x.leg, x.callee)
			},
		},
		{
			"nobody refreshes",
			[]string{"Supported: timer", "Session-Expires: 600;refresher=uac"},
			func(t *testing.T, x *cast) {
				t.Helper()
				start := time.Now()
				x.ana.Patience, x.ben.Patience = time.Hour, time.Hour
				bye := x.ana.Wait(t, "BYE")
				x.ana.Reply(bye, siptest.Answer{Status: 200})
				if d := time.Since(start); d < 500*time.Second || d > 600*time.Second {
					t.Errorf("BYE after %v", d)
				}
				x.ben.Reply(x.ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
			},
		},
	}
	for _, tt := range tests {
		for _, restart := range []bool{false, true} {
			name := tt.name
			if restart {
				name += ", after a restart"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T, h *house) {
					h.apply(t, anchors("1001"))
					ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
					leg := ana.Call(t, "1002", tt.lines...)
					inv := ben.Wait(t, "INVITE")
					ben.Reply(inv, withSDP(200))
					ben.Wait(t, "ACK")
					ok := ana.Wait(t, "200 INVITE")
					if se := ok.Header("Session-Expires"); !strings.HasPrefix(se, "600") {
						t.Errorf("Session-Expires = %q", se)
					}
					leg.Ack(ok)
					pass(time.Second)
					if restart {
						h.again(t)
					}
					tt.script(t, &cast{h: h, ana: ana, ben: ben, leg: leg, callee: ben.Answered(inv)})
				})
			})
		}
	}
}

// After a restart a caller of another domain is found at home: not in the domain
// that it called, where another phone may have its name.
func TestCallerOfAnotherDomainOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	for _, acts := range []string{"the callee hangs up", "the caller hangs up"} {
		t.Run(acts, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				open := func(number string, host int) *siptest.Phone {
					h.apply(t, directory.Write{Ref: directory.Ref{Domain: "open.test", Kind: directory.KindNumber, Name: number}, Body: []byte(`{}`)})
					h.openDevice(t, "open.test", "desk-"+number, number)
					p := h.phone("desk-"+number, host)
					p.Domain = "open.test"
					if res := p.Register(t, siptest.Registration{}); res.Status() != 200 {
						t.Fatalf("REGISTER = %d %s", res.Status(), res.Reason())
					}
					p.Ladder = nil
					return p
				}
				ana, namesake, door := h.registered(t, "desk-1001", 11), open("1001", 21), open("2001", 22)
				leg := ana.Call(t, "sip:2001@open.test")
				inv := door.Wait(t, "INVITE")
				door.Reply(inv, withSDP(200))
				door.Wait(t, "ACK")
				leg.Ack(ana.Wait(t, "200 INVITE"))
				pass(time.Second)
				h.again(t)
				if acts == "the callee hangs up" {
					over(t, door.Answered(inv), leg)
				} else {
					ana.Move(netip.MustParseAddrPort("192.0.2.31:5060")) // its address alone would do, were it the same
					if res := ana.Register(t, siptest.Registration{}); res.Status() != 200 {
						t.Fatalf("REGISTER = %d", res.Status())
					}
					over(t, leg, door.Answered(inv))
				}
				namesake.Quiet(t, time.Second)
			})
		})
	}
}

// TestProbes: an end that nobody refreshes is asked whether it is there, before
// the call stops counting; without it the call ends, also after a restart.
func TestProbes(t *testing.T) {
	t.Parallel()
	const due = 55 * time.Minute
	for _, restart := range []bool{false, true} {
		name := ""
		if restart {
			name = ", after a restart"
		}
		begin := func(t *testing.T, h *house) (ana, ben *siptest.Phone, leg, callee *siptest.Leg) {
			t.Helper()
			ana, ben = h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
			leg, callee = joined(t, h, ana, ben)
			if restart {
				pass(10 * time.Minute)
				h.again(t)
				pass(due - 10*time.Minute)
			} else {
				pass(due)
			}
			return ana, ben, leg, callee
		}
		t.Run("both are there"+name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben, leg, callee := begin(t, h)
				ask := ana.Wait(t, "OPTIONS")
				if ask.CallID() != leg.CallID || ask.FromTag() == "" || ask.ToTag() == "" || ask.URI() != ana.Contact() {
					t.Errorf("OPTIONS:\n%s", ask.Raw)
				}
				ana.Reply(ask, siptest.Answer{Status: 200})
				ben.Reply(ben.Wait(t, "OPTIONS"), siptest.Answer{Status: 501})
				pass(10 * time.Minute)
				if n := h.store.Calls.Count(domain, "1002"); n != 1 {
					t.Errorf("%d calls keep the callee busy, want 1", n)
				}
				over(t, leg, callee)
			})
		})
		t.Run("one has forgotten it"+name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben, _, _ := begin(t, h)
				ana.Reply(ana.Wait(t, "OPTIONS"), siptest.Answer{Status: 200})
				ben.Reply(ben.Wait(t, "OPTIONS"), siptest.Answer{Status: 481})
				ana.Reply(ana.Wait(t, "BYE"), siptest.Answer{Status: 200})
				ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 481})
				if c := h.record(t); c.Outcome != "answered" || c.EndedAt.Sub(c.AnsweredAt) > time.Hour {
					t.Errorf("record %+v", c)
				}
			})
		})
		t.Run("both are gone"+name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				_, _, _, _ = begin(t, h)
				pass(4 * time.Minute)
				if n := h.store.Calls.Len(); n != 0 {
					t.Errorf("%d live calls after 59 minutes", n)
				}
			})
		})
	}
}

// A call whose 2xx was lost with the process: the caller does not know of it when
// it is asked, and the callee is not left alone.
func TestAnswerLostWithTheProcess(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		ana.Call(t, "1002")
		inv := ben.Wait(t, "INVITE")
		h.net.Drop(func(d siptest.Datagram) bool {
			return strings.HasPrefix(string(d.Data), "SIP/2.0 200") && d.To == ana.Addr
		})
		ben.Reply(inv, withSDP(200))
		ben.Wait(t, "ACK")
		h.again(t)
		h.net.Drop(nil)
		ask := ana.Wait(t, "OPTIONS")
		ana.Reply(ask, siptest.Answer{Status: 481})
		ben.Reply(ben.Wait(t, "OPTIONS"), siptest.Answer{Status: 200})
		ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Reply(ana.Wait(t, "BYE"), siptest.Answer{Status: 481})
	})
}

// A call whose entry was cut cannot be taken up: its account is closed, and its
// ends are told when they speak.
func TestCallThatWasCut(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		leg, _ := joined(t, h, ana, ben)
		c := *h.store.Calls.Live(domain)[0]
		c.Legs = slices.Clone(c.Legs)
		for i := range c.Legs {
			c.Legs[i].Dialog = nil
		}
		h.kill()
		h.store.Calls.Update(&c)
		h.again(t)
		if n := h.metric(t, "bellhop_b2bua_unrestored_total"); n != 1 || h.store.Calls.Len() != 0 {
			t.Errorf("%v calls not restored, %d live", n, h.store.Calls.Len())
		}
		if r := h.record(t); r.State != feed.Ended || r.EndedAt.IsZero() || r.Legs[1].EndedAt.IsZero() {
			t.Errorf("record %+v", r)
		}
		leg.Bye()
		ana.Wait(t, "481 BYE")
	})
}
