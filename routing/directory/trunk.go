package directory

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// How a trunk proves that a request is its own (trust.md §1).
const (
	ProofTLS      = "tls"      // a certificate with one of its names
	ProofDigest   = "digest"   // it signs in with its credentials
	ProofRegister = "register" // it calls the Contact that we registered with it
	ProofAddress  = "address"  // where its requests come from
)

// Who is shown to a trunk as the caller of a forwarded call.
const (
	CallerOriginal   = "original"   // who called first; the default
	CallerForwarding = "forwarding" // the number that forwarded
	CallerMain       = "main"       // the main number of the site
)

// callerVerified is how an input says at once that the caller ids of a trunk
// are true (snr.inbound) and that its policy is the default.
const callerVerified = "verified"

// SpoofableAccepted is what an administrator writes to take requests over UDP
// for a trunk's by their address alone although the network lets others forge
// it (trust.md §1).
const SpoofableAccepted = "accepted"

// The values of a trunk's health.
const (
	HealthOptions = "options" // peers are asked with OPTIONS
	HealthOff     = "off"     // a peer is taken to be up until a call finds otherwise
)

// A Trunk is a SIP peer towards other networks: how it is reached, how it
// proves itself, what it may reach in and what goes out over it.
type Trunk struct {
	Peers          []string       `json:"peers,omitempty"`              // "host[:port][;transport=udp|tcp|tls]", the first one first
	Proof          string         `json:"proof"`                        // tls, digest, register, address
	Sources        []string       `json:"sources,omitempty"`            // of proof address: see [Source]; of proof tls: names in the certificate; none: the peers
	Spoofable      string         `json:"spoofable,omitempty"`          // "" or "accepted"
	Register       *TrunkRegister `json:"register,omitempty"`           // we register with it
	MatchIn        []string       `json:"match_in"`                     // what it may reach: "+4989*", "1001", "*"; default everything
	Routes         []Route        `json:"routes,omitempty"`             //
	CallerID       string         `json:"caller_id"`                    // default original
	Verified       bool           `json:"caller_id_verified,omitempty"` // its caller ids are true (snr.inbound)
	Trusted        bool           `json:"trusted,omitempty"`            // its P-Asserted-Identity, Diversion and History-Info are taken
	Methods        []string       `json:"methods,omitempty"`            // more that it may send in a dialog: REFER, NOTIFY, SUBSCRIBE, MESSAGE
	Health         string         `json:"health"`                       // options, off; default options
	HealthInterval Duration       `json:"health_interval,omitempty"`    // between two OPTIONS; 0: the default
	MaxCalls       Limit          `json:"max_calls,omitzero"`           // at the same time, in and out
	MaxCPS         Limit          `json:"max_cps,omitzero"`             // begun within a second, in and out
}

// A TrunkRegister is how we register with a trunk. What we sign in with is in
// the trunk's credentials.
type TrunkRegister struct {
	Registrar string   `json:"registrar,omitempty"` // host[:port] of the AOR and the Request-URI; "": the first peer
	Username  string   `json:"username,omitempty"`  // user part of the AOR; "": the username of the credentials
	Realm     string   `json:"realm,omitempty"`     // the only one that a challenge may name; "": any
	Expires   Duration `json:"expires,omitempty"`   // asked for; 0: the default
}

// Times of trunks where they have none of their own.
const (
	DefaultHealthInterval  = Duration(30e9)
	DefaultRegisterExpires = Duration(3600e9)
)

// A Route sends numbers with a prefix to a trunk.
type Route struct {
	Prefix   string `json:"prefix"`             // "+49"; "+" for all E.164 numbers, "" for everything
	Priority int    `json:"priority,omitempty"` // of routes with prefixes equally long, the lowest first
	Strip    int    `json:"strip,omitempty"`    // characters taken off the front of the number, its "+" being one
	Prepend  string `json:"prepend,omitempty"`  // then put before it
}

// A Peer is where a trunk is reached, parsed.
type Peer struct {
	Host      string // as [Host] returns it: a name or an address
	Port      uint16 // 0: found by RFC 3263
	Transport string // udp, tcp, tls; "": found by RFC 3263
}

// ParsePeer reads "host[:port][;transport=udp|tcp|tls]". An IPv6 address with a
// port stands in brackets.
func ParsePeer(s string) (Peer, bool) {
	rest, hint, hinted := strings.Cut(strings.ToLower(strings.TrimSpace(s)), ";")
	var p Peer
	if hinted {
		t, ok := strings.CutPrefix(hint, "transport=")
		if !ok || t != "udp" && t != "tcp" && t != "tls" {
			return Peer{}, false
		}
		p.Transport = t
	}
	host, port, ok := splitPort(rest)
	if !ok {
		return Peer{}, false
	}
	p.Host, p.Port = Host(host), port
	if a, ok := p.Addr(); ok {
		return p, !a.IsUnspecified() && !a.IsMulticast()
	}
	// "192.0.2.300" is no name: a top level is never all digits (RFC 3696 §2).
	last := p.Host[strings.LastIndexByte(p.Host, '.')+1:]
	return p, isHost(p.Host) && strings.Trim(last, "0123456789") != ""
}

// splitPort reads "host", "host:port", "[v6]:port", "[v6]" and "v6".
func splitPort(s string) (host string, port uint16, ok bool) {
	if strings.Contains(s, "%") { // a zone is of this machine
		return "", 0, false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return s, 0, true
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		if inner, found := strings.CutPrefix(s, "["); found {
			_, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
			return s, 0, err == nil
		}
		return s, 0, s != ""
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if inner, found := strings.CutPrefix(s[:i], "["); found {
		if _, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err != nil {
			return "", 0, false
		}
	}
	return s[:i], uint16(n), err == nil && n > 0 && s[i+1] != '0' && i > 0
}

// Addr returns the address of a peer that is named by one.
func (p Peer) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(p.Host)
	return a, err == nil
}

// String returns p as [ParsePeer] reads it.
func (p Peer) String() string {
	s := p.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if p.Port != 0 {
		s += ":" + strconv.Itoa(int(p.Port))
	}
	if p.Transport != "" {
		s += ";transport=" + p.Transport
	}
	return s
}

// A Source is where requests of a trunk come from: listener, transport and
// address prefix (trust.md §1).
type Source struct {
	Prefix    netip.Prefix
	Port      uint16         // 0: any; what comes over a connection has a port of its own
	Transport string         // udp, tcp, tls; "": any
	Listener  netip.AddrPort // local address; zero: any
}

// The shortest prefixes that a source may have: /0 is everybody, and what is
// not much longer is no peer either.
const (
	minPrefix4 = 8
	minPrefix6 = 16
)

// ParseSource reads "address[/bits][:port][;transport=...][;listener=addr:port]":
// "192.0.2.7", "192.0.2.7:5060", "192.0.2.0/28;transport=udp", "[2001:db8::7]:5060".
func ParseSource(s string) (Source, bool) {
	where, params, _ := strings.Cut(strings.ToLower(strings.TrimSpace(s)), ";")
	var src Source
	if params != "" {
		for p := range strings.SplitSeq(params, ";") {
			name, value, _ := strings.Cut(p, "=")
			switch {
			case name == "transport" && src.Transport == "" && (value == "udp" || value == "tcp" || value == "tls"):
				src.Transport = value
			case name == "listener" && !src.Listener.IsValid():
				l, err := netip.ParseAddrPort(value)
				if err != nil {
					return Source{}, false
				}
				src.Listener = netip.AddrPortFrom(l.Addr().Unmap(), l.Port())
			default:
				return Source{}, false
			}
		}
	}
	if strings.Contains(where, "/") {
		p, err := netip.ParsePrefix(where)
		if err != nil {
			return Source{}, false
		}
		src.Prefix = unmapPrefix(p)
		return src, src.Prefix.IsValid()
	}
	host, port, ok := splitPort(where)
	a, err := netip.ParseAddr(Host(host))
	if !ok || err != nil || a.IsUnspecified() || a.IsMulticast() {
		return Source{}, false
	}
	src.Prefix, src.Port = netip.PrefixFrom(a, a.BitLen()), port
	return src, true
}

func unmapPrefix(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// tooWide reports whether s lets in more than a peer.
func (s Source) tooWide() bool {
	if s.Prefix.Addr().Is4() {
		return s.Prefix.Bits() < minPrefix4
	}
	return s.Prefix.Bits() < minPrefix6
}

// String returns s as [ParseSource] reads it.
func (s Source) String() string {
	out := s.Prefix.String()
	if s.Prefix.IsSingleIP() {
		out = s.Prefix.Addr().String()
		if s.Port != 0 {
			out = netip.AddrPortFrom(s.Prefix.Addr(), s.Port).String()
		}
	}
	if s.Transport != "" {
		out += ";transport=" + s.Transport
	}
	if s.Listener.IsValid() {
		out += ";listener=" + s.Listener.String()
	}
	return out
}

// Matches reports whether a request that came from an address over a transport
// (udp, tcp, tls) to a listener is one of s.
func (s Source) Matches(from netip.AddrPort, transport string, listener netip.AddrPort) bool {
	return s.Prefix.Contains(from.Addr().Unmap()) &&
		(s.Port == 0 || s.Port == from.Port()) &&
		(s.Transport == "" || s.Transport == transport) &&
		(!s.Listener.IsValid() || s.Listener == listener)
}

// Overlaps reports whether a request could come from both.
func (s Source) Overlaps(o Source) bool {
	return s.Prefix.Overlaps(o.Prefix) &&
		(s.Port == 0 || o.Port == 0 || s.Port == o.Port) &&
		(s.Transport == "" || o.Transport == "" || s.Transport == o.Transport) &&
		(!s.Listener.IsValid() || !o.Listener.IsValid() || s.Listener == o.Listener)
}

// A TrunkKey is what a trunk and we sign in to each other with: a document of
// [KindTrunkKey]. It is never in history.
type TrunkKey struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Sealed   []byte `json:"sealed"` // by the key ring: [SealTrunk], [TrunkAAD]
}

// SealTrunk is the purpose under which the passwords of trunks are sealed.
const SealTrunk = "trunk credential"

// TrunkAAD returns the additional data of a trunk's sealed password.
func TrunkAAD(domain, trunk string) []byte { return []byte(domain + "/trunks/" + trunk) }

// A Carrier is a trunk as routing uses it.
type Carrier struct {
	Name     string
	CallerID string // original, forwarding, main
	MatchIn  []string
	Trusted  bool // for P-Asserted-Identity, Diversion, History-Info
	Verified bool // its caller ids are true
	MaxCalls int  // 0: no limit
	MaxCPS   int  // 0: no limit
}

// Reaches reports whether the trunk may reach a destination under any of the
// names it has: extension, E.164 number, user. Empty names reach nothing.
func (c *Carrier) Reaches(names ...string) bool {
	for _, p := range c.MatchIn {
		prefix, open := strings.CutSuffix(p, "*")
		for _, n := range names {
			if n != "" && (n == p || open && strings.HasPrefix(n, prefix)) {
				return true
			}
		}
	}
	return false
}

// A TrunkRoute is a route as routing dials by it.
type TrunkRoute struct {
	Name     string // of the trunk
	Prefix   string // "+49"; "" matches everything
	Priority int
	Strip    int
	Prepend  string
	CallerID string // original, forwarding, main
	MaxCalls int    // of the trunk; 0: no limit
	MaxCPS   int    // of the trunk; 0: no limit
}

// Number returns number as it is dialled over the route.
func (r *TrunkRoute) Number(number string) string {
	return r.Prepend + number[min(r.Strip, len(number)):]
}

// carrier compiles a trunk.
func carrier(name string, v Trunk) (Carrier, []TrunkRoute) {
	c := Carrier{
		Name: name, CallerID: v.CallerID, MatchIn: v.MatchIn, Trusted: v.Trusted, Verified: v.Verified,
		MaxCalls: v.MaxCalls.or(DefaultMaxCalls), MaxCPS: v.MaxCPS.or(DefaultMaxCPS),
	}
	routes := make([]TrunkRoute, 0, len(v.Routes))
	for _, r := range v.Routes {
		routes = append(routes, TrunkRoute{
			Name: name, Prefix: r.Prefix, Priority: r.Priority, Strip: r.Strip, Prepend: r.Prepend,
			CallerID: c.CallerID, MaxCalls: c.MaxCalls, MaxCPS: c.MaxCPS,
		})
	}
	return c, routes
}

// WithTrunk returns t with a trunk in place of the one of its name; nil takes
// it away. t stays as it is.
func (t *Tenant) WithTrunk(name string, v *Trunk) *Tenant {
	out := *t
	out.Carriers = slices.DeleteFunc(slices.Clone(t.Carriers), func(c Carrier) bool { return c.Name == name })
	out.Trunks = slices.DeleteFunc(slices.Clone(t.Trunks), func(r TrunkRoute) bool { return r.Name == name })
	if v == nil {
		return &out
	}
	c, routes := carrier(name, *v)
	out.Carriers = append(out.Carriers, c)
	out.Trunks = append(out.Trunks, routes...)
	slices.SortFunc(out.Carriers, func(a, b Carrier) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(out.Trunks, compareRoutes)
	return &out
}

// compareRoutes puts the longest prefix first, then the lowest priority, then
// the trunk's name, so that a list is always in one order.
func compareRoutes(a, b TrunkRoute) int {
	switch {
	case len(a.Prefix) != len(b.Prefix):
		return len(b.Prefix) - len(a.Prefix)
	case a.Priority != b.Priority:
		return a.Priority - b.Priority
	default:
		return strings.Compare(a.Name, b.Name)
	}
}

// Carrier returns a trunk of the domain by its name, or nil.
func (t *Tenant) Carrier(name string) *Carrier {
	for i := range t.Carriers {
		if t.Carriers[i].Name == name {
			return &t.Carriers[i]
		}
	}
	return nil
}

// A Peering is all that the SIP side asks about a trunk: its document with what
// it means, and what is signed in with. It never changes once made.
type Peering struct {
	Domain   string
	Name     string
	Realm    string   // of the domain: what the trunk signs in to with proof digest
	Trunk    Trunk    // the document, with its defaults
	Peers    []Peer   // in order; those of proof tls without a transport are tls
	Sources  []Source // of proof address
	Names    []string // of proof tls: a certificate must have one of them
	Username string   // of the credentials; "": none
	Sealed   []byte   // the password; see [TrunkKey]
	MaxCalls int      // 0: no limit
	MaxCPS   int      // 0: no limit
}

// PeersOf returns the peers of a trunk, parsed.
func PeersOf(v Trunk) []Peer {
	out := make([]Peer, 0, len(v.Peers))
	for _, s := range v.Peers {
		p, ok := ParsePeer(s)
		if !ok {
			continue
		}
		if p.Transport == "" && v.Proof == ProofTLS {
			p.Transport = "tls"
		}
		out = append(out, p)
	}
	return out
}

// SourcesOf returns where the requests of a trunk with proof address come from:
// its sources, else its peers. A peer with a port is exactly that address and
// port; one that is reached over a connection may call from any port.
func SourcesOf(v Trunk) []Source {
	if v.Proof != ProofAddress {
		return nil
	}
	var out []Source
	for _, s := range v.Sources {
		if src, ok := ParseSource(s); ok {
			out = append(out, src)
		}
	}
	if len(v.Sources) > 0 {
		return out
	}
	for _, p := range PeersOf(v) {
		a, ok := p.Addr()
		if !ok {
			continue
		}
		src := Source{Prefix: netip.PrefixFrom(a, a.BitLen()), Transport: p.Transport}
		if p.Transport == "" || p.Transport == "udp" {
			src.Port = p.Port
		}
		out = append(out, src)
	}
	return out
}

// NamesOf returns the names one of which the certificate of a trunk with proof
// tls must have: its sources, else the hosts of its peers.
func NamesOf(v Trunk) []string {
	if v.Proof != ProofTLS {
		return nil
	}
	if len(v.Sources) > 0 {
		return slices.Clone(v.Sources)
	}
	var out []string
	for _, p := range PeersOf(v) {
		if !slices.Contains(out, p.Host) {
			out = append(out, p.Host)
		}
	}
	return out
}
