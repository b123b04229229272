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
	User        string    // its user, "" for none
	Kind        string    // desk, soft, browser
	Username    string    // what the device signs in as: its name, or that of a browser's session
	Sealed      []byte    // the secret, sealed with SealCredential and CredentialAAD
	Expires     time.Time // zero: never
	Lines       []string  // the numbers it may be, the first one first
	TLSRequired bool
}

// Usable reports whether the credential holds at now.
func (c *Credential) Usable(now time.Time) bool {
	return len(c.Sealed) > 0 && (c.Expires.IsZero() || now.Before(c.Expires))
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
