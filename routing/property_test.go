package routing_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"bellhop/routing"
	"bellhop/routing/dial"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
	"bellhop/routing/ring"
)

// TestEveryCallEnds: whatever the settings, a call ends in time, no phone rings
// twice in it, and no mobile twice in one set. A group may ring a phone that its
// overflow rings once more.
func TestEveryCallEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		e := explained(t, x, anyCall(t))
		if e.End.Status == 0 || time.Duration(e.End.At) > ring.ClockTime+ring.NextTime {
			t.Fatalf("the call has no end:\n%s", render(e))
		}
		most := 1
		if slices.ContainsFunc(e.Trace, func(e explain.Entry) bool { return e.Rule == routing.GroupMember }) {
			most = 2
		}
		rung := map[string]int{}
		for _, s := range e.Timeline {
			for _, phone := range s.To {
				if rung[phone]++; rung[phone] > most {
					t.Fatalf("%s rings %d times:\n%s", phone, rung[phone], render(e))
				}
			}
		}
	})
}

// explained explains a call at noon to an administrator.
func explained(t *rapid.T, x *town, v routing.Visit) explain.Explanation {
	e, err := explain.Explain(explain.Question{Visit: v, At: noon, Viewer: explain.Viewer{Admin: true}}, x.load)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestMembersAreTried: a group rings only members that want it, each for itself,
// and nothing but the overflow follows.
func TestMembersAreTried(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		v := to(t, rapid.SampledFrom([]string{"1008", "1009"}).Draw(t, "group"))
		w := routing.NewWorld(noon)
		plan, trace, err := routing.Resolve(w, v, x.load)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := plan.Decision.(routing.Ring)
		if !ok || r.Group == "" {
			return
		}
		hunt, internal := w.Number(domain, r.Number).Hunt, v.Origin == routing.OriginDevice
		if r.Redirect != nil || plan.Anchored == "" {
			t.Fatalf("anchored by %q, a redirect leads to %+v", plan.Anchored, r.Redirect)
		}
		if next := r.Outcomes.NoAnswer; next != r.Outcomes.Busy || next != r.Outcomes.Unreachable || next != nil && next.Hops[len(next.Hops)-1].To != hunt.Overflow.Target.Text {
			t.Fatalf("outcomes %+v", r.Outcomes)
		}
		members := r.Members()
		for _, number := range members {
			l := w.Number(domain, number)
			away, dnd := l.Presence.At(noon) != directory.StatusOffice, l.DND.Enabled && l.DND.Mode != directory.DNDRingerOff && len(l.Allow) == 0
			if !slices.Contains(hunt.Members, number) || l.All.Of(internal).On || away || dnd || x.calls[number] >= *l.Trigger.Of(internal) || number == v.Caller.Number {
				t.Fatalf("%s rings: %+v", number, trace)
			}
		}
		for _, e := range trace {
			if e.Rule == routing.GroupSkipped && slices.Contains(members, e.Number) {
				t.Fatalf("%s is skipped and rings", e.Number)
			}
		}
		if r.Together != (hunt.Strategy == directory.StrategyAll) || !r.Together && len(r.Stages) < len(members) {
			t.Fatalf("%s rings in %d stages", hunt.Strategy, len(r.Stages))
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
			for _, target := range targets(&r) {
				if target.Trunk == "" {
					continue
				}
				if plan.Anchored == "" || target.Identity == nil {
					t.Fatalf("leaves anchored by %q, shown %+v", plan.Anchored, target.Identity)
				}
				if x.usage["trunk:carrier"].External >= 3 {
					t.Fatalf("leaves by a full trunk: %+v", trace)
				}
				if !allowed(w, v, plan, trace, target) {
					t.Fatalf("leaves to %s without right: %+v", target.Contact, trace)
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

// targets are all that a plan rings.
func targets(r *routing.Ring) (out []ring.Target) {
	for _, s := range r.Stages {
		out = append(out, s.Targets...)
	}
	return out
}

// allowed reports whether a target of a plan may leave by a trunk: by the class of
// whose setting sends it out, else of the caller.
func allowed(w *routing.World, v routing.Visit, plan routing.Plan, trace routing.Trace, target ring.Target) bool {
	kind := dial.Mobile
	if target.Contact == "sip:1000@other.test" {
		kind = dial.Elsewhere
	}
	by := func(number string) bool {
		l := w.Number(domain, number)
		return l != nil && l.ForwardingClass.Allows(kind, target.Contact)
	}
	switch n := len(plan.Hops); {
	case target.Remote != "": // each setting that names it
		named := false
		for _, e := range trace {
			if e.To == target.Contact && e.Rule != routing.DialTrunk {
				if named = true; !by(e.Number) {
					return false
				}
			}
		}
		return named
	case n > 0:
		return by(plan.Hops[n-1].Number)
	case v.Origin == routing.OriginDevice:
		return w.Number(domain, v.Caller.Number).Class.Allows(kind, target.Contact)
	default:
		return false // nobody's setting
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
			if slices.ContainsFunc(targets(&r), func(t ring.Target) bool { return t.Contact == "+49171999" }) {
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
			if s := e.Timeline[0]; s.Do != "ring" || s.Target != d.Number && d.Group == "" && d.Stages[0].Targets[0].Remote == "" {
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

// TestOffAndOn: switching a feature on and off again leaves every call as it was,
// because nothing else was written.
func TestOffAndOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		v := anyCall(t)
		n := ext(rapid.IntRange(0, townsize-1).Draw(t, "whose"))
		was := explained(t, x, v)
		before := x.view
		switch feature := rapid.SampledFrom([]string{"dnd", "presence", "all", "busy", "no_answer", "unreachable", "callme"}).Draw(t, "feature"); feature {
		case "dnd":
			toggle(t, x, directory.KindDND, "u"+n, directory.DND{Mode: directory.DNDReject}, func(d *directory.DND) { d.Enabled = !d.Enabled })
		case "presence":
			doNotDisturb(t, x, "u"+n)
		case "callme": // DELETE, and PUT
			ref := directory.Ref{Domain: domain, Kind: directory.KindCallMe, Name: "u" + n}
			if old, ok, _ := before.Get(ref); ok {
				x.view = directory.Assume(directory.Assume(before, []directory.Write{{Ref: ref}}), []directory.Write{{Ref: ref, Body: old.Body}})
			}
		default:
			toggle(t, x, directory.KindForwarding, n, directory.Forwarding{}, func(f *directory.Forwarding) {
				s := map[string]*directory.Sides{"all": &f.All, "busy": &f.Busy, "no_answer": &f.NoAnswer, "unreachable": &f.Unreachable}[feature]
				s.Internal.Enabled = s.Internal.Enabled != (s.Internal.Target != "")
				s.External.Enabled = s.External.Enabled != (s.External.Target != "")
			})
		}
		if diff := cmp.Diff(render(was), render(explained(t, x, v))); diff != "" {
			t.Fatalf("the call changed:\n%s", diff)
		}
	})
}

// toggle changes a document twice, as a user does who presses a key and presses it
// again.
func toggle[T any](t *rapid.T, x *town, kind directory.Kind, name string, first T, change func(*T)) {
	ref := directory.Ref{Domain: domain, Kind: kind, Name: name}
	for range 2 {
		if old, ok, _ := x.view.Get(ref); ok {
			var err error
			if first, err = directory.Parse[T](kind, old.Body); err != nil {
				t.Fatal(err)
			}
		}
		change(&first)
		body, err := directory.Encode(first)
		if err != nil {
			t.Fatal(err)
		}
		x.view = directory.Assume(x.view, []directory.Write{{Ref: ref, Body: body}})
	}
}

// doNotDisturb sets the status do-not-disturb, and the one from before again.
func doNotDisturb(t *rapid.T, x *town, user string) {
	presence, dnd := document[directory.Presence](t, x, directory.KindPresence, user), document[directory.DND](t, x, directory.KindDND, user)
	if dnd.Enabled {
		return // any other status ends it
	}
	status := presence.Status
	for _, set := range []string{directory.StatusDND, status} {
		asked := directory.ViewPresence(presence, dnd)
		asked.Status = set
		presence, dnd = directory.SplitPresence(asked, presence, dnd)
		var ws []directory.Write
		for kind, v := range map[directory.Kind]any{directory.KindPresence: presence, directory.KindDND: dnd} {
			body, err := directory.Encode(v)
			if err != nil {
				t.Fatal(err)
			}
			ws = append(ws, directory.Write{Ref: directory.Ref{Domain: domain, Kind: kind, Name: user}, Body: body})
		}
		x.view = directory.Assume(x.view, ws)
	}
}

// document reads a setting of a town.
func document[T any](t *rapid.T, x *town, kind directory.Kind, name string) T {
	body := []byte("{}")
	if doc, ok, _ := x.view.Get(directory.Ref{Domain: domain, Kind: kind, Name: name}); ok {
		body = doc.Body
	}
	v, err := directory.Parse[T](kind, body)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestEntryDoesNotMatter: what becomes of a call does not depend on how it came to
// the number: by its extension, its public number, a name, another name of the
// domain, or by forwards of numbers that nobody else names.
func TestEntryDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		n := ext(rapid.IntRange(0, townsize+1).Draw(t, "called"))
		v := from("1950", n)
		if rapid.Bool().Draw(t, "from a trunk") {
			v.Origin, v.Trunk, v.Caller = routing.OriginTrunk, "carrier", routing.Caller{Number: "+4930555"}
		}
		plain := explained(t, x, v)
		if plain.Trace[0].Rule == routing.DialUnknown { // a reserved number, no group
			return
		}
		switch how := rapid.SampledFrom([]string{"public", "name", "alias", "forward", "forwards", "settings"}).Draw(t, "how"); how {
		case "public":
			v.Target = public(n)
		case "name":
			if v.Target = "u" + n; n >= "1008" {
				v.Target = "g" + n
			}
		case "alias":
			v.Domain, v.TargetHost = "", "ALIAS.test"
		default:
			v.Target = "1900"
			x.view = directory.Assume(x.view, forwardsTo(n, how))
		}
		hops := 0
		for _, e := range plain.Trace {
			if e.To != "" {
				hops++
			}
		}
		if hops > 6 { // forward.too-many comes sooner
			return
		}
		other := explained(t, x, v)
		if diff := cmp.Diff(course(plain), course(other)); diff != "" {
			t.Fatalf("it matters how the call comes:\n%s\n%s\n%s", diff, render(plain), render(other))
		}
	})
}

// forwardsTo are numbers that send their calls on to n: one, two, or one by the
// status of its user.
func forwardsTo(n, how string) []directory.Write {
	all := func(to string) string { return `{"all":{"both":{"enabled":true,"target":"` + to + `"}}}` }
	ws := []directory.Write{doc("numbers/1900", `{"user":"u1900"}`), doc("users/u1900", `{}`), doc("numbers/1901", `{}`)}
	switch how {
	case "forward":
		return append(ws, doc("numbers/1900/forwarding", all(n)))
	case "forwards":
		return append(ws, doc("numbers/1900/forwarding", all("1901")), doc("numbers/1901/forwarding", all("sip:"+n+"@"+domain)))
	default:
		return append(ws, doc("users/u1900/presence", `{"status":"sick"}`), doc("users/u1900/presence/forwarding", `{"sick":{"target":"`+n+`"}}`))
	}
}

// course is what happens in a call, whatever the rules by which it does.
func course(e explain.Explanation) string {
	var b strings.Builder
	for _, s := range e.Timeline {
		if s.Do == "reject" {
			s.Target = ""
		}
		fmt.Fprintln(&b, s.At, s.Do, s.Target, s.To, s.Trunk, s.Stop, s.Status)
	}
	fmt.Fprintln(&b, "end", e.End.At, e.End.Status)
	return b.String()
}
