package b2bua

import (
	"bytes"

	"bellhop/routing"
	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// An invite is what one attempt changes in the caller's INVITE.
type invite struct {
	flow    location.Flow
	id      transaction.ID
	uri     string
	routes  []string // Path of the binding (RFC 3327 §5.3)
	session call.Session
	auth    []byte // header line with our credentials, nil for none
	most    int    // bytes that it may have; 0: any number
	large   bool   // it has more, and was not sent
}

// shown returns From as somebody who is rung sees it.
func (a *anchor) shown(m *wire.Message, id *ring.Identity) string {
	if id == nil {
		return nameOf(m, wire.From)
	}
	if id.Hidden {
		return `"Anonymous" <sip:anonymous@anonymous.invalid>` // RFC 3323 §4.1.1.3
	}
	return quoted(id.Display) + "<" + a.uri(id.User, id.Host) + ">"
}

// uri is a SIP URI of a user; an empty host is the domain's.
func (a *anchor) uri(user, host string) string {
	if host == "" {
		host = a.domain
	}
	return "sip:" + string(wire.AppendEscapedUser(nil, user)) + "@" + host
}

// appendIdentity writes who is shown beside From (RFC 3325, RFC 3323).
func (a *anchor) appendIdentity(dst []byte, id *ring.Identity) []byte {
	if id.Asserted != "" {
		dst = wire.AppendLine(dst, "P-Asserted-Identity", "<"+a.uri(id.Asserted, "")+">")
	}
	if id.Hidden {
		dst = append(dst, "Privacy: id\r\n"...)
	}
	return dst
}

// compose appends the INVITE of a branch: that of the caller, spliced. What it
// says of the caller crosses two borders: into the domain and, over a trunk, out
// of it (trust.md §1).
func (br *branch) compose(dst []byte, m *wire.Message, d *dialog, i *invite) []byte {
	a := br.a
	c := a.b.composer()
	defer a.b.composers.Put(c)
	c.Reset(m)
	c.strip(m)
	c.SetRequestURI([]byte(i.uri))
	c.line = a.b.appendVia(c.line, i.flow, i.id)
	c.line = appendRoutes(c.line, i.routes)
	c.InsertTop(c.line)
	c.name(m, d, []byte("INVITE"))
	n, ok := m.MaxForwards()
	if !ok {
		n = maxForwards + 1
	}
	c.SetMaxForwards(max(n-1, 0))
	auth.Cross(&c.Splice, m, &a.from)
	if !a.sdp && (br.target.Pickup || a.mayFork()) {
		// A reliable 1xx would have the offer (RFC 3262 §5), and nobody to answer it.
		c.unreliable(m)
	}
	outside := br.target.Trunk != ""
	if outside {
		c.RemoveAll(wire.PPreferredIdentity)
		c.drop(m, alerting[:])
	}
	if d.hides {
		c.hide(m)
	}
	c.line = append(c.line[:0], i.auth...)
	if id := br.target.Identity; id != nil {
		for _, f := range [...]wire.Field{wire.PAssertedIdentity, wire.PPreferredIdentity, wire.RemotePartyID, wire.Privacy, wire.Identity} {
			c.RemoveAll(f)
		}
		c.line = a.appendIdentity(c.line, id)
	}
	if a.urgent() {
		c.RemoveAll(wire.Priority)
		c.line = a.appendHelp(c.line)
	}
	c.line = auth.AppendHistory(c.line, a.hops, a.domain)
	alert := br.target.Alert
	if alert == "" && !br.target.Pickup { // it rings no more
		alert = br.alert
	}
	if alert != "" && !outside {
		c.RemoveAll(wire.AlertInfo)
		c.line = wire.AppendLine(c.line, "Alert-Info", alert)
	}
	c.line = wire.AppendLine(c.line, "Contact", d.contact)
	c.line = appendSession(c.line, i.session, false)
	c.Append(c.line)
	return c.AppendTo(dst)
}

// mayFork reports whether another branch may answer in the place of one.
func (a *anchor) mayFork() bool {
	n := 0
	for i := range a.rings.Stages {
		n += len(a.rings.Stages[i].Targets)
	}
	return n != 1 || a.rings.Outcomes != (routing.Outcomes{})
}

// unreliable takes 100rel out of what a request supports and requires.
func (c *composer) unreliable(m *wire.Message) {
	for _, f := range [...]wire.Field{wire.Supported, wire.Require} {
		for v := range m.All(f) {
			if bytes.EqualFold(v.Bytes(), []byte("100rel")) {
				c.Remove(v)
			}
		}
	}
}
