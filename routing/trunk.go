package routing

import (
	"slices"
	"strings"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// outward is a call to a public number that nobody here has: it leaves by a
// trunk (rule dial.trunk), for a device of the domain only.
func (d *decider) outward(e164 string) Decision {
	at := d.outside(e164)
	switch {
	case !d.leads(e164):
		return d.unknown(d.v.Target)
	case d.caller == nil:
		return d.denied()
	case !d.mayCall(at):
		return d.classDenies(e164)
	case d.caller.CodeRequired:
		d.say(Entry{Rule: AuthorizationCode, Number: d.caller.Number, Value: e164, Level: ForOwner, Owner: d.caller.User})
		return d.reject(AuthorizationCode, 403, "Authorization Code Needed")
	}
	rule, whose := d.over(d.caller, at.kind)
	if d.lacks() {
		return nil
	}
	if rule != "" {
		d.about(d.caller, rule, "", "", whose)
		return d.reject(rule, 403, "Forbidden")
	}
	return d.leave(at, nil)
}

// mayCall reports whether the class of the caller lets it call a place outside.
// Without a public number it needs a class of its own, or a rule that names the
// number (class-of-service).
func (d *decider) mayCall(at place) bool {
	l := d.caller
	if l.Public == "" && !l.OwnClass && !l.Class.Names(at.external) {
		return false
	}
	return l.Class.Allows(dial.KindFrom(at.kind, at.external, l.Area), at.external)
}

// leads reports whether a route of a trunk leads to a number or an address.
func (d *decider) leads(to string) bool {
	return slices.ContainsFunc(d.t.Trunks, func(r directory.TrunkRoute) bool { return strings.HasPrefix(to, r.Prefix) })
}

// leave sends a call out by a trunk: for the caller, or, where by is not nil, by
// a setting of that number.
func (d *decider) leave(at place, by *directory.Line) Decision {
	t, ok := d.exit(at, by)
	if d.lacks() {
		return nil
	}
	owner := d.owner()
	if !ok {
		d.say(Entry{Rule: LimitCalls, Number: at.external, Value: d.t.Name, Level: ForOwner, Owner: owner})
		return d.reject(LimitCalls, 503, "Service Unavailable")
	}
	d.say(Entry{Rule: at.rule, Number: at.external, To: at.external, Value: t.Trunk, Level: ForOwner, Owner: owner})
	r := Ring{
		Number: at.external, Shown: at.external,
		Stages: []Stage{{Targets: []ring.Target{t}, Rule: at.rule}},
	}
	if d.callme != nil {
		d.anchor(CallMe, d.callme.Number)
		r.Shown, r.RingTime = d.callme.Number, callMeTime
	}
	d.anchor(at.rule, at.external)
	return r
}

// owner is whose setting sends the call out: that of the last hop, else the
// caller.
func (d *decider) owner() string {
	switch n := len(d.hops); {
	case n > 0:
		return d.hops[n-1].Owner
	case d.caller != nil:
		return d.caller.User
	default:
		return ""
	}
}

// exit returns the target of a number or an address outside: the trunk of the
// first route, and in Others those that follow when it fails over. It reports
// false when all of them are full, or no route leads there.
func (d *decider) exit(at place, by *directory.Line) (t ring.Target, ok bool) {
	to := at.external
	for i := range d.t.Trunks {
		r := &d.t.Trunks[i]
		if !strings.HasPrefix(to, r.Prefix) || t.Leaves(r.Name) {
			continue
		}
		full := d.full(r.Name, r.MaxCalls)
		switch {
		case d.lacks():
			return t, false
		case full:
		case ok:
			t.Others = append(t.Others, ring.Other{Trunk: r.Name, Identity: d.shown(r.CallerID, by)})
		default:
			ok = true
			t = ring.Target{Trunk: r.Name, Kind: at.kind.String(), Contact: to, Instance: to, Q: 1000, Identity: d.shown(r.CallerID, by)}
		}
	}
	return t, ok
}

// anonymous is a caller that nobody is shown (RFC 3323 §4.1).
const anonymous = "anonymous"

func (d *decider) hidden(asserted string) *ring.Identity {
	return &ring.Identity{User: anonymous, Host: d.t.Name, Display: "Anonymous", Asserted: asserted, Hidden: true}
}

// shown is who a trunk with a caller id policy is shown, when the caller or a
// setting of by sends the call out. Who answers for the call is asserted: a
// public number of ours.
func (d *decider) shown(policy string, by *directory.Line) *ring.Identity {
	own := by
	if own == nil {
		own = d.caller
	}
	asserted := firstOf(own.Public, own.MainNumber)
	id := &ring.Identity{Host: d.t.Name, Asserted: asserted}
	switch {
	case policy == directory.CallerMain && own.MainNumber != "":
		id.User = own.MainNumber
		if own.CallerID == directory.CallerIDHidden {
			return d.hidden(asserted)
		}
		return id
	case policy == directory.CallerForwarding:
	case d.caller != nil:
		own = d.caller
	case !d.internal: // the first caller, as received
		if id.User = firstOf(d.from.E164, d.v.Caller.Number); id.User == "" || id.User == anonymous {
			return d.hidden(asserted)
		}
		return id
	}
	switch own.CallerID {
	case directory.CallerIDHidden:
		return d.hidden(asserted)
	case "":
		id.User = firstOf(own.Public, own.MainNumber, own.Number)
		if id.User == own.Public {
			id.Display = own.Label
		}
	default:
		id.User = own.CallerID
	}
	return id
}

// within is who devices of the domain are shown: nil for the caller as received,
// which is all but a caller that hides or replaces its number, and the user's
// number for a remote destination that calls.
func (d *decider) within() *ring.Identity {
	switch {
	case d.as != "":
		return &ring.Identity{User: d.as, Host: d.t.Name}
	case d.caller == nil || d.caller.CallerID == "":
		return nil
	case d.caller.CallerID == directory.CallerIDHidden:
		return d.hidden("")
	default:
		return &ring.Identity{User: d.caller.CallerID, Host: d.t.Name}
	}
}

func firstOf(of ...string) string {
	for _, s := range of {
		if s != "" {
			return s
		}
	}
	return ""
}
