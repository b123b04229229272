package trunk

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A matcher knows by which proof requests are whose. It never changes once made.
type matcher struct {
	contacts map[string]auth.Origin // by token; proof register
	names    map[string]auth.Origin // by name in a certificate; proof tls
	// prefixes has the rules of each prefix, the most specific first, and bits
	// the lengths that prefixes have, the longest first; proof address.
	prefixes map[netip.Prefix][]rule
	bits     []int
	logins   map[login]directory.Credential // proof digest
}

// A rule is a source of a trunk: where its requests come from.
type rule struct {
	port      uint16             // 0: any
	transport location.Transport // 0: any
	listener  netip.AddrPort     // zero: any
	spoofable bool               // UDP is believed on public networks too
	origin    auth.Origin
}

// A login is what a trunk signs in to us with.
type login struct{ domain, username string }

// compileLocked makes the matcher of all trunks.
func (m *Manager) compileLocked() *matcher {
	x := &matcher{
		contacts: map[string]auth.Origin{}, names: map[string]auth.Origin{}, prefixes: map[netip.Prefix][]rule{}, logins: map[login]directory.Credential{},
	}
	for k, t := range m.trunks {
		d := t.def
		o := auth.Origin{Domain: k.domain, Trunk: k.name, Trusted: d.Trunk.Trusted, Verified: d.Trunk.Verified}
		switch d.Trunk.Proof {
		case directory.ProofRegister:
			if d.Trunk.Register != nil {
				for _, t := range m.tokens(k) {
					x.contacts[t] = o
				}
			}
		case directory.ProofTLS:
			for _, name := range d.Names {
				x.names[name] = o
			}
		case directory.ProofDigest:
			if d.Username != "" {
				x.logins[login{k.domain, d.Username}] = directory.Credential{Trunk: k.name, Username: d.Username, Sealed: d.Sealed}
			}
		case directory.ProofAddress:
			for _, s := range d.Sources {
				x.addSource(s, d, o)
			}
		}
	}
	for _, rules := range x.prefixes {
		slices.SortFunc(rules, func(a, b rule) int { return cmp.Compare(b.detail(), a.detail()) })
	}
	slices.SortFunc(x.bits, func(a, b int) int { return b - a })
	return x
}

func (x *matcher) addSource(s directory.Source, d *directory.Peering, o auth.Origin) {
	p := s.Prefix.Masked()
	if !p.IsValid() || p.Bits() == 0 { // settings refuse it, and nobody is everybody
		return
	}
	x.prefixes[p] = append(x.prefixes[p], rule{
		port: s.Port, transport: transportOf(s.Transport), listener: s.Listener,
		spoofable: d.Trunk.Spoofable == directory.SpoofableAccepted, origin: o,
	})
	if !slices.Contains(x.bits, p.Bits()) {
		x.bits = append(x.bits, p.Bits())
	}
}

// detail is how specific a rule is among those of one prefix.
func (r *rule) detail() (n int) {
	if r.listener.IsValid() {
		n += 4
	}
	if r.port != 0 {
		n += 2
	}
	if r.transport != 0 {
		n++
	}
	return n
}

func (r *rule) matches(f location.Flow) bool {
	return (r.port == 0 || r.port == f.Remote.Port()) && (r.transport == 0 || r.transport == f.Transport) &&
		(!r.listener.IsValid() || transport.Serves(r.listener, f.Local))
}

// Match returns the trunk that p, a request outside of dialogs, was proven to
// come from: by the Contact that we registered, by the certificate of its
// connection, or by its address. Who proves by digest is for the
// [auth.Authenticator], with [Manager.Credentials]. It does not block, and does
// not allocate.
func (m *Manager) Match(p *transport.Packet) (auth.Origin, bool) {
	x := m.matcher.Load()
	if len(x.contacts) > 0 {
		if o, ok := x.contact(p); ok {
			return o, true
		}
	}
	if p.Flow.Transport == location.TLS && len(x.names) > 0 {
		for _, name := range p.Peer.Names() {
			if o, ok := x.names[name]; ok {
				return o, true
			}
		}
	}
	return x.address(m.network, p.Flow)
}

// contact looks for a token in the Request-URI. In the user part it says that the
// called number stands in To.
func (x *matcher) contact(p *transport.Packet) (auth.Origin, bool) {
	u, ok := wire.ParseURI(p.Msg.RequestURI())
	if !ok {
		return auth.Origin{}, false
	}
	if o, ok := x.token(u.User); ok {
		o.Contact = true
		return o, true
	}
	line, _ := u.Param("line")
	return x.token(line)
}

func (x *matcher) token(b []byte) (auth.Origin, bool) {
	if len(b) != (tokenBytes*8+4)/5 {
		return auth.Origin{}, false
	}
	o, ok := x.contacts[string(b)]
	if !ok && bytes.ContainsFunc(b, func(r rune) bool { return r >= 'A' && r <= 'Z' }) {
		o, ok = x.contacts[string(bytes.ToLower(b))]
	}
	return o, ok
}

// address finds the most specific source that a flow is of. A prefix that would
// match, but cannot be believed, is not passed over for a wider one.
func (x *matcher) address(n Network, f location.Flow) (auth.Origin, bool) {
	from := f.Remote.Addr().Unmap()
	for _, bits := range x.bits {
		p, err := from.Prefix(bits)
		if err != nil {
			continue // longer than an address of its family
		}
		rules := x.prefixes[p]
		for i := range rules {
			r := &rules[i]
			if !r.matches(f) {
				continue
			}
			if f.Transport == location.UDP && !r.spoofable && !n.Private(f.Local) {
				return auth.Origin{}, false
			}
			return r.origin, true
		}
	}
	return auth.Origin{}, false
}
