package sip

import (
	"bytes"
	"slices"
	"strings"

	"bellhop/routing"
	"bellhop/sip/auth"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// inbound returns the trunk that a request outside of dialogs comes from, by what
// needs no challenge. A trunk does not register with us; what comes down the flow
// of a registered device is the device's, whatever its address (trust.md §1).
func (s *Server) inbound(p *transport.Packet) (auth.Origin, bool) {
	if p.Msg.Method() == wire.Register {
		return auth.Origin{}, false
	}
	o, ok := s.trunks.Match(p)
	if !ok || !o.Contact && s.location.Registered(p.Flow) {
		return auth.Origin{}, false
	}
	return o, true
}

// trunkMethods is what a trunk is told that it may send.
const trunkMethods = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO\r\n"

// ofTrunk admits a request of a trunk: calls, and questions about ourselves.
func (s *Server) ofTrunk(p *transport.Packet, o auth.Origin, uri wire.URI, uriOK bool) (a admission) {
	p.Peer.Prove(transport.Proven)
	m := &p.Msg
	if a.status = s.valid(p, &a); a.status != 0 {
		return a
	}
	switch m.Method() {
	case wire.Invite:
	case wire.Options: // to our Contact, or to any number: it asks whether we are there
		a.status, a.lines = 200, []byte(trunkMethods+"Accept: application/sdp\r\n")
		return a
	default:
		a.status, a.lines = 405, []byte(trunkMethods)
		return a
	}
	a.from = auth.From{Origin: routing.OriginTrunk, Domain: o.Domain, Trunk: o}
	if t, ok := s.tenants.Tenant([]byte(o.Domain)); ok {
		a.from.Realm = t.Realm
	}
	a.from.Caller.Number = calling(m, o.Trusted)
	if !uriOK || !sipScheme(uri.Scheme) && !bytes.EqualFold(uri.Scheme, []byte("tel")) {
		a.status = 416
		return a
	}
	popped, ok := s.ends.Popped(p)
	if !ok {
		a.status, a.reason = 403, "Route Not Ours"
		return a
	}
	a.popped = popped
	target := userPart(uri.User)
	if o.Contact {
		target = number(m, wire.To)
	}
	if target == "" {
		a.status = 404
		return a
	}
	a.visit = routing.Visit{
		Origin: routing.OriginTrunk, Domain: o.Domain, Trunk: o.Trunk, Method: "INVITE", Caller: a.from.Caller,
		Target: target, Diverted: diverted(m, target),
	}
	return a
}

// calling is the number of the caller: what a trusted trunk asserts (RFC 3325
// §9.1), else From.
func calling(m *wire.Message, trusted bool) string {
	if trusted {
		for v := range m.All(wire.PAssertedIdentity) {
			if n := numberIn(v.Bytes()); n != "" {
				return n
			}
		}
	}
	return number(m, wire.From)
}

func number(m *wire.Message, f wire.Field) string {
	v, _ := m.Get(f)
	return numberIn(v.Bytes())
}

// numberIn is the user part of a name-addr or addr-spec, "" when it has none.
func numberIn(b []byte) string {
	n, ok := wire.ParseNameAddr(b)
	if !ok {
		return ""
	}
	u, ok := wire.ParseURI(n.URI)
	if !ok {
		return ""
	}
	return userPart(u.User)
}

// userPart is a user part, unescaped and without the parameters of a telephone
// number: "+4989;npdi" is a number (RFC 3261 §19.1.6).
func userPart(b []byte) string {
	user, _, _ := strings.Cut(string(wire.AppendUnescaped(nil, b)), ";")
	return user
}

// maxDiverted is how many numbers that a call went through are looked at; a call
// that went through more is one that must end soon anyway (forward.too-many).
const maxDiverted = 20

// diverted returns the numbers that a trunk says the call was diverted by. The
// last entry of History-Info is where it goes now (RFC 7044 §9).
func diverted(m *wire.Message, called string) []string {
	var out, history []string
	for v := range m.All(wire.Diversion) {
		out = append(out, numberIn(v.Bytes()))
	}
	for v := range m.All(wire.HistoryInfo) {
		history = append(history, numberIn(v.Bytes()))
	}
	if n := len(history); n > 0 && history[n-1] == called {
		history = history[:n-1]
	}
	out = slices.DeleteFunc(append(out, history...), func(n string) bool { return n == "" })
	return out[:min(len(out), maxDiverted)]
}
