package sip

import (
	"time"

	"bellhop/routing"
)

// urgent reports whether an admitted request is a call for help: neither drain
// nor overload stops it (rule dial.emergency).
func (s *Server) urgent(a *admission) bool {
	return a.visit.Method == "INVITE" && s.helps(&a.visit)
}

func (s *Server) helps(v *routing.Visit) bool {
	t, ok := s.tenants.Tenant([]byte(v.Domain))
	return ok && routing.HelpNumber(t, v) != ""
}

// blind decides about a call for help from what is in memory: the stores cannot
// be asked, and what they would say of the caller is taken for nothing.
func (r *resolver) blind(now time.Time, v *routing.Visit) (routing.Plan, routing.Trace, error) {
	w := routing.NewWorld(now)
	return routing.Resolve(w, *v, func(n routing.Need, w *routing.World) error {
		if r.world.Cached(n, w) {
			return nil
		}
		w.Put(n, routing.Answer{}) // a number or a name: all else is in memory
		return nil
	})
}
