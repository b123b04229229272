package ring_test

import (
	"testing"
	"time"

	"bellhop/routing/ring"
)

// call is the events of a plain call: rings, is answered.
var call = []ring.Event{
	ring.Response{Now: t0, Branch: 0, Status: 100},
	ring.Response{Now: t0.Add(time.Second), Branch: 0, Status: 180},
	ring.Response{Now: t0.Add(time.Second), Branch: 0, Status: 200, SDP: true},
}

// BenchmarkCall is New and the events of a call to one device.
func BenchmarkCall(b *testing.B) {
	plan := ring.Plan{Stages: [][]ring.Target{{desk}}}
	buf := make([]ring.Effect, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		s, _ := ring.New(plan, t0, buf[:0])
		for _, ev := range call {
			s, _ = s.Step(ev, buf[:0])
		}
	}
}

// BenchmarkStep is the step of a 180 on one of two branches.
func BenchmarkStep(b *testing.B) {
	s, _ := ring.New(ring.Plan{Stages: [][]ring.Target{{desk, soft}}}, t0, nil)
	buf := make([]ring.Effect, 0, 8)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Step(call[1], buf[:0])
	}
}

// TestAllocs is not parallel: AllocsPerRun must not run beside others.
func TestAllocs(t *testing.T) { //nolint:paralleltest // AllocsPerRun must not run beside others
	plan := ring.Plan{Stages: [][]ring.Target{{desk}}}
	buf := make([]ring.Effect, 0, 8)
	start, _ := ring.New(plan, t0, nil)
	tests := []struct {
		name string
		run  func()
		want float64
	}{
		{"New", func() { ring.New(plan, t0, buf[:0]) }, 3},
		{"100", func() { start.Step(call[0], buf[:0]) }, 1},
		{"180", func() { start.Step(call[1], buf[:0]) }, 2},
		{"200", func() { start.Step(call[2], buf[:0]) }, 2},
	}
	for _, tt := range tests {
		if n := testing.AllocsPerRun(100, tt.run); n > tt.want {
			t.Errorf("%s allocates %v times, want %v", tt.name, n, tt.want)
		}
	}
}
