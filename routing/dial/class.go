package dial

import (
	"slices"
	"strings"
)

// A Kind is a kind of destination, as a class of service names it.
type Kind uint8

// The kinds of destinations. Elsewhere is a SIP address outside the domain;
// only a pattern allows it.
const (
	Internal Kind = iota + 1
	Local
	National
	Mobile
	International
	Premium
	Elsewhere
)

// String returns the kind as a rule of a class spells it.
func (k Kind) String() string {
	switch k {
	case Internal:
		return "internal"
	case Local:
		return "local"
	case National:
		return "national"
	case Mobile:
		return "mobile"
	case International:
		return "international"
	case Premium:
		return "premium"
	case Elsewhere:
		return "elsewhere"
	default:
		return "unknown"
	}
}

// ParseKind reads what [Kind.String] wrote, of the kinds a rule may name.
func ParseKind(s string) (Kind, bool) {
	for k := Internal; k <= Premium; k++ {
		if k.String() == s {
			return k, true
		}
	}
	return 0, false
}

// A Rule allows or denies a kind of destination or a pattern: a number with an
// optional "*" at its end.
type Rule struct {
	Allow   bool
	Kind    Kind   // 0 when the rule is a pattern
	Pattern string // "+49900*"
}

// A Class is the ordered list of rules of a class of service. The first match
// decides and what nothing matches is denied; a Class without rules allows
// internal destinations only (behaviour.md §2).
type Class []Rule

// Allows reports whether c lets a call go to a number (or a SIP address) of a
// kind.
func (c Class) Allows(k Kind, number string) bool {
	if len(c) == 0 {
		return k == Internal
	}
	for _, r := range c {
		if r.matches(k, number) {
			return r.Allow
		}
	}
	return false
}

// Has reports whether a rule of c is about a kind.
func (c Class) Has(k Kind) bool {
	return slices.ContainsFunc(c, func(r Rule) bool { return r.Kind == k })
}

// Names reports whether c allows a number by a rule that names it, not by its
// kind.
func (c Class) Names(number string) bool {
	for _, r := range c {
		if r.Kind == 0 && r.matches(0, number) {
			return r.Allow
		}
	}
	return false
}

func (r Rule) matches(k Kind, number string) bool {
	if r.Kind != 0 {
		return r.Kind == k
	}
	if p, ok := strings.CutSuffix(r.Pattern, "*"); ok {
		return strings.HasPrefix(number, p)
	}
	return r.Pattern == number
}
