// Package event is the notifier of the daemon (RFC 6665): it takes SUBSCRIBE for
// numbers of ours and tells subscribers by NOTIFY what becomes of them: lamps
// (dialog), presence, message-summary, reg, and the keys of phones for do not
// disturb and forwarding (as-feature-event). And it keeps the messages (RFC 3428) of
// numbers whose phones are away.
//
// What is told is computed from what is there now, the live calls, the bindings
// and the settings of a number ([Observe]), whenever something happens to it; so a
// lost event costs nothing but time, and a subscriber always gets the newest state.
// A call pays for it with one look at a table, and with nothing when nobody
// subscribed to its numbers.
//
// A subscription is in memory and saved before it is acknowledged; it has no lane of
// its own: one under its Call-ID is open while a NOTIFY is under way. Steps of that
// lane alone touch what changes in it. NOTIFY goes down the newest flow of the
// device that subscribed.
//
// [Server.Run] owns the goroutines.
package event

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
)

// A World answers what the settings of a number are; that of routing does.
type World interface {
	Cached(need routing.Need, w *routing.World) bool
	Load(ctx context.Context, need routing.Need, w *routing.World) error
}

// A Tenants knows all domains, from memory.
type Tenants interface {
	Tenant(host []byte) (*directory.Tenant, bool)
}

// A Calls knows the live calls of a number.
type Calls interface {
	Of(domain, number string) []*feed.Call
}

// A Location knows the bindings of a number.
type Location interface {
	AppendBindings(dst location.Bindings, a location.AOR, now time.Time) location.Bindings
}

// A Store keeps subscriptions and messages; what it took survives the process.
type Store interface {
	Keep(ctx context.Context, rows []feed.Kept) error
	Kept(ctx context.Context, kind, domain, number string, add func(feed.Kept) error) error
	KeptFor(ctx context.Context, kind string) ([]feed.KeptFor, error)
	DropKept(ctx context.Context, kind string, before time.Time) (int, error)
}

// Settings changes what people set: see [sip.Settings].
type Settings interface {
	Edit(ctx context.Context, a directory.Author, ref directory.Ref, edit func(body []byte) ([]byte, error)) error
}

// A Mailbox counts the messages that a number has.
type Mailbox interface {
	Messages(domain, number string) (fresh, old int)
}

// A Network knows what our listeners are called outside.
type Network interface {
	Advertise(local netip.AddrPort) netip.AddrPort
}

// Options are the parts of a [Server].
type Options struct {
	Network      Network
	Transactions *transaction.Layer
	Lanes        *lane.Table
	Crowded      func() bool // lanes are needed for calls, nothing else may open one; nil: never
	Tags         *auth.Tags
	Ends         *auth.Ends
	Node         uint8 // number of this node: it has the subscriptions that it took
	World        World
	Tenants      Tenants
	Calls        Calls
	Location     Location
	Store        Store    // nil: nothing is kept
	Settings     Settings // nil: keys change nothing
	Mailbox      Mailbox  // nil: nobody has messages
	Registerer   prometheus.Registerer
	Logger       *slog.Logger // nil: discard
}

// Limits of subscriptions.
const (
	// MaxSubscriptions is how many there are at one time, some 350 MB: twenty lamps on
	// each of ten thousand phones.
	MaxSubscriptions = 200_000
	// maxPerDevice is how many a device has: a phone with four side cars of 60 keys, each
	// with two packages.
	maxPerDevice = 500
	// maxPerNumber is how many watch one number: each of its calls costs as many
	// NOTIFYs.
	maxPerNumber = 1000

	minExpires     = time.Minute // a shorter one is refused (423)
	defaultExpires = time.Hour   // of RFC 4235 §3.4 and RFC 3856 §6.4
	// maxExpires is what is granted at most. It is as well how long the subscription of
	// a phone that is gone and that nothing happened to is kept.
	maxExpires = 2 * time.Hour
)

// A Server takes subscriptions and notifies. Make one with [New], then [Server.Run]
// it. It is safe for concurrent use.
type Server struct {
	o       Options
	log     *slog.Logger
	metrics metrics
	packs   map[string]*pack
	seed    maphash.Seed
	kind    string // of our subscriptions in the store
	saver   saver
	inbox   inbox

	count   atomic.Int64               // subscriptions
	watched *index[key, *watched]      // numbers that somebody watches
	byCall  *index[string, []*watched] // those that show a call
	byUser  *index[key, []*watched]    // those of a user

	queue queue         // of watched numbers to look at
	turns atomic.Uint64 // of those who looked at a number: see State.turn

	mu      sync.Mutex // guards what follows, and the subs of each watched
	subs    map[subKey]*subscription
	devices map[key]map[*subscription]bool
	due     map[int64][]func() // by second
	retry   []*subscription    // to be looked at as soon as there is room
	clock   int64              // the next second of due
}

// A key names a number, device or user of a domain.
type key struct{ domain, name string }

// A subKey names a subscription: its Call-ID and our tag.
type subKey struct{ callID, tag string }

// New returns a server that knows no subscriptions yet: see [Server.Restore].
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		o: o, log: o.Logger, packs: packs(), seed: maphash.MakeSeed(), kind: subscriptionKind(o.Node),
		watched: newIndex[key, *watched](), byCall: newIndex[string, []*watched](), byUser: newIndex[key, []*watched](),
		subs: make(map[subKey]*subscription), devices: make(map[key]map[*subscription]bool),
		due: make(map[int64][]func()), clock: time.Now().Unix(),
	}
	s.queue.wake = make(chan struct{}, 1)
	s.saver.wake = make(chan struct{}, 1)
	s.inbox.numbers = make(map[key]*kept)
	s.metrics = newMetrics(o.Registerer, s)
	return s
}

// tick is how often the server looks for what is due.
const tick = time.Second

// Run notifies until ctx ends.
func (s *Server) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.look(ctx) })
	if s.o.Store != nil {
		wg.Go(func() { s.saver.run(ctx, s.o.Store) })
		wg.Go(func() { s.tend(ctx) })
	}
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			return
		case now := <-t.C:
			s.sweep(now)
		}
	}
}

// sweep does what is due, and looks at the subscriptions that found no room before, a
// few at a time.
func (s *Server) sweep(now time.Time) {
	var todo []func()
	s.mu.Lock()
	for ; s.clock <= now.Unix(); s.clock++ {
		todo = append(todo, s.due[s.clock]...)
		delete(s.due, s.clock)
	}
	n := min(len(s.retry), maxRetries)
	retry := s.retry[:n]
	s.retry = append([]*subscription(nil), s.retry[n:]...)
	s.mu.Unlock()
	for _, f := range todo {
		f()
	}
	for _, sub := range retry {
		sub.waits.Store(false)
		s.post(sub, (*subscription).look)
	}
}

// maxRetries is how many subscriptions are notified again in one [tick]: after a
// restart all are.
const maxRetries = 1000

// later puts a subscription off until the next tick.
func (s *Server) later(sub *subscription) {
	if sub.waits.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retry = append(s.retry, sub)
}

// at has f run when a time has come, to the second; f does not wait.
func (s *Server) at(at time.Time, f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	second := max(at.Unix()+1, s.clock)
	s.due[second] = append(s.due[second], f)
}

// post runs f in the lane of the Call-ID of sub; without room for it later, when
// sub is looked at anyway.
func (s *Server) post(sub *subscription, f func(*subscription, *step)) {
	err := s.inLane(sub.callID, func(st *step) { f(sub, st) })
	if err != nil {
		s.later(sub)
	}
}

// A step is one step of a lane.
type step struct {
	lane *lane.Lane
	set  *transaction.Set
}

// inLane runs f as a step of the lane of a Call-ID.
func (s *Server) inLane(callID string, f func(*step)) error {
	for {
		if s.o.Crowded != nil && s.o.Crowded() && s.o.Lanes.Get([]byte(callID)) == nil {
			return lane.ErrFull
		}
		ln, _, err := s.o.Lanes.GetOrNew([]byte(callID))
		if err != nil {
			return err
		}
		err = ln.Post(transaction.Task(func(set *transaction.Set) { f(&step{ln, set}) }))
		if err != lane.ErrClosed { //nolint:errorlint // as lane returns it
			return err
		}
	}
}

type metrics struct {
	requests  *prometheus.CounterVec
	notifies  *prometheus.CounterVec
	ended     *prometheus.CounterVec
	messages  *prometheus.CounterVec
	unsaved   prometheus.Counter
	withoutIt prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, s *Server) metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "event", Name: name, Help: help}, labels)
	}
	m := metrics{
		requests: vec("subscribes_total", "SUBSCRIBE requests of devices, by package and the status they got.", "package", "status"),
		notifies: vec("notifies_total", "NOTIFY requests by outcome: sent, accepted, refused, timed out, or no flow to send them down.", "outcome"),
		ended:    vec("subscriptions_ended_total", "Subscriptions that ended, by reason.", "reason"),
		messages: vec("messages_total", "Messages for phones that were away: kept, refused by a limit, delivered, expired.", "outcome"),
		unsaved: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "event", Name: "save_failures_total", Help: "Times that subscriptions or messages could not be saved.",
		}),
		withoutIt: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "bellhop", Subsystem: "event", Name: "look_failures_total", Help: "Times that the settings of a watched number could not be read.",
		}),
	}
	if reg == nil {
		return m
	}
	reg.MustRegister(m.requests, m.notifies, m.ended, m.messages, m.unsaved, m.withoutIt,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "event", Name: "subscriptions", Help: "Subscriptions of this node.",
		}, func() float64 { return float64(s.count.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "event", Name: "messages_waiting", Help: "Messages kept for phones that are away.",
		}, func() float64 { return float64(s.inbox.waiting()) }))
	return m
}
