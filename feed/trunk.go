package feed

import "time"

// A TrunkStatus is how a trunk is, as the API shows it.
type TrunkStatus struct {
	Up              bool         `json:"up"`                        // a peer can take calls
	Since           time.Time    `json:"since,omitzero"`            // since when Up is as it is
	RegisteredUntil time.Time    `json:"registered_until,omitzero"` // of our own registration; zero: there is none
	LastError       string       `json:"last_error,omitempty"`      // why it is down or not registered
	Calls           int          `json:"calls"`                     // going on now
	Peers           []PeerStatus `json:"peers,omitempty"`
}

// A PeerStatus is how one peer of a trunk is.
type PeerStatus struct {
	Peer         string    `json:"peer"` // as the settings name it
	Up           bool      `json:"up"`
	Addresses    []string  `json:"addresses,omitempty"`    // where it is now: "UDP 192.0.2.1:5060"
	Seen         time.Time `json:"last_seen,omitzero"`     // its last answer
	RestingUntil time.Time `json:"resting_until,omitzero"` // it answered 503 (RFC 3261 §21.5.4)
	LastError    string    `json:"last_error,omitempty"`
}
