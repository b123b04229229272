package proxy

import (
	"bellhop/routing"
	"bellhop/sip/wire"
)

// A treatment is what happens to a field at a border.
type treatment uint8

const (
	keep treatment = iota
	drop
)

// border is the table of trust.md §1: which fields of a request from an origin
// pass into the domain. A device asserts nothing about its identity (RFC 3325
// §5): it is known by its credentials. Fields that are not listed pass.
var border = []struct { //nolint:gochecknoglobals // a table
	field                   wire.Field
	stranger, device, trunk treatment
}{
	{wire.PAssertedIdentity, drop, drop, drop},
	{wire.PPreferredIdentity, drop, keep, drop},
	{wire.RemotePartyID, drop, drop, drop},
	{wire.Diversion, drop, drop, drop},
	{wire.HistoryInfo, drop, drop, drop},
	{wire.AlertInfo, drop, keep, drop},
	{wire.CallInfo, drop, keep, drop},
	{wire.AnswerMode, drop, keep, drop},
}

// cross removes what may not cross the border from origin.
func (c *composer) cross(m *wire.Message, origin routing.Origin) {
	for _, row := range border {
		t := row.stranger
		switch origin {
		case routing.OriginDevice:
			t = row.device
		case routing.OriginTrunk:
			t = row.trunk
		case routing.OriginNode:
			t = keep
		case routing.OriginStranger:
		default:
		}
		if t == drop && m.Has(row.field) {
			c.RemoveAll(row.field)
		}
	}
}
