//go:build e2e

package main

import (
	"net/http"
	"strings"
	"testing"

	"bellhop/feed"
)

// settings reads settings of the domain.
func (h *house) settings(t *testing.T, path string) object {
	t.Helper()
	var out object
	if err := h.api.do(t.Context(), http.MethodGet, inDomain(demoDomain)+path, nil, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestE2ECodes sets do not disturb and forwards from phones, looks at them by the
// API, and calls the numbers that they are for.
func TestE2ECodes(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		ana, ben, dan, cleo := h.desk(t, "1001"), h.desk(t, "1002"), h.desk(t, "1004"), h.desk(t, caller)
		dial := func(codes map[*phone]string) {
			t.Helper()
			flows := map[string]*flow{}
			for p, code := range codes {
				flows[code] = p.start(t, "call-hung-up", "-s", code)
			}
			for code, f := range flows {
				f.wait(t)
				if ok := f.got(t, "SIP/2.0 200"); !strings.Contains(ok, "\na=inactive\n") {
					t.Errorf("%s is answered with\n%s", code, ok)
				}
			}
		}
		forwards := func(number, kind string, enabled bool) {
			t.Helper()
			sides, _ := h.settings(t, "/numbers/"+number+"/forwarding")[kind].(object)
			for side, v := range sides {
				if f, _ := v.(object); f["enabled"] != enabled || f["target"] != caller {
					t.Errorf("forward.%s of %s, %s, is %v", kind, number, side, f)
				}
			}
		}
		disturbs := func(enabled bool) {
			t.Helper()
			if dnd := h.settings(t, "/users/ana/dnd"); dnd["enabled"] != enabled {
				t.Errorf("dnd is %v", dnd)
			}
		}
		dial(map[*phone]string{ana: "*78", ben: "*90" + caller, dan: "*92" + caller})
		disturbs(true)
		forwards("1002", "busy", true)
		forwards("1004", "no_answer", true)
		cleo.start(t, "call-refused", "-s", "1001", final(486)).wait(t)
		dial(map[*phone]string{ana: "*79", ben: "*91", dan: "*93"})
		disturbs(false)
		forwards("1002", "busy", false)
		forwards("1004", "no_answer", false)
		dial(map[*phone]string{ana: "*72" + caller})
		forwards("1001", "all", true)
		dial(map[*phone]string{ana: "*73"})
		forwards("1001", "all", false)
		dial(map[*phone]string{ana: "*72"}) // the target was kept
		forwards("1001", "all", true)
		answer := cleo.start(t, "answer", "-d", 10)
		dan.calls(t, "call", "1001", "-d", 50).wait(t)
		answer.wait(t)
		loop := cleo.start(t, "call-refused", "-s", "*721001", final(403))
		loop.wait(t)
		if got := loop.got(t, "SIP/2.0 403"); !strings.HasPrefix(got, "SIP/2.0 403 forward.loop-refused\n") {
			t.Errorf("a loop is refused with\n%s", got)
		}
		all := h.records(t, 12)
		want{caller, "*721001", caller, "", 403, "refused", []string{"dial.feature", "forward.loop-refused"}}.equal(t, &all[0])
		want{"1004", "1001", caller, "desk-" + caller, 200, "answered", []string{"forward.all"}}.equal(t, &all[1])
		want{"1001", "*72", "1001", "", 200, "answered", []string{"dial.feature"}}.equal(t, &all[2])
	})
}

// TestE2ECodesBaresip dials a code from a softphone, which finds the answer good.
func TestE2ECodesBaresip(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ana := h.baresip(t, "1001", h.info.SIP)
	ana.do(t, "d sip:*78@"+demoDomain)
	ana.says(t, 1, "Call established")
	ana.says(t, 1, "session closed")
	if dnd := h.settings(t, "/users/ana/dnd"); dnd["enabled"] != true {
		t.Errorf("dnd is %v after *78", dnd)
	}
}

// TestE2EEmergency calls for help from a number that may call nobody, over a trunk
// that is full, while the daemon drains; the call back gets through do not disturb.
func TestE2EEmergency(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		carrier := h.carrier(t, "carrier", object{"max_calls": 1})
		h.put(t, "/classes/none", object{"rules": []object{}})
		h.put(t, "/classes/all", object{"rules": []object{{"allow": "*"}}})
		h.put(t, "/sites/hq", object{"emergency_location": "https://location.example.org/hq"})
		h.person(t, "1001", "ana", object{"class_of_service": "none", "site": "hq"})
		h.person(t, "1004", "dan", object{"class_of_service": "all"})
		help := h.peer(t, "+4930112", "bellhop")
		h.carrierAt(t, "rescue", []string{"127.0.0.1:" + help.port}, object{"max_calls": 1, "routes": []object{{"prefix": "112"}}})
		h.status(t, "rescue", func(s feed.TrunkStatus) bool { return s.Up })
		ana, dan := h.desk(t, "1001"), h.desk(t, "1004")

		carrier.start(t, "answer-stay")
		dan.calls(t, "call", "+4930123456", "-d", 60_000)
		h.live(t, "talking") // the trunk is full
		ana.start(t, "call-refused", "-s", "+4930123457", final(403)).wait(t)
		if err := h.api.do(t.Context(), http.MethodPost, "/v1/node/drain", nil, nil); err != nil {
			t.Fatal(err)
		}
		answer := help.start(t, "answer", "-d", 10)
		ana.calls(t, "call", "112", "-d", 50).wait(t)
		answer.wait(t)
		inv := answer.got(t, "INVITE sip:112@")
		matches(t, inv, "Geolocation", `^<https://location\.example\.org/hq>$`)
		matches(t, inv, "P-Asserted-Identity", `^<sip:\+498970071001@bellhop\.test>$`)
		matches(t, inv, "Priority", `^emergency$`)
		if log := h.stderr.String(); !strings.Contains(log, `level=WARN msg="emergency call"`) || !strings.Contains(log, "callback=+498970071001") {
			t.Errorf("the log says\n%s", log)
		}
		h.records(t, 2)
		last, _ := h.settings(t, "/records?limit=1")["items"].([]any)
		if r, _ := last[0].(object); r["emergency"] != true || r["called"] != "112" {
			t.Errorf("record %v", last)
		}
		if err := h.api.do(t.Context(), http.MethodPost, "/v1/node/undrain", nil, nil); err != nil {
			t.Fatal(err)
		}
		h.put(t, "/users/ana/dnd", object{"enabled": true})
		rings := ana.start(t, "answer", "-d", 10)
		help.start(t, "carrier-dials", "-s", "+498970071001", "-d", 50).wait(t)
		rings.wait(t)
	})
}
