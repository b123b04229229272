package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

const elsewhere = `SIP;cause=200;text="Call completed elsewhere"`

// reply answers and waits until it was taken.
func reply(p *siptest.Phone, req *siptest.Message, status int) {
	p.Reply(req, siptest.Answer{Status: status})
	pass(0)
}

func TestTwoDevicesOneAnswers(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, desk, soft := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "soft-1002", 13)
		call := ana.Call(t, "1002")
		atDesk, atSoft := desk.Wait(t, "INVITE"), soft.Wait(t, "INVITE")
		if atDesk.Branch() == atSoft.Branch() || atDesk.Header("Max-Breadth") != "30" {
			t.Errorf("INVITE as forked:\n%s", atDesk.Raw)
		}
		desk.Reply(atDesk, siptest.Answer{Status: 183, Body: siptest.SDP}) // rule ring.early-media: no SDP while both can answer
		if m := ana.Wait(t, "180 INVITE"); m.Body() != "" {
			t.Errorf("18x with SDP of one of two:\n%s", m.Raw)
		}
		reply(soft, atSoft, 180)
		ana.Wait(t, "180 INVITE")
		desk.Reply(atDesk, siptest.Answer{Status: 200, Body: siptest.SDP})
		cancel := soft.Wait(t, "CANCEL")
		if got := cancel.Header("Reason"); got != elsewhere {
			t.Errorf("Reason = %q, want %q", got, elsewhere)
		}
		call.Ack(ana.Wait(t, "200 INVITE"))
		desk.Wait(t, "ACK")
		reply(soft, cancel, 200)
		reply(soft, atSoft, 487)
		soft.Wait(t, "ACK")
		call.Bye()
		desk.Reply(desk.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Wait(t, "200 BYE")
		pass(time.Minute)
		ana.Saw(t, "> INVITE", "< 180 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "> BYE", "< 200 BYE")
		desk.Saw(t, "< INVITE", "> 183 INVITE", "> 200 INVITE", "< ACK", "< BYE", "> 200 BYE")
		soft.Saw(t, "< INVITE", "> 180 INVITE", "< CANCEL", "> 200 CANCEL", "> 487 INVITE", "< ACK")
		if c := h.record(t); c.Device != "desk-1002" || c.Outcome != "answered" {
			t.Errorf("record %+v", c)
		}
	})
}

// TestBothAnswer: every 2xx goes up, each end acknowledges its own, and the
// caller hangs one up (RFC 3261 §13.2.2.4, §16.7 step 5).
func TestBothAnswer(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, desk, soft := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "soft-1002", 13)
		call := ana.Call(t, "1002")
		atDesk, atSoft := desk.Wait(t, "INVITE"), soft.Wait(t, "INVITE")
		reply(desk, atDesk, 180)
		reply(soft, atSoft, 180)
		reply(desk, atDesk, 200)
		soft.Reply(atSoft, siptest.Answer{Status: 200})
		soft.Reply(soft.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
		ana.Wait(t, "180 INVITE")
		ana.Wait(t, "180 INVITE")
		second := *call
		call.Ack(ana.Wait(t, "200 INVITE"))
		desk.Wait(t, "ACK")
		ok := ana.Wait(t, "200 INVITE")
		if ok.ToTag() != soft.Tag(call.CallID) {
			t.Errorf("second 200 of %s", ok.ToTag())
		}
		second.Ack(ok)
		soft.Wait(t, "ACK")
		second.Bye()
		soft.Reply(soft.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Wait(t, "200 BYE")
		call.CSeq = 10
		call.Bye()
		desk.Reply(desk.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Wait(t, "200 BYE")
		ana.Saw(t, "> INVITE", "< 180 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "< 200 INVITE", "> ACK", "> BYE", "< 200 BYE", "> BYE", "< 200 BYE")
		soft.Saw(t, "< INVITE", "> 180 INVITE", "> 200 INVITE", "< CANCEL", "> 200 CANCEL", "< ACK", "< BYE", "> 200 BYE")
		desk.Saw(t, "< INVITE", "> 180 INVITE", "> 200 INVITE", "< ACK", "< BYE", "> 200 BYE")
	})
}

// TestGroupsByQ: a phone with a lower q rings when the one before it is busy.
func TestGroupsByQ(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana := h.registered(t, "desk-1001", 11)
		first, second := h.phone("desk-1002", 12), h.phone("soft-1002", 13)
		first.Register(t, siptest.Registration{Contacts: []string{"<" + first.Contact() + ">;q=0.9"}})
		second.Register(t, siptest.Registration{Contacts: []string{"<" + second.Contact() + ">;q=0.4"}})
		first.Ladder, second.Ladder = nil, nil
		call := ana.Call(t, "1002")
		inv := first.Wait(t, "INVITE")
		reply(first, inv, 180)
		ana.Wait(t, "180 INVITE")
		second.Quiet(t, 10*time.Second)
		reply(first, inv, 486)
		first.Wait(t, "ACK")
		inv = second.Wait(t, "INVITE")
		reply(second, inv, 180)
		ana.Wait(t, "180 INVITE")
		reply(second, inv, 200)
		call.Ack(ana.Wait(t, "200 INVITE"))
		second.Wait(t, "ACK")
		second.Answered(inv).Bye()
		ana.Reply(ana.Wait(t, "BYE"), siptest.Answer{Status: 200})
		second.Wait(t, "200 BYE")
		ana.Saw(t, "> INVITE", "< 180 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "< BYE", "> 200 BYE")
		first.Saw(t, "< INVITE", "> 180 INVITE", "> 486 INVITE", "< ACK")
		second.Saw(t, "< INVITE", "> 180 INVITE", "> 200 INVITE", "< ACK", "> BYE", "< 200 BYE")
	})
}

// TestRingTimeOfAGroup: the first group has its share of the time, then it is
// cancelled without a Reason and the next one rings (rules ring.devices,
// ring.stage, ring.reason); a late 2xx still wins.
func TestRingTimeOfAGroup(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late answer %v", late), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana := h.registered(t, "desk-1001", 11)
				first, second := h.phone("desk-1002", 12), h.phone("soft-1002", 13)
				first.Register(t, siptest.Registration{Contacts: []string{"<" + first.Contact() + ">;q=0.9"}})
				second.Register(t, siptest.Registration{Contacts: []string{"<" + second.Contact() + ">;q=0.4"}})
				first.Ladder, second.Ladder = nil, nil
				began := time.Now()
				call := ana.Call(t, "1002")
				atFirst := first.Wait(t, "INVITE")
				reply(first, atFirst, 180)
				first.Patience = 3 * time.Minute
				cancel := first.Wait(t, "CANCEL")
				if d := time.Since(began); d != 85*time.Second {
					t.Errorf("CANCEL after %v, want half of 170 s", d)
				}
				if cancel.Header("Reason") != "" {
					t.Errorf("CANCEL with Reason %q, want none", cancel.Header("Reason"))
				}
				reply(first, cancel, 200)
				atSecond := second.Wait(t, "INVITE")
				if d := time.Since(began); d != 85*time.Second+500*time.Millisecond {
					t.Errorf("next group after %v, want 500 ms later", d)
				}
				reply(second, atSecond, 180)
				ana.Wait(t, "180 INVITE")
				ana.Wait(t, "180 INVITE")
				winner, inv := second, atSecond
				if late {
					winner, inv = first, atFirst
				} else {
					reply(first, atFirst, 487)
					first.Wait(t, "ACK")
				}
				winner.Reply(inv, siptest.Answer{Status: 200})
				if late {
					second.Reply(second.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
					reply(second, atSecond, 487)
					second.Wait(t, "ACK")
				}
				call.Ack(ana.Wait(t, "200 INVITE"))
				winner.Wait(t, "ACK")
				call.Bye()
				winner.Reply(winner.Wait(t, "BYE"), siptest.Answer{Status: 200})
				ana.Wait(t, "200 BYE")
				ana.Saw(t, "> INVITE", "< 180 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "> BYE", "< 200 BYE")
			})
		})
	}
}

// TestClock: ringing ends at 170 s with 480; who answers after that is hung up,
// as often as it says so.
func TestClock(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		ana.Patience, ben.Patience = 4*time.Minute, 4*time.Minute
		began := time.Now()
		call := ana.Call(t, "1002")
		inv := ben.Wait(t, "INVITE")
		reply(ben, inv, 180)
		ana.Wait(t, "180 INVITE")
		cancel := ben.Wait(t, "CANCEL")
		if d := time.Since(began); d != 170*time.Second {
			t.Errorf("CANCEL after %v, want 170 s", d)
		}
		ben.Reply(cancel, siptest.Answer{Status: 200})
		res := ana.Wait(t, "480 INVITE")
		call.Refused(res)
		ok := ben.Reply(inv, siptest.Answer{Status: 200})
		ack, bye := ben.Wait(t, "ACK"), ben.Wait(t, "BYE")
		if ack.CSeq() != inv.CSeq() || bye.CSeq() != inv.CSeq()+1 || bye.ToTag() != ben.Tag(call.CallID) || bye.FromTag() != inv.FromTag() || bye.URI() != ben.Contact() {
			t.Errorf("hung up with\n%s\n%s", ack.Raw, bye.Raw)
		}
		ben.SendRaw(ok, "200 INVITE") // the ACK was lost
		ben.Wait(t, "ACK")
		ben.Reply(bye, siptest.Answer{Status: 200})
		pass(40 * time.Second)
		ana.Saw(t, "> INVITE", "< 180 INVITE", "< 480 INVITE", "> ACK")
		ben.Saw(t, "< INVITE", "> 180 INVITE", "< CANCEL", "> 200 CANCEL", "> 200 INVITE", "< ACK", "< BYE", "> 200 INVITE", "< ACK", "> 200 BYE")
		if c := h.record(t); c.Outcome != "no-answer" || c.Status != 480 {
			t.Errorf("record %+v", c)
		}
	})
}

// TestSilentDevice: no 1xx in 4 s is unreachable (rule ring.silent).
func TestSilentDevice(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		late int // what it says after all, 0: nothing
		ben  string
	}{
		{"for good", 0, "< INVITE, < INVITE, < INVITE, < INVITE"},
		{"a late 180 is cancelled", 180, "< INVITE, < INVITE, < INVITE, < INVITE, > 180 INVITE, < CANCEL, > 200 CANCEL, > 487 INVITE, < ACK"},
		{"a late 200 is hung up", 200, "< INVITE, < INVITE, < INVITE, < INVITE, > 200 INVITE, < ACK, < BYE, > 200 BYE"},
		{"a late 486", 486, "< INVITE, < INVITE, < INVITE, < INVITE, > 486 INVITE, < ACK"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				began := time.Now()
				call := ana.Call(t, "1002")
				inv := ben.Wait(t, "INVITE")
				ana.Wait(t, "100 INVITE")
				call.Refused(ana.Wait(t, "480 INVITE"))
				if d := time.Since(began); d != 4*time.Second {
					t.Errorf("480 after %v, want 4 s", d)
				}
				for range 3 { // Timer A: 0.5, 1.5, 3.5 s
					ben.Wait(t, "INVITE")
				}
				if tt.late != 0 {
					reply(ben, inv, tt.late)
				}
				switch tt.late {
				case 180:
					reply(ben, ben.Wait(t, "CANCEL"), 200)
					reply(ben, inv, 487)
					ben.Wait(t, "ACK")
				case 200:
					ben.Wait(t, "ACK")
					reply(ben, ben.Wait(t, "BYE"), 200)
				case 486:
					ben.Wait(t, "ACK")
				}
				if tt.late == 0 {
					pass(3 * time.Second)
					ben.Saw(t, strings.Split(tt.ben, ", ")...)
				} else {
					pass(40 * time.Second)
					ben.Saw(t, strings.Split(tt.ben, ", ")...)
				}
				ana.Saw(t, "> INVITE", "< 100 INVITE", "< 480 INVITE", "> ACK")
				if c := h.record(t); c.Outcome != "unreachable" {
					t.Errorf("record %+v", c)
				}
			})
		})
	}
}

// TestFinal holds rule ring.final: what each answer of a phone becomes.
func TestFinal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		desk, soft int // final responses of the two devices; 0: not registered
		rings      bool
		want       int
		outcome    string
	}{
		{"486", 486, 0, true, 486, "busy"},
		{"600 is busy for that device", 600, 0, true, 486, "busy"},
		{"603 declines", 603, 0, true, 486, "declined"},
		{"480", 480, 0, true, 480, "no-answer"},
		{"480 without ringing", 480, 0, false, 480, "unreachable"},
		{"408 goes nowhere", 408, 0, false, 480, "unreachable"},
		{"487 we did not cause", 487, 0, true, 480, "no-answer"},
		{"503 goes nowhere", 503, 0, false, 480, "unreachable"},
		{"500", 500, 0, false, 500, "unreachable"},
		{"404", 404, 0, false, 404, "refused"},
		{"415", 415, 0, false, 415, "refused"},
		{"302 is not relayed", 302, 0, false, 480, "unreachable"},
		{"busy beats gone", 480, 486, false, 486, "busy"},
		{"it rang and nobody came beats busy", 480, 486, true, 480, "no-answer"},
		{"603 ends the others", 603, 487, true, 486, "declined"},
		{"606", 606, 0, true, 606, "refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, desk := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				var soft *siptest.Phone
				if tt.soft != 0 {
					soft = h.registered(t, "soft-1002", 13)
				}
				call := ana.Call(t, "1002")
				inv := desk.Wait(t, "INVITE")
				if tt.rings {
					reply(desk, inv, 180)
					ana.Wait(t, "180 INVITE")
				}
				var atSoft *siptest.Message
				if soft != nil {
					atSoft = soft.Wait(t, "INVITE")
					reply(soft, atSoft, 100)
				}
				reply(desk, inv, tt.desk)
				desk.Wait(t, "ACK")
				if soft != nil {
					if tt.soft == 487 {
						cancel := soft.Wait(t, "CANCEL")
						reply(soft, cancel, 200)
					}
					reply(soft, atSoft, tt.soft)
				}
				res := ana.Wait(t, fmt.Sprintf("%d INVITE", tt.want))
				call.Refused(res)
				if n := len(res.Headers("Via")); n != 1 {
					t.Errorf("%d Vias:\n%s", n, res.Raw)
				}
				if c := h.record(t); c.Outcome != tt.outcome || c.Status != tt.want {
					t.Errorf("record %+v, want %s", c, tt.outcome)
				}
			})
		})
	}
}

func TestRegisterWhileRinging(t *testing.T) {
	t.Parallel()
	t.Run("a device joins", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T, h *house) {
			ana, desk := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
			call := ana.Call(t, "1002")
			atDesk := desk.Wait(t, "INVITE")
			reply(desk, atDesk, 180)
			ana.Wait(t, "180 INVITE")
			pass(10 * time.Second)
			soft := h.registered(t, "soft-1002", 13)
			atSoft := soft.Wait(t, "INVITE")
			if atSoft.Body() != siptest.SDP || atSoft.URI() != soft.Contact() {
				t.Errorf("INVITE of who joined:\n%s", atSoft.Raw)
			}
			reply(soft, atSoft, 180)
			ana.Wait(t, "180 INVITE")
			soft.Reply(atSoft, siptest.Answer{Status: 200})
			call.Ack(ana.Wait(t, "200 INVITE"))
			soft.Wait(t, "ACK")
			reply(desk, desk.Wait(t, "CANCEL"), 200)
			reply(desk, atDesk, 487)
			desk.Wait(t, "ACK")
			call.Bye()
			reply(soft, soft.Wait(t, "BYE"), 200)
			ana.Wait(t, "200 BYE")
			desk.Saw(t, "< INVITE", "> 180 INVITE", "< CANCEL", "> 200 CANCEL", "> 487 INVITE", "< ACK")
			soft.Saw(t, "< INVITE", "> 180 INVITE", "> 200 INVITE", "< ACK", "< BYE", "> 200 BYE")
			if c := h.record(t); c.Device != "soft-1002" {
				t.Errorf("record %+v", c)
			}
		})
	})
	t.Run("a refresh changes nothing", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T, h *house) {
			ana, desk := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
			call := ana.Call(t, "1002")
			inv := desk.Wait(t, "INVITE")
			reply(desk, inv, 180)
			ana.Wait(t, "180 INVITE")
			desk.Register(t, siptest.Registration{})
			desk.Quiet(t, 5*time.Second)
			reply(desk, inv, 486)
			desk.Wait(t, "ACK")
			call.Refused(ana.Wait(t, "486 INVITE"))
		})
	})
	t.Run("a device reconnects: its CANCEL goes to the new flow", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T, h *house) {
			ana, desk := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
			call := ana.Call(t, "1002")
			inv := desk.Wait(t, "INVITE")
			reply(desk, inv, 180)
			ana.Wait(t, "180 INVITE")
			desk.Move(h.phone("desk-1002", 14).Addr)
			desk.Register(t, siptest.Registration{})
			desk.Quiet(t, 5*time.Second)
			call.Cancel()
			ana.Wait(t, "200 CANCEL")
			reply(desk, desk.Wait(t, "CANCEL"), 200)
			reply(desk, inv, 487)
			desk.Wait(t, "ACK")
			call.Refused(ana.Wait(t, "487 INVITE"))
		})
	})
}

// TestNoMissedCalls: where a number has its phones log no missed calls, a CANCEL
// says that somebody else answered (rule ring.reason).
func TestNoMissedCalls(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, put(directory.KindNumber, "1002", `{"user":"user1002","missed_calls":false}`))
		ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		for p, want := range map[*siptest.Phone]bool{ben: true, cyd: false} {
			leg := ana.Call(t, p.Number)
			invite := p.Wait(t, "INVITE")
			p.Reply(invite, siptest.Answer{Status: 180})
			ana.Wait(t, "180 INVITE")
			leg.Cancel()
			ana.Wait(t, "200 CANCEL")
			if got := strings.Contains(cancelled(t, p, invite).Header("Reason"), "elsewhere"); got != want {
				t.Errorf("CANCEL at %s says that somebody answered: %t", p.Number, got)
			}
			leg.Refused(ana.Wait(t, "487 INVITE"))
		}
	})
}
