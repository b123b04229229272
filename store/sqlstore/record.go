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
	"sync"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/document"
	"bellhop/store/journal"
	"bellhop/store/record"
)

const (
	recordRows = 50    // rows of one insert
	runCalls   = 65536 // calls in the tail that make a run
	runRows    = 50    // rows of one insert into a run
	runCommit  = 1000  // rows of one transaction of a merge: others wait for the writer
)

// batch is what SaveRecords works in, kept from one time to the next.
type batch struct {
	mu    sync.Mutex // held over the transaction: batches follow each other anyway
	rows  []any
	bytes []byte
	index record.Batch
}

// SaveRecords implements [journal.Sink].
func (s *Store) SaveRecords(ctx context.Context, calls []*feed.Call) error {
	ctx = context.WithoutCancel(ctx) // see SaveBindings
	b := &s.batch
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.Reset()
	rows, buf := b.rows[:0], b.bytes[:0]
	low := s.disk.low.Load()
	for _, c := range calls {
		id, ok := journal.ParseID(c.ID)
		if !ok {
			continue // the journal takes no others
		}
		start := len(buf)
		if low && len(c.Story) > 0 {
			short := *c
			short.Story = nil
			c = &short
			s.db.metrics.storyless.Inc()
		}
		buf = record.AppendJSON(buf, c)
		rows = append(rows, id, c.Domain, buf[start:len(buf):len(buf)])
		b.index.Add(id, c)
	}
	start := len(buf)
	buf = b.index.AppendTo(buf)
	entries := buf[start:]
	b.rows, b.bytes = rows, buf
	err := s.db.tx(ctx, powerLoss, func(tx *sql.Tx) error {
		one, many := tx.StmtContext(ctx, s.insert), tx.StmtContext(ctx, s.insertMany)
		for part := range slices.Chunk(rows, 3*recordRows) {
			if err := insertRecords(ctx, one, many, part); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO record_tail (calls, entries) VALUES (?, ?)", len(calls), entries)
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

// mergeTail makes one run of the tail, in several transactions: the entries
// count from the last one on, which takes the tail away.
func (s *Store) mergeTail(ctx context.Context) error {
	if s.db.shared {
		return s.mergeShared(ctx)
	}
	run, last, err := readTail(ctx, s.db.read)
	if err != nil {
		return err
	}
	return s.mergeRun(ctx, run, last, func(f func(*sql.Tx) error) error { return s.db.tx(ctx, processDeath, f) })
}

// mergeShared merges in one transaction, which is in nobody's way: as of one
// moment, since others append meanwhile, and only where nobody else does.
func (s *Store) mergeShared(ctx context.Context) error {
	return s.db.txAs(ctx, processDeath, &sql.TxOptions{Isolation: sql.LevelRepeatableRead}, func(tx *sql.Tx) error {
		var alone bool
		if err := tx.QueryRowContext(ctx, "SELECT pg_try_advisory_xact_lock"+lockKey(lockMerge)).Scan(&alone); err != nil || !alone {
			return err
		}
		run, last, err := readTail(ctx, tx)
		if err != nil {
			return err
		}
		if last == 0 {
			s.tail.Store(0)
			return nil
		}
		return s.mergeRun(ctx, run, last, func(f func(*sql.Tx) error) error { return f(tx) })
	})
}

// mergeRun makes a run of the tail up to its row last. Each part of it is done
// by do.
func (s *Store) mergeRun(ctx context.Context, run *record.Run, last int64, do func(func(*sql.Tx) error) error) error {
	var n int64
	err := do(func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(run), 0) + 1 FROM record_runs").Scan(&n); err != nil {
			return fmt.Errorf("sqlstore: merge: %w", err)
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM record_entries WHERE run >= ?", n) // of a merge that was cut short
		return err
	})
	if err != nil {
		return err
	}
	for parties := range slices.Chunk(run.Parties(), runCommit) {
		if err := do(func(tx *sql.Tx) error { return s.insertEntries(ctx, tx, n, run, parties) }); err != nil {
			return err
		}
	}
	return do(func(tx *sql.Tx) error {
		low, high := run.Span()
		if _, err := tx.ExecContext(ctx, "INSERT INTO record_runs (run, low, high) VALUES (?, ?, ?)", n, low, high); err != nil {
			return fmt.Errorf("sqlstore: merge: %w", err)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM record_tail WHERE seq <= ?", last); err != nil {
			return fmt.Errorf("sqlstore: merge: %w", err)
		}
		return tx.QueryRowContext(ctx, tailCalls).Scan((*tailCount)(&s.tail))
	})
}

// insertEntries writes a part of run n.
func (s *Store) insertEntries(ctx context.Context, tx *sql.Tx, n int64, run *record.Run, parties []record.Party) error {
	many := tx.StmtContext(ctx, s.insertEntry)
	args := make([]any, 0, 4*runRows)
	for part := range slices.Chunk(parties, runRows) {
		args = args[:0]
		for _, p := range part {
			args = append(args, n, p.Domain, p.Number, run.AppendIDs(nil, p))
		}
		var err error
		if len(part) == runRows {
			_, err = many.ExecContext(ctx, args...)
		} else {
			_, err = tx.ExecContext(ctx, insertEntry(len(part)), args...)
		}
		if err != nil {
			return fmt.Errorf("sqlstore: merge: %w", err)
		}
	}
	return nil
}

func insertEntry(rows int) string {
	return "INSERT INTO record_entries (run, domain, number, ids) VALUES " + placeholders(rows, 4)
}

// readTail returns the tail as one run, and its last row.
func readTail(ctx context.Context, from querier) (run *record.Run, last int64, err error) {
	rows, err := from.QueryContext(ctx, "SELECT seq, entries FROM record_tail ORDER BY seq")
	if err != nil {
		return nil, 0, fmt.Errorf("sqlstore: merge: %w", err)
	}
	defer rows.Close()
	run = record.NewRun()
	for rows.Next() {
		var entries sql.RawBytes
		if err := rows.Scan(&last, &entries); err != nil {
			return nil, 0, fmt.Errorf("sqlstore: merge: %w", err)
		}
		if err := run.Add(entries); err != nil {
			return nil, 0, err
		}
	}
	return run, last, rows.Err()
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
	tx, err := s.db.read.BeginTx(ctx, s.db.moment) // tail and runs as of one moment
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback())) }()
	args := []any{low, high, domain}
	for _, n := range numbers {
		args = append(args, n)
	}
	ids, err = collect(ctx, tx, ids, func(b []byte, ids []int64) ([]int64, error) { return record.DecodeIDs(ids, b) },
		`SELECT e.ids FROM record_runs r CROSS JOIN record_entries e
		WHERE e.run = r.run AND r.high >= ? AND r.low < ? AND e.domain = ? AND e.number IN (`+strings.TrimSuffix(strings.Repeat("?,", len(numbers)), ",")+")", args...)
	if err != nil {
		return nil, err
	}
	ids, err = collect(ctx, tx, ids, func(b []byte, ids []int64) ([]int64, error) {
		err := record.Each(b, func(d, number, packed []byte) (err error) {
			if string(d) == domain && slices.Contains(numbers, string(number)) {
				ids, err = record.DecodeIDs(ids, packed)
			}
			return err
		})
		return ids, err
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
