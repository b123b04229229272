// Package routing decides what becomes of a call: a function from a view of
// the world and a visit to a [Plan]. It is the functional core of the daemon:
// no I/O, no clock, no randomness, no logging, no goroutines, no mutable
// package state. What it needs comes in as an argument; what it wants done, or
// lacks, goes out as a value.
package routing

import (
	"slices"
	"strings"
	"time"

	"bellhop/routing/dial"
	"bellhop/routing/ring"
)

// An Origin is where a request came from; it is proven before routing is asked
// (behaviour.md §1, trust.md §1).
type Origin uint8

// The origins. The zero Origin is a stranger.
const (
	OriginStranger Origin = iota
	OriginDevice          // digest, or an authenticated connection
	OriginTrunk
	OriginNode
)

// A Visit is one question to [Decide]: what becomes of a call that reaches a
// number, the path so far, and who called.
type Visit struct {
	Origin Origin
	Domain string // canonical name of the domain that is asked; "" finds it by TargetHost
	Method string // INVITE, MESSAGE, OPTIONS, ...; only INVITE rings by a plan

	// Trunk is the trunk that the call came in by; "" for other origins.
	Trunk string
	// Diverted are the numbers that Diversion and History-Info of a trunk call
	// name, as received (rule forward.external-loop).
	Diverted []string

	// Caller is who called first: forwards along a chain do not change it.
	Caller Caller

	// Target is the user part of the Request-URI as received, unescaped;
	// TargetHost its host as received (a domain name, an alias, or a device's
	// contact host), "" for Domain itself. The visit of an outcome has the target
	// of the forward here.
	Target     string
	TargetHost string

	// Secure says that the Request-URI was a sips URI: devices are reached over TLS
	// or not at all (trust.md §1).
	Secure bool

	// Instance is the instance that a GRUU or a registered Contact names, without angle
	// brackets, or the Contact of a phone that has no instance: Target is its number,
	// and no other phone of it is meant (RFC 5627 §4.4).
	Instance string

	// Hops are the forwards followed so far, oldest first.
	Hops []Hop
	// Rung are the numbers that were rung already in this call (a number is
	// rung at most once).
	Rung []string
	// Hunted are the numbers that were rung as members of a group: the overflow may
	// ring them once more.
	Hunted []string
	// Anchored is why the call is anchored already; a call that was proxied stays
	// so, and one that is anchored too.
	Anchored RuleName
}

// internal reports whether the side of the call in a domain is the internal
// one: it is the first caller's, along a whole chain.
func (v *Visit) internal(domain string) bool {
	switch v.Origin {
	case OriginDevice, OriginNode:
		return v.Caller.Domain == domain
	case OriginStranger, OriginTrunk:
		return false
	default:
		return false
	}
}

// A Caller is the proven origin in terms of the directory.
type Caller struct {
	Domain string // domain of a device; "" for others
	Device string // authorization name
	Number string // the line it calls from; for a trunk the calling number
	Behind bool   // the caller's session description is behind NAT
}

// A Hop is one forward: a number, the setting that sent the call on, and where.
type Hop struct {
	Number  string
	To      string
	Rule    RuleName
	Setting string // path of the setting, and whose it is
	Owner   string
}

// A Decision is what to do with a call.
//
//sumtype:decl
type Decision interface{ decision() }

type (
	// Reject answers with a final response.
	Reject struct {
		Status int
		Reason string // reason phrase
		Rule   RuleName
	}
	// Ring rings a number: the stages in order, then what Outcomes says.
	Ring struct {
		Number   string // the number that rings
		Owner    string // the user whose it is, "" for nobody's and for one outside
		Stages   []Stage
		Outcomes Outcomes
		RingTime time.Duration // until the no-answer outcome; 0, when nothing follows: ring until ring.clock
		Alert    string        // dnd ringer-off: value of Alert-Info, else ""
		Shown    string        // the number that the caller sees; with callme not the one that rings
		Redirect *Visit        // what follows a 302 of a phone, see [Ring.Redirected]; nil: it is refused

		// Group is the hunt group whose members ring, "" for none: each target has its
		// Number. Together rings them at once whatever q says.
		Group    string
		Together bool

		// Pickup are the pickup groups whose members may take the call: those of the
		// number, or of the members of Group.
		Pickup []string

		// Device rings alone, Mute silences all devices of the number; see [Ring.Joins].
		Device string
		Mute   bool

		// Identity is who is shown to targets that have no Identity of their own,
		// devices that join while it rings too; nil: the caller as received.
		Identity *ring.Identity
		Queue    bool // not an INVITE: forward to the bindings, no ring times

		Emergency *Emergency // of an emergency call, else nil
	}
	// Act does something for the caller, a device of the domain, instead of ringing
	// somebody: what was dialled is the code of a feature or the number of a service.
	Act struct {
		Feature dial.Feature
		Domain  string
		Device  string // that asks
		Number  string // the caller's own, whose setting it is
		Owner   string // its user, "" for nobody's
		// Target is what follows the code: of a forward where to, in its kept form and
		// "" for the target that is kept; of a pickup the number that rings; the slot.
		Target string
		// Groups are the pickup groups of Number: of those a call is picked up.
		Groups []string
		Rule   RuleName // dial.feature or dial.service
	}
)

func (Reject) decision() {}
func (Ring) decision()   {}
func (Act) decision()    {}

// An Emergency is what goes along with an emergency call (rule dial.emergency).
type Emergency struct {
	Location string // where the caller is: a URI (RFC 6442), or words; "" unknown
	Callback string // the public number to call back; "" none
	// Numbers are those of the domain at which a call back gets through: the
	// caller's, and the one that Callback is.
	Numbers []string
}

// CallBackTime is how long after an emergency call a call back gets through.
const CallBackTime = time.Hour

// Joins reports whether a device of the number that registers while it rings may
// ring too (rule ring.devices).
func (r *Ring) Joins(t *ring.Target) bool {
	return !r.Mute && (r.Device == "" || r.Device == t.Device)
}

// Members returns the numbers that ring as members of a group, each once.
func (r *Ring) Members() (out []string) {
	if r.Group == "" {
		return nil
	}
	for i := range r.Stages {
		for j := range r.Stages[i].Targets {
			if t := &r.Stages[i].Targets[j]; t.Remote == "" && !slices.Contains(out, t.Number) {
				out = append(out, t.Number)
			}
		}
	}
	return out
}

// Redirected returns the visit that follows when a phone answered 302 with a
// Contact, a SIP or tel URI (rule device.redirect); nil when nothing does.
func (r *Ring) Redirected(contact string) *Visit {
	if r.Redirect == nil {
		return nil
	}
	v := *r.Redirect
	v.Target, v.TargetHost = contactOf(contact)
	v.Hops = append(slices.Clip(v.Hops), Hop{Number: r.Number, To: contact, Rule: DeviceRedirect, Owner: r.Owner})
	return &v
}

// contactOf returns the user part and host of a URI; a tel URI has no host.
func contactOf(uri string) (user, host string) {
	rest, isSIP := strings.CutPrefix(uri, "sip:")
	if !isSIP {
		rest, isSIP = strings.CutPrefix(uri, "sips:")
	}
	if !isSIP {
		rest, _, _ = strings.Cut(strings.TrimPrefix(uri, "tel:"), ";")
		return rest, ""
	}
	rest, _, _ = strings.Cut(rest, "?")
	user, host, at := strings.Cut(rest, "@")
	if !at {
		user, host = "", rest
	}
	user, _, _ = strings.Cut(user, ";")
	host, _, _ = strings.Cut(host, ";")
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return user, host
}

// Forwarded reports whether the caller shall learn that the call was sent on
// (rule ring.181): with CallMe it keeps seeing the dialled number.
func (p *Plan) Forwarded() bool {
	return slices.ContainsFunc(p.Hops, func(h Hop) bool { return h.Rule != CallMe })
}

// RingPlan returns how package ring carries the plan out; d is its decision. An
// anchored call has legs of its own.
func (p *Plan) RingPlan(d *Ring) ring.Plan {
	r := ring.Plan{RingTime: d.RingTime, OwnLegs: p.Anchored != "", Together: d.Together, Stages: make([][]ring.Target, len(d.Stages))}
	for i := range d.Stages {
		r.Stages[i] = d.Stages[i].Targets
	}
	for _, o := range [...]struct {
		visit *Visit
		kinds ring.Visits
	}{
		{d.Outcomes.Busy, ring.VisitsOn(ring.Busy, ring.Declined)},
		{d.Outcomes.NoAnswer, ring.VisitsOn(ring.NoAnswer)},
		{d.Outcomes.Unreachable, ring.VisitsOn(ring.Unreachable)},
	} {
		if o.visit != nil {
			r.Visits |= o.kinds
		}
	}
	if d.Redirect != nil {
		r.Visits |= ring.VisitsOn(ring.Redirected)
	}
	return r
}

// A Stage is a set of targets that ring together, in groups by q.
type Stage struct {
	Targets []ring.Target
	Rule    RuleName
}

// After returns the visit that follows an outcome, or nil. What follows a
// redirect depends on where it leads: [Ring.Redirected].
func (o *Outcomes) After(kind ring.OutcomeKind) *Visit {
	switch kind {
	case ring.Busy, ring.Declined: // a 603 declines for its number; the plan goes on
		return o.Busy
	case ring.NoAnswer:
		return o.NoAnswer
	case ring.Unreachable:
		return o.Unreachable
	case ring.Answered, ring.CallerGaveUp, ring.Refused, ring.Redirected:
		return nil
	default:
		return nil
	}
}

// Outcomes say what follows when nobody answered: the next visit, or nil for
// the final response of ring.final.
type Outcomes struct {
	Busy        *Visit
	NoAnswer    *Visit
	Unreachable *Visit
}

// A Plan is the whole of a decision.
type Plan struct {
	Decision Decision
	// Anchored says why the call cannot be proxied (architecture.md §3); ""
	// means it is proxied.
	Anchored RuleName
	// Hops are the forwards that led here, oldest first: Diversion (RFC 5806)
	// and History-Info (RFC 7044) are written from them, and the caller gets 181.
	Hops []Hop
}
