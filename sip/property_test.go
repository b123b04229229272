package sip_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// TestUnkindNetworks plays calls between robots over networks that lose, double
// and reorder as a seed says. Whatever the network does: every call ends, its
// caller gets one kind of final response, and five minutes later nothing is left.
func TestUnkindNetworks(t *testing.T) {
	t.Parallel()
	unkindNetworks(t, unkindness{})
}

// TestUnkindNetworksAnchored plays them with settings that anchor most calls.
func TestUnkindNetworksAnchored(t *testing.T) {
	t.Parallel()
	unkindNetworks(t, unkindness{with: anchoring()})
}

// TestDyingConnections plays them with phones over TCP among the others, whose
// connections close at any moment; some come back, some of those have forgotten
// their calls.
func TestDyingConnections(t *testing.T) {
	t.Parallel()
	unkindNetworks(t, unkindness{dying: true})
}

// TestDyingConnectionsAnchored plays those with settings that anchor most calls.
func TestDyingConnectionsAnchored(t *testing.T) {
	t.Parallel()
	unkindNetworks(t, unkindness{with: anchoring(), dying: true})
}

// anchoring are settings that anchor most calls.
func anchoring() []directory.Write {
	return []directory.Write{
		put(directory.KindNumber, "1001", `{"user":"user1001","caller_id":"hidden"}`), noAnswer("1002", "1003"),
		put(directory.KindForwarding, "1003", `{"busy":{"both":{"enabled":true,"target":"1004"}},"unreachable":{"both":{"enabled":true,"target":"1004"}}}`),
	}
}

// An unkindness is what the runs of a test have in common.
type unkindness struct {
	with  []directory.Write // settings
	dying bool              // some phones have connections, which close
}

func unkindNetworks(t *testing.T, u unkindness) {
	t.Helper()
	const rows = 8
	seeds := 200
	if u.dying || testing.Short() {
		seeds = 80
	}
	saw := &finals{n: make(map[int]int)}
	t.Cleanup(func() { // all that should have been played was
		if saw.odd > seeds/5 { // where no INVITE came through
			t.Errorf("%d runs of %d were anchored, or not, against what they should be", saw.odd, seeds)
		}
		for _, status := range []int{200, 480, 486, 487, 404} {
			if saw.n[status] == 0 && !t.Failed() {
				t.Errorf("no call ended with %d: %v", status, saw.n)
			}
		}
	})
	for row := range rows {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			t.Parallel()
			for i := range seeds / rows {
				seed := uint64(row*seeds/rows + i)
				if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { unkind(t, seed, saw, u) }) {
					return
				}
			}
		})
	}
}

// finals counts what callers got, 0 for nothing.
type finals struct {
	mu  sync.Mutex // guards what follows
	n   map[int]int
	odd int // runs without an anchored call where one was expected, and the other way round
}

// mortal closes the connection of a robot a few times, at any moment of its
// calls. It returns what the robot does when it starts.
func mortal(t *testing.T, r *siptest.Robot, rnd *rand.Rand) func() {
	t.Helper()
	type death struct {
		at, away     time.Duration
		boots, stays bool // it forgets its calls, it does not come back
		deaf         bool // it reads no more before
	}
	deaths := make([]death, rnd.IntN(4))
	at := 30 * time.Second
	for i := range deaths {
		d := death{away: time.Duration(rnd.IntN(10_000)) * time.Millisecond, boots: rnd.IntN(3) == 0, stays: rnd.IntN(4) == 0, deaf: rnd.IntN(4) == 0}
		if rnd.IntN(3) == 0 {
			d.away = 0
		}
		at += time.Duration(rnd.IntN(30_000)) * time.Millisecond
		d.at = at
		at += d.away
		deaths[i] = d
	}
	return func() {
		for i, d := range deaths {
			if d.deaf {
				r.After(max(0, d.at-10*time.Second), r.Deafen)
			}
			r.After(d.at, func() { r.Drop(d.boots) })
			if d.stays {
				return
			}
			to := netip.AddrPortFrom(r.Addr.Addr(), r.Addr.Port()+uint16(i)+1) //nolint:gosec // small
			r.After(d.at+d.away, func() { r.Return(t, to) })
		}
	}
}

// unkind is one run.
func unkind(t *testing.T, seed uint64, saw *finals, u unkindness) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newCampus(t, seed)
		h.apply(t, u.with...)
		rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be repeated
		h.net.SetFaults(siptest.Faults{
			Loss: rnd.Float64() * 0.2, Double: rnd.Float64() * 0.2, Late: rnd.Float64() * 0.3,
			Delay: time.Duration(rnd.IntN(50)) * time.Millisecond, Lateness: time.Duration(1+rnd.IntN(1500)) * time.Millisecond,
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var robots []*siptest.Robot
		start := func(device string, host int, change func(*siptest.Robot), plan func(*siptest.Robot)) {
			tr := ""
			if u.dying && rnd.IntN(2) == 0 {
				tr = []string{"TCP", "TLS", "WS"}[rnd.IntN(3)]
			}
			r := &siptest.Robot{Phone: h.phone(device, host, tr)}
			change(r)
			robots = append(robots, r)
			die := func() {}
			if tr != "" {
				die = mortal(t, r, rnd)
			}
			wg.Go(func() { r.Run(ctx, t, true, func() { die(); plan(r) }) })
		}
		seconds := func(most int) time.Duration { return time.Duration(rnd.IntN(most*1000)) * time.Millisecond }
		for i, device := range []string{"desk-1002", "soft-1002", "web-1002", "desk-1003", "desk-1004"} {
			ring, hang := seconds(20), seconds(20)
			status := []int{200, 200, 200, 486, 480, 603, 404, 503}[rnd.IntN(8)]
			mute, hangs := rnd.IntN(10) == 0, rnd.IntN(3) == 0
			start(device, 20+i, func(r *siptest.Robot) {
				r.Ring, r.Status, r.Mute = ring, status, mute
				if hangs {
					r.Hang = hang
				}
			}, func(*siptest.Robot) {})
		}
		for i, device := range []string{"desk-1001", "desk-1005", "desk-1006"} {
			to := []string{"1002", "1002", "1003", "1004"}[rnd.IntN(4)]
			when, patience, talk := 30*time.Second+seconds(5), seconds(30), time.Millisecond+seconds(20)
			start(device, 10+i, func(*siptest.Robot) {}, func(r *siptest.Robot) {
				r.After(when, func() { r.Dial(t, to, patience, talk) })
			})
		}
		pass(5 * time.Minute)
		if n := h.metric(t, "bellhop_b2bua_calls_total"); n > 0 != (u.with != nil) {
			saw.mu.Lock()
			saw.odd++
			saw.mu.Unlock()
		}
		left := 0
		for _, c := range h.store.Calls.Live(domain) {
			if !slices.ContainsFunc(robots, func(r *siptest.Robot) bool {
				return r.Dropped() && (r.Device == c.CallerDev || r.Device == c.Device)
			}) {
				t.Errorf("call %+v after 5 minutes", c)
			}
			if c.Anchored != "" {
				left++
			}
		}
		if n := h.lanes(t); n != left {
			t.Errorf("%d lanes after 5 minutes, want %d", n, left)
		}
		if left > 0 { // nobody hangs those up
			pass(65 * time.Minute)
			if n := h.lanes(t); n != 0 {
				t.Errorf("%d lanes of calls whose ends are gone", n)
			}
		}
		cancel()
		wg.Wait()
		saw.mu.Lock()
		defer saw.mu.Unlock()
		for _, r := range robots {
			for _, c := range r.Calls() {
				if c.Caller {
					saw.n[append(c.Finals, 0)[0]]++
				}
				if !c.Over && !slices.ContainsFunc(robots, (*siptest.Robot).Dropped) {
					t.Errorf("%s: call %s did not end", r.Device, c.CallID)
				}
				if c.Caller && len(c.Finals) > 1 {
					t.Errorf("%s: call %s got %v", r.Device, c.CallID, c.Finals)
				}
			}
		}
		h.calm(t)
		if t.Failed() {
			var all []string
			for _, r := range robots {
				all = append(all, r.String())
			}
			t.Logf("network: %+v\n%s", h.net.Stats(), strings.Join(all, "\n"))
		}
	})
}
