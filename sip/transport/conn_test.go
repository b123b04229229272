package transport_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/location"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

var (
	ours  = netip.MustParseAddrPort("192.0.2.1:5060")
	phone = netip.MustParseAddrPort("192.0.2.7:5062")
)

// inBubble runs a transport on a network without sockets, sends it datagrams
// from phone, and returns what the handler saw and the phone's side.
func inBubble(t *testing.T, reg prometheus.Registerer, handle func(*transport.Transport, *transport.Packet)) (*transport.Transport, *siptest.Conn) {
	t.Helper()
	n := siptest.NewNetwork(1)
	tr := run(t, transport.Options{
		Listeners:  []transport.Listener{{Conn: n.Listen(ours), Transport: location.UDP}},
		Registerer: reg,
	}, handle)
	return tr, n.Listen(phone)
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	with := func(part, by string) string { return strings.Replace(options, part, by, 1) }
	tests := []struct {
		name, datagram string
		status         int // of the malformed message the handler got; 200: a good one; 0: it got none
		counted        string
	}{
		{"a request", options, 200, ""},
		{"empty lines before it", "\r\n\r\n" + options, 200, ""},
		{"nothing", "", 0, "keep_alives"},
		{"a keep-alive", "\r\n\r\n", 0, "keep_alives"},
		{"half a keep-alive", "\r\n", 0, "keep_alives"},
		{"zeros", "\x00\x00\x00\x00", 0, "keep_alives"},
		{"garbage", "GET / HTTP/1.1\r\n\r\n", 0, "messages_unreadable"},
		{"a STUN request", "\x00\x01\x00\x00\x21\x12\xa4\x420123456789ab", 0, "keep_alives"},
		{"STUN that is no Binding", "\x00\x03\x00\x00\x21\x12\xa4\x420123456789ab", 0, "messages_unreadable"},
		{"a response that is malformed", with("OPTIONS sip:bellhop.test SIP/2.0", "SIP/2.0 9999 OK"), 0, "messages_unreadable"},
		{"a request to nobody", with("sip:bellhop.test SIP", " SIP"), 400, "messages_malformed"},
		{"another version", with("SIP/2.0\r\n", "SIP/3.0\r\n"), 505, "messages_malformed"},
		{"a request without a Call-ID", with("Call-ID", "X-ID"), 0, "messages_unreadable"},
		{"half a body", with("Content-Length: 0", "Content-Length: 9"), 400, "messages_malformed"},
		{"too large", with("\r\n\r\n", "\r\nX: "+strings.Repeat("x", 65536)+"\r\n\r\n"), 513, "messages_malformed"},
		{"one that panics", with("1@192", "panic@192"), 0, "panics"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				reg := prometheus.NewPedanticRegistry()
				var status []int
				_, c := inBubble(t, reg, func(_ *transport.Transport, p *transport.Packet) {
					if want := (location.Flow{Transport: location.UDP, Local: ours, Remote: phone}); p.Flow != want {
						t.Errorf("Flow = %v, want %v", p.Flow, want)
					}
					switch {
					case strings.HasPrefix(string(p.Msg.CallID()), "panic"):
						panic("handler")
					case p.Err != nil:
						status = append(status, p.Err.Status)
					default:
						status = append(status, 200)
					}
				})
				for _, d := range []string{tt.datagram, options} { // what comes next is not harmed
					if _, err := c.WriteTo([]byte(d), net.UDPAddrFromAddrPort(ours)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				want := []int{tt.status, 200}
				if tt.status == 0 {
					want = want[1:]
				}
				if diff := cmp.Diff(want, status); diff != "" {
					t.Errorf("handler saw (-want +got):\n%s", diff)
				}
				for _, name := range []string{"keep_alives", "messages_unreadable", "messages_malformed", "panics"} {
					count := 0.0
					if name == tt.counted {
						count = 1
					}
					if got := metric(t, reg, "bellhop_transport_"+name+"_total"); got != count {
						t.Errorf("%s = %v, want %v", name, got, count)
					}
				}
			})
		})
	}
}

func TestOwnOutlivesTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var kept []*transport.Packet
		_, c := inBubble(t, nil, func(_ *transport.Transport, p *transport.Packet) {
			kept = append(kept, p.Own())
		})
		for _, id := range []string{"1@", "2@"} {
			_, _ = c.WriteTo([]byte(strings.Replace(options, "1@", id, 1)), net.UDPAddrFromAddrPort(ours))
		}
		synctest.Wait()
		if len(kept) != 2 {
			t.Fatalf("%d packets, want 2", len(kept))
		}
		for i, want := range []string{"1@192.0.2.1", "2@192.0.2.1"} {
			p := kept[i]
			if got := string(p.Msg.CallID()); got != want || p.Flow.Remote != phone || p.Received.IsZero() {
				t.Errorf("packet %d: Call-ID %s from %v at %v, want %s from %v", i, got, p.Flow.Remote, p.Received, want, phone)
			}
			if p.Own() != p {
				t.Error("Own of an owned packet is another one, want it")
			}
		}
	})
}

func TestSendInBubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr, c := inBubble(t, nil, echo(t))
		if _, err := c.WriteTo([]byte(options), net.UDPAddrFromAddrPort(ours)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 65536)
		n, from, err := c.ReadFrom(b)
		if err != nil || string(b[:n]) != options || from.String() != ours.String() {
			t.Errorf("got %q from %v, %v, want it back from %v", b[:n], from, err, ours)
		}
		if got := tr.Addrs(); len(got) != 1 || got[0] != ours {
			t.Errorf("Addrs = %v, want %v", got, ours)
		}
	})
}

func TestSendRefuses(t *testing.T) {
	t.Parallel()
	tr, err := transport.New(transport.Options{Listeners: append(udp("127.0.0.1:0"), udp("[::1]:0")...)})
	if err != nil {
		t.Fatal(err)
	}
	v4, v6 := tr.Addrs()[0], tr.Addrs()[1]
	tests := []struct {
		name string
		flow location.Flow
		msg  string
		want error // nil: any
	}{
		{"no listener", location.Flow{Transport: location.UDP, Local: phone, Remote: v4}, options, transport.ErrNoListener},
		{"no flow", location.Flow{}, options, transport.ErrNoListener},
		{"another transport", location.Flow{Transport: location.TCP, Local: v4, Remote: v4, Conn: 1}, options, transport.ErrGone},
		{"IPv6 from IPv4", location.Flow{Transport: location.UDP, Local: v4, Remote: v6}, options, nil},
		{"IPv4 from IPv6", location.Flow{Transport: location.UDP, Local: v6, Remote: v4}, options, nil},
		{"to nobody", location.Flow{Transport: location.UDP, Local: v4}, options, nil},
		{"too large", location.Flow{Transport: location.UDP, Local: v4, Remote: v4}, strings.Repeat("x", 65536), nil},
		{"unknown zone", location.Flow{Transport: location.UDP, Local: v6, Remote: netip.MustParseAddrPort("[fe80::1%nowhere]:5060")}, options, nil},
	}
	for _, tt := range tests {
		err := tr.Send(tt.flow, []byte(tt.msg))
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("Send, %s = %v, want an error %v", tt.name, err, tt.want)
		}
	}
	if err := tr.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if err := tr.Send(location.Flow{Transport: location.UDP, Local: v4, Remote: v4}, []byte(options)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Send after Close = %v, want %v", err, transport.ErrClosed)
	}
}

// An ICMP error of one peer is nothing to others.
func TestSendToAClosedPort(t *testing.T) {
	t.Parallel()
	tr := run(t, transport.Options{Listeners: udp("127.0.0.1:0")}, echo(t))
	gone := dial(t, tr.Addrs()[0])
	f := location.Flow{Transport: location.UDP, Local: tr.Addrs()[0], Remote: gone.LocalAddr().(*net.UDPAddr).AddrPort()}
	gone.Close()
	for range 3 {
		if err := tr.Send(f, []byte(options)); err != nil {
			t.Errorf("Send = %v, want nil", err)
		}
	}
}

func TestAdvertise(t *testing.T) {
	t.Parallel()
	ap := netip.MustParseAddrPort
	tests := []struct {
		name            string
		bind, advertise netip.AddrPort
		want            func(bound netip.AddrPort) netip.AddrPort // nil: refused
	}{
		{"itself", ap("127.0.0.1:0"), netip.AddrPort{}, func(b netip.AddrPort) netip.AddrPort { return b }},
		{"another", ap("127.0.0.1:0"), ap("198.51.100.1:5070"), func(netip.AddrPort) netip.AddrPort { return ap("198.51.100.1:5070") }},
		{"another address, the same port", ap("127.0.0.1:0"), ap("198.51.100.1:0"), func(b netip.AddrPort) netip.AddrPort {
			return netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), b.Port())
		}},
		{"a wildcard", ap("0.0.0.0:0"), ap("198.51.100.1:5060"), func(netip.AddrPort) netip.AddrPort { return ap("198.51.100.1:5060") }},
		{"a wildcard alone", ap("0.0.0.0:0"), netip.AddrPort{}, nil},
		{"a wildcard of IPv6 alone", ap("[::]:0"), netip.AddrPort{}, nil},
		{"no address", netip.AddrPort{}, netip.AddrPort{}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr, err := transport.New(transport.Options{Listeners: []transport.Listener{{Bind: tt.bind, Advertise: tt.advertise, Transport: location.UDP}}})
			if tt.want == nil {
				if err == nil {
					t.Errorf("New = nil, %v, want an error", tr.Close())
				}
				return
			}
			if err != nil {
				t.Fatalf("New = %v, want nil", err)
			}
			bound := tr.Addrs()[0]
			if got, want := tr.Advertise(bound), tt.want(bound); got != want || bound.Port() == 0 {
				t.Errorf("Advertise(%v) = %v, want %v", bound, got, want)
			}
			if got := tr.Advertise(phone); got != phone {
				t.Errorf("Advertise of another's = %v, want it", got)
			}
			if err := tr.Close(); err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := transport.New(transport.Options{}); err == nil {
		t.Error("New without a listener = nil, want an error")
	}
	l := transport.Listener{Bind: netip.MustParseAddrPort("127.0.0.1:0"), Transport: location.TLS}
	if _, err := transport.New(transport.Options{Listeners: []transport.Listener{l}}); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("New for TLS = %v, want an error that names it", err)
	}
}

// A reader that breaks ends Run, and with it the daemon, which then says why.
func TestRunEndsWhenAReaderBreaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork(1)
		c := n.Listen(ours)
		tr, err := transport.New(transport.Options{Listeners: []transport.Listener{{Conn: c, Transport: location.UDP}}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := tr.Run(context.Background()); !errors.Is(err, siptest.ErrClosed) {
				t.Errorf("Run = %v, want %v", err, siptest.ErrClosed)
			}
		})
		synctest.Wait()
		c.Close()
		wg.Wait()
	})
}
