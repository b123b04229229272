// Package call is an anchored call from the moment its INVITE went on: a pure
// state machine that turns what the two ends send into what each is sent
// (RFC 3261 §14, §15; RFC 3262, 3264, 3311, 4028, 6337). Offers and answers pass
// through unchanged; media stays direct.
//
// It knows nothing of messages: Call-ID, tags, CSeq, RSeq and RAck, Contact,
// routes and header fields are the shell's (sip/b2bua), and of a body it knows
// only whether it is a session description. It reads no clock, draws no random
// number and starts no goroutine.
//
// One [State] is one pair of dialogs: ours with the caller (leg A) and ours with
// one who is called (leg B). The shell makes one with [New] for every branch
// that package ring invites. Who gives a branch a second To tag (a call forked
// further on) is another dialog: the shell keeps the State that New returned and
// steps a copy of it. Towards the caller every pair has a To tag of its own, as
// if we had forked, so that offers and answers of two branches never meet in
// one dialog.
//
// Before the answer package ring decides what the caller hears: the shell steps
// ring with a response to the first INVITE, and the State with the same response
// and what ring made of it ([Response].Up, DropSDP). Afterwards the State alone
// decides.
//
// The shell retransmits what its transactions do not: the 2xx to an INVITE until
// its ACK, a reliable 1xx whenever the other end sends it again, an ACK for each
// 2xx that comes again. It answers the challenges (401, 407) of a trunk itself.
package call

import "time"

// Times of the rules.
const (
	AckTime    = 64 * 500 * time.Millisecond // RFC 3261 §13.3.1.4: a 2xx without ACK ends the call after 64*T1
	MinSession = 90 * time.Second            // RFC 4028 §5: the shortest session interval

	// ProbeTime is how often an end without session timer is asked whether it is
	// there: so that the answer comes before the call stops counting, an hour after
	// its last sign of life (rule busy). ProbeAgain is when one that gave no answer is
	// asked once more: it may just have lost its connection.
	ProbeTime  = 55 * time.Minute
	ProbeAgain = time.Minute
)

// TransferStatus is what a REFER gets, and an INVITE with Replaces: transfers
// come with call control, and a phone that is declined keeps the call it has
// (RFC 3515 §2.4.2, RFC 3891 §3). A 501 would be wrong, since Allow of the other
// end passes through and may name REFER.
const TransferStatus = 603

// A Leg is one of the two dialogs of a call.
type Leg uint8

// The legs.
const (
	A Leg = iota // the caller, who sent the first INVITE: its Call-ID is not ours
	B            // who was called: the Call-ID is ours
)

// Other returns the other leg.
func (l Leg) Other() Leg { return 1 - l }

// String returns the name of the leg as stories spell it.
func (l Leg) String() string {
	if l == A {
		return "caller"
	}
	return "callee"
}

// An ID names a request of a call while it is open, on both legs: what came as
// ID on one leg goes on as ID on the other. The shell gives those that come in
// numbers from 1, each once; negative ones are requests of our own, named by the
// State.
type ID int32

// First is the INVITE that began the call.
const First ID = 0

// A Method is the method of a request within a dialog.
type Method uint8

// The methods that differ. ACK and CANCEL are events of their own.
const (
	Invite Method = iota + 1
	Update
	Prack
	Bye
	Info
	MethodOptions // not Options, which is the type
	Refer
	Other // MESSAGE, NOTIFY, what nobody knows: passed on
)

// A Session is what a message says of the session timer (RFC 4028), or is to
// say. The zero Session says nothing.
type Session struct {
	Supported bool          // Supported (or Require) has timer
	Update    bool          // Allow has UPDATE: of what comes in; we always do
	Expires   time.Duration // Session-Expires in whole seconds, 0 for none
	MinSE     time.Duration // Min-SE, 0 for none
	Refresher Refresher
}

// TooShort reports whether a request asks for an interval that gets 422 with
// Min-SE [MinSession] (RFC 4028 §9). Of the first INVITE the shell asks it
// before anything rings.
func (s Session) TooShort() bool { return s.Expires > 0 && s.Expires < MinSession }

// A Refresher is the refresher parameter of Session-Expires.
type Refresher uint8

// The refreshers, by their role in the transaction of the message.
const (
	Unsaid Refresher = iota
	UAC
	UAS
)

// Options are what a call begins with.
type Options struct {
	SDP     bool    // the first INVITE has an offer
	Session Session // of the first INVITE
	// Interval is the session interval that we ask for of an end that does not ask
	// for one itself, 0 for none. An end that does not know session timers is never
	// refreshed because of it.
	Interval time.Duration
	// Deadline is how long the call may last after the answer, 0 for no limit.
	Deadline time.Duration
}

// An Event is what happened to a call.
//
//sumtype:decl
type Event interface{ event() }

type (
	// Request is a request within a dialog, from its proven end. A retransmission
	// is none.
	Request struct {
		Now     time.Time
		Leg     Leg
		ID      ID
		Method  Method
		SDP     bool
		Session Session // of INVITE and UPDATE
		Random  uint32  // any number, for the Retry-After of a 500
	}
	// Response is a response to a request that we sent on a leg, the first of its
	// status. A 408 made by the transaction layer, or for a request that could not
	// be sent, is a Response as well.
	Response struct {
		Now      time.Time
		Leg      Leg // that it came from
		ID       ID
		Status   int
		SDP      bool
		Reliable bool    // a 1xx with Require: 100rel and RSeq (RFC 3262)
		Session  Session // of a 2xx to INVITE or UPDATE; of a 422 its Min-SE
		Random   uint32  // any number, for the retry after a 491

		// Up and DropSDP are what the Reply of ring says of a response to First: the
		// status that goes up, 0 when ring holds it back (also for a 2xx that it hangs
		// up). A 422 is stepped here first and is ring's only when no Resend follows.
		Up      int
		DropSDP bool
	}
	// Acked is the ACK of a 2xx.
	Acked struct {
		Now time.Time
		Leg Leg
		SDP bool // an answer
	}
	// Cancelled is the CANCEL of a re-INVITE; the shell has answered it. That of
	// First is ring's.
	Cancelled struct {
		Now time.Time
		Leg Leg
		ID  ID
	}
	// Failed reports that a leg is gone for good: its connection closed, and
	// nothing found the end elsewhere.
	Failed struct {
		Now time.Time
		Leg Leg
	}
	// HangUp ends an answered call from outside: by the API, or because the daemon
	// stops. One that is not answered is cancelled by ring.
	HangUp struct{ Now time.Time }
	// Fired reports that the timer of a StartTimer effect ran out. A stale one does
	// no harm.
	Fired struct {
		Now   time.Time
		Timer Timer
	}
)

func (Request) event()   {}
func (Response) event()  {}
func (Acked) event()     {}
func (Cancelled) event() {}
func (Failed) event()    {}
func (HangUp) event()    {}
func (Fired) event()     {}

// A Timer names one timer of a call. Starting it again moves it.
type Timer struct {
	Kind TimerKind
	Leg  Leg // A for TimerDeadline and TimerProbe
}

// A TimerKind says what a timer is for.
type TimerKind uint8

// The timers of a call.
const (
	TimerAck      TimerKind = iota + 1 // RFC 3261 §13.3.1.4: no ACK of a 2xx that we sent on the leg
	TimerRefresh                       // RFC 4028 §7.2: the leg is ours to be refreshed
	TimerExpire                        // RFC 4028 §10: nobody refreshed the leg
	TimerGlare                         // RFC 3261 §14.1: our refresh is tried again after a 491
	TimerDeadline                      // the call has lasted long enough
	TimerProbe                         // nobody refreshes a leg: is its end there?
)

// An Effect is something the shell does, in the order given.
//
//sumtype:decl
type Effect interface{ effect() }

type (
	// Relay sends the request that came as ID on the other leg on to leg To, with
	// what it says and is not ours. That of First is of New.
	Relay struct {
		To      Leg
		ID      ID
		Method  Method
		Session Session // to be written, of INVITE and UPDATE
	}
	// Pass sends the response just stepped on to leg To.
	Pass struct {
		To       Leg
		ID       ID
		Status   int
		Reliable bool // with an RSeq of the leg, and Require: 100rel
		Body     Body
		Session  Session // to be written, of a 2xx to INVITE or UPDATE
	}
	// Answer answers a request with a response of our own. Each request gets
	// exactly one Answer or Pass of a final response.
	Answer struct {
		Leg        Leg
		ID         ID
		Status     int
		RetryAfter time.Duration // of a 500, whole seconds, may be 0
		MinSE      time.Duration // of a 422
		Session    Session       // to be written, of a 200 to UPDATE
	}
	// Ack sends the ACK of the 2xx to INVITE ID. With SDP its body is that of the
	// Acked just stepped: the answer to a late offer.
	Ack struct {
		Leg Leg
		ID  ID
		SDP bool
	}
	// Prack1xx acknowledges the reliable 1xx just stepped (RFC 3262), which ring
	// holds back, with a request of our own.
	Prack1xx struct {
		Leg Leg
		ID  ID
	}
	// Cancel sends CANCEL for the INVITE ID that we sent on the leg, as soon as it
	// had a 1xx (RFC 3261 §9.1).
	Cancel struct {
		Leg Leg
		ID  ID
	}
	// SendBye sends BYE. Like is the BYE of the other leg whose Reason and the like
	// go along, 0 for none: its cause is then that of the End.
	SendBye struct {
		Leg  Leg
		ID   ID
		Like ID
	}
	// Refresh sends a request of our own that keeps the session of a leg alive
	// (RFC 4028 §7.4): an UPDATE without, or an INVITE with the session description
	// that the leg was sent last. One that cannot be sent gets a Response 408.
	Refresh struct {
		Leg     Leg
		ID      ID
		Method  Method
		Session Session
	}
	// Probe sends an OPTIONS of our own to ask whether an end is there (RFC 3261 §11);
	// one that cannot be sent gets a Response 408.
	Probe struct {
		Leg Leg
		ID  ID
	}
	// Resend sends request ID on the leg again, with another CSeq and another
	// session interval, after a 422 (RFC 4028 §7.3).
	Resend struct {
		Leg     Leg
		ID      ID
		Session Session
	}
	// StartTimer starts or moves a timer to fire After from now, more than 0.
	StartTimer struct {
		Timer Timer
		After time.Duration
	}
	// StopTimer stops a timer; one that does not run is no error.
	StopTimer struct{ Timer Timer }
	// Journal writes the call down before what follows is sent: it was answered,
	// or a leg has another remote target or session timer. See [State.Saved].
	Journal struct{}
	// GiveUp reports that the caller sent BYE before the answer: the shell steps
	// ring with Cancelled.
	GiveUp struct{}
	// End reports that the call is over: its record can be closed. It comes exactly
	// once; what follows later only tidies up until [State.Done].
	End struct {
		Cause Cause
		By    Leg // whose doing it was, of HungUp, Lost, Expired and NoAck
	}
)

func (Relay) effect()      {}
func (Pass) effect()       {}
func (Answer) effect()     {}
func (Ack) effect()        {}
func (Prack1xx) effect()   {}
func (Cancel) effect()     {}
func (SendBye) effect()    {}
func (Refresh) effect()    {}
func (Probe) effect()      {}
func (Resend) effect()     {}
func (StartTimer) effect() {}
func (StopTimer) effect()  {}
func (Journal) effect()    {}
func (GiveUp) effect()     {}
func (End) effect()        {}

// A Body says what session description a response goes on with.
type Body uint8

// The bodies.
const (
	Received Body = iota // as it came
	Dropped              // without (rule ring.early-media)
	Kept                 // with that of the reliable 1xx that was dropped before: the shell keeps it
)

// A Cause is why a call ended; its String is the metric label.
type Cause uint8

// The causes.
const (
	HungUp     Cause = iota + 1 // BYE of an end
	Requested                   // HangUp
	Expired                     // RFC 4028 §10: a leg was not refreshed
	Lost                        // an end is gone: its flow, or a 408 or 481 (RFC 5057 §5.1)
	NoAck                       // RFC 3261 §13.3.1.4
	Overtime                    // the deadline
	Unanswered                  // there was never an answer, or nobody took it
)

// String returns the cause as records and metrics spell it.
func (c Cause) String() string {
	switch c {
	case HungUp:
		return "hung-up"
	case Requested:
		return "requested"
	case Expired:
		return "session-expired"
	case Lost:
		return "lost"
	case NoAck:
		return "no-ack"
	case Overtime:
		return "deadline"
	case Unanswered:
		return "unanswered"
	default:
		return "none"
	}
}

// A Saved is what the journal keeps of the state of an answered call.
type Saved struct {
	Deadline time.Time // zero for none
	Timers   [2]Timing // by leg
	Interval time.Duration
	Seen     time.Time // the last sign of life; for [Restore], of when it was journaled
}

// A Timing is the session timer of one leg; the zero Timing is none.
type Timing struct {
	Interval time.Duration // 0: the leg has no session timer
	Ours     bool          // we are to refresh it
	Update   bool          // the end takes UPDATE
	Last     time.Time     // when it was refreshed
}
