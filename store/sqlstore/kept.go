package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/document"
)

// Edit changes a setting by telephone: see [document.Settings].
func (s *Store) Edit(ctx context.Context, a directory.Author, ref directory.Ref, edit func(body []byte) ([]byte, error)) error {
	return document.Settings{Documents: s}.Edit(ctx, a, ref, edit)
}

// Keep saves what SIP keeps, in place of what was there, and forgets what has no
// body. That survives the death of the process, and a loss of power a second later.
func (s *Store) Keep(ctx context.Context, rows []feed.Kept) error {
	ctx = context.WithoutCancel(ctx) // see SaveBindings
	err := s.db.tx(ctx, processDeath, func(tx *sql.Tx) error {
		for i := range rows {
			if err := keep(ctx, tx, &rows[i]); err != nil {
				return fmt.Errorf("sqlstore: keep: %w", err)
			}
		}
		return nil
	})
	if err == nil && !s.db.shared {
		s.dirty.Store(true)
	}
	return err
}

func keep(ctx context.Context, tx *sql.Tx, r *feed.Kept) error {
	if r.Body == nil {
		_, err := tx.ExecContext(ctx, "DELETE FROM kept WHERE kind = ? AND id = ?", r.Kind, r.ID)
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO kept (kind, id, domain, "user", expires, body) VALUES (?,?,?,?,?,?)
		ON CONFLICT (kind, id) DO UPDATE SET domain = excluded.domain, "user" = excluded."user", expires = excluded.expires, body = excluded.body`,
		r.Kind, r.ID, r.Domain, r.Number, r.Expires.UnixMilli(), r.Body)
	return err
}

// Kept calls add with what is kept of a kind, of one number or, without one, of
// all, in the order of the ids.
func (s *Store) Kept(ctx context.Context, kind, domain, number string, add func(feed.Kept) error) error {
	where, args := "kind = ?", []any{kind}
	if number != "" {
		where, args = where+` AND domain = ? AND "user" = ?`, append(args, domain, number)
	}
	return s.db.whole(ctx, func(q querier) error {
		rows, err := q.QueryContext(ctx, `SELECT id, domain, "user", expires, body FROM kept WHERE `+where+" ORDER BY id", args...)
		if err != nil {
			return s.failed("kept", err)
		}
		defer rows.Close()
		for rows.Next() {
			r := feed.Kept{Kind: kind}
			var expires int64
			if err := rows.Scan(&r.ID, &r.Domain, &r.Number, &expires, &r.Body); err != nil {
				return s.failed("kept", err)
			}
			r.Expires = time.UnixMilli(expires)
			if err := add(r); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// KeptFor returns what each number has of a kind.
func (s *Store) KeptFor(ctx context.Context, kind string) (out []feed.KeptFor, err error) {
	rows, err := s.db.read.QueryContext(ctx, `SELECT domain, "user", COUNT(*), CAST(SUM(LENGTH(body)) AS BIGINT) FROM kept
		WHERE kind = ? GROUP BY domain, "user" ORDER BY domain, "user"`, kind)
	if err != nil {
		return nil, s.failed("kept", err)
	}
	defer rows.Close()
	for rows.Next() {
		var k feed.KeptFor
		if err := rows.Scan(&k.Domain, &k.Number, &k.Count, &k.Bytes); err != nil {
			return nil, s.failed("kept", err)
		}
		out = append(out, k)
	}
	return out, rows.Err()
}

// DropKept forgets what expired before a time, and returns how much that was.
func (s *Store) DropKept(ctx context.Context, kind string, before time.Time) (n int, err error) {
	err = s.db.tx(ctx, processDeath, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "DELETE FROM kept WHERE kind = ? AND expires < ?", kind, before.UnixMilli())
		if err != nil {
			return fmt.Errorf("sqlstore: drop kept: %w", err)
		}
		dropped, err := res.RowsAffected()
		n = int(dropped)
		return err
	})
	return n, err
}
