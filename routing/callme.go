package routing

import (
	"time"

	"bellhop/routing/directory"
)

// callMeTime is how long the target of a CallMe rings before voicemail.
const callMeTime = 60 * time.Second

// callMe decides whether the CallMe of a user is followed: in the office only,
// and to a phone, not to a number that sends its calls on (callme.unusable).
func (d *decider) callMe(l *directory.Line) forward {
	f := &l.CallMe
	if l.DND.Enabled || l.Presence.At(d.w.Now) != directory.StatusOffice {
		d.about(l, CallMe, "", f.Setting, f.Target.Text)
		return forward{}
	}
	to, ok := d.allowed(l, &f.Target, f.Setting)
	if d.lacks() || !ok {
		return forward{}
	}
	switch {
	case d.isCaller(to):
		d.about(l, ForwardOverride, "", f.Setting, f.Target.Text)
		return forward{}
	case to.line != nil && to.device == "" && (to.line.Number == l.Number || d.sendsOn(to.line)):
		d.about(l, CallMeUnusable, "", f.Setting, f.Target.Text)
		return forward{}
	case !d.mayLeave(l, to, f.Setting, f.Target.Text):
		return forward{}
	}
	return forward{CallMe, f}
}

// sendsOn reports whether a number is a group's or itself redirected, so that
// it is nobody's phone.
func (d *decider) sendsOn(l *directory.Line) bool {
	if l.Hunt != nil || l.All.Of(d.internal).On {
		return true
	}
	if l.User == "" {
		return false
	}
	status := l.Presence.At(d.w.Now)
	return l.CallMe.On && status == directory.StatusOffice && !l.DND.Enabled || statusFollow(l, status) != nil
}
