//go:build e2e

package main

import (
	"net"
	"testing"
)

// TestE2EBaresip lets phones that speak TCP and TLS be called by one that speaks
// UDP, and one by the other's number: a phone of each kind hears each other one.
func TestE2EBaresip(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "--sips", "127.0.0.1:0")
	ana := h.baresip(t, "1001", h.info.SIP+";transport=tcp")
	ben := h.baresip(t, "1002", h.info.SIPS+";transport=tls")
	cleo := h.desk(t, caller)
	dan := h.desk(t, "1004")
	dan.server = newBridge(t, func() (net.Conn, error) { return net.Dial("tcp", h.info.SIP) }).addr()
	for i, phone := range []*phone{cleo, dan} {
		phone.calls(t, "call", "1001", "-d", 200).wait(t)
		phone.calls(t, "call", "1002", "-d", 200).wait(t)
		for _, called := range []*softphone{ana, ben} {
			if n := called.said("Call established"); n != i+1 {
				t.Errorf("%s: %d calls established, want %d", called.name, n, i+1)
			}
		}
	}
}

// TestE2EBaresipLines rings two lines of one phone, one after the other, in one call:
// the phone sees two calls, and no
// loop (rule ring.device-once).
func TestE2EBaresipLines(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.person(t, "1001", "ana", nil)
	h.put(t, "/numbers/1006", object{"user": "ana", "ring_time": "PT5S"})
	h.put(t, "/users/ana", object{"numbers": []string{"1001", "1006"}})
	h.put(t, "/devices/desk-1001", object{"user": "ana", "kind": "desk", "lines": []object{{"number": "1001"}, {"number": "1006"}}})
	h.forward(t, "1001", object{"no_answer": object{"both": object{"enabled": true, "target": "1006"}}})
	phone := h.baresips(t, "desk-1001", h.info.SIP, line{"1001", "manual"}, line{"1006", "auto"})
	h.desk(t, caller).calls(t, "call", "1001", "-d", 300).wait(t)
	for _, said := range []string{"1001@bellhop.test: Incoming call", "1006@bellhop.test: Call established"} {
		if phone.said(said) != 1 {
			t.Errorf("the phone does not say %q once", said)
		}
	}
	h.check(t, want{caller, "1001", "1006", "desk-1001", 200, "answered", []string{"forward.no-answer"}})
}
