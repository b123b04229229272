package control

import (
	"net/http"

	"bellhop/feed"
)

// actionHangup is the name of the action that ends a call.
const actionHangup = "hangup"

// An actionDone says what an action began.
type actionDone struct {
	ID     string `json:"id"`
	Action string `json:"action" enum:"hangup"`
	State  string `json:"state" enum:"calling,ringing,talking" doc:"of the call when the action came"`
}

// actions are what who asks may do with a call now.
func (s *Server) actions(c *feed.Call, o *own) []string {
	if s.opts.Hanger == nil || c.State == feed.Ended || o != nil && !o.talks(c) {
		return []string{}
	}
	return []string{actionHangup}
}

// hangUp ends a call: an administrator any of the domain, a user one they are
// an end of.
func (s *Server) hangUp(q *request) (reply, error) {
	c, o, err := s.find(q)
	if err != nil {
		return reply{}, err
	}
	switch {
	case c.State == feed.Ended:
		return reply{}, callState(c.State, "call.ended", "the call is over")
	case o != nil && !o.talks(c):
		return reply{}, forbidden("the call went to somebody else")
	case s.opts.Hanger == nil || s.opts.Calls == nil:
		return reply{}, absent("call control")
	}
	if err = s.opts.Hanger.HangUp(q.ctx(), c.ID); err != nil {
		if _, up := s.opts.Calls.ByID(c.ID); !up { // it ended by itself meanwhile
			err = callState(feed.Ended, "call.ended", "the call is over")
		}
		return reply{}, err
	}
	return reply{status: http.StatusAccepted, body: actionDone{ID: c.ID, Action: actionHangup, State: c.State.String()}}, nil
}

// callState is the conflict of an action with the state a call is in.
func callState(state feed.CallState, rule, why string) *Problem {
	p := problem(http.StatusConflict, rule, "%s", why)
	p.State = state.String()
	return p
}
