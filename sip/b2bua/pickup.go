package b2bua

import (
	"slices"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// A pickupKey is a pickup group of a domain.
type pickupKey struct{ domain, group string }

// A Ringing is an anchored call that rings at a number. What it says of itself
// outside of steps does not change.
type Ringing struct{ place *place }

// RingingOf returns the call that an entry of the index of ringing calls is; false:
// it is proxied, or it is none.
func RingingOf(e lane.Entry) (Ringing, bool) {
	p, ok := e.Who.(*place)
	return Ringing{p}, ok
}

// RingingIn returns the calls that ring at the members of a pickup group.
func (b *B2BUA) RingingIn(domain, group string) (out []Ringing) {
	for _, e := range b.groups.At(pickupKey{domain, group}) {
		if r, ok := RingingOf(e); ok {
			out = append(out, r)
		}
	}
	return out
}

// Offered is how often calls stand in a pickup group whose members may take them.
func (b *B2BUA) Offered() int { return b.groups.Len() }

// Since is when the number began to ring.
func (r Ringing) Since() time.Time { return r.place.since }

// Caller is the device that calls, "" for none of ours.
func (r Ringing) Caller() (domain, device string) {
	c := &r.place.from.Caller
	return c.Domain, c.Device
}

// Lane is that of the call.
func (r Ringing) Lane() *lane.Lane { return r.place.lane }

// Claim takes the call for somebody who is about to pick it up; false: somebody
// else did. A claim ends when that comes to nothing.
func (r Ringing) Claim() bool { return r.place.claimed.CompareAndSwap(false, true) }

// Free gives a claim up.
func (r Ringing) Free() { r.place.claimed.Store(false) }

// Open reports whether a phone at a flow would have the call if it took it now. It
// is for steps of the call's lane.
func (r Ringing) Open(f location.Flow) bool {
	a := r.place.anchor
	return !a.released && !a.over && !a.joined && a.ring.Rings() && (!a.a.secure || f.Secure())
}

// Answered reports whether somebody has the call. It is for steps of its lane.
func (r Ringing) Answered() bool { return r.place.joined }

// PickUp answers the INVITE of a phone that claimed r, in the lane of r. The phone
// is held by hold until it has acknowledged that; then it is asked by a re-INVITE
// what it says to the offer of the caller, as one that rings beside the others is
// by its INVITE, and has the call when it answers first.
func (b *B2BUA) PickUp(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, i *Invitation, hold *Service, r Ringing) {
	s := *hold
	taken := false
	s.Joined = func(t Talk) {
		taken = true
		r.take(t, i)
	}
	s.left = func() {
		if !taken {
			r.Free()
		}
	}
	b.Answer(ln, set, srv, i, &s)
}

// take has the phone, which is answered, ring for the call.
func (r Ringing) take(t Talk, i *Invitation) {
	a, from := r.place.anchor, t.pair.a
	if !r.Open(t.pair.legs[call.A].flow) {
		r.Free()
		t.HangUp()
		return
	}
	d := from.handOver(t.pair)
	d.leg, d.kept = call.B, true
	caller := i.From.Caller
	target := ring.Target{
		Pickup: true, Device: caller.Device, Number: caller.Number, Instance: "pickup:" + d.callID, Contact: d.target, Flow: d.flow,
		Identity: a.callerFor(),
	}
	if target.Identity != nil {
		d.hides = target.Identity.Hidden
	}
	a.tick()
	a.picker = &d
	a.update(func(l *feed.Call) {
		l.Story = append(slices.Clip(l.Story), a.b.story(routing.Trace{{
			At: a.now, Rule: routing.DialFeature, Number: caller.Number, To: r.place.aor.User(), Value: routing.PickedUp,
		}})...)
	})
	a.step(ring.Picked{Now: a.now, Target: target})
	if a.picker != nil { // nobody rings any more
		a.picker = nil
		r.Free()
		a.bye(&d)
	}
}

// callerFor is the caller as a phone that picks its call up is shown it; nil: as
// the INVITE has it.
func (a *anchor) callerFor() *ring.Identity {
	if id := a.rings.Identity; id != nil || a.from.Origin != routing.OriginDevice || a.from.Caller.Number == "" {
		return id
	}
	return &ring.Identity{User: a.from.Caller.Number, Asserted: a.from.Caller.Number}
}

// handOver ends a call with a service of ours whose caller another call has from
// now on, and returns the dialog with it.
func (a *anchor) handOver(p *pair) dialog {
	d := p.legs[call.A]
	for _, t := range p.timers {
		t.timer.Stop()
	}
	for _, x := range p.open {
		x.timer.Stop()
	}
	p.first.timer.Stop()
	if v := p.serves(call.B); v != nil {
		v.timer.Stop()
	}
	a.finish(func(*feed.Call) {})
	a.leave()
	return d
}

// joins begins the branch of a phone that picks the call up: its dialog is there.
func (br *branch) joins() {
	a := br.a
	br.d, a.picker = *a.picker, nil
}

// beginPicked asks the phone what it says to the caller's offer (RFC 3261 §14.1);
// false: it could not be.
func (br *branch) beginPicked() bool {
	f, _ := br.a.b.way(&br.d) // a device of ours
	uri, routes := br.d.addressed()
	return br.send(&invite{flow: f, uri: uri, routes: routes})
}

// dropped ends the dialog with a phone that did not get the call: who refuses a
// re-INVITE stays in its call (RFC 3261 §14.1).
func (br *branch) dropped() {
	a := br.a
	a.claimed.Store(false)
	if br.left {
		return
	}
	br.left = true
	d := br.pairs[0].legs[call.B]
	a.bye(&d)
}

// bye ends a dialog that no call has any more.
func (a *anchor) bye(d *dialog) {
	f, _ := a.b.way(d)
	id := transaction.NewID()
	buf := a.b.txs.Buffer()
	defer a.b.txs.Release(buf)
	*buf = a.b.own(*buf, "BYE", d, f, id, d.localSeq+1, nil, body{})
	if _, err := a.set.Request(f, wire.Bye, id, *buf, nil, 0); err != nil {
		a.b.metrics.sendFailed.Inc()
	}
}

// leaves takes the BYE of a phone that picked the call up and has not got it yet;
// false: it is none.
func (d Dialog) leaves(srv *transaction.Server) bool {
	br := d.pair.br
	if d.leg != call.B || br == nil || !br.target.Pickup || br.ended || srv.Method() != wire.Bye {
		return false
	}
	a := br.a
	a.tick()
	a.b.reply(srv, 200, "", nil)
	br.left = true
	br.missed(487)
	return true
}
