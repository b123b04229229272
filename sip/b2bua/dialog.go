package b2bua

import (
	"net/netip"
	"slices"
	"strings"

	"bellhop/routing"
	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A dialog is our side of one leg (RFC 3261 §12). It is a value: the pairs of
// one branch begin with the same.
type dialog struct {
	leg       call.Leg
	callID    string
	localTag  string
	remoteTag string   // "" before they answered
	local     string   // From of our requests, without tag
	remote    string   // To of our requests, without tag
	target    string   // where our requests go
	contact   string   // value of our Contact
	routes    []string // in the order they are sent
	localSeq  uint32
	remoteSeq uint32 // 0: there was no request of theirs
	rseq      uint32 // of the last reliable 1xx that we sent

	flow  location.Flow
	named string        // the next hop that was looked up, by its URI
	near  location.Flow // and where that is
	side  auth.Side
	home  string // canonical name of the domain of side

	stranger bool // somebody outside that no trunk vouches for
	kept     bool // its route set stands: what is asked is within it (RFC 3261 §12.2.1.2)
	hides    bool // it does not learn who the other end is (RFC 3323)
	secure   bool // over TLS all the way: its URIs are sips (RFC 3261 §26.2.2)
	sdp      body // the session description that it was sent last
}

// A body is that of a message, with the field that says what it is.
type body struct {
	kind  string // value of Content-Type
	bytes []byte
}

// bodyOf copies the session description of a message; none: the zero body.
func bodyOf(m *wire.Message) body {
	if !hasSDP(m) {
		return body{}
	}
	v, _ := m.Get(wire.ContentType)
	return body{string(v.Bytes()), slices.Clone(m.Body())}
}

// hasSDP reports whether a message has a session description, alone or among
// other parts.
func hasSDP(m *wire.Message) bool {
	v, ok := m.Get(wire.ContentType)
	if !ok || len(m.Body()) == 0 {
		return false
	}
	kind := v.Bytes()
	for _, prefix := range [...]string{"application/sdp", "multipart/"} {
		if len(kind) >= len(prefix) && strings.EqualFold(string(kind[:len(prefix)]), prefix) {
			return true
		}
	}
	return false
}

// nameOf returns a From or To without its tag and other parameters.
func nameOf(m *wire.Message, f wire.Field) string {
	v, _ := m.Get(f)
	n, ok := wire.ParseNameAddr(v.Bytes())
	if !ok {
		return string(v.Bytes())
	}
	out := make([]byte, 0, len(n.Display)+len(n.URI)+3)
	if len(n.Display) > 0 {
		out = append(append(out, n.Display...), ' ')
	}
	return string(append(append(append(out, '<'), n.URI...), '>'))
}

// routesOf returns the route set that the Record-Route of a message makes (RFC
// 3261 §12.1): of a response in reverse order.
func routesOf(m *wire.Message) (routes []string) {
	for v := range m.All(wire.RecordRoute) {
		routes = append(routes, string(v.Bytes()))
	}
	if !m.IsRequest() {
		slices.Reverse(routes)
	}
	return routes
}

// meet makes our side of the dialog with the caller, of its INVITE; false: it
// has no Contact.
func (a *anchor) meet() bool {
	p := a.srv.Request
	m := &p.Msg
	a.a = dialog{
		leg: call.A, callID: string(m.CallID()), localTag: a.tag, remoteTag: string(m.FromTag()),
		local: nameOf(m, wire.To), remote: nameOf(m, wire.From), target: string(m.ContactURI()), routes: routesOf(m),
		localSeq: firstSeq, remoteSeq: m.CSeq(), flow: p.Flow, side: a.b.ends.CallerSide(p.Flow, &a.from),
		home: a.from.Caller.Domain, secure: isSIPS(m.RequestURI()),
	}
	a.a.stranger = a.from.Origin == routing.OriginStranger
	if a.from.Trunk.Trunk != "" {
		a.a.side = auth.Side{Kind: auth.Trunk, Name: a.from.Trunk.Trunk}
	}
	a.a.contact = a.b.contact(&a.a, a.domain)
	return a.a.target != ""
}

// isSIPS reports whether a URI is to be reached over TLS all the way (RFC 3261
// §26.2.2).
func isSIPS(uri []byte) bool { return len(uri) > 5 && strings.EqualFold(string(uri[:5]), "sips:") }

// firstSeq is the CSeq before our first request in a dialog.
const firstSeq = 0

// contact makes our Contact for a dialog: its user part is a token that names the
// end that we speak to (trust.md §1).
func (b *B2BUA) contact(d *dialog, domain string) string {
	token, err := b.token(d, domain)
	if err != nil { // a name too long
		short := *d
		short.side = b.ends.AddressSide(d.flow)
		if token, err = b.token(&short, domain); err != nil {
			b.log.Warn("no token for a call", "err", err)
		}
	}
	scheme, param := "<sip:", auth.TransportParam(d.flow.Transport)
	if d.secure { // RFC 3261 §8.1.1.8
		if scheme = "<sips:"; d.flow.Transport == location.TLS {
			param = ""
		}
	}
	out := append([]byte(scheme), token...)
	if len(token) > 0 {
		out = append(out, '@')
	}
	out = append(b.net.Advertise(d.flow.Local).AppendTo(out), param...)
	return string(append(out, '>'))
}

func (b *B2BUA) token(d *dialog, domain string) ([]byte, error) {
	t := auth.Token{Caller: auth.Side{Kind: auth.Self}, Callee: d.side, Node: b.node}
	tag := d.localTag
	if d.leg == call.A {
		t.Caller, t.Callee, tag = t.Callee, t.Caller, d.remoteTag
	}
	return b.tokens.Append(nil, t, domain, []byte(d.callID), []byte(tag))
}

// admits reports whether the request p within the dialog d is from its end: it
// came to our Contact, and down a flow or from an address of that end (trust.md
// §1). Otherwise status says how to refuse it.
func (b *B2BUA) admits(d *dialog, domain string, p *transport.Packet) (status int) {
	m := &p.Msg
	same := p.Flow.Transport == d.flow.Transport && p.Flow.Remote.Addr() == d.flow.Remote.Addr()
	if same && d.isContact(m.RequestURI()) { // the token is ours, letter for letter
		return 0
	}
	u, ok := wire.ParseURI(m.RequestURI())
	if !ok || !b.ends.Ours(u) {
		return 481
	}
	tok, dir, ok := b.tokens.Verify(u.User, domain, m.CallID(), m.FromTag(), m.ToTag())
	if !ok {
		return 481
	}
	if same {
		return 0
	}
	side := tok.Origin(dir)
	if side.Kind == auth.Trunk {
		if b.trunks != nil {
			if o, ok := b.trunks.Match(p); ok && o.Trunk == side.Name && o.Domain == domain {
				return 0
			}
		}
		return 403
	}
	if is, _ := b.ends.From(p.Flow, side, d.home); !is {
		return 403
	}
	return 0
}

// isContact reports whether a URI is that of our Contact, with a token.
func (d *dialog) isContact(uri []byte) bool {
	n := len(d.contact)
	return n > 2 && strings.IndexByte(d.contact, '@') > 0 && string(uri) == d.contact[1:n-1]
}

// way returns the flow of a request to the other end: the newest one of a
// device; to a peer of a trunk the one it has, or where its routes lead. ask is a
// URI that has to be looked up first, "" for none.
func (b *B2BUA) way(d *dialog) (f location.Flow, ask string) {
	switch d.side.Kind {
	case auth.Line:
		if f, ok := b.ends.Find(d.side, d.home, []byte(d.target)); ok {
			return f, ""
		}
	case auth.Trunk:
		return d.hop()
	case auth.Address, auth.Self:
	default: // after a restart: who it was is not known
	}
	return d.flow, ""
}

// hop is the next hop of a request to a peer (RFC 3261 §12.2.1.1): over UDP the
// address that its topmost Route or its Contact names, or a name to be looked up;
// a connection stays the way of the call while it is open (RFC 5923), for what a
// peer behind it says of its addresses need not be true here.
func (d *dialog) hop() (f location.Flow, ask string) {
	f = d.flow
	if f.Transport != location.UDP {
		return f, ""
	}
	uri := d.next()
	if d.named != "" && d.named == uri {
		return d.near, ""
	}
	u, ok := wire.ParseURI([]byte(uri))
	if !ok {
		return f, ""
	}
	if t, ok := u.Param("transport"); ok && !strings.EqualFold(string(t), "udp") {
		return f, uri
	}
	port := "5060"
	if len(u.Port) > 0 {
		port = string(u.Port)
	}
	at, err := netip.ParseAddrPort(string(u.Host) + ":" + port)
	if err != nil || at.Addr().Is4() != f.Remote.Addr().Unmap().Is4() {
		return f, uri
	}
	if at.Port() != 0 {
		f.Remote = at
	}
	return f, ""
}

// next is the URI that says where a request goes first.
func (d *dialog) next() string {
	if len(d.routes) > 0 {
		if n, ok := wire.ParseNameAddr([]byte(d.routes[0])); ok {
			return string(n.URI)
		}
	}
	return d.target
}

// addressed returns the Request-URI and the routes of a request: as they are, or
// for a strict router the way that RFC 2543 had it (RFC 3261 §12.2.1.1).
func (d *dialog) addressed() (uri string, routes []string) {
	if len(d.routes) == 0 {
		return d.target, nil
	}
	n, ok := wire.ParseNameAddr([]byte(d.routes[0]))
	if !ok {
		return d.target, d.routes
	}
	u, ok := wire.ParseURI(n.URI)
	if !ok {
		return d.target, d.routes
	}
	if _, loose := u.Param("lr"); loose {
		return d.target, d.routes
	}
	uri = string(n.URI[:len(n.URI)-len(u.Headers)])
	uri = strings.TrimSuffix(uri, "?")
	return uri, append(slices.Clone(d.routes[1:]), "<"+d.target+">")
}

// learn takes what the first response that makes the dialog says of it, or a 2xx
// after it (RFC 3261 §12.1.2, §13.2.2.4).
func (d *dialog) learn(res *wire.Message) {
	d.remoteTag = string(res.ToTag())
	if uri := res.ContactURI(); len(uri) > 0 {
		d.target = string(uri)
	}
	if d.kept {
		return
	}
	if res.Has(wire.RecordRoute) || res.Status()/100 == 2 {
		d.routes = routesOf(res)
	}
}
