package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
)

// ErrInUse reports a database that another process has open.
var ErrInUse = errors.New("sqlstore: another process has the database open")

// A Progress is told how many bytes of about how many are done; nil: nobody.
type Progress func(done, total int64)

// A Copy says what a copy of a database is.
type Copy struct {
	Bytes  int64
	Schema int64
	Epoch  int64
	// Kept is where the database is that was there before a restore, "" when
	// there was none.
	Kept string
}

// take keeps other processes off the database at file.
func (s *Store) take(file string) error {
	if file == "" {
		return errors.New("sqlstore: no database file given")
	}
	if err := private(file); err != nil {
		return err
	}
	f, ok, err := lock(file + ".lock")
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: %s", ErrInUse, file)
	}
	s.lock = f
	return nil
}

// give lets others at the database.
func (s *Store) give() error {
	if s.lock == nil {
		return nil
	}
	err := unlock(s.lock)
	s.lock = nil
	return err
}

// Backup writes a copy of the database to path while the store goes on. The
// journal is not in it: records of the last second may be missing.
func (s *Store) Backup(ctx context.Context, path string) error {
	if s.db.shared {
		return errors.New("sqlstore: PostgreSQL is copied by its own pg_dump")
	}
	return s.db.copyTo(ctx, path)
}

// Backup writes a copy of the database at file to a new file, whole or not at
// all. A daemon may have the database open, and goes on. Errors are fs.ErrExist
// when to is there, and fs.ErrNotExist when file is not.
func Backup(ctx context.Context, file, to string, progress Progress) (Copy, error) {
	if _, err := os.Stat(to); err == nil {
		return Copy{}, fmt.Errorf("sqlstore: backup: %s: %w", to, fs.ErrExist)
	}
	if _, err := os.Stat(file); err != nil {
		return Copy{}, fmt.Errorf("sqlstore: backup: %w", err)
	}
	c, err := describe(ctx, dsn(file, false))
	if err != nil {
		return Copy{}, fmt.Errorf("sqlstore: backup: %s %w", file, err)
	}
	db, err := sql.Open("sqlite", dsn(file, true)) // VACUUM INTO is a write, to another file
	if err != nil {
		return Copy{}, fmt.Errorf("sqlstore: backup: %w", err)
	}
	stop := watchSize(to+".tmp", c.Bytes, progress)
	d := &database{dialect: onSQLite(), path: file, write: db}
	err = errors.Join(d.copyTo(ctx, to), db.Close())
	stop()
	if err != nil {
		return Copy{}, err
	}
	info, err := os.Stat(to)
	if err != nil {
		return Copy{}, fmt.Errorf("sqlstore: backup: %w", err)
	}
	c.Bytes = info.Size()
	return c, nil
}

// watchSize tells progress how a file grows, until stop is called.
func watchSize(path string, total int64, progress Progress) (stop func()) {
	if progress == nil {
		return func() {}
	}
	ends, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ends:
				return
			case <-tick.C:
				if info, err := os.Stat(path); err == nil {
					progress(info.Size(), max(total, info.Size()))
				}
			}
		}
	}()
	return func() { close(ends); <-ended }
}

// still is the data source name of a file that nobody writes to: it is only read,
// and nothing is made beside it.
func still(path string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: "immutable=1&mode=ro"}).String()
}

// describe looks at a database without changing it: whether it is one of ours,
// and which.
func describe(ctx context.Context, source string) (c Copy, err error) {
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	row := db.QueryRowContext(ctx, `SELECT (SELECT value FROM meta WHERE name = 'epoch'), (SELECT MAX(version_id) FROM `+goose.TableName()+`),
		(SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size)`)
	if err := row.Scan(&c.Epoch, &c.Schema, &c.Bytes); err != nil {
		return c, fmt.Errorf("is no database of bellhop: %w", err)
	}
	return c, nil
}

// epochUnknown is added to the epoch of a copy when that of the damaged database
// it replaces cannot be read: more restores than anybody makes.
const epochUnknown = 1000

// Restore puts a copy that [Backup] made in place of the database at file and
// raises its epoch: versions given out since the copy was made are all older
// than those to come (trust.md §3). The database that was there is kept beside
// it. Errors are [ErrInUse], [ErrNewer], and those of the file system.
func Restore(ctx context.Context, from, file string, progress Progress) (Copy, error) {
	if _, err := os.Stat(from); err != nil { // it would be made
		return Copy{}, fmt.Errorf("sqlstore: restore: %w", err)
	}
	s := &Store{}
	if err := s.take(file); err != nil {
		return Copy{}, err
	}
	c, err := restore(ctx, from, file, progress)
	return c, errors.Join(err, s.give())
}

func restore(ctx context.Context, from, file string, progress Progress) (Copy, error) {
	if _, err := describe(ctx, still(from)); err != nil {
		return Copy{}, fmt.Errorf("sqlstore: restore: %s %w", from, err)
	}
	tmp := file + ".restored"
	if err := copyFile(from, tmp, progress); err != nil {
		return Copy{}, fmt.Errorf("sqlstore: restore: %w", err)
	}
	if err := whole(ctx, tmp); err != nil {
		return Copy{}, errors.Join(fmt.Errorf("sqlstore: restore: %s: %w", from, err), os.Remove(tmp))
	}
	was, there := int64(0), false
	if info, err := os.Stat(file); err == nil && info.Size() > 0 {
		there = true
		if old, err := describe(ctx, dsn(file, false)); err == nil {
			was = old.Epoch
		} else if now, err := describe(ctx, still(tmp)); err == nil {
			was = now.Epoch + epochUnknown
		}
	}
	if err := raise(ctx, tmp, was); err != nil {
		return Copy{}, errors.Join(err, os.Remove(tmp))
	}
	c, err := describe(ctx, still(tmp))
	if err != nil {
		return Copy{}, fmt.Errorf("sqlstore: restore: %w", err)
	}
	if there {
		c.Kept = file + ".before-restore"
	}
	return c, replace(tmp, file, c.Kept)
}

// replace puts the database at tmp in place of that at file, which goes to kept,
// with what SQLite has beside them.
func replace(tmp, file, kept string) error {
	var errs []error
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if kept == "" {
			break
		}
		if err := os.Rename(file+suffix, kept+suffix); errors.Is(err, fs.ErrNotExist) && suffix != "" {
			err = os.Remove(kept + suffix) // of an earlier restore
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		} else if err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sqlstore: restore: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("sqlstore: restore: %w", err)
	}
	return syncFile(filepath.Dir(file))
}

// whole looks for damage.
func whole(ctx context.Context, file string) (err error) {
	db, err := sql.Open("sqlite", still(file))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var says string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&says); err != nil {
		return err
	}
	if says != "ok" {
		return fmt.Errorf("it is damaged: %s", says)
	}
	return nil
}

// copyFile copies a file to a new one that only its owner may read.
func copyFile(from, to string, progress Progress) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	stop := watchSize(to, info.Size(), progress)
	_, err = io.Copy(out, in)
	stop()
	return errors.Join(err, out.Sync(), out.Close())
}

// syncFile makes a file or the names in a folder survive a loss of power.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sqlstore: sync: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sqlstore: sync: %w", err)
	}
	return nil
}

// raise brings the database at file to the schema of this release, and makes its
// epoch greater than its own and than.
func raise(ctx context.Context, file string, than int64) error {
	d, err := openDatabase(ctx, file, slog.New(slog.DiscardHandler), newMetrics(nil))
	if err != nil {
		return err
	}
	_, err = d.write.ExecContext(ctx, "UPDATE meta SET value = MAX(value, ?) + 1 WHERE name = 'epoch'", than)
	if err = errors.Join(err, d.close(), syncFile(file)); err != nil {
		return fmt.Errorf("sqlstore: restore: %w", err)
	}
	return nil
}
