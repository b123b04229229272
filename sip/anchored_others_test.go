package sip_test

import (
	"strings"
	"testing"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// Each trunk shows callers by its own policy, also one that follows another that
// failed.
func TestEachTrunkHasItsCallerID(t *testing.T) {
	t.Parallel()
	inTrunk(t, `{"proof":"address","health":"off","peers":["192.0.2.50"],"spoofable":"accepted","routes":[{"prefix":"+49"}]}`, func(t *testing.T, h *house, first *siptest.Phone) {
		h.apply(t, outside()...)
		h.apply(t,
			put(directory.KindSite, "hq", `{"main_number":"+49897007000"}`),
			put(directory.KindNumber, "1001", `{"user":"user1001","site":"hq","public":"+498970071001","class_of_service":"all","label":"Ana"}`),
			put(directory.KindTrunk, "second", `{"proof":"address","health":"off","caller_id":"main","peers":["192.0.2.51"],"spoofable":"accepted","routes":[{"prefix":"+49","priority":20}]}`))
		pass(0)
		second, ana := h.carrierAt(51), h.registered(t, "desk-1001", 11)
		leg := ana.Call(t, mobile)
		inv := first.Wait(t, "INVITE")
		if from := inv.Header("From"); !strings.HasPrefix(from, `"Ana" <sip:+498970071001@bellhop.test>`) {
			t.Errorf("From to the first trunk %s", from)
		}
		first.Reply(inv, siptest.Answer{Status: 503})
		first.Wait(t, "ACK")
		inv = second.Wait(t, "INVITE")
		if from := inv.Header("From"); !strings.HasPrefix(from, "<sip:+49897007000@bellhop.test>") {
			t.Errorf("From to the second trunk %s", from)
		}
		second.Reply(inv, withSDP(200))
		if ack := second.Wait(t, "ACK"); !strings.HasPrefix(ack.Header("From"), "<sip:+49897007000@bellhop.test>") {
			t.Errorf("ACK to the second trunk:\n%s", ack.Raw)
		}
		leg.Ack(ana.Wait(t, "200 INVITE"))
		over(t, leg, second.Answered(inv))
		if c := h.record(t); c.Legs[1].Trunk != "second" || c.Legs[1].Identity != "+49897007000" {
			t.Errorf("leg %+v", c.Legs[1])
		}
	})
}
