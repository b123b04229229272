package redisstore

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"bellhop/routing/location"
	"bellhop/store/binding"
)

const (
	maxPending = 50_000           // AORs that wait; with more, all bindings are written again
	maxBatch   = 128              // commands of a batch
	tombstone  = time.Hour        // what is gone is remembered for it
	retry      = time.Second      // after a failure
	late       = time.Minute      // kept beyond the last deadline
	pollAway   = 5 * time.Second  // without announcements, versions are compared so often
	lookAgain  = 30 * time.Minute // bindings are compared with SQL so often, whatever was heard
)

// Announce implements sqlstore.Shared: rows were saved.
func (s *Store) Announce(rows []binding.Row) {
	s.mu.Lock()
	for _, r := range rows {
		s.putLocked(r)
	}
	s.mu.Unlock()
	nudge(s.wake)
}

func (s *Store) putLocked(r binding.Row) {
	name := r.AOR.String()
	if was, ok := s.pending[name]; ok && was.Version >= r.Version {
		return
	}
	if len(s.pending) >= maxPending { // Redis is away; what it misses is in SQL
		clear(s.pending)
		s.overflow = true
		return
	}
	s.pending[name] = r
}

// write writes what waits until ctx ends.
func (s *Store) write(ctx context.Context, n *node) {
	again := time.NewTimer(retry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-again.C:
		}
		if err := s.flush(ctx, n); err != nil {
			again.Reset(retry)
		}
	}
}

// flush writes all that waits, or fails with some of it waiting again.
func (s *Store) flush(ctx context.Context, n *node) error {
	for {
		rows, copies := s.take()
		if len(rows)+len(copies) == 0 {
			return nil
		}
		if err := s.putRows(ctx, n, rows, n.prefix+"bindings"); err != nil {
			s.mu.Lock()
			for _, r := range rows {
				s.putLocked(r)
			}
			s.mu.Unlock()
			return err
		}
		if err := s.putCopies(ctx, n, copies); err != nil { // they can be missed
			return err
		}
	}
}

// take takes a batch out of what waits.
func (s *Store) take() (rows []binding.Row, copies []kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overflow {
		s.overflow = false
		s.refilled.Store(true)
		nudge(s.resync)
	}
	for name, r := range s.pending {
		if len(rows) == maxBatch {
			break
		}
		rows = append(rows, r)
		delete(s.pending, name)
	}
	k := min(len(s.keep), maxBatch)
	copies = append(copies, s.keep[:k]...)
	s.keep = append(s.keep[:0], s.keep[k:]...)
	return rows, copies
}

// putRows stores bindings, and announces those that are new on a channel, "" for
// none.
func (s *Store) putRows(ctx context.Context, n *node, rows []binding.Row, channel string) error {
	if len(rows) == 0 {
		return nil
	}
	return s.call(ctx, "bindings", batchTimeout, func(ctx context.Context) error {
		_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := range rows {
				r := &rows[i]
				until := r.Expires.Add(late)
				if r.Packed == "" {
					until = time.Now().Add(tombstone)
				}
				p.Eval(ctx, setBinding, []string{n.locationKey(r.AOR)}, strconv.FormatUint(r.Version, 10), r.Packed, until.UnixMilli(), channel, announcement(r))
			}
			return nil
		})
		return err
	})
}

// locationKey is where the bindings of an AOR are.
func (n *node) locationKey(a location.AOR) string { return n.prefix + "loc:{" + a.String() + "}" }

// announcement is what is told of a row: format, version, domain, user and packed
// bindings, in lines.
func announcement(r *binding.Row) string {
	return "1\n" + strconv.FormatUint(r.Version, 10) + "\n" + r.AOR.Domain() + "\n" + r.AOR.User() + "\n" + r.Packed
}

// parseAnnouncement is the reverse of announcement.
func parseAnnouncement(text string) (r binding.Row, err error) {
	parts := strings.SplitN(text, "\n", 5)
	if len(parts) != 5 || parts[0] != "1" {
		return r, fmt.Errorf("%w: announcement", location.ErrFormat)
	}
	if r.Version, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return r, fmt.Errorf("%w: announcement: %w", location.ErrFormat, err)
	}
	if r.AOR, err = location.NewAOR(parts[3], parts[2]); err != nil {
		return r, err
	}
	r.Packed = parts[4]
	return r, nil
}

// listen hears what other nodes tell until ctx ends. Whenever it has begun to
// hear, after a pause too, what was missed is read from SQL.
func (s *Store) listen(ctx context.Context, n *node) {
	settings, bindings := n.prefix+"settings", n.prefix+"bindings"
	sub := s.client.Subscribe(ctx, settings, bindings)
	defer func() { _ = sub.Close() }() // it only says that it is closed already
	ch := sub.ChannelWithSubscriptions(redis.WithChannelSize(1000), redis.WithChannelHealthCheckInterval(time.Second))
	poll := time.NewTicker(pollAway)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			if s.health.Failing() {
				n.cache.Nudge()
			}
		case ev, ok := <-ch:
			if !ok {
				return
			}
			switch m := ev.(type) {
			case *redis.Subscription:
				nudge(s.resync)
				n.cache.Nudge()
			case *redis.Message:
				if m.Channel == settings {
					n.cache.Nudge()
					continue
				}
				s.learn(ctx, n, m.Payload)
			}
		}
	}
}

func (s *Store) learn(ctx context.Context, n *node, text string) {
	r, err := parseAnnouncement(text)
	if err == nil {
		err = n.bindings.Learn(ctx, r)
	}
	if err != nil && ctx.Err() == nil {
		s.metrics.errors.WithLabelValues("announcement").Inc()
		s.log.LogAttrs(ctx, slog.LevelWarn, "announced bindings not taken", slog.Any("error", err))
	}
}

// resyncs compares bindings with SQL when it is asked to, and now and then.
func (s *Store) resyncs(ctx context.Context, n *node) {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	again := time.NewTimer(retry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.resync:
		case <-tick.C:
		case <-again.C: // once after the start for nothing
		}
		fill := s.refilled.Swap(false)
		if err := s.resyncNow(ctx, n, fill); err != nil && ctx.Err() == nil {
			if fill {
				s.refilled.Store(true)
			}
			s.log.LogAttrs(ctx, slog.LevelWarn, "bindings not compared with the database", slog.Any("error", err))
			again.Reset(retry)
		}
	}
}

// resyncNow learns from SQL what this node missed; with fill Redis gets it too.
func (s *Store) resyncNow(ctx context.Context, n *node, fill bool) error {
	rows := make(map[string]binding.Row)
	var add func(binding.Row)
	if fill {
		s.metrics.fills.Inc()
		add = func(r binding.Row) { rows[r.AOR.String()] = r }
	}
	if err := n.bindings.Resync(ctx, add); err != nil {
		return err
	}
	batch := make([]binding.Row, 0, maxBatch)
	for r := range maps.Values(rows) {
		if batch = append(batch, r); len(batch) < maxBatch {
			continue
		}
		if err := s.putRows(ctx, n, batch, ""); err != nil {
			return err
		}
		batch = batch[:0]
	}
	return s.putRows(ctx, n, batch, "")
}
