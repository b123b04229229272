package ring_test

import (
	"testing"
	"time"

	"bellhop/routing/location"
	"bellhop/routing/ring"
)

const (
	second    = time.Second
	elsewhere = ` SIP;cause=200;text="Call completed elsewhere"`
)

// one returns a plan of one stage.
func one(targets ...ring.Target) ring.Plan { return ring.Plan{Stages: [][]ring.Target{targets}} }

// during returns p with a ring time.
func during(d time.Duration, p ring.Plan) ring.Plan {
	p.RingTime = d
	return p
}

func TestBasic(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "answered", plan: one(desk), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start clock in 2m50s",
			events: []at{
				{0, res(0, 100), "stop silent 0"},
				{second, res(0, 180), "reply 180 from 0"},
				{2 * second, res(0, 200), "reply 200 from 0; end answered 200 0"},
				{3 * second, res(0, 200), "reply 200 from 0"}, // retransmitted
			},
		},
		{
			name: "answered at once", plan: one(desk), timers: true,
			first:  "invite 0 desk; start silent 0 in 4s; start clock in 2m50s",
			events: []at{{0, res(0, 200), "reply 200 from 0; end answered 200 0"}},
		},
		{
			name: "nobody there", plan: one(), timers: true,
			first:  "reply 480 from -1; end unreachable 480 -1",
			events: []at{{0, gaveUp(""), ""}, {0, joins(desk), ""}, {0, res(0, 200), ""}},
		},
		{
			name: "no stages", first: "reply 480 from -1; end unreachable 480 -1",
		},
		{
			name: "responses out of range", plan: one(desk), first: "invite 0 desk",
			events: []at{{0, res(0, 99), ""}, {0, res(0, 700), ""}, {0, res(1, 200), ""}, {0, res(-1, 200), ""}, {0, fail(7), ""}, {0, silent(9), ""}},
		},
	})
}

func TestZeroState(t *testing.T) {
	t.Parallel()
	s, effects := ring.State{}.Step(ring.Response{Status: 200}, nil)
	if len(effects) != 0 || !s.Done() {
		t.Errorf("Step of the zero State = %v", effects)
	}
}

// TestClock is rule ring.clock.
func TestClock(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "ringing ends", plan: one(desk), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start clock in 2m50s",
			events: []at{
				{second, res(0, 180), "stop silent 0; reply 180 from 0"},
				{169 * second, timer(ring.TimerClock), "start clock in 1s"}, // stale
				{170 * second, timer(ring.TimerClock), "cancel 0; start next in 500ms"},
				{171 * second, res(0, 487), "stop next; reply 480 from -1; end no-answer 480 -1"},
			},
		},
		{
			name: "an answer that crosses the cancel", plan: one(desk), first: "invite 0 desk",
			events: []at{
				{second, res(0, 180), "reply 180 from 0"},
				{170 * second, timer(ring.TimerClock), "cancel 0"},
				{170 * second, res(0, 200), "reply 200 from 0; end answered 200 0"},
			},
		},
		{
			name:  "what is left of it",
			plan:  ring.Plan{Stages: [][]ring.Target{{desk}}, Clock: 20 * second, RingTime: 18 * second},
			first: "invite 0 desk; start silent 0 in 4s; start stage in 18s; start clock in 20s", timers: true,
		},
		{
			name: "no stage after it",
			plan: ring.Plan{
				Stages: [][]ring.Target{{desk}, {phone}}, Clock: 5 * second, RingTime: 18 * second,
				Visits: ring.VisitsOn(ring.NoAnswer),
			},
			first: "invite 0 desk",
			events: []at{
				{second, res(0, 180), "reply 180 from 0"},
				{5 * second, timer(ring.TimerClock), "cancel 0"},
				{6 * second, timer(ring.TimerNext), "reply 480 from -1; end no-answer 480 -1"},
			},
		},
	})
}

// TestDevices is rule ring.devices.
func TestDevices(t *testing.T) {
	t.Parallel()
	spare := on(desk, flow(99))
	spare.RegID = 2
	run(t, []row{
		{
			name: "together, the first one wins", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{0, res(1, 180), "reply 180 from 1"},
				{0, res(1, 200), "reply 200 from 1; cancel 0" + elsewhere + "; end answered 200 1"},
				{0, res(0, 487), ""},
			},
		},
		{
			name: "groups by q share the ring time", plan: during(18*second, one(phone, desk, soft)), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; invite 1 soft; start silent 1 in 4s; start stage in 9s; start clock in 2m50s",
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{0, res(1, 180), "stop silent 1; reply 180 from 1"},
				{9 * second, timer(ring.TimerStage), "cancel 0; cancel 1; start next in 500ms"},
				{9 * second, res(0, 487), ""},
				{9 * second, res(1, 487), "stop next; invite 2 phone; start silent 2 in 4s; start stage in 9s"},
				{10 * second, timer(ring.TimerStage), "start stage in 8s"}, // stale
				{18 * second, silent(2), "doubt 2; reply 480 from -1; end no-answer 480 -1"},
			},
		},
		{
			name: "groups without a ring time share the clock", plan: one(desk, phone), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start stage in 1m25s; start clock in 2m50s",
			events: []at{
				{0, res(0, 486), "stop silent 0; invite 1 phone; start silent 1 in 4s; stop stage"},
			},
		},
		{
			name: "together whatever q says", plan: ring.Plan{Stages: [][]ring.Target{{phone, desk}}, Together: true},
			first:  "invite 0 phone; invite 1 desk",
			events: []at{{0, res(0, 486), ""}, {0, res(1, 486), "reply 486 from 0; end busy 486 0"}},
		},
		{
			name: "next reg-id after 430", plan: one(desk, spare, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(0, 430), "invite 2 desk"},
				{0, res(2, 200), "reply 200 from 2; cancel 1" + elsewhere + "; end answered 200 2"},
			},
		},
		{
			name: "next reg-id after 408", plan: one(desk, spare), first: "invite 0 desk",
			events: []at{{0, res(0, 408), "invite 1 desk"}, {0, res(1, 408), "reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "next reg-id after a broken flow", plan: one(desk, spare), first: "invite 0 desk",
			events: []at{{0, fail(0), "invite 1 desk"}, {0, fail(1), "reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "no next reg-id after busy", plan: one(desk, spare), first: "invite 0 desk",
			events: []at{{0, res(0, 486), "reply 486 from 0; end busy 486 0"}},
		},
		{
			name: "a ringing device goes on over its next reg-id", plan: one(desk, spare), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{0, fail(0), "move 0 to 99"},
				{0, res(0, 200), "reply 200 from 0; end answered 200 0"},
			},
		},
		{
			name: "a device that registers joins", plan: one(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{second, joins(soft), "invite 1 soft"},
				{second, joins(soft), ""},
				{second, joins(desk), ""}, // a refresh
				{second, res(1, 200), "reply 200 from 1; cancel 0" + elsewhere + "; end answered 200 1"},
				{second, joins(phone), ""},
			},
		},
		{
			name: "a device that reconnects keeps its branch", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{second, joins(on(desk, flow(7))), "move 0 to 7"},
				{second, joins(on(desk, flow(7))), ""},
				{second, fail(0), ""},
				{second, joins(on(desk, flow(8))), "move 0 to 8"},
				{second, res(1, 486), ""},
				{second, res(0, 200), "reply 200 from 0; end answered 200 0"},
			},
		},
		{
			name: "a device that never saw the INVITE gets one", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{{0, fail(0), ""}, {0, joins(on(desk, flow(7))), "invite 2 desk"}},
		},
		{
			name: "a silent device that comes back is sent the same INVITE", plan: one(desk, soft), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; invite 1 soft; start silent 1 in 4s; start clock in 2m50s",
			events: []at{
				{0, res(1, 180), "stop silent 1; reply 180 from 1"},
				{4 * second, silent(0), "doubt 0"},
				{5 * second, joins(on(desk, flow(7))), "move 0 to 7; start silent 0 in 4s"},
				{5 * second, res(0, 180), "stop silent 0; reply 180 from 0"},
			},
		},
		{
			name: "a device of a later group waits for it", plan: one(desk, phone), first: "invite 0 desk",
			events: []at{
				{0, joins(on(phone, flow(7))), ""},
				{0, res(0, 486), "invite 1 phone"},
				{0, joins(on(phone, flow(7))), ""},
			},
		},
		{
			name: "a device joins between groups", plan: during(10*second, one(desk, phone)), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{5 * second, timer(ring.TimerStage), "cancel 0"},
				{5 * second, joins(soft), ""},
				{5 * second, res(0, 487), "invite 1 phone; invite 2 soft"},
			},
		},
		{
			name: "nobody joins when the last group is over", plan: during(10*second, one(desk)), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0"},
				{10 * second, joins(soft), ""},
				{10 * second, res(0, 487), "reply 480 from -1; end no-answer 480 -1"},
			},
		},
	})
}

// TestPicked: a phone that takes the call rings beside the others, whoever answers
// first has it, and what it says decides nothing else.
func TestPicked(t *testing.T) {
	t.Parallel()
	cyd := ring.Target{Device: "cyd", Instance: "pickup", Number: "1003", Pickup: true, Flow: flow(9)}
	anchored := func(targets ...ring.Target) ring.Plan {
		p := one(targets...)
		p.OwnLegs = true
		return p
	}
	run(t, []row{
		{
			name: "it has the call", plan: anchored(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{second, picked(cyd), "invite 1 cyd"},
				{second, sdp(1, 200), "reply 200 from 1; cancel 0" + elsewhere + "; end answered 200 1"},
				{second, res(0, 487), ""},
			},
		},
		{
			name: "the other was quicker", plan: anchored(desk), first: "invite 0 desk",
			events: []at{
				{second, picked(cyd), "invite 1 cyd"},
				{second, res(0, 200), "reply 200 from 0; cancel 1" + elsewhere + "; end answered 200 0"},
				{second, res(1, 200), "hang up 1"},
			},
		},
		{
			name: "what it refuses, it refuses for itself", plan: anchored(desk, phone), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{second, picked(cyd), "invite 1 cyd"},
				{second, res(1, 603), ""},
				{2 * second, picked(cyd), "invite 2 cyd"},
				{2 * second, fail(2), ""},
				{3 * second, res(0, 486), "invite 3 phone"},
				{3 * second, res(3, 486), "reply 486 from 0; end busy 486 0"},
			},
		},
		{
			name: "it is silent", plan: anchored(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{second, picked(cyd), "invite 1 cyd"},
				{5 * second, silent(1), "doubt 1"},
				{6 * second, res(0, 486), "reply 486 from 0; end busy 486 0"},
				{7 * second, res(1, 200), "hang up 1"},
			},
		},
		{
			name: "nobody rings any more", plan: anchored(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 486), "reply 486 from 0; end busy 486 0"},
				{0, picked(cyd), ""},
			},
		},
		{
			name: "the caller has hung up", plan: anchored(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{second, gaveUp(""), "cancel 0"},
				{second, picked(cyd), ""},
			},
		},
		{
			name: "no phone but one that picks up", plan: anchored(desk), first: "invite 0 desk",
			events: []at{{0, picked(desk), ""}},
		},
	})
}

// TestSilent is rule ring.silent.
func TestSilent(t *testing.T) {
	t.Parallel()
	tcp := on(desk, location.Flow{Transport: location.TCP, Conn: 1})
	run(t, []row{
		{
			name: "unreachable", plan: one(desk), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start clock in 2m50s",
			events: []at{
				{4 * second, silent(0), "doubt 0; reply 480 from -1; end unreachable 480 -1"},
				{5 * second, res(0, 180), "cancel 0"},
				{5 * second, res(0, 180), ""},
				{6 * second, res(0, 487), ""},
			},
		},
		{
			name: "a connection is not doubted", plan: one(tcp), first: "invite 0 desk",
			events: []at{{4 * second, silent(0), "reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "a late 1xx gets CANCEL", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{second, res(1, 180), "reply 180 from 1"},
				{4 * second, silent(0), "doubt 0"},
				{5 * second, res(0, 180), "cancel 0"},
				{6 * second, res(1, 486), ""},
				{6 * second, res(0, 487), "reply 486 from 1; end busy 486 1"},
			},
		},
		{
			name: "a late 1xx gets the reason", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{4 * second, silent(0), "doubt 0"},
				{5 * second, res(1, 200), "reply 200 from 1; end answered 200 1"},
				{6 * second, res(0, 180), "cancel 0" + elsewhere},
			},
		},
		{
			name: "a late 2xx counts", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{second, res(1, 180), "reply 180 from 1"},
				{4 * second, silent(0), "doubt 0"},
				{5 * second, res(0, 200), "reply 200 from 0; cancel 1" + elsewhere + "; end answered 200 0"},
			},
		},
		{
			name: "a 2xx after the final response is hung up", plan: one(desk), first: "invite 0 desk",
			events: []at{
				{4 * second, silent(0), "doubt 0; reply 480 from -1; end unreachable 480 -1"},
				{5 * second, res(0, 200), "hang up 0"},
				{6 * second, res(0, 200), "hang up 0"},
			},
		},
		{
			name: "the timer of a branch that spoke", plan: one(desk), first: "invite 0 desk",
			events: []at{{0, res(0, 100), ""}, {4 * second, silent(0), ""}},
		},
		{
			name: "its 408 comes much later", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{second, res(1, 180), "reply 180 from 1"},
				{4 * second, silent(0), "doubt 0"},
				{32 * second, res(0, 408), ""},
				{33 * second, res(1, 480), "reply 480 from 1; end no-answer 480 1"},
			},
		},
	})
}

// TestStage is rule ring.stage.
func TestStage(t *testing.T) {
	t.Parallel()
	stages := ring.Plan{Stages: [][]ring.Target{{desk}, {soft}}, RingTime: 10 * second}
	run(t, []row{
		{
			name: "when all have ended", plan: stages, first: "invite 0 desk",
			events: []at{{0, res(0, 404), "invite 1 soft"}, {0, res(1, 503), "reply 404 from 0; end refused 404 0"}},
		},
		{
			name: "at the latest after 500 ms", plan: stages, timers: true,
			first: "invite 0 desk; start silent 0 in 4s; start stage in 10s; start clock in 2m50s",
			events: []at{
				{second, res(0, 180), "stop silent 0; reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0; start next in 500ms"},
				{10 * second, timer(ring.TimerNext), "start next in 500ms"}, // stale
				{10500 * time.Millisecond, timer(ring.TimerNext), "invite 1 soft; start silent 1 in 4s; start stage in 10s"},
				// The old branch does not hold the new stage up.
				{11 * second, res(1, 486), "stop silent 1; reply 480 from -1; end no-answer 480 -1"},
			},
		},
		{
			name: "a 2xx of a cancelled branch wins", plan: stages, first: "invite 0 desk",
			events: []at{
				{second, res(0, 180), "reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0"},
				{11 * second, timer(ring.TimerNext), "invite 1 soft"},
				{11 * second, res(0, 200), "reply 200 from 0; cancel 1" + elsewhere + "; end answered 200 0"},
				{11 * second, res(1, 200), "reply 200 from 1"}, // proxied: relayed
			},
		},
		{
			name: "a second 2xx of an anchored call is hung up",
			plan: ring.Plan{Stages: stages.Stages, RingTime: 10 * second, OwnLegs: true}, first: "invite 0 desk",
			events: []at{
				{0, res(0, 486), "invite 1 soft"},
				{0, joins(phone), "invite 2 phone"},
				{0, res(1, 200), "reply 200 from 1; cancel 2" + elsewhere + "; end answered 200 1"},
				{0, res(1, 200), ""},
				{0, res(2, 200), "hang up 2"},
			},
		},
	})
}

// TestDeviceOnce is rule ring.device-once.
func TestDeviceOnce(t *testing.T) {
	t.Parallel()
	again := ring.Plan{Stages: [][]ring.Target{{desk}, {on(desk, flow(7)), soft}}}
	run(t, []row{
		{
			name: "in a later stage", plan: again, first: "invite 0 desk",
			events: []at{{0, res(0, 486), "invite 1 soft"}},
		},
		{
			name: "in a later visit of a proxied call",
			plan: ring.Plan{Stages: [][]ring.Target{{desk}}, Visits: ring.VisitsOn(ring.Busy)}, first: "invite 0 desk",
			events: []at{
				{0, res(0, 486), "visit busy"},
				{0, visited([]ring.Target{desk}), "reply 480 from -1; end unreachable 480 -1"},
			},
		},
		{
			name: "legs of their own may ring again",
			plan: ring.Plan{Stages: [][]ring.Target{{desk}}, Visits: ring.VisitsOn(ring.Busy), OwnLegs: true}, first: "invite 0 desk",
			events: []at{
				{0, res(0, 486), "visit busy"},
				{0, ring.Decided{Plan: ring.Plan{Stages: [][]ring.Target{{desk}}, OwnLegs: true}}, "invite 1 desk"},
			},
		},
	})
}

// TestEarlyMedia is rule ring.early-media.
func TestEarlyMedia(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "the only branch", plan: one(desk), first: "invite 0 desk",
			events: []at{{0, sdp(0, 183), "reply 183 from 0"}, {0, res(0, 180), "reply 180 from 0"}},
		},
		{
			name: "several branches, then the last", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, sdp(0, 183), "reply 180 from 0 without sdp"},
				{0, sdp(1, 180), "reply 180 from 1 without sdp"},
				{0, res(1, 182), "reply 180 from 1"},
				{0, sdp(1, 199), "reply 199 from 1 without sdp"},
				{0, res(1, 486), ""},
				{0, sdp(0, 183), "reply 183 from 0"},
				{0, joins(phone), "invite 2 phone"},
				{0, sdp(0, 183), "reply 180 from 0 without sdp"},
			},
		},
		{
			name: "a silent branch can still answer", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{{4 * second, silent(0), "doubt 0"}, {4 * second, sdp(1, 183), "reply 180 from 1 without sdp"}},
		},
		{
			name: "a later group can", plan: one(desk, phone), first: "invite 0 desk",
			events: []at{
				{0, sdp(0, 183), "reply 180 from 0 without sdp"},
				{0, res(0, 486), "invite 1 phone"},
				{0, sdp(1, 183), "reply 183 from 1"},
			},
		},
		{
			name: "a visit can", plan: ring.Plan{Stages: [][]ring.Target{{desk}}, Visits: ring.VisitsOn(ring.NoAnswer)},
			first: "invite 0 desk", events: []at{{0, sdp(0, 183), "reply 180 from 0 without sdp"}},
		},
		{
			name: "a cancelled branch is not heard", plan: one(desk), first: "invite 0 desk",
			events: []at{{0, gaveUp(""), "cancel 0"}, {0, res(0, 180), ""}},
		},
	})
}

// TestReason is rule ring.reason.
func TestReason(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "voicemail is no person", plan: ring.Plan{Stages: [][]ring.Target{{desk, mail}}, Together: true},
			first:  "invite 0 desk; invite 1",
			events: []at{{0, res(1, 200), "reply 200 from 1; cancel 0; end answered 200 1"}},
		},
		{
			name: "the caller's reason is passed on", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{4 * second, silent(1), "doubt 1"},
				{5 * second, gaveUp(`Q.850;cause=16`), "cancel 0 Q.850;cause=16"},
				{5 * second, res(1, 180), "cancel 1 Q.850;cause=16"},
			},
		},
	})
}
