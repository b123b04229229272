package b2bua

import (
	"cmp"
	"time"

	"bellhop/feed"
	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// Restore takes up the anchored calls that the journal knows from an earlier
// process (trust.md §3). Those that were answered go on as if nothing had
// happened: they sleep in their lanes until a message or a timer comes. Those
// that rang cannot: what routing wanted next is lost. They end on both sides.
func (b *B2BUA) Restore(calls []*feed.Call) {
	now := time.Now()
	for _, c := range calls {
		if c.Anchored == "" {
			continue
		}
		if len(c.Legs) == 0 || c.Legs[0].Dialog == nil {
			b.unrestored(c)
			continue
		}
		ln, _, err := b.lanes.GetOrNew([]byte(c.CallID))
		if err == nil {
			err = ln.Post(transaction.Task(func(set *transaction.Set) {
				a := &anchor{b: b, lane: ln, set: set, live: c, domain: c.Domain, now: now, begun: true}
				a.a = restored(call.A, c.Domain, &c.Legs[0])
				if c.State == feed.Talking {
					a.wake()
				} else {
					a.abandon()
				}
			}))
		}
		if err != nil {
			b.log.Error("call not restored", "call", c.ID, "err", err)
		}
	}
}

// unrestored closes the account of a call whose entry was too long to have its
// dialogs: nobody can speak to its ends any more. What they say gets 481, which
// ends it for them (RFC 3261 §12.2.2).
func (b *B2BUA) unrestored(c *feed.Call) {
	b.metrics.unrestored.Inc()
	b.log.Error("call not restored", "call", c.ID, "err", "its dialogs were too long to be kept")
	next := *c
	next.State, next.EndedAt = feed.Ended, time.Now()
	if c.State != feed.Talking {
		next.Status, next.Outcome = 480, "lost"
	}
	next.Legs = feed.AppendEnded(nil, c.Legs, next.EndedAt)
	if err := b.calls.Ended(&next); err != nil {
		b.metrics.journalFailed.Inc()
		b.log.Error("record not journaled", "call", c.ID, "err", err)
	}
}

// restored is a leg as the journal kept it.
func restored(leg call.Leg, domain string, l *feed.Leg) dialog {
	s := l.Dialog
	d := dialog{
		leg: leg, home: cmp.Or(s.Home, domain), callID: s.CallID, localTag: s.LocalTag, remoteTag: s.RemoteTag, local: s.LocalURI, remote: s.RemoteURI,
		target: s.Target, routes: s.Routes, localSeq: s.LocalSeq + skip, remoteSeq: s.RemoteSeq,
		flow: location.Flow{Transport: location.Transport(s.Transport), Local: s.Local, Remote: s.Remote},
		sdp:  body{s.SDPType, []byte(s.SDP)}, hides: l.Identity == anonymous, secure: isSIPS([]byte(s.Target)),
	}
	switch {
	case l.Trunk != "":
		d.side = auth.Side{Kind: auth.Trunk, Name: l.Trunk}
	case l.Device != "":
		d.side = auth.Side{Kind: auth.Line, Name: l.Number, Mark: auth.MarkOf(l.Device, s.Target)}
	default:
		d.stranger = true
	}
	return d
}

// skip is how many requests of ours may have gone out in a dialog since it was
// journaled: CSeq may jump, but not fall (RFC 3261 §12.2.1.1).
const skip = 1000

// doubtful is how long after its answer a call is asked soon after a restart
// whether its ends are in it: the 2xx may have been lost with the process, and a
// caller that does not know of it has given up after Timer C at the latest (RFC
// 3261 §16.6). One with a session timer refreshes, or the call ends.
const doubtful = 3 * time.Minute

// wake goes on with an answered call.
func (a *anchor) wake() {
	c := a.live
	for i := 1; i < len(c.Legs); i++ {
		if c.Legs[i].Dialog != nil {
			a.callee = i
		}
	}
	if a.callee == 0 { // it was a service of the process that is gone
		a.lone()
		return
	}
	near, far := &c.Legs[0], &c.Legs[a.callee]
	p := &pair{a: a}
	p.legs[call.A], p.legs[call.B] = a.a, restored(call.B, c.Domain, far)
	for i := range p.legs {
		d := &p.legs[i]
		if d.side.Kind == 0 {
			d.side = a.b.ends.AddressSide(d.flow)
		}
		d.contact = a.b.contact(d, a.domain)
	}
	p.first = exchange{pair: p, method: call.Invite, word: "INVITE", to: call.B, came: p.legs[call.A].remoteSeq, seq: far.Dialog.LocalSeq}
	a.b.lanes.Alias(p.legs[call.B].callID, a.lane)
	a.talks, a.joined = p, true
	a.lodge()
	a.reserve(near.Trunk, far.Trunk)
	saved := call.Saved{Interval: interval, Seen: c.Deadline.Add(-silence)}
	if near.Dialog.Interval == 0 && a.now.Sub(c.AnsweredAt) < doubtful {
		saved.Seen = time.Time{}
	}
	for i, l := range [...]*feed.Leg{near, far} {
		saved.Timers[i] = call.Timing{Interval: l.Dialog.Interval, Ours: l.Dialog.Refresher, Update: l.Dialog.Update, Last: l.Dialog.Refreshed}
		if l.Dialog.Refresher && !l.Dialog.Update && l.Dialog.SDP == "" { // it was too long to be kept: only the end can refresh it now
			saved.Timers[i].Ours = false
		}
		if l.Trunk != "" {
			saved.Deadline = c.AnsweredAt.Add(longest)
		}
	}
	var effects []call.Effect
	p.state, effects = call.Restore(saved, a.now, nil)
	p.carryOut(effects)
	a.settle()
}

// lone ends a call that has nobody but the caller any more.
func (a *anchor) lone() {
	d := a.a
	if d.side.Kind == 0 {
		d.side = a.b.ends.AddressSide(d.flow)
	}
	a.hangUp(&d, true)
	a.finish(func(*feed.Call) {})
}

// reserve counts a call among those of its trunks again. It has its place, whatever
// their limits say now.
func (a *anchor) reserve(trunks ...string) {
	var releases []func()
	for _, name := range trunks {
		if name == "" || a.b.trunks == nil {
			continue
		}
		releases = append(releases, a.b.trunks.Hold(a.domain, name))
	}
	a.release = func() {
		for _, release := range releases {
			release()
		}
	}
}

// abandon ends a call that rang: the branches get CANCEL, the caller its final
// response. Both go out as transactions of this process that take the place of
// those of the last one, so that they are repeated until they are answered; a device
// whose connection went with the last one gets them when it is back.
func (a *anchor) abandon() {
	c := a.live
	a.lodge()
	a.tag = a.a.localTag
	for i := 1; i < len(c.Legs); i++ {
		l := &c.Legs[i]
		if l.Dialog == nil {
			continue
		}
		br := &branch{a: a, leg: i, d: restored(call.B, c.Domain, l), ended: true}
		br.d.localSeq -= skip
		a.branches = append(a.branches, br)
		a.b.lanes.Alias(br.d.callID, a.lane)
		id := transaction.ID(l.Dialog.Branch)
		text := a.b.own(nil, "INVITE", &br.d, br.d.flow, id, br.d.localSeq, nil, body{})
		client := a.set.Resume(br.d.flow, id, text, br)
		if home := a.b.ends.HomeOf(br.d.flow, br.d.side, br.d.home); home != nil {
			client.Home = home
		}
		client.Cancel(nil)
	}
	if p := a.again(); p != nil {
		a.srv = a.set.Serve(p)
		if home := a.b.ends.HomeOf(p.Flow, a.a.side, a.a.home); home != nil {
			a.srv.Home = home
		}
		a.b.reply(a.srv, 480, a.tag, nil)
	}
	a.close(480, "lost")
	a.settle()
}

// again is the caller's INVITE as far as it takes to answer it; nil when it
// cannot be answered.
func (a *anchor) again() *transport.Packet {
	s := a.live.Legs[0].Dialog
	text := []byte("INVITE sip:" + a.domain + " SIP/2.0\r\n")
	for _, via := range s.Vias {
		text = wire.AppendLine(text, "Via", via)
	}
	text = wire.AppendLine(text, "From", tagged(a.a.remote, a.a.remoteTag))
	text = wire.AppendLine(text, "To", a.a.local)
	text = wire.AppendLine(text, "Call-ID", a.a.callID)
	text = append(appendUint(append(text, "CSeq: "...), s.RemoteSeq), "INVITE\r\nContent-Length: 0\r\n\r\n"...)
	p := &transport.Packet{Flow: a.a.flow, Received: a.now}
	if len(s.Vias) == 0 || p.Msg.Parse(text) != nil {
		return nil
	}
	return p.Own()
}
