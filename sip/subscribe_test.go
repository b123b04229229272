package sip_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

const featureType = "application/x-as-feature-event+xml"

func TestSubscribeRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		event  string // "-": no field
		number string // "": 1002
		lines  []string
		body   string
		change func(r *siptest.Request)
		want   string
		line   string // that the response has
	}{
		{name: "no event", event: "-", want: "489 SUBSCRIBE", line: "Allow-Events: dialog, presence"},
		{name: "an event we do not have", event: "conference", want: "489 SUBSCRIBE", line: "Allow-Events: dialog, presence"},
		{name: "watchers of presence", event: "presence.winfo", want: "489 SUBSCRIBE"},
		{name: "another document", event: "dialog", lines: []string{"Accept: application/xml, text/plain"}, want: "406 SUBSCRIBE", line: "Accept: application/dialog-info+xml"},
		{name: "too brief", event: "dialog", lines: []string{"Expires: 59"}, want: "423 SUBSCRIBE", line: "Min-Expires: 60"},
		{name: "an extension", event: "dialog", lines: []string{"Require: eventlist"}, want: "420 SUBSCRIBE", line: "Unsupported: eventlist"},
		{name: "no such number", event: "dialog", number: "1999", want: "404 SUBSCRIBE"},
		{name: "registrations of others", event: "reg", want: "403 SUBSCRIBE"},
		{name: "messages of others", event: "message-summary", want: "403 SUBSCRIBE"},
		{name: "keys of others", event: "as-feature-event", want: "403 SUBSCRIBE"},
		{name: "keys that say nothing", event: "as-feature-event", number: "1001", lines: []string{"Content-Type: " + featureType}, body: "<SetDoNotDisturb/>", want: "400 SUBSCRIBE"},
		{name: "keys in words", event: "as-feature-event", number: "1001", lines: []string{"Content-Type: text/plain"}, body: "dnd on", want: "415 SUBSCRIBE", line: "Accept: " + featureType},
		{name: "nowhere to notify", event: "dialog", change: func(r *siptest.Request) { r.Contact = "-" }, want: "400 SUBSCRIBE"},
		{name: "a dialog that is none", event: "dialog", change: func(r *siptest.Request) { r.To += ";tag=x" }, want: "481 SUBSCRIBE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana := h.registered(t, "desk-1001", 11)
				number := tt.number
				if number == "" {
					number = "1002"
				}
				_, r := subscribing(t, ana, tt.event, number, tt.lines...)
				if tt.event == "-" {
					r.Lines = slices.DeleteFunc(r.Lines, func(l string) bool { return strings.HasPrefix(l, "Event") })
				}
				if r.Body = tt.body; tt.change != nil {
					tt.change(r)
				}
				ana.Send(r)
				res := ana.Wait(t, tt.want)
				if tt.line != "" && !strings.Contains(string(res.Raw), tt.line) {
					t.Errorf("no %q in\n%s", tt.line, res.Raw)
				}
				ana.Quiet(t, time.Minute) // no NOTIFY
				if n := h.metric(t, "bellhop_event_subscriptions"); n != 0 {
					t.Errorf("%v subscriptions", n)
				}
			})
		})
	}
}

// TestPublish: what a phone guesses of its user is not taken for what the user set.
func TestPublish(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana := h.registered(t, "desk-1001", 11)
		r := out(ana, "PUBLISH", "1001")
		r.Lines = []string{"Event: presence", ana.Credentials(t, "PUBLISH", r.URI)}
		ana.Send(r)
		if res := ana.Wait(t, "405 PUBLISH"); !strings.Contains(res.Header("Allow"), "SUBSCRIBE") {
			t.Errorf("Allow: %s", res.Header("Allow"))
		}
	})
}

func TestSubscriptionLives(t *testing.T) {
	t.Parallel()
	dnd := func(h *house, t *testing.T, on bool) {
		t.Helper()
		h.apply(t, put(directory.KindDND, "user1002", fmt.Sprintf(`{"enabled":%t}`, on)))
	}
	state := func(t *testing.T, m *siptest.Message, want string) {
		t.Helper()
		if got := m.Header("Subscription-State"); got != want {
			t.Errorf("Subscription-State: %s, want %s", got, want)
		}
	}
	over := func(t *testing.T, h *house, w *watcher) {
		t.Helper()
		dnd(h, t, true)
		pass(time.Minute)
		w.Phone.Quiet(t, time.Minute)
		if n := h.metric(t, "bellhop_event_subscriptions"); n != 0 {
			t.Errorf("%v subscriptions are left", n)
		}
		rows := 0
		_ = h.store.Kept(t.Context(), "subscription/1", "", "", countRows(&rows))
		if rows != 0 {
			t.Errorf("%d subscriptions are still saved", rows)
		}
	}
	tests := []struct {
		name  string
		scene func(t *testing.T, h *house, eve *siptest.Phone)
	}{
		{"it only asks", func(t *testing.T, h *house, eve *siptest.Phone) {
			w, r := subscribing(t, eve, "dialog", "1002", "Expires: 0")
			m := w.send(t, r)
			state(t, m, "terminated;reason=timeout")
			if lamp(t, m) != "full idle" {
				t.Errorf("lamp %q", lamp(t, m))
			}
			over(t, h, w)
		}},
		{"it unsubscribes", func(t *testing.T, h *house, eve *siptest.Phone) {
			w := watching(t, eve, "dialog", "1002")
			m := w.send(t, w.subscribe(t, "Expires: 0"))
			state(t, m, "terminated;reason=timeout")
			over(t, h, w)
		}},
		{"it expires", func(t *testing.T, h *house, eve *siptest.Phone) {
			w := watching(t, eve, "dialog", "1002", "Expires: 600")
			state(t, w.last, "active;expires=600")
			eve.Quiet(t, 599*time.Second)
			eve.Patience = 3 * time.Second
			state(t, w.notified(t), "terminated;reason=timeout")
			over(t, h, w)
		}},
		{"it is refreshed", func(t *testing.T, h *house, eve *siptest.Phone) {
			w := watching(t, eve, "dialog", "1002", "Expires: 600")
			for range 3 {
				eve.Quiet(t, 500*time.Second)
				state(t, w.send(t, w.subscribe(t, "Expires: 600")), "active;expires=600")
			}
			eve.Quiet(t, 500*time.Second)
			dnd(h, t, true)
			w.lamp(t, "full dnd confirmed/")
			old := w.subscribe(t, "Expires: 600")
			old.CSeq = 2
			eve.Send(old)
			eve.Wait(t, "500 SUBSCRIBE")
			state(t, w.send(t, w.subscribe(t, "Expires: 99999")), "active;expires=7200")
		}},
		{"it was refused: 481", func(t *testing.T, h *house, eve *siptest.Phone) {
			w := watching(t, eve, "dialog", "1002")
			dnd(h, t, true)
			reply(eve, eve.Wait(t, "NOTIFY"), 481)
			dnd(h, t, false)
			over(t, h, w)
		}},
		{"it was silent", func(t *testing.T, h *house, eve *siptest.Phone) {
			w := watching(t, eve, "dialog", "1002")
			dnd(h, t, true)
			pass(40 * time.Second)
			for eve.Next(t, 0) != nil {
			}
			dnd(h, t, false)
			over(t, h, w)
		}},
		{"it was asked who we are: 401, 407, and 500", func(t *testing.T, h *house, eve *siptest.Phone) {
			w := watching(t, eve, "dialog", "1002")
			for i, status := range []int{401, 407, 500} {
				dnd(h, t, i%2 == 0)
				m := eve.Wait(t, "NOTIFY")
				reply(eve, m, status)
			}
			pass(10 * time.Second)
			dnd(h, t, false)
			w.lamp(t, "full idle terminated/")
		}},
		{"its device is gone", func(t *testing.T, h *house, eve *siptest.Phone) {
			w := watching(t, eve, "dialog", "1002")
			h.apply(t, directory.Write{Ref: directory.Ref{Domain: domain, Kind: directory.KindDevice, Name: "desk-1003"}})
			state(t, w.notified(t), "terminated;reason=rejected")
			over(t, h, w)
		}},
		{"a stranger refreshes it", func(t *testing.T, h *house, eve *siptest.Phone) {
			w := watching(t, eve, "dialog", "1002")
			r := w.subscribe(t, "Expires: 0")
			r.Lines = slices.DeleteFunc(r.Lines, isCredentials)
			zoe := h.phone("desk-1004", 14)
			r.Via = "" // its own
			zoe.Send(r)
			zoe.Wait(t, "407 SUBSCRIBE")
			zoe.Forget()
			zoe.Register(t, siptest.Registration{}) // a colleague is nobody either
			r = w.subscribe(t, "Expires: 0")
			r.Lines = append(slices.DeleteFunc(r.Lines, isCredentials), "X: y")
			r.Via, r.Branch = "", ""
			zoe.Send(r)
			zoe.Learn(t, zoe.Wait(t, "407 SUBSCRIBE"))
			r.Via, r.Branch = "", ""
			r.Lines = append(r.Lines, zoe.Credentials(t, "SUBSCRIBE", r.URI))
			zoe.Send(r)
			zoe.Wait(t, "403 SUBSCRIBE")
			dnd(h, t, true)
			w.lamp(t, "full dnd confirmed/")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				h.registered(t, "desk-1002", 12)
				tt.scene(t, h, h.registered(t, "desk-1003", 13))
			})
		})
	}
}

// TestTooManySubscriptions: a device has enough of them for all its keys, and no more.
func TestTooManySubscriptions(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		eve, ben := h.registered(t, "desk-1003", 13), h.registered(t, "desk-1002", 12)
		var one *watcher
		for range 500 {
			one = watching(t, eve, "presence", "1002", "Expires: 120")
		}
		_, r := subscribing(t, eve, "presence", "1002")
		eve.Send(r)
		eve.Wait(t, "403 SUBSCRIBE")
		one.send(t, one.subscribe(t, "Expires: 120")) // a refresh is no new one
		watching(t, ben, "presence", "1003", "Expires: 120")
		one.send(t, one.subscribe(t, "Expires: 0"))
		watching(t, eve, "presence", "1002", "Expires: 120")
		eve.Close()
		ben.Close()
	})
}

// TestOneNotifyAtATime: what happens while a NOTIFY is under way is told after it, the
// newest state only, and not more often than once a second in the long run.
func TestOneNotifyAtATime(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.registered(t, "desk-1002", 12)
		eve := h.registered(t, "desk-1003", 13)
		w := watching(t, eve, "dialog", "1002")
		dnd := func(on bool) {
			h.apply(t, put(directory.KindDND, "user1002", fmt.Sprintf(`{"enabled":%t}`, on)))
			synctest.Wait()
		}
		dnd(true)
		m := eve.Wait(t, "NOTIFY")
		dnd(false)
		dnd(true)
		dnd(false)
		eve.Quiet(t, 100*time.Millisecond)
		reply(eve, m, 200)
		w.lamp(t, "full idle terminated/")
		eve.Quiet(t, 10*time.Second)

		got, began := 0, time.Now()
		for i := range 60 { // ten times a second
			dnd(i%2 == 0)
			for m := eve.Next(t, 100*time.Millisecond); m != nil; m = eve.Next(t, 0) {
				reply(eve, m, 200)
				w.last, got = m, got+1
			}
		}
		dnd(true)
		pass(3 * time.Second)
		for m := eve.Next(t, 0); m != nil; m = eve.Next(t, time.Second) {
			reply(eve, m, 200)
			w.last, got = m, got+1
		}
		if most := int(time.Since(began)/time.Second) + 8; got > most || got < 8 {
			t.Errorf("%d NOTIFYs, want 8 to %d", got, most)
		}
		if l := lamp(t, w.last); l != "full dnd confirmed/" {
			t.Errorf("the last lamp is %q", l)
		}
	})
}

// TestLampOnAnUnkindNetwork: whatever the network loses, doubles and delays, a lamp
// never shows an older state after a newer one, and the right one in the end.
func TestLampOnAnUnkindNetwork(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, seed)
				h.registered(t, "desk-1002", 12)
				eve := h.registered(t, "desk-1003", 13)
				w := watching(t, eve, "dialog", "1002")
				h.net.SetFaults(siptest.Faults{Loss: 0.3, Double: 0.2, Late: 0.3, Lateness: 2 * time.Second, Delay: 10 * time.Millisecond})
				newest, seen := w.last.CSeq(), w.last
				take := func(d time.Duration) {
					for m := eve.Next(t, d); m != nil; m = eve.Next(t, 0) {
						reply(eve, m, 200)
						if m.CSeq() > newest {
							newest, seen = m.CSeq(), m
						}
					}
				}
				for i := range 20 {
					h.apply(t, put(directory.KindDND, "user1002", fmt.Sprintf(`{"enabled":%t}`, i%2 == 0)))
					take(time.Duration(i*137%900) * time.Millisecond)
				}
				h.net.SetFaults(siptest.Faults{})
				for range 80 {
					take(time.Second)
				}
				if n := h.metric(t, "bellhop_event_subscriptions"); n != 1 {
					t.Fatalf("%v subscriptions, want 1", n)
				}
				if l := lamp(t, seen); !strings.HasPrefix(l, "full idle") {
					t.Errorf("the last lamp is %q, want idle", l)
				}
				h.calm(t)
			})
		})
	}
}

// TestSubscriptionMoves: NOTIFY goes where the device registered last (RFC 5626).
func TestSubscriptionMoves(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.registered(t, "desk-1002", 12)
		eve := h.registered(t, "desk-1003", 13)
		w := watching(t, eve, "dialog", "1002")
		eve.Move(netip.MustParseAddrPort("192.0.2.33:5060"))
		h.apply(t, put(directory.KindDND, "user1002", `{"enabled":true}`)) // to where it is no more
		pass(5 * time.Second)
		if res := eve.Register(t, siptest.Registration{}); res.Status() != 200 {
			t.Fatalf("REGISTER: %d", res.Status())
		}
		w.lamp(t, "full dnd confirmed/")
		h.apply(t, put(directory.KindDND, "user1002", `{"enabled":false}`))
		w.lamp(t, "full idle terminated/")
		eve.Register(t, siptest.Registration{Expires: "0"}) // away
		h.apply(t, put(directory.KindDND, "user1002", `{"enabled":true}`))
		eve.Quiet(t, 5*time.Minute)
		eve.Register(t, siptest.Registration{})
		w.lamp(t, "full dnd confirmed/")
		if n := h.metric(t, "bellhop_event_subscriptions"); n != 1 {
			t.Errorf("%v subscriptions, want 1", n)
		}
	})
}

// TestSubscriptionSurvives: another process goes on where one ended, and tells what
// happened meanwhile.
func TestSubscriptionSurvives(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.registered(t, "desk-1002", 12)
		eve := h.registered(t, "desk-1003", 13)
		w := watching(t, eve, "dialog;id=7", "1002")
		brief := watching(t, eve, "presence", "1002", "Expires: 60")
		for range 3 {
			h.apply(t, put(directory.KindDND, "user1002", `{"enabled":true}`))
			for range 2 {
				reply(eve, eve.Wait(t, "NOTIFY"), 200)
			}
			h.apply(t, put(directory.KindDND, "user1002", `{"enabled":false}`))
			for range 2 {
				m := eve.Wait(t, "NOTIFY")
				if reply(eve, m, 200); m.CallID() == w.CallID {
					w.last = m
				}
			}
			pass(2 * time.Second)
		}
		h.kill()
		h.apply(t, put(directory.KindDND, "user1002", `{"enabled":true}`))
		<-time.After(2 * time.Minute)
		h.again(t)
		w.lamp(t, "full dnd confirmed/")
		if got := w.last.Header("Event"); got != "dialog;id=7" {
			t.Errorf("Event: %s", got)
		}
		eve.Forget() // nonces of the old process count no more in tests
		m := w.send(t, w.subscribe(t))
		if lamp(t, m) != "full dnd confirmed/" {
			t.Errorf("lamp %q", lamp(t, m))
		}
		eve.Send(brief.subscribe(t))
		eve.Wait(t, "481 SUBSCRIBE")
		if n := h.metric(t, "bellhop_event_subscriptions"); n != 1 {
			t.Errorf("%v subscriptions, want 1", n)
		}
	})
}
