//go:build e2e

package main

import (
	"maps"
	"strings"
	"testing"
)

// group makes the hunt group of the demo ring 1001, 1002 and 1005 in another way.
func (h *house) group(t *testing.T, more object) {
	t.Helper()
	doc := object{"number": "1100", "members": []string{"1001", "1002", "1005"}, "strategy": "in-order", "ring_time": "PT5S"}
	maps.Copy(doc, more)
	h.put(t, "/groups/1100", doc)
}

// TestE2EGroupOverflow calls a hunt group of three where nobody can be tried, or
// who is has no time: the call goes on to the overflow.
func TestE2EGroupOverflow(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.group(t, object{"overflow": "1004"})
		h.put(t, "/users/ben/presence", object{"status": "vacation"})
		busy, answer := h.desk(t, "1001").start(t, "busy"), h.desk(t, "1004").start(t, "answer", "-d", 100)
		h.desk(t, "1002") // away; 1005 has no phone
		call := h.desk(t, caller).calls(t, "call", "1100", "-d", 100)
		for _, f := range []*flow{call, busy, answer} {
			f.wait(t)
		}
		call.got(t, "SIP/2.0 181")
		matches(t, answer.got(t, "INVITE "), "Diversion", "<sip:1100@bellhop.test>;reason=unknown")
		matches(t, answer.got(t, "INVITE "), "History-Info", "<sip:1100@bellhop.test>;index=1, <sip:1004@bellhop.test;cause=302>;index=1.1;mp=1")
		h.check(t, want{caller, "1100", "1004", "desk-1004", 200, "answered", []string{"dial.group", "group.skipped", "group.member", "group.overflow"}})
	})
}

// TestE2EGroupInOrder rings the members one after the other: one is busy, one does
// not answer, one is baresip.
func TestE2EGroupInOrder(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.group(t, object{"overflow": "1004"})
		h.forwardAll(t, "1004", "1003") // nobody gets there
		busy, rang := h.desk(t, "1001").start(t, "busy"), h.desk(t, "1002").start(t, "leg-cancelled", "-d", 10)
		eve := h.baresip(t, "1005", h.info.SIP)
		h.desk(t, caller).calls(t, "call", "1100", "-d", 300).wait(t)
		busy.wait(t)
		rang.wait(t)
		if got := field(rang.got(t, "CANCEL "), "Reason"); len(got) > 0 {
			t.Errorf("Reason = %q: ben's phone shall log a missed call", got)
		}
		if n := eve.said("Call established"); n != 1 {
			t.Errorf("eve's phone has %d calls, want 1", n)
		}
		h.check(t, want{caller, "1100", "1005", "desk-1005", 200, "answered", []string{"dial.group", "group.member"}})
	})
}

// TestE2EGroupAll rings all members at once; the first to answer has the call.
func TestE2EGroupAll(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.group(t, object{"strategy": "all"})
		rang, answer := h.desk(t, "1001").start(t, "leg-cancelled", "-d", 10), h.desk(t, "1002").start(t, "answer", "-d", 100)
		h.desk(t, caller).calls(t, "call", "1100", "-d", 100).wait(t)
		answer.wait(t)
		rang.wait(t)
		if got := field(rang.got(t, "CANCEL "), "Reason"); len(got) != 1 || !strings.Contains(got[0], "Call completed elsewhere") {
			t.Errorf("Reason = %q, want that a person answered elsewhere", got)
		}
		h.check(t, want{caller, "1100", "1002", "desk-1002", 200, "answered", []string{"dial.group", "group.member"}})
	})
}
