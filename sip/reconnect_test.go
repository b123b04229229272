package sip_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

// away closes the connection of a phone.
func away(p *siptest.Phone) {
	p.Close()
	synctest.Wait()
}

// back gives a phone another connection, from another port, and registers it.
func back(t *testing.T, p *siptest.Phone) {
	t.Helper()
	p.Move(netip.AddrPortFrom(p.Addr.Addr(), p.Addr.Port()+1))
	if res := p.Register(t, siptest.Registration{CallID: p.ID()}); res.Status() != 200 {
		t.Fatalf("REGISTER = %d", res.Status())
	}
}

// A phone that reconnects in mid-call gets what is sent to it within the call on
// its newest connection.
func TestReconnectInMidCall(t *testing.T) {
	t.Parallel()
	for _, anchored := range []bool{false, true} {
		for _, who := range []string{"caller", "callee"} {
			t.Run(kindOf(anchored)+", "+who, func(t *testing.T) {
				t.Parallel()
				inCampus(t, func(t *testing.T, c *campus) {
					ana, ben := c.registered(t, "desk-1001", 11, "TCP"), c.registered(t, "desk-1002", 12, "TCP")
					caller, callee := c.connect(t, anchored, ana, ben)
					mover, other := ana, callee
					if who == "callee" {
						mover, other = ben, caller
					}
					away(mover)
					if n := c.bindings(mover.Number); len(n) != 0 {
						t.Errorf("bindings of a closed connection: %v, want none", n)
					}
					other.Phone.Send(other.Within("OPTIONS"))
					other.Phone.Wait(t, "480 OPTIONS") // nobody is dialed
					back(t, mover)
					other.Phone.Send(other.Within("INFO"))
					mover.Reply(mover.Wait(t, "INFO"), siptest.Answer{Status: 200})
					other.Phone.Wait(t, "200 INFO")
					other.Bye()
					mover.Reply(mover.Wait(t, "BYE"), siptest.Answer{Status: 200})
					other.Phone.Wait(t, "200 BYE")
				})
			})
		}
	}
}

// A phone that is away when the other end hangs up hears of it when it is back; one
// that stays away keeps nothing open. The call is over either way.
func TestHungUpWhileAway(t *testing.T) {
	t.Parallel()
	for row := range 8 {
		anchored, called, comes := row&1 != 0, row&2 != 0, row&4 != 0
		t.Run(fmt.Sprintf("%s, callee %t, back %t", kindOf(anchored), called, comes), func(t *testing.T) {
			t.Parallel()
			inCampus(t, func(t *testing.T, c *campus) {
				ana, ben := c.registered(t, "desk-1001", 11, "TCP"), c.registered(t, "desk-1002", 12, "TCP")
				caller, callee := c.connect(t, anchored, ana, ben)
				mover, other := ana, callee
				if called {
					mover, other = ben, caller
				}
				away(mover)
				other.Bye()
				if anchored {
					other.Phone.Wait(t, "200 BYE")
				} else {
					other.Phone.Wait(t, "480 BYE")
				}
				if r := c.record(t); r.Outcome != "answered" {
					t.Errorf("record %+v", r)
				}
				if !comes {
					return // the house looks that nothing is left
				}
				pass(10 * time.Second)
				back(t, mover)
				mover.Reply(mover.Wait(t, "BYE"), siptest.Answer{Status: 200})
				mover.Quiet(t, time.Minute)
			})
		})
	}
}

// A process that ends takes the connections of its calls with it: phones that come
// back hear that what rang is over, and go on with what was answered.
func TestReconnectToTheNextProcess(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{false, true} {
		for _, away := range []time.Duration{0, 20 * time.Second} {
			t.Run(fmt.Sprintf("answered %t, away %v", answered, away), func(t *testing.T) {
				t.Parallel()
				inCampus(t, func(t *testing.T, c *campus) {
					c.apply(t, anchors("1001"))
					ana, ben := c.registered(t, "desk-1001", 11, "TCP"), c.registered(t, "desk-1002", 12, "TCP")
					call := ana.Call(t, "1002")
					inv := ben.Wait(t, "INVITE")
					ben.Reply(inv, siptest.Answer{Status: 180})
					ana.Wait(t, "180 INVITE")
					if answered {
						ben.Reply(inv, withSDP(200))
						call.Ack(ana.Wait(t, "200 INVITE"))
						ben.Wait(t, "ACK")
					}
					pass(0)
					c.again(t, transport.Listener{Transport: location.TCP, Stream: c.streams.Listen(netip.MustParseAddrPort(server))})
					pass(away)
					back(t, ana)
					back(t, ben)
					if answered {
						over(t, ben.Answered(inv), call)
						return
					}
					call.Refused(ana.Wait(t, "480 INVITE"))
					cancel := ben.Wait(t, "CANCEL")
					if cancel.Branch() != inv.Branch() {
						t.Errorf("CANCEL of %s, want that of %s", cancel.Branch(), inv.Branch())
					}
					ben.Reply(cancel, siptest.Answer{Status: 200})
					ben.Reply(inv, siptest.Answer{Status: 487})
					ben.Wait(t, "ACK")
				})
			})
		}
	}
}

// connect makes a call of two phones.
func (c *campus) connect(t *testing.T, anchored bool, from, to *siptest.Phone) (caller, callee *siptest.Leg) {
	t.Helper()
	if anchored {
		return joined(t, c.house, from, to)
	}
	return talk(t, from, to)
}

func kindOf(anchored bool) string {
	if anchored {
		return "anchored"
	}
	return "proxied"
}

// A caller that reconnects while it rings hears how that ended on its newest
// connection, also when it comes back after that.
func TestReconnectWhileItRings(t *testing.T) {
	t.Parallel()
	for _, anchored := range []bool{false, true} {
		for _, tt := range []struct {
			name   string
			status int
			late   bool
		}{
			{"then it is answered", 200, false},
			{"then it is busy", 486, false},
			{"after it was answered", 200, true},
			{"after it was busy", 486, true},
		} {
			t.Run(kindOf(anchored)+", "+tt.name, func(t *testing.T) {
				t.Parallel()
				inCampus(t, func(t *testing.T, c *campus) {
					if anchored {
						c.apply(t, anchors("1001"))
					}
					ana, ben := c.registered(t, "desk-1001", 11, "TCP"), c.registered(t, "desk-1002", 12, "TCP")
					call := ana.Call(t, "1002")
					inv := ben.Wait(t, "INVITE")
					ben.Reply(inv, siptest.Answer{Status: 180})
					ana.Wait(t, "180 INVITE")
					away(ana)
					if !tt.late {
						back(t, ana)
					}
					ben.Reply(inv, withSDP(tt.status))
					if tt.late {
						pass(3 * time.Second)
						back(t, ana)
						if tt.status == 200 && !anchored { // who answered sends it again, until there is an ACK
							ben.Reply(inv, withSDP(tt.status))
						}
					}
					res := ana.Wait(t, map[int]string{200: "200 INVITE", 486: "486 INVITE"}[tt.status])
					if tt.status != 200 {
						call.Refused(res)
						ben.Wait(t, "ACK")
						return
					}
					call.Ack(res)
					ben.Wait(t, "ACK")
					over(t, ben.Answered(inv), call)
				})
			})
		}
	}
}
