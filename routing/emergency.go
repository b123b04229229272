package routing

import (
	"strings"

	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// KindEmergency is the kind of the destination of an emergency call: no class
// names it and no limit counts it.
const KindEmergency = "emergency"

// CallBack is the value of a dial.emergency entry about a call back.
const CallBack = "call-back"

// noTrunk is the value of one of a call that nothing leads out.
const noTrunk = "no-trunk"

// HelpNumber returns the emergency number that is dialled in a domain, with or
// without the access code; "" for none. Any proven device of the domain may call
// for help, whatever its number is or may (rule dial.emergency).
func HelpNumber(t *directory.Tenant, v *Visit) string {
	if v.Origin != OriginDevice || !v.internal(t.Name) || len(v.Hops) > 0 {
		return ""
	}
	for _, n := range t.Emergency {
		rest, ends := strings.CutSuffix(v.Target, n)
		if ends && (rest == "" || rest == t.Plan.Access) {
			return n
		}
	}
	return ""
}

// emergency sends a call for help out at once: no class, limit or trunk that is
// full stops it. Where the caller is, and the number to call back, go along.
func (d *decider) emergency(number string) Decision {
	e := &Emergency{}
	if from := d.v.Caller.Number; from != "" {
		e.Numbers = append(e.Numbers, from)
	}
	owner := ""
	if l := d.caller; l != nil {
		owner = l.User
		e.Location, e.Callback = l.EmergencyLocation, firstOf(l.EmergencyCallback, l.Public, l.MainNumber)
		if e.Callback != l.Public {
			at, ok := d.w.number(d.t.Name, e.Callback)
			if !ok {
				d.lack(NeedNumber, e.Callback)
				return nil
			}
			if at != nil && at.Number != l.Number {
				e.Numbers = append(e.Numbers, at.Number)
			}
		}
	}
	t, ok := d.wayOut(number, e)
	if !ok {
		d.say(Entry{Rule: DialEmergency, Number: number, Value: noTrunk, Level: ForOwner, Owner: owner})
		return d.reject(DialEmergency, 503, "No Trunk For Emergency Calls")
	}
	d.say(Entry{Rule: DialEmergency, Number: number, To: number, Value: t.Trunk, Level: ForOwner, Owner: owner})
	d.anchor(DialEmergency, number)
	return Ring{
		Number: number, Shown: number, Emergency: e,
		Stages: []Stage{{Targets: []ring.Target{t}, Rule: DialEmergency}},
	}
}

// wayOut is the best trunk for an emergency number, with all others behind it:
// those with a route of its own for it come first, then every trunk that numbers
// leave by, in the order of its routes.
func (d *decider) wayOut(number string, e *Emergency) (t ring.Target, ok bool) {
	add := func(r *directory.TrunkRoute) {
		switch {
		case !ok:
			ok = true
			t = ring.Target{Trunk: r.Name, Kind: KindEmergency, Contact: number, Instance: number, Q: 1000, Identity: d.calling(e)}
		case !t.Leaves(r.Name):
			t.Others = append(t.Others, ring.Other{Trunk: r.Name, Identity: t.Identity})
		}
	}
	for i := range d.t.Trunks {
		if r := &d.t.Trunks[i]; r.Prefix != "" && strings.HasPrefix(number, r.Prefix) {
			add(r)
		}
	}
	for i := range d.t.Trunks {
		add(&d.t.Trunks[i])
	}
	return t, ok
}

// calling is who an emergency call is shown as: the number to call back, and
// nobody hides.
func (d *decider) calling(e *Emergency) *ring.Identity {
	id := &ring.Identity{User: firstOf(e.Callback, d.v.Caller.Number), Host: d.t.Name, Asserted: e.Callback}
	if l := d.caller; l != nil && id.User == l.Public {
		id.Display = l.Label
	}
	return id
}

// callsBack reports whether a call from outside may be the answer to an emergency
// call of a number: then it gets through whatever is set there, limits too.
func (d *decider) callsBack(l *directory.Line) bool {
	if d.v.Origin != OriginTrunk {
		return false
	}
	u, ok := d.w.used(d.t.Name, l.Number)
	if !ok {
		d.lack(NeedUsage, l.Number)
		return false
	}
	if !u.CallBack.After(d.w.Now) {
		return false
	}
	d.say(Entry{Rule: DialEmergency, Number: l.Number, Value: CallBack, Level: ForOwner, Owner: l.User})
	return true
}
