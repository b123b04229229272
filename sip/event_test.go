package sip_test

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// A watcher is a phone that has subscribed.
type watcher struct {
	*siptest.Leg
	event string
	last  *siptest.Message // NOTIFY
}

// subscribing is the SUBSCRIBE of a phone for a number, not sent yet.
func subscribing(t *testing.T, p *siptest.Phone, event, number string, lines ...string) (*watcher, *siptest.Request) {
	t.Helper()
	uri := "sip:" + number + "@" + domain
	id := p.ID()
	w := &watcher{event: event, Leg: &siptest.Leg{
		Phone: p, CallID: id, Local: "<" + p.AOR() + ">;tag=f" + id, Remote: "<" + uri + ">", Target: uri,
	}}
	return w, w.subscribe(t, lines...)
}

// subscribe makes a SUBSCRIBE within the dialog, or the first one.
func (w *watcher) subscribe(t *testing.T, lines ...string) *siptest.Request {
	t.Helper()
	r := w.Within("SUBSCRIBE", append([]string{"Event: " + w.event}, lines...)...)
	if line := w.Phone.Credentials(t, "SUBSCRIBE", r.URI); line != "" {
		r.Lines = append(r.Lines, line)
	}
	return r
}

// send sends a SUBSCRIBE and takes its 200 and the NOTIFY after it, in this order.
func (w *watcher) send(t *testing.T, r *siptest.Request) *siptest.Message {
	t.Helper()
	w.Phone.Send(r)
	res := w.Phone.Next(t, time.Minute)
	if res != nil && res.Status() == 407 {
		w.Phone.Learn(t, res)
		again := w.subscribe(t)
		again.Lines, again.Body = append(slices.DeleteFunc(slices.Clone(r.Lines), isCredentials), again.Lines[len(again.Lines)-1]), r.Body
		w.Phone.Send(again)
		res = w.Phone.Next(t, time.Minute)
	}
	if res == nil || res.Word() != "200 SUBSCRIBE" {
		t.Fatalf("SUBSCRIBE of %s got %v; so far:\n%s", w.Phone.Device, res, strings.Join(w.Phone.Ladder, "\n"))
	}
	w.Took(res)
	return w.notified(t)
}

func isCredentials(line string) bool { return strings.HasPrefix(line, "Proxy-Authorization") }

// notified takes the next NOTIFY and answers it.
func (w *watcher) notified(t *testing.T) *siptest.Message {
	t.Helper()
	m := w.Phone.Wait(t, "NOTIFY")
	if w.last != nil && m.CSeq() <= w.last.CSeq() {
		t.Errorf("NOTIFY %d after %d", m.CSeq(), w.last.CSeq())
	}
	w.last = m
	reply(w.Phone, m, 200)
	return m
}

// watching is a phone that has subscribed to a number, with the first NOTIFY taken.
func watching(t *testing.T, p *siptest.Phone, event, number string, lines ...string) *watcher {
	t.Helper()
	w, r := subscribing(t, p, event, number, lines...)
	w.send(t, r)
	return w
}

// lamp is a dialog-info document in short: its state, ours, and the dialogs.
func lamp(t *testing.T, m *siptest.Message) string {
	t.Helper()
	var d struct {
		Version int    `xml:"version,attr"`
		State   string `xml:"state,attr"`
		Entity  string `xml:"entity,attr"`
		Dialogs []struct {
			Direction string `xml:"direction,attr"`
			State     string `xml:"state"`
		} `xml:"dialog"`
		Line struct {
			State string `xml:"state,attr"`
		} `xml:"urn:bellhop:line line"`
	}
	if err := xml.Unmarshal([]byte(m.Body()), &d); err != nil {
		t.Fatalf("%v\n%s", err, m.Raw)
	}
	out := d.State + " " + d.Line.State
	for _, g := range d.Dialogs {
		out += fmt.Sprintf(" %s/%s", g.State, g.Direction)
	}
	return out
}

func (w *watcher) lamp(t *testing.T, want string) {
	t.Helper()
	if got := lamp(t, w.notified(t)); got != want {
		t.Errorf("lamp is %q, want %q\n%s", got, want, w.last.Body())
	}
}

// TestLampOfACall: a lamp through a whole call, in order and without a gap.
func TestLampOfACall(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, ben, eve := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		w := watching(t, eve, "dialog", "1002", "Accept: application/dialog-info+xml")
		if got, want := lamp(t, w.last), "full idle"; got != want {
			t.Errorf("first lamp %q, want %q", got, want)
		}
		if got := w.last.Header("Subscription-State"); got != "active;expires=3600" {
			t.Errorf("Subscription-State: %s", got)
		}
		caller := watching(t, eve, "dialog", "1001")
		leg := ana.Call(t, "1002")
		caller.lamp(t, "full calling trying/initiator")
		invite := ben.Wait(t, "INVITE")
		ben.Reply(invite, siptest.Answer{Status: 180})
		both := map[string]string{}
		take := func() {
			t.Helper()
			for range 2 {
				m := eve.Wait(t, "NOTIFY")
				reply(eve, m, 200)
				both[m.CallID()] = lamp(t, m)
			}
		}
		expect := func(callee, calls string) {
			t.Helper()
			take()
			if both[w.CallID] != callee || both[caller.CallID] != calls {
				t.Errorf("lamps %q and %q, want %q and %q", both[w.CallID], both[caller.CallID], callee, calls)
			}
		}
		expect("full ringing early/recipient", "full calling early/initiator")
		ana.Wait(t, "180 INVITE")
		ben.Reply(invite, siptest.Answer{Status: 200, Lines: []string{"Content-Type: application/sdp"}, Body: siptest.SDP})
		expect("full talking-internal confirmed/recipient", "full talking-internal confirmed/initiator")
		leg.Ack(ana.Wait(t, "200 INVITE"))
		ben.Wait(t, "ACK")
		leg.Bye()
		reply(ben, ben.Wait(t, "BYE"), 200)
		expect("full idle terminated/recipient", "full idle terminated/initiator")
		ana.Wait(t, "200 BYE")
		eve.Quiet(t, time.Minute)
	})
}

// TestLampOfSettings: what is no call, told apart.
func TestLampOfSettings(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ben, eve := h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		w := watching(t, eve, "dialog", "1002")
		h.apply(t, put(directory.KindDND, "user1002", `{"enabled":true}`))
		w.lamp(t, "full dnd confirmed/")
		h.apply(t, put(directory.KindForwarding, "1002", `{"all":{"internal":{"enabled":true,"target":"1004"}}}`))
		w.lamp(t, "full forwarded terminated/")
		h.apply(t, put(directory.KindForwarding, "1002", `{}`), put(directory.KindDND, "user1002", `{"enabled":false}`))
		w.lamp(t, "full idle")
		ben.Register(t, siptest.Registration{Expires: "0"})
		w.lamp(t, "full unregistered")
		ben.Register(t, siptest.Registration{})
		w.lamp(t, "full idle")
		h.apply(t, put(directory.KindPresence, "user1002", `{"status":"office","visibility":"nobody"}`), put(directory.KindDND, "user1002", `{"enabled":true}`))
		eve.Quiet(t, time.Minute) // nobody is to see it
		h.apply(t, put(directory.KindNumber, "1010", `{}`))
		gone := watching(t, eve, "dialog", "1010")
		h.apply(t, directory.Write{Ref: directory.Ref{Domain: domain, Kind: directory.KindNumber, Name: "1010"}})
		if m := gone.notified(t); m.Header("Subscription-State") != "terminated;reason=noresource" {
			t.Errorf("of a number that is gone: %s", m.Raw)
		}
	})
}

// countRows counts what is kept.
func countRows(n *int) func(feed.Kept) error {
	return func(feed.Kept) error { *n++; return nil }
}
