package directory

import "time"

// SealCredential is the purpose under which the secrets of devices are sealed
// with the key ring (store/keyring).
const SealCredential = "device credential"

// CredentialAAD returns the additional data of a sealed secret: the place it
// belongs to, so that it opens nowhere else.
func CredentialAAD(domain, device, username string) []byte {
	return []byte(domain + "/" + device + "/" + username)
}

// A Credential is all that a request of a device is checked against, compiled
// from the documents of the device and of its credential. It is a value: who
// holds one never changes what it refers to.
type Credential struct {
	Device      string    // the device's name
	Trunk       string    // the trunk that signs in with it (proof digest); "" for a device
	User        string    // its user, "" for none
	Kind        string    // desk, soft, browser
	Username    string    // what the device signs in as: its name, or that of a browser's session
	Sealed      []byte    // the secret, sealed with SealCredential and CredentialAAD; a trunk's as [TrunkKey] says
	Expires     time.Time // zero: never
	Lines       []string  // the numbers it may be, the first one first
	TLSRequired bool
}

// Usable reports whether the credential holds at now.
func (c *Credential) Usable(now time.Time) bool {
	return len(c.Sealed) > 0 && (c.Expires.IsZero() || now.Before(c.Expires))
}

// Seal returns the purpose and the additional data under which the secret of a
// credential of domain is sealed.
func (c *Credential) Seal(domain string) (purpose string, aad []byte) {
	if c.Trunk != "" {
		return SealTrunk, TrunkAAD(domain, c.Trunk)
	}
	return SealCredential, CredentialAAD(domain, c.Device, c.Username)
}

// Line returns the number that user, the user part of From or To, means for the
// device: one of its lines, or its first line when user is the device's own name
// (behaviour.md §1).
func (c *Credential) Line(user string) (number string, ok bool) {
	if len(c.Lines) > 0 && user == c.Device {
		return c.Lines[0], true
	}
	for _, n := range c.Lines {
		if n == user {
			return n, true
		}
	}
	return "", false
}
