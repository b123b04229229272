package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/store/journal"
	"bellhop/store/record"
)

// recall lets calls back get through that answer emergency calls of the last hour:
// of a process before this one, or of other nodes (rule dial.emergency). Without
// it they would be subject to what is set; no start fails because of it.
func (s *Store) recall(ctx context.Context) {
	calls, err := s.emergencies(ctx, time.Now().Add(-longestCall-routing.CallBackTime))
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "emergency calls not read", slog.Any("error", err))
	}
	for _, c := range calls {
		s.Calls.CallBack(c.Domain, c.Emergency, c.EndedAt.Add(routing.CallBackTime))
	}
}

// emergencies returns the emergency calls that began after since.
func (s *Store) emergencies(ctx context.Context, since time.Time) (calls []*feed.Call, err error) {
	versions, err := s.Versions(ctx)
	if err != nil {
		return nil, err
	}
	low := journal.FloorID(since)
	tx, err := s.db.read.BeginTx(ctx, s.db.moment) // tail and runs as of one moment
	if err != nil {
		return nil, s.failed("emergency calls", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	ids, err := collect(ctx, tx, nil, func(b []byte, ids []int64) ([]int64, error) {
		err := record.Each(b, func(_, number, packed []byte) (err error) {
			if string(number) == record.Emergencies {
				ids, err = record.DecodeIDs(ids, packed)
			}
			return err
		})
		return ids, err
	}, "SELECT entries FROM record_tail")
	for domain := range versions {
		if err != nil {
			return nil, s.failed("emergency calls", err)
		}
		if domain == "" { // the system's own
			continue
		}
		ids, err = collect(ctx, tx, ids, func(b []byte, ids []int64) ([]int64, error) { return record.DecodeIDs(ids, b) },
			`SELECT e.ids FROM record_runs r CROSS JOIN record_entries e
			WHERE e.run = r.run AND r.high >= ? AND e.domain = ? AND e.number = ?`, low, domain, record.Emergencies)
	}
	if err != nil {
		return nil, s.failed("emergency calls", err)
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if id < low {
			continue
		}
		var body []byte
		err := tx.QueryRowContext(ctx, "SELECT body FROM records WHERE id = ?", id).Scan(&body)
		if errors.Is(err, sql.ErrNoRows) { // kept no longer
			continue
		}
		if err != nil {
			return calls, s.failed("emergency calls", err)
		}
		c, err := record.Decode(body)
		if err != nil {
			return calls, fmt.Errorf("sqlstore: emergency call %d: %w", id, err)
		}
		calls = append(calls, c)
	}
	return calls, nil
}
