package binding_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/location"
	"bellhop/store/binding"
)

// TestRegistered follows the flow of a device: through a refresh, a restart, a
// second number on it, a move and its end.
func TestRegistered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSaver()
		tb := newTable(t, s, nil)
		here := register(1, 600).Flow
		there := here
		there.Remote = netip.MustParseAddrPort("192.0.2.10:5062")
		other := here
		other.Transport = location.TCP
		do := func(user string, r location.Register) {
			t.Helper()
			if _, _, err := tb.Register(t.Context(), aor(t, user), r); err != nil {
				t.Fatal(err)
			}
		}
		see := func(when string, tb *binding.Table, atHere, atThere bool) {
			t.Helper()
			if tb.Registered(here) != atHere || tb.Registered(there) != atThere || tb.Registered(other) {
				t.Errorf("%s: registered here %v, there %v, elsewhere %v; want %v, %v, false",
					when, tb.Registered(here), tb.Registered(there), tb.Registered(other), atHere, atThere)
			}
		}
		see("at the start", tb, false, false)
		do("1001", register(1, 600))
		do("1001", register(2, 600))
		see("registered", tb, true, false)
		do("1002", register(1, 600))
		see("in the next process", newTable(t, s, nil), true, false)
		moved := register(3, 600)
		moved.Flow = there
		do("1001", moved)
		see("one number moved", tb, true, true)
		do("1002", register(2, 0))
		see("the other left", tb, false, true)
		<-time.After(time.Hour)
		if err := tb.RemoveWhere(t.Context(), func(location.AOR, *location.Binding) bool { return true }); err != nil {
			t.Fatal(err)
		}
		see("all gone", tb, false, false)
	})
}
