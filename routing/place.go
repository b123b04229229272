package routing

import (
	"strings"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

// A place is what a string means: a number of the domain, or one device of it
// alone; or, with neither, something outside.
type place struct {
	line     *directory.Line
	device   string
	instance string // of a GRUU or Contact: that phone alone, without angle brackets
	rule     RuleName

	kind     dial.Kind // for a class of service
	external string    // the number or address outside
}

// look finds what a user part means in the domain: dial.number, dial.user,
// dial.device. A number that nobody here has is a place with the rule
// dial.number and no line; one of ours that is not active has no rule either.
func (d *decider) look(user string, n dial.Number, isNumber bool) place {
	if isNumber {
		l, ours := d.lookNumber(n)
		if l == nil && ours {
			return place{}
		}
		return place{line: l, rule: DialNumber, kind: dial.Internal}
	}
	name := strings.ToLower(user)
	for _, by := range [...]struct {
		kind NeedKind
		rule RuleName
	}{{NeedUser, DialUser}, {NeedDevice, DialDevice}} {
		number, ok := d.w.name(by.kind, d.t.Name, name)
		if !ok {
			d.lack(by.kind, name)
			return place{}
		}
		if number == "" {
			continue
		}
		l, _ := d.lookNumber(dial.Number{Ext: number})
		p := place{line: l, rule: by.rule, kind: dial.Internal}
		if by.kind == NeedDevice {
			p.device = name
		}
		return p
	}
	return place{}
}

// lookNumber finds an active number of the domain, by extension first; ours
// reports whether the domain has it, active or not.
func (d *decider) lookNumber(n dial.Number) (line *directory.Line, ours bool) {
	for _, key := range [...]string{n.Ext, n.E164} {
		if key == "" {
			continue
		}
		l, ok := d.w.number(d.t.Name, key)
		if !ok {
			d.lack(NeedNumber, key)
			return nil, false
		}
		if l != nil {
			if !l.Active {
				return nil, true
			}
			return l, true
		}
	}
	return nil, false
}

// find finds what the target of a setting means.
func (d *decider) find(t *directory.Target) place {
	if t.Host == "" {
		l, ours := d.lookNumber(t.Number)
		if l == nil && !ours && t.Number.E164 != "" {
			return place{kind: t.Kind, external: t.Number.E164, rule: DialTrunk}
		}
		return place{line: l, kind: dial.Internal}
	}
	host, ok := d.w.domain(t.Host)
	switch {
	case !ok:
		d.need = Need{Kind: NeedDomain, Key: t.Host}
		return place{}
	case host == nil || host.Name != d.t.Name: // the same extension elsewhere is another number
		return place{kind: dial.Elsewhere, external: t.Text, rule: AnchorDomain}
	}
	n, isNumber := d.t.Plan.Parse(t.User)
	at := d.look(t.User, n, isNumber)
	if at.line == nil && at.rule == DialNumber && n.E164 != "" {
		return d.outside(n.E164)
	}
	return at
}

// outside is the place of a public number that nobody here has.
func (d *decider) outside(e164 string) place {
	return place{kind: d.t.Plan.KindOf(e164), external: e164, rule: DialTrunk}
}
