// Package sip is the signalling shell: it takes messages from the transport,
// finds the lane they belong to, proves where requests come from, and hands
// them to the registrar or the proxy. It decides nothing about calls.
//
// [Server.Run] owns all goroutines.
package sip

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
	"bellhop/sip/b2bua"
	"bellhop/sip/event"
	"bellhop/sip/lane"
	"bellhop/sip/proxy"
	"bellhop/sip/registrar"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/trunk"
	"bellhop/sip/wire"
)

// Options are the parts of a [Server].
type Options struct {
	Listeners   []transport.Listener
	Keys        auth.Keys
	Credentials auth.Credentials
	World       World
	Tenants     Tenants
	Trunks      trunk.Directory // nil: there are none
	Store       event.Store     // of subscriptions and messages; nil: they end with the process
	Mailbox     event.Mailbox   // nil: nobody has messages
	Feed        *feed.Stream    // what happens to numbers that phones watch; its tap is ours
	Calls       Calls
	Settings    Settings // nil: nothing is set by telephone
	Location    Location
	Node        uint8           // number of this node in tokens
	Digest      []string        // algorithms offered, the preferred one first; nil: SHA-256, MD5
	MD5Only     []string        // how User-Agent begins of phones that give up when SHA-256 is offered beside MD5
	Limits      location.Limits // of bindings
	Connections transport.Limits
	ClientTLS   *tls.Config // of TLS connections that we make; nil: authorities of the system, no certificate of ours
	MaxLanes    int         // calls and other exchanges with state at one time; 0: that of package lane
	Timers      transaction.Timers
	ReadBuffer  int              // of a UDP socket in the kernel, in bytes; 0: that of package transport
	WriteBuffer int              // the same, for sending
	Ladder      int              // bytes for the last messages, see [Server.Ladder]; 0: none are kept
	NameServers []netip.AddrPort // that find trunks; nil: those of the host
	// Connect makes connections to trunks; nil: over TCP.
	Connect    func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
	Registerer prometheus.Registerer
	Logger     *slog.Logger // nil: discard
}

// A Location is the location service as registrar and proxy use it.
type Location interface {
	registrar.Location
	proxy.Location
	auth.Location
	// RemoveFlow ends the bindings of an AOR that lead down a flow that is gone. It
	// waits until that is saved.
	RemoveFlow(ctx context.Context, aor location.AOR, f location.Flow) error
	// Registered reports whether a binding leads down a flow.
	Registered(f location.Flow) bool
	// AtContact returns the number and the instance of the device of a domain that
	// registered a Contact. It never waits.
	AtContact(domain, uri string) (number, instance string, ok bool)
}

// Calls keeps the live calls, their journal and their records.
type Calls interface {
	NewID(now time.Time) string
	proxy.Calls
	ByID(id string) (*feed.Call, bool)
	Live(domain string) []*feed.Call
	Of(domain, number string) []*feed.Call
}

const (
	// loaders is how many strangers' lookups that are not cached run at a time,
	// and loadBacklog how many wait: what does not fit is dropped, and comes again.
	loaders     = 4
	loadBacklog = 256
)

// A Server is the SIP side of the daemon. Make one with [New], then [Server.Run]
// it once.
type Server struct {
	transport *transport.Transport
	ladder    *transport.Ladder
	pool      *lane.Pool
	table     *lane.Table
	txs       *transaction.Layer
	auth      *auth.Authenticator
	tags      *auth.Tags
	ends      *auth.Ends
	resolver  *resolver
	calls     Calls
	settings  Settings
	served    func(*b2bua.Service)      // set by tests: may change who answers a code
	ringing   *lane.Index[location.AOR] // calls that ring at a number, each a ringer
	registrar *registrar.Registrar
	proxy     *proxy.Proxy
	trunks    *trunk.Manager
	location  Location
	gruus     *auth.GRUUs
	b2bua     *b2bua.B2BUA
	events    *event.Server
	tenants   Tenants
	old       []string // Options.MD5Only
	log       *slog.Logger
	metrics   metrics
	loads     chan func(context.Context)
	admitted  sync.Pool // of *admitted
	draining  atomic.Bool
}

// New binds the listeners and builds everything; what can fail fails here.
func New(o Options) (_ *Server, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		tenants: o.Tenants, old: o.MD5Only, log: o.Logger, calls: o.Calls, settings: o.Settings,
		resolver: newResolver(o.World), location: o.Location, ringing: lane.NewIndex[location.AOR](),
		metrics: newMetrics(o.Registerer), loads: make(chan func(context.Context), loadBacklog),
	}
	s.admitted.New = func() any { return new(admitted) }
	s.pool = lane.NewPool(lane.PoolOptions{MaxLanes: o.MaxLanes, Logger: o.Logger, Registerer: o.Registerer})
	s.table = lane.NewTable(s.pool, s.step)
	if s.tags, err = auth.NewTags(o.Keys); err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	tokens, err := auth.NewTokens(o.Keys)
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	s.ladder = transport.NewLadder(o.Ladder)
	s.transport, err = transport.New(transport.Options{
		Listeners: o.Listeners, Handler: s.handle, Gone: s.gone, Limits: o.Connections, ClientTLS: o.ClientTLS, Connect: o.Connect, Ladder: s.ladder,
		ReadBuffer: o.ReadBuffer, WriteBuffer: o.WriteBuffer, Registerer: o.Registerer, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.transport.Close())
		}
	}()
	s.txs = transaction.New(transaction.Options{Sender: s.transport, Timers: o.Timers, Registerer: o.Registerer})
	s.openTrunks(&o)
	s.auth, err = auth.New(auth.Options{
		Keys: o.Keys, Credentials: s.trunks.Credentials(o.Credentials), DomainOf: s.hostOf, Algorithms: o.Digest, Registerer: o.Registerer, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	if s.gruus, err = auth.NewGRUUs(o.Keys); err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	s.registrar, err = registrar.New(registrar.Options{
		Location: o.Location, Lines: s.auth, GRUUs: s.gruus, Limits: o.Limits, Registerer: o.Registerer, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("sip: %w", err)
	}
	s.ends = auth.NewEnds(s.transport, o.Location)
	s.proxy = proxy.New(proxy.Options{
		Network: s.transport, Transactions: s.txs, Tokens: tokens, Tags: s.tags, Ends: s.ends, Node: o.Node, Calls: o.Calls,
		Location: o.Location, Ringing: s.ringing, Counter: &s.metrics, Redirect: s.redirected, Registerer: o.Registerer, Logger: o.Logger,
	})
	s.b2bua = b2bua.New(b2bua.Options{
		Network: s.transport, Transactions: s.txs, Lanes: s.table, Tokens: tokens, Tags: s.tags, Ends: s.ends, Node: o.Node,
		Resolver: s.resolver, Calls: o.Calls, Location: o.Location, Trunks: s.trunks, Ringing: s.ringing, Counter: &s.metrics,
		Story: story, Registerer: o.Registerer, Logger: o.Logger,
	})
	s.openEvents(&o)
	return s, nil
}

// openEvents makes the notifier, which is told what happens.
func (s *Server) openEvents(o *Options) {
	s.events = event.New(event.Options{
		Network: s.transport, Transactions: s.txs, Lanes: s.table, Crowded: s.pool.Crowded, Tags: s.tags, Ends: s.ends, Node: o.Node,
		World: o.World, Tenants: o.Tenants, Calls: o.Calls, Location: o.Location, Store: o.Store, Settings: o.Settings, Mailbox: o.Mailbox,
		Registerer: o.Registerer, Logger: o.Logger,
	})
	o.Feed.Tap(s.events.Happened)
}

// openTrunks makes what knows the trunks. They are dialled over what we listen
// on, and over connections.
func (s *Server) openTrunks(o *Options) {
	to := trunk.Options{
		Directory: o.Trunks, Keys: o.Keys, Network: s.transport, Lanes: s.table, Servers: o.NameServers,
		Registerer: o.Registerer, Logger: o.Logger,
	}
	for i, at := range s.transport.Addrs() {
		if o.Listeners[i].Transport == location.UDP && !slices.Contains(to.Transports, location.UDP) {
			to.Transports = append(to.Transports, location.UDP)
		}
		to.Streams = to.Streams || o.Listeners[i].Transport == location.TCP
		to.V4, to.V6 = to.V4 || at.Addr().Is4(), to.V6 || at.Addr().Is6()
	}
	to.Transports = append(to.Transports, location.TCP, location.TLS)
	s.trunks = trunk.New(to)
}

// Trunks is what knows the trunks.
func (s *Server) Trunks() *trunk.Manager { return s.trunks }

// hostOf returns the name of the domain that a host belongs to.
func (s *Server) hostOf(host []byte) (string, bool) {
	t, ok := s.tenants.Tenant(host)
	return name(t), ok
}

// Addrs are the addresses the listeners got, in the order of the options.
func (s *Server) Addrs() []netip.AddrPort { return s.transport.Addrs() }

// WebSocket is the handler of the path at which browsers speak SIP, for the HTTP
// server that a listener of WS or WSS stands for.
func (s *Server) WebSocket() http.Handler { return s.transport.WebSocket() }

// Close unbinds the listeners of a server that is not to run; Run does it in the
// end. It may be called more than once.
func (s *Server) Close() error { return s.transport.Close() }

// Run serves until ctx ends and returns when all it started has ended. Trunks end
// first: what they say to carriers in the end still needs all the rest.
func (s *Server) Run(ctx context.Context) error {
	if err := s.trunks.Load(ctx); err != nil {
		s.log.ErrorContext(ctx, "trunks not loaded yet", "err", err)
	}
	upper, part := context.WithCancel(ctx)
	defer part()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { s.pool.Run(ctx) })
	for range loaders {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case f := <-s.loads:
					f(ctx)
				}
			}
		})
	}
	s.b2bua.Restore(s.calls.Live(""))
	if err := s.events.Restore(ctx); err != nil {
		s.log.ErrorContext(ctx, "subscriptions not restored", "err", err)
	}
	wg.Go(func() { s.events.Run(ctx) })
	wg.Go(func() {
		s.trunks.Run(upper)
		cancel()
	})
	err := s.transport.Run(ctx)
	part()
	cancel()
	wg.Wait()
	return err
}

// handle takes a message on the goroutine that read it. p is borrowed.
func (s *Server) handle(p *transport.Packet) {
	m := &p.Msg
	if p.Err != nil {
		s.malformed(p)
		return
	}
	for {
		ln := s.table.Get(m.CallID())
		if ln == nil {
			if m.IsRequest() {
				s.fresh(p)
			} else {
				s.stray(p)
			}
			return
		}
		if s.post(ln, p, p) {
			return
		}
	}
}

// post hands ev, which is about p, to the lane: at once when the lane is idle,
// else it waits there with a copy. It reports false when the lane has closed.
func (s *Server) post(ln *lane.Lane, p *transport.Packet, ev lane.Event) bool {
	ran, err := ln.Run(ev)
	if ran {
		return true
	}
	if err == nil {
		own := p.Own()
		if a, ok := ev.(*admitted); ok {
			err = ln.Post(&admitted{packet: own, admission: a.admission})
		} else {
			err = ln.Post(own)
		}
	}
	switch {
	case errors.Is(err, lane.ErrClosed):
		return false
	case err != nil && p.Msg.IsRequest() && p.Msg.Method() != wire.Ack && p.Msg.ToTag() == nil:
		s.stateless(p, 503, "Service Unavailable", []byte("Retry-After: 5\r\n"))
	}
	return true
}

// An admitted is a lane event: a request whose origin was proven before its
// lane was made, so that strangers leave nothing behind (trust.md §1).
type admitted struct {
	packet    *transport.Packet
	admission admission
}

// fresh takes a request that no lane knows.
func (s *Server) fresh(p *transport.Packet) {
	switch p.Msg.Method() {
	case wire.Ack:
		s.ack(p)
		return
	case wire.Cancel:
		s.stateless(p, 481, "", nil)
		return
	default:
	}
	a, ok := s.admit(p)
	if !ok {
		return
	}
	lanes := s.table.GetOrNew
	switch {
	case !s.draining.Load() && !s.pool.Busy():
	case s.urgent(&a):
		lanes = s.table.Urgent
	case s.refused(p):
		return
	}
	for {
		ln, _, err := lanes(p.Msg.CallID())
		if err != nil {
			s.stateless(p, 503, "", []byte("Retry-After: 5\r\n"))
			return
		}
		ev := s.admitted.Get().(*admitted)
		ev.packet, ev.admission = p, a
		posted := s.post(ln, p, ev) // borrowed: a busy lane got a copy
		*ev = admitted{}
		s.admitted.Put(ev)
		if posted {
			return
		}
	}
}

// stray takes a response that no transaction knows. It is not forwarded (RFC 6026
// §7.3), but for the 2xx of a call that the journal knows.
func (s *Server) stray(p *transport.Packet) {
	if !s.proxy.Stray(p) {
		s.metrics.stray.Inc()
	}
}

// ack forwards an ACK that no transaction absorbed: that of a 2xx. It needs no
// lane.
func (s *Server) ack(p *transport.Packet) {
	from, _ := s.domainOf(&p.Msg, wire.From)
	to, _ := s.domainOf(&p.Msg, wire.To)
	d, status := s.proxy.Dialog(p, name(from), name(to))
	if status != 0 {
		s.proxy.StrayAck()
		return
	}
	s.proxy.Ack(p, d)
}

// step is one step of a lane.
func (s *Server) step(ln *lane.Lane, ev lane.Event) {
	set, ok := ln.State.(*transaction.Set)
	if !ok {
		set = s.txs.NewSet(ln)
		ln.State = set
	}
	switch ev := ev.(type) {
	case *transport.Packet:
		s.message(ln, set, ev)
	case *admitted:
		if !set.Absorb(ev.packet) {
			s.begin(ln, set, ev.packet, &ev.admission)
		}
	case lane.Fired:
		if !ev.Stale() && !set.Fired(ev) {
			ev.Timer.Owner.(timed).Fired()
		}
	case lane.Continue:
		ev()
	case transaction.Task:
		ev(set)
	default:
		panic(fmt.Sprintf("sip: unknown event %T", ev))
	}
	if set.Empty() {
		ln.CloseIdle()
	}
}

// A timed is the owner of a timer of a call.
type timed interface {
	// Fired is the step of the timer.
	Fired()
}

func (s *Server) message(ln *lane.Lane, set *transaction.Set, p *transport.Packet) {
	m := &p.Msg
	if !m.IsRequest() {
		if !set.Response(m) && !s.b2bua.Stray(set, m) {
			s.stray(p)
		}
		return
	}
	if set.Absorb(p) || s.inside(set, p) {
		return
	}
	switch m.Method() {
	case wire.Ack:
		s.ack(p)
		return
	case wire.Cancel:
		s.proxy.Cancel(set, p)
		return
	default:
	}
	if a, ok := s.admit(p); ok {
		s.begin(ln, set, p, &a)
	}
}

// inside takes a request within an anchored call; it reports whether p is one.
func (s *Server) inside(set *transaction.Set, p *transport.Packet) bool {
	m := &p.Msg
	if set.Tied == nil || len(m.ToTag()) == 0 || m.Method() == wire.Cancel {
		return false
	}
	d, status, ours := s.b2bua.Dialog(set, p)
	switch {
	case !ours:
		return false
	case m.Method() == wire.Ack:
		if status == 0 {
			d.Ack(p)
		}
		return true
	}
	var a admission
	if status == 0 {
		status = s.valid(p, &a)
	}
	if status != 0 {
		s.stateless(p, status, a.reason, a.lines)
		return true
	}
	d.Request(set.Serve(p))
	return true
}

// begin starts the transaction of a new request and hands it on.
func (s *Server) begin(ln *lane.Lane, set *transaction.Set, p *transport.Packet, a *admission) {
	srv := set.Serve(p)
	switch {
	case a.dialog.Valid():
		s.proxy.InDialog(ln, set, srv, a.dialog)
	case a.status != 0:
		s.proxy.Reply(srv, a.status, a.reason, a.lines)
	case a.job != nil:
		s.register(ln, srv, a.job)
	case srv.Method() == wire.Invite:
		s.invite(ln, set, srv, a)
	case srv.Method() == wire.Subscribe:
		s.subscribe(ln, set, srv, a)
	case srv.Method() == wire.Publish: // status is set by the user, not by what a phone guesses
		s.proxy.Reply(srv, 405, "", []byte(allow))
	default:
		s.forward(ln, set, srv, a)
	}
}

// register carries a REGISTER out: from memory when it changes nothing but
// time, else in the pool, for a new binding is committed before the 200.
func (s *Server) register(ln *lane.Lane, srv *transaction.Server, job *registrar.Job) {
	var saved func(registrar.Response, bool)
	if srv.Request.Peer == nil && ln.Expect() == nil { // what comes over a connection is tied to it, which may wait
		saved = func(res registrar.Response, again bool) {
			ln.Deliver(lane.Continue(func() {
				if again {
					s.registerAside(ln, srv, job)
				} else {
					s.registered(srv, res)
				}
			}))
		}
	}
	res, done, saving := job.Start(saved)
	if saved != nil && !saving {
		ln.Forgo()
	}
	switch {
	case done:
		s.registered(srv, res)
	case !saving:
		s.registerAside(ln, srv, job)
	}
}

// registerAside carries out a REGISTER that has to wait.
func (s *Server) registerAside(ln *lane.Lane, srv *transaction.Server, job *registrar.Job) {
	peer := srv.Request.Peer
	err := ln.Do(func(ctx context.Context) lane.Event {
		res := job.Run(ctx)
		if peer != nil && len(res.Added) > 0 {
			s.tie(ctx, peer, res.AOR)
		}
		return lane.Continue(func() { s.registered(srv, res) })
	})
	if err != nil {
		s.proxy.Reply(srv, 503, "", []byte("Retry-After: 5\r\n"))
	}
}

func (s *Server) registered(srv *transaction.Server, res registrar.Response) {
	s.proxy.Reply(srv, res.Status, res.Reason, res.Lines)
	for _, target := range res.Added {
		for _, at := range s.ringing.At(res.AOR) {
			_ = at.Lane.Post(lane.Continue(func() { // a full or closed lane: the device rings at the next call
				at.Who.(ringer).Registered(target)
			}))
		}
	}
	s.events.Registered(res.AOR, res.Added)
}

// A ringer is a call that rings at a number, in its own lane.
type ringer interface {
	Registered(target ring.Target)
}

// load has a credential loaded and then handles a copy of p again. What is still
// not there then is not waited for: the request comes again by itself.
func (s *Server) load(p *transport.Packet, domain, username string) {
	if p.Again {
		s.metrics.loadFailed.Inc()
		return
	}
	own := p.Own()
	own.Again = true
	select {
	case s.loads <- func(ctx context.Context) {
		ctx, cancel := context.WithTimeoutCause(ctx, loadTimeout, errSlow)
		defer cancel()
		if err := s.auth.Load(ctx, domain, username); err != nil {
			s.metrics.loadFailed.Inc()
			s.log.WarnContext(ctx, "credential not loaded", "domain", domain, "err", err)
			s.stateless(own, 503, "", []byte("Retry-After: 5\r\n"))
			return
		}
		s.handle(own)
	}:
	default:
		s.metrics.loadDropped.Inc()
	}
}

// loadTimeout bounds what a stranger's request waits for the stores.
const loadTimeout = 2 * time.Second

var errSlow = errors.New("sip: store too slow")
