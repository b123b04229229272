package storetest

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/routing/location"
)

// AOR returns the AOR of a number of the domain.
func AOR(t testing.TB, number string) location.AOR {
	t.Helper()
	a, err := location.NewAOR(number, Domain)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Register returns a REGISTER of a device at a port of 192.0.2.10.
func Register(device string, port uint16, cseq uint32) location.Register {
	flow := location.Flow{
		Transport: location.UDP, Local: netip.MustParseAddrPort("192.0.2.1:5060"),
		Remote: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), port),
	}
	return location.Register{
		Contacts: []location.Contact{{URI: "sip:" + device + "@192.0.2.10:" + strconv.Itoa(int(port)), Q: 1000}},
		Expires:  location.In(3600), CallID: device, CSeq: cseq, Flow: flow, Device: device, UserAgent: "Phone 1",
	}
}

func bindings(t *testing.T, fresh func(*testing.T) Parts) {
	t.Helper()
	t.Run("register, refresh, move, remove", func(t *testing.T) { t.Parallel(); registering(t, fresh(t)) })
	t.Run("doubt", func(t *testing.T) { t.Parallel(); doubt(t, fresh(t)) })
	t.Run("no ground to stand on", func(t *testing.T) { t.Parallel(); deprovisioned(t, fresh(t)) })
	t.Run("many at once", func(t *testing.T) { t.Parallel(); many(t, fresh(t)) })
}

func registering(t *testing.T, p Parts) {
	t.Helper()
	a := AOR(t, "1001")
	check := func(step string, bs location.Bindings, err error, want int, events string) {
		t.Helper()
		if err != nil || len(bs) != want || len(p.Bindings.Bindings(a)) != want || p.Bindings.Len() != want {
			t.Errorf("%s: %d bindings, %v; then %d of %d; want %d", step, len(bs), err, len(p.Bindings.Bindings(a)), p.Bindings.Len(), want)
		}
		var got []string
		for _, ev := range p.Feed.Drain(nil, 10) {
			if r, ok := ev.(feed.RegistrationChanged); ok && r.Number == "1001" && r.Domain == Domain {
				got = append(got, r.What)
			}
		}
		if s := strings.Join(got, " "); s != events {
			t.Errorf("%s: told %q, want %q", step, s, events)
		}
	}
	if _, ok, _ := p.Bindings.Begin(a, Register("desk-1001", 5060, 1), nil); ok {
		t.Error("Begin took a new binding")
	}
	bs, _, err := p.Bindings.Register(t.Context(), a, Register("desk-1001", 5060, 1))
	check("new", bs, err, 1, "added")
	bs, ok, _ := p.Bindings.Begin(a, Register("desk-1001", 5060, 2), nil)
	if !ok {
		t.Error("Begin refused a refresh")
	}
	check("refresh", bs, nil, 1, "")
	_, _, err = p.Bindings.Register(t.Context(), a, Register("desk-1001", 5060, 1))
	if !errors.Is(err, location.ErrOutOfOrder) {
		t.Errorf("an old REGISTER: %v, want %v", err, location.ErrOutOfOrder)
	}
	bs, _, err = p.Bindings.Register(t.Context(), a, Register("web-1001", 5070, 1))
	check("another device", bs, err, 2, "added")
	if err := p.Bindings.RemoveFlow(t.Context(), a, Register("web-1001", 5070, 1).Flow); err != nil {
		t.Fatal(err)
	}
	check("flow gone", p.Bindings.Bindings(a), nil, 1, "removed")
	gone := Register("desk-1001", 5060, 3)
	gone.Expires = location.In(0)
	bs, _, err = p.Bindings.Register(t.Context(), a, gone)
	check("removed", bs, err, 0, "removed")
}

// deprovisioned takes devices and numbers away under their bindings.
func deprovisioned(t *testing.T, p Parts) {
	t.Helper()
	Provision(t, p.Store)
	for _, number := range []string{"1001", "1002", "1003", "1004"} {
		if _, _, err := p.Bindings.Register(t.Context(), AOR(t, number), Register("desk-"+number, 5060, 1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name string
		w    directory.Write
		want string
	}{
		{"nothing changes", Put(directory.KindDevice, "desk-1001", `{"kind":"desk","lines":[{"number":"1001"},{"number":"1003"}]}`), "1001 1002 1003 1004"},
		{"a line goes", Put(directory.KindDevice, "desk-1001", `{"kind":"desk","lines":[{"number":"1003"}]}`), "1002 1003 1004"},
		{"a device goes", directory.Write{Ref: Ref(directory.KindDevice, "desk-1002")}, "1003 1004"},
		{"TLS from now on", Put(directory.KindDevice, "desk-1004", `{"kind":"desk","tls":"required","lines":[{"number":"1004"}]}`), "1003"},
		{"its last line goes", Put(directory.KindDevice, "desk-1001", `{"kind":"desk"}`), "1003"},
		{"a number goes", directory.Write{Ref: Ref(directory.KindNumber, "1003")}, ""},
	} {
		Apply(t, p.Store, step.w)
		regs, err := p.Bindings.Registrations(t.Context(), Domain, "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range regs {
			got = append(got, r.Number)
		}
		if s := strings.Join(got, " "); s != step.want {
			t.Errorf("%s: bound are %q, want %q", step.name, s, step.want)
		}
	}
}

func doubt(t *testing.T, p Parts) {
	t.Helper()
	a := AOR(t, "1001")
	r := Register("desk-1001", 5060, 1)
	if _, _, err := p.Bindings.Register(t.Context(), a, r); err != nil {
		t.Fatal(err)
	}
	p.Bindings.Doubt(a, r.Flow)
	if targets, _ := p.Bindings.Targets(a, time.Now()); len(targets) != 1 || !targets[0].Doubtful {
		t.Errorf("Targets after Doubt = %+v, want one in doubt", targets)
	}
	p.Bindings.Heard(Register("desk-1001", 5061, 1).Flow)
	if targets, _ := p.Bindings.Targets(a, time.Now()); !targets[0].Doubtful {
		t.Error("a message from elsewhere cleared the doubt")
	}
	p.Bindings.Heard(r.Flow)
	if targets, _ := p.Bindings.Targets(a, time.Now()); targets[0].Doubtful {
		t.Error("still in doubt after Heard")
	}
}

func many(t *testing.T, p Parts) {
	t.Helper()
	const phones = 200
	var wg sync.WaitGroup
	for i := range phones {
		a := AOR(t, strconv.Itoa(1000+i%50))
		wg.Go(func() {
			r := Register("desk-"+strconv.Itoa(i), uint16(10000+i), 1)
			if _, _, err := p.Bindings.Register(t.Context(), a, r); err != nil {
				t.Errorf("Register of phone %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if p.Bindings.Len() != phones {
		t.Errorf("Len = %d, want %d", p.Bindings.Len(), phones)
	}
	regs, err := p.Bindings.Registrations(t.Context(), Domain, "1007")
	if err != nil || len(regs) != phones/50 || regs[0].Transport != "UDP" {
		t.Errorf("Registrations(1007) = %v, %v, want %d", regs, err, phones/50)
	}
	if err := p.Bindings.RemoveWhere(t.Context(), func(_ location.AOR, b *location.Binding) bool { return b.Device == "desk-7" }); err != nil {
		t.Fatal(err)
	}
	if p.Bindings.Len() != phones-1 {
		t.Errorf("Len after RemoveWhere = %d, want %d", p.Bindings.Len(), phones-1)
	}
}
