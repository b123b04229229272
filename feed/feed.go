// Package feed is what happened, as sealed values on one bounded stream:
// calls, registrations, settings. It is a leaf that every package may import.
// It starts no goroutine.
package feed

import (
	"net/netip"
	"time"
)

// An Event is something that happened.
//
//sumtype:decl
type Event interface{ event() }

// CallState is where a call is.
type CallState uint8

// The states of a call.
const (
	Calling CallState = iota + 1 // decided, nobody rings yet
	Ringing
	Talking
	Ended
)

// String returns the state as API and events spell it.
func (s CallState) String() string {
	switch s {
	case Calling:
		return "calling"
	case Ringing:
		return "ringing"
	case Talking:
		return "talking"
	case Ended:
		return "ended"
	default:
		return "none"
	}
}

// A Step is one step of the story of a call: a trace entry as it is kept. The
// names of rules are those of behaviour.md; words are made by routing/explain.
type Step struct {
	At      time.Time `json:"at"`
	Rule    string    `json:"rule"`
	Number  string    `json:"number,omitempty"`
	To      string    `json:"to,omitempty"`
	Setting string    `json:"setting,omitempty"`
	Value   string    `json:"value,omitempty"`
	Level   Level     `json:"level,omitempty" enum:"public,owner,admin"` // who may read it
	Owner   string    `json:"owner,omitempty"`                           // the user whose setting it is
}

// A Level says who may read a step (behaviour.md §5).
type Level uint8

// The levels. Who wrote a step without one knew none: it is for administrators.
const (
	NoLevel  Level = iota
	Public         // everybody in the call
	ForOwner       // the owner of the step, and administrators
	ForAdmin
)

// levels are the names of the levels in API and records.
func levels() []string { return []string{"", "public", "owner", "admin"} }

// String returns the level as API and records spell it.
func (l Level) String() string {
	if int(l) < len(levels()) {
		return levels()[l]
	}
	return "admin"
}

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. A level that a newer release
// may know is for administrators.
func (l *Level) UnmarshalText(b []byte) error {
	*l = ForAdmin
	for i, name := range levels() {
		if name == string(b) {
			*l = Level(i)
		}
	}
	return nil
}

// A Call is one call, live or ended: what the API shows, what the journal keeps
// and what becomes the record. A Call that was handed on is never changed:
// who has news makes a copy.
type Call struct {
	ID         string    `json:"id"` // ours, in time order; used in logs, API, records
	Domain     string    `json:"domain"`
	CallID     string    `json:"call_id"`    // SIP Call-ID
	CallerTag  string    `json:"caller_tag"` // From tag of the first INVITE
	CalleeTag  string    `json:"callee_tag,omitempty"`
	Caller     string    `json:"caller"`           // number of the caller, or the user part of From
	CallerDev  string    `json:"caller_device"`    // authorization name
	Called     string    `json:"called"`           // as dialled, normalised
	Number     string    `json:"number,omitempty"` // the number that rang
	Device     string    `json:"device,omitempty"` // the device that answered
	State      CallState `json:"state"`
	Started    time.Time `json:"started"`
	AnsweredAt time.Time `json:"answered_at,omitzero"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Status     int       `json:"status,omitempty"`   // final response to the INVITE
	Outcome    string    `json:"outcome,omitempty"`  // answered, busy, no-answer, ...
	Rule       string    `json:"rule,omitempty"`     // the rule that decided
	Deadline   time.Time `json:"deadline,omitzero"`  // when it stops counting without a sign of life
	Anchored   string    `json:"anchored,omitempty"` // the rule why it is anchored, "" it is proxied
	// Emergency are the numbers at which a call back after an emergency call gets
	// through, the caller's first; nil for every other call.
	Emergency []string `json:"emergency,omitempty"`
	Story     []Step   `json:"-"`
	Legs      []Leg    `json:"-"` // of an anchored call, the caller's first
	// Where the ends were when the call was answered: for a request to one that is
	// no longer registered, over UDP, or from it. The port of one that had a
	// connection is 0: it is not to be reached there.
	CallerAddr netip.AddrPort `json:"-"`
	CalleeAddr netip.AddrPort `json:"-"`
}

// CallChanged reports a call that started, rang, was answered or ended.
type CallChanged struct{ Call *Call }

// RegistrationChanged reports a binding that came, moved or went. A plain
// refresh is not reported.
type RegistrationChanged struct {
	At        time.Time
	Domain    string
	Number    string // user part of the AOR
	Device    string
	Contact   string
	What      string // added, moved, removed, expired
	UserAgent string
	Source    netip.AddrPort
}

// SettingChanged reports a document that was written or deleted.
type SettingChanged struct {
	At      time.Time
	Domain  string
	Kind    string
	Name    string
	Version uint64
	Deleted bool
	Actor   string
}

func (CallChanged) event()         {}
func (RegistrationChanged) event() {}
func (SettingChanged) event()      {}

// A Stream is the one bounded stream of a daemon. Many publish, one consumer
// (control's hub) drains it at its own pace and fans out. What does not fit is
// dropped: the stream tells what happened, it is not the truth of anything. Who
// must miss nothing gets a tap.
type Stream struct {
	ch  chan Event
	tap func(Event)
}

// NewStream returns a stream that holds at most size events.
func NewStream(size int) *Stream { return &Stream{ch: make(chan Event, size)} }

// Tap has f told of every event, on the goroutine that publishes it: f must not
// wait, and take little time where the event does not concern it. There is one
// tap, and it is set before anything is published. A nil Stream has none.
func (s *Stream) Tap(f func(Event)) {
	if s != nil {
		s.tap = f
	}
}

// Publish adds ev and never waits; it reports whether there was room. A nil
// Stream takes everything and keeps nothing.
func (s *Stream) Publish(ev Event) bool {
	if s == nil {
		return true
	}
	if s.tap != nil {
		s.tap(ev)
	}
	select {
	case s.ch <- ev:
		return true
	default:
		return false
	}
}

// Drain appends to dst the events that wait, at most limit, and never waits. The
// consumer calls it on a tick, so that publishing wakes nobody.
func (s *Stream) Drain(dst []Event, limit int) []Event {
	for range limit {
		select {
		case ev := <-s.ch:
			dst = append(dst, ev)
		default:
			return dst
		}
	}
	return dst
}
