package ring_test

import (
	"testing"
	"time"

	"bellhop/routing/ring"
)

// mobile, home and nephew are remote destinations, the last one a device of
// another number of ours; dialled is a trunk that was dialled.
var (
	mobile  = away("mobile", 4*second, 19*second)
	home    = away("home", 8*second, 0)
	nephew  = ring.Target{Device: "nephew", Instance: "nephew", Contact: "sip:nephew", Remote: "1002", StopAfter: 10 * second}
	dialled = ring.Target{Contact: "+4930123", Instance: "+4930123", Trunk: "carrier"}
)

// away returns a remote destination over a trunk.
func away(name string, delay, stop time.Duration) ring.Target {
	return ring.Target{
		Remote: name, Contact: "+49" + name, Instance: "+49" + name, Trunk: "carrier",
		Delay: delay, StopAfter: stop,
	}
}

// TestDelay is rule snr.delay.
func TestDelay(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "the desk rings alone first", plan: one(desk, home, mobile), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start delay in 4s; start clock in 2m50s",
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{second, timer(ring.TimerDelay), "start delay in 3s"}, // stale
				{4 * second, timer(ring.TimerDelay), "invite 1 mobile; start stop 1 in 15s; start delay in 4s"},
				{8 * second, timer(ring.TimerDelay), "invite 2 home; stop delay"},
				{8 * second, timer(ring.TimerDelay), ""},
				{9 * second, res(1, 200), "reply 200 from 1; cancel 0" + elsewhere + "; cancel 2" + elsewhere + "; end answered 200 1"},
			},
		},
		{
			name: "the desk wins", plan: one(desk, mobile), first: "invite 0 desk",
			events: []at{
				{second, res(0, 200), "reply 200 from 0; end answered 200 0"},
				{4 * second, timer(ring.TimerDelay), ""},
			},
		},
		{
			name: "no device", plan: one(mobile, home), first: "invite 0 mobile; invite 1 home",
		},
		{
			name: "the devices ended early", plan: one(desk, soft, mobile), first: "invite 0 desk; invite 1 soft",
			events: []at{{second, res(0, 486), ""}, {second, res(1, 404), "invite 2 mobile"}},
		},
		{
			name: "the devices are silent", plan: one(desk, home), first: "invite 0 desk", timers: false,
			events: []at{{4 * second, silent(0), "doubt 0; invite 1 home"}},
		},
		{
			name: "the flow of the desk broke", plan: one(desk, mobile), first: "invite 0 desk",
			events: []at{{second, fail(0), "invite 1 mobile"}},
		},
		{
			name: "no more after a decline", plan: one(desk, mobile), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start delay in 4s; start clock in 2m50s",
			events: []at{
				{second, res(0, 603), "stop silent 0; stop delay; start next in 500ms; stop next; reply 486 from 0; end declined 486 0"},
			},
		},
		{
			name: "no more when the caller gave up", plan: one(desk, mobile), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start delay in 4s; start clock in 2m50s",
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{second, gaveUp(""), "cancel 0; stop delay; start clock in 32s"},
				{4 * second, timer(ring.TimerDelay), ""},
			},
		},
		{
			name: "counted from the first INVITE of its number",
			plan: ring.Plan{Stages: [][]ring.Target{{desk}}, Visits: ring.VisitsOn(ring.Busy), OwnLegs: true}, timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start clock in 2m50s",
			events: []at{
				{3 * second, res(0, 486), "stop silent 0; visit busy"},
				{3 * second, visited([]ring.Target{soft, mobile}), "invite 1 soft; start silent 1 in 4s; start delay in 4s"},
				{7 * second, timer(ring.TimerDelay), "invite 2 mobile; start stop 2 in 15s; stop delay"},
			},
		},
		{
			name: "one that would start when its time is over", plan: one(desk, away("late", 20*second, 10*second)), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{20 * second, timer(ring.TimerDelay), ""},
				{21 * second, res(0, 486), "reply 486 from 0; end busy 486 0"},
			},
		},
		{
			name: "early media waits for it", plan: one(desk, mobile), first: "invite 0 desk",
			events: []at{
				{second, sdp(0, 183), "reply 180 from 0 without sdp"},
				{4 * second, timer(ring.TimerDelay), "invite 1 mobile"},
				{5 * second, res(1, 486), ""},
				{6 * second, sdp(0, 183), "reply 183 from 0"},
			},
		},
	})
}

// TestStopAfter is rule snr.stop-after.
func TestStopAfter(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "the stage goes on", plan: during(30*second, one(desk, mobile)), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start delay in 4s; start stage in 30s; start clock in 2m50s",
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{4 * second, timer(ring.TimerDelay), "invite 1 mobile; start stop 1 in 15s; stop delay"},
				{5 * second, res(1, 183), "reply 180 from 1"},
				{18 * second, stops(1), "start stop 1 in 1s"}, // stale
				{19 * second, stops(1), "cancel 1; start stop 1 in 500ms"},
				{19500 * time.Millisecond, stops(1), ""},
				{30 * second, timer(ring.TimerStage), "cancel 0; start next in 500ms"},
				{30 * second, res(0, 487), "stop next; reply 480 from -1; end no-answer 480 -1"},
				{31 * second, res(1, 200), "hang up 1"},
			},
		},
		{
			name: "it ended before", plan: one(mobile), timers: true,
			first:  "invite 0 mobile; start stop 0 in 19s; start clock in 2m50s",
			events: []at{{second, res(0, 500), "stop stop 0; reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "the last one is waited for half a second", plan: one(mobile), timers: true,
			first: "invite 0 mobile; start stop 0 in 19s; start clock in 2m50s",
			events: []at{
				{second, res(0, 180), "reply 180 from 0"},
				{19 * second, stops(0), "cancel 0; start stop 0 in 500ms"},
				{19500 * time.Millisecond, stops(0), "reply 480 from -1; end no-answer 480 -1"},
			},
		},
		{
			name: "a device that comes back when its time is over", plan: one(desk, on(nephew, flow(1))), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; invite 1 nephew; start silent 1 in 4s; start stop 1 in 10s; start clock in 2m50s",
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{4 * second, silent(1), "stop stop 1; doubt 1"},
				{6 * second, joins(on(nephew, flow(2))), "move 1 to 2; start silent 1 in 4s; start stop 1 in 4s"},
				{10 * second, stops(1), "cancel 1; start stop 1 in 500ms"},
				{11 * second, stops(1), ""},
			},
		},
		{
			name: "an answer that crosses the CANCEL wins", plan: one(mobile), first: "invite 0 mobile",
			events: []at{
				{second, res(0, 180), "reply 180 from 0"},
				{19 * second, stops(0), "cancel 0"},
				{19 * second, res(0, 200), "reply 200 from 0; end answered 200 0"},
			},
		},
	})
}

// TestRemote is how remote destinations and the devices of their stage meet
// (rules snr.*).
func TestRemote(t *testing.T) {
	t.Parallel()
	now := func(name string) ring.Target { return away(name, 0, 0) }
	visits := func(p ring.Plan, kinds ...ring.OutcomeKind) ring.Plan {
		p.Visits = ring.VisitsOn(kinds...)
		return p
	}
	run(t, []row{
		{
			name: "it rings on through the q groups", plan: during(20*second, one(phone, desk, now("mobile"))), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; invite 1 mobile; start stage in 10s; start clock in 2m50s",
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{0, res(1, 180), "reply 180 from 1"},
				{10 * second, timer(ring.TimerStage), "cancel 0; start next in 500ms"},
				{10 * second, res(1, 183), "reply 180 from 1"},
				{10 * second, res(0, 487), "stop next; invite 2 phone; start silent 2 in 4s; start stage in 10s"},
				{11 * second, res(2, 486), "stop silent 2; start stage in 9s"},
				{20 * second, timer(ring.TimerStage), "cancel 1; start next in 500ms"},
				{20 * second, res(1, 487), "stop next; reply 480 from -1; end no-answer 480 -1"},
			},
		},
		{
			name: "the next stage waits for it",
			plan: ring.Plan{Stages: [][]ring.Target{{desk, now("mobile")}, {soft}}, RingTime: 10 * second}, first: "invite 0 desk; invite 1 mobile",
			events: []at{
				{0, res(0, 486), ""},
				{0, joins(phone), "invite 2 phone"},
				{0, res(1, 486), ""},
				{0, res(2, 486), "invite 3 soft"},
			},
		},
		{
			name: "no answer when the desk rang and the mobile is busy", plan: during(10*second, one(desk, now("mobile"))),
			first: "invite 0 desk; invite 1 mobile",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{0, res(1, 603), ""},
				{10 * second, timer(ring.TimerStage), "cancel 0"},
				{10 * second, res(0, 487), "reply 480 from -1; end no-answer 480 -1"},
			},
		},
		{
			name: "a ringing mobile makes no answer of unreachable", plan: visits(during(10*second, one(now("mobile"))), ring.NoAnswer, ring.Unreachable),
			first: "invite 0 mobile",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0"},
				{10 * second, res(0, 487), "visit no-answer"},
			},
		},
		{
			name: "a busy mobile alone is busy", plan: one(now("mobile")), first: "invite 0 mobile",
			events: []at{{0, res(0, 486), "reply 486 from -1; end busy 486 -1"}},
		},
		{
			name: "its 404 is not the number's", plan: visits(one(now("mobile")), ring.Unreachable), first: "invite 0 mobile",
			events: []at{{0, res(0, 404), "visit unreachable"}},
		},
		{
			name: "its challenge is not the caller's", plan: one(now("mobile")), first: "invite 0 mobile",
			events: []at{{0, res(0, 407), "reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "one number twice", plan: one(now("mobile"), now("mobile")), first: "invite 0 mobile",
		},
	})
}

// TestTrunk is a branch that leaves by a trunk (rule dial.trunk).
func TestTrunk(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "it is not abandoned when silent", plan: one(dialled), timers: true,
			first: "invite 0 carrier; start clock in 2m50s",
			events: []at{
				{4 * second, silent(0), ""},
				{9 * second, sdp(0, 183), "reply 183 from 0"},
				{10 * second, res(0, 200), "reply 200 from 0; end answered 200 0"},
			},
		},
		{
			name: "its final response is passed on", plan: one(dialled), first: "invite 0 carrier",
			events: []at{{0, res(0, 404), "reply 404 from 0; end refused 404 0"}},
		},
		{
			name: "all peers failed", plan: one(dialled), first: "invite 0 carrier",
			events: []at{{0, res(0, 503), "reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "declined", plan: one(dialled), first: "invite 0 carrier",
			events: []at{{0, res(0, 603), "reply 486 from 0; end declined 486 0"}},
		},
		{
			name: "the caller gave up before it spoke", plan: one(dialled), timers: true,
			first: "invite 0 carrier; start clock in 2m50s",
			events: []at{
				{second, gaveUp(""), "cancel 0; start silent 0 in 4s; start clock in 32s"},
				{5 * second, silent(0), "reply 487 from -1; end caller-gave-up 487 -1"},
				{6 * second, res(0, 200), "hang up 0"},
			},
		},
	})
}

// TestRedirect is rule device.redirect.
func TestRedirect(t *testing.T) {
	t.Parallel()
	plan := func(targets ...ring.Target) ring.Plan {
		return ring.Plan{Stages: [][]ring.Target{targets}, Visits: ring.VisitsOn(ring.Redirected), RingTime: 10 * second, OwnLegs: true}
	}
	run(t, []row{
		{
			name: "the others are given up", plan: plan(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(1, 180), "reply 180 from 1"},
				{0, res(0, 302), "cancel 1"},
				{0, res(1, 487), "visit redirected"},
				{0, visited([]ring.Target{phone}), "invite 2 phone"},
			},
		},
		{
			name: "at the latest after 500 ms", plan: plan(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(1, 180), "reply 180 from 1"},
				{0, res(0, 301), "cancel 1"},
				{second, timer(ring.TimerNext), "visit redirected"},
				{second, res(1, 200), "reply 200 from 1; end answered 200 1"},
			},
		},
		{
			name: "it may not be followed", plan: plan(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 302), "visit redirected"},
				{0, ring.Decided{Status: 403}, "reply 403 from -1; end redirected 403 -1"},
			},
		},
		{
			name: "never relayed", plan: plan(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 302), "visit redirected"},
				{170 * second, timer(ring.TimerClock), "reply 480 from -1; end redirected 480 -1"},
			},
		},
		{
			name: "after a decline", plan: plan(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{{0, res(0, 603), "cancel 1"}, {0, res(1, 302), "reply 486 from 0; end declined 486 0"}},
		},
		{
			name: "one that crosses the end of the ring time", plan: plan(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0"},
				{10 * second, res(0, 302), "visit redirected"},
			},
		},
		{
			name: "one that comes when the clock has run out", plan: ring.Plan{Stages: plan(desk).Stages, Visits: ring.VisitsOn(ring.Redirected)},
			first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{170 * second, timer(ring.TimerClock), "cancel 0"},
				{170 * second, res(0, 302), "reply 480 from -1; end no-answer 480 -1"},
			},
		},
		{
			name: "of a trunk", plan: plan(dialled), first: "invite 0 carrier",
			events: []at{{0, res(0, 302), "reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "of a remote destination", plan: plan(desk, away("mobile", 0, 0)), first: "invite 0 desk; invite 1 mobile",
			events: []at{{0, res(1, 302), ""}, {0, res(0, 302), "visit redirected"}},
		},
	})
}
