package sip_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// withSDP is an answer with a session description.
func withSDP(status int, lines ...string) siptest.Answer {
	return siptest.Answer{Status: status, Body: siptest.SDP, Lines: append(slices.Clone(lines), "Content-Type: application/sdp")}
}

// anchors makes the calls of a number anchored: it hides its caller id, and so
// nothing but that is changed on the way.
func anchors(number string) directory.Write {
	return put(directory.KindNumber, number, `{"user":"user`+number+`","caller_id":"hidden"}`)
}

// joined connects two phones by an anchored call, and empties their ladders.
func joined(t *testing.T, h *house, from, to *siptest.Phone, lines ...string) (caller, callee *siptest.Leg) {
	t.Helper()
	h.apply(t, anchors(from.Number))
	caller = from.Call(t, to.Number, lines...)
	inv := to.Wait(t, "INVITE")
	to.Reply(inv, siptest.Answer{Status: 180})
	from.Wait(t, "180 INVITE")
	to.Reply(inv, withSDP(200, lines...))
	to.Wait(t, "ACK")
	caller.Ack(from.Wait(t, "200 INVITE"))
	pass(0)
	from.Ladder, to.Ladder = nil, nil
	return caller, to.Answered(inv)
}

// over hangs up, and waits until that is done.
func over(t *testing.T, first, second *siptest.Leg) {
	t.Helper()
	first.Bye()
	bye := second.Phone.Wait(t, "BYE")
	second.Phone.Reply(bye, siptest.Answer{Status: 200})
	first.Phone.Wait(t, "200 BYE")
}

// ends returns the legs in the order of a row: who acts and who is acted on.
func ends(callee bool, a, b *siptest.Leg) (*siptest.Leg, *siptest.Leg) {
	if callee {
		return b, a
	}
	return a, b
}

// TestAnchoredLegs looks at what each end sees of a call.
func TestAnchoredLegs(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		leg := ana.Call(t, "1002", "X-Mine: kept", "Supported: 100rel, replaces, timer, norefersub", "P-Asserted-Identity: <sip:boss@bellhop.test>",
			"Route: <sip:"+server+";lr>", "Subject: this is ours", "Record-Route: <sip:192.0.2.11;lr>", "User-Agent: a phone")
		inv := ben.Wait(t, "INVITE")
		if inv.CallID() == leg.CallID || strings.Contains(string(inv.Raw), leg.CallID) || strings.Contains(string(inv.Raw), "192.0.2.11") ||
			strings.Contains(string(inv.Raw), "desk-1001") {
			t.Errorf("the callee learns of the caller:\n%s", inv.Raw)
		}
		if from := inv.Header("From"); !strings.HasPrefix(from, `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=`) {
			t.Errorf("From = %s", from)
		}
		want := map[string]string{
			"To": "<sip:1002@bellhop.test>", "Max-Forwards": "69", "X-Mine": "kept", "Subject": "this is ours", "P-Asserted-Identity": "", "Route": "",
			"Record-Route": "", "Proxy-Authorization": "", "Privacy": "id", "User-Agent": "a phone", "Replaces": "", "CSeq": "1 INVITE",
		}
		for name, value := range want {
			if got := inv.Header(name); got != value {
				t.Errorf("%s = %q, want %q", name, got, value)
			}
		}
		if got := strings.Join(inv.Headers("Supported"), ","); !strings.Contains(got, "100rel") || !strings.Contains(got, "timer") ||
			strings.Contains(got, "replaces") || strings.Contains(got, "norefersub") {
			t.Errorf("Supported = %q", got)
		}
		if len(inv.Headers("Via")) != 1 || !strings.HasPrefix(inv.Contact(), "sip:") || !strings.HasSuffix(inv.Contact(), "@"+server) || inv.Body() != siptest.SDP {
			t.Errorf("INVITE as sent:\n%s", inv.Raw)
		}
		if user, _, _ := strings.Cut(strings.TrimPrefix(inv.Contact(), "sip:"), "@"); len(user) > 64 || len(user) < 20 {
			t.Errorf("the token is %q", user)
		}
		ben.Reply(inv, siptest.Answer{Status: 180, Lines: []string{"X-Theirs: kept"}})
		res := ana.Wait(t, "180 INVITE")
		if res.Header("X-Theirs") != "kept" || len(res.Headers("Via")) != 1 || res.CallID() != leg.CallID || res.Contact() == ben.Contact() ||
			!slices.Equal(res.Routes(), []string{"<sip:192.0.2.11;lr>"}) || res.ToTag() == "" || strings.Contains(string(res.Raw), inv.CallID()) {
			t.Errorf("180 as passed on:\n%s", res.Raw)
		}
		ben.Reply(inv, withSDP(200))
		ack := ben.Wait(t, "ACK")
		if ack.URI() != ben.Contact() || ack.ToTag() != ben.Tag(inv.CallID()) || ack.CSeq() != 1 || ack.Body() != "" {
			t.Errorf("ACK as sent:\n%s", ack.Raw)
		}
		ok := ana.Wait(t, "200 INVITE")
		if ok.ToTag() != res.ToTag() || ok.Contact() != res.Contact() || ok.Body() != siptest.SDP {
			t.Errorf("200 as passed on:\n%s", ok.Raw)
		}
		leg.Ack(ok)
		callee := ben.Answered(inv)
		over(t, leg, callee)
		c := h.record(t)
		if len(c.Legs) != 2 || !c.Legs[0].Caller || c.Legs[0].Device != "desk-1001" || c.Legs[1].Device != "desk-1002" || c.Legs[1].Identity != "anonymous" ||
			c.Legs[1].Status != 200 || c.Legs[1].AnsweredAt.IsZero() || c.Legs[1].Dialog != nil {
			t.Errorf("legs = %+v", c.Legs)
		}
	})
}

// TestWithinAnchored sends requests within a call, from either end.
func TestWithinAnchored(t *testing.T) {
	t.Parallel()
	for _, callee := range []bool{false, true} {
		tests := []struct {
			name   string
			script func(t *testing.T, h *house, a, b *siptest.Leg)
		}{
			{"INFO, MESSAGE, and what nobody knows", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				for _, method := range []string{"INFO", "MESSAGE", "WHATEVER"} {
					r := a.Within(method, "Content-Type: application/dtmf-relay", "X-Mine: kept")
					r.Body = "Signal=5"
					a.Phone.Send(r)
					got := b.Phone.Wait(t, method)
					if got.Body() != r.Body || got.Header("X-Mine") != "kept" || got.CallID() != b.CallID || got.URI() != b.Phone.Contact() {
						t.Errorf("%s as passed on:\n%s", method, got.Raw)
					}
					b.Phone.Reply(got, siptest.Answer{Status: 488, Lines: []string{"Warning: 304 x \"y\""}})
					if res := a.Phone.Wait(t, "488 "+method); res.Header("Warning") == "" {
						t.Errorf("488 as passed on:\n%s", res.Raw)
					}
				}
			}},
			{"OPTIONS", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.Phone.Send(a.Within("OPTIONS"))
				b.Phone.Reply(b.Phone.Wait(t, "OPTIONS"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 OPTIONS")
			}},
			{"re-INVITE moves the target", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				r := a.Within("INVITE", "Content-Type: application/sdp")
				r.Body, r.Contact = siptest.SDP, "<sip:elsewhere@"+a.Phone.Addr.String()+">"
				a.Phone.Send(r)
				a.Invite = *r
				got := b.Phone.Wait(t, "INVITE")
				if got.ToTag() == "" || got.Body() != siptest.SDP || strings.Contains(got.Contact(), "elsewhere") {
					t.Errorf("re-INVITE as passed on:\n%s", got.Raw)
				}
				b.Phone.Reply(got, withSDP(200))
				b.Phone.Wait(t, "ACK")
				a.Ack(a.Phone.Wait(t, "200 INVITE"))
				b.Phone.Send(b.Within("INFO"))
				if got := a.Phone.Wait(t, "INFO"); got.URI() != "sip:elsewhere@"+a.Phone.Addr.String() {
					t.Errorf("INFO goes to %s", got.URI())
				} else {
					a.Phone.Reply(got, siptest.Answer{Status: 200})
				}
				b.Phone.Wait(t, "200 INFO")
			}},
			{"UPDATE", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				r := a.Within("UPDATE", "Content-Type: application/sdp")
				r.Body = siptest.SDP
				a.Phone.Send(r)
				got := b.Phone.Wait(t, "UPDATE")
				b.Phone.Reply(got, withSDP(200))
				if res := a.Phone.Wait(t, "200 UPDATE"); res.Body() != siptest.SDP || res.Contact() == b.Phone.Contact() {
					t.Errorf("200 as passed on:\n%s", res.Raw)
				}
			}},
			{"a re-INVITE that is refused", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				r := a.Within("INVITE", "Content-Type: application/sdp")
				r.Body = siptest.SDP
				a.Phone.Send(r)
				a.Invite = *r
				b.Phone.Reply(b.Phone.Wait(t, "INVITE"), siptest.Answer{Status: 488})
				b.Phone.Wait(t, "ACK")
				a.Refused(a.Phone.Wait(t, "488 INVITE"))
			}},
			{"a re-INVITE that is cancelled", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				r := a.Within("INVITE", "Content-Type: application/sdp")
				r.Body = siptest.SDP
				a.Phone.Send(r)
				a.Invite = *r
				inv := b.Phone.Wait(t, "INVITE")
				b.Phone.Reply(inv, siptest.Answer{Status: 183})
				a.Phone.Wait(t, "183 INVITE")
				a.Cancel()
				a.Phone.Wait(t, "200 CANCEL")
				b.Phone.Reply(b.Phone.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
				b.Phone.Reply(inv, siptest.Answer{Status: 487})
				b.Phone.Wait(t, "ACK")
				a.Refused(a.Phone.Wait(t, "487 INVITE"))
			}},
			{"glare", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				r := a.Within("INVITE", "Content-Type: application/sdp")
				r.Body = siptest.SDP
				a.Phone.Send(r)
				a.Invite = *r
				inv := b.Phone.Wait(t, "INVITE")
				s := b.Within("INVITE", "Content-Type: application/sdp")
				s.Body = siptest.SDP
				b.Phone.Send(s)
				b.Invite = *s
				b.Refused(b.Phone.Wait(t, "491 INVITE"))
				b.Phone.Reply(inv, withSDP(200))
				b.Phone.Wait(t, "ACK")
				a.Ack(a.Phone.Wait(t, "200 INVITE"))
			}},
			{"an offer in the 2xx, its answer in the ACK", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				r := a.Within("INVITE")
				a.Phone.Send(r)
				a.Invite = *r
				inv := b.Phone.Wait(t, "INVITE")
				if inv.Body() != "" {
					t.Errorf("body %q", inv.Body())
				}
				b.Phone.Reply(inv, withSDP(200))
				ok := a.Phone.Wait(t, "200 INVITE")
				b.Phone.Quiet(t, 100*time.Millisecond)
				a.Phone.Send(&siptest.Request{
					Method: "ACK", URI: a.Target, From: a.Local, To: a.Remote, CallID: a.CallID, CSeq: ok.CSeq(),
					Lines: []string{"Content-Type: application/sdp"}, Body: siptest.SDP,
				})
				if ack := b.Phone.Wait(t, "ACK"); ack.Body() != siptest.SDP {
					t.Errorf("ACK as passed on:\n%s", ack.Raw)
				}
			}},
			{"REFER is declined", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.Phone.Send(a.Within("REFER", "Refer-To: <sip:1003@bellhop.test>"))
				a.Phone.Wait(t, "603 REFER")
				b.Phone.Quiet(t, time.Second)
			}},
			{"an extension that nobody carries", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				r := a.Within("INVITE", "Require: gruu, x-new")
				a.Phone.Send(r)
				a.Invite = *r
				res := a.Phone.Wait(t, "420 INVITE")
				if got := res.Headers("Unsupported"); !slices.Equal(got, []string{"gruu", "x-new"}) {
					t.Errorf("Unsupported = %q", got)
				}
				a.Refused(res)
				b.Phone.Quiet(t, time.Second)
			}},
			{"a CSeq that falls", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.CSeq += 10
				a.Phone.Send(a.Within("INFO"))
				b.Phone.Reply(b.Phone.Wait(t, "INFO"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 INFO")
				a.CSeq -= 5
				a.Phone.Send(a.Within("INFO"))
				a.Phone.Wait(t, "500 INFO")
				a.CSeq += 10
			}},
			{"a stranger who knows the dialog", func(t *testing.T, h *house, a, b *siptest.Leg) {
				t.Helper()
				eve := h.phone("desk-1006", 66)
				r := a.Within("BYE")
				eve.Send(r)
				eve.Wait(t, "403 BYE")
				r.Via, r.URI = "", "sip:"+server
				r.Branch = ""
				a.Phone.Send(r) // without our token
				a.Phone.Wait(t, "481 BYE")
				b.Phone.Quiet(t, time.Second)
			}},
			{"the end moved", func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				b.Phone.Move(netip.MustParseAddrPort("192.0.2.77:5070"))
				b.Phone.Register(t, siptest.Registration{})
				a.Phone.Send(a.Within("INFO"))
				b.Phone.Reply(b.Phone.Wait(t, "INFO"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 INFO")
			}},
			{"BYE is answered at once, whatever the other end does", func(t *testing.T, h *house, a, b *siptest.Leg) {
				t.Helper()
				a.Bye()
				a.Phone.Wait(t, "200 BYE")
				if n := h.store.Calls.Len(); n != 0 {
					t.Errorf("%d live calls", n)
				}
				b.Phone.Wait(t, "BYE")
				b.Phone.Wait(t, "BYE") // repeated
				b.Phone.Close()
			}},
		}
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, callee %t", tt.name, callee), func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T, h *house) {
					ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
					caller, called := joined(t, h, ana, ben)
					a, b := ends(callee, caller, called)
					tt.script(t, h, a, b)
					if strings.HasPrefix(tt.name, "BYE") {
						return
					}
					over(t, a, b)
				})
			})
		}
	}
}
