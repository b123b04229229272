package ring

import "slices"

// decline ends what rings of a member of a group that does not want the call
// (603 declines for its number); the others ring on.
func (s *step) decline(number string) {
	s.declined = append(slices.Clip(s.declined), number)
	for i := s.base; i < BranchID(s.branches.n); i++ {
		if b := s.branches.at(i); b.rings() && b.target.Number == number {
			b.state = cancelling
			s.unstop(i, &b)
			s.branches.set(i, b)
			s.cancel(i, &b, "")
		}
	}
}

// unwilling reports whether t is of a member that declined.
func (s *step) unwilling(t *Target) bool {
	return t.Number != "" && slices.Contains(s.declined, t.Number)
}

// welcome reports whether a device that registered may ring in the stage at hand:
// of a group that of a member that rings there.
func (s *step) welcome(t *Target) bool {
	if t.Number == "" {
		return true
	}
	return !s.unwilling(t) && s.stage < len(s.plan.Stages) &&
		slices.ContainsFunc(s.plan.Stages[s.stage], func(o Target) bool { return o.Number == t.Number })
}
