package routing

import (
	"slices"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

// maxHops is how many forwards are followed in one call (forward.too-many).
const maxHops = 10

// A forward is a setting that applies, and the rule that says so.
type forward struct {
	rule RuleName
	to   *directory.Follow
}

// reach goes on from a number until the call is decided.
func (d *decider) reach(at place) Decision {
	for {
		f, dec := d.at(at)
		if d.lacks() || dec != nil {
			return dec
		}
		by := at.line
		if dec = d.hop(by, f); dec != nil {
			return dec
		}
		if at = d.find(&f.to.Target); d.lacks() {
			return nil
		}
		if at.line == nil {
			return d.leave(at, by)
		}
	}
}

// arrive goes on from the last hop of a visit: the forward of an outcome, or a
// redirect of a phone. Its target is held against the class and the limits
// again, since the call goes there only now.
func (d *decider) arrive() Decision {
	last := &d.v.Hops[len(d.v.Hops)-1]
	by, ok := d.w.number(d.t.Name, last.Number)
	if !ok {
		d.lack(NeedNumber, last.Number)
		return nil
	}
	d.say(Entry{Rule: last.Rule, Number: last.Number, To: last.To, Setting: last.Setting, Value: last.To, Level: ForOwner, Owner: last.Owner})
	switch {
	case by == nil: // gone since
		return d.final(&directory.Line{Number: last.Number, User: last.Owner}, last.Rule)
	case len(d.v.Hops) > maxHops:
		return d.tooMany(by)
	case last.Rule == DeviceRedirect:
		d.anchor(DeviceRedirect, by.Number) // the next phone needs a leg of its own
	}
	t := directory.Target{Text: last.To, User: d.v.Target, Host: d.v.TargetHost}
	if t.Host == "" {
		if t.Number, _ = d.t.Plan.Parse(d.v.Target); t.Number.E164 != "" {
			t.Kind = d.t.Plan.KindOf(t.Number.E164)
		}
	}
	at, ok := d.allowed(by, &t, last.Setting)
	if ok {
		ok = d.mayLeave(by, at, last.Setting, last.To)
	}
	switch {
	case d.lacks():
		return nil
	case !ok:
		return d.final(by, last.Rule)
	case at.line == nil:
		return d.leave(at, by)
	default:
		return d.reach(at)
	}
}

// final ends a call whose forward of an outcome leads nowhere.
func (d *decider) final(by *directory.Line, rule RuleName) Decision {
	d.mailbox(by)
	d.say(Entry{Rule: RingFinal, Number: by.Number, Level: ForOwner, Owner: by.User})
	if rule == ForwardBusy {
		return d.reject(RingFinal, 486, "Busy Here")
	}
	return d.reject(RingFinal, 480, "Temporarily Unavailable")
}

// hop follows a forward of l; it returns a decision when there were too many.
func (d *decider) hop(l *directory.Line, f forward) Decision {
	if len(d.hops) >= maxHops {
		return d.tooMany(l)
	}
	to := f.to.Target.Text
	if len(d.hops) == cap(d.hops) {
		d.hops = slices.Grow(d.hops, 3) // chains are short
	}
	d.hops = append(d.hops, Hop{Number: l.Number, To: to, Rule: f.rule, Setting: f.to.Setting, Owner: l.User})
	d.about(l, f.rule, to, f.to.Setting, to)
	d.broke, d.callme = false, nil
	if f.rule == CallMe {
		d.callme = l
	}
	return nil
}

// tooMany ends a call after ten forwards: in the number's own mailbox, else with
// 480 (forward.too-many).
func (d *decider) tooMany(l *directory.Line) Decision {
	d.about(l, ForwardTooMany, "", "", "")
	if l.Voicemail {
		d.about(l, Voicemail, "", "", "")
	}
	return d.reject(ForwardTooMany, 480, "Temporarily Unavailable")
}

// redirects finds the forward that applies before anything rings: forward.all,
// then callme, then presence.forward.
func (d *decider) redirects(l *directory.Line, quiet bool) (forward, Decision) {
	if f := l.All.Of(d.internal); f.On {
		if fw, dec := d.redirect(l, ForwardAll, f); dec != nil || fw.to != nil || d.lacks() {
			return fw, dec
		}
	}
	if l.User == "" {
		return forward{}, nil
	}
	if l.CallMe.On {
		if fw := d.callMe(l); fw.to != nil || d.lacks() {
			return fw, nil
		}
	}
	return d.presence(l, quiet)
}

// presence finds the forward of the status that the user of l is in.
func (d *decider) presence(l *directory.Line, quiet bool) (forward, Decision) {
	status := l.Presence.At(d.w.Now)
	if f := statusFollow(l, status); f != nil {
		if quiet && !f.Target.Voicemail {
			d.about(l, PresenceForward, "", f.Setting, f.Target.Text)
			return forward{}, nil
		}
		return d.redirect(l, PresenceForward, f)
	}
	if status != directory.StatusOffice {
		d.mailbox(l)
	}
	return forward{}, nil
}

func statusFollow(l *directory.Line, status string) *directory.Follow {
	for i := range l.PresenceTo {
		if f := &l.PresenceTo[i]; f.Status == status {
			return &f.Follow
		}
	}
	return nil
}

// redirect decides whether one forward that precedes ringing is followed: not
// to the caller (forward.override), not where the class forbids, not to a number
// already passed through (forward.loop-breakout), not to nowhere.
func (d *decider) redirect(l *directory.Line, rule RuleName, f *directory.Follow) (forward, Decision) {
	if f.Target.Voicemail {
		d.about(l, rule, f.Target.Text, f.Setting, f.Target.Text)
		d.voicemail(l)
		return forward{}, d.reject(Voicemail, 480, "Temporarily Unavailable")
	}
	to, ok := d.allowed(l, &f.Target, f.Setting)
	if d.lacks() || !ok {
		return forward{}, nil
	}
	if d.isCaller(to) {
		d.about(l, ForwardOverride, "", f.Setting, f.Target.Text)
		return forward{}, nil
	}
	if to.line != nil && to.device == "" && d.passed(l, to.line) {
		d.broke = true
		d.about(l, ForwardLoopBreakout, "", f.Setting, f.Target.Text)
		return forward{}, nil
	}
	if !d.mayLeave(l, to, f.Setting, f.Target.Text) {
		return forward{}, nil
	}
	return forward{rule, f}, nil
}

// isCaller reports whether a place is where the call comes from.
func (d *decider) isCaller(to place) bool {
	if to.line != nil {
		return to.line == d.caller
	}
	return to.external == d.from.E164
}

// passed reports whether the call went through a number, or is at it.
func (d *decider) passed(at, l *directory.Line) bool {
	return at.Number == l.Number ||
		slices.ContainsFunc(d.hops, func(h Hop) bool { return h.Number == l.Number })
}

// allowed finds the target of a setting and holds it against the forwarding
// class of its owner (target.class). A target that does not exist, or that no
// trunk leads to, is as if nothing were set.
func (d *decider) allowed(l *directory.Line, t *directory.Target, setting string) (place, bool) {
	to := d.find(t)
	if d.lacks() {
		return place{}, false
	}
	number := to.external
	if to.line != nil {
		number = to.line.Number
	}
	switch {
	case number == "":
	case !l.ForwardingClass.Allows(dial.KindFrom(to.kind, number, l.Area), number):
		d.about(l, TargetClass, "", setting, t.Text)
		return place{}, false
	case to.line != nil || d.leads(number):
		return to, true
	}
	d.about(l, DialUnknown, "", setting, t.Text)
	return place{}, false
}

// outcome decides what follows a busy or an unreachable number at once: its
// forward, voicemail, or a final response.
func (d *decider) outcome(p place, rule RuleName, f *directory.Follow) (forward, bool) {
	if d.plain(p) || d.urgent || !f.On {
		return forward{}, false
	}
	if f.Target.Voicemail {
		d.about(p.line, rule, f.Target.Text, f.Setting, f.Target.Text)
		d.voicemail(p.line)
		return forward{}, false
	}
	to, ok := d.allowed(p.line, &f.Target, f.Setting)
	if ok {
		ok = d.mayLeave(p.line, to, f.Setting, f.Target.Text)
	}
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

// mailbox says that voicemail would take the call, where the number has it, and
// that there is none yet.
func (d *decider) mailbox(l *directory.Line) {
	if l = d.mailboxOf(l); l != nil && l.Voicemail {
		d.toMailbox(l)
	}
}

// voicemail is mailbox for a setting that names it.
func (d *decider) voicemail(l *directory.Line) {
	if l = d.mailboxOf(l); l != nil {
		d.toMailbox(l)
	}
}

func (d *decider) toMailbox(l *directory.Line) {
	if n := len(d.trace); n == 0 || d.trace[n-1].Rule != Voicemail {
		d.about(l, Voicemail, "", "", "")
	}
}

// mailboxOf is the number whose mailbox takes a call that is at l: the one that
// was called first in a chain, or the last where the domain says so.
func (d *decider) mailboxOf(l *directory.Line) *directory.Line {
	if len(d.hops) == 0 || d.t.LastMailbox || d.hops[0].Number == l.Number {
		return l
	}
	first, ok := d.w.number(d.t.Name, d.hops[0].Number)
	if !ok {
		d.lack(NeedNumber, d.hops[0].Number)
	}
	return first
}

// outcomes plans the visits that follow when nobody answers.
func (d *decider) outcomes(l *directory.Line, rung []string) (out Outcomes) {
	out.NoAnswer = d.next(l, ForwardNoAnswer, l.NoAnswer.Of(d.internal), rung)
	out.Busy = d.next(l, ForwardBusy, l.Busy.Of(d.internal), rung)
	out.Unreachable = d.next(l, ForwardUnreachable, l.Unreachable.Of(d.internal), rung)
	return out
}

func (d *decider) next(l *directory.Line, rule RuleName, f *directory.Follow, rung []string) *Visit {
	if !f.On || f.Target.Voicemail || d.lacks() || len(d.hops) >= maxHops {
		return nil
	}
	if _, ok := d.allowed(l, &f.Target, f.Setting); !ok {
		return nil
	}
	v := *d.v
	v.Domain, v.Target, v.TargetHost = d.t.Name, f.Target.Text, ""
	if f.Target.Host != "" {
		v.Target, v.TargetHost = f.Target.User, f.Target.Host
	}
	v.Hops = append(slices.Clip(d.hops), Hop{Number: l.Number, To: f.Target.Text, Rule: rule, Setting: f.Setting, Owner: l.User})
	v.Rung = rung
	return &v
}
