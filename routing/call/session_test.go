package call_test

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"bellhop/routing/call"
)

// half is a session of half an hour.
const half = 1800 * second

// says returns the response of an end to our request with a session timer.
func says(l call.Leg, id call.ID, status int, s call.Session) call.Event {
	return call.Response{Leg: l, ID: id, Status: status, Up: status, SDP: id == call.First, Session: s}
}

// TestSession is RFC 4028: each leg has its own timer.
func TestSession(t *testing.T) {
	t.Parallel()
	byUAC := call.Session{Supported: true, Expires: half, Refresher: call.UAC}
	byUAS := call.Session{Supported: true, Expires: half, Refresher: call.UAS}
	run(t, []row{
		{
			name: "neither end knows it", options: call.Options{SDP: true, Interval: half}, first: "INVITE 0 to B expires 30m0s uas", timers: true,
			events: []at{{0, says(b, 0, 200, call.Session{}), "journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"}},
		},
		{
			name: "the caller refreshes, the callee does not know it", options: call.Options{SDP: true, Session: byUAC, Interval: half},
			first: "INVITE 0 to B expires 30m0s uas", timers: true,
			events: []at{
				{0, says(b, 0, 200, call.Session{}), "start expire A in 29m28s; journal; ack 0 to B; 200 of 0 to A expires 30m0s uac; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{900 * second, timedReq(a, 1, call.Update, byUAC), "UPDATE 1 to B"},
				{900 * second, says(b, 1, 200, call.Session{}), "start expire A in 29m28s; journal; 200 of 1 to A expires 30m0s uac"},
				{1768 * second, fired(call.TimerExpire, a), "start expire A in 15m0s"}, // stale
				{2668 * second, fired(call.TimerExpire, a), "end session-expired by A; stop expire A; bye -1 to A; bye -2 to B"},
			},
		},
		{
			name: "the callee refreshes, the caller does not know it", options: call.Options{SDP: true, Interval: half},
			first: "INVITE 0 to B expires 30m0s uas", timers: true,
			events: []at{
				{0, says(b, 0, 200, byUAS), "start expire B in 29m28s; journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{900 * second, timedReq(b, 1, call.Invite, byUAC), "INVITE 1 to A"},
				{900 * second, says(a, 1, 200, call.Session{}), "start expire B in 29m28s; journal; ack 1 to A; 200 of 1 to B expires 30m0s uac; start ack B in 32s"},
			},
		},
		{
			name: "one that knows it is asked", options: call.Options{SDP: true, Session: call.Session{Supported: true}, Interval: half},
			first: "INVITE 0 to B expires 30m0s uas", timers: true,
			events: []at{{0, says(b, 0, 200, call.Session{}), "start expire A in 29m28s; journal; ack 0 to B; 200 of 0 to A expires 30m0s uac; start ack A in 32s"}},
		},
		{
			name: "one that wants more is asked for more", options: call.Options{SDP: true, Session: call.Session{Supported: true, MinSE: 2 * half}, Interval: half},
			first: "INVITE 0 to B expires 30m0s uas", timers: true,
			events: []at{{0, says(b, 0, 200, call.Session{}), "start expire A in 59m28s; journal; ack 0 to B; 200 of 0 to A expires 1h0m0s uac; start ack A in 32s"}},
		},
		{
			name: "a proxy asks for a caller that does not know it: we refresh", options: call.Options{SDP: true, Session: call.Session{Expires: half, Update: true}},
			first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, says(b, 0, 200, call.Session{}), "start expire A in 29m28s; start refresh A in 15m0s; journal; ack 0 to B; 200 of 0 to A expires 30m0s uas; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{900 * second, fired(call.TimerRefresh, a), "refresh -1 to A by UPDATE expires 30m0s uac"},
			},
		},
		{
			name: "we refresh the callee", options: call.Options{SDP: true, Interval: half}, first: "INVITE 0 to B expires 30m0s uas", timers: true,
			events: []at{
				{0, says(b, 0, 200, byUAC), "start expire B in 29m28s; start refresh B in 15m0s; journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{800 * second, fired(call.TimerRefresh, b), "start refresh B in 1m40s"}, // stale
				{900 * second, fired(call.TimerRefresh, b), "refresh -1 to B by INVITE expires 30m0s uac"},
				{900 * second, says(b, -1, 200, byUAC), "ack -1 to B; start expire B in 29m28s; start refresh B in 15m0s; journal"},
				{1800 * second, fired(call.TimerRefresh, b), "refresh -2 to B by INVITE expires 30m0s uac"},
				{1800 * second, says(b, -2, 481, call.Session{}), "end lost by B; stop expire B; stop refresh B; bye -3 to A; bye -4 to B"},
			},
		},
		{
			name: "an UPDATE that is not known is an INVITE", options: call.Options{SDP: true, Session: call.Session{Expires: half, Update: true}},
			first: "INVITE 0 to B", timers: false,
			events: []at{
				{0, says(b, 0, 200, call.Session{}), "journal; ack 0 to B; 200 of 0 to A"},
				{0, ack(a), ""},
				{900 * second, fired(call.TimerRefresh, a), "refresh -1 to A by UPDATE"},
				{900 * second, says(a, -1, 501, call.Session{}), "refresh -2 to A by INVITE"},
			},
		},
		{
			name: "a refresh that is refused leaves the session until it expires", options: call.Options{SDP: true, Session: call.Session{Expires: half, Update: true}},
			first: "INVITE 0 to B", timers: false,
			events: []at{
				{0, says(b, 0, 200, call.Session{}), "journal; ack 0 to B; 200 of 0 to A"},
				{0, ack(a), ""},
				{900 * second, fired(call.TimerRefresh, a), "refresh -1 to A by UPDATE"},
				{900 * second, says(a, -1, 403, call.Session{}), ""},
				{1768 * second, fired(call.TimerExpire, a), "end session-expired by A; bye -2 to A; bye -3 to B"},
			},
		},
		{
			name: "too short for us", up: true, timers: true,
			events: []at{
				{2 * second, timedReq(a, 1, call.Update, call.Session{Supported: true, Expires: 60 * second}), "answer 1 of A 422 min 1m30s"},
				{2 * second, timedReq(a, 2, call.Update, byUAC), "UPDATE 2 to B"},
			},
		},
		{
			name: "too short for the callee", options: call.Options{SDP: true, Interval: 600 * second}, first: "INVITE 0 to B expires 10m0s uas", timers: true,
			events: []at{
				{0, says(b, 0, 422, call.Session{MinSE: half}), "again 0 to B expires 30m0s uas min 30m0s"},
				{0, says(b, 0, 422, call.Session{MinSE: 2 * half}), "again 0 to B expires 1h0m0s uas min 1h0m0s"},
				{0, says(b, 0, 422, call.Session{MinSE: 4 * half}), "end unanswered by B"},
			},
		},
		{
			name: "an interval shorter than there is", options: call.Options{SDP: true}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, says(b, 0, 200, call.Session{Expires: second, Refresher: call.UAC}), "start expire B in 1m0s; start refresh B in 45s; journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
			},
		},
		{
			name: "who refreshes stays the same from either end", options: call.Options{SDP: true, Session: byUAC, Interval: half},
			first: "INVITE 0 to B expires 30m0s uas", timers: true,
			events: []at{
				{0, says(b, 0, 200, byUAS), "start expire B in 29m28s; start expire A in 29m28s; journal; ack 0 to B; 200 of 0 to A expires 30m0s uac; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{900 * second, timedReq(b, 1, call.Invite, byUAC), "INVITE 1 to A expires 30m0s uas"},
				{900 * second, says(a, 1, 200, byUAS), "start expire A in 29m28s; start expire B in 29m28s; journal; ack 1 to A; 200 of 1 to B expires 30m0s uac; start ack B in 32s"},
			},
		},
	})
}

// TestTooShort is when a request gets 422.
func TestTooShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]bool{0: false, second: true, 89 * second: true, 90 * second: false, half: false} {
		if got := (call.Session{Expires: d}).TooShort(); got != want {
			t.Errorf("TooShort of %v = %t", d, got)
		}
	}
}

// TestRestore is a call that goes on after a restart.
func TestRestore(t *testing.T) {
	t.Parallel()
	s, _ := call.New(call.Options{SDP: true, Session: call.Session{Expires: half, Update: true}, Interval: half, Deadline: 4 * time.Hour}, t0, nil)
	s, _ = s.Step(timed(says(b, 0, 200, call.Session{Expires: half, Refresher: call.UAS}), t0), nil)
	saved := s.Saved()
	want := call.Saved{
		Deadline: t0.Add(4 * time.Hour), Interval: half,
		Timers: [2]call.Timing{{Interval: half, Ours: true, Update: true, Last: t0}, {Interval: half, Last: t0}},
	}
	if diff := gocmp.Diff(want, saved); diff != "" {
		t.Fatalf("Saved (-want +got):\n%s", diff)
	}
	tests := []struct {
		after time.Duration
		want  string
	}{
		{60 * second, "start expire A in 28m28s; start refresh A in 14m0s; start expire B in 28m28s; start deadline A in 3h59m0s"},
		{5 * time.Hour, "start expire A in 32s; start refresh A in 1s; start expire B in 32s; start deadline A in 32s"},
	}
	for _, tt := range tests {
		s, effects := call.Restore(saved, t0.Add(tt.after), nil)
		if diff := gocmp.Diff(tt.want, words(effects, true)); diff != "" {
			t.Errorf("Restore after %v (-want +got):\n%s", tt.after, diff)
		}
		if _, effects = s.Step(timed(req(b, 1, call.Bye), t0.Add(tt.after)), nil); words(effects, false) != "end hung-up by B; answer 1 of B 200; bye -1 to A like 1" {
			t.Errorf("a BYE after %v does %s", tt.after, words(effects, false))
		}
	}
}

// TestProbe: ends that nobody refreshes are asked whether they are there.
func TestProbe(t *testing.T) {
	t.Parallel()
	const due, again = call.ProbeTime + second, call.ProbeTime + second + call.ProbeAgain
	probe := fired(call.TimerProbe, a)
	byUAC := call.Session{Supported: true, Expires: half, Refresher: call.UAC}
	run(t, []row{
		{name: "both are there, one does not know OPTIONS", up: true, events: []at{
			{due, probe, "probe -1 to A; probe -2 to B"},
			{due, res(a, -1, 200), "journal"},
			{due, res(b, -2, 405), "journal"},
			{due + second, probe, ""}, // stale
			{2*call.ProbeTime + second, probe, "probe -3 to A; probe -4 to B"},
		}},
		{name: "an end that does not know the call", up: true, events: []at{
			{due, probe, "probe -1 to A; probe -2 to B"},
			{due, res(b, -2, 481), "end lost by B; bye -3 to A; bye -4 to B"},
			{due, res(a, -1, 200), ""},
		}},
		{name: "no answer, twice", up: true, events: []at{
			{due, probe, "probe -1 to A; probe -2 to B"},
			{due, res(a, -1, 408), ""},
			{due, res(b, -2, 200), "journal"},
			{again, probe, "probe -3 to A"},
			{again, res(a, -3, 408), "end lost by A; bye -4 to A; bye -5 to B"},
		}},
		{name: "no answer, once", up: true, events: []at{
			{due, probe, "probe -1 to A; probe -2 to B"},
			{due, res(b, -2, 408), ""},
			{due, res(a, -1, 200), "journal"},
			{again, probe, "probe -3 to B"},
			{again, res(b, -3, 501), "journal"},
			{again + call.ProbeTime, probe, "probe -4 to A; probe -5 to B"},
		}},
		{name: "one that is refreshed is not asked", options: call.Options{SDP: true, Session: byUAC, Interval: half}, first: "INVITE 0 to B", events: []at{
			{0, says(b, 0, 200, call.Session{}), "journal; ack 0 to B; 200 of 0 to A"},
			{0, ack(a), ""},
			{call.ProbeTime, probe, "probe -1 to B"},
		}},
		{name: "the call ends meanwhile", up: true, events: []at{
			{due, probe, "probe -1 to A; probe -2 to B"},
			{due, req(a, 1, call.Bye), "end hung-up by A; answer 1 of A 200; bye -3 to B like 1"},
			{due, res(b, -2, 481), ""},
			{due, res(a, -1, 481), ""},
		}},
	})
}

// TestProbeAfterARestart: it is due when it was.
func TestProbeAfterARestart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ seen, want time.Duration }{
		{0, call.ProbeTime}, {-10 * time.Minute, call.ProbeTime - 10*time.Minute}, {-2 * time.Hour, 32 * second}, {time.Hour, call.ProbeTime},
	} {
		_, effects := call.Restore(call.Saved{Seen: t0.Add(tt.seen)}, t0, nil)
		want := call.StartTimer{Timer: call.Timer{Kind: call.TimerProbe}, After: tt.want}
		if len(effects) != 1 || effects[0] != call.Effect(want) {
			t.Errorf("seen %v: %+v, want %+v", tt.seen, effects, want)
		}
	}
}
