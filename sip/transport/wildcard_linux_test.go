package transport_test

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/transport"
)

// TestWildcardAnswersFromWhereItWasAsked asks a wildcard by several addresses of
// ours. The sockets that ask are connected: they take no answer from another
// address.
func TestWildcardAnswersFromWhereItWasAsked(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, bind, advertise string
		parked                bool
		asked                 []string
	}{
		{"IPv4, held", "0.0.0.0:0", "127.0.0.1:0", false, []string{"127.0.0.1", "127.0.0.2", "127.1.2.3"}},
		{"IPv4, parked", "0.0.0.0:0", "127.0.0.1:0", true, []string{"127.0.0.2"}},
		{"IPv6, held", "[::]:0", "[::1]:0", false, []string{"::1"}},
		{"IPv6, parked", "[::]:0", "[::1]:0", true, []string{"::1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			locals := make(map[netip.Addr]int)
			ls := []transport.Listener{{Bind: netip.MustParseAddrPort(tt.bind), Advertise: netip.MustParseAddrPort(tt.advertise), Transport: location.UDP}}
			tr := run(t, transport.Options{Listeners: ls, Parked: tt.parked}, func(tr *transport.Transport, p *transport.Packet) {
				mu.Lock()
				locals[p.Flow.Local.Addr()]++
				mu.Unlock()
				if at := tr.Advertise(p.Flow.Local); at.Addr() != netip.MustParseAddrPort(tt.advertise).Addr() {
					t.Errorf("Advertise(%v) = %v", p.Flow.Local, at)
				}
				echo(t)(tr, p)
			})
			port := tr.Addrs()[0].Port()
			for _, asked := range tt.asked {
				for range 3 { // peers, which spread over sockets
					c := dial(t, netip.AddrPortFrom(netip.MustParseAddr(asked), port))
					if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
						t.Fatal(err)
					}
					b := make([]byte, 65536)
					for range 10 {
						if _, err := c.Write([]byte(options)); err != nil {
							t.Fatal(err)
						}
						if n, err := c.Read(b); err != nil || string(b[:n]) != options {
							t.Fatalf("%s answers %q, %v", asked, b[:n], err)
						}
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for _, asked := range tt.asked {
				if n := locals[netip.MustParseAddr(asked)]; n != 30 {
					t.Errorf("%d messages to %s, want 30: %v", n, asked, locals)
				}
			}
			// A flow that names no address goes from any of ours, and one of another
			// port from none.
			c := dial(t, netip.AddrPortFrom(netip.MustParseAddr(tt.asked[0]), port))
			to := netip.MustParseAddrPort(c.LocalAddr().String())
			wild := netip.AddrPortFrom(netip.MustParseAddrPort(tt.bind).Addr(), port)
			if err := tr.Send(location.Flow{Transport: location.UDP, Local: wild, Remote: to}, []byte(options)); err != nil {
				t.Errorf("Send from the wildcard = %v", err)
			}
			other := netip.AddrPortFrom(netip.MustParseAddr(tt.asked[0]), port+1)
			if err := tr.Send(location.Flow{Transport: location.UDP, Local: other, Remote: to}, []byte(options)); err == nil {
				t.Error("Send from another port succeeded")
			}
		})
	}
}
