//go:build e2e

package main

import (
	"net/http"
	"strings"
	"testing"

	"bellhop/feed"
)

// TestE2EHangUp ends calls by the API, anchored ones and others.
func TestE2EHangUp(t *testing.T) {
	t.Parallel()
	overEach(t, "UDP TCP+Redis", func(t *testing.T, open func(*testing.T, ...string) *house) {
		for _, anchored := range []bool{false, true} {
			t.Run(map[bool]string{false: "proxied", true: "anchored"}[anchored], func(t *testing.T) {
				t.Parallel()
				h := open(t)
				if anchored {
					h.anchor(t, "1001")
				}
				cleo, ana := h.desk(t, caller), h.desk(t, "1001")
				answer := ana.start(t, "answer", "-d", 50)
				call := cleo.calls(t, "call-hung-up", "1001")
				r := h.live(t, "talking")
				if err := h.api.do(t.Context(), http.MethodPost, inDomain(demoDomain, "calls", r.ID, "hangup"), nil, nil); err != nil {
					t.Fatal(err)
				}
				call.wait(t)
				answer.wait(t)
				h.check(t, want{caller, "1001", "1001", "desk-1001", 200, "answered", nil})
				h.ladder(t, r.ID)
			})
		}
	})
}

// ladder checks that the messages of a call, which we hung up, are there to read:
// both ends, from the INVITE to the BYE, no credentials.
func (h *house) ladder(t *testing.T, id string) {
	t.Helper()
	var l struct{ Messages []feed.Message }
	if err := h.api.do(t.Context(), http.MethodGet, inDomain(demoDomain, "calls", id, "ladder"), nil, &l); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, m := range l.Messages {
		way := "in "
		if m.Sent {
			way = "out "
		}
		word, _, _ := strings.Cut(strings.TrimPrefix(m.First, "SIP/2.0 "), " ")
		seen[way+word]++
		if strings.Contains(m.Text, "response=") {
			t.Errorf("a digest is in the ladder:\n%s", m.Text)
		}
	}
	for _, w := range []string{"in INVITE", "out INVITE", "in 180", "out 180", "out 200", "in ACK", "out ACK"} {
		if seen[w] == 0 {
			t.Errorf("the ladder has no %q: %v", w, seen)
		}
	}
	if seen["out BYE"] != 2 {
		t.Errorf("the ladder has %d BYEs of ours: %v", seen["out BYE"], seen)
	}
}
