package record_test

import (
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
	"bellhop/store/record"
)

// full returns a call with every field set that its JSON form has, so that a
// field somebody adds and forgets here fails the test.
func full(t *testing.T) *feed.Call {
	t.Helper()
	c := new(feed.Call)
	at := time.Date(2026, 11, 3, 10, 0, 0, 123456000, time.UTC)
	fill(t, reflect.ValueOf(c).Elem(), at)
	c.Story = []feed.Step{{At: at, Rule: "forward.all", Number: "1001", To: "1002", Setting: "s", Value: "v", Level: feed.ForOwner, Owner: "ana"}, {At: at, Rule: "r", Level: feed.ForAdmin}}
	c.Legs = make([]feed.Leg, 2)
	fill(t, reflect.ValueOf(&c.Legs[0]).Elem(), at)
	return c
}

// fill sets every field that has a JSON form.
func fill(t *testing.T, v reflect.Value, at time.Time) {
	t.Helper()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("json") == "-" {
			continue
		}
		switch p := v.Field(i).Addr().Interface().(type) {
		case *string:
			*p = v.Type().Field(i).Name + " \"ä\\\x01\n\u2028"
		case *bool:
			*p = true
		case *[]string:
			*p = []string{"1001", "\"1"}
		case *int:
			*p = 486
		case *time.Time:
			*p = at.Add(time.Duration(i) * time.Second)
		case *feed.CallState:
			*p = feed.Ended
		default:
			t.Fatalf("%s.%s has a type that records do not know: %T", v.Type(), v.Type().Field(i).Name, p)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		call *feed.Call
	}{
		{"every field", full(t)},
		{"no field", &feed.Call{}},
		{"no story", &feed.Call{ID: "1", Outcome: "busy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := record.AppendJSON(nil, tt.call)
			got, err := record.Decode(b)
			if err != nil {
				t.Fatalf("Decode(%s): %v", b, err)
			}
			if diff := cmp.Diff(tt.call, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
				cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".CallerAddr" || p.Last().String() == ".CalleeAddr" }, cmp.Ignore())); diff != "" {
				t.Errorf("Decode(AppendJSON(c)) (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWithoutStory takes the story away and nothing else.
func TestWithoutStory(t *testing.T) {
	t.Parallel()
	c := full(t)
	b, had, err := record.WithoutStory(record.AppendJSON(nil, c))
	if err != nil || !had {
		t.Fatalf("WithoutStory = %v, %v", had, err)
	}
	want, err := record.Decode(record.AppendJSON(nil, c))
	if err != nil {
		t.Fatal(err)
	}
	want.Story = nil
	got, err := record.Decode(b)
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" || err != nil {
		t.Errorf("WithoutStory = %v (-want +got):\n%s", err, diff)
	}
	if same, had, err := record.WithoutStory(b); err != nil || had || string(same) != string(b) {
		t.Errorf("WithoutStory again = %s, %v, %v", same, had, err)
	}
	if _, _, err := record.WithoutStory([]byte("[1]")); err == nil {
		t.Error("no record, no error")
	}
}

func FuzzString(f *testing.F) {
	f.Add("a\"\\\x00\xff\u2028é")
	f.Fuzz(func(t *testing.T, s string) {
		b := record.AppendJSON(nil, &feed.Call{CallID: s})
		got, err := record.Decode(b)
		if err != nil {
			t.Fatalf("Decode(%q): %v", b, err)
		}
		var want string
		std, _ := json.Marshal(s)
		if err := json.Unmarshal(std, &want); err != nil || got.CallID != want {
			t.Errorf("call_id = %q, want %q", got.CallID, want)
		}
	})
}

func TestIndex(t *testing.T) {
	t.Parallel()
	var b record.Batch
	b.Add(7, &feed.Call{Domain: "a.test", Caller: "1001", Called: "1002", Number: "1003"})
	b.Add(3, &feed.Call{Domain: "a.test", Caller: "1001", Called: "1001", Number: "1001"})
	b.Add(math.MaxInt64, &feed.Call{Domain: "b.test", Caller: "1001", Called: "+49"})
	b.Add(7, &feed.Call{Domain: "a.test", Caller: "1001"})
	run := record.NewRun()
	if err := run.Add(b.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Add(5, &feed.Call{Domain: "a.test", Caller: "1001"})
	if err := run.Add(b.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	got := make(map[record.Party][]int64)
	for _, p := range run.Parties() {
		ids, err := record.DecodeIDs(nil, run.AppendIDs(nil, p))
		if err != nil {
			t.Fatal(err)
		}
		got[p] = ids
	}
	want := map[record.Party][]int64{
		{Domain: "a.test", Number: "1001"}: {3, 5, 7},
		{Domain: "a.test", Number: "1002"}: {7},
		{Domain: "a.test", Number: "1003"}: {7},
		{Domain: "b.test", Number: "1001"}: {math.MaxInt64},
		{Domain: "b.test", Number: "+49"}:  {math.MaxInt64},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run (-want +got):\n%s", diff)
	}
	if low, high := run.Span(); low != 3 || high != math.MaxInt64 {
		t.Errorf("Span = %d, %d", low, high)
	}
}

func FuzzIndex(f *testing.F) {
	var b record.Batch
	b.Add(7, &feed.Call{Domain: "a.test", Caller: "1001", Called: "1002", Number: "1003"})
	f.Add(b.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		run := record.NewRun()
		if run.Add(b) != nil {
			return
		}
		for _, p := range run.Parties() {
			if _, err := record.DecodeIDs(nil, run.AppendIDs(nil, p)); err != nil {
				t.Error(err)
			}
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	now := time.Now().UTC()
	c := &feed.Call{
		ID: "01j8x3k9q2m4n", Domain: "bellhop.test", CallID: "3848276298220188511@phone.example", CallerTag: "9fxced76sl",
		CalleeTag: "314159", Caller: "1001", CallerDev: "desk-1001", Called: "1002", Number: "1002", Device: "desk-1002",
		State: feed.Ended, Started: now, AnsweredAt: now, EndedAt: now, Status: 200, Outcome: "answered", Rule: "ring.devices",
		Story: []feed.Step{{At: now, Rule: "dial.number", Number: "1002"}, {At: now, Rule: "ring.devices", Number: "1002"}},
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = record.AppendJSON(buf[:0], c)
	}
}
