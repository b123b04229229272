package ring_test

import (
	"testing"

	"bellhop/routing/ring"
)

// of returns a target that rings for a member of a group.
func of(number string, t ring.Target) ring.Target {
	t.Number = number
	return t
}

// inOrder is a group whose members ring one after the other.
func inOrder(stages ...[]ring.Target) ring.Plan {
	return ring.Plan{Stages: stages, RingTime: 10 * second, OwnLegs: true, Visits: ring.VisitsOn(ring.Busy, ring.NoAnswer, ring.Unreachable)}
}

// TestMembers: what one member of a group does concerns that member only.
func TestMembers(t *testing.T) {
	t.Parallel()
	first, both := of("1001", desk), of("1001", soft)
	second1, third := of("1002", phone), of("1003", nephew)
	third.Remote = ""
	all := ring.Plan{Stages: [][]ring.Target{{first, both, second1}}, Together: true, OwnLegs: true}
	run(t, []row{
		{
			name: "busy, then silent, then nobody", plan: inOrder([]ring.Target{first}, []ring.Target{second1}, []ring.Target{third}),
			first: "invite 0 desk",
			events: []at{
				{0, res(0, 486), "invite 1 phone"},
				{4 * second, silent(1), "doubt 1; invite 2 nephew"},
				{5 * second, res(2, 180), "reply 180 from 2"},
				{14 * second, timer(ring.TimerStage), "cancel 2"},
				{14 * second, res(2, 487), "visit no-answer"},
			},
		},
		{
			name: "all busy", plan: inOrder([]ring.Target{first}, []ring.Target{second1}), first: "invite 0 desk",
			events: []at{{0, res(0, 486), "invite 1 phone"}, {0, res(1, 600), "visit busy"}},
		},
		{
			name: "one declines: the next rings", plan: inOrder([]ring.Target{first, both}, []ring.Target{second1}), first: "invite 0 desk; invite 1 soft",
			events: []at{
				{0, res(1, 180), "reply 180 from 1"},
				{second, res(0, 603), "cancel 1"},
				{second, res(1, 487), "invite 2 phone"},
				{2 * second, res(2, 200), "reply 200 from 2; end answered 200 2"},
			},
		},
		{
			name: "one declines: the others ring on", plan: all, first: "invite 0 desk; invite 1 soft; invite 2 phone",
			events: []at{
				{second, res(0, 603), "cancel 1"},
				{second, res(1, 487), ""},
				{2 * second, res(2, 200), "reply 200 from 2; end answered 200 2"},
			},
		},
		{
			name: "answered elsewhere", plan: all, first: "invite 0 desk; invite 1 soft; invite 2 phone",
			events: []at{{second, res(2, 200), "reply 200 from 2; cancel 0" + elsewhere + "; cancel 1" + elsewhere + "; end answered 200 2"}},
		},
		{
			name: "a redirect is not followed, an odd refusal not passed on",
			plan: ring.Plan{Stages: [][]ring.Target{{first}, {second1}}, RingTime: 10 * second, Visits: ring.VisitsOn(ring.Redirected)}, first: "invite 0 desk",
			events: []at{{0, res(0, 302), "invite 1 phone"}, {0, res(1, 415), "reply 480 from -1; end unreachable 480 -1"}},
		},
		{
			name: "one phone with the lines of two members", plan: inOrder([]ring.Target{first}, []ring.Target{of("1002", desk)}), first: "invite 0 desk",
			events: []at{{0, res(0, 486), "invite 1 desk"}, {0, res(1, 200), "reply 200 from 1; end answered 200 1"}},
		},
		{
			name: "a mobile's times count from its member's turn", timers: true,
			plan:  inOrder([]ring.Target{first}, []ring.Target{second1, of("1002", mobile)}),
			first: "invite 0 desk; start silent 0 in 4s; start stage in 10s; start clock in 2m50s",
			events: []at{
				{0, res(0, 180), "stop silent 0; reply 180 from 0"},
				{10 * second, timer(ring.TimerStage), "cancel 0; start next in 500ms"},
				{10 * second, res(0, 487), "stop next; invite 1 phone; start silent 1 in 4s; start delay in 4s; start stage in 10s"},
				{14 * second, timer(ring.TimerDelay), "invite 2 mobile; start stop 2 in 15s; stop delay"},
			},
		},
		{
			name: "devices join their member's turn only", plan: inOrder([]ring.Target{first}, []ring.Target{second1}), first: "invite 0 desk",
			events: []at{
				{0, joins(of("1001", soft)), "invite 1 soft"},
				{0, joins(of("1003", nephew)), ""},
				{0, joins(of("1002", dialled)), ""},
				{second, res(0, 486), ""},
				{second, res(1, 603), "invite 2 phone; invite 3 carrier"},
				{second, joins(of("1001", of("", phone))), ""},
			},
		},
	})
}

// TestUnlogged: a phone that shall log no missed call is told that somebody else
// answered, whoever gave up.
func TestUnlogged(t *testing.T) {
	t.Parallel()
	quiet := desk
	quiet.Unlogged = true
	run(t, []row{
		{
			name: "the ring time is over", plan: during(10*second, one(quiet, phone)), first: "invite 0 desk",
			events: []at{{0, res(0, 180), "reply 180 from 0"}, {5 * second, timer(ring.TimerStage), "cancel 0" + elsewhere}},
		},
		{
			name: "the caller gave up", plan: one(quiet), first: "invite 0 desk",
			events: []at{{0, res(0, 180), "reply 180 from 0"}, {second, gaveUp("SIP;cause=487"), "cancel 0" + elsewhere}},
		},
		{
			name: "it spoke too late", plan: one(quiet, phone), first: "invite 0 desk",
			events: []at{{4 * second, silent(0), "doubt 0; invite 1 phone"}, {5 * second, res(0, 180), "cancel 0" + elsewhere}},
		},
		{
			name: "a device that joins does as the others", plan: one(quiet), first: "invite 0 desk",
			events: []at{{0, joins(soft), "invite 1 soft"}, {second, gaveUp(""), "cancel 0" + elsewhere + "; cancel 1" + elsewhere}},
		},
	})
}
