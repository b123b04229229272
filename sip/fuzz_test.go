package sip_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/sip/siptest"
)

// FuzzServer feeds datagrams into a running server in every state of a call: what
// the fuzzer made up, and mutations of the messages of that very call, with their
// right Call-ID, tags and tokens. Nothing panics, and everything ends.
func FuzzServer(f *testing.F) {
	for state := range states {
		f.Add(uint64(state), []byte("BYE sip:1002@bellhop.test SIP/2.0\r\n\r\n"))
	}
	f.Add(uint64(9), []byte("\r\n\r\n\x00"))
	f.Add(uint64(77), []byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0000000000000000.00000000\r\n"+
		"From: <sip:1001@bellhop.test>;tag=1\r\nTo: <sip:1002@bellhop.test>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"))
	f.Fuzz(fuzzServer)
}

// states is how many states of a call are fuzzed: those of a proxied one, then
// those of an anchored one.
const (
	proxiedStates = 8
	states        = proxiedStates + 12
)

// fuzzServer is one run of FuzzServer.
func fuzzServer(t *testing.T, seed uint64, data []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, seed)
		tap := &tap{}
		h.net.Drop(tap.hear)
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		zoe := h.phone("desk-1003", 66)
		if state := int(seed % states); state < proxiedStates {
			reach(t, state, ana, ben)
		} else {
			h.apply(t, anchors("1001"))
			reachAnchored(t, state-proxiedStates, ana, ben)
		}
		tap.batter(seed, data, ana, ben, zoe)
		for _, c := range h.store.Calls.Live("") { // anchored ones talk on
			if err := h.server.HangUp(t.Context(), c.ID); err != nil {
				t.Errorf("HangUp(%+v) = %v", c, err)
			}
		}
		h.sane(t)
	})
}

// reachAnchored brings an anchored call to a state.
func reachAnchored(t *testing.T, state int, ana, ben *siptest.Phone) {
	t.Helper()
	if state < proxiedStates {
		reach(t, state, ana, ben)
		return
	}
	call := ana.Call(t, "1002", "Supported: 100rel, timer", "Session-Expires: 120", "Allow: UPDATE")
	inv := ben.Wait(t, "INVITE")
	ben.Reply(inv, reliably(183, 1, true))
	res := ana.Wait(t, "183 INVITE")
	if state == proxiedStates {
		return
	}
	ana.Send(prack(call, res, ""))
	ben.Reply(ben.Wait(t, "PRACK"), siptest.Answer{Status: 200})
	ana.Wait(t, "200 PRACK")
	if state == proxiedStates+1 {
		return
	}
	ben.Reply(inv, withSDP(200))
	call.Ack(ana.Wait(t, "200 INVITE"))
	ben.Wait(t, "ACK")
	r := call.Within("INVITE")
	ana.Send(r)
	again := ben.Wait(t, "INVITE")
	if state > proxiedStates+2 { // an offer that is not answered
		ben.Reply(again, withSDP(200))
		ana.Wait(t, "200 INVITE")
	}
	synctest.Wait()
}

// TestMutatedMessages is FuzzServer with more seeds than a fuzz target has.
func TestMutatedMessages(t *testing.T) {
	t.Parallel()
	for state := range uint64(states) {
		t.Run(fmt.Sprint(state), func(t *testing.T) {
			t.Parallel()
			for i := range uint64(12) {
				fuzzServer(t, state+i*states, []byte("\x00 sip:;;,,\"<>\r\n "))
			}
		})
	}
}

// reach brings a call to a state.
func reach(t *testing.T, state int, ana, ben *siptest.Phone) {
	t.Helper()
	if state == 0 {
		return
	}
	call := ana.Call(t, "1002")
	inv := ben.Wait(t, "INVITE")
	if state == 1 {
		return
	}
	reply(ben, inv, 180)
	switch state {
	case 2:
		return
	case 3:
		call.Cancel()
	case 4:
		reply(ben, inv, 486)
	default:
		reply(ben, inv, 200)
		ana.Wait(t, "180 INVITE")
		ok := ana.Wait(t, "200 INVITE")
		if state > 5 {
			call.Ack(ok)
		}
		if state > 6 {
			call.Bye()
		}
	}
	synctest.Wait()
}

// A tap hears all messages of a network.
type tap struct {
	mu    sync.Mutex // guards heard
	heard [][]byte
}

func (t *tap) hear(d siptest.Datagram) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heard) < 64 && len(d.Data) > 0 && d.To.Addr() != netip.MustParseAddr("192.0.2.66") {
		t.heard = append(t.heard, d.Data)
	}
	return false
}

// batter has phones send what the fuzzer made up and what it made of their messages.
func (t *tap) batter(seed uint64, data []byte, phones ...*siptest.Phone) {
	rnd := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // to be repeated
	for _, p := range phones {
		p.SendRaw(data, "")
	}
	for range 24 {
		phones[rnd.IntN(len(phones))].SendRaw(t.mutated(rnd, data), "")
		if rnd.IntN(4) == 0 {
			pass(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		}
	}
	pass(5 * time.Minute)
}

// mutated returns one of the messages, changed.
func (t *tap) mutated(rnd *rand.Rand, data []byte) []byte {
	t.mu.Lock()
	m := append([]byte(nil), t.heard[rnd.IntN(len(t.heard))]...)
	other := t.heard[rnd.IntN(len(t.heard))]
	t.mu.Unlock()
	for range rnd.IntN(4) {
		at := rnd.IntN(len(m))
		end := at + rnd.IntN(min(len(m)-at, 40))
		switch rnd.IntN(7) {
		case 0:
			m[at] ^= 1 << rnd.IntN(8)
		case 1:
			m = append(m[:at], m[end:]...)
		case 2: // twice
			m = append(m[:end:end], m[at:]...)
		case 3:
			m = append(m[:at:at], append(append([]byte(nil), data...), m[at:]...)...)
		case 4:
			m = m[:at]
		case 5:
			m[at] = "0123456789 ;,:<>@\r\n\"="[rnd.IntN(21)]
		default: // the end of another message
			m = append(m[:at:at], other[rnd.IntN(len(other)):]...)
		}
		if len(m) == 0 {
			return other
		}
	}
	return m
}
