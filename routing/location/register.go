package location

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// What [Bindings.Apply] refuses a REGISTER for. The bindings are then unchanged:
// a REGISTER is applied as a whole or not at all (RFC 3261 §10.3 step 7).
var (
	// ErrMalformed reports a "*" with another contact or without Expires 0, or a
	// contact that is empty: 400.
	ErrMalformed = errors.New("location: malformed register")
	// ErrOutOfOrder reports a REGISTER that is older than a binding it would
	// change: same Call-ID, CSeq not higher: 500 (RFC 3261 §10.3 steps 6 and 7;
	// a client that keeps to §10.2 never sees it).
	ErrOutOfOrder = errors.New("location: register out of order")
	// ErrTooLong reports a contact whose texts are longer than a binding may
	// keep: 400.
	ErrTooLong = errors.New("location: register too long")
	// ErrTooMany reports more contacts than an AOR may have: 403.
	ErrTooMany = errors.New("location: too many contacts")
	// ErrNotYours reports more instances than a device may register (trust.md
	// §1): 403, rule register.not-yours.
	ErrNotYours = errors.New("location: too many instances of a device")
	// ErrAgain is not of Apply: where bindings are kept they changed meanwhile, and
	// the REGISTER must be applied to what holds now.
	ErrAgain = errors.New("location: bindings changed meanwhile")
)

// A TooBriefError refuses an interval that is too short: 423 with Min-Expires
// (RFC 3261 §10.3 step 7, §20.23).
type TooBriefError struct{ Min time.Duration }

// Error implements error.
func (e TooBriefError) Error() string { return "location: interval shorter than " + e.Min.String() }

// An Expiry is an interval as a REGISTER asks for it. The zero Expiry is none:
// the next one decides, contact before header field before default.
type Expiry struct {
	seconds uint32
	given   bool
}

// In returns the Expiry of so many seconds; 0 removes.
func In(seconds uint32) Expiry { return Expiry{seconds: seconds, given: true} }

// A Contact is one value of the Contact field of a REGISTER.
type Contact struct {
	URI      string // without angle brackets and header parameters
	Expires  Expiry // parameter expires; a malformed one counts as none
	Q        uint16 // parameter q in thousandths; 1000 for none
	Instance string // parameter +sip.instance without quotes, "" for none
	RegID    uint32 // parameter reg-id; without an Instance it means nothing (RFC 5626 §6)
}

// A Register is one whole REGISTER of an authenticated device. One with no
// Contact and no Star asks for the bindings.
type Register struct {
	Contacts  []Contact
	Star      bool   // Contact: *
	Expires   Expiry // field Expires
	CallID    string
	CSeq      uint32
	Flow      Flow   // where it came from
	Node      uint16 // number of the node that it came to
	Device    string
	Path      []string // values of Path, topmost first; the registrar takes them from a node only
	UserAgent string
	Limits    Limits
}

// Limits are what a registrar allows. A zero field means its default.
type Limits struct {
	Default   time.Duration // for a contact that asks for no interval: 1 h
	Min       time.Duration // shorter is refused with 423: 60 s
	Max       time.Duration // longer is granted as this: 1 h
	Contacts  int           // of an AOR: 10
	Instances int           // of a device: 5
	Spread    uint16        // thousandths by which long intervals are granted shorter, at most: none
}

// spreadFrom is the shortest interval that [Limits.Spread] shortens: phones with
// shorter ones keep a mapping of a NAT open.
const spreadFrom = 10 * time.Minute

// Bounds of what a Binding keeps, in bytes.
const (
	maxUserAgent = 64
	maxText      = 512 // contact, instance, Call-ID, path, device and user agent together
)

// withDefaults fills zero fields in.
func (l Limits) withDefaults() Limits {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&l.Default, time.Hour)
	set(&l.Min, time.Minute)
	set(&l.Max, time.Hour)
	if l.Contacts == 0 {
		l.Contacts = 10
	}
	if l.Instances == 0 {
		l.Instances = 5
	}
	return l
}

// grant returns the interval for a contact, 0 to remove it.
func (l Limits) grant(contact, field Expiry) (time.Duration, error) {
	d := l.Default
	switch {
	case contact.given:
		d = time.Duration(contact.seconds) * time.Second
	case field.given:
		d = time.Duration(field.seconds) * time.Second
	}
	// RFC 3261 §10.3 step 7: an hour or more is never too brief.
	if 0 < d && d < l.Min && d < time.Hour {
		return 0, TooBriefError{Min: l.Min}
	}
	return min(d, l.Max), nil
}

// spread returns the part of an interval that a REGISTER is granted, in whole
// seconds: phones that came back at once, after a loss of power, do not expire or
// refresh at once for ever. It follows from the REGISTER, so that one that is sent
// again is granted the same.
func (l Limits) spread(d time.Duration, callID string, cseq uint32) time.Duration {
	if l.Spread == 0 || d < spreadFrom {
		return d
	}
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(callID) {
		h = (h ^ uint64(callID[i])) * 1099511628211
	}
	for ; cseq > 0; cseq >>= 8 {
		h = (h ^ uint64(cseq&0xff)) * 1099511628211
	}
	h ^= h >> 32
	most := uint64(d/time.Second) * uint64(l.Spread) / 1000
	return d - time.Duration(h%(most+1))*time.Second
}

// Apply returns the bindings of an AOR that hold at now after r (RFC 3261 §10.3
// steps 6 to 8), and how they changed; on an error it returns bs and no changes.
// The same REGISTER once more changes nothing. What expired before now is gone
// as well.
//
// Contacts are the same when RFC 3261 §19.1.4 says so and they are of one device
// or flow: two phones behind two NATs may well have the same private address.
// Where an instance is given it decides instead (RFC 5626 §6): an AOR has one
// binding per instance, or per instance and reg-id where there are reg-ids.
func (bs Bindings) Apply(r Register, now time.Time) (Bindings, []Change, error) {
	now = stamp(now)
	before, changes := bs.Expire(now)
	next, err := before.apply(&r, now)
	if err != nil {
		return bs, nil, err
	}
	return next.bindings, append(changes, next.changes...), nil
}

// draft is the bindings while a REGISTER is applied to them.
type draft struct {
	r        *Register
	limits   Limits
	now      time.Time
	bindings Bindings
	before   Bindings // aligned with bindings: what was there; zero Contact when new
	set      []bool   // aligned with bindings: added or replaced by this REGISTER
	again    bool     // a binding has the Call-ID and the CSeq of this REGISTER
	changes  []Change
}

// apply does what Apply says, on bindings that all hold at now.
func (bs Bindings) apply(r *Register, now time.Time) (*draft, error) {
	d := &draft{r: r, limits: r.Limits.withDefaults(), now: now, bindings: bs}
	if r.Star {
		return d, d.star()
	}
	if len(r.Contacts) == 0 {
		return d, nil
	}
	d.bindings = slices.Clone(bs)
	d.before = slices.Clone(bs)
	d.set = make([]bool, len(bs))
	for i := range r.Contacts {
		if err := d.contact(&r.Contacts[i]); err != nil {
			return nil, err
		}
	}
	if d.again {
		// A retransmission changes nothing; anything else is out of order.
		if !d.bindings.within(bs) || !bs.within(d.bindings) {
			return nil, fmt.Errorf("%w: cseq %d again", ErrOutOfOrder, r.CSeq)
		}
		d.bindings, d.changes = bs, nil
		return d, nil
	}
	for i := range d.bindings {
		if d.set[i] {
			d.changes = append(d.changes, changed(d.before[i], d.bindings[i]))
		}
	}
	return d, d.withinLimits(bs)
}

// star removes every binding (RFC 3261 §10.3 step 6).
func (d *draft) star() error {
	if len(d.r.Contacts) > 0 || d.r.Expires != In(0) {
		return fmt.Errorf("%w: * stands alone and with Expires 0", ErrMalformed)
	}
	for i := range d.bindings {
		if err := d.inOrder(&d.bindings[i]); err != nil {
			return err
		}
		d.changes = append(d.changes, Change{What: Removed, Before: d.bindings[i]})
	}
	if d.again {
		return fmt.Errorf("%w: cseq %d again", ErrOutOfOrder, d.r.CSeq)
	}
	d.bindings = Bindings{}
	return nil
}

// contact applies one contact.
func (d *draft) contact(c *Contact) error {
	interval, err := d.limits.grant(c.Expires, d.r.Expires)
	if err != nil {
		return err
	}
	b, err := d.binding(c, d.limits.spread(interval, d.r.CallID, d.r.CSeq))
	if err != nil {
		return err
	}
	if interval == 0 {
		return d.drop(&b)
	}
	i := d.find(&b)
	if i < 0 {
		d.bindings = append(d.bindings, b)
		d.before = append(d.before, Binding{})
		d.set = append(d.set, true)
		return nil
	}
	if !d.set[i] {
		if err := d.inOrder(&d.bindings[i]); err != nil {
			return err
		}
	}
	d.bindings[i], d.set[i] = b, true
	return d.supersede(i)
}

// drop removes the bindings that b stands for: those of its contact, and the one
// of its instance and reg-id (RFC 5626 §6) unless this REGISTER set it: a phone
// may replace its contact and remove the old one at once.
func (d *draft) drop(b *Binding) error {
	for i := len(d.bindings) - 1; i >= 0; i-- {
		o := &d.bindings[i]
		flow := b.RegID != 0 && o.RegID == b.RegID && o.Instance == b.Instance && !d.set[i]
		if !flow && (!related(o, b) || !EqualURI(o.Contact, b.Contact)) {
			continue
		}
		if !d.set[i] {
			if err := d.inOrder(o); err != nil {
				return err
			}
		}
		d.remove(i)
	}
	return nil
}

// binding returns the binding that a contact makes.
func (d *draft) binding(c *Contact, interval time.Duration) (Binding, error) {
	b := Binding{
		Contact: c.URI, Device: d.r.Device, Instance: c.Instance, Path: d.r.Path,
		Q: min(c.Q, 1000), Expires: d.now.Add(interval), Granted: interval,
		CallID: d.r.CallID, CSeq: d.r.CSeq, UserAgent: d.r.UserAgent,
		Flow: d.r.Flow, Node: d.r.Node, NAT: !d.r.Flow.WebSocket() && behindNAT(c.URI, d.r.Flow.Remote.Addr()), Seen: d.now,
	}
	if c.Instance != "" {
		b.RegID = c.RegID
	}
	if len(b.UserAgent) > maxUserAgent {
		b.UserAgent = b.UserAgent[:maxUserAgent]
	}
	if c.URI == "" {
		return b, fmt.Errorf("%w: empty contact", ErrMalformed)
	}
	n := len(b.Contact) + len(b.Device) + len(b.Instance) + len(b.CallID) + len(b.UserAgent)
	for _, p := range b.Path {
		n += len(p) + 1
	}
	if n > maxText {
		return b, fmt.Errorf("%w: %d bytes of %d", ErrTooLong, n, maxText)
	}
	return b, nil
}

// find returns the index of the binding that b replaces, -1 for none: the one
// of its instance, or the one of its contact. The same text wins over a URI that
// only compares equal.
func (d *draft) find(b *Binding) int {
	at := slices.IndexFunc(d.bindings, func(o Binding) bool { return sameInstance(&o, b) })
	if at >= 0 {
		return at
	}
	at = slices.IndexFunc(d.bindings, func(o Binding) bool { return o.Contact == b.Contact && related(&o, b) })
	if at < 0 {
		at = slices.IndexFunc(d.bindings, func(o Binding) bool { return related(&o, b) && EqualURI(o.Contact, b.Contact) })
	}
	return at
}

// sameInstance reports whether two bindings of an AOR exclude each other: the
// same instance, with the same reg-id or with one that has none.
func sameInstance(a, b *Binding) bool {
	return a.Instance != "" && a.Instance == b.Instance &&
		(a.RegID == b.RegID || a.RegID == 0 || b.RegID == 0)
}

// related reports whether the same contact URI means the same phone: the
// messages come from one place, or one device has not named two instances.
func related(a, b *Binding) bool {
	if a.Flow == b.Flow {
		return a.Instance != b.Instance || a.RegID == b.RegID
	}
	return a.Device == b.Device && (a.Instance == b.Instance && a.RegID == b.RegID || a.Instance == "" || b.Instance == "")
}

// within reports whether every one of the bindings is in others, but for times.
func (bs Bindings) within(others Bindings) bool {
	for i := range bs {
		if !slices.ContainsFunc(others, func(o Binding) bool { return sameRegistration(&bs[i], &o) }) {
			return false
		}
	}
	return true
}

// sameRegistration reports whether two bindings differ in nothing but times.
func sameRegistration(a, b *Binding) bool {
	return a.CallID == b.CallID && a.CSeq == b.CSeq && a.Flow == b.Flow && a.Contact == b.Contact &&
		a.Device == b.Device && a.Instance == b.Instance && a.RegID == b.RegID && a.Q == b.Q && a.Granted == b.Granted
}

// inOrder reports [ErrOutOfOrder] when the REGISTER is older than b, and notes
// when it is the one that made b.
func (d *draft) inOrder(b *Binding) error {
	if b.CallID != d.r.CallID {
		return nil
	}
	d.again = d.again || d.r.CSeq == b.CSeq
	if d.r.CSeq < b.CSeq {
		return fmt.Errorf("%w: cseq %d after %d", ErrOutOfOrder, d.r.CSeq, b.CSeq)
	}
	return nil
}

// supersede removes the other bindings that the one at i excludes: of a phone
// that had reg-ids and has none any more, or of the same contact before the phone
// named its instance.
func (d *draft) supersede(i int) error {
	for j := len(d.bindings) - 1; j >= 0; j-- {
		a, b := &d.bindings[j], &d.bindings[i]
		if j == i || !sameInstance(a, b) && (a.Contact != b.Contact || !related(a, b)) {
			continue
		}
		if !d.set[j] {
			if err := d.inOrder(a); err != nil {
				return err
			}
		}
		d.remove(j)
		if j < i {
			i--
		}
	}
	return nil
}

// remove takes the binding at i out.
func (d *draft) remove(i int) {
	if d.before[i].Contact != "" {
		d.changes = append(d.changes, Change{What: Removed, Before: d.before[i]})
	}
	d.bindings = slices.Delete(d.bindings, i, i+1)
	d.before = slices.Delete(d.before, i, i+1)
	d.set = slices.Delete(d.set, i, i+1)
}

// changed says how a binding became another one.
func changed(before, after Binding) Change {
	switch {
	case before.Contact == "":
		return Change{What: Added, After: after}
	case before.Contact != after.Contact || before.Flow != after.Flow || before.Device != after.Device ||
		before.Instance != after.Instance || !slices.Equal(before.Path, after.Path):
		return Change{What: Moved, Before: before, After: after}
	default:
		return Change{What: Refreshed, Before: before, After: after}
	}
}

// withinLimits reports an AOR that grew beyond its contacts or a device beyond
// its instances. A limit that was lowered does not hinder a refresh.
func (d *draft) withinLimits(before Bindings) error {
	if n := len(d.bindings); n > d.limits.Contacts && n > len(before) {
		return fmt.Errorf("%w: %d of %d", ErrTooMany, n, d.limits.Contacts)
	}
	if n := d.bindings.Instances(d.r.Device); n > d.limits.Instances && n > before.Instances(d.r.Device) {
		return fmt.Errorf("%w: %d of %d", ErrNotYours, n, d.limits.Instances)
	}
	return nil
}

// Instances counts the instances of a device, a binding without one by its
// contact. It counts those that expired as well: see [Bindings.Expire].
func (bs Bindings) Instances(device string) int {
	n := 0
	for i := range bs {
		first := bs[i].Device == device
		for j := 0; j < i && first; j++ {
			first = bs[j].Device != device || bs[j].Instance == "" || bs[j].Instance != bs[i].Instance
		}
		if first {
			n++
		}
	}
	return n
}
