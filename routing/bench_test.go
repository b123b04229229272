package routing_test

import (
	"testing"

	"bellhop/routing"
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
