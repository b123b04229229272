package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/document"
	"bellhop/store/journal"
	"bellhop/store/record"
)

const (
	recordRows = 50    // rows of one insert
	runCalls   = 16384 // calls in the tail that make a run
)

// SaveRecords implements [journal.Sink].
func (s *Store) SaveRecords(ctx context.Context, calls []*feed.Call) error {
	ctx = context.WithoutCancel(ctx) // see SaveBindings
	index := make(record.Index, len(calls))
	var err error
	buf := make([]byte, 0, 1024*min(len(calls), recordRows))
	err = s.db.tx(ctx, powerLoss, func(tx *sql.Tx) error {
		one, many := tx.StmtContext(ctx, s.insert), tx.StmtContext(ctx, s.insertMany)
		args := make([]any, 0, 3*recordRows)
		for part := range slices.Chunk(calls, recordRows) {
			args, buf = args[:0], buf[:0]
			for _, c := range part {
				id, ok := journal.ParseID(c.ID)
				if !ok {
					continue // the journal takes no others
				}
				start := len(buf)
				buf = record.AppendJSON(buf, c)
				args = append(args, id, c.Domain, buf[start:len(buf):len(buf)])
				index.Add(id, c)
			}
			if err := insertRecords(ctx, one, many, args); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO record_tail (calls, entries) VALUES (?, ?)", len(calls), record.AppendIndex(nil, index))
		if err != nil {
			return fmt.Errorf("sqlstore: save records: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.tail.Add(int64(len(calls))) >= runCalls {
		if err := s.mergeTail(ctx); err != nil {
			s.log.LogAttrs(ctx, slog.LevelError, "record index not merged", slog.Any("error", err)) // the records are safe
		}
	}
	return nil
}

// insertRecords inserts rows of three arguments each.
func insertRecords(ctx context.Context, one, many *sql.Stmt, args []any) error {
	if len(args) == 3*recordRows {
		if _, err := many.ExecContext(ctx, args...); err != nil {
			return fmt.Errorf("sqlstore: save records: %w", err)
		}
		return nil
	}
	for row := range slices.Chunk(args, 3) {
		if _, err := one.ExecContext(ctx, row...); err != nil {
			return fmt.Errorf("sqlstore: save record: %w", err)
		}
	}
	return nil
}

// mergeTail makes one run of the tail.
func (s *Store) mergeTail(ctx context.Context) error {
	return s.db.tx(ctx, processDeath, func(tx *sql.Tx) error {
		index, last, err := readTail(ctx, tx)
		if err != nil || len(index) == 0 {
			return err
		}
		low, high := int64(math.MaxInt64), int64(0)
		for _, ids := range index {
			low, high = min(low, slices.Min(ids)), max(high, slices.Max(ids))
		}
		var run int64
		err = tx.QueryRowContext(ctx, "INSERT INTO record_runs (low, high) VALUES (?, ?) RETURNING run", low, high).Scan(&run)
		if err != nil {
			return fmt.Errorf("sqlstore: merge: %w", err)
		}
		const rows = 50
		args := make([]any, 0, 4*rows)
		for part := range slices.Chunk(index.Sorted(), rows) {
			args = args[:0]
			for _, p := range part {
				args = append(args, run, p.Domain, p.Number, record.AppendIDs(nil, index[p]))
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO record_entries (run, domain, number, ids) VALUES "+placeholders(len(part), 4), args...); err != nil {
				return fmt.Errorf("sqlstore: merge: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM record_tail WHERE seq <= ?", last); err != nil {
			return fmt.Errorf("sqlstore: merge: %w", err)
		}
		s.tail.Store(0)
		return nil
	})
}

// readTail returns the tail as one index, and its last row.
func readTail(ctx context.Context, tx *sql.Tx) (index record.Index, last int64, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT seq, entries FROM record_tail ORDER BY seq")
	if err != nil {
		return nil, 0, fmt.Errorf("sqlstore: merge: %w", err)
	}
	defer rows.Close()
	index = make(record.Index)
	for rows.Next() {
		var entries sql.RawBytes
		if err := rows.Scan(&last, &entries); err != nil {
			return nil, 0, fmt.Errorf("sqlstore: merge: %w", err)
		}
		x, err := record.DecodeIndex(entries)
		if err != nil {
			return nil, 0, err
		}
		index.Merge(x)
	}
	return index, last, rows.Err()
}

// Record returns the record of a call of a domain, or [directory.ErrNotFound].
func (s *Store) Record(ctx context.Context, domain, id string) (*feed.Call, error) {
	n, ok := journal.ParseID(id)
	if !ok {
		return nil, fmt.Errorf("record %s: %w", id, directory.ErrNotFound)
	}
	if err := s.Calls.Flush(ctx); err != nil {
		return nil, err
	}
	var body []byte
	err := s.db.read.QueryRowContext(ctx, "SELECT body FROM records WHERE id = ? AND domain = ?", n, domain).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("record %s: %w", id, directory.ErrNotFound)
	}
	if err != nil {
		return nil, s.failed("record", err)
	}
	return record.Decode(body)
}

// Records returns a page of the records of a domain, the newest first. Calls
// that have ended by now are in it.
func (s *Store) Records(ctx context.Context, domain string, f feed.Filter) (calls []*feed.Call, next string, err error) {
	if err := s.Calls.Flush(ctx); err != nil {
		return nil, "", err
	}
	limit := document.Limit(f.Limit)
	low, high := span(f)
	var query string
	args := []any{domain, low, high}
	if len(f.Numbers) == 0 {
		query = "SELECT body FROM records WHERE domain = ? AND id >= ? AND id < ? ORDER BY id DESC LIMIT ?"
	} else {
		ids, err := s.idsOf(ctx, domain, f.Numbers, low, high)
		if err != nil {
			return nil, "", s.failed("records", err)
		}
		if len(ids) == 0 {
			return nil, "", nil
		}
		ids = ids[:min(len(ids), limit+1)]
		query = "SELECT body FROM records WHERE domain = ? AND id >= ? AND id < ? AND id IN (" +
			strings.TrimSuffix(strings.Repeat("?,", len(ids)), ",") + ") ORDER BY id DESC LIMIT ?"
		for _, id := range ids {
			args = append(args, id)
		}
	}
	rows, err := s.db.read.QueryContext(ctx, query, append(args, limit+1)...)
	if err != nil {
		return nil, "", s.failed("records", err)
	}
	defer rows.Close()
	for rows.Next() {
		if len(calls) == limit {
			return calls, calls[limit-1].ID, nil
		}
		var body sql.RawBytes
		if err := rows.Scan(&body); err != nil {
			return nil, "", s.failed("records", err)
		}
		c, err := record.Decode(body)
		if err != nil {
			return nil, "", s.failed("records", err)
		}
		calls = append(calls, c)
	}
	if err := rows.Err(); err != nil {
		return nil, "", s.failed("records", err)
	}
	return calls, "", nil
}

// span returns the ids [low, high) that f asks for.
func span(f feed.Filter) (low, high int64) {
	high = math.MaxInt64
	if !f.From.IsZero() {
		low = ceilID(f.From)
	}
	if !f.To.IsZero() {
		high = ceilID(f.To)
	}
	if n, ok := journal.ParseID(f.Cursor); ok {
		high = min(high, n)
	}
	return low, high
}

// ceilID returns the smallest id of a call that started at t or later, to the
// millisecond.
func ceilID(t time.Time) int64 {
	return journal.FloorID(t.Add(time.Millisecond - time.Nanosecond))
}

// idsOf returns the calls that any of numbers was in, newest first, each once.
func (s *Store) idsOf(ctx context.Context, domain string, numbers []string, low, high int64) (ids []int64, err error) {
	tx, err := s.db.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // tail and runs as of one moment
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	args := []any{low, high, domain}
	for _, n := range numbers {
		args = append(args, n)
	}
	ids, err = collect(ctx, tx, ids, func(b []byte, ids []int64) ([]int64, error) { return record.DecodeIDs(ids, b) },
		`SELECT e.ids FROM record_runs r CROSS JOIN record_entries e ON e.run = r.run
		WHERE r.high >= ? AND r.low < ? AND e.domain = ? AND e.number IN (`+strings.TrimSuffix(strings.Repeat("?,", len(numbers)), ",")+")", args...)
	if err != nil {
		return nil, err
	}
	ids, err = collect(ctx, tx, ids, func(b []byte, ids []int64) ([]int64, error) {
		var bad error
		err := record.EachParty(b, func(p record.Party, packed []byte) {
			if p.Domain == domain && slices.Contains(numbers, p.Number) {
				if ids, err = record.DecodeIDs(ids, packed); err != nil {
					bad = err
				}
			}
		})
		return ids, errors.Join(err, bad)
	}, "SELECT entries FROM record_tail")
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id int64) bool { return id < low || id >= high })
	slices.Sort(ids)
	ids = slices.Compact(ids)
	slices.Reverse(ids)
	return ids, nil
}

// collect appends what decode finds in each row of a query.
func collect(ctx context.Context, tx *sql.Tx, ids []int64, decode func([]byte, []int64) ([]int64, error), query string, args ...any) ([]int64, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var b sql.RawBytes
		if err := rows.Scan(&b); err != nil {
			return nil, err
		}
		if ids, err = decode(b, ids); err != nil {
			return nil, err
		}
	}
	return ids, rows.Err()
}
