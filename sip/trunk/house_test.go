package trunk_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/lane"
	"bellhop/sip/siptest"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/trunk"
	"bellhop/sip/wire"
)

const domain = "bellhop.test"

var (
	public  = netip.MustParseAddrPort("192.0.2.10:5060")
	private = netip.MustParseAddrPort("10.0.0.10:5060")
)

// A house is a manager in a bubble, with carriers around it.
type house struct {
	t        *testing.T
	m        *trunk.Manager
	table    *lane.Table
	txs      *transaction.Layer
	registry *prometheus.Registry
	stop     func()

	mu       sync.Mutex
	trunks   []directory.Peering
	failing  error
	changed  chan struct{}
	carriers map[string]*carrier
	conns    map[string]bool // that refuse to be made
}

// A carrier answers requests: status 0 is silence.
type carrier struct {
	answer func(m *wire.Message) (status int, lines string)
	got    []*wire.Message
	at     []time.Time
}

// bubble runs f in a bubble with a house, and stops the house.
func bubble(t *testing.T, f func(t *testing.T, h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		f(t, h)
		h.stop()
	})
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{
		t: t, registry: prometheus.NewRegistry(), changed: make(chan struct{}, 1), carriers: map[string]*carrier{}, conns: map[string]bool{},
	}
	pool := lane.NewPool(lane.PoolOptions{})
	h.table = lane.NewTable(pool, h.step)
	h.txs = transaction.New(transaction.Options{Sender: h})
	h.m = h.manager()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { pool.Run(ctx) })
	managed, part := context.WithCancel(t.Context())
	var mg sync.WaitGroup
	mg.Go(func() { h.m.Run(managed) })
	h.stop = sync.OnceFunc(func() {
		h.after(0)
		part()
		mg.Wait()
		cancel()
		wg.Wait()
	})
	return h
}

// manager makes a manager over the trunks of the house.
func (h *house) manager() *trunk.Manager {
	m := trunk.New(trunk.Options{
		Directory: h, Keys: siptest.Keys{}, Network: h, Lanes: h.table, Transports: all, V4: true, V6: true,
		Servers: []netip.AddrPort{}, Registerer: h.registry,
	})
	m.Resolve(newZone(h.t, carrierZone).exchange)
	return m
}

// step is a step of a lane, as the server takes it.
func (h *house) step(ln *lane.Lane, ev lane.Event) {
	set, ok := ln.State.(*transaction.Set)
	if !ok {
		set = h.txs.NewSet(ln)
		ln.State = set
	}
	switch ev := ev.(type) {
	case *transport.Packet:
		set.Response(&ev.Msg)
	case transaction.Task:
		ev(set)
	case lane.Fired:
		if !ev.Stale() {
			set.Fired(ev)
		}
	default:
		panic(fmt.Sprintf("unknown event %T", ev))
	}
	if set.Empty() {
		ln.CloseIdle()
	}
}

// Peerings implements [trunk.Directory].
func (h *house) Peerings(context.Context) ([]directory.Peering, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.trunks), h.failing
}

// TrunksChanged implements [trunk.Directory].
func (h *house) TrunksChanged() <-chan struct{} { return h.changed }

// Dial implements [trunk.Network].
func (h *house) Dial(_ context.Context, tr location.Transport, addr netip.AddrPort, _ string) (location.Flow, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conns[addr.String()] {
		return location.Flow{}, errors.New("connection refused")
	}
	f := location.Flow{Transport: tr, Local: public, Remote: addr}
	if tr != location.UDP {
		f.Conn = 1
	}
	return f, nil
}

// Advertise implements [trunk.Network].
func (h *house) Advertise(local netip.AddrPort) netip.AddrPort { return local }

// Private implements [trunk.Network].
func (h *house) Private(local netip.AddrPort) bool { return local == private }

// Send implements [transaction.Sender]: it reaches a carrier, whose answer comes
// 20 ms later.
func (h *house) Send(f location.Flow, b []byte) error {
	m := new(wire.Message)
	if err := m.Parse(slices.Clone(b)); err != nil {
		h.t.Errorf("sent what nobody can read: %v\n%s", err, b)
		return nil
	}
	h.mu.Lock()
	c := h.carriers[f.Remote.String()]
	if c == nil {
		h.mu.Unlock()
		return nil
	}
	c.got, c.at = append(c.got, m), append(c.at, time.Now())
	status, lines := c.answer(m)
	h.mu.Unlock()
	if status == 0 {
		return nil
	}
	res := wire.AppendResponse(nil, m, status, "", []byte("carrier"), []byte(lines))
	time.AfterFunc(20*time.Millisecond, func() {
		p := &transport.Packet{Flow: f, Received: time.Now()}
		if err := p.Msg.Parse(res); err != nil {
			h.t.Errorf("a carrier sent what nobody can read: %v\n%s", err, res)
			return
		}
		if ln := h.table.Get(p.Msg.CallID()); ln != nil {
			_ = ln.Post(p.Own())
		}
	})
	return nil
}

// carrier puts a carrier at an address, in place of the one there.
func (h *house) carrier(at string, answer func(m *wire.Message) (int, string)) *carrier {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &carrier{answer: answer}
	h.carriers[at] = c
	return c
}

// always answers everything with a status.
func always(status int, lines ...string) func(*wire.Message) (int, string) {
	return func(*wire.Message) (int, string) { return status, strings.Join(lines, "") }
}

// requests are the methods that a carrier got.
func (h *house) requests(c *carrier, method wire.Method) (out []*wire.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range c.got {
		if m.Method() == method {
			out = append(out, m)
		}
	}
	return out
}

// peering is a trunk as the directory compiles it from its document.
func peering(t *testing.T, name, doc string) directory.Peering {
	t.Helper()
	v, err := directory.Parse[directory.Trunk](directory.KindTrunk, []byte(doc))
	if err != nil {
		t.Fatalf("trunk %s: %v", name, err)
	}
	p := directory.Peering{
		Domain: domain, Name: name, Realm: domain, Trunk: v, Peers: directory.PeersOf(v), Sources: directory.SourcesOf(v), Names: directory.NamesOf(v),
		MaxCalls: max(int(v.MaxCalls), 0), MaxCPS: max(int(v.MaxCPS), 0),
	}
	return p
}

// signed gives a trunk credentials.
func signed(p directory.Peering, username, password string) directory.Peering {
	p.Username = username
	p.Sealed = siptest.Keys{}.Seal(directory.SealTrunk, []byte(password), directory.TrunkAAD(p.Domain, p.Name))
	return p
}

// set puts trunks in the directory and tells the manager.
func (h *house) set(trunks ...directory.Peering) {
	h.mu.Lock()
	h.trunks = trunks
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
	synctest.Wait()
}

// after lets time pass. What the test looked at of a carrier before, it looked at
// before.
func (h *house) after(d time.Duration) {
	h.mu.Lock()
	h.mu.Unlock() //nolint:staticcheck // the race detector wants to see it
	<-time.After(d)
	synctest.Wait()
}

func (h *house) status(name string) feed.TrunkStatus {
	h.t.Helper()
	s, ok := h.m.Status(domain, name)
	if !ok {
		h.t.Fatalf("there is no trunk %s", name)
	}
	return s
}

// attempts are the URIs, or the error, of a call.
func (h *house) attempts(name, number string) []string {
	h.t.Helper()
	as, err := h.m.Attempts(h.t.Context(), domain, name, number)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, a := range as {
		out = append(out, a.Flow.Transport.String()+" "+a.Flow.Remote.String()+" "+a.URI)
	}
	return out
}
