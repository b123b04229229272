package sip

import (
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/ring"
	"bellhop/sip/transaction"
)

// account begins the account of the call that an INVITE is.
func (s *Server) account(srv *transaction.Server, a *admission) *feed.Call {
	m := &srv.Request.Msg
	return &feed.Call{
		ID: s.calls.NewID(srv.Request.Received), Domain: a.from.Domain, CallID: string(m.CallID()), CallerTag: string(m.FromTag()),
		Caller: a.from.Caller.Number, CallerDev: a.from.Caller.Device, Called: a.visit.Target,
		State: feed.Calling, Started: srv.Request.Received,
	}
}

// refuse ends a call that never rang. The record comes before the final response,
// so that whoever sees that response finds it.
func (s *Server) refuse(srv *transaction.Server, live *feed.Call, status int, reason, rule string) {
	if rule != "" {
		live.Rule = rule
	}
	outcome := ring.Refused
	switch status {
	case 480:
		outcome = ring.Unreachable
	case 486:
		outcome = ring.Busy
	case 487:
		outcome = ring.CallerGaveUp
	}
	live.State, live.EndedAt, live.Status, live.Outcome = feed.Ended, time.Now(), status, outcome.String()
	if err := s.calls.Ended(live); err != nil {
		s.metrics.journalFailed.Inc()
		s.log.Error("record not journaled", "call", live.ID, "err", err)
	}
	s.metrics.Call(live.Outcome, live.Rule)
	s.proxy.Reply(srv, status, reason, nil)
}

// story is a trace as a call keeps it.
func story(trace routing.Trace) []feed.Step {
	if len(trace) == 0 {
		return nil
	}
	steps := make([]feed.Step, len(trace))
	for i, e := range trace {
		steps[i] = feed.Step{At: e.At, Rule: string(e.Rule), Number: e.Number, To: e.To, Setting: e.Setting, Value: e.Value, Level: readers(e.Level), Owner: e.Owner}
	}
	return steps
}

// readers is a level as a call keeps it.
func readers(l routing.Level) feed.Level {
	switch l {
	case routing.Public:
		return feed.Public
	case routing.ForOwner:
		return feed.ForOwner
	case routing.ForAdmin:
		return feed.ForAdmin
	default:
		return feed.NoLevel
	}
}
