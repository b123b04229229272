package cache_test

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/store/cache"
	"bellhop/store/document"
)

// source is a directory whose reads can be held up and made to fail.
type source struct {
	mu       sync.Mutex
	snap     *document.Snapshot
	versions map[string]directory.Version
	err      error
	reads    int
	during   func() // runs within Read, after the view was read
	changes  []directory.Document
}

func newSource() *source {
	s := &source{snap: document.NewSnapshot(), versions: map[string]directory.Version{"": {Epoch: 1, N: 1}, "a.test": {Epoch: 1, N: 1}}}
	s.put("", directory.KindDomain, "a.test", `{"realm":"a.test"}`)
	for i := range 200 {
		s.put("a.test", directory.KindNumber, strconv.Itoa(1000+i), `{}`)
	}
	return s
}

func (s *source) put(domain string, kind directory.Kind, name, body string) directory.Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.versions[domain]
	v.N++
	s.versions[domain] = v
	doc := directory.Document{Ref: directory.Ref{Domain: domain, Kind: kind, Name: name}, Body: []byte(body), Version: v}
	s.snap.Put(doc, directory.Keys(doc.Ref, doc.Body))
	return doc
}

func (s *source) Read(_ context.Context, f func(directory.View) error) error {
	s.mu.Lock()
	s.reads++
	err := s.err
	if err == nil {
		err = f(s.snap)
	}
	during := s.during
	s.during = nil
	s.mu.Unlock()
	if during != nil {
		during()
	}
	return err
}

// count is how often it was read.
func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *source) Changes(context.Context, string, directory.Version, int) ([]directory.Document, error) {
	return s.changes, nil
}

func (s *source) Versions(context.Context) (map[string]directory.Version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.versions), s.err
}

func (s *source) Snapshot(context.Context, int) (*document.Snapshot, error) { return nil, nil }

type nothing struct{}

func (nothing) Targets(location.AOR, time.Time) ([]ring.Target, bool) { return nil, false }
func (nothing) Count(string, string) int                              { return 0 }
func (nothing) Idle(string, string) time.Time                         { return time.Time{} }
func (nothing) Usage(string, string, time.Time) routing.Usage         { return routing.Usage{} }

func newCache(t *testing.T, s *source, size int) *cache.Cache {
	t.Helper()
	c, err := cache.New(t.Context(), cache.Options{Source: s, Bindings: nothing{}, Calls: nothing{}, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func number(name string) routing.Need {
	return routing.Need{Kind: routing.NeedNumber, Domain: "a.test", Key: name}
}

// public loads a number and returns its public number, which the tests change.
func public(t *testing.T, c *cache.Cache, name string) string {
	t.Helper()
	var w routing.World
	if err := c.Load(t.Context(), number(name), &w); err != nil {
		t.Fatal(err)
	}
	l := w.Number("a.test", name)
	if l == nil {
		t.Fatalf("there is no %s", name)
	}
	return l.Public
}

// A fill that began before a commit must not bring back what it read then.
func TestFillThatBeganBeforeACommitIsNotStored(t *testing.T) {
	t.Parallel()
	s := newSource()
	c := newCache(t, s, 0)
	s.mu.Lock()
	s.during = func() { // between reading and storing
		c.Forget([]directory.Document{s.put("a.test", directory.KindNumber, "1001", `{"public":"+4989700798765"}`)})
	}
	s.mu.Unlock()
	if got := public(t, c, "1001"); got != "" {
		t.Errorf("the fill read %q, want what was there before", got)
	}
	var w routing.World
	if c.Cached(number("1001"), &w) {
		t.Error("the old value is cached")
	}
	if got := public(t, c, "1001"); got != "+4989700798765" {
		t.Errorf("the next fill read %q, want the new value", got)
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 0)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Run(ctx) })
		public(t, c, "1001")
		reads := s.reads
		<-time.After(time.Hour)
		if public(t, c, "1001"); s.reads != reads {
			t.Errorf("%d reads in an hour without changes, want none", s.reads-reads)
		}
		// A change of this node: nothing else is forgotten.
		c.Forget([]directory.Document{s.put("a.test", directory.KindNumber, "1002", `{}`)})
		<-time.After(2 * cache.Confirm)
		if public(t, c, "1001"); s.reads != reads {
			t.Errorf("%d reads of 1001 after a change of 1002, want none", s.reads-reads)
		}
		// A change of another node.
		s.put("a.test", directory.KindNumber, "1001", `{"public":"+4989700798765"}`)
		s.put("", directory.KindDomain, "b.test", `{"realm":"b.test"}`)
		<-time.After(cache.Confirm + time.Second)
		if got := public(t, c, "1001"); got != "+4989700798765" {
			t.Errorf("after a change elsewhere: %q", got)
		}
		if _, ok := c.Tenant([]byte("b.test")); !ok {
			t.Error("a domain made elsewhere is not known")
		}
		// The store is away: calls go on from here.
		s.mu.Lock()
		s.err = errors.New("away")
		s.mu.Unlock()
		<-time.After(time.Hour)
		if got := public(t, c, "1001"); got != "+4989700798765" {
			t.Errorf("with the store away: %q", got)
		}
		cancel()
		wg.Wait()
	})
}

func TestErrorsAreNotRemembered(t *testing.T) {
	t.Parallel()
	s := newSource()
	c := newCache(t, s, 0)
	s.err = errors.New("away")
	var w routing.World
	if err := c.Load(t.Context(), number("1001"), &w); !errors.Is(err, s.err) {
		t.Errorf("Load = %v, want %v", err, s.err)
	}
	s.err = nil
	public(t, c, "1001")
}

func TestNegativeEntriesEndSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 0)
		var w routing.World
		if err := c.Load(t.Context(), number("9999"), &w); err != nil {
			t.Fatal(err)
		}
		if !c.Cached(number("9999"), &w) {
			t.Error("that there is none was not remembered")
		}
		<-time.After(cache.Negative)
		if c.Cached(number("9999"), &w) {
			t.Error("that there is none was remembered for too long")
		}
	})
}

func TestSizeIsBounded(t *testing.T) {
	t.Parallel()
	s := newSource()
	c := newCache(t, s, 64)
	for i := range 200 {
		public(t, c, strconv.Itoa(1000+i))
		var w routing.World
		_ = c.Load(t.Context(), number(strconv.Itoa(5000+i)), &w) // strangers push nothing out
	}
	if n := c.Len(); n > 64 || n < 32 {
		t.Errorf("Len = %d, want at most 64, and not much less", n)
	}
}

// What a change took out is there again before anybody asks for it, and not before
// the changes have ended.
func TestWhatChangedIsCompiledAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		c := newCache(t, s, 0)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Run(ctx) })
		public(t, c, "1001")
		public(t, c, "1002")
		reads := s.count()
		for i := range 50 { // a bulk change, longer than Refill in all
			c.Forget([]directory.Document{s.put("a.test", directory.KindNumber, strconv.Itoa(1001+i%2), `{"public":"+4989700798765"}`)})
			<-time.After(cache.Refill / 2)
		}
		if n := s.count(); n != reads {
			t.Errorf("%d reads while the directory changes, want none", n-reads)
		}
		<-time.After(2 * cache.Refill)
		for _, name := range []string{"1001", "1002"} {
			var w routing.World
			if !c.Cached(number(name), &w) || w.Number("a.test", name).Public != "+4989700798765" {
				t.Errorf("%s is not as it is now", name)
			}
		}
		if n := s.count(); n != reads+2 {
			t.Errorf("%d reads, want one for each number", n-reads)
		}
		s.mu.Lock()
		s.during = func() { // a change while it is compiled again
			c.Forget([]directory.Document{s.put("a.test", directory.KindNumber, "1001", `{"public":"+4989700798766"}`)})
		}
		s.mu.Unlock()
		c.Forget([]directory.Document{s.put("a.test", directory.KindNumber, "1001", `{}`)})
		<-time.After(4 * cache.Refill)
		var w routing.World
		if !c.Cached(number("1001"), &w) || w.Number("a.test", "1001").Public != "+4989700798766" {
			t.Error("the fill that a change overtook was not made again")
		}
		cancel()
		wg.Wait()
	})
}
