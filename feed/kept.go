package feed

import "time"

// A Kept is something of a number that SIP keeps for a while: a subscription, a
// message for a phone that is away. What it is in detail only who keeps it knows.
type Kept struct {
	Kind    string // "message"; of what belongs to one node with its number: "subscription/1"
	ID      string // unique in its kind
	Domain  string
	Number  string
	Expires time.Time // it may be forgotten then; whole milliseconds are kept
	Body    []byte    // nil: it is kept no longer
}

// A KeptFor is what a number has of a kind.
type KeptFor struct {
	Domain, Number string
	Count, Bytes   int // Bytes of all bodies
}
