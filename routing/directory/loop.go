package directory

import (
	"strings"

	"bellhop/routing/dial"
)

// forwarding checks a forwarding against its number and the rest: the number
// exists, targets exist and pass its forwarding class, busy.exclusive, and no
// forward.all closes a loop.
func (c *checker) forwarding(f Forwarding) error {
	num, ok, err := load[Number](c.v, Ref{c.ref.Domain, KindNumber, c.ref.Name})
	if err != nil {
		return err
	}
	if !ok {
		c.fault("", RuleReference, "there is no number "+c.ref.Name)
		return nil
	}
	dom, _, err := load[Domain](c.v, Ref{Kind: KindDomain, Name: c.ref.Domain})
	if err != nil {
		return err
	}
	if exclusive(dom, num, f) {
		c.fault("busy", RuleExclusive, "forwarding.busy and call_waiting exclude each other: switch one off")
	}
	if num.CodeRequired && f.on() {
		c.fault("", RuleCode, "a number that needs an authorization code cannot forward")
	}
	class, err := forwardingClass(c.v, c.ref.Domain, dom, num)
	if err != nil {
		return err
	}
	for _, k := range []struct {
		name string
		s    Sides
	}{{"all", f.All}, {"busy", f.Busy}, {"no_answer", f.NoAnswer}, {"unreachable", f.Unreachable}} {
		for _, internal := range []bool{true, false} {
			if fw := k.s.Of(internal); fw.Enabled {
				if err := c.target(dom, class, num, k.name+"."+sideName(internal)+".target", fw.Target); err != nil {
					return err
				}
			}
		}
	}
	for _, internal := range []bool{true, false} {
		chain, err := loop(c.v, dom, c.ref, internal)
		if err != nil {
			return err
		}
		if chain != nil {
			c.fault("all."+sideName(internal)+".target", RuleLoop, strings.Join(chain, " -> "))
		}
	}
	return nil
}

func sideName(internal bool) string {
	if internal {
		return "internal"
	}
	return "external"
}

func (c *checker) presenceForwarding(f PresenceForwarding) error {
	if err := c.refer("", Ref{c.ref.Domain, KindUser, c.ref.Name}); err != nil {
		return err
	}
	dom, _, err := load[Domain](c.v, Ref{Kind: KindDomain, Name: c.ref.Domain})
	if err != nil {
		return err
	}
	// The class is that of the user's main number; a call passes the class of
	// the number it reached.
	main, err := mainNumber(c.v, c.ref.Domain, c.ref.Name)
	if err != nil {
		return err
	}
	num, _, err := load[Number](c.v, Ref{c.ref.Domain, KindNumber, main})
	if err != nil {
		return err
	}
	class, err := forwardingClass(c.v, c.ref.Domain, dom, num)
	if err != nil {
		return err
	}
	for _, status := range Statuses() {
		if t := f[status].Target; t != "" {
			if err := c.target(dom, class, num, status+".target", t); err != nil {
				return err
			}
		}
	}
	return nil
}

// target finds fault with a target that leads nowhere or that the class of a
// number does not allow (target.class).
func (c *checker) target(dom Domain, class dial.Class, of Number, path, target string) error {
	if target == TargetVoicemail {
		return nil
	}
	kind, key := dial.Elsewhere, target
	switch t := parseTarget(plan(dom), target); {
	case t.User != "":
		ref, err := c.v.Find(Key{IndexHost, t.Host})
		if err != nil {
			return err
		}
		if len(ref) > 0 && ref[0].Name == c.ref.Domain {
			kind = dial.Internal
		}
	default:
		n, found, err := findNumber(c.v, c.ref.Domain, t.Number)
		switch {
		case err != nil:
			return err
		case found:
			kind, key = dial.Internal, n
		case t.Number.E164 == "":
			c.fault(path, RuleReference, "there is no number "+target)
			return nil
		default:
			kind, key = t.Kind, t.Number.E164
			if class.Has(dial.Local) {
				kind = dial.KindFrom(kind, key, dial.Area(of.Public))
			}
		}
	}
	if !class.Allows(kind, key) {
		c.fault(path, RuleTargetClass, "the forwarding class does not allow "+target+" ("+kind.String()+")")
	}
	return nil
}

// loop follows forward.all from a number on one side and returns the chain
// back to it, or nil when it never comes back. Loops further on, that do not
// pass through the number, are not its fault.
func loop(v View, dom Domain, ref Ref, internal bool) ([]string, error) {
	chain := []string{ref.Name}
	seen := map[string]bool{ref.Name: true}
	for at := ref.Name; ; {
		f, ok, err := load[Forwarding](v, Ref{ref.Domain, KindForwarding, at})
		if err != nil || !ok {
			return nil, err
		}
		fw := f.All.Of(internal)
		if !fw.Enabled || fw.Target == TargetVoicemail {
			return nil, nil
		}
		next, found, err := resolveTarget(v, ref.Domain, parseTarget(plan(dom), fw.Target))
		if err != nil || !found {
			return nil, err
		}
		chain = append(chain, next)
		if next == ref.Name {
			return chain, nil
		}
		if seen[next] {
			return nil, nil
		}
		seen[next], at = true, next
	}
}
