package auth

import (
	"bellhop/routing"
	"bellhop/sip/wire"
)

// A treatment is what happens to a field at a border.
type treatment uint8

const (
	keep treatment = iota
	drop
	ifTrusted // kept of a trunk that is trusted for it
)

// border is the table of trust.md §1: which fields of a request from an origin
// pass into the domain. A device asserts nothing about its identity (RFC 3325
// §5): it is known by its credentials. Fields that are not listed pass.
var border = []struct { //nolint:gochecknoglobals // a table
	field                   wire.Field
	stranger, device, trunk treatment
}{
	{wire.PAssertedIdentity, drop, drop, ifTrusted},
	{wire.PPreferredIdentity, drop, keep, ifTrusted},
	{wire.RemotePartyID, drop, drop, ifTrusted},
	{wire.Diversion, drop, drop, ifTrusted},
	{wire.HistoryInfo, drop, drop, ifTrusted},
	{wire.AlertInfo, drop, keep, drop},
	{wire.CallInfo, drop, keep, drop},
	{wire.AnswerMode, drop, keep, drop},
}

// Cross takes out of m, as sp forwards it, what may not cross the border into the
// domain from who sent it. Who we are and who was diverted a trunk may say that is
// trusted for it.
func Cross(sp *wire.Splice, m *wire.Message, from *From) {
	for _, row := range border {
		t := row.stranger
		switch from.Origin {
		case routing.OriginDevice:
			t = row.device
		case routing.OriginTrunk:
			t = row.trunk
		case routing.OriginNode:
			t = keep
		case routing.OriginStranger:
		default:
		}
		if (t == drop || t == ifTrusted && !from.Trunk.Trusted) && m.Has(row.field) {
			sp.RemoveAll(row.field)
		}
	}
}

// DropCredentials takes out those credentials that are for realm: they are ours
// and go no further (RFC 3261 §16.6 step 7, trust.md §1).
func DropCredentials(sp *wire.Splice, m *wire.Message, realm string) {
	if realm == "" {
		return
	}
	for _, f := range [...]wire.Field{wire.Authorization, wire.ProxyAuthorization} {
		if !m.Has(f) {
			continue
		}
		for v := range m.All(f) {
			if a, ok := wire.ParseAuth(v.Bytes()); ok {
				if r, ok := a.Param("realm"); ok && isQuoted(r, realm) {
					sp.Remove(v)
				}
			}
		}
	}
}

// isQuoted reports whether b is text, as it is or as a quoted-string.
func isQuoted(b []byte, text string) bool {
	if len(b) == len(text)+2 && b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	return string(b) == text
}
