package directory

import (
	"slices"
	"strings"
	"time"

	"bellhop/routing/dial"
)

// A CallMe makes any phone a user's phone (callme.*). Without a target it is off.
type CallMe struct {
	Target string `json:"target,omitempty"` // a number or a SIP URI
}

// A RemoteDestination is a phone of a user that we cannot register: a mobile, a
// home line (snr.*). The name of the document is "user/id".
type RemoteDestination struct {
	Number        string   `json:"number"`
	Label         string   `json:"label,omitempty"`
	Mobile        bool     `json:"mobile,omitempty"`  // it is a mobile phone
	SNR           bool     `json:"snr"`               // it rings with the desk; default true
	Delay         Duration `json:"delay"`             // the desk rings alone first; default 4 s, 0 to 30 s
	AnswerTooSoon Duration `json:"answer_too_soon"`   // answered within it: taken for voicemail; default 1.5 s, 0 (off) to 10 s
	StopAfter     Duration `json:"stop_after"`        // default 19 s, 10 s to 60 s
	Screening     bool     `json:"screening"`         // on answer a digit is asked for
	Numbers       []string `json:"numbers,omitempty"` // the lines it belongs to; none: all of the user
	Schedule      []Window `json:"schedule,omitempty"`
	Allow         []string `json:"allow,omitempty"` // only these callers; none: all
	Block         []string `json:"block,omitempty"` // never these callers
	NoForward     bool     `json:"no_forward"`      // default true
	Move          bool     `json:"move"`            // calls may be moved to it; default true
}

// A Window is a part of every week, in the user's time zone.
type Window struct {
	Days string `json:"days,omitempty"` // "mon-fri", "sat,sun"; "": every day
	From string `json:"from,omitempty"` // "08:00"; "": 00:00
	To   string `json:"to,omitempty"`   // "18:00"; "": 24:00; one before From is on the next day
}

// Times of a remote destination: defaults and ranges (behaviour.md §3).
const (
	DefaultDelay     = Duration(4 * time.Second)
	maxDelay         = Duration(30 * time.Second)
	DefaultTooSoon   = Duration(1500 * time.Millisecond)
	maxTooSoon       = Duration(10 * time.Second)
	DefaultStopAfter = Duration(19 * time.Second)
	minStopAfter     = Duration(10 * time.Second)
	maxStopAfter     = Duration(60 * time.Second)
)

// MaxRemotes is how many remote destinations a user has at most.
const MaxRemotes = 10

// RemoteName returns the name of the document of a remote destination.
func RemoteName(user, id string) string { return user + "/" + id }

// SplitRemote is the reverse of [RemoteName].
func SplitRemote(name string) (user, id string) {
	user, id, _ = strings.Cut(name, "/")
	return user, id
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
	Mobile    bool
	Move      bool
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

// A Span is a compiled [Window].
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

// everyDay has all seven bits of [Span.Days].
const everyDay = 1<<7 - 1

// ParseWindow compiles a window.
func ParseWindow(w Window) (Span, bool) {
	days, ok := parseDays(w.Days)
	from, ok1 := parseClock(w.From, 0)
	to, ok2 := parseClock(w.To, 24*time.Hour)
	if !ok || !ok1 || !ok2 || from == to || from == 24*time.Hour {
		return Span{}, false
	}
	if to < from {
		to += 24 * time.Hour
	}
	return Span{Days: days, From: from, To: to}, true
}

// parseDays reads "mon-fri", "sat,sun", "fri-mon"; "" is every day.
func parseDays(s string) (days uint8, ok bool) {
	if s == "" {
		return everyDay, true
	}
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	for part := range strings.SplitSeq(strings.ToLower(s), ",") {
		first, last, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			last = first
		}
		from, to := slices.Index(names, strings.TrimSpace(first)), slices.Index(names, strings.TrimSpace(last))
		if from < 0 || to < 0 {
			return 0, false
		}
		for d := from; ; d = (d + 1) % 7 {
			days |= 1 << d
			if d == to {
				break
			}
		}
	}
	return days, true
}

// parseClock reads "08:00" to "24:00".
func parseClock(s string, def time.Duration) (time.Duration, bool) {
	if s == "" {
		return def, true
	}
	if s == "24:00" {
		return 24 * time.Hour, true
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != len("15:04") {
		return 0, false
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, true
}

// remotes compiles the remote destinations that ring with a number, in the
// order of their ids.
func remotes(t *Tenant, number, user, zone string, of map[string]RemoteDestination) []Remote {
	var out []Remote
	for id, v := range of {
		if !v.SNR || len(v.Numbers) > 0 && !slices.Contains(v.Numbers, number) {
			continue
		}
		r := Remote{
			ID: id, Setting: Ref{Kind: KindRemote, Name: RemoteName(user, id)}.Path(),
			Target: parseTarget(t.Plan, v.Number), Label: v.Label,
			Delay: time.Duration(v.Delay), StopAfter: time.Duration(v.StopAfter), TooSoon: time.Duration(v.AnswerTooSoon),
			Screening: v.Screening, NoForward: v.NoForward, Mobile: v.Mobile, Move: v.Move,
			Allow: callers(t.Plan, v.Allow), Block: callers(t.Plan, v.Block),
		}
		for _, w := range v.Schedule {
			if s, ok := ParseWindow(w); ok {
				r.Schedule = append(r.Schedule, s)
			}
		}
		if len(r.Schedule) > 0 {
			r.Zone = location(zone)
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Remote) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func callers(p dial.Plan, numbers []string) []dial.Number {
	var out []dial.Number
	for _, s := range numbers {
		if n, ok := p.Parse(s); ok {
			out = append(out, n)
		}
	}
	return out
}

// location returns a time zone by its IANA name; UTC for none and for one that
// does not exist. The zones are a table that comes with the program or the
// system and does not change: looking one up is no input.
func location(name string) *time.Location {
	if l, ok := parseZone(name); ok {
		return l
	}
	return time.UTC
}

// parseZone reads an IANA name. "Local" would mean the zone of the machine.
func parseZone(name string) (*time.Location, bool) {
	if name == "" || name == "Local" {
		return time.UTC, name == ""
	}
	l, err := time.LoadLocation(name)
	return l, err == nil
}
