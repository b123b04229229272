package sip_test

import (
	"net/netip"
	"slices"
	"testing"

	"bellhop/sip/siptest"
)

// TestNewContactInMidCall: a phone that names no instance and registers another
// contact in a call gets what is sent to it within the call there, when it is
// known to be the same phone. Another phone with the same credential gets none of
// it.
func TestNewContactInMidCall(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		then []siptest.Registration // from the new address
		old  bool                   // the phone is still where it was
	}{
		{"under its Call-ID", []siptest.Registration{{}}, false},
		{"twice under its Call-ID", []siptest.Registration{{Contacts: []string{"<sip:x@203.0.113.9:5060>"}}, {}}, false},
		{"under another, the old contact gone", []siptest.Registration{{CallID: "again"}, {Contacts: []string{"OLD;expires=0"}}}, false},
		{"another phone with its credential", []siptest.Registration{{CallID: "another"}}, true},
	}
	for _, tt := range tests {
		for _, who := range []string{"caller", "callee"} {
			t.Run(tt.name+", "+who, func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T, h *house) {
					ana, ben := h.phone("desk-1001", 11), h.phone("desk-1002", 12)
					for _, p := range []*siptest.Phone{ana, ben} {
						p.Instance = ""
						if res := p.Register(t, siptest.Registration{}); res.Status() != 200 {
							t.Fatalf("REGISTER = %d", res.Status())
						}
					}
					caller, callee := talk(t, ana, ben)
					mover, other := ana, callee
					if who == "callee" {
						mover, other = ben, caller
					}
					old := mover.Contact()
					second := mover
					if tt.old {
						second = h.phone(mover.Device, 77)
						second.Instance = ""
					} else {
						mover.Move(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.99"), 5099))
					}
					for _, r := range tt.then {
						if slices.Equal(r.Contacts, []string{"OLD;expires=0"}) {
							r.Contacts = []string{"<" + old + ">;expires=0"}
						}
						if res := second.Register(t, r); res.Status() != 200 {
							t.Fatalf("REGISTER = %d", res.Status())
						}
					}
					other.Bye()
					mover.Reply(mover.Wait(t, "BYE"), siptest.Answer{Status: 200})
					other.Phone.Wait(t, "200 BYE")
				})
			})
		}
	}
}
