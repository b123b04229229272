//go:build !race

package sip_test

import (
	"bytes"
	"testing"
)

// anchoredAllocs is how much an anchored call may allocate, with what the test
// adds.
const anchoredAllocs = 120

func TestAnchoredCallAllocs(t *testing.T) { //nolint:paralleltest // counts allocations
	c := newAnchoredCaller(t)
	const runs = 500
	c.fill(runs + 1)
	if n := testing.AllocsPerRun(runs, c.anchored); n > anchoredAllocs {
		t.Errorf("an anchored call allocates %v times, want at most %d", n, anchoredAllocs)
	} else {
		t.Logf("an anchored call allocates %v times", n)
	}
}

// BenchmarkAnchoredCall is BenchmarkCall with a leg of ours at each end: six
// messages in, eight out.
func BenchmarkAnchoredCall(b *testing.B) {
	c := newAnchoredCaller(b)
	c.bench(b, c.anchored)
}

func newAnchoredCaller(tb testing.TB) *caller {
	tb.Helper()
	c := newCaller(tb)
	c.h.apply(tb, anchors("1001"))
	c.anchored()
	return c
}

// anchored plays one call: INVITE, 180, 200, ACK, BYE, 200.
func (c *caller) anchored() {
	if len(c.stock) == 0 {
		c.fill(1)
	}
	invite := c.stock[0]
	c.stock = c.stock[1:]
	c.m.feed(c.toAna, invite)
	out := append(c.buf[:0], c.m.wait()...)
	c.buf = out
	c.expect("INVITE ")
	var room [4096]byte
	c.m.feed(c.toBen, answer(room[:0], out, "180 Ringing"))
	c.m.feed(c.toBen, answer(room[:0], out, "200 OK"))
	var ok [2048]byte
	res := append(ok[:0], c.both("ACK ", "SIP/2.0 200 ")...)
	c.m.feed(c.toAna, c.inside(room[:0], res, invite, "ACK", 1))
	c.m.feed(c.toAna, c.inside(room[:0], res, invite, "BYE", 2))
	bye := c.both("SIP/2.0 200 ", "BYE ")
	c.m.feed(c.toBen, answer(room[:0], bye, "200 OK"))
}

// both returns the second of two messages that the server sent, in either order.
func (c *caller) both(first, second string) (found []byte) {
	c.m.mu.Lock()
	defer c.m.mu.Unlock()
	n := 0
	for _, m := range c.m.all[:min(c.m.n, len(c.m.all))] {
		switch {
		case bytes.HasPrefix(m, []byte(first)):
			n++
		case bytes.HasPrefix(m, []byte(second)):
			found = m
		}
	}
	if n == 0 || found == nil {
		c.tb.Fatalf("%d messages, want %q and %q:\n%s", c.m.n, first, second, c.m.sent)
	}
	return found
}

// inside appends a request of the caller within the dialog that a 2xx made.
func (c *caller) inside(dst, res, invite []byte, method string, cseq byte) []byte {
	contact := line(res, "Contact: ")
	dst = append(append(dst, method...), ' ')
	dst = append(append(dst, bytes.Trim(contact, "<>")...), " SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11:5060;rport;branch=z9hG4bK"...)
	dst = append(append(dst, method...), line(invite, "Call-ID: ")...)
	dst = append(append(dst, "\r\nMax-Forwards: 70\r\nFrom: "...), line(invite, "From: ")...)
	dst = append(append(dst, "\r\nTo: "...), line(res, "To: ")...)
	dst = append(append(dst, "\r\nCall-ID: "...), line(invite, "Call-ID: ")...)
	dst = append(append(dst, "\r\nCSeq: "...), '0'+cseq, ' ')
	return append(append(dst, method...), "\r\nContent-Length: 0\r\n\r\n"...)
}
