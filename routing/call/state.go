package call

import "time"

// State is a call being carried out. It is a value: Step never changes the one
// it is called on. The zero State ignores everything; [New] and [Restore] make
// others.
type State struct{}

// New begins a pair of dialogs whose INVITE is to go to leg B: the first effect
// is its Relay. What is to be done is appended to dst, which may be nil.
func New(o Options, now time.Time, dst []Effect) (State, []Effect) { return State{}, dst }

// Restore continues an answered call from the journal.
func Restore(saved Saved, now time.Time, dst []Effect) (State, []Effect) { return State{}, dst }

// Step returns the state after ev; what is to be done for it, in order, is
// appended to dst, which may be nil.
func (s State) Step(ev Event, dst []Effect) (State, []Effect) { return s, dst }

// Answered reports whether the call was answered and has not ended.
func (s State) Answered() bool { return false }

// Done reports whether nothing can come any more: the call ended and so did
// every request of ours.
func (s State) Done() bool { return true }

// Saved returns what the journal keeps.
func (s State) Saved() Saved { return Saved{} }
