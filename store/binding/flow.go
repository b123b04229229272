package binding

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/routing/ring"
)

// Registrations returns the bindings of a domain, or of one number of it, in
// the order of numbers. It looks at all bindings.
func (t *Table) Registrations(_ context.Context, domain, number string) ([]feed.Registration, error) {
	now := time.Now()
	var out []feed.Registration
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.RLock()
		for a, s := range sh.slots {
			if a.Domain() != domain || number != "" && a.User() != number {
				continue
			}
			for _, b := range unpack(s.packed) {
				if b.Active(now) {
					out = append(out, registration(a, &b))
				}
			}
		}
		sh.mu.RUnlock()
	}
	slices.SortFunc(out, func(a, b feed.Registration) int {
		if c := strings.Compare(a.Number, b.Number); c != 0 {
			return c
		}
		return strings.Compare(a.Contact, b.Contact)
	})
	return out, nil
}

func registration(a location.AOR, b *location.Binding) feed.Registration {
	return feed.Registration{
		Domain: a.Domain(), Number: a.User(), Device: b.Device, Contact: b.Contact,
		Transport: b.Flow.Transport.String(), Source: b.Flow.Remote.String(), UserAgent: b.UserAgent,
		Instance: b.Instance, Node: b.Node, Q: float32(b.Q) / 1000, Expires: b.Expires, Seen: b.Seen,
	}
}

// Doubt marks the bindings of a that lead down the UDP flow f as doubtful: it
// was silent (rule ring.silent). They are rung, but not counted as reachable,
// until [Table.Heard] says otherwise. The mark is in memory only.
func (t *Table) Doubt(a location.AOR, f location.Flow) {
	if t.editOne(a, func(bs location.Bindings) (location.Bindings, bool) { return bs.Doubt(f) }) {
		t.addDoubt(a, f)
	}
}

// Heard clears the doubt about f: a message came down it. It is cheap enough to
// be told of every message.
func (t *Table) Heard(f location.Flow) {
	if t.doubts.Load() == 0 {
		return
	}
	t.doubt.Lock()
	aors, ok := t.flows[f]
	if ok {
		delete(t.flows, f)
		t.doubts.Add(-1)
	}
	t.doubt.Unlock()
	now := time.Now()
	for _, a := range aors {
		t.editOne(a, func(bs location.Bindings) (location.Bindings, bool) { return bs.Heard(f, now) })
	}
}

// addDoubt remembers whose bindings to clear when f is heard.
func (t *Table) addDoubt(a location.AOR, f location.Flow) {
	t.doubt.Lock()
	defer t.doubt.Unlock()
	aors, ok := t.flows[f]
	if !ok {
		t.doubts.Add(1)
	}
	if !slices.Contains(aors, a) {
		t.flows[f] = append(aors, a)
	}
}

// dropDoubts forgets flows that no binding is doubted on any more: those of
// bindings that moved or ended.
func (t *Table) dropDoubts() {
	if t.doubts.Load() == 0 {
		return
	}
	t.doubt.Lock()
	flows := maps.Clone(t.flows)
	t.doubt.Unlock()
	for f, aors := range flows {
		if slices.ContainsFunc(aors, func(a location.AOR) bool {
			return slices.ContainsFunc(t.Bindings(a), func(b location.Binding) bool { return b.Flow == f && b.Doubtful })
		}) {
			continue
		}
		t.doubt.Lock()
		if _, ok := t.flows[f]; ok {
			delete(t.flows, f)
			t.doubts.Add(-1)
		}
		t.doubt.Unlock()
	}
}

// editOne changes what needs no saving.
func (t *Table) editOne(a location.AOR, f func(location.Bindings) (location.Bindings, bool)) bool {
	sh := t.shard(a)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s, ok := sh.slots[a]
	if !ok {
		return false
	}
	next, changed := f(unpack(s.packed))
	if changed {
		t.installLocked(sh, a, next)
	}
	return changed
}

// Targets returns where the devices of a are at now, best q first and the one
// last heard of first among equals, and whether any of them is behind NAT.
func (t *Table) Targets(a location.AOR, now time.Time) (targets []ring.Target, nat bool) {
	var room [2]location.Binding
	set := t.AppendBindings(room[:0], a, now)
	if len(set) == 0 {
		return nil, false
	}
	if len(set) > 1 {
		set = set.TargetSet(now)
	}
	targets = make([]ring.Target, len(set))
	for i := range set {
		targets[i] = ring.TargetOf(&set[i])
		if set[i].Node != t.node && t.shared {
			targets[i].Node = set[i].Node
		}
		nat = nat || set[i].NAT
	}
	return targets, nat
}
