package routing

import (
	"slices"
	"strings"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

// The statuses of limit.*: what a number or a domain has used up is forbidden
// (403), since 503 would send phones and carriers to another server where they
// have no more right to it; a trunk that is full, or a number that cannot take
// one more call from outside, is 503.

// maxForwarded is how many calls a number may have sent out by trunks at once
// (forward.external-loop).
const maxForwarded = 4

// maxDiverted bounds the numbers that are looked up because a trunk names them.
const maxDiverted = 20

// over returns the rule of the limit that an external call of a number to a kind
// of destination is over, and whose limit that is, the number's or the domain's;
// "" when it is within all of them. kind is 0 for a call that comes in.
func (d *decider) over(l *directory.Line, kind dial.Kind) (rule RuleName, whose string) {
	if rule = d.overQuota(l.Number, &l.Limits, kind); rule != "" || d.lacks() {
		return rule, l.Number
	}
	return d.overQuota("", &d.t.Limits, kind), d.t.Name
}

func (d *decider) overQuota(key string, q *directory.Quota, kind dial.Kind) RuleName {
	if *q == (directory.Quota{}) {
		return ""
	}
	u, ok := d.w.used(d.t.Name, key)
	if !ok {
		d.lack(NeedUsage, key)
		return ""
	}
	switch {
	case q.Calls > 0 && u.External-d.mine(key) >= q.Calls:
		return LimitCalls
	case q.Attempts > 0 && kind != 0 && u.Attempts >= q.Attempts:
		return LimitAttempts
	case q.International > 0 && kind == dial.International && u.International >= q.International,
		q.Premium > 0 && kind == dial.Premium && u.Premium >= q.Premium:
		return LimitMinutes
	}
	return ""
}

// mine is 1 when the call itself is among those that a key has in use: it came
// from outside, and has rung there already.
func (d *decider) mine(key string) int {
	if !d.internal && len(d.v.Rung) > 0 && (key == "" || slices.Contains(d.v.Rung, key)) {
		return 1
	}
	return 0
}

// full reports whether a trunk has all the calls it may have.
func (d *decider) full(trunk string, most int) bool {
	if most <= 0 {
		return false
	}
	u, ok := d.w.usedTrunk(d.t.Name, trunk)
	if !ok {
		d.lack(NeedUsage, TrunkKey(trunk))
		return false
	}
	n := u.External
	if trunk == d.v.Trunk && len(d.v.Rung) > 0 {
		n--
	}
	return n >= most
}

// enter holds a call from outside against the limits of where it arrives and
// looks for loops over other networks. It returns a decision when the call ends
// there.
func (d *decider) enter(l *directory.Line) Decision {
	if d.urgent = d.callsBack(l); d.urgent || d.lacks() {
		return nil
	}
	rule, whose := d.over(l, 0)
	if c := d.t.Carrier(d.v.Trunk); rule == "" && !d.lacks() && c != nil && d.full(c.Name, c.MaxCalls) {
		rule, whose = LimitCalls, c.Name
	}
	if d.lacks() {
		return nil
	}
	if rule != "" {
		d.about(l, rule, "", "", whose)
		return d.reject(rule, 503, "Service Unavailable")
	}
	if d.v.Origin == OriginTrunk {
		d.only = d.returns(l)
	}
	return nil
}

// returns reports whether a call comes back that a setting of ours sent out:
// it was diverted by a number of ours, or it repeats caller and called of a call
// whose leg by a trunk still rings (forward.external-loop).
func (d *decider) returns(l *directory.Line) bool {
	for _, s := range d.v.Diverted[:min(len(d.v.Diverted), maxDiverted)] {
		n := d.foreign(s)
		if n.E164 != "" {
			n.Ext = ""
		}
		_, ours := d.lookNumber(n)
		if d.lacks() {
			return false
		}
		if ours {
			d.about(l, ForwardExternalLoop, "", "", s)
			return true
		}
	}
	u, ok := d.w.used(d.t.Name, l.Number)
	if !ok {
		d.lack(NeedUsage, l.Number)
		return false
	}
	for _, caller := range u.Ringing {
		if caller != "" && (caller == d.v.Caller.Number || caller == d.from.E164) {
			d.about(l, ForwardExternalLoop, "", "", caller)
			return true
		}
	}
	return false
}

// mayLeave holds a setting of a number that leads out against the number's
// limits, at the time when it is followed. It says so when it may not.
func (d *decider) mayLeave(l *directory.Line, to place, setting, value string) bool {
	if to.external == "" {
		return true
	}
	rule, _ := d.over(l, to.kind)
	if d.lacks() {
		return false
	}
	u, ok := d.w.used(d.t.Name, l.Number)
	if !ok {
		d.lack(NeedUsage, l.Number)
		return false
	}
	if rule == "" && u.Forwarded >= maxForwarded {
		rule = ForwardExternalLoop
	}
	if rule != "" {
		d.about(l, rule, "", setting, value)
	}
	return rule == ""
}

// usedTrunk is [World.used] with the key of a trunk.
func (w *World) usedTrunk(domain, trunk string) (*Usage, bool) {
	for i := range w.usage {
		e := &w.usage[i]
		if name, ok := strings.CutPrefix(e.key, trunkPrefix); ok && e.domain == domain && name == trunk {
			return &e.usage, true
		}
	}
	return nil, false
}
