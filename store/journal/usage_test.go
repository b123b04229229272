package journal_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/store/journal"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// out is a leg by a trunk that a number sent out.
func out(by, kind string, state feed.CallState) feed.Leg {
	l := feed.Leg{Number: "+4315551234", Trunk: "carrier", By: by, Kind: kind, State: state, Started: noon}
	if state != feed.Calling {
		l.AnsweredAt = noon.Add(10 * time.Second)
	}
	return l
}

// TestUsage: what numbers, the domain and trunks have in use while calls begin,
// go on and end.
func TestUsage(t *testing.T) {
	t.Parallel()
	desk := feed.Leg{Caller: true, Number: "1001", Device: "desk-1001", State: feed.Calling}
	carrier := feed.Leg{Caller: true, Number: "+4930555", Trunk: "carrier", State: feed.Calling}
	for _, tt := range []struct {
		name    string
		call    feed.Call
		legs    []feed.Leg
		number  string // asked about
		of      routing.Usage
		domain  routing.Usage
		trunk   int
		rest    routing.Usage // of the number when it has ended
		endLegs []feed.Leg
	}{
		{name: "inside", call: feed.Call{Caller: "1001", CallerDev: "desk-1001", Number: "1002"}, number: "1001"},
		{
			name: "from outside", call: feed.Call{Caller: "+4930555", Number: "1002"}, legs: []feed.Leg{carrier},
			number: "1002", of: routing.Usage{External: 1}, domain: routing.Usage{External: 1}, trunk: 1,
		},
		{
			name: "dialled outside", call: feed.Call{Caller: "1001", CallerDev: "desk-1001", Number: "+4315551234"},
			legs: []feed.Leg{desk, out("1001", "mobile", feed.Calling)}, endLegs: []feed.Leg{desk, out("1001", "mobile", feed.Ended)},
			number: "1001", of: routing.Usage{External: 1, Attempts: 1}, domain: routing.Usage{External: 1, Attempts: 1}, trunk: 1,
			rest: routing.Usage{Attempts: 1},
		},
		{
			name: "forwarded outside, from outside", call: feed.Call{Caller: "+4930555", Number: "+4315551234"},
			legs: []feed.Leg{carrier, out("1002", "national", feed.Calling)}, endLegs: []feed.Leg{carrier, out("1002", "national", feed.Ended)},
			number: "1002", of: routing.Usage{External: 1, Attempts: 1, Forwarded: 1, Ringing: []string{"+4930555"}},
			domain: routing.Usage{External: 1, Attempts: 1}, trunk: 2, rest: routing.Usage{Attempts: 1},
		},
		{
			name: "talking abroad", call: feed.Call{Caller: "1001", CallerDev: "desk-1001", Number: "+4315551234"},
			legs: []feed.Leg{desk, out("1001", "international", feed.Talking)}, endLegs: []feed.Leg{desk, out("1001", "international", feed.Ended)},
			number: "1001", of: routing.Usage{External: 1, Attempts: 1, International: 20 * time.Second},
			domain: routing.Usage{External: 1, Attempts: 1, International: 20 * time.Second}, trunk: 1,
			rest: routing.Usage{Attempts: 1, International: 20 * time.Second},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := open(t, journal.Options{})
			now := noon.Add(30 * time.Second)
			c := tt.call
			c.ID, c.Domain, c.Started = j.NewID(noon), "a.test", noon
			j.Begin(&c)
			next := c
			next.Legs = tt.legs
			j.Update(&next)
			again := next // a sign of life
			j.Update(&again)
			if diff := cmp.Diff(tt.of, j.Usage("a.test", tt.number, now)); diff != "" {
				t.Errorf("number (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.domain, j.Usage("a.test", "", now)); diff != "" {
				t.Errorf("domain (-want +got):\n%s", diff)
			}
			if got := j.Usage("a.test", routing.TrunkKey("carrier"), now).External; got != tt.trunk {
				t.Errorf("trunk has %d calls, want %d", got, tt.trunk)
			}
			if got := j.Usage("b.test", tt.number, now); got.External+got.Attempts != 0 {
				t.Errorf("another domain has %+v", got)
			}
			done := again
			done.State, done.Legs = feed.Ended, tt.endLegs
			for i := range done.Legs {
				done.Legs[i].EndedAt = now
			}
			if err := j.Ended(&done); err != nil {
				t.Fatal(err)
			}
			got := j.Usage("a.test", tt.number, now)
			if len(got.Ringing) == 0 {
				got.Ringing = nil
			}
			if diff := cmp.Diff(tt.rest, got); diff != "" {
				t.Errorf("at the end (-want +got):\n%s", diff)
			}
			if got := j.Usage("a.test", tt.number, now.Add(24*time.Hour)); got.Attempts != 0 || got.International != 0 {
				t.Errorf("the next day %+v", got)
			}
		})
	}
}

// TestUsageComesBack: whatever calls do, what they have in use is nothing when
// they have ended.
func TestUsageComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		j, err := journal.New(journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		number := rapid.SampledFrom([]string{"1001", "1002", "+4930555"})
		state := rapid.SampledFrom([]feed.CallState{feed.Calling, feed.Ringing, feed.Talking, feed.Ended})
		kind := rapid.SampledFrom([]string{"", "mobile", "international", "premium"})
		for range 3 {
			c := &feed.Call{ID: j.NewID(noon), Domain: "a.test", Caller: number.Draw(t, "caller"), Started: noon}
			if rapid.Bool().Draw(t, "inside") {
				c.CallerDev = "desk"
			}
			j.Begin(c)
			for range rapid.IntRange(0, 5).Draw(t, "changes") {
				next := *c
				next.Number = number.Draw(t, "number")
				next.Legs = nil
				for range rapid.IntRange(0, 4).Draw(t, "legs") {
					l := feed.Leg{Number: "+431", By: number.Draw(t, "by"), Kind: kind.Draw(t, "kind"), State: state.Draw(t, "state"), Started: noon}
					if rapid.Bool().Draw(t, "by a trunk") {
						l.Trunk = "carrier"
					}
					if l.State == feed.Talking {
						l.AnsweredAt = noon
					}
					next.Legs = append(next.Legs, l)
				}
				c = &next
				j.Update(c)
			}
			done := *c
			done.State = feed.Ended
			if err := j.Ended(&done); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range []string{"", "1001", "1002", "+4930555", routing.TrunkKey("carrier")} {
			u := j.Usage("a.test", key, noon.Add(2*time.Minute))
			if u.External != 0 || u.Forwarded != 0 || len(u.Ringing) != 0 || u.International != 0 || u.Premium != 0 || u.Attempts != 0 {
				t.Fatalf("%q has %+v", key, u)
			}
		}
	})
}
