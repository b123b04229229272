package directory

import (
	"fmt"
	"slices"
	"strings"

	"bellhop/routing/dial"
)

// owner reads what settings of a user are checked against: the domain, the
// user's main number and its forwarding class. A call passes the class of the
// number it reached.
func (c *checker) owner(user string) (dom Domain, class dial.Class, num Number, err error) {
	if err = c.refer("", Ref{c.ref.Domain, KindUser, user}); err != nil {
		return dom, nil, num, err
	}
	if dom, _, err = load[Domain](c.v, Ref{Kind: KindDomain, Name: c.ref.Domain}); err != nil {
		return dom, nil, num, err
	}
	main, err := mainNumber(c.v, c.ref.Domain, user)
	if err != nil {
		return dom, nil, num, err
	}
	if num, _, err = load[Number](c.v, Ref{c.ref.Domain, KindNumber, main}); err != nil {
		return dom, nil, num, err
	}
	class, err = forwardingClass(c.v, c.ref.Domain, dom, num)
	return dom, class, num, err
}

// callMe checks the target of a CallMe: it passes the class, is no phone of the
// user's own, no group and not itself redirected (callme.unusable).
func (c *checker) callMe(v CallMe) error {
	user := c.ref.Name
	dom, class, num, err := c.owner(user)
	if err != nil || v.Target == "" {
		return err
	}
	if err := c.target(dom, class, num, "target", v.Target); err != nil {
		return err
	}
	number, found, err := resolveTarget(c.v, c.ref.Domain, parseTarget(plan(dom), v.Target))
	if err != nil || !found {
		return err
	}
	own, err := c.owns(user, number)
	if err != nil {
		return err
	}
	if own {
		c.fault("target", RuleLoop, number+" -> "+number)
		return nil
	}
	why, err := c.redirected(number)
	if why != "" {
		c.fault("target", RuleCallMe, why)
	}
	return err
}

func (c *checker) owns(user, number string) (bool, error) {
	n, ok, err := load[Number](c.v, Ref{c.ref.Domain, KindNumber, number})
	return ok && n.User == user, err
}

// redirected says why a number of the domain cannot be a CallMe target; "": it
// can. Presence comes and goes: it is asked when a call comes.
func (c *checker) redirected(number string) (string, error) {
	if g, err := c.groupAt(number); err != nil || g != "" {
		return number + " is the number of group " + g, err
	}
	f, _, err := load[Forwarding](c.v, Ref{c.ref.Domain, KindForwarding, number})
	if err != nil {
		return "", err
	}
	if f.All.Internal.Enabled || f.All.External.Enabled {
		return number + " is itself redirected by forwarding.all", nil
	}
	n, _, err := load[Number](c.v, Ref{c.ref.Domain, KindNumber, number})
	if err != nil || n.User == "" {
		return "", err
	}
	m, _, err := load[CallMe](c.v, Ref{c.ref.Domain, KindCallMe, n.User})
	if err == nil && m.Target != "" {
		return number + " is itself redirected by CallMe", nil
	}
	return "", err
}

// remote checks a remote destination: its lines are the user's, it passes the
// class and is not one of the lines that it rings with.
func (c *checker) remote(v RemoteDestination) error {
	user, _ := SplitRemote(c.ref.Name)
	dom, class, num, err := c.owner(user)
	if err != nil {
		return err
	}
	refs, err := c.v.Find(Key{IndexOwner, c.ref.Domain + "/" + user})
	if err != nil {
		return err
	}
	if len(refs) > MaxRemotes {
		c.fault("", RuleRemotes, fmt.Sprintf("%s has %d remote destinations already, the most there can be", user, MaxRemotes))
	}
	for i, n := range v.Numbers {
		own, err := c.owns(user, n)
		if err != nil {
			return err
		}
		if !own {
			c.fault(item("numbers", i), RuleReference, n+" is no number of "+user)
		}
	}
	if err := c.target(dom, class, num, "number", v.Number); err != nil {
		return err
	}
	number, found, err := resolveTarget(c.v, c.ref.Domain, parseTarget(plan(dom), v.Number))
	if err != nil || !found {
		return err
	}
	own, err := c.owns(user, number)
	if err != nil {
		return err
	}
	if own && (len(v.Numbers) == 0 || slices.Contains(v.Numbers, number)) {
		c.fault("number", RuleLoop, number+" -> "+number)
	}
	return nil
}

// trunk checks that no request could be of this trunk and of another one, in
// the whole system (trust.md §1).
func (c *checker) trunk(v Trunk) error {
	sources, names := SourcesOf(v), NamesOf(v)
	refs, err := c.v.Find(Key{IndexTrunk, AllTrunks})
	if err != nil {
		return err
	}
	for _, r := range refs {
		if r == c.ref {
			continue
		}
		other, _, err := load[Trunk](c.v, r)
		if err != nil {
			return err
		}
		for _, o := range SourcesOf(other) {
			for _, s := range sources {
				if s.Overlaps(o) {
					c.fault("sources", RuleSource, s.String()+" overlaps "+c.whose(r, o.String()))
				}
			}
		}
		for _, o := range NamesOf(other) {
			if slices.Contains(names, o) {
				c.fault("sources", RuleSource, o+" is a name of "+c.whose(r, ""))
			}
		}
	}
	return c.digestName(v)
}

// whose names another trunk to who may know of it: nothing of other domains is
// told.
func (c *checker) whose(r Ref, what string) string {
	if r.Domain != c.ref.Domain {
		return "another trunk"
	}
	return strings.TrimSpace(what + " of trunk " + r.Name)
}

// digestName keeps what trunks and devices sign in with apart.
func (c *checker) digestName(v Trunk) error {
	if v.Proof != ProofDigest {
		return nil
	}
	key, ok, err := load[TrunkKey](c.v, Ref{c.ref.Domain, KindTrunkKey, c.ref.Name})
	if err != nil || !ok {
		return err
	}
	return c.signsIn(key.Username, "proof")
}

// trunkKey checks what a trunk signs in with.
func (c *checker) trunkKey(k TrunkKey) error {
	ref := Ref{c.ref.Domain, KindTrunk, c.ref.Name}
	v, ok, err := load[Trunk](c.v, ref)
	if err != nil {
		return err
	}
	if !ok {
		return c.refer("", ref)
	}
	if v.Proof != ProofDigest {
		return nil // only we sign in
	}
	return c.signsIn(k.Username, "username")
}

// signsIn finds fault with a username that a device, or another trunk with proof
// digest, of the domain has.
func (c *checker) signsIn(name, path string) error {
	taken, err := c.v.exists(Ref{c.ref.Domain, KindCredential, name})
	if err != nil {
		return err
	}
	if taken {
		c.fault(path, RuleTaken, "a device signs in as "+name)
	}
	other, err := c.digestTrunk(name)
	if other != "" && other != c.ref.Name {
		c.fault(path, RuleTaken, "trunk "+other+" signs in as "+name)
	}
	return err
}

// digestTrunk returns the trunk of the domain that signs in as a username.
func (c *checker) digestTrunk(name string) (string, error) {
	refs, err := c.v.Find(Key{IndexUsername, c.ref.Domain + "/" + name})
	if err != nil {
		return "", err
	}
	found := ""
	for _, r := range refs {
		v, _, err := load[Trunk](c.v, Ref{r.Domain, KindTrunk, r.Name})
		if err != nil {
			return "", err
		}
		if v.Proof == ProofDigest && (found == "" || found == c.ref.Name) {
			found = r.Name
		}
	}
	return found, nil
}
