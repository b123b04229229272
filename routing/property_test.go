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
	"bellhop/routing/dial"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
	"bellhop/routing/ring"
)

const townsize = 8

func ext(i int) string { return fmt.Sprint(1000 + i) }

// drawTown draws numbers whose settings lead anywhere, loops and other networks
// included, with users who are away, take calls elsewhere or do not want to be
// disturbed, classes that allow this and that, and phones here and there.
func drawTown(t *rapid.T) *town {
	x := emptyTown()
	ws := []directory.Write{
		doc("domains/"+domain, `{"realm":"r","region":"DE"}`),
		doc("classes/out", `{"rules":[{"allow":"internal"},{"deny":"+49171999"},{"allow":"mobile"}]}`),
		doc("classes/in", `{"rules":[{"allow":"internal"}]}`),
		doc("trunks/carrier", `{"proof":"address","peers":["192.0.2.9"],"routes":[{"prefix":"+"}],"max_calls":3}`),
	}
	target := rapid.SampledFrom([]string{
		"1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1999", "voicemail", "+49171123456", "+49171999", "sip:u1002@" + domain,
	})
	phone := target.Filter(func(s string) bool { return s != "voicemail" })
	for i := range townsize {
		n, user := ext(i), "u"+ext(i)
		sometimes := func(what string) bool { return rapid.IntRange(0, 4).Draw(t, n+what) == 0 }
		number := fmt.Sprintf(`{"user":%q,"forwarding_class":%q,"class_of_service":%q`, user,
			rapid.SampledFrom([]string{"out", "in"}).Draw(t, n+"forwarding class"), rapid.SampledFrom([]string{"out", "in"}).Draw(t, n+"class"))
		if sometimes("own ring time") {
			number += `,"ring_time":"PT10S"`
		}
		ws = append(ws, doc("numbers/"+n, number+"}"), doc("users/"+user, `{}`))
		body := "{"
		for _, kind := range []string{"all", "busy", "no_answer", "unreachable"} {
			if rapid.Bool().Draw(t, n+kind) {
				body += fmt.Sprintf(`%q:{"both":{"enabled":true,"target":%q}},`, kind, target.Draw(t, n+kind+"to"))
			}
		}
		ws = append(ws, doc("numbers/"+n+"/forwarding", body[:max(1, len(body)-1)]+"}"))
		if sometimes("away") {
			ws = append(ws, doc("users/"+user+"/presence", `{"status":"lunch"}`),
				doc("users/"+user+"/presence/forwarding", `{"lunch":{"target":"`+target.Draw(t, n+"lunch")+`"}}`))
		}
		if sometimes("dnd") {
			ws = append(ws, doc("users/"+user+"/dnd", fmt.Sprintf(`{"enabled":true,"mode":"reject","remote_destinations":%v}`, sometimes("remotes though dnd"))))
		}
		if sometimes("callme") {
			ws = append(ws, doc("users/"+user+"/callme", `{"target":"`+phone.Draw(t, n+"phone to call")+`"}`))
		}
		for id := range rapid.IntRange(0, 2).Draw(t, n+"remotes") {
			ws = append(ws, doc(fmt.Sprintf("users/%s/remote-destinations/r%d", user, id),
				fmt.Sprintf(`{"number":%q,"no_forward":%v}`, phone.Draw(t, n+"remote"), rapid.Bool().Draw(t, n+"alone"))))
		}
		if rapid.Bool().Draw(t, n+"phone") {
			x.bindings[n] = []ring.Target{{Device: "desk-" + n, Instance: n, Contact: "sip:" + n, Q: 1000}}
		}
		x.calls[n] = rapid.IntRange(0, 2).Draw(t, n+"calls")
		x.usage[n] = routing.Usage{Forwarded: rapid.IntRange(0, 4).Draw(t, n+"forwarded")}
	}
	x.usage["trunk:carrier"] = routing.Usage{External: rapid.IntRange(0, 3).Draw(t, "on the trunk")}
	x.view = directory.Assume(nil, ws)
	return x
}

// anyCall draws a call from one of the town's phones or from a trunk.
func anyCall(t *rapid.T) routing.Visit {
	called := rapid.SampledFrom([]string{"1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "+49171123456", "+49171999"}).Draw(t, "called")
	v := from(ext(rapid.IntRange(0, townsize-1).Draw(t, "caller")), called)
	if rapid.Bool().Draw(t, "from a trunk") {
		v.Origin, v.Trunk, v.Caller = routing.OriginTrunk, "carrier", routing.Caller{Number: "+4930555"}
		if rapid.Bool().Draw(t, "diverted") {
			v.Diverted = []string{"1000"}
		}
	}
	return v
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

// TestEveryCallEnds: whatever the settings, a call ends, no phone rings twice in
// it, and no mobile twice in one set.
func TestEveryCallEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		e, err := explain.Explain(explain.Question{Visit: anyCall(t), At: noon, Viewer: explain.Viewer{Admin: true}}, x.load)
		if err != nil {
			t.Fatal(err)
		}
		if e.End.Status == 0 {
			t.Fatalf("the call has no end:\n%s", render(e))
		}
		var rung []string
		for _, s := range e.Timeline {
			for _, phone := range s.To {
				if slices.Contains(rung, phone) {
					t.Fatalf("%s rings twice:\n%s", phone, render(e))
				}
				rung = append(rung, phone)
			}
		}
	})
}

// TestNothingLeaves: no call leaves by a trunk that the class of its caller, or
// the forwarding class of the number whose setting sends it out, does not allow,
// nor one from a trunk without such a setting, nor over a trunk that is full.
func TestNothingLeaves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, v := drawTown(t), anyCall(t)
		for range 20 { // as far as nobody answers
			w := routing.NewWorld(noon)
			plan, trace, err := routing.Resolve(w, v, x.load)
			if err != nil {
				t.Fatal(err)
			}
			r, ok := plan.Decision.(routing.Ring)
			if !ok {
				return
			}
			for _, target := range r.Stages[0].Targets {
				if target.Trunk == "" {
					continue
				}
				if plan.Anchored == "" || target.Identity == nil {
					t.Fatalf("leaves anchored by %q, shown %+v", plan.Anchored, target.Identity)
				}
				if x.usage["trunk:carrier"].External >= 3 {
					t.Fatalf("leaves by a full trunk: %+v", trace)
				}
				class, to := allowing(w, v, plan, trace, target)
				if !class.Allows(dial.Mobile, to) {
					t.Fatalf("leaves to %s without right: %+v", to, trace)
				}
			}
			next := r.Outcomes.NoAnswer
			if next == nil {
				next = r.Outcomes.Unreachable
			}
			if next == nil {
				break
			}
			v = *next
		}
	})
}

// allowing is the class by which a target of a plan may leave, and where to.
func allowing(w *routing.World, v routing.Visit, plan routing.Plan, trace routing.Trace, target ring.Target) (dial.Class, string) {
	by := func(number string) dial.Class {
		if l := w.Number(domain, number); l != nil {
			return l.ForwardingClass
		}
		return dial.Class{{Pattern: "*"}} // denies all
	}
	switch n := len(plan.Hops); {
	case target.Remote != "":
		for _, e := range trace { // whose setting first named it
			if e.To == target.Contact && e.Rule != routing.DialTrunk {
				return by(e.Number), target.Contact
			}
		}
		return by(""), target.Contact
	case n > 0:
		return by(plan.Hops[n-1].Number), target.Contact
	case v.Origin == routing.OriginDevice:
		return w.Number(domain, v.Caller.Number).Class, target.Contact
	default:
		return dial.Class{{Pattern: "*"}}, target.Contact // nobody's setting
	}
}

// TestRedirectsEnd: phones that send every call on do not keep it for ever, and
// never send it where the class of their number does not lead.
func TestRedirectsEnd(t *testing.T) {
	t.Parallel()
	contact := rapid.SampledFrom([]string{
		"sip:1000@" + domain, "sip:1001@" + domain + ":5060", "sips:u1002@" + domain + ";transport=tls", "tel:+49171123456", "tel:+49171999",
		"sip:+49171999@" + domain, "sip:1003@192.0.2.7", "sip:", "http://x", "",
	})
	rapid.Check(t, func(t *rapid.T) {
		x, v := drawTown(t), anyCall(t)
		for range 15 {
			plan, _, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
			if err != nil {
				t.Fatal(err)
			}
			r, ok := plan.Decision.(routing.Ring)
			if !ok || r.Redirect == nil {
				return
			}
			if slices.ContainsFunc(r.Stages[0].Targets, func(t ring.Target) bool { return t.Contact == "+49171999" }) {
				t.Fatalf("leaves to +49171999 by %+v", plan.Hops)
			}
			v = *r.Redirected(contact.Draw(t, "contact"))
		}
		t.Fatalf("the call goes on after %d hops", len(v.Hops))
	})
}

// TestExplainIsDecide: what is explained first is what a live call does first.
func TestExplainIsDecide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		v := anyCall(t)
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
			if s := e.Timeline[0]; s.Do != "ring" || s.Target != d.Number && d.Stages[0].Targets[0].Remote == "" {
				t.Fatalf("explained %+v, decided %+v", s, d)
			}
		case routing.Reject:
			if s := e.Timeline[0]; s.Do != "reject" || s.Status != d.Status {
				t.Fatalf("explained %+v, decided %+v", s, d)
			}
		case routing.Act:
			if s := e.Timeline[0]; s.Do != "act" || s.Target != d.Feature.String() {
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
