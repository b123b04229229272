package control

import (
	"slices"
	"time"

	"bellhop/feed"
)

// An own is what belongs to who asks, of what calls go to. Administrators have
// none: they see everything.
type own struct {
	numbers []string // lines
	phones  []string // numbers of remote destinations
}

// involves reports whether a call is one of the user's: made, received, or
// answered at a number of theirs.
func (o *own) involves(c *feed.Call) bool {
	return slices.Contains(o.numbers, c.Caller) || slices.Contains(o.numbers, c.Called) || c.Number != "" && slices.Contains(o.numbers, c.Number)
}

// talks reports whether the user is an end of a call, and not only who it was
// for before it went elsewhere.
func (o *own) talks(c *feed.Call) bool {
	if slices.Contains(o.numbers, c.Caller) {
		return true
	}
	if c.State == feed.Talking {
		return slices.Contains(o.numbers, c.Number)
	}
	return o.involves(c)
}

// A legView is one end of a call: who made it, and each branch that rang. What
// it is spoken to with is not shown.
type legView struct {
	Caller     bool      `json:"caller,omitempty" doc:"the end that made the call"`
	Number     string    `json:"number,omitempty"`
	Device     string    `json:"device,omitempty"`
	Trunk      string    `json:"trunk,omitempty" doc:"by which it came or left"`
	Remote     string    `json:"remote_destination,omitempty" doc:"id of the remote destination that it is"`
	Shown      string    `json:"shown,omitempty" doc:"who was shown to it where that is not who called"`
	State      string    `json:"state" enum:"calling,ringing,talking,ended"`
	Status     int       `json:"status,omitempty" doc:"final SIP status"`
	Started    time.Time `json:"started,omitzero"`
	AnsweredAt time.Time `json:"answered_at,omitzero"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
}

// viewLegs renders the legs of a call; o is nil for an administrator. Users see
// the end they are, and where the call went at their own numbers: not the
// devices, the remote destinations and the forwards of others.
func viewLegs(c *feed.Call, o *own) []legView {
	var out []legView
	for i := range c.Legs {
		l := &c.Legs[i]
		v := legView{
			Caller: l.Caller, Number: l.Number, Device: l.Device, Trunk: l.Trunk, Remote: l.Remote, Shown: l.Identity,
			State: l.State.String(), Status: l.Status, Started: l.Started, AnsweredAt: l.AnsweredAt, EndedAt: l.EndedAt,
		}
		if o != nil && !o.leg(&v) {
			continue
		}
		out = append(out, v)
	}
	return out
}

// leg takes out of a leg what its viewer may not see; false: all of it.
func (o *own) leg(v *legView) bool {
	mine := slices.Contains(o.numbers, v.Number)
	switch {
	case v.Remote != "": // its number is that of a phone of somebody's
		mine = slices.Contains(o.phones, v.Number)
	case v.Caller && !mine: // the other end; who it is the call says
		v.Number, v.Device, v.Trunk, v.Shown = "", "", "", ""
		return true
	}
	return mine
}
