package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/location"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

// A hall is a transport with a TCP listener in a bubble.
type hall struct {
	*transport.Transport
	t       *testing.T
	streams *siptest.Streams
	reg     *prometheus.Registry

	mu    sync.Mutex // guards what follows
	peers []*transport.Peer
	gone  []*transport.Peer
}

// openHall starts one whose handler sends each message back, proven or not.
func openHall(t *testing.T, standing transport.Standing, change ...func(*transport.Options)) *hall {
	t.Helper()
	h := &hall{t: t, streams: new(siptest.Streams), reg: prometheus.NewPedanticRegistry()}
	o := transport.Options{
		Listeners:  []transport.Listener{{Stream: h.streams.Listen(ours), Transport: location.TCP}},
		Registerer: h.reg,
		Connect:    h.streams.Connect,
		Gone: func(p *transport.Peer) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.gone = append(h.gone, p)
		},
	}
	for _, f := range change {
		f(&o)
	}
	h.Transport = run(t, o, func(tr *transport.Transport, p *transport.Packet) {
		h.mu.Lock()
		h.peers = append(h.peers, p.Peer)
		h.mu.Unlock()
		p.Peer.Prove(standing)
		if err := tr.Send(p.Flow, p.Msg.Bytes()); err != nil && !errors.Is(err, transport.ErrGone) {
			t.Errorf("Send = %v", err)
		}
	})
	return h
}

func (h *hall) dial(from string) net.Conn {
	h.t.Helper()
	c, err := h.streams.Dial(netip.MustParseAddrPort(from), ours)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

// sum returns the sum of a metric over its labels; with reason only of that.
func (h *hall) sum(name, reason string) (sum float64) {
	h.t.Helper()
	all, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "bellhop_transport_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			ok := reason == ""
			for _, l := range m.GetLabel() {
				ok = ok || l.GetName() == "reason" && l.GetValue() == reason
			}
			if ok {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// want checks why a connection was closed, and that nothing of it is left.
func (h *hall) closed(reason string) {
	h.t.Helper()
	synctest.Wait()
	if n := h.sum("connections_closed_total", reason); n != 1 {
		h.t.Errorf("%v connections closed for %q, want 1", n, reason)
	}
	if n := h.sum("connections", ""); n != 0 {
		h.t.Errorf("%v connections are open, want 0", n)
	}
}

// expect reads exactly want.
func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("got %q, %v, want %q", b[:n], err, want)
	}
}

// ended checks that the other end closed the connection, having sent nothing.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Hour))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v, want EOF", n, err)
	}
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

// Every split of what is sent gives the same messages (trap 9: nothing that can
// be answered closes the connection).
func TestStreamSplitsAnywhere(t *testing.T) {
	t.Parallel()
	second := strings.Replace(options, "Content-Length: 0\r\n\r\n", "l: 5\r\n\r\nhello", 1)
	sent := "\r\n" + options + "\r\n\r\n" + second + options
	want := options + "\r\n" + second + options
	for at := range len(sent) + 1 {
		synctest.Test(t, func(t *testing.T) {
			h := openHall(t, transport.Proven)
			c := h.dial("192.0.2.7:0")
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = c.Write([]byte(sent[:at]))
				<-time.After(time.Second)
				_, _ = c.Write([]byte(sent[at:]))
			})
			expect(t, c, want)
			wg.Wait()
		})
	}
}

func TestStreamByteByByte(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, transport.Proven)
		c := h.dial("192.0.2.7:0")
		body := strings.Repeat("x", 60000)
		long := strings.Replace(options, "Content-Length: 0\r\n\r\n", "Content-Length: 60000\r\n\r\n"+body, 1)
		go func() {
			for _, b := range []byte(options + long + options) {
				_, _ = c.Write([]byte{b})
			}
		}()
		expect(t, c, options+long+options)
	})
}

func TestStreamCloses(t *testing.T) {
	t.Parallel()
	with := func(part, by string) string { return strings.Replace(options, part, by, 1) }
	endless := "OPTIONS sip:bellhop.test SIP/2.0\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 80)
	tests := []struct {
		name, sent string
		standing   transport.Standing
		answered   string // sent back before the end
		after      time.Duration
		reason     string
	}{
		{"nothing", "", transport.Proven, "", 10 * time.Second, "unproven"},
		{"keep-alives only", "\r\n\r\n", transport.Proven, "\r\n", 10 * time.Second, "unproven"},
		{"a message that proves nothing", options, transport.Unproven, options, 10 * time.Second, "unproven"},
		{"a guest that falls silent", options, transport.Guest, options, 65 * time.Minute, "idle"},
		{"a phone that falls silent", options, transport.Proven, options, 65 * time.Minute, "idle"},
		{"a phone that stops within a message", options + options[:50], transport.Proven, options, 10 * time.Second, "slow"},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", transport.Proven, "", 0, "garbage"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", transport.Proven, "", 0, "garbage"},
		{"no Content-Length", with("Content-Length: 0\r\n", ""), transport.Proven, with("Content-Length: 0\r\n", ""), 0, "garbage"},
		{"two Content-Lengths", with("Content-Length: 0\r\n", "Content-Length: 0\r\nl: 4\r\n"), transport.Proven, with("Content-Length: 0\r\n", "Content-Length: 0\r\nl: 4\r\n"), 0, "garbage"},
		{"a negative Content-Length", with("Length: 0", "Length: -1"), transport.Proven, with("Length: 0", "Length: -1"), 0, "garbage"},
		{"a body beyond all limits", with("Length: 0", "Length: 4294967295"), transport.Proven, with("Length: 0", "Length: 4294967295"), 0, "garbage"},
		{"a header without end", endless, transport.Proven, "", 0, "garbage"},
		{"a response that is malformed, and the end", with("OPTIONS sip:bellhop.test SIP/2.0", "SIP/2.0 9999 OK") + options, transport.Proven, options, 65 * time.Minute, "idle"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := openHall(t, tt.standing)
				begun := time.Now()
				c := h.dial("192.0.2.7:0")
				go func() { _, _ = c.Write([]byte(tt.sent)) }()
				expect(t, c, tt.answered)
				ended(t, c)
				if after := time.Since(begun); after != tt.after {
					t.Errorf("closed after %v, want %v", after, tt.after)
				}
				h.closed(tt.reason)
				if len(h.gone) != 1 {
					t.Errorf("told of %d connections that are gone, want 1", len(h.gone))
				}
			})
		})
	}
}

// A message must come whole within its time, whatever is sent between.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, transport.Proven)
		c := h.dial("192.0.2.7:0")
		write(t, c, options)
		expect(t, c, options)
		begun := time.Now()
		for range 20 {
			if _, err := c.Write([]byte("O")); err != nil {
				break
			}
			<-time.After(time.Second)
		}
		if after := time.Since(begun); after > 11*time.Second {
			t.Errorf("closed after %v, want 10 s", after)
		}
		h.closed("slow")
	})
}

// Who does not read delays nobody, and is closed when its queue is full.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, transport.Proven)
		slow, fast := h.dial("192.0.2.7:0"), h.dial("192.0.2.8:0")
		long := strings.Replace(options, "Content-Length: 0\r\n\r\n", "Content-Length: 60000\r\n\r\n"+strings.Repeat("x", 60000), 1)
		for i := range 3 {
			write(t, slow, long)
			write(t, fast, options)
			begun := time.Now()
			expect(t, fast, options)
			if wait := time.Since(begun); wait != 0 {
				t.Errorf("message %d of another peer took %v", i, wait)
			}
		}
		_, _ = slow.Write([]byte(long + long)) // one is being written, two wait
		synctest.Wait()
		if n := h.sum("connections_closed_total", "queue"); n != 1 {
			t.Errorf("%v connections closed for their queue, want 1", n)
		}
		if err := h.Send(h.gone[0].Flow(), []byte(options)); !errors.Is(err, transport.ErrGone) {
			t.Errorf("Send to it = %v, want %v", err, transport.ErrGone)
		}
		write(t, fast, options)
		expect(t, fast, options)
	})
}

// Who reads nothing of one message is closed after the time of writing.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, transport.Proven)
		c := h.dial("192.0.2.7:0")
		write(t, c, options)
		<-time.After(11 * time.Second)
		h.closed("write")
	})
}

// A flow leads to its connection only: another one from the same address does not
// get its messages (traps 3 and 4).
func TestFlowIsOneConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, transport.Proven)
		c := h.dial("192.0.2.7:4000")
		write(t, c, options)
		expect(t, c, options)
		flow := h.peers[0].Flow()
		if want := (location.Flow{Transport: location.TCP, Local: ours, Remote: netip.MustParseAddrPort("192.0.2.7:4000"), Conn: flow.Conn}); flow != want {
			t.Errorf("Flow = %+v, want %+v", flow, want)
		}
		c.Close()
		synctest.Wait()
		again := h.dial("192.0.2.7:4000")
		write(t, again, options)
		expect(t, again, options)
		for name, f := range map[string]location.Flow{
			"the flow that is gone": flow,
			"without identity":      {Transport: location.TCP, Local: ours, Remote: flow.Remote},
			"of another life":       {Transport: location.TCP, Local: ours, Remote: netip.MustParseAddrPort("192.0.2.9:4000"), Conn: h.peers[1].Flow().Conn},
		} {
			if err := h.Send(f, []byte(options)); !errors.Is(err, transport.ErrGone) {
				t.Errorf("Send, %s = %v, want %v", name, err, transport.ErrGone)
			}
		}
		_ = again.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := again.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the other connection got %d bytes, %v, want none", n, err)
		}
		if p := h.gone[0]; p.SetValue("too late") {
			t.Error("SetValue on a closed connection = true")
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	limit := func(l transport.Limits) func(*transport.Options) {
		return func(o *transport.Options) { o.Limits = l }
	}
	// Each connection proves itself when it sends; those that do not stay Unproven.
	tests := []struct {
		name      string
		limits    transport.Limits
		sources   []string // of the connections, in order; with ! they send
		open      string   // one letter a connection: y or n
		refused   string
		refusals  int
		evictions int
	}{
		{"of one source", transport.Limits{PerSource: 2}, []string{"!192.0.2.7", "!192.0.2.7", "192.0.2.7", "192.0.2.8"}, "yyny", "source", 1, 0},
		{"of one IPv6 subscriber", transport.Limits{PerSource: 1}, []string{"!2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"}, "yny", "source", 1, 0},
		{"the oldest that proved nothing goes", transport.Limits{Unproven: 2}, []string{"192.0.2.1", "!192.0.2.2", "192.0.2.3", "192.0.2.4"}, "nyyy", "", 0, 1},
		{"full, and somebody to evict", transport.Limits{Connections: 2}, []string{"!192.0.2.1", "192.0.2.2", "192.0.2.3"}, "yny", "", 0, 1},
		{"full of proven ones", transport.Limits{Connections: 2}, []string{"!192.0.2.1", "!192.0.2.2", "192.0.2.3"}, "yyn", "full", 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := openHall(t, transport.Proven, limit(tt.limits))
				var conns []net.Conn
				for _, src := range tt.sources {
					host, sends := strings.CutPrefix(src, "!")
					c := h.dial(netip.AddrPortFrom(netip.MustParseAddr(host), 0).String())
					if sends {
						write(t, c, options)
						expect(t, c, options)
					}
					conns = append(conns, c)
					synctest.Wait()
				}
				var open strings.Builder
				for _, c := range conns {
					_ = c.SetReadDeadline(time.Now().Add(time.Second))
					if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
						open.WriteByte('y')
					} else {
						open.WriteByte('n')
					}
				}
				if open.String() != tt.open {
					t.Errorf("open connections %s, want %s", &open, tt.open)
				}
				if n := h.sum("connections_refused_total", tt.refused); tt.refusals > 0 && n != float64(tt.refusals) {
					t.Errorf("%v refused for %q, want %d", n, tt.refused, tt.refusals)
				}
				if n := h.sum("connections_closed_total", "evicted"); n != float64(tt.evictions) {
					t.Errorf("%v evicted, want %d", n, tt.evictions)
				}
				for _, c := range conns {
					c.Close()
				}
				synctest.Wait()
				last := h.dial("192.0.2.9:0") // nothing is left of the account
				write(t, last, options)
				expect(t, last, options)
			})
		})
	}
}

// Messages that have begun take so much memory and no more.

func TestDial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, transport.Proven)
		trunk := netip.MustParseAddrPort("198.51.100.1:5060")
		ln := h.streams.Listen(trunk)
		var wg sync.WaitGroup
		flows := make([]location.Flow, 3)
		for i := range flows {
			wg.Go(func() {
				var err error
				if flows[i], err = h.Dial(t.Context(), location.TCP, trunk, fmt.Sprint("name", i)); err != nil {
					t.Errorf("Dial = %v", err)
				}
			})
		}
		wg.Wait()
		if flows[0] != flows[1] || flows[0] != flows[2] || flows[0].Local != ours || flows[0].Remote != trunk {
			t.Errorf("Dial = %v, want one flow from %v to %v", flows, ours, trunk)
		}
		c, _ := ln.Accept()
		if err := h.Send(flows[0], []byte(options)); err != nil {
			t.Errorf("Send = %v", err)
		}
		expect(t, c, options)
		write(t, c, options) // requests come down it too
		expect(t, c, options)
		<-time.After(time.Minute) // what we dialed needs to prove nothing
		if _, err := h.Dial(t.Context(), location.TCP, trunk, ""); err != nil {
			t.Errorf("Dial again = %v", err)
		}
		c.Close()
		synctest.Wait()
		if err := h.Send(flows[0], []byte(options)); !errors.Is(err, transport.ErrGone) {
			t.Errorf("Send when it is gone = %v, want %v", err, transport.ErrGone)
		}
		again, err := h.Dial(t.Context(), location.TCP, trunk, "")
		if err != nil || again == flows[0] {
			t.Errorf("Dial when it is gone = %v, %v, want another flow", again, err)
		}
		if _, err := h.Dial(t.Context(), location.TCP, phone, ""); !errors.Is(err, siptest.ErrRefused) {
			t.Errorf("Dial of nobody = %v, want %v", err, siptest.ErrRefused)
		}
		if _, err := h.Dial(t.Context(), location.UDP, trunk, ""); !errors.Is(err, transport.ErrNoListener) {
			t.Errorf("Dial of UDP without a listener = %v, want %v", err, transport.ErrNoListener)
		}
	})
}

// Who waits for a dial that stalls gives up when its time is over, and the next
// one tries anew.
func TestDialStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, transport.Proven, func(o *transport.Options) {
			o.Connect = func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
		})
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				begun := time.Now()
				if _, err := h.Dial(ctx, location.TCP, phone, ""); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Dial %d = %v, want %v", i, err, context.DeadlineExceeded)
				}
				if wait := time.Since(begun); wait != time.Duration(i+1)*time.Second {
					t.Errorf("Dial %d took %v", i, wait)
				}
			})
		}
		wg.Wait()
	})
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	v2 := func(head string, size int, rest string) string {
		return "\r\n\r\n\x00\r\nQUIT\n" + head + string([]byte{byte(size >> 8), byte(size)}) + rest
	}
	const six = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09"
	tests := []struct {
		name, from, header, remote string // remote "": refused
	}{
		{"version 1", "192.0.2.7:1", "PROXY TCP4 198.51.100.9 192.0.2.1 4000 5060\r\n", "198.51.100.9:4000"},
		{"version 1, IPv6", "192.0.2.7:1", "PROXY TCP6 2001:db8::9 2001:db8::1 4000 5060\r\n", "[2001:db8::9]:4000"},
		{"version 1, unknown", "192.0.2.7:1", "PROXY UNKNOWN\r\n", "192.0.2.7:1"},
		{"version 1, malformed", "192.0.2.7:1", "PROXY TCP4 198.51.100.9\r\n", ""},
		{"version 1, wrong family", "192.0.2.7:1", "PROXY TCP4 2001:db8::9 192.0.2.1 4000 5060\r\n", ""},
		{"version 1, no port", "192.0.2.7:1", "PROXY TCP4 198.51.100.9 192.0.2.1 70000 5060\r\n", ""},
		{"version 1, no end", "192.0.2.7:1", "PROXY " + strings.Repeat("x", 200), ""},
		{"version 2", "192.0.2.7:1", v2("\x21\x11", 12, "\xc6\x33\x64\x09\xc0\x00\x02\x01\x0f\xa0\x13\xc4"), "198.51.100.9:4000"},
		{"version 2, more behind", "192.0.2.7:1", v2("\x21\x11", 15, "\xc6\x33\x64\x09\xc0\x00\x02\x01\x0f\xa0\x13\xc4\x04\x00\x00"), "198.51.100.9:4000"},
		{"version 2, IPv6", "192.0.2.7:1", v2("\x21\x21", 36, six+six+"\x0f\xa0\x13\xc4"), "[2001:db8::9]:4000"},
		{"version 2, the balancer's own", "192.0.2.7:1", v2("\x20\x00", 0, ""), "192.0.2.7:1"},
		{"version 2, too short", "192.0.2.7:1", v2("\x21\x11", 4, "\xc6\x33\x64\x09"), ""},
		{"version 2, too long", "192.0.2.7:1", v2("\x21\x11", 60000, ""), ""},
		{"version 3", "192.0.2.7:1", v2("\x31\x11", 12, "\xc6\x33\x64\x09\xc0\x00\x02\x01\x0f\xa0\x13\xc4"), ""},
		{"none, from a balancer", "192.0.2.7:1", "", ""},
		{"none, from a phone", "192.0.2.8:1", "", "192.0.2.8:1"},
		{"one, from a phone", "192.0.2.8:1", "PROXY TCP4 198.51.100.9 192.0.2.1 4000 5060\r\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := openHall(t, transport.Proven, func(o *transport.Options) {
					o.Listeners[0].ProxyFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}
				})
				c := h.dial(tt.from)
				go func() { _, _ = c.Write([]byte(tt.header + options)) }()
				if tt.remote == "" {
					_, _ = io.Copy(io.Discard, c)
					for _, p := range h.peers { // malformed, and the phone's own
						if got := p.Flow().Remote.String(); got != tt.from || strings.HasPrefix(tt.name, "version") {
							t.Errorf("a message came from %v, want none", got)
						}
					}
					return
				}
				expect(t, c, options)
				if got := h.peers[0].Flow().Remote.String(); got != tt.remote {
					t.Errorf("it came from %s, want %s", got, tt.remote)
				}
			})
		})
	}
}

// FuzzStream sends anything, cut in two anywhere: nothing panics, no more comes
// back than was sent, and what is whole is answered.
func FuzzStream(f *testing.F) {
	f.Add([]byte(options), uint(10))
	f.Add([]byte("\r\n\r\n\r\n"+options+"\r\n\r\n"), uint(3))
	f.Add([]byte("INVITE\r\n\r\n"), uint(8))
	f.Add([]byte(strings.Replace(options, "Content-Length: 0", "l: 99999", 1)), uint(400))
	f.Add([]byte("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n\x16\x03"), uint(12))
	f.Fuzz(func(t *testing.T, sent []byte, at uint) {
		synctest.Test(t, func(t *testing.T) {
			h := openHall(t, transport.Proven)
			c := h.dial("192.0.2.7:0")
			cut := int(at % uint(len(sent)+1)) //nolint:gosec // small
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = c.Write(sent[:cut])
				_, _ = c.Write(sent[cut:])
				<-time.After(time.Second)
				c.Close()
			})
			got, _ := io.ReadAll(c)
			wg.Wait()
			synctest.Wait()
			if len(got) > len(sent) {
				t.Errorf("%d bytes came back for %d", len(got), len(sent))
			}
			if n := h.sum("panics_total", ""); n != 0 {
				t.Errorf("%v panics", n)
			}
			if string(sent) == options && !bytes.Equal(got, sent) {
				t.Errorf("got %q, want it back", got)
			}
		})
	})
}

// tired is a listener that fails before it accepts, as one without file
// descriptors does.
type tired struct {
	net.Listener
	fails int
}

func (l *tired) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

// An error of accepting ends nothing (trap 8).
func TestAcceptGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openHall(t, transport.Proven, func(o *transport.Options) {
			o.Listeners[0].Stream = &tired{o.Listeners[0].Stream, 20}
		})
		c := h.dial("192.0.2.7:0")
		begun := time.Now()
		write(t, c, options)
		expect(t, c, options)
		if wait := time.Since(begun); wait > 15*time.Second {
			t.Errorf("it took %v, want at most a second for each error", wait)
		}
	})
}
