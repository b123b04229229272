package sip

import (
	"context"
	"errors"
	"slices"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/dial"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/b2bua"
	"bellhop/sip/lane"
)

const (
	// actTime bounds what a phone waits for a setting to be saved: it has its 100,
	// and gives up by itself only after Timer B.
	actTime = 5 * time.Second
	// confirmTime is how long a code is confirmed by an answered call: long enough
	// for a phone to show it and for one lost ACK (RFC 3261 §17.1.1.2, T1).
	confirmTime = time.Second
)

// act does what a phone asked for by a code. The call is answered when that is
// done, and hung up soon after.
func (s *Server) act(u *setup, plan routing.Plan, d *routing.Act) {
	u.live.Number = d.Number
	if d.Feature == dial.Pickup || d.Feature == dial.DirectedPickup {
		s.pickUp(u, plan, d)
		return
	}
	change, ok := directory.ByCode(d.Feature, d.Domain, d.Number, d.Owner, d.Target)
	if !ok || s.settings == nil {
		s.refuse(u.srv, u.live, 480, d.Lacking(), string(d.Rule))
		return
	}
	own := *u // what leads here in most calls goes on without
	author := own.from.Author(own.srv.Request.Flow)
	own.srv.User = &own
	err := own.lane.Do(func(ctx context.Context) lane.Event {
		ctx, cancel := context.WithTimeoutCause(ctx, actTime, errSlow)
		defer cancel()
		err := s.settings.Edit(ctx, author, change.Ref, change.Edit)
		return lane.Continue(func() { s.acted(&own, plan, d, err) })
	})
	if err != nil {
		own.srv.User = nil
		s.refuse(own.srv, own.live, status(err), "", "")
	}
}

// acted answers the call when what was asked for is done, or refused.
func (s *Server) acted(u *setup, plan routing.Plan, d *routing.Act, err error) {
	u.srv.User = nil
	if u.cancelled {
		s.refuse(u.srv, u.live, 487, "", "")
		return
	}
	inv, refused := errors.AsType[*directory.Invalid](err)
	switch {
	case refused:
		u.live.Story = append(slices.Clip(u.live.Story), broken(inv, d))
		s.refuse(u.srv, u.live, brokenStatus(inv.Rule), inv.Rule, inv.Rule)
	case err != nil:
		s.log.Warn("setting not saved", "call", u.live.ID, "feature", d.Feature.String(), "err", err)
		s.refuse(u.srv, u.live, 503, "Setting Not Saved", "")
	default:
		s.b2bua.Answer(u.lane, u.set, u.srv, &b2bua.Invitation{From: u.from, Plan: plan, Live: u.live}, s.confirm(d, u.srv.Request.Flow))
	}
}

// confirm is what answers a call whose code was obeyed.
func (s *Server) confirm(d *routing.Act, flow location.Flow) *b2bua.Service {
	v := s.b2bua.Silent(d.Feature.String(), flow, confirmTime)
	if s.served != nil {
		s.served(v)
	}
	return v
}

// brokenStatus is the final response of a code that breaks a rule of settings.
func brokenStatus(rule string) int {
	switch rule {
	case directory.RuleReference:
		return 404
	case directory.RuleMissing, directory.RuleValue:
		return 484
	default:
		return 403
	}
}

// broken is the step of the story that says which rule a code broke.
func broken(inv *directory.Invalid, d *routing.Act) feed.Step {
	step := feed.Step{
		At: time.Now(), Rule: inv.Rule, Number: d.Number, Setting: "numbers/" + d.Number + "/forwarding", Value: d.Target,
		Level: feed.ForOwner, Owner: d.Owner,
	}
	if inv.Rule == directory.RuleLoop { // the chain
		step.Value = inv.Faults[0].Message
	}
	return step
}
