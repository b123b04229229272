package binding

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"bellhop/routing/location"
)

// Pace of [Table.Run].
const (
	tick       = time.Second
	saveTicks  = 10              // every shard is saved once in so many ticks: well within Slack
	expireEach = 64              // AORs of a shard looked at in a tick, so that there are no bursts
	clockJump  = 2 * time.Second // a jump of the clock beyond it shifts deadlines (trust.md §3)
)

// Run expires bindings and saves refreshes until ctx ends; then it saves what
// is left. Each tick does its share: however many bindings end at once, or are
// refreshed, there is no burst of work.
func (t *Table) Run(ctx context.Context) error {
	if t.saver == nil {
		t.keep(ctx)
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { t.group.run(ctx, t) })
	t.keep(ctx)
	wg.Wait()
	return t.SaveRefreshes(context.WithoutCancel(ctx))
}

// keep expires bindings and saves refreshes until ctx ends.
func (t *Table) keep(ctx context.Context) {
	tk := time.NewTicker(tick)
	defer tk.Stop()
	last := time.Now()
	buried := last
	for turn := 0; ; turn = (turn + 1) % saveTicks {
		select {
		case <-ctx.Done():
			return
		case <-tk.C:
		}
		now := time.Now()
		if now.Sub(buried) >= remember {
			buried = now
			t.forgetGone(now)
		}
		if jump := now.Round(0).Sub(last.Round(0)) - now.Sub(last); jump.Abs() > clockJump {
			t.shift(ctx, jump)
		}
		last = now
		t.expire(now)
		if turn == 0 {
			t.dropDoubts()
		}
		if err := t.saveShards(ctx, t.shards[turn*shards/saveTicks:(turn+1)*shards/saveTicks]); err != nil {
			t.log.LogAttrs(ctx, slog.LevelError, "refreshed bindings not saved", slog.Any("error", err))
		}
	}
}

// expire removes the bindings that ended, at most expireEach AORs a shard.
func (t *Table) expire(now time.Time) {
	for i := range t.shards {
		sh := &t.shards[i]
		for _, a := range sh.takeDue(now.Unix()) {
			t.expireOne(sh, a, now)
		}
	}
}

// takeDue takes AORs out that are due by second.
func (sh *shard) takeDue(second int64) (out []location.AOR) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for ; sh.next <= second; sh.next++ {
		list := sh.due[sh.next]
		n := min(len(list), expireEach-len(out))
		for _, a := range list[:n] {
			if s := sh.slots[a]; s.due == sh.next {
				s.due = 0
				sh.slots[a] = s
				out = append(out, a)
			}
		}
		if n < len(list) {
			sh.due[sh.next] = list[n:]
			return out
		}
		delete(sh.due, sh.next)
	}
	return out
}

// expireOne removes the bindings of a that ended, and says when to look again.
func (t *Table) expireOne(sh *shard, a location.AOR, now time.Time) {
	sh.mu.Lock()
	s, ok := sh.slots[a]
	if !ok {
		sh.mu.Unlock()
		return
	}
	if sh.isBusy(a) { // what is being saved leaves them out as well
		if s.due == 0 {
			s.due = sh.next
			sh.due[s.due] = append(sh.due[s.due], a)
			sh.slots[a] = s
		}
		sh.mu.Unlock()
		return
	}
	next, changes := unpack(s.packed).Expire(now)
	if len(changes) > 0 && t.saver != nil {
		sh.dirty[a] = sh.saved(a)
	}
	t.installLocked(sh, a, next)
	sh.mu.Unlock()
	t.publish(a, now, changes)
}

// SaveRefreshes saves what is in memory only. A failed part is tried again with
// the next.
func (t *Table) SaveRefreshes(ctx context.Context) error { return t.saveShards(ctx, t.shards[:]) }

// saveShards saves what is in memory only of some shards, in groups.
func (t *Table) saveShards(ctx context.Context, some []shard) error {
	if t.saver == nil {
		return nil
	}
	var rows []Row
	var failed error
	save := func() {
		stale, err := t.save(ctx, rows)
		t.finish(rows, stale, err != nil)
		failed = errors.Join(failed, err)
		rows = rows[:0]
	}
	for i := range some {
		for rows = t.takeDirty(&some[i], rows); len(rows) == maxGroup; rows = t.takeDirty(&some[i], rows) {
			if save(); failed != nil { // for the next time
				return failed
			}
		}
	}
	if len(rows) > 0 {
		save()
	}
	return failed
}

// takeDirty appends rows that are to be saved, until there are maxGroup, and marks
// them busy. An AOR that is being changed is left to its change or the next time.
func (t *Table) takeDirty(sh *shard, rows []Row) []Row {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for a := range sh.dirty {
		if len(rows) == maxGroup {
			break
		}
		if sh.isBusy(a) {
			continue
		}
		rows = append(rows, t.row(a, unpack(sh.slots[a].packed), sh.saved(a)))
		delete(sh.dirty, a)
		sh.busy[a] = busy{done: make(chan struct{}), refresh: true}
	}
	return rows
}

// finish ends the saving of rows that takeDirty marked busy; with again they
// are dirty as before. Those that are stale are merged with what is saved.
func (t *Table) finish(rows, stale []Row, again bool) {
	theirs := make(map[location.AOR]Row, len(stale))
	for _, r := range stale {
		theirs[r.AOR] = r
	}
	now := time.Now()
	for i := range rows {
		a := rows[i].AOR
		sh := t.shard(a)
		sh.mu.Lock()
		r, lost := theirs[a]
		var learned []location.Change
		switch {
		case again:
			sh.dirty[a] = rows[i].Before
		case lost:
			sh.dirty[a] = rows[i].Before // for what was refreshed here
			learned = t.learnLocked(sh, r, now)
		default:
			t.savedLocked(sh, rows[i])
		}
		b := sh.busy[a]
		delete(sh.busy, a)
		sh.mu.Unlock()
		close(b.done)
		t.publish(a, now, learned)
	}
}

// shift moves every deadline by as much as the clock jumped: a phone that was
// granted an hour keeps its hour.
func (t *Table) shift(ctx context.Context, jump time.Duration) {
	t.metrics.jumps.Inc()
	t.log.LogAttrs(ctx, slog.LevelWarn, "clock jumped, deadlines of bindings shifted", slog.Duration("jump", jump))
	now := time.Now().Unix()
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		sh.due = make(map[int64][]location.AOR)
		sh.next = now
		for a, s := range sh.slots {
			bs := unpack(s.packed)
			for i := range bs {
				bs[i].Expires = bs[i].Expires.Add(jump)
				bs[i].Seen = bs[i].Seen.Add(jump)
			}
			s.due = 0
			sh.slots[a] = s
			t.installLocked(sh, a, bs)
			if t.saver != nil {
				sh.dirty[a] = sh.saved(a)
			}
		}
		sh.mu.Unlock()
	}
}
