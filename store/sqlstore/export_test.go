package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
)

// Migrate brings a database to the schema of another release.
func Migrate(ctx context.Context, path string, steps fs.FS) error {
	db, err := sql.Open("sqlite", dsn(path, true))
	if err != nil {
		return err
	}
	d := &database{path: path, write: db}
	return errors.Join(d.migrate(ctx, slog.New(slog.DiscardHandler), steps), db.Close())
}

// MergeTail makes a run of the tail of the records.
func MergeTail(ctx context.Context, s *Store) error { return s.mergeTail(ctx) }
