package routing

import (
	"cmp"
	"slices"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// Why a member of a group is skipped, beside the rules that say so: values of
// group.skipped.
const (
	SkippedCaller = "caller" // it calls the group
	SkippedGone   = "gone"   // it is no active number any more
)

// A member is a number of a hunt group that rings.
type member struct {
	line    *directory.Line
	targets []ring.Target
	since   time.Time // when its last answered call ended; zero: unknown, so long ago
}

// hunts reports whether the members of a group ring at a place.
func (p place) hunts() bool { return p.line.Hunt != nil && !p.single() }

// hunt decides what happens at the number of a hunt group. A member is tried,
// never followed (behaviour.md §3, groups).
func (d *decider) hunt(p place) (forward, Decision) {
	l := p.line
	if slices.Contains(d.v.Rung, l.Number) {
		d.about(l, RingOnce, "", "", "")
		return forward{}, d.missed(l, false)
	}
	if !d.only && !d.urgent {
		if f, dec := d.redirects(l, false); dec != nil || f.to != nil || d.lacks() {
			return f, dec
		}
	}
	members, rung, busy := d.members(p)
	if d.lacks() {
		return forward{}, nil
	}
	if len(members) == 0 {
		return d.overflow(p, busy)
	}
	h := l.Hunt
	if h.Strategy == directory.StrategyLongestIdle {
		slices.SortStableFunc(members, func(a, b member) int { return a.since.Compare(b.since) })
	}
	r := Ring{Number: l.Number, Shown: l.Number, Identity: d.within(), RingTime: h.RingTime, Group: h.Name}
	for i := range members {
		m := &members[i]
		for _, g := range m.line.Pickup {
			if !slices.Contains(r.Pickup, g) {
				r.Pickup = append(r.Pickup, g)
			}
		}
		d.say(Entry{Rule: GroupMember, Number: m.line.Number, Setting: h.Overflow.Setting, Value: h.Strategy, Owner: m.line.User})
		switch {
		case h.Strategy != directory.StrategyAll:
			r.Stages = append(r.Stages, Stage{Targets: m.targets, Rule: GroupMember})
		case i == 0:
			r.Stages, r.Together = []Stage{{Targets: m.targets, Rule: GroupMember}}, true
		default:
			r.Stages[0].Targets = append(r.Stages[0].Targets, m.targets...)
		}
	}
	d.anchor(DialGroup, l.Number)
	if next := d.after(l, members, rung); next != nil {
		r.Outcomes = Outcomes{Busy: next, NoAnswer: next, Unreachable: next}
	} else if len(r.Stages) == 1 {
		r.RingTime = 0
	}
	if d.lacks() {
		return forward{}, nil
	}
	if r.RingTime*time.Duration(len(r.Stages)) > ring.ClockTime {
		d.say(Entry{Rule: GroupRingTime, Number: l.Number, Setting: h.Overflow.Setting, Value: h.RingTime.String(), Level: ForAdmin})
	}
	return forward{}, r
}

// members are those of a group that ring, in its order; rung are numbers that
// ring as their remote destinations, and busy says that one was skipped for that.
func (d *decider) members(p place) (out []member, rung []string, busy bool) {
	h := p.line.Hunt
	rung = slices.Concat(d.v.Rung, h.Members) // members do not ring as remote destinations
	n := len(rung)
	for _, number := range h.Members {
		l, ok := d.w.number(d.t.Name, number)
		if !ok {
			d.lack(NeedNumber, number)
			return nil, nil, false
		}
		m := member{line: l}
		why, setting := d.skips(number, l)
		if why == "" && !d.lacks() {
			m.targets, rung, why = d.memberTargets(p, l, rung)
		}
		if d.lacks() {
			return nil, nil, false
		}
		if why != "" {
			d.skipped(number, l, why, setting)
			busy = busy || why == string(Busy)
			continue
		}
		if h.Strategy == directory.StrategyLongestIdle {
			if m.since = d.idleSince(number); d.lacks() {
				return nil, nil, false
			}
		}
		out = append(out, m)
	}
	return out, rung[n:], busy
}

func (d *decider) skipped(number string, l *directory.Line, why, setting string) {
	e := Entry{Rule: GroupSkipped, Number: number, Setting: setting, Value: why, Level: ForOwner}
	if l != nil {
		e.Owner = l.User
	}
	d.say(e)
}

// skips says why a member is not tried, and by which setting; "": it is.
func (d *decider) skips(number string, l *directory.Line) (why, setting string) {
	switch {
	case l == nil || !l.Active || l.Hunt != nil:
		return SkippedGone, ""
	case l == d.caller:
		return SkippedCaller, ""
	case slices.Contains(d.v.Rung, number):
		return string(RingOnce), ""
	case d.urgent: // a call back after an emergency call
		return "", ""
	}
	if f := l.All.Of(d.internal); f.On {
		return string(ForwardAll), f.Setting
	}
	if l.User != "" {
		if s := l.Presence.At(d.w.Now); s != directory.StatusOffice {
			return s, directory.Ref{Kind: directory.KindPresence, Name: l.User}.Path()
		}
		if d.disturbs(l) && l.DND.Mode != directory.DNDRingerOff {
			return string(DND), l.DNDSetting
		}
	}
	n, ok := d.others(number)
	if !ok {
		return "", ""
	}
	if n >= *l.Trigger.Of(d.internal) {
		return string(Busy), ""
	}
	return "", ""
}

// memberTargets are the devices of a member, and its remote destinations where
// the group says so, or why there are none; the numbers that those are are added to
// rung.
func (d *decider) memberTargets(p place, l *directory.Line, rung []string) (targets []ring.Target, all []string, why string) {
	b := d.targets(place{line: l})
	if d.lacks() {
		return nil, rung, ""
	}
	silent := d.disturbs(l) // ringer-off
	to := reach{targets: dressed(l, slices.Clone(b.targets), silent), rung: rung}
	if p.line.Hunt.Remotes && !d.only && !silent {
		d.remotes(l, &to)
		d.tooLate(l, p.line.Hunt, &to)
	}
	for i := range to.targets {
		to.targets[i].Number = cmp.Or(to.targets[i].Number, l.Number)
	}
	if len(to.targets) == 0 {
		why = registered(b)
	}
	return to.targets, to.rung, why
}

// tooLate warns of remote destinations of a member that would begin to ring when
// its turn is over.
func (d *decider) tooLate(l *directory.Line, h *directory.Hunt, to *reach) {
	if len(to.targets) == 0 || to.targets[0].Remote != "" { // no desk: they ring at once
		return
	}
	for i := range l.Remotes {
		r := &l.Remotes[i]
		if r.Delay >= h.RingTime && slices.ContainsFunc(to.targets, func(t ring.Target) bool { return t.Remote == r.ID }) {
			d.about(l, SNRRingTime, "", r.Setting, r.Target.Text)
		}
	}
}

// idleSince says when the last answered call of a member ended: it is never now
// while another goes on.
func (d *decider) idleSince(number string) time.Time {
	if n, _ := d.w.live(d.t.Name, number); n > 0 {
		return d.w.Now
	}
	since, ok := d.w.idleSince(d.t.Name, number)
	if !ok {
		d.lack(NeedIdle, number)
	}
	return since
}

// after is the visit that follows when no member took the call. The overflow may
// ring a member once more.
func (d *decider) after(l *directory.Line, members []member, rung []string) *Visit {
	all := append(slices.Concat(d.v.Rung, rung), l.Number)
	hunted := slices.Clone(d.v.Hunted)
	for i := range members {
		if n := members[i].line.Number; slices.Contains(hunted, n) {
			all = append(all, n)
		} else {
			hunted = append(hunted, n)
		}
	}
	if d.only {
		return nil
	}
	v := d.next(l, GroupOverflow, &l.Hunt.Overflow, all)
	if v != nil {
		v.Hunted, v.Anchored = hunted, d.anchored
	}
	return v
}

// overflow decides what follows at once when no member of a group rings.
func (d *decider) overflow(p place, busy bool) (forward, Decision) {
	fw, ok := d.outcome(p, GroupOverflow, &p.line.Hunt.Overflow)
	if ok || d.lacks() {
		return fw, nil
	}
	return forward{}, d.missed(p.line, busy)
}

// missed is the end of a call that no member of a group takes.
func (d *decider) missed(l *directory.Line, busy bool) Decision {
	d.say(Entry{Rule: RingFinal, Number: l.Number, Level: d.level(), Owner: l.User})
	if busy {
		return d.reject(RingFinal, 486, "Busy Here")
	}
	return d.reject(RingFinal, 480, "Temporarily Unavailable")
}
