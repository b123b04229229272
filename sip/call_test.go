package sip_test

import (
	"strings"
	"testing"
	"time"

	"bellhop/sip/siptest"
)

// talk connects a caller and a callee that are registered, and empties their
// ladders.
func talk(t *testing.T, from, to *siptest.Phone) (caller, callee *siptest.Leg) {
	t.Helper()
	caller = from.Call(t, to.Number)
	inv := to.Wait(t, "INVITE")
	to.Reply(inv, siptest.Answer{Status: 180})
	from.Wait(t, "180 INVITE")
	to.Reply(inv, siptest.Answer{Status: 200, Body: siptest.SDP})
	caller.Ack(from.Wait(t, "200 INVITE"))
	to.Wait(t, "ACK")
	from.Ladder, to.Ladder = nil, nil
	return caller, to.Answered(inv)
}

func TestCall(t *testing.T) {
	t.Parallel()
	for _, hangsUp := range []string{"caller", "callee"} {
		t.Run(hangsUp+" hangs up", func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.phone("desk-1001", 11), h.registered(t, "desk-1002", 12)
				if res := ana.Register(t, siptest.Registration{}); res.Status() != 200 {
					t.Fatalf("REGISTER = %d", res.Status())
				}
				ana.Saw(t, "> REGISTER", "< 401 REGISTER", "> REGISTER", "< 200 REGISTER")
				ana.Forget()
				call := ana.Call(t, "1002")
				res := ana.Wait(t, "407 INVITE")
				call.Refused(res)
				ana.Learn(t, res)
				call.SendInvite(t)
				inv := ben.Wait(t, "INVITE")
				if inv.URI() != ben.Contact() || inv.Body() != siptest.SDP || inv.Header("Max-Forwards") != "69" || len(inv.Headers("Via")) != 2 ||
					len(inv.Routes()) != 1 || inv.Header("Proxy-Authorization") != "" {
					t.Errorf("INVITE as forwarded:\n%s", inv.Raw)
				}
				ben.Reply(inv, siptest.Answer{Status: 180})
				if res := ana.Wait(t, "180 INVITE"); len(res.Headers("Via")) != 1 || len(res.Routes()) != 1 {
					t.Errorf("180 as forwarded:\n%s", res.Raw)
				}
				ben.Reply(inv, siptest.Answer{Status: 200, Body: siptest.SDP})
				ok := ana.Wait(t, "200 INVITE")
				if ok.Body() != siptest.SDP || ok.Contact() != ben.Contact() || ok.ToTag() != ben.Tag(call.CallID) {
					t.Errorf("200 as forwarded:\n%s", ok.Raw)
				}
				if n := h.store.Calls.Len(); n != 1 {
					t.Errorf("%d live calls, want 1", n)
				}
				call.Ack(ok)
				ack := ben.Wait(t, "ACK")
				if ack.URI() != ben.Contact() || len(ack.Headers("Route")) != 0 {
					t.Errorf("ACK as forwarded:\n%s", ack.Raw)
				}
				pass(30 * time.Second)
				if hangsUp == "caller" {
					call.Bye()
					ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
					ana.Wait(t, "200 BYE")
					ana.Saw(t, "> INVITE", "< 407 INVITE", "> ACK", "> INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "> BYE", "< 200 BYE")
					ben.Saw(t, "< INVITE", "> 180 INVITE", "> 200 INVITE", "< ACK", "< BYE", "> 200 BYE")
				} else {
					ben.Answered(inv).Bye()
					bye := ana.Wait(t, "BYE")
					if bye.URI() != ana.Contact() || len(bye.Headers("Route")) != 0 {
						t.Errorf("BYE as forwarded:\n%s", bye.Raw)
					}
					ana.Reply(bye, siptest.Answer{Status: 200})
					ben.Wait(t, "200 BYE")
					ana.Saw(t, "> INVITE", "< 407 INVITE", "> ACK", "> INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "< BYE", "> 200 BYE")
					ben.Saw(t, "< INVITE", "> 180 INVITE", "> 200 INVITE", "< ACK", "> BYE", "< 200 BYE")
				}
				if n := h.store.Calls.Len(); n != 0 {
					t.Errorf("%d live calls after BYE, want none", n)
				}
				c := h.record(t)
				if c.Outcome != "answered" || c.Status != 200 || c.Caller != "1001" || c.Number != "1002" || c.Device != "desk-1002" || c.EndedAt.Sub(c.AnsweredAt) != 30*time.Second {
					t.Errorf("record %+v", c)
				}
			})
		})
	}
}

// A row of a ladder test: what happens after 1001 called 1002, and what each
// phone sees from its INVITE on.
type flow struct {
	name     string
	script   func(t *testing.T, h *house, ana, ben *siptest.Phone, call *siptest.Leg)
	ana, ben string // ladders, comma separated
	outcome  string // of the record
}

func (f *flow) run(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		f.script(t, h, ana, ben, ana.Call(t, "1002"))
		pass(40 * time.Second)
		ana.Saw(t, strings.Split(f.ana, ", ")...)
		ben.Saw(t, strings.Split(f.ben, ", ")...)
		if c := h.record(t); c.Outcome != f.outcome {
			t.Errorf("outcome %q, want %q", c.Outcome, f.outcome)
		}
	})
}

func TestProvisionalAndCancel(t *testing.T) {
	t.Parallel()
	tests := []flow{
		{
			name: "100 within 200 ms",
			script: func(t *testing.T, _ *house, ana, ben *siptest.Phone, call *siptest.Leg) {
				t.Helper()
				began := time.Now()
				inv := ben.Wait(t, "INVITE")
				ana.Wait(t, "100 INVITE")
				if d := time.Since(began); d > 210*time.Millisecond {
					t.Errorf("100 after %v", d)
				}
				ben.Reply(inv, siptest.Answer{Status: 486})
				ben.Wait(t, "ACK")
				call.Refused(ana.Wait(t, "486 INVITE"))
			},
			ana: "> INVITE, < 100 INVITE, < 486 INVITE, > ACK", ben: "< INVITE, > 486 INVITE, < ACK", outcome: "busy",
		},
		{
			name: "CANCEL while ringing, with the caller's Reason",
			script: func(t *testing.T, _ *house, ana, ben *siptest.Phone, call *siptest.Leg) {
				t.Helper()
				inv := ben.Wait(t, "INVITE")
				ben.Reply(inv, siptest.Answer{Status: 180})
				ana.Wait(t, "180 INVITE")
				call.Cancel(`Reason: SIP;cause=200;text="Call completed elsewhere"`)
				ana.Wait(t, "200 CANCEL")
				cancel := ben.Wait(t, "CANCEL")
				if cancel.Branch() != inv.Branch() || cancel.URI() != inv.URI() || len(cancel.Headers("Via")) != 1 || cancel.CSeq() != inv.CSeq() ||
					cancel.Header("Reason") != `SIP;cause=200;text="Call completed elsewhere"` {
					t.Errorf("CANCEL as sent:\n%s", cancel.Raw)
				}
				ben.Reply(cancel, siptest.Answer{Status: 200})
				ben.Reply(inv, siptest.Answer{Status: 487})
				ben.Wait(t, "ACK")
				call.Refused(ana.Wait(t, "487 INVITE"))
			},
			ana:     "> INVITE, < 180 INVITE, > CANCEL, < 200 CANCEL, < 487 INVITE, > ACK",
			ben:     "< INVITE, > 180 INVITE, < CANCEL, > 200 CANCEL, > 487 INVITE, < ACK",
			outcome: "caller-gave-up",
		},
		{
			name: "CANCEL before any response waits for one", // RFC 3261 §9.1
			script: func(t *testing.T, _ *house, ana, ben *siptest.Phone, call *siptest.Leg) {
				t.Helper()
				inv := ben.Wait(t, "INVITE")
				call.Cancel()
				ana.Wait(t, "200 CANCEL")
				ben.Quiet(t, 300*time.Millisecond)
				ben.Reply(inv, siptest.Answer{Status: 180})
				ben.Reply(ben.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
				ben.Reply(inv, siptest.Answer{Status: 487})
				ben.Wait(t, "ACK")
				ana.Wait(t, "100 INVITE")
				call.Refused(ana.Wait(t, "487 INVITE"))
			},
			ana:     "> INVITE, > CANCEL, < 200 CANCEL, < 100 INVITE, < 487 INVITE, > ACK",
			ben:     "< INVITE, > 180 INVITE, < CANCEL, > 200 CANCEL, > 487 INVITE, < ACK",
			outcome: "caller-gave-up",
		},
		{
			name: "CANCEL crosses the 200, which wins",
			script: func(t *testing.T, _ *house, ana, ben *siptest.Phone, call *siptest.Leg) {
				t.Helper()
				inv := ben.Wait(t, "INVITE")
				ben.Reply(inv, siptest.Answer{Status: 180})
				ana.Wait(t, "180 INVITE")
				call.Cancel()
				ana.Wait(t, "200 CANCEL")
				cancel := ben.Wait(t, "CANCEL")
				ben.Reply(inv, siptest.Answer{Status: 200}) // was on its way already
				ben.Reply(cancel, siptest.Answer{Status: 200})
				call.Ack(ana.Wait(t, "200 INVITE"))
				ben.Wait(t, "ACK")
				call.Bye()
				ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
				ana.Wait(t, "200 BYE")
			},
			ana:     "> INVITE, < 180 INVITE, > CANCEL, < 200 CANCEL, < 200 INVITE, > ACK, > BYE, < 200 BYE",
			ben:     "< INVITE, > 180 INVITE, < CANCEL, > 200 INVITE, > 200 CANCEL, < ACK, < BYE, > 200 BYE",
			outcome: "answered",
		},
		{
			name: "CANCEL after the 200 does nothing",
			script: func(t *testing.T, _ *house, ana, ben *siptest.Phone, call *siptest.Leg) {
				t.Helper()
				inv := ben.Wait(t, "INVITE")
				ben.Reply(inv, siptest.Answer{Status: 200})
				ok := ana.Wait(t, "200 INVITE")
				call.Cancel()
				ana.Wait(t, "200 CANCEL")
				call.Ack(ok)
				ben.Wait(t, "ACK")
				call.Bye()
				ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
				ana.Wait(t, "200 BYE")
			},
			ana:     "> INVITE, < 200 INVITE, > CANCEL, < 200 CANCEL, > ACK, > BYE, < 200 BYE",
			ben:     "< INVITE, > 200 INVITE, < ACK, < BYE, > 200 BYE",
			outcome: "answered",
		},
		{
			name: "CANCEL twice is answered twice and sent on once",
			script: func(t *testing.T, _ *house, ana, ben *siptest.Phone, call *siptest.Leg) {
				t.Helper()
				inv := ben.Wait(t, "INVITE")
				ben.Reply(inv, siptest.Answer{Status: 180})
				ana.Wait(t, "180 INVITE")
				again := call.Cancel()
				ana.Wait(t, "200 CANCEL")
				ana.SendRaw(again, "CANCEL")
				ana.Wait(t, "200 CANCEL")
				ben.Reply(ben.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
				ben.Reply(inv, siptest.Answer{Status: 487})
				ben.Wait(t, "ACK")
				call.Refused(ana.Wait(t, "487 INVITE"))
			},
			ana:     "> INVITE, < 180 INVITE, > CANCEL, < 200 CANCEL, > CANCEL, < 200 CANCEL, < 487 INVITE, > ACK",
			ben:     "< INVITE, > 180 INVITE, < CANCEL, > 200 CANCEL, > 487 INVITE, < ACK",
			outcome: "caller-gave-up",
		},
		{
			name: "CANCEL of a callee that never says anything ends it all the same",
			script: func(t *testing.T, _ *house, ana, ben *siptest.Phone, call *siptest.Leg) {
				t.Helper()
				inv := ben.Wait(t, "INVITE")
				ana.Wait(t, "100 INVITE")
				pass(time.Second)
				call.Cancel()
				ana.Wait(t, "200 CANCEL")
				call.Refused(ana.Wait(t, "487 INVITE"))
				ben.Wait(t, "INVITE")
				ben.Reply(inv, siptest.Answer{Status: 200}) // after all: nobody takes it
				ben.Wait(t, "ACK")
				ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
			},
			ana:     "> INVITE, < 100 INVITE, > CANCEL, < 200 CANCEL, < 487 INVITE, > ACK",
			ben:     "< INVITE, < INVITE, > 200 INVITE, < ACK, < BYE, > 200 BYE",
			outcome: "caller-gave-up",
		},
	}
	for _, tt := range tests { //nolint:paralleltest // run calls it
		t.Run(tt.name, tt.run)
	}
}
