//go:build e2e

package main

import (
	"database/sql"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The flows of anchored calls: the server is the other end of every leg
// (architecture.md §3), and forwards by outcome, single number reach, CallMe and
// trunks work on signalling alone.

// anchor makes every call of a number an anchored one, without changing what
// happens to it when it is answered.
func (h *house) anchor(t *testing.T, number string) {
	t.Helper()
	h.forward(t, number, object{"no_answer": object{"both": object{"enabled": true, "target": "1005"}}})
}

// forward sets all forwards of a number.
func (h *house) forward(t *testing.T, number string, body object) {
	t.Helper()
	h.put(t, "/numbers/"+number+"/forwarding", body)
}

// person gives a number of the demo a short ring time and a public number.
func (h *house) person(t *testing.T, number, user string, more object) {
	t.Helper()
	doc := object{"user": user, "public": "+49897007" + number, "ring_time": "PT5S"}
	maps.Copy(doc, more)
	h.put(t, "/numbers/"+number, doc)
}

// carrier provisions a carrier that SIPp plays, and returns it.
func (h *house) carrier(t *testing.T, name string, more object) *phone {
	t.Helper()
	p := h.peer(t, "+4930123", "bellhop")
	h.carrierAt(t, name, []string{"127.0.0.1:" + p.port}, more)
	return p
}

// peer returns the other end of a trunk. It speaks UDP, whatever phones do.
func (h *house) peer(t *testing.T, number, device string) *phone {
	t.Helper()
	p := h.phone(t, number, device)
	p.server = h.info.SIP
	return p
}

// carrierAt provisions a carrier at some peers.
func (h *house) carrierAt(t *testing.T, name string, peers []string, more object) {
	t.Helper()
	doc := object{
		"peers": peers, "proof": "address", "spoofable": "accepted", "match_in": []string{"*"}, "health": "off",
		"routes": []object{{"prefix": "+"}},
	}
	maps.Copy(doc, more)
	h.put(t, "/trunks/"+name, doc)
}

// mobile is the remote destination of ana in these tests.
const mobile = "+4917112345"

// reach sets single number reach of ana's mobile.
func (h *house) reach(t *testing.T, more object) {
	t.Helper()
	doc := object{"number": mobile, "label": "mobile", "mobile": true, "snr": true, "delay": 1000, "answer_too_soon": 0, "stop_after": 10_000}
	maps.Copy(doc, more)
	h.put(t, "/users/ana/remote-destinations/mobile", doc)
}

// TestE2ECisco is the example of behaviour.md: 1000 -> 1001 -> 1002 -> 1000, put
// into the store; 1002 has no-answer -> 1004. A call to 1000 rings 1002, then 1004.
func TestE2ECisco(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.put(t, "/numbers/1000", object{})
		h.person(t, "1002", "ben", nil)
		h.forwardAll(t, "1000", "1001")
		h.forwardAll(t, "1001", "1002")
		h.forward(t, "1002", object{
			"all":       object{"both": object{"enabled": false, "target": "1000"}},
			"no_answer": object{"both": object{"enabled": true, "target": "1004"}},
		})
		h.stop(t)
		db, err := sql.Open("sqlite", filepath.Join(h.dir, "demo", "store", "bellhop.db"))
		if err != nil {
			t.Fatal(err)
		}
		done, err := db.Exec(`UPDATE documents SET body = CAST(replace(CAST(body AS TEXT), '"enabled":false', '"enabled":true') AS BLOB) WHERE kind = 'forwarding' AND name = '1002'`)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := done.RowsAffected(); err != nil || n != 1 {
			t.Fatalf("%d documents changed, %v", n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		h.restart(t)
		cleo, ben, dan := h.desk(t, caller), h.desk(t, "1002"), h.desk(t, "1004")
		rang, answer := ben.start(t, "leg-cancelled", "-d", 10), dan.start(t, "answer", "-d", 100)
		cleo.calls(t, "call", "1000", "-d", 100).wait(t)
		rang.wait(t)
		answer.wait(t)
		if got := field(rang.got(t, "CANCEL "), "Reason"); len(got) > 0 {
			t.Errorf("Reason = %q: ben's phone shall log a missed call", got)
		}
		h.check(t, want{caller, "1000", "1004", "desk-1004", 200, "answered", []string{"forward.all", "forward.loop-breakout", "forward.no-answer"}})
	})
}

// TestE2EOutcomes forwards over two hops, by each outcome.
func TestE2EOutcomes(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		for _, tt := range []struct{ name, scenario, rule, reason string }{
			{"no_answer", "leg-cancelled", "forward.no-answer", "no-answer"},
			{"busy", "busy", "forward.busy", "user-busy"},
			{"unreachable", "", "forward.unreachable", "unavailable"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := open(t)
				h.person(t, "1001", "ana", object{"call_waiting": false})
				h.person(t, "1002", "ben", object{"call_waiting": false})
				h.forward(t, "1001", object{tt.name: object{"both": object{"enabled": true, "target": "1002"}}})
				h.forward(t, "1002", object{tt.name: object{"both": object{"enabled": true, "target": "1004"}}})
				var rang []*flow
				if tt.scenario != "" {
					for _, number := range []string{"1001", "1002"} {
						rang = append(rang, h.desk(t, number).start(t, tt.scenario, "-d", 10))
					}
				}
				answer := h.desk(t, "1004").start(t, "answer", "-d", 100)
				call := h.desk(t, caller).calls(t, "call", "1001", "-d", 100)
				call.wait(t)
				answer.wait(t)
				var ids []string
				for _, f := range append(rang, answer) {
					f.wait(t)
					ids = append(ids, field(f.got(t, "INVITE "), "Call-ID")[0])
				}
				if slices.Sort(ids); len(slices.Compact(ids)) != len(rang)+1 {
					t.Errorf("legs share a Call-ID: %q", ids)
				}
				invite := answer.got(t, "INVITE ")
				matches(t, invite, "Diversion", `^<sip:1001@bellhop\.test>;.*reason=`+tt.reason)
				matches(t, invite, "Diversion", `^<sip:1002@bellhop\.test>;.*reason=`+tt.reason)
				matches(t, invite, "History-Info", `<sip:1001@bellhop\.test`)
				if call.count(t, "SIP/2.0 181") == 0 {
					t.Error("the caller was not told of the forward")
				}
				h.check(t, want{caller, "1001", "1004", "desk-1004", 200, "answered", []string{tt.rule}})
			})
		}
	})
}

// TestE2EOutcomesEnd: when nobody answers in the end, the caller gets one final
// response.
func TestE2EOutcomesEnd(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.forward(t, "1001", object{"busy": object{"both": object{"enabled": true, "target": "1002"}}})
		ana, ben := h.desk(t, "1001").start(t, "busy"), h.desk(t, "1002").start(t, "busy")
		call := h.desk(t, caller).calls(t, "call-refused", "1001")
		for _, f := range []*flow{call, ana, ben} {
			f.wait(t)
		}
		h.check(t, want{caller, "1001", "1002", "", 486, "busy", []string{"forward.busy"}})
	})
}

// TestE2EReach rings the desk and a mobile behind a trunk.
func TestE2EReach(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		setup := func(t *testing.T) (*house, *phone, *phone) {
			h := open(t)
			h.person(t, "1001", "ana", object{"ring_time": "PT20S"})
			h.person(t, caller, "cleo", nil)
			h.reach(t, nil)
			return h, h.desk(t, caller), h.carrier(t, "carrier", nil)
		}
		t.Run("the mobile wins", func(t *testing.T) {
			t.Parallel()
			h, cleo, carrier := setup(t)
			ana := h.desk(t, "1001")
			desk, answer := ana.start(t, "leg-cancelled", "-d", 10), carrier.start(t, "answer", "-d", 500)
			cleo.calls(t, "call", "1001", "-d", 300).wait(t)
			desk.wait(t)
			answer.wait(t)
			matches(t, desk.got(t, "CANCEL "), "Reason", `^SIP;cause=200;text="Call completed elsewhere"$`)
			invite := answer.got(t, "INVITE ")
			if !strings.HasPrefix(invite, "INVITE sip:"+mobile+"@127.0.0.1:"+carrier.port) {
				t.Errorf("the carrier was asked for %.60q", invite)
			}
			r := h.records(t, 1)[0]
			want{caller, "1001", "1001", "", 200, "answered", []string{"ring.devices"}}.equal(t, &r)
		})
		t.Run("the desk wins", func(t *testing.T) {
			t.Parallel()
			h, cleo, carrier := setup(t)
			desk, other := h.desk(t, "1001").start(t, "answer", "-d", 2500), carrier.start(t, "leg-cancelled", "-d", 10)
			began := time.Now()
			cleo.calls(t, "call", "1001", "-d", 300).wait(t)
			desk.wait(t)
			other.wait(t)
			if time.Since(began) < 2500*time.Millisecond {
				t.Error("the desk was not given its time")
			}
			matches(t, other.got(t, "CANCEL "), "Reason", `^SIP;cause=200;text="Call completed elsewhere"$`)
			h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}})
		})
		t.Run("the desk wins before the mobile rings", func(t *testing.T) {
			t.Parallel()
			h, cleo, carrier := setup(t)
			desk, other := h.desk(t, "1001").start(t, "answer", "-d", 100), carrier.start(t, "answer")
			cleo.calls(t, "call", "1001", "-d", 1500).wait(t)
			desk.wait(t)
			if n := other.count(t, "INVITE "); n > 0 {
				t.Errorf("the mobile rang %d times after the desk answered", n)
			}
		})
		t.Run("the mobile stops", func(t *testing.T) {
			t.Parallel()
			h, cleo, carrier := setup(t)
			desk, other := h.desk(t, "1001").start(t, "answer", "-d", 11_500), carrier.start(t, "leg-cancelled", "-d", 10)
			cleo.calls(t, "call", "1001", "-d", 100).wait(t)
			desk.wait(t)
			other.wait(t)
			if got := field(other.got(t, "CANCEL "), "Reason"); len(got) > 0 {
				t.Errorf("Reason = %q: nobody had answered", got)
			}
			h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}})
		})
		t.Run("no desk", func(t *testing.T) {
			t.Parallel()
			h, cleo, carrier := setup(t)
			answer := carrier.start(t, "answer", "-d", 100)
			began := time.Now()
			cleo.calls(t, "call", "1001", "-d", 100).wait(t)
			answer.wait(t)
			if time.Since(began) > 900*time.Millisecond {
				t.Errorf("the mobile rang late although no device was registered: %v", time.Since(began))
			}
			r := h.records(t, 1)[0]
			want{caller, "1001", "1001", "", 200, "answered", nil}.equal(t, &r)
		})
	})
}

// TestE2ECallMe sends ana's calls to another phone; the caller goes on seeing the
// number that was dialled.
func TestE2ECallMe(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.person(t, "1001", "ana", nil)
		h.person(t, caller, "cleo", nil)
		cleo, dan, carrier := h.desk(t, caller), h.desk(t, "1004"), h.carrier(t, "carrier", nil)
		h.desk(t, "1001")
		h.put(t, "/users/ana/callme", object{"target": "1004"})
		answer := dan.start(t, "answer", "-d", 100)
		call := cleo.calls(t, "call", "1001", "-d", 100)
		call.wait(t)
		answer.wait(t)
		matches(t, call.got(t, "SIP/2.0 200"), "To", `<sip:1001@bellhop\.test>`)
		if call.count(t, "SIP/2.0 181") > 0 {
			t.Error("the caller learns that the call went elsewhere")
		}
		h.put(t, "/users/ana/callme", object{"target": mobile})
		answer = carrier.start(t, "answer", "-d", 100)
		cleo.calls(t, "call", "1001", "-d", 100).wait(t)
		answer.wait(t)
		h.put(t, "/users/ana/presence", object{"status": "meeting"}) // suspends it
		desk := h.phone(t, "1001", "desk-1001")
		desk.start(t, "register").wait(t)
		answer = desk.start(t, "answer", "-d", 100)
		cleo.calls(t, "call", "1001", "-d", 100).wait(t)
		answer.wait(t)
		for i, r := range h.records(t, 3) {
			if answered := []string{"desk-1001", "", "desk-1004"}[i]; r.Device != answered {
				t.Errorf("call %d was answered by %q, want %q: %+v", 3-i, r.Device, answered, r)
			}
		}
	})
}

// TestE2ESides: a forward may differ between callers inside and outside.
func TestE2ESides(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.person(t, "1001", "ana", nil)
		h.forward(t, "1001", object{"all": object{
			"internal": object{"enabled": true, "target": "1002"}, "external": object{"enabled": true, "target": "1004"},
		}})
		cleo, ben, dan, carrier := h.desk(t, caller), h.desk(t, "1002"), h.desk(t, "1004"), h.carrier(t, "carrier", nil)
		inside := ben.start(t, "answer", "-d", 100)
		cleo.calls(t, "call", "1001", "-d", 100).wait(t)
		inside.wait(t)
		outside := dan.start(t, "answer", "-d", 100)
		carrier.calls(t, "carrier-dials", "+498970071001", "-d", 100).wait(t)
		outside.wait(t)
		matches(t, outside.got(t, "INVITE "), "From", `\+4930123`)
		rs := h.records(t, 2)
		want{"+4930123", "+498970071001", "1004", "desk-1004", 200, "answered", []string{"forward.all"}}.equal(t, &rs[0])
		want{caller, "1001", "1002", "desk-1002", 200, "answered", []string{"forward.all"}}.equal(t, &rs[1])
	})
}

// TestE2ERedirect dials what a phone answers with 302, and never relays it.
func TestE2ERedirect(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		for _, anchored := range []bool{false, true} {
			t.Run(map[bool]string{false: "proxied", true: "anchored"}[anchored], func(t *testing.T) {
				t.Parallel()
				h := open(t)
				if anchored {
					h.anchor(t, "1001")
				}
				cleo, ana, dan := h.desk(t, caller), h.desk(t, "1001"), h.desk(t, "1004")
				away, answer := ana.start(t, "redirect", "-key", "to", "1004"), dan.start(t, "answer", "-d", 100)
				call := cleo.calls(t, "call", "1001", "-d", 100)
				call.wait(t)
				away.wait(t)
				answer.wait(t)
				if n := call.count(t, "SIP/2.0 302"); n > 0 {
					t.Error("the caller got the 302")
				}
				h.check(t, want{caller, "1001", "1004", "desk-1004", 200, "answered", []string{"device.redirect"}})
			})
		}
	})
}

// TestE2ELate: two phones of one number; the one that was cancelled answers all
// the same, and is hung up.
func TestE2ELate(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.anchor(t, "1001")
		cleo, desk, web := h.desk(t, caller), h.desk(t, "1001"), h.phone(t, "1001", "web-1001")
		web.start(t, "register").wait(t)
		answer, late := desk.start(t, "answer", "-d", 300), web.start(t, "leg-late")
		call := cleo.calls(t, "call", "1001", "-d", 500)
		call.wait(t)
		answer.wait(t)
		late.wait(t)
		if n := call.count(t, "SIP/2.0 200"); n != 2 { // of INVITE and BYE
			t.Errorf("the caller got %d times 200, want two", n)
		}
		h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", nil})
	})
}

// TestE2ELateWins: a phone that is given up answers all the same before the next
// one does: it has the call.
func TestE2ELateWins(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.person(t, "1001", "ana", nil)
		h.forward(t, "1001", object{"no_answer": object{"both": object{"enabled": true, "target": "1002"}}})
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		h.desk(t, "1002")
		late := ana.start(t, "leg-late")
		cleo.calls(t, "call", "1001", "-d", 100).wait(t)
		late.wait(t)
		h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", nil})
	})
}

// TestE2ETwoLines rings two lines of one phone in one call: each has a Call-ID of
// its own, so that the phone does not see a loop (rule ring.device-once).
func TestE2ETwoLines(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.person(t, "1001", "ana", nil)
		h.put(t, "/numbers/1006", object{"user": "ana", "ring_time": "PT5S"})
		h.put(t, "/users/ana", object{"numbers": []string{"1001", "1006"}})
		h.put(t, "/devices/desk-1001", object{"user": "ana", "kind": "desk", "lines": []object{{"number": "1001"}, {"number": "1006"}}})
		h.forward(t, "1001", object{"no_answer": object{"both": object{"enabled": true, "target": "1006"}}})
		h.forward(t, "1006", object{"no_answer": object{"both": object{"enabled": true, "target": "1004"}}})
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		second := *ana
		second.number = "1006"
		second.start(t, "register").wait(t)
		rang, answer := ana.start(t, "leg-cancelled", "-d", 10, "-m", 2), h.desk(t, "1004").start(t, "answer", "-d", 100)
		cleo.calls(t, "call", "1001", "-d", 100).wait(t)
		rang.wait(t)
		answer.wait(t)
		h.check(t, want{caller, "1001", "1004", "desk-1004", 200, "answered", []string{"forward.no-answer"}})
	})
}

// TestE2EDialogs does what phones do in a call, across two legs.
func TestE2EDialogs(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		for _, tt := range []struct{ name, call, answer string }{
			{"the caller hangs up", "call", "answer"},
			{"the callee hangs up", "call-hung-up", "answer-hang-up"},
			{"BYE before ACK", "call-reordered", "answer"},
			{"INFO and new INVITEs", "call-changes", "answer-changes"},
			{"PRACK and UPDATE", "call-reliable", "answer-reliable"},
			{"glare", "call-glare", "answer-glare"},
			{"session timer", "call-timer", "answer"},
			{"late offer", "call-late-offer", "answer-late-offer"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := open(t)
				h.person(t, caller, "cleo", object{"caller_id": "hidden"}) // the call is anchored, and 1001 rings alone
				cleo, ana := h.desk(t, caller), h.desk(t, "1001")
				answer := ana.start(t, tt.answer, "-d", 500)
				call := cleo.calls(t, tt.call, "1001", "-d", 200)
				call.wait(t)
				answer.wait(t)
				invite := answer.first(t, "INVITE ")
				if got := field(invite, "Via"); len(got) != 1 {
					t.Errorf("Via = %q, want one", got)
				}
				matches(t, invite, "Privacy", "id")
				if strings.Contains(invite, caller+"@") {
					t.Errorf("the callee learns who calls:\n%s", invite)
				}
				if field(invite, "Call-ID")[0] == field(call.got(t, "SIP/2.0 200"), "Call-ID")[0] {
					t.Error("both legs have one Call-ID")
				}
				calls := 1
				if tt.call == "call-timer" { // it begins with one that is refused
					calls = 2
				}
				r := h.records(t, calls)[0]
				want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"dial.number", "ring.devices"}}.equal(t, &r)
			})
		}
	})
}

// TestE2EAnchoredCancel gives up an anchored call, while it rings and too late.
func TestE2EAnchoredCancel(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.anchor(t, "1001")
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		rang := ana.start(t, "leg-cancelled", "-d", 10)
		cleo.calls(t, "cancel", "1001", "-d", 300).wait(t)
		rang.wait(t)
		h.check(t, want{caller, "1001", "1001", "", 487, "caller-gave-up", []string{"ring.devices"}})
	})
}

// TestE2EAnchoredLost makes anchored calls while one message in ten is lost.
func TestE2EAnchoredLost(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.put(t, "/numbers/1001", object{"user": "ana", "busy_trigger": 100})
		h.anchor(t, "1001")
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		const calls = 30
		answer := ana.start(t, "answer-lossy", "-d", 100, "-m", calls)
		call := cleo.calls(t, "call-lossy", "1001", "-d", 500, "-m", calls, "-r", 10)
		call.wait(t)
		answer.wait(t)
		for _, r := range h.records(t, calls) {
			want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}}.equal(t, &r)
		}
	})
}

// TestE2EKillAnchored kills the daemon while two people talk on an anchored call:
// after the restart new INVITEs and the BYE of either go through.
func TestE2EKillAnchored(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		for _, tt := range []struct{ name, call, answer string }{
			{"the caller hangs up", "call", "answer-stay"},
			{"the callee hangs up", "call-hung-up", "answer-hang-up"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				h := open(t)
				h.anchor(t, "1001")
				cleo, ana := h.desk(t, caller), h.desk(t, "1001")
				const talk = 4000
				answer := ana.start(t, tt.answer, "-d", talk)
				call := cleo.calls(t, tt.call, "1001", "-d", talk)
				before := h.live(t, "talking")
				h.kill(t)
				h.restart(t, cleo, ana)
				if after := h.live(t, "talking"); after.ID != before.ID {
					t.Errorf("call %s is talking after the restart, want %s", after.ID, before.ID)
				}
				call.wait(t)
				answer.wait(t)
				h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}})
			})
		}
	})
}

// TestE2EKillRinging kills the daemon while a phone rings on an anchored call:
// after the restart the call ends on both sides.
func TestE2EKillRinging(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		h.anchor(t, "1001")
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		rang := ana.start(t, "leg-cancelled", "-d", 10)
		call := cleo.calls(t, "call-refused", "1001", final(480))
		h.live(t, "ringing")
		h.kill(t)
		h.restart(t, cleo, ana)
		rang.wait(t)
		call.wait(t)
	})
}
