package routing

import (
	"slices"
	"time"
)

// A RuleName is the stable name of a rule of behaviour.md. Code, traces, tests
// and documentation use the same one.
type RuleName string

// An Entry is one step to a decision: which rule applied to which number, by
// which setting, and when. It is a value: package explain makes words of it
// when somebody reads, so a call that nobody asks about formats nothing.
type Entry struct {
	Rule    RuleName
	Number  string
	To      string // where it sent the call, "" where it did not
	Setting string // path of the setting that decided, "" when none did
	Value   string
	Level   Level
	Owner   string // user whose setting it is
	At      time.Time
}

// A Level says who may read an entry (behaviour.md §5).
type Level uint8

// The levels.
const (
	Public   Level = iota
	ForOwner       // the user of the entry, and admins
	ForAdmin
)

// A Trace says, step by step, why a decision came out as it did.
type Trace []Entry

// Rule returns the rule that decided: that of the last entry that says what
// happens now, not how it is carried out or what may follow.
func (t Trace) Rule() RuleName {
	for _, e := range slices.Backward(t) {
		if e.Rule != CallAnchored && e.Value != VoicemailLater {
			return e.Rule
		}
	}
	return ""
}
