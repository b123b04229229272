// Package trunk keeps what the daemon knows of its trunks: which peers they
// have and whether those answer, our registrations with them, how many calls
// they carry, and by which proof a request is theirs (trust.md §1).
//
// It carries no call: sip/b2bua does, with what [Manager] tells it. Requests of
// its own, OPTIONS and REGISTER, run in lanes; [Manager.Run] is one goroutine
// that sees when they are due.
package trunk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
)

// Errors of a [Manager].
var (
	// ErrUnknown reports a trunk that does not exist.
	ErrUnknown = errors.New("trunk: there is no such trunk")
	// ErrDown reports a trunk none of whose peers can be tried now.
	ErrDown = errors.New("trunk: no peer can be reached")
	// ErrCalls reports that max_calls calls are going on (rule limit.trunk).
	ErrCalls = errors.New("trunk: max_calls are going on")
	// ErrRate reports more than max_cps calls in a second (rule limit.trunk).
	ErrRate = errors.New("trunk: more calls a second than max_cps")
)

// A Directory has the trunks of all domains (package store).
type Directory interface {
	// Peerings returns all trunks. It blocks.
	Peerings(ctx context.Context) ([]directory.Peering, error)
	// TrunksChanged returns a channel that has a value when Peerings may
	// answer something new. There is one reader.
	TrunksChanged() <-chan struct{}
}

// A Network reaches peers (package transport).
type Network interface {
	// Dial returns a flow to a peer; for UDP it does not block.
	Dial(ctx context.Context, tr location.Transport, addr netip.AddrPort, serverName string) (location.Flow, error)
	// Advertise is what the listener bound to local is called by in Via and Contact.
	Advertise(local netip.AddrPort) netip.AddrPort
	// Private reports whether nobody who can reach that listener forges addresses.
	Private(local netip.AddrPort) bool
}

// Options are the parts of a [Manager].
type Options struct {
	Directory  Directory // nil: there are no trunks
	Keys       auth.Keys
	Network    Network
	Lanes      *lane.Table          // whose steps take [transaction.Task]
	Transports []location.Transport // that can be dialled, the preferred one first
	V4, V6     bool                 // the families of our listeners
	Streams    bool                 // one of them is for TCP
	Servers    []netip.AddrPort     // name servers; nil: those of the host
	Registerer prometheus.Registerer
	Logger     *slog.Logger // nil: discard
}

// A Manager knows all trunks. Make one with [New], [Manager.Load] the trunks, and [Manager.Run] it once. Its methods are safe for use by many goroutines.
type Manager struct {
	directory Directory
	keys      auth.Keys
	network   Network
	lanes     *lane.Table
	resolver  *resolver
	streams   bool
	log       *slog.Logger
	metrics   *metrics
	matcher   atomic.Pointer[matcher] // of all trunks; replaced, never changed
	wake      chan struct{}           // due has to look again

	mu      sync.Mutex // guards what follows, and the trunks
	trunks  map[key]*trunk
	calls   map[key]int                  // that hold a place
	leaving map[*trunk]bool              // that deregister: deleted ones, and what others were; whether that is under way
	refused map[netip.AddrPort]time.Time // peers that take no connections, until then
	loaded  bool
	news    []func() // to be logged without the lock
}

// none is the directory without trunks.
type none struct{}

func (none) Peerings(context.Context) ([]directory.Peering, error) { return nil, nil }
func (none) TrunksChanged() <-chan struct{}                        { return nil }

// A key names a trunk.
type key struct{ domain, name string }

// hostServers is where the host says which name servers it uses.
const hostServers = "/etc/resolv.conf"

// New returns a manager without trunks. A host without name servers is no
// error: trunks named by addresses work.
func New(o Options) *Manager {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Directory == nil {
		o.Directory = none{}
	}
	m := &Manager{
		directory: o.Directory, keys: o.Keys, network: o.Network, lanes: o.Lanes, log: o.Logger,
		wake: make(chan struct{}, 1), trunks: map[key]*trunk{}, calls: map[key]int{}, refused: map[netip.AddrPort]time.Time{}, leaving: map[*trunk]bool{},
	}
	servers := make([]string, 0, len(o.Servers))
	for _, s := range o.Servers {
		servers = append(servers, s.String())
	}
	if o.Servers == nil {
		var err error
		if servers, err = systemServers(hostServers); err != nil {
			o.Logger.Warn("no name servers, trunks are found by addresses alone", slog.Any("err", err))
		}
	}
	names := newNames(network{}, servers)
	if o.Servers == nil {
		names.again = func() ([]string, error) { return systemServers(hostServers) }
	}
	m.resolver, m.streams = newResolver(names, o.Transports, o.V4, o.V6), o.Streams
	m.metrics = newMetrics(o.Registerer, m)
	m.matcher.Store(&matcher{})
	return m
}

// Load reads the trunks and puts them in force: what changed goes on from where
// it is, what is gone deregisters.
func (m *Manager) Load(ctx context.Context) error {
	peerings, err := m.directory.Peerings(ctx)
	if err != nil {
		return fmt.Errorf("trunk: load: %w", err)
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := make(map[key]bool, len(peerings))
	for i := range peerings {
		p := &peerings[i]
		k := key{p.Domain, p.Name}
		seen[k] = true
		t := m.trunks[k]
		if t == nil {
			t = newTrunk(k, now)
			m.trunks[k] = t
		}
		m.defineLocked(t, p, now)
	}
	for k, t := range m.trunks {
		if !seen[k] {
			delete(m.trunks, k)
			m.leaveLocked(t, now)
		}
	}
	m.loaded = true
	m.matcher.Store(m.compileLocked())
	m.look()
	return nil
}

// look makes Run see what is due.
func (m *Manager) look() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

const (
	// reloadAfter is when trunks that could not be loaded are loaded again.
	reloadAfter = 5 * time.Second
	// rekeyAfter is how often the matcher follows the key ring.
	rekeyAfter = 30 * time.Second
	// partingTime is how long an end waits for carriers to take note.
	partingTime = 2 * time.Second
)

// Run asks the peers how they are and keeps the registrations until ctx ends,
// then deregisters, and returns when that is done, at most [partingTime] later.
// Lanes and transport must outlive it.
func (m *Manager) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	changed := m.directory.TrunksChanged()
	rekey, again := time.Now().Add(rekeyAfter), time.Time{}
	load := func() {
		again = time.Time{}
		if err := m.Load(ctx); err != nil && ctx.Err() == nil {
			m.log.ErrorContext(ctx, "trunks not loaded, the old ones stay", slog.Any("err", err))
			again = time.Now().Add(reloadAfter)
		}
	}
	if !m.ready() {
		load()
	}
	for {
		select {
		case <-ctx.Done():
			m.part(context.WithoutCancel(ctx))
			return
		case <-changed:
			load()
		case <-m.wake:
		case <-timer.C:
		}
		now := time.Now()
		if !again.IsZero() && !now.Before(again) {
			load()
		}
		if !now.Before(rekey) {
			rekey = now.Add(rekeyAfter)
			m.mu.Lock()
			m.matcher.Store(m.compileLocked())
			m.mu.Unlock()
		}
		next := earliest(m.due(now), earliest(rekey, again))
		timer.Reset(time.Until(next))
	}
}

func (m *Manager) ready() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loaded
}

// earliest is the earlier of two times, zero being none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due does what is due at now and returns when something is next; zero: nothing.
// What sends runs without the lock.
func (m *Manager) due(now time.Time) (next time.Time) {
	var todo []func()
	m.mu.Lock()
	for _, t := range m.trunks {
		for _, p := range t.peers {
			if m.probeDueLocked(t, p, now) {
				todo = append(todo, func() { m.probe(t, p) })
			}
			next = earliest(next, p.next())
		}
		if m.registerDueLocked(t, now) {
			todo = append(todo, func() { m.register(t, false) })
		}
		next = earliest(next, t.registration.due())
		m.seeLocked(t, now)
	}
	for t, busy := range m.leaving {
		if !busy {
			m.leaving[t] = true
			todo = append(todo, func() { m.register(t, true) })
		}
	}
	news := m.news
	m.news = nil
	m.mu.Unlock()
	for _, f := range append(news, todo...) {
		f()
	}
	return next
}

// tellLocked has Run log something of a trunk: the lock is not held over it.
func (m *Manager) tellLocked(t *trunk, say func(log *slog.Logger)) {
	log := m.log.With(slog.String("domain", t.domain), slog.String("trunk", t.name))
	m.news = append(m.news, func() { say(log) })
	m.look()
}

// part deregisters all trunks and waits a moment for the answers.
func (m *Manager) part(ctx context.Context) {
	m.mu.Lock()
	now := time.Now()
	for _, t := range m.trunks {
		m.leaveLocked(t, now)
	}
	clear(m.trunks)
	m.mu.Unlock()
	m.due(now)
	ctx, cancel := context.WithTimeout(ctx, partingTime)
	defer cancel()
	for {
		m.mu.Lock()
		left := len(m.leaving)
		m.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
	}
}
