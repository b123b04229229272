package sip_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// outside lets 1001 call by trunks, and gives 1002 a public number and a user
// with a mobile phone.
func outside() []directory.Write {
	return []directory.Write{
		put(directory.KindClass, "all", `{"rules":[{"allow":"internal"},{"allow":"national"},{"allow":"mobile"}]}`),
		put(directory.KindNumber, "1001", `{"user":"user1001","public":"+498970071001","class_of_service":"all","forwarding_class":"all","label":"Ana"}`),
		put(directory.KindNumber, "1002", `{"user":"user1002","public":"+498970071002","forwarding_class":"all"}`),
	}
}

const mobile = "+49171123456"

// carrierAt puts a peer into the network.
func (h *house) carrierAt(host int) *siptest.Phone {
	return siptest.NewPhone(h.net, siptest.Line{
		Device: "carrier", Number: "+49301234", Domain: "carrier.example",
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), 5060), Server: netip.MustParseAddrPort(server),
	})
}

const twoPeers = `{"proof":"address","health":"off","peers":["192.0.2.50","192.0.2.51"],"spoofable":"accepted","routes":[{"prefix":"+49"}]}`

func TestOutByTrunk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		doc    string
		script func(t *testing.T, x *cast)
	}{
		{"answered", twoPeers, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c1.Wait(t, "INVITE")
			if inv.URI() != "sip:"+mobile+"@192.0.2.50" || !strings.HasPrefix(inv.Header("To"), "<sip:"+mobile+"@192.0.2.50") ||
				!strings.HasPrefix(inv.Header("From"), `"Ana" <sip:+498970071001@bellhop.test>`) ||
				inv.Header("P-Asserted-Identity") != "<sip:+498970071001@bellhop.test>" || inv.Header("Call-Info") != "" {
				t.Errorf("INVITE to the carrier:\n%s", inv.Raw)
			}
			x.c1.Reply(inv, withSDP(183))
			if res := x.ana.Wait(t, "183 INVITE"); res.Body() != siptest.SDP {
				t.Errorf("183 as passed on:\n%s", res.Raw)
			}
			x.c1.Reply(inv, withSDP(200))
			x.c1.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			callee := x.c1.Answered(inv)
			over(t, callee, x.leg)
			if c := x.h.record(t); c.Legs[1].Trunk != "carrier" || c.Legs[1].Number != mobile || c.Legs[1].Identity == "" {
				t.Errorf("leg %+v", c.Legs[1])
			}
			if s, _ := x.h.server.Trunks().Status(domain, "carrier"); s.Calls != 0 {
				t.Errorf("%d calls are left on the trunk", s.Calls)
			}
		}},
		{"it ends after four hours", twoPeers, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c1.Wait(t, "INVITE")
			x.c1.Reply(inv, withSDP(200))
			x.c1.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			start := time.Now()
			x.ana.Patience, x.c1.Patience = 5*time.Hour, 5*time.Hour
			for range 4 { // they are asked whether they are there
				for _, p := range []*siptest.Phone{x.ana, x.c1} {
					p.Reply(p.Wait(t, "OPTIONS"), siptest.Answer{Status: 200})
				}
			}
			for _, p := range []*siptest.Phone{x.ana, x.c1} {
				p.Reply(p.Wait(t, "BYE"), siptest.Answer{Status: 200})
			}
			if d := time.Since(start).Round(time.Minute); d != 4*time.Hour {
				t.Errorf("BYE after %v", d)
			}
		}},
		{"503 fails over at once", twoPeers, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c1.Wait(t, "INVITE")
			start := time.Now()
			x.c1.Reply(inv, siptest.Answer{Status: 503, Lines: []string{"Retry-After: 60"}})
			x.c1.Wait(t, "ACK")
			again := x.c2.Wait(t, "INVITE")
			if d := time.Since(start); d > time.Second {
				t.Errorf("failed over after %v", d)
			}
			if again.CallID() != inv.CallID() || again.CSeq() <= inv.CSeq() || again.URI() != "sip:"+mobile+"@192.0.2.51" {
				t.Errorf("second INVITE:\n%s", again.Raw)
			}
			x.c2.Reply(again, siptest.Answer{Status: 486})
			x.c2.Wait(t, "ACK")
			x.leg.Refused(x.ana.Wait(t, "486 INVITE"))
			next := x.ana.Call(t, mobile) // the first peer rests
			inv = x.c2.Wait(t, "INVITE")
			x.c2.Reply(inv, siptest.Answer{Status: 486})
			x.c2.Wait(t, "ACK")
			next.Refused(x.ana.Wait(t, "486 INVITE"))
			x.c1.Quiet(t, time.Second)
		}},
		{"no response at all", twoPeers, func(t *testing.T, x *cast) {
			t.Helper()
			start := time.Now()
			late := x.c1.Wait(t, "INVITE")
			inv := x.c2.Wait(t, "INVITE")
			if d := time.Since(start); d < 4*time.Second || d > 4200*time.Millisecond {
				t.Errorf("failed over after %v, want 4 s", d)
			}
			x.c2.Reply(inv, withSDP(200))
			x.c2.Wait(t, "ACK")
			x.ana.Wait(t, "100 INVITE")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			for m := x.c1.Next(t, 0); m != nil; m = x.c1.Next(t, 0) { // repeated
			}
			x.c1.Reply(late, withSDP(200)) // nobody takes it
			x.c1.Wait(t, "ACK")
			bye := x.c1.Wait(t, "BYE")
			x.c1.Reply(bye, siptest.Answer{Status: 200})
			x.c1.Reply(late, withSDP(200))
			x.c1.Wait(t, "ACK")
			x.c1.Quiet(t, time.Second)
			over(t, x.leg, x.c2.Answered(inv))
		}},
		{"what rings is not left", twoPeers, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c1.Wait(t, "INVITE")
			x.c1.Reply(inv, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			x.c1.Reply(inv, siptest.Answer{Status: 503})
			x.c1.Wait(t, "ACK")
			x.leg.Refused(x.ana.Wait(t, "480 INVITE"))
			x.c2.Quiet(t, time.Second)
		}},
		{"every peer fails", twoPeers, func(t *testing.T, x *cast) {
			t.Helper()
			for _, c := range []*siptest.Phone{x.c1, x.c2} {
				c.Reply(c.Wait(t, "INVITE"), siptest.Answer{Status: 500})
				c.Wait(t, "ACK")
			}
			res := x.ana.Next(t, time.Second)
			x.leg.Refused(res)
			if res.Status() != 500 && res.Status() != 480 {
				t.Errorf("the caller got %s", res.Word())
			}
		}},
		{"given up before any response", twoPeers, func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c1.Wait(t, "INVITE")
			x.leg.Cancel()
			x.ana.Wait(t, "200 CANCEL")
			pass(100 * time.Millisecond)
			x.c1.Reply(inv, siptest.Answer{Status: 100, Tag: "-"})
			x.c1.Reply(x.c1.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			x.c1.Reply(inv, siptest.Answer{Status: 487})
			x.c1.Wait(t, "ACK")
			x.leg.Refused(x.ana.Wait(t, "487 INVITE"))
			x.c2.Quiet(t, 10*time.Second)
		}},
		{"a carrier that challenges", byDigest[:len(byDigest)-1] + `,"routes":[{"prefix":"+49"}]}`, func(t *testing.T, x *cast) {
			t.Helper()
			challenge := siptest.Answer{Status: 407, Lines: []string{`Proxy-Authenticate: Digest realm="carrier.example", nonce="abc", algorithm=MD5, qop="auth"`}}
			inv := x.c1.Wait(t, "INVITE")
			x.c1.Reply(inv, challenge)
			x.c1.Wait(t, "ACK")
			again := x.c1.Wait(t, "INVITE")
			if again.CallID() != inv.CallID() || again.CSeq() != inv.CSeq()+1 || !strings.Contains(again.Header("Proxy-Authorization"), `username="house"`) {
				t.Errorf("INVITE with credentials:\n%s", again.Raw)
			}
			x.c1.Reply(again, withSDP(200))
			if ack := x.c1.Wait(t, "ACK"); ack.Header("Proxy-Authorization") != again.Header("Proxy-Authorization") {
				t.Errorf("ACK:\n%s", ack.Raw)
			}
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			x.leg.Bye()
			bye := x.c1.Wait(t, "BYE")
			x.ana.Wait(t, "200 BYE")
			x.c1.Reply(bye, challenge)
			if bye = x.c1.Wait(t, "BYE"); bye.Header("Proxy-Authorization") == "" {
				t.Errorf("BYE:\n%s", bye.Raw)
			}
			x.c1.Reply(bye, siptest.Answer{Status: 200})
		}},
		{"a carrier that challenges for ever", byDigest[:len(byDigest)-1] + `,"routes":[{"prefix":"+49"}]}`, func(t *testing.T, x *cast) {
			t.Helper()
			for i := range 2 {
				inv := x.c1.Wait(t, "INVITE")
				x.c1.Reply(inv, siptest.Answer{Status: 401, Lines: []string{fmt.Sprintf(`WWW-Authenticate: Digest realm="carrier.example", nonce="n%d", algorithm=MD5`, i)}})
				x.c1.Wait(t, "ACK")
			}
			x.leg.Refused(x.ana.Wait(t, "403 INVITE"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTrunk(t, tt.doc, func(t *testing.T, h *house, c1 *siptest.Phone) {
				h.apply(t, outside()...)
				c2, ana := h.carrierAt(51), h.registered(t, "desk-1001", 11)
				tt.script(t, &cast{h: h, ana: ana, c1: c1, c2: c2, leg: ana.Call(t, mobile, "Call-Info: <http://x.test/y>")})
				h.sane(t)
			})
		})
	}
}

// TestInByTrunk calls a number from outside.
func TestInByTrunk(t *testing.T) {
	t.Parallel()
	for _, trusted := range []bool{false, true} {
		t.Run(fmt.Sprintf("trusted %t", trusted), func(t *testing.T) {
			t.Parallel()
			inTrunk(t, byAddress+fmt.Sprintf(`,"trusted":%t}`, trusted), func(t *testing.T, h *house, c *siptest.Phone) {
				h.apply(t, outside()...)
				ben := h.registered(t, "desk-1002", 12)
				c.Domain = "192.0.2.1"
				leg := c.Call(t, "+498970071002", "P-Asserted-Identity: <sip:+49301234@carrier.example>", "Alert-Info: <http://x.test>", "Diversion: <sip:+4930999@x.test>")
				inv := ben.Wait(t, "INVITE")
				if kept := inv.Header("P-Asserted-Identity") != ""; kept != trusted || inv.Header("Alert-Info") != "" || (inv.Header("Diversion") != "") != trusted {
					t.Errorf("INVITE to the phone:\n%s", inv.Raw)
				}
				ben.Reply(inv, withSDP(200))
				ben.Wait(t, "ACK")
				ok := c.Wait(t, "200 INVITE")
				leg.Ack(ok)
				callee := ben.Answered(inv)
				c.Send(leg.Within("REFER", "Refer-To: <sip:1001@bellhop.test>"))
				if res := c.Wait(t, "405 REFER"); !strings.HasPrefix(res.Header("Allow"), "INVITE, ACK") {
					t.Errorf("405:\n%s", res.Raw)
				}
				c.Send(leg.Within("MESSAGE"))
				c.Wait(t, "405 MESSAGE")
				h.apply(t, put(directory.KindTrunk, "carrier", byAddress+`,"methods":["MESSAGE"]}`))
				pass(time.Second)
				c.Send(leg.Within("MESSAGE"))
				ben.Reply(ben.Wait(t, "MESSAGE"), siptest.Answer{Status: 200})
				c.Wait(t, "200 MESSAGE")
				ben.Send(callee.Within("MESSAGE")) // a device of ours may
				c.Reply(c.Wait(t, "MESSAGE"), siptest.Answer{Status: 200})
				ben.Wait(t, "200 MESSAGE")
				ben.Quiet(t, time.Second)
				over(t, callee, leg)
				r := h.record(t)
				if r.Legs[0].Trunk != "carrier" || r.Caller != "+49301234" || r.Legs[1].Device != "desk-1002" {
					t.Errorf("record %+v", r)
				}
				h.sane(t)
			})
		})
	}
}

// TestSingleNumberReach rings a desk and a mobile: behaviour.md, snr.*.
func TestSingleNumberReach(t *testing.T) {
	t.Parallel()
	set := func(h *house, t *testing.T) {
		t.Helper()
		h.apply(t, outside()...)
		h.apply(t, directory.Write{
			Ref:  directory.Ref{Domain: domain, Kind: directory.KindRemote, Name: "user1002/mobile"},
			Body: []byte(`{"number":"+49 171 123456","delay":"PT4S","stop_after":"PT15S"}`),
		})
	}
	tests := []struct {
		name   string
		script func(t *testing.T, x *cast)
	}{
		{"the mobile wins", func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c.Wait(t, "INVITE")
			x.c.Reply(inv, withSDP(183))
			if res := x.ana.Wait(t, "180 INVITE"); res.Body() != "" { // rule ring.early-media
				t.Errorf("early media of one of two:\n%s", res.Raw)
			}
			x.c.Reply(inv, withSDP(200))
			x.c.Wait(t, "ACK")
			ok := x.ana.Wait(t, "200 INVITE")
			cancel := x.ben.Wait(t, "CANCEL")
			if !strings.Contains(cancel.Header("Reason"), "200") {
				t.Errorf("Reason %q", cancel.Header("Reason"))
			}
			x.ben.Reply(cancel, siptest.Answer{Status: 200})
			x.ben.Reply(x.atDesk, siptest.Answer{Status: 487})
			x.ben.Wait(t, "ACK")
			x.leg.Ack(ok)
			over(t, x.leg, x.c.Answered(inv))
		}},
		{"the desk wins", func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c.Wait(t, "INVITE")
			x.c.Reply(inv, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			x.ben.Reply(x.atDesk, withSDP(200))
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			x.ben.Wait(t, "ACK")
			x.c.Reply(x.c.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			x.c.Reply(inv, siptest.Answer{Status: 487})
			x.c.Wait(t, "ACK")
			over(t, x.leg, x.ben.Answered(x.atDesk))
		}},
		{"the mobile answers a moment after the desk", func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c.Wait(t, "INVITE")
			x.c.Reply(inv, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			x.ben.Reply(x.atDesk, withSDP(200))
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			x.ben.Wait(t, "ACK")
			x.c.Reply(x.c.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			x.c.Reply(inv, withSDP(200)) // it was too late
			x.c.Wait(t, "ACK")
			x.c.Reply(x.c.Wait(t, "BYE"), siptest.Answer{Status: 200})
			x.ana.Quiet(t, time.Second)
			over(t, x.leg, x.ben.Answered(x.atDesk))
		}},
		{"the mobile is given up", func(t *testing.T, x *cast) {
			t.Helper()
			inv := x.c.Wait(t, "INVITE")
			x.c.Reply(inv, siptest.Answer{Status: 180})
			x.ana.Wait(t, "180 INVITE")
			start := time.Now()
			x.c.Reply(x.c.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			if d := time.Since(start); d < 10500*time.Millisecond || d > 15100*time.Millisecond {
				t.Errorf("given up after %v", d)
			}
			x.c.Reply(inv, siptest.Answer{Status: 487})
			x.c.Wait(t, "ACK")
			x.ben.Reply(x.atDesk, withSDP(200))
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			x.ben.Wait(t, "ACK")
			over(t, x.leg, x.ben.Answered(x.atDesk))
		}},
		{"the desk is busy before the mobile rings", func(t *testing.T, x *cast) {
			t.Helper()
			x.ben.Reply(x.atDesk, siptest.Answer{Status: 486})
			x.ben.Wait(t, "ACK")
			start := time.Now()
			inv := x.c.Wait(t, "INVITE")
			if d := time.Since(start); d > 100*time.Millisecond {
				t.Errorf("the mobile rang after %v", d)
			}
			x.c.Reply(inv, withSDP(200))
			x.c.Wait(t, "ACK")
			x.leg.Ack(x.ana.Wait(t, "200 INVITE"))
			over(t, x.c.Answered(inv), x.leg)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTrunk(t, twoPeers, func(t *testing.T, h *house, c *siptest.Phone) {
				set(h, t)
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				leg := ana.Call(t, "1002")
				atDesk := ben.Wait(t, "INVITE")
				ben.Reply(atDesk, siptest.Answer{Status: 180})
				ana.Wait(t, "180 INVITE")
				if !strings.Contains(tt.name, "busy") {
					c.Quiet(t, 3900*time.Millisecond)
				}
				tt.script(t, &cast{h: h, ana: ana, ben: ben, c: c, leg: leg, atDesk: atDesk})
				r := h.record(t)
				if i := slices.IndexFunc(r.Legs, func(l feed.Leg) bool { return l.Remote != "" }); i < 0 || r.Legs[i].Trunk != "carrier" {
					t.Errorf("legs %+v", r.Legs)
				}
				h.sane(t)
			})
		})
	}
}
