package directory

import (
	"iter"
	"slices"
)

// An Index is one of the small tables in which documents are found by what they
// hold.
type Index string

// The indices.
const (
	IndexHost   Index = "host"   // a domain by its name and each alias; one document a key
	IndexPublic Index = "public" // a number by its E.164 number; one document a key
	IndexUser   Index = "user"   // numbers and devices by "domain/user"
	IndexLine   Index = "line"   // devices, users and groups by "domain/number"
	IndexClass  Index = "class"  // domains, sites and numbers by "domain/class"
	IndexSite   Index = "site"   // numbers by "domain/site"
	IndexDevice Index = "device" // credentials, users, speed dials and activations by "domain/device"
	IndexOwner  Index = "owner"  // remote destinations by "domain/user"; they go with the user
	IndexReach  Index = "reach"  // remote destinations by "domain/number", as it is kept
	// IndexUsername finds the credentials of trunks by "domain/username".
	IndexUsername Index = "username"
	IndexCode     Index = "code"  // users by "domain/code" of their conference
	IndexTrunk    Index = "trunk" // trunks by "domain", and all of the system by "*"
)

// AllTrunks is the value of [IndexTrunk] under which every trunk is found.
const AllTrunks = "*"

// A Key is an entry of an index.
type Key struct {
	Index Index
	Value string
}

// Keys returns the index entries of a document. A store keeps exactly these,
// written in the transaction that writes the document.
func Keys(ref Ref, body []byte) []Key {
	if body == nil {
		return nil
	}
	in := func(ix Index, name string) Key { return Key{ix, ref.Domain + "/" + name} }
	var keys []Key
	add := func(k Key, name string) {
		if name != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	v, _ := Decode(ref.Kind, body)
	switch v := v.(type) {
	case Domain:
		add(Key{IndexHost, ref.Name}, ref.Name)
		for _, a := range v.Aliases {
			add(Key{IndexHost, a}, a)
		}
		for _, c := range []string{v.Defaults.ClassOfService, v.Defaults.ForwardingClass} {
			add(Key{IndexClass, ref.Name + "/" + c}, c)
		}
	case Site:
		add(in(IndexClass, v.ClassOfService), v.ClassOfService)
	case User:
		for _, n := range v.Numbers {
			add(in(IndexLine, n), n)
		}
		add(in(IndexDevice, v.PrimaryDevice), v.PrimaryDevice)
		add(in(IndexCode, v.ConferenceCode), v.ConferenceCode)
	case Number:
		add(Key{IndexPublic, v.Public}, v.Public)
		add(in(IndexUser, v.User), v.User)
		add(in(IndexSite, v.Site), v.Site)
		add(in(IndexClass, v.ClassOfService), v.ClassOfService)
		add(in(IndexClass, v.ForwardingClass), v.ForwardingClass)
	case Device:
		add(in(IndexUser, v.User), v.User)
		for _, l := range v.Lines {
			add(in(IndexLine, l.Number), l.Number)
		}
	case Group:
		for _, n := range append(slices.Clone(v.Members), v.Number) {
			add(in(IndexLine, n), n)
		}
	case RemoteDestination:
		user, _ := SplitRemote(ref.Name)
		add(in(IndexOwner, user), user)
		add(in(IndexReach, v.Number), v.Number)
		for _, n := range v.Numbers {
			add(in(IndexLine, n), n)
		}
	case Trunk:
		add(Key{IndexTrunk, ref.Domain}, ref.Domain)
		add(Key{IndexTrunk, AllTrunks}, AllTrunks)
	case TrunkKey:
		add(in(IndexUsername, v.Username), v.Username)
	case Secret:
		add(in(IndexDevice, v.Device), v.Device)
	case SpeedDial:
		device, _ := SplitRemote(ref.Name)
		add(in(IndexDevice, device), device)
	case Activation:
		add(Key{IndexDevice, v.Domain + "/" + v.Device}, v.Device)
	}
	return keys
}

// A View is the directory as one transaction sees it.
type View interface {
	// Get returns a document; false when there is none.
	Get(ref Ref) (Document, bool, error)
	// Find returns the documents that have a key (see [Keys]), in any order.
	Find(key Key) ([]Ref, error)
	// List yields the documents of a kind, "" for all kinds; of a domain.
	List(domain string, kind Kind) iter.Seq2[Ref, error]
}

// A TenantView is a view that knows compiled domains, by the hosts that they answer
// for. It says no more of them than their documents say now.
type TenantView interface {
	View
	Tenant(host string) (*Tenant, bool)
}

// Dependents returns the documents that may go when ref is deleted. A store
// deletes those that exist in the same transaction.
func Dependents(v View, ref Ref) ([]Ref, error) {
	of := func(kinds ...Kind) []Ref {
		out := make([]Ref, 0, len(kinds))
		for _, k := range kinds {
			out = append(out, Ref{ref.Domain, k, ref.Name})
		}
		return out
	}
	name := ref.Domain + "/" + ref.Name
	switch ref.Kind {
	case KindNumber:
		return of(KindForwarding), nil
	case KindUser:
		return found(v, of(KindDND, KindPresence, KindPresenceTo, KindCallMe, KindSignIn, KindPIN), Key{IndexOwner, name}, KindRemote)
	case KindDevice: // credentials under other usernames too
		return found(v, of(KindCredential), Key{IndexDevice, name}, KindCredential, KindSpeedDial, KindActivation)
	case KindTrunk:
		return of(KindTrunkKey), nil
	case KindDomain, KindSite, KindGroup, KindClass, KindForwarding, KindDND, KindPresence, KindPresenceTo,
		KindCallMe, KindRemote, KindCredential, KindTrunkKey, KindSignIn, KindPIN, KindSpeedDial, KindActivation, KindChange:
		return nil, nil
	default:
		return nil, nil
	}
}

// found adds the documents of some kinds under a key to refs.
func found(v View, refs []Ref, key Key, kinds ...Kind) ([]Ref, error) {
	more, err := v.Find(key)
	for _, r := range more {
		if slices.Contains(kinds, r.Kind) && !slices.Contains(refs, r) {
			refs = append(refs, r)
		}
	}
	return refs, err
}

// load reads a document into its type; false when there is none. A stored
// document with faults is read as far as it goes: rules may have become
// stricter since it was written.
func load[T any](v View, ref Ref) (t T, ok bool, err error) {
	doc, ok, err := v.Get(ref)
	if err != nil || !ok || doc.Body == nil {
		return t, false, err
	}
	val, _ := Decode(ref.Kind, doc.Body)
	t, ok = val.(T)
	return t, ok, nil
}

// Assume returns v as it would be after writes, which are not checked. A nil v
// is an empty directory. POST /v1/explain decides in such a view.
func Assume(v View, ws []Write) View { return newOverlay(v, ws) }

// An overlay is a View after writes that are not in it yet.
type overlay struct {
	base   View
	writes map[Ref][]byte
	keys   map[Key][]Ref
}

func newOverlay(base View, ws []Write) *overlay {
	o := &overlay{base: base, writes: map[Ref][]byte{}, keys: map[Key][]Ref{}}
	for _, w := range ws {
		o.writes[w.Ref] = w.Body
	}
	for ref, body := range o.writes {
		for _, k := range Keys(ref, body) {
			o.keys[k] = append(o.keys[k], ref)
		}
	}
	return o
}

// Get implements View.
func (o *overlay) Get(ref Ref) (Document, bool, error) {
	if body, ok := o.writes[ref]; ok {
		return Document{Ref: ref, Body: body}, body != nil, nil
	}
	if o.base == nil {
		return Document{}, false, nil
	}
	return o.base.Get(ref)
}

// Find implements View.
func (o *overlay) Find(key Key) ([]Ref, error) {
	var refs []Ref
	if o.base != nil {
		var err error
		if refs, err = o.base.Find(key); err != nil {
			return nil, err
		}
	}
	out := slices.Clone(o.keys[key])
	for _, ref := range refs {
		if _, ok := o.writes[ref]; !ok {
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, compareRefs)
	return out, nil
}

// List implements View.
func (o *overlay) List(domain string, kind Kind) iter.Seq2[Ref, error] {
	return func(yield func(Ref, error) bool) {
		for ref, body := range o.writes {
			if body != nil && ref.Domain == domain && (kind == "" || ref.Kind == kind) && !yield(ref, nil) {
				return
			}
		}
		if o.base == nil {
			return
		}
		for ref, err := range o.base.List(domain, kind) {
			if _, ok := o.writes[ref]; !ok && !yield(ref, err) {
				return
			}
		}
	}
}

func (o *overlay) exists(ref Ref) (bool, error) {
	_, ok, err := o.Get(ref)
	return ok, err
}
