package record_test

import (
	"encoding/json"
	"math"
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
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("json") == "-" {
			continue
		}
		switch p := v.Field(i).Addr().Interface().(type) {
		case *string:
			*p = v.Type().Field(i).Name + " \"ä\\\x01\n\u2028"
		case *int:
			*p = 486
		case *time.Time:
			*p = at.Add(time.Duration(i) * time.Second)
		case *feed.CallState:
			*p = feed.Ended
		default:
			t.Fatalf("feed.Call.%s has a type that records do not know: %T", v.Type().Field(i).Name, p)
		}
	}
	c.Story = []feed.Step{{At: at, Rule: "forward.all", Number: "1001", To: "1002", Setting: "s", Value: "v"}, {At: at, Rule: "r"}}
	return c
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
	x := record.Index{}
	x.Add(7, &feed.Call{Domain: "a.test", Caller: "1001", Called: "1002", Number: "1003"})
	x.Add(3, &feed.Call{Domain: "a.test", Caller: "1001", Called: "1001", Number: "1001"})
	x.Add(math.MaxInt64, &feed.Call{Domain: "b.test", Caller: "1001", Called: "+49"})
	x.Add(7, &feed.Call{Domain: "a.test", Caller: "1001"})
	want := record.Index{
		{Domain: "a.test", Number: "1001"}: {3, 7},
		{Domain: "a.test", Number: "1002"}: {7},
		{Domain: "a.test", Number: "1003"}: {7},
		{Domain: "b.test", Number: "1001"}: {math.MaxInt64},
		{Domain: "b.test", Number: "+49"}:  {math.MaxInt64},
	}
	got, err := record.DecodeIndex(record.AppendIndex(nil, x))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("DecodeIndex(AppendIndex(x)) = %v (-want +got):\n%s", err, diff)
	}
}

func FuzzIndex(f *testing.F) {
	x := record.Index{}
	x.Add(7, &feed.Call{Domain: "a.test", Caller: "1001", Called: "1002", Number: "1003"})
	f.Add(record.AppendIndex(nil, x))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := record.DecodeIndex(b)
		if err != nil {
			return
		}
		if _, err := record.DecodeIndex(record.AppendIndex(nil, x)); err != nil {
			t.Error(err)
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
