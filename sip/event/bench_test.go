package event_test

import (
	"fmt"
	"runtime"
	"testing"

	"bellhop/feed"
	"bellhop/sip/event"
)

// TestHappenedAllocates: a call that nobody watches costs no memory.
func TestHappenedAllocates(t *testing.T) { //nolint:paralleltest // counts the allocations of the process
	s := event.New(event.Options{})
	event.Watch(s, 100)
	var ev feed.Event = feed.CallChanged{Call: proxied("a", "8001", "8002", feed.Ringing)}
	if n := testing.AllocsPerRun(100, func() { s.Happened(ev) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
	if n := event.Queued(s); n != 0 {
		t.Errorf("%d numbers are to be looked at", n)
	}
	for range 3 {
		s.Happened(feed.CallChanged{Call: proxied("a", "8001", "1002", feed.Ringing)})
	}
	if n := event.Queued(s); n != 1 {
		t.Errorf("%d numbers are to be looked at, want 1", n)
	}
}

// BenchmarkHappened is what a call pays for a change that nobody watches.
func BenchmarkHappened(b *testing.B) {
	for _, n := range []int{0, 1, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := event.New(event.Options{})
			event.Watch(s, n)
			var ev feed.Event = feed.CallChanged{Call: proxied("a", "8001", "8002", feed.Ringing)}
			b.ReportAllocs()
			for b.Loop() {
				s.Happened(ev)
			}
		})
	}
}

// BenchmarkSubscription is the memory of a subscription.
func BenchmarkSubscription(b *testing.B) {
	var before, after runtime.MemStats
	const n = 20_000
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := event.New(event.Options{})
		event.Watch(s, n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/subscription")
		runtime.KeepAlive(s)
	}
}
