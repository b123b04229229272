//go:build e2e

package main

import "testing"

// TestE2EJsSIP lets browser softphones over secure WebSocket call each other and a
// phone over UDP, and that one call them.
func TestE2EJsSIP(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	cleo := h.desk(t, caller)
	b := h.jssips(t, "1001", "1002")

	b.do(t, "1001 call sip:1002@"+demoDomain)
	saw := func(what ...string) {
		t.Helper()
		for _, w := range what {
			b.says(t, 1, w)
		}
	}
	saw("1002 rings 1001", "1001 confirmed", "1002 confirmed")
	b.do(t, "1002 hangup")
	saw("1001 ended remote", "1002 ended local")

	answer := cleo.start(t, "answer", "-d", 200)
	b.do(t, "1002 call sip:"+caller+"@"+demoDomain)
	saw("1002 progress remote", "1002 confirmed local")
	b.do(t, "1002 hangup")
	answer.wait(t)

	cleo.calls(t, "call", "1001", "-d", 300).wait(t)
	saw("1001 rings "+caller, "1001 ended remote Terminated")
	for _, r := range h.records(t, 3) {
		if r.Outcome != "answered" {
			t.Errorf("record = %+v, want an answered call", r)
		}
	}
}
