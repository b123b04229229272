package directory

import (
	"net/netip"
	"time"
)

// A Secret is the stored secret of a device: a document of [KindCredential],
// whose name is the username of the digest. It is never in history.
type Secret struct {
	ID      string    `json:"id"`
	Device  string    `json:"device"` // whose it is
	Sealed  []byte    `json:"sealed"` // by the key ring
	Expires time.Time `json:"expires,omitzero"`
	Origin  string    `json:"origin,omitempty"` // who made it: api, demo, softphone
}

// A Credential is all that a request of a device may be checked against:
// compiled from its [Secret], the device and the domain.
type Credential struct {
	Domain      string
	Realm       string
	Device      string // authorization name
	Username    string // of the digest; the device's name unless it is a session's
	User        string
	Kind        string // desk, soft, browser
	Sealed      []byte
	Expires     time.Time // zero: never
	Lines       []string  // its numbers, the first line first
	TLSRequired bool
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

// A Session is a signed-in user. The key under which it is stored is Hash.
type Session struct {
	Hash       string    `json:"hash"` // SHA-256 of the secret, hex
	Domain     string    `json:"domain"`
	User       string    `json:"user"`
	Role       Role      `json:"role"`
	Bearer     bool      `json:"bearer,omitempty"` // ?as=token, else a cookie
	Created    time.Time `json:"created"`
	LastSeen   time.Time `json:"last_seen"`
	Expires    time.Time `json:"expires"` // at the latest
	From       string    `json:"from,omitempty"`
	Agent      string    `json:"agent,omitempty"`
	MustChange bool      `json:"must_change,omitempty"` // may change its password and nothing else
}

// A Token is an API token. The key under which it is stored is Hash.
type Token struct {
	ID       string         `json:"id"`
	Hash     string         `json:"hash"` // SHA-256 of the secret, hex
	Name     string         `json:"name"`
	Role     Role           `json:"role"`
	Domain   string         `json:"domain,omitempty"` // "" for a system-admin
	User     string         `json:"user,omitempty"`   // of a token with the role user
	Networks []netip.Prefix `json:"networks,omitempty"`
	Created  time.Time      `json:"created"`
	Creator  string         `json:"creator,omitempty"`
	Expires  time.Time      `json:"expires,omitzero"`
	LastUsed time.Time      `json:"last_used,omitzero"`
}

// A Query narrows a list of documents.
type Query struct {
	Limit  int    // 0: the default of the store
	Cursor string // of the page before; "" for the first
	Q      string // substring of name or body, case-insensitive
}
