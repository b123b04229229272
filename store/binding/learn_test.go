package binding_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/store/binding"
)

// from is register from another phone.
func from(device string, port uint16, cseq, seconds uint32) location.Register {
	r := register(cseq, seconds)
	r.Device, r.CallID = device, device
	r.Flow.Remote = netip.AddrPortFrom(r.Flow.Remote.Addr(), port)
	r.Contacts[0].URI = fmt.Sprintf("sip:%s@192.0.2.10:%d", device, port)
	return r
}

// nodes are two tables on one saver. What one saves is told to the other when
// there is a link.
func nodes(t *testing.T, s *saver, link bool, f *feed.Stream) (one, two *binding.Table) {
	t.Helper()
	var learn [2]func(rows []binding.Row)
	var tables [2]*binding.Table
	for i := range tables {
		o := binding.Options{Saver: s, Node: uint16(i + 1), Shared: true, Announce: func(rows []binding.Row) {
			if link {
				learn[1-i](rows)
			}
		}}
		if i == 1 {
			o.Feed = f
		}
		tb, err := binding.New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		tables[i] = tb
		learn[i] = func(rows []binding.Row) {
			for _, r := range rows {
				if err := tb.Learn(context.WithoutCancel(t.Context()), r); err != nil {
					t.Error(err)
				}
			}
		}
	}
	return tables[0], tables[1]
}

func mustRegister(t *testing.T, tb *binding.Table, a location.AOR, r location.Register, want int) {
	t.Helper()
	bs, _, err := tb.Register(t.Context(), a, r)
	if err != nil || len(bs) != want {
		t.Fatalf("Register of %s: %d bindings, %v, want %d", r.Device, len(bs), err, want)
	}
}

// Two phones of one number register at two nodes that did not hear of each
// other: both are kept, as is the removal of one.
func TestTwoNodesOneAOR(t *testing.T) {
	t.Parallel()
	s := newSaver()
	one, two := nodes(t, s, false, nil)
	a := aor(t, "1001")
	mustRegister(t, one, a, from("desk", 5060, 1, 3600), 1)
	mustRegister(t, two, a, from("web", 5070, 1, 3600), 2)
	mustRegister(t, one, a, from("attic", 5080, 1, 3600), 3)
	mustRegister(t, two, a, from("desk", 5060, 2, 0), 2)
	mustRegister(t, one, a, from("web", 5070, 2, 0), 1)
	mustRegister(t, one, a, from("attic", 5080, 2, 0), 0)
	mustRegister(t, two, a, from("desk", 5060, 3, 3600), 1)
	if bs := s.saved(t, a); len(bs) != 1 || bs[0].Device != "desk" {
		t.Errorf("saved are %+v, want desk", bs)
	}
}

// What a node saves is found at the other one, which tells of it; a late
// announcement changes nothing.
func TestLearn(t *testing.T) {
	t.Parallel()
	s, f := newSaver(), feed.NewStream(100)
	one, two := nodes(t, s, true, f)
	a := aor(t, "1001")
	mustRegister(t, one, a, from("desk", 5060, 1, 3600), 1)
	old := s.rows[a]
	if bs := two.Bindings(a); len(bs) != 1 || bs[0].Device != "desk" {
		t.Fatalf("the other node has %+v", bs)
	}
	mustRegister(t, two, a, from("web", 5070, 1, 3600), 2)
	if n := len(one.Bindings(a)); n != 2 {
		t.Errorf("the first node has %d bindings, want 2", n)
	}
	if err := two.Learn(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if n := len(two.Bindings(a)); n != 2 {
		t.Errorf("after an old announcement: %d bindings, want 2", n)
	}
	mustRegister(t, one, a, from("desk", 5060, 2, 0), 1)
	mustRegister(t, one, a, from("web", 5070, 2, 0), 0)
	if err := two.Learn(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if n := two.Len(); n != 0 {
		t.Errorf("after the removal, and an old announcement: %d bindings, want none", n)
	}
	var told []string
	for _, ev := range f.Drain(nil, 100) {
		r := ev.(feed.RegistrationChanged)
		told = append(told, r.Device+" "+r.What)
	}
	if got, want := fmt.Sprint(told), "[desk added web added desk removed web removed]"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	if err := one.Learn(t.Context(), binding.Row{AOR: a, Packed: "?", Version: 1 << 62}); err == nil {
		t.Error("a damaged announcement was taken")
	}
}

// A refresh at one node and a new phone at the other one: both hold, also when
// the refresh is saved after the phone.
func TestRefreshBesideChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		one, two := nodes(t, s, false, nil)
		a := aor(t, "1001")
		mustRegister(t, one, a, from("desk", 5060, 1, 600), 1)
		<-time.After(5 * time.Minute)
		if _, ok, _ := one.Begin(a, from("desk", 5060, 2, 600), nil); !ok {
			t.Fatal("Begin did not refresh")
		}
		refreshed := time.Now()
		mustRegister(t, two, a, from("web", 5070, 1, 600), 2)
		for range 2 { // the first finds the change, the second saves on top of it
			if err := one.SaveRefreshes(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		bs := s.saved(t, a)
		if len(bs) != 2 || bs[0].CSeq != 2 || bs[0].Expires.Before(refreshed.Add(600*time.Second)) {
			t.Errorf("saved are %+v, want desk refreshed and web", bs)
		}
	})
}

// What was missed is read from the saver: new, changed and gone.
func TestResync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		one, two := nodes(t, s, true, nil)
		a, b, c := aor(t, "1001"), aor(t, "1002"), aor(t, "1003")
		mustRegister(t, one, a, from("desk", 5060, 1, 3600), 1)
		mustRegister(t, one, b, from("web", 5070, 1, 3600), 1)
		three, err := binding.New(t.Context(), binding.Options{Saver: s, Node: 3, Shared: true}) // tells nobody
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		mustRegister(t, three, a, from("desk", 5060, 2, 0), 0)
		mustRegister(t, three, c, from("attic", 5080, 1, 3600), 1)
		rows := 0
		if err := two.Resync(t.Context(), func(binding.Row) { rows++ }); err != nil || rows != 2 {
			t.Fatalf("Resync read %d rows, %v, want 2", rows, err)
		}
		for x, want := range map[location.AOR]int{a: 0, b: 1, c: 1} {
			if n := len(two.Bindings(x)); n != want {
				t.Errorf("%s has %d bindings, want %d", x, n, want)
			}
		}
	})
}

// A row that expired while nobody ran is no obstacle to the next registration.
func TestExpiredRowIsReplaced(t *testing.T) {
	t.Parallel()
	s := newSaver()
	a := aor(t, "1001")
	bs := location.Bindings{{Contact: "sip:x@192.0.2.1", Expires: time.Now().Add(-time.Hour), Granted: time.Hour}}
	s.rows[a] = binding.Row{AOR: a, Packed: bs.Pack(), Version: 7}
	one := newTable(t, s, nil)
	mustRegister(t, one, a, from("desk", 5060, 1, 3600), 1)
}

// Many change one AOR at two nodes at the same time: nobody is lost.
func TestContention(t *testing.T) {
	t.Parallel()
	s := newSaver()
	one, two := nodes(t, s, false, nil)
	a := aor(t, "1001")
	var wg sync.WaitGroup
	for i := range 8 {
		tb := one
		if i%2 == 1 {
			tb = two
		}
		wg.Go(func() {
			r := from(fmt.Sprint("phone", i), uint16(6000+i), 1, 3600)
			if _, _, err := tb.Register(t.Context(), a, r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if bs := s.saved(t, a); len(bs) != 8 {
		t.Errorf("%d bindings are saved, want 8", len(bs))
	}
}

// A binding says at which node it was made: there is the connection that leads to
// the phone. A node that starts again has none of those that it had.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	s := newSaver()
	one, two := nodes(t, s, true, nil)
	a := aor(t, "1001")
	r := from("desk", 5060, 1, 3600)
	r.Flow.Transport, r.Flow.Conn = location.TCP, 7
	mustRegister(t, one, a, r, 1)
	mustRegister(t, two, a, from("web", 5070, 1, 3600), 2)
	for i, tb := range []*binding.Table{one, two} {
		targets, _ := tb.Targets(a, time.Now())
		got := make(map[string]uint16)
		for _, target := range targets {
			got[target.Device] = target.Node
		}
		want := []map[string]uint16{{"desk": 0, "web": 2}, {"desk": 1, "web": 0}}[i]
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("node %d: targets are at %v, want %v", i+1, got, want)
		}
	}
	again, _ := nodes(t, s, false, nil)
	for tb, want := range map[*binding.Table]uint64{again: 0, two: 7} {
		for _, b := range tb.Bindings(a) {
			if b.Device == "desk" && b.Flow.Conn != want {
				t.Errorf("connection %d, want %d", b.Flow.Conn, want)
			}
		}
	}
}
