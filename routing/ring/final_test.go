package ring_test

import (
	"testing"

	"bellhop/routing/ring"
)

// TestCancelled is the caller that gives up (RFC 3261 §16.10).
func TestCancelled(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "487 when the branches ended", plan: one(desk, soft), timers: true,
			first: "invite 0 desk; start silent 0 in 4s; invite 1 soft; start silent 1 in 4s; start clock in 2m50s",
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{second, gaveUp(""), "cancel 0; cancel 1; start clock in 32s"},
				{second, gaveUp(""), ""},
				{second, res(0, 487), ""},
				{second, joins(phone), ""},
				{second, res(1, 486), "stop silent 1; reply 487 from -1; end caller-gave-up 487 -1"},
			},
		},
		{
			name: "a branch that never spoke is not waited for", plan: one(desk), first: "invite 0 desk",
			events: []at{
				{second, gaveUp(""), "cancel 0"},
				{4 * second, silent(0), "doubt 0; reply 487 from -1; end caller-gave-up 487 -1"},
				{4 * second, res(0, 180), ""},
				{5 * second, res(0, 200), "hang up 0"},
			},
		},
		{
			name: "the device answered at the same time", plan: one(desk), first: "invite 0 desk",
			events: []at{
				{second, gaveUp(""), "cancel 0"},
				{second, res(0, 200), "reply 200 from 0; end answered 200 0"},
			},
		},
		{
			name: "a device that does not answer the CANCEL", plan: one(desk), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{second, gaveUp(""), "cancel 0"},
				{33 * second, timer(ring.TimerClock), "reply 487 from -1; end caller-gave-up 487 -1"},
			},
		},
		{
			name: "between two stages", plan: ring.Plan{Stages: [][]ring.Target{{desk}, {soft}}, RingTime: 10 * second},
			first: "invite 0 desk; start silent 0 in 4s; start stage in 10s; start clock in 2m50s", timers: true,
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0; start next in 500ms"},
				{10 * second, gaveUp(""), "stop next; start clock in 32s"},
				{11 * second, timer(ring.TimerNext), ""},
				{11 * second, res(0, 487), "reply 487 from -1; end caller-gave-up 487 -1"},
			},
		},
		{
			name: "after the clock", plan: one(desk), first: "invite 0 desk; start silent 0 in 4s; start clock in 2m50s", timers: true,
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{170 * second, timer(ring.TimerClock), "cancel 0; start next in 500ms"},
				{170 * second, gaveUp(""), "stop next; start clock in 500ms"},
				{171 * second, timer(ring.TimerClock), "reply 487 from -1; end caller-gave-up 487 -1"},
			},
		},
		{
			name: "while a visit is decided", plan: ring.Plan{Stages: [][]ring.Target{{desk}}, Visits: ring.VisitsOn(ring.Busy)},
			first: "invite 0 desk",
			events: []at{
				{0, res(0, 486), "visit busy"},
				{0, gaveUp(""), "reply 487 from -1; end caller-gave-up 487 -1"},
				{0, visited([]ring.Target{soft}), ""},
			},
		},
	})
}

// TestVisit is what follows an outcome.
func TestVisit(t *testing.T) {
	t.Parallel()
	plan := ring.Plan{Stages: [][]ring.Target{{desk}}, RingTime: 10 * second, Visits: ring.VisitsOn(ring.NoAnswer, ring.Unreachable)}
	run(t, []row{
		{
			name: "the next number", plan: plan, first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0"},
				{11 * second, timer(ring.TimerNext), "visit no-answer"},
				{11 * second, joins(phone), ""}, // the number does not ring any more
				{11 * second, visited([]ring.Target{soft}), "invite 1 soft"},
				{11 * second, res(0, 603), ""}, // it was declined where it rings no more
				{12 * second, sdp(1, 183), "reply 183 from 1"},
				{13 * second, res(1, 486), "reply 486 from 1; end busy 486 1"},
			},
		},
		{
			name: "the old number answers after all", plan: plan, first: "invite 0 desk",
			events: []at{
				{4 * second, silent(0), "doubt 0; visit unreachable"},
				{4 * second, res(0, 200), "reply 200 from 0; end answered 200 0"},
				{4 * second, visited([]ring.Target{soft}), ""},
			},
		},
		{
			name: "a final response", plan: plan, first: "invite 0 desk",
			events: []at{
				{4 * second, silent(0), "doubt 0; visit unreachable"},
				{4 * second, ring.Decided{Status: 403}, "reply 403 from -1; end unreachable 403 -1"},
			},
		},
		{
			name: "never 503", plan: plan, first: "invite 0 desk",
			events: []at{
				{4 * second, silent(0), "doubt 0; visit unreachable"},
				{4 * second, ring.Decided{Status: 503}, "reply 480 from -1; end unreachable 480 -1"},
			},
		},
		{
			name: "nobody there", plan: ring.Plan{Visits: ring.VisitsOn(ring.Unreachable)}, first: "visit unreachable",
			events: []at{{170 * second, timer(ring.TimerClock), "reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "none for this outcome", plan: plan, first: "invite 0 desk",
			events: []at{{0, res(0, 486), "reply 486 from 0; end busy 486 0"}},
		},
	})
}

// TestFinal is rule ring.final: the last responses of two branches and what the
// caller gets.
func TestFinal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		a, b int
		want string
	}{
		{"busy", 486, 480, "reply 486 from 0; end busy 486 0"},
		{"600 is busy", 480, 600, "reply 486 from 1; end busy 486 1"},
		{"unreachable", 408, 503, "reply 480 from -1; end unreachable 480 -1"},
		{"503 is no answer of ours", 503, 503, "reply 480 from -1; end unreachable 480 -1"},
		{"487 without our cause", 487, 487, "reply 480 from -1; end unreachable 480 -1"},
		{"a redirect is not relayed", 302, 302, "reply 480 from -1; end unreachable 480 -1"},
		{"4xx before 5xx", 500, 404, "reply 404 from 1; end refused 404 1"},
		{"5xx alone", 500, 580, "reply 500 from 0; end unreachable 500 0"},
		{"unreachable before 5xx", 500, 408, "reply 480 from -1; end unreachable 480 -1"},
		{"401 is passed", 401, 486, "reply 401 from 0; end refused 401 0"},
		{"407 is passed", 404, 407, "reply 407 from 1; end refused 407 1"},
		{"488 tells more than silence", 480, 488, "reply 488 from 1; end refused 488 1"},
		{"busy tells more than 488", 488, 486, "reply 486 from 1; end busy 486 1"},
	}
	rows := make([]row, 0, len(tests))
	for _, tt := range tests {
		rows = append(rows, row{
			name: tt.name, plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{{0, res(0, tt.a), ""}, {0, res(1, tt.b), tt.want}},
		})
	}
	rows = append(rows,
		row{
			name: "603 declines for the number", plan: one(desk, soft, phone), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(1, 180), "reply 180 from 1"},
				{0, res(0, 603), "cancel 1"},
				{0, res(1, 487), "reply 486 from 0; end declined 486 0"},
			},
		},
		row{
			name: "the plan goes on after 603",
			plan: ring.Plan{Stages: [][]ring.Target{{desk, soft}}, Visits: ring.VisitsOn(ring.Declined)}, first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(0, 603), "cancel 1"},
				{second, timer(ring.TimerNext), "visit declined"},
				{second, visited([]ring.Target{phone}), "invite 2 phone"},
			},
		},
		row{
			name: "600 is one device only", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{{0, res(0, 600), ""}, {0, res(1, 200), "reply 200 from 1; end answered 200 1"}},
		},
		row{
			name: "another 6xx ends the search", plan: one(desk, soft), first: "invite 0 desk; invite 1 soft",
			events: []at{{0, res(0, 606), "cancel 1"}, {0, res(1, 486), "reply 606 from 0; end refused 606 0"}},
		},
		row{
			name: "one busy, one not answered", plan: during(10*second, one(desk, soft)), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(0, 486), ""},
				{0, res(1, 180), "reply 180 from 1"},
				{10 * second, timer(ring.TimerStage), "cancel 1"},
				{10 * second, res(1, 487), "reply 480 from -1; end no-answer 480 -1"},
			},
		},
		row{
			name: "a decline that crosses our cancel", plan: during(10*second, one(desk)), first: "invite 0 desk",
			events: []at{
				{0, res(0, 180), "reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0"},
				{10 * second, res(0, 603), "reply 486 from 0; end declined 486 0"},
			},
		},
		row{
			name: "it rang and its flow broke", plan: one(desk), first: "invite 0 desk",
			events: []at{{0, res(0, 180), "reply 180 from 0"}, {0, fail(0), "reply 480 from -1; end no-answer 480 -1"}},
		},
	)
	run(t, rows)
}
