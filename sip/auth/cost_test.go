//go:build !race

package auth_test

import (
	"testing"
	"time"

	"bellhop/sip/auth"
	"bellhop/sip/wire"
)

// To strangers every user looks alike, by the clock too: the fastest of many rounds of each, in turn, agree
// within a margin that the noise of a busy machine allows and a hash, an opened
// seal or a look into a store would not.
func TestUnknownUserTakesAsLong(t *testing.T) {
	t.Parallel()
	a := newAuth(t, func(o *auth.Options) { o.Failures = 1 << 30 })
	nonce := challenge(t, a, desk)
	reqs := []*wire.Message{
		request{user: "desk-1001", secret: "x"}.answer(t, nonce),
		request{user: "non-users", secret: "x"}.answer(t, nonce),
	}
	if err := a.Load(t.Context(), dom, "non-users"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	round := func(req *wire.Message) time.Duration {
		start := time.Now()
		for range 50 {
			a.Check(req, desk, dom, realm, now)
		}
		return time.Since(start)
	}
	best := []time.Duration{time.Hour, time.Hour}
	for i := range 2000 {
		best[i%2] = min(best[i%2], round(reqs[i%2]))
	}
	if d := best[0] - best[1]; d.Abs() > max(best[0], best[1])/5 {
		t.Errorf("50 checks take %v for a wrong password and %v for an unknown user", best[0], best[1])
	}
}

//nolint:paralleltest // AllocsPerRun counts what the whole process allocates
func TestCheckAllocations(t *testing.T) {
	a := newAuth(t, nil)
	nonce := challenge(t, a, desk)
	reqs := make([]*wire.Message, 202)
	for i := range reqs {
		reqs[i] = request{nc: i + 1}.answer(t, nonce)
	}
	now := time.Now()
	i := 0
	got := testing.AllocsPerRun(200, func() {
		a.Check(reqs[i], desk, dom, realm, now)
		i++
	})
	if got > 2 {
		t.Errorf("Check allocates %v times, want 2 at most", got)
	}
}
