package sqlstore_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/store/binding"
	"bellhop/store/storetest"
)

// cpu returns the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkCall is all that the store does for a call between two of 10,000
// numbers: table, two journal entries, record and index. cpu-us/call is
// processor time, background work included.
func BenchmarkCall(b *testing.B) {
	o := in(b.TempDir())
	o.Feed = feed.NewStream(1)
	s := open(b, o)
	numbers := make([]string, 10_000)
	for i := range numbers {
		numbers[i] = fmt.Sprint(10_000 + i)
	}
	start, n := cpu(b), 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		now := time.Now()
		c := &feed.Call{
			ID: s.Calls.NewID(now), Domain: storetest.Domain, CallID: "3848276298220188511@192.0.2.10", CallerTag: "9fxced76sl",
			Caller: numbers[rand.IntN(len(numbers))], CallerDev: "desk-1001", Called: numbers[rand.IntN(len(numbers))],
			State: feed.Ringing, Started: now,
			Story: []feed.Step{{At: now, Rule: "dial.number", Number: "1002"}, {At: now, Rule: "ring.devices", Number: "1002"}},
		}
		c.Number = c.Called
		s.Calls.Begin(c)
		talk := *c
		talk.State, talk.AnsweredAt, talk.Device, talk.CalleeTag, talk.Status = feed.Talking, now, "desk-1002", "314159", 200
		if err := s.Calls.Answered(&talk); err != nil {
			b.Fatal(err)
		}
		over := talk
		over.State, over.EndedAt, over.Outcome, over.Rule = feed.Ended, now, "answered", "ring.devices"
		if err := s.Calls.Ended(&over); err != nil {
			b.Fatal(err)
		}
		if n%1000 == 0 { // a second at 1,000 calls a second
			if err := s.Calls.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-start).Nanoseconds())/1000/float64(n), "cpu-us/call")
}

func BenchmarkRegister(b *testing.B) {
	s := open(b, in(b.TempDir()))
	a := storetest.AOR(b, "1001")
	b.ReportAllocs()
	r := storetest.Register("desk-1001", 5060, 1)
	for b.Loop() {
		r.CSeq++
		r.Flow.Remote = netip.AddrPortFrom(r.Flow.Remote.Addr(), uint16(10000+r.CSeq%2)) // it moves every time
		if _, _, err := s.Bindings.Register(b.Context(), a, r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSaveBindings saves groups as they come of 100,000 phones: of new
// bindings at some thousand a second, and of refreshes.
func BenchmarkSaveBindings(b *testing.B) {
	for _, tt := range []struct {
		name  string
		group int
		fresh bool
	}{{"new", 16, true}, {"refreshed", 500, false}} {
		b.Run(tt.name, func(b *testing.B) {
			s := open(b, in(b.TempDir()))
			rows := make([]binding.Row, 100_000)
			for i := range rows {
				a := storetest.AOR(b, fmt.Sprint(10_000+i))
				bs, _, err := location.Bindings(nil).Apply(storetest.Register("desk", 5060, 1), time.Now())
				if err != nil {
					b.Fatal(err)
				}
				rows[i] = binding.Row{AOR: a, Packed: bs.Pack(), Expires: bs.LastExpiry(), Version: 1}
			}
			if !tt.fresh {
				if _, err := s.SaveBindings(b.Context(), rows); err != nil {
					b.Fatal(err)
				}
			}
			rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			start, n, at := cpu(b), 0, 0
			for b.Loop() {
				if at+tt.group > len(rows) {
					if tt.fresh {
						b.Skip("no more phones")
					}
					at = 0
				}
				group := rows[at : at+tt.group]
				if !tt.fresh {
					for i := range group {
						group[i].Before, group[i].Version = group[i].Version, group[i].Version+1
					}
				}
				if stale, err := s.SaveBindings(b.Context(), group); err != nil || len(stale) > 0 {
					b.Fatal(stale, err)
				}
				at, n = at+tt.group, n+tt.group
			}
			b.ReportMetric(float64((cpu(b)-start).Nanoseconds())/1000/float64(n), "cpu-us/row")
		})
	}
}

func BenchmarkRefresh(b *testing.B) {
	s := open(b, in(b.TempDir()))
	a := storetest.AOR(b, "1001")
	r := storetest.Register("desk-1001", 5060, 1)
	if _, _, err := s.Bindings.Register(b.Context(), a, r); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.CSeq++
		if _, ok, _ := s.Bindings.Begin(a, r, nil); !ok {
			b.Fatal("Begin did not refresh")
		}
	}
}

// BenchmarkLoad is what a number costs that the cache does not have.
func BenchmarkLoad(b *testing.B) {
	s := open(b, in(b.TempDir()))
	storetest.Provision(b, s)
	need := routing.Need{Kind: routing.NeedNumber, Domain: storetest.Domain, Key: "1001"}
	changed := []directory.Document{{Ref: directory.Ref{Domain: storetest.Domain, Kind: directory.KindForwarding, Name: "1001"}}}
	start, n := cpu(b), 0
	b.ReportAllocs()
	var w routing.World
	for b.Loop() {
		n++
		s.Cache.Forget(changed)
		w.Reset(time.Now())
		if err := s.Cache.Load(b.Context(), need, &w); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-start).Nanoseconds())/1000/float64(n), "cpu-us/op")
}

func BenchmarkCached(b *testing.B) {
	s := open(b, in(b.TempDir()))
	storetest.Provision(b, s)
	a := storetest.AOR(b, "1001")
	if _, _, err := s.Bindings.Register(b.Context(), a, storetest.Register("desk-1001", 5060, 1)); err != nil {
		b.Fatal(err)
	}
	for _, k := range []routing.NeedKind{routing.NeedNumber, routing.NeedDomain, routing.NeedCalls, routing.NeedBindings} {
		b.Run(k.String(), func(b *testing.B) {
			need := routing.Need{Kind: k, Domain: storetest.Domain, Key: "1001"}
			if k == routing.NeedDomain {
				need = routing.Need{Kind: k, Key: storetest.Domain}
			}
			now := time.Now()
			var w routing.World
			if err := s.Cache.Load(b.Context(), need, &w); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				w.Reset(now)
				if !s.Cache.Cached(need, &w) {
					b.Fatal("not cached")
				}
			}
		})
	}
	b.Run("credential", func(b *testing.B) {
		cs := s.Cache.Credentials()
		if err := cs.Load(b.Context(), storetest.Domain, "desk-1001"); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, known, cached := cs.Credential(storetest.Domain, "desk-1001"); !known || !cached {
				b.Fatal("not cached")
			}
		}
	})
}
