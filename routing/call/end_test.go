package call_test

import (
	"fmt"
	"testing"
	"time"

	"bellhop/routing/call"
)

// TestBye is RFC 3261 §15: how a call ends, whatever crosses it.
func TestBye(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "of the caller", up: true,
			events: []at{
				{2 * second, req(a, 1, call.Bye), "end hung-up by A; answer 1 of A 200; bye -1 to B like 1"},
				{2 * second, res(b, -1, 200), ""},
				{3 * second, req(a, 2, call.Bye), "answer 2 of A 481"},
				{3 * second, req(b, 3, call.Info), "answer 3 of B 481"},
			},
		},
		{
			name: "of the callee", up: true,
			events: []at{{2 * second, req(b, 1, call.Bye), "end hung-up by B; answer 1 of B 200; bye -1 to A like 1"}},
		},
		{
			name: "two that cross", up: true,
			events: []at{
				{2 * second, req(a, 1, call.Bye), "end hung-up by A; answer 1 of A 200; bye -1 to B like 1"},
				{2 * second, req(b, 2, call.Bye), "answer 2 of B 200"},
				{2 * second, res(b, -1, 481), ""},
				{3 * second, req(b, 3, call.Bye), "answer 3 of B 481"},
			},
		},
		{
			name: "while a re-INVITE of the other end is open", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, req(b, 2, call.Bye), "end hung-up by B; answer 2 of B 200; cancel 1 to B; answer 1 of A 487; bye -1 to A like 2"},
				{2 * second, res(b, 1, 487), ""},
			},
		},
		{
			name: "while its own re-INVITE is open, and that is answered", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, req(a, 2, call.Bye), "end hung-up by A; answer 2 of A 200; cancel 1 to B; answer 1 of A 487; bye -1 to B like 2"},
				{2 * second, sdp(b, 1, 200), "ack 1 to B"},
				{2 * second, res(b, -1, 200), ""},
			},
		},
		{
			name: "of the callee before the ACK of the caller: ours waits for it", options: call.Options{SDP: true}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, sdp(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
				{second, req(b, 1, call.Bye), "end hung-up by B; answer 1 of B 200"},
				{2 * second, ack(a), "stop ack A; bye -1 to A"},
			},
		},
		{
			name: "of both before the ACK", options: call.Options{SDP: true}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, sdp(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
				{second, req(b, 1, call.Bye), "end hung-up by B; answer 1 of B 200"},
				{second, req(a, 2, call.Bye), "stop ack A; answer 2 of A 200"},
				{second, ack(a), ""},
			},
		},
		{
			name: "the ACK never comes", options: call.Options{SDP: true}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, sdp(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
				{second, req(b, 1, call.Bye), "end hung-up by B; answer 1 of B 200"},
				{32 * second, fired(call.TimerAck, a), "stop ack A; bye -1 to A"},
			},
		},
		{
			name: "before a late offer was answered", first: "INVITE 0 to B",
			events: []at{
				{0, sdp(b, 0, 200), "journal; 200 of 0 to A"},
				{0, req(a, 1, call.Bye), "ack 0 to B; end hung-up by A; answer 1 of A 200; bye -1 to B like 1"},
			},
		},
		{
			name: "of the caller before the answer", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, res(b, 0, 180), "180 of 0 to A"},
				{0, req(b, 1, call.Bye), "answer 1 of B 481"},
				{0, req(a, 2, call.Bye), "answer 2 of A 200; give up"},
				{0, req(a, 3, call.Bye), "answer 3 of A 481"},
				{0, res(b, 0, 487), "end unanswered by B"},
			},
		},
		{
			name: "of the caller before an answer that crosses it", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, res(b, 0, 180), "180 of 0 to A"},
				{0, req(a, 1, call.Bye), "answer 1 of A 200; give up"},
				{0, sdp(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A; end hung-up by A; bye -1 to B"},
			},
		},
	})
}

// TestLost is what ends a call that nobody hung up (RFC 3261 §12.2.1.2,
// §13.3.1.4; RFC 5057 §5.1).
func TestLost(t *testing.T) {
	t.Parallel()
	const byes = "; bye -1 to A; bye -2 to B"
	run(t, []row{
		{
			name: "481 to a re-INVITE", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, res(b, 1, 481), "481 of 1 to A; end lost by B" + byes},
			},
		},
		{
			name: "408 to an UPDATE", up: true,
			events: []at{
				{2 * second, offer(b, 1, call.Update), "UPDATE 1 to A"},
				{2 * second, res(a, 1, 408), "408 of 1 to B; end lost by A" + byes},
			},
		},
		{
			name: "408 to an INFO says nothing of the dialog", up: true,
			events: []at{{2 * second, req(a, 1, call.Info), "INFO 1 to B"}, {2 * second, res(b, 1, 408), "408 of 1 to A"}},
		},
		{
			name: "481 to an INFO does", up: true,
			events: []at{{2 * second, req(a, 1, call.Info), "INFO 1 to B"}, {2 * second, res(b, 1, 481), "481 of 1 to A; end lost by B" + byes}},
		},
		{
			name: "a flow that is gone", up: true,
			events: []at{
				{2 * second, req(a, 1, call.Info), "INFO 1 to B"},
				{2 * second, call.Failed{Leg: b}, "end lost by B; answer 1 of A 487" + byes},
				{2 * second, call.Failed{Leg: a}, ""},
			},
		},
		{
			name: "no ACK of the first 2xx", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, sdp(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A"},
				{31 * second, fired(call.TimerAck, a), ""}, // stale
				{32 * second, fired(call.TimerAck, a), "end no-ack by A" + byes},
			},
		},
		{
			name: "no ACK with the answer to a late offer", first: "INVITE 0 to B",
			events: []at{
				{0, sdp(b, 0, 200), "journal; 200 of 0 to A"},
				{32 * second, fired(call.TimerAck, a), "end no-ack by A; ack 0 to B" + byes},
			},
		},
		{
			name: "no ACK of a re-INVITE", up: true,
			events: []at{
				{2 * second, offer(b, 1, call.Invite), "INVITE 1 to A"},
				{2 * second, sdp(a, 1, 200), "journal; ack 1 to A; 200 of 1 to B"},
				{34 * second, fired(call.TimerAck, b), "end no-ack by B" + byes},
			},
		},
		{
			name: "hung up by the API", up: true,
			events: []at{
				{2 * second, req(a, 1, call.Info), "INFO 1 to B"},
				{2 * second, call.HangUp{}, "end requested by A; answer 1 of A 487" + byes},
				{2 * second, call.HangUp{}, ""},
				{2 * second, res(b, 1, 200), ""},
			},
		},
		{
			name: "hung up before the answer is ring's", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{{0, call.HangUp{}, ""}, {0, call.Failed{Leg: b}, ""}},
		},
		{
			name: "it lasted long enough", options: call.Options{SDP: true, Deadline: 4 * time.Hour}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, sdp(b, 0, 200), "start deadline A in 4h0m0s; journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{3 * time.Hour, fired(call.TimerDeadline, a), "start deadline A in 1h0m0s"}, // stale
				{4 * time.Hour, fired(call.TimerDeadline, a), "end deadline by A; stop deadline A" + byes},
			},
		},
	})
}

// TestOthers is what goes on between the ends, and what does not.
func TestOthers(t *testing.T) {
	t.Parallel()
	var flood []at
	for i := range call.ID(16) {
		flood = append(flood, at{second, req(a, i+1, call.Info), fmt.Sprintf("INFO %d to B", i+1)})
	}
	flood = append(flood, at{second, req(a, 17, call.Info), "answer 17 of A 500 after 7s"})
	run(t, []row{
		{
			name: "INFO, OPTIONS and what nobody knows", up: true,
			events: []at{
				{2 * second, req(a, 1, call.Info), "INFO 1 to B"},
				{2 * second, req(b, 2, call.MethodOptions), "OPTIONS 2 to A"},
				{2 * second, offer(b, 3, call.Other), "OTHER 3 to A"},
				{2 * second, offer(a, 4, call.Update), "UPDATE 4 to B"}, // what that carried was no offer
				{2 * second, res(b, 1, 200), "200 of 1 to A"},
				{2 * second, res(a, 2, 200), "200 of 2 to B"},
				{2 * second, res(a, 3, 501), "501 of 3 to B"},
				{2 * second, res(a, 4, 200), ""}, // from the wrong end
			},
		},
		{
			name: "no transfer yet", up: true,
			events: []at{{2 * second, req(b, 1, call.Refer), "answer 1 of B 603"}},
		},
		{name: "requests without end", up: true, events: flood},
	})
}

// TestZeroState is a State that nobody made.
func TestZeroState(t *testing.T) {
	t.Parallel()
	s, effects := call.State{}.Step(req(a, 1, call.Bye), nil)
	if len(effects) != 0 || !s.Done() || s.Answered() || s.Ended() {
		t.Errorf("Step of the zero State = %v", effects)
	}
}
