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
	case "de":
		return german
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
	case "dial.group":
		return "{value} was dialled: that is the group at {number}."
	case "group.member":
		return "{number} rings as a member of the group."
	case "group.skipped":
		return "{number} is skipped: its user is away ({value})."
	case "group.skipped=caller":
		return "{number} is skipped: it is who calls."
	case "group.skipped=gone":
		return "{number} is skipped: it is no active number."
	case "group.skipped=ring.once":
		return "{number} is skipped: it has rung already in this call."
	case "group.skipped=forward.all":
		return "{number} is skipped: it forwards all calls."
	case "group.skipped=dnd":
		return "{number} is skipped: its user does not want to be disturbed."
	case "group.skipped=busy":
		return "{number} is skipped: it is busy."
	case "group.skipped=" + noDev:
		return "{number} is skipped: no phone of it is registered."
	case "group.skipped=" + routing.NotHere:
		return "{number} is skipped: no phone of it can be reached from this node."
	case "group.overflow":
		return "No member of the group at {number} took the call: it goes to {to}."
	case "group.ring-time":
		return "The members of the group at {number} ring {value} each, in all longer than a call may ring: the last of them and its overflow do not have their turn."
	case "dial.contact":
		return "The URI of a phone of {number} was dialled: that phone alone, under the rules of {number}."
	case "dial.device":
		return "{value} was dialled: that device alone, under the rules of {number}."
	case "dial.unknown":
		return "{number} is nothing that this domain knows."
	case "dial.unknown-":
		return "{number} would send its calls to {value}, which leads nowhere."
	case "dial.trunk":
		return "The call leaves over the trunk {value} to {to}."
	case "dial.feature":
		return "{number} asked for {value} by its code."
	case "dial.service":
		return "{number} called the service {value}."
	case "dial.feature=forward_all":
		return "{number} asked by a code for all its calls to be forwarded."
	case "dial.feature=forward_all_off":
		return "{number} asked by a code that its calls are not forwarded any more."
	case "dial.feature=forward_busy":
		return "{number} asked by a code to be forwarded when it is busy."
	case "dial.feature=forward_busy_off":
		return "{number} asked by a code not to be forwarded any more when it is busy."
	case "dial.feature=forward_no_answer":
		return "{number} asked by a code to be forwarded when nobody answers."
	case "dial.feature=forward_no_answer_off":
		return "{number} asked by a code not to be forwarded any more when nobody answers."
	case "dial.feature=dnd":
		return "The user of {number} asked by a code not to be disturbed."
	case "dial.feature=dnd_off":
		return "The user of {number} asked by a code to be called again."
	case "dial.feature=pickup":
		return "{number} asked by a code for a call that rings in its pickup group."
	case "dial.feature=directed_pickup":
		return "{number} asked by a code for the call that rings at {to}."
	case "dial.feature=no-pickup-group":
		return "{number} asked by a code for a call that rings in its pickup group, but is in none."
	case "dial.feature=no-common-group":
		return "{number} asked by a code for the call that rings at {to}, but shares no pickup group with it."
	case "dial.feature=no-number":
		return "{number} asked by a code for the call that rings at {to}, which is no number of this domain."
	case "dial.feature=picked-up":
		return "{number} picked up the call that rang at {to}."
	case "dial.feature=not-picked-up":
		return "{number} did not get a call: there was none to pick up, or somebody else was quicker."
	case "dial.feature=voicemail", "dial.service=voicemail":
		return "{number} asked for its voicemail, but there is no voicemail yet."
	case "dial.feature=park", "dial.feature=retrieve", "dial.service=park_slot":
		return "{number} asked for a parked call, but calls cannot be parked yet."
	case "dial.service=conference":
		return "{number} asked for a conference, but there are no conferences yet."
	case "dial.feature=no-digits":
		return "{number} dialled a code that has to be followed by a number."
	case "dial.feature=wrong-digits":
		return "{number} dialled a code, and after it what is no number."
	case "dial.feature=no-target":
		return "{number} asked by a code to be forwarded, but has no number to be forwarded to: it is dialled after the code."
	case "dial.feature=no-user":
		return "{number} dialled the code of a setting that belongs to a user, and has none."
	case "forward.loop-refused-":
		return "{number} is not forwarded: that would close the loop {value}."
	case "reference.missing-":
		return "{number} is not forwarded to {value}, which does not exist."
	case "busy.exclusive-":
		return "{number} is not forwarded when it is busy, since its call waiting is on: only one of the two can be."
	case "forward.authorization-code-":
		return "{number} is not forwarded, since it calls with an authorization code only."
	case "dial.emergency":
		return "{number} is an emergency number: the call leaves at once over the trunk {value}, whatever is set."
	case "dial.emergency=no-trunk":
		return "{number} is an emergency number, but no trunk leads out."
	case "dial.emergency=" + routing.CallBack:
		return "{number} called for help within the last hour: a call from outside gets through, whatever is set there."
	case "number.state":
		return "{number} is not active: it makes emergency calls only."
	case "anchor.domain":
		return "The call leaves the domain over the trunk {value} to {to}."
	case "class-of-service":
		return "The class of service of {number} does not allow a call to {value}."
	case "authorization-code":
		return "{number} calls outside with an authorization code only, which this server cannot ask for yet: {value} is not called."
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
	case "forward.external-loop":
		return "The call comes back from another network, where {value} sent it: only the phones of {number} ring."
	case "forward.external-loop-":
		return "{number} does not send the call to {value}: it has as many forwarded calls on trunks as there may be."
	case "device.redirect":
		return "A phone of {number} sends the call on to {to}."
	case "callme":
		return "The user of {number} takes calls at {to}."
	case "callme-":
		return "The user of {number} takes calls at {value}, but only while in the office."
	case "callme.unusable":
		return "The user of {number} would take calls at {value}, but that sends its own calls on."
	case "limit.calls":
		return "{value} has as many outside calls as there may be at once."
	case "limit.attempts":
		return "{value} has begun as many outside calls within a minute as it may."
	case "limit.minutes":
		return "{value} has used up its minutes of today for calls like this one."
	case "limit.calls-":
		return "{number} does not send the call to {value}: there are as many outside calls as there may be at once."
	case "limit.attempts-":
		return "{number} does not send the call to {value}: there were as many outside calls within a minute as there may be."
	case "limit.minutes-":
		return "{number} does not send the call to {value}: its minutes of today for calls like this one are used up."
	case "snr":
		return "{to} rings with the phones of {number}."
	case "snr.schedule":
		return "{value} does not ring with the phones of {number} at this time."
	case "snr.callers":
		return "{value} does not ring with the phones of {number} for this caller."
	case "snr.too-soon":
		return "An answer that comes too soon would be taken for the voicemail of {value}; this server cannot tell yet and takes every answer."
	case "snr.screened":
		return "Whoever answers at {value} would be asked for a digit; this server cannot ask yet and takes every answer."
	case "snr.ring-time":
		return "{number} stops ringing before {value} has had its time."
	case "snr.inbound":
		return "The caller {value} is a remote destination of the user of {number}, and is shown as {number}."
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
	case "voicemail=later":
		return "If nobody answers, voicemail of {number} would take the call, but there is no voicemail yet."
	case "voicemail":
		return "Voicemail of {number} would take the call, but there is no voicemail yet."
	case "ring.devices":
		return "The phones of {number} ring."
	case "ring.devices=" + noDev:
		return "No phone of {number} is registered."
	case "ring.devices=" + routing.NotHere:
		return "No phone of {number} can be reached from this node."
	case "ring.once":
		return "{number} has rung already in this call."
	case "ring.elsewhere":
		return "{to} of {number} is registered at node {value}: from here it can be reached over UDP only, with the address that it registered at."
	case "ring.final":
		return "Nobody can take the call at {number}."
	case "call.anchored":
		return "The call to {number} goes through this server from end to end ({value})."
	case "call.answered":
		return "{to} of {number} answered after {value}."
	case "call.taken":
		return "The call was answered after {value}."
	case "call.ended":
		return "The call ended: {value}."
	case "call.ended=busy":
		return "The call ended: busy."
	case "call.ended=no-answer":
		return "Nobody answered."
	case "call.ended=unreachable":
		return "Nobody could be reached."
	case "call.ended=declined":
		return "The call was declined."
	case "call.ended=caller-gave-up":
		return "The caller hung up before anybody answered."
	case "call.ended=refused":
		return "The call was refused."
	case "call.ended=lost":
		return "The call was lost when this server started again."
	case "leg.rang":
		return "{to} of {number} rang for {value}."
	case "leg.busy":
		return "{to} of {number} was busy."
	case "leg.declined":
		return "The call was declined at {to} of {number}."
	case "leg.failed":
		return "{to} of {number} could not be reached."
	default:
		return ""
	}
}

const noDev = routing.NotRegistered

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
