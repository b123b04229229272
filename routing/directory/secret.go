package directory

import "time"

// A Secret is the stored secret of a device: a document of [KindCredential],
// whose name is the username of the digest. It is never in history.
type Secret struct {
	ID      string    `json:"id"`
	Device  string    `json:"device"` // whose it is
	Sealed  []byte    `json:"sealed"` // by the key ring
	Expires time.Time `json:"expires,omitzero"`
	Origin  string    `json:"origin,omitempty"` // who made it: api, demo, softphone
}

// A SignIn is how a user proves who they are; a document of [KindSignIn], never
// in history.
type SignIn struct {
	Hash       string    `json:"hash"`               // argon2id, PHC string
	Previous   []string  `json:"previous,omitempty"` // of the last passwords, newest first
	Changed    time.Time `json:"changed,omitzero"`
	MustChange bool      `json:"must_change,omitempty"`
	LastLogin  time.Time `json:"last_login,omitzero"`
}

// KeepPasswords is how many former passwords may not be used again.
const KeepPasswords = 5
