package feed

import "time"

// A Filter chooses records of calls.
type Filter struct {
	Numbers  []string  // calls that one of these made, was called by or answered; none: all
	From, To time.Time // started in [From, To); zero: open
	Limit    int       // at most this many, 0: the store's own limit
	Cursor   string    // from where the last page ended; "" starts
}

// A Registration is one binding as the API shows it.
type Registration struct {
	Domain    string    `json:"domain"`
	Number    string    `json:"number"` // user part of the AOR
	Device    string    `json:"device"`
	Contact   string    `json:"contact"`
	Transport string    `json:"transport"`
	Source    string    `json:"source"` // where messages of the device come from
	UserAgent string    `json:"user_agent,omitempty"`
	Instance  string    `json:"instance,omitempty"`
	Node      uint16    `json:"node,omitempty"` // number of the node it registered at, where there are several
	Q         float32   `json:"q,omitempty"`
	Expires   time.Time `json:"expires"`
	Seen      time.Time `json:"last_seen"`
}
