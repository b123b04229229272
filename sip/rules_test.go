package sip_test

import (
	"slices"
	"strings"
	"testing"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// forward is a forwarding.all of a number for internal calls.
func forward(number, to string) directory.Write {
	return put(directory.KindForwarding, number, `{"all":{"internal":{"enabled":true,"target":"`+to+`"}}}`)
}

// TestRules calls 1002 from 1001 while 1001 to 1004 are registered, and looks
// who rings and what the caller is told before anything was answered.
func TestRules(t *testing.T) {
	t.Parallel()
	dnd := func(body string) directory.Write { return put(directory.KindDND, "user1002", body) }
	tests := []struct {
		name   string
		with   []directory.Write
		caller string // 1001
		called string // 1002
		rings  string // the number; "": none
		want   string // what the caller sees first
		reason string // begins with
		rule   string // of the record
		lines  []string
	}{
		{name: "a user's name", called: "user1002", rings: "1002"},
		{name: "a device's name", called: "desk-1002", rings: "1002"},
		{name: "by an alias of the domain", called: "sip:1002@pbx.test", rings: "1002"},
		{name: "escaped", called: "sip:%31002@bellhop.test", rings: "1002"},
		{name: "unknown", called: "1999", want: "404 INVITE", rule: "dial.unknown"},
		{name: "nobody registered", called: "1005", want: "480 INVITE", rule: "ring.final"},
		{name: "dnd, voicemail else busy", with: []directory.Write{dnd(`{"enabled":true}`)}, want: "486 INVITE", rule: "dnd"},
		{name: "dnd, reject", with: []directory.Write{dnd(`{"enabled":true,"mode":"reject"}`)}, want: "486 INVITE", rule: "dnd"},
		{name: "dnd, allowed caller", with: []directory.Write{dnd(`{"enabled":true,"allow":["1001"]}`)}, rings: "1002"},
		{
			name: "dnd, ringer off", with: []directory.Write{dnd(`{"enabled":true,"mode":"ringer-off","alert":"flash"}`)}, rings: "1002",
			lines: []string{"Alert-Info: <http://127.0.0.1/silent>;info=silent;alert=flash"},
		},
		{
			name: "dnd, ringer off, as the device says", rings: "1002",
			with: []directory.Write{
				put(directory.KindDevice, "desk-1002", `{"kind":"desk","lines":[{"number":"1002"}],"dnd_alert":"beep"}`),
				dnd(`{"enabled":true,"mode":"ringer-off","alert":"flash"}`),
			},
			lines: []string{"Alert-Info: <http://127.0.0.1/silent>;info=silent;alert=beep"},
		},
		{
			name: "forward.all", with: []directory.Write{forward("1002", "1003")}, rings: "1003", want: "181 INVITE",
			lines: []string{
				"Diversion: <sip:1002@bellhop.test>;reason=unconditional;counter=1",
				"History-Info: <sip:1002@bellhop.test>;index=1, <sip:1003@bellhop.test;cause=302>;index=1.1;mp=1",
			},
		},
		{
			name: "a chain of forwards", with: []directory.Write{forward("1002", "1003"), forward("1003", "sip:1004@bellhop.test")}, rings: "1004", want: "181 INVITE",
			lines: []string{
				"Diversion: <sip:1003@bellhop.test>;reason=unconditional;counter=1",
				"Diversion: <sip:1002@bellhop.test>;reason=unconditional;counter=1",
				"History-Info: <sip:1002@bellhop.test>;index=1, <sip:1003@bellhop.test;cause=302>;index=1.1;mp=1, <sip:1004@bellhop.test;cause=302>;index=1.1.1;mp=1.1",
			},
		},
		{
			name: "loop breakout", rings: "1003", want: "181 INVITE",
			with: []directory.Write{
				forward("1002", "1003"), put(directory.KindPresence, "user1003", `{"status":"lunch"}`),
				put(directory.KindPresenceTo, "user1003", `{"lunch":{"target":"1002"}}`),
			},
		},
		{name: "override: the target reaches who forwards", with: []directory.Write{forward("1002", "1001")}, rings: "1002"},
		{name: "presence", with: []directory.Write{
			put(directory.KindPresence, "user1002", `{"status":"lunch"}`), put(directory.KindPresenceTo, "user1002", `{"lunch":{"target":"1003"}}`),
		}, rings: "1003", want: "181 INVITE", lines: []string{"Diversion: <sip:1002@bellhop.test>;reason=away;counter=1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				phones := map[string]*siptest.Phone{}
				for i, n := range []string{"1001", "1002", "1003", "1004"} {
					phones[n] = h.registered(t, "desk-"+n, 11+i)
				}
				for _, w := range tt.with {
					h.apply(t, w)
				}
				if tt.called == "" {
					tt.called = "1002"
				}
				ana := phones["1001"]
				call := ana.Call(t, tt.called)
				if tt.want != "" {
					res := ana.Wait(t, tt.want)
					if !strings.HasPrefix(res.Reason(), tt.reason) {
						t.Errorf("reason %q, want %q", res.Reason(), tt.reason)
					}
					if tt.want == "181 INVITE" && (res.Contact() != "" || res.Body() != "" || res.ToTag() == "") { // rule ring.181
						t.Errorf("181 with\n%s", res.Raw)
					}
					if res.Status() >= 300 {
						call.Refused(res)
					}
				}
				if tt.rings != "" {
					callee := phones[tt.rings]
					inv := callee.Wait(t, "INVITE")
					for _, l := range tt.lines {
						name, _, _ := strings.Cut(l, ":")
						if !slices.Contains(inv.Lines(name), l) {
							t.Errorf("no %q in\n%s", l, inv.Raw)
						}
					}
					if to := inv.Header("To"); to != "<"+call.Invite.URI+">" {
						t.Errorf("To = %s", to)
					}
					reply(callee, inv, 486)
					callee.Wait(t, "ACK")
					call.Refused(ana.Wait(t, "486 INVITE"))
				}
				for n, p := range phones {
					if n != tt.rings && n != "1001" {
						p.Saw(t)
					}
				}
				if c := h.record(t); tt.rule != "" && c.Rule != tt.rule {
					t.Errorf("rule %q, want %q", c.Rule, tt.rule)
				}
			})
		})
	}
}

// TestBusyTrigger: two calls are the trigger with call waiting on.
func TestBusyTrigger(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ben := h.registered(t, "desk-1002", 12)
		var callers []*siptest.Phone
		for i, d := range []string{"desk-1001", "desk-1003", "desk-1004"} {
			callers = append(callers, h.registered(t, d, 13+i))
		}
		var legs []*siptest.Leg
		for _, p := range callers[:2] {
			leg, _ := talk(t, p, ben)
			legs = append(legs, leg)
		}
		third := callers[2].Call(t, "1002")
		third.Refused(callers[2].Wait(t, "486 INVITE"))
		legs[0].Bye()
		reply(ben, ben.Wait(t, "BYE"), 200)
		callers[0].Wait(t, "200 BYE")
		again := callers[2].Call(t, "1002")
		inv := ben.Wait(t, "INVITE")
		reply(ben, inv, 486)
		ben.Wait(t, "ACK")
		again.Refused(callers[2].Wait(t, "486 INVITE"))
		legs[1].Bye()
		reply(ben, ben.Wait(t, "BYE"), 200)
		callers[1].Wait(t, "200 BYE")
	})
}
