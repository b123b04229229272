package routing

import (
	"slices"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// A reach is what rings for a number: its devices and its remote destinations.
type reach struct {
	targets []ring.Target
	rung    []string      // the numbers that have rung when it has
	remote  bool          // remote destinations are among the targets
	end     time.Duration // when the last of them stops, from the first INVITE
}

// remotes adds the remote destinations of a number to what rings, as one
// ringing set (rules snr.*). Without devices they ring without delay.
func (d *decider) remotes(l *directory.Line, to *reach) {
	desk := len(to.targets) > 0
	to.targets = append(make([]ring.Target, 0, len(to.targets)+len(l.Remotes)), to.targets...)
	for i := range l.Remotes {
		r := &l.Remotes[i]
		if !d.wanted(l, r) {
			continue
		}
		n := len(to.targets)
		if d.remote(l, r, to); d.lacks() {
			return
		}
		if len(to.targets) == n {
			continue
		}
		to.remote = true
		for j := n; j < len(to.targets); j++ {
			t := &to.targets[j]
			t.Remote, t.StopAfter = r.ID, r.StopAfter
			if desk {
				t.Delay = r.Delay
			}
		}
		to.end = max(to.end, r.StopAfter)
		d.about(l, SNR, r.Target.Text, r.Setting, r.Target.Text)
		if r.TooSoon > 0 {
			d.about(l, SNRTooSoon, "", r.Setting, r.Target.Text)
		}
		if r.Screening {
			d.about(l, SNRScreened, "", r.Setting, r.Target.Text)
		}
	}
}

// wanted reports whether a remote destination rings now and for this caller,
// who may be that destination.
func (d *decider) wanted(l *directory.Line, r *directory.Remote) bool {
	switch n := &r.Target.Number; {
	case !r.Rings(d.w.Now):
		d.about(l, SNRSchedule, "", r.Setting, r.Target.Text)
	case !r.Admits(d.from), n.E164 != "" && n.E164 == d.from.E164, n.Ext != "" && n.Ext == d.from.Ext:
		d.about(l, SNRCallers, "", r.Setting, r.Target.Text)
	default:
		return true
	}
	return false
}

// remote adds the targets of one remote destination: a trunk, or the devices of
// a number of ours.
func (d *decider) remote(l *directory.Line, r *directory.Remote, to *reach) {
	at, ok := d.allowed(l, &r.Target, r.Setting)
	if !ok {
		return
	}
	by := l
	if at.line != nil && at.device == "" && !r.NoForward {
		if at, by, ok = d.follow(at, by); !ok {
			return
		}
	}
	if at.line == nil {
		d.remoteTrunk(l, r, at, by, to)
		return
	}
	d.remoteDevices(at, to)
}

// remoteTrunk adds a place outside, where a setting of by sends the call.
func (d *decider) remoteTrunk(l *directory.Line, r *directory.Remote, at place, by *directory.Line, to *reach) {
	rule, _ := d.over(by, at.kind)
	if d.lacks() {
		return
	}
	if rule != "" {
		d.about(l, rule, "", r.Setting, r.Target.Text)
		return
	}
	t, ok := d.exit(at, by)
	switch {
	case d.lacks():
	case !ok:
		d.about(l, LimitCalls, "", r.Setting, r.Target.Text)
	case !slices.ContainsFunc(to.targets, func(o ring.Target) bool { return o.Instance == t.Instance }):
		to.targets = append(to.targets, t)
	}
}

// remoteDevices adds the devices of a number of ours, unless it has rung in this
// call, is busy, or its user does not want to be disturbed.
func (d *decider) remoteDevices(at place, to *reach) {
	l := at.line
	if slices.Contains(to.rung, l.Number) {
		d.about(l, RingOnce, "", "", "")
		return
	}
	silent := d.disturbs(l)
	if silent {
		d.about(l, DND, "", l.DNDSetting, l.DND.Mode)
		if l.DND.Mode != directory.DNDRingerOff {
			return
		}
	}
	n, ok := d.others(l.Number)
	if !ok {
		return
	}
	if n >= *l.Trigger.Of(d.internal) {
		d.about(l, Busy, "", "", "")
		return
	}
	b := d.targets(at)
	if d.lacks() {
		return
	}
	if len(b.targets) == 0 {
		d.about(l, RingDevices, "", "", registered(b))
		return
	}
	targets := b.targets
	if silent || l.Unlogged {
		targets = dressed(l, slices.Clone(targets), silent)
	}
	for _, t := range targets {
		if t.Number = l.Number; !slices.ContainsFunc(to.targets, func(o ring.Target) bool { return o.Instance == t.Instance && o.Remote == "" }) {
			to.targets = append(to.targets, t)
		}
	}
	to.rung = append(to.rung, l.Number)
}

// follow goes where a number of ours sends its calls at once, as a remote
// destination that obeys its own settings does. What follows its outcomes cannot
// be part of a set that rings together. by is whose setting led to the place. It
// reports false where the call would end.
func (d *decider) follow(at place, by *directory.Line) (place, *directory.Line, bool) {
	hops, broke := d.hops, d.broke
	defer func() { d.hops, d.broke = hops, broke }()
	for len(d.hops) < maxHops {
		f, dec := d.redirects(at.line, d.disturbs(at.line))
		switch {
		case d.lacks(), dec != nil:
			return place{}, nil, false
		case f.to == nil:
			return at, by, true
		}
		by = at.line
		d.hops = append(slices.Clip(d.hops), Hop{Number: at.line.Number, Rule: f.rule})
		d.about(at.line, f.rule, f.to.Target.Text, f.to.Setting, f.to.Target.Text)
		if at = d.find(&f.to.Target); d.lacks() {
			return place{}, nil, false
		}
		if at.line == nil || at.device != "" {
			return at, by, true
		}
	}
	return place{}, nil, false
}

// cutShort warns of remote destinations that the ring time, which the user set,
// does not give their time.
func (d *decider) cutShort(l *directory.Line, to *reach) {
	for i := range l.Remotes {
		r := &l.Remotes[i]
		if r.StopAfter > l.RingTime && slices.ContainsFunc(to.targets, func(t ring.Target) bool { return t.Remote == r.ID }) {
			d.about(l, SNRRingTime, "", r.Setting, r.Target.Text)
		}
	}
}
