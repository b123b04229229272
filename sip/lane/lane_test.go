package lane_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/sip/lane"
)

// start runs a pool until the bubble of t ends. A goroutine that is left over
// then fails the test by itself.
func start(t *testing.T, opts lane.PoolOptions) *lane.Pool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := lane.NewPool(opts)
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p
}

// one returns a lane whose steps are calls of step, in a pool of its own.
func one(t *testing.T, step func(lane.Event)) *lane.Lane {
	t.Helper()
	p := start(t, lane.PoolOptions{Blockers: 2, Backlog: 2})
	return open(t, lane.NewTable(p, func(_ *lane.Lane, ev lane.Event) { step(ev) }), "a call")
}

func open(t testing.TB, table *lane.Table, callID string) *lane.Lane {
	t.Helper()
	l, fresh, err := table.GetOrNew([]byte(callID))
	if err != nil || !fresh {
		t.Fatalf("GetOrNew(%s) = fresh %t, error %v, want a fresh lane", callID, fresh, err)
	}
	return l
}

func mustPost(t *testing.T, l *lane.Lane, ev lane.Event) {
	t.Helper()
	if err := l.Post(ev); err != nil {
		t.Errorf("Post(%v) = %v, want nil", ev, err)
	}
}

// held returns a lane that a step blocks until release, and the events seen.
func held(t *testing.T) (l *lane.Lane, p *lane.Pool, seen *[]int, release func()) {
	t.Helper()
	gate := make(chan struct{})
	seen = new([]int)
	p = start(t, lane.PoolOptions{Blockers: 2, Backlog: 2})
	l = open(t, lane.NewTable(p, func(_ *lane.Lane, ev lane.Event) {
		if n, ok := ev.(int); ok {
			*seen = append(*seen, n)
			return
		}
		<-gate // only a test may block in a step
	}), "a call")
	var wg sync.WaitGroup
	wg.Go(func() { mustPost(t, l, "hold") })
	synctest.Wait()
	return l, p, seen, func() { close(gate); wg.Wait(); synctest.Wait() }
}

func TestConcurrentPostsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	const posters, each = 8, lane.Depth / 8
	type numbered struct{ poster, n int }
	synctest.Test(t, func(t *testing.T) {
		var next [posters]int // no lock: the race detector tells of two steps at once
		l := one(t, func(ev lane.Event) {
			e := ev.(numbered)
			if e.n != next[e.poster] {
				t.Errorf("poster %d: step of %d, want %d", e.poster, e.n, next[e.poster])
			}
			next[e.poster]++
		})
		for range 100 {
			next = [posters]int{}
			var wg sync.WaitGroup
			for i := range posters {
				wg.Go(func() {
					for n := range each {
						ev := numbered{i, n}
						if n%2 == 0 { // half of them try to run it themselves
							if ran, err := l.Run(ev); ran || err != nil {
								continue
							}
						}
						mustPost(t, l, ev)
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			for i, n := range next {
				if n != each {
					t.Fatalf("poster %d: %d steps, want %d", i, n, each)
				}
			}
		}
	})
}

func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _, seen, release := held(t)
		if ran, err := l.Run(1); ran || err != nil {
			t.Errorf("Run on a busy lane = %t, %v, want false, nil", ran, err)
		}
		mustPost(t, l, 2)
		release()
		if ran, err := l.Run(3); !ran || err != nil {
			t.Errorf("Run on an idle lane = %t, %v, want true, nil", ran, err)
		}
		if got := *seen; len(got) != 2 || got[0] != 2 || got[1] != 3 {
			t.Errorf("ran %v, want [2 3]", got)
		}
		l.Close()
		if ran, err := l.Run(4); ran || !errors.Is(err, lane.ErrClosed) {
			t.Errorf("Run on a closed lane = %t, %v, want false, %v", ran, err, lane.ErrClosed)
		}
	})
}

func TestRunAlsoRunsWhatWasPostedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l *lane.Lane
		var seen []int
		l = one(t, func(ev lane.Event) {
			n := ev.(int)
			seen = append(seen, n)
			if n == 0 {
				if ran, err := l.Run(1); ran || err != nil {
					t.Errorf("Run in a step = %t, %v, want false, nil", ran, err)
				}
				mustPost(t, l, 2)
			}
		})
		if ran, err := l.Run(0); !ran || err != nil {
			t.Errorf("Run = %t, %v, want true, nil", ran, err)
		}
		if len(seen) != 2 || seen[1] != 2 {
			t.Errorf("ran %v, want [0 2]", seen)
		}
	})
}

func TestExpectedHasAPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _, seen, release := held(t)
		if err := l.Expect(); err != nil {
			t.Fatalf("Expect = %v, want nil", err)
		}
		for n := range lane.Depth - 1 {
			mustPost(t, l, n)
		}
		if err := l.Expect(); !errors.Is(err, lane.ErrFull) {
			t.Errorf("Expect in a full lane = %v, want %v", err, lane.ErrFull)
		}
		l.Deliver(-1)
		release()
		if got := len(*seen); got != lane.Depth || (*seen)[got-1] != -1 {
			t.Errorf("%d events ran, the last was %d, want %d and -1", got, (*seen)[got-1], lane.Depth)
		}
		l.Close()
		if err := l.Expect(); !errors.Is(err, lane.ErrClosed) {
			t.Errorf("Expect in a closed lane = %v, want %v", err, lane.ErrClosed)
		}
		l.Deliver(0) // late, and nobody minds
	})
}

func TestFullLaneRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, p, seen, release := held(t)
		for n := range lane.Depth {
			mustPost(t, l, n)
		}
		if err := l.Post(-1); !errors.Is(err, lane.ErrFull) {
			t.Errorf("Post to a full lane = %v, want %v", err, lane.ErrFull)
		}
		if err := l.Do(func(context.Context) lane.Event { return -1 }); !errors.Is(err, lane.ErrFull) {
			t.Errorf("Do in a full lane = %v, want %v", err, lane.ErrFull)
		}
		if got := p.Refused(); got != 2 {
			t.Errorf("Refused = %d, want 2", got)
		}
		release()
		if got := len(*seen); got != lane.Depth {
			t.Errorf("%d events ran, want %d", got, lane.Depth)
		}
		mustPost(t, l, lane.Depth) // there is room again
	})
}

func TestCallerRunsABurstAWorkerTheRest(t *testing.T) {
	t.Parallel()
	starts := []struct {
		name string
		with func(l *lane.Lane, ev lane.Event) error
	}{
		{"by Post", (*lane.Lane).Post},
		{"by Run", func(l *lane.Lane, ev lane.Event) error { _, err := l.Run(ev); return err }},
	}
	for _, tt := range starts {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var l *lane.Lane
				steps := 0
				gate := make(chan struct{})
				l = one(t, func(ev lane.Event) {
					if steps++; steps > lane.Burst {
						<-gate // a worker stands here, not the caller
					}
					if left := ev.(int); left > 0 {
						mustPost(t, l, left-1)
					}
				})
				if err := tt.with(l, 3*lane.Burst); err != nil { // returns although the gate is shut
					t.Errorf("%s = %v, want nil", tt.name, err)
				}
				synctest.Wait()
				if want := lane.Burst + 1; steps != want {
					t.Errorf("%d steps before the gate, want %d", steps, want)
				}
				close(gate)
				synctest.Wait()
				if want := 3*lane.Burst + 1; steps != want {
					t.Errorf("%d steps, want %d", steps, want)
				}
			})
		})
	}
}

func TestDoReturnsAsEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _, seen, release := held(t)
		began := time.Now()
		err := l.Do(func(context.Context) lane.Event {
			<-time.After(time.Second) // a slow store
			return 42
		})
		if err != nil {
			t.Fatalf("Do = %v, want nil", err)
		}
		for n := range lane.Depth - 1 { // one place is kept
			mustPost(t, l, n)
		}
		if err := l.Post(-1); !errors.Is(err, lane.ErrFull) {
			t.Errorf("Post beside a kept place = %v, want %v", err, lane.ErrFull)
		}
		<-time.After(2 * time.Second)
		release()
		if got := (*seen)[len(*seen)-1]; got != 42 || len(*seen) != lane.Depth {
			t.Errorf("last of %d events = %d, want 42 of %d", len(*seen), got, lane.Depth)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
	})
}

func TestDoIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := one(t, func(lane.Event) {})
		gate := make(chan struct{})
		wait := func(context.Context) lane.Event { <-gate; return nil }
		for range 4 { // two blockers, two places behind them
			if err := l.Do(wait); err != nil {
				t.Errorf("Do = %v, want nil", err)
			}
			synctest.Wait()
		}
		if err := l.Do(wait); !errors.Is(err, lane.ErrFull) {
			t.Errorf("fifth Do = %v, want %v", err, lane.ErrFull)
		}
		close(gate)
	})
}

func TestLanesGoOnWhenThePoolIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := lane.NewPool(lane.PoolOptions{})
		var wg sync.WaitGroup
		wg.Go(func() { p.Run(ctx) })
		synctest.Wait()
		cancel()
		wg.Wait()
		steps := 0
		var l *lane.Lane
		l = open(t, lane.NewTable(p, func(_ *lane.Lane, ev lane.Event) {
			steps++
			if left := ev.(int); left > 0 {
				mustPost(t, l, left-1)
			}
		}), "late")
		mustPost(t, l, 3*lane.Burst)
		if want := 3*lane.Burst + 1; steps != want {
			t.Errorf("%d steps on the caller, want %d", steps, want)
		}
		if err := l.Do(func(context.Context) lane.Event { return 0 }); !errors.Is(err, lane.ErrFull) {
			t.Errorf("Do = %v, want %v", err, lane.ErrFull)
		}
	})
}
