package control

import (
	"cmp"
	"time"

	"bellhop/feed"
	"bellhop/routing"
)

// Steps that tell what became of a call, after the decisions of its story. They
// are made of the record when somebody reads; no rule decides them.
const (
	stepAnswered = "call.answered" // by a device: for its owner
	stepTaken    = "call.taken"    // for everybody
	stepEnded    = "call.ended"    // without an answer
	stepRang     = "leg.rang"
	stepBusy     = "leg.busy"
	stepDeclined = "leg.declined"
	stepFailed   = "leg.failed"
)

// fate tells what became of a call at each of its ends, and in the end.
func fate(c *feed.Call) (out []feed.Step) {
	owners := map[string]string{}
	for _, st := range c.Story {
		if st.Number != "" && st.Owner != "" && st.To == "" {
			owners[st.Number] = st.Owner
		}
	}
	for i := range c.Legs {
		l := &c.Legs[i]
		rule, took := fateOf(l)
		if l.Caller || rule == "" {
			continue
		}
		st := feed.Step{At: l.Started, Rule: rule, Number: l.Number, To: cmp.Or(l.Device, l.Remote, l.Trunk), Level: feed.ForOwner, Owner: owners[l.Number]}
		if took > 0 {
			st.Value = took.Round(100 * time.Millisecond).String()
		}
		if l.Trunk != "" && l.Remote == "" {
			st.Level = feed.ForAdmin
		}
		out = append(out, st)
	}
	switch {
	case !c.AnsweredAt.IsZero():
		out = append(out, feed.Step{At: c.AnsweredAt, Rule: stepTaken, Number: c.Called, Value: c.AnsweredAt.Sub(c.Started).Round(100 * time.Millisecond).String(), Level: feed.Public})
	case !c.EndedAt.IsZero():
		out = append(out, feed.Step{At: c.EndedAt, Rule: stepEnded, Number: c.Called, Value: c.Outcome, Level: feed.Public})
	}
	return out
}

// fateOf is what became of one end, and how long that took.
func fateOf(l *feed.Leg) (rule string, took time.Duration) {
	end := l.EndedAt
	switch {
	case !l.AnsweredAt.IsZero():
		return stepAnswered, l.AnsweredAt.Sub(l.Started)
	case end.IsZero():
		return "", 0
	case l.Status == 486 || l.Status == 600:
		return stepBusy, 0
	case l.Status == 603:
		return stepDeclined, 0
	case l.Status == 0 || l.Status == 487: // given up, or cancelled
		if took = end.Sub(l.Started); took <= 0 {
			return "", 0
		}
		return stepRang, took
	default:
		return stepFailed, 0
	}
}

// wholeStory is the decisions of a call and what became of them.
func wholeStory(c *feed.Call) []feed.Step {
	return append(append(make([]feed.Step, 0, len(c.Story)+len(c.Legs)+1), c.Story...), fate(c)...)
}

// entry is a step of a story as the trace had it.
func entry(st feed.Step) routing.Entry {
	e := routing.Entry{
		Rule: routing.RuleName(st.Rule), Number: st.Number, To: st.To, Setting: st.Setting, Value: st.Value,
		Level: routing.ForAdmin, Owner: st.Owner, At: st.At,
	}
	switch st.Level {
	case feed.Public:
		e.Level = routing.Public
	case feed.ForOwner:
		e.Level = routing.ForOwner
	case feed.NoLevel, feed.ForAdmin:
	default: // of a newer release
	}
	return e
}
