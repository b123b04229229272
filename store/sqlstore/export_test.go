package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Migrate brings a database to the schema of another release.
func Migrate(ctx context.Context, path string, steps fs.FS) error {
	db, err := sql.Open("sqlite", dsn(path, true))
	if err != nil {
		return err
	}
	d := &database{dialect: onSQLite(), path: path, write: db}
	return errors.Join(d.migrate(ctx, slog.New(slog.DiscardHandler), steps), db.Close())
}

// MergeTail makes a run of the tail of the records.
func MergeTail(ctx context.Context, s *Store) error { return s.mergeTail(ctx) }

// LimitPages makes the database full at n pages, as a disk would be; a great n
// makes room again.
func LimitPages(ctx context.Context, s *Store, n int) error {
	_, err := s.db.write.ExecContext(ctx, "PRAGMA max_page_count="+strconv.Itoa(n))
	return err
}

// Probe tries again what failed.
func Probe(ctx context.Context, s *Store) { s.probe(ctx) }

// Retire takes away what is kept no longer at a time.
func Retire(ctx context.Context, s *Store, now time.Time) error { return s.retire(ctx, now) }

// CountIndex counts the runs of the index of records and their entries.
func CountIndex(tb testing.TB, s *Store) (runs, entries int) {
	tb.Helper()
	err := s.db.read.QueryRowContext(tb.Context(), "SELECT (SELECT COUNT(*) FROM record_runs), (SELECT COUNT(*) FROM record_entries)").Scan(&runs, &entries)
	if err != nil {
		tb.Fatal(err)
	}
	return runs, entries
}

// SetRoom makes the disk of s one with that room, and looks at it.
func SetRoom(ctx context.Context, s *Store, free, total uint64) {
	s.disk.room = func() (uint64, uint64, bool) { return free, total, true }
	s.disk.look(ctx)
}

// Room is how much room the disk of a folder has.
func Room(dir string) (free, total uint64, ok bool) { return roomOf(dir) }

// Migrations are the steps of PostgreSQL.
func Migrations(tb testing.TB) fs.FS {
	tb.Helper()
	steps, err := fs.Sub(migrations, onPostgres().migrations)
	if err != nil {
		tb.Fatal(err)
	}
	return steps
}

// MigratePostgres brings a database to the schema of another release.
func MigratePostgres(ctx context.Context, url string, steps fs.FS) error {
	conf, err := (PostgreSQL{URL: url}).parse(0)
	if err != nil {
		return err
	}
	d := &database{dialect: onPostgres(), path: redacted(url)}
	return d.migrateShared(ctx, conf, slog.New(slog.DiscardHandler), steps)
}

// Numbered writes the parameters of a query as PostgreSQL has them.
func Numbered(query string) string { return numbered(query) }

// Dump is what is in a store, by table, in order.
func Dump(tb testing.TB, s *Store) map[string][]string {
	tb.Helper()
	out := make(map[string][]string)
	for _, table := range []string{"versions", "documents", "document_keys", "history", "sessions", "tokens", "bindings", "records", "record_tail", "record_runs", "record_entries", "kept"} {
		rows, err := s.db.read.QueryContext(tb.Context(), "SELECT * FROM "+table)
		if err != nil {
			tb.Fatal(err)
		}
		names, err := rows.Columns()
		if err != nil {
			tb.Fatal(err)
		}
		for rows.Next() {
			row, into := make([]sql.NullString, len(names)), make([]any, len(names))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				tb.Fatal(err)
			}
			line := make([]string, len(names))
			for i, name := range names {
				line[i] = fmt.Sprintf("%s=%q,%t", name, row[i].String, row[i].Valid)
			}
			slices.Sort(line) // columns may come in another order
			out[table] = append(out[table], strings.Join(line, " "))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			tb.Fatal(err)
		}
		slices.Sort(out[table])
	}
	return out
}
