// Package memstore keeps everything in memory: the store of tests, and of a
// node that is to forget. It keeps the same contracts as store/sqlstore
// (package storetest) and nothing of it outlives the process.
//
// [Store.Run] owns all goroutines, so that a store lives within a bubble of
// testing/synctest.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/binding"
	"bellhop/store/cache"
	"bellhop/store/document"
	"bellhop/store/journal"
)

// Options are what a store needs. The zero Options will do.
type Options struct {
	Node       uint16                // in the ids of calls
	Feed       *feed.Stream          // nil: nobody is told of changes
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: metrics are not shown
}

// A Store keeps what a node knows. Make one with [New], then Run it.
type Store struct {
	// Bindings is the location service.
	Bindings *binding.Table
	// Calls owns the live calls.
	Calls *journal.Journal
	// Cache answers what decisions and authentication need.
	Cache *cache.Cache

	feed *feed.Stream

	mu       sync.RWMutex
	snap     *document.Snapshot
	versions map[string]directory.Version
	history  map[directory.Ref][]directory.Document // oldest first
	sessions map[string]directory.Session
	tokens   map[string]directory.Token
	records  map[string]*feed.Call
	kept     map[[2]string]feed.Kept // by kind and id
}

// New returns an empty store.
func New(o Options) (*Store, error) {
	s := &Store{
		feed: o.Feed, snap: document.NewSnapshot(), versions: make(map[string]directory.Version),
		history: make(map[directory.Ref][]directory.Document), sessions: make(map[string]directory.Session),
		tokens: make(map[string]directory.Token), records: make(map[string]*feed.Call),
		kept: make(map[[2]string]feed.Kept),
	}
	ctx := context.Background() // nothing below waits
	var err error
	if s.Bindings, err = binding.New(ctx, binding.Options{Feed: o.Feed, Logger: o.Logger, Registerer: o.Registerer}); err != nil {
		return nil, err
	}
	if s.Calls, err = journal.New(journal.Options{Sink: s, Node: o.Node, Feed: o.Feed, Logger: o.Logger, Registerer: o.Registerer}); err != nil {
		return nil, err
	}
	s.Cache, err = cache.New(ctx, cache.Options{
		Source: s, Bindings: s.Bindings, Calls: s.Calls, Logger: o.Logger, Registerer: o.Registerer,
	})
	return s, err
}

// Run keeps the store until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, run := range []func(context.Context) error{s.Bindings.Run, s.Calls.Run, s.Cache.Run} {
		wg.Go(func() { errs[i] = run(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close does nothing; it is there because stores have it.
func (s *Store) Close() error { return s.Calls.Close() }

// tx is a settings transaction; the store is locked while it lasts. Nothing is
// written before everything was checked, so only versions need to be undone.
type tx struct {
	*document.Snapshot
	s      *Store
	bumped map[string]directory.Version
}

// Bump implements [document.Tx].
func (t *tx) Bump(domain string) (directory.Version, error) {
	v := directory.Version{Epoch: 1, N: t.s.versions[domain].N + 1}
	t.bumped[domain] = v
	return v, nil
}

// Put implements [document.Tx].
func (t *tx) Put(doc directory.Document, keys []directory.Key) error {
	t.Snapshot.Put(doc, keys)
	return nil
}

// Delete implements [document.Tx].
func (t *tx) Delete(doc directory.Document) error {
	t.Snapshot.Delete(doc.Ref)
	return nil
}

// Record implements [document.Tx].
func (t *tx) Record(doc directory.Document) error {
	t.s.history[doc.Ref] = append(t.s.history[doc.Ref], doc)
	return nil
}

// Apply makes all writes with their history, or none. Errors are those of
// [document.Apply].
func (s *Store) Apply(ctx context.Context, a directory.Author, ws []directory.Write) ([]directory.Document, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	docs, err := s.apply(a, ws)
	if err != nil {
		return nil, err
	}
	document.Tell(s.feed, docs)
	return docs[:len(ws)], s.Bindings.Deprovision(context.WithoutCancel(ctx), docs)
}

// Check returns the error that [Store.Apply] would return now, and writes nothing.
func (s *Store) Check(ctx context.Context, ws []directory.Write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return document.Check(s.snap, ws)
}

func (s *Store) apply(a directory.Author, ws []directory.Write) ([]directory.Document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tx{Snapshot: s.snap, s: s, bumped: make(map[string]directory.Version)}
	docs, err := document.Apply(t, time.Now(), a, clone(ws))
	if err != nil {
		return nil, err
	}
	maps.Copy(s.versions, t.bumped)
	s.Cache.Forget(docs)
	return docs, nil
}

// clone copies the bodies, which the caller may use again.
func clone(ws []directory.Write) []directory.Write {
	ws = slices.Clone(ws)
	for i := range ws {
		ws[i].Body = slices.Clone(ws[i].Body)
	}
	return ws
}

// Get returns a document, or [directory.ErrNotFound].
func (s *Store) Get(_ context.Context, ref directory.Ref) (directory.Document, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	doc, ok, err := s.snap.Get(ref)
	if err == nil && !ok {
		err = fmt.Errorf("%s: %w", ref, directory.ErrNotFound)
	}
	return doc, err
}

// List returns a page of the documents of a kind, by name.
func (s *Store) List(_ context.Context, domain string, kind directory.Kind, q directory.Query) (docs []directory.Document, next string, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	docs, next = s.snap.Page(domain, kind, q)
	return docs, next, nil
}

// History returns the states a document had, newest first; one with a nil Body
// is a deletion.
func (s *Store) History(_ context.Context, ref directory.Ref, limit int, cursor string) (docs []directory.Document, next string, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rows := s.history[ref]
	end := len(rows)
	if cursor != "" {
		if end, err = strconv.Atoi(cursor); err != nil || end < 0 || end > len(rows) {
			return nil, "", fmt.Errorf("cursor %q: %w", cursor, directory.ErrNotFound)
		}
	}
	start := max(end-document.Limit(limit), 0)
	docs = slices.Clone(rows[start:end])
	slices.Reverse(docs)
	if start > 0 {
		next = strconv.Itoa(start)
	}
	return docs, next, nil
}

// Read runs f on the directory as it is now.
func (s *Store) Read(_ context.Context, f func(directory.View) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return f(s.snap)
}

// Versions implements [cache.Source].
func (s *Store) Versions(context.Context) (map[string]directory.Version, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.versions), nil
}

// Changes implements [cache.Source].
func (s *Store) Changes(_ context.Context, domain string, after directory.Version, limit int) (docs []directory.Document, _ error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for ref, rows := range s.history {
		for _, doc := range rows {
			if ref.Domain == domain && doc.Version.Compare(after) > 0 {
				docs = append(docs, doc)
			}
		}
	}
	slices.SortFunc(docs, func(a, b directory.Document) int { return a.Version.Compare(b.Version) })
	return docs[:min(len(docs), limit)], nil
}

// Snapshot implements [cache.Source]: there is nothing to gain.
func (s *Store) Snapshot(context.Context, int) (*document.Snapshot, error) { return nil, nil }

// SaveSession creates or replaces a sign-in by its hash.
func (s *Store) SaveSession(_ context.Context, v directory.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[v.Hash] = v
	return nil
}

// Session returns a sign-in, or [directory.ErrNotFound].
func (s *Store) Session(_ context.Context, hash string) (directory.Session, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return find(s.sessions, hash)
}

// Sessions returns the sign-ins of a user.
func (s *Store) Sessions(_ context.Context, domain, user string) ([]directory.Session, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []directory.Session
	for _, v := range s.sessions {
		if v.Domain == domain && v.User == user {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b directory.Session) int { return strings.Compare(a.Hash, b.Hash) })
	return out, nil
}

// TouchSession sets when a sign-in was last used; one that is gone stays gone.
func (s *Store) TouchSession(_ context.Context, hash string, seen time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.sessions[hash]; ok {
		v.LastSeen = seen
		s.sessions[hash] = v
	}
	return nil
}

// DeleteSession ends a sign-in; one that is not there is no error.
func (s *Store) DeleteSession(_ context.Context, hash string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, hash)
	return nil
}

// SaveToken creates or replaces a token by its hash; [directory.ErrExists] says
// that its name is taken in its domain.
func (s *Store) SaveToken(_ context.Context, v directory.Token) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.tokens {
		if o.Domain == v.Domain && o.Name == v.Name && o.Hash != v.Hash {
			return fmt.Errorf("token %s: %w", v.Name, directory.ErrExists)
		}
	}
	s.tokens[v.Hash] = v
	return nil
}

// Token returns a token, or [directory.ErrNotFound].
func (s *Store) Token(_ context.Context, hash string) (directory.Token, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return find(s.tokens, hash)
}

// Tokens returns the tokens of a domain, by name.
func (s *Store) Tokens(_ context.Context, domain string) ([]directory.Token, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []directory.Token
	for _, v := range s.tokens {
		if v.Domain == domain {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b directory.Token) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// TouchToken sets when a token was last used; one that is gone stays gone.
func (s *Store) TouchToken(_ context.Context, hash string, used time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.tokens[hash]; ok {
		v.LastUsed = used
		s.tokens[hash] = v
	}
	return nil
}

// DeleteToken deletes a token; one that is not there is no error.
func (s *Store) DeleteToken(_ context.Context, hash string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, hash)
	return nil
}

func find[T any](m map[string]T, hash string) (T, error) {
	v, ok := m[hash]
	if !ok {
		return v, directory.ErrNotFound
	}
	return v, nil
}

// SaveRecords implements [journal.Sink].
func (s *Store) SaveRecords(_ context.Context, calls []*feed.Call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range calls {
		if _, ok := s.records[c.ID]; !ok {
			s.records[c.ID] = c
		}
	}
	return nil
}

// Record returns the record of a call of a domain, or [directory.ErrNotFound].
func (s *Store) Record(ctx context.Context, domain, id string) (*feed.Call, error) {
	if err := s.Calls.Flush(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.records[id]
	if !ok || c.Domain != domain {
		return nil, fmt.Errorf("record %s: %w", id, directory.ErrNotFound)
	}
	return c, nil
}

// Records returns a page of the records of a domain, the newest first.
func (s *Store) Records(ctx context.Context, domain string, f feed.Filter) (calls []*feed.Call, next string, err error) {
	if err := s.Calls.Flush(ctx); err != nil {
		return nil, "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, c := range s.records {
		if c.Domain == domain && matches(c, f) {
			calls = append(calls, c)
		}
	}
	slices.SortFunc(calls, func(a, b *feed.Call) int { return strings.Compare(b.ID, a.ID) })
	if limit := document.Limit(f.Limit); len(calls) > limit {
		return calls[:limit], calls[limit-1].ID, nil
	}
	return calls, "", nil
}

func matches(c *feed.Call, f feed.Filter) bool {
	return (f.Cursor == "" || c.ID < f.Cursor) &&
		(f.From.IsZero() || !c.Started.Before(f.From)) && (f.To.IsZero() || c.Started.Before(f.To)) &&
		(len(f.Numbers) == 0 || slices.ContainsFunc(f.Numbers, func(n string) bool {
			return n == c.Caller || n == c.Called || n == c.Number
		}))
}
