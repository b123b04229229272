package directory

import (
	"cmp"
	"time"
)

// Retention is how long a domain keeps what people did (trust.md §2). Zero is
// the default of a field; see [Retention.Effective].
type Retention struct {
	Records Duration `json:"records,omitempty"` // of calls; default 180 days
	Stories Duration `json:"stories,omitempty"` // of why calls went where they went; default 90 days, records at most
	History Duration `json:"history,omitempty"` // of settings; default 400 days
}

const (
	day = 24 * time.Hour

	minRetention = day
	maxRetention = 3650 * day
)

// Effective returns r with defaults for what is not set.
func (r Retention) Effective() Retention {
	records := cmp.Or(r.Records, Duration(180*day))
	return Retention{
		Records: records,
		Stories: min(cmp.Or(r.Stories, Duration(90*day)), records),
		History: cmp.Or(r.History, Duration(400*day)),
	}
}

func (d *decoder) retention(o *object) Retention {
	defer o.done()
	v := Retention{Records: o.kept("records"), Stories: o.kept("stories"), History: o.kept("history")}
	if v.Stories > v.Effective().Records {
		d.fault(o.at("stories"), RuleValue, "must not be longer than records are kept ("+v.Effective().Records.String()+")")
	}
	return v
}

// kept reads how long something is kept.
func (o *object) kept(name string) Duration {
	v := scalar[Duration](o, name, "a duration: ISO 8601 like P180D, or milliseconds")
	if t := time.Duration(v); o.has(name) && (t < minRetention || t > maxRetention) {
		o.d.fault(o.at(name), RuleValue, "must be P1D to P3650D")
		return 0
	}
	return v
}
