package sip_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"bellhop/routing/directory"
)

// FuzzSubscribe is [FuzzServer] with subscriptions and kept messages: their own
// requests, changed, from who subscribed and from others.
func FuzzSubscribe(f *testing.F) {
	for state := range uint64(subscribedStates) {
		f.Add(state, []byte("SUBSCRIBE sip:1002@bellhop.test SIP/2.0\r\nEvent: dialog;id=\x00\r\n\r\n"))
	}
	f.Add(uint64(1), []byte("<SetDoNotDisturb><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>"))
	f.Fuzz(fuzzSubscribe)
}

const subscribedStates = 4

func fuzzSubscribe(t *testing.T, seed uint64, data []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, seed)
		tap := &tap{}
		h.net.Drop(tap.hear)
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		zoe := h.phone("desk-1003", 66)
		switch seed % subscribedStates {
		case 0: // a NOTIFY without an answer
			watching(t, ana, "dialog", "1002")
			h.apply(t, put(directory.KindDND, "user1002", `{"enabled":true}`))
			synctest.Wait()
		case 1:
			w := watching(t, ana, "as-feature-event", "1001")
			w.send(t, w.key(t, setForwarding("forwardImmediate", true, "1004")))
		case 2: // not finished
			_, r := subscribing(t, ana, "presence", "1002", "Expires: 60")
			ana.Send(r)
			r.Branch, r.Via, r.CSeq = "", "", r.CSeq+1
			ana.Send(r)
		default:
			watching(t, ben, "reg", "1002", "Expires: 120")
			write(t, ana, "1004", "hello")
			ana.Wait(t, "202 MESSAGE")
			synctest.Wait()
			dan := h.registered(t, "desk-1004", 14)
			reply(dan, dan.Wait(t, "MESSAGE"), 200)
		}
		tap.batter(seed, data, ana, ben, zoe)
		h.sane(t)
	})
}

// TestMutatedSubscriptions is FuzzSubscribe with more seeds than a fuzz target has.
func TestMutatedSubscriptions(t *testing.T) {
	t.Parallel()
	for state := range uint64(subscribedStates) {
		t.Run(fmt.Sprint(state), func(t *testing.T) {
			t.Parallel()
			for i := range uint64(10) {
				fuzzSubscribe(t, state+i*subscribedStates, []byte("\x00 sip:;;,,\"<>\r\n "))
			}
		})
	}
}
