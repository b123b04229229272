package routing

import (
	"slices"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

// Decide decides one visit in w. It returns the plan and how it came about, or
// what it lacks.
func Decide(w *World, v Visit) (Plan, Trace, Need) {
	plan, trace, need := decide(w, &v, w.trace[:0])
	w.trace = trace
	return plan, slices.Clone(trace), need
}

// decide writes the trace to buf, as long as that is enough.
func decide(w *World, v *Visit, buf Trace) (Plan, Trace, Need) {
	d := decider{w: w, v: v, trace: buf, hops: slices.Clip(v.Hops), anchored: v.Anchored}
	dec := d.decide()
	if d.lacks() {
		return Plan{}, d.trace, d.need
	}
	return Plan{Decision: dec, Anchored: d.anchored, Hops: d.hops}, d.trace, Need{}
}

// A decider is one decision while it is made. A method that finds something
// lacking sets need; its caller returns at once when lacks() says so.
type decider struct {
	w        *World
	v        *Visit
	t        *directory.Tenant
	caller   *directory.Line // of an internal caller; nil for others
	from     dial.Number     // the caller, as settings may name it
	as       string          // the number that a caller from outside is shown as: snr.inbound
	internal bool
	invite   bool
	broke    bool            // the last number's forward was not followed: loop breakout
	only     bool            // nothing but devices ring: forward.external-loop
	urgent   bool            // a call back after an emergency call: neither dnd nor forwards stop it
	callme   *directory.Line // whose CallMe led to the number at hand
	trace    Trace
	hops     []Hop
	anchored RuleName
	need     Need
}

func (d *decider) lacks() bool { return d.need.Kind != NeedNothing }

func (d *decider) lack(kind NeedKind, key string) {
	d.need = Need{Kind: kind, Key: key}
	if d.t != nil {
		d.need.Domain = d.t.Name
	}
}

// say adds an entry to the trace.
func (d *decider) say(e Entry) {
	e.At = d.w.Now
	d.trace = append(d.trace, e)
}

// about adds an entry about a setting of a number, which its owner may read.
func (d *decider) about(l *directory.Line, rule RuleName, to, setting, value string) {
	d.say(Entry{Rule: rule, Number: l.Number, To: to, Setting: setting, Value: value, Level: ForOwner, Owner: l.User})
}

func (d *decider) reject(rule RuleName, status int, reason string) Decision {
	return Reject{Status: status, Reason: reason, Rule: rule}
}

func (d *decider) unknown(what string) Decision {
	d.say(Entry{Rule: DialUnknown, Number: what})
	return d.reject(DialUnknown, 404, "Not Found")
}

func (d *decider) denied() Decision {
	d.say(Entry{Rule: OriginDenied, Number: d.v.Target})
	return d.reject(OriginDenied, 403, "Forbidden")
}

func (d *decider) decide() Decision {
	d.invite = d.v.Method == "INVITE" || d.v.Method == ""
	host := d.v.Domain
	if host == "" {
		host = directory.Host(d.v.TargetHost)
	}
	t, ok := d.w.domain(host)
	switch {
	case !ok:
		d.lack(NeedDomain, host)
		return nil
	case t == nil:
		return d.unknown(host)
	}
	d.t, d.internal = t, d.v.internal(t.Name)
	if d.findCaller(); d.lacks() {
		return nil
	}
	if len(d.v.Hops) > 0 {
		return d.arrive()
	}
	return d.dial()
}

// findCaller finds the number of an internal caller: its class and caller id
// concern the call. What another caller is called counts only as a public
// number: extensions are ours.
func (d *decider) findCaller() {
	c := d.v.Caller.Number
	if c == "" {
		return
	}
	if !d.internal {
		d.from.E164 = d.foreign(c).E164
		d.recognise()
		return
	}
	l, ok := d.w.number(d.t.Name, c)
	if !ok {
		d.lack(NeedNumber, c)
	}
	d.from.Ext = c
	if d.caller = l; l != nil {
		d.from.E164 = l.Public
	}
}

// recognise finds the user whose remote destination calls (rule snr.inbound).
// A caller id says so only where the trunk answers for it.
func (d *decider) recognise() {
	if d.v.Origin != OriginTrunk || !d.invite || d.from.E164 == "" {
		return
	}
	if c := d.t.Carrier(d.v.Trunk); c == nil || !c.Verified {
		return
	}
	number, ok := d.w.name(NeedCaller, d.t.Name, d.from.E164)
	if !ok {
		d.lack(NeedCaller, d.from.E164)
		return
	}
	d.as = number
	if number != "" && len(d.v.Hops) == 0 {
		d.say(Entry{Rule: SNRInbound, Number: number, Value: d.from.E164, Level: ForAdmin})
	}
}

// foreign reads a number as other networks write it: nobody there dials the
// access code, and "+" may be missing.
func (d *decider) foreign(s string) dial.Number {
	p := d.t.Plan
	p.Access = ""
	n, ok := p.Parse(s)
	if ok && n.E164 == "" && dial.IsE164("+"+n.Ext) {
		n.E164 = "+" + n.Ext
	}
	return n
}

// dial goes from the dialled string to a number (behaviour.md §2) and on from
// there.
func (d *decider) dial() Decision {
	if n := HelpNumber(d.t, d.v); n != "" && d.invite {
		return d.emergency(n)
	}
	if l := d.caller; l != nil && !l.Active && d.invite {
		d.say(Entry{Rule: NumberState, Number: l.Number, Level: ForOwner, Owner: l.User})
		return d.reject(NumberState, 403, "Number Not Active")
	}
	if dec := d.act(); dec != nil || d.lacks() {
		return dec
	}
	n, isNumber := d.t.Plan.Parse(d.v.Target)
	if d.v.Origin == OriginTrunk && isNumber {
		n = d.foreign(d.v.Target)
	}
	if !d.admitted(isNumber) {
		return d.denied()
	}
	at := d.look(d.v.Target, n, isNumber)
	switch {
	case d.lacks():
		return nil
	case at.line == nil && at.rule == DialNumber && n.E164 != "" && d.invite:
		return d.outward(n.E164)
	case at.line == nil:
		return d.unknown(d.v.Target)
	case d.v.Origin == OriginTrunk && !d.reaches(at):
		return d.denied()
	}
	if d.v.Instance != "" && d.internal {
		at.instance, at.rule = d.v.Instance, DialContact
	}
	if at.hunts() {
		at.rule = DialGroup
	}
	d.say(Entry{Rule: at.rule, Number: at.line.Number, Value: d.v.Target})
	if d.caller != nil && !d.caller.Class.Allows(dial.Internal, at.line.Number) {
		return d.classDenies(at.line.Number)
	}
	if !d.internal && d.invite {
		if dec := d.enter(at.line); dec != nil || d.lacks() {
			return dec
		}
	}
	return d.reach(at)
}

// admitted reports whether the origin may ask for what it does (behaviour.md
// §1). A device of another domain is a stranger here: domains share nothing.
func (d *decider) admitted(isNumber bool) bool {
	switch d.v.Origin {
	case OriginNode, OriginTrunk:
		return true
	case OriginDevice:
		return d.internal || isNumber && d.t.Strangers
	case OriginStranger:
		return isNumber && d.t.Strangers
	default:
		return false
	}
}

// reaches reports whether the trunk that the call came in by may reach a place:
// no single device, and what its match_in names.
func (d *decider) reaches(at place) bool {
	if at.device != "" {
		return false
	}
	c := d.t.Carrier(d.v.Trunk)
	return c == nil || c.Reaches(at.line.Number, at.line.Public, d.v.Target)
}

func (d *decider) classDenies(to string) Decision {
	d.say(Entry{Rule: ClassOfService, Number: d.caller.Number, Value: to, Level: ForOwner, Owner: d.caller.User})
	return d.reject(ClassOfService, 403, "Forbidden")
}

func (d *decider) anchor(reason RuleName, number string) {
	if d.anchored == "" {
		d.anchored = reason
		d.say(Entry{Rule: CallAnchored, Number: number, Value: string(reason), Level: ForAdmin})
	}
}
