package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bellhop/routing/location"
	"bellhop/store/binding"
)

// SaveBindings implements [binding.Saver].
func (s *Store) SaveBindings(ctx context.Context, rows []binding.Row) (stale []binding.Row, err error) {
	// A context that can end makes the driver start a goroutine per statement;
	// these are over in microseconds.
	ctx = context.WithoutCancel(ctx)
	if s.db.shared { // in one order, or two nodes wait for each other
		rows = slices.SortedFunc(slices.Values(rows), func(a, b binding.Row) int {
			return cmp.Or(strings.Compare(a.AOR.Domain(), b.AOR.Domain()), strings.Compare(a.AOR.User(), b.AOR.User()))
		})
	}
	err = s.db.tx(ctx, processDeath, func(tx *sql.Tx) error {
		stale = stale[:0] // of a try before
		insert, update := tx.StmtContext(ctx, s.insertBinding), tx.StmtContext(ctx, s.updateBinding)
		for i := range rows {
			is, ok, err := saveBinding(ctx, tx, insert, update, &rows[i])
			if err != nil {
				return fmt.Errorf("sqlstore: save binding: %w", err)
			}
			if !ok {
				stale = append(stale, is)
			}
		}
		if s.db.shared {
			return s.announceBindings(ctx, tx, rows)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !s.db.shared { // there a commit is synced
		s.dirty.Store(true)
	}
	return stale, nil
}

// saveBinding saves r; when the AOR has not the version that r replaces, it
// returns what there is.
func saveBinding(ctx context.Context, tx *sql.Tx, insert, update *sql.Stmt, r *binding.Row) (is binding.Row, ok bool, err error) {
	domain, user := r.AOR.Domain(), r.AOR.User()
	var res sql.Result
	switch {
	case r.Packed == "":
		res, err = tx.ExecContext(ctx, `DELETE FROM bindings WHERE domain = ? AND "user" = ? AND version = ?`, domain, user, int64(r.Before))
	case r.Before == 0:
		res, err = insert.ExecContext(ctx, domain, user, r.Expires.UnixMilli(), []byte(r.Packed), int64(r.Version))
	default:
		res, err = update.ExecContext(ctx, r.Expires.UnixMilli(), []byte(r.Packed), int64(r.Version), domain, user, int64(r.Before))
	}
	if err != nil {
		return is, false, err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return is, true, err
	}
	is.AOR = r.AOR
	var expires, version int64
	err = tx.QueryRowContext(ctx, `SELECT expires, packed, version FROM bindings WHERE domain = ? AND "user" = ?`, domain, user).Scan(&expires, &is.Packed, &version)
	if errors.Is(err, sql.ErrNoRows) {
		return is, r.Packed == "", nil // it is gone as it should be
	}
	is.Expires, is.Version = time.UnixMilli(expires), uint64(version)
	return is, false, err
}

// LoadBindings implements [binding.Saver].
func (s *Store) LoadBindings(ctx context.Context, add func(binding.Row) error) error {
	return s.db.whole(ctx, func(q querier) error {
		return s.eachBinding(ctx, q, add, "expires > ?", time.Now().UnixMilli())
	})
}

// eachBinding calls add with the rows that a condition names.
func (s *Store) eachBinding(ctx context.Context, q querier, add func(binding.Row) error, where string, args ...any) error {
	rows, err := q.QueryContext(ctx, `SELECT domain, "user", expires, packed, version FROM bindings WHERE `+where, args...)
	if err != nil {
		return fmt.Errorf("sqlstore: load bindings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var domain, user, packed string
		var expires, version int64
		if err := rows.Scan(&domain, &user, &expires, &packed, &version); err != nil {
			return fmt.Errorf("sqlstore: load bindings: %w", err)
		}
		a, err := location.NewAOR(user, domain)
		if err != nil {
			return fmt.Errorf("sqlstore: load bindings: %w", err)
		}
		if err := add(binding.Row{AOR: a, Packed: packed, Expires: time.UnixMilli(expires), Version: uint64(version)}); err != nil {
			return err
		}
	}
	return rows.Err()
}
