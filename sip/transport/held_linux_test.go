package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"

	"bellhop/routing/location"
	"bellhop/sip/transport"
)

// keepBusy sends to the transport every millisecond, so that its readers hold,
// until the test ends.
func keepBusy(t *testing.T, tr *transport.Transport) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 { // peers spread over sockets
		c := dial(t, tr.Addrs()[0])
		wg.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				_, _ = c.Write([]byte(options))
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// Readers that hold a P are stopped and started as any goroutine: garbage is
// collected, goroutines take turns, timers fire, and the network poller serves
// others. A second is a hundred times what each round takes; before readers
// yielded, collections took seconds.
func TestHeldReadersYield(t *testing.T) { //nolint:paralleltest // it measures the process
	tr := run(t, transport.Options{Listeners: udp("127.0.0.1:0")}, echo(t))
	keepBusy(t, tr)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for range 20 {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		}
	})
	rounds := []struct {
		name string
		f    func()
	}{
		{"a collection", runtime.GC},
		{"goroutines", func() {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(runtime.Gosched)
			}
			wg.Wait()
		}},
		{"a timer", func() { <-time.After(time.Millisecond) }},
		{"a connection", func() {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		}},
	}
	for _, r := range rounds {
		for range 20 {
			began := time.Now()
			if r.f(); time.Since(began) > time.Second {
				t.Errorf("%s took %v beside held readers, want milliseconds", r.name, time.Since(began))
			}
		}
	}
}

// A reader that parked comes back, whether it was woken in its first idle
// moment or long after.
func TestReadersComeBack(t *testing.T) {
	t.Parallel()
	tr := run(t, transport.Options{Listeners: udp("127.0.0.1:0")}, echo(t))
	c := dial(t, tr.Addrs()[0])
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 65536)
	for i := range 60 { // readers park after 4 ms
		<-time.After(time.Duration(i) * 200 * time.Microsecond)
		if _, err := c.Write([]byte(options)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(b); err != nil || string(b[:n]) != options {
			t.Fatalf("after a pause of %d: got %q, %v, want it back", i, b[:n], err)
		}
	}
}

func TestMessagesOfAPeerKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const messages, peers = 500, 4
	var mu sync.Mutex
	next := make(map[netip.AddrPort]int)
	done := make(chan struct{})
	finished := 0
	tr := run(t, transport.Options{Listeners: udp("127.0.0.1:0")}, func(_ *transport.Transport, p *transport.Packet) {
		n, _, _ := strings.Cut(string(p.Msg.CallID()), "@")
		mu.Lock()
		defer mu.Unlock()
		if got, _ := strconv.Atoi(n); got != next[p.Flow.Remote] {
			t.Errorf("message %d of %v, want %d", got, p.Flow.Remote, next[p.Flow.Remote])
		}
		if next[p.Flow.Remote]++; next[p.Flow.Remote] == messages {
			if finished++; finished == peers {
				close(done)
			}
		}
	})
	for range peers {
		c := dial(t, tr.Addrs()[0])
		for n := range messages {
			if _, err := c.Write(bytes.Replace([]byte(options), []byte("Call-ID: 1@"), fmt.Appendf(nil, "Call-ID: %d@", n), 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-done
}

// Nobody may share the port by accident: a second daemon would get half of the
// messages.
func TestPortIsTaken(t *testing.T) {
	t.Parallel()
	tr := run(t, transport.Options{Listeners: udp("127.0.0.1:0")}, echo(t))
	bound := tr.Addrs()[0]
	tests := []struct {
		name string
		bind netip.AddrPort
	}{
		{"by another transport", bound},
		{"by a socket that shares", sharedSocket(t)},
		{"on one address, of a wildcard", netip.AddrPortFrom(netip.IPv4Unspecified(), bound.Port())},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			second, err := transport.New(transport.Options{Listeners: []transport.Listener{{
				Bind: tt.bind, Advertise: netip.MustParseAddrPort("192.0.2.1:5060"), Transport: location.UDP,
			}}})
			if err == nil {
				t.Fatalf("New = nil, %v", second.Close())
			}
			if !strings.Contains(err.Error(), tt.bind.String()) || !strings.Contains(err.Error(), "in use by another process") {
				t.Errorf("New = %v, want an error that names the address and says that it is taken", err)
			}
		})
	}
}

// sharedSocket binds a socket that would let others share its port.
func sharedSocket(t *testing.T) netip.AddrPort {
	t.Helper()
	cs, err := sharing()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cs[0].Close(); cs[1].Close() })
	return cs[0].LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestFailedNewLeavesNothingBound(t *testing.T) {
	t.Parallel()
	taken := sharedSocket(t)
	first := udp("127.0.0.1:0")[0]
	probe, err := transport.New(transport.Options{Listeners: []transport.Listener{first}})
	if err != nil {
		t.Fatal(err)
	}
	first.Bind = probe.Addrs()[0]
	if err := probe.Close(); err != nil {
		t.Fatalf("Close = %v, want nil", err)
	}
	both := []transport.Listener{first, {Bind: taken, Transport: location.UDP}}
	if _, err := transport.New(transport.Options{Listeners: both}); err == nil {
		t.Fatal("New = nil, want an error")
	}
	again, err := transport.New(transport.Options{Listeners: both[:1]})
	if err != nil {
		t.Fatalf("New on the port of the failed one = %v, want nil", err)
	}
	if err := again.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
}

func TestKernelBuffersAndDrops(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	tr, err := transport.New(transport.Options{Listeners: udp("127.0.0.1:0"), Readers: 1, ReadBuffer: 4096, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, tr.Addrs()[0])
	for range 200 { // nobody reads
		if _, err := c.Write([]byte(options)); err != nil {
			t.Fatal(err)
		}
	}
	before := metric(t, reg, "bellhop_transport_drops_total")
	if before < 100 || before > 200 {
		t.Errorf("%v drops of 200 messages to a buffer of 4 KB, want most", before)
	}
	if err := tr.Close(); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
	if got := metric(t, reg, "bellhop_transport_drops_total"); got != before {
		t.Errorf("%v drops after Close, want %v as before", got, before)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	var handled atomic.Int64
	tr := run(t, transport.Options{Listeners: udp("127.0.0.1:0"), Readers: 1}, func(tr *transport.Transport, p *transport.Packet) {
		handled.Add(1)
		_ = tr.Send(p.Flow, p.Msg.Bytes())
	})
	c := dial(t, tr.Addrs()[0])
	fd, err := c.File() // a blocking one, so that the other end allocates nothing
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	b, msg := make([]byte, 65536), []byte(options)
	raw := int(fd.Fd())
	got := testing.AllocsPerRun(200, func() {
		_, _ = unix.Write(raw, msg)
		_, _ = unix.Read(raw, b)
	})
	if got != 0 || handled.Load() != 201 {
		t.Errorf("%v allocations for each of %d messages, want 0 of 201", got, handled.Load())
	}
}

func TestMetricsAreLinted(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	run(t, transport.Options{Listeners: udp("127.0.0.1:0"), Registerer: reg}, echo(t))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v, want none", problems, err)
	}
}
