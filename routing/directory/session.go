package directory

import (
	"errors"
	"net/netip"
	"time"
)

// Errors that every store of documents, sessions and tokens gives, wrapped.
var (
	ErrNotFound = errors.New("not found")
	ErrVersion  = errors.New("version has changed") // Write.IfMatch did not hold
	ErrExists   = errors.New("exists already")      // Write.Create did not hold
)

// A Query pages through a list, in the order of names.
type Query struct {
	Limit  int    // at most this many, 0: the store's own limit
	Cursor string // from where the last page ended; "" starts
	Q      string // only documents whose name or body contains it, "" all
}

// A Role is what a person or a token may do (trust.md §2).
type Role string

// The roles, from least to most. The zero Role is a user.
const (
	RoleUser        Role = "user"
	RoleDomainAdmin Role = "domain-admin"
	RoleSystemAdmin Role = "system-admin" // outside domains
)

// Rank orders roles: user 1, domain-admin 2, system-admin 3, anything else 0.
func (r Role) Rank() int {
	switch r {
	case RoleUser, "":
		return 1
	case RoleDomainAdmin:
		return 2
	case RoleSystemAdmin:
		return 3
	default:
		return 0
	}
}

// A Hash is the SHA-256 of the secret of a session or a token: all that is
// stored of it.
type Hash [32]byte

// A Session is one sign-in. Domain is "" for a system-admin.
type Session struct {
	Hash       Hash
	ID         string // names it in lists, says nothing of the secret
	Domain     string
	User       string
	Role       Role
	MustChange bool // it may do nothing but change the password
	Created    time.Time
	Seen       time.Time // last use, coarse
	Expires    time.Time // whatever happens
	From       string    // address at sign-in
	UserAgent  string
}

// A Token is an API token. Domain is "" for a system-admin's.
type Token struct {
	Hash     Hash
	Name     string // unique in Domain
	Domain   string
	Role     Role
	Networks []netip.Prefix // it works from these only; none: from everywhere
	Created  time.Time
	Expires  time.Time // zero: never
	LastUsed time.Time // coarse
	Actor    string    // who made it
}
