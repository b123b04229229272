package sqlstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"bellhop/store/health"
)

// Errors of a node that others do not let in.
var (
	// ErrNumber reports a node number that another node has.
	ErrNumber = errors.New("sqlstore: another node has this number")
	// ErrKeys reports a key ring that is not that of the other nodes.
	ErrKeys = errors.New("sqlstore: the key ring is not that of the other nodes")
)

// Keys are the key ring of the node.
type Keys interface {
	// Derive returns the secrets for a purpose and the ids of their keys.
	Derive(purpose string) (ids []byte, secrets [][]byte)
}

// The pace of a seat.
const (
	// numberWait is how long a node waits for its number: the connection of the
	// process that had it before may not be known to be gone.
	numberWait = 3 * time.Second
	// followEvery is how often is asked what others wrote, should no
	// notification come through.
	followEvery = 2 * time.Second
	// channel is what changes of settings are told on.
	channel = "bellhop"
)

// A seat is a node's place at a database that several share: one connection that
// holds the lock on the node's number and hears when others write.
type seat struct {
	number  uint16
	conf    *pgx.ConnConfig
	timeout time.Duration
	conn    *pgx.Conn   // nil: none; belongs to Run once it runs
	locked  bool        // conn holds the number
	looked  time.Time   // when it was last looked whether conn is there
	keeper  atomic.Bool // it takes away what is kept no longer
	health  health.Part
}

// openShared opens a database that others have open as well.
func (s *Store) openShared(ctx context.Context, o Options) error {
	if o.Journal != "" {
		if err := s.takeJournal(o.Journal); err != nil {
			return err
		}
	}
	conf, err := o.PostgreSQL.parse(o.Node)
	if err != nil {
		return err
	}
	db := o.PostgreSQL.open(conf)
	s.db = &database{dialect: onPostgres(), path: redacted(o.PostgreSQL.URL), write: db, read: db, metrics: newMetrics(o.Registerer)}
	s.disk = &disk{log: s.log, metrics: s.db.metrics, room: func() (free, total uint64, ok bool) { return roomOf(o.Journal) }}
	s.seat = &seat{number: o.Node, conf: conf, timeout: o.PostgreSQL.timeout()}
	if err := s.sit(ctx); err != nil {
		if w := pgWords(err); w != "" {
			err = fmt.Errorf("%s: %w", w, err)
		}
		return fmt.Errorf("sqlstore: %s: %w", s.db.path, err)
	}
	if err := s.checkKeys(ctx, o.Keys); err != nil {
		return err
	}
	return s.open(ctx, o)
}

// redacted returns a URL without its password.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the database"
	}
	u.RawQuery = ""
	return u.Redacted()
}

// takeJournal keeps other processes off the journal at dir.
func (s *Store) takeJournal(dir string) error {
	dir = filepath.Clean(dir)
	if err := private(dir + ".lock"); err != nil {
		return err
	}
	f, ok, err := lock(dir + ".lock")
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	s.lock = f
	return nil
}

// sit takes the seat at the start, and brings the database up to date.
func (s *Store) sit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := s.seat.connect(ctx); err != nil {
		return err
	}
	if err := s.seat.suits(ctx); err != nil {
		return err
	}
	limit := time.Now().Add(numberWait)
	for {
		ok, err := s.seat.tryLock(ctx, int(s.seat.number))
		if err != nil {
			return err
		}
		if s.seat.locked = ok; ok {
			break
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%w: node.number %d", ErrNumber, s.seat.number)
		}
		if err := wait(ctx, numberWait/10); err != nil {
			return err
		}
	}
	// One brings the schema up to date while others wait.
	if _, err := s.seat.conn.Exec(ctx, "SET statement_timeout = 0"); err != nil {
		return err
	}
	if _, err := s.seat.conn.Exec(ctx, "SELECT pg_advisory_lock"+lockKey(lockMigrate)); err != nil {
		return err
	}
	conf := s.seat.conf.Copy()
	conf.RuntimeParams["statement_timeout"] = "0"
	if err := s.db.migrateShared(ctx, conf, s.log, nil); err != nil {
		return err
	}
	_, err := s.seat.conn.Exec(ctx, "SELECT pg_advisory_unlock"+lockKey(lockMigrate))
	return err
}

// connect opens the connection and listens.
func (t *seat) connect(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	t.locked = false
	if t.conn, err = pgx.ConnectConfig(ctx, t.conf); err != nil {
		t.conn = nil
		return err
	}
	if _, err = t.conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return errors.Join(err, t.close()) //nolint:contextcheck // it has a time of its own
	}
	return nil
}

// suits refuses a database that would lose what was acknowledged, or that has no
// room for all names.
func (t *seat) suits(ctx context.Context) error {
	var encoding, sync, schema string
	err := t.conn.QueryRow(ctx, `SELECT current_setting('server_encoding'), current_setting('synchronous_commit'), COALESCE(current_schema(), '')`).Scan(&encoding, &sync, &schema)
	switch {
	case err != nil:
		return err
	case encoding != "UTF8":
		return fmt.Errorf("the encoding of the database is %s: make one with UTF8", encoding)
	case sync == "off":
		return errors.New("synchronous_commit is off: what was acknowledged would be lost when the database dies")
	case schema == "":
		return errors.New("there is no schema on the search_path")
	default:
		return nil
	}
}

// tryLock takes a lock for as long as the connection lasts, unless somebody has
// it.
func (t *seat) tryLock(ctx context.Context, n int) (ok bool, err error) {
	err = t.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock"+lockKey(n)).Scan(&ok)
	return ok, err
}

// close leaves the seat.
func (t *seat) close() error {
	if t.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	c := t.conn
	t.conn, t.locked = nil, false
	t.keeper.Store(false)
	return c.Close(ctx)
}

// attend keeps the seat until ctx ends, and follows what others write.
func (s *Store) attend(ctx context.Context) error {
	if s.seat == nil {
		return nil
	}
	for ctx.Err() == nil {
		if err := s.attendOnce(ctx); err != nil && ctx.Err() == nil {
			s.leave(ctx, err)
		}
	}
	return nil
}

// leave gives the seat up for a moment, and says why.
func (s *Store) leave(ctx context.Context, err error) {
	if errors.Is(err, ErrNumber) {
		if s.seat.health.Fail("node", "another node on this database has the same number") {
			s.log.LogAttrs(ctx, slog.LevelError, "another node on this database has our number", slog.Int("number", int(s.seat.number)))
		}
	} else if s.db.writing.Fail("store", refusing(err)) {
		s.log.LogAttrs(ctx, slog.LevelError, "the database is away", slog.Any("error", err))
	}
	_ = s.seat.close() //nolint:contextcheck // it may be gone already, and has a time of its own
	_ = wait(ctx, restFor)
}

// attendOnce waits for what others write and follows it. After the connection was
// away all bindings are read: who was told of them is not known.
func (s *Store) attendOnce(ctx context.Context) error {
	again := s.seat.conn == nil
	if again {
		if err := s.seat.connect(ctx); err != nil {
			return err
		}
	}
	if again || time.Since(s.seat.looked) > followEvery {
		if err := s.seat.look(ctx); err != nil {
			return err
		}
		if s.seat.health.OK() {
			s.log.LogAttrs(ctx, slog.LevelInfo, "the number of this node is its own again")
		}
		if err := s.follow(ctx); err != nil {
			return err
		}
		if again {
			return s.Bindings.Resync(ctx, nil)
		}
	}
	told, err := s.seat.hear(ctx)
	switch {
	case err != nil || told == nil:
		return err
	case told.Payload == "":
		return s.follow(ctx)
	default:
		return s.learn(ctx, told.Payload)
	}
}

// look looks whether the connection is there, and takes what it may hold: the
// number of the node, or [ErrNumber], and the keeping of the house.
func (t *seat) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if !t.locked {
		ok, err := t.tryLock(ctx, int(t.number))
		if err != nil {
			return err
		}
		if t.locked = ok; !ok {
			return ErrNumber
		}
	}
	t.looked = time.Now()
	if t.keeper.Load() {
		return t.conn.Ping(ctx)
	}
	ok, err := t.tryLock(ctx, lockHouse)
	t.keeper.Store(ok && err == nil)
	return err
}

// hear waits for a notification, but not for long: nil.
func (t *seat) hear(ctx context.Context) (*pgconn.Notification, error) {
	short, cancel := context.WithTimeout(ctx, followEvery)
	defer cancel()
	n, err := t.conn.WaitForNotification(short)
	if err != nil && short.Err() != nil && !t.conn.IsClosed() {
		return nil, ctx.Err()
	}
	return n, err
}

// migrateShared is migrate over connections that may take their time.
func (d *database) migrateShared(ctx context.Context, conf *pgx.ConnConfig, log *slog.Logger, steps fs.FS) error {
	slow := &database{dialect: d.dialect, path: d.path, write: stdlib.OpenDB(*conf)}
	return errors.Join(slow.migrate(ctx, log, steps), slow.write.Close())
}

// checkKeys compares the key ring with that of the nodes that were here before.
// The first node brings its own; a new key is noted where an older one is known.
func (s *Store) checkKeys(ctx context.Context, keys Keys) error {
	if keys == nil {
		return nil
	}
	ids, secrets := keys.Derive("database")
	return s.db.tx(ctx, powerLoss, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "LOCK TABLE keys"); err != nil {
			return err
		}
		var known, same int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM keys").Scan(&known); err != nil {
			return err
		}
		for i, id := range ids {
			sum := sha256.Sum256(secrets[i])
			var there []byte
			err := tx.QueryRowContext(ctx, "SELECT digest FROM keys WHERE id = ?", int64(id)).Scan(&there)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				if _, err := tx.ExecContext(ctx, "INSERT INTO keys (id, digest) VALUES (?, ?)", int64(id), sum[:]); err != nil {
					return err
				}
			case err != nil:
				return err
			case !bytes.Equal(there, sum[:]):
				return fmt.Errorf("%w: key %d is another one there; copy the folder of the ring from a node that runs", ErrKeys, id)
			default:
				same++
			}
		}
		if known > 0 && same == 0 {
			return fmt.Errorf("%w: none of its keys is known there; copy the folder of the ring from a node that runs", ErrKeys)
		}
		return nil
	})
}

// wait waits for d, or for the end of ctx, which is its error.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
