package sip_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// A cast is who plays in a scenario.
type cast struct {
	h                        *house
	ana, ben, cyd, c, c1, c2 *siptest.Phone
	leg, callee              *siptest.Leg // of the caller, and of who answered
	inv, atDesk              *siptest.Message
}

// prack acknowledges a reliable response to an INVITE of ours (RFC 3262).
func prack(leg *siptest.Leg, res *siptest.Message, body string) *siptest.Request {
	early := *leg
	early.Took(res)
	r := early.Within("PRACK", fmt.Sprintf("RAck: %s %d INVITE", res.Header("RSeq"), res.CSeq()))
	leg.CSeq = early.CSeq
	if r.Body = body; body != "" {
		r.Lines = append(r.Lines, "Content-Type: application/sdp")
	}
	return r
}

// reliably is a 1xx that is sent reliably.
func reliably(status, rseq int, sdp bool) siptest.Answer {
	lines := []string{"Require: 100rel", fmt.Sprintf("RSeq: %d", rseq)}
	if sdp {
		return withSDP(status, lines...)
	}
	return siptest.Answer{Status: status, Lines: lines}
}

func TestReliableProvisional(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script func(t *testing.T, x *cast)
	}{
		{"one", func(t *testing.T, x *cast) {
			t.Helper()
			x.ben.Reply(x.inv, reliably(183, 7001, true))
			res := x.ana.Wait(t, "183 INVITE")
			if res.Body() != siptest.SDP || res.Header("RSeq") == "7001" || res.Header("RSeq") == "" || !slices.Contains(res.Headers("Require"), "100rel") {
				t.Errorf("183 as passed on:\n%s", res.Raw)
			}
			x.ana.Send(prack(x.leg, res, ""))
			got := x.ben.Wait(t, "PRACK")
			if got.Header("RAck") != fmt.Sprintf("7001 %d INVITE", x.inv.CSeq()) || got.CallID() != x.inv.CallID() {
				t.Errorf("PRACK as passed on:\n%s", got.Raw)
			}
			x.ben.Reply(got, siptest.Answer{Status: 200})
			x.ana.Wait(t, "200 PRACK")
		}},
		{"repeated until its PRACK comes", func(t *testing.T, x *cast) {
			t.Helper()
			again := x.ben.Reply(x.inv, reliably(180, 1, false))
			first := x.ana.Wait(t, "180 INVITE")
			x.ben.SendRaw(again, "180 again")
			res := x.ana.Wait(t, "180 INVITE")
			if string(res.Raw) != string(first.Raw) {
				t.Errorf("another 180:\n%s\n%s", first.Raw, res.Raw)
			}
			x.ana.Send(prack(x.leg, res, ""))
			x.ben.Reply(x.ben.Wait(t, "PRACK"), siptest.Answer{Status: 200})
			x.ana.Wait(t, "200 PRACK")
			x.ana.Send(prack(x.leg, res, "")) // of no response
			x.ana.Wait(t, "481 PRACK")
		}},
		{"two, then UPDATE", func(t *testing.T, x *cast) {
			t.Helper()
			var res *siptest.Message
			for i := range 2 {
				x.ben.Reply(x.inv, reliably(180+3*i, 20+i, i == 0))
				res = x.ana.Wait(t, fmt.Sprintf("%d INVITE", 180+3*i))
				x.ana.Send(prack(x.leg, res, ""))
				x.ben.Reply(x.ben.Wait(t, "PRACK"), siptest.Answer{Status: 200})
				x.ana.Wait(t, "200 PRACK")
			}
			early := *x.leg
			early.Took(res)
			r := early.Within("UPDATE", "Content-Type: application/sdp")
			x.leg.CSeq = early.CSeq
			r.Body = siptest.SDP
			x.ana.Send(r)
			got := x.ben.Wait(t, "UPDATE")
			x.ben.Reply(got, withSDP(200))
			if res := x.ana.Wait(t, "200 UPDATE"); res.Body() != siptest.SDP {
				t.Errorf("200 as passed on:\n%s", res.Raw)
			}
		}},
		{"without PRACK the call is answered all the same", func(t *testing.T, x *cast) {
			t.Helper()
			x.ben.Reply(x.inv, reliably(183, 5, false))
			x.ana.Wait(t, "183 INVITE")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				h.apply(t, anchors("1001"))
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				leg := ana.Call(t, "1002", "Supported: 100rel")
				inv := ben.Wait(t, "INVITE")
				if !slices.Contains(inv.Headers("Supported"), "100rel") {
					t.Errorf("INVITE:\n%s", inv.Raw)
				}
				tt.script(t, &cast{h: h, ana: ana, ben: ben, leg: leg, inv: inv})
				ben.Reply(inv, withSDP(200))
				leg.Ack(ana.Wait(t, "200 INVITE"))
				ben.Wait(t, "ACK")
				over(t, leg, ben.Answered(inv))
			})
		})
	}
}

// A reliable response of one of several goes up without its description; we
// acknowledge it ourselves, and its description comes with the answer.
func TestReliableOfOneOfSeveral(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, desk, soft := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "soft-1002", 13)
		leg := ana.Call(t, "1002", "Supported: 100rel")
		atDesk, atSoft := desk.Wait(t, "INVITE"), soft.Wait(t, "INVITE")
		soft.Reply(atSoft, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		desk.Reply(atDesk, reliably(183, 9, true))
		ack := desk.Wait(t, "PRACK")
		desk.Reply(ack, siptest.Answer{Status: 200})
		res := ana.Wait(t, "180 INVITE")
		if res.Body() != "" || res.Header("RSeq") != "" || len(res.Headers("Require")) != 0 {
			t.Errorf("180 as passed on:\n%s", res.Raw)
		}
		desk.Reply(atDesk, siptest.Answer{Status: 200}) // the answer was in the 183
		desk.Wait(t, "ACK")
		ok := ana.Wait(t, "200 INVITE")
		if ok.Body() != siptest.SDP {
			t.Errorf("200 as passed on:\n%s", ok.Raw)
		}
		leg.Ack(ok)
		soft.Reply(soft.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
		soft.Reply(atSoft, siptest.Answer{Status: 487})
		soft.Wait(t, "ACK")
		over(t, leg, desk.Answered(atDesk))
	})
}

// TestAnchoredEnds plays how calls that ring end, and what crosses then.
func TestAnchoredEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		with    []directory.Write
		lines   []string
		script  func(t *testing.T, x *cast)
		outcome string
	}{
		{"the caller gives up", nil, nil, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.ben.Wait(t, "INVITE")
			x.ben.Reply(inv, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			x.leg.Cancel("Reason: SIP;cause=487;text=\"enough\"")
			x.ana.Wait(t, "200 CANCEL")
			cancel := x.ben.Wait(t, "CANCEL")
			if !strings.Contains(cancel.Header("Reason"), "enough") {
				t.Errorf("CANCEL as passed on:\n%s", cancel.Raw)
			}
			x.ben.Reply(cancel, siptest.Answer{Status: 200})
			x.ben.Reply(inv, siptest.Answer{Status: 487})
			x.ben.Wait(t, "ACK")
			x.leg.Refused(x.ana.Wait(t, "487 INVITE"))
		}, "caller-gave-up"},
		{"a phone that registers joins", nil, nil, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.ben.Wait(t, "INVITE")
			x.ben.Reply(inv, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			soft := x.h.registered(t, "soft-1002", 22)
			joins := soft.Wait(t, "INVITE")
			if joins.CallID() == inv.CallID() {
				t.Error("two legs have one Call-ID")
			}
			soft.Reply(joins, withSDP(200))
			soft.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			x.ben.Reply(x.ben.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			x.ben.Reply(inv, siptest.Answer{Status: 487})
			x.ben.Wait(t, "ACK")
			over(t, x.leg, soft.Answered(joins))
		}, "answered"},
		{"the answer crosses the CANCEL", nil, nil, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.ben.Wait(t, "INVITE")
			x.ben.Reply(inv, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			x.leg.Cancel()
			x.ana.Wait(t, "200 CANCEL")
			x.ben.Reply(x.ben.Wait(t, "CANCEL"), siptest.Answer{Status: 481})
			x.ben.Reply(inv, withSDP(200))
			x.ben.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE")) // rule ring.stage: a late 2xx wins
			over(t, x.leg, x.ben.Answered(inv))
		}, "answered"},
		{
			"busy goes on",
			[]directory.Write{put(directory.KindForwarding, "1002", `{"busy":{"both":{"enabled":true,"target":"1003"}}}`)},
			nil,
			func(t *testing.T, x *cast) {
				t.Helper()
				x.ben.Reply(x.ben.Wait(t, "INVITE"), siptest.Answer{Status: 486})
				x.ben.Wait(t, "ACK")
				inv := x.cyd.Wait(t, "INVITE")
				if !slices.Contains(inv.Lines("Diversion"), "Diversion: <sip:1002@bellhop.test>;reason=user-busy;counter=1") {
					t.Errorf("INVITE:\n%s", inv.Raw)
				}
				if res := x.ana.Wait(t, "181 INVITE"); res.Contact() != "" || res.Body() != "" || res.ToTag() == "" {
					t.Errorf("181:\n%s", res.Raw)
				}
				x.cyd.Reply(inv, siptest.Answer{Status: 486})
				x.cyd.Wait(t, "ACK")
				x.leg.Refused(x.ana.Wait(t, "486 INVITE"))
			}, "busy",
		},
		{"a phone redirects", []directory.Write{noAnswer("1002", "1004")}, nil, func(t *testing.T, x *cast) {
			t.Helper()
			x.ben.Reply(x.ben.Wait(t, "INVITE"), siptest.Answer{Status: 302, Lines: []string{"Contact: <sip:1003@bellhop.test>"}})
			x.ben.Wait(t, "ACK")
			inv := x.cyd.Wait(t, "INVITE")
			x.ana.Wait(t, "181 INVITE")
			x.cyd.Reply(inv, withSDP(200))
			x.cyd.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			over(t, x.leg, x.cyd.Answered(inv))
		}, "answered"},
		{"a proxied phone redirects", nil, nil, func(t *testing.T, x *cast) {
			t.Helper()
			x.ben.Reply(x.ben.Wait(t, "INVITE"), siptest.Answer{Status: 302, Lines: []string{"Contact: <sip:1003@bellhop.test>"}})
			x.ben.Wait(t, "ACK")
			inv := x.cyd.Wait(t, "INVITE")
			x.ana.Wait(t, "181 INVITE")
			x.cyd.Reply(inv, withSDP(200))
			x.cyd.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			over(t, x.leg, x.cyd.Answered(inv))
		}, "answered"},
		{"a late answer of a number that is over wins", []directory.Write{noAnswer("1002", "1003")}, nil, func(t *testing.T, x *cast) {
			t.Helper()
			first := x.ben.Wait(t, "INVITE")
			x.ben.Reply(first, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			x.ben.Reply(x.ben.Wait(t, "CANCEL"), siptest.Answer{Status: 481})
			second := x.cyd.Wait(t, "INVITE")
			x.ana.Wait(t, "181 INVITE")
			x.cyd.Reply(second, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			x.ben.Reply(first, withSDP(200))
			x.ben.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			x.cyd.Reply(x.cyd.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			x.cyd.Reply(second, withSDP(200)) // and this one is too late
			x.cyd.Wait(t, "ACK")
			x.cyd.Reply(x.cyd.Wait(t, "BYE"), siptest.Answer{Status: 200})
			x.ana.Quiet(t, time.Second)
			over(t, x.leg, x.ben.Answered(first))
		}, "answered"},
		{"the ACK never comes", nil, nil, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.ben.Wait(t, "INVITE")
			x.ben.Reply(inv, withSDP(200))
			x.ben.Wait(t, "ACK")
			n := 0
			start := time.Now()
			for {
				m := x.ana.Next(t, time.Minute)
				if m == nil {
					t.Fatal("no BYE")
				}
				if m.Method() == "BYE" {
					x.ana.Reply(m, siptest.Answer{Status: 200})
					break
				}
				n++
			}
			if d := time.Since(start); n < 9 || n > 12 || d < 31*time.Second || d > 33*time.Second {
				t.Errorf("%d 2xx, then BYE after %v", n, d)
			}
			x.ben.Reply(x.ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
			x.ana.Quiet(t, time.Minute)
		}, "answered"},
		{"a lost ACK is sent again", nil, nil, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.ben.Wait(t, "INVITE")
			ok := x.ben.Reply(inv, withSDP(200))
			x.ben.Wait(t, "ACK")
			x.ben.SendRaw(ok, "200 again")
			x.ben.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			x.ben.SendRaw(ok, "200 again")
			x.ben.Wait(t, "ACK")
			x.ana.Quiet(t, time.Second)
			over(t, x.leg, x.ben.Answered(inv))
		}, "answered"},
		{"two answer behind one phone", nil, nil, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.ben.Wait(t, "INVITE")
			x.ben.Reply(inv, siptest.Answer{Status: 180, Tag: "one"})
			one := x.ana.Wait(t, "180 INVITE")
			x.ben.Reply(inv, siptest.Answer{Status: 180, Tag: "two"})
			two := x.ana.Wait(t, "180 INVITE")
			if one.ToTag() == two.ToTag() {
				t.Error("two dialogs have one tag")
			}
			a := withSDP(200)
			a.Tag = "two"
			x.ben.Reply(inv, a)
			if ack := x.ben.Wait(t, "ACK"); ack.ToTag() != "two" {
				t.Errorf("ACK to %s", ack.ToTag())
			}
			ok := x.ana.Wait(t, "200 INVITE")
			if ok.ToTag() != two.ToTag() {
				t.Errorf("200 with tag %s, want %s", ok.ToTag(), two.ToTag())
			}
			x.leg.Ack(ok)
			a.Tag = "one"
			x.ben.Reply(inv, a)
			if ack := x.ben.Wait(t, "ACK"); ack.ToTag() != "one" {
				t.Errorf("ACK to %s", ack.ToTag())
			}
			bye := x.ben.Wait(t, "BYE")
			if bye.ToTag() != "one" {
				t.Errorf("BYE to %s", bye.ToTag())
			}
			x.ben.Reply(bye, siptest.Answer{Status: 200})
			x.leg.Bye()
			bye = x.ben.Wait(t, "BYE")
			if bye.ToTag() != "two" {
				t.Errorf("BYE to %s", bye.ToTag())
			}
			x.ben.Reply(bye, siptest.Answer{Status: 200})
			x.ana.Wait(t, "200 BYE")
		}, "answered"},
		{"what the caller requires and nobody carries", nil, []string{"Require: replaces, x-new"}, func(t *testing.T, x *cast) {
			t.Helper()
			res := x.ana.Wait(t, "420 INVITE")
			if got := res.Headers("Unsupported"); !slices.Equal(got, []string{"replaces", "x-new"}) {
				t.Errorf("Unsupported = %q", got)
			}
			x.leg.Refused(res)
		}, "refused"},
		{"Replaces", nil, []string{"Replaces: a@b;to-tag=1;from-tag=2"}, func(t *testing.T, x *cast) {
			t.Helper()
			x.leg.Refused(x.ana.Wait(t, "603 INVITE"))
		}, "refused"},
		{"a session too short", nil, []string{"Session-Expires: 30"}, func(t *testing.T, x *cast) {
			t.Helper()
			res := x.ana.Wait(t, "422 INVITE")
			if res.Header("Min-SE") != "90" {
				t.Errorf("422:\n%s", res.Raw)
			}
			x.leg.Refused(res)
		}, "refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				if !strings.Contains(tt.name, "proxied") {
					h.apply(t, anchors("1001"))
				}
				h.apply(t, tt.with...)
				ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
				tt.script(t, &cast{h: h, ana: ana, ben: ben, cyd: cyd, leg: ana.Call(t, "1002", tt.lines...)})
				pass(time.Second)
				if c := h.record(t); c.Outcome != tt.outcome {
					t.Errorf("outcome %q, want %q", c.Outcome, tt.outcome)
				}
			})
		})
	}
}
