package routing

import (
	"slices"
	"strings"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// maxHops is how many forwards are followed in one call (forward.too-many).
const maxHops = 10

// Decide decides one visit in w. It returns the plan and how it came about, or
// what it lacks.
func Decide(w *World, v Visit) (Plan, Trace, Need) { return decide(w, &v, nil) }

func decide(w *World, v *Visit, buf Trace) (Plan, Trace, Need) {
	if buf == nil {
		buf = make(Trace, 0, 4)
	}
	d := decider{w: w, v: v, trace: buf, hops: slices.Clip(v.Hops)}
	dec := d.decide()
	if d.need != (Need{}) {
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
	internal bool
	invite   bool
	broke    bool // the last number's forward was not followed: loop breakout
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
	if n := len(d.v.Hops); n > 0 {
		h := &d.v.Hops[n-1]
		d.say(Entry{Rule: h.Rule, Number: h.Number, To: h.To, Setting: h.Setting, Value: h.To, Level: ForOwner, Owner: h.Owner})
		return d.arrive()
	}
	return d.dial()
}

// findCaller finds the number of an internal caller: its class and caller id
// concern the call.
func (d *decider) findCaller() {
	if !d.internal || d.v.Caller.Number == "" {
		return
	}
	l, ok := d.w.number(d.t.Name, d.v.Caller.Number)
	if !ok {
		d.lack(NeedNumber, d.v.Caller.Number)
	}
	d.caller = l
}

// dial goes from the dialled string to a number (behaviour.md §2) and on from
// there.
func (d *decider) dial() Decision {
	n, isNumber := d.t.Plan.Parse(d.v.Target)
	if !d.admitted(isNumber) {
		d.say(Entry{Rule: OriginDenied, Number: d.v.Target})
		return d.reject(OriginDenied, 403, "Forbidden")
	}
	at := d.look(d.v.Target, n, isNumber)
	if d.lacks() {
		return nil
	}
	if at.line == nil {
		return d.unknown(d.v.Target)
	}
	if at.device != "" && d.v.Origin == OriginTrunk {
		d.say(Entry{Rule: OriginDenied, Number: d.v.Target})
		return d.reject(OriginDenied, 403, "Forbidden")
	}
	d.say(Entry{Rule: at.rule, Number: at.line.Number, Value: d.v.Target})
	if d.caller != nil && !d.caller.Class.Allows(dial.Internal, at.line.Number) {
		d.say(Entry{
			Rule: ClassOfService, Number: d.caller.Number, Value: at.line.Number,
			Level: ForOwner, Owner: d.caller.User,
		})
		return d.reject(ClassOfService, 403, "Forbidden")
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

// A place is what a string means: a number of the domain, or one device of it
// alone; or, with neither, something outside.
type place struct {
	line   *directory.Line
	device string
	rule   RuleName

	kind     dial.Kind // for a class of service
	external string    // the number or address outside
}

// look finds what a user part means in the domain: dial.number, dial.user,
// dial.device.
func (d *decider) look(user string, n dial.Number, isNumber bool) place {
	if isNumber {
		return place{line: d.lookNumber(n), rule: DialNumber, kind: dial.Internal}
	}
	name := strings.ToLower(user)
	for _, by := range [...]struct {
		kind NeedKind
		rule RuleName
	}{{NeedUser, DialUser}, {NeedDevice, DialDevice}} {
		number, ok := d.w.name(by.kind, d.t.Name, name)
		if !ok {
			d.lack(by.kind, name)
			return place{}
		}
		if number == "" {
			continue
		}
		p := place{line: d.lookNumber(dial.Number{Ext: number}), rule: by.rule, kind: dial.Internal}
		if by.kind == NeedDevice {
			p.device = name
		}
		return p
	}
	return place{}
}

// lookNumber finds an active number of the domain, by extension first.
func (d *decider) lookNumber(n dial.Number) *directory.Line {
	for _, key := range [...]string{n.Ext, n.E164} {
		if key == "" {
			continue
		}
		l, ok := d.w.number(d.t.Name, key)
		if !ok {
			d.lack(NeedNumber, key)
			return nil
		}
		if l != nil {
			if !l.Active {
				return nil
			}
			return l
		}
	}
	return nil
}

// find finds what the target of a setting means.
func (d *decider) find(t *directory.Target) place {
	if t.Host == "" {
		l := d.lookNumber(t.Number)
		if l == nil && t.Number.E164 != "" {
			return place{kind: d.t.Plan.KindOf(t.Number.E164), external: t.Number.E164, rule: DialTrunk}
		}
		return place{line: l, kind: dial.Internal}
	}
	host, ok := d.w.domain(t.Host)
	switch {
	case !ok:
		d.need = Need{Kind: NeedDomain, Key: t.Host}
		return place{}
	case host == nil || host.Name != d.t.Name: // the same extension elsewhere is another number
		return place{kind: dial.Elsewhere, external: t.Text, rule: AnchorDomain}
	}
	n, isNumber := d.t.Plan.Parse(t.User)
	return d.look(t.User, n, isNumber)
}

// reach goes on from a number until the call is decided.
func (d *decider) reach(at place) Decision {
	for {
		f, dec := d.at(at)
		if d.lacks() || dec != nil {
			return dec
		}
		if dec = d.hop(at.line, f); dec != nil {
			return dec
		}
		if at = d.find(&f.to.Target); d.lacks() {
			return nil
		}
		if at.line == nil {
			return d.leave(at)
		}
	}
}

// arrive goes on from the last hop of a visit: the forward of an outcome.
func (d *decider) arrive() Decision {
	last := d.v.Hops[len(d.v.Hops)-1]
	if len(d.v.Hops) > maxHops {
		return d.tooMany(last.Number, last.Owner, false)
	}
	t := directory.Target{Text: last.To, User: d.v.Target, Host: d.v.TargetHost}
	if t.Host == "" {
		t.Number, _ = d.t.Plan.Parse(d.v.Target)
	}
	at := d.find(&t)
	if d.lacks() {
		return nil
	}
	if at.line == nil && at.external != "" {
		return d.leave(at)
	}
	if at.line == nil {
		return d.final(last.Number, d.v.Target, finalOf(last.Rule))
	}
	return d.reach(at)
}

// finalOf is the final status when a forward by outcome leads nowhere.
func finalOf(rule RuleName) int {
	if rule == ForwardBusy {
		return 486
	}
	return 480
}

func (d *decider) final(number, gone string, status int) Decision {
	d.say(Entry{Rule: DialUnknown, Number: gone, Level: ForOwner, Owner: d.owner()})
	d.say(Entry{Rule: RingFinal, Number: number, Level: ForOwner, Owner: d.owner()})
	if status == 486 {
		return d.reject(RingFinal, 486, "Busy Here")
	}
	return d.reject(RingFinal, 480, "Temporarily Unavailable")
}

// leave is a call that a setting sends out of the domain. There are no trunks
// yet: it is planned as it will be, and anchored.
func (d *decider) leave(at place) Decision {
	d.say(Entry{Rule: at.rule, To: at.external, Level: ForOwner, Owner: d.owner()})
	d.anchor(at.rule, at.external)
	return Ring{
		Number: at.external,
		Stages: []Stage{{Targets: []ring.Target{{Contact: at.external}}, Rule: at.rule}},
	}
}

func (d *decider) owner() string {
	if n := len(d.hops); n > 0 {
		return d.hops[n-1].Owner
	}
	return ""
}

func (d *decider) anchor(reason RuleName, number string) {
	if d.anchored == "" {
		d.anchored = reason
		d.say(Entry{Rule: CallAnchored, Number: number, Value: string(reason), Level: ForAdmin})
	}
}

// hop follows a forward of l; it returns a decision when there were too many.
func (d *decider) hop(l *directory.Line, f forward) Decision {
	if len(d.hops) >= maxHops {
		return d.tooMany(l.Number, l.User, l.Voicemail)
	}
	to := f.to.Target.Text
	d.hops = append(d.hops, Hop{Number: l.Number, To: to, Rule: f.rule, Setting: f.to.Setting, Owner: l.User})
	d.about(l, f.rule, to, f.to.Setting, to)
	d.broke = false
	return nil
}

func (d *decider) tooMany(number, owner string, mailbox bool) Decision {
	d.say(Entry{Rule: ForwardTooMany, Number: number, Level: ForOwner, Owner: owner})
	if mailbox {
		d.say(Entry{Rule: Voicemail, Number: number, Level: ForOwner, Owner: owner})
	}
	return d.reject(ForwardTooMany, 480, "Temporarily Unavailable")
}
