package sip_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"bellhop/routing/location"
	"bellhop/sip"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

// TestLargeInviteToATrunk: an INVITE of more than 1300 bytes goes to a peer by TCP,
// unless UDP was asked for; by UDP where it takes no connections (RFC 3261 §18.1.1).
func TestLargeInviteToATrunk(t *testing.T) {
	t.Parallel()
	doc := func(peer string) string {
		return `{"proof":"address","health":"off","peers":["` + peer + `"],"spoofable":"accepted","routes":[{"prefix":"+49"}]}`
	}
	large := "X-Large: " + strings.Repeat("x", 1000)
	for _, tt := range []struct {
		name, peer string
		lines      []string
		listens    bool // the peer takes connections
		want       string
	}{
		{"large", "192.0.2.50:5060", []string{large}, true, "TCP"},
		{"small", "192.0.2.50:5060", nil, true, "UDP"},
		{"large, but it has to be UDP", "192.0.2.50:5060;transport=udp", []string{large}, true, "UDP"},
		{"large, but it takes no connections", "192.0.2.50:5060", []string{large}, false, "UDP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			streams := new(siptest.Streams)
			dialled := 0
			inTrunk(t, doc(tt.peer), func(t *testing.T, h *house, c *siptest.Phone) {
				h.apply(t, outside()...)
				var ln *siptest.StreamListener
				if tt.listens {
					ln = streams.Listen(c.Addr)
				}
				ana := h.registered(t, "desk-1001", 11)
				for range 2 {
					begun := time.Now()
					leg := ana.Call(t, mobile, tt.lines...)
					if tt.want == "TCP" && c.Transport == "" {
						c.Close()
						c = siptest.NewPhone(h.net, siptest.Line{
							Device: "carrier", Number: "+49301234", Domain: "carrier.example", Addr: c.Addr, Server: netip.MustParseAddrPort(server), Transport: "TCP",
							Dial: func(netip.AddrPort, netip.AddrPort) (net.Conn, error) { return ln.Accept() },
						})
					}
					inv := c.Wait(t, "INVITE")
					if v := inv.Headers("Via")[0]; !strings.HasPrefix(v, "SIP/2.0/"+tt.want+" ") || inv.CSeq() != 1 {
						t.Errorf("Via %s, CSeq %d, want one of %s, and 1", v, inv.CSeq(), tt.want)
					}
					if tr := strings.Contains(inv.Header("Contact"), ";transport=tcp"); tr != (tt.want == "TCP") {
						t.Errorf("Contact %s", inv.Header("Contact"))
					}
					if wait := time.Since(begun); wait > time.Second {
						t.Errorf("the INVITE came after %v", wait)
					}
					c.Reply(inv, withSDP(200))
					c.Wait(t, "ACK")
					leg.Ack(ana.Wait(t, "200 INVITE"))
					over(t, c.Answered(inv), leg)
					pass(time.Second)
				}
				if want := map[string]int{"large": 1, "large, but it takes no connections": 1}[tt.name]; dialled != want {
					t.Errorf("%d connections were tried, want %d", dialled, want)
				}
				h.sane(t)
			}, func(o *sip.Options) {
				o.Connect = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
					dialled++
					return streams.Connect(ctx, from, to)
				}
				o.Listeners = append(o.Listeners, transport.Listener{Transport: location.TCP, Stream: streams.Listen(netip.MustParseAddrPort(server))})
			})
		})
	}
}
