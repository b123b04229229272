package binding_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/location"
	"bellhop/store/binding"
)

// outcomes are what callers of Begin were told, by user.
type outcomes struct {
	mu   sync.Mutex
	told map[string][]error
}

// begin begins the REGISTER of a user and reports whether it is being saved.
func (o *outcomes) begin(t *testing.T, tb *binding.Table, user string, r location.Register) bool {
	t.Helper()
	a := aor(t, user)
	_, done, saving := tb.Begin(a, r, func(bs location.Bindings, changes []location.Change, err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.told == nil {
			o.told = make(map[string][]error)
		}
		o.told[user] = append(o.told[user], err)
		switch {
		case err == nil && (len(bs) != 1 || len(changes) != 1 || len(tb.Bindings(a)) != 1):
			t.Errorf("%s: told of %v, %v; there is %v", user, bs, changes, tb.Bindings(a))
		case err != nil && (bs != nil || changes != nil):
			t.Errorf("%s: told of %v, %v and %v", user, bs, changes, err)
		}
	})
	if done {
		t.Errorf("%s: a new binding is done at once", user)
	}
	return saving
}

// check compares what all were told, once each.
func (o *outcomes) check(t *testing.T, n int, is error) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.told) != n {
		t.Errorf("%d were told, want %d", len(o.told), n)
	}
	for user, errs := range o.told {
		if len(errs) != 1 || !errors.Is(errs[0], is) {
			t.Errorf("%s was told of %v, want %v", user, errs, is)
		}
	}
}

func (o *outcomes) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.told)
}

// running runs a table; the returned function stops it.
func running(t *testing.T, tb *binding.Table) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = tb.Run(ctx) })
	synctest.Wait()
	return func() {
		cancel()
		wg.Wait()
	}
}

func TestBeginManySavedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		tb := newTable(t, s, nil)
		stop := running(t, tb)
		defer stop()
		hold := make(chan struct{})
		s.set(nil, hold)
		const phones = 1200
		var o outcomes
		for i := range phones {
			if !o.begin(t, tb, fmt.Sprint(i), register(1, 600)) {
				t.Fatal("not begun")
			}
		}
		synctest.Wait()
		if n := o.len(); tb.Len() != 0 || n != 0 {
			t.Errorf("%d bindings and %d told before anything is saved", tb.Len(), n)
		}
		if _, done, saving := tb.Begin(aor(t, "7"), register(2, 600), func(location.Bindings, []location.Change, error) {}); done || saving {
			t.Error("an AOR that is being saved did not wait")
		}
		close(hold)
		<-time.After(time.Second)
		o.check(t, phones, nil)
		if n := s.saves(); n > 4 || tb.Len() != phones {
			t.Errorf("%d groups, %d bindings", n, tb.Len())
		}
		start := time.Now()
		if !o.begin(t, tb, "lone", register(1, 600)) {
			t.Fatal("not begun")
		}
		synctest.Wait()
		o.check(t, phones+1, nil)
		if waited := time.Since(start); waited > 0 {
			t.Errorf("a lone one waited %v", waited)
		}
	})
}

func TestBeginFails(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for _, tt := range []struct {
		name string
		want error
		make func(s *saver)
	}{
		{"not saved", full, func(s *saver) { s.err = full }},
		{"another node was first", location.ErrAgain, func(s *saver) {
			for i := range 10 {
				a, err := location.NewAOR(fmt.Sprint(i), "a.test")
				if err != nil {
					panic(err)
				}
				s.rows[a] = binding.Row{AOR: a, Version: 99}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSaver()
				tb := newTable(t, s, nil)
				tt.make(s)
				stop := running(t, tb)
				defer stop()
				var o outcomes
				for i := range 10 {
					if !o.begin(t, tb, fmt.Sprint(i), register(1, 600)) {
						t.Fatal("not begun")
					}
				}
				<-time.After(time.Second)
				o.check(t, 10, tt.want)
				if tb.Len() != 0 {
					t.Errorf("%d bindings", tb.Len())
				}
			})
		})
	}
}

// A store that is stuck holds up those whose turn it is; the others hear so, and
// not all of the world may wait.
func TestBeginWaitsInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		tb := newTable(t, s, nil)
		stop := running(t, tb)
		defer stop()
		hold := make(chan struct{})
		s.set(nil, hold)
		var first, others outcomes
		first.begin(t, tb, "first", register(1, 600))
		synctest.Wait()
		n := 0
		for others.begin(t, tb, fmt.Sprint(n), register(1, 600)) {
			n++
		}
		if n < 5000 || n > 20_000 {
			t.Errorf("%d may wait", n)
		}
		<-time.After(6 * time.Second)
		s.set(nil, nil)
		close(hold)
		<-time.After(time.Second)
		first.check(t, 1, nil)
		if told := others.len(); told != n || tb.Len() != 1 || len(s.saved(t, aor(t, "0"))) != 0 {
			t.Errorf("%d of %d told, %d bindings", told, n, tb.Len())
		}
		others.mu.Lock()
		defer others.mu.Unlock()
		for user, errs := range others.told {
			if len(errs) != 1 || errs[0] == nil {
				t.Fatalf("%s was told of %v", user, errs)
			}
		}
	})
}

// Whoever waits when the table stops is saved and told; afterwards it is Register
// that saves.
func TestBeginWhenItStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		tb := newTable(t, s, nil)
		var o outcomes
		if o.begin(t, tb, "early", register(1, 600)) {
			t.Error("begun before the table runs")
		}
		stop := running(t, tb)
		for i := range 1200 {
			if !o.begin(t, tb, fmt.Sprint(i), register(1, 600)) {
				t.Fatal("not begun")
			}
		}
		stop()
		o.check(t, 1200, nil)
		if o.begin(t, tb, "late", register(1, 600)) {
			t.Error("begun after the table stopped")
		}
		if _, _, err := tb.Register(t.Context(), aor(t, "late"), register(1, 600)); err != nil || len(s.saved(t, aor(t, "late"))) != 1 {
			t.Errorf("Register = %v", err)
		}
	})
}
