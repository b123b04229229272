package explain

import (
	"strings"

	"bellhop/routing"
)

// A catalogue has the words of one language: a sentence for each rule, and for
// some of its values one of their own under "rule=value". A rule that named a
// setting and did not follow it has "rule-".
//
// In a sentence {number}, {to}, {value} and {setting} stand for what the entry
// has. Another language is another catalogue in [catalogueOf]; a test holds that
// each has a sentence for every rule. "" is none.
type catalogue func(key string) string

// catalogueOf returns the catalogue of a language; English speaks for those
// that nobody wrote.
func catalogueOf(language string) catalogue {
	switch lang, _, _ := strings.Cut(strings.ToLower(language), "-"); lang {
	default:
		return english
	}
}

func english(key string) string {
	switch key {
	case "origin.denied":
		return "The caller may not call {number} from where the call comes."
	case "dial.number":
		return "{value} was dialled: that is {number}."
	case "dial.user":
		return "{value} was dialled: the main number of that user is {number}."
	case "dial.device":
		return "{value} was dialled: that device alone, under the rules of {number}."
	case "dial.unknown":
		return "{number} is nothing that this domain knows."
	case "dial.unknown-":
		return "{number} would send its calls to {value}, which does not exist."
	case "dial.trunk":
		return "The call leaves over a trunk to {to}."
	case "anchor.domain":
		return "The call leaves the domain to {to}."
	case "class-of-service":
		return "The class of service of {number} does not allow a call to {value}."
	case "target.class":
		return "{number} would send its calls to {value}, but its forwarding class does not allow that."
	case "forward.all":
		return "{number} forwards all calls to {to}."
	case "forward.busy":
		return "{number} is busy and forwards to {to}."
	case "forward.no-answer":
		return "Nobody answered at {number}, which then forwards to {to}."
	case "forward.unreachable":
		return "No phone of {number} could be reached, and it then forwards to {to}."
	case "forward.override":
		return "{number} sends its calls to {value}, who is calling: the call gets through."
	case "forward.loop-breakout":
		return "{number} forwards to {value}, where the call has been already: {number} rings instead."
	case "forward.too-many":
		return "The call was forwarded ten times; {number} does not forward it once more."
	case "presence.forward":
		return "The user of {number} is away and sends calls to {to}."
	case "presence.forward-":
		return "The user of {number} is away and would send calls to {value}, but does not want to be disturbed."
	case "dnd":
		return "The user of {number} does not want to be disturbed."
	case "dnd=ringer-off":
		return "The user of {number} does not want to be disturbed: the phones stay silent."
	case "dnd=reject":
		return "The user of {number} does not want to be disturbed: calls are rejected."
	case "busy":
		return "{number} is busy."
	case "voicemail":
		return "Voicemail of {number} would take the call, but there is no voicemail yet."
	case "ring.devices":
		return "The phones of {number} ring."
	case "ring.devices=" + noDev:
		return "No phone of {number} is registered."
	case "ring.once":
		return "{number} has rung already in this call."
	case "ring.final":
		return "Nobody can take the call at {number}."
	case "call.anchored":
		return "The call to {number} has to go through this server from end to end ({value}), which it cannot do yet."
	case "call.anchored=" + toOut:
		return "The call leaves the domain and has to go through this server from end to end, which it cannot do yet."
	default:
		return ""
	}
}

const (
	noDev = routing.NotRegistered
	toOut = string(routing.DialTrunk)
)

// Words says a trace entry in a sentence. A rule that nobody wrote a sentence
// for is said by its name.
func Words(e routing.Entry, language string) string {
	c := catalogueOf(language)
	rule := string(e.Rule)
	s := c(rule + "=" + e.Value)
	if s == "" && e.To == "" && e.Setting != "" {
		s = c(rule + "-")
	}
	if s == "" {
		s = c(rule)
	}
	if s == "" {
		return rule + " " + e.Number
	}
	return strings.NewReplacer("{number}", e.Number, "{to}", e.To, "{value}", e.Value, "{setting}", e.Setting).Replace(s)
}
