package sip_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/sip/siptest"
)

// The record of a proxied call has its legs as that of an anchored one.
func TestLegsOfProxiedCalls(t *testing.T) {
	t.Parallel()
	said := func(c *feed.Call) (out []string) {
		for _, l := range c.Legs {
			s := fmt.Sprintf("%s %d", l.Device, l.Status)
			if l.Caller {
				s = "caller " + s
			}
			if l.Dialog != nil || l.State != feed.Ended || l.EndedAt.IsZero() {
				s += " is not over"
			}
			if !l.AnsweredAt.IsZero() {
				s += " for " + l.EndedAt.Sub(l.AnsweredAt).String()
			}
			out = append(out, s)
		}
		return out
	}
	tests := []struct {
		name string
		play func(t *testing.T, h *house, leg *siptest.Leg, desk, soft *siptest.Phone)
		want []string
	}{
		{"one answers", func(t *testing.T, _ *house, leg *siptest.Leg, desk, soft *siptest.Phone) {
			t.Helper()
			inv, other := desk.Wait(t, "INVITE"), soft.Wait(t, "INVITE")
			desk.Reply(inv, withSDP(200))
			leg.Ack(leg.Phone.Wait(t, "200 INVITE"))
			desk.Wait(t, "ACK")
			soft.Reply(other, siptest.Answer{Status: 180})
			soft.Reply(soft.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			soft.Reply(other, siptest.Answer{Status: 487})
			pass(time.Minute)
			over(t, leg, desk.Answered(inv))
		}, []string{"caller desk-1001 200 for 1m0s", "desk-1002 200 for 1m0s", "soft-1002 487"}},
		{"hung up by us", func(t *testing.T, h *house, leg *siptest.Leg, desk, soft *siptest.Phone) {
			t.Helper()
			inv, other := desk.Wait(t, "INVITE"), soft.Wait(t, "INVITE")
			soft.Reply(other, siptest.Answer{Status: 486})
			soft.Wait(t, "ACK")
			desk.Reply(inv, withSDP(200))
			leg.Ack(leg.Phone.Wait(t, "200 INVITE"))
			desk.Wait(t, "ACK")
			pass(time.Second)
			if err := h.server.HangUp(t.Context(), h.store.Calls.Live(domain)[0].ID); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*siptest.Phone{leg.Phone, desk} {
				p.Reply(p.Wait(t, "BYE"), siptest.Answer{Status: 200})
			}
		}, []string{"caller desk-1001 200 for 1s", "desk-1002 200 for 1s", "soft-1002 486"}},
		{"nobody answers", func(t *testing.T, _ *house, leg *siptest.Leg, desk, soft *siptest.Phone) {
			t.Helper()
			for _, p := range []*siptest.Phone{desk, soft} {
				p.Reply(p.Wait(t, "INVITE"), siptest.Answer{Status: 486})
				p.Wait(t, "ACK")
			}
			leg.Refused(leg.Phone.Wait(t, "486 INVITE"))
		}, []string{"caller desk-1001 486", "desk-1002 486", "soft-1002 486"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, desk, soft := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "soft-1002", 13)
				tt.play(t, h, ana.Call(t, "1002"), desk, soft)
				pass(time.Second) // the record follows the last response
				if got := said(h.record(t)); !slices.Equal(got, tt.want) {
					t.Errorf("legs %q, want %q", got, tt.want)
				}
			})
		})
	}
}
