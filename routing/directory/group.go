package directory

import (
	"fmt"
	"slices"
	"time"
)

// The kinds of groups.
const (
	GroupHunt   = "hunt"   // several numbers behind one
	GroupPickup = "pickup" // whose members may answer each other's calls
)

// The strategies of a hunt group.
const (
	StrategyAll         = "all"
	StrategyInOrder     = "in-order"
	StrategyLongestIdle = "longest-idle" // first whose last call ended the longest ago
)

// MaxMembers is how many members a group has at most: each costs something with
// every call.
const MaxMembers = 50

// A Group is a hunt group or a pickup group. The settings of a hunt group are
// its own, not those of its members (behaviour.md §3, groups).
type Group struct {
	Kind     string   `json:"kind"`               // default hunt
	Number   string   `json:"number,omitempty"`   // of a hunt group: what is dialled
	Members  []string `json:"members,omitempty"`  // numbers, in order
	Strategy string   `json:"strategy,omitempty"` // of a hunt group; default all
	RingTime Duration `json:"ring_time,omitempty"`
	Overflow string   `json:"overflow,omitempty"` // where calls go that no member took
	// Remotes says that remote destinations of members ring too.
	Remotes bool `json:"remote_destinations,omitempty"`
}

// A Hunt is a compiled hunt group.
type Hunt struct {
	Name     string
	Members  []string
	Strategy string
	RingTime time.Duration // of each member that rings after another, or of all together
	Remotes  bool
	Overflow Follow
}

func hunt(t *Tenant, name string, g *Group) *Hunt {
	if g == nil {
		return nil
	}
	return &Hunt{
		Name: name, Members: g.Members, Strategy: g.Strategy, Remotes: g.Remotes,
		RingTime: firstOf(time.Duration(g.RingTime), time.Duration(t.Defaults.RingTime), DefaultRingTime),
		Overflow: Follow{On: g.Overflow != "", Target: parseTarget(t.Plan, g.Overflow), Setting: Ref{Kind: KindGroup, Name: name}.Path()},
	}
}

func (d *decoder) group(o *object) Group {
	v := Group{
		Kind:     o.choice("kind", GroupHunt, GroupHunt, GroupPickup),
		Number:   o.text("number"),
		Members:  o.texts("members"),
		Strategy: o.choice("strategy", "", StrategyAll, StrategyInOrder, StrategyLongestIdle),
		RingTime: o.ringTime("ring_time"),
		Overflow: d.target(o, "overflow"),
		Remotes:  o.flag("remote_destinations"),
	}
	d.most("members", len(v.Members), MaxMembers)
	for i, n := range v.Members {
		if slices.Contains(v.Members[:i], n) {
			d.fault(item("members", i), RuleValue, n+" is a member already")
		}
	}
	switch {
	case v.Kind == GroupHunt:
		v.Strategy = firstOf(v.Strategy, StrategyAll)
	case v.Number != "" || v.Strategy != "" || v.RingTime != 0 || v.Overflow != "" || v.Remotes:
		d.fault("kind", RuleValue, "a pickup group has members and nothing else")
	}
	o.done()
	return v
}

// loadGroup adds what a group means to a number that it names.
func loadGroup(v View, d *LineDocuments, ref Ref) error {
	g, _, err := load[Group](v, ref)
	switch {
	case err != nil:
		return err
	case g.Kind == GroupPickup:
		d.Pickup = append(d.Pickup, ref.Name)
	case g.Number == d.Name:
		d.GroupName, d.Group = ref.Name, &g
	}
	return nil
}

// groupAt returns the hunt group whose number a number is; "" for none.
func (c *checker) groupAt(number string) (string, error) {
	refs, err := c.v.Find(Key{IndexLine, c.ref.Domain + "/" + number})
	for _, r := range refs {
		if r.Kind != KindGroup {
			continue
		}
		if g, _, err := load[Group](c.v, r); err != nil || g.Number == number {
			return r.Name, err
		}
	}
	return "", err
}

// group checks a group: its number is nobody's, no member's and no other
// group's, and its overflow passes the forwarding class of that number.
func (c *checker) group(g Group) error {
	for i, n := range g.Members {
		path := item("members", i)
		if err := c.refer(path, Ref{c.ref.Domain, KindNumber, n}); err != nil {
			return err
		}
		if g.Kind == GroupPickup {
			continue
		}
		at, err := c.groupAt(n)
		if err != nil {
			return err
		}
		if at != "" {
			c.fault(path, RuleValue, n+" is the number of group "+at+": a member is a phone")
		}
	}
	if err := c.groupNumber(g); err != nil {
		return err
	}
	return c.alone()
}

func (c *checker) groupNumber(g Group) error {
	if g.Number == "" {
		if g.Overflow != "" {
			c.fault("number", RuleMissing, "must be set where overflow is: it passes the forwarding class of the number")
		}
		return nil
	}
	num, ok, err := load[Number](c.v, Ref{c.ref.Domain, KindNumber, g.Number})
	switch {
	case err != nil:
		return err
	case !ok:
		c.fault("number", RuleReference, "there is no "+g.Number+" in "+string(KindNumber))
		return nil
	case num.User != "":
		c.fault("number", RuleTaken, g.Number+" belongs to "+num.User)
	}
	if err := c.huntedElsewhere(g.Number); err != nil {
		return err
	}
	if g.Overflow == "" {
		return nil
	}
	dom, _, err := load[Domain](c.v, Ref{Kind: KindDomain, Name: c.ref.Domain})
	if err != nil {
		return err
	}
	class, err := forwardingClass(c.v, c.ref.Domain, dom, num)
	if err != nil {
		return err
	}
	if err := c.target(dom, class, num, "overflow", g.Overflow); err != nil {
		return err
	}
	to, found, err := resolveTarget(c.v, c.ref.Domain, parseTarget(plan(dom), g.Overflow))
	if found && to == g.Number {
		c.fault("overflow", RuleLoop, fmt.Sprintf("%s -> %s", to, to))
	}
	return err
}

// huntedElsewhere finds fault with a number that another hunt group has as its
// number, or that one has as a member.
func (c *checker) huntedElsewhere(number string) error {
	refs, err := c.v.Find(Key{IndexLine, c.ref.Domain + "/" + number})
	if err != nil {
		return err
	}
	for _, r := range refs {
		if r.Kind != KindGroup {
			continue
		}
		g, _, err := load[Group](c.v, r)
		switch {
		case err != nil:
			return err
		case g.Kind == GroupPickup:
		case slices.Contains(g.Members, number):
			c.fault("number", RuleTaken, number+" is a member of group "+r.Name)
		case r != c.ref:
			c.fault("number", RuleTaken, number+" is the number of group "+r.Name)
		}
	}
	return nil
}
