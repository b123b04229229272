package dial

import (
	"slices"
	"strings"
)

// A Feature is something that a phone asks for by dialling: by a code (rule
// dial.feature) or by a service number (rule dial.service).
type Feature uint8

// The features. Conference and ParkSlot have a service number only.
const (
	ForwardAll Feature = iota + 1
	ForwardAllOff
	ForwardBusy
	ForwardBusyOff
	ForwardNoAnswer
	ForwardNoAnswerOff
	DND
	DNDOff
	Pickup         // a call that rings in the caller's pickup group
	DirectedPickup // a call that rings at the number that follows
	Voicemail
	Park
	Retrieve // the call in the slot that follows
	Conference
	ParkSlot // park in this slot, or take what is there
)

// Features lists the features that have a code.
func Features() []Feature {
	return []Feature{
		ForwardAll, ForwardAllOff, ForwardBusy, ForwardBusyOff, ForwardNoAnswer, ForwardNoAnswerOff, DND, DNDOff,
		Pickup, DirectedPickup, Voicemail, Park, Retrieve,
	}
}

// String returns the feature as settings and traces spell it.
func (f Feature) String() string {
	switch f {
	case ForwardAll:
		return "forward_all"
	case ForwardAllOff:
		return "forward_all_off"
	case ForwardBusy:
		return "forward_busy"
	case ForwardBusyOff:
		return "forward_busy_off"
	case ForwardNoAnswer:
		return "forward_no_answer"
	case ForwardNoAnswerOff:
		return "forward_no_answer_off"
	case DND:
		return "dnd"
	case DNDOff:
		return "dnd_off"
	case Pickup:
		return "pickup"
	case DirectedPickup:
		return "directed_pickup"
	case Voicemail:
		return "voicemail"
	case Park:
		return "park"
	case Retrieve:
		return "retrieve"
	case Conference:
		return "conference"
	case ParkSlot:
		return "park_slot"
	default:
		return "unknown"
	}
}

// code is the code of a feature in a domain that says nothing about it
// (behaviour.md §2).
func (f Feature) code() string {
	switch f {
	case ForwardAll:
		return "*72"
	case ForwardAllOff:
		return "*73"
	case ForwardBusy:
		return "*90"
	case ForwardBusyOff:
		return "*91"
	case ForwardNoAnswer:
		return "*92"
	case ForwardNoAnswerOff:
		return "*93"
	case DND:
		return "*78"
	case DNDOff:
		return "*79"
	case Pickup:
		return "*8"
	case DirectedPickup:
		return "**"
	case Voicemail:
		return "*97"
	case Park:
		return "*68"
	case Retrieve:
		return "*69"
	case Conference, ParkSlot:
		return ""
	default:
		return ""
	}
}

// Takes says whether digits follow the code of a feature.
func (f Feature) Takes() Digits {
	switch f {
	case ForwardAll, ForwardBusy, ForwardNoAnswer:
		return MayFollow
	case DirectedPickup, Retrieve:
		return MustFollow
	case ForwardAllOff, ForwardBusyOff, ForwardNoAnswerOff, DND, DNDOff, Pickup, Voicemail, Park, Conference, ParkSlot:
		return NoneFollow
	default:
		return NoneFollow
	}
}

// Digits says whether digits follow a code.
type Digits uint8

// The ways of a code.
const (
	NoneFollow Digits = iota
	MayFollow         // a target; without one the kept target counts
	MustFollow        // a number, or a slot
)

// Codes are the feature codes and the service numbers of a domain. The zero
// Codes has none; they never change once made.
type Codes struct {
	features []code // the longest first
	services []code // of numbers
	slots    Slots
	digits   bool // a feature code begins with a digit
}

type code struct {
	feature Feature
	dialled string
}

// NewCodes returns the codes of a domain: those of set in the place of the
// defaults, "" for a feature that is switched off. Services are the numbers of
// services; "" for none.
func NewCodes(set map[string]string, services map[Feature]string, slots Slots) Codes {
	c := Codes{slots: slots}
	for _, f := range Features() {
		s, ok := set[f.String()]
		if !ok {
			s = f.code()
		}
		if s == "" {
			continue
		}
		c.features = append(c.features, code{f, s})
		c.digits = c.digits || isDigit(s[0])
	}
	slices.SortStableFunc(c.features, func(a, b code) int { return len(b.dialled) - len(a.dialled) })
	for _, f := range [...]Feature{Voicemail, Conference} {
		if s := services[f]; s != "" {
			c.services = append(c.services, code{f, s})
		}
	}
	return c
}

// Code returns the code of a feature; "" when it is switched off.
func (c *Codes) Code(f Feature) string {
	for i := range c.features {
		if c.features[i].feature == f {
			return c.features[i].dialled
		}
	}
	return ""
}

// Feature finds the code that a dialled string begins with. What follows it is
// in rest, and ok is false where it cannot: after a code without digits.
func (c *Codes) Feature(s string) (f Feature, rest string, ok bool) {
	if s == "" || isDigit(s[0]) && !c.digits {
		return 0, "", false
	}
	for i := range c.features {
		rest, is := strings.CutPrefix(s, c.features[i].dialled)
		if f = c.features[i].feature; is && (rest == "" || f.Takes() != NoneFollow) {
			return f, rest, true
		}
	}
	return 0, "", false
}

// Service finds the service whose number is dialled; of a park slot, slot is
// its number.
func (c *Codes) Service(s string) (f Feature, slot string, ok bool) {
	for i := range c.services {
		if c.services[i].dialled == s {
			return c.services[i].feature, "", true
		}
	}
	if c.slots.Has(s) {
		return ParkSlot, s, true
	}
	return 0, "", false
}

// Slots are the numbers of park slots: from First to Last, of as many digits.
// The zero Slots are none.
type Slots struct{ First, Last string }

// maxSlots is how many park slots a domain may have.
const maxSlots = 1000

// ParseSlots reads "701-720", or one number; ok is false for what is neither, or
// more than a thousand.
func ParseSlots(s string) (_ Slots, ok bool) {
	if s == "" {
		return Slots{}, true
	}
	first, last, both := strings.Cut(strings.ReplaceAll(s, " ", ""), "-")
	if !both {
		last = first
	}
	if !IsExtension(first) || !IsExtension(last) || len(first) != len(last) || first > last {
		return Slots{}, false
	}
	l := Slots{first, last}
	n := 0
	for range l.All {
		if n++; n > maxSlots {
			return Slots{}, false
		}
	}
	return l, true
}

// Has reports whether a number is one of the slots.
func (l Slots) Has(s string) bool {
	return l.First != "" && len(s) == len(l.First) && l.First <= s && s <= l.Last && allDigits(s)
}

// All yields the slots in order.
func (l Slots) All(yield func(string) bool) {
	b := []byte(l.First)
	for len(b) > 0 && yield(string(b)) && string(b) < l.Last {
		for i := len(b) - 1; i >= 0; i-- {
			if b[i]++; b[i] <= '9' {
				break
			}
			b[i] = '0'
		}
	}
}

// Others returns what else in the codes a code of f would be mixed up with, ""
// for nothing: one that begins with it, where digits may follow it.
func (c *Codes) Others(f Feature, s string) string {
	for i := range c.features {
		o := &c.features[i]
		if o.feature == f {
			continue
		}
		if o.dialled == s || f.Takes() != NoneFollow && strings.HasPrefix(o.dialled, s) {
			return o.feature.String()
		}
	}
	return ""
}

// maxCode is how long a code may be.
const maxCode = 8

// IsCode reports whether s can be the code of a feature: digits, "*" and "#",
// and one of the latter two in front where digits follow it, so that it begins
// no extension.
func (f Feature) IsCode(s string) bool {
	if s == "" || len(s) > maxCode || strings.Trim(s, "0123456789*#") != "" {
		return false
	}
	return f.Takes() == NoneFollow || !isDigit(s[0])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
