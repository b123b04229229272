package routing

import (
	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

// act finds what the caller asks for by a code (dial.feature) or a service number
// (dial.service); nil: neither was dialled. Only devices ask, for their own
// numbers.
func (d *decider) act() Decision {
	if d.v.Origin != OriginDevice || !d.internal || !d.invite || d.caller == nil {
		return nil
	}
	rule := DialFeature
	f, rest, ok := d.t.Codes.Feature(d.v.Target)
	if !ok {
		rule = DialService
		if f, rest, ok = d.t.Codes.Service(d.v.Target); !ok {
			return nil
		}
	}
	a := Act{
		Feature: f, Domain: d.t.Name, Device: d.v.Caller.Device, Number: d.caller.Number, Owner: d.caller.User, Target: rest, Rule: rule,
	}
	switch {
	case rest != "" && rule == DialFeature && rest == d.t.Codes.Code(dial.Voicemail) && f.Takes() == dial.MayFollow:
		a.Target = directory.TargetVoicemail
	case rest != "" && rule == DialFeature:
		if a.Target, ok = dial.Clean(rest); !ok {
			return d.refuseAct(&a, wrongDigits)
		}
	case f.Takes() == dial.MustFollow:
		return d.refuseAct(&a, noDigits)
	}
	if why := d.missing(&a); why != "" {
		return d.refuseAct(&a, why)
	}
	if f == dial.Pickup || f == dial.DirectedPickup {
		if dec := d.pickup(&a); dec != nil || d.lacks() {
			return dec
		}
	}
	e := Entry{Rule: rule, Number: a.Number, To: a.rings(), Value: f.String(), Level: ForOwner, Owner: a.Owner}
	if c, ok := directory.ByCode(f, a.Domain, a.Number, a.Owner, a.Target); ok {
		e.Setting = c.Ref.Path()
	}
	d.say(e)
	d.anchored = rule // the other end is us
	return a
}

// Lacking says, as a reason phrase, what there is not yet that a feature takes;
// "": it can be carried out.
func (a *Act) Lacking() string {
	switch a.Feature {
	case dial.Voicemail:
		return "No Voicemail Yet"
	case dial.Conference:
		return "No Conferences Yet"
	case dial.Park, dial.Retrieve, dial.ParkSlot:
		return "No Parking Yet"
	case dial.ForwardAll, dial.ForwardAllOff, dial.ForwardBusy, dial.ForwardBusyOff, dial.ForwardNoAnswer,
		dial.ForwardNoAnswerOff, dial.DND, dial.DNDOff, dial.Pickup, dial.DirectedPickup:
		return ""
	default:
		return "Not Implemented"
	}
}

// Why a code does nothing, as the value of its entry.
const (
	wrongDigits = "wrong-digits" // what follows the code is no number
	noDigits    = "no-digits"    // nothing does
	noTarget    = "no-target"    // nothing does, and no target is kept
	noUser      = "no-user"      // what it sets belongs to users
)

// missing says what a feature lacks; "": nothing that can be told before it is
// carried out.
func (d *decider) missing(a *Act) string {
	var kept bool
	switch l := d.caller; a.Feature {
	case dial.ForwardAll:
		kept = keeps(&l.All)
	case dial.ForwardBusy:
		kept = keeps(&l.Busy)
	case dial.ForwardNoAnswer:
		kept = keeps(&l.NoAnswer)
	case dial.DND, dial.DNDOff:
		if a.Owner == "" {
			return noUser
		}
		return ""
	case dial.ForwardAllOff, dial.ForwardBusyOff, dial.ForwardNoAnswerOff, dial.Pickup, dial.DirectedPickup,
		dial.Voicemail, dial.Park, dial.Retrieve, dial.Conference, dial.ParkSlot:
		return ""
	default:
		return ""
	}
	if a.Target == "" && !kept {
		return noTarget
	}
	return ""
}

// keeps reports whether a forward has a target, on or off.
func keeps(f *directory.Pair[directory.Follow]) bool {
	return f.Internal.Target.Text != "" || f.External.Target.Text != ""
}

// refuseAct ends a call whose code cannot be followed: 484 where digits are
// missing or wrong (RFC 3261 §21.4.22).
func (d *decider) refuseAct(a *Act, why string) Decision {
	d.say(Entry{Rule: a.Rule, Number: a.Number, Value: why, Level: ForOwner, Owner: a.Owner})
	switch why {
	case noUser:
		return d.reject(a.Rule, 403, "Number Belongs To Nobody")
	case noTarget:
		return d.reject(a.Rule, 484, "No Target Kept")
	default:
		return d.reject(a.Rule, 484, "Address Incomplete")
	}
}
