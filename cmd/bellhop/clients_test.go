//go:build e2e

package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A talker is a phone of the matrix, and the words of its program.
type talker struct {
	*softphone
	number               string
	dial, hangup         string // what it is told; dial has the called URI
	established, cleared string // what it says once for every call
}

// call calls another, and one of the two hangs up.
func (c *talker) call(other *talker, hangUp bool) error {
	both := [...]*talker{c, other}
	var established, cleared [2]int
	for i, who := range both {
		established[i], cleared[i] = who.said(who.established)+1, who.said(who.cleared)+1
	}
	if err := c.told(c.dial, "sip:"+other.number+"@"+demoDomain); err != nil {
		return err
	}
	for i, who := range both {
		if err := who.heard(established[i], who.established); err != nil {
			return err
		}
	}
	ends := other
	if hangUp {
		ends = c
	}
	if err := ends.told(ends.hangup); err != nil {
		return err
	}
	for i, who := range both {
		if err := who.heard(cleared[i], who.cleared); err != nil {
			return err
		}
	}
	return nil
}

// TestE2EClients lets baresip and linphone over UDP, TCP and TLS and JsSIP over
// secure WebSocket register, and each call each other one.
func TestE2EClients(t *testing.T) {
	t.Parallel()
	h := newTown(t, "--sips", "127.0.0.1:0", "--users", "2")
	baresip := func(number, proxy string) talker {
		t.Helper()
		return talker{h.baresip(t, number, proxy), number, "/dial %s", "/hangup", "Call established", "call: terminate call|session closed"}
	}
	linphone := func(number, proxy, transport string) talker {
		t.Helper()
		// Its TLS knows no addresses in certificates.
		return talker{h.linphone(t, number, proxy, transport), number, "call %s", "terminate", " connected.", " ended ("}
	}
	secure := strings.Replace(h.info.SIPS, "127.0.0.1", "localhost", 1)
	all := []talker{
		baresip("1001", h.info.SIP),
		baresip("1002", h.info.SIP+";transport=tcp"),
		baresip("1003", h.info.SIPS+";transport=tls"),
		linphone("1005", h.info.SIP, "udp"),
		linphone("10001", h.info.SIP, "tcp"),
		linphone("10002", secure, "tls"),
		{h.jssips(t, "1004"), "1004", "1004 call %s", "1004 hangup", "1004 confirmed", "1004 ended"},
	}
	calls := 0
	for round := range len(all) {
		for _, back := range []bool{false, true} {
			var wg sync.WaitGroup
			for a := range all { // each phone is in one pair of a round, or in none
				b := (round - a + len(all)) % len(all)
				if a >= b {
					continue
				}
				calls++
				from, to := &all[a], &all[b]
				if back {
					from, to = to, from
				}
				wg.Go(func() {
					if err := from.call(to, (round+a)%2 == 0); err != nil {
						t.Errorf("%s calls %s: %v", from.name, to.name, err)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	got := make(map[string]int)
	for _, r := range h.records(t, calls) {
		got[fmt.Sprintf("%s calls %s: %s", r.Caller, r.Called, r.Outcome)]++
	}
	for _, a := range all {
		for _, b := range all {
			if what := fmt.Sprintf("%s calls %s: answered", a.number, b.number); a.number != b.number && got[what] != 1 {
				t.Errorf("%s and %s: %d records of %q, want 1", a.name, b.name, got[what], what)
			}
		}
	}
}
