package sip_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip"
	"bellhop/sip/siptest"
)

// A follower answers what a watcher is told, as it comes.
type follower struct {
	mu    sync.Mutex // guards lamps
	lamps []string
}

// follow takes the phone of w until the test ends.
func (w *watcher) follow(t *testing.T) *follower {
	t.Helper()
	f := &follower{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			m := w.Phone.Next(t, 100*time.Millisecond)
			if m == nil || m.Method() != "NOTIFY" {
				continue
			}
			w.Phone.Reply(m, siptest.Answer{Status: 200})
			f.mu.Lock()
			f.lamps = append(f.lamps, lamp(t, m))
			f.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return f
}

// saw returns the lamps so far, in order.
func (f *follower) saw() []string {
	pass(time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.lamps)
}

func equalLamps(t *testing.T, who string, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("lamps of %s\n%s\nwant\n%s", who, g, w)
	}
}

// TestLampsOfACallThatMovesOn: who no longer rings is no longer shown to ring, by a
// forward and by a redirect, which makes an anchored call of a proxied one.
func TestLampsOfACallThatMovesOn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"forward", "redirect"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				if name == "forward" {
					h.apply(t, noAnswer("1002", "1003"))
				}
				ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
				first := watching(t, h.registered(t, "desk-1004", 14), "dialog", "1002").follow(t)
				second := watching(t, h.registered(t, "desk-1005", 15), "dialog", "1003").follow(t)
				caller := watching(t, h.registered(t, "desk-1006", 16), "dialog", "1001").follow(t)
				leg := ana.Call(t, "1002")
				invite := ben.Wait(t, "INVITE")
				reply(ben, invite, 180)
				if name == "forward" {
					reply(ben, ben.Wait(t, "CANCEL"), 200)
					reply(ben, invite, 487)
				} else {
					ben.Reply(invite, siptest.Answer{Status: 302, Lines: []string{"Contact: <sip:1003@" + domain + ">"}})
				}
				ben.Wait(t, "ACK")
				invite = cyd.Wait(t, "INVITE")
				reply(cyd, invite, 180)
				pass(time.Second)
				cyd.Reply(invite, siptest.Answer{Status: 200, Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
				for m := ana.Next(t, time.Second); m != nil; m = ana.Next(t, time.Second) {
					if m.Word() == "200 INVITE" {
						leg.Ack(m)
						break
					}
				}
				cyd.Wait(t, "ACK")
				pass(time.Second)
				leg.Bye()
				reply(cyd, cyd.Wait(t, "BYE"), 200)
				equalLamps(t, "1002", first.saw(), "full ringing early/recipient", "full idle terminated/recipient")
				equalLamps(t, "1003", second.saw(),
					"full ringing early/recipient", "full talking-internal confirmed/recipient", "full idle terminated/recipient")
				got := caller.saw()
				if n := len(got); n < 3 || !strings.HasPrefix(got[0], "full calling ") || got[n-2] != "full talking-internal confirmed/initiator" ||
					got[n-1] != "full idle terminated/initiator" {
					t.Errorf("lamps of 1001: %q", got)
				}
			})
		})
	}
}

// TestLampsOfAHuntGroup: every member that rings is shown to ring.
func TestLampsOfAHuntGroup(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.apply(t, put(directory.KindNumber, "1100", `{}`), put(directory.KindGroup, "1100", `{"number":"1100","members":["1002","1003"],"strategy":"all"}`))
		ana, ben, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		first := watching(t, h.registered(t, "desk-1004", 14), "dialog", "1002").follow(t)
		second := watching(t, h.registered(t, "desk-1005", 15), "dialog", "1003").follow(t)
		leg := ana.Call(t, "1100")
		one, other := ben.Wait(t, "INVITE"), cyd.Wait(t, "INVITE")
		reply(ben, one, 180)
		reply(cyd, other, 180)
		pass(time.Second)
		cyd.Reply(other, siptest.Answer{Status: 200, Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
		reply(ben, ben.Wait(t, "CANCEL"), 200)
		reply(ben, one, 487)
		ben.Wait(t, "ACK")
		for m := ana.Next(t, time.Second); m != nil; m = ana.Next(t, time.Second) {
			if m.Word() == "200 INVITE" {
				leg.Ack(m)
				break
			}
		}
		cyd.Wait(t, "ACK")
		equalLamps(t, "1002", first.saw(), "full ringing early/recipient", "full idle terminated/recipient")
		equalLamps(t, "1003", second.saw(), "full ringing early/recipient", "full talking-internal confirmed/recipient")
		leg.Bye()
		reply(cyd, cyd.Wait(t, "BYE"), 200)
	})
}

// TestSubscriptionOverConnections: a phone that comes back on another connection hears
// what happened meanwhile, there.
func TestSubscriptionOverConnections(t *testing.T) {
	t.Parallel()
	for _, tr := range []string{"TCP", "TLS", "WS"} {
		t.Run(tr, func(t *testing.T) {
			t.Parallel()
			inCampus(t, func(t *testing.T, c *campus) {
				ben := c.registered(t, "desk-1002", 12, "")
				eve := c.registered(t, "desk-1003", 13, tr)
				w := watching(t, eve, "dialog", "1002")
				if got := w.last.Header("Contact"); !strings.Contains(got, "1002@") {
					t.Errorf("Contact %s", got)
				}
				eve.Close()
				pass(time.Second)
				ben.Register(t, siptest.Registration{Expires: "0"})
				pass(time.Minute)
				again := c.registered(t, "desk-1003", 14, tr)
				w.Phone = again
				w.lamp(t, "full unregistered")
				ben.Register(t, siptest.Registration{})
				w.lamp(t, "full idle")
				w.send(t, w.subscribe(t, "Expires: 0"))
				again.Close()
			})
		})
	}
}

// TestLampsLeaveRoomForCalls: with half of the lanes in use, lamps wait; what they
// show then is how things are by then.
func TestLampsLeaveRoomForCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.MaxLanes = 20 })
		h.apply(t, put(directory.KindNumber, "1002", `{"user":"user1002","busy_trigger":50}`))
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		w := watching(t, h.registered(t, "desk-1004", 14), "dialog", "1003")
		h.registered(t, "desk-1003", 13)
		w.notified(t)
		pass(time.Minute)
		var calls []*siptest.Leg
		for range 11 {
			calls = append(calls, ana.Call(t, "1002"))
			reply(ben, ben.Wait(t, "INVITE"), 180)
			ana.Wait(t, "180 INVITE")
		}
		for _, on := range []string{"true", "false", "true"} {
			h.apply(t, put(directory.KindDND, "user1003", `{"enabled":`+on+`}`))
		}
		w.Phone.Quiet(t, 10*time.Second)
		for _, c := range calls {
			c.Cancel()
		}
		w.Phone.Patience = 2 * time.Minute
		w.lamp(t, "full dnd confirmed/")
		w.Phone.Quiet(t, time.Minute)
		h.calm(t)
	})
}
