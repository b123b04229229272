// Package directory is what is provisioned: domains, sites, users, numbers,
// devices, groups, trunks and classes, one type each with its JSON form, its
// validation, its policies, and the compiled value that routing decides with.
//
// It is pure: no I/O, no clock, no goroutine.
package directory

import (
	"strconv"
	"strings"
	"time"
)

// A Kind is a kind of document; it is also the path segment of the API.
type Kind string

// The kinds. A settings document of a number or a user is a kind of its own,
// so that each has a version, an ETag and a history.
const (
	KindDomain     Kind = "domains"
	KindSite       Kind = "sites"
	KindUser       Kind = "users"
	KindNumber     Kind = "numbers"
	KindDevice     Kind = "devices"
	KindGroup      Kind = "groups"
	KindTrunk      Kind = "trunks"
	KindClass      Kind = "classes"
	KindForwarding Kind = "forwarding" // of a number; Name is the number
	KindDND        Kind = "dnd"        // of a user
	KindPresence   Kind = "presence"   // of a user
	KindPresenceTo Kind = "presence-forwarding"
	KindCallMe     Kind = "callme"              // of a user
	KindRemote     Kind = "remote-destinations" // of a user; Name is "user/id" (see [RemoteName])
	KindCredential Kind = "credentials"         // of a device; sealed
	KindTrunkKey   Kind = "trunk-credentials"   // of a trunk, whose name it has; sealed
	KindSignIn     Kind = "sign-ins"            // of a user: password hash and history; never in history
	KindPIN        Kind = "pins"                // of a user; never in history
	KindSpeedDial  Kind = "speed-dials"         // of a device; Name is "device/position"
	KindActivation Kind = "activations"         // of a device; Domain is ""; never in history
	KindChange     Kind = "changes"             // what is written at a later time; Domain is ""
)

// A Ref names a document. Domain is the canonical domain name; it is "" for
// users of the system and for the list of domains (whose Name is the domain).
type Ref struct {
	Domain string
	Kind   Kind
	Name   string
}

// String returns domain/kind/name.
func (r Ref) String() string { return r.Domain + "/" + string(r.Kind) + "/" + r.Name }

// A Version orders the documents of a domain: (store epoch, n), the epoch
// compared first (trust.md §3). Its text form "e.n" is the ETag.
type Version struct {
	Epoch uint32
	N     uint64
}

// String returns "e.n".
func (v Version) String() string {
	return strconv.FormatUint(uint64(v.Epoch), 10) + "." + strconv.FormatUint(v.N, 10)
}

// IsZero reports whether v is no version.
func (v Version) IsZero() bool { return v == Version{} }

// Compare orders versions, the epoch first.
func (v Version) Compare(w Version) int {
	switch {
	case v.Epoch != w.Epoch && v.Epoch < w.Epoch, v.Epoch == w.Epoch && v.N < w.N:
		return -1
	case v == w:
		return 0
	default:
		return 1
	}
}

// ParseVersion reads what [Version.String] wrote.
func ParseVersion(s string) (Version, bool) {
	e, n, ok := strings.Cut(s, ".")
	epoch, err1 := strconv.ParseUint(e, 10, 32)
	num, err2 := strconv.ParseUint(n, 10, 64)
	return Version{Epoch: uint32(epoch), N: num}, ok && err1 == nil && err2 == nil
}

// A Document is one stored thing: JSON under a version.
type Document struct {
	Ref
	Version Version
	Body    []byte // canonical JSON; nil in the history row of a deletion
	At      time.Time
	Actor   string // who wrote it
	From    string // from which address
}

// A Write is one change of a transaction. Body nil deletes.
type Write struct {
	Ref
	Body    []byte
	IfMatch Version // zero: any; otherwise the version it must have, else ErrVersion
	Create  bool    // it must not exist yet (If-None-Match: *)
}

// An Author says who changes something, from where.
type Author struct {
	Actor string // "ana@bellhop.test", "token:ops", "demo"
	From  string // address of the peer
}

// A Fault is one thing wrong with an input: where, by which rule, and in words.
type Fault struct {
	Location string `json:"location"` // JSON path: "forwarding.all.internal.target"
	Message  string `json:"message"`
	Rule     string `json:"rule"`
	Of       Ref    `json:"-"` // the document at fault, where several are checked at once
}

// An Invalid is an input that breaks rules: all of them at once.
type Invalid struct {
	Rule   string // the problem type: rule of the first fault
	Faults []Fault
}

// Error implements error.
func (e *Invalid) Error() string {
	var b strings.Builder
	for i, f := range e.Faults {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Location + ": " + f.Message + " (" + f.Rule + ")")
	}
	return b.String()
}
