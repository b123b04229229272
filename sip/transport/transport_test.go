package transport_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bellhop/routing/location"
	"bellhop/sip/transport"
)

const options = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\n" +
	"To: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"

// start runs a transport until the test ends.
func start(t *testing.T, o transport.Options) *transport.Transport {
	t.Helper()
	tr, err := transport.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := tr.Run(ctx); err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return tr
}

func udpListener(addr string) []transport.Listener {
	return []transport.Listener{{Bind: netip.MustParseAddrPort(addr), Transport: location.UDP}}
}

func dial(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEcho(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			var tr *transport.Transport
			ready := make(chan struct{})
			tr = start(t, transport.Options{Listeners: udpListener(addr), Handler: func(p *transport.Packet) {
				<-ready
				if err := tr.Send(p.Flow, p.Own().Msg.Bytes()); err != nil {
					t.Error(err)
				}
			}})
			close(ready)
			for range 20 { // of many ports, so that every reader has some
				c := dial(t, tr.Addrs()[0])
				if _, err := c.Write([]byte(options)); err != nil {
					t.Fatal(err)
				}
				var buf [2000]byte
				n, err := c.Read(buf[:])
				if err != nil || string(buf[:n]) != options {
					t.Fatalf("echo = %q, %v", buf[:n], err)
				}
			}
		})
	}
}

func TestPortIsOurs(t *testing.T) {
	t.Parallel()
	tr := start(t, transport.Options{Listeners: udpListener("127.0.0.1:0"), Handler: func(*transport.Packet) {}})
	again, err := transport.New(transport.Options{Listeners: udpListener(tr.Addrs()[0].String()), Handler: func(*transport.Packet) {}})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a second transport on the port = %v, %v, want an error", again, err)
	}
}

func TestWorldStopsBesideReaders(t *testing.T) {
	t.Parallel()
	start(t, transport.Options{Listeners: udpListener("127.0.0.1:0"), Handler: func(*transport.Packet) {}})
	began := time.Now()
	for range 20 {
		runtime.GC()
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 collections took %v beside waiting readers", took)
	}
}

func TestWhatIsNoMessage(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	got := make(chan *transport.Packet, 10)
	tr := start(t, transport.Options{Listeners: udpListener("127.0.0.1:0"), Registerer: reg, Handler: func(p *transport.Packet) {
		if string(p.Msg.CallID()) == "panic" {
			panic("test")
		}
		got <- p.Own()
	}})
	c := dial(t, tr.Addrs()[0])
	for _, b := range [][]byte{
		{}, []byte("\r\n\r\n"), {0, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 60000),
		[]byte(strings.Replace(options, "Call-ID: c", "Call-ID: panic", 1)), []byte(options),
	} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if p := <-got; p.Err == nil {
		t.Errorf("first packet = %q without an error", p.Msg.Bytes())
	}
	if p := <-got; p.Err != nil || string(p.Msg.CallID()) != "c" {
		t.Errorf("second packet = %q, %v", p.Msg.CallID(), p.Err)
	}
	want := `# HELP bellhop_transport_keep_alives_total Datagrams that only keep a NAT binding open.
# TYPE bellhop_transport_keep_alives_total counter
bellhop_transport_keep_alives_total 3
# HELP bellhop_transport_panics_total Messages whose handling panicked.
# TYPE bellhop_transport_panics_total counter
bellhop_transport_panics_total 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "bellhop_transport_keep_alives_total", "bellhop_transport_panics_total"); err != nil {
		t.Error(err)
	}
}

func TestDropsAreExported(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	tr, err := transport.New(transport.Options{
		Listeners: udpListener("127.0.0.1:0"), Readers: 1, ReadBuffer: 4096, Registerer: reg, Handler: func(*transport.Packet) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, tr.Addrs()[0])
	for range 200 { // nobody reads
		if _, err := c.Write([]byte(options)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	drops := 0.0
	for _, f := range all {
		if f.GetName() == "bellhop_transport_drops_total" {
			drops = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if drops < 100 {
		t.Errorf("drops = %v of 200 into a buffer of 4 KB, want most", drops)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestSendToNowhere(t *testing.T) {
	t.Parallel()
	tr := start(t, transport.Options{Listeners: udpListener("127.0.0.1:0"), Handler: func(*transport.Packet) {}})
	f := location.Flow{Transport: location.UDP, Local: tr.Addrs()[0], Remote: netip.MustParseAddrPort("127.0.0.1:9")}
	for range 3 { // the ICMP errors of one send do not stop the next
		if err := tr.Send(f, []byte(options)); err != nil {
			t.Errorf("Send = %v", err)
		}
	}
	for name, bad := range map[string]location.Flow{
		"other family":   {Transport: location.UDP, Local: f.Local, Remote: netip.MustParseAddrPort("[::1]:9")},
		"other listener": {Transport: location.UDP, Local: f.Remote, Remote: f.Remote},
		"no transport":   {Local: f.Local, Remote: f.Remote},
	} {
		if err := tr.Send(bad, []byte(options)); err == nil {
			t.Errorf("Send over a flow of %s = nil, want an error", name)
		}
	}
}

func TestHandOverAllocates(t *testing.T) {
	tr, err := transport.New(transport.Options{Listeners: udpListener("127.0.0.1:0"), Readers: 1, Handler: func(*transport.Packet) {}})
	if err != nil {
		t.Fatal(err)
	}
	f := location.Flow{Transport: location.UDP, Local: tr.Addrs()[0], Remote: netip.MustParseAddrPort("127.0.0.1:9")}
	b := []byte(options)
	if n := testing.AllocsPerRun(100, func() { _ = tr.Send(f, b) }); n != 0 {
		t.Errorf("Send allocates %v times, want 0", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Run(ctx); err != nil {
		t.Error(err)
	}
}
