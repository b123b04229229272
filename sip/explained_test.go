package sip_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
	"bellhop/sip/siptest"
)

// TestExplainedIsSeen draws worlds of settings and phones, asks explain what
// becomes of a call that nobody answers, and makes it: which phone rings when, how
// long, and what the caller gets in the end is what explain said.
func TestExplainedIsSeen(t *testing.T) {
	t.Parallel()
	const rows = 4
	seeds := 160
	if testing.Short() {
		seeds = 40
	}
	for row := range rows {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			t.Parallel()
			for i := range seeds / rows {
				seed := uint64(row*seeds/rows + i)
				if !t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { explained(t, seed) }) {
					return
				}
			}
		})
	}
}

func explained(t *testing.T, seed uint64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, seed)
		rnd := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // to be repeated
		settings := h.unsettle(t, rnd)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		robots := map[string]*siptest.Robot{}
		begin := func(device string, host int, plan func(*siptest.Robot)) {
			r := &siptest.Robot{Phone: h.phone(device, host), Ring: time.Hour}
			robots[device] = r
			wg.Go(func() { r.Run(ctx, t, true, func() { plan(r) }) })
		}
		for i := range 5 {
			if device := fmt.Sprintf("desk-%d", 1001+i); rnd.IntN(4) > 0 {
				begin(device, 20+i, func(*siptest.Robot) {})
			}
		}
		called := []string{"1001", "1001", "1002", "1100"}[rnd.IntN(4)]
		begin("desk-1006", 10, func(r *siptest.Robot) {
			r.After(5*time.Second, func() { r.Dial(t, called, time.Hour, 0) })
		})
		pass(4 * time.Second)
		visit := routing.Visit{
			Origin: routing.OriginDevice, Domain: domain, Method: "INVITE", Target: called,
			Caller: routing.Caller{Domain: domain, Device: "desk-1006", Number: "1006"},
		}
		said, err := explain.Explain(explain.Question{Visit: visit, At: time.Now(), Viewer: explain.Viewer{Admin: true}},
			func(n routing.Need, w *routing.World) error { return h.store.Cache.Load(ctx, n, w) })
		if err != nil {
			t.Fatal(err)
		}
		pass(4 * time.Minute)
		cancel()
		wg.Wait()
		if want, got := foretold(&said), seen(robots); !slices.Equal(want, got) {
			t.Errorf("%s is called. Explained:\n\t%s\nseen:\n\t%s\nsettings:\n\t%s", called, strings.Join(want, "\n\t"), strings.Join(got, "\n\t"), strings.Join(settings, "\n\t"))
		}
	})
}

// foretold is who rings when, and the end, as explain says.
func foretold(e *explain.Explanation) (out []string) {
	for _, s := range e.Timeline {
		for _, device := range s.To {
			out = append(out, fmt.Sprintf("%6.1f %s", time.Duration(s.At).Seconds(), device))
		}
	}
	slices.Sort(out)
	return append(out, fmt.Sprintf("%6.1f end %d", time.Duration(e.End.At).Seconds(), e.End.Status))
}

// seen is the same as the phones saw it.
func seen(robots map[string]*siptest.Robot) (out []string) {
	caller := robots["desk-1006"].Calls()[0]
	for device, r := range robots {
		for _, c := range r.Calls() {
			if !c.Caller {
				out = append(out, fmt.Sprintf("%6.1f %s", c.At.Sub(caller.At).Seconds(), device))
			}
		}
	}
	slices.Sort(out)
	return append(out, fmt.Sprintf("%6.1f end %d", caller.End.Sub(caller.At).Seconds(), append(caller.Finals, 0)[0]))
}

// unsettle writes random settings of the numbers 1001 to 1005 and a hunt group
// 1100; what is refused, a loop for one, is not there then. It returns the rest.
func (h *house) unsettle(t *testing.T, rnd *rand.Rand) (done []string) {
	t.Helper()
	try := func(kind directory.Kind, name, body string) {
		if _, err := h.store.Apply(t.Context(), directory.Author{Actor: "test"}, []directory.Write{put(kind, name, body)}); err == nil {
			done = append(done, string(kind)+" "+name+" "+body)
		}
	}
	target := func() string { return fmt.Sprint(1001 + rnd.IntN(5)) }
	h.apply(t, put(directory.KindNumber, "1100", `{}`), put(directory.KindGroup, "hunt", fmt.Sprintf(
		`{"number":"1100","members":["1002","1003","1004"],"strategy":%q,"ring_time":"PT%dS","overflow":"1005"}`, []string{"all", "in-order"}[rnd.IntN(2)], 5+rnd.IntN(20))))
	for n := 1001; n <= 1005; n++ {
		number, user := fmt.Sprint(n), fmt.Sprintf("user%d", n)
		if rnd.IntN(3) == 0 {
			try(directory.KindNumber, number, fmt.Sprintf(`{"user":%q,"ring_time":"PT%dS"}`, user, 5+rnd.IntN(60)))
		}
		for _, kind := range []string{"all", "no_answer", "unreachable", "busy"} {
			if rnd.IntN(3) == 0 {
				try(directory.KindForwarding, number, fmt.Sprintf(`{%q:{"both":{"enabled":true,"target":%q}}}`, kind, target()))
			}
		}
		switch rnd.IntN(6) {
		case 0:
			try(directory.KindDND, user, fmt.Sprintf(`{"enabled":true,"mode":%q}`, []string{directory.DNDReject, directory.DNDVoicemail, directory.DNDRingerOff}[rnd.IntN(3)]))
		case 1:
			try(directory.KindPresence, user, `{"status":"lunch"}`)
			try(directory.KindPresenceTo, user, fmt.Sprintf(`{"lunch":{"target":%q}}`, target()))
		case 2:
			try(directory.KindCallMe, user, fmt.Sprintf(`{"target":%q}`, target()))
		case 3:
			delay := rnd.IntN(20)
			try(directory.KindRemote, user+"/other", fmt.Sprintf(`{"number":%q,"delay":"PT%dS","stop_after":"PT%dS"}`, target(), delay, max(10, delay+1+rnd.IntN(20))))
		}
	}
	return done
}
