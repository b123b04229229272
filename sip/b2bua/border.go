package b2bua

import (
	"bellhop/sip/auth"
	"bellhop/sip/wire"
)

// outside reports whether the end is beyond the domains of this system.
func (d *dialog) outside() bool { return d.stranger || d.side.Kind == auth.Trunk }

// said are the fields that say who somebody is or was called by. Within a call
// they end here: we say once, in the first INVITE, who is shown to whom, and no
// caller learns by a response where its call went (trust.md §1, RFC 3325 §5).
var said = [...]wire.Field{ //nolint:gochecknoglobals // a table
	wire.PAssertedIdentity, wire.PPreferredIdentity, wire.RemotePartyID, wire.Identity, wire.Diversion, wire.HistoryInfo,
}

// alerting are the fields by which a phone is told what to fetch, show or do.
var alerting = [...]wire.Field{wire.AlertInfo, wire.CallInfo, wire.AnswerMode} //nolint:gochecknoglobals // a table

// cross takes out of a message within a call, or of a response, what may not go
// from one leg to the other.
func (c *composer) cross(m *wire.Message, from, to *dialog) {
	c.drop(m, said[:])
	if from.outside() || to.outside() {
		c.drop(m, alerting[:])
	}
	if to.hides && m.IsRequest() {
		c.hide(m)
	}
}

func (c *composer) drop(m *wire.Message, fields []wire.Field) {
	for _, f := range fields {
		if m.Has(f) {
			c.RemoveAll(f)
		}
	}
}

// hide takes out what names a caller that is to be nobody, beside what is ours
// (RFC 3323 §4.1, §5.3).
func (c *composer) hide(m *wire.Message) {
	c.drop(m, []wire.Field{wire.CallInfo, wire.ReferredBy, wire.Geolocation})
	for _, name := range [...]string{"Reply-To", "Organization", "In-Reply-To", "Identity-Info", "P-Access-Network-Info"} {
		for v := range m.Named(name) {
			c.Remove(v)
		}
	}
}
