package auth

import (
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"sync/atomic"

	"bellhop/routing/directory"
)

const vaultWays = 4

// A vault derives HA1s from sealed secrets and keeps them in memory, in a table
// of fixed size: opening a secret costs more than checking a digest. It is
// keyed by the sealed bytes, so a secret that changed is another one.
type vault struct {
	keys  Keys
	seed  maphash.Seed
	slots []atomic.Pointer[ha1] // in sets of vaultWays
	// decoy stands for users that do not exist, so that a wrong password and an
	// unknown user take the same steps. Nobody knows its secret.
	decoy       *ha1
	decoySealed []byte
}

// newVault returns a vault with room for about size devices.
func newVault(keys Keys, size int) *vault {
	n := vaultWays
	for n < size {
		n *= 2
	}
	v := &vault{keys: keys, seed: maphash.MakeSeed(), slots: make([]atomic.Pointer[ha1], n)}
	v.decoySealed = make([]byte, 64)
	_, _ = rand.Read(v.decoySealed) // never fails (crypto/rand)
	v.decoy = newHA1("", "", v.decoySealed)
	return v
}

// ha1 returns the HA1 of a credential of domain.
func (v *vault) ha1(c *directory.Credential, domain, realm string) (*ha1, error) {
	sealed := c.Sealed
	set := v.set(sealed)
	if h := lookup(set, c, realm); h != nil {
		return h, nil
	}
	purpose, aad := c.Seal(domain)
	secret, err := v.keys.Open(purpose, sealed, aad)
	if err != nil {
		return nil, fmt.Errorf("auth: open the credential of %s: %w", c.Device, err)
	}
	h := newHA1(c.Username, realm, secret)
	clear(secret)
	h.sealed, h.username = string(sealed), c.Username
	place(set, h)
	return h, nil
}

// unknown returns the decoy, by the same steps as ha1 takes for a device.
func (v *vault) unknown() *ha1 {
	c := directory.Credential{Sealed: v.decoySealed}
	if h := lookup(v.set(c.Sealed), &c, ""); h != nil {
		return h
	}
	return v.decoy
}

func (v *vault) set(sealed []byte) []atomic.Pointer[ha1] {
	i := int(maphash.Bytes(v.seed, sealed)) & (len(v.slots) - 1) &^ (vaultWays - 1)
	return v.slots[i : i+vaultWays]
}

func lookup(set []atomic.Pointer[ha1], c *directory.Credential, realm string) *ha1 {
	for i := range set {
		h := set[i].Load()
		if h != nil && h.sealed == string(c.Sealed) && h.username == c.Username && h.realm == realm {
			return h
		}
	}
	return nil
}

// place puts h into a free slot of its set, or in the place of another.
func place(set []atomic.Pointer[ha1], h *ha1) {
	for i := range set {
		if set[i].CompareAndSwap(nil, h) {
			return
		}
	}
	set[int(h.md5[0])%len(set)].Store(h)
}
