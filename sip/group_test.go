package sip_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// group makes a hunt group at 1100 of some numbers.
func (h *house) group(tb testing.TB, rest string, members ...string) {
	tb.Helper()
	h.apply(tb, put(directory.KindNumber, "1100", `{}`),
		put(directory.KindGroup, "sales", `{"number":"1100","members":["`+strings.Join(members, `","`)+`"]`+rest+`}`))
}

// busy says how many calls numbers are in.
func (h *house) busy(t *testing.T, want map[string]int) {
	t.Helper()
	for number, n := range want {
		if got := h.store.Calls.Count(domain, number); got != n {
			t.Errorf("%s is in %d calls, want %d", number, got, n)
		}
	}
}

// cancelled answers the CANCEL of an INVITE.
func cancelled(t *testing.T, p *siptest.Phone, invite *siptest.Message) *siptest.Message {
	t.Helper()
	cancel := p.Wait(t, "CANCEL")
	p.Reply(cancel, siptest.Answer{Status: 200})
	p.Reply(invite, siptest.Answer{Status: 487})
	p.Wait(t, "ACK")
	return cancel
}

// TestGroupInOrder: the members one after the other, each busy while it rings,
// whatever its own settings say; then the overflow.
func TestGroupInOrder(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.group(t, `,"strategy":"in-order","ring_time":"PT10S","overflow":"1006"`, "1002", "1003", "1004", "1005")
		h.apply(t, put(directory.KindForwarding, "1002", `{"busy":{"both":{"enabled":true,"target":"1006"}}}`), noAnswer("1003", "1006"))
		ana, ben, cyd, dan, fay := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13), h.registered(t, "desk-1004", 14), h.registered(t, "desk-1006", 16)
		leg := ana.Call(t, "1100")
		ben.Reply(ben.Wait(t, "INVITE"), siptest.Answer{Status: 486})
		ben.Wait(t, "ACK")
		rings := cyd.Wait(t, "INVITE")
		cyd.Reply(rings, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		h.busy(t, map[string]int{"1001": 1, "1002": 0, "1003": 1, "1004": 0})
		if cancel := cancelled(t, cyd, rings); cancel.Header("Reason") != "" { // so that the phone logs a missed call
			t.Errorf("Reason: %s", cancel.Header("Reason"))
		}
		dan.Reply(dan.Wait(t, "INVITE"), siptest.Answer{Status: 603})
		dan.Wait(t, "ACK")
		over := fay.Wait(t, "INVITE")
		ana.Wait(t, "181 INVITE")
		if got := over.Lines("Diversion"); !slices.Equal(got, []string{"Diversion: <sip:1100@bellhop.test>;reason=unknown;counter=1"}) {
			t.Errorf("Diversion = %q", got)
		}
		fay.Reply(over, withSDP(200))
		leg.Ack(ana.Wait(t, "200 INVITE"))
		fay.Wait(t, "ACK")
		h.busy(t, map[string]int{"1001": 1, "1003": 0, "1100": 0, "1006": 1})
		leg.Bye()
		fay.Reply(fay.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Wait(t, "200 BYE")
		r := h.record(t)
		if r.Outcome != "answered" || r.Called != "1100" || r.Number != "1006" || r.Anchored != "dial.group" || len(r.Legs) != 5 || r.Legs[2].Number != "1003" {
			t.Errorf("record = %+v", r)
		}
	})
}

// TestGroupAll: all members ring, a device that registers joins, one who is not
// to be disturbed rings silently, and the first who answers has the call.
func TestGroupAll(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.group(t, "", "1002", "1003", "1004")
		h.apply(t, put(directory.KindDND, "user1003", `{"enabled":true,"mode":"ringer-off","alert":"flash"}`))
		h.apply(t, put(directory.KindPresence, "user1004", `{"status":"vacation"}`))
		ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		away := h.registered(t, "desk-1004", 14)
		leg := ana.Call(t, "1100")
		atBen, atCyd := ben.Wait(t, "INVITE"), cyd.Wait(t, "INVITE")
		if a, b := atBen.Header("Alert-Info"), atCyd.Header("Alert-Info"); a != "" || !strings.Contains(b, "flash") {
			t.Errorf("Alert-Info %q and %q", a, b)
		}
		ben.Reply(atBen, siptest.Answer{Status: 180})
		cyd.Reply(atCyd, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		ana.Wait(t, "180 INVITE")
		soft := h.phone("soft-1002", 22)
		if res := soft.Register(t, siptest.Registration{}); res.Status() != 200 {
			t.Fatalf("REGISTER: %d", res.Status())
		}
		late := soft.Wait(t, "INVITE")
		soft.Reply(late, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		h.busy(t, map[string]int{"1002": 1, "1003": 1, "1004": 0})
		cyd.Reply(atCyd, withSDP(200))
		leg.Ack(ana.Wait(t, "200 INVITE"))
		cyd.Wait(t, "ACK")
		for p, invite := range map[*siptest.Phone]*siptest.Message{ben: atBen, soft: late} {
			if cancel := cancelled(t, p, invite); !strings.Contains(cancel.Header("Reason"), "elsewhere") {
				t.Errorf("Reason: %s", cancel.Header("Reason"))
			}
		}
		h.busy(t, map[string]int{"1001": 1, "1002": 0, "1003": 1, "1100": 0})
		cyd.Answered(atCyd).Bye()
		ana.Reply(ana.Wait(t, "BYE"), siptest.Answer{Status: 200})
		cyd.Wait(t, "200 BYE")
		away.Quiet(t, time.Second)
		if r := h.record(t); r.Number != "1003" || r.Device != "desk-1003" || r.Outcome != "answered" {
			t.Errorf("record = %+v", r)
		}
	})
}

// TestGroupLongestIdle: who talked last rings last.
func TestGroupLongestIdle(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.group(t, `,"strategy":"longest-idle"`, "1002", "1003")
		ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		for i, p := range []*siptest.Phone{ben, cyd, ben} {
			leg := ana.Call(t, "1100")
			invite := p.Wait(t, "INVITE")
			p.Reply(invite, withSDP(200))
			leg.Ack(ana.Wait(t, "200 INVITE"))
			p.Wait(t, "ACK")
			pass(time.Duration(i+1) * time.Minute)
			leg.Bye()
			p.Reply(p.Wait(t, "BYE"), siptest.Answer{Status: 200})
			ana.Wait(t, "200 BYE")
		}
	})
}

// TestGroupOfMany rings as many members as there can be, each of which hears that
// somebody else answered.
func TestGroupOfMany(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		var members []string
		var phones []*siptest.Phone
		for i := range directory.MaxMembers {
			number := fmt.Sprint(2000 + i)
			h.apply(t, put(directory.KindNumber, number, `{}`))
			h.device(t, "desk-"+number, number)
			members, phones = append(members, number), append(phones, h.registered(t, "desk-"+number, 100+i))
		}
		h.group(t, "", members...)
		ana := h.registered(t, "desk-1001", 11)
		leg := ana.Call(t, "1100")
		invites := make([]*siptest.Message, len(phones))
		for i, p := range phones {
			invites[i] = p.Wait(t, "INVITE")
			p.Reply(invites[i], siptest.Answer{Status: 180})
			ana.Wait(t, "180 INVITE")
		}
		last := len(phones) - 1
		phones[last].Reply(invites[last], withSDP(200))
		leg.Ack(ana.Wait(t, "200 INVITE"))
		phones[last].Wait(t, "ACK")
		for i, p := range phones[:last] {
			if cancel := cancelled(t, p, invites[i]); !strings.Contains(cancel.Header("Reason"), "elsewhere") {
				t.Errorf("Reason: %s", cancel.Header("Reason"))
			}
		}
		h.busy(t, map[string]int{members[0]: 0, members[last]: 1})
		leg.Bye()
		phones[last].Reply(phones[last].Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Wait(t, "200 BYE")
		if r := h.record(t); r.Number != members[last] || len(r.Legs) != len(phones)+1 {
			t.Errorf("record of %d legs at %s", len(r.Legs), r.Number)
		}
	})
}
