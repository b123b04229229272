package journal

import (
	"slices"

	"bellhop/feed"
)

// maxAnswered is how many bytes the entry of an answered call may take (trust.md
// §3), and maxRinging that of one that rings, which has a dialog for each who is
// rung. Real calls take less; peers choose how long their Contact, their routes
// and their session description are.
const (
	maxAnswered = 2048
	maxRinging  = 16 << 10
)

// room is how many bytes the entry of a live call may take.
func room(c *feed.Call) int {
	if c.State == feed.Talking {
		return maxAnswered
	}
	return maxRinging
}

// slims is how many steps [slim] knows.
const slims = 6

// slim returns c without what its entry can miss best: at step 1 without its
// story, which goes on in memory; at 2 without legs that are over; at 3 without
// session descriptions, so that after a restart its ends refresh it or nobody; at
// 4 without those Via values that a call which rings is answered by; at 5 without
// dialogs, which a restart then cannot take up; at 6 without any leg.
func slim(c *feed.Call, step int) *feed.Call {
	out := *c
	out.Story = nil
	if step < 2 {
		return &out
	}
	out.Legs = slices.Clone(c.Legs)
	if len(out.Legs) > 1 {
		out.Legs = append(out.Legs[:1], slices.DeleteFunc(out.Legs[1:], func(l feed.Leg) bool { return l.Dialog == nil })...)
	}
	for i := range out.Legs {
		if out.Legs[i].Dialog == nil || step < 3 {
			continue
		}
		d := *out.Legs[i].Dialog
		d.SDP, d.SDPType = "", ""
		if step >= 4 {
			d.Vias = nil
		}
		if out.Legs[i].Dialog = &d; step >= 5 {
			out.Legs[i].Dialog = nil
		}
	}
	if step >= 6 {
		out.Legs = nil
	}
	return &out
}
