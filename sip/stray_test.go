package sip_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/feed"
)

// TestStray2xx: after the daemon died between a 2xx and its ACK, the callee says
// its 2xx again, and the caller hears it: nothing but the journal knows the call.
func TestStray2xx(t *testing.T) {
	t.Parallel()
	const ok = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK2\r\n" +
		"From: <sip:1001@bellhop.test>;tag=from\r\nTo: <sip:1002@bellhop.test>;tag=to\r\nCall-ID: died\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
	tests := []struct {
		name, message string
		goes          bool
	}{
		{"of a call that talks", ok, true},
		{"of another dialog", strings.Replace(ok, "tag=to", "tag=other", 1), false},
		{"of another call", strings.Replace(ok, "died", "unknown", 1), false},
		{"no 2xx", strings.Replace(ok, "200 OK", "486 Busy", 1), false},
		{"to another request", strings.Replace(ok, "1 INVITE", "1 UPDATE", 1), false},
		{"without the caller's Via", strings.Replace(ok, "Via: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK2\r\n", "", 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, 1)
				now := time.Now()
				c := &feed.Call{
					ID: h.store.Calls.NewID(now), Domain: domain, CallID: "died", CallerTag: "from", CalleeTag: "to", State: feed.Talking,
					Started: now, AnsweredAt: now, Deadline: now.Add(time.Hour),
					CallerAddr: netip.MustParseAddrPort("192.0.2.50:5060"), CalleeAddr: netip.MustParseAddrPort("192.0.2.60:5060"),
				}
				h.store.Calls.Begin(c)
				if err := h.store.Calls.Answered(c); err != nil {
					t.Fatal(err)
				}
				caller, callee := h.net.Listen(c.CallerAddr), h.net.Listen(c.CalleeAddr)
				t.Cleanup(func() { caller.Close(); callee.Close() })
				if _, err := callee.WriteTo([]byte(tt.message), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(server))); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Second, func() { caller.Close() }) // nothing came
				var buf [2000]byte
				n, _, err := caller.ReadFrom(buf[:])
				if (err == nil) != tt.goes {
					t.Fatalf("the caller got %q, %v; want it to get something: %v", buf[:n], err, tt.goes)
				}
				if want := strings.Replace(ok, "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n", "", 1); tt.goes && string(buf[:n]) != want {
					t.Errorf("the caller got\n%s\nwant\n%s", buf[:n], want)
				}
			})
		})
	}
}
