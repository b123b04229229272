//go:build e2e

package main

import (
	"strings"
	"testing"
)

// TestE2ETwoListeners makes calls between phones on different listeners: two
// ports of one address, and IPv4 with IPv6, where a message must carry a
// Record-Route for each side (RFC 3261 §16.6, RFC 5658). Either side hangs up.
func TestE2ETwoListeners(t *testing.T) {
	t.Parallel()
	for _, net := range []struct{ name, bind, ip string }{
		{"IPv4", "127.0.0.1:", "127.0.0.1"},
		{"IPv6", "[::1]:", "::1"},
	} {
		for _, tt := range []struct {
			name, call, answer string
			outward            bool // the caller is on the second listener
		}{
			{"the caller hangs up", "call", "answer", true},
			{"the callee hangs up", "call-hung-up", "answer-hang-up", true},
			{"the caller hangs up, inward", "call", "answer", false},
			{"the callee hangs up, inward", "call-hung-up", "answer-hang-up", false},
			{"INFO and new INVITEs in the dialog", "call-changes", "answer-changes", true},
		} {
			t.Run(net.name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				second := net.bind + freePort(t)
				h := newHouse(t, "--more-sip", second)
				cleo, ana := h.phone(t, caller, "desk-"+caller), h.phone(t, "1001", "desk-1001")
				abroad := ana
				if tt.outward {
					abroad = cleo
				}
				abroad.server, abroad.ip = second, net.ip
				for _, p := range []*phone{cleo, ana} {
					p.start(t, "register").wait(t)
				}
				answer := ana.start(t, tt.answer, "-d", 300)
				call := cleo.calls(t, tt.call, "1001", "-d", 200)
				call.wait(t)
				answer.wait(t)
				invite := answer.first(t, "INVITE ")
				routes := field(invite, "Record-Route")
				if len(routes) != 2 || !strings.Contains(routes[0], "@"+ana.server) || !strings.Contains(routes[1], "@"+cleo.server) {
					t.Errorf("Record-Route = %q, want the callee's side %s above the caller's %s", routes, ana.server, cleo.server)
				}
				matches(t, invite, "Via", "^SIP/2.0/UDP "+strings.NewReplacer("[", `\[`, "]", `\]`).Replace(ana.server))
				h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}})
			})
		}
	}
}
