//go:build e2e

package main

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// told waits until the phone was notified n times, and returns what it was told: a
// connection state each, in the order they came.
func (f *flow) told(t *testing.T, n int) (states []string) {
	t.Helper()
	re := regexp.MustCompile(`<line xmlns="urn:bellhop:line" state="([^"]*)"`)
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(20 * time.Millisecond) {
		states = states[:0]
		last := 0
		for _, m := range f.messages(t) {
			if !strings.HasPrefix(m, "NOTIFY ") {
				continue
			}
			number, _, _ := strings.Cut(field(m, "CSeq")[0], " ")
			cseq, err := strconv.Atoi(number)
			if err != nil || cseq <= last {
				t.Fatalf("NOTIFY %d after %d, %v", cseq, last, err)
			}
			last = cseq
			state := ""
			if found := re.FindStringSubmatch(m); found != nil {
				state = found[1]
			}
			states = append(states, state)
		}
		if len(states) >= n {
			return states
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was told %q, want %d states", f.name, states, n)
		}
	}
}

// TestE2ELamps follows the lamp of a number through a call, settings, the death of
// the daemon, and the end of its phone. Not over TCP: SIPp takes no NOTIFY before the
// 200 of its SUBSCRIBE, and the bridge has a connection for each.
func TestE2ELamps(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		h := open(t)
		lamp := h.desk(t, "1004").start(t, "watch", "-s", "1002", "-key", "event", "dialog")
		callee := h.desk(t, "1002")
		want := []string{"unregistered", "idle"}
		expect := func(more ...string) {
			t.Helper()
			want = append(want, more...)
			if got := lamp.told(t, len(want)); !slices.Equal(got, want) {
				t.Fatalf("the lamp was told %q, want %q", got, want)
			}
		}
		if first := lamp.told(t, 1); first[0] == "idle" { // it came after the REGISTER
			want = want[1:]
		}
		expect()
		answer := callee.start(t, "answer", "-d", 300)
		h.desk(t, caller).calls(t, "call", "1002", "-d", 300).wait(t)
		answer.wait(t)
		expect("ringing", "talking-internal", "idle")
		h.put(t, "/users/ben/dnd", object{"enabled": true})
		expect("dnd")
		h.put(t, "/users/ben/dnd", object{"enabled": false})
		expect("idle")
		h.forwardAll(t, "1002", "1001")
		expect("forwarded")
		h.kill(t)
		h.restart(t)
		expect("forwarded") // the next process tells it
		h.put(t, "/numbers/1002/forwarding", object{})
		expect("idle")
		h.removeDevice(t, "ben", "1002")
		expect("unregistered")
		h.removeDevice(t, "dan", "1004")
		expect("")
		lamp.wait(t)
		matches(t, lamp.got(t, "NOTIFY "), "Subscription-State", "^terminated;reason=rejected$")
	})
}

// removeDevice takes the desk phone away from a user.
func (h *house) removeDevice(t *testing.T, user, number string) {
	t.Helper()
	h.put(t, "/users/"+user, object{"numbers": []string{number}})
	if err := h.api.do(t.Context(), http.MethodDelete, inDomain(demoDomain)+"/devices/desk-"+number, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// TestE2EBaresipPresence has baresip watch a colleague who comes and goes.
func TestE2EBaresipPresence(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.friends = []string{"1002"}
	ana := h.baresip(t, "1001", h.info.SIP)
	for deadline := time.Now().Add(15 * time.Second); ana.said("Offline") == 0; <-time.After(200 * time.Millisecond) {
		ana.do(t, "/contacts") // it does not tell of a status that was unknown before
		if time.Now().After(deadline) {
			t.Fatal("no status of 1002")
		}
	}
	h.desk(t, "1002")
	ana.says(t, 1, "changed status")
	if ana.said("Online") == 0 {
		t.Error("1002 is not online")
	}
	h.removeDevice(t, "ben", "1002")
	ana.says(t, 2, "changed status")
}
