package journal_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bellhop/feed"
	"bellhop/store/journal"
)

// full returns a call with every field set, found by reflection, so that a
// field somebody adds to it and forgets here fails the test.
func full(t testing.TB, id string) *feed.Call {
	t.Helper()
	c := new(feed.Call)
	fill(t, reflect.ValueOf(c).Elem())
	c.ID = id
	c.Deadline = time.Now().Add(time.Minute).Truncate(time.Microsecond).UTC()
	return c
}

func fill(t testing.TB, v reflect.Value) {
	t.Helper()
	at := time.Date(2026, 11, 3, 10, 0, 0, 1000, time.UTC)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch p := v.Field(i).Addr().Interface().(type) {
		case *string:
			*p = name + "-ä\x00"
		case *[]string:
			*p = []string{name, "", name + "2"}
		case *int:
			*p = 486
		case *bool:
			*p = true
		case *uint8:
			*p = 3
		case *uint32:
			*p = 4294967295
		case *uint64:
			*p = 18446744073709551615
		case *time.Duration:
			*p = 30 * time.Minute
		case *time.Time:
			*p = at.Add(time.Duration(i) * time.Second)
		case *feed.CallState:
			*p = feed.Talking
		case *netip.AddrPort:
			*p = netip.MustParseAddrPort("[2001:db8::1]:5060")
		case *[]feed.Step:
			*p = []feed.Step{{At: at, Rule: "forward.all", Number: "1001", To: "1002", Setting: "s", Value: "v", Level: feed.ForOwner, Owner: "ana"}, {At: at}}
		case *[]feed.Leg:
			*p = make([]feed.Leg, 3)
			for j := range 2 {
				fill(t, reflect.ValueOf(&(*p)[j]).Elem())
			}
			(*p)[1].Dialog = nil
		case **feed.Dialog:
			*p = new(feed.Dialog)
			fill(t, reflect.ValueOf(*p).Elem())
		default:
			t.Fatalf("%s.%s has a type the journal does not know: %T", v.Type(), name, p)
		}
	}
}

// Journals of older formats are read: calls of 1 have no legs, stories up to 2 do
// not say who may read them, legs up to 3 not who sent them out, and dialogs up to 4
// not where their ends are at home; none up to 5 is an emergency call.
func TestOlderFormats(t *testing.T) {
	t.Parallel()
	want := full(t, "0123456789abc")
	want.Emergency = nil
	got, err := journal.DecodeCall5(journal.EncodeCall5(want))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("call of format 5: %v (-want +got):\n%s", err, diff)
	}
	for i := range want.Legs {
		if d := want.Legs[i].Dialog; d != nil {
			d.Home = ""
		}
	}
	got, err = journal.DecodeCall4(journal.EncodeCall4(want))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("call of format 4: %v (-want +got):\n%s", err, diff)
	}
	for i := range want.Legs {
		want.Legs[i].By, want.Legs[i].Kind = "", ""
	}
	got, err = journal.DecodeCall3(journal.EncodeCall3(want))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("call of format 3: %v (-want +got):\n%s", err, diff)
	}
	for i := range want.Story {
		want.Story[i].Level, want.Story[i].Owner = feed.NoLevel, ""
	}
	got, err = journal.DecodeCall2(journal.EncodeCall2(want))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("call of format 2: %v (-want +got):\n%s", err, diff)
	}
	want.Anchored, want.Legs = "", nil
	got, err = journal.DecodeCall1(journal.EncodeCall1(want))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("call of format 1: %v (-want +got):\n%s", err, diff)
	}
}

func TestEveryFieldIsJournaled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, journal.Options{Dir: dir})
	want := full(t, j.NewID(time.Now()))
	if err := j.Answered(want); err != nil {
		t.Fatal(err)
	}
	k := open(t, journal.Options{Dir: dir})
	got, ok := k.ByID(want.ID)
	if !ok {
		t.Fatal("the call is not there after replay")
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("replayed call (-want +got):\n%s", diff)
	}
}

func FuzzReplay(f *testing.F) {
	dir := f.TempDir()
	j := open(f, journal.Options{Dir: dir})
	c := full(f, j.NewID(time.Now()))
	c.CallerAddr = netip.MustParseAddrPort("192.0.2.1:5060")
	if err := j.Answered(c); err != nil {
		f.Fatal(err)
	}
	if err := j.Ended(c); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(filepath.Join(dir, "0000000000000000.calls"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("BHJOURN\x01"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0000000000000000.calls"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := journal.New(journal.Options{Dir: dir, Sink: new(sink)})
		if err != nil {
			return
		}
		defer j.Close()
		for _, c := range j.Live("") {
			if err := j.Ended(c); err != nil {
				t.Errorf("Ended of a replayed call: %v", err)
			}
		}
		if err := j.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzCall takes what decodes through an encoding and back.
func FuzzCall(f *testing.F) {
	f.Add(journal.EncodeCall(full(f, "0123456789abc")))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := journal.DecodeCall(b)
		if err != nil {
			return
		}
		again, err := journal.DecodeCall(journal.EncodeCall(c))
		if len(c.Story) > 64 || len(c.Legs) > 64 {
			return
		}
		for i := range c.Legs {
			if d := c.Legs[i].Dialog; d != nil && (len(d.Routes) > 32 || len(d.Vias) > 32) {
				return
			}
		}
		if diff := cmp.Diff(c, again, cmpopts.EquateComparable(netip.AddrPort{})); err != nil || diff != "" {
			t.Errorf("decode(encode(c)) = %v (-want +got):\n%s", err, diff)
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	var g journal.IDs
	now := time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)
	last := ""
	for i := range 10_000 {
		id := g.Next(now.Add(-time.Duration(i/2000) * time.Hour)) // the clock goes back
		if id <= last || len(id) > 26 {
			t.Fatalf("Next = %q after %q, want it greater", id, last)
		}
		n, ok := journal.ParseID(id)
		if !ok || journal.FormatID(n) != id {
			t.Fatalf("FormatID(ParseID(%q)) = %q, %v", id, journal.FormatID(n), ok)
		}
		last = id
	}
	first := g.Next(now.Add(time.Minute))
	if n, _ := journal.ParseID(first); n < journal.FloorID(now.Add(time.Minute)) || n >= journal.FloorID(now.Add(time.Minute+time.Millisecond)) {
		t.Errorf("id %s is not within its millisecond", first)
	}
	for _, s := range []string{"", "0", strings.Repeat("z", 13), "0123456789ab!", strings.Repeat("0", 14)} {
		if _, ok := journal.ParseID(s); ok {
			t.Errorf("ParseID(%q) = true", s)
		}
	}
}

// An anchored call with a leg through a carrier's proxies takes at most 2 KB
// (trust.md §3).
func TestAnchoredCallIsSmall(t *testing.T) {
	t.Parallel()
	at := time.Now()
	dialog := func() *feed.Dialog {
		route := "<sip:AQEBwCQQApg9OSVIr_u9bjY_9t8Hjko@sbc-17.pop-frankfurt.carrier.example:5060;lr;transport=udp>"
		return &feed.Dialog{
			CallID: "4R7OWFK6KBQLOXBTY2G6KXUKYM@carrier.example", LocalTag: "TJQH2J2H2WP2ULO6737BN6K4A6", RemoteTag: "gK0c1f2a9b-77ab3f",
			LocalURI: `"Reception" <sip:+498970071003@bellhop.test>`, RemoteURI: "<sip:+49171123456@sbc-17.pop-frankfurt.carrier.example>",
			Target: "sip:+49171123456@198.51.100.23:5060;transport=udp", Routes: []string{route, route}, LocalSeq: 1002, RemoteSeq: 102,
			Transport: 1, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("198.51.100.23:5060"), Interval: 30 * time.Minute, Refreshed: at,
		}
	}
	c := &feed.Call{
		ID: "01j8x3k9q2m4n", Domain: "bellhop.test", CallID: "4R7OWFK6KBQLOXBTY2G6KXUKYM@phone", CallerTag: "9fxced76sl", CalleeTag: "du17dIgPEg2c-2",
		Caller: "1001", CallerDev: "desk-1001", Called: "1002", Number: "1003", State: feed.Talking, Started: at, AnsweredAt: at, Status: 200,
		Outcome: "answered", Rule: "dial.trunk", Deadline: at, Anchored: "forward.no-answer",
	}
	for range 8 {
		c.Story = append(c.Story, feed.Step{At: at, Rule: "forward.no-answer", Number: "1002", To: "1003", Setting: "numbers/1002/forwarding/no_answer", Value: "1003", Owner: "ana"})
	}
	for i := range 4 {
		c.Legs = append(c.Legs, feed.Leg{Number: "+49171123456", Trunk: "carrier", Identity: "+498970071003", State: feed.Talking, Started: at, AnsweredAt: at})
		if i == 0 || i == 3 {
			c.Legs[i].Dialog = dialog()
		}
	}
	if n := len(journal.EncodeCall(c)); n > 2048 {
		t.Errorf("the entry has %d bytes", n)
	} else {
		t.Logf("the entry has %d bytes", n)
	}
}

// What peers choose cannot make an entry long: it gives way in steps, and the call
// is there after a restart whatever happens.
func TestLongAnchoredCall(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1500)
	tests := []struct {
		name         string
		change       func(c *feed.Call)
		story, legs  int
		dialogs, sdp bool
	}{
		{"as it is", func(*feed.Call) {}, 1, 3, true, true},
		{"story", func(c *feed.Call) { c.Story[0].Value = long }, 0, 3, true, true},
		{"legs", func(c *feed.Call) { c.Legs[2].Number = long }, 0, 2, true, true},
		{"session description", func(c *feed.Call) { c.Legs[1].Dialog.SDP = long }, 0, 2, true, false},
		{"Contact", func(c *feed.Call) { c.Legs[1].Dialog.Target = long }, 0, 2, false, false},
		{"routes", func(c *feed.Call) { c.Legs[0].Dialog.Routes = []string{long, long} }, 0, 2, false, false},
		{"caller", func(c *feed.Call) { c.Legs[0].Number = long + long }, 0, 0, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := open(t, journal.Options{Dir: dir})
			at := time.Now()
			dialog := func() *feed.Dialog {
				return &feed.Dialog{CallID: strings.Repeat("c", 300), Target: "sip:1001@192.0.2.11", Refresher: true, SDPType: "application/sdp", SDP: "v=0"}
			}
			c := &feed.Call{
				ID: j.NewID(at), Domain: "bellhop.test", CallID: "c", CallerTag: "t", State: feed.Talking, Started: at, Deadline: at.Add(time.Hour), Anchored: "anchor.trunk",
				Story: []feed.Step{{At: at}}, Legs: []feed.Leg{{Caller: true, Dialog: dialog()}, {Number: "1002", Dialog: dialog()}, {Number: "1003"}},
			}
			tt.change(c)
			if err := j.Answered(c); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, "0000000000000000.calls"))
			if err != nil || info.Size() > 2048+64 {
				t.Errorf("%d bytes, %v", info.Size(), err)
			}
			if got, ok := j.ByID(c.ID); !ok || len(got.Story) != 1 || len(got.Legs) != 3 {
				t.Errorf("the call in memory is %+v", got)
			}
			got, ok := open(t, journal.Options{Dir: dir}).ByID(c.ID)
			if !ok || len(got.Story) != tt.story || len(got.Legs) != tt.legs {
				t.Fatalf("after a restart: %+v", got)
			}
			if len(got.Legs) == 0 {
				return
			}
			if d := got.Legs[0].Dialog; (d != nil) != tt.dialogs || d != nil && (d.SDP != "") != tt.sdp {
				t.Errorf("dialog %+v", d)
			}
		})
	}
}
