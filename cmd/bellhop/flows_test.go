//go:build e2e

package main

import (
	"strings"
	"testing"
	"time"
)

// The flows of testdata/sipp. Each test has a daemon of its own, and asserts on
// what SIPp saw and on what the API tells of the call afterwards.

// caller is the phone that calls in most tests: cleo's.
const caller = "1003"

// calls starts a scenario that calls a number.
func (p *phone) calls(t *testing.T, scenario, number string, args ...any) *flow {
	t.Helper()
	return p.start(t, scenario, append([]any{"-s", number}, args...)...)
}

// TestE2ERegister registers with a digest, refreshes and unregisters. Over TLS a
// connection that registered is asked no more.
func TestE2ERegister(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		p := h.phone(t, "1001", "desk-1001")
		f := p.start(t, "register-cycle", "-d", 1500)
		for deadline := time.Now().Add(5 * time.Second); f.count(t, "SIP/2.0 200") < 2 && time.Now().Before(deadline); {
			<-time.After(20 * time.Millisecond)
		}
		if got := h.contacts(t, "1001"); len(got) != 1 || got[0] != "sip:1001@127.0.0.1:"+p.port {
			t.Errorf("bindings = %q", got)
		}
		f.wait(t)
		if got := h.contacts(t, "1001"); len(got) != 0 {
			t.Errorf("bindings after the phone went = %q", got)
		}
		// Up to a tenth less than what was asked for is granted.
		for i, want := range []string{`3(2[4-9]\d|[3-5]\d\d|600)$`, `1(6[2-9]\d|7\d\d|800)$`} {
			var n int
			for _, m := range f.messages(t) {
				if strings.HasPrefix(m, "SIP/2.0 200") {
					if n == i {
						matches(t, m, "Contact", `;expires=`+want)
					}
					n++
				}
			}
		}
	})
}

// TestE2ERegisterRefused: a wrong password, and a number of somebody else.
func TestE2ERegisterRefused(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.phone(t, "1001", "desk-1001").start(t, "register-wrong", "-ap", "wrong").wait(t)
		h.phone(t, "1001", "nobody").start(t, "register-wrong").wait(t)
		h.phone(t, "1001", "desk-1002").start(t, "register-wrong", final(403)).wait(t)
		if got := h.contacts(t, "1001"); len(got) != 0 {
			t.Errorf("bindings = %q", got)
		}
	})
}

// TestE2ECall makes basic calls through Record-Route, ended from either side.
func TestE2ECall(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP TLS Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		for _, tt := range []struct{ name, call, answer string }{
			{"the caller hangs up", "call", "answer"},
			{"the callee hangs up", "call-hung-up", "answer-hang-up"},
			{"180 after 200", "call", "answer-early"},
			{"everything twice", "call-doubled", "answer-doubled"},
			{"BYE before ACK", "call-reordered", "answer-reordered"},
			{"INFO and new INVITEs in the dialog", "call-changes", "answer-changes"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := open(t)
				cleo, ana := h.desk(t, caller), h.desk(t, "1001")
				answer := ana.start(t, tt.answer, "-d", 500) // 100 comes in 200 ms, and before 180
				call := cleo.calls(t, tt.call, "1001", "-d", 200)
				call.wait(t)
				answer.wait(t)
				invite := answer.first(t, "INVITE ")
				matches(t, invite, "Record-Route", `^<sip:.*;lr`)
				if got := field(invite, "Via"); len(got) != 2 {
					t.Errorf("Via = %q, want two", got)
				}
				if len(field(invite, "Proxy-Authorization")) > 0 {
					t.Errorf("credentials went on to the callee:\n%s", invite)
				}
				h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"dial.number", "ring.devices"}})
			})
		}
	})
}

// TestE2ECancel gives up, at once, while it rings, and too late.
func TestE2ECancel(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP TLS Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		for _, tt := range []struct {
			name, call, answer string
			want               want
		}{
			{"while it rings", "cancel", "cancelled", want{caller, "1001", "1001", "", 487, "caller-gave-up", []string{"ring.devices"}}},
			{"crossing the answer", "cancel-crossed", "answer-crossed", want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := open(t)
				cleo, ana := h.desk(t, caller), h.desk(t, "1001")
				answer := ana.start(t, tt.answer)
				call := cleo.calls(t, tt.call, "1001", "-d", 300)
				call.wait(t)
				answer.wait(t)
				if got := field(answer.got(t, "CANCEL "), "Reason"); strings.Contains(strings.Join(got, ""), "elsewhere") {
					t.Errorf("Reason = %q: nobody answered elsewhere", got)
				}
				h.check(t, tt.want)
			})
		}
	})
}

// TestE2ECancelAtOnce sends CANCEL right after INVITE, many times: whatever the
// callee saw of it, it stops ringing, and every call has its record.
func TestE2ECancelAtOnce(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		h.put(t, "/numbers/1001", object{"user": "ana", "busy_trigger": 100})
		const calls = 50
		answer := ana.start(t, "cancelled", "-m", calls, "-d", 100)
		cleo.calls(t, "cancel-at-once", "1001", "-m", calls, "-r", 100).wait(t)
		rang := answer.count(t, "INVITE ")
		if cancelled := answer.count(t, "CANCEL "); rang == calls {
			answer.wait(t)
		} else if cancelled < rang {
			t.Errorf("%d rang, %d were cancelled", rang, cancelled)
		}
		for _, r := range h.records(t, calls) {
			if r.Status != 487 {
				t.Errorf("record = %+v, want 487", r)
			}
		}
	})
}

// TestE2EBusy calls a phone that is busy, and one that is not there.
func TestE2EBusy(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP TLS Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		answer := ana.start(t, "busy")
		cleo.calls(t, "call-refused", "1001").wait(t)
		answer.wait(t)
		cleo.calls(t, "call-refused", "1004", final(480)).wait(t)
		cleo.calls(t, "call-refused", "4711", final(404)).wait(t)
		rs := h.records(t, 3)
		want{caller, "4711", "", "", 404, "refused", []string{"dial.unknown"}}.equal(t, &rs[0])
		want{caller, "1004", "1004", "", 480, "unreachable", []string{"ring.final"}}.equal(t, &rs[1])
		want{caller, "1001", "1001", "", 486, "busy", []string{"ring.devices"}}.equal(t, &rs[2])
	})
}

// TestE2ETwoDevices rings two devices of one number: one answers, the other is
// told that somebody did.
func TestE2ETwoDevices(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP TLS Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		cleo, desk, web := h.desk(t, caller), h.desk(t, "1001"), h.phone(t, "1001", "web-1001")
		web.start(t, "register").wait(t)
		answer, other := desk.start(t, "answer", "-d", 300), web.start(t, "cancelled")
		cleo.calls(t, "call", "1001", "-d", 200).wait(t)
		answer.wait(t)
		other.wait(t)
		matches(t, other.got(t, "CANCEL "), "Reason", `^SIP;cause=200;text="Call completed elsewhere"$`)
		h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}})
	})
}

// TestE2EDND obeys do not disturb in its modes.
func TestE2EDND(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		for _, mode := range []string{"voicemail-else-busy", "reject"} {
			h.put(t, "/users/ana/dnd", object{"enabled": true, "mode": mode})
			cleo.calls(t, "call-refused", "1001").wait(t)
		}
		h.put(t, "/users/ana/dnd", object{"enabled": true, "mode": "ringer-off"})
		answer := ana.start(t, "answer", "-d", 100)
		cleo.calls(t, "call", "1001", "-d", 100).wait(t)
		answer.wait(t)
		if len(field(answer.got(t, "INVITE "), "Alert-Info")) != 1 {
			t.Errorf("no Alert-Info for a phone that shall not ring:\n%s", answer.got(t, "INVITE "))
		}
		h.put(t, "/users/ana/dnd", object{"enabled": true, "mode": "reject", "allow": []string{caller}})
		answer = ana.start(t, "answer")
		cleo.calls(t, "call", "1001", "-d", 100).wait(t)
		answer.wait(t)
		if got := field(answer.got(t, "INVITE "), "Alert-Info"); len(got) > 0 {
			t.Errorf("Alert-Info = %q for a caller who gets through", got)
		}
		rs := h.records(t, 4)
		for i, w := range []want{
			{caller, "1001", "1001", "desk-1001", 200, "answered", nil},
			{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"dnd"}},
			{caller, "1001", "1001", "", 486, "busy", []string{"dnd"}},
			{caller, "1001", "1001", "", 486, "busy", []string{"dnd"}},
		} {
			w.equal(t, &rs[i])
		}
	})
}

// forwarded calls 1001 and expects that another number rings, and how it and
// the caller are told.
func forwarded(t *testing.T, h *house, number, reason string, rules ...string) {
	t.Helper()
	cleo, target := h.desk(t, caller), h.desk(t, number)
	answer := target.start(t, "answer", "-d", 100)
	call := cleo.calls(t, "call", "1001", "-d", 100)
	call.wait(t)
	answer.wait(t)
	invite := answer.got(t, "INVITE ")
	matches(t, invite, "Diversion", `^<sip:1001@bellhop\.test>;.*reason=`+reason)
	matches(t, invite, "History-Info", `<sip:1001@bellhop\.test`)
	said := call.got(t, "SIP/2.0 181")
	if len(field(said, "Contact")) > 0 {
		t.Errorf("181 has a Contact:\n%s", said)
	}
	if call.count(t, "SIP/2.0 181") != 1 {
		t.Errorf("%d times 181, want one", call.count(t, "SIP/2.0 181"))
	}
	h.check(t, want{caller, "1001", number, "desk-" + number, 200, "answered", rules})
}

// TestE2EForward obeys a forward that was just set, by the next call.
func TestE2EForward(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		ana := h.desk(t, "1001")
		h.forwardAll(t, "1001", "1002")
		forwarded(t, h, "1002", "unconditional", "forward.all", "ring.devices")
		// Ben reaches ana, who forwards to him.
		answer := ana.start(t, "answer")
		h.desk(t, "1002").calls(t, "call", "1001", "-d", 100).wait(t)
		answer.wait(t)
		want{"1002", "1001", "1001", "desk-1001", 200, "answered", []string{"forward.override"}}.equal(t, &h.records(t, 2)[0])
	})
}

// TestE2EPresence follows the target of a status.
func TestE2EPresence(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.desk(t, "1001")
		h.put(t, "/users/ana/presence/forwarding", object{"vacation": object{"target": "1004"}})
		h.put(t, "/users/ana/presence", object{"status": "vacation"})
		forwarded(t, h, "1004", "", "presence.forward", "ring.devices")
	})
}

// TestE2EUnknown relays a request that nobody here knows, untouched.
func TestE2EUnknown(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		answer := ana.start(t, "unknown-answer")
		cleo.calls(t, "unknown", "1001").wait(t)
		answer.wait(t)
		got := answer.got(t, "FROB ")
		matches(t, got, "X-Unknown", `^kept; as=is$`)
		matches(t, got, "Content-Type", `^application/x-frob$`)
		if !strings.Contains(got, "<frob answer=\"42\">\nnaïve bytes\n</frob>\n") {
			t.Errorf("the body is not as it was:\n%q", got)
		}
		if len(field(got, "Record-Route")) > 0 {
			t.Errorf("Record-Route in a request that makes no dialog:\n%s", got)
		}
		h.records(t, 0)
	})
}

// TestE2ELost makes calls while one message in ten is lost, either way; over TCP
// none is.
func TestE2ELost(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		h.put(t, "/numbers/1001", object{"user": "ana", "busy_trigger": 100})
		const calls = 10
		answer := ana.start(t, "answer-lossy", "-d", 100, "-m", calls)
		call := cleo.calls(t, "call-lossy", "1001", "-d", 500, "-m", calls, "-r", 10)
		call.wait(t)
		answer.wait(t)
		for _, r := range h.records(t, calls) {
			want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}}.equal(t, &r)
		}
	})
}
