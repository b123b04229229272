package routing_test

import (
	"testing"

	"bellhop/routing"
	"bellhop/routing/dial"
	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// busyTown is a town whose values are compiled: what a warm cache is.
type busyTown struct {
	tenant   *directory.Tenant
	lines    map[string]*directory.Line
	bindings map[string][]ring.Target
}

func warm(tb testing.TB) *busyTown {
	tb.Helper()
	x := &busyTown{lines: map[string]*directory.Line{}, bindings: map[string][]ring.Target{}}
	x.tenant = directory.CompileTenant(domain, directory.Domain{Region: "DE", Realm: domain})
	for _, n := range []string{"1000", "1003"} {
		x.lines[n] = directory.CompileLine(directory.LineDocuments{Tenant: x.tenant, Name: n, Number: directory.Number{User: "ana"}})
		x.bindings[n] = []ring.Target{{Device: "desk-" + n, Instance: n, Contact: "sip:x@192.0.2.1", Q: 1000}}
	}
	return x
}

func (x *busyTown) load(n routing.Need, w *routing.World) error {
	switch n.Kind {
	case routing.NeedDomain:
		w.PutDomain(n.Key, x.tenant)
	case routing.NeedNumber:
		w.PutNumber(n.Domain, n.Key, x.lines[n.Key])
	case routing.NeedBindings:
		w.PutBindings(n.Domain, n.Key, x.bindings[n.Key], false)
	case routing.NeedUsage:
		w.PutUsage(n.Domain, n.Key, routing.Usage{})
	case routing.NeedCalls:
		w.PutCalls(n.Domain, n.Key, 0)
	default:
		return routing.ErrUnresolved
	}
	return nil
}

// longTown is a warm town where 1000 forwards over two numbers to 1003, which
// has a forward by outcome, a mobile and a colleague's phone that ring with it.
func longTown(tb testing.TB) *busyTown {
	tb.Helper()
	x := warm(tb)
	t := directory.CompileTenant(domain, directory.Domain{Region: "DE", Realm: domain})
	x.tenant = t.WithTrunk("carrier", &directory.Trunk{Proof: directory.ProofAddress, Routes: []directory.Route{{Prefix: "+"}}})
	class := dial.Class{{Allow: true, Kind: dial.Internal}, {Allow: true, Kind: dial.Mobile}}
	to := func(target string) directory.Sides {
		f := directory.Forward{Enabled: true, Target: target}
		return directory.Sides{Internal: f, External: f}
	}
	line := func(name string, f directory.Forwarding, remotes map[string]directory.RemoteDestination) {
		x.lines[name] = directory.CompileLine(directory.LineDocuments{
			Tenant: x.tenant, Name: name, Number: directory.Number{User: "u" + name, Public: "+49897007" + name},
			Forwarding: f, Remotes: remotes, Forwarded: class,
		})
		x.bindings[name] = []ring.Target{{Device: "desk-" + name, Instance: name, Contact: "sip:x@192.0.2.1", Q: 1000}}
	}
	line("1000", directory.Forwarding{All: to("1001")}, nil)
	line("1001", directory.Forwarding{All: to("1002")}, nil)
	line("1002", directory.Forwarding{All: to("1003")}, nil)
	line("1003", directory.Forwarding{NoAnswer: to("1000")}, map[string]directory.RemoteDestination{
		"mobile":    {Number: "+49171123456", SNR: true, NoForward: true, Delay: directory.DefaultDelay, StopAfter: directory.DefaultStopAfter},
		"colleague": {Number: "1004", SNR: true, NoForward: true, Delay: directory.DefaultDelay, StopAfter: directory.DefaultStopAfter},
	})
	line("1004", directory.Forwarding{}, nil)
	line("1009", directory.Forwarding{}, nil)
	return x
}

// BenchmarkDecideLong decides a call with three forwards and two remote
// destinations.
func BenchmarkDecideLong(b *testing.B) {
	x, w := longTown(b), routing.NewWorld(noon)
	v := called()
	v.Caller.Number = "1009"
	plan, _, err := routing.Resolve(w, v, x.load)
	if err != nil {
		b.Fatal(err)
	}
	if r, ok := plan.Decision.(routing.Ring); !ok || len(r.Stages[0].Targets) != 3 || len(plan.Hops) != 3 {
		b.Fatalf("decided %+v", plan)
	}
	b.ReportAllocs()
	for b.Loop() {
		routing.Decide(w, v)
	}
}

func called() routing.Visit {
	return routing.Visit{
		Origin: routing.OriginDevice, Method: "INVITE", Domain: domain, Target: "1000",
		Caller: routing.Caller{Domain: domain, Device: "desk-1003", Number: "1003"},
	}
}

// TestAllocations pins what a decision of a warm world allocates: the trace, the
// plan's stages and its decision, and the visit of a redirect.
func TestAllocations(t *testing.T) { //nolint:paralleltest // AllocsPerRun must not run beside others
	x, w := warm(t), routing.NewWorld(noon)
	v := called()
	got := testing.AllocsPerRun(100, func() {
		w.Reset(noon)
		if _, _, err := routing.Resolve(w, v, x.load); err != nil {
			t.Fatal(err)
		}
	})
	if got > 6 {
		t.Errorf("Resolve allocates %v times, want at most 6", got)
	}
}

func BenchmarkDecide(b *testing.B) {
	x, w := warm(b), routing.NewWorld(noon)
	v := called()
	if _, _, err := routing.Resolve(w, v, x.load); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		routing.Decide(w, v)
	}
}

// BenchmarkResolve decides from an empty world each time, as a call does.
func BenchmarkResolve(b *testing.B) {
	x, w := warm(b), routing.NewWorld(noon)
	v := called()
	b.ReportAllocs()
	for b.Loop() {
		w.Reset(noon)
		if _, _, err := routing.Resolve(w, v, x.load); err != nil {
			b.Fatal(err)
		}
	}
}
