package sip_test

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/routing/location"
	"bellhop/sip"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

// TestNextHopOfATrunk: requests within a call go where the Route or Contact of a
// carrier says, by name too (RFC 3261 §12.2.1.1, RFC 3263).
func TestNextHopOfATrunk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		contact string
		routes  []string
		at      string // where requests go
		uri     string // what for
		route   string // the Route fields there
	}{
		{"an address", "sip:gw@192.0.2.60:5070", nil, "192.0.2.60:5070", "sip:gw@192.0.2.60:5070", ""},
		{"a name", "sip:gw@localhost:5071", nil, "127.0.0.1:5071", "sip:gw@localhost:5071", ""},
		{"a name nobody knows", "sip:gw@gw.invalid", nil, "192.0.2.50:5060", "sip:gw@gw.invalid", ""},
		{"a route by name", "sip:gw@10.0.0.1", []string{"<sip:localhost:5072;lr>", "<sip:192.0.2.61;lr>"}, "127.0.0.1:5072", "sip:gw@10.0.0.1", "<sip:localhost:5072;lr>, <sip:192.0.2.61;lr>"},
		{"a strict router", "sip:gw@10.0.0.1", []string{"<sip:192.0.2.60:5070;x=1?Subject=none>", "<sip:192.0.2.61;lr>"}, "192.0.2.60:5070", "sip:192.0.2.60:5070;x=1", "<sip:192.0.2.61;lr>, <sip:gw@10.0.0.1>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTrunk(t, twoPeers, func(t *testing.T, h *house, c *siptest.Phone) {
				h.apply(t, outside()...)
				ana := h.registered(t, "desk-1001", 11)
				leg := ana.Call(t, mobile)
				inv := c.Wait(t, "INVITE")
				there := c
				if tt.at != c.Addr.String() {
					there = siptest.NewPhone(h.net, siptest.Line{
						Device: "gw", Number: "+49301234", Domain: "carrier.example", Addr: netip.MustParseAddrPort(tt.at), Server: netip.MustParseAddrPort(server),
					})
				}
				lines := []string{"Contact: <" + tt.contact + ">"}
				for _, r := range slices.Backward(tt.routes) { // a UAC has them the other way round
					lines = append(lines, "Record-Route: "+r)
				}
				text := c.Reply(inv, withoutContact(withSDP(200, lines...)))
				check := func(m *siptest.Message) {
					t.Helper()
					if got := strings.Join(m.Headers("Route"), ", "); m.URI() != tt.uri || got != tt.route {
						t.Errorf("%s for %s by %q, want %s by %q", m.Word(), m.URI(), got, tt.uri, tt.route)
					}
				}
				check(there.Wait(t, "ACK"))
				c.SendRaw(text, "200 again")
				check(there.Wait(t, "ACK"))
				leg.Ack(ana.Wait(t, "200 INVITE"))
				ana.Send(leg.Within("INFO"))
				info := there.Wait(t, "INFO")
				check(info)
				there.Reply(info, siptest.Answer{Status: 200})
				ana.Wait(t, "200 INFO")
				h.again(t) // after a restart too
				pass(0)
				leg.Bye()
				ana.Wait(t, "200 BYE")
				bye := there.Wait(t, "BYE")
				check(bye)
				there.Reply(bye, siptest.Answer{Status: 200})
				h.sane(t)
			})
		})
	}
}

// withoutContact is an answer whose Contact is among its lines.
func withoutContact(a siptest.Answer) siptest.Answer { a.NoContact = true; return a }

// TestStrictRouterOfACaller: the caller's side of the same.
func TestStrictRouterOfACaller(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, anchors("1001"))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		leg := ana.Call(t, "1002", "Record-Route: <sip:192.0.2.70>", "Record-Route: <sip:192.0.2.71;lr>")
		inv := ben.Wait(t, "INVITE")
		ben.Reply(inv, withSDP(200))
		ben.Wait(t, "ACK")
		leg.Ack(ana.Wait(t, "200 INVITE"))
		ben.Send(ben.Answered(inv).Within("BYE"))
		ben.Wait(t, "200 BYE")
		bye := ana.Wait(t, "BYE")
		if got := strings.Join(bye.Headers("Route"), ", "); bye.URI() != "sip:192.0.2.70" || got != "<sip:192.0.2.71;lr>, <"+ana.Contact()+">" {
			t.Errorf("BYE for %s by %q:\n%s", bye.URI(), got, bye.Raw)
		}
		ana.Reply(bye, siptest.Answer{Status: 200})
	})
}

// TestTrunkConnectionComesBack: a connection to a carrier that closed in a call is
// made again for what is to be said within it.
func TestTrunkConnectionComesBack(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"BYE", "INVITE", "nobody listens"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			streams := new(siptest.Streams)
			inTrunk(t, `{"proof":"digest","health":"off","peers":["192.0.2.50:5066;transport=tcp"],"routes":[{"prefix":"+49"}]}`, func(t *testing.T, h *house, _ *siptest.Phone) {
				h.apply(t, outside()...)
				at := netip.MustParseAddrPort("192.0.2.50:5066")
				ln := streams.Listen(at)
				ana := h.registered(t, "desk-1001", 11)
				leg := ana.Call(t, mobile)
				c := siptest.NewPhone(h.net, siptest.Line{
					Device: "carrier", Number: "+49301234", Domain: "carrier.example", Addr: at, Server: netip.MustParseAddrPort(server), Transport: "TCP",
					Dial: func(netip.AddrPort, netip.AddrPort) (net.Conn, error) { return ln.Accept() },
				})
				inv := c.Wait(t, "INVITE")
				c.Reply(inv, withSDP(200))
				c.Wait(t, "ACK")
				leg.Ack(ana.Wait(t, "200 INVITE"))
				pass(time.Second)
				c.Close()
				pass(time.Second)
				switch what {
				case "BYE":
					leg.Bye()
					ana.Wait(t, "200 BYE")
					c.Move(at)
					c.Reply(c.Wait(t, "BYE"), siptest.Answer{Status: 200})
				case "INVITE":
					r := leg.Within("INVITE", "Content-Type: application/sdp")
					r.Body = siptest.SDP
					ana.Send(r)
					leg.Invite = *r
					c.Move(at)
					c.Reply(c.Wait(t, "INVITE"), withSDP(200))
					c.Wait(t, "ACK")
					leg.Ack(ana.Wait(t, "200 INVITE"))
					over(t, leg, c.Answered(inv))
				default:
					streams.Forget(at)
					ana.Send(leg.Within("INFO"))
					ana.Wait(t, "408 INFO")
					leg.Bye()
					ana.Wait(t, "200 BYE")
				}
				h.sane(t)
			}, func(o *sip.Options) {
				o.Connect = streams.Connect
				o.Listeners = append(o.Listeners, transport.Listener{Transport: location.TCP, Stream: streams.Listen(netip.MustParseAddrPort(server))})
			})
		})
	}
}
