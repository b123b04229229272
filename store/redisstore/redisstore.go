// Package redisstore is what nodes on one database share through Redis: who is
// registered where, as soon as it is saved, copies of what the directory says, and
// the news that it changed. SQL has the truth of all of it: without Redis calls go
// on from the memory of the process and from SQL, and when Redis comes back, empty
// or rolled back, it is filled again from there.
//
// Everything in it has a version; a script stores only what is newer, and
// announces it then, in the same step. What is gone is kept as a tombstone for a
// while, so that an older state cannot come back. Keys begin with the name of the
// database ([Source.ID]), so that installations do not meet, and have hash tags,
// so that all this is the same in a cluster; no key is ever searched for.
//
// A question that a call waits for takes 50 ms at most, a retry included; after a
// few that failed nobody asks for a second ([Store.Reasons] says so meanwhile).
// Redis is not on the way of an answer to a REGISTER: bindings come here after
// they are saved.
//
// [Store.Run] owns all goroutines.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/binding"
	"bellhop/store/cache"
	"bellhop/store/health"
)

// Options are what a store needs.
type Options struct {
	// URL says where Redis is, see [Check].
	URL        string
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: metrics are not shown
}

// A Source is the database whose copies are kept.
type Source interface {
	// ID names the database among all.
	ID(ctx context.Context) (int64, error)
	// Versions returns the version of every domain.
	Versions(ctx context.Context) (map[string]directory.Version, error)
	// Changes returns the rows of the history of a domain after a version, oldest
	// first, at most limit.
	Changes(ctx context.Context, domain string, after directory.Version, limit int) ([]directory.Document, error)
}

// A Store is Redis as one node sees it. Make one with [New], hand it to the store
// of the node, [Store.Attach] that, then Run it, then Close it.
type Store struct {
	client  redis.UniversalClient
	log     *slog.Logger
	metrics *metrics
	breaker breaker
	health  health.Part // Redis answers
	policy  health.Part // it evicts nothing

	node atomic.Pointer[node] // nil before Attach

	changed  chan struct{} // holds one: the directory changed
	resync   chan struct{} // holds one: announcements may have been missed
	wake     chan struct{} // holds one: something waits to be written
	refilled atomic.Bool   // Redis lost what it had: the next resync fills it

	mu       sync.Mutex                   // guards what follows
	pending  map[string]binding.Row       // bindings to be written, by AOR
	keep     []kept                       // copies to be written
	applied  map[string]directory.Version // what Redis is known to have of a domain
	overflow bool                         // too much was pending: fill again
}

// node is what a store serves.
type node struct {
	prefix   string
	source   Source
	bindings *binding.Table
	cache    *cache.Cache
}

// New makes a store. A Redis that may lose what it has, that others could write to,
// or that does not let us in, is an error; one that is away is not.
func New(ctx context.Context, o Options) (*Store, error) {
	opts, err := parse(o.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{
		client: redis.NewUniversalClient(opts), log: o.Logger,
		changed: make(chan struct{}, 1), resync: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		pending: make(map[string]binding.Row), applied: make(map[string]directory.Version),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.metrics = newMetrics(o.Registerer, s)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	switch _, err := s.inspect(ctx); {
	case errors.Is(err, ErrPolicy), errors.Is(err, ErrRefused):
		return nil, errors.Join(err, s.Close())
	case refused(err):
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrRefused, err), s.Close())
	case err != nil:
		s.away(ctx, err)
	}
	return s, nil
}

// Attach says whose copies these are. It is called once, before Run. A Redis that
// does not let us do what we must is an error, [ErrRefused].
func (s *Store) Attach(ctx context.Context, source Source, b *binding.Table, c *cache.Cache) error {
	id, err := source.ID(ctx)
	if err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	n := &node{prefix: "bellhop:" + strconv.FormatInt(id, 36) + ":", source: source, bindings: b, cache: c}
	if !s.health.Failing() {
		if err := s.try(ctx, n); err != nil {
			return err
		}
	}
	s.node.Store(n)
	nudge(s.resync)
	nudge(s.changed)
	return nil
}

// Run keeps Redis up to date and hears what other nodes tell until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	n := s.node.Load()
	if n == nil {
		return errors.New("redisstore: not attached")
	}
	var wg sync.WaitGroup
	for _, run := range []func(context.Context, *node){s.write, s.follow, s.listen, s.beat, s.resyncs} {
		wg.Go(func() { run(ctx, n) })
	}
	wg.Wait()
	return nil
}

// Close ends all connections; Run has returned before.
func (s *Store) Close() error { return s.client.Close() }

// Reasons returns what does not work, nil when all does.
func (s *Store) Reasons() []feed.Reason { return s.policy.Append(s.health.Append(nil)) }

// nudge makes who waits on ch go on, now or when it looks next.
func nudge(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
