package ring

import (
	"slices"

	"bellhop/routing/location"
)

// branchState is where a branch is.
type branchState uint8

const (
	trying     branchState = iota + 1 // invited, no 1xx yet; TimerSilent runs
	early                             // had a 1xx
	silent                            // abandoned without CANCEL (ring.silent)
	cancelling                        // a Cancel went out, no final response yet
	broken                            // its flow went after a 1xx: over unless the device comes back
	lost                              // its flow went before a 1xx: the device never saw the INVITE
	over                              // had a final response that was no 2xx
	won                               // had a 2xx
)

// branch is one branch. Its target belongs to the plan and is not changed.
type branch struct {
	target *Target
	state  branchState
	heard  bool // had a 1xx
	rang   bool // had one above 100
	quiet  bool // cancelled, and not waited for any more
	// stopAt is when TimerStop is due, in milliseconds since the start of the call;
	// 0: it does not run. It gives up a branch that rings, and the waiting for one
	// so given up.
	stopAt int32
}

// remote reports whether b is a remote destination.
func (b branch) remote() bool { return b.target.Remote != "" }

// member reports whether b is of a member of a group.
func (b branch) member() bool { return b.target.Number != "" }

// rings reports whether b is still given its ring time.
func (b branch) rings() bool { return b.state == trying || b.state == early }

// holds reports whether the next stage waits for b.
func (b branch) holds() bool { return b.rings() || b.state == cancelling && !b.quiet }

// mayAnswer reports whether a 2xx of b can still come.
func (b branch) mayAnswer() bool { return b.rings() || b.state == silent || b.state == cancelling }

// timed reports whether the TimerSilent of b runs, or may run.
func (b branch) timed() bool {
	return b.state == trying && b.target.Trunk == "" || b.state == cancelling && !b.heard && !b.quiet
}

// some is how many branches a State holds without a slice.
const some = 4

// branches is the branches of a call: a value up to some of them; those beyond
// are copied when they change.
type branches struct {
	n     int
	first [some]branch
	more  []branch
}

func (bs *branches) at(i BranchID) branch {
	if i < some {
		return bs.first[i]
	}
	return bs.more[i-some]
}

func (bs *branches) set(i BranchID, b branch) {
	if i < some {
		bs.first[i] = b
		return
	}
	bs.more = slices.Clone(bs.more)
	bs.more[i-some] = b
}

func (bs *branches) add(b branch) BranchID {
	i := BranchID(bs.n)
	bs.n++
	if i < some {
		bs.first[i] = b
	} else {
		bs.more = append(slices.Clip(bs.more), b)
	}
	return i
}

// any reports whether one of the branches is so.
func (bs *branches) any(is func(branch) bool) bool {
	for i := range BranchID(bs.n) {
		if is(bs.at(i)) {
			return true
		}
	}
	return false
}

// doubtable reports whether silence says something about t: a connection tells
// when it is gone, and what stands behind a Path is not ours to judge.
func doubtable(t *Target) bool {
	return t.Trunk == "" && t.Flow.Transport == location.UDP && len(t.Path) == 0
}

// same reports whether two targets are one device instance, with one number.
func same(a, b *Target) bool {
	if a.Number != b.Number {
		return false
	}
	x, y := a.Instance, b.Instance
	if x == "" {
		x = a.Contact
	}
	if y == "" {
		y = b.Contact
	}
	return x == y
}
