package event

import (
	"cmp"
	"slices"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/routing/location"
)

// A State is what there is to be seen of a number at one moment: who sees how much
// of it, its documents decide. It never changes.
type State struct {
	Line     *directory.Line // nil: there is no such number
	Dialogs  []Dialog        // in the order they began
	Bindings location.Bindings
	Status   string    // of presence, do-not-disturb included; "" where it has no user
	Until    time.Time // when Status ends; zero: not known, or past
	New, Old int       // messages in the mailbox

	turn uint64 // of who looked: a later one saw what is newer
}

// A Dialog is a call as one number is in it. It is comparable.
type Dialog struct {
	ID        string
	Initiator bool // the number called; else it was called
	Phase     Phase
	External  bool // the other end is outside of the domain
}

// A Phase is where a dialog is (RFC 4235 §3.7.1).
type Phase uint8

// The phases that are told.
const (
	Trying Phase = iota + 1
	Early
	Confirmed
	Terminated
)

// String returns the phase as RFC 4235 spells it.
func (p Phase) String() string {
	switch p {
	case Trying:
		return "trying"
	case Early:
		return "early"
	case Confirmed:
		return "confirmed"
	case Terminated:
		return "terminated"
	default:
		return ""
	}
}

// maxDialogs bounds the dialogs that are told of one number: more than phones
// show, and few enough for a document to fit in a datagram. The oldest count.
const maxDialogs = 20

// Observe returns what there is to be seen of a number, from its settings, the calls
// that keep it busy and its bindings. l is nil for a number that is no more.
func Observe(l *directory.Line, calls []*feed.Call, bs location.Bindings, now time.Time) *State {
	st := &State{Line: l, Bindings: bs}
	if l == nil {
		return st
	}
	for _, c := range calls {
		st.Dialogs = appendDialogs(st.Dialogs, c, l.Number)
	}
	if len(st.Dialogs) > maxDialogs {
		st.Dialogs = st.Dialogs[:maxDialogs]
	}
	if l.User == "" {
		return st
	}
	st.Status = l.Presence.At(now)
	if l.DND.Enabled {
		st.Status = directory.StatusDND
	} else if now.Before(l.Presence.Until) && st.Status != directory.StatusOffice {
		st.Until = l.Presence.Until
	}
	return st
}

// Next returns when the state changes by itself, zero for never: a status ends, or
// its announcement is dropped.
func (st *State) Next(now time.Time) time.Time {
	if st.Line != nil && now.Before(st.Line.Presence.Until) {
		return st.Line.Presence.Until
	}
	return time.Time{}
}

// appendDialogs appends what a number is in c: caller, callee, or both.
func appendDialogs(dst []Dialog, c *feed.Call, number string) []Dialog {
	if c.State == feed.Ended {
		return dst
	}
	caller := Dialog{ID: c.ID + "-o", Initiator: true}
	callee := Dialog{ID: c.ID}
	if len(c.Legs) == 0 {
		if c.CallerDev != "" && c.Caller == number {
			caller.Phase = callerPhase(c.State)
		}
		if c.Number == number {
			callee.Phase, callee.External = calleePhase(c.State), c.CallerDev == ""
		}
	}
	for i := range c.Legs {
		leg := &c.Legs[i]
		switch {
		case leg.State == feed.Ended || leg.Trunk != "" || leg.Number != number:
		case leg.Caller:
			caller.Phase, caller.External = callerPhase(c.State), goesOut(c)
		default: // of several devices that ring, the furthest
			callee.Phase = max(callee.Phase, calleePhase(leg.State))
			callee.External = c.CallerDev == ""
		}
	}
	for _, d := range [...]Dialog{caller, callee} {
		if d.Phase != 0 {
			dst = append(dst, d)
		}
	}
	return dst
}

// callerPhase is the phase of who made a call. It is out of doubt only then that it
// rings: before, the call may yet come back refused.
func callerPhase(s feed.CallState) Phase {
	switch s {
	case feed.Calling:
		return Trying
	case feed.Ringing:
		return Early
	case feed.Talking:
		return Confirmed
	case feed.Ended:
		return 0
	default:
		return 0
	}
}

// calleePhase is the phase of who is called: none until its phone rings.
func calleePhase(s feed.CallState) Phase {
	switch s {
	case feed.Ringing:
		return Early
	case feed.Talking:
		return Confirmed
	case feed.Calling, feed.Ended:
		return 0
	default:
		return 0
	}
}

// goesOut reports whether the caller of c has somebody outside at the other end.
func goesOut(c *feed.Call) bool {
	return slices.ContainsFunc(c.Legs, func(l feed.Leg) bool {
		return !l.Caller && l.Trunk != "" && l.State == c.State
	})
}

// The connection states of a number (behaviour.md §3, Presence).
const (
	Idle            = "idle"
	Unregistered    = "unregistered"
	Ringing         = "ringing"
	Calling         = "calling"
	TalkingInternal = "talking-internal"
	TalkingExternal = "talking-external"
	DND             = "dnd"
	Forwarded       = "forwarded"
)

// Connection returns the connection state: calls first, then what keeps calls away.
// Without open, what its user set does not show.
func (st *State) Connection(open bool) string {
	best := Dialog{}
	for _, d := range st.Dialogs { // talking, ringing, calling
		if rank(d) > rank(best) {
			best = d
		}
	}
	switch {
	case best.Phase == Confirmed && best.External:
		return TalkingExternal
	case best.Phase == Confirmed:
		return TalkingInternal
	case best.Phase != 0 && !best.Initiator:
		return Ringing
	case best.Phase != 0:
		return Calling
	case open && st.forwarded():
		return Forwarded
	case open && st.dnd():
		return DND
	case len(st.Bindings) == 0:
		return Unregistered
	default:
		return Idle
	}
}

func rank(d Dialog) int {
	switch {
	case d.Phase == Confirmed:
		return 3
	case d.Phase != 0 && !d.Initiator:
		return 2
	case d.Phase != 0:
		return 1
	default:
		return 0
	}
}

func (st *State) dnd() bool { return st.Line != nil && st.Line.User != "" && st.Line.DND.Enabled }

// forwarded reports whether calls of colleagues go elsewhere before the number
// rings, in the order of precedence of behaviour.md §3.
func (st *State) forwarded() bool {
	l := st.Line
	switch {
	case l == nil:
		return false
	case l.All.Internal.On:
		return true
	case l.User == "" || l.DND.Enabled:
		return false
	case l.CallMe.On && st.Status == directory.StatusOffice:
		return true
	default:
		return slices.ContainsFunc(l.PresenceTo, func(f directory.StatusFollow) bool { return f.Status == st.Status && f.On })
	}
}

// open reports whether a colleague sees what the user of the number set: status,
// note, do not disturb and forwards. Who subscribes is always internal.
func (st *State) open(own bool) bool {
	return own || st.Line == nil || st.Line.Presence.Visibility != "nobody"
}

// owns reports whether a device has the number.
func (st *State) owns(device string) bool {
	return st.Line != nil && slices.Contains(st.Line.Devices, device)
}

// A Feature is one setting as the keys of a phone know it.
type Feature struct {
	Kind   FeatureKind
	On     bool
	Target string
	Rings  int // forward on no answer: after so many rings
}

// A FeatureKind is a setting that phones have keys for.
type FeatureKind uint8

// The kinds, in the order they are told.
const (
	FeatureDND FeatureKind = iota + 1
	FeatureAll
	FeatureBusy
	FeatureNoAnswer
)

// ringOnce is how long a phone rings once (behaviour.md §3, Forwarding).
const ringOnce = 6 * time.Second

// features are the settings of the number as phones know them: a phone knows one
// target for all callers, so that of colleagues counts where both sides differ.
func (st *State) features() []Feature {
	l := st.Line
	if l == nil {
		return nil
	}
	out := make([]Feature, 0, 4)
	if l.User != "" {
		out = append(out, Feature{Kind: FeatureDND, On: l.DND.Enabled})
	}
	for _, f := range [...]struct {
		kind FeatureKind
		pair *directory.Pair[directory.Follow]
	}{{FeatureAll, &l.All}, {FeatureBusy, &l.Busy}, {FeatureNoAnswer, &l.NoAnswer}} {
		v := Feature{Kind: f.kind, On: f.pair.Internal.On || f.pair.External.On}
		v.Target = cmp.Or(f.pair.Internal.Target.Text, f.pair.External.Target.Text)
		if !f.pair.Internal.On && f.pair.External.On {
			v.Target = f.pair.External.Target.Text
		}
		if f.kind == FeatureNoAnswer {
			v.Rings = int((l.RingTime + ringOnce/2) / ringOnce)
		}
		out = append(out, v)
	}
	return out
}
