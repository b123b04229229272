package directory

import (
	"fmt"
	"strings"
	"time"

	"bellhop/routing/dial"
)

func (d *decoder) callMe(o *object) CallMe {
	defer o.done()
	return CallMe{Target: d.phoneTarget(o, "target")}
}

func (d *decoder) remote(o *object) RemoteDestination {
	v := RemoteDestination{
		Number:        d.phoneTarget(o, "number"),
		Label:         o.text("label"),
		Mobile:        o.flag("mobile"),
		SNR:           o.flagOr("snr", true),
		Delay:         o.span("delay", DefaultDelay, 0, time.Duration(maxDelay)),
		AnswerTooSoon: o.span("answer_too_soon", DefaultTooSoon, 0, time.Duration(maxTooSoon)),
		StopAfter:     o.span("stop_after", DefaultStopAfter, time.Duration(minStopAfter), time.Duration(maxStopAfter)),
		Screening:     o.flag("screening"),
		Numbers:       o.texts("numbers"),
		Allow:         d.phones(o, "allow"),
		Block:         d.phones(o, "block"),
		NoForward:     o.flagOr("no_forward", true),
		Move:          o.flagOr("move", true),
		Schedule: each(o, "schedule", func(w *object) Window {
			v := Window{Days: strings.ToLower(w.text("days")), From: w.text("from"), To: w.text("to")}
			if _, ok := parseDays(v.Days); !ok {
				d.fault(w.at("days"), RuleValue, `must be days like "mon-fri" or "sat,sun"`)
			} else if _, ok := ParseWindow(v); !ok {
				d.fault(w.path, RuleValue, `must have times like "08:00" in from and to, and they must differ`)
			}
			return v
		}),
	}
	if v.Number == "" {
		d.fault("number", RuleMissing, "must be set")
	}
	d.most("numbers", len(v.Numbers), 100)
	d.most("schedule", len(v.Schedule), 50)
	d.most("allow", len(v.Allow), 200)
	d.most("block", len(v.Block), 200)
	if v.Delay >= v.StopAfter {
		d.fault("delay", RuleValue, "must be shorter than stop_after: it would never ring")
	}
	o.done()
	return v
}

// phoneTarget reads a target that is a phone.
func (d *decoder) phoneTarget(o *object, name string) string {
	t := d.target(o, name)
	if t == TargetVoicemail {
		d.fault(o.at(name), RuleValue, "must be a phone, not voicemail")
		return ""
	}
	return t
}

// phones reads a list of numbers in any form.
func (d *decoder) phones(o *object, name string) []string {
	list := o.texts(name)
	for i, s := range list {
		n, ok := dial.Clean(s)
		if !ok {
			d.fault(item(o.at(name), i), RuleValue, "is not a number")
			continue
		}
		list[i] = n
	}
	return list
}

// most bounds a list: each of its entries costs something with every call.
func (d *decoder) most(path string, n, most int) {
	if n > most {
		d.fault(path, RuleValue, fmt.Sprintf("has %d entries, %d are the most", n, most))
	}
}

// flagOr reads a flag that is def when absent.
func (o *object) flagOr(name string, def bool) bool {
	if !o.has(name) {
		return def
	}
	return o.flag(name)
}
