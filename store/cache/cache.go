// Package cache is what a node knows of the directory without asking SQL: the
// compiled values that routing decides with, the credentials that requests are
// checked against, and which hosts are ours. With the bindings and the live
// calls, which are in memory anyway, it answers what a call needs and never
// blocks ([Cache.Cached]); what it lacks, [Cache.Load] reads.
//
// A commit on this node takes out what it touches, before the commit is
// acknowledged; a fill that began before that is not stored. For changes made
// elsewhere, the versions of all domains are compared every [Confirm], and after
// [Cache.Nudge]: of a domain whose version is another one the history is read on
// from the version that is known here, and what it touches is taken out; where
// history does not say what changed, the domain is forgotten as a whole. So an
// entry is at most that old, not counting the time in which the store cannot be
// asked: then calls go on from here (trust.md §3).
//
// Where nodes share [Copies], what one read from the store the others compile
// from its copy.
//
// What was taken out is compiled again when nothing has changed for [Refill], not
// when the next call asks for it.
//
// What does not exist is remembered for [Negative] only, and apart from what
// does, so that questions of strangers push nothing out.
//
// [Cache.Run] owns the one goroutine.
package cache

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/store/document"
)

// Times of the cache.
const (
	Confirm  = time.Minute     // between two looks at the versions of domains
	Negative = 5 * time.Second // what does not exist is asked for again after it
)

// DefaultSize bounds the entries: a compiled number with its settings takes
// about 1 KB, so this is some 50 MB, for about 20,000 numbers with a device and
// a user each.
const DefaultSize = 50_000

// Bounds of the shards.
const (
	shards      = 64
	maxNegative = 64 // of a shard
)

// A Source is where the directory is.
type Source interface {
	// Read runs f on the directory as it is now, in one transaction.
	Read(ctx context.Context, f func(directory.View) error) error
	// Versions returns the version of every domain, and under "" the system's.
	Versions(ctx context.Context) (map[string]directory.Version, error)
	// Snapshot returns all documents, or nil when there are more than limit or
	// when reading one by one is as cheap.
	Snapshot(ctx context.Context, limit int) (*document.Snapshot, error)
	// Changes returns the rows of the history of a domain after a version, oldest
	// first, at most limit; secrets have none.
	Changes(ctx context.Context, domain string, after directory.Version, limit int) ([]directory.Document, error)
}

// Bindings are the location service in memory.
type Bindings interface {
	// Targets returns where the devices of an AOR are, best q first, and whether
	// any of them is behind NAT.
	Targets(a location.AOR, now time.Time) (targets []ring.Target, nat bool)
}

// Calls are the live calls in memory.
type Calls interface {
	Count(domain, number string) int
	// Idle returns when the last answered call of a number ended; zero: not known.
	Idle(domain, number string) time.Time
	// Usage returns what the key of a [routing.NeedUsage] has in use.
	Usage(domain, key string, now time.Time) routing.Usage
}

// Options are what a cache needs.
type Options struct {
	Source     Source
	Bindings   Bindings
	Calls      Calls
	Copies     Copies                // nil: none are shared
	Size       int                   // entries at most; 0: DefaultSize
	Followed   bool                  // somebody calls Agree or Compare in time; [Cache.Run] does not ask for versions
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: metrics are not shown
}

// kind is what an entry is about. Those of routing come first.
type kind uint8

const kindCredential = kind(routing.NeedCaller) + 1

// key names an entry.
type key struct {
	kind         kind
	domain, name string
}

// entry is one compiled value. It never changes.
type entry struct {
	routing.Answer
	credential *directory.Credential
}

// nothing reports whether e says that something does not exist.
func (e *entry) nothing() bool {
	return e.Answer == routing.Answer{} && e.credential == nil
}

type shard struct {
	mu       sync.RWMutex
	entries  map[key]*entry
	negative map[key]time.Time // until when; guarded by mu
}

// A Cache holds compiled values. Make one with [New], then Run it.
type Cache struct {
	source   Source
	bindings Bindings
	calls    Calls
	copies   Copies
	each     int // entries of a shard
	followed bool
	log      *slog.Logger
	metrics  *metrics
	seed     maphash.Seed
	hosts    atomic.Pointer[map[string]*directory.Tenant] // by host; never written to
	trunks   chan struct{}                                // holds one; see TrunksChanged
	nudge    chan struct{}                                // holds one; see Nudge
	gen      atomic.Uint64                                // raised by every invalidation, before it begins
	refills  chan struct{}                                // holds one; see again
	shards   [shards]shard

	stale struct { // what was taken out and is to be compiled again
		sync.Mutex // guards keys

		keys map[key]struct{}
	}

	// mu guards versions, those that the entries agree with, and newest, the
	// newest that were heard of. It is never held together with a shard's lock.
	mu       sync.Mutex
	versions map[string]directory.Version
	newest   map[string]directory.Version
}

// New returns an empty cache that knows the hosts of all domains.
func New(ctx context.Context, o Options) (*Cache, error) {
	if o.Size <= 0 {
		o.Size = DefaultSize
	}
	c := &Cache{
		source: o.Source, bindings: o.Bindings, calls: o.Calls, copies: o.Copies, each: max(o.Size/shards, 1),
		followed: o.Followed, log: o.Logger,
		seed: maphash.MakeSeed(), versions: make(map[string]directory.Version),
		newest: make(map[string]directory.Version), trunks: make(chan struct{}, 1), nudge: make(chan struct{}, 1), refills: make(chan struct{}, 1),
	}
	c.stale.keys = make(map[key]struct{})
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.metrics = newMetrics(o.Registerer, c)
	for i := range c.shards {
		c.shards[i].entries = make(map[key]*entry)
		c.shards[i].negative = make(map[key]time.Time)
	}
	versions, err := c.source.Versions(ctx)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	c.versions = versions
	c.heardOf(versions)
	return c, c.loadHosts(ctx)
}

func (c *Cache) shard(k key) *shard {
	return &c.shards[maphash.String(c.seed, k.name)%shards]
}

// get returns an entry, or nil; known tells that nothing is there.
func (c *Cache) get(k key) (e *entry, known bool) {
	sh := c.shard(k)
	sh.mu.RLock()
	e = sh.entries[k]
	var until time.Time
	if e == nil && len(sh.negative) > 0 {
		until = sh.negative[k]
	}
	sh.mu.RUnlock()
	if e != nil {
		return e, true
	}
	return nil, !until.IsZero() && time.Now().Before(until)
}

// put stores e unless something was invalidated since gen.
func (c *Cache) put(k key, e *entry, gen uint64) {
	sh := c.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c.gen.Load() != gen {
		return
	}
	if e.nothing() {
		if len(sh.negative) >= maxNegative {
			clear(sh.negative)
		}
		sh.negative[k] = time.Now().Add(Negative)
		return
	}
	if _, ok := sh.entries[k]; !ok && len(sh.entries) >= c.each {
		for old := range sh.entries { // any: all are about as useful
			delete(sh.entries, old)
			break
		}
	}
	sh.entries[k] = e
}

// Cached puts what need asks for into w when it is known here, and reports
// whether it was. It never blocks; where it knows, it does not allocate but for
// bindings.
func (c *Cache) Cached(need routing.Need, w *routing.World) bool {
	switch need.Kind {
	case routing.NeedNothing:
		return true
	case routing.NeedDomain, routing.NeedBindings, routing.NeedCalls, routing.NeedUsage, routing.NeedIdle:
		c.memory(need, w)
		return true
	case routing.NeedNumber, routing.NeedUser, routing.NeedDevice, routing.NeedCaller:
		e, known := c.get(key{kind(need.Kind), need.Domain, need.Key})
		if !known {
			c.metrics.miss(kind(need.Kind))
			return false
		}
		c.metrics.hit(kind(need.Kind))
		put(w, need, e)
		return true
	default:
		panic("cache: unknown need " + need.Kind.String())
	}
}

// memory answers what is always in memory.
func (c *Cache) memory(need routing.Need, w *routing.World) {
	switch need.Kind {
	case routing.NeedDomain:
		hosts := *c.hosts.Load()
		t, ok := hosts[need.Key]
		if !ok {
			t = hosts[directory.Host(need.Key)]
		}
		w.PutDomain(need.Key, t)
	case routing.NeedCalls:
		w.PutCalls(need.Domain, need.Key, c.calls.Count(need.Domain, need.Key))
	case routing.NeedIdle:
		w.PutIdle(need.Domain, need.Key, c.calls.Idle(need.Domain, need.Key))
	case routing.NeedUsage:
		w.PutUsage(need.Domain, need.Key, c.calls.Usage(need.Domain, need.Key, w.Now))
	case routing.NeedBindings:
		var targets []ring.Target
		var nat bool
		if a, err := location.NewAOR(need.Key, need.Domain); err == nil {
			targets, nat = c.bindings.Targets(a, time.Now())
		}
		w.PutBindings(need.Domain, need.Key, targets, nat)
	case routing.NeedNothing, routing.NeedNumber, routing.NeedUser, routing.NeedDevice, routing.NeedCaller:
	default:
		panic("cache: unknown need " + need.Kind.String())
	}
}

// put puts e, or nothing for nil, into w.
func put(w *routing.World, need routing.Need, e *entry) {
	if e == nil {
		w.Put(need, routing.Answer{})
		return
	}
	w.Put(need, e.Answer)
}

// Load puts what need asks for into w, from the store when it is not known
// here. It blocks; errors are the store's.
func (c *Cache) Load(ctx context.Context, need routing.Need, w *routing.World) error {
	if c.Cached(need, w) {
		return nil
	}
	k := key{kind(need.Kind), need.Domain, need.Key}
	e, err := c.read(ctx, k)
	if err != nil {
		return fmt.Errorf("cache: load %s: %w", need, err)
	}
	put(w, need, e)
	return nil
}

// read compiles an entry, from a shared copy or the store, and stores it here.
func (c *Cache) read(ctx context.Context, k key) (*entry, error) {
	gen := c.gen.Load()
	at, agreed := c.version(k.domain)
	if e := c.copied(ctx, k, at); e != nil {
		c.put(k, e, gen)
		return e, nil
	}
	var e *entry
	var rec recorder
	err := c.source.Read(ctx, func(v directory.View) (err error) {
		if c.copies != nil {
			rec = recorder{view: v, domain: k.domain}
			v = &rec
		} else {
			v = knowing{v, *c.hosts.Load()}
		}
		e, err = compile(v, k)
		return err
	})
	if err != nil {
		c.metrics.errors.Inc()
		return nil, err
	}
	c.put(k, e, gen)
	if c.copies != nil && !e.nothing() && !rec.foreign {
		c.copies.Keep(k.domain, k.copyName(), agreed, rec.depends(k.kind), rec.pack())
	}
	return e, nil
}

// A knowing view need not read domains: they are here. Who changes one replaces the
// hosts before it raises gen, so that nothing compiled with the old ones is stored.
type knowing struct {
	directory.View

	hosts map[string]*directory.Tenant
}

// Tenant implements [directory.TenantView].
func (v knowing) Tenant(host string) (*directory.Tenant, bool) {
	t, ok := v.hosts[host]
	return t, ok
}

// compile makes an entry; one with nothing in it says that there is none.
func compile(v directory.View, k key) (*entry, error) {
	e := &entry{}
	if k.kind == kindCredential {
		cr, ok, err := directory.LoadCredential(v, k.domain, k.name)
		if ok {
			e.credential = &cr
		}
		return e, err
	}
	var err error
	e.Answer, _, err = routing.Compile(v, routing.Need{Kind: routing.NeedKind(k.kind), Domain: k.domain, Key: k.name})
	return e, err
}

// Tenant returns the domain that answers for a host, by its name or an alias. It
// knows all hosts, never blocks and, for a host in lower case, does not allocate.
func (c *Cache) Tenant(host []byte) (*directory.Tenant, bool) {
	hosts := *c.hosts.Load()
	if t, ok := hosts[string(host)]; ok {
		return t, true
	}
	t, ok := hosts[directory.Host(string(host))]
	return t, ok
}

// Credentials returns the credentials of devices as the authenticator asks for
// them.
func (c *Cache) Credentials() *Credentials { return &Credentials{c} }

// Credentials are the credentials in a [Cache].
type Credentials struct{ c *Cache }

// Credential returns what a request with a username is checked against. When it
// is not cached, Load must be asked; when it is not known, there is none. It
// never blocks and does not allocate.
func (s *Credentials) Credential(domain, username string) (cr directory.Credential, known, cached bool) {
	e, cached := s.c.get(key{kindCredential, domain, username})
	if !cached {
		s.c.metrics.miss(kindCredential)
		return cr, false, false
	}
	s.c.metrics.hit(kindCredential)
	if e == nil {
		return cr, false, true
	}
	return *e.credential, true, true
}

// Load fills the cache with the credential of a username, or with there being
// none. It blocks; errors are the store's.
func (s *Credentials) Load(ctx context.Context, domain, username string) error {
	if _, err := s.c.read(ctx, key{kindCredential, domain, username}); err != nil {
		return fmt.Errorf("cache: load credential: %w", err)
	}
	return nil
}
