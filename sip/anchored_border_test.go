package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// identities are fields that say who somebody is, was, or how to alert.
func identities(number string) []string {
	return []string{
		"P-Asserted-Identity: <sip:" + number + "@x.test>", "P-Preferred-Identity: <sip:" + number + "@x.test>",
		"Remote-Party-ID: <sip:" + number + "@x.test>;party=calling", "Diversion: <sip:" + number + "@x.test>;reason=unknown",
		"History-Info: <sip:" + number + "@x.test>;index=1", "Alert-Info: <http://x.test/>",
		"Call-Info: <http://x.test/" + number + ">;purpose=icon", "Answer-Mode: Auto",
	}
}

// unsaid fails when a message has one of the fields of identities.
func unsaid(t *testing.T, m *siptest.Message, names ...string) {
	t.Helper()
	for _, name := range names {
		if v := m.Header(name); v != "" {
			t.Errorf("%s has %s: %s", m.Word(), name, v)
		}
	}
}

var (
	whoFields   = []string{"P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Diversion", "History-Info"}
	alertFields = []string{"Alert-Info", "Call-Info", "Answer-Mode"}
)

// TestBordersWithinACall: what may not cross a border in the first INVITE may not
// cross it later either, nor in a response, in either direction (trust.md §1).
func TestBordersWithinACall(t *testing.T) {
	t.Parallel()
	for _, out := range []bool{true, false} {
		t.Run(fmt.Sprintf("out %t", out), func(t *testing.T) {
			t.Parallel()
			inTrunk(t, twoPeers, func(t *testing.T, h *house, c *siptest.Phone) {
				h.apply(t, outside()...)
				ana := h.registered(t, "desk-1001", 11)
				caller, callee, to := ana, c, mobile
				if c.Domain = "192.0.2.1"; !out {
					caller, callee, to = c, ana, "+498970071001"
				}
				leg := caller.Call(t, to, identities("4711")...)
				inv := callee.Wait(t, "INVITE")
				if strings.Contains(string(inv.Raw), "4711") || inv.Header("Alert-Info") != "" {
					t.Errorf("INVITE:\n%s", inv.Raw)
				}
				callee.Reply(inv, siptest.Answer{Status: 180, Lines: identities("4712")})
				res := caller.Wait(t, "180 INVITE")
				unsaid(t, res, whoFields...)
				unsaid(t, res, alertFields...)
				callee.Reply(inv, withSDP(200, identities("4712")...))
				res = caller.Wait(t, "200 INVITE")
				unsaid(t, res, whoFields...)
				unsaid(t, res, alertFields...)
				leg.Ack(res)
				callee.Wait(t, "ACK")
				called := callee.Answered(inv)
				for _, row := range []struct{ from, to *siptest.Leg }{{leg, called}, {called, leg}} {
					for _, method := range []string{"INFO", "UPDATE"} {
						r := row.from.Within(method, append(identities("4713"), "Content-Type: application/sdp")...)
						r.Body = siptest.SDP
						row.from.Phone.Send(r)
						got := row.to.Phone.Wait(t, method)
						unsaid(t, got, whoFields...)
						unsaid(t, got, alertFields...)
						row.to.Phone.Reply(got, siptest.Answer{Status: 488, Lines: identities("4714")})
						res = row.from.Phone.Wait(t, "488 "+method)
						unsaid(t, res, whoFields...)
						unsaid(t, res, alertFields...)
					}
				}
				over(t, leg, called)
			})
		})
	}
}

// TestHiddenThroughout: a caller that hides its number does so in the whole call
// (RFC 3323 §4.1, §5.3).
func TestHiddenThroughout(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		lines := append(identities("1001"), "Reply-To: <sip:1001@x.test>", "Organization: 1001", "In-Reply-To: 1001@x.test", "Referred-By: <sip:1001@x.test>")
		leg := ana.Call(t, "1002", lines...)
		inv := ben.Wait(t, "INVITE")
		if strings.Contains(string(inv.Raw), "1001") {
			t.Errorf("INVITE:\n%s", inv.Raw)
		}
		ben.Reply(inv, withSDP(200))
		leg.Ack(ana.Wait(t, "200 INVITE"))
		ben.Wait(t, "ACK")
		r := leg.Within("UPDATE", append(lines, "Content-Type: application/sdp")...)
		r.Body = siptest.SDP
		ana.Send(r)
		got := ben.Wait(t, "UPDATE")
		if strings.Contains(string(got.Raw), "1001") {
			t.Errorf("UPDATE:\n%s", got.Raw)
		}
		ben.Reply(got, withSDP(200))
		ana.Wait(t, "200 UPDATE")
		over(t, leg, ben.Answered(inv))
	})
}

// TestIntervalRefusedAfterCancel: who gave up is not invited again.
func TestIntervalRefusedAfterCancel(t *testing.T) {
	t.Parallel()
	for _, rang := range []bool{false, true} {
		t.Run(fmt.Sprintf("rang %t", rang), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				h.apply(t, anchors("1001"))
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				leg := ana.Call(t, "1002")
				inv := ben.Wait(t, "INVITE")
				if rang {
					ben.Reply(inv, siptest.Answer{Status: 100, Tag: "-"})
					pass(time.Millisecond)
				}
				ana.Wait(t, "100 INVITE")
				leg.Cancel()
				ana.Wait(t, "200 CANCEL")
				if rang {
					ben.Reply(ben.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
				}
				ben.Reply(inv, siptest.Answer{Status: 422, Lines: []string{"Min-SE: 3600"}})
				for m := ben.Next(t, time.Second); m != nil; m = ben.Next(t, time.Second) {
					if m.Word() == "INVITE" && m.CSeq() > 1 {
						t.Fatalf("invited again:\n%s", m.Raw)
					}
				}
				leg.Refused(ana.Wait(t, "487 INVITE"))
			})
		})
	}
}

// TestFloodOfForks: who is called cannot fill our memory with dialogs, nor with
// responses that wait to be acknowledged.
func TestFloodOfForks(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		leg := ana.Call(t, "1002", "Supported: 100rel")
		inv := ben.Wait(t, "INVITE")
		tags := make(map[string]bool)
		ana.Next(t, 300*time.Millisecond)
		for i := range 400 {
			ben.Reply(inv, siptest.Answer{Status: 180, Tag: fmt.Sprint("fork", i)})
			for m := ana.Next(t, 0); m != nil; m = ana.Next(t, 0) {
				tags[m.ToTag()] = true
			}
		}
		if len(tags) > 16 {
			t.Errorf("%d dialogs", len(tags))
		}
		for i := range 600 {
			ben.Reply(inv, siptest.Answer{Status: 183, Tag: "fork0", Lines: []string{"Require: 100rel", fmt.Sprint("RSeq: ", i+1)}})
		}
		n := 0
		for m := ana.Next(t, 10*time.Millisecond); m != nil; m = ana.Next(t, 10*time.Millisecond) {
			if m.Header("RSeq") != "" {
				n++
			}
		}
		if n > 16 {
			t.Errorf("%d reliable responses wait for their PRACK", n)
		}
		ben.Reply(inv, siptest.Answer{Status: 200, Tag: "fork1", Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
		leg.Ack(ana.Wait(t, "200 INVITE"))
		leg.Bye()
		ben.Wait(t, "ACK")
		ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Wait(t, "200 BYE")
	})
}

// TestForkAnswersTwice: behind who is rung somebody forked, and two answer.
func TestForkAnswersTwice(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		leg := ana.Call(t, "1002")
		inv := ben.Wait(t, "INVITE")
		for i := range 3 {
			ben.Reply(inv, siptest.Answer{Status: 180, Tag: fmt.Sprint("fork", i)})
			ana.Wait(t, "180 INVITE")
		}
		answer := func(tag string) {
			t.Helper()
			ben.Reply(inv, siptest.Answer{Status: 200, Tag: tag, Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
			if ack := ben.Wait(t, "ACK"); ack.ToTag() != tag {
				t.Errorf("ACK:\n%s", ack.Raw)
			}
		}
		answer("fork1")
		ok := ana.Wait(t, "200 INVITE")
		leg.Ack(ok)
		for _, tag := range []string{"fork2", "fork0", "fork9"} {
			answer(tag)
			bye := ben.Wait(t, "BYE")
			if bye.ToTag() != tag {
				t.Errorf("BYE:\n%s", bye.Raw)
			}
			ben.Reply(bye, siptest.Answer{Status: 200})
			answer(tag) // again
		}
		answer("fork1")
		ben.Quiet(t, time.Second)
		ana.Quiet(t, time.Second)
		leg.Bye()
		if bye := ben.Wait(t, "BYE"); bye.ToTag() != "fork1" {
			t.Errorf("BYE:\n%s", bye.Raw)
		} else {
			ben.Reply(bye, siptest.Answer{Status: 200})
		}
		ana.Wait(t, "200 BYE")
	})
}

// TestForgedWithinACall: requests of others within a call are refused, and change
// nothing (trust.md §1).
func TestForgedWithinACall(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		make func(a, b *siptest.Leg) *siptest.Request // in the name of a
		from string                                   // of whom it comes: "" is a
		want string
	}{
		{"the token of the other leg", func(a, b *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.URI = b.Target
			return r
		}, "", "481 BYE"},
		{"the Call-ID of the other leg", func(a, b *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.CallID = b.CallID
			return r
		}, "", "481 BYE"},
		{"the other leg", func(_, b *siptest.Leg) *siptest.Request { return b.Within("BYE") }, "", "403 BYE"},
		{"another From tag", func(a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.From = strings.Replace(r.From, "tag=", "tag=x", 1)
			return r
		}, "", "481 BYE"},
		{"another To tag", func(a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.To += "x"
			return r
		}, "", "481 BYE"},
		{"our token as a Route", func(a, b *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.Routes = []string{"<" + a.Target + ";lr>"}
			r.URI = b.Phone.Contact()
			r.CallID += "x"
			return r
		}, "", "481 BYE"},
		{"our token as a Route, of this call", func(a, b *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.Routes = []string{"<" + a.Target + ";lr>"}
			r.URI = b.Phone.Contact()
			r.To += "x"
			return r
		}, "", "480 BYE or 481 BYE"},
		{"a token changed", func(a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.URI = strings.Replace(r.URI, "sip:AQ", "sip:Ag", 1)
			return r
		}, "", "481 BYE"},
		{"from elsewhere", func(a, _ *siptest.Leg) *siptest.Request { return a.Within("BYE") }, "eve", "403 BYE"},
		{"INVITE from elsewhere", func(a, _ *siptest.Leg) *siptest.Request { return a.Within("INVITE") }, "eve", "403 INVITE"},
	}
	for _, tt := range tests {
		for _, callee := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, callee %t", tt.name, callee), func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T, h *house) {
					ana, ben, eve := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 66)
					caller, called := joined(t, h, ana, ben)
					a, b := ends(callee, caller, called)
					was := *a
					from := a.Phone
					if tt.from != "" {
						from = eve
					}
					before := h.lanes(t)
					from.Send(tt.make(a, b))
					if m := from.Next(t, time.Second); m == nil || !strings.Contains(tt.want, m.Word()) {
						t.Fatalf("%v, want %s", m, tt.want)
					}
					*a = was
					ana.Quiet(t, time.Second)
					ben.Quiet(t, time.Second)
					if n := h.lanes(t); n > before {
						t.Errorf("%d lanes, had %d", n, before)
					}
					over(t, a, b)
				})
			})
		}
	}
}

// TestUnknownExtension: what a request requires and we do not carry is refused
// with every method (RFC 3261 §8.2.2.3).
func TestUnknownExtension(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		a, b := joined(t, h, ana, ben)
		ana.Send(a.Within("INFO", "Require: x-new"))
		if res := ana.Wait(t, "420 INFO"); res.Header("Unsupported") != "x-new" {
			t.Errorf("420:\n%s", res.Raw)
		}
		ben.Quiet(t, time.Second)
		over(t, a, b)
	})
}

// TestStrangeWriting: compact forms, folded lines, bytes that are no UTF-8 and
// names that try to be more than names.
func TestStrangeWriting(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, put(directory.KindNumber, "1001", `{"user":"user1001","label":"Ana\" <sip:x@y>,"}`), noAnswer("1002", "1003"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		leg := ana.Call(t, "1002")
		inv := ben.Wait(t, "INVITE")
		ben.Reply(inv, siptest.Answer{Status: 486})
		ben.Wait(t, "ACK")
		leg.Refused(ana.Wait(t, "486 INVITE"))
		text := strings.Replace(string(leg.Text), "\r\nContent-Type:", "\r\nk: 100rel, \r\n timer\r\nSubject: \xff\xfe\r\nX-Folded: one\r\n\ttwo\r\nc:", 1)
		text = strings.Replace(text, leg.CallID, "another@x", 1)
		text = strings.Replace(text, "z9hG4bK", "z9hG4bKx", 1)
		text = strings.Replace(text, "From: <", "f: \"B\\\"en \xff\r\n X-Evil: 1\"\r\n <", 1)
		text = strings.Replace(text, "Contact: <", "m: \"x\r\n Y: z\" <", 1)
		ana.SendRaw([]byte(text), "INVITE")
		ana.Learn(t, ana.Wait(t, "407 INVITE")) // a nonce counts
		text = strings.Replace(text, "z9hG4bKx", "z9hG4bKy", 1)
		old := text[strings.Index(text, "Proxy-Authorization:"):]
		old, _, _ = strings.Cut(old, "\r\n")
		text = strings.Replace(text, old, ana.Credentials(t, "INVITE", leg.Target), 1)
		ana.SendRaw([]byte(text), "INVITE")
		inv = ben.Wait(t, "INVITE")
		if inv.Header("X-Evil") != "" || !strings.Contains(string(inv.Raw), "Subject: \xff\xfe\r\n") ||
			!strings.Contains(string(inv.Raw), "X-Folded: one\r\n\ttwo\r\n") || inv.Body() != siptest.SDP || !strings.Contains(string(inv.Raw), "100rel") {
			t.Errorf("INVITE:\n%s", inv.Raw)
		}
		ben.Reply(inv, siptest.Answer{Status: 600, Body: "busy", Lines: []string{"Content-Type: text/plain", "Warning: 399 x \"y\"", "Retry-After: 7", "X-Why: z"}})
		res := ana.Wait(t, "486 INVITE")
		if res.Header("Warning") == "" || res.Header("X-Why") != "z" || res.Body() != "busy" {
			t.Errorf("final:\n%s", res.Raw)
		}
	})
}

// TestLongNames: a Call-ID longer than any real one is refused, for we would have
// to remember it; what else is long only costs the restart (see store/journal).
func TestLongNames(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		leg := &siptest.Leg{Phone: ana, CallID: strings.Repeat("c", 300), Target: "sip:1002@" + domain, Local: "<" + ana.AOR() + ">;tag=x", Remote: "<sip:1002@" + domain + ">"}
		leg.SendInvite(t)
		leg.Refused(ana.Wait(t, "400 INVITE"))
		ben.Quiet(t, time.Second)
	})
}
