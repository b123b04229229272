package sip

import (
	"cmp"
	"slices"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/dial"
	"bellhop/routing/location"
	"bellhop/sip/b2bua"
	"bellhop/sip/transaction"
)

// Why nobody is picked up, as reason phrases.
const (
	noCallRings = "No Call Rings"
	pickedUp    = "Picked Up Already"
	answered    = "Answered Already"
	notAnchored = "Not In A Pickup Group"
)

// pickUp has a phone take a call that rings elsewhere (rule dial.feature). Its INVITE
// moves into the lane of that call, before anything is answered: from there on one
// lane knows of both.
func (s *Server) pickUp(u *setup, plan routing.Plan, d *routing.Act) {
	r, why := s.claim(u, d)
	if why != "" {
		s.notPickedUp(u, d, why)
		return
	}
	own := *u // the other lane may run before this step is over
	old, p, home := u.srv, u.srv.Request, u.srv.Home
	moved := old.Alone() && s.table.Merge(u.lane, r.Lane(), transaction.Task(func(set *transaction.Set) {
		own.lane, own.set, own.srv = r.Lane(), set, set.Serve(p)
		own.srv.Home = home
		if !r.Open(p.Flow) {
			r.Free()
			why := noCallRings
			if r.Answered() {
				why = answered
			}
			s.notPickedUp(&own, d, why)
			return
		}
		hold := s.b2bua.Silent(d.Feature.String(), p.Flow, 0)
		s.b2bua.PickUp(own.lane, set, own.srv, &b2bua.Invitation{From: own.from, Plan: plan, Live: own.live}, hold, r)
	}))
	if !moved { // it ended meanwhile
		r.Free()
		s.notPickedUp(u, d, noCallRings)
		return
	}
	old.Abandon()
}

// claim finds the call that a phone picks up, of several the one that has rung
// longest, and takes it; else it says why there is none.
func (s *Server) claim(u *setup, d *routing.Act) (r b2bua.Ringing, why string) {
	found, why := s.ringingFor(d)
	found = slices.DeleteFunc(found, func(r b2bua.Ringing) bool { // who calls does not pick up
		domain, device := r.Caller()
		return domain == d.Domain && device == d.Device || r.Lane() == u.lane
	})
	slices.SortStableFunc(found, func(a, b b2bua.Ringing) int { return a.Since().Compare(b.Since()) })
	for _, r := range found {
		if r.Claim() {
			return r, ""
		}
		why = pickedUp
	}
	return b2bua.Ringing{}, cmp.Or(why, noCallRings)
}

// ringingFor returns the calls that a phone may pick up; why says of none what is
// special about it.
func (s *Server) ringingFor(d *routing.Act) (found []b2bua.Ringing, why string) {
	if d.Feature == dial.Pickup {
		for _, g := range d.Groups {
			found = append(found, s.b2bua.RingingIn(d.Domain, g)...)
		}
		return found, ""
	}
	aor, err := location.NewAOR(d.Target, d.Domain)
	if err != nil {
		return nil, ""
	}
	for _, e := range s.ringing.At(aor) {
		if r, ok := b2bua.RingingOf(e); ok {
			found = append(found, r)
		} else {
			why = notAnchored // proxied: the two phones have a dialog of their own
		}
	}
	return found, why
}

// notPickedUp ends the call of a phone that wanted another's.
func (s *Server) notPickedUp(u *setup, d *routing.Act, why string) {
	u.live.Story = append(slices.Clip(u.live.Story), feed.Step{
		At: time.Now(), Rule: string(d.Rule), Number: d.Number, Value: routing.NotPickedUp, Level: feed.ForOwner, Owner: d.Owner,
	})
	s.refuse(u.srv, u.live, 480, why, string(d.Rule))
}
