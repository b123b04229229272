package trunk_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"bellhop/routing/location"
	"bellhop/sip/trunk"
)

var (
	udpOnly = []location.Transport{location.UDP}
	all     = []location.Transport{location.UDP, location.TCP, location.TLS}
)

// A zone answers questions from lines of a zone file.
type zone struct {
	mu      sync.Mutex
	records []dns.RR
	asked   map[string]int
	rcode   int  // of what is not there
	bare    bool // negative answers without SOA
}

func newZone(t *testing.T, lines string) *zone {
	t.Helper()
	z := &zone{asked: map[string]int{}, rcode: dns.RcodeNameError}
	z.set(t, lines)
	return z
}

func (z *zone) set(t *testing.T, lines string) {
	t.Helper()
	var records []dns.RR
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("NewRR(%q): %v", line, err)
		}
		records = append(records, rr)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = records
}

// count is how often a question was asked.
func (z *zone) count(question string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[question]
}

// reply answers as a recursive server does: with the chain of CNAMEs.
func (z *zone) reply(q *dns.Msg) *dns.Msg {
	z.mu.Lock()
	defer z.mu.Unlock()
	r := new(dns.Msg)
	r.SetReply(q)
	name, kind := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	z.asked[name+" "+dns.TypeToString[kind]]++
	exists := false
	for range 20 {
		next := ""
		for _, rr := range z.records {
			h := rr.Header()
			if !strings.EqualFold(h.Name, name) {
				continue
			}
			exists = true
			if h.Rrtype == kind {
				r.Answer = append(r.Answer, rr)
			}
			if c, ok := rr.(*dns.CNAME); ok {
				r.Answer, next = append(r.Answer, rr), c.Target
			}
		}
		if next == "" {
			break
		}
		name = strings.ToLower(next)
	}
	if len(r.Answer) == 0 {
		if !exists {
			r.Rcode = z.rcode
		}
		if !z.bare {
			soa, _ := dns.NewRR("example. 600 IN SOA ns.example. admin.example. 1 2 3 4 20")
			r.Ns = append(r.Ns, soa)
		}
	}
	return r
}

func (z *zone) exchange(_ context.Context, q *dns.Msg, _ string) (*dns.Msg, error) {
	return z.reply(q), nil
}

// serve runs a real name server on loopback, UDP and TCP on one port.
func serve(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	pc, ln := samePort(t)
	var wg sync.WaitGroup
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: ln, Handler: handler}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		wg.Go(func() { _ = s.ActivateAndServe() })
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	t.Cleanup(func() { go wg.Wait() })
	return pc.LocalAddr().String()
}

// samePort listens on a port that nobody has over UDP and TCP.
func samePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if pc, err := net.ListenPacket("udp", ln.Addr().String()); err == nil {
			return pc, ln
		}
		_ = ln.Close()
	}
}

const carrierZone = `
	carrier.example.            60 IN NAPTR 20 10 "s" "SIP+D2U"  "" _sip._udp.carrier.example.
	carrier.example.            60 IN NAPTR 10 20 "s" "SIP+D2T"  "" _sip._tcp.carrier.example.
	carrier.example.            60 IN NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.carrier.example.
	carrier.example.            60 IN NAPTR 5 1   "u" "E2U+sip"  "!.*!sip:x@y!" .
	carrier.example.            60 IN A     192.0.2.99
	_sip._udp.carrier.example.  60 IN SRV   10 0 5070 b.carrier.example.
	_sip._udp.carrier.example.  60 IN SRV   5 0 5060 a.carrier.example.
	_sip._tcp.carrier.example.  60 IN SRV   5 0 5080 a.carrier.example.
	_sips._tcp.carrier.example. 60 IN SRV   5 0 5061 a.carrier.example.
	a.carrier.example.          60 IN A     192.0.2.1
	a.carrier.example.          60 IN AAAA  2001:db8::1
	b.carrier.example.          60 IN CNAME c.carrier.example.
	c.carrier.example.          60 IN A     192.0.2.2
	srv.example.                60 IN A     192.0.2.99
	_sip._udp.srv.example.      60 IN SRV   5 0 5090 a.carrier.example.
	_sip._tcp.srv.example.      60 IN SRV   5 0 5091 a.carrier.example.
	plain.example.              60 IN A     192.0.2.7
	away.example.               60 IN A     192.0.2.8
	_sip._udp.away.example.     60 IN SRV   0 0 0 .
	round.example.              60 IN CNAME trip.example.
	trip.example.               60 IN CNAME round.example.
`

func TestResolve(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, peer string
		transports []location.Transport
		v6         bool
		want       []string
		err        string
	}{
		{name: "a number", peer: "192.0.2.5", want: []string{"UDP 192.0.2.5:5060"}},
		{name: "a number with a port", peer: "192.0.2.5:5080", want: []string{"UDP 192.0.2.5:5080"}},
		{name: "IPv6", peer: "[2001:db8::5]:5080", v6: true, want: []string{"UDP [2001:db8::5]:5080"}},
		{name: "IPv6 without a listener", peer: "[2001:db8::5]", err: "no listener"},
		{name: "TLS", peer: "192.0.2.5;transport=tls", transports: all, want: []string{"TLS 192.0.2.5:5061"}},
		{name: "TLS that we do not speak", peer: "192.0.2.5;transport=tls", err: "no listener"},
		{name: "transport by word", peer: "192.0.2.5;transport=TCP", transports: all, want: []string{"TCP 192.0.2.5:5060"}},
		{name: "a name with a port", peer: "plain.example:5099", want: []string{"UDP 192.0.2.7:5099"}},
		{name: "a port skips SRV", peer: "srv.example:5099", want: []string{"UDP 192.0.2.99:5099"}},
		{name: "a transport takes its SRV", peer: "srv.example;transport=tcp", transports: all, want: []string{"TCP 192.0.2.1:5091"}},
		{name: "a transport without SRV", peer: "plain.example;transport=tls", transports: all, want: []string{"TLS 192.0.2.7:5061"}},
		{name: "NAPTR, UDP only", peer: "carrier.example", want: []string{"UDP 192.0.2.1:5060", "UDP 192.0.2.2:5070"}},
		{name: "NAPTR in the order of the host", peer: "carrier.example", transports: all, want: []string{
			"TLS 192.0.2.1:5061", "TCP 192.0.2.1:5080", "UDP 192.0.2.1:5060", "UDP 192.0.2.2:5070",
		}},
		{name: "both families", peer: "CARRIER.example", v6: true, want: []string{"UDP [2001:db8::1]:5060", "UDP 192.0.2.1:5060", "UDP 192.0.2.2:5070"}},
		{name: "no NAPTR", peer: "srv.example", want: []string{"UDP 192.0.2.1:5090"}},
		{name: "no NAPTR, all that is offered", peer: "srv.example", transports: all, want: []string{"UDP 192.0.2.1:5090", "TCP 192.0.2.1:5091"}},
		{name: "addresses only", peer: "plain.example", want: []string{"UDP 192.0.2.7:5060"}},
		{name: "service not offered", peer: "away.example", err: "not offered"},
		{name: "unknown", peer: "nobody.example", err: "no such name"},
		{name: "CNAMEs in a circle", peer: "round.example:5060", err: "lead nowhere"},
		{name: "localhost", peer: "localhost:5090", want: []string{"UDP 127.0.0.1:5090"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.transports == nil {
				tt.transports = udpOnly
			}
			z := newZone(t, carrierZone)
			r := trunk.NewResolver(z.exchange, []string{"server"}, tt.transports, true, tt.v6)
			got, err := r.Resolve(t.Context(), tt.peer)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("Resolve(%s) = %v, %v, want an error with %q", tt.peer, got, err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("Resolve(%s): %v\n%s", tt.peer, err, diff)
			}
		})
	}
}

// TestServers asks real name servers, that misbehave.
func TestServers(t *testing.T) {
	t.Parallel()
	z := newZone(t, carrierZone)
	plain := func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(z.reply(q)) }
	tests := []struct {
		name    string
		handler dns.HandlerFunc
		want    []string
	}{
		{"well", plain, []string{"UDP 192.0.2.7:5060"}},
		{"truncated over UDP", func(w dns.ResponseWriter, q *dns.Msg) {
			r := z.reply(q)
			if w.LocalAddr().Network() == "udp" {
				r.Truncated, r.Answer = true, nil
			}
			_ = w.WriteMsg(r)
		}, []string{"UDP 192.0.2.7:5060"}},
		{"another question", func(w dns.ResponseWriter, q *dns.Msg) {
			r := z.reply(q)
			r.Question[0].Name = "evil.example."
			_ = w.WriteMsg(r)
		}, nil},
		{"another id", func(w dns.ResponseWriter, q *dns.Msg) {
			r := z.reply(q)
			r.Id++
			_ = w.WriteMsg(r)
		}, nil},
		{"records nobody asked for", func(w dns.ResponseWriter, q *dns.Msg) {
			r := z.reply(q)
			evil, _ := dns.NewRR("evil.example. 60 IN A 198.51.100.66")
			r.Answer = append([]dns.RR{evil}, r.Answer...)
			r.Extra = append(r.Extra, evil)
			_ = w.WriteMsg(r)
		}, []string{"UDP 192.0.2.7:5060"}},
		{"refuses", func(w dns.ResponseWriter, q *dns.Msg) {
			r := new(dns.Msg)
			_ = w.WriteMsg(r.SetRcode(q, dns.RcodeRefused))
		}, nil},
		{"noise", func(w dns.ResponseWriter, _ *dns.Msg) { _, _ = w.Write([]byte("\x00\x01no DNS at all")) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, second := range []bool{false, true} {
				servers := []string{serve(t, tt.handler)}
				want := tt.want
				if second { // the next server saves it
					servers, want = append(servers, serve(t, plain)), []string{"UDP 192.0.2.7:5060"}
				}
				got, err := trunk.NewResolver(nil, servers, udpOnly, true, false).Resolve(t.Context(), "plain.example")
				if !slices.Equal(got, want) || (err == nil) != (want != nil) {
					t.Errorf("with a good server behind it %v: Resolve = %v, %v, want %v", second, got, err, want)
				}
			}
		})
	}
}

// TestHugeAnswer: an answer as large as there can be costs no more than its cap.
func TestHugeAnswer(t *testing.T) {
	t.Parallel()
	at := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg)
		r.SetReply(q)
		if w.LocalAddr().Network() == "udp" {
			r.Truncated = true
			_ = w.WriteMsg(r)
			return
		}
		for i := range 2000 {
			rr, _ := dns.NewRR(fmt.Sprintf("%s 60 IN A 10.0.%d.%d", q.Question[0].Name, i/250, i%250+1))
			r.Answer = append(r.Answer, rr)
		}
		r.Compress = true
		_ = w.WriteMsg(r)
	})
	r := trunk.NewResolver(nil, []string{at}, udpOnly, true, false)
	addrs, err := r.Lookup(t.Context(), "huge.example")
	if err != nil || len(addrs) != 32 {
		t.Errorf("Lookup = %d addresses, %v, want 32", len(addrs), err)
	}
	got, err := r.Resolve(t.Context(), "huge.example:5060")
	if err != nil || len(got) != 16 {
		t.Errorf("Resolve = %d endpoints, %v, want 16", len(got), err)
	}
}

// TestCache plays hours: what is remembered, for how long, and what an outage of
// the name servers does.
func TestCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "one.example. 60 IN A 192.0.2.1")
		var away atomic.Bool
		r := trunk.NewResolver(func(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
			if away.Load() {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			return z.exchange(ctx, q, server)
		}, []string{"a", "b"}, udpOnly, true, false)
		ask := func(name, want string, asked int) {
			t.Helper()
			got, err := r.Lookup(t.Context(), name)
			if fmt.Sprint(got) != want {
				t.Errorf("Lookup(%s) = %v, %v, want %s", name, got, err, want)
			}
			if n := z.count(name + ". A"); n != asked {
				t.Errorf("%s was asked for %d times, want %d", name, n, asked)
			}
		}
		ask("one.example", "[192.0.2.1]", 1)
		<-time.After(59 * time.Second)
		ask("one.example", "[192.0.2.1]", 1)
		z.set(t, "one.example. 0 IN A 192.0.2.2")
		<-time.After(time.Second)
		ask("one.example", "[192.0.2.2]", 2)
		ask("one.example", "[192.0.2.2]", 2) // a TTL of 0 lasts a second
		<-time.After(time.Second)
		ask("one.example", "[192.0.2.2]", 3)

		ask("two.example", "[]", 1)
		z.set(t, "one.example. 60 IN A 192.0.2.2\ntwo.example. 4000000 IN A 192.0.2.3")
		<-time.After(19 * time.Second)
		ask("two.example", "[]", 1) // the minimum of the SOA is 20 s
		<-time.After(time.Second)
		ask("two.example", "[192.0.2.3]", 2)
		<-time.After(time.Hour) // no TTL is believed for longer
		ask("two.example", "[192.0.2.3]", 3)

		away.Store(true)
		<-time.After(time.Hour)
		start := time.Now()
		ask("two.example", "[192.0.2.3]", 3) // stale, and better than nothing
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("an outage of the name servers cost %v", d)
		}
		start = time.Now()
		ask("two.example", "[192.0.2.3]", 3)
		if d := time.Since(start); d != 0 {
			t.Errorf("the second asker waited %v", d)
		}
		<-time.After(25 * time.Hour)
		ask("two.example", "[]", 3)
		away.Store(false)
		<-time.After(3 * time.Second)
		ask("two.example", "[192.0.2.3]", 4)
	})
}

// TestOneQuestion: who asks for the same at the same time waits for one answer,
// and one who gives up takes nobody along.
func TestOneQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "one.example. 60 IN A 192.0.2.1")
		r := trunk.NewResolver(func(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
			select {
			case <-time.After(500 * time.Millisecond):
				return z.exchange(ctx, q, server)
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}, []string{"a"}, udpOnly, true, false)
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Lookup(impatient, "one.example"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Lookup of who gave up = %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				if got, err := r.Lookup(t.Context(), "one.example"); len(got) != 1 {
					t.Errorf("Lookup = %v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := z.count("one.example. A"); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
	})
}

// TestOtherServers: a host that moved to another network has other name servers.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := newZone(t, "one.example. 60 IN A 192.0.2.1")
		r := trunk.NewResolver(func(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
			if server != "new" {
				return nil, errors.New("no route")
			}
			return z.exchange(ctx, q, server)
		}, []string{"old"}, udpOnly, true, false)
		r.Again("new")
		if got, err := r.Lookup(t.Context(), "one.example"); err == nil {
			t.Errorf("Lookup = %v without a server", got)
		}
		<-time.After(3 * time.Second)
		if got, err := r.Lookup(t.Context(), "one.example"); len(got) != 1 {
			t.Errorf("Lookup = %v, %v with the new server", got, err)
		}
	})
}

// TestManyNames: hostile settings do not fill the memory.
func TestManyNames(t *testing.T) {
	t.Parallel()
	z := newZone(t, "")
	r := trunk.NewResolver(z.exchange, []string{"a"}, udpOnly, true, false)
	for i := range 5000 {
		_, _ = r.Lookup(t.Context(), fmt.Sprintf("n%d.example", i))
	}
	if n := r.Cached(); n > 4096 {
		t.Errorf("%d names are remembered", n)
	}
}

// TestWeights: each host of a priority comes first about as often as its weight
// says, and never before a lower priority.
func TestWeights(t *testing.T) {
	t.Parallel()
	z := newZone(t, `
		_sip._udp.w.example. 60 IN SRV 1 60 5060 a.w.example.
		_sip._udp.w.example. 60 IN SRV 1 30 5060 b.w.example.
		_sip._udp.w.example. 60 IN SRV 1 10 5060 c.w.example.
		_sip._udp.w.example. 60 IN SRV 2 999 5060 d.w.example.
		a.w.example. 60 IN A 192.0.2.1
		b.w.example. 60 IN A 192.0.2.2
		c.w.example. 60 IN A 192.0.2.3
		d.w.example. 60 IN A 192.0.2.4`)
	r := trunk.NewResolver(z.exchange, []string{"a"}, udpOnly, true, false)
	first := map[string]int{}
	const n = 5000
	for range n {
		got, err := r.Resolve(t.Context(), "w.example")
		if err != nil || len(got) != 4 || got[3] != "UDP 192.0.2.4:5060" {
			t.Fatalf("Resolve = %v, %v", got, err)
		}
		first[got[0]]++
	}
	for host, share := range map[string]float64{"UDP 192.0.2.1:5060": .6, "UDP 192.0.2.2:5060": .3, "UDP 192.0.2.3:5060": .1} {
		if got := float64(first[host]) / n; got < share-.05 || got > share+.05 {
			t.Errorf("%s came first in %.2f of the calls, want %.2f", host, got, share)
		}
	}
}

// TestAnyZone: whatever records there are, resolving ends, with at most so many
// endpoints and without doubles, or with an error.
func TestAnyZone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.SampledFrom([]string{"a.", "b.", "c.", "_sip._udp.a.", "_sip._udp.b.", "."})
		z := &zone{asked: map[string]int{}, rcode: rapid.SampledFrom([]int{dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeServerFailure}).Draw(t, "rcode"), bare: rapid.Bool().Draw(t, "bare")}
		for range rapid.IntRange(0, 40).Draw(t, "records") {
			owner, ttl := host.Draw(t, "owner"), rapid.Uint32().Draw(t, "ttl")
			h := func(kind uint16) dns.RR_Header {
				return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: ttl}
			}
			u16 := rapid.Uint16()
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				z.records = append(z.records, &dns.CNAME{Hdr: h(dns.TypeCNAME), Target: host.Draw(t, "target")})
			case 1:
				z.records = append(z.records, &dns.SRV{Hdr: h(dns.TypeSRV), Priority: u16.Draw(t, "p"), Weight: u16.Draw(t, "w"), Port: u16.Draw(t, "port"), Target: host.Draw(t, "target")})
			case 2:
				z.records = append(z.records, &dns.NAPTR{Hdr: h(dns.TypeNAPTR), Order: u16.Draw(t, "o"), Preference: u16.Draw(t, "p"), Flags: "S", Service: rapid.SampledFrom([]string{"SIP+D2U", "sip+d2t", "x"}).Draw(t, "s"), Replacement: host.Draw(t, "target")})
			case 3:
				z.records = append(z.records, &dns.A{Hdr: h(dns.TypeA), A: rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "a")})
			default:
				z.records = append(z.records, &dns.AAAA{Hdr: h(dns.TypeAAAA), AAAA: rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "aaaa")})
			}
		}
		r := trunk.NewResolver(z.exchange, []string{"s"}, all, true, true)
		got, err := r.Resolve(context.Background(), "a")
		if (len(got) == 0) != (err != nil) || len(got) > 16 {
			t.Fatalf("Resolve = %v, %v", got, err)
		}
		slices.Sort(got)
		if len(slices.Compact(got)) != len(got) {
			t.Fatalf("an endpoint comes twice: %v", got)
		}
	})
}
