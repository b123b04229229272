package b2bua

import (
	"slices"
	"strconv"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/call"
	"bellhop/sip/wire"
)

// nextTag returns our tag in one more dialog with the caller.
func (a *anchor) nextTag() string {
	a.tags++
	return a.tag + "-" + strconv.Itoa(a.tags)
}

// update changes the account of the call; others see it when the step is over.
// What was handed on never changes.
func (a *anchor) update(change func(*feed.Call)) {
	if a.released {
		return
	}
	if !a.dirty {
		a.live, a.dirty = copyOf(a.live), true
	}
	change(a.live)
}

// legsAtFirst is how many legs most calls have.
const legsAtFirst = 2

// copyOf returns a copy that shares no leg.
func copyOf(c *feed.Call) *feed.Call {
	if len(c.Legs) > legsAtFirst {
		next := *c
		next.Legs = slices.Clone(c.Legs)
		return &next
	}
	next := new(struct {
		feed.Call

		legs [legsAtFirst]feed.Leg
	})
	next.Call = *c
	next.Legs = next.legs[:copy(next.legs[:], c.Legs)]
	return &next.Call
}

// begin hands the account of the call on for the first time: from now on it counts.
func (a *anchor) begin() {
	if !a.begun {
		a.begun, a.dirty = true, false
		a.b.calls.Begin(a.live)
	}
}

// show hands the account of the call on when it changed. The journal has who was
// rung since, so that a restart can end what rings (trust.md §3).
func (a *anchor) show() {
	switch {
	case a.over, a.released:
	case a.rung && !a.joined:
		a.journal()
	case !a.begun:
		a.begin()
	case a.dirty:
		a.dirty = false
		a.b.calls.Update(a.live)
	}
}

// journal writes the call down. Of an answered one that is a sign of life (rule
// busy): it was answered, or refreshed.
func (a *anchor) journal() {
	if a.over || a.released {
		return
	}
	a.rung = false
	a.update(a.dialogs)
	if a.joined {
		a.live.Deadline = a.now.Add(silence)
	}
	a.begun, a.dirty = true, false
	if err := a.b.calls.Answered(a.live); err != nil {
		a.b.metrics.journalFailed.Inc()
		a.b.log.Error("call not journaled", "call", a.live.ID, "err", err)
	}
}

// tell adds what routing said to the story of the call.
func (a *anchor) tell(trace routing.Trace) {
	a.update(func(l *feed.Call) {
		l.Story = append(slices.Clip(l.Story), a.b.story(trace)...)
		if r := trace.Rule(); r != "" {
			l.Rule = string(r)
		}
	})
}

// answered notes who answered, before the 2xx goes up.
func (a *anchor) answered(r *response) {
	a.talks, a.joined = r.pair, true
	a.update(func(l *feed.Call) {
		l.State, l.AnsweredAt, l.Status, l.Outcome = feed.Talking, a.now, r.status, "answered"
		l.CalleeTag = r.pair.legs[call.A].localTag
		l.Device = r.branch.target.Device
		if t := &r.branch.target; t.Number != "" && t.Remote == "" {
			l.Number = t.Number // of a group, or who picked it up
		}
		l.Deadline = a.now.Add(silence)
		for _, i := range [...]int{0, r.branch.leg} {
			leg := &l.Legs[i]
			leg.State, leg.AnsweredAt, leg.Status = feed.Talking, a.now, r.status
		}
	})
	a.b.counter.Setup(a.now.Sub(a.live.Started))
}

// hungUp closes the account of an answered call, before the final response to its
// BYE goes up (trust.md §3).
func (a *anchor) hungUp(p *pair, e call.End) {
	if p != a.talks || a.over {
		return
	}
	a.b.metrics.ended.WithLabelValues(e.Cause.String()).Inc()
	a.b.log.Debug("call ended", "call", a.live.ID, "cause", e.Cause.String(), "by", e.By.String())
	a.finish(func(*feed.Call) {})
}

// close records a call that was not answered. It comes before the final response
// goes up, so that whoever sees that response finds the record.
func (a *anchor) close(status int, outcome string) {
	if a.over || a.joined {
		return
	}
	a.finish(func(l *feed.Call) { l.Status, l.Outcome = status, outcome })
	a.b.counter.Call(outcome, a.live.Rule)
}

func (a *anchor) finish(change func(*feed.Call)) {
	a.update(func(l *feed.Call) {
		l.State, l.EndedAt = feed.Ended, a.now
		for i := range l.Legs {
			leg := &l.Legs[i]
			leg.Dialog = nil
			if leg.State != feed.Ended {
				leg.State, leg.EndedAt = feed.Ended, a.now
			}
		}
		change(l)
		if len(l.Legs) > 0 && l.Legs[0].Status == 0 {
			l.Legs[0].Status = l.Status
		}
	})
	a.over, a.dirty = true, false
	if a.release != nil {
		a.release()
	}
	for _, br := range a.branches {
		if br.trunk != nil {
			br.trunk.letGo()
		}
	}
	if err := a.b.calls.Ended(a.live); err != nil {
		a.b.metrics.journalFailed.Inc()
		a.b.log.Error("record not journaled", "call", a.live.ID, "err", err)
	}
}

// dialogs fills in what the journal needs of the legs: of an answered call both
// ends, before that all that ring.
func (a *anchor) dialogs(l *feed.Call) {
	if len(l.Legs) == 0 {
		return
	}
	if p := a.talks; p != nil {
		saved := p.state.Saved()
		for i := range l.Legs {
			l.Legs[i].Dialog = nil
		}
		room := new([2]feed.Dialog)
		l.Legs[0].Dialog = a.save(&room[0], &p.legs[call.A], saved.Timers[call.A])
		if i := a.calleeLeg(); i > 0 && p.serves(call.B) == nil {
			l.Legs[i].Dialog = a.save(&room[1], &p.legs[call.B], saved.Timers[call.B])
		}
		return
	}
	room := make([]feed.Dialog, len(a.branches)+1)
	l.Legs[0].Dialog = a.ringingA(&room[0])
	for i, br := range a.branches {
		l.Legs[br.leg].Dialog = br.ringing(&room[i+1])
	}
}

// calleeLeg is which of the legs the callee is.
func (a *anchor) calleeLeg() int {
	if a.talks != nil && a.talks.br != nil {
		return a.talks.br.leg
	}
	return a.callee
}

// save is a leg as the journal keeps it, in the memory of s.
func (a *anchor) save(s *feed.Dialog, d *dialog, t call.Timing) *feed.Dialog {
	*s = feed.Dialog{
		CallID: d.callID, LocalTag: d.localTag, RemoteTag: d.remoteTag, LocalURI: d.local, RemoteURI: d.remote,
		Target: d.target, Routes: d.routes, LocalSeq: d.localSeq, RemoteSeq: d.remoteSeq,
		Transport: uint8(d.flow.Transport), Local: d.flow.Local, Remote: d.flow.Remote,
		Interval: t.Interval, Refresher: t.Ours, Update: t.Update, Refreshed: t.Last,
	}
	if d.home != a.domain {
		s.Home = d.home
	}
	if t.Ours && !t.Update {
		s.SDPType, s.SDP = d.sdp.kind, string(d.sdp.bytes)
	}
	return s
}

// ringingA is the caller's leg while it rings.
func (a *anchor) ringingA(s *feed.Dialog) *feed.Dialog {
	a.save(s, &a.a, call.Timing{})
	if a.srv != nil && a.srv.Request != nil {
		for v := range a.srv.Request.Msg.All(wire.Via) {
			s.Vias = append(s.Vias, string(v.Bytes()))
		}
	}
	return s
}

// ringing is the leg of a branch while it rings, nil when it does not.
func (br *branch) ringing(s *feed.Dialog) *feed.Dialog {
	if br.ended || br.client == nil {
		return nil
	}
	br.a.save(s, &br.d, call.Timing{})
	s.Branch = uint64(br.client.ID())
	if len(br.target.Path) > 0 {
		s.Routes = br.target.Path
	}
	return s
}
