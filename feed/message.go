package feed

import (
	"net/netip"
	"time"
)

// A Message is one SIP message of a call, for the ladder that administrators
// read. Secrets are taken out of it.
type Message struct {
	At        time.Time      `json:"at"`
	Sent      bool           `json:"sent" doc:"by us; else it came in"`
	Transport string         `json:"transport" example:"UDP"`
	Local     netip.AddrPort `json:"local"`
	Remote    netip.AddrPort `json:"remote"`
	First     string         `json:"first" doc:"the first line" example:"SIP/2.0 180 Ringing"`
	Text      string         `json:"text" doc:"the whole message; credentials, keys of media and bodies that are no session description are left out"`
}
