package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"bellhop/routing/directory"
	"bellhop/store/journal"
	"bellhop/store/record"
)

const (
	// retireEvery is how often is looked for what is kept no longer.
	retireEvery = time.Hour
	// retireBatch is how many rows one transaction takes away: others wait for
	// the writer.
	retireBatch = 200
	// retirePause is left between transactions.
	retirePause = 20 * time.Millisecond
	// retireStride is how far the clock of retention goes at most between two
	// looks: a clock that is years ahead takes a day of records with it, and is
	// noticed, instead of all.
	retireStride = 24 * time.Hour
)

// A retirement is one look for what is kept no longer.
type retirement struct {
	now time.Time // by which ages are measured
	// since is the id from which a domain is looked at that never was: it has no
	// records from before the last look.
	since int64
}

// retire takes away what domains keep no longer (trust.md §2): records, the
// stories of older ones, and history. Domains that are gone keep the defaults.
// It works in small batches, and remembers in the database how far it is.
func (s *Store) retire(ctx context.Context, now time.Time) error {
	r, err := s.beginRetirement(ctx, now)
	if err != nil {
		return err
	}
	kept, err := s.retentions(ctx)
	if err != nil {
		return err
	}
	for domain, k := range kept {
		if err := s.retireDomain(ctx, r, domain, k); err != nil {
			return fmt.Errorf("sqlstore: retention of %q: %w", domain, err)
		}
	}
	return s.retireRuns(ctx, r.now)
}

func (s *Store) retireDomain(ctx context.Context, r retirement, domain string, k directory.Retention) error {
	before := func(d directory.Duration) time.Time { return r.now.Add(-time.Duration(d)) }
	if err := s.eachOld(ctx, r, "records", domain, journal.FloorID(before(k.Records)), dropRecords); err != nil {
		return err
	}
	if err := s.eachOld(ctx, r, "stories", domain, journal.FloorID(before(k.Stories)), dropStories); err != nil {
		return err
	}
	return s.dropHistory(ctx, domain, before(k.History))
}

// beginRetirement returns a look at now, but at most [retireStride] after the
// last one.
func (s *Store) beginRetirement(ctx context.Context, now time.Time) (r retirement, err error) {
	const clock = "retired:clock"
	r.now = now
	last, found, err := s.mark(ctx, clock)
	if err != nil {
		return r, err
	}
	if found {
		t := time.UnixMilli(last)
		r.since = journal.FloorID(t.Add(-retireStride))
		if limit := t.Add(retireStride); now.After(limit) {
			r.now = limit
		}
	}
	return r, s.db.tx(ctx, processDeath, func(tx *sql.Tx) error { return setMark(ctx, tx, clock, r.now.UnixMilli()) })
}

// retentions returns what every domain keeps that there is or was, "" (users of
// the system) included.
func (s *Store) retentions(ctx context.Context) (map[string]directory.Retention, error) {
	rows, err := s.db.read.QueryContext(ctx, `SELECT v.domain, d.body FROM versions v
		LEFT JOIN documents d ON d.domain = '' AND d.kind = ? AND d.name = v.domain`, string(directory.KindDomain))
	if err != nil {
		return nil, s.failed("retention", err)
	}
	defer rows.Close()
	out := make(map[string]directory.Retention)
	for rows.Next() {
		var domain string
		var body []byte
		if err := rows.Scan(&domain, &body); err != nil {
			return nil, s.failed("retention", err)
		}
		var d directory.Domain
		if body != nil {
			if d, err = directory.Parse[directory.Domain](directory.KindDomain, body); err != nil {
				return nil, fmt.Errorf("sqlstore: retention of %q: %w", domain, err)
			}
		}
		out[domain] = d.Policies.Retention.Effective()
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("retention", err)
	}
	return out, nil
}

// eachOld runs drop on the ids of a domain's records below the id before, in
// batches, from where the last look ended. It reads outside of transactions: a
// domain may have few records among many.
func (s *Store) eachOld(ctx context.Context, r retirement, what, domain string, before int64, drop func(ctx context.Context, tx *sql.Tx, ids []any) (int64, error)) error {
	name := "retired:" + what + ":" + domain
	from, found, err := s.mark(ctx, name)
	if err != nil {
		return err
	}
	if !found {
		from = r.since
	}
	for from < before {
		ids, err := s.oldRecords(ctx, domain, from, before)
		if err != nil {
			return err
		}
		from = before
		if len(ids) == retireBatch {
			from = ids[len(ids)-1].(int64) + 1
		}
		err = s.db.tx(ctx, processDeath, func(tx *sql.Tx) error {
			if len(ids) > 0 {
				n, err := drop(ctx, tx, ids)
				if err != nil {
					return err
				}
				s.db.metrics.retired.WithLabelValues(what).Add(float64(n))
			}
			return setMark(ctx, tx, name, from)
		})
		if err == nil && from < before {
			err = pause(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oldRecords returns the first ids of a domain in [from, before), as arguments.
func (s *Store) oldRecords(ctx context.Context, domain string, from, before int64) (ids []any, err error) {
	rows, err := s.db.read.QueryContext(ctx, "SELECT id FROM records WHERE id >= ? AND id < ? AND domain = ? ORDER BY id LIMIT ?", from, before, domain, retireBatch)
	if err != nil {
		return nil, s.failed("retention", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, s.failed("retention", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("retention", err)
	}
	return ids, nil
}

func dropRecords(ctx context.Context, tx *sql.Tx, ids []any) (int64, error) {
	res, err := tx.ExecContext(ctx, "DELETE FROM records WHERE id IN "+placeholders(1, len(ids)), ids...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func dropStories(ctx context.Context, tx *sql.Tx, ids []any) (n int64, err error) {
	for _, id := range ids {
		var body []byte
		err := tx.QueryRowContext(ctx, "SELECT body FROM records WHERE id = ?", id).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) {
			continue // somebody else took it away
		}
		if err != nil {
			return n, err
		}
		without, had, err := record.WithoutStory(body)
		if err != nil {
			return n, err
		}
		if !had {
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE records SET body = ? WHERE id = ?", without, id); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// dropHistory deletes the states that documents of a domain, and the domain
// itself, had before a time.
func (s *Store) dropHistory(ctx context.Context, domain string, before time.Time) error {
	owner := domain
	if domain == "" {
		owner = " " // no name of a domain: rows of "" with the kind of domains belong to those
	}
	for {
		var n int64
		err := s.db.tx(ctx, processDeath, func(tx *sql.Tx) error {
			res, err := tx.ExecContext(ctx, `DELETE FROM history WHERE id IN (
				SELECT id FROM history WHERE at < ?1 AND id < COALESCE((SELECT id FROM history WHERE at >= ?1 ORDER BY id LIMIT 1), 4611686018427387904)
				AND (domain = ?2 AND (domain <> '' OR kind <> ?3) OR domain = '' AND kind = ?3 AND name = ?4) ORDER BY id LIMIT ?5)`,
				before.UnixMilli(), domain, string(directory.KindDomain), owner, retireBatch)
			if err != nil {
				return err
			}
			n, err = res.RowsAffected()
			return err
		})
		if err != nil {
			return err
		}
		s.db.metrics.retired.WithLabelValues("history").Add(float64(n))
		if n < retireBatch {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// retireRuns takes away the parts of the index of records that are about none
// any more.
func (s *Store) retireRuns(ctx context.Context, now time.Time) error {
	var oldest sql.NullInt64
	if err := s.db.read.QueryRowContext(ctx, "SELECT MIN(id) FROM records").Scan(&oldest); err != nil {
		return s.failed("retention", err)
	}
	limit := journal.FloorID(now.Add(-24 * time.Hour)) // of an index without records
	if oldest.Valid {
		limit = oldest.Int64
	}
	for {
		var over bool
		err := s.db.tx(ctx, processDeath, func(tx *sql.Tx) error {
			var run int64
			err := tx.QueryRowContext(ctx, "SELECT run FROM record_runs WHERE high < ? ORDER BY run LIMIT 1", limit).Scan(&run)
			if over = errors.Is(err, sql.ErrNoRows); over {
				return nil
			}
			if err != nil {
				return err
			}
			res, err := tx.ExecContext(ctx, `DELETE FROM record_entries WHERE run = ?1 AND (domain, number) IN
				(SELECT domain, number FROM record_entries WHERE run = ?1 LIMIT ?2)`, run, runCommit)
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil || n == runCommit {
				return err
			}
			_, err = tx.ExecContext(ctx, "DELETE FROM record_runs WHERE run = ?", run)
			return err
		})
		if err != nil || over {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// mark reads a number that is kept under a name.
func (s *Store) mark(ctx context.Context, name string) (n int64, found bool, err error) {
	err = s.db.read.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", name).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, s.failed("retention", err)
	}
	return n, true, nil
}

func setMark(ctx context.Context, tx *sql.Tx, name string, n int64) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, n)
	return err
}

// pause leaves the writer to others for a moment.
func pause(ctx context.Context) error {
	t := time.NewTimer(retirePause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// keepHouse looks for what is kept no longer until ctx ends.
func (s *Store) keepHouse(ctx context.Context) error {
	tick := time.NewTicker(retireEvery)
	defer tick.Stop()
	first := time.NewTimer(time.Minute) // not while the node starts
	defer first.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-first.C:
		case <-tick.C:
		}
		if s.seat != nil && !s.seat.keeper.Load() {
			continue // another node does
		}
		if err := s.retire(ctx, time.Now()); err != nil && ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelError, "old records not taken away", slog.Any("error", err))
		}
	}
}
