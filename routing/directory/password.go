package directory

import (
	"fmt"
	"unicode/utf8"
)

// Lengths of a password in characters; a domain may ask for more than the least.
const (
	MinPassword = 8
	MaxPassword = 64
)

// PasswordLength is how many characters a password of the domain has at least.
func PasswordLength(d Domain) int { return firstOf(d.Policies.PasswordLength, MinPassword) }

// Password returns the rules of behaviour.md §4 that a new password of at least
// length characters breaks, all of them. That it is none of the last five is for
// who has the hashes to check: rule [RulePasswordReused].
func Password(pw string, length int) []Fault {
	var upper, lower, digit, special bool
	for _, r := range pw {
		switch {
		case r >= 'A' && r <= 'Z':
			upper = true
		case r >= 'a' && r <= 'z':
			lower = true
		case r >= '0' && r <= '9':
			digit = true
		default:
			special = true
		}
	}
	var faults []Fault
	say := func(broken bool, rule, message string) {
		if broken {
			faults = append(faults, Fault{Location: "password", Message: message, Rule: rule})
		}
	}
	n := utf8.RuneCountInString(pw)
	say(n < length || n > MaxPassword, "password.length", fmt.Sprintf("must have %d to %d characters", length, MaxPassword))
	say(!upper, "password.upper", "must have an upper case letter")
	say(!lower, "password.lower", "must have a lower case letter")
	say(!digit, "password.digit", "must have a digit")
	say(!special, "password.special", "must have a special character")
	return faults
}

// RulePasswordReused is the rule that none of the last five passwords comes
// again.
const RulePasswordReused = "password.reused"
