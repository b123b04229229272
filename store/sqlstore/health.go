package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"bellhop/feed"
	"bellhop/store/health"
)

// Reasons returns what of the store does not work, nil when all does.
func (s *Store) Reasons() []feed.Reason {
	rs := s.disk.health.Append(s.db.reading.Append(s.db.writing.Append(nil)))
	if s.seat != nil {
		rs = s.seat.health.Append(rs)
	}
	return s.Calls.Reasons(rs)
}

// refusing says what follows from an error of a write.
func refusing(err error) string { return words(err) + ": changes and registrations are refused" }

// words says what an error of the database means, in words that anybody may
// read: the error itself may have paths and settings in it.
func words(err error) string {
	const other = "the database fails"
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return cmp.Or(pgWords(err), health.Words(err), other)
	}
	switch e.Code() & 0xff { // the rest of the code tells where
	case sqlite3.SQLITE_FULL:
		return health.Full
	case sqlite3.SQLITE_READONLY:
		return "the database is read-only"
	case sqlite3.SQLITE_IOERR:
		return "the disk fails"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "the database is locked"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return "the database is damaged"
	default:
		return other
	}
}

// probe tries again what failed, so that the store is known to work again before
// somebody needs it.
func (s *Store) probe(ctx context.Context) {
	if s.db.writing.Failing() {
		err := s.db.tx(ctx, powerLoss, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE meta SET value = value + 1 WHERE name = 'synced'")
			return err
		})
		if err == nil {
			s.log.LogAttrs(ctx, slog.LevelInfo, "the database can be written to again")
		}
	}
	if s.db.reading.Failing() {
		var n int64
		if err := s.db.read.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'synced'").Scan(&n); err == nil && s.db.reading.OK() {
			s.log.LogAttrs(ctx, slog.LevelInfo, "the database can be read again")
		}
	}
}
