// Package ring carries a plan out: a pure state machine that turns events
// (responses, timers, a CANCEL from upstream, registrations, decided visits)
// into effects (invite, cancel, reply, timers, visit, end).
//
// It knows nothing of SIP dialogs or transactions: a branch is something that
// can be invited, cancelled and answered, and sip/proxy and sip/b2bua are two
// ways to carry a branch out. It reads no clock and starts no goroutine.
package ring

import (
	"time"

	"bellhop/routing/location"
)

// A BranchID names a branch of one running plan, counted from 0 in the order
// of the Invite effects.
type BranchID int

// An Event is what happened to a running plan. Every event carries the time it
// happened at.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Response is a response of a branch: provisional or final. A 408 made by
	// the transaction layer (RFC 3261 §16.8) is a Response as well.
	Response struct {
		Now    time.Time
		Branch BranchID
		Status int
		SDP    bool // the message has a session description
	}
	// Failed reports a branch whose flow is gone (430, closed connection, send
	// error): rule ring.silent counts it as unreachable (RFC 3261 §16.9).
	Failed struct {
		Now    time.Time
		Branch BranchID
	}
	// Fired reports that the timer of a StartTimer effect ran out.
	Fired struct {
		Now   time.Time
		Timer Timer
	}
	// Cancelled reports that the caller gave up (CANCEL, or its flow is gone).
	Cancelled struct {
		Now    time.Time
		Reason string // the Reason field of the CANCEL, passed on to the branches; may be empty
	}
	// Registered reports a device that registered while its number rings: it
	// joins (rule ring.devices), or its branch goes on over the new flow.
	Registered struct {
		Now    time.Time
		Target Target
	}
)

func (Response) event()   {}
func (Failed) event()     {}
func (Fired) event()      {}
func (Cancelled) event()  {}
func (Registered) event() {}

// A Timer names one timer of a running plan. Starting it again moves it.
type Timer struct {
	Kind   TimerKind
	Branch BranchID // of TimerSilent; otherwise 0
}

// A TimerKind says what a timer is for.
type TimerKind uint8

// The timers of a plan.
const (
	TimerSilent TimerKind = iota + 1 // ring.silent: no 1xx from a branch in 4 s
	TimerStage                       // the ring time of a stage or of a q group
	TimerNext                        // ring.stage: the next one starts 500 ms after CANCEL at the latest
	TimerClock                       // ring.clock: unanswered ringing ends at 170 s
)

// A Target is one contact to be invited. It is a copy of what the branch needs
// of a Binding, so that a running plan holds no store value.
type Target struct {
	Device   string // authorization name; "" for what is no device of ours
	Instance string // +sip.instance, or the contact when it has none (ring.device-once)
	Contact  string // Request-URI of the branch
	Path     []string
	Flow     location.Flow
	Q        uint16 // thousandths
	Doubtful bool   // ring.silent: rung, but not counted as reachable
}

// An Effect is something the shell does, in the order given.
//
//sumtype:decl
type Effect interface{ effect() }

type (
	// Invite sends the request to a target as a new branch.
	Invite struct {
		Branch BranchID
		Target Target
	}
	// Cancel gives a branch up. The shell sends CANCEL as soon as the branch
	// had a 1xx (RFC 3261 §9.1).
	Cancel struct {
		Branch BranchID
		Reason string // value of the Reason field (RFC 3326), "" for none
	}
	// Reply sends a response upstream. With From >= 0 it is the response just
	// received from (provisional, 2xx) or the stored final one of that branch,
	// its status replaced by Status and, with DropSDP, without its session
	// description; with From == None the shell makes one.
	Reply struct {
		From    BranchID
		Status  int
		DropSDP bool
	}
	// StartTimer starts or moves a timer to fire After from now.
	StartTimer struct {
		Timer Timer
		After time.Duration
	}
	// StopTimer stops a timer; one that does not run is no error.
	StopTimer struct{ Timer Timer }
	// Doubt tells the location service that the UDP binding of the branch was
	// silent (ring.silent).
	Doubt struct{ Branch BranchID }
	// End reports that the caller got its final response: what comes later
	// from branches is only tidied up. It comes exactly once.
	End struct{ Outcome Outcome }
)

func (Invite) effect()     {}
func (Cancel) effect()     {}
func (Reply) effect()      {}
func (StartTimer) effect() {}
func (StopTimer) effect()  {}
func (Doubt) effect()      {}
func (End) effect()        {}

// None is the BranchID of a Reply that no branch gave.
const None BranchID = -1

// An Outcome is how the ringing ended.
type Outcome struct {
	Kind   OutcomeKind
	Status int      // sent upstream
	Branch BranchID // the winner of an Answered, otherwise None
}

// An OutcomeKind sorts outcomes; its String is the metric label.
type OutcomeKind uint8

// The outcomes.
const (
	Answered OutcomeKind = iota + 1
	Busy
	NoAnswer
	Unreachable
	Declined
	CallerGaveUp
	Refused // a final response that is none of these, passed on
)
