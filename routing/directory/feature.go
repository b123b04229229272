package directory

import (
	"encoding/json"

	"bellhop/routing/dial"
)

// A CodeChange is what a feature code changes: one document, and how.
type CodeChange struct {
	Ref Ref
	// Edit returns the document as it is after the code; body is the one before,
	// nil for none. It is pure. The error is an *[Invalid].
	Edit func(body []byte) ([]byte, error)
}

// ByCode returns what a feature changes when a phone asks for it by its code: of
// a number of a domain and its user. Target is where a forward leads from now on,
// on both sides; "" is the one that is kept, of each side. ok is false for a
// feature that changes no setting.
func ByCode(f dial.Feature, domain, number, user, target string) (c CodeChange, ok bool) {
	forward := func(side func(*Forwarding) *Sides, on bool) (CodeChange, bool) {
		return CodeChange{Ref{domain, KindForwarding, number}, func(body []byte) ([]byte, error) {
			return edited(KindForwarding, body, func(v *Forwarding) error { return side(v).byCode(on, target) })
		}}, true
	}
	dnd := func(on bool) (CodeChange, bool) {
		return CodeChange{Ref{domain, KindDND, user}, func(body []byte) ([]byte, error) {
			return edited(KindDND, body, func(v *DND) error { v.Enabled = on; return nil })
		}}, user != ""
	}
	all := func(v *Forwarding) *Sides { return &v.All }
	busy := func(v *Forwarding) *Sides { return &v.Busy }
	noAnswer := func(v *Forwarding) *Sides { return &v.NoAnswer }
	switch f {
	case dial.ForwardAll:
		return forward(all, true)
	case dial.ForwardAllOff:
		return forward(all, false)
	case dial.ForwardBusy:
		return forward(busy, true)
	case dial.ForwardBusyOff:
		return forward(busy, false)
	case dial.ForwardNoAnswer:
		return forward(noAnswer, true)
	case dial.ForwardNoAnswerOff:
		return forward(noAnswer, false)
	case dial.DND:
		return dnd(true)
	case dial.DNDOff:
		return dnd(false)
	case dial.Pickup, dial.DirectedPickup, dial.Voicemail, dial.Park, dial.Retrieve, dial.Conference, dial.ParkSlot:
		return CodeChange{}, false
	default:
		return CodeChange{}, false
	}
}

// byCode switches both sides of a forward. Off keeps the targets.
func (s *Sides) byCode(on bool, target string) error {
	some := false
	for _, f := range [...]*Forward{&s.Internal, &s.External} {
		if on && target != "" {
			f.Target = target
		}
		f.Enabled = on && f.Target != ""
		some = some || f.Enabled
	}
	if on && !some {
		return &Invalid{Rule: RuleMissing, Faults: []Fault{{Location: "target", Message: "no target is kept", Rule: RuleMissing}}}
	}
	return nil
}

// edited decodes a document, changes it and encodes it again.
func edited[T any](kind Kind, body []byte, change func(*T) error) ([]byte, error) {
	if body == nil {
		body = []byte("{}")
	}
	v, err := Parse[T](kind, body)
	if err != nil {
		return nil, err
	}
	if err := change(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
