//go:build e2e

package main

import (
	"strings"
	"testing"
)

// TestE2EPickup has a softphone pick up calls that ring at another phone, once by
// the number and once by the group: caller and softphone talk, and the phone that
// rang logs no missed call.
func TestE2EPickup(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.put(t, "/groups/room", object{"kind": "pickup", "members": []string{"1001", "1002"}})
	ana := h.baresip(t, "1001", h.info.SIP)
	ben, dan := h.desk(t, "1002"), h.baresip(t, "1004", h.info.SIP)
	cleo := h.desk(t, caller)
	for i, code := range []string{"**1002", "*8"} {
		rang := ben.start(t, "leg-cancelled", "-d", 10)
		dan.do(t, "d sip:1002@"+demoDomain)
		h.live(t, "ringing")
		ana.do(t, "d sip:%s@%s", code, demoDomain)
		dan.says(t, i+1, "Call established")
		rang.wait(t)
		if got := field(rang.got(t, "CANCEL "), "Reason"); len(got) != 1 || !strings.Contains(got[0], "Call completed elsewhere") {
			t.Errorf("Reason = %q, want that a person answered elsewhere", got)
		}
		if i == 0 {
			ana.do(t, "/hangup")
		} else {
			dan.do(t, "/hangup")
		}
		dan.says(t, i+1, "session closed|terminate call")
		ana.says(t, i+1, "session closed|terminate call")
		h.records(t, 2*i+2)
	}
	refused := cleo.start(t, "call-refused", "-s", "**1002", final(403))
	refused.wait(t)
	if got := refused.got(t, "SIP/2.0 403"); !strings.HasPrefix(got, "SIP/2.0 403 No Common Pickup Group\n") {
		t.Errorf("a stranger to the group is refused with\n%s", got)
	}
	for _, r := range h.records(t, 5) {
		if r.Called == "1002" && (r.Number != "1001" || r.Device != "desk-1001" || r.Outcome != "answered") {
			t.Errorf("record %+v", r)
		}
	}
}
