package directory

import (
	"strings"
	"time"

	"bellhop/routing/dial"
)

// The caller id policies of a trunk: who is shown to the network when a call
// leaves by it (behaviour.md §3, forward.*).
const (
	CallerIDOriginal   = "original"   // who called first; the default
	CallerIDForwarding = "forwarding" // the number whose setting sends the call out, else the caller's
	CallerIDMain       = "main"       // the main number, whoever calls
)

// A TrunkRoute is a route of a trunk as routing uses it: numbers that begin
// with a prefix may leave by the trunk (rule dial.trunk).
type TrunkRoute struct {
	Name     string // of the trunk
	Prefix   string // "+49"; "sip:" and the like for SIP addresses; "" matches every number
	Priority int    // of routes with one prefix the smaller goes first
	Strip    int    // digits taken off the number, "+" not counted
	Prepend  string
	CallerID string // a policy; "" is CallerIDOriginal
	MaxCalls int    // calls at once over the trunk, 0 for no limit
	MaxCPS   int    // new calls a second, 0 for no limit
}

// Matches reports whether the route leads to an E.164 number or a SIP address.
func (r *TrunkRoute) Matches(to string) bool {
	if r.Prefix == "" {
		return strings.HasPrefix(to, "+")
	}
	return strings.HasPrefix(to, r.Prefix)
}

// An Inlet is what a trunk may reach in its domain.
type Inlet struct {
	Name     string   // of the trunk
	MatchIn  []string // extensions, public numbers and user names, "*" at the end for a prefix; none: all
	MaxCalls int      // calls at once over the trunk, 0 for no limit
}

// Admits reports whether one of the names of a destination is inside match_in.
func (i *Inlet) Admits(names ...string) bool {
	if len(i.MatchIn) == 0 {
		return true
	}
	for _, m := range i.MatchIn {
		prefix, open := strings.CutSuffix(m, "*")
		for _, n := range names {
			if n != "" && (n == m || open && strings.HasPrefix(n, prefix)) {
				return true
			}
		}
	}
	return false
}

// A Quota bounds the external calls of a number or of a domain (rules limit.*),
// with the defaults in place. 0 is no limit.
type Quota struct {
	Calls         int           // at once
	Attempts      int           // outgoing ones, in a minute
	International time.Duration // talked in a day
	Premium       time.Duration // talked in a day
}

// A Remote is a remote destination of a user as one of the user's numbers rings
// it (rules snr.*): the number belongs to it, and it is switched on.
type Remote struct {
	ID        string
	Label     string
	Setting   string // path of the setting: "users/ana/remote-destinations/mobile"
	Target    Target
	Delay     time.Duration // the desk rings alone first
	StopAfter time.Duration // it rings no longer than this; counted from when it begins to ring
	TooSoon   time.Duration // an answer within this is taken for voicemail; 0: off
	Screening bool
	NoForward bool // a number of ours rings without its own forwarding

	Schedule []Window       // none: always
	Zone     *time.Location // of Schedule; nil is UTC
	Allow    []dial.Number  // callers it rings for; none: all
	Block    []dial.Number  // callers it never rings for
}

// A Window is a part of the week: from and to are times of day; a window whose
// To is not after its From ends on the next day.
type Window struct {
	Days     uint8 // a bit for each day it begins on, 1<<time.Sunday and so on
	From, To time.Duration
}

// Open reports whether the destination may ring at a time.
func (r *Remote) Open(now time.Time) bool {
	if len(r.Schedule) == 0 {
		return true
	}
	if r.Zone == nil {
		now = now.UTC()
	} else {
		now = now.In(r.Zone)
	}
	h, m, s := now.Clock()
	at := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	today := uint8(1) << now.Weekday()
	yesterday := uint8(1) << ((now.Weekday() + 6) % 7)
	for _, w := range r.Schedule {
		overnight := w.To <= w.From
		switch {
		case w.Days&today != 0 && at >= w.From && (at < w.To || overnight):
			return true
		case overnight && w.Days&yesterday != 0 && at < w.To:
			return true
		}
	}
	return false
}
