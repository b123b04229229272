// Package ring carries a plan out: a pure state machine that turns events
// (responses, timers, a CANCEL from upstream, registrations, decided visits)
// into effects (invite, cancel, reply, timers, visit, end). It is the response
// context of RFC 3261 §16.7 with the rules ring.* of a telephone system.
//
// It knows nothing of SIP dialogs or transactions: a branch is something that
// can be invited, cancelled and answered, and sip/proxy and sip/b2bua are two
// ways to carry a branch out. Only INVITE rings; other methods are no matter of
// this package. It reads no clock and starts no goroutine.
package ring

import (
	"slices"
	"time"

	"bellhop/routing/location"
)

// Times of the rules.
const (
	ClockTime  = 170 * time.Second           // ring.clock
	SilentTime = 4 * time.Second             // ring.silent
	NextTime   = 500 * time.Millisecond      // ring.stage
	cancelTime = 64 * 500 * time.Millisecond // RFC 3261 §9.1: a cancelled INVITE is given up after 64*T1
)

// ElsewhereReason is the Reason of a CANCEL when a person answered on another
// branch (rule ring.reason, RFC 3326).
const ElsewhereReason = `SIP;cause=200;text="Call completed elsewhere"`

// A Plan is how one number rings. It is not changed once it is handed over.
//
// The remote destinations of a stage are one ringing set with its devices (rules
// snr.*): the first to answer wins. They start with the first group, each after
// its delay, or at once when no device rings any more; they ring on beside and
// after the groups, and the stage ends when both have. What they answer decides
// nothing for the number: a mobile that declines or is busy ends its own branch
// only, and where the desk rang the outcome is no answer; where nothing else was
// reached, a busy mobile is busy and a ringing one is no answer. Any other
// failure of theirs counts as unreachable and is not passed on.
//
// Where targets have a Number the plan is that of a group: each of its members is
// such a number. What a member answers decides nothing for the group either: one
// that is busy or declines ends its own branches only, and no redirect is
// followed. The times of a stage's remote destinations count from its beginning.
type Plan struct {
	// Stages ring one after the other. The targets of a stage ring together or,
	// where their q differs, in groups by q, the highest first; of several
	// targets of one instance the first rings, and the next only when its flow
	// turns out to be broken (rule ring.devices).
	Stages [][]Target
	// RingTime is how long a stage rings; its q groups share it evenly. 0: until
	// Clock, which all groups of all stages share.
	RingTime time.Duration
	// Clock is how long the whole call may still ring unanswered; 0 means
	// [ClockTime]. The Plan of a Decided has none: the first one runs on.
	Clock time.Duration
	// Together rings a stage at once whatever q says.
	Together bool
	// OwnLegs says that branches have Call-IDs of their own (an anchored call):
	// a later plan may ring a device again, and a second 2xx is hung up instead of
	// relayed (rules ring.device-once, ring.stage).
	OwnLegs bool
	// Visits are the outcomes that another visit follows instead of a final
	// response.
	Visits Visits
}

// Visits is a set of outcomes.
type Visits uint16

// VisitsOn returns the set of kinds.
func VisitsOn(kinds ...OutcomeKind) Visits {
	var v Visits
	for _, k := range kinds {
		v |= 1 << k
	}
	return v
}

// Has reports whether k is in the set.
func (v Visits) Has(k OutcomeKind) bool { return v&(1<<k) != 0 }

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
	// Failed reports a branch whose flow is gone (closed connection, send
	// error): rule ring.silent counts it as unreachable (RFC 3261 §16.9). A 430 is
	// a Response.
	Failed struct {
		Now    time.Time
		Branch BranchID
	}
	// Fired reports that the timer of a StartTimer effect ran out. A stale one
	// does no harm.
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
	// joins (rule ring.devices), or its branch goes on over the new flow. A plain
	// refresh changes nothing.
	Registered struct {
		Now    time.Time
		Target Target
	}
	// Picked reports a phone that takes the call while its number rings (a pickup):
	// it rings beside the others, and whoever answers first has the call. It comes
	// to nothing when nobody rings any more. What the branch answers decides nothing
	// for the number.
	Picked struct {
		Now    time.Time
		Target Target // a Pickup
	}
	// Decided answers a Visit effect with the plan of the next number, or with
	// the final response that the visit came to.
	Decided struct {
		Now    time.Time
		Plan   Plan
		Status int // not 0: the final response, and Plan means nothing
	}
)

func (Response) event()   {}
func (Failed) event()     {}
func (Fired) event()      {}
func (Cancelled) event()  {}
func (Registered) event() {}
func (Picked) event()     {}
func (Decided) event()    {}

// A Timer names one timer of a running plan. Starting it again moves it.
type Timer struct {
	Kind   TimerKind
	Branch BranchID // of TimerSilent and TimerStop; otherwise 0
}

// A TimerKind says what a timer is for.
type TimerKind uint8

// The timers of a plan.
const (
	TimerSilent TimerKind = iota + 1 // ring.silent: no 1xx from a branch in 4 s
	TimerStage                       // the ring time of a stage or of a q group
	TimerNext                        // ring.stage: the next one starts 500 ms after CANCEL at the latest
	TimerClock                       // ring.clock: unanswered ringing ends at 170 s
	TimerDelay                       // snr.delay: the next remote destination starts
	TimerStop                        // snr.stop-after: a branch has rung long enough
)

// An Other is a trunk that follows when the one before it fails over.
type Other struct {
	Trunk    string
	Identity *Identity // who it is shown, by its own caller id policy
}

// Leaves reports whether the target leaves by a trunk, sooner or later.
func (t *Target) Leaves(trunk string) bool {
	return t.Trunk == trunk || slices.ContainsFunc(t.Others, func(o Other) bool { return o.Trunk == trunk })
}

// A Target is one contact to be invited. It is a copy of what the branch needs
// of a Binding, so that a running plan holds no store value.
type Target struct {
	Device   string // authorization name; "" for what is no device of ours
	Number   string // of ours, where a plan rings several: a member of a group; "" that of the plan
	Instance string // +sip.instance, or the contact when it has none (ring.device-once)
	RegID    uint32 // reg-id of the flow, 0 for none (RFC 5626)
	Contact  string // Request-URI of the branch
	Path     []string
	Flow     location.Flow
	Q        uint16 // thousandths
	Doubtful bool   // ring.silent: rung, but not counted as reachable
	Node     uint16 // number of the node where the device is registered, when that is another one (ring.elsewhere)
	Service  bool   // voicemail and the like: not a person (ring.reason)
	Pickup   bool   // the phone of somebody who picks the call up; Number is its own

	// Trunk is the name of the trunk that the branch leaves by, "" for a device.
	// Contact is then the canonical number (E.164) or URI, before a route strips
	// and prepends. The shell tries the peers and tells how it came out in one
	// final Response: such a branch has no silence of 4 s.
	Trunk string
	// Others are the trunks that follow, in order, when Trunk fails over.
	Others []Other
	// Kind is the kind of destination that a trunk target is: "international"
	// (rules limit.minutes).
	Kind string
	// Remote is the id of the remote destination that this target is (rules
	// snr.*), "" for others: see [Plan].
	Remote string
	// Delay is when a remote destination starts and StopAfter when a target is
	// given up again, both since the first INVITE of the number (rules snr.delay,
	// snr.stop-after). StopAfter 0: with its stage.
	Delay, StopAfter time.Duration
	// Identity is who is shown to the target; nil: whom the decision says for all
	// targets, else the caller as received.
	Identity *Identity
	Alert    string // value of Alert-Info, "" for none
	// Unlogged says that its phone shall log no missed call: every CANCEL says that
	// somebody else answered (rule ring.reason).
	Unlogged bool
}

// An Identity is the caller as a target is to see it. It is not changed once it
// is handed over.
type Identity struct {
	User, Host, Display string // of From; an empty Host is the domain's
	Asserted            string // user of P-Asserted-Identity (RFC 3325), "" for none
	Hidden              bool   // anonymous From and Privacy: id (RFC 3323)
}

// TargetOf returns the target of a binding.
func TargetOf(b *location.Binding) Target {
	t := Target{
		Device: b.Device, Instance: b.Instance, RegID: b.RegID, Contact: b.Contact, Path: b.Path,
		Flow: b.Flow, Q: b.Q, Doubtful: b.Doubtful,
	}
	if t.Instance == "" {
		t.Instance = b.Contact
	}
	return t
}

// An Effect is something the shell does, in the order given.
//
//sumtype:decl
type Effect interface{ effect() }

type (
	// Invite sends the request to a target as a new branch. The target belongs to
	// the plan: it is not changed.
	Invite struct {
		Branch BranchID
		Target *Target
	}
	// Cancel gives a branch up; it comes once a branch at most and never after its
	// final response. The shell sends CANCEL as soon as the branch had a 1xx
	// (RFC 3261 §9.1). The branch may still answer with a 2xx.
	Cancel struct {
		Branch BranchID
		Reason string // value of the Reason field (RFC 3326), "" for none
	}
	// Move says that the device of a branch has a new flow: what is still to be
	// sent on the branch, a retransmission or a CANCEL, goes there. There is no
	// new INVITE.
	Move struct {
		Branch BranchID
		Target Target
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
	// HangUp ends a branch whose 2xx nobody takes: the caller has another final
	// response. The shell sends ACK and BYE; it comes again with every
	// retransmission of the 2xx.
	HangUp struct{ Branch BranchID }
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
	// Visit asks what follows an outcome that is one of the plan's Visits; the
	// answer is a Decided.
	// A redirect's is of kind Redirected, and Branch is the device whose stored
	// response says where to.
	Visit struct{ Outcome Outcome }
	// End reports that the caller got its final response: what comes later
	// from branches is only tidied up. It comes exactly once, and stops every
	// timer of the plan.
	End struct{ Outcome Outcome }
)

func (Invite) effect()     {}
func (Cancel) effect()     {}
func (Move) effect()       {}
func (Reply) effect()      {}
func (HangUp) effect()     {}
func (StartTimer) effect() {}
func (StopTimer) effect()  {}
func (Doubt) effect()      {}
func (Visit) effect()      {}
func (End) effect()        {}

// None is the BranchID of a Reply that no branch gave.
const None BranchID = -1

// An Outcome is how the ringing ended.
type Outcome struct {
	Kind   OutcomeKind
	Status int      // sent upstream; of a Visit: what would be sent
	Branch BranchID // whose response it is: the winner of an Answered, otherwise one that decided, or None
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
	Refused    // a final response that is none of these, passed on
	Redirected // a device answered 3xx: a Visit only, where the plan's Visits has it
)

// String returns the outcome as records and metrics spell it.
func (k OutcomeKind) String() string {
	switch k {
	case Answered:
		return "answered"
	case Busy:
		return "busy"
	case NoAnswer:
		return "no-answer"
	case Unreachable:
		return "unreachable"
	case Declined:
		return "declined"
	case CallerGaveUp:
		return "caller-gave-up"
	case Refused:
		return "refused"
	case Redirected:
		return "redirected"
	default:
		return "none"
	}
}
