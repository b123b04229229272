package location_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/routing/location"
)

// apply applies registers that must be right.
func apply(tb testing.TB, rs ...location.Register) location.Bindings {
	tb.Helper()
	var bs location.Bindings
	for i, r := range rs {
		next, _, err := bs.Apply(r, t0.Add(time.Duration(i)*time.Second))
		if err != nil {
			tb.Fatalf("register %d: %v", i, err)
		}
		bs = next
	}
	return bs
}

func contacts(bs location.Bindings) []string {
	var out []string
	for _, b := range bs {
		out = append(out, b.Contact)
	}
	return out
}

func TestTargetSet(t *testing.T) {
	t.Parallel()
	bs := apply(t,
		reg(1, location.Contact{URI: "sip:low", Q: 100}, location.Contact{URI: "sip:brief", Q: 1000, Expires: location.In(60)}),
		reg(2, location.Contact{URI: "sip:old", Q: 700}),
		reg(3, location.Contact{URI: "sip:new", Q: 700}),
	)
	if diff := cmp.Diff([]string{"sip:brief", "sip:new", "sip:old", "sip:low"}, contacts(bs.TargetSet(t0))); diff != "" {
		t.Errorf("TargetSet (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"sip:new", "sip:old", "sip:low"}, contacts(bs.TargetSet(t0.Add(2*time.Minute)))); diff != "" {
		t.Errorf("TargetSet two minutes later (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"sip:low", "sip:brief", "sip:old", "sip:new"}, contacts(bs)); diff != "" {
		t.Errorf("TargetSet changed its receiver (-want +got):\n%s", diff)
	}
}

func TestDoubt(t *testing.T) {
	t.Parallel()
	bs := apply(t, reg(1, at(desk)), with(reg(1, at(soft)), func(r *location.Register) { r.Flow, r.CallID = flow(2), "b" }))
	doubted, changed := bs.Doubt(flow(2))
	if !changed || doubted[0].Doubtful || !doubted[1].Doubtful || bs[1].Doubtful {
		t.Fatalf("Doubt = %v, %t", doubted, changed)
	}
	if _, changed := doubted.Doubt(flow(2)); changed {
		t.Error("Doubt twice reports a change")
	}
	if _, changed := doubted.Heard(flow(1), t0); changed {
		t.Error("Heard reports a change of a flow without doubt")
	}
	heard, changed := doubted.Heard(flow(2), t0.Add(time.Minute))
	if !changed || heard[1].Doubtful || !heard[1].Seen.Equal(t0.Add(time.Minute)) || !doubted[1].Doubtful {
		t.Errorf("Heard = %v, %t", heard, changed)
	}
	again, _, err := doubted.Apply(with(reg(2, at(soft)), func(r *location.Register) { r.Flow, r.CallID = flow(2), "b" }), t0)
	if err != nil || again[1].Doubtful {
		t.Errorf("REGISTER leaves the doubt: %v, %v", again, err)
	}
	tcp := flow(3)
	tcp.Transport, tcp.Conn = location.TCP, 7
	bs = apply(t, with(reg(1, at(desk)), func(r *location.Register) { r.Flow = tcp }))
	if _, changed := bs.Doubt(tcp); changed {
		t.Error("a connection was doubted")
	}
	rest, changes := bs.RemoveFlow(tcp)
	if len(rest) != 0 || len(changes) != 1 || changes[0].What != location.Removed || changes[0].Binding().Contact != desk {
		t.Errorf("RemoveFlow = %v, %v", rest, changes)
	}
}

func TestClamp(t *testing.T) {
	t.Parallel()
	bs := apply(t, reg(1, at(desk)))
	if got := bs.Clamp(t0.Add(time.Minute)); !got[0].Expires.Equal(t0.Add(time.Hour)) {
		t.Errorf("Clamp moved a deadline that is right to %v", got[0].Expires)
	}
	// The clock was set back by a day while the daemon was away.
	if got := bs.Clamp(t0.Add(-24 * time.Hour)); !got[0].Expires.Equal(t0.Add(-23 * time.Hour)) {
		t.Errorf("Clamp = %v", got[0].Expires)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	bs := apply(t, reg(1, at(desk), at(desk+";transport=tcp"), at("sip:[2001:DB8:0::1]")))
	for uri, want := range map[string]string{
		desk:                         desk,
		desk + ";transport=TCP":      desk + ";transport=tcp",
		desk + ";ob":                 desk,
		"sip:[2001:db8::1]":          "sip:[2001:DB8:0::1]",
		"sip:1002@192.0.2.1:5060":    "",
		"sip:1001@192.0.2.1":         "",
		"sips:1001@192.0.2.1:5060":   "",
		desk + ";transport=sctp;foo": "",
	} {
		if got, ok := bs.Find(uri); got.Contact != want || ok != (want != "") {
			t.Errorf("Find(%s) = %q, %t, want %q", uri, got.Contact, ok, want)
		}
	}
}

func TestPackSize(t *testing.T) {
	t.Parallel()
	if got := (location.Bindings{}).Pack(); got != "" {
		t.Errorf("Pack of nothing = %q", got)
	}
	usual := apply(t, reg(1, inst(desk, "<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>", 1)))
	if n := len(usual.Pack()); n > 200 {
		t.Errorf("a usual binding takes %d bytes", n)
	}
	r := reg(1<<32-1, inst("sip:"+strings.Repeat("c", 200), strings.Repeat("i", 100), 1<<31))
	r.CallID, r.UserAgent, r.CSeq = strings.Repeat("d", 96), strings.Repeat("u", 400), 1<<32-1
	r.Path = []string{strings.Repeat("p", 40)}
	r.Flow.Conn = 1<<64 - 1
	for len(r.CallID) < 400 {
		bs, _, err := location.Bindings{}.Apply(r, t0)
		if err != nil {
			break // ErrTooLong
		}
		if n := len(bs.Pack()); n > 600 {
			t.Fatalf("a binding takes %d bytes", n)
		}
		r.CallID += "d"
	}
	if len(r.CallID) == 400 {
		t.Error("a REGISTER of any length is accepted")
	}
}

func FuzzUnpack(f *testing.F) {
	bs := apply(f, reg(1, inst(desk, "<urn:uuid:1>", 2), at(soft)),
		with(reg(1, location.Contact{URI: "sip:[2001:db8::2]", Q: 300}), func(r *location.Register) {
			r.Flow = location.Flow{Transport: location.WSS, Conn: 12}
			r.Path = []string{"<sip:node.example.org;lr>", "<sip:other.example.org;lr>"}
		}))
	bs, _ = bs.Doubt(flow(1))
	f.Add(bs.Pack())
	f.Add("")
	f.Add("\x02")
	f.Add("\x01\xff\xff\xff\xff\x0f")
	f.Fuzz(func(t *testing.T, s string) {
		bs, err := location.Unpack(s)
		if err != nil {
			return
		}
		again, err := location.Unpack(bs.Pack())
		if err != nil {
			t.Fatalf("Unpack(Pack) = %v", err)
		}
		if diff := cmp.Diff(bs, again, cmp.Comparer(flowEqual)); diff != "" && len(bs) > 0 {
			t.Errorf("Unpack(Pack) differs:\n%s", diff)
		}
	})
}

func BenchmarkUnpackTargetSet(b *testing.B) {
	packed := apply(b, reg(1, inst(desk, "<urn:uuid:1>", 1), at(soft))).Pack()
	b.ReportAllocs()
	for b.Loop() {
		bs, err := location.Unpack(packed)
		if err != nil {
			b.Fatal(err)
		}
		bs.TargetSet(t0)
	}
}

func BenchmarkApplyRefresh(b *testing.B) {
	bs := apply(b, reg(1, inst(desk, "<urn:uuid:1>", 1)))
	r := reg(2, inst(desk, "<urn:uuid:1>", 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := bs.Apply(r, t0); err != nil {
			b.Fatal(err)
		}
	}
}

// TestUnpackAllocs is not parallel: AllocsPerRun must not run beside others.
func TestUnpackAllocs(t *testing.T) { //nolint:paralleltest // AllocsPerRun must not run beside others
	packed := apply(t, reg(1, inst(desk, "<urn:uuid:1>", 1), at(soft))).Pack()
	if n := testing.AllocsPerRun(100, func() { _, _ = location.Unpack(packed) }); n > 1 {
		t.Errorf("Unpack allocates %v times", n)
	}
}
