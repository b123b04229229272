package directory

import (
	"errors"
	"net/netip"
	"time"
)

// What a store answers with. Callers test with errors.Is.
var (
	ErrNotFound = errors.New("directory: not found")
	ErrVersion  = errors.New("directory: somebody else was faster")
	ErrExists   = errors.New("directory: exists already")
	// ErrUnavailable reports a store that cannot read or save now, for a full disk
	// for one: nothing was changed.
	ErrUnavailable = errors.New("directory: the store is unavailable")
)

// A Role says what a signed-in user or a token may do (trust.md §2).
type Role string

// The roles.
const (
	RoleUser        Role = "user"
	RoleDomainAdmin Role = "domain-admin"
	RoleSystemAdmin Role = "system-admin" // outside domains
)

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
