package sip_test

import (
	"strings"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
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
