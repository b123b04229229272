package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"bellhop/routing/location"
	"bellhop/store/binding"
)

// SaveBindings implements [binding.Saver].
func (s *Store) SaveBindings(ctx context.Context, rows []binding.Row) error {
	// A context that can end makes the driver start a goroutine per statement;
	// these are over in microseconds.
	ctx = context.WithoutCancel(ctx)
	err := s.db.tx(ctx, processDeath, func(tx *sql.Tx) error {
		upsert := tx.StmtContext(ctx, s.upsert)
		for i := range rows {
			r := &rows[i]
			var err error
			if r.Packed == "" {
				_, err = tx.ExecContext(ctx, "DELETE FROM bindings WHERE domain = ? AND user = ?", r.AOR.Domain(), r.AOR.User())
			} else {
				_, err = upsert.ExecContext(ctx, r.AOR.Domain(), r.AOR.User(), r.Expires.UnixMilli(), []byte(r.Packed))
			}
			if err != nil {
				return fmt.Errorf("sqlstore: save binding: %w", err)
			}
		}
		return nil
	})
	if err == nil {
		s.dirty.Store(true)
	}
	return err
}

// LoadBindings implements [binding.Saver].
func (s *Store) LoadBindings(ctx context.Context, add func(binding.Row) error) error {
	rows, err := s.db.read.QueryContext(ctx, "SELECT domain, user, expires, packed FROM bindings WHERE expires > ?", time.Now().UnixMilli())
	if err != nil {
		return fmt.Errorf("sqlstore: load bindings: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var domain, user, packed string
		var expires int64
		if err := rows.Scan(&domain, &user, &expires, &packed); err != nil {
			return fmt.Errorf("sqlstore: load bindings: %w", err)
		}
		a, err := location.NewAOR(user, domain)
		if err != nil {
			return fmt.Errorf("sqlstore: load bindings: %w", err)
		}
		if err := add(binding.Row{AOR: a, Packed: packed, Expires: time.UnixMilli(expires)}); err != nil {
			return err
		}
	}
	return rows.Err()
}
