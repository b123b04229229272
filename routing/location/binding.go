// Package location is the registrar's algebra: given the bindings of one
// address-of-record and a REGISTER, it computes the bindings that follow
// (RFC 3261 §10.3), and from bindings the target set of a request.
//
// It does no I/O, keeps no state, reads no clock and starts no goroutine.
// Package store keeps what it computes; package sip/registrar speaks the
// protocol.
package location

import (
	"cmp"
	"slices"
	"time"
)

// A Binding ties an AOR to one contact of one device until it expires. Its
// times are in UTC and in whole milliseconds, so that a packed Binding is the
// same when it is read back.
type Binding struct {
	Contact   string        // the URI as registered, without angle brackets and header parameters
	Device    string        // authorization name of the device that registered it
	Instance  string        // value of +sip.instance without quotes, "" for none (RFC 5626 §4.1)
	RegID     uint32        // reg-id, 0 for none (RFC 5626 §4.2)
	Path      []string      // Path URIs, topmost first (RFC 3327); empty for our own flows
	Q         uint16        // preference in thousandths, 0 to 1000
	Expires   time.Time     // it holds until then, exclusively
	Granted   time.Duration // the interval of the last REGISTER: stored deadlines are clamped by it
	CallID    string
	CSeq      uint32
	UserAgent string // cut to 64 bytes
	Flow      Flow   // where requests to the device go
	Node      uint16 // number of the node that Flow is one of; 0 where there is one node
	NAT       bool   // the host of Contact is not the address the REGISTER came from
	Seen      time.Time
	Doubtful  bool // ring.silent: rung, but not counted as reachable, until it is heard of
}

// Bindings are the bindings of one AOR in the order they were added. A Bindings
// is never changed in place: who changes it gets a new one.
type Bindings []Binding

// A What says how a binding changed.
type What uint8

// The ways a binding changes.
const (
	Added     What = iota + 1
	Moved          // same contact or instance, another contact address or flow
	Refreshed      // nothing but its times and its CSeq
	Removed
	Expired
)

// String returns the word that events and the API use.
func (w What) String() string {
	switch w {
	case Added:
		return "added"
	case Moved:
		return "moved"
	case Refreshed:
		return "refreshed"
	case Removed:
		return "removed"
	case Expired:
		return "expired"
	default:
		return "none"
	}
}

// A Change is one binding that changed.
type Change struct {
	What   What
	Before Binding // zero when Added
	After  Binding // zero when Removed or Expired
}

// Binding returns the binding as it is now, or as it last was.
func (c Change) Binding() Binding {
	if c.What == Removed || c.What == Expired {
		return c.Before
	}
	return c.After
}

// Active reports whether b holds at now.
func (b *Binding) Active(now time.Time) bool { return now.Before(b.Expires) }

// Expire returns the bindings that hold at now and those that ended. It returns
// bs itself when none did.
func (bs Bindings) Expire(now time.Time) (Bindings, []Change) {
	return bs.part(Expired, func(b *Binding) bool { return !b.Active(now) })
}

// Remove returns the bindings without those that drop names, reported as
// Removed: a device that was deleted, a contact that answered 404.
func (bs Bindings) Remove(drop func(b *Binding) bool) (Bindings, []Change) {
	return bs.part(Removed, drop)
}

// RemoveFlow returns the bindings without those of a flow that is gone: a
// closed connection, or a 430 (rule ring.silent).
func (bs Bindings) RemoveFlow(f Flow) (Bindings, []Change) {
	return bs.part(Removed, func(b *Binding) bool { return b.Flow == f })
}

// part returns the bindings without those that out names.
func (bs Bindings) part(what What, out func(b *Binding) bool) (Bindings, []Change) {
	var changes []Change
	for i := range bs {
		if out(&bs[i]) {
			changes = append(changes, Change{What: what, Before: bs[i]})
		}
	}
	if changes == nil {
		return bs, nil
	}
	rest := make(Bindings, 0, len(bs)-len(changes))
	for i := range bs {
		if !out(&bs[i]) {
			rest = append(rest, bs[i])
		}
	}
	return rest, changes
}

// Doubt marks the UDP bindings of a flow that was silent (rule ring.silent) and
// reports whether any was not marked yet. Connections are not doubted: they tell
// when they are gone.
func (bs Bindings) Doubt(f Flow) (Bindings, bool) {
	if f.Transport != UDP {
		return bs, false
	}
	return bs.edit(
		func(b *Binding) bool { return b.Flow == f && !b.Doubtful },
		func(b *Binding) { b.Doubtful = true })
}

// Heard clears the doubt about the bindings of a flow on which a message came,
// and reports whether there was any.
func (bs Bindings) Heard(f Flow, now time.Time) (Bindings, bool) {
	now = stamp(now)
	return bs.edit(
		func(b *Binding) bool { return b.Flow == f && b.Doubtful },
		func(b *Binding) { b.Doubtful, b.Seen = false, now })
}

// Clamp returns the bindings with no deadline further away than what was
// granted: a clock that was set back must not keep a binding alive (trust.md §3,
// on load).
func (bs Bindings) Clamp(now time.Time) Bindings {
	now = stamp(now)
	next, _ := bs.edit(
		func(b *Binding) bool { return b.Granted > 0 && b.Expires.Sub(now) > b.Granted },
		func(b *Binding) { b.Expires = now.Add(b.Granted) })
	return next
}

// edit returns the bindings with those changed that pick names.
func (bs Bindings) edit(pick func(*Binding) bool, change func(*Binding)) (Bindings, bool) {
	var next Bindings
	for i := range bs {
		if !pick(&bs[i]) {
			continue
		}
		if next == nil {
			next = slices.Clone(bs)
		}
		change(&next[i])
	}
	if next == nil {
		return bs, false
	}
	return next, true
}

// TargetSet returns the bindings that hold at now, best first: by q, then the
// one last heard of (RFC 3261 §16.6, RFC 5626 §7).
func (bs Bindings) TargetSet(now time.Time) Bindings {
	set := make(Bindings, 0, len(bs))
	for i := range bs {
		if bs[i].Active(now) {
			set = append(set, bs[i])
		}
	}
	if len(set) > 1 {
		slices.SortStableFunc(set, func(a, b Binding) int {
			return cmp.Or(cmp.Compare(b.Q, a.Q), b.Seen.Compare(a.Seen))
		})
	}
	return set
}

// Find returns the binding whose contact is uri (RFC 3261 §19.1.4): the one with
// the same text when there is one (rule dial.contact).
func (bs Bindings) Find(uri string) (Binding, bool) {
	i := slices.IndexFunc(bs, func(b Binding) bool { return b.Contact == uri })
	if i < 0 {
		i = slices.IndexFunc(bs, func(b Binding) bool { return EqualURI(b.Contact, uri) })
	}
	if i < 0 {
		return Binding{}, false
	}
	return bs[i], true
}

// NextExpiry returns when the first of the bindings ends; the zero time for
// none.
func (bs Bindings) NextExpiry() time.Time {
	var first time.Time
	for i := range bs {
		if first.IsZero() || bs[i].Expires.Before(first) {
			first = bs[i].Expires
		}
	}
	return first
}

// LastExpiry returns when the last of the bindings ends; the zero time for none.
func (bs Bindings) LastExpiry() time.Time {
	var last time.Time
	for i := range bs {
		if bs[i].Expires.After(last) {
			last = bs[i].Expires
		}
	}
	return last
}

// stamp returns t as a Binding keeps it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
