package directory

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"
)

// A Limit is how much of something there may be at most. Zero means the default,
// so that limits are on where nobody set them (limit.*). Its JSON form is a
// whole number, or the word "unlimited".
type Limit int

// Unlimited is the limit that lifts a default.
const Unlimited Limit = -1

// maxLimit bounds what is read.
const maxLimit = 1_000_000

var errLimit = errors.New(`directory: not a limit: want a whole number from 0 (the default) to 1000000, or "unlimited"`)

// String returns the limit as JSON spells it, without quotes.
func (l Limit) String() string {
	if l < 0 {
		return "unlimited"
	}
	return strconv.Itoa(int(l))
}

// MarshalJSON implements json.Marshaler.
func (l Limit) MarshalJSON() ([]byte, error) {
	if l < 0 {
		return []byte(`"unlimited"`), nil
	}
	return strconv.AppendInt(nil, int64(l), 10), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Limit) UnmarshalJSON(b []byte) error {
	if string(b) == `"unlimited"` {
		*l = Unlimited
		return nil
	}
	var n int
	if err := json.Unmarshal(b, &n); err != nil || n < 0 || n > maxLimit {
		return errLimit
	}
	*l = Limit(n)
	return nil
}

// or returns what l allows, 0 for no limit, where def is the default.
func (l Limit) or(def int) int {
	switch {
	case l < 0:
		return 0
	case l == 0:
		return def
	default:
		return int(l)
	}
}

// Limits are the limits of the calls a number, or a whole domain, makes to the
// outside (limit.*). Emergency calls are never counted.
type Limits struct {
	Calls                Limit `json:"calls,omitzero"`                 // at the same time
	AttemptsPerMinute    Limit `json:"attempts_per_minute,omitzero"`   // begun within a minute
	InternationalMinutes Limit `json:"international_minutes,omitzero"` // a day
	PremiumMinutes       Limit `json:"premium_minutes,omitzero"`       // a day
}

// Whether a number may be dialled at all is for its class of service, whose
// default denies international and premium numbers. These are what is left for
// those who may, when nobody said otherwise: far above what a person dials, far
// below what a stolen password is used for.

func numberLimits() Limits {
	return Limits{Calls: 10, AttemptsPerMinute: 60, InternationalMinutes: 240, PremiumMinutes: 30}
}

func domainLimits() Limits {
	return Limits{Calls: 200, AttemptsPerMinute: 1200, InternationalMinutes: 2400, PremiumMinutes: 120}
}

// Limits of a trunk where it has none of its own.
const (
	DefaultMaxCalls = 100
	DefaultMaxCPS   = 20
)

// A Quota is Limits compiled, with the defaults in place. Zero is no limit.
type Quota struct {
	Calls         int           // external calls at the same time
	Attempts      int           // external calls begun within a minute
	International time.Duration // talked in a day
	Premium       time.Duration // talked in a day
}

// quota compiles limits: the first that sets one decides.
func quota(of ...Limits) Quota {
	var q Limits
	for _, l := range of {
		q.Calls = firstOf(q.Calls, l.Calls)
		q.AttemptsPerMinute = firstOf(q.AttemptsPerMinute, l.AttemptsPerMinute)
		q.InternationalMinutes = firstOf(q.InternationalMinutes, l.InternationalMinutes)
		q.PremiumMinutes = firstOf(q.PremiumMinutes, l.PremiumMinutes)
	}
	return Quota{
		Calls: q.Calls.or(0), Attempts: q.AttemptsPerMinute.or(0),
		International: time.Duration(q.InternationalMinutes.or(0)) * time.Minute,
		Premium:       time.Duration(q.PremiumMinutes.or(0)) * time.Minute,
	}
}

func (d *decoder) limits(o *object) Limits {
	l := o.sub("limits")
	defer l.done()
	return Limits{
		Calls:                l.limit("calls"),
		AttemptsPerMinute:    l.limit("attempts_per_minute"),
		InternationalMinutes: l.limit("international_minutes"),
		PremiumMinutes:       l.limit("premium_minutes"),
	}
}
