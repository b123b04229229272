package binding_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/store/binding"
)

// saver keeps rows, fails while err is set, and counts groups.
type saver struct {
	mu     sync.Mutex
	err    error
	hold   chan struct{} // closed: go on
	rows   map[location.AOR]binding.Row
	groups int
}

func newSaver() *saver { return &saver{rows: make(map[location.AOR]binding.Row)} }

func (s *saver) SaveBindings(_ context.Context, rows []binding.Row) (stale []binding.Row, err error) {
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups++
	if s.err != nil {
		return nil, s.err
	}
	for _, r := range rows {
		if is := s.rows[r.AOR]; is.Version != r.Before {
			is.AOR = r.AOR
			stale = append(stale, is)
			continue
		}
		if r.Packed == "" {
			delete(s.rows, r.AOR)
			continue
		}
		s.rows[r.AOR] = r
	}
	return stale, nil
}

func (s *saver) LoadBindings(_ context.Context, add func(binding.Row) error) error {
	s.mu.Lock()
	rows := maps.Clone(s.rows)
	s.mu.Unlock()
	for _, r := range rows {
		if err := add(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *saver) set(err error, hold chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.hold = err, hold
}

// saves is how many groups were saved.
func (s *saver) saves() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups
}

// saved returns the bindings of a as they are saved.
func (s *saver) saved(t *testing.T, a location.AOR) location.Bindings {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	bs, err := location.Unpack(s.rows[a].Packed)
	if err != nil {
		t.Fatal(err)
	}
	return bs
}

func newTable(t testing.TB, s *saver, f *feed.Stream) *binding.Table {
	t.Helper()
	o := binding.Options{Feed: f}
	if s != nil {
		o.Saver = s
	}
	tb, err := binding.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func aor(t testing.TB, user string) location.AOR {
	t.Helper()
	a, err := location.NewAOR(user, "a.test")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func register(cseq, seconds uint32) location.Register {
	return location.Register{
		Contacts: []location.Contact{{URI: "sip:desk@192.0.2.10:5060", Q: 1000}}, Expires: location.In(seconds),
		CallID: "c", CSeq: cseq, Device: "desk",
		Flow: location.Flow{Transport: location.UDP, Remote: netip.MustParseAddrPort("192.0.2.10:5060")},
	}
}

func TestFailedSaveChangesNothing(t *testing.T) {
	t.Parallel()
	s := newSaver()
	tb := newTable(t, s, nil)
	a := aor(t, "1001")
	away := errors.New("away")
	s.set(away, nil)
	if _, _, err := tb.Register(t.Context(), a, register(1, 3600)); !errors.Is(err, away) {
		t.Errorf("Register = %v, want %v", err, away)
	}
	if bs := tb.Bindings(a); len(bs) != 0 {
		t.Errorf("Bindings after a failed save = %v, want none", bs)
	}
	s.set(nil, nil)
	if _, _, err := tb.Register(t.Context(), a, register(1, 3600)); err != nil {
		t.Errorf("the same REGISTER again: %v", err)
	}
	s.set(away, nil)
	if _, ok, _ := tb.Begin(a, register(2, 3600), nil); !ok {
		t.Error("a refresh was refused while the store is away")
	}
}

func TestManySaveTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		tb := newTable(t, s, nil)
		hold := make(chan struct{})
		s.set(nil, hold)
		var wg sync.WaitGroup
		for i := range 100 {
			a := aor(t, fmt.Sprint(1000+i))
			wg.Go(func() {
				if _, _, err := tb.Register(t.Context(), a, register(1, 3600)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // the first one saves, the others queue
		if n := tb.Len(); n != 0 {
			t.Errorf("%d bindings are shown before any was saved", n)
		}
		close(hold)
		wg.Wait()
		if s.groups != 2 || len(s.rows) != 100 {
			t.Errorf("%d rows in %d groups, want 100 in 2", len(s.rows), s.groups)
		}
	})
}

func TestOneAORWaitsForItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		tb := newTable(t, s, nil)
		a := aor(t, "1001")
		hold := make(chan struct{})
		s.set(nil, hold)
		var wg sync.WaitGroup
		wg.Go(func() { _, _, _ = tb.Register(t.Context(), a, register(1, 3600)) })
		synctest.Wait()
		if _, ok, _ := tb.Begin(a, register(2, 3600), nil); ok {
			t.Error("Begin did not wait for the save")
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gaveUp := errors.New("gave up")
		wg.Go(func() {
			if _, _, err := tb.Register(ctx, a, register(3, 0)); !errors.Is(err, gaveUp) {
				t.Errorf("Register = %v, want %v", err, gaveUp)
			}
		})
		wg.Go(func() {
			if bs, _, err := tb.Register(t.Context(), a, register(2, 0)); err != nil || len(bs) != 0 {
				t.Errorf("Register = %v, %v, want none", bs, err)
			}
		})
		synctest.Wait()
		cancel(gaveUp)
		synctest.Wait()
		close(hold)
		wg.Wait()
		if len(s.rows) != 0 || tb.Len() != 0 {
			t.Errorf("%d rows, %d bindings, want none", len(s.rows), tb.Len())
		}
	})
}

// A refresh is saved late, with slack, and never over something newer.
func TestRefreshesAreSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		tb := newTable(t, s, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = tb.Run(ctx) })
		a := aor(t, "1001")
		if _, _, err := tb.Register(ctx, a, register(1, 600)); err != nil {
			t.Fatal(err)
		}
		if end := s.saved(t, a)[0].Expires; !end.Equal(time.Now().Add(600*time.Second + binding.Slack)) {
			t.Errorf("saved until %v, want the slack added", end)
		}
		<-time.After(time.Minute)
		at := time.Now()
		if _, ok, _ := tb.Begin(a, register(2, 600), nil); !ok {
			t.Fatal("Begin did not refresh")
		}
		<-time.After(binding.Slack / 2)
		if b := s.saved(t, a)[0]; b.CSeq != 2 || !b.Expires.Equal(at.Add(600*time.Second+binding.Slack)) {
			t.Errorf("saved after the slack: cseq %d until %v", b.CSeq, b.Expires)
		}
		// While a refresh is being saved another one need not wait; a change does.
		hold := make(chan struct{})
		if _, ok, _ := tb.Begin(a, register(3, 600), nil); !ok {
			t.Fatal("Begin did not refresh")
		}
		s.set(nil, hold)
		wg.Go(func() { _ = tb.SaveRefreshes(ctx) })
		synctest.Wait()
		if _, ok, _ := tb.Begin(a, register(4, 600), nil); !ok {
			t.Error("a refresh waited for one that is being saved")
		}
		wg.Go(func() {
			if _, _, err := tb.Register(ctx, a, register(5, 0)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(hold)
		synctest.Wait()
		<-time.After(binding.Slack)
		if len(s.rows) != 0 || tb.Len() != 0 {
			t.Errorf("after the removal: %d rows, %d bindings", len(s.rows), tb.Len())
		}
		cancel()
		wg.Wait()
	})
}

func TestLoadCutsDeadlines(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a, b, c := aor(t, "1001"), aor(t, "1002"), aor(t, "1003")
	s := newSaver()
	tcp := location.Flow{Transport: location.TCP, Conn: 7}
	for x, bs := range map[location.AOR]location.Bindings{
		a: {{Contact: "sip:a@192.0.2.1", Expires: now.Add(100 * time.Hour), Granted: time.Hour}},
		b: {{Contact: "sip:b@192.0.2.1", Expires: now.Add(-time.Second), Granted: time.Hour}},
		c: {{Contact: "sip:c@192.0.2.1", Expires: now.Add(time.Minute), Granted: time.Hour, Flow: tcp}},
	} {
		s.rows[x] = binding.Row{AOR: x, Packed: bs.Pack()}
	}
	tb := newTable(t, s, nil)
	if bs := tb.Bindings(a); len(bs) != 1 || bs[0].Expires.After(time.Now().Add(time.Hour)) {
		t.Errorf("a deadline beyond what was granted: %v", bs)
	}
	if bs := tb.Bindings(b); len(bs) != 0 {
		t.Errorf("an expired binding was loaded: %v", bs)
	}
	if bs := tb.Bindings(c); len(bs) != 1 || bs[0].Flow.Conn != 0 {
		t.Errorf("a connection of the last run: %v", bs)
	}
}

func TestClockJump(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tb := newTable(t, nil, nil)
		a := aor(t, "1001")
		if _, _, err := tb.Register(t.Context(), a, register(1, 600)); err != nil {
			t.Fatal(err)
		}
		before := tb.Bindings(a)[0].Expires
		tb.Shift(t.Context(), time.Hour)
		if got := tb.Bindings(a)[0].Expires; !got.Equal(before.Add(time.Hour)) {
			t.Errorf("Expires after a jump of an hour = %v, want %v", got, before.Add(time.Hour))
		}
	})
}

// Many that end at once end over several ticks, and none is shown meanwhile.
func TestNoBurstOfExpiries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const phones = 20_000
		f := feed.NewStream(2 * phones)
		tb := newTable(t, nil, f)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = tb.Run(ctx) })
		for i := range phones {
			if _, _, err := tb.Register(ctx, aor(t, fmt.Sprint(i)), register(1, 600)); err != nil {
				t.Fatal(err)
			}
		}
		f.Drain(nil, phones)
		<-time.After(601 * time.Second)
		if bs := tb.Bindings(aor(t, "7")); len(bs) != 0 {
			t.Error("an expired binding is shown")
		}
		total := 0
		for range 10 {
			<-time.After(time.Second)
			n := len(f.Drain(nil, 2*phones))
			if total += n; n > 64*64*2 {
				t.Errorf("%d ended in a second", n)
			}
		}
		if total != phones || tb.Len() != 0 {
			t.Errorf("%d ended, %d are left, want %d and 0", total, tb.Len(), phones)
		}
		cancel()
		wg.Wait()
	})
}
