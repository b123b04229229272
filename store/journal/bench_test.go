package journal_test

import (
	"context"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/store/journal"
)

type nowhere struct{}

func (nowhere) SaveRecords(context.Context, []*feed.Call) error { return nil }

// BenchmarkCall is one call: table, two entries, batch; the sink costs nothing.
func BenchmarkCall(b *testing.B) {
	j := open(b, journal.Options{Dir: b.TempDir(), Sink: nowhere{}})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- j.Run(ctx) }()
	b.ReportAllocs()
	for b.Loop() {
		c := ringing(j, 1)
		c.Story = []feed.Step{{At: c.Started, Rule: "dial.number", Number: "1002"}, {At: c.Started, Rule: "ring.devices", Number: "1002"}}
		j.Begin(c)
		tk := talking(c)
		if err := j.Answered(tk); err != nil {
			b.Fatal(err)
		}
		if err := j.Ended(over(tk)); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	cancel()
	<-done
}

func BenchmarkCount(b *testing.B) {
	j := open(b, journal.Options{})
	j.Begin(ringing(j, 1))
	b.ReportAllocs()
	for b.Loop() {
		if j.Count("bellhop.test", "1002") != 1 {
			b.Fatal("not busy")
		}
	}
}

func BenchmarkFind(b *testing.B) {
	j := open(b, journal.Options{})
	c := ringing(j, 1)
	j.Begin(c)
	id, tag := []byte(c.CallID), []byte(c.CallerTag)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := j.Find(id, tag); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkNewID(b *testing.B) {
	j := open(b, journal.Options{})
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		_ = j.NewID(now)
	}
}
