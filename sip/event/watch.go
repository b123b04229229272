package event

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
)

// A watched is a number that somebody watches.
type watched struct {
	key
	subs  map[*subscription]bool // guarded by Server.mu
	state atomic.Pointer[State]  // as it was looked at last; nil: not yet
	dirty atomic.Bool            // stands in the queue

	// What byCall and byUser hold of it; the looker's alone.
	calls []string
	user  string
}

// A queue has the numbers to look at, each at most once.
type queue struct {
	mu   sync.Mutex // guards list
	list []*watched
	wake chan struct{} // holds one
}

// touch has a number looked at soon. It takes no time worth mentioning.
func (q *queue) touch(w *watched) {
	if w.dirty.Swap(true) {
		return
	}
	q.mu.Lock()
	q.list = append(q.list, w)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) touchAll(ws []*watched) {
	for _, w := range ws {
		q.touch(w)
	}
}

// take returns what waits, in the memory of spare.
func (q *queue) take(spare []*watched) []*watched {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = spare[:0]
	return list
}

// Happened takes what happened, on the goroutine that tells it: numbers that
// somebody watches are looked at again. It never waits; it is the tap of a
// [feed.Stream].
func (s *Server) Happened(ev feed.Event) {
	if s.count.Load() == 0 {
		return
	}
	switch ev := ev.(type) {
	case feed.CallChanged:
		s.called(ev.Call)
	case feed.RegistrationChanged:
		s.touch(ev.Domain, ev.Number)
	case feed.SettingChanged:
		s.set(&ev)
	default:
		panic("event: unknown event")
	}
}

func (s *Server) touch(domain, number string) {
	if w := s.watched.get(key{domain, number}); w != nil {
		s.queue.touch(w)
	}
}

// called looks at the numbers that are in a call, and at those that were.
func (s *Server) called(c *feed.Call) {
	s.touch(c.Domain, c.Caller)
	if c.Number != c.Caller {
		s.touch(c.Domain, c.Number)
	}
	for i := range c.Legs {
		if l := &c.Legs[i]; l.Trunk == "" && l.Number != c.Caller && l.Number != c.Number {
			s.touch(c.Domain, l.Number)
		}
	}
	s.queue.touchAll(s.byCall.get(c.ID))
}

// set looks at the numbers that a setting concerns.
func (s *Server) set(ev *feed.SettingChanged) {
	is := func(kinds ...directory.Kind) bool { return slices.Contains(kinds, directory.Kind(ev.Kind)) }
	switch {
	case is(directory.KindNumber, directory.KindForwarding):
		s.touch(ev.Domain, ev.Name)
	case is(directory.KindUser, directory.KindDND, directory.KindPresence, directory.KindPresenceTo, directory.KindCallMe):
		s.queue.touchAll(s.byUser.get(key{ev.Domain, ev.Name}))
	case is(directory.KindDevice): // its lines may be others now, and those of others theirs
		s.touchDomain(ev.Domain)
		if ev.Deleted {
			s.device(key{ev.Domain, ev.Name}, func(sub *subscription, st *step) { sub.end(st, "rejected") })
		}
	case is(directory.KindDomain):
		s.touchDomain(ev.Name)
	}
}

func (s *Server) touchDomain(domain string) {
	s.watched.each(func(k key, w *watched) {
		if k.domain == domain {
			s.queue.touch(w)
		}
	})
}

// device has f run for each subscription of a device.
func (s *Server) device(device key, f func(*subscription, *step)) {
	s.mu.Lock()
	var subs []*subscription
	for sub := range s.devices[device] {
		subs = append(subs, sub)
	}
	s.mu.Unlock()
	for _, sub := range subs {
		s.post(sub, f)
	}
}

// look looks at the numbers of the queue, one after the other, until ctx ends: so
// what subscribers are told of a number is in order.
func (s *Server) look(ctx context.Context) {
	var spare []*watched
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.queue.wake:
		}
		list := s.queue.take(spare)
		for _, w := range list {
			w.dirty.Store(false) // before: what happens from here on counts again
			s.lookAt(ctx, w)
		}
		clear(list)
		spare = list
	}
}

// lookTimeout bounds how long settings are waited for; what could not be read is
// looked at again at the next event, and at the latest when a subscription is
// refreshed.
const lookTimeout = 2 * time.Second

// lookAt sees what a number is like now, and tells its subscribers when that is news.
func (s *Server) lookAt(ctx context.Context, w *watched) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookTimeout, errSlow)
	defer cancel()
	now, turn := time.Now(), s.turns.Add(1) // before: what happens while it looks comes later
	l, err := s.line(ctx, w.domain, w.name)
	if err != nil {
		if ctx.Err() == nil || context.Cause(ctx) == errSlow { //nolint:errorlint // the very value
			s.metrics.withoutIt.Inc()
			s.log.WarnContext(ctx, "watched number not read", "domain", w.domain, "number", w.name, "err", err)
		}
		return
	}
	st := s.observe(l, key{w.domain, w.name}, turn, now)
	before := w.state.Swap(st)
	s.mu.Lock()
	subs := make([]*subscription, 0, len(w.subs))
	for sub := range w.subs {
		subs = append(subs, sub)
	}
	s.mu.Unlock()
	if len(subs) == 0 {
		st = &State{}
	}
	s.index(w, st)
	if before != nil && before.same(st) {
		return
	}
	if next := st.Next(now); !next.IsZero() && len(subs) > 0 && (before == nil || !next.Equal(before.Next(now))) {
		s.at(next, func() { s.queue.touch(w) })
	}
	for _, sub := range subs {
		s.post(sub, (*subscription).flush)
	}
}

// observe sees what a number is like now; turn was taken before its settings l were
// read.
func (s *Server) observe(l *directory.Line, number key, turn uint64, now time.Time) *State {
	var bs location.Bindings
	if a, err := location.NewAOR(number.name, number.domain); err == nil {
		bs = s.o.Location.AppendBindings(nil, a, now)
	}
	st := Observe(l, s.o.Calls.Of(number.domain, number.name), bs, now)
	st.turn = turn
	if s.o.Mailbox != nil && l != nil {
		st.New, st.Old = s.o.Mailbox.Messages(number.domain, number.name)
	}
	return st
}

// same reports whether nothing changed that anybody is told of.
func (st *State) same(o *State) bool {
	return st.Line == o.Line && slices.Equal(st.Dialogs, o.Dialogs) && st.Bindings.Pack() == o.Bindings.Pack() &&
		st.Status == o.Status && st.Until.Equal(o.Until) && st.New == o.New && st.Old == o.Old
}

// index keeps byCall and byUser as w is now.
func (s *Server) index(w *watched, st *State) {
	var calls []string
	for _, d := range st.Dialogs {
		id := callOf(d.ID)
		if !slices.Contains(calls, id) {
			calls = append(calls, id)
		}
	}
	for _, id := range w.calls {
		if !slices.Contains(calls, id) {
			drop(s.byCall, id, w)
		}
	}
	for _, id := range calls {
		if !slices.Contains(w.calls, id) {
			add(s.byCall, id, w)
		}
	}
	w.calls = calls
	user := ""
	if st.Line != nil {
		user = st.Line.User
	}
	if user == w.user {
		return
	}
	if w.user != "" {
		drop(s.byUser, key{w.domain, w.user}, w)
	}
	if w.user = user; user != "" {
		add(s.byUser, key{w.domain, user}, w)
	}
}

// callOf returns the id of the call that a dialog belongs to.
func callOf(dialog string) string {
	if n := len(dialog) - len("-o"); n > 0 && dialog[n:] == "-o" {
		return dialog[:n]
	}
	return dialog
}

// add and drop change a list in an index, which others read; only the looker does.
func add[K comparable](x *index[K, []*watched], of K, w *watched) {
	x.put(of, append(slices.Clip(x.get(of)), w))
}

func drop[K comparable](x *index[K, []*watched], of K, w *watched) {
	list := slices.DeleteFunc(slices.Clone(x.get(of)), func(o *watched) bool { return o == w })
	if len(list) == 0 {
		x.drop(of, func([]*watched) bool { return true })
		return
	}
	x.put(of, list)
}

// line reads a number of a domain by its extension or E.164 number; nil for none.
func (s *Server) line(ctx context.Context, domain, number string) (*directory.Line, error) {
	w := routing.NewWorld(time.Now())
	if err := s.o.World.Load(ctx, routing.Need{Kind: routing.NeedNumber, Domain: domain, Key: number}, w); err != nil {
		return nil, err
	}
	return w.Number(domain, number), nil
}

// find reads the number that the user part of a Request-URI means: as it is
// dialled, or a user or a device.
func (s *Server) find(ctx context.Context, domain, target string) (*directory.Line, error) {
	t, ok := s.o.Tenants.Tenant([]byte(domain))
	if !ok {
		return nil, nil
	}
	if n, ok := t.Plan.Parse(target); ok {
		for _, number := range [...]string{n.Ext, n.E164} {
			if number == "" {
				continue
			}
			if l, err := s.line(ctx, domain, number); l != nil || err != nil {
				return l, err
			}
		}
	}
	w := routing.NewWorld(time.Now())
	for _, kind := range [...]routing.NeedKind{routing.NeedUser, routing.NeedDevice} {
		need := routing.Need{Kind: kind, Domain: domain, Key: target}
		if err := s.o.World.Load(ctx, need, w); err != nil {
			return nil, err
		}
		if number := w.Named(need); number != "" {
			return s.line(ctx, domain, number)
		}
	}
	return nil, nil
}
