package directory

import (
	"slices"
	"strings"
	"time"

	"bellhop/routing/dial"
)

// Who is shown to a trunk as the caller of a forwarded call.
const (
	CallerOriginal   = "original"   // who called first; the default
	CallerForwarding = "forwarding" // the number that forwarded
	CallerMain       = "main"       // the main number of the site
)

// A Carrier is a trunk as routing uses it.
type Carrier struct {
	Name     string
	CallerID string // original, forwarding, main
	MatchIn  []string
	MaxCalls int // 0: no limit
	MaxCPS   int // 0: no limit
}

// Reaches reports whether the trunk may reach a destination under any of the
// names it has: extension, E.164 number, user. Empty names reach nothing.
func (c *Carrier) Reaches(names ...string) bool {
	for _, p := range c.MatchIn {
		prefix, open := strings.CutSuffix(p, "*")
		for _, n := range names {
			if n != "" && (n == p || open && strings.HasPrefix(n, prefix)) {
				return true
			}
		}
	}
	return false
}

// A TrunkRoute is a route as routing dials by it.
type TrunkRoute struct {
	Name     string // of the trunk
	Prefix   string // "+49"; "" matches everything
	Priority int
	Strip    int
	Prepend  string
	CallerID string // original, forwarding, main
	MaxCalls int    // of the trunk; 0: no limit
	MaxCPS   int    // of the trunk; 0: no limit
}

// Carrier returns a trunk of the domain by its name, or nil.
func (t *Tenant) Carrier(name string) *Carrier {
	for i := range t.Carriers {
		if t.Carriers[i].Name == name {
			return &t.Carriers[i]
		}
	}
	return nil
}

// A Quota is limits compiled, with the defaults in place. Zero is no limit.
type Quota struct {
	Calls         int           // external calls at the same time
	Attempts      int           // external calls begun within a minute
	International time.Duration // talked in a day
	Premium       time.Duration // talked in a day
}

// A Remote is a compiled remote destination of a line. Lines have only those
// that ring with them.
type Remote struct {
	ID        string
	Setting   string // "users/ana/remote-destinations/mobile"
	Target    Target
	Label     string
	Delay     time.Duration // counted from the number's first INVITE
	StopAfter time.Duration // counted from the number's first INVITE
	TooSoon   time.Duration // 0: off
	Screening bool
	NoForward bool
	Schedule  []Span        // none: always
	Allow     []dial.Number // none: all
	Block     []dial.Number
	Zone      *time.Location // of Schedule; nil when there is none
}

// Rings reports whether the schedule lets the destination ring at a time.
func (r *Remote) Rings(now time.Time) bool {
	if len(r.Schedule) == 0 {
		return true
	}
	return slices.ContainsFunc(r.Schedule, func(s Span) bool { return s.Contains(now.In(r.Zone)) })
}

// Admits reports whether a caller may ring the destination. A caller without a
// number is none of those that are listed.
func (r *Remote) Admits(caller dial.Number) bool {
	is := func(n dial.Number) bool {
		return n.Ext != "" && n.Ext == caller.Ext || n.E164 != "" && n.E164 == caller.E164
	}
	if slices.ContainsFunc(r.Block, is) {
		return false
	}
	return len(r.Allow) == 0 || slices.ContainsFunc(r.Allow, is)
}

// A Span is a part of every week.
type Span struct {
	Days     uint8         // bit n: it begins on time.Weekday(n)
	From, To time.Duration // since midnight by the clock on the wall; To may be past 24 h
}

// Contains reports whether the clock on the wall that t shows is in the span.
func (s Span) Contains(t time.Time) bool {
	at := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	day := t.Weekday()
	if s.Days>>day&1 == 1 && at >= s.From && at < s.To {
		return true
	}
	before := (day + 6) % 7 // it began yesterday
	return s.Days>>before&1 == 1 && at+24*time.Hour < s.To
}
