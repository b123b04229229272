package call_test

import (
	"testing"

	"bellhop/routing/call"
)

// TestAnswer is the first INVITE and its answer (RFC 3261 §13, RFC 3264).
func TestAnswer(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "offer in the INVITE", options: call.Options{SDP: true}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, res(b, 0, 100), ""},
				{0, res(b, 0, 180), "180 of 0 to A"},
				{second, sdp(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
				{second, ack(a), "stop ack A"},
				{second, ack(a), ""},
			},
		},
		{
			name: "late offer: the ACK has the answer", first: "INVITE 0 to B",
			events: []at{
				{0, sdp(b, 0, 200), "journal; 200 of 0 to A"},
				{0, offer(b, 1, call.Update), "answer 1 of B 500 after 7s"}, // it has an offer open
				{0, offer(a, 2, call.Update), "answer 2 of A 491"},
				{0, offer(a, 3, call.Invite), "answer 3 of A 491"},
				{0, answer(a), "ack 0 to B with answer"},
				{0, offer(b, 4, call.Update), "UPDATE 4 to A"},
			},
		},
		{
			name: "late offer, and the answer is missing", first: "INVITE 0 to B",
			events: []at{{0, sdp(b, 0, 200), "journal; 200 of 0 to A"}, {0, ack(a), "ack 0 to B"}},
		},
		{
			name: "ring holds 18x back", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, call.Response{Leg: b, ID: 0, Status: 183, SDP: true, Up: 180, DropSDP: true}, "180 of 0 to A without sdp"},
				{0, call.Response{Leg: b, ID: 0, Status: 180}, ""},
			},
		},
		{
			name: "nobody takes the answer", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, res(b, 0, 180), "180 of 0 to A"},
				{0, req(a, 1, call.Info), "INFO 1 to B"},
				{0, call.Response{Leg: b, ID: 0, Status: 200, SDP: true}, "ack 0 to B; end unanswered by B; answer 1 of A 487; bye -1 to B"},
				{0, res(b, -1, 200), ""},
			},
		},
		{
			name: "it failed: what the caller hears is ring's", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, res(b, 0, 486), "end unanswered by B"},
				{0, req(a, 1, call.Bye), "answer 1 of A 481"},
				{0, sdp(b, 0, 200), ""},
			},
		},
		{
			name: "no dialog yet", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, offer(a, 1, call.Update), "answer 1 of A 481"},
				{0, req(a, 2, call.Bye), "answer 2 of A 481"},
				{0, req(b, 3, call.Bye), "answer 3 of B 481"},
			},
		},
		{
			name: "an INVITE while the first one is open", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, res(b, 0, 180), "180 of 0 to A"},
				{0, offer(a, 1, call.Invite), "answer 1 of A 500 after 7s"},
				{0, offer(b, 2, call.Invite), "answer 2 of B 491"},
			},
		},
	})
}

// TestReliable is RFC 3262: reliable provisional responses and PRACK.
func TestReliable(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "end to end", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, rel(b, 0, 183), "183 of 0 to A reliably"},
				{0, req(a, 1, call.Prack), "PRACK 1 to B"},
				{0, res(b, 1, 200), "200 of 1 to A"},
				{0, req(a, 2, call.Prack), "answer 2 of A 481"},
				{0, res(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A"},
			},
		},
		{
			name: "the PRACK crosses the 2xx", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, rel(b, 0, 183), "183 of 0 to A reliably"},
				{0, res(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A"},
				{0, req(a, 1, call.Prack), "PRACK 1 to B"},
			},
		},
		{
			name: "another offer in the PRACK", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, rel(b, 0, 183), "183 of 0 to A reliably"},
				{0, offer(a, 1, call.Prack), "PRACK 1 to B"},
				{0, offer(b, 2, call.Update), "answer 2 of B 491"},
				{0, sdp(b, 1, 200), "200 of 1 to A"},
				{0, offer(b, 3, call.Update), "UPDATE 3 to A"},
			},
		},
		{
			name: "late offer in the 1xx, answer in the PRACK", first: "INVITE 0 to B",
			events: []at{
				{0, rel(b, 0, 183), "183 of 0 to A reliably"},
				{0, offer(a, 1, call.Update), "answer 1 of A 491"},
				{0, offer(a, 2, call.Prack), "PRACK 2 to B"},
				{0, offer(a, 3, call.Update), "UPDATE 3 to B"},
				{0, sdp(b, 3, 200), "200 of 3 to A"},
				{0, res(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A"},
			},
		},
		{
			name: "ring holds it back: the PRACK is ours, and the answer kept", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, call.Response{Leg: b, ID: 0, Status: 183, SDP: true, Reliable: true, Up: 180, DropSDP: true}, "prack -1 to B; 180 of 0 to A without sdp"},
				{0, res(b, -1, 200), ""},
				{0, offer(b, 1, call.Update), "answer 1 of B 491"}, // the caller has no answer yet
				{0, offer(a, 2, call.Update), "answer 2 of A 500 after 7s"},
				{0, res(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A with kept sdp"},
				{0, offer(b, 3, call.Update), "UPDATE 3 to A"},
			},
		},
		{
			name: "kept, and the 2xx has one itself", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, call.Response{Leg: b, ID: 0, Status: 183, SDP: true, Reliable: true}, "prack -1 to B"},
				{0, sdp(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A"},
			},
		},
		{
			name: "the PRACK with the answer comes after the 2xx", first: "INVITE 0 to B",
			events: []at{
				{0, rel(b, 0, 183), "183 of 0 to A reliably"},
				{0, res(b, 0, 200), "journal; ack 0 to B; 200 of 0 to A"},
				{0, offer(b, 1, call.Update), "answer 1 of B 500 after 7s"},
				{0, offer(a, 2, call.Prack), "PRACK 2 to B"},
				{0, offer(b, 3, call.Update), "UPDATE 3 to A"},
			},
		},
		{
			name: "an offer that nobody sees is not acknowledged", first: "INVITE 0 to B",
			events: []at{{0, call.Response{Leg: b, ID: 0, Status: 183, SDP: true, Reliable: true}, ""}},
		},
		{
			name: "of a re-INVITE", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, rel(b, 1, 183), "183 of 1 to A reliably"},
				{2 * second, req(a, 2, call.Prack), "PRACK 2 to B"},
				{2 * second, res(b, 2, 481), "481 of 2 to A"}, // about the 1xx: the dialog is there
				{2 * second, res(b, 1, 200), "journal; ack 1 to B; 200 of 1 to A"},
			},
		},
	})
}

// TestUpdate is RFC 3311.
func TestUpdate(t *testing.T) {
	t.Parallel()
	early := []at{{0, rel(b, 0, 183), "183 of 0 to A reliably"}, {0, req(a, 1, call.Prack), "PRACK 1 to B"}, {0, res(b, 1, 200), "200 of 1 to A"}}
	run(t, []row{
		{
			name: "before the answer, from either end", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: append(early[:3:3],
				at{0, offer(a, 2, call.Update), "UPDATE 2 to B"},
				at{0, sdp(b, 2, 200), "200 of 2 to A"},
				at{0, offer(b, 3, call.Update), "UPDATE 3 to A"},
				at{0, sdp(a, 3, 200), "200 of 3 to B"},
			),
		},
		{
			name: "while the offer of the INVITE is open", options: call.Options{SDP: true}, first: "INVITE 0 to B",
			events: []at{
				{0, res(b, 0, 180), "180 of 0 to A"},
				{0, offer(a, 1, call.Update), "answer 1 of A 500 after 7s"},
				{0, offer(b, 2, call.Update), "answer 2 of B 491"},
				{0, req(b, 3, call.Update), "UPDATE 3 to A"}, // without an offer
			},
		},
		{
			name: "two that cross", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Update), "UPDATE 1 to B"},
				{2 * second, offer(b, 2, call.Update), "answer 2 of B 491"},
				{2 * second, res(b, 1, 491), "491 of 1 to A"},
				{2 * second, offer(b, 3, call.Update), "UPDATE 3 to A"},
			},
		},
		{
			name: "two of one end", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Update), "UPDATE 1 to B"},
				{2 * second, offer(a, 2, call.Update), "answer 2 of A 500 after 7s"},
				{2 * second, req(a, 3, call.Update), "answer 3 of A 500 after 7s"},
			},
		},
		{
			name: "not while a late offer is to come", up: true,
			events: []at{
				{2 * second, req(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, offer(b, 2, call.Update), "answer 2 of B 491"},
				{2 * second, res(b, 1, 488), "488 of 1 to A"},
				{2 * second, offer(b, 3, call.Update), "UPDATE 3 to A"},
			},
		},
		{
			name: "refused: the old session stays", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Update), "UPDATE 1 to B"},
				{2 * second, res(b, 1, 488), "488 of 1 to A"},
				{2 * second, offer(b, 2, call.Update), "UPDATE 2 to A"},
			},
		},
		{
			name: "one without an offer ends here, and another remote target is written down", up: true,
			events: []at{
				{2 * second, req(a, 1, call.Update), "journal; answer 1 of A 200"},
			},
		},
	})
}

// TestReinvite is RFC 3261 §14.
func TestReinvite(t *testing.T) {
	t.Parallel()
	run(t, []row{
		{
			name: "hold and back", up: true, timers: true,
			events: []at{
				{2 * second, offer(b, 1, call.Invite), "INVITE 1 to A"},
				{2 * second, sdp(a, 1, 200), "journal; ack 1 to A; 200 of 1 to B; start ack B in 32s"},
				{2 * second, ack(b), "stop ack B"},
			},
		},
		{
			name: "late offer", up: true,
			events: []at{
				{2 * second, req(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, sdp(b, 1, 200), "journal; 200 of 1 to A"},
				{2 * second, offer(a, 2, call.Invite), "answer 2 of A 491"}, // RFC 5407 §3.1.5
				{2 * second, answer(a), "ack 1 to B with answer"},
			},
		},
		{
			name: "the ACK is late", up: true, timers: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, sdp(b, 1, 200), "journal; ack 1 to B; 200 of 1 to A; start ack A in 32s"},
				{2 * second, offer(b, 2, call.Invite), "INVITE 2 to A"}, // B has its ACK, and A, we hope, the 2xx
				{3 * second, sdp(a, 2, 200), "journal; ack 2 to A; 200 of 2 to B; start ack B in 32s"},
			},
		},
		{
			name: "the ACK is lost", up: true, timers: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, sdp(b, 1, 200), "journal; ack 1 to B; 200 of 1 to A; start ack A in 32s"},
				{3 * second, offer(a, 3, call.Invite), "stop ack A; INVITE 3 to B"},
			},
		},
		{
			name: "cancelled", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, res(b, 1, 180), "180 of 1 to A"},
				{3 * second, call.Cancelled{Leg: b, ID: 1}, ""},
				{3 * second, call.Cancelled{Leg: a, ID: 1}, "cancel 1 to B"},
				{3 * second, call.Cancelled{Leg: a, ID: 1}, ""},
				{3 * second, res(b, 1, 487), "487 of 1 to A"},
			},
		},
		{
			name: "a CANCEL that the answer crosses", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{3 * second, call.Cancelled{Leg: a, ID: 1}, "cancel 1 to B"},
				{3 * second, sdp(b, 1, 200), "journal; ack 1 to B; 200 of 1 to A"},
			},
		},
		{
			name: "cancelled, and refused", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{3 * second, call.Cancelled{Leg: a, ID: 1}, "cancel 1 to B"},
				{3 * second, res(b, 1, 488), "answer 1 of A 487"},
			},
		},
		{
			name: "a challenge and a redirect are not the other end's", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, res(b, 1, 407), "answer 1 of A 403"},
				{2 * second, offer(a, 2, call.Invite), "INVITE 2 to B"},
				{2 * second, res(b, 2, 302), "answer 2 of A 480"},
			},
		},
	})
}

// TestGlare is RFC 3261 §14.1: requests that cross, with each other and with our
// own refresh.
func TestGlare(t *testing.T) {
	t.Parallel()
	timer := call.Session{Supported: true, Expires: 1800 * second, Refresher: call.UAS}
	refreshed := func(more ...at) []at {
		return append([]at{
			{0, sdp(b, 0, 200), "start expire A in 29m28s; start refresh A in 15m0s; journal; ack 0 to B; 200 of 0 to A expires 30m0s uas; start ack A in 32s"},
			{0, ack(a), "stop ack A"},
			{900 * second, fired(call.TimerRefresh, a), "refresh -1 to A by INVITE expires 30m0s uac"},
		}, more...)
	}
	run(t, []row{
		{
			name: "INVITEs that cross", up: true,
			events: []at{
				{2 * second, offer(a, 1, call.Invite), "INVITE 1 to B"},
				{2 * second, offer(b, 2, call.Invite), "answer 2 of B 491"},
				{2 * second, res(b, 1, 491), "491 of 1 to A"},
				{3 * second, offer(b, 3, call.Invite), "INVITE 3 to A"},
			},
		},
		{
			name: "with our refresh", options: call.Options{SDP: true, Session: timer}, first: "INVITE 0 to B", timers: true,
			events: refreshed(
				at{900 * second, offer(a, 1, call.Invite), "answer 1 of A 491"},
				at{900 * second, offer(b, 2, call.Invite), "answer 2 of B 491"},
				at{900 * second, offer(b, 3, call.Update), "answer 3 of B 491"},
				at{900 * second, req(b, 4, call.Info), "INFO 4 to A"},
				// The Call-ID is the caller's: 0 to 2 s.
				at{900 * second, res(a, -1, 491), "start glare A in 500ms"},
				at{901 * second, fired(call.TimerGlare, a), "refresh -2 to A by INVITE expires 30m0s uac"},
			),
		},
		{
			name: "another refresh makes ours needless", options: call.Options{SDP: true, Session: timer}, first: "INVITE 0 to B", timers: true,
			events: refreshed(
				at{900 * second, res(a, -1, 491), "start glare A in 500ms"},
				at{900 * second, timedReq(a, 1, call.Invite, timer), "INVITE 1 to B"},
				at{900 * second, sdp(b, 1, 200), "stop glare A; start expire A in 29m28s; start refresh A in 15m0s; journal; ack 1 to B; 200 of 1 to A expires 30m0s uas; start ack A in 32s"},
				at{901 * second, fired(call.TimerGlare, a), ""},
			),
		},
		{
			name: "a late offer with our refresh of the other end", options: call.Options{SDP: true, Interval: half}, first: "INVITE 0 to B",
			events: []at{
				{0, says(b, 0, 200, call.Session{Expires: half, Refresher: call.UAC}), "journal; ack 0 to B; 200 of 0 to A"},
				{0, ack(a), ""},
				{900 * second, fired(call.TimerRefresh, b), "refresh -1 to B by INVITE"},
				{900 * second, req(a, 1, call.Invite), "answer 1 of A 491"},
			},
		},
		{
			name: "a refresh waits for a late offer", options: call.Options{SDP: true, Session: timer}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, sdp(b, 0, 200), "start expire A in 29m28s; start refresh A in 15m0s; journal; ack 0 to B; 200 of 0 to A expires 30m0s uas; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{900 * second, req(b, 1, call.Invite), "INVITE 1 to A expires 30m0s uac"},
				{900 * second, fired(call.TimerRefresh, a), "start refresh A in 2s"},
				// The caller says that it refreshes from now on.
				{901 * second, says(a, 1, 200, timer), "start expire A in 29m28s; stop refresh A; journal; ack 1 to A; 200 of 1 to B; start ack B in 32s"},
			},
		},
		{
			name: "a refresh waits for the ACK", options: call.Options{SDP: true, Session: call.Session{Expires: half, Update: true}}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, sdp(b, 0, 200), "start expire A in 29m28s; start refresh A in 15m0s; journal; ack 0 to B; 200 of 0 to A expires 30m0s uas; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{900 * second, fired(call.TimerRefresh, a), "refresh -1 to A by UPDATE expires 30m0s uac"},
				{900 * second, timedReq(a, 1, call.Invite, timer), "INVITE 1 to B"},
				{900 * second, sdp(b, 1, 200), "start expire A in 29m28s; start refresh A in 15m0s; journal; ack 1 to B; 200 of 1 to A expires 30m0s uas; start ack A in 32s"},
				{900 * second, res(a, -1, 405), "start refresh A in 2s"},
			},
		},
		{
			name: "a refresh waits for an INVITE", options: call.Options{SDP: true, Session: timer}, first: "INVITE 0 to B", timers: true,
			events: []at{
				{0, sdp(b, 0, 200), "start expire A in 29m28s; start refresh A in 15m0s; journal; ack 0 to B; 200 of 0 to A expires 30m0s uas; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{899 * second, offer(b, 1, call.Invite), "INVITE 1 to A expires 30m0s uac"},
				{900 * second, fired(call.TimerRefresh, a), "start refresh A in 2s"},
			},
		},
		{
			name: "our own Call-ID: 2.1 to 4 s", options: call.Options{SDP: true, Interval: 1800 * second}, first: "INVITE 0 to B expires 30m0s uas", timers: true,
			events: []at{
				{0, call.Response{Leg: b, Status: 200, Up: 200, SDP: true, Session: call.Session{Expires: 1800 * second, Refresher: call.UAC, Update: true}}, "start expire B in 29m28s; start refresh B in 15m0s; journal; ack 0 to B; 200 of 0 to A; start ack A in 32s"},
				{0, ack(a), "stop ack A"},
				{900 * second, fired(call.TimerRefresh, b), "refresh -1 to B by UPDATE expires 30m0s uac"},
				{900 * second, res(b, -1, 491), "start glare B in 2.6s"},
				{903 * second, fired(call.TimerGlare, b), "refresh -2 to B by UPDATE expires 30m0s uac"},
				{903 * second, call.Response{Leg: b, ID: -2, Status: 200, Session: call.Session{Expires: 1800 * second, Refresher: call.UAC}}, "start expire B in 29m28s; start refresh B in 15m0s; journal"},
			},
		},
	})
}
