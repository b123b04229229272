package binding

import (
	"context"
	"errors"
	"maps"
	"time"

	"bellhop/routing/location"
)

// nodeBits are the lowest bits of a version: two nodes never make the same one.
const nodeBits = 10

// versionAt is the first version of a moment. Versions of one AOR grow with time,
// so that an AOR that was gone and came back has one that it never had.
func versionAt(at time.Time) uint64 { return uint64(max(at.UnixMilli(), 0)) << nodeBits }

// row returns bs as it is saved in place of the version before: every deadline
// with the slack added.
func (t *Table) row(a location.AOR, bs location.Bindings, before uint64) Row {
	late := make(location.Bindings, len(bs))
	copy(late, bs)
	for i := range late {
		late[i].Expires = late[i].Expires.Add(Slack)
	}
	version := versionAt(time.Now()) | uint64(t.node)&(1<<nodeBits-1)
	if version <= before { // a clock that was set back
		version = before + 1
	}
	return Row{AOR: a, Packed: late.Pack(), Expires: late.LastExpiry(), Version: version, Before: before}
}

// Learn takes what another node saved, unless it is older than what is known
// here. An empty Packed with a version says that the bindings of an AOR are gone.
// It waits while the AOR is being saved here; errors are that of ctx and
// [location.ErrFormat].
func (t *Table) Learn(ctx context.Context, r Row) error {
	if _, err := location.Unpack(r.Packed); err != nil {
		return err
	}
	sh := t.shard(r.AOR)
	if err := sh.lockIdle(ctx, r.AOR); err != nil {
		return err
	}
	if r.Version <= max(sh.saved(r.AOR), sh.gone[r.AOR]) {
		sh.mu.Unlock()
		return nil
	}
	now := time.Now()
	changes := t.learnLocked(sh, r, now)
	sh.mu.Unlock()
	t.publish(r.AOR, now, changes)
	return nil
}

// learnLocked makes the row r of another node ours, and returns what changed.
// Refreshes that are not saved yet are kept.
func (t *Table) learnLocked(sh *shard, r Row, now time.Time) []location.Change {
	theirs, err := location.Unpack(r.Packed)
	if err != nil { // of a newer release; what we know is as good as it gets
		return nil
	}
	theirs, _ = theirs.Expire(now)
	mine := unpack(sh.slots[r.AOR].packed)
	if _, ok := sh.dirty[r.AOR]; ok {
		var kept bool
		if theirs, kept = keepRefreshes(mine, theirs); !kept {
			delete(sh.dirty, r.AOR)
		}
	}
	if len(theirs) == 0 && r.Packed != "" { // all of it has expired: the row is still to be deleted
		sh.dirty[r.AOR] = r.Version
	}
	t.installLocked(sh, r.AOR, theirs)
	t.savedLocked(sh, r)
	return differences(mine, theirs)
}

// remember is how long removals are remembered at least: longer than an older
// state may be on its way to us.
const remember = 10 * time.Minute

// savedLocked notes that r is saved.
func (t *Table) savedLocked(sh *shard, r Row) {
	sh.setSaved(r.AOR, r.Version)
	switch {
	case !t.shared && t.tell == nil: // nothing comes back
	case r.Packed == "" && r.Version > 0:
		sh.gone[r.AOR] = r.Version
	default:
		delete(sh.gone, r.AOR)
	}
}

// forgetGone forgets old removals.
func (t *Table) forgetGone(now time.Time) {
	before := versionAt(now.Add(-remember))
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		maps.DeleteFunc(sh.gone, func(_ location.AOR, v uint64) bool { return v < before })
		sh.mu.Unlock()
	}
}

// same reports whether two bindings are one at two times.
func same(a, b *location.Binding) bool {
	return a.Contact == b.Contact && a.Device == b.Device && a.Instance == b.Instance && a.RegID == b.RegID
}

// keepRefreshes returns theirs with the later refreshes of mine, and whether
// there are any.
func keepRefreshes(mine, theirs location.Bindings) (out location.Bindings, kept bool) {
	out = append(out, theirs...)
	for i := range out {
		for j := range mine {
			if m := &mine[j]; same(&out[i], m) && out[i].Flow == m.Flow && m.Seen.After(out[i].Seen) {
				out[i], kept = *m, true
			}
		}
	}
	return out, kept
}

// differences says how one set of bindings became another.
func differences(before, after location.Bindings) (out []location.Change) {
	find := func(bs location.Bindings, b *location.Binding) *location.Binding {
		for i := range bs {
			if same(&bs[i], b) {
				return &bs[i]
			}
		}
		return nil
	}
	for i := range after {
		switch was := find(before, &after[i]); {
		case was == nil:
			out = append(out, location.Change{What: location.Added, After: after[i]})
		case was.Flow != after[i].Flow:
			out = append(out, location.Change{What: location.Moved, Before: *was, After: after[i]})
		}
	}
	for i := range before {
		if find(after, &before[i]) == nil {
			out = append(out, location.Change{What: location.Removed, Before: before[i]})
		}
	}
	return out
}

// settle is how old a row has to be before its absence from a reading of the
// saver means that it is gone: readings see what was committed before they began,
// and clocks of nodes differ a little.
const settle = 10 * time.Second

// Resync reads all that is saved and learns what differs: after announcements
// may have been missed. It calls add with every row; add may be nil.
func (t *Table) Resync(ctx context.Context, add func(Row)) error {
	if t.saver == nil {
		return nil
	}
	before := versionAt(time.Now().Add(-settle))
	seen := make(map[location.AOR]struct{})
	err := t.saver.LoadBindings(ctx, func(r Row) error {
		seen[r.AOR] = struct{}{}
		if add != nil {
			add(r)
		}
		if err := t.Learn(ctx, r); !errors.Is(err, location.ErrFormat) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range t.shards {
		sh := &t.shards[i]
		for _, a := range sh.aors(func(a location.AOR, _ location.Bindings) bool {
			_, ok := seen[a]
			return !ok && sh.slots[a].saved < before
		}) {
			t.drop(sh, a, before)
		}
	}
	return nil
}

// drop forgets the bindings of a, of a version before the given one, which are
// not saved any more.
func (t *Table) drop(sh *shard, a location.AOR, before uint64) {
	sh.mu.Lock()
	if sh.isBusy(a) || sh.saved(a) >= before {
		sh.mu.Unlock()
		return
	}
	gone := unpack(sh.slots[a].packed)
	t.installLocked(sh, a, nil)
	delete(sh.dirty, a)
	sh.mu.Unlock()
	t.publish(a, time.Now(), differences(gone, nil))
}
