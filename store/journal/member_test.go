package journal_test

import (
	"testing"
	"testing/synctest"
	"time"

	"bellhop/feed"
	"bellhop/store/journal"
)

// TestMembers: members of a group are busy while they ring and talk, and idle
// since the end of their last answered call.
func TestMembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.New(journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		leg := func(number string, state feed.CallState) feed.Leg { return feed.Leg{Number: number, State: state} }
		call := feed.Call{ID: j.NewID(time.Now()), Domain: "bellhop.test", Caller: "1003", CallerDev: "desk-1003", Number: "1100", Started: time.Now()}
		desk := feed.Leg{Caller: true, Number: "1003", State: feed.Calling}
		change := func(answered time.Time, number string, legs ...feed.Leg) {
			c := call
			c.Number, c.AnsweredAt, c.Legs = number, answered, append([]feed.Leg{desk}, legs...)
			j.Update(&c)
		}
		counts := func(want ...int) {
			t.Helper()
			for i, n := range []string{"1003", "1100", "1001", "1002"} {
				if got := j.Count("bellhop.test", n); got != want[i] {
					t.Errorf("Count(%s) = %d, want %d", n, got, want[i])
				}
			}
		}
		idle := func(number string) time.Time { return j.Idle("bellhop.test", number) }
		if !idle("1001").IsZero() || !idle("1002").IsZero() {
			t.Error("idle since before anybody was asked about")
		}
		j.Begin(&call)
		counts(1, 1, 0, 0)
		change(time.Time{}, "1100", leg("1001", feed.Calling), leg("1002", feed.Ringing), leg("1002", feed.Ringing))
		counts(1, 1, 1, 1)
		change(time.Time{}, "1100", leg("1001", feed.Ended), leg("1002", feed.Ringing), feed.Leg{Number: "1001", Trunk: "carrier", State: feed.Ringing})
		counts(1, 1, 0, 1)
		<-time.After(time.Second)
		change(time.Now(), "1002", leg("1001", feed.Ended), leg("1002", feed.Talking))
		counts(1, 0, 0, 1)
		<-time.After(time.Minute)
		ended := call
		ended.Number, ended.State, ended.EndedAt = "1002", feed.Ended, time.Now()
		if err := j.Ended(&ended); err != nil {
			t.Fatal(err)
		}
		counts(0, 0, 0, 0)
		if at := idle("1002"); !at.Equal(time.Now()) || !idle("1001").IsZero() {
			t.Errorf("idle since %v and %v", at, idle("1001"))
		}
		missed := feed.Call{ID: j.NewID(time.Now()), Domain: "bellhop.test", Caller: "1003", CallerDev: "desk-1003", Number: "1001", Started: time.Now()}
		j.Begin(&missed)
		if err := j.Ended(&missed); err != nil {
			t.Fatal(err)
		}
		if !idle("1001").IsZero() {
			t.Error("a missed call counts as one")
		}
	})
}
