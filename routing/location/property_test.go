package location_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"bellhop/routing/location"
)

// drawRegister draws a REGISTER of one of two devices, whose contacts and
// instances differ from each other.
func drawRegister(t *rapid.T) location.Register {
	r := location.Register{
		CallID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "call-id"),
		CSeq:   rapid.Uint32Range(1, 6).Draw(t, "cseq"),
		Device: rapid.SampledFrom([]string{"desk", "soft"}).Draw(t, "device"),
		Flow:   flow(rapid.ByteRange(1, 3).Draw(t, "flow")),
		Node:   rapid.SampledFrom([]uint16{0, 2, 1023}).Draw(t, "node"),
		Limits: location.Limits{Contacts: 4, Instances: 3},
	}
	if rapid.IntRange(0, 9).Draw(t, "star") == 0 {
		r.Star, r.Expires = true, location.In(0)
		return r
	}
	uris := []string{desk, desk + ";ob", desk + ";transport=tcp", soft, "sip:%31001@192.0.2.1:5062"}
	instances := []string{"", "", "<urn:x>", "<urn:y>", "<urn:z>"}
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 4), 0, 3, rapid.ID[int]).Draw(t, "contacts") {
		c := location.Contact{
			URI: uris[i], Instance: instances[i], Q: rapid.Uint16Range(0, 1200).Draw(t, "q"),
			RegID: rapid.Uint32Range(0, 2).Draw(t, "reg-id"),
		}
		if seconds := rapid.SampledFrom([]int{-1, 0, 0, 30, 60, 7200}).Draw(t, "expires"); seconds >= 0 {
			c.Expires = location.In(uint32(seconds))
		}
		r.Contacts = append(r.Contacts, c)
	}
	return r
}

// TestApplyAnyOrder applies REGISTERs in any order: each whole or not at all, a
// repeated one changes nothing, and what changed is told.
func TestApplyAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var bs location.Bindings
		now := t0
		for range rapid.IntRange(1, 12).Draw(t, "registers") {
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second)
			r := drawRegister(t)
			held, _ := bs.Expire(now)
			next, changes, err := bs.Apply(r, now)
			if err != nil {
				if len(changes) > 0 || !cmp.Equal(bs, next, cmp.Comparer(flowEqual)) {
					t.Fatalf("Apply(%+v) = %v and changed bindings", r, err)
				}
				continue
			}
			grown := len(held)
			for _, c := range changes {
				switch c.What {
				case location.Added:
					grown++
				case location.Removed:
					grown--
				case location.Moved, location.Refreshed, location.Expired:
				}
			}
			if grown != len(next) {
				t.Fatalf("%d bindings, then %v, are %d", len(held), changes, len(next))
			}
			checkBindings(t, next, now)
			again, changes, err := next.Apply(r, now)
			if err != nil || len(changes) > 0 || !cmp.Equal(next, again, cmp.Comparer(flowEqual)) {
				t.Fatalf("the same REGISTER again %+v: %v, %v\n%+v\n%+v", r, changes, err, next, again)
			}
			bs = next
		}
	})
}

// checkBindings checks what always holds, and that packing keeps it.
func checkBindings(t *rapid.T, bs location.Bindings, now time.Time) {
	t.Helper()
	for i, b := range bs {
		if !b.Active(now) || b.Expires.Sub(now) > time.Hour || b.Q > 1000 {
			t.Fatalf("binding %+v at %v", b, now)
		}
		for _, o := range bs[:i] {
			if b.Instance != "" && b.Instance == o.Instance && (b.RegID == o.RegID || b.RegID == 0 || o.RegID == 0) {
				t.Fatalf("two bindings of an instance: %+v, %+v", o, b)
			}
		}
	}
	back, err := location.Unpack(bs.Pack())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bs, back, cmp.Comparer(flowEqual)); diff != "" && len(bs) > 0 {
		t.Fatalf("packed (-want +got):\n%s", diff)
	}
}

// TestSpread grants many REGISTERs of one moment their intervals: all within the
// limit, the same for one that is sent again, and ends spread evenly.
func TestSpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limits := location.Limits{Spread: rapid.Uint16Range(0, 500).Draw(t, "spread"), Max: 24 * time.Hour}
		asked := rapid.Uint32Range(60, 86_400).Draw(t, "seconds")
		r := with(reg(rapid.Uint32().Draw(t, "cseq"), at(desk)), func(r *location.Register) {
			r.CallID, r.Expires, r.Limits = rapid.String().Draw(t, "call-id"), location.In(asked), limits
			if len(r.CallID) > 100 {
				r.CallID = r.CallID[:100]
			}
		})
		bs, _, err := location.Bindings(nil).Apply(r, t0)
		if err != nil {
			t.Fatal(err)
		}
		most := time.Duration(asked) * time.Second
		least := most
		if most >= 10*time.Minute {
			least -= most * time.Duration(limits.Spread) / 1000
		}
		if got := bs[0].Granted; got > most || got < least || got%time.Second != 0 || !bs[0].Expires.Equal(t0.Add(got)) {
			t.Fatalf("granted %v until %v, want %v to %v", got, bs[0].Expires, least, most)
		}
		if _, changes, err := bs.Apply(r, t0.Add(time.Second)); err != nil || len(changes) > 0 {
			t.Fatalf("sent again: %v, %v", changes, err)
		}
	})
	const phones, seconds = 20_000, 361 // an hour less up to a tenth
	var ends [seconds]int
	for i := range phones {
		r := with(reg(1, at(desk)), func(r *location.Register) { r.CallID, r.Limits.Spread = fmt.Sprintf("%d@192.0.2.1", i), 100 })
		bs, _, err := location.Bindings(nil).Apply(r, t0)
		if err != nil {
			t.Fatal(err)
		}
		ends[(time.Hour-bs[0].Granted)/time.Second]++
	}
	for i, n := range ends {
		if n > 2*phones/seconds {
			t.Errorf("%d of %d bindings end in second %d before the hour is over", n, phones, i)
		}
	}
}
