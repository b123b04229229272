package routing_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bellhop/routing"
	"bellhop/routing/dial"
	"bellhop/routing/ring"
)

// TestHelpGetsOut: whatever is set, full or used up, a phone that calls for help
// gets a trunk; nobody else does by those numbers.
func TestHelpGetsOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		v := to(t, rapid.SampledFrom([]string{"112", "110"}).Draw(t, "help"))
		v.Caller.Behind = rapid.Bool().Draw(t, "behind")
		x.usage[""] = routing.Usage{External: 1000, Attempts: 1000}
		x.usage[v.Caller.Number] = routing.Usage{External: 1000, Attempts: 1000}
		plan, trace, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := plan.Decision.(routing.Ring)
		if v.Origin == routing.OriginTrunk {
			if ok {
				t.Fatalf("a trunk reaches %+v", r)
			}
			return
		}
		if !ok || r.Emergency == nil || len(targets(&r)) != 1 || targets(&r)[0].Trunk != "carrier" || r.Emergency.Numbers[0] != v.Caller.Number {
			t.Fatalf("decided %+v: %+v", plan.Decision, trace)
		}
		if id := targets(&r)[0].Identity; id == nil || id.Hidden {
			t.Fatalf("shown as %+v", id)
		}
	})
}

// TestCallBackRings: within an hour after an emergency call every phone that a
// number has registered rings for a call by a trunk, and nothing else happens to
// it than that remote destinations ring too.
func TestCallBackRings(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		number := ext(rapid.IntRange(0, townsize-1).Draw(t, "called"))
		v := from("", number)
		v.Origin, v.Trunk, v.Caller = routing.OriginTrunk, "carrier", routing.Caller{Number: "+4930112"}
		u := x.usage[number]
		u.External, u.CallBack = 1000, noon.Add(time.Duration(rapid.IntRange(1, 3600).Draw(t, "left"))*time.Second)
		x.usage[number] = u
		plan, trace, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := plan.Decision.(routing.Ring)
		if d, rejected := plan.Decision.(routing.Reject); rejected && d.Rule == routing.DialUnknown { // it is reserved
			return
		}
		if len(x.bindings[number]) == 0 {
			if d, rejected := plan.Decision.(routing.Reject); rejected && d.Status != 480 {
				t.Fatalf("decided %+v: %+v", d, trace)
			}
			return
		}
		if !ok || r.Mute || r.Number != number || len(plan.Hops) > 0 || r.Outcomes != (routing.Outcomes{}) {
			t.Fatalf("decided %+v: %+v", plan, trace)
		}
		rung := targets(&r)
		for i := range x.bindings[number] {
			if !slices.ContainsFunc(rung, func(t ring.Target) bool { return t.Device == x.bindings[number][i].Device }) {
				t.Fatalf("%s does not ring: %+v", x.bindings[number][i].Device, rung)
			}
		}
	})
}

// TestCodesAreOnesOwn: a code acts for the number that dialled it, whatever is set
// there, and for nobody by a trunk.
func TestCodesAreOnesOwn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := drawTown(t)
		v := to(t, rapid.SampledFrom([]string{"*721001", "*73", "*901001", "*91", "*921001", "*93", "*78", "*79", "*8", "**1001", "*97", "*68", "*6912"}).Draw(t, "code"))
		plan, trace, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
		if err != nil {
			t.Fatal(err)
		}
		a, ok := plan.Decision.(routing.Act)
		if v.Origin == routing.OriginTrunk {
			if ok {
				t.Fatalf("a trunk acts: %+v", a)
			}
			return
		}
		if d, rejected := plan.Decision.(routing.Reject); rejected && d.Rule == routing.NumberState {
			return
		}
		if d, rejected := plan.Decision.(routing.Reject); rejected && (v.Target == "*8" || v.Target == "**1001" && v.Caller.Number != "1001") && d.Rule == routing.DialFeature {
			return // no town has a pickup group
		}
		if !ok || a.Number != v.Caller.Number || a.Owner != "u"+a.Number || a.Device != v.Caller.Device {
			t.Fatalf("decided %+v: %+v", plan.Decision, trace)
		}
		if want := map[string]string{"*7": "1001", "*9": "1001"}[v.Target[:2]]; a.Feature.Takes() == dial.MayFollow && a.Target != want {
			t.Fatalf("%s leads to %s", v.Target, a.Target)
		}
	})
}
