package binding

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"bellhop/routing/location"
)

// contacts finds the AOR of a Contact whose user part is not that of the AOR, as of
// browsers and of phones that make one up: what is dialled when a device hands on the
// address of another (rule dial.contact).
type contacts struct {
	seed   maphash.Seed
	shards [shards]contactShard
}

type contactShard struct {
	mu sync.Mutex // guards at; taken with a shard of the table held
	at map[uint64]location.AOR
}

func newContacts() *contacts {
	c := &contacts{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].at = make(map[uint64]location.AOR)
	}
	return c
}

// key is what a spot in a domain is kept under. Two that share one among 2^64 would
// be told apart by the bindings.
func (c *contacts) key(domain string, s location.Spot) uint64 {
	return maphash.Comparable(c.seed, struct {
		domain string
		spot   location.Spot
	}{domain, s})
}

// change keeps the contacts of bs, which are those of a, instead of the ones under
// the keys old, and returns their keys. A contact that another AOR has is left to it:
// nobody takes over what somebody else is called.
func (c *contacts) change(a location.AOR, old []uint64, bs location.Bindings) []uint64 {
	var room [4]uint64
	keys := room[:0]
	for i := range bs {
		if s, ok := location.SpotOf(bs[i].Contact); ok && s.User() != a.User() {
			keys = append(keys, c.key(a.Domain(), s))
		}
	}
	if slices.Equal(keys, old) {
		return old
	}
	for _, k := range old {
		if slices.Contains(keys, k) {
			continue
		}
		sh := &c.shards[k%shards]
		sh.mu.Lock()
		if sh.at[k] == a {
			delete(sh.at, k)
		}
		sh.mu.Unlock()
	}
	for _, k := range keys {
		sh := &c.shards[k%shards]
		sh.mu.Lock()
		if _, taken := sh.at[k]; !taken {
			sh.at[k] = a
		}
		sh.mu.Unlock()
	}
	return slices.Clone(keys)
}

// AtContact returns the number and the instance of the device of a domain that
// registered a Contact: what the Instance of a target is, without angle brackets. Of
// several it is the one whose number is the user part. It never waits.
func (t *Table) AtContact(domain, uri string) (number, instance string, ok bool) {
	s, ok := location.SpotOf(uri)
	if !ok {
		return "", "", false
	}
	k := t.contacts.key(domain, s)
	sh := &t.contacts.shards[k%shards]
	sh.mu.Lock()
	other := sh.at[k]
	sh.mu.Unlock()
	named, err := location.NewAOR(s.User(), domain)
	for _, a := range [...]location.AOR{named, other} {
		if a.IsZero() || a == named && err != nil {
			continue
		}
		var room [4]location.Binding
		if b := t.AppendBindings(room[:0], a, time.Now()).At(s, uri); b != nil {
			return a.User(), strings.Trim(cmp.Or(b.Instance, b.Contact), "<>"), true
		}
	}
	return "", "", false
}
