package routing

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/routing/ring"
)

// plain reports whether a place rings without the settings of its number: a
// device alone, the target of a CallMe, a call that came back.
func (d *decider) plain(p place) bool { return p.single() || d.callme != nil || d.only }

// single reports whether a place is one phone of its number.
func (p place) single() bool { return p.device != "" || p.instance != "" }

// has reports whether a target is of a place.
func (p place) has(t *ring.Target) bool {
	return (p.device == "" || t.Device == p.device) && (p.instance == "" || strings.Trim(t.Instance, "<>") == p.instance)
}

// at decides what happens at a number, in the order of behaviour.md §3. It
// returns the forward to follow, or a decision.
func (d *decider) at(p place) (forward, Decision) {
	l := p.line
	if !d.invite {
		return forward{}, d.queue(p)
	}
	if p.hunts() {
		return d.hunt(p)
	}
	quiet := d.disturbs(l)
	if !d.plain(p) && !d.urgent {
		if f, dec := d.redirects(l, quiet); dec != nil || f.to != nil || d.lacks() {
			return f, dec
		}
	}
	b := bell{quiet: quiet}
	if quiet {
		d.about(l, DND, "", l.DNDSetting, l.DND.Mode)
		if b.mute = l.DND.Mode != directory.DNDRingerOff; !b.mute {
			b.alert = alertInfo(l.Alert(""))
		}
		if b.mute && (d.plain(p) || !l.DND.Remotes || len(l.Remotes) == 0) {
			return d.silence(p)
		}
	}
	if slices.Contains(d.v.Rung, l.Number) {
		d.about(l, RingOnce, "", "", "")
		return d.unreachable(p)
	}
	n, ok := d.others(l.Number)
	if !ok {
		return forward{}, nil
	}
	if n >= *l.Trigger.Of(d.internal) && !d.urgent {
		d.about(l, Busy, "", "", "")
		return d.busy(p, Busy)
	}
	return d.ring(p, b)
}

// others counts the calls of a number, without this one where it rang there as the
// member of a group: an overflow may ring it once more.
func (d *decider) others(number string) (n int, ok bool) {
	if n, ok = d.w.live(d.t.Name, number); !ok {
		d.lack(NeedCalls, number)
	} else if n > 0 && slices.Contains(d.v.Hunted, number) {
		n--
	}
	return n, ok
}

// disturbs reports whether do not disturb stands between this caller and l. The
// target of a CallMe rings for its user although the user's own phones, of which
// it may be one, would not.
func (d *decider) disturbs(l *directory.Line) bool {
	if !l.DND.Enabled || d.urgent || d.callme != nil && l.User == d.callme.User {
		return false
	}
	for _, n := range l.Allow {
		if n.Ext != "" && n.Ext == d.from.Ext || n.E164 != "" && n.E164 == d.from.E164 {
			return false
		}
	}
	return true
}

// silence ends a call at a number whose user does not want to be disturbed:
// voicemail else busy, or busy.
func (d *decider) silence(p place) (forward, Decision) {
	if p.line.DND.Mode != directory.DNDReject {
		d.mailbox(p.line)
	}
	return d.busy(p, DND)
}

// targets returns the bindings that ring for a place.
func (d *decider) targets(p place) *bindingsEntry {
	b, ok := d.w.bound(d.t.Name, p.line.Number)
	if !ok {
		d.lack(NeedBindings, p.line.Number)
		return nil
	}
	if !p.single() && !d.v.Secure && !slices.ContainsFunc(b.targets, func(t ring.Target) bool { return t.Node != 0 }) {
		return b
	}
	only := &bindingsEntry{nat: b.nat}
	for _, t := range b.targets {
		if !p.has(&t) || d.v.Secure && !t.Flow.Secure() {
			continue
		}
		if t.Node != 0 {
			d.about(p.line, RingElsewhere, t.Device, "", strconv.Itoa(int(t.Node)))
			if t.Flow.Transport != location.UDP {
				only.elsewhere = true
				continue
			}
		}
		only.targets = append(only.targets, t)
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
	return Ring{Number: p.line.Number, Shown: p.line.Number, Queue: true, Stages: []Stage{{Targets: b.targets, Rule: RingDevices}}}
}

// Values of a ring.devices entry when no device of the number rings: none was
// registered, or none at this node. Otherwise the value is "".
const (
	NotRegistered = "not-registered"
	NotHere       = "not-here"
)

func registered(b *bindingsEntry) string {
	switch {
	case len(b.targets) > 0:
		return ""
	case b.elsewhere:
		return NotHere
	default:
		return NotRegistered
	}
}

// A bell says how a number rings.
type bell struct {
	quiet bool   // do not disturb is on for this caller
	mute  bool   // so the devices do not ring; remote destinations may
	alert string // value of Alert-Info
}

// ring plans the ringing of a number and what follows it.
func (d *decider) ring(p place, how bell) (forward, Decision) {
	l := p.line
	b := d.targets(p)
	if d.lacks() {
		return forward{}, nil
	}
	r := Ring{Number: l.Number, Owner: l.User, Shown: l.Number, Alert: how.alert, Identity: d.within(), RingTime: l.RingTime, Device: p.device, Mute: how.mute, Pickup: l.Pickup}
	targets := b.targets
	if how.mute {
		targets = nil
	} else {
		d.say(Entry{Rule: RingDevices, Number: l.Number, Value: registered(b), Level: max(d.level(), levelOf(b)), Owner: l.User})
	}
	if l.Unlogged || how.alert != "" && len(l.Alerts) > 0 {
		targets = dressed(l, slices.Clone(targets), how.alert != "")
	}
	reach := reach{targets: targets, rung: append(make([]string, 0, len(d.v.Rung)+1+len(l.Remotes)), d.v.Rung...)}
	reach.rung = append(reach.rung, l.Number)
	if len(l.Remotes) > 0 && !d.plain(p) && (!how.quiet || l.DND.Remotes) {
		if d.remotes(l, &reach); d.lacks() {
			return forward{}, nil
		}
	}
	switch {
	case len(reach.targets) > 0:
	case how.mute:
		return d.silence(p)
	default:
		return d.unreachable(p)
	}
	if !d.plain(p) {
		if !d.urgent {
			r.Outcomes = d.outcomes(l, reach.rung)
		}
		if d.lacks() {
			return forward{}, nil
		}
		r.Redirect = d.redirection(reach.rung)
	}
	if d.mailboxLater(l, &r); d.lacks() {
		return forward{}, nil
	}
	d.timing(l, &r, &reach)
	r.Stages = []Stage{{Targets: reach.targets, Rule: d.why()}}
	d.anchors(l, &r, &reach, b.nat && !how.mute)
	for _, v := range [...]*Visit{r.Outcomes.NoAnswer, r.Outcomes.Busy, r.Outcomes.Unreachable, r.Redirect} {
		if v != nil {
			v.Anchored = d.anchored
		}
	}
	return forward{}, r
}

// dressed gives targets what is their number's or their own: that they show a
// call silently, and log no missed one.
func dressed(l *directory.Line, targets []ring.Target, silent bool) []ring.Target {
	for i := range targets {
		if targets[i].Unlogged = l.Unlogged; silent {
			targets[i].Alert = alertInfo(l.Alert(targets[i].Device))
		}
	}
	return targets
}

// mailboxLater says that voicemail would take a call that nobody answers, unless
// something else follows, and that there is none yet.
func (d *decider) mailboxLater(l *directory.Line, r *Ring) {
	if r.Outcomes.NoAnswer != nil || d.urgent || d.only {
		return
	}
	f := l.NoAnswer.Of(d.internal)
	named := f.On && f.Target.Voicemail && d.callme == nil
	if !named && (!l.Voicemail && len(d.hops) == 0) {
		return
	}
	if l = d.mailboxOf(l); l != nil && (named || l.Voicemail) {
		d.about(l, Voicemail, "", "", VoicemailLater)
	}
}

// VoicemailLater is the value of a voicemail entry about a call that rings first.
const VoicemailLater = "later"

// timing sets how long a number rings.
func (d *decider) timing(l *directory.Line, r *Ring, to *reach) {
	switch {
	case d.callme != nil:
		r.RingTime, r.Shown = callMeTime, d.callme.Number
	case r.Outcomes.NoAnswer == nil:
		r.RingTime = 0
	case to.end == 0:
	case !l.RingSet:
		r.RingTime = to.end + time.Second
	default:
		d.cutShort(l, to)
	}
}

// redirection is the visit that follows a redirect of a phone, without its hop
// and target.
func (d *decider) redirection(rung []string) *Visit {
	v := *d.v
	v.Domain, v.Target, v.TargetHost = d.t.Name, "", ""
	v.Hops, v.Rung = slices.Clip(d.hops), rung
	return &v
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

// anchors finds the reason why this call cannot be proxied (architecture.md
// §3), if there is one.
func (d *decider) anchors(l *directory.Line, r *Ring, to *reach, nat bool) {
	switch {
	case d.callme != nil:
		d.anchor(CallMe, l.Number)
	case r.Outcomes.NoAnswer != nil:
		d.anchor(ForwardNoAnswer, l.Number)
	case r.Outcomes.Busy != nil:
		d.anchor(ForwardBusy, l.Number)
	case r.Outcomes.Unreachable != nil:
		d.anchor(ForwardUnreachable, l.Number)
	case to.remote:
		d.anchor(SNR, l.Number)
	case !d.internal:
		d.anchor(AnchorDomain, l.Number)
	case r.Identity != nil:
		d.anchor(AnchorCallerID, l.Number)
	case d.v.Caller.Behind:
		d.anchor(AnchorCallerNAT, l.Number)
	case nat:
		d.anchor(AnchorCalleeNAT, l.Number)
	case len(l.Pickup) > 0:
		d.anchor(AnchorPickup, l.Number)
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
