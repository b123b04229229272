package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"bellhop/routing/directory"
)

// SaveSession creates or replaces a sign-in by its hash.
func (s *Store) SaveSession(ctx context.Context, v directory.Session) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("sqlstore: session: %w", err)
	}
	return s.exec(ctx, `INSERT INTO sessions (hash, domain, "user", expires, body) VALUES (?,?,?,?,?)
		ON CONFLICT (hash) DO UPDATE SET domain = excluded.domain, "user" = excluded."user", expires = excluded.expires, body = excluded.body`,
		v.Hash, v.Domain, v.User, v.Expires.UnixMilli(), body)
}

// Session returns a sign-in, or [directory.ErrNotFound].
func (s *Store) Session(ctx context.Context, hash string) (directory.Session, error) {
	return one[directory.Session](ctx, s, "SELECT body FROM sessions WHERE hash = ?", hash)
}

// Sessions returns the sign-ins of a user.
func (s *Store) Sessions(ctx context.Context, domain, user string) ([]directory.Session, error) {
	return all[directory.Session](ctx, s, `SELECT body FROM sessions WHERE domain = ? AND "user" = ? ORDER BY hash`, domain, user)
}

// TouchSession sets when a sign-in was last used; one that is gone stays gone.
func (s *Store) TouchSession(ctx context.Context, hash string, seen time.Time) error {
	v, err := s.Session(ctx, hash)
	if err != nil {
		return ignoreNotFound(err)
	}
	v.LastSeen = seen
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("sqlstore: session: %w", err)
	}
	return s.exec(ctx, "UPDATE sessions SET body = ? WHERE hash = ?", body, hash)
}

// DeleteSession ends a sign-in; one that is not there is no error.
func (s *Store) DeleteSession(ctx context.Context, hash string) error {
	return s.exec(ctx, "DELETE FROM sessions WHERE hash = ?", hash)
}

// dropSessions forgets the sign-ins that are over.
func (s *Store) dropSessions(ctx context.Context) error {
	return s.exec(ctx, "DELETE FROM sessions WHERE expires < ?", time.Now().UnixMilli())
}

// dropBindings forgets the bindings that ended long ago: those of a node that is
// no more.
func (s *Store) dropBindings(ctx context.Context) error {
	return s.exec(ctx, "DELETE FROM bindings WHERE expires < ?", time.Now().Add(-time.Hour).UnixMilli())
}

// SaveToken creates or replaces a token by its hash; [directory.ErrExists] says
// that its name is taken in its domain.
func (s *Store) SaveToken(ctx context.Context, v directory.Token) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("sqlstore: token: %w", err)
	}
	return s.db.tx(ctx, powerLoss, func(tx *sql.Tx) error {
		var other string
		err := tx.QueryRowContext(ctx, "SELECT hash FROM tokens WHERE domain = ? AND name = ? AND hash <> ?", v.Domain, v.Name, v.Hash).Scan(&other)
		if err == nil {
			return fmt.Errorf("token %s: %w", v.Name, directory.ErrExists)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("sqlstore: token: %w", err)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO tokens (hash, domain, name, body) VALUES (?,?,?,?)
			ON CONFLICT (hash) DO UPDATE SET domain = excluded.domain, name = excluded.name, body = excluded.body`,
			v.Hash, v.Domain, v.Name, body)
		if err != nil {
			return fmt.Errorf("sqlstore: token: %w", err)
		}
		return nil
	})
}

// Token returns a token, or [directory.ErrNotFound].
func (s *Store) Token(ctx context.Context, hash string) (directory.Token, error) {
	return one[directory.Token](ctx, s, "SELECT body FROM tokens WHERE hash = ?", hash)
}

// Tokens returns the tokens of a domain, by name.
func (s *Store) Tokens(ctx context.Context, domain string) ([]directory.Token, error) {
	return all[directory.Token](ctx, s, "SELECT body FROM tokens WHERE domain = ? ORDER BY name", domain)
}

// TouchToken sets when a token was last used; one that is gone stays gone.
func (s *Store) TouchToken(ctx context.Context, hash string, used time.Time) error {
	v, err := s.Token(ctx, hash)
	if err != nil {
		return ignoreNotFound(err)
	}
	v.LastUsed = used
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("sqlstore: token: %w", err)
	}
	return s.exec(ctx, "UPDATE tokens SET body = ? WHERE hash = ?", body, hash)
}

// DeleteToken deletes a token; one that is not there is no error.
func (s *Store) DeleteToken(ctx context.Context, hash string) error {
	return s.exec(ctx, "DELETE FROM tokens WHERE hash = ?", hash)
}

// exec runs one statement in a transaction of its own.
func (s *Store) exec(ctx context.Context, query string, args ...any) error {
	return s.db.tx(ctx, powerLoss, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return fmt.Errorf("sqlstore: %w", err)
		}
		return nil
	})
}

// one reads the only row of a query, one column of JSON.
func one[T any](ctx context.Context, s *Store, query string, args ...any) (v T, err error) {
	vs, err := all[T](ctx, s, query, args...)
	if err == nil && len(vs) == 0 {
		err = directory.ErrNotFound
	}
	if err != nil {
		return v, err
	}
	return vs[0], nil
}

// all reads the rows of a query, one column of JSON.
func all[T any](ctx context.Context, s *Store, query string, args ...any) (vs []T, err error) {
	rows, err := s.db.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.failed("read", err)
	}
	defer rows.Close()
	for rows.Next() {
		var body sql.RawBytes
		var v T
		if err := rows.Scan(&body); err != nil {
			return nil, s.failed("read", err)
		}
		if err := json.Unmarshal(body, &v); err != nil {
			return nil, s.failed("read", err)
		}
		vs = append(vs, v)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("read", err)
	}
	return vs, nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, directory.ErrNotFound) {
		return nil
	}
	return err
}
