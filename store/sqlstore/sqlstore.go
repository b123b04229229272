// Package sqlstore keeps everything in one SQLite file and a folder of journals:
// the directory with versions and history, sign-ins and tokens, bindings, and
// the records of calls. It is the default store of a node. Or it keeps it in a
// PostgreSQL that several nodes share, each with a journal of its own.
//
// One connection writes, every transaction taking the write lock at once; others
// read beside it (write-ahead log). Settings and records are synced before they
// are acknowledged; bindings survive the death of the process at once and a loss
// of power after a second (trust.md §3).
//
// In PostgreSQL a settings transaction locks the rows of the versions that it
// increments. A node has a [seat] there: a lock on its number, and an ear for what
// others write, which it follows through the history.
//
// [Store] is the directory and the records. What a call needs is in memory, in
// the parts of it: [Store.Bindings], [Store.Calls] and [Store.Cache].
//
// [Store.Run] owns all goroutines.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/binding"
	"bellhop/store/cache"
	"bellhop/store/journal"
)

// FileName is what the database is called in the folder of a node's store.
const FileName = "bellhop.db"

// Options are what a store needs.
type Options struct {
	// File is the SQLite database; it and its folder are made, for the owner only.
	File string
	// PostgreSQL is used in place of File; nil: it is not.
	PostgreSQL *PostgreSQL
	// Keys are compared with those of other nodes on one PostgreSQL; nil: they
	// are not.
	Keys Keys
	// Journal is the folder of the call journal; it is made. "" keeps calls in
	// memory until they are records.
	Journal string
	// Node is the number of this node, 0 to 1023, in the ids of its calls.
	Node uint16
	// Reserve is how many bytes beside File are held back for settings and
	// records on a disk that is full; 0: none.
	Reserve int64
	// CacheSize bounds the entries of the cache; 0: its default.
	CacheSize int
	// Shared is told of what is saved, and has copies of what is read, where
	// several nodes share a database; nil: there are none.
	Shared     Shared
	Feed       *feed.Stream          // nil: nobody is told of changes
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: metrics are not shown
}

// Shared is what nodes on one database have in common besides.
type Shared interface {
	cache.Copies
	// Announce is told of bindings that were saved. It does not block.
	Announce(rows []binding.Row)
}

// A Store keeps what a node knows. Make one with [New], then Run it, then
// Close it.
type Store struct {
	// Bindings is the location service.
	Bindings *binding.Table
	// Calls owns the live calls and the journal.
	Calls *journal.Journal
	// Cache answers what decisions and authentication need.
	Cache *cache.Cache

	db    *database
	lock  *os.File // held while database or journal are ours; nil after Close
	seat  *seat    // at a database that is shared; nil: it is not
	disk  *disk
	feed  *feed.Stream
	log   *slog.Logger
	tail  atomic.Int64 // calls in record_tail
	dirty atomic.Bool  // bindings were committed that are not synced

	batch    batch
	applying sync.Mutex                   // from the begin of Apply until the cache has forgotten
	known    map[string]directory.Version // of domains, as followed; guarded by applying
	ours     map[change]bool              // what we wrote and did not follow yet; guarded by applying

	reading, writing                viewStmts
	insert, insertMany, insertEntry *sql.Stmt
	insertBinding, updateBinding    *sql.Stmt
}

// New opens the database, migrates it, and loads bindings and journal. Errors
// are [ErrNewer], [ErrInUse], [ErrKeys], [journal.ErrNewer] and those of the file
// system and the database.
func New(ctx context.Context, o Options) (*Store, error) {
	s := &Store{feed: o.Feed, log: o.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if o.PostgreSQL != nil {
		if err := s.openShared(ctx, o); err != nil {
			return nil, errors.Join(err, s.Close()) //nolint:contextcheck // it has a time of its own
		}
		return s, nil
	}
	if err := s.take(o.File); err != nil {
		return nil, err
	}
	db, err := openDatabase(ctx, o.File, s.log, newMetrics(o.Registerer))
	if err != nil {
		return nil, errors.Join(err, s.give())
	}
	s.db = db
	s.disk = &disk{
		reserve: db.path + ".reserve", size: o.Reserve, log: s.log, metrics: db.metrics,
		room: func() (free, total uint64, ok bool) { return roomOf(filepath.Dir(db.path)) },
	}
	db.full = s.disk.full
	s.disk.look(ctx)
	if err := s.open(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close()) //nolint:contextcheck // see above
	}
	return s, nil
}

// open makes the parts of the store.
func (s *Store) open(ctx context.Context, o Options) (err error) {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.db.read.QueryRowContext(ctx, tailCalls).Scan((*tailCount)(&s.tail)); err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	bindings := binding.Options{Saver: s, Node: o.Node, Shared: s.db.shared, Feed: o.Feed, Logger: o.Logger, Registerer: o.Registerer}
	var copies cache.Copies
	if o.Shared != nil {
		bindings.Announce, copies = o.Shared.Announce, o.Shared
	}
	if s.db.shared {
		if s.known, err = s.Versions(ctx); err != nil { // before the cache reads anything
			return err
		}
	}
	if s.Bindings, err = binding.New(ctx, bindings); err != nil {
		return err
	}
	s.Calls, err = journal.New(journal.Options{
		Dir: o.Journal, Sink: s, Feed: o.Feed, Node: o.Node, Logger: o.Logger, Registerer: o.Registerer,
	})
	if err != nil {
		return err
	}
	s.recall(ctx)
	s.Cache, err = cache.New(ctx, cache.Options{
		Source: s, Bindings: s.Bindings, Calls: s.Calls, Copies: copies, Size: o.CacheSize, Followed: s.db.shared, Logger: o.Logger, Registerer: o.Registerer,
	})
	return err
}

// tailCalls counts the calls in the tail.
const tailCalls = "SELECT CAST(COALESCE(SUM(calls), 0) AS BIGINT) FROM record_tail"

// tailCount scans a number into an atomic one.
type tailCount atomic.Int64

// Scan implements [sql.Scanner].
func (t *tailCount) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("sqlstore: count is a %T", v)
	}
	(*atomic.Int64)(t).Store(n)
	return nil
}

// onceOnly ends the insert of what may come again.
const onceOnly = " ON CONFLICT DO NOTHING"

// prepare prepares what is written often.
func (s *Store) prepare(ctx context.Context) error {
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&s.insert, "INSERT INTO records (id, domain, body) VALUES " + placeholders(1, 3) + onceOnly},
		{&s.insertMany, "INSERT INTO records (id, domain, body) VALUES " + placeholders(recordRows, 3) + onceOnly},
		{&s.insertEntry, insertEntry(runRows)},
		{&s.insertBinding, `INSERT INTO bindings (domain, "user", expires, packed, version) VALUES (?,?,?,?,?)` + onceOnly},
		{&s.updateBinding, `UPDATE bindings SET expires = ?, packed = ?, version = ? WHERE domain = ? AND "user" = ? AND version = ?`},
	} {
		st, err := s.db.write.PrepareContext(ctx, p.query)
		if err != nil {
			return fmt.Errorf("sqlstore: prepare: %w", err)
		}
		*p.stmt = st
	}
	var err error
	if s.reading, err = prepareView(ctx, s.db.read); err != nil {
		return err
	}
	s.writing, err = prepareView(ctx, s.db.write)
	return err
}

// Run keeps the store until ctx ends: it expires bindings, batches records,
// confirms the cache, follows what other nodes write, syncs, and takes away what is kept no longer. What was acknowledged is saved when it returns.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i, run := range []func(context.Context) error{s.Bindings.Run, s.Calls.Run, s.Cache.Run, s.sync, s.keepHouse, s.attend, s.recount} {
		wg.Go(func() { errs[i] = run(ctx) })
	}
	wg.Wait()
	errs[7] = s.syncNow(context.WithoutCancel(ctx))
	return errors.Join(errs...)
}

// sync makes committed bindings survive a loss of power within a second, and
// forgets sign-ins that are over.
func (s *Store) sync(ctx context.Context) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	hour := time.NewTicker(time.Hour)
	defer hour.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
			s.disk.look(ctx)
			s.probe(ctx)
			err = s.syncNow(ctx)
		case <-minute.C:
			if s.db.shared { // other nodes have emergency calls too
				s.recall(ctx)
			}
		case <-hour.C:
			err = errors.Join(s.dropSessions(ctx), s.dropBindings(ctx))
		}
		if err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelError, "store not synced", slog.Any("error", err))
		}
	}
}

// syncNow syncs the log of the database when bindings were committed: a synced
// commit takes all before it along.
func (s *Store) syncNow(ctx context.Context) error {
	if !s.dirty.Swap(false) {
		return nil
	}
	err := s.db.tx(ctx, powerLoss, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE meta SET value = value + 1 WHERE name = 'synced'")
		return err
	})
	if err != nil {
		s.dirty.Store(true)
	}
	return err
}

// Close closes journal and database; Run has returned before. It may be called
// more than once.
func (s *Store) Close() error {
	var errs []error
	if s.Calls != nil {
		errs = append(errs, s.Calls.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.close())
	}
	if s.seat != nil {
		errs = append(errs, s.seat.close())
	}
	return errors.Join(append(errs, s.give())...)
}
