package lane_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"bellhop/sip/lane"
)

func TestAllocations(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	p := lane.NewPool(lane.PoolOptions{})
	table := lane.NewTable(p, func(*lane.Lane, lane.Event) {})
	l := open(t, table, "a call")
	id := []byte("a call")
	var ev lane.Event = "ringing"
	var timers [5]lane.Timer
	tests := []struct {
		name string
		f    func()
		want float64
	}{
		{"Get", func() { _ = table.Get(id) }, 0},
		{"GetOrNew of an open lane", func() { _, _, _ = table.GetOrNew(id) }, 0},
		{"Run on an idle lane", func() { _, _ = l.Run(ev) }, 0},
		{"Post to an idle lane", func() { _ = l.Post(ev) }, 0},
		{"Set", func() { timers[0].Set(l, time.Minute) }, 0},
		{"Set and Stop", func() { timers[1].Set(l, time.Second); timers[1].Stop() }, 0},
		{"a lane, from new to closed", func() { // the lane and its Call-ID
			l, _, _ := table.GetOrNew([]byte("another call"))
			l.Close()
		}, 2},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(200, tt.f); got > tt.want {
			t.Errorf("%s: %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}

func newBench(b *testing.B, step func(*lane.Lane, lane.Event)) *lane.Table {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	p := lane.NewPool(lane.PoolOptions{MaxLanes: 1 << 20})
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	b.Cleanup(func() { cancel(); wg.Wait() })
	return lane.NewTable(p, step)
}

func BenchmarkLaneRun(b *testing.B) {
	steps := 0
	l := open(b, newBench(b, func(*lane.Lane, lane.Event) { steps++ }), "a call")
	var ev lane.Event = "ringing"
	b.ReportAllocs()
	for b.Loop() {
		if ran, err := l.Run(ev); !ran || err != nil {
			b.Fatal(ran, err)
		}
	}
}

func BenchmarkLanePost(b *testing.B) {
	steps := 0
	l := open(b, newBench(b, func(*lane.Lane, lane.Event) { steps++ }), "a call")
	var ev lane.Event = "ringing"
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Post(ev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLaneGet(b *testing.B) {
	table := newBench(b, func(*lane.Lane, lane.Event) {})
	for i := range 10_000 {
		open(b, table, fmt.Sprintf("%032d@192.0.2.1", i))
	}
	id := fmt.Appendf(nil, "%032d@192.0.2.1", 5000)
	b.ReportAllocs()
	for b.Loop() {
		if table.Get(id) == nil {
			b.Fatal("lost")
		}
	}
}

// BenchmarkLaneTimer sets and stops a timer among those of 100,000 calls.
func BenchmarkLaneTimer(b *testing.B) {
	table := newBench(b, func(*lane.Lane, lane.Event) {})
	others := make([]lane.Timer, 100_000)
	for i := range others {
		others[i].Set(open(b, table, strconv.Itoa(i)), time.Duration(i)*time.Millisecond+time.Minute)
	}
	l := open(b, table, "a call")
	var t lane.Timer
	b.ReportAllocs()
	for b.Loop() {
		t.Set(l, 32*time.Second)
		t.Stop()
	}
}

// BenchmarkLaneCall is what a call costs in all: a lane, six messages, and five
// timers set and stopped.
func BenchmarkLaneCall(b *testing.B) {
	type state struct{ timers [5]lane.Timer }
	table := newBench(b, func(l *lane.Lane, ev lane.Event) {
		s := l.State.(*state)
		switch n := ev.(int); n {
		case 0:
			s.timers[0].Set(l, 200*time.Millisecond)
			s.timers[1].Set(l, 500*time.Millisecond)
			s.timers[2].Set(l, 3*time.Minute)
		case 1:
			s.timers[0].Stop()
			s.timers[1].Stop()
		case 2:
			s.timers[2].Stop()
			s.timers[3].Set(l, 32*time.Second)
		case 3:
			s.timers[4].Set(l, 500*time.Millisecond)
		case 5:
			s.timers[4].Stop()
			l.Close()
		}
	})
	events := [6]lane.Event{0, 1, 2, 3, 4, 5}
	id := []byte("0123456789abcdef@192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		for _, ev := range events {
			l, fresh, err := table.GetOrNew(id)
			if err != nil {
				b.Fatal(err)
			}
			if fresh {
				l.State = &state{}
			}
			if ran, err := l.Run(ev); !ran || err != nil {
				b.Fatal(ran, err)
			}
		}
	}
}
