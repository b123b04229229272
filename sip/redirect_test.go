package sip_test

import (
	"strings"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// redirect answers an INVITE with 302.
func redirect(t *testing.T, p *siptest.Phone, invite *siptest.Message, contact string) {
	t.Helper()
	p.Reply(invite, siptest.Answer{Status: 302, Lines: []string{"Contact: <" + contact + ">"}})
	p.Wait(t, "ACK")
}

// TestRedirect: a 302 of a phone is dialled as a forward of its number (rule
// device.redirect), in a call that was proxied until then and in an anchored one.
func TestRedirect(t *testing.T) {
	t.Parallel()
	hidden := put(directory.KindNumber, "1001", `{"user":"user1001","caller_id":"hidden"}`)
	for _, tt := range []struct {
		name     string
		with     []directory.Write
		anchored string
	}{
		{name: "proxied", anchored: "device.redirect"},
		{name: "proxied, and a forward follows", with: []directory.Write{noAnswer("1003", "1004")}, anchored: "device.redirect"},
		{name: "anchored", with: []directory.Write{hidden}, anchored: "anchor.caller-id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				h.apply(t, tt.with...)
				ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
				leg := ana.Call(t, "1002")
				first := ben.Wait(t, "INVITE")
				ben.Reply(first, siptest.Answer{Status: 180})
				ana.Wait(t, "180 INVITE")
				redirect(t, ben, first, "sip:1003@"+domain)
				second := cyd.Wait(t, "INVITE")
				ana.Wait(t, "181 INVITE")
				if d := second.Header("Diversion"); !strings.Contains(d, "sip:1002@") {
					t.Errorf("Diversion %q", d)
				}
				if second.CallID() == leg.CallID {
					t.Error("the leg has no Call-ID of its own")
				}
				reply(cyd, second, 180)
				ana.Wait(t, "180 INVITE")
				cyd.Reply(second, siptest.Answer{Status: 200, Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
				leg.Ack(ana.Wait(t, "200 INVITE"))
				cyd.Wait(t, "ACK")
				pass(time.Second)
				live := h.store.Calls.Live(domain)
				if len(live) != 1 || live[0].State != feed.Talking || live[0].Number != "1003" || live[0].Anchored != tt.anchored {
					t.Fatalf("live calls %+v", live)
				}
				told := false
				for _, s := range live[0].Story {
					told = told || s.Rule == "device.redirect" && s.Number == "1002"
				}
				if !told {
					t.Errorf("story %+v", live[0].Story)
				}
				leg.Bye()
				reply(cyd, cyd.Wait(t, "BYE"), 200)
				ana.Wait(t, "200 BYE")
				if r := h.record(t); r.Outcome != "answered" || r.Number != "1003" {
					t.Errorf("record %+v", r)
				}
			})
		})
	}
}

// TestRedirectRefused: where a 302 leads nowhere the caller gets 480, once, and so
// does one that leads to the phone itself.
func TestRedirectRefused(t *testing.T) {
	t.Parallel()
	for _, contact := range []string{"sip:1999@" + domain, "sip:1002@" + domain, "tel:+4930123456", "sip:x@else.test", "sip:"} {
		in(t, func(t *testing.T, h *house) {
			ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
			leg := ana.Call(t, "1002")
			redirect(t, ben, ben.Wait(t, "INVITE"), contact)
			leg.Refused(ana.Wait(t, "480 INVITE"))
			ana.Quiet(t, time.Minute)
			if r := h.record(t); r.Status != 480 {
				t.Errorf("%s: record %+v", contact, r)
			}
		})
	}
}

// TestRedirectGivenUp: the caller gives up a call that was taken over, and a phone
// that answers too late is hung up.
func TestRedirectGivenUp(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, noAnswer("1003", "1004"))
		ana, ben, soft, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "soft-1002", 13), h.registered(t, "desk-1003", 14)
		leg := ana.Call(t, "1002")
		first, other := ben.Wait(t, "INVITE"), soft.Wait(t, "INVITE")
		reply(soft, other, 180)
		ana.Wait(t, "180 INVITE")
		redirect(t, ben, first, "sip:1003@"+domain)
		reply(soft, soft.Wait(t, "CANCEL"), 200) // and no 487
		second := cyd.Wait(t, "INVITE")
		ana.Wait(t, "181 INVITE")
		reply(cyd, second, 180)
		ana.Wait(t, "180 INVITE")
		soft.Reply(other, siptest.Answer{Status: 200, Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
		soft.Wait(t, "ACK")
		reply(soft, soft.Wait(t, "BYE"), 200)
		leg.Cancel()
		ana.Wait(t, "200 CANCEL")
		reply(cyd, cyd.Wait(t, "CANCEL"), 200)
		reply(cyd, second, 487)
		cyd.Wait(t, "ACK")
		ana.Wait(t, "487 INVITE")
		if r := h.record(t); r.Outcome != "caller-gave-up" {
			t.Errorf("record %+v", r)
		}
	})
}
