package lane_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bellhop/sip/lane"
)

func TestClose(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		end  func(t *testing.T, l *lane.Lane)
	}{
		{"from outside", func(_ *testing.T, l *lane.Lane) { l.Close() }},
		{"twice", func(_ *testing.T, l *lane.Lane) { l.Close(); l.Close() }},
		{"from a posted step", func(t *testing.T, l *lane.Lane) { t.Helper(); mustPost(t, l, "close") }},
		{"from a step of Run", func(t *testing.T, l *lane.Lane) {
			t.Helper()
			if ran, err := l.Run("close"); !ran || err != nil {
				t.Errorf("Run = %t, %v, want true, nil", ran, err)
			}
		}},
		{"when idle", func(_ *testing.T, l *lane.Lane) { l.CloseIdle() }},
		{"by a panic in a step", func(t *testing.T, l *lane.Lane) { t.Helper(); mustPost(t, l, "panic") }},
		{"by a panic in Do", func(t *testing.T, l *lane.Lane) {
			t.Helper()
			if err := l.Do(func(context.Context) lane.Event { panic("store") }); err != nil {
				t.Errorf("Do = %v, want nil", err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, lane.PoolOptions{})
				table := lane.NewTable(p, func(l *lane.Lane, ev lane.Event) {
					switch ev {
					case "close":
						l.Close()
					case "panic":
						panic("step")
					}
				})
				l := open(t, table, "a call")
				tt.end(t, l)
				<-l.Done()
				if err := l.Post("late"); !errors.Is(err, lane.ErrClosed) {
					t.Errorf("Post after Close = %v, want %v", err, lane.ErrClosed)
				}
				if err := l.Do(nil); !errors.Is(err, lane.ErrClosed) {
					t.Errorf("Do after Close = %v, want %v", err, lane.ErrClosed)
				}
				if got := table.Get([]byte("a call")); got != nil {
					t.Error("the table still has the closed lane")
				}
				if got := p.Open(); got != 0 {
					t.Errorf("%d lanes open, want 0", got)
				}
			})
		})
	}
}

func TestCloseDropsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _, seen, release := held(t)
		mustPost(t, l, 1)
		l.Close()
		select {
		case <-l.Done():
			t.Error("Done during a step, want after it")
		default:
		}
		release()
		<-l.Done()
		if len(*seen) != 0 {
			t.Errorf("ran %v after Close, want none", *seen)
		}
	})
}

func TestCloseIdleLeavesWhatWaits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		leave func(t *testing.T, l *lane.Lane) // from a step, before CloseIdle
	}{
		{"an event", func(t *testing.T, l *lane.Lane) { t.Helper(); mustPost(t, l, "more") }},
		{"a result of Do", func(t *testing.T, l *lane.Lane) {
			t.Helper()
			if err := l.Do(func(context.Context) lane.Event { return "more" }); err != nil {
				t.Errorf("Do = %v, want nil", err)
			}
		}},
		{"what is expected, and not what is forgone", func(t *testing.T, l *lane.Lane) {
			t.Helper()
			for range 2 {
				if err := l.Expect(); err != nil {
					t.Errorf("Expect = %v, want nil", err)
				}
			}
			l.Forgo()
			time.AfterFunc(time.Minute, func() { l.Deliver("more") })
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var l *lane.Lane
				more := 0
				l = one(t, func(ev lane.Event) {
					if ev == "more" {
						more++
					} else {
						tt.leave(t, l)
					}
					l.CloseIdle()
				})
				mustPost(t, l, "first")
				<-l.Done()
				if more != 1 {
					t.Errorf("the step of what waited ran %d times, want 1", more)
				}
			})
		})
	}
}

func TestPanicIsToldAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type told struct {
			callID string
			ev     lane.Event
			open   int
		}
		var got []told
		reg := prometheus.NewPedanticRegistry()
		var p *lane.Pool
		p = start(t, lane.PoolOptions{Registerer: reg, Panicked: func(l *lane.Lane, ev lane.Event) {
			got = append(got, told{l.CallID(), ev, p.Open()})
		}})
		table := lane.NewTable(p, func(_ *lane.Lane, ev lane.Event) { panic(ev) })
		open(t, table, "other")
		if ran, err := open(t, table, "ill").Run("bad"); !ran || err != nil {
			t.Errorf("Run = %t, %v, want true, nil", ran, err)
		}
		if want := (told{"ill", "bad", 1}); len(got) != 1 || got[0] != want {
			t.Errorf("told %v, want %v once", got, want)
		}
		if n, err := testutil.GatherAndCount(reg); err != nil || n != 3 {
			t.Errorf("%d metrics, error %v, want 3", n, err)
		}
		problems, err := testutil.GatherAndLint(reg)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v, want none", problems, err)
		}
	})
}
