package call

import (
	"fmt"
	"slices"
	"time"
)

// phase is where a call is.
type phase uint8

const (
	idle  phase = iota
	early       // the first INVITE has no final response
	up          // answered
	over        // ended: only tidied up
)

// turn says who of the two ends of a dialog has an offer that is not answered
// (RFC 3264, RFC 6337 §2).
type turn uint8

const (
	stable turn = iota
	theirs      // the end offered, and is owed an answer
	ours        // we offered, and are owed one
)

// leg is one dialog.
type leg struct {
	offer turn
	by    ID // the request whose exchange the offer belongs to

	invite  ID    // the last INVITE of the end
	pracks  uint8 // reliable 1xx that went to the end and have no PRACK yet
	unacked bool  // TimerAck runs: a 2xx went to the end and has no ACK yet
	waits   bool  // the other leg waits for that ACK: it has the answer (a late offer)
	ackBy   time.Time

	hungUp bool // BYE was sent or received
	gotBye bool // it was received
	byeDue bool // BYE is to be sent, but not before the ACK

	refresh ID   // our refresh is under way, 0 for none
	probe   ID   // our probe is, 0 for none
	missed  bool // the last one had no answer
	glare   bool
	timing  Timing
}

// request is a request that is open on at least one side.
type request struct {
	id        ID
	from      Leg // the end that sent it, or for one of ours the leg it was not sent on
	method    Method
	own       bool
	answered  bool    // from has its final response
	late      bool    // an INVITE without an offer, and none has come yet
	kept      bool    // its answer came in a 1xx whose session description was dropped
	heard     bool    // an INVITE that had a 1xx above 100
	cancelled bool    // CANCEL went out
	raised    uint8   // how often it was sent again for a 422
	session   Session // that it came with
}

// State is a call being carried out. It is a value: Step never changes the one
// it is called on. The zero State ignores everything; [New] and [Restore] make
// others.
type State struct {
	phase    phase
	dialog   bool // leg B exists: it gave its tag
	legs     [2]leg
	open     []request // never changed in place
	own      ID        // the last one of ours
	interval time.Duration
	lasts    time.Duration // how long the call may last
	deadline time.Time
	probeAt  time.Time // when TimerProbe is due
}

// step is a State while an event changes it.
type step struct {
	State
	now     time.Time
	effects []Effect
}

// New begins a pair of dialogs whose INVITE is to go to leg B: the first effect
// is its Relay. What is to be done is appended to dst, which may be nil.
func New(o Options, now time.Time, dst []Effect) (State, []Effect) {
	s := step{now: now, effects: dst}
	s.phase, s.interval, s.lasts = early, o.Interval, o.Deadline
	s.legs[A].timing.Update = o.Session.Update
	if o.SDP {
		s.offers(A, First)
	}
	s.open = []request{{id: First, from: A, method: Invite, late: !o.SDP, session: o.Session}}
	s.do(Relay{To: B, ID: First, Method: Invite, Session: s.ask(B, true)})
	return s.State, s.effects
}

// Restore continues an answered call from the journal, with no request open.
// Timers that ran out meanwhile are given a little more.
func Restore(saved Saved, now time.Time, dst []Effect) (State, []Effect) {
	s := step{now: now, effects: dst}
	s.phase, s.dialog, s.interval, s.deadline = up, true, saved.Interval, saved.Deadline
	for l := range s.legs {
		s.legs[l].timing = saved.Timers[l]
		s.resume(Leg(l))
	}
	if !s.deadline.IsZero() {
		s.start(TimerDeadline, A, max(s.deadline.Sub(now), grace))
	}
	s.watch(min(max(saved.Seen.Add(ProbeTime).Sub(now), grace), ProbeTime))
	return s.State, s.effects
}

// grace is the least time of a timer after a restart: the ends may just be about
// to refresh.
const grace = 32 * time.Second

// Step returns the state after ev; what is to be done for it, in order, is
// appended to dst, which may be nil.
func (s State) Step(ev Event, dst []Effect) (State, []Effect) {
	if s.phase == idle {
		return s, dst
	}
	x := step{State: s, effects: dst}
	switch ev := ev.(type) {
	case Request:
		x.now = ev.Now
		x.request(ev)
	case Response:
		x.now = ev.Now
		x.response(ev)
	case Acked:
		x.now = ev.Now
		x.acked(ev.Leg, ev.SDP)
	case Cancelled:
		x.now = ev.Now
		x.cancelled(ev)
	case Failed:
		x.now = ev.Now
		x.failed(ev.Leg)
	case HangUp:
		x.now = ev.Now
		if x.phase == up {
			x.end(Requested, A)
			x.tearDown(0)
		}
	case Fired:
		x.now = ev.Now
		x.fired(ev.Timer)
	default:
		panic(fmt.Sprintf("call: unknown event %T", ev))
	}
	return x.State, x.effects
}

// Answered reports whether the call was answered and has not ended.
func (s State) Answered() bool { return s.phase == up }

// Ended reports whether the call has ended: there was an End.
func (s State) Ended() bool { return s.phase == over }

// Done reports whether nothing can come any more: the call ended and so did
// every request of ours.
func (s State) Done() bool {
	return s.phase == idle || s.phase == over && len(s.open) == 0 && !s.legs[A].byeDue
}

// Saved returns what the journal keeps.
func (s State) Saved() Saved {
	return Saved{Deadline: s.deadline, Interval: s.interval, Timers: [2]Timing{s.legs[A].timing, s.legs[B].timing}}
}

// find returns the index of an open request, or -1.
func (s *step) find(id ID) int {
	return slices.IndexFunc(s.open, func(r request) bool { return r.id == id })
}

// inviting returns the index of the INVITE of an end that has no final response
// from the other one, or -1.
func (s *step) inviting(l Leg) int {
	return slices.IndexFunc(s.open, func(r request) bool { return r.method == Invite && !r.own && r.from == l })
}

// add keeps a request.
func (s *step) add(r request) { s.open = append(slices.Clip(s.open), r) }

// set changes the request at i.
func (s *step) set(i int, r request) {
	s.open = slices.Clone(s.open)
	s.open[i] = r
}

// remove forgets the request at i.
func (s *step) remove(i int) {
	s.open = slices.Delete(slices.Clone(s.open), i, i+1)
}

// offers notes that the end of leg l made an offer, with request id or in its
// response, and that it goes on to the other one.
func (s *step) offers(l Leg, id ID) {
	s.legs[l].offer, s.legs[l].by = theirs, id
	s.legs[l.Other()].offer, s.legs[l.Other()].by = ours, id
}

// settle ends the offers of request id, on both legs: they were answered, or
// failed with it.
func (s *step) settle(id ID) {
	s.settleLeg(A, id)
	s.settleLeg(B, id)
}

func (s *step) settleLeg(l Leg, id ID) {
	if g := &s.legs[l]; g.offer != stable && g.by == id {
		g.offer = stable
	}
}

// mine returns the next ID of a request of ours.
func (s *step) mine() ID {
	s.own--
	return s.own
}

func (s *step) do(e Effect) { s.effects = append(s.effects, e) }

func (s *step) start(k TimerKind, l Leg, after time.Duration) {
	s.do(StartTimer{Timer: Timer{Kind: k, Leg: l}, After: after})
}

func (s *step) stop(k TimerKind, l Leg) { s.do(StopTimer{Timer{Kind: k, Leg: l}}) }
