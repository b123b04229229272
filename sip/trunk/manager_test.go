package trunk_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"bellhop/sip/transport"
	"bellhop/sip/trunk"
	"bellhop/sip/wire"
)

const two = `{"proof":"address","peers":["192.0.2.1","192.0.2.2:5070"],"spoofable":"accepted","routes":[{"prefix":"+"}]}`

// TestHealth: a peer is up with its first answer, whatever that is, down after
// three that did not come, and no call goes there then.
func TestHealth(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		one := h.carrier("192.0.2.1:5060", always(404))
		other := h.carrier("192.0.2.2:5070", always(200))
		start := time.Now()
		h.set(peering(t, "carrier", two))
		if s := h.status("carrier"); s.Up {
			t.Error("up before anybody answered")
		}
		if got := h.attempts("carrier", "+49891"); len(got) != 2 {
			t.Errorf("attempts before anybody was asked = %v, want both", got)
		}
		h.after(3 * time.Second)
		if s := h.status("carrier"); !s.Up || s.LastError != "" || len(s.Peers) != 2 || !s.Peers[0].Up || s.Peers[0].Addresses[0] != "UDP 192.0.2.1:5060" || s.Peers[0].Seen.Before(start) {
			t.Errorf("status = %+v, want both up", s)
		}
		m := h.requests(one, wire.Options)[0]
		if string(m.RequestURI()) != "sip:192.0.2.1" || m.TopVia().Branch == nil || !m.Has(wire.Contact) {
			t.Errorf("asked with\n%s", m.Bytes())
		}

		h.carrier("192.0.2.1:5060", always(0))
		silent := time.Now()
		for h.status("carrier").Peers[0].Up {
			h.after(time.Second)
			if time.Since(silent) > time.Minute {
				t.Fatal("still up a minute after it fell silent")
			}
		}
		s := h.status("carrier")
		if !s.Up || s.Peers[0].LastError == "" {
			t.Errorf("status = %+v, want up by the second peer, with the error of the first", s)
		}
		want := []string{"UDP 192.0.2.2:5070 sip:+49891@192.0.2.2:5070"}
		if got := h.attempts("carrier", "+49891"); !slices.Equal(got, want) {
			t.Errorf("attempts = %v, want %v", got, want)
		}
		h.carrier("192.0.2.2:5070", always(0))
		h.after(time.Minute)
		if s := h.status("carrier"); s.Up || time.Since(s.Since) > time.Minute {
			t.Errorf("status = %+v, want down since less than a minute", s)
		}
		if got := h.attempts("carrier", "+49891"); !slices.Equal(got, []string{trunk.ErrDown.Error()}) {
			t.Errorf("attempts = %v, want %v", got, trunk.ErrDown)
		}
		h.carrier("192.0.2.2:5070", always(503))
		h.after(40 * time.Second)
		if s := h.status("carrier"); !s.Up {
			t.Errorf("status = %+v, want up: 503 is an answer", s)
		}
		if n := len(h.requests(other, wire.Options)); n < 2 || n > 6 {
			t.Errorf("asked %d times in two minutes", n)
		}
	})
}

// TestInterval: peers are asked at their interval, not all at one moment, and not
// at all with health off.
func TestInterval(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		c := h.carrier("192.0.2.1:5060", always(200))
		quiet := h.carrier("192.0.2.3:5060", always(200))
		h.set(
			peering(t, "asked", `{"proof":"address","peers":["192.0.2.1"],"spoofable":"accepted","health_interval":"PT20S"}`),
			peering(t, "quiet", `{"proof":"address","peers":["192.0.2.3"],"spoofable":"accepted","health":"off"}`))
		h.after(10 * time.Minute)
		if n := len(c.at); n < 26 || n > 35 {
			t.Errorf("asked %d times in 10 min, want about 30", n)
		}
		gaps := map[time.Duration]bool{}
		for i := 1; i < len(c.at); i++ {
			d := c.at[i].Sub(c.at[i-1])
			gaps[d] = true
			if d < 17*time.Second || d > 23*time.Second {
				t.Errorf("%v between two OPTIONS", d)
			}
		}
		if len(gaps) < 5 {
			t.Errorf("the gaps are %v: no jitter", gaps)
		}
		if len(quiet.got) > 0 || !h.status("quiet").Up {
			t.Errorf("asked %d times with health off, status %+v", len(quiet.got), h.status("quiet"))
		}
	})
}

// TestResult: what calls find out about peers.
func TestResult(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		h.set(peering(t, "carrier", strings.Replace(two, `"proof"`, `"health":"off","proof"`, 1)))
		try := func(want int) []transport.Attempt {
			t.Helper()
			as, err := h.m.Attempts(t.Context(), domain, "carrier", "+49891")
			if len(as) != want || (err == nil) != (want > 0) {
				t.Fatalf("Attempts = %v, %v, want %d", as, err, want)
			}
			return as
		}
		as := try(2)
		h.m.Result(as[0], 503, 90*time.Second)
		if try(1)[0] != as[1] {
			t.Error("the peer that rests is tried")
		}
		if s := h.status("carrier"); !s.Up || s.Peers[0].Up || !s.Peers[0].RestingUntil.Equal(time.Now().Add(90*time.Second)) {
			t.Errorf("status = %+v", s)
		}
		h.after(89 * time.Second)
		try(1)
		h.after(time.Second)
		try(2)
		h.m.Result(as[0], 503, 0) // RFC 3261 §21.5.4: as a 500
		try(2)
		h.m.Result(as[0], 503, 1000*time.Hour)
		h.after(time.Hour)
		try(2)
		h.m.Result(as[0], 503, time.Minute)
		h.m.Result(as[0], 486, 0)
		try(2)

		for _, a := range as {
			h.m.Result(a, 0, 0)
		}
		try(0)
		if s := h.status("carrier"); s.Up {
			t.Errorf("status = %+v, want down", s)
		}
		h.after(2 * time.Second)
		try(2)
		for range 10 {
			h.m.Result(as[0], 0, 0)
		}
		h.after(30*time.Second - time.Millisecond)
		try(1)
		h.after(30 * time.Second)
		try(2)
		h.m.Result(as[0], 0, 0)
		h.m.Result(as[0], 200, 0)
		try(2)
		h.m.Result(transport.Attempt{Trunk: "nobody"}, 200, 0)

		got := metricsOf(t, h, "bellhop_trunk_attempts_total")
		for _, want := range []string{`result="503",trunk="carrier"} 4`, `result="silent",trunk="carrier"} 13`, `result="2xx",trunk="carrier"} 1`, `result="4xx",trunk="carrier"} 1`, `result="down",trunk="carrier"} 1`} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
	})
}

// TestSilentPeer: a call that a peer did not answer has it asked at once, and its
// answer takes it back.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		c := h.carrier("192.0.2.1:5060", always(200))
		h.set(peering(t, "carrier", `{"proof":"address","peers":["192.0.2.1"],"spoofable":"accepted","health_interval":"PT5M"}`))
		h.after(3 * time.Second)
		as, err := h.m.Attempts(t.Context(), domain, "carrier", "+491")
		if err != nil {
			t.Fatal(err)
		}
		asked := len(h.requests(c, wire.Options))
		h.m.Result(as[0], 0, 0)
		if _, err := h.m.Attempts(t.Context(), domain, "carrier", "+491"); !errors.Is(err, trunk.ErrDown) {
			t.Errorf("Attempts = %v, want %v", err, trunk.ErrDown)
		}
		h.after(100 * time.Millisecond)
		if n := len(h.requests(c, wire.Options)); n != asked+1 {
			t.Errorf("asked %d times, want %d", n, asked+1)
		}
		if _, err := h.m.Attempts(t.Context(), domain, "carrier", "+491"); err != nil {
			t.Errorf("Attempts after an answer = %v", err)
		}
	})
}

// TestAttempts: where a call goes, and as what.
func TestAttempts(t *testing.T) {
	t.Parallel()
	doc := func(peers, routes string) string {
		return `{"proof":"digest","health":"off","peers":[` + peers + `],"routes":[` + routes + `]}`
	}
	tests := []struct {
		name, doc, number string
		refused           string // a connection
		want              []string
	}{
		{name: "as it is", doc: doc(`"192.0.2.1"`, `{"prefix":"+"}`), number: "+498912", want: []string{"UDP 192.0.2.1:5060 sip:+498912@192.0.2.1"}},
		{name: "strip and prepend", doc: doc(`"192.0.2.1"`, `{"prefix":"+49","strip":3,"prepend":"0"}`), number: "+498912", want: []string{"UDP 192.0.2.1:5060 sip:08912@192.0.2.1"}},
		{name: "longest prefix", doc: doc(`"192.0.2.1"`, `{"prefix":"+","prepend":"00","strip":1},{"prefix":"+4989","strip":5,"priority":9}`), number: "+498912", want: []string{"UDP 192.0.2.1:5060 sip:12@192.0.2.1"}},
		{name: "port and transport", doc: doc(`"192.0.2.1:5080;transport=tcp"`, ``), number: "+49", want: []string{"TCP 192.0.2.1:5080 sip:+49@192.0.2.1:5080;transport=tcp"}},
		{name: "IPv6", doc: doc(`"[2001:db8::1]:5080"`, ``), number: "+49", want: []string{"UDP [2001:db8::1]:5080 sip:+49@[2001:db8::1]:5080"}},
		{name: "a name keeps its name", doc: doc(`"srv.example"`, ``), number: "+49", want: []string{
			"UDP 192.0.2.1:5090 sip:+49@srv.example", "TCP 192.0.2.1:5091 sip:+49@srv.example",
			"UDP [2001:db8::1]:5090 sip:+49@srv.example", "TCP [2001:db8::1]:5091 sip:+49@srv.example",
		}},
		{name: "what does not resolve is passed over", doc: doc(`"nobody.example","192.0.2.1"`, ``), number: "+49", want: []string{"UDP 192.0.2.1:5060 sip:+49@192.0.2.1"}},
		{name: "who refuses is passed over", doc: doc(`"192.0.2.1;transport=tls","192.0.2.2"`, ``), number: "+49", refused: "192.0.2.1:5061", want: []string{"UDP 192.0.2.2:5060 sip:+49@192.0.2.2"}},
		{name: "a SIP address", doc: doc(`"192.0.2.1"`, `{"prefix":"+","strip":3}`), number: "sip:bob@example.com", want: []string{"UDP 192.0.2.1:5060 sip:bob@example.com"}},
		{name: "what needs an escape", doc: doc(`"192.0.2.1"`, ``), number: "1 @<>\"2", want: []string{"UDP 192.0.2.1:5060 sip:1%20%40%3C%3E%222@192.0.2.1"}},
		{name: "nobody", doc: doc(`"nobody.example"`, ``), number: "+49", want: []string{trunk.ErrDown.Error()}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, h *house) {
				h.conns[tt.refused] = true
				h.set(peering(t, "carrier", tt.doc))
				got := h.attempts("carrier", tt.number)
				slices.Sort(got)
				slices.Sort(tt.want)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
				if got := h.attempts("other", tt.number); !slices.Equal(got, []string{trunk.ErrUnknown.Error()}) {
					t.Errorf("attempts of an unknown trunk = %v", got)
				}
			})
		})
	}
}

// TestLimits: max_calls and max_cps, and places that come back.
func TestLimits(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		doc := `{"proof":"digest","health":"off","peers":["192.0.2.1"],"max_calls":3,"max_cps":2}`
		held := h.m.Hold(domain, "carrier") // a call that the journal knew, before the trunks are loaded
		h.set(peering(t, "carrier", doc))
		h.after(time.Second)
		take := func(want error) func() {
			t.Helper()
			release, err := h.m.Acquire(domain, "carrier")
			if !errors.Is(err, want) {
				t.Errorf("Acquire = %v, want %v", err, want)
			}
			return release
		}
		first, second := take(nil), take(nil)
		take(trunk.ErrCalls)
		h.set(peering(t, "carrier", doc), peering(t, "other", doc)) // settings change under calls
		take(trunk.ErrCalls)
		first()
		first()
		take(trunk.ErrRate) // a place, but the third call of this second
		h.after(500 * time.Millisecond)
		third := take(nil)
		held()
		take(trunk.ErrRate)
		h.after(time.Hour)
		take(nil)()
		take(nil)()
		take(trunk.ErrRate)
		if s := h.status("carrier"); s.Calls != 2 {
			t.Errorf("%d calls, want 2", s.Calls)
		}
		second()
		third()
		if s := h.status("carrier"); s.Calls != 0 {
			t.Errorf("%d calls, want none", s.Calls)
		}
		if _, err := h.m.Acquire(domain, "nobody"); !errors.Is(err, trunk.ErrUnknown) {
			t.Errorf("Acquire = %v, want %v", err, trunk.ErrUnknown)
		}
		got := metricsOf(t, h, "bellhop_trunk_rejected_total")
		if !strings.Contains(got, `limit="calls",trunk="carrier"} 2`) || !strings.Contains(got, `limit="cps",trunk="carrier"} 3`) {
			t.Errorf("metrics:\n%s", got)
		}
		h.set(peering(t, "carrier", `{"proof":"digest","peers":["192.0.2.1"],"max_calls":"unlimited","max_cps":"unlimited"}`))
		for range 1000 {
			take(nil)
		}
	})
}

// TestLimitsHold: whatever comes and goes, no more calls than max_calls have
// places, and no second begins more than it may.
func TestLimitsHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		calls, cps := rapid.IntRange(1, 5).Draw(rt, "calls"), rapid.IntRange(1, 5).Draw(rt, "cps")
		steps := rapid.SliceOfN(rapid.IntRange(0, 1500), 1, 60).Draw(rt, "steps") // ms to the next; odd ones end a call
		bubble(t, func(t *testing.T, h *house) {
			h.set(peering(t, "carrier", fmt.Sprintf(`{"proof":"digest","health":"off","peers":["192.0.2.1"],"max_calls":%d,"max_cps":%d}`, calls, cps)))
			var live []func()
			var begun []time.Time
			for _, ms := range steps {
				h.after(time.Duration(ms) * time.Millisecond)
				if ms%2 == 1 && len(live) > 0 {
					live[0]()
					live = live[1:]
				}
				release, err := h.m.Acquire(domain, "carrier")
				if err == nil {
					live, begun = append(live, release), append(begun, time.Now())
				} else if errors.Is(err, trunk.ErrCalls) != (len(live) == calls) {
					rt.Errorf("Acquire with %d of %d calls = %v", len(live), calls, err)
				}
				if len(live) > calls {
					rt.Errorf("%d calls of %d", len(live), calls)
				}
			}
			for i := range begun { // a full bucket, and what runs in during a second
				if j := i + 2*cps; j < len(begun) && begun[j].Sub(begun[i]) < time.Second {
					rt.Errorf("%d calls in a second, max_cps is %d", 2*cps+1, cps)
				}
			}
		})
	})
}

// TestReload: trunks that stay go on, those that go are gone, and a store that
// fails changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		h.carrier("192.0.2.1:5060", always(200))
		h.set(peering(t, "a", two), peering(t, "b", two))
		h.after(3 * time.Second)
		since := h.status("a").Since
		h.set(peering(t, "a", strings.Replace(two, `"+"`, `"+4"`, 1)))
		if s := h.status("a"); !s.Up || !s.Since.Equal(since) {
			t.Errorf("status = %+v, want as before", s)
		}
		if _, ok := h.m.Status(domain, "b"); ok {
			t.Error("b is still there")
		}
		h.mu.Lock()
		h.failing = errors.New("disk is gone")
		h.mu.Unlock()
		h.set()
		if !h.status("a").Up {
			t.Error("a store that fails took the trunk down")
		}
		h.mu.Lock()
		h.failing = nil
		h.mu.Unlock()
		h.after(6 * time.Second) // it asks again by itself
		if _, ok := h.m.Status(domain, "a"); ok {
			t.Error("a is still there")
		}
		h.after(time.Minute)
		if n := h.table.Len(); n != 0 {
			t.Errorf("%d lanes are open a minute later", n)
		}
	})
}

func metricsOf(t *testing.T, h *house, name string) string {
	t.Helper()
	problems, err := testutil.GatherAndLint(h.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
	families, err := h.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			fmt.Fprintf(&b, "%s{%s} %v\n", name, strings.Join(labels, ","), m.GetCounter().GetValue()+m.GetGauge().GetValue())
		}
	}
	return b.String()
}
