package sip

import (
	"errors"
	"slices"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/sip/auth"
	"bellhop/sip/b2bua"
	"bellhop/sip/event"
	"bellhop/sip/lane"
	"bellhop/sip/proxy"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// A setup is an INVITE that belongs to no dialog, from its admission until it is
// decided who carries it out.
type setup struct {
	lane      *lane.Lane
	set       *transaction.Set
	srv       *transaction.Server
	from      auth.From
	popped    bool
	live      *feed.Call
	loop      uint32
	cancelled bool // by the caller, before there was a plan
}

// CancelAll implements [transaction.Branching]: the decision is not back yet, and will
// see.
func (u *setup) CancelAll(string) { u.cancelled = true }

// invite has an INVITE decided and carried out.
func (s *Server) invite(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, a *admission) {
	now := srv.Request.Received
	if home := s.ends.Home(srv.Request.Flow, &a.from); home != nil {
		srv.Home = home
	}
	u := setup{lane: ln, set: set, srv: srv, from: a.from, popped: a.popped, live: s.account(srv, a)}
	var looped bool
	if u.loop, looped = s.proxy.Loop(srv.Request); looped {
		s.refuse(srv, u.live, 482, "", "")
		return
	}
	plan, trace, err := s.resolver.cached(now, &a.visit)
	if errors.Is(err, errMiss) {
		if err = s.wait(u, now, a.visit); err == nil {
			return
		}
		if s.helps(&a.visit) {
			plan, trace, err = s.resolver.blind(now, &a.visit)
		}
	}
	s.decided(&u, plan, trace, err)
}

// wait has the decision about an INVITE loaded.
func (s *Server) wait(u setup, now time.Time, v routing.Visit) error {
	u.srv.User = &u
	return s.resolver.load(u.lane, now, v, func(plan routing.Plan, trace routing.Trace, err error) {
		u.srv.User = nil
		if err != nil && s.helps(&v) {
			plan, trace, err = s.resolver.blind(now, &v)
		}
		s.decided(&u, plan, trace, err)
	})
}

// decided hands an INVITE to who carries its plan out.
func (s *Server) decided(u *setup, plan routing.Plan, trace routing.Trace, err error) {
	live := u.live
	if live.Story == nil {
		live.Story = story(trace)
	} else { // after a redirect
		live.Story = append(live.Story, story(trace)...)
	}
	n := len(trace)
	live.Rule = string(trace.Rule())
	if u.cancelled {
		s.refuse(u.srv, live, 487, "", "")
		return
	}
	if err != nil {
		s.log.Warn("decision failed", "call", live.ID, "err", err)
		s.refuse(u.srv, live, status(err), "", "")
		return
	}
	switch d := plan.Decision.(type) {
	case routing.Reject:
		if n > 0 && (d.Status == 480 || d.Status == 486) {
			live.Number = trace[n-1].Number // whose phones do not ring: it is in their journal
		}
		s.refuse(u.srv, live, d.Status, d.Reason, string(d.Rule))
	case routing.Act:
		s.act(u, plan, &d)
	case routing.Ring:
		live.Number = d.Number
		if plan.Anchored != "" {
			s.b2bua.Invite(u.lane, u.set, u.srv, &b2bua.Invitation{From: u.from, Plan: plan, Live: live})
			return
		}
		s.proxy.Invite(u.lane, u.set, u.srv, &proxy.Invitation{
			From: u.from, Popped: u.popped, Loop: u.loop, Ring: d, Hops: plan.Hops, Live: live,
		})
	default:
		panic("sip: unknown decision")
	}
}

// forward has a request that belongs to no dialog and is no INVITE decided, and
// proxies it.
func (s *Server) forward(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, a *admission) {
	if _, looped := s.proxy.Loop(srv.Request); looped {
		s.proxy.Reply(srv, 482, "", nil)
		return
	}
	from, popped := a.from, a.popped
	s.resolver.Resolve(ln, srv.Request.Received, &a.visit, func(plan routing.Plan, trace routing.Trace, err error) {
		if err != nil {
			s.proxy.Reply(srv, status(err), "", nil)
			return
		}
		switch d := plan.Decision.(type) {
		case routing.Reject:
			if n := len(trace); n == 0 || d.Status != 480 || !s.kept(ln, srv, &from, trace[n-1].Number) {
				s.proxy.Reply(srv, d.Status, d.Reason, nil)
			}
		case routing.Act: // only an INVITE asks for something
			s.proxy.Reply(srv, 404, "", nil)
		case routing.Ring:
			letter := s.letter(ln, srv, &from, d.Number)
			if letter == nil {
				s.proxy.Forward(set, srv, &d, &from, popped, nil)
				return
			}
			letter.Wait(s.proxy.Forward(set, srv, &d, &from, popped, letter.Final))
		default:
			panic("sip: unknown decision")
		}
	})
}

// letter is the MESSAGE that srv is, which may have to wait for a phone; nil for any
// other request.
func (s *Server) letter(ln *lane.Lane, srv *transaction.Server, from *auth.From, number string) *event.Letter {
	if srv.Method() != wire.MethodMessage {
		return nil
	}
	return s.events.NewLetter(ln, srv, from, number)
}

// kept keeps a MESSAGE for a number without phones; it reports whether it does.
func (s *Server) kept(ln *lane.Lane, srv *transaction.Server, from *auth.From, number string) bool {
	letter := s.letter(ln, srv, from, number)
	return letter != nil && letter.Final(480)
}

// subscribe takes a SUBSCRIBE: it is for the notifier, unless it goes past us to a
// phone.
func (s *Server) subscribe(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, a *admission) {
	m := &srv.Request.Msg
	if _, ours := s.tenants.Tenant([]byte(a.visit.TargetHost)); !ours && len(m.ToTag()) == 0 {
		s.forward(ln, set, srv, a)
		return
	}
	s.events.Subscribe(ln, set, srv, &a.from, a.visit.Target)
}

// redirected goes on with a call that was proxied until a phone sent it elsewhere:
// from here on it is anchored. The caller's transaction stays; the To tags it
// hears of from now on are those of another fork (RFC 3261 §12.1.2).
func (s *Server) redirected(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, r *proxy.Redirect) {
	live := *r.Live
	u := &setup{lane: ln, set: set, srv: srv, from: r.From, live: &live}
	srv.User = u
	if r.Visit == nil {
		s.refuse(srv, &live, r.Status, "", "")
		return
	}
	s.resolver.Resolve(ln, time.Now(), r.Visit, func(plan routing.Plan, trace routing.Trace, err error) {
		srv.User = nil
		if plan.Anchored == "" {
			plan.Anchored = routing.DeviceRedirect
		}
		live.Story = slices.Clip(live.Story)
		s.decided(u, plan, trace, err)
	})
}
