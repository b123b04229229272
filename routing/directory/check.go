package directory

import (
	"fmt"
	"slices"
	"strings"

	"bellhop/routing/dial"
)

// Check holds writes against each other and the rest of the directory. The
// store runs it inside the transaction, with the view as it was before the
// writes: references, uniqueness, busy.exclusive, target.class and the loop
// check of forward.all. It returns an *[Invalid] with every fault, the view's
// error, or nil. Who may write what is not asked here.
func Check(v View, ws []Write) error {
	c := &checker{old: v, v: newOverlay(v, ws), many: len(ws) > 1}
	for _, w := range ws {
		c.ref = w.Ref
		if err := c.write(w); err != nil {
			return err
		}
	}
	if len(c.faults) > 0 {
		return &Invalid{Rule: c.faults[0].Rule, Faults: c.faults}
	}
	return nil
}

type checker struct {
	old    View
	v      *overlay
	ref    Ref
	many   bool
	faults []Fault
}

func (c *checker) fault(path, rule, message string) {
	if c.many { // one body each: say which
		path = c.ref.String() + ": " + path
	}
	c.faults = append(c.faults, Fault{Location: path, Message: message, Rule: rule, Of: c.ref})
}

func (c *checker) write(w Write) error {
	if w.Body == nil {
		return c.deletion()
	}
	if !validName(w.Ref) {
		c.fault("name", RuleName, "cannot be the name of a thing in "+string(w.Kind))
	}
	val, faults := Decode(w.Kind, w.Body)
	for _, f := range faults {
		c.fault(f.Location, f.Rule, f.Message)
	}
	if len(faults) > 0 {
		return nil
	}
	if w.Domain != "" {
		if err := c.refer("domain", Ref{Kind: KindDomain, Name: w.Domain}); err != nil {
			return err
		}
	}
	switch v := val.(type) {
	case Domain:
		return c.domain(v)
	case Site:
		return c.class("class_of_service", v.ClassOfService)
	case User:
		return c.user(v)
	case Number:
		return c.number(v)
	case Device:
		return c.device(v)
	case Group:
		return c.group(v)
	case Class:
		return nil
	case Trunk:
		return c.trunk(v)
	case TrunkKey:
		return c.trunkKey(v)
	case CallMe:
		return c.callMe(v)
	case RemoteDestination:
		return c.remote(v)
	case Forwarding:
		return c.forwarding(v)
	case SpeedDial:
		device, _ := SplitRemote(c.ref.Name)
		return c.refer("", Ref{c.ref.Domain, KindDevice, device})
	case Activation:
		return c.refer("device", Ref{v.Domain, KindDevice, v.Device})
	case Change:
		if v.Domain == "" {
			return nil
		}
		return c.refer("domain", Ref{Kind: KindDomain, Name: v.Domain})
	case DND, SignIn, PIN:
		return c.refer("", Ref{c.ref.Domain, KindUser, c.ref.Name})
	case Presence:
		if v.Status == StatusDND {
			c.fault("status", RuleValue, "do-not-disturb is dnd: see SplitPresence")
		}
		return c.refer("", Ref{c.ref.Domain, KindUser, c.ref.Name})
	case PresenceForwarding:
		return c.presenceForwarding(v)
	case Secret:
		return c.secret(v)
	default:
		panic(fmt.Sprintf("directory: no check for %T", val))
	}
}

// refer finds fault with a reference to what does not exist.
func (c *checker) refer(path string, to Ref) error {
	ok, err := c.v.exists(to)
	if err == nil && !ok {
		c.fault(path, RuleReference, "there is no "+to.Name+" in "+string(to.Kind))
	}
	return err
}

func (c *checker) class(path, name string) error {
	if name == "" {
		return nil
	}
	return c.refer(path, Ref{c.ref.Domain, KindClass, name})
}

// unique finds fault with a key that another document has.
func (c *checker) unique(path string, key Key) error {
	refs, err := c.v.Find(key)
	for _, r := range refs {
		if r != c.ref {
			message := key.Value + " is taken"
			if r.Domain == c.ref.Domain && r.Domain != "" {
				message += " by " + r.Name
			}
			c.fault(path, RuleTaken, message)
			break
		}
	}
	return err
}

func (c *checker) domain(d Domain) error {
	if d.Realm == "" {
		c.fault("realm", RuleMissing, "must be set")
	}
	was, ok, err := load[Domain](c.old, c.ref)
	if err != nil {
		return err
	}
	if ok && was.Realm != d.Realm {
		c.fault("realm", RuleReadOnly, "never changes: credentials are bound to it")
	}
	if err := c.unique("name", Key{IndexHost, c.ref.Name}); err != nil {
		return err
	}
	for i, a := range d.Aliases {
		if err := c.unique(fmt.Sprintf("aliases[%d]", i), Key{IndexHost, a}); err != nil {
			return err
		}
	}
	if err := c.codes(d); err != nil {
		return err
	}
	for path, name := range map[string]string{
		"defaults.class_of_service": d.Defaults.ClassOfService,
		"defaults.forwarding_class": d.Defaults.ForwardingClass,
	} {
		if name != "" {
			if err := c.refer(path, Ref{c.ref.Name, KindClass, name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) user(u User) error {
	for i, n := range u.Numbers {
		path := fmt.Sprintf("numbers[%d]", i)
		num, ok, err := load[Number](c.v, Ref{c.ref.Domain, KindNumber, n})
		switch {
		case err != nil:
			return err
		case !ok:
			c.fault(path, RuleReference, "there is no number "+n)
		case num.User != c.ref.Name:
			c.fault(path, RuleReference, n+" does not belong to "+c.ref.Name+": set its user first")
		}
	}
	if u.PrimaryDevice != "" {
		if err := c.refer("primary_device", Ref{c.ref.Domain, KindDevice, u.PrimaryDevice}); err != nil {
			return err
		}
	}
	if u.ConferenceCode != "" {
		if err := c.unique("conference_code", Key{IndexCode, c.ref.Domain + "/" + u.ConferenceCode}); err != nil {
			return err
		}
	}
	if (u.Role == RoleSystemAdmin) != (c.ref.Domain == "") {
		c.fault("role", RuleValue, "system-admins, and only they, are outside of domains")
	}
	return c.alone()
}

// alone keeps the user parts of a domain apart: user@domain, device@domain and
// group@domain must not mean two things.
func (c *checker) alone() error {
	for _, other := range [...]Kind{KindUser, KindDevice, KindGroup} {
		if other == c.ref.Kind {
			continue
		}
		taken, err := c.v.exists(Ref{c.ref.Domain, other, c.ref.Name})
		if err != nil {
			return err
		}
		if taken {
			c.fault("name", RuleTaken, c.ref.Name+" is the name of a "+strings.TrimSuffix(string(other), "s"))
		}
	}
	return nil
}

func (c *checker) number(n Number) error {
	if n.Public != "" {
		if err := c.unique("public", Key{IndexPublic, n.Public}); err != nil {
			return err
		}
	}
	if n.User != "" {
		if err := c.refer("user", Ref{c.ref.Domain, KindUser, n.User}); err != nil {
			return err
		}
	}
	if n.Site != "" {
		if err := c.refer("site", Ref{c.ref.Domain, KindSite, n.Site}); err != nil {
			return err
		}
	}
	if err := c.class("class_of_service", n.ClassOfService); err != nil {
		return err
	}
	if err := c.class("forwarding_class", n.ForwardingClass); err != nil {
		return err
	}
	if err := c.keptByUsers(n); err != nil {
		return err
	}
	if n.User != "" {
		if g, err := c.groupAt(c.ref.Name); err != nil {
			return err
		} else if g != "" {
			c.fault("user", RuleTaken, c.ref.Name+" is the number of group "+g+": it belongs to nobody")
		}
	}
	f, _, err := load[Forwarding](c.v, Ref{c.ref.Domain, KindForwarding, c.ref.Name})
	if err != nil {
		return err
	}
	if n.CodeRequired && f.on() {
		c.fault("authorization_code_required", RuleCode, "a number that forwards cannot need an authorization code: switch its forwarding off")
	}
	d, _, err := load[Domain](c.v, Ref{Kind: KindDomain, Name: c.ref.Domain})
	if err != nil {
		return err
	}
	if exclusive(d, n, f) {
		c.fault("call_waiting", RuleExclusive, "call_waiting and forwarding.busy exclude each other: switch one off")
	}
	return c.notACode(d)
}

// keptByUsers finds fault with a number that leaves its user while the user
// still lists it.
func (c *checker) keptByUsers(n Number) error {
	refs, err := c.v.Find(Key{IndexLine, c.ref.Domain + "/" + c.ref.Name})
	for _, r := range refs {
		_, written := c.v.writes[r] // then its own check finds it
		user, id := SplitRemote(r.Name)
		if id != "" {
			id = " in remote destination " + id
		}
		if (r.Kind == KindUser || r.Kind == KindRemote) && user != n.User && !written {
			c.fault("user", RuleInUse, "user "+user+" still lists "+c.ref.Name+id)
		}
	}
	return err
}

// exclusive reports whether forward.busy and call waiting are both on where
// the domain says that they exclude each other (busy.exclusive). Call waiting
// that nobody set gives way (see [Line]).
func exclusive(d Domain, n Number, f Forwarding) bool {
	return BusyExclusive(d) && n.CallWaiting != nil && *n.CallWaiting &&
		(f.Busy.Internal.Enabled || f.Busy.External.Enabled)
}

// BusyExclusive reports whether the domain keeps forward.busy and call waiting
// apart; the default is yes.
func BusyExclusive(d Domain) bool {
	return d.Policies.BusyExclusive == nil || *d.Policies.BusyExclusive
}

func (c *checker) device(d Device) error {
	if d.User != "" {
		if err := c.refer("user", Ref{c.ref.Domain, KindUser, d.User}); err != nil {
			return err
		}
		refs, err := c.v.Find(Key{IndexUser, c.ref.Domain + "/" + d.User})
		if err != nil {
			return err
		}
		refs = slices.DeleteFunc(refs, func(r Ref) bool { return r.Kind != KindDevice })
		dom, _, err := load[Domain](c.v, Ref{Kind: KindDomain, Name: c.ref.Domain})
		if err != nil {
			return err
		}
		if most := DevicesPerUser(dom); len(refs) > most {
			c.fault("user", RuleDevices, fmt.Sprintf("%s has %d devices already, the most there can be", d.User, most))
		}
	}
	for i, l := range d.Lines {
		if err := c.refer(fmt.Sprintf("lines[%d].number", i), Ref{c.ref.Domain, KindNumber, l.Number}); err != nil {
			return err
		}
	}
	if d.Kind == DeviceHandset {
		if err := c.handset(d); err != nil {
			return err
		}
	}
	return c.alone()
}

// handset finds fault with a number that is logged in at another handset, and says
// who has it (behaviour.md §4).
func (c *checker) handset(d Device) error {
	for i, l := range d.Lines {
		refs, err := c.v.Find(Key{IndexLine, c.ref.Domain + "/" + l.Number})
		if err != nil {
			return err
		}
		for _, r := range refs {
			other, ok, err := load[Device](c.v, r)
			if err != nil {
				return err
			}
			if !ok || r == c.ref || other.Kind != DeviceHandset {
				continue
			}
			who := "handset " + r.Name
			if other.User != "" {
				who += " of " + other.User
			}
			c.fault(fmt.Sprintf("lines[%d].number", i), RuleHandset, l.Number+" is logged in at "+who)
		}
	}
	return nil
}

func (c *checker) secret(s Secret) error {
	if trunk, err := c.digestTrunk(c.ref.Name); err != nil || trunk != "" {
		if trunk != "" {
			c.fault("name", RuleTaken, "trunk "+trunk+" signs in as "+c.ref.Name)
		}
		return err
	}
	return c.refer("device", Ref{c.ref.Domain, KindDevice, s.Device})
}

func (c *checker) deletion() error {
	holders, err := c.holders()
	if err != nil {
		return err
	}
	dependents, err := Dependents(c.v, c.ref)
	if err != nil {
		return err
	}
	var names []string
	for _, r := range holders {
		if slices.Contains(dependents, r) { // goes with it
			continue
		}
		names = append(names, string(r.Kind)+"/"+r.Name)
	}
	if len(names) > 0 {
		slices.Sort(names)
		more := ""
		if len(names) > 5 {
			names, more = names[:5], " and others"
		}
		c.fault("", RuleInUse, c.ref.Name+" is still used by "+strings.Join(names, ", ")+more)
	}
	return nil
}

// holders returns what still needs the deleted document.
func (c *checker) holders() ([]Ref, error) {
	name := c.ref.Domain + "/" + c.ref.Name
	switch c.ref.Kind {
	case KindDomain:
		var refs []Ref
		for ref, err := range c.v.List(c.ref.Name, "") {
			if err != nil {
				return nil, err
			}
			if refs = append(refs, ref); len(refs) > 5 {
				break
			}
		}
		return refs, nil
	case KindSite:
		return c.v.Find(Key{IndexSite, name})
	case KindUser:
		return c.v.Find(Key{IndexUser, name})
	case KindNumber:
		return c.v.Find(Key{IndexLine, name})
	case KindDevice:
		return c.v.Find(Key{IndexDevice, name})
	case KindClass:
		return c.v.Find(Key{IndexClass, name})
	case KindGroup, KindTrunk, KindForwarding, KindDND, KindPresence, KindPresenceTo, KindCallMe, KindRemote,
		KindCredential, KindTrunkKey, KindSignIn, KindPIN, KindSpeedDial, KindActivation, KindChange:
		return nil, nil
	default:
		return nil, nil
	}
}

// validName reports whether a document of the kind can have its name.
func validName(r Ref) bool {
	switch r.Kind {
	case KindDomain:
		return r.Domain == "" && isHost(r.Name) && Host(r.Name) == r.Name
	case KindNumber, KindForwarding:
		return r.Domain != "" && dial.IsExtension(r.Name)
	case KindRemote:
		user, id := SplitRemote(r.Name)
		return validName(Ref{r.Domain, KindUser, user}) && isWord(id)
	case KindSpeedDial:
		device, position := SplitRemote(r.Name)
		return validName(Ref{r.Domain, KindDevice, device}) && speedDialPosition(position)
	case KindActivation, KindChange:
		return r.Domain == "" && isWord(r.Name)
	case KindUser, KindDevice, KindDND, KindPresence, KindPresenceTo, KindCallMe, KindCredential, KindSignIn, KindPIN:
		// Not a number: those are looked for first (dial.number).
		return isWord(r.Name) && strings.Trim(r.Name, "0123456789") != "" && (r.Domain != "" || r.Kind == KindUser || r.Kind == KindSignIn)
	case KindSite, KindGroup, KindTrunk, KindTrunkKey, KindClass:
		return r.Domain != "" && isWord(r.Name)
	default:
		return false
	}
}

// isWord reports whether s is a name that stands in a URL and in the user part
// of a SIP URI as it is.
func isWord(s string) bool {
	return len(s) > 0 && len(s) <= 64 && s[0] != '.' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

func compareRefs(a, b Ref) int { return strings.Compare(a.String(), b.String()) }
