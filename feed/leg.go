package feed

import (
	"net/netip"
	"time"
)

// A Leg is one end of a call: whoever made it, and each branch that rang. The
// legs of an anchored call are dialogs of ours; of a proxied one they are what
// the call was made of. A Leg that was handed on is never changed.
type Leg struct {
	Caller     bool      `json:"caller,omitempty"`   // the end that made the call
	Number     string    `json:"number,omitempty"`   // the caller's, the one that rang, or the one outside
	Device     string    `json:"device,omitempty"`   // authorization name
	Trunk      string    `json:"trunk,omitempty"`    // by which it came or left
	Remote     string    `json:"remote,omitempty"`   // id of the remote destination that it is (rules snr.*)
	Identity   string    `json:"identity,omitempty"` // who was shown to it, "" as received, "anonymous" nobody
	By         string    `json:"by,omitempty"`       // the number that sent the call out by Trunk: the caller's, or whose setting it was
	Kind       string    `json:"kind,omitempty"`     // of the destination outside: "mobile", "international"
	State      CallState `json:"state"`
	Status     int       `json:"status,omitempty"` // final response
	Started    time.Time `json:"started,omitzero"`
	AnsweredAt time.Time `json:"answered_at,omitzero"`
	EndedAt    time.Time `json:"ended_at,omitzero"`

	// Dialog is what it takes to speak to the end after a restart; nil for a leg
	// that is over. Nobody shows it.
	Dialog *Dialog `json:"-"`
}

// AppendEnded appends the legs of a call that ended at a moment, as its record
// has them.
func AppendEnded(dst, legs []Leg, at time.Time) []Leg {
	out := append(dst, legs...)
	for i := range out[len(dst):] {
		l := &out[len(dst)+i]
		l.Dialog = nil
		if l.State != Ended {
			l.State, l.EndedAt = Ended, at
		}
	}
	return out
}

// A Dialog is our side of a dialog (RFC 3261 §12), as the journal keeps it.
type Dialog struct {
	CallID    string
	LocalTag  string // ours
	RemoteTag string // theirs, "" before they answered
	LocalURI  string // value of the field that names us, without tag: From of our requests
	RemoteURI string // that of theirs
	Target    string // URI that our requests go to
	Routes    []string
	LocalSeq  uint32 // of our last request
	RemoteSeq uint32 // of their last request, 0: there was none

	// Vias and Branch belong to an INVITE without a final response: its Via
	// values, topmost first, when it is theirs, and the id of our transaction when
	// it is ours.
	Vias   []string
	Branch uint64

	Home string // domain of the end, "" for that of the call

	Transport     uint8          // as routing/location numbers them
	Local, Remote netip.AddrPort // of the flow

	Interval  time.Duration // session interval (RFC 4028), 0: none
	Refresher bool          // we refresh
	Update    bool          // by UPDATE; else with the session description that they were sent last:
	SDPType   string        // its Content-Type
	SDP       string
	Refreshed time.Time // when it was last
}
