// Package dial knows numbers: how a dialled string becomes an extension or an
// E.164 number, what kind of destination a number is, and what a class of
// service allows.
//
// It is pure and imports nothing of ours.
package dial

import "strings"

// Limits of numbers in digits: E.164 has at most 15 of them (ITU-T E.164 §6).
const (
	minE164 = 7
	maxE164 = 15
)

// A Plan says how a domain dials outside: the country of its region, the
// prefixes of that country, and the code that gets an outside line.
type Plan struct {
	Region        string // ISO 3166-1 alpha-2, upper case
	Country       string // country code without "+"
	International string // prefix of an international number, "00"
	National      string // prefix of a national number, "0"; "" for countries without
	Access        string // dialled before either; "" for none

	national int // digits of a national number when they are always as many; else 0
}

// NewPlan returns the plan of a region; ok is false for a region nobody
// described. The region "" has a plan too: only canonical numbers and
// extensions can be dialled in it.
func NewPlan(code, access string) (p Plan, ok bool) {
	if code == "" {
		return Plan{Access: access}, true
	}
	r, ok := findRegion(code)
	if !ok {
		return Plan{}, false
	}
	return Plan{
		Region: code, Country: r.country, International: r.international, National: r.national, Access: access, national: r.length,
	}, true
}

// A Number is what a dialled string may mean. Both forms may be set: the
// extension is looked for first. E164 begins with "+".
type Number struct {
	Ext  string
	E164 string
}

// Parse reads a dialled string: canonical (+49 (89) 7007-98765), dialable with
// the access code and the prefixes of the plan, or an extension
// (behaviour.md §2). ok is false for what is no number at all.
func (p Plan) Parse(s string) (n Number, ok bool) {
	digits, plus, ok := clean(s)
	if !ok {
		return Number{}, false
	}
	if plus {
		if len(digits) < minE164 || len(digits) > maxE164 || digits[0] == '0' {
			return Number{}, false
		}
		if len(s) == len(digits)+1 {
			return Number{E164: s}, true
		}
		return Number{E164: "+" + digits}, true
	}
	if len(digits) <= maxE164 {
		n.Ext = digits
	}
	n.E164 = p.dialable(digits)
	return n, n != Number{}
}

// dialable returns the E.164 number that digits reach from inside the domain,
// or "".
func (p Plan) dialable(digits string) string {
	rest, ok := strings.CutPrefix(digits, p.Access)
	if !ok || p.Country == "" {
		return ""
	}
	if intl, ok := strings.CutPrefix(rest, p.International); ok && p.International != "" {
		return e164("", intl)
	}
	if p.National == "" {
		// Without a national prefix, a whole national number is told from an
		// extension by the access code or by its fixed length.
		if p.Access == "" && (p.national == 0 || len(rest) != p.national) {
			return ""
		}
		return e164(p.Country, rest)
	}
	if nat, ok := strings.CutPrefix(rest, p.National); ok && (p.national == 0 || len(nat) == p.national) {
		return e164(p.Country, nat)
	}
	if p.national != 0 && len(rest) == p.national {
		return e164(p.Country, rest)
	}
	return "" // a subscriber number: its area code is not known
}

func e164(country, rest string) string {
	if n := len(country) + len(rest); rest == "" || n < minE164 || n > maxE164 || (country == "" && rest[0] == '0') {
		return ""
	}
	return "+" + country + rest
}

// Clean returns s as it is kept: digits, with a leading "+" if s began with
// one; ok is false when s is no number. Blanks and "()/-.:;" are dropped, and so
// is a "(0)" after the country code.
func Clean(s string) (string, bool) {
	digits, plus, ok := clean(s)
	switch {
	case !ok:
		return "", false
	case plus && len(s) == len(digits)+1:
		return s, true
	case plus:
		return "+" + digits, true
	default:
		return digits, true
	}
}

func clean(s string) (digits string, plus, ok bool) {
	rest := strings.TrimLeft(s, " (")
	if strings.HasPrefix(rest, "+") {
		plus = true
		s = rest[1:]
	}
	if allDigits(s) {
		return s, plus, s != ""
	}
	if plus {
		s = strings.Replace(s, "(0)", "", 1)
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			b = append(b, c)
		case strings.IndexByte(" \t()/-.:;", c) >= 0:
		case c == '+' && len(b) == 0 && !plus:
			plus = true
		default:
			return "", false, false
		}
	}
	return string(b), plus, len(b) > 0
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// IsExtension reports whether s can be the extension of a number: 2 to 15
// digits and nothing else.
func IsExtension(s string) bool {
	return len(s) >= 2 && len(s) <= maxE164 && allDigits(s)
}

// IsE164 reports whether s is an E.164 number in its kept form, "+" and digits.
func IsE164(s string) bool {
	d, ok := strings.CutPrefix(s, "+")
	return ok && len(d) >= minE164 && len(d) <= maxE164 && allDigits(d) && d[0] != '0'
}
