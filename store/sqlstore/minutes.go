package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"time"

	"bellhop/store/journal"
	"bellhop/store/record"
)

const (
	minutesPage  = 1000            // records read at a time: nobody else waits for long
	minutesAgain = 5 * time.Second // after the database failed
	// longestCall is how long before midnight a call by a trunk may have begun whose
	// minutes are today's (trust.md §3: four hours, and ringing).
	longestCall = 5 * time.Hour
)

// recount tells the journal of the minutes of today that were talked before this
// process began (rule limit.minutes): they are in the records. Until it is through
// they do not count; it asks again when the database is away.
func (s *Store) recount(ctx context.Context) error {
	started := time.Now()
	for {
		err := s.Calls.Flush(ctx) // what the last process did not get to
		if err == nil {
			err = s.countMinutes(ctx, started)
		}
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // it is over
		}
		s.log.LogAttrs(ctx, slog.LevelWarn, "minutes of today not counted yet", slog.Any("error", err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(minutesAgain):
		}
	}
}

func (s *Store) countMinutes(ctx context.Context, started time.Time) error {
	low := journal.FloorID(started.UTC().Truncate(24 * time.Hour).Add(-longestCall))
	high := journal.FloorID(started)
	var minutes journal.Minutes
	for low < high {
		last, n, err := s.minutesFrom(ctx, low, high, started, &minutes)
		if err != nil {
			return err
		}
		if n < minutesPage {
			break
		}
		low = last + 1
	}
	s.Calls.AddMinutes(&minutes)
	return nil
}

// minutesFrom counts those of one page of records.
func (s *Store) minutesFrom(ctx context.Context, low, high int64, started time.Time, minutes *journal.Minutes) (last int64, n int, err error) {
	rows, err := s.db.read.QueryContext(ctx, "SELECT id, body FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", low, high, minutesPage)
	if err != nil {
		return 0, 0, s.failed("records", err)
	}
	defer rows.Close()
	for rows.Next() {
		var body sql.RawBytes
		if err := rows.Scan(&last, &body); err != nil {
			return 0, 0, s.failed("records", err)
		}
		n++
		if !bytes.Contains(body, []byte(`"trunk":`)) {
			continue // most calls are inside
		}
		c, err := record.Decode(body)
		if err != nil {
			continue // one that cannot be read is no reason to forget all others
		}
		minutes.Add(c, started)
	}
	if err := rows.Err(); err != nil {
		return 0, 0, s.failed("records", err)
	}
	return last, n, nil
}
