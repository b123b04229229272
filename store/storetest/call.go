package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/journal"
)

// Call returns an ended call.
func Call(j *journal.Journal, caller, called, number string, at time.Time) *feed.Call {
	started := at.UTC().Truncate(time.Microsecond)
	return &feed.Call{
		ID: j.NewID(at), Domain: Domain, CallID: "c@" + caller, CallerTag: "t", Caller: caller, CallerDev: "desk-" + caller,
		Called: called, Number: number, State: feed.Ended, Started: started, Status: 200, Outcome: "answered",
		Story: []feed.Step{{At: started, Rule: "ring.devices", Number: number}},
	}
}

func calls(t *testing.T, fresh func(*testing.T) Parts) {
	t.Helper()
	t.Run("records", func(t *testing.T) { t.Parallel(); records(t, fresh(t)) })
	t.Run("a record comes once", func(t *testing.T) {
		t.Parallel()
		p := fresh(t)
		c := Call(p.Calls, "1001", "1002", "1002", time.Now())
		for range 3 {
			if err := p.Store.SaveRecords(t.Context(), []*feed.Call{c, c}); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []feed.Filter{{}, {Numbers: []string{"1002"}}} {
			if calls, _, err := p.Store.Records(t.Context(), Domain, f); err != nil || len(calls) != 1 {
				t.Errorf("Records(%v) = %v, %v, want one", f, calls, err)
			}
		}
	})
}

func records(t *testing.T, p Parts) {
	t.Helper()
	start := time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)
	var ids []string
	for _, c := range []*feed.Call{
		Call(p.Calls, "1001", "1002", "1002", start),
		Call(p.Calls, "1003", "1002", "1004", start.Add(time.Minute)),
		Call(p.Calls, "1002", "1001", "", start.Add(2*time.Minute)),
		Call(p.Calls, "1001", "1001", "1001", start.Add(3*time.Minute)),
	} {
		ids = append(ids, c.ID)
		if err := p.Calls.Ended(c); err != nil {
			t.Fatal(err)
		}
	}
	foreign := Call(p.Calls, "1001", "1002", "1002", start)
	foreign.Domain = "b.test"
	if err := p.Calls.Ended(foreign); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		f    feed.Filter
		want []int
	}{
		{"all", feed.Filter{}, []int{3, 2, 1, 0}},
		{"paged", feed.Filter{Limit: 1}, []int{3, 2, 1, 0}},
		{"a number", feed.Filter{Numbers: []string{"1002"}}, []int{2, 1, 0}},
		{"a number, paged", feed.Filter{Numbers: []string{"1002"}, Limit: 2}, []int{2, 1, 0}},
		{"two numbers", feed.Filter{Numbers: []string{"1003", "1001"}}, []int{3, 2, 1, 0}},
		{"a number that rang", feed.Filter{Numbers: []string{"1004"}}, []int{1}},
		{"no such number", feed.Filter{Numbers: []string{"1009"}}, nil},
		{"from", feed.Filter{From: start.Add(time.Minute)}, []int{3, 2, 1}},
		{"from and to", feed.Filter{From: start.Add(time.Minute), To: start.Add(2 * time.Minute)}, []int{1}},
		{"a number in a time", feed.Filter{Numbers: []string{"1002"}, To: start.Add(time.Minute)}, []int{0}},
	} {
		var got, want []string
		for _, i := range tt.want {
			want = append(want, ids[i])
		}
		for {
			calls, next, err := p.Store.Records(t.Context(), Domain, tt.f)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range calls {
				got = append(got, c.ID)
			}
			if tt.f.Cursor = next; next == "" {
				break
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: Records = %v, want %v", tt.name, got, want)
		}
	}
	c, err := p.Store.Record(t.Context(), Domain, ids[1])
	if err != nil || c.Number != "1004" || len(c.Story) != 1 || c.Story[0].Rule != "ring.devices" || !c.Started.Equal(start.Add(time.Minute)) {
		t.Errorf("Record = %+v, %v", c, err)
	}
	for _, id := range []string{foreign.ID, "nothing", p.Calls.NewID(start)} {
		if _, err := p.Store.Record(t.Context(), Domain, id); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("Record(%s) = %v, want %v", id, err, directory.ErrNotFound)
		}
	}
}
