package sip_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/sip"
	"bellhop/sip/siptest"
)

// rescue is a house whose trunk has room for one call, and where 1001 may call
// nobody.
func (h *house) rescue(tb testing.TB) {
	tb.Helper()
	h.apply(tb,
		put(directory.KindClass, "none", `{"rules":[]}`),
		put(directory.KindSite, "hq", `{"main_number":"+49897007000","emergency_location":"https://location.bellhop.test/hq","emergency_callback":"+498970071003"}`),
		put(directory.KindNumber, "1003", `{"user":"user1003","public":"+498970071003"}`),
		put(directory.KindNumber, "1001", `{"user":"user1001","site":"hq","class_of_service":"none","state":"pending","limits":{"calls":1,"attempts_per_minute":1}}`),
		put(directory.KindTrunk, "carrier", `{"proof":"address","health":"off","peers":["192.0.2.50","192.0.2.51"],"spoofable":"accepted","max_calls":1,"max_cps":1,"routes":[{"prefix":"+49"},{"prefix":"","strip":1}]}`))
	synctest.Wait()
}

// helped takes a call for help at a carrier, and ends it.
func helped(t *testing.T, leg *siptest.Leg, carrier *siptest.Phone) *siptest.Message {
	t.Helper()
	inv := carrier.Wait(t, "INVITE")
	carrier.Reply(inv, withSDP(200))
	carrier.Wait(t, "ACK")
	leg.Ack(leg.Phone.Wait(t, "200 INVITE"))
	over(t, carrier.Answered(inv), leg)
	return inv
}

// Neither class, state, limits, a full trunk, a resting peer nor a drain stops a
// call for help.
func TestEmergency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newHouse(t, 1, func(o *sip.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		h.rescue(t)
		first, second := h.carrierAt(50), h.carrierAt(51)
		ana, cyd := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1003", 13)
		cyd.Call(t, "+4930123456") // the trunk is full now
		busy := first.Wait(t, "INVITE")
		first.Reply(busy, siptest.Answer{Status: 180})
		cyd.Wait(t, "180 INVITE")
		h.server.Drain(true)
		ana.Call(t, "1003")
		if res := ana.Wait(t, "503 INVITE"); res.Header("Retry-After") == "" {
			t.Errorf("a call while we drain:\n%s", res.Raw)
		}
		leg := ana.Call(t, "112")
		inv := first.Wait(t, "INVITE")
		first.Reply(inv, siptest.Answer{Status: 403}) // others may take it
		first.Wait(t, "ACK")
		inv = helped(t, leg, second)
		if inv.URI() != "sip:112@192.0.2.51" || inv.Header("Priority") != "emergency" || inv.Header("Geolocation") != "<https://location.bellhop.test/hq>" ||
			inv.Header("Geolocation-Routing") != "yes" || !strings.HasPrefix(inv.Header("From"), "<sip:+498970071003@bellhop.test>") ||
			inv.Header("P-Asserted-Identity") != "<sip:+498970071003@bellhop.test>" || inv.Header("Privacy") != "" {
			t.Errorf("call for help as sent:\n%s", inv.Raw)
		}
		c := h.record(t)
		if len(c.Emergency) != 2 || c.Emergency[0] != "1001" || c.Emergency[1] != "1003" || c.Rule != "dial.emergency" || c.Anchored != "dial.emergency" || c.Legs[1].Kind != "emergency" {
			t.Errorf("record %+v", c)
		}
		if n := h.metric(t, "bellhop_b2bua_emergency_calls_total"); n != 1 {
			t.Errorf("%v emergency calls counted", n)
		}
		if s := log.String(); !strings.Contains(s, "level=WARN msg=\"emergency call\"") || !strings.Contains(s, "callback=+498970071003") {
			t.Errorf("log:\n%s", s)
		}
		first.Reply(busy, siptest.Answer{Status: 486})
		first.Wait(t, "ACK")
		h.sane(t)
	})
}

// When nobody takes a call for help all are asked once more, also those that rest.
func TestEmergencyByPeersThatAreDown(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.rescue(t)
		first, second := h.carrierAt(50), h.carrierAt(51)
		ana := h.registered(t, "desk-1001", 11)
		leg := ana.Call(t, "110")
		for _, c := range []*siptest.Phone{first, second, first, second} {
			c.Reply(c.Wait(t, "INVITE"), siptest.Answer{Status: 503, Lines: []string{"Retry-After: 600"}})
			c.Wait(t, "ACK")
		}
		leg.Refused(ana.Wait(t, "480 INVITE"))
		helped(t, ana.Call(t, "110"), first) // it rests
	})
}

// When the stores are away, what they say of the caller is not waited for.
func TestEmergencyWithoutStores(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.World = awayWorld{o.World} })
		h.rescue(t)
		carrier := h.carrierAt(50)
		ana := h.registered(t, "desk-1001", 11)
		ana.Call(t, "1003")
		ana.Wait(t, "500 INVITE")
		leg := ana.Call(t, "112")
		inv := helped(t, leg, carrier)
		if !strings.HasPrefix(inv.Header("From"), "<sip:1001@bellhop.test>") {
			t.Errorf("call for help as sent:\n%s", inv.Raw)
		}
		h.sane(t)
	})
}

// An awayWorld knows only what is always in memory.
type awayWorld struct{ sip.World }

func (w awayWorld) Cached(n routing.Need, world *routing.World) bool {
	switch n.Kind {
	case routing.NeedNumber, routing.NeedUser, routing.NeedDevice, routing.NeedCaller:
		return false
	default:
		return w.World.Cached(n, world)
	}
}

func (w awayWorld) Load(_ context.Context, n routing.Need, world *routing.World) error {
	if w.Cached(n, world) {
		return nil
	}
	return errors.New("away")
}

// With no lane left, a call for help finds one.
func TestEmergencyInOverload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.MaxLanes = 3 })
		h.rescue(t)
		carrier := h.carrierAt(50)
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		pass(time.Minute)
		for range 3 {
			ben.Call(t, "1003")
		}
		pass(time.Second)
		for m := ben.Next(t, 0); m != nil; m = ben.Next(t, 0) {
		}
		ben.Call(t, "1003")
		if m := ben.Next(t, time.Second); m == nil || m.Status() != 503 {
			t.Errorf("a call in overload got %v", m)
		}
		helped(t, ana.Call(t, "112"), carrier)
		h.sane(t)
	})
}

// A call back within the hour gets through do not disturb and forwards; one from
// inside, or later, does not.
func TestCallBack(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.rescue(t)
		h.apply(t, put(directory.KindDND, "user1003", `{"enabled":true}`),
			put(directory.KindForwarding, "1003", `{"all":{"both":{"enabled":true,"target":"1004"}}}`))
		carrier := h.carrierAt(50)
		ana, cyd, dan := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1003", 13), h.registered(t, "desk-1004", 14)
		calls := func(who *siptest.Phone) {
			t.Helper()
			in := carrier.Call(t, "sip:+498970071003@192.0.2.1")
			who.Reply(who.Wait(t, "INVITE"), siptest.Answer{Status: 486})
			who.Wait(t, "ACK")
			for m := carrier.Next(t, time.Second); m != nil; m = carrier.Next(t, time.Second) {
				if m.Status() >= 300 {
					in.Refused(m)
				}
			}
		}
		calls(dan)
		pass(2 * time.Second) // max_cps
		helped(t, ana.Call(t, "112"), carrier)
		pass(59 * time.Minute)
		cyd.Register(t, siptest.Registration{})
		calls(cyd)
		ana.Call(t, "1003")
		ana.Wait(t, "403 INVITE") // it is not active
		pass(time.Minute)
		dan.Register(t, siptest.Registration{})
		calls(dan)
	})
}
