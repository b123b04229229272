package lane_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"

	"bellhop/sip/lane"
)

func TestTimers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		use  func(t *lane.Timer, l *lane.Lane)
		want []time.Duration // when fired
	}{
		{"once", func(t *lane.Timer, l *lane.Lane) { t.Set(l, 3*time.Minute) }, []time.Duration{3 * time.Minute}},
		{"at the end of a tick", func(t *lane.Timer, l *lane.Lane) { t.Set(l, 14*time.Millisecond) }, []time.Duration{20 * time.Millisecond}},
		{"at once", func(t *lane.Timer, l *lane.Lane) { t.Set(l, 0) }, []time.Duration{lane.Tick}},
		{"in the past", func(t *lane.Timer, l *lane.Lane) { t.Set(l, -time.Hour) }, []time.Duration{lane.Tick}},
		{"much later", func(t *lane.Timer, l *lane.Lane) { t.Set(l, 100*24*time.Hour) }, []time.Duration{100 * 24 * time.Hour}},
		{"set again, earlier", func(t *lane.Timer, l *lane.Lane) { t.Set(l, time.Hour); t.Set(l, time.Second) }, []time.Duration{time.Second}},
		{"set again, later", func(t *lane.Timer, l *lane.Lane) { t.Set(l, time.Second); t.Set(l, time.Hour) }, []time.Duration{time.Hour}},
		{"stopped", func(t *lane.Timer, l *lane.Lane) { t.Set(l, time.Second); t.Stop() }, nil},
		{"stopped, set again", func(t *lane.Timer, l *lane.Lane) { t.Set(l, time.Second); t.Stop(); t.Set(l, time.Minute) }, []time.Duration{time.Minute}},
		{"stopped, never set", func(t *lane.Timer, _ *lane.Lane) { t.Stop() }, nil},
		{"of a closed lane", func(t *lane.Timer, l *lane.Lane) { t.Set(l, time.Second); l.Close() }, nil},
		{"set on a closed lane", func(t *lane.Timer, l *lane.Lane) { l.Close(); t.Set(l, time.Second) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var l *lane.Lane
				var timer lane.Timer
				var fired []time.Duration
				began := time.Now()
				l = one(t, func(ev lane.Event) {
					switch ev := ev.(type) {
					case string:
						tt.use(&timer, l)
					case lane.Fired:
						if !ev.Stale() {
							fired = append(fired, time.Since(began))
						}
					}
				})
				mustPost(t, l, "go")
				<-time.After(101 * 24 * time.Hour) // in no time
				synctest.Wait()
				if diff := cmp.Diff(tt.want, fired); diff != "" {
					t.Errorf("fired at (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Whatever is set and stopped, in whatever order, what is due fires at the end
// of its tick and nothing else does.
func TestTimersAgreeWithAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r, pause := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2)) // of steps; between them
			began := time.Now()
			type state struct {
				timers [50]lane.Timer
				want   [50]time.Duration // when due, since began; 0: not set
			}
			s := &state{}
			var l *lane.Lane
			acts := 0
			act := func() {
				if acts++; acts > 500 {
					return
				}
				for range 1 + r.IntN(20) {
					i := r.IntN(len(s.timers))
					if r.IntN(3) == 0 {
						s.timers[i].Stop()
						s.want[i] = 0
						continue
					}
					d := time.Duration(r.Int64N(int64(time.Millisecond) << r.IntN(30)))
					s.timers[i].Set(l, d)
					due := time.Since(began) + max(d, 1) + lane.Tick - 1
					s.want[i] = due - due%lane.Tick
				}
			}
			l = one(t, func(ev lane.Event) {
				if ev, ok := ev.(lane.Fired); ok {
					if ev.Stale() {
						return
					}
					i := -1
					for n := range s.timers {
						if &s.timers[n] == ev.Timer {
							i = n
						}
					}
					if now := time.Since(began); s.want[i] != now {
						t.Errorf("seed %d: timer %d fired at %v, want %v", seed, i, now, s.want[i])
					}
					s.want[i] = 0
				}
				act()
			})
			for range 50 {
				mustPost(t, l, "act")
				<-time.After(time.Duration(pause.Int64N(int64(time.Millisecond) << pause.IntN(25))))
			}
			<-time.After(1000 * time.Hour)
			synctest.Wait()
			now := time.Since(began)
			for i, want := range s.want {
				if want != 0 && want < now {
					t.Errorf("seed %d: timer %d did not fire at %v", seed, i, want)
				}
			}
			l.Close()
		})
	}
}

func TestStaleFiredIsIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l *lane.Lane
		var timer lane.Timer
		var stale []bool
		gate := make(chan struct{})
		l = one(t, func(ev lane.Event) {
			switch ev := ev.(type) {
			case lane.Fired:
				stale = append(stale, ev.Stale())
			case string:
				timer.Set(l, time.Second)
				<-gate // due while the step runs: the event waits
				timer.Set(l, time.Minute)
			}
		})
		var wg sync.WaitGroup
		wg.Go(func() { mustPost(t, l, "go") })
		<-time.After(2 * time.Second)
		close(gate)
		wg.Wait()
		<-time.After(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]bool{true, false}, stale); diff != "" {
			t.Errorf("stale (-want +got):\n%s", diff)
		}
	})
}

func TestTimerOfAFullLaneIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var timer lane.Timer
		gate := make(chan struct{})
		fired := 0
		l := one(t, func(ev lane.Event) {
			switch ev := ev.(type) {
			case string:
				<-gate
			case lane.Fired:
				if !ev.Stale() {
					fired++
				}
			}
		})
		timer.Set(l, time.Second) // no step runs yet: the state is still ours
		var wg sync.WaitGroup
		wg.Go(func() { mustPost(t, l, "hold") })
		synctest.Wait()
		for range lane.Depth {
			mustPost(t, l, 0)
		}
		<-time.After(2 * time.Second)
		close(gate)
		wg.Wait()
		<-time.After(time.Second)
		synctest.Wait()
		if fired != 1 {
			t.Errorf("fired %d times, want 1", fired)
		}
	})
}

func TestTimersOfManyLanes(t *testing.T) {
	t.Parallel()
	const lanes = 500
	synctest.Test(t, func(t *testing.T) {
		type call struct {
			timer lane.Timer
			fired int
		}
		p := start(t, lane.PoolOptions{})
		var mu sync.Mutex
		fired := 0
		table := lane.NewTable(p, func(l *lane.Lane, ev lane.Event) {
			if ev, ok := ev.(lane.Fired); ok && !ev.Stale() {
				c := l.State.(*call)
				if c.fired++; c.fired < 10 {
					c.timer.Set(l, time.Duration(c.fired)*time.Second)
				} else {
					mu.Lock()
					fired++
					mu.Unlock()
					l.Close()
				}
			}
		})
		for i := range lanes {
			l := open(t, table, string(rune('a'+i)))
			c := &call{}
			l.State = c
			c.timer.Set(l, time.Duration(i)*time.Millisecond)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if fired != lanes || table.Len() != 0 {
			t.Errorf("%d calls ended, %d left, want %d, 0", fired, table.Len(), lanes)
		}
	})
}

// A call that is over is garbage at once, although its Timer C was due much
// later: that it was stopped leaves no trace.
func TestStoppedTimersHoldNoState(t *testing.T) {
	t.Parallel()
	type state struct{ a, b lane.Timer }
	ctx, cancel := context.WithCancel(t.Context())
	p := lane.NewPool(lane.PoolOptions{})
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	table := lane.NewTable(p, func(*lane.Lane, lane.Event) {})
	gone := func() weak.Pointer[state] {
		l := open(t, table, "a call")
		s := &state{}
		l.State = s
		s.a.Set(l, time.Hour)
		s.b.Set(l, time.Hour)
		s.a.Stop()
		l.Close()
		return weak.Make(s)
	}()
	runtime.GC()
	if gone.Value() != nil {
		t.Error("the state of a closed lane is still held")
	}
}
