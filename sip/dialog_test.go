package sip_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/sip"
	"bellhop/sip/siptest"
)

func TestCancelBeforeTheDecision(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.World = slowWorld{o.World} })
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		call := ana.Call(t, "1002")
		call.Cancel()
		ana.Wait(t, "200 CANCEL")
		ana.Wait(t, "100 INVITE")
		call.Refused(ana.Wait(t, "487 INVITE"))
		pass(time.Minute)
		ana.Saw(t, "> INVITE", "> CANCEL", "< 200 CANCEL", "< 100 INVITE", "< 487 INVITE", "> ACK")
		ben.Saw(t)
		h.sane(t)
	})
}

// TestMessagesThatCross plays what a network does to a call that talks: the
// ladders begin with the call established.
func TestMessagesThatCross(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		script   func(t *testing.T, h *house, a, b *siptest.Leg)
		ana, ben string
	}{
		{
			name: "BYE crosses BYE",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.Bye()
				b.Bye()
				toBen, toAna := b.Phone.Wait(t, "BYE"), a.Phone.Wait(t, "BYE")
				b.Phone.Reply(toBen, siptest.Answer{Status: 200})
				a.Phone.Reply(toAna, siptest.Answer{Status: 481})
				a.Phone.Wait(t, "200 BYE")
				b.Phone.Wait(t, "481 BYE")
			},
			ana: "> BYE, < BYE, > 481 BYE, < 200 BYE", ben: "> BYE, < BYE, > 200 BYE, < 481 BYE",
		},
		{
			name: "BYE again, before and after its answer",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				bye := a.Bye()
				a.Phone.SendRaw(bye, "BYE")
				in := b.Phone.Wait(t, "BYE")
				b.Phone.Reply(in, siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 BYE")
				a.Phone.SendRaw(bye, "BYE")
				a.Phone.Wait(t, "200 BYE") // absorbed, answered from memory
			},
			ana: "> BYE, > BYE, < 200 BYE, > BYE, < 200 BYE", ben: "< BYE, > 200 BYE",
		},
		{
			name: "BYE is sent again until it is answered",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.Bye()
				b.Phone.Wait(t, "BYE")
				b.Phone.Wait(t, "BYE")
				b.Phone.Reply(b.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 BYE")
			},
			ana: "> BYE, < 200 BYE", ben: "< BYE, < BYE, < BYE, > 200 BYE",
		},
		{
			name: "BYE to a callee that is gone",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.Bye() // RFC 4320 §4.2: no 408, the caller's time is over by itself
				pass(33 * time.Second)
				_ = b
			},
			ana: "> BYE", ben: strings.TrimSuffix(strings.Repeat("< BYE, ", 11), ", "),
		},
		{
			name: "the 200 again, and its ACK",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				ok := b.Phone.Reply(b.Got, siptest.Answer{Status: 200, Body: siptest.SDP})
				a.Ack(a.Phone.Wait(t, "200 INVITE"))
				b.Phone.Wait(t, "ACK")
				pass(20 * time.Second)
				b.Phone.SendRaw(ok, "200 INVITE")
				a.Ack(a.Phone.Wait(t, "200 INVITE"))
				b.Phone.Wait(t, "ACK")
				b.Bye()
				a.Phone.Reply(a.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				b.Phone.Wait(t, "200 BYE")
			},
			ana: "< 200 INVITE, > ACK, < 200 INVITE, > ACK, < BYE, > 200 BYE", ben: "> 200 INVITE, < ACK, > 200 INVITE, < ACK, > BYE, < 200 BYE",
		},
		{
			name: "the INVITE again, after its 200: swallowed", // RFC 6026 §7.1
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.Again()
				b.Phone.Quiet(t, time.Second)
				a.Bye()
				b.Phone.Reply(b.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 BYE")
			},
			ana: "> INVITE, > BYE, < 200 BYE", ben: "< BYE, > 200 BYE",
		},
		{
			name: "re-INVITE, refused and accepted, and INFO",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				re := b.Within("INVITE")
				re.Body = siptest.SDP
				b.Phone.Send(re)
				in := a.Phone.Wait(t, "INVITE")
				if in.URI() != a.Phone.Contact() || len(in.Routes()) != 0 || in.Header("Max-Forwards") != "69" {
					t.Errorf("re-INVITE as forwarded:\n%s", in.Raw)
				}
				a.Phone.Reply(in, siptest.Answer{Status: 491})
				a.Phone.Wait(t, "ACK")
				res := b.Phone.Wait(t, "491 INVITE")
				leg := *b
				leg.Invite = *re
				leg.Refused(res)
				b.Phone.Send(b.Within("INVITE"))
				a.Phone.Reply(a.Phone.Wait(t, "INVITE"), siptest.Answer{Status: 200})
				b.Ack(b.Phone.Wait(t, "200 INVITE"))
				a.Phone.Wait(t, "ACK")
				info := a.Within("INFO", "Content-Type: application/dtmf-relay")
				info.Body = "Signal=1\r\n"
				a.Phone.Send(info)
				got := b.Phone.Wait(t, "INFO")
				if got.Body() != info.Body {
					t.Errorf("INFO as forwarded:\n%s", got.Raw)
				}
				b.Phone.Reply(got, siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 INFO")
				a.Bye()
				b.Phone.Reply(b.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 BYE")
			},
			ana: "< INVITE, > 491 INVITE, < ACK, < INVITE, > 200 INVITE, < ACK, > INFO, < 200 INFO, > BYE, < 200 BYE",
			ben: "> INVITE, < 491 INVITE, > ACK, > INVITE, < 200 INVITE, > ACK, < INFO, > 200 INFO, < BYE, > 200 BYE",
		},
		{
			name: "behind a strict router", // RFC 3261 §16.4
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				bye := a.Within("BYE")
				bye.URI, bye.Routes = strings.TrimSuffix(strings.Trim(a.Routes[0], "<>"), ";lr"), []string{"<" + a.Target + ">"}
				a.Phone.Send(bye)
				in := b.Phone.Wait(t, "BYE")
				if in.URI() != b.Phone.Contact() || len(in.Headers("Route")) != 0 {
					t.Errorf("BYE as forwarded:\n%s", in.Raw)
				}
				b.Phone.Reply(in, siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 BYE")
			},
			ana: "> BYE, < 200 BYE", ben: "< BYE, > 200 BYE",
		},
		{
			name: "the caller registers at another port: BYE goes there",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.Phone.Move(netip.AddrPortFrom(a.Phone.Addr.Addr(), 5099))
				a.Phone.Register(t, siptest.Registration{})
				a.Phone.Ladder = nil
				b.Bye()
				a.Phone.Reply(a.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				b.Phone.Wait(t, "200 BYE")
			},
			ana: "< BYE, > 200 BYE", ben: "> BYE, < 200 BYE",
		},
		{
			name: "the callee registers from another address: BYE goes there, and may come from there",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				b.Phone.Move(netip.MustParseAddrPort("192.0.2.77:5070"))
				b.Phone.Register(t, siptest.Registration{})
				b.Phone.Ladder = nil
				b.Phone.Send(b.Within("INFO"))
				a.Phone.Reply(a.Phone.Wait(t, "INFO"), siptest.Answer{Status: 200})
				b.Phone.Wait(t, "200 INFO")
				a.Bye()
				b.Phone.Reply(b.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 BYE")
			},
			ana: "< INFO, > 200 INFO, > BYE, < 200 BYE", ben: "> INFO, < 200 INFO, < BYE, > 200 BYE",
		},
		{
			name: "the callee's NAT gives it another port: BYE goes there",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				contact := "<" + b.Phone.Contact() + ">"
				b.Phone.Move(netip.AddrPortFrom(b.Phone.Addr.Addr(), 61234))
				b.Phone.Register(t, siptest.Registration{Contacts: []string{contact}})
				b.Phone.Ladder = nil
				a.Bye()
				b.Phone.Reply(b.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 BYE")
			},
			ana: "> BYE, < 200 BYE", ben: "< BYE, > 200 BYE",
		},
		{
			name: "the callee unregistered: BYE goes to where it answered, and comes from there",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				if res := b.Phone.Register(t, siptest.Registration{Contacts: []string{"*"}, Expires: "0"}); res.Status() != 200 || res.Contact() != "" {
					t.Errorf("unregister:\n%s", res.Raw)
				}
				b.Phone.Ladder = nil
				b.Phone.Send(b.Within("INFO"))
				a.Phone.Reply(a.Phone.Wait(t, "INFO"), siptest.Answer{Status: 200})
				b.Phone.Wait(t, "200 INFO")
				a.Bye()
				b.Phone.Reply(b.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				a.Phone.Wait(t, "200 BYE")
			},
			ana: "< INFO, > 200 INFO, > BYE, < 200 BYE", ben: "> INFO, < 200 INFO, < BYE, > 200 BYE",
		},
		{
			name: "the caller unregistered: BYE goes to where it called from",
			script: func(t *testing.T, _ *house, a, b *siptest.Leg) {
				t.Helper()
				a.Phone.Register(t, siptest.Registration{Contacts: []string{"*"}, Expires: "0"})
				a.Phone.Ladder = nil
				b.Bye()
				a.Phone.Reply(a.Phone.Wait(t, "BYE"), siptest.Answer{Status: 200})
				b.Phone.Wait(t, "200 BYE")
			},
			ana: "< BYE, > 200 BYE", ben: "> BYE, < 200 BYE",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				a, b := talk(t, ana, ben)
				tt.script(t, h, a, b)
				pass(40 * time.Second)
				ana.Saw(t, strings.Split(tt.ana, ", ")...)
				ben.Saw(t, strings.Split(tt.ben, ", ")...)
				if n := h.store.Calls.Len(); n != 0 {
					t.Errorf("%d live calls, want none", n)
				}
				if c := h.record(t); c.Outcome != "answered" {
					t.Errorf("record %+v", c)
				}
			})
		})
	}
}

func TestAckAndByeTogether(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"ACK", "BYE"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				call := ana.Call(t, "1002")
				inv := ben.Wait(t, "INVITE")
				ben.Reply(inv, siptest.Answer{Status: 200})
				ok := ana.Wait(t, "200 INVITE")
				want := []string{"< INVITE", "> 200 INVITE", "< ACK", "< BYE", "> 200 BYE"}
				if first == "ACK" {
					call.Ack(ok)
					call.Bye()
				} else {
					call.Took(ok)
					call.Bye()
					call.Ack(ok)
					want[2], want[3] = want[3], want[2]
				}
				a, b := ben.Wait(t, strings.TrimPrefix(want[2], "< ")), ben.Wait(t, strings.TrimPrefix(want[3], "< "))
				if first == "BYE" {
					b = a
				}
				ben.Reply(b, siptest.Answer{Status: 200})
				ana.Wait(t, "200 BYE")
				ben.Saw(t, want...)
			})
		})
	}
}

func TestInviteAgain(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		call := ana.Call(t, "1002")
		call.Again() // nothing was answered yet: swallowed
		first := ben.Wait(t, "INVITE")
		ana.Wait(t, "100 INVITE")
		call.Again()
		ana.Wait(t, "100 INVITE") // RFC 3261 §17.2.1: the last provisional response
		second := ben.Wait(t, "INVITE")
		if string(first.Raw) != string(second.Raw) {
			t.Errorf("retransmission differs:\n%s\n%s", first.Raw, second.Raw)
		}
		ben.Reply(first, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		call.Again()
		ana.Wait(t, "180 INVITE")
		busy := ben.Reply(first, siptest.Answer{Status: 486})
		ben.Wait(t, "ACK")
		ben.SendRaw(busy, "486 INVITE") // the ACK was lost
		ben.Wait(t, "ACK")
		ana.Wait(t, "486 INVITE")
		res := ana.Wait(t, "486 INVITE") // Timer G
		call.Refused(res)
		call.Refused(res)
		pass(10 * time.Second)
		ana.Saw(t, "> INVITE", "> INVITE", "< 100 INVITE", "> INVITE", "< 100 INVITE", "< 180 INVITE", "> INVITE", "< 180 INVITE",
			"< 486 INVITE", "< 486 INVITE", "> ACK", "> ACK")
		ben.Saw(t, "< INVITE", "< INVITE", "> 180 INVITE", "> 486 INVITE", "< ACK", "> 486 INVITE", "< ACK")
	})
}

// TestTokens plays attacks with the Record-Route of a call (trust.md §1).
func TestTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// evil makes a request within the dialog of a and b; zoe is a registered
		// device that is no part of it.
		evil   func(zoe *siptest.Phone, a, b *siptest.Leg) *siptest.Request
		status string
	}{
		{"a third device, as the caller", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request { return a.Within("BYE") }, "403 BYE"},
		{"a third device, as the callee", func(_ *siptest.Phone, _, b *siptest.Leg) *siptest.Request { return b.Within("BYE") }, "403 BYE"},
		{"a token that was changed", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			flip := []byte(r.Routes[0])
			if i := len("<sip:") + 20; flip[i] == 'A' {
				flip[i] = 'B'
			} else {
				flip[i] = 'A'
			}
			r.Routes[0] = string(flip)
			return r
		}, "481 BYE"},
		{"a token under another Call-ID", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.CallID = "other"
			return r
		}, "481 BYE"},
		{"a token under another tag", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.From += "x"
			return r
		}, "481 BYE"},
		{"no token", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.Routes = nil
			return r
		}, "481 BYE"},
		{"somebody else's Route", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.Routes = []string{"<sip:192.0.2.66;lr>"}
			return r
		}, "481 BYE"},
		{"our Route without a token", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.Routes = []string{"<sip:192.0.2.1:5060;lr>"}
			return r
		}, "481 BYE"},
		{"no domain of ours", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request {
			r := a.Within("BYE")
			r.From, r.To = "<sip:a@else.test>;tag=1", "<sip:b@else.test>;tag=2"
			return r
		}, "481 BYE"},
		{"an INVITE", func(_ *siptest.Phone, a, _ *siptest.Leg) *siptest.Request { return a.Within("INVITE") }, "403 INVITE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben, zoe := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
				a, b := talk(t, ana, ben)
				pass(40 * time.Second)
				before := h.lanes(t)
				evil := tt.evil(zoe, a, b)
				evil.Routes = slices.Clone(evil.Routes)
				sent := zoe.Send(evil)
				res := zoe.Wait(t, tt.status)
				if len(res.Raw) > 2*len(sent) {
					t.Errorf("%d bytes answer %d", len(res.Raw), len(sent))
				}
				if n := h.lanes(t); n != before {
					t.Errorf("%d lanes after, %d before", n, before)
				}
				evil.Method, evil.Branch, evil.Via = "ACK", "", "" // is dropped
				zoe.Send(evil)
				ana.Quiet(t, time.Second)
				ben.Quiet(t, time.Second)
				zoe.Quiet(t, time.Second)
				a.CSeq = 50
				a.Bye() // the call is as it was
				ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
				ana.Wait(t, "200 BYE")
			})
		})
	}
}

// TestOwnWayBack shows that an end cannot reach itself with its token: the
// direction follows from the tags, not from what the sender likes.
func TestOwnWayBack(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		a, b := talk(t, ana, ben)
		r := a.Within("BYE")
		r.From, r.To = b.Local, b.Remote // ana says that she is ben
		ana.Send(r)
		ana.Wait(t, "403 BYE")
		b.Bye()
		ana.Reply(ana.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ben.Wait(t, "200 BYE")
	})
}
