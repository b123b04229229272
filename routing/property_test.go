package routing_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
	"bellhop/routing/ring"
)

const townsize = 8

func ext(i int) string { return fmt.Sprint(1000 + i) }

// drawTown draws numbers whose forwards lead anywhere, loops included, with
// users who are away or do not want to be disturbed, and phones here and there.
func drawTown(t *rapid.T) *town {
	x := emptyTown()
	ws := []directory.Write{doc("domains/"+domain, `{"realm":"r"}`)}
	target := rapid.SampledFrom([]string{"1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1999", "voicemail", "+49171123456"})
	for i := range townsize {
		n, user := ext(i), "u"+ext(i)
		ws = append(ws, doc("numbers/"+n, `{"user":"`+user+`"}`), doc("users/"+user, `{}`))
		body := "{"
		for _, kind := range []string{"all", "busy", "no_answer", "unreachable"} {
			if rapid.Bool().Draw(t, n+kind) {
				body += fmt.Sprintf(`%q:{"both":{"enabled":true,"target":%q}},`, kind, target.Draw(t, n+kind+"to"))
			}
		}
		ws = append(ws, doc("numbers/"+n+"/forwarding", body[:max(1, len(body)-1)]+"}"))
		if rapid.IntRange(0, 4).Draw(t, n+"away") == 0 {
			ws = append(ws, doc("users/"+user+"/presence", `{"status":"lunch"}`),
				doc("users/"+user+"/presence/forwarding", `{"lunch":{"target":"`+target.Draw(t, n+"lunch")+`"}}`))
		}
		if rapid.IntRange(0, 4).Draw(t, n+"dnd") == 0 {
			ws = append(ws, doc("users/"+user+"/dnd", `{"enabled":true,"mode":"reject"}`))
		}
		if rapid.Bool().Draw(t, n+"phone") {
			x.bindings[n] = []ring.Target{{Device: "desk-" + n, Instance: n, Contact: "sip:" + n, Q: 1000}}
		}
		x.calls[n] = rapid.IntRange(0, 2).Draw(t, n+"calls")
	}
	x.view = directory.Assume(nil, ws)
	return x
}

func doc(path, body string) directory.Write {
	ref, ok := directory.ParsePath(domain, path)
	if !ok {
		panic(path)
	}
	if body == "{" {
		body = "{}"
	}
	return directory.Write{Ref: ref, Body: []byte(body)}
}

func from(caller, target string) routing.Visit {
	return routing.Visit{
		Origin: routing.OriginDevice, Method: "INVITE", Domain: domain, Target: target,
		Caller: routing.Caller{Domain: domain, Device: "desk-" + caller, Number: caller},
	}
}

// TestEveryCallEnds: whatever the forwards, a call ends, and no number rings
// twice in it.
func TestEveryCallEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		v := from(ext(rapid.IntRange(0, townsize-1).Draw(t, "caller")), ext(rapid.IntRange(0, townsize-1).Draw(t, "called")))
		e, err := explain.Explain(explain.Question{Visit: v, At: noon, Viewer: explain.Viewer{Admin: true}}, x.load)
		if err != nil {
			t.Fatal(err)
		}
		if e.End.Status == 0 {
			t.Fatalf("the call has no end:\n%s", render(e))
		}
		var rung []string
		for _, s := range e.Timeline {
			if s.Do != "ring" {
				continue
			}
			if slices.Contains(rung, s.Target) && s.Rule != routing.DialTrunk {
				t.Fatalf("%s rings twice:\n%s", s.Target, render(e))
			}
			rung = append(rung, s.Target)
		}
	})
}

// TestExplainIsDecide: what is explained first is what a live call does first.
func TestExplainIsDecide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		v := from("1000", ext(rapid.IntRange(0, townsize-1).Draw(t, "called")))
		plan, trace, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
		if err != nil {
			t.Fatal(err)
		}
		e, err := explain.Explain(explain.Question{Visit: v, At: noon, Viewer: explain.Viewer{Admin: true}}, x.load)
		if err != nil {
			t.Fatal(err)
		}
		if e.Anchored != plan.Anchored {
			t.Fatalf("explained as anchored %q, decided %q", e.Anchored, plan.Anchored)
		}
		switch d := plan.Decision.(type) {
		case routing.Ring:
			if s := e.Timeline[0]; s.Do != "ring" || s.Target != d.Number {
				t.Fatalf("explained %+v, decided %+v", s, d)
			}
		case routing.Reject:
			if s := e.Timeline[0]; s.Do != "reject" || s.Status != d.Status {
				t.Fatalf("explained %+v, decided %+v", s, d)
			}
		default:
			t.Fatalf("decision %T", d)
		}
		for i, entry := range trace {
			if e.Trace[i].Rule != entry.Rule || e.Trace[i].Number != entry.Number {
				t.Fatalf("explained step %d is %+v, decided %+v", i, e.Trace[i], entry)
			}
		}
	})
}

// TestOffAndOn: switching do not disturb on and off again leaves every call as
// it was, because nothing else was written.
func TestOffAndOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		v := from("1000", ext(rapid.IntRange(1, townsize-1).Draw(t, "called")))
		user := "u" + ext(rapid.IntRange(0, townsize-1).Draw(t, "user"))
		was, _, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
		if err != nil {
			t.Fatal(err)
		}
		on := toggled(t, x.view, user)
		x.view = toggled(t, on, user)
		is, _, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(was, is, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Fatalf("the call changed:\n%s", diff)
		}
	})
}

// toggled returns the view after the user pressed do not disturb.
func toggled(t *rapid.T, view directory.View, user string) directory.View {
	ref := directory.Ref{Domain: domain, Kind: directory.KindDND, Name: user}
	d := directory.DND{Mode: directory.DNDReject}
	if old, ok, _ := view.Get(ref); ok {
		var err error
		if d, err = directory.Parse[directory.DND](directory.KindDND, old.Body); err != nil {
			t.Fatal(err)
		}
	}
	d.Enabled = !d.Enabled
	body, err := directory.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	return directory.Assume(view, []directory.Write{{Ref: ref, Body: body}})
}

// TestEntryDoesNotMatter: where a chain of forward.all without a loop leads does
// not depend on where the call enters it.
func TestEntryDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.IntRange(2, 9).Draw(t, "length")
		x := emptyTown()
		ws := []directory.Write{doc("domains/"+domain, `{"realm":"r"}`), doc("numbers/1900", `{}`)}
		for i := range length {
			ws = append(ws, doc("numbers/"+ext(i), `{}`))
			if i < length-1 {
				ws = append(ws, doc("numbers/"+ext(i)+"/forwarding", `{"all":{"both":{"enabled":true,"target":"`+ext(i+1)+`"}}}`))
			}
		}
		x.view = directory.Assume(nil, ws)
		x.bindings[ext(length-1)] = []ring.Target{{Device: "d", Instance: "d", Contact: "sip:d"}}
		v := from("1900", ext(rapid.IntRange(0, length-1).Draw(t, "entry")))
		plan, _, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := plan.Decision.(routing.Ring); !ok || r.Number != ext(length-1) {
			t.Fatalf("decided %+v, want %s to ring", plan.Decision, ext(length-1))
		}
	})
}
