package lane_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"bellhop/sip/lane"
)

func TestTable(t *testing.T) {
	t.Parallel()
	p := lane.NewPool(lane.PoolOptions{MaxLanes: 3})
	table := lane.NewTable(p, func(*lane.Lane, lane.Event) {})
	a := open(t, table, "a")
	if got := table.Get([]byte("a")); got != a {
		t.Errorf("Get(a) = %p, want %p", got, a)
	}
	if got := table.Get([]byte("b")); got != nil {
		t.Errorf("Get(b) = %p, want nil", got)
	}
	if got, fresh, err := table.GetOrNew([]byte("a")); got != a || fresh || err != nil {
		t.Errorf("GetOrNew(a) = %p, %t, %v, want %p, false, nil", got, fresh, err, a)
	}
	open(t, table, "b")
	open(t, table, "c")
	if _, _, err := table.GetOrNew([]byte("d")); !errors.Is(err, lane.ErrFull) {
		t.Errorf("GetOrNew above the limit = %v, want %v", err, lane.ErrFull)
	}
	if got, _, err := table.GetOrNew([]byte("a")); got != a || err != nil {
		t.Errorf("GetOrNew(a) at the limit = %p, %v, want %p, nil", got, err, a)
	}
	if d, fresh, err := table.Urgent([]byte("d")); err != nil || !fresh || !p.Busy() {
		t.Errorf("Urgent(d) at the limit = %p, %t, %v", d, fresh, err)
	} else {
		d.Close()
	}
	a.Close()
	if again := open(t, table, "a"); again == a {
		t.Error("GetOrNew(a) after Close returned the closed lane")
	}
	var all []string
	table.All(func(l *lane.Lane) bool { all = append(all, l.CallID()); return true })
	slices.Sort(all)
	if want := []string{"a", "b", "c"}; !slices.Equal(all, want) {
		t.Errorf("All = %q, want %q", all, want)
	}
	all = nil
	table.All(func(l *lane.Lane) bool { all = append(all, l.CallID()); return false })
	if len(all) != 1 || table.Len() != 3 || p.Open() != 3 || p.Refused() != 1 {
		t.Errorf("All stopped after %d, Len = %d, Open = %d, Refused = %d, want 1, 3, 3, 1", len(all), table.Len(), p.Open(), p.Refused())
	}
}

// Urgent calls find room beyond the limits, but not without end; others do not.
func TestUrgent(t *testing.T) {
	t.Parallel()
	p := lane.NewPool(lane.PoolOptions{MaxLanes: 1, Backlog: 1})
	table := lane.NewTable(p, func(*lane.Lane, lane.Event) {})
	a := open(t, table, "a")
	never := func(context.Context) lane.Event { return nil }
	if err := a.Do(never); err != nil { // nothing runs: it waits
		t.Fatal(err)
	}
	if err := a.Do(never); !errors.Is(err, lane.ErrFull) {
		t.Errorf("Do beyond the backlog = %v, want %v", err, lane.ErrFull)
	}
	n := 0
	for ; n <= lane.Reserve; n++ {
		l, _, err := table.Urgent(fmt.Appendf(nil, "help-%d", n))
		if err != nil {
			break
		}
		if err := l.Do(never); err != nil {
			t.Errorf("Do of urgent call %d = %v", n, err)
		}
	}
	if n != lane.Reserve {
		t.Errorf("%d urgent lanes beyond the limit, want %d", n, lane.Reserve)
	}
}

// A lane is made once, an event is run once, and lanes that close under those
// who found them lose nothing but what was posted before.
func TestTableRaces(t *testing.T) {
	t.Parallel()
	const readers, calls, messages = 4, 8, 200
	synctest.Test(t, func(t *testing.T) {
		p := start(t, lane.PoolOptions{})
		var ran, refused atomic.Int64
		table := lane.NewTable(p, func(l *lane.Lane, ev lane.Event) {
			n, _ := l.State.(int) // no lock: the race detector tells of two steps at once
			l.State = n + 1
			ran.Add(1)
			if ev.(int)%7 == 0 {
				l.CloseIdle() // nothing that was taken is lost
			}
		})
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() {
				for n := range messages {
					id := fmt.Appendf(nil, "call %d", n%calls)
					for done := false; !done; {
						l, _, err := table.GetOrNew(id)
						if err != nil {
							t.Errorf("GetOrNew = %v, want nil", err)
							return
						}
						ok, err := l.Run(n)
						if !ok && err == nil {
							err = l.Post(n)
						}
						switch {
						case err == nil:
							done = true
						case errors.Is(err, lane.ErrFull):
							refused.Add(1)
							done = true
						case !errors.Is(err, lane.ErrClosed):
							t.Errorf("Run, Post = %v, want nil or %v", err, lane.ErrClosed)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if got := ran.Load() + refused.Load(); got != readers*messages {
			t.Errorf("%d events ran or were refused, want %d", got, readers*messages)
		}
		if table.Len() != p.Open() {
			t.Errorf("table has %d lanes, pool %d", table.Len(), p.Open())
		}
	})
}

// An alias finds the lane until it closes, and takes no Call-ID of another.
func TestAlias(t *testing.T) {
	t.Parallel()
	table := lane.NewTable(lane.NewPool(lane.PoolOptions{}), func(*lane.Lane, lane.Event) {})
	a, b := open(t, table, "a"), open(t, table, "b")
	for _, tt := range []struct {
		id   string
		want bool
	}{{"a1", true}, {"a2", true}, {"a1", true}, {"b", false}, {"a", true}} {
		if got := table.Alias(tt.id, a); got != tt.want {
			t.Errorf("Alias(%s) = %t, want %t", tt.id, got, tt.want)
		}
	}
	if table.Get([]byte("a1")) != a || table.Get([]byte("a2")) != a || table.Get([]byte("b")) != b {
		t.Error("the table finds other lanes than it was told")
	}
	a.Close()
	for _, id := range []string{"a", "a1", "a2"} {
		if table.Get([]byte(id)) != nil {
			t.Errorf("Get(%s) finds a closed lane", id)
		}
	}
	if table.Alias("a3", a) {
		t.Error("a closed lane got an alias")
	}
	if got := table.Len(); got != 1 {
		t.Errorf("Len = %d, want 1", got)
	}
}

// A lane that is kept does not close for want of work.
func TestKeep(t *testing.T) {
	t.Parallel()
	table := lane.NewTable(lane.NewPool(lane.PoolOptions{}), func(*lane.Lane, lane.Event) {})
	a := open(t, table, "a")
	a.Keep()
	a.Keep()
	a.Let()
	if a.CloseIdle(); table.Get([]byte("a")) != a {
		t.Fatal("a kept lane closed")
	}
	a.Let()
	if a.CloseIdle(); table.Get([]byte("a")) != nil {
		t.Error("a lane that nobody keeps stayed open")
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	table := lane.NewTable(lane.NewPool(lane.PoolOptions{}), func(*lane.Lane, lane.Event) {})
	a, b := open(t, table, "a"), open(t, table, "b")
	x := lane.NewIndex[string]()
	x.Add("1001", a, 1)
	x.Add("1001", b, 2)
	x.Add("1002", b, 3)
	x.Remove("1002", 1)
	if got := x.At("1001"); len(got) != 2 || got[0] != (lane.Entry{Lane: a, Who: 1}) || x.Len() != 3 {
		t.Errorf("At(1001) = %v of %d, want two of 3", got, x.Len())
	}
	x.Remove("1001", 1)
	x.Remove("1001", 2)
	x.Remove("1002", 3)
	if got := x.At("1001"); len(got) != 0 || x.Len() != 0 {
		t.Errorf("At(1001) = %v of %d, want none", got, x.Len())
	}
}

// A lane whose step merges it into another takes along what waits in it and what
// comes, in order; one with more in it than its step knows of stays.
func TestMerge(t *testing.T) {
	t.Parallel()
	const posts = 200
	synctest.Test(t, func(t *testing.T) {
		var table *lane.Table
		var got []int
		p := lane.NewPool(lane.PoolOptions{})
		call := make(chan struct{})
		table = lane.NewTable(p, func(l *lane.Lane, ev lane.Event) {
			switch ev := ev.(type) {
			case lane.Continue:
				ev()
			case int:
				if l.CallID() != "call" {
					t.Errorf("%d is run by %s", ev, l.CallID())
				}
				got = append(got, ev)
			}
		})
		to, from := open(t, table, "call"), open(t, table, "phone")
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := from.Post(lane.Continue(func() {
				close(call)
				if err := from.Post(1); err != nil { // waits
					t.Error(err)
				}
				if !table.Merge(from, to, 0) {
					t.Error("not merged")
				}
			})); err != nil {
				t.Error(err)
			}
		})
		<-call
		wg.Go(func() {
			for i := 2; i < posts; {
				l := table.Get([]byte("phone"))
				if l == nil {
					t.Error("the Call-ID is nobody's")
					return
				}
				if l.Post(i) == nil {
					i++
				}
			}
		})
		wg.Wait()
		synctest.Wait()
		if table.Get([]byte("phone")) != to || p.Open() != 1 || table.Len() != 2 {
			t.Errorf("Get = %p, want %p; Open = %d, Len = %d", table.Get([]byte("phone")), to, p.Open(), table.Len())
		}
		zero, one := slices.Index(got, 0), slices.Index(got, 1)
		if len(got) != posts || zero < 0 || one < zero {
			t.Errorf("ran %v", got)
		}
		to.Close()
		if table.Len() != 0 || p.Open() != 0 {
			t.Errorf("Len = %d, Open = %d after Close", table.Len(), p.Open())
		}
	})
}

func TestMergeRefused(t *testing.T) {
	t.Parallel()
	for name, refuses := range map[string]func(t *testing.T, table *lane.Table, from, to *lane.Lane) *lane.Lane{
		"itself": func(_ *testing.T, _ *lane.Table, from, _ *lane.Lane) *lane.Lane { return from },
		"kept":   func(_ *testing.T, _ *lane.Table, from, to *lane.Lane) *lane.Lane { from.Keep(); return to },
		"aliased": func(_ *testing.T, table *lane.Table, from, to *lane.Lane) *lane.Lane {
			table.Alias("x", from)
			return to
		},
		"closed": func(_ *testing.T, _ *lane.Table, _, to *lane.Lane) *lane.Lane { to.Close(); return to },
		"owed": func(t *testing.T, _ *lane.Table, from, to *lane.Lane) *lane.Lane {
			t.Helper()
			if err := from.Expect(); err != nil {
				t.Error(err)
			}
			return to
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ran := 0
			table := lane.NewTable(lane.NewPool(lane.PoolOptions{}), func(l *lane.Lane, ev lane.Event) {
				if f, ok := ev.(lane.Continue); ok {
					f()
					return
				}
				if ran++; l.CallID() != "phone" {
					t.Errorf("%v is run by %s", ev, l.CallID())
				}
			})
			to, from := open(t, table, "call"), open(t, table, "phone")
			if err := from.Post(lane.Continue(func() {
				to := refuses(t, table, from, to)
				if err := from.Post(1); err != nil {
					t.Error(err)
				}
				if table.Merge(from, to, 0) {
					t.Error("merged")
				}
			})); err != nil {
				t.Error(err)
			}
			if table.Get([]byte("phone")) != from || ran != 1 {
				t.Errorf("the lane is another one, or ran %d events, want 1", ran)
			}
		})
	}
}
