package sip_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
	"bellhop/store/memstore"
)

const (
	domain   = "bellhop.test"
	server   = "192.0.2.1:5060"
	password = "Pass-word-1"
)

// A house is a running server with its stores and its network.
type house struct {
	net     *siptest.Network
	store   *memstore.Store
	server  *sip.Server
	metrics *prometheus.Registry
	options sip.Options
	kill    func() // ends the server as it is
}

// in runs a scenario in a bubble with a house of the numbers 1001 to 1006, each
// with a device desk-<number>; 1002 also has soft-1002 and web-1002.
func in(t *testing.T, scenario func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1)
		scenario(t, h)
		h.sane(t)
	})
}

func newHouse(tb testing.TB, seed uint64, change ...func(*sip.Options)) *house {
	tb.Helper()
	n := siptest.NewNetwork(seed)
	return open(tb, n, transport.Listener{Transport: location.UDP, Conn: n.Listen(netip.MustParseAddrPort(server))}, change...)
}

// A slowWorld knows nothing from memory, and answers a second late.
type slowWorld struct{ sip.World }

func (slowWorld) Cached(routing.Need, *routing.World) bool { return false }

func (s slowWorld) Load(ctx context.Context, n routing.Need, w *routing.World) error {
	<-time.After(time.Second)
	return s.World.Load(ctx, n, w)
}

// open starts a server behind a listener; it ends with the test.
func open(tb testing.TB, n *siptest.Network, at transport.Listener, change ...func(*sip.Options)) *house {
	tb.Helper()
	h := &house{net: n, metrics: prometheus.NewRegistry()}
	var err error
	stream := feed.NewStream(1)
	if h.store, err = memstore.New(memstore.Options{Feed: stream}); err != nil {
		tb.Fatal(err)
	}
	h.provision(tb)
	o := sip.Options{
		Listeners: []transport.Listener{at},
		Keys:      siptest.Keys{}, Credentials: h.store.Cache.Credentials(), World: h.store.Cache, Tenants: h.store.Cache, Trunks: h.store.Cache,
		Calls: h.store.Calls, Settings: h.store, Location: h.store.Bindings, Node: 1, Registerer: h.metrics,
		Store: h.store, Feed: stream,
	}
	for _, f := range change {
		f(&o)
	}
	h.options = o
	ctx, cancel := context.WithCancel(tb.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.store.Run(ctx); err != nil {
			tb.Errorf("store: %v", err)
		}
	})
	tb.Cleanup(func() { cancel(); wg.Wait() })
	h.run(tb)
	return h
}

// run starts a server; it ends with the test.
func (h *house) run(tb testing.TB) {
	tb.Helper()
	var err error
	if h.server, err = sip.New(h.options); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	var wg sync.WaitGroup
	server := h.server
	wg.Go(func() {
		if err := server.Run(ctx); err != nil {
			tb.Errorf("server: %v", err)
		}
	})
	h.kill = func() { cancel(); wg.Wait() }
	tb.Cleanup(h.kill)
}

// again starts another server in the place of the one that runs, with nothing but
// the stores; more are its listeners besides UDP.
func (h *house) again(tb testing.TB, more ...transport.Listener) {
	tb.Helper()
	h.kill()
	h.metrics = prometheus.NewRegistry()
	h.options.Registerer = h.metrics
	h.options.Listeners = append([]transport.Listener{{Transport: location.UDP, Conn: h.net.Listen(netip.MustParseAddrPort(server))}}, more...)
	h.run(tb)
	synctest.Wait()
}

func (h *house) provision(tb testing.TB) {
	tb.Helper()
	h.apply(tb, put(directory.KindDomain, domain, `{"realm":"bellhop.test","aliases":["pbx.test"],"region":"DE"}`))
	h.apply(tb, put(directory.KindDomain, "open.test", `{"realm":"open.test","policies":{"strangers":true}}`))
	for n := 1001; n <= 1006; n++ {
		number := fmt.Sprint(n)
		h.apply(tb, put(directory.KindUser, "user"+number, `{}`), put(directory.KindNumber, number, `{"user":"user`+number+`"}`))
		h.device(tb, "desk-"+number, number)
	}
	h.device(tb, "soft-1002", "1002")
	h.device(tb, "web-1002", "1002")
}

// device makes a device of a number of the domain.
func (h *house) device(tb testing.TB, name, number string) {
	tb.Helper()
	h.openDevice(tb, domain, name, number)
}

// openDevice makes a device of a number of any domain.
func (h *house) openDevice(tb testing.TB, domain, name, number string) {
	tb.Helper()
	sealed := siptest.Keys{}.Seal(directory.SealCredential, []byte(password), directory.CredentialAAD(domain, name, name))
	h.apply(tb,
		directory.Write{
			Ref:  directory.Ref{Domain: domain, Kind: directory.KindDevice, Name: name},
			Body: []byte(`{"kind":"desk","lines":[{"number":"` + number + `"}]}`),
		},
		directory.Write{
			Ref:  directory.Ref{Domain: domain, Kind: directory.KindCredential, Name: name},
			Body: []byte(`{"id":"` + name + `","device":"` + name + `","sealed":"` + base64.StdEncoding.EncodeToString(sealed) + `"}`),
		})
}

// put writes a document of the domain, or a domain.
func put(kind directory.Kind, name, body string) directory.Write {
	ref := directory.Ref{Domain: domain, Kind: kind, Name: name}
	if kind == directory.KindDomain {
		ref.Domain = ""
	}
	return directory.Write{Ref: ref, Body: []byte(body)}
}

func (h *house) apply(tb testing.TB, ws ...directory.Write) {
	tb.Helper()
	if _, err := h.store.Apply(tb.Context(), directory.Author{Actor: "test"}, ws); err != nil {
		tb.Fatal(err)
	}
}

// phone puts a device into the network, at the host 192.0.2.<host>.
func (h *house) phone(device string, host int) *siptest.Phone {
	return siptest.NewPhone(h.net, siptest.Line{
		Device: device, Password: password, Instance: "<urn:x:" + device + ">", Number: device[len(device)-4:], Domain: domain,
		Addr:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), 5060),
		Server: netip.MustParseAddrPort(server),
	})
}

// registered is a phone that has registered, with an empty ladder.
func (h *house) registered(tb testing.TB, device string, host int) *siptest.Phone {
	tb.Helper()
	p := h.phone(device, host)
	if res := p.Register(tb, siptest.Registration{}); res.Status() != 200 {
		tb.Fatalf("REGISTER of %s: %d %s", device, res.Status(), res.Reason())
	}
	p.Ladder = nil
	return p
}

// metric returns the sum of a counter or gauge.
func (h *house) metric(tb testing.TB, name string) (sum float64) {
	tb.Helper()
	families, err := h.metrics.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	found := false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		found = true
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	if !found {
		tb.Fatalf("no metric %s", name)
	}
	return sum
}

// lanes is how many calls and other exchanges have state.
func (h *house) lanes(tb testing.TB) int { tb.Helper(); return int(h.metric(tb, "bellhop_lane_open")) }

// sane fails when something panicked, and when something is left five minutes
// after the last message: a lane, a call, a number that rings.
func (h *house) sane(tb testing.TB) {
	tb.Helper()
	<-time.After(5 * time.Minute)
	synctest.Wait()
	h.calm(tb)
	if n := h.lanes(tb); n != 0 {
		tb.Errorf("%d lanes are left", n)
	}
	if n := h.server.Ringing() + h.server.Offered(); n != 0 {
		tb.Errorf("%d numbers ring for ever", n)
	}
	if n := h.metric(tb, "bellhop_sip_transactions_lingering"); n != 0 {
		tb.Errorf("%v transactions linger", n)
	}
	for _, c := range h.store.Calls.Live(domain) {
		if c.State != feed.Talking {
			tb.Errorf("call %+v is left", c)
		}
	}
}

// calm fails when something panicked.
func (h *house) calm(tb testing.TB) {
	tb.Helper()
	for _, name := range []string{"bellhop_lane_panics_total", "bellhop_transport_panics_total"} {
		if n := h.metric(tb, name); n != 0 {
			tb.Errorf("%s = %v", name, n)
		}
	}
}

// record returns the record of the only call that ended.
func (h *house) record(tb testing.TB) *feed.Call {
	tb.Helper()
	calls, _, err := h.store.Records(tb.Context(), domain, feed.Filter{})
	if err != nil || len(calls) != 1 {
		tb.Fatalf("%d records, %v, want 1", len(calls), err)
	}
	return calls[0]
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
