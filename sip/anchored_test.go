package sip_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip"
	"bellhop/sip/siptest"
)

// noAnswer forwards a number that is not answered within its ring time.
func noAnswer(number, to string) directory.Write {
	return put(directory.KindForwarding, number,
		`{"no_answer":{"both":{"enabled":true,"target":"`+to+`"}}}`)
}

func TestForwardByNoAnswer(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, noAnswer("1002", "1003"), noAnswer("1003", "1004"))
		ana, ben, cyd, dan := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13), h.registered(t, "desk-1004", 14)
		leg := ana.Call(t, "1002")
		first := ben.Wait(t, "INVITE")
		ben.Reply(first, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		cancel := ben.Wait(t, "CANCEL")
		ben.Reply(cancel, siptest.Answer{Status: 200})
		ben.Reply(first, siptest.Answer{Status: 487})
		ben.Wait(t, "ACK")
		second := cyd.Wait(t, "INVITE")
		ana.Wait(t, "181 INVITE")
		cyd.Reply(second, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		cancel = cyd.Wait(t, "CANCEL")
		cyd.Reply(cancel, siptest.Answer{Status: 200})
		cyd.Reply(second, siptest.Answer{Status: 487})
		cyd.Wait(t, "ACK")
		third := dan.Wait(t, "INVITE")
		dan.Reply(third, siptest.Answer{Status: 200, Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
		ok := ana.Wait(t, "200 INVITE")
		dan.Wait(t, "ACK")
		if third.CallID() == leg.CallID {
			t.Error("the callee sees the Call-ID of the caller")
		}
		leg.Ack(ok)
		callee := dan.Answered(third)
		pass(time.Second)
		live := h.store.Calls.Live(domain)
		if len(live) != 1 || live[0].State != feed.Talking || live[0].Number != "1004" || len(live[0].Legs) != 4 {
			t.Errorf("live calls = %+v", live)
		}
		callee.Bye()
		bye := ana.Wait(t, "BYE")
		ana.Reply(bye, siptest.Answer{Status: 200})
		dan.Wait(t, "200 BYE")
		ana.Quiet(t, 5*time.Second)
		r := h.record(t)
		if r.Outcome != "answered" || r.Number != "1004" || r.Device != "desk-1004" || r.Anchored == "" || len(r.Legs) != 4 {
			t.Errorf("record = %+v", r)
		}
	})
}

// TestHiddenCaller: a caller that hides its number is nobody to phones that ring.
func TestHiddenCaller(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, put(directory.KindNumber, "1001", `{"user":"user1001","caller_id":"hidden"}`))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		ana.Call(t, "1002")
		invite := ben.Wait(t, "INVITE")
		if from := invite.Header("From"); !strings.Contains(from, "<sip:anonymous@anonymous.invalid>") || strings.Contains(string(invite.Raw), "1001") {
			t.Errorf("a hidden caller is shown:\n%s", invite.Raw)
		}
		ben.Reply(invite, siptest.Answer{Status: 486})
		ana.Wait(t, "486 INVITE")
	})
}

// The caller gives up while the next number is looked for: nobody else rings.
func TestCancelBetweenTwoNumbers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.World = slowWorld{o.World} })
		h.apply(t, put(directory.KindForwarding, "1002", `{"busy":{"both":{"enabled":true,"target":"1003"}}}`))
		ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		leg := ana.Call(t, "1002")
		ana.Wait(t, "100 INVITE")
		ben.Reply(ben.Wait(t, "INVITE"), siptest.Answer{Status: 486})
		ben.Wait(t, "ACK")
		leg.Cancel()
		ana.Wait(t, "200 CANCEL")
		leg.Refused(ana.Wait(t, "487 INVITE"))
		cyd.Quiet(t, time.Minute)
		if c := h.record(t); c.Outcome != "caller-gave-up" || len(c.Legs) != 2 || c.Legs[1].Status != 486 {
			t.Errorf("record %+v", c)
		}
		h.sane(t)
	})
}

// The number that a call is forwarded to is decided with the settings of that
// moment, and a forward that leads nowhere ends the call.
func TestForwardsOfTheMoment(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, noAnswer("1002", "1003"))
		ana, ben, cyd, dan := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13), h.registered(t, "desk-1004", 14)
		leg := ana.Call(t, "1002")
		inv := ben.Wait(t, "INVITE")
		ben.Reply(inv, siptest.Answer{Status: 180})
		ana.Wait(t, "180 INVITE")
		h.apply(t, forward("1003", "1004"))
		ben.Reply(ben.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
		ben.Reply(inv, siptest.Answer{Status: 487})
		ben.Wait(t, "ACK")
		last := dan.Wait(t, "INVITE")
		want := []string{
			"Diversion: <sip:1003@bellhop.test>;reason=unconditional;counter=1", "Diversion: <sip:1002@bellhop.test>;reason=no-answer;counter=1",
		}
		if got := last.Lines("Diversion"); !slices.Equal(got, want) {
			t.Errorf("Diversion = %q, want %q", got, want)
		}
		ana.Wait(t, "181 INVITE")
		dan.Reply(last, siptest.Answer{Status: 603})
		dan.Wait(t, "ACK")
		leg.Refused(ana.Wait(t, "486 INVITE"))
		cyd.Quiet(t, time.Second)
	})
}
