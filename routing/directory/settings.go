package directory

import (
	"time"
)

// TargetVoicemail is the target that means the mailbox of the number.
const TargetVoicemail = "voicemail"

// A Forwarding is how a number forwards: four kinds, each with an internal and
// an external side. In its JSON form "both" writes both sides; what "both"
// leaves out keeps its value.
type Forwarding struct {
	All         Sides `json:"all,omitzero"`
	Busy        Sides `json:"busy,omitzero"`
	NoAnswer    Sides `json:"no_answer,omitzero"`
	Unreachable Sides `json:"unreachable,omitzero"`
}

// Sides are the two sides of a forwarding. A side not set forwards nothing.
type Sides struct {
	Internal Forward `json:"internal,omitzero"`
	External Forward `json:"external,omitzero"`
}

// A Forward is one forward. Enabled is apart from Target, so that switching
// off keeps the target.
type Forward struct {
	Enabled bool   `json:"enabled"`
	Target  string `json:"target,omitempty"` // a number, a SIP URI, or "voicemail"
}

// on reports whether anything is forwarded.
func (f Forwarding) on() bool {
	for _, s := range [...]Sides{f.All, f.Busy, f.NoAnswer, f.Unreachable} {
		if s.Internal.Enabled || s.External.Enabled {
			return true
		}
	}
	return false
}

// Of returns the side for an internal or an external call.
func (s Sides) Of(internal bool) Forward {
	if internal {
		return s.Internal
	}
	return s.External
}

// The modes of do not disturb.
const (
	DNDVoicemail = "voicemail-else-busy"
	DNDReject    = "reject"
	DNDRingerOff = "ringer-off"
)

// A DND is do not disturb, of a user.
type DND struct {
	Enabled bool     `json:"enabled"`
	Mode    string   `json:"mode"`            // default voicemail-else-busy
	Alert   string   `json:"alert,omitempty"` // of ringer-off: none, beep, flash
	Allow   []string `json:"allow,omitempty"` // numbers that get through
	// Remotes says that remote destinations ring all the same.
	Remotes bool `json:"remote_destinations,omitempty"`
}

// The states of presence.
const (
	StatusOffice   = "office"
	StatusMeeting  = "meeting"
	StatusSick     = "sick"
	StatusBreak    = "break"
	StatusGoneOut  = "gone-out"
	StatusVacation = "vacation"
	StatusLunch    = "lunch"
	StatusAtHome   = "at-home"
	StatusDND      = "do-not-disturb" // a view of DND: no document holds it
)

// Statuses lists the states of presence but do-not-disturb.
func Statuses() []string {
	return []string{
		StatusOffice, StatusMeeting, StatusSick, StatusBreak, StatusGoneOut,
		StatusVacation, StatusLunch, StatusAtHome,
	}
}

// A Presence is where a user is.
type Presence struct {
	Status      string    `json:"status"` // default office
	Until       time.Time `json:"until,omitzero"`
	EndByItself bool      `json:"end_by_itself,omitempty"` // at Until the status ends, not only its announcement
	Note        string    `json:"note,omitempty"`
	Visibility  string    `json:"visibility,omitempty"` // all, internal, nobody; default all
}

// At returns the status that is in force at a time.
func (p Presence) At(now time.Time) string {
	if p.Status == "" || p.EndByItself && !p.Until.IsZero() && !now.Before(p.Until) {
		return StatusOffice
	}
	return p.Status
}

// ViewPresence returns the presence that others see: do-not-disturb is dnd, one
// setting with two views.
func ViewPresence(p Presence, d DND) Presence {
	if d.Enabled {
		p.Status = StatusDND
	}
	return p
}

// SplitPresence is the reverse of [ViewPresence]: it returns the documents to
// write when a user sets a presence. Setting do-not-disturb switches dnd on and
// keeps the presence that old has; any other status switches dnd off.
func SplitPresence(set, old Presence, d DND) (Presence, DND) {
	d.Enabled = set.Status == StatusDND
	if d.Enabled {
		set.Status, set.Until, set.EndByItself = old.Status, old.Until, old.EndByItself
	}
	return set, d
}

// A PresenceForwarding has a target for each status that forwards.
type PresenceForwarding map[string]PresenceTarget

// A PresenceTarget is where calls go in a status: a number, a SIP URI, or
// "voicemail".
type PresenceTarget struct {
	Target string `json:"target"`
}
