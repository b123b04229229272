package transport_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/location"
	"bellhop/sip/transport"
)

const options = "OPTIONS sip:bellhop.test SIP/2.0\r\n" +
	"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n" +
	"From: <sip:a@bellhop.test>;tag=1\r\n" +
	"To: <sip:bellhop.test>\r\n" +
	"Call-ID: 1@192.0.2.1\r\n" +
	"CSeq: 1 OPTIONS\r\n" +
	"Max-Forwards: 70\r\n" +
	"Content-Length: 0\r\n\r\n"

// run starts a transport and ends it with the test. What handle does is done
// for each packet.
func run(t *testing.T, o transport.Options, handle func(*transport.Transport, *transport.Packet)) *transport.Transport {
	t.Helper()
	var tr *transport.Transport
	o.Handler = func(p *transport.Packet) { handle(tr, p) }
	tr, err := transport.New(o)
	if err != nil {
		t.Fatalf("New = %v, want nil", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := tr.Run(ctx); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return tr
}

func udp(bind string) []transport.Listener {
	return []transport.Listener{{Bind: netip.MustParseAddrPort(bind), Transport: location.UDP}}
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// metric returns the value of a counter.
func metric(t *testing.T, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	all, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// echo sends each message back.
func echo(t testing.TB) func(*transport.Transport, *transport.Packet) {
	t.Helper()
	return func(tr *transport.Transport, p *transport.Packet) {
		if err := tr.Send(p.Flow, p.Msg.Bytes()); err != nil {
			t.Errorf("Send(%v) = %v, want nil", p.Flow, err)
		}
	}
}

func TestSocketEchoes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, bind string
		parked     bool
	}{
		{"IPv4, held", "127.0.0.1:0", false},
		{"IPv4, parked", "127.0.0.1:0", true},
		{"IPv6, held", "[::1]:0", false},
		{"IPv6, parked", "[::1]:0", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr := run(t, transport.Options{Listeners: udp(tt.bind), Parked: tt.parked}, echo(t))
			for range 4 { // peers, which spread over sockets
				c := dial(t, tr.Addrs()[0])
				b := make([]byte, 65536)
				large := strings.Replace(options, "Content-Length: 0\r\n\r\n", "Content-Length: 60000\r\n\r\n"+strings.Repeat("x", 60000), 1)
				for i := range 50 { // from the address that was asked, whatever the size
					sent := options
					if i%10 == 9 {
						sent = large
					}
					if _, err := c.Write([]byte(sent)); err != nil {
						t.Fatal(err)
					}
					n, err := c.Read(b)
					if err != nil || string(b[:n]) != sent {
						t.Fatalf("got %d bytes %.300q, %v, want %d back", n, b[:n], err, len(sent))
					}
				}
			}
		})
	}
}
