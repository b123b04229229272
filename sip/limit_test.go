package sip_test

import (
	"slices"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
)

// refusedBy holds that a call ended by a rule with 403.
func (h *house) refusedBy(t *testing.T, rule string) {
	t.Helper()
	calls, _, err := h.store.Records(t.Context(), domain, feed.Filter{})
	if err != nil || !slices.ContainsFunc(calls, func(c *feed.Call) bool { return c.Rule == rule && c.Status == 403 }) {
		t.Errorf("no call was refused by %s: %v", rule, err)
	}
}

// TestLimits: what live calls have in use is what the next one is held against
// (rules limit.*, forward.external-loop).
func TestLimits(t *testing.T) {
	t.Parallel()
	const forward = `{"all":{"both":{"enabled":true,"target":"` + mobile + `"}}}`
	t.Run("calls at once", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T, h *house) {
			h.apply(t, append(outside(), put(directory.KindTrunk, "carrier", twoPeers))...)
			h.apply(t, put(directory.KindNumber, "1001",
				`{"user":"user1001","public":"+498970071001","class_of_service":"all","limits":{"calls":1}}`))
			ana, c1 := h.registered(t, "desk-1001", 11), h.carrierAt(50)
			first := ana.Call(t, mobile)
			inv := c1.Wait(t, "INVITE")
			c1.Reply(inv, withSDP(200))
			c1.Wait(t, "ACK")
			first.Ack(ana.Wait(t, "200 INVITE"))
			second := ana.Call(t, mobile)
			second.Refused(ana.Wait(t, "403 INVITE"))
			h.refusedBy(t, "limit.calls")
			over(t, c1.Answered(inv), first)
			third := ana.Call(t, mobile)
			inv = c1.Wait(t, "INVITE")
			reply(c1, inv, 486)
			c1.Wait(t, "ACK")
			third.Refused(ana.Wait(t, "486 INVITE"))
		})
	})
	t.Run("attempts in a minute", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T, h *house) {
			h.apply(t, append(outside(), put(directory.KindTrunk, "carrier", twoPeers))...)
			h.apply(t, put(directory.KindNumber, "1001",
				`{"user":"user1001","public":"+498970071001","class_of_service":"all","limits":{"attempts_per_minute":2}}`))
			ana, c1 := h.registered(t, "desk-1001", 11), h.carrierAt(50)
			for range 2 {
				leg := ana.Call(t, mobile)
				inv := c1.Wait(t, "INVITE")
				reply(c1, inv, 486)
				c1.Wait(t, "ACK")
				leg.Refused(ana.Wait(t, "486 INVITE"))
			}
			leg := ana.Call(t, mobile)
			leg.Refused(ana.Wait(t, "403 INVITE"))
			h.refusedBy(t, "limit.attempts")
			pass(time.Minute)
			ana.Call(t, mobile)
			reply(c1, c1.Wait(t, "INVITE"), 486)
			ana.Wait(t, "486 INVITE")
		})
	})
	t.Run("a call that comes back rings phones", func(t *testing.T) {
		t.Parallel()
		in(t, func(t *testing.T, h *house) {
			h.apply(t, append(outside(), put(directory.KindTrunk, "carrier", twoPeers), put(directory.KindForwarding, "1002", forward))...)
			pass(time.Millisecond) // the trunk is known
			ben, c1 := h.registered(t, "desk-1002", 12), h.carrierAt(50)
			leg := c1.Call(t, "+498970071002")
			c1.Wait(t, "181 INVITE")
			out := c1.Wait(t, "INVITE") // to the mobile, which sends it back
			reply(c1, out, 180)
			c1.Wait(t, "180 INVITE")
			back := c1.Call(t, "+498970071002")
			inv := ben.Wait(t, "INVITE")
			reply(ben, inv, 486)
			ben.Wait(t, "ACK")
			back.Refused(c1.Wait(t, "486 INVITE"))
			leg.Cancel()
			c1.Wait(t, "200 CANCEL")
			reply(c1, c1.Wait(t, "CANCEL"), 200)
			reply(c1, out, 487)
			c1.Wait(t, "ACK")
			c1.Wait(t, "487 INVITE")
		})
	})
}
