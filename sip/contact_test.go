package sip_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// TestNewContactInMidCall: a phone that names no instance and registers another
// contact in a call gets what is sent to it within the call there, when it is
// known to be the same phone. Another phone with the same credential gets none of
// it.
func TestNewContactInMidCall(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		then []siptest.Registration // from the new address
		old  bool                   // the phone is still where it was
	}{
		{"under its Call-ID", []siptest.Registration{{}}, false},
		{"twice under its Call-ID", []siptest.Registration{{Contacts: []string{"<sip:x@203.0.113.9:5060>"}}, {}}, false},
		{"under another, the old contact gone", []siptest.Registration{{CallID: "again"}, {Contacts: []string{"OLD;expires=0"}}}, false},
		{"another phone with its credential", []siptest.Registration{{CallID: "another"}}, true},
	}
	for _, tt := range tests {
		for _, who := range []string{"caller", "callee"} {
			t.Run(tt.name+", "+who, func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T, h *house) {
					ana, ben := h.phone("desk-1001", 11), h.phone("desk-1002", 12)
					for _, p := range []*siptest.Phone{ana, ben} {
						p.Instance = ""
						if res := p.Register(t, siptest.Registration{}); res.Status() != 200 {
							t.Fatalf("REGISTER = %d", res.Status())
						}
					}
					caller, callee := talk(t, ana, ben)
					mover, other := ana, callee
					if who == "callee" {
						mover, other = ben, caller
					}
					old := mover.Contact()
					second := mover
					if tt.old {
						second = h.phone(mover.Device, 77)
						second.Instance = ""
					} else {
						mover.Move(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.99"), 5099))
					}
					for _, r := range tt.then {
						if slices.Equal(r.Contacts, []string{"OLD;expires=0"}) {
							r.Contacts = []string{"<" + old + ">;expires=0"}
						}
						if res := second.Register(t, r); res.Status() != 200 {
							t.Fatalf("REGISTER = %d", res.Status())
						}
					}
					other.Bye()
					mover.Reply(mover.Wait(t, "BYE"), siptest.Answer{Status: 200})
					other.Phone.Wait(t, "200 BYE")
				})
			})
		}
	}
}

// TestDialledContact: the Contact that a phone registered is that phone, for devices
// of its domain: attended transfer names it so, with Replaces (rule dial.contact).
func TestDialledContact(t *testing.T) {
	t.Parallel()
	inCampus(t, func(t *testing.T, c *campus) {
		c.apply(t, put(directory.KindForwarding, "1002", `{"all":{"both":{"enabled":true,"target":"1003"}}}`))
		ana, desk, tcp := c.registered(t, "desk-1001", 11, ""), c.registered(t, "desk-1002", 12, ""), c.registered(t, "soft-1002", 13, "TCP")
		web := c.phone("web-1002", 14, "WS")
		const made = "sip:k7x2@q1w2.invalid;transport=ws"
		if res := web.Register(t, siptest.Registration{Contacts: []string{"<" + made + `>;+sip.instance="<urn:x:web>"`}}); res.Status() != 200 {
			t.Fatalf("REGISTER = %d", res.Status())
		}
		web.Ladder = nil
		for _, tt := range []struct {
			uri   string
			phone *siptest.Phone
		}{{desk.Contact(), desk}, {tcp.Contact(), tcp}, {made, web}, {strings.TrimSuffix(made, ";transport=ws"), web}} {
			call := ana.Call(t, tt.uri, "Replaces: abc;to-tag=1;from-tag=2")
			inv := tt.phone.Wait(t, "INVITE")
			if got := inv.Header("Replaces"); got != "abc;to-tag=1;from-tag=2" {
				t.Errorf("Replaces: %s", got)
			}
			tt.phone.Reply(inv, siptest.Answer{Status: 200, Body: siptest.SDP})
			call.Ack(ana.Wait(t, "200 INVITE"))
			tt.phone.Wait(t, "ACK")
			over(t, call, tt.phone.Answered(inv))
			for _, other := range []*siptest.Phone{desk, tcp, web} {
				other.Quiet(t, time.Second)
			}
		}
		call := ana.Call(t, "sip:1002@192.0.2.99:5060") // nobody registered that: it is the number
		call.Refused(ana.Wait(t, "480 INVITE"))
		call = ana.Call(t, "sip:k7x3@q1w2.invalid")
		call.Refused(ana.Wait(t, "404 INVITE"))
		c.apply(t, directory.Write{Ref: directory.Ref{Domain: "open.test", Kind: directory.KindNumber, Name: "2001"}, Body: []byte(`{}`)})
		c.openDevice(t, "open.test", "desk-2001", "2001")
		foreign := c.phone("desk-2001", 21, "")
		foreign.Domain = "open.test"
		foreign.Register(t, siptest.Registration{})
		call = foreign.Call(t, made) // its own domain has no such phone
		call.Refused(foreign.Wait(t, "404 INVITE"))
	})
}
