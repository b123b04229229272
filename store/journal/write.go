package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"bellhop/feed"
)

// appendAnswered journals that e's call is live.
func (j *Journal) appendAnswered(e *entry, c *feed.Call) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dir == "" || e.ended {
		return nil
	}
	if err := j.appendLocked(kindAnswered, c); err != nil {
		return err
	}
	if e.seg != nil {
		e.seg.live--
	}
	e.seg = j.segments[len(j.segments)-1]
	e.seg.live++
	return nil
}

// appendEnded journals that c is over and queues it for the sink. e is its
// entry in the table, nil where it had none.
func (j *Journal) appendEnded(e *entry, c *feed.Call) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	r := record{call: c}
	if j.dir != "" {
		if err = j.appendLocked(kindEnded, c); err == nil {
			r.seg = j.segments[len(j.segments)-1]
		}
	}
	if e != nil {
		e.ended = true
		if e.seg != nil {
			e.seg.live--
			e.seg = nil
		}
	}
	j.queueLocked(r)
	return err
}

// queueLocked adds r to the records that wait for the sink. When too many wait,
// the journal alone remembers it.
func (j *Journal) queueLocked(r record) {
	switch {
	case j.sink == nil:
		return
	case len(j.pending) < maxPending:
		j.pending = append(j.pending, r)
		if r.seg != nil {
			r.seg.pending++
		}
	case r.seg != nil:
		r.seg.spilled = true
	default:
		j.metrics.lost.Inc()
	}
	if len(j.pending) >= j.batch {
		select {
		case j.wake <- struct{}{}:
		default:
		}
	}
}

// appendLocked writes one entry. After a short write the file is cut back to
// the last whole entry, or, where that fails, left for a new one.
func (j *Journal) appendLocked(k kind, c *feed.Call) error {
	if j.failed != nil {
		return j.failed
	}
	j.buf = frame(j.buf[:0], k, c)
	for step := 1; k == kindAnswered && len(j.buf) > room(c) && step <= slims; step++ {
		if step == 5 {
			j.metrics.cut.Inc()
		}
		j.buf = frame(j.buf[:0], k, slim(c, step))
	}
	if len(j.buf) > maxEntry {
		j.metrics.errors.Inc()
		return fmt.Errorf("journal: call %s takes %d bytes, more than %d", c.ID, len(j.buf), maxEntry)
	}
	s := j.segments[len(j.segments)-1]
	if s.size+int64(len(j.buf)) > j.segmentSize && s.size > int64(headerSize) {
		var err error
		if s, err = j.rotateLocked(); err != nil {
			j.metrics.errors.Inc()
			j.unwritten(err)
			return err
		}
	}
	start, measure := j.metrics.start()
	n, err := s.file.Write(j.buf)
	if err != nil {
		j.metrics.errors.Inc()
		if n > 0 && s.file.Truncate(s.size) != nil {
			s.size = j.segmentSize // what follows would be behind a torn entry
		}
		j.unwritten(err)
		return fmt.Errorf("journal: %w", err)
	}
	j.writing.OK()
	if measure {
		j.metrics.observe(start)
	}
	s.size += int64(n)
	s.dirty = true
	return nil
}

// rotateLocked begins a new file.
func (j *Journal) rotateLocked() (*segment, error) {
	var n uint64
	if len(j.segments) > 0 {
		last := j.segments[len(j.segments)-1]
		n = last.n + 1
	}
	s, err := create(j.dir, n)
	if err != nil {
		return nil, err
	}
	if len(j.segments) > 0 {
		j.retired = append(j.retired, j.segments[len(j.segments)-1])
	}
	j.segments = append(j.segments, s)
	j.unnamed = true
	return s, nil
}

// replay reads the files in the folder, oldest first, and begins a new one.
func (j *Journal) replay(now time.Time) error {
	segs, err := list(j.dir)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range segs {
		torn, err := s.read(func(k kind, c *feed.Call) { j.replayLocked(s, k, c, now) })
		if err != nil {
			return err
		}
		if torn {
			j.log.Warn("journal has a torn end", slog.String("file", s.path))
			j.metrics.torn.Inc()
		}
	}
	j.segments = segs
	if _, err := j.rotateLocked(); err != nil {
		return err
	}
	j.retired = nil // files of earlier runs are closed and were synced, or are lost already
	j.unnamed = false
	return syncDir(j.dir)
}

// replayLocked takes one entry of an earlier run into account.
func (j *Journal) replayLocked(s *segment, k kind, c *feed.Call, now time.Time) {
	n, ok := ParseID(c.ID)
	if !ok {
		return
	}
	j.ids.seen(n)
	switch k {
	case kindAnswered:
		if limit := now.Add(Silence); deadline(c).After(limit) { // a clock that went back
			c.Deadline = limit
		}
		e := j.table.put(c)
		if e.seg != nil {
			e.seg.live--
		}
		e.seg = s
		s.live++
	case kindEnded:
		if e := j.table.remove(c.ID); e != nil && e.seg != nil {
			e.seg.live--
		}
		j.queueLocked(record{call: c, seg: s})
	default: // a kind of a newer release of the same format says nothing to us
	}
}

// Flush hands all records that wait to the sink, in batches, then drops the
// files that nobody needs. On an error the rest waits for the next time.
func (j *Journal) Flush(ctx context.Context) error {
	j.flushing.Lock()
	defer j.flushing.Unlock()
	if j.sink == nil {
		return j.dropSegments(ctx)
	}
	for {
		j.mu.Lock()
		batch := j.pending[:min(len(j.pending), j.batch)]
		j.mu.Unlock()
		if len(batch) == 0 {
			return j.dropSegments(ctx)
		}
		if err := j.save(ctx, batch); err != nil {
			return err
		}
		j.mu.Lock()
		for _, r := range batch {
			if r.seg != nil {
				r.seg.pending--
			}
		}
		rest := copy(j.pending, j.pending[len(batch):])
		clear(j.pending[rest:])
		j.pending = j.pending[:rest]
		j.mu.Unlock()
	}
}

// save hands one batch to the sink.
func (j *Journal) save(ctx context.Context, batch []record) error {
	calls := make([]*feed.Call, len(batch))
	for i, r := range batch {
		calls[i] = r.call
	}
	return j.saveCalls(ctx, calls)
}

func (j *Journal) saveCalls(ctx context.Context, calls []*feed.Call) error {
	if err := j.sink.SaveRecords(ctx, calls); err != nil {
		j.metrics.errors.Inc()
		j.saving.Fail("records", "records of calls wait for the database")
		return fmt.Errorf("journal: save %d records: %w", len(calls), err)
	}
	j.saving.OK()
	j.metrics.records.Add(float64(len(calls)))
	return nil
}

// dropSegments deletes files that are not needed, the oldest first and none
// before an older one: the end of a call must not go before its answer. It
// begins a new file when the present one holds nothing that is needed.
func (j *Journal) dropSegments(ctx context.Context) error {
	if j.dir == "" {
		return nil
	}
	j.carryOut()
	for {
		j.mu.Lock()
		if len(j.segments) == 0 || j.failed != nil {
			j.mu.Unlock()
			return nil //nolint:nilerr // who appended was told; until it is mended nothing is dropped
		}
		s := j.segments[0]
		if len(j.segments) == 1 {
			var err error
			idle := !s.needed() && s.size > idleSegment
			if idle || s.spilled && s.pending == 0 {
				_, err = j.rotateLocked()
			}
			if err != nil || len(j.segments) == 1 {
				j.mu.Unlock()
				return err
			}
		}
		spilled := s.spilled && s.live == 0 && s.pending == 0
		if s.needed() && !spilled {
			j.mu.Unlock()
			return nil
		}
		j.mu.Unlock()

		if spilled {
			if err := j.unspill(ctx, s); err != nil {
				return err
			}
		}
		if err := errors.Join(j.sync(), s.drop()); err != nil {
			return err
		}
		j.mu.Lock()
		j.segments = j.segments[1:]
		j.mu.Unlock()
	}
}

// unspill saves the records of a file that was too much for memory.
func (j *Journal) unspill(ctx context.Context, s *segment) error {
	var calls []*feed.Call
	var failed error
	_, err := s.read(func(k kind, c *feed.Call) {
		if k != kindEnded || failed != nil {
			return
		}
		if calls = append(calls, c); len(calls) >= j.batch {
			failed = j.saveCalls(ctx, calls)
			calls = nil
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if len(calls) > 0 {
		if err := j.saveCalls(ctx, calls); err != nil {
			return err
		}
	}
	j.mu.Lock()
	s.spilled = false
	j.mu.Unlock()
	return nil
}

// carryOut journals anew the live calls of the oldest file when there are many
// files, so that one long call does not keep them all.
func (j *Journal) carryOut() {
	j.mu.Lock()
	if len(j.segments) <= maxSegments || j.failed != nil {
		j.mu.Unlock()
		return
	}
	oldest := j.segments[0]
	j.mu.Unlock()
	for _, e := range j.table.entries(func(*feed.Call) bool { return true }) {
		j.mu.Lock()
		if e.seg != oldest || e.ended {
			j.mu.Unlock()
			continue
		}
		if err := j.appendLocked(kindAnswered, e.call.Load()); err != nil {
			j.mu.Unlock()
			return
		}
		oldest.live--
		e.seg = j.segments[len(j.segments)-1]
		e.seg.live++
		j.mu.Unlock()
	}
}

// sync makes what was written survive a loss of power, and closes full files.
func (j *Journal) sync() error {
	j.mu.Lock()
	retired, unnamed := j.retired, j.unnamed
	j.retired, j.unnamed = nil, false
	var last *os.File
	if n := len(j.segments); n > 0 && j.segments[n-1].dirty {
		j.segments[n-1].dirty = false
		last = j.segments[n-1].file
	}
	j.mu.Unlock()

	var errs []error
	for _, s := range retired {
		if s.file != nil {
			errs = append(errs, s.file.Sync(), s.file.Close())
			s.file = nil
		}
	}
	if last != nil {
		if err := last.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if unnamed {
		errs = append(errs, syncDir(j.dir))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("journal: sync: %w", err)
	}
	return nil
}
