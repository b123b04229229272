package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"bellhop/routing/directory"
	"bellhop/store/health"
)

// migrations are the steps of the schema; the number of a file is the schema
// after it.
//
//go:embed migrations/*/*.sql
var migrations embed.FS

// ErrNewer reports a database that a newer release wrote.
var ErrNewer = errors.New("sqlstore: the database has a newer schema")

// database is one SQLite file: a single connection that writes, and others that
// read beside it. Or it is PostgreSQL: then both are the same connections.
type database struct {
	dialect

	path    string  // of the file, or the URL without a password
	write   *sql.DB // SQLite: one connection; every transaction takes the write lock at once
	read    *sql.DB
	synced  bool // the writer syncs on commit; belongs to who holds its connection
	metrics *metrics
	writing health.Part
	reading health.Part
	full    func(context.Context) // told that the disk is full; may be nil
}

// readers is how many connections read at the same time.
const readers = 4

// dsn returns the data source name of path. Pages of 8 KiB suit rows of half a
// kilobyte; a checkpoint every 64 MiB writes a page that changes all the time
// once instead of many times.
func dsn(path string, writes bool) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "page_size(8192)", "journal_mode(WAL)", "synchronous(NORMAL)",
		"wal_autocheckpoint(8192)", "journal_size_limit(134217728)", "temp_store(MEMORY)", "foreign_keys(1)",
	}}
	if writes {
		q.Set("_txlock", "immediate")
		q.Add("_pragma", "cache_size(-32768)")
	} else {
		q.Add("_pragma", "query_only(1)")
		q.Add("_pragma", "cache_size(-8192)")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// openDatabase opens and migrates the file at path.
func openDatabase(ctx context.Context, path string, log *slog.Logger, m *metrics) (*database, error) {
	if path == "" {
		return nil, errors.New("sqlstore: no database file given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	if err := private(path); err != nil {
		return nil, err
	}
	d := &database{dialect: onSQLite(), path: path, metrics: m}
	if d.write, err = sql.Open("sqlite", dsn(path, true)); err != nil {
		return nil, fmt.Errorf("sqlstore: open %s: %w", path, err)
	}
	d.write.SetMaxOpenConns(1)
	d.write.SetMaxIdleConns(1)
	if err := d.migrate(ctx, log, nil); err != nil {
		return nil, errors.Join(err, d.write.Close())
	}
	if d.read, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlstore: open %s: %w", path, err), d.write.Close())
	}
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers)
	return d, nil
}

// private makes the folder and the file with modes that keep others out:
// credentials are sealed, but password hashes and records are there as well.
func private(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	return f.Close()
}

// migrate brings the schema to that of this release. A database with data is
// copied first, to its path with ".schema-N" and the old number; one that is
// shared is not. steps are those of another release; nil: of this.
func (d *database) migrate(ctx context.Context, log *slog.Logger, steps fs.FS) (err error) {
	if steps == nil {
		if steps, err = fs.Sub(migrations, d.migrations); err != nil {
			return fmt.Errorf("sqlstore: migrations: %w", err)
		}
	}
	p, err := goose.NewProvider(d.goose, d.write, steps, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("sqlstore: migrations: %w", err)
	}
	current, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: read schema of %s: %w", d.path, err)
	}
	sources := p.ListSources()
	newest := sources[len(sources)-1].Version
	switch {
	case current > newest:
		return fmt.Errorf("%w: %s has schema %d, this release knows %d", ErrNewer, d.path, current, newest)
	case current == newest:
		return nil
	case current > 0 && !d.shared:
		to := fmt.Sprintf("%s.schema-%d", d.path, current)
		if err := d.copyTo(ctx, to); err != nil {
			return err
		}
		log.LogAttrs(ctx, slog.LevelInfo, "database copied before migrating", slog.String("copy", to))
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("sqlstore: migrate %s: %w", d.path, err)
	}
	return nil
}

// copyTo writes a copy of the database, whole or not at all.
func (d *database) copyTo(ctx context.Context, path string) error {
	tmp := path + ".tmp"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sqlstore: copy: %w", err)
	}
	if err := private(tmp); err != nil {
		return err
	}
	if _, err := d.write.ExecContext(ctx, "VACUUM INTO ?", tmp); err != nil {
		return errors.Join(fmt.Errorf("sqlstore: copy: %w", err), os.Remove(tmp))
	}
	if err := syncFile(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("sqlstore: copy: %w", err)
	}
	return syncFile(filepath.Dir(path))
}

// A promise is what a commit survives.
type promise bool

const (
	processDeath promise = false // kill -9; a loss of power may take the last second
	powerLoss    promise = true  // synced before the commit returns
)

// tries is how often a transaction is begun that others get in the way of.
const tries = 10

// tx runs f in one write transaction, committed when f returns nil. Who waits
// for the writer waits behind others: transactions are short and none does
// anything but SQL. Where writers work at the same time, f may run again.
func (d *database) tx(ctx context.Context, p promise, f func(*sql.Tx) error) error {
	return d.txAs(ctx, p, nil, f)
}

// txAs is tx with options of the transaction.
func (d *database) txAs(ctx context.Context, p promise, o *sql.TxOptions, f func(*sql.Tx) error) (err error) {
	start := time.Now()
	defer func() {
		d.metrics.commit.Observe(time.Since(start).Seconds())
		switch {
		case err == nil:
			d.writing.OK()
		case !refused(err):
			d.metrics.errors.Inc()
			d.writing.Fail("store", refusing(err))
			if words(err) == health.Full && d.full != nil {
				d.full(context.WithoutCancel(ctx))
			}
		}
	}()
	if !d.shared {
		return d.writeAlone(ctx, p, f)
	}
	for try := 1; ; try++ { // no pause: who was in the way has committed
		tx, err := d.write.BeginTx(ctx, o) // what PostgreSQL commits survives anything
		if err != nil {
			return fmt.Errorf("sqlstore: begin: %w", err)
		}
		if err = finish(tx, f); err == nil || try == tries || !again(err) {
			return err
		}
	}
}

// writeAlone is a transaction of the only writer there is.
func (d *database) writeAlone(ctx context.Context, p promise, f func(*sql.Tx) error) error {
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	defer conn.Close()
	if err := d.synchronous(ctx, conn, p); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlstore: begin: %w", err)
	}
	return finish(tx, f)
}

// finish runs f in a transaction and ends it.
func finish(tx *sql.Tx, f func(*sql.Tx) error) error {
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlstore: commit: %w", errors.Join(err, ignoreDone(tx.Rollback())))
	}
	return nil
}

// synchronous makes commits of conn keep p.
func (d *database) synchronous(ctx context.Context, conn *sql.Conn, p promise) error {
	if !d.synced && p == processDeath {
		return nil
	}
	mode := "NORMAL"
	if p == powerLoss {
		mode = "FULL"
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA synchronous="+mode); err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	d.synced = p == powerLoss
	return nil
}

// ignoreDone forgets that a transaction was over already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// refused reports whether err is an answer rather than a failure of the store.
func refused(err error) bool {
	if _, ok := errors.AsType[*directory.Invalid](err); ok {
		return true
	}
	return errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrExists) ||
		errors.Is(err, directory.ErrVersion) || errors.Is(err, context.Canceled)
}

// A querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// whole runs f, which reads a whole table: that may take longer than a statement
// may elsewhere.
func (d *database) whole(ctx context.Context, f func(querier) error) error {
	if !d.shared {
		return f(d.read)
	}
	tx, err := d.read.BeginTx(ctx, d.moment)
	if err != nil {
		return fmt.Errorf("sqlstore: begin: %w", err)
	}
	if _, err = tx.ExecContext(ctx, "SET LOCAL statement_timeout = 0"); err == nil {
		err = f(tx)
	}
	return errors.Join(err, ignoreDone(tx.Rollback()))
}

// close closes the connections; the write-ahead log is folded into the file.
func (d *database) close() error {
	if d.read == d.write {
		return d.write.Close()
	}
	return errors.Join(d.read.Close(), d.write.Close())
}

// placeholders returns n groups of "(?,?,...)" with k marks each.
func placeholders(n, k int) string {
	group := "(" + strings.TrimSuffix(strings.Repeat("?,", k), ",") + ")"
	return strings.TrimSuffix(strings.Repeat(group+",", n), ",")
}
