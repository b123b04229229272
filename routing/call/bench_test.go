package call_test

import (
	"testing"

	"bellhop/routing/call"
)

// BenchmarkCall is New and the events of a plain call: rings, is answered, is
// hung up.
func BenchmarkCall(b *testing.B) {
	events := []call.Event{
		timed(res(call.B, call.First, 180), t0),
		timed(sdp(call.B, call.First, 200), t0),
		timed(ack(call.A), t0),
		timed(req(call.A, 1, call.Bye), t0),
		timed(res(call.B, -1, 200), t0),
	}
	buf := make([]call.Effect, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		s, _ := call.New(call.Options{SDP: true, Interval: half}, t0, buf[:0])
		for _, ev := range events {
			s, _ = s.Step(ev, buf[:0])
		}
		if !s.Done() {
			b.Fatal("not done")
		}
	}
}
