package routing

import (
	"slices"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

// A forward is a setting that applies, and the rule that says so.
type forward struct {
	rule RuleName
	to   *directory.Follow
}

// at decides what happens at a number, in the order of behaviour.md §3. It
// returns the forward to follow, or a decision.
func (d *decider) at(p place) (forward, Decision) {
	l := p.line
	if !d.invite {
		return forward{}, d.queue(p)
	}
	quiet := d.disturbs(l)
	if p.device == "" {
		if f, dec := d.redirects(l, quiet); dec != nil || f.to != nil || d.lacks() {
			return f, dec
		}
	}
	alert := ""
	if quiet {
		d.about(l, DND, "", l.DNDSetting, l.DND.Mode)
		switch l.DND.Mode {
		case directory.DNDRingerOff:
			alert = alertInfo(l.DND.Alert)
		case directory.DNDReject:
			return d.busy(p, DND)
		default: // voicemail-else-busy
			d.about(l, Voicemail, "", "", "")
			return d.busy(p, DND)
		}
	}
	if slices.Contains(d.v.Rung, l.Number) {
		d.about(l, RingOnce, "", "", "")
		return d.unreachable(p)
	}
	n, ok := d.w.live(d.t.Name, l.Number)
	if !ok {
		d.lack(NeedCalls, l.Number)
		return forward{}, nil
	}
	if n >= *l.Trigger.Of(d.internal) {
		d.about(l, Busy, "", "", "")
		return d.busy(p, Busy)
	}
	return d.ring(p, alert)
}

// disturbs reports whether do not disturb stands between this caller and l.
func (d *decider) disturbs(l *directory.Line) bool {
	return l.DND.Enabled && !slices.ContainsFunc(l.Allow, d.calls)
}

// calls reports whether the caller has the number.
func (d *decider) calls(n dial.Number) bool {
	switch c := d.v.Caller.Number; {
	case c == "":
		return false
	case d.internal && n.Ext == c, n.E164 == c:
		return true
	default:
		return d.caller != nil && d.caller.Public != "" && d.caller.Public == n.E164
	}
}

// redirects finds the forward that applies before anything rings: forward.all,
// then presence.forward.
func (d *decider) redirects(l *directory.Line, quiet bool) (forward, Decision) {
	if f := l.All.Of(d.internal); f.On {
		if fw, dec := d.redirect(l, ForwardAll, f); dec != nil || fw.to != nil || d.lacks() {
			return fw, dec
		}
	}
	if l.User == "" {
		return forward{}, nil
	}
	status := l.Presence.At(d.w.Now)
	for i := range l.PresenceTo {
		f := &l.PresenceTo[i]
		if f.Status != status {
			continue
		}
		if quiet && !f.Target.Voicemail {
			d.about(l, PresenceForward, "", f.Setting, f.Target.Text)
			return forward{}, nil
		}
		return d.redirect(l, PresenceForward, &f.Follow)
	}
	if status != directory.StatusOffice && l.Voicemail {
		d.about(l, Voicemail, "", "", status)
	}
	return forward{}, nil
}

// redirect decides whether one forward that precedes ringing is followed: not
// to the caller (forward.override), not where the class forbids, not to a number
// already passed through (forward.loop-breakout), not to nowhere.
func (d *decider) redirect(l *directory.Line, rule RuleName, f *directory.Follow) (forward, Decision) {
	if f.Target.Voicemail {
		d.about(l, rule, f.Target.Text, f.Setting, f.Target.Text)
		d.about(l, Voicemail, "", "", "")
		return forward{}, d.reject(Voicemail, 480, "Temporarily Unavailable")
	}
	to, ok := d.allowed(l, f)
	if d.lacks() || !ok {
		return forward{}, nil
	}
	if to.line != nil && to.line == d.caller {
		d.about(l, ForwardOverride, "", f.Setting, f.Target.Text)
		return forward{}, nil
	}
	if to.line != nil && to.device == "" && d.passed(l, to.line) {
		d.broke = true
		d.about(l, ForwardLoopBreakout, "", f.Setting, f.Target.Text)
		return forward{}, nil
	}
	return forward{rule, f}, nil
}

// passed reports whether the call went through a number, or is at it.
func (d *decider) passed(at, l *directory.Line) bool {
	if at.Number == l.Number {
		return true
	}
	for i := range d.hops {
		if d.hops[i].Number == l.Number {
			return true
		}
	}
	return false
}

// allowed finds the target of a setting and holds it against the forwarding
// class of its owner (target.class). A target that does not exist is as if
// nothing were set.
func (d *decider) allowed(l *directory.Line, f *directory.Follow) (place, bool) {
	to := d.find(&f.Target)
	if d.lacks() {
		return place{}, false
	}
	if to.line == nil && to.external == "" {
		d.about(l, DialUnknown, "", f.Setting, f.Target.Text)
		return place{}, false
	}
	number := to.external
	if to.line != nil {
		number = to.line.Number
	}
	if !l.ForwardingClass.Allows(to.kind, number) {
		d.about(l, TargetClass, "", f.Setting, f.Target.Text)
		return place{}, false
	}
	return to, true
}

// outcome decides what follows a busy or an unreachable number at once: its
// forward, voicemail, or a final response.
func (d *decider) outcome(p place, rule RuleName, f *directory.Follow) (forward, bool) {
	if p.device != "" || !f.On {
		return forward{}, false
	}
	if f.Target.Voicemail {
		d.about(p.line, rule, f.Target.Text, f.Setting, f.Target.Text)
		d.about(p.line, Voicemail, "", "", "")
		return forward{}, false
	}
	_, ok := d.allowed(p.line, f)
	return forward{rule, f}, ok
}

func (d *decider) busy(p place, rule RuleName) (forward, Decision) {
	fw, ok := d.outcome(p, ForwardBusy, p.line.Busy.Of(d.internal))
	if ok || d.lacks() {
		return fw, nil
	}
	d.mailbox(p.line)
	return forward{}, d.reject(rule, 486, "Busy Here")
}

func (d *decider) unreachable(p place) (forward, Decision) {
	fw, ok := d.outcome(p, ForwardUnreachable, p.line.Unreachable.Of(d.internal))
	if ok || d.lacks() {
		return fw, nil
	}
	d.mailbox(p.line)
	d.say(Entry{Rule: RingFinal, Number: p.line.Number, Level: d.level(), Owner: p.line.User})
	return forward{}, d.reject(RingFinal, 480, "Temporarily Unavailable")
}

// mailbox says that voicemail would take the call, and that there is none yet.
func (d *decider) mailbox(l *directory.Line) {
	if n := len(d.trace); l.Voicemail && (n == 0 || d.trace[n-1].Rule != Voicemail) {
		d.about(l, Voicemail, "", "", "")
	}
}

// targets returns the bindings that ring for a place.
func (d *decider) targets(p place) *bindingsEntry {
	b, ok := d.w.bound(d.t.Name, p.line.Number)
	if !ok {
		d.lack(NeedBindings, p.line.Number)
		return nil
	}
	if p.device == "" {
		return b
	}
	only := &bindingsEntry{nat: b.nat}
	for _, t := range b.targets {
		if t.Device == p.device {
			only.targets = append(only.targets, t)
		}
	}
	return only
}

// queue sends a request that is no INVITE to the bindings of a number.
func (d *decider) queue(p place) Decision {
	b := d.targets(p)
	if d.lacks() {
		return nil
	}
	d.say(Entry{Rule: RingDevices, Number: p.line.Number, Value: registered(b)})
	if len(b.targets) == 0 {
		return d.reject(RingFinal, 480, "Temporarily Unavailable")
	}
	return Ring{Number: p.line.Number, Queue: true, Stages: []Stage{{Targets: b.targets, Rule: RingDevices}}}
}

// NotRegistered is the value of a ring.devices entry when no device of the
// number was registered; otherwise the value is "".
const NotRegistered = "not-registered"

func registered(b *bindingsEntry) string {
	if len(b.targets) == 0 {
		return NotRegistered
	}
	return ""
}

// ring plans the ringing of a number and what follows it.
func (d *decider) ring(p place, alert string) (forward, Decision) {
	l := p.line
	b := d.targets(p)
	if d.lacks() {
		return forward{}, nil
	}
	var out Outcomes
	if len(b.targets) > 0 && p.device == "" {
		if out = d.outcomes(l); d.lacks() {
			return forward{}, nil
		}
	}
	d.say(Entry{Rule: RingDevices, Number: l.Number, Value: registered(b), Level: max(d.level(), levelOf(b)), Owner: l.User})
	if len(b.targets) == 0 {
		return d.unreachable(p)
	}
	r := Ring{
		Number: l.Number, Alert: alert, Outcomes: out,
		Stages: []Stage{{Targets: b.targets, Rule: d.why()}},
	}
	if out.NoAnswer != nil {
		r.RingTime = l.RingTime
	}
	d.anchors(l, &out, b.nat)
	return forward{}, r
}

// level hides from all but its owner what became of a call that a setting sent
// on: the caller does not learn where to.
func (d *decider) level() Level {
	if len(d.hops) > 0 {
		return ForOwner
	}
	return Public
}

// levelOf lets everybody know that a number rings, but its owner only that it
// does not.
func levelOf(b *bindingsEntry) Level {
	if len(b.targets) == 0 {
		return ForOwner
	}
	return Public
}

// why is the rule by which the number rings that the call ended at.
func (d *decider) why() RuleName {
	switch n := len(d.hops); {
	case d.broke:
		return ForwardLoopBreakout
	case n > 0:
		return d.hops[n-1].Rule
	default:
		return RingDevices
	}
}

// outcomes plans the visits that follow when nobody answers.
func (d *decider) outcomes(l *directory.Line) (out Outcomes) {
	out.NoAnswer = d.next(l, ForwardNoAnswer, l.NoAnswer.Of(d.internal))
	out.Busy = d.next(l, ForwardBusy, l.Busy.Of(d.internal))
	out.Unreachable = d.next(l, ForwardUnreachable, l.Unreachable.Of(d.internal))
	return out
}

func (d *decider) next(l *directory.Line, rule RuleName, f *directory.Follow) *Visit {
	if !f.On || f.Target.Voicemail || d.lacks() || len(d.hops) >= maxHops {
		return nil
	}
	if _, ok := d.allowed(l, f); !ok {
		return nil
	}
	v := *d.v
	v.Domain, v.Target, v.TargetHost = d.t.Name, f.Target.Text, ""
	if f.Target.Host != "" {
		v.Target, v.TargetHost = f.Target.User, f.Target.Host
	}
	v.Hops = append(slices.Clip(d.hops), Hop{Number: l.Number, To: f.Target.Text, Rule: rule, Setting: f.Setting, Owner: l.User})
	v.Rung = append(slices.Clip(d.v.Rung), l.Number)
	return &v
}

// anchors finds the reason why this call cannot be proxied (architecture.md
// §3), if there is one.
func (d *decider) anchors(l *directory.Line, out *Outcomes, nat bool) {
	switch {
	case out.NoAnswer != nil:
		d.anchor(ForwardNoAnswer, l.Number)
	case out.Busy != nil:
		d.anchor(ForwardBusy, l.Number)
	case out.Unreachable != nil:
		d.anchor(ForwardUnreachable, l.Number)
	case !d.internal:
		d.anchor(AnchorDomain, l.Number)
	case d.caller != nil && d.caller.CallerID != "":
		d.anchor(AnchorCallerID, l.Number)
	case d.v.Caller.Behind:
		d.anchor(AnchorCallerNAT, l.Number)
	case nat:
		d.anchor(AnchorCalleeNAT, l.Number)
	}
}

// alertInfo is the Alert-Info of dnd ringer-off: silence, with a visual alert
// (RFC 3261 §20.4; the parameters are what common phones read).
func alertInfo(alert string) string {
	switch alert {
	case "beep":
		return "<http://127.0.0.1/silent>;info=silent;alert=beep"
	case "flash":
		return "<http://127.0.0.1/silent>;info=silent;alert=flash"
	default:
		return "<http://127.0.0.1/silent>;info=silent;alert=none"
	}
}
