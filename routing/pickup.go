package routing

import (
	"slices"

	"bellhop/routing/dial"
)

// Why nobody may pick a call up, as the value of its entry.
const (
	noPickupGroup = "no-pickup-group" // the caller is in none
	noCommonGroup = "no-common-group" // it shares none with the number that rings
	noNumber      = "no-number"       // no number of the domain was named
)

// What became of a pickup, as the values of entries that the shell makes.
const (
	PickedUp    = "picked-up"     // To is where the call rang
	NotPickedUp = "not-picked-up" // there was no call, or somebody was quicker
)

// rings is the number whose call is to be picked up, "" for any.
func (a *Act) rings() string {
	if a.Feature == dial.DirectedPickup {
		return a.Target
	}
	return ""
}

// pickup finds whether the caller may pick calls up, and of whom: those of its own
// number, and of numbers that share a pickup group with it. nil: it may.
func (d *decider) pickup(a *Act) Decision {
	a.Groups = d.caller.Pickup
	if a.Feature == dial.Pickup {
		if len(a.Groups) == 0 {
			return d.refusePickup(a, noPickupGroup)
		}
		return nil
	}
	n, ok := d.t.Plan.Parse(a.Target)
	if !ok {
		return d.refusePickup(a, noNumber)
	}
	l, _ := d.lookNumber(n)
	switch {
	case d.lacks():
		return nil
	case l == nil:
		return d.refusePickup(a, noNumber)
	case l.Number == a.Number:
	case !slices.ContainsFunc(l.Pickup, func(g string) bool { return slices.Contains(a.Groups, g) }):
		return d.refusePickup(a, noCommonGroup)
	}
	a.Target = l.Number
	return nil
}

func (d *decider) refusePickup(a *Act, why string) Decision {
	d.say(Entry{Rule: a.Rule, Number: a.Number, To: a.rings(), Value: why, Level: ForOwner, Owner: a.Owner})
	switch why {
	case noNumber:
		return d.reject(a.Rule, 404, "Not Found")
	case noPickupGroup:
		return d.reject(a.Rule, 403, "No Pickup Group")
	default:
		return d.reject(a.Rule, 403, "No Common Pickup Group")
	}
}
