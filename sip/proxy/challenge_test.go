package proxy

import (
	"strings"
	"testing"

	"bellhop/sip/wire"
)

// TestChallengesOfAllBranches is RFC 3261 §16.7 step 7.
func TestChallengesOfAllBranches(t *testing.T) {
	t.Parallel()
	final := func(status, lines string) *wire.Message {
		m := new(wire.Message)
		if err := m.Parse([]byte("SIP/2.0 " + status + "\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\n" +
			"To: <sip:b@x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n" + lines + "Content-Length: 0\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		return m
	}
	a := final("401 No", "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\"\r\n")
	b := final("407 No", "Proxy-Authenticate: Digest realm=\"b\", nonce=\"2\"\r\nProxy-Authenticate: Digest realm=\"b2\", nonce=\"3\"\r\n")
	busy := final("486 Busy", "WWW-Authenticate: Digest realm=\"c\", nonce=\"4\"\r\n")
	c := &call{branches: []branch{{final: a}, {final: b}, {final: busy}, {}}}
	if got := string(c.challenges(0, a)); strings.Count(got, "\r\n") != 2 || !strings.Contains(got, "realm=\"b\"") || !strings.Contains(got, "realm=\"b2\"") {
		t.Errorf("challenges beside branch 0 = %q, want both of branch 1", got)
	}
	if got := string(c.challenges(1, b)); got != "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\"\r\n" {
		t.Errorf("challenges beside branch 1 = %q, want that of branch 0", got)
	}
	if got := c.challenges(2, busy); got != nil {
		t.Errorf("challenges beside a 486 = %q, want none", got)
	}
}
