package auth

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A Network is our listeners, and what they are called outside.
type Network interface {
	Advertise(local netip.AddrPort) netip.AddrPort
	Addrs() []netip.AddrPort // of the listeners, always in the same order
	// Between returns the flow that is open between the addresses of f.
	Between(f location.Flow) (location.Flow, bool)
}

// A Location knows where devices are.
type Location interface {
	// AppendBindings appends what is registered at an AOR at now, from memory.
	AppendBindings(dst location.Bindings, aor location.AOR, now time.Time) location.Bindings
}

// From is the proven sender of a request that belongs to no dialog.
type From struct {
	Origin routing.Origin
	Domain string // canonical name of the domain that is asked
	Realm  string // whose credentials are ours and go no further
	Caller routing.Caller
	Trunk  Origin // of a call that came in by a trunk
}

// Author is the device as the history names it that writes a setting, and where it
// is.
func (f *From) Author(flow location.Flow) directory.Author {
	return directory.Author{Actor: "device:" + f.Caller.Device + "@" + f.Caller.Domain, From: flow.Remote.Addr().String()}
}

// Ends finds the ends of calls: who a [Side] is, and where. It is safe for
// concurrent use.
type Ends struct {
	net    Network
	loc    Location
	locals []netip.AddrPort // of the listeners
	ours   []netip.AddrPort // what others call them

	scratch sync.Pool // of *location.Bindings
}

// NewEnds returns the ends of calls over the listeners of a network.
func NewEnds(net Network, loc Location) *Ends {
	e := &Ends{net: net, loc: loc, locals: net.Addrs()}
	e.scratch.New = func() any { return new(location.Bindings) }
	for _, local := range e.locals {
		e.ours = append(e.ours, net.Advertise(local))
	}
	return e
}

// Locals are the addresses of the listeners, always in the same order.
func (e *Ends) Locals() []netip.AddrPort { return e.locals }

// Ours reports whether a URI names one of our listeners.
func (e *Ends) Ours(u wire.URI) bool {
	if !bytes.EqualFold(u.Scheme, []byte("sip")) && !bytes.EqualFold(u.Scheme, []byte("sips")) {
		return false
	}
	port := uint64(5060)
	if len(u.Port) > 0 {
		var err error
		if port, err = strconv.ParseUint(string(u.Port), 10, 16); err != nil {
			return false
		}
	}
	host := bytes.Trim(u.Host, "[]")
	for _, ours := range e.ours {
		if uint16(port) == ours.Port() && isAddr(host, ours.Addr()) {
			return true
		}
	}
	return false
}

// isAddr reports whether text is the address a.
func isAddr(text []byte, a netip.Addr) bool {
	var room [64]byte
	if bytes.Equal(text, a.AppendTo(room[:0])) {
		return true
	}
	if a.Is4() { // written in one way only
		return false
	}
	other, err := netip.ParseAddr(string(text))
	return err == nil && other == a
}

// TransportParam is what a URI of ours has behind its address, so that who uses it
// comes the same way (RFC 3261 §19.1.1, RFC 7118 §5.3): nothing for UDP.
func TransportParam(tr location.Transport) string {
	switch tr {
	case location.TCP:
		return ";transport=tcp"
	case location.TLS:
		return ";transport=tls"
	case location.WS, location.WSS:
		return ";transport=ws"
	case location.UDP:
		return ""
	default:
		return ""
	}
}

// OurRoute reports whether the value of a Route or Record-Route is ours.
func (e *Ends) OurRoute(v wire.Value) bool {
	na, ok := wire.ParseNameAddr(v.Bytes())
	if !ok {
		return false
	}
	u, ok := wire.ParseURI(na.URI)
	return ok && e.Ours(u)
}

// Popped reports whether the topmost Route of a request that belongs to no
// dialog is ours, to be popped: the phone's outbound proxy, which may be written
// with any of our names. It is not ok when there is one of somebody else: a
// device has no business to route past us.
func (e *Ends) Popped(p *transport.Packet) (popped, ok bool) {
	for v := range p.Msg.All(wire.Route) {
		if !e.OurRoute(v) && (popped || !e.hop(v, p.Flow)) {
			return false, false
		}
		popped = true
	}
	return popped, true
}

// hop reports whether a topmost Route is the hop by which its request came here
// (RFC 3261 §16.4). Nobody tells us all our names in the DNS, and the port of one
// may come from an SRV record or belong to a load balancer; so any name is taken
// for us, and any port of our addresses. What comes over WebSocket came the only
// way a browser has (RFC 7118 §5.5).
func (e *Ends) hop(v wire.Value, flow location.Flow) bool {
	na, ok := wire.ParseNameAddr(v.Bytes())
	if !ok {
		return false
	}
	u, ok := wire.ParseURI(na.URI)
	if !ok || len(u.Host) == 0 {
		return false
	}
	if flow.Transport == location.WS || flow.Transport == location.WSS {
		return true
	}
	addr, err := netip.ParseAddr(string(bytes.Trim(u.Host, "[]")))
	return err != nil || addr == flow.Local.Addr() ||
		slices.ContainsFunc(e.ours, func(ours netip.AddrPort) bool { return addr == ours.Addr() })
}

// CallerSide is the caller as the token of a call names it: its binding when it
// is registered from here, else the flow it proved.
func (e *Ends) CallerSide(flow location.Flow, from *From) Side {
	if from.Caller.Number != "" && from.Origin == routing.OriginDevice {
		if aor, err := location.NewAOR(from.Caller.Number, from.Caller.Domain); err == nil {
			lent := e.lookup(aor)
			defer e.scratch.Put(lent)
			for i := range *lent {
				if b := &(*lent)[i]; b.Device == from.Caller.Device && sameAddr(b.Flow, flow) {
					return Side{Kind: Line, Name: from.Caller.Number, Mark: MarkOf(b.Device, instance(b))}
				}
			}
		}
	}
	return e.AddressSide(flow)
}

// A Home is a device that a request came from over a connection: where it is found
// once that is gone.
type Home struct {
	ends   *Ends
	side   Side
	domain string
}

// Home returns the home of the sender of a request; nil when it has none but the
// flow, or needs none: UDP is never gone.
func (e *Ends) Home(flow location.Flow, from *From) *Home {
	if flow.Transport == location.UDP {
		return nil
	}
	return e.HomeOf(flow, e.CallerSide(flow, from), from.Caller.Domain)
}

// HomeOf is Home for an end of a call that was reached by flow.
func (e *Ends) HomeOf(flow location.Flow, s Side, domain string) *Home {
	if flow.Transport == location.UDP || s.Kind != Line {
		return nil
	}
	return &Home{e, s, domain}
}

// Flow returns the newest flow of the device.
func (h *Home) Flow() (location.Flow, bool) { return h.ends.Find(h.side, h.domain, nil) }

// AddressSide is the other end of a flow.
func (e *Ends) AddressSide(flow location.Flow) Side {
	at := slices.Index(e.locals, flow.Local)
	if at < 0 {
		at = slices.IndexFunc(e.locals, func(bound netip.AddrPort) bool { return transport.Serves(bound, flow.Local) })
	}
	return Side{Kind: Address, Addr: flow.Remote, Transport: flow.Transport, Listener: uint8(max(0, at))}
}

// LineSide is a target of a number as the token of a call names it.
func LineSide(number string, t *ring.Target) Side {
	return Side{Kind: Line, Name: number, Mark: MarkOf(t.Device, t.Instance)}
}

// From reports whether flow is one of side, or comes from an address of it
// (trust.md §1). It is not known when no device of the side is registered.
func (e *Ends) From(flow location.Flow, s Side, domain string) (is, known bool) {
	if s.Kind == Address {
		return s.Transport == flow.Transport && s.Addr.Addr() == flow.Remote.Addr(), true
	}
	lent := e.bindings(s, domain)
	if lent == nil {
		return false, false
	}
	defer e.scratch.Put(lent)
	for i := range *lent {
		if sameAddr((*lent)[i].Flow, flow) {
			return true, true
		}
	}
	return false, len(*lent) > 0
}

// Find returns the flow to side: the newest one of its binding, and of several
// the one whose contact is uri, or what the same phone registered since. It is false when no device of the side is
// registered.
func (e *Ends) Find(s Side, domain string, uri []byte) (location.Flow, bool) {
	if s.Kind == Address {
		if int(s.Listener) >= len(e.locals) {
			return location.Flow{}, false
		}
		return e.net.Between(location.Flow{Transport: s.Transport, Local: e.locals[s.Listener], Remote: s.Addr})
	}
	lent := e.bindings(s, domain)
	if lent == nil {
		return location.Flow{}, false
	}
	defer e.scratch.Put(lent)
	bs := *lent
	best := -1
	for i := range bs {
		if best < 0 || nearer(&bs[i], &bs[best], s.Mark, uri) {
			best = i
		}
	}
	if best < 0 {
		return location.Flow{}, false
	}
	for i := range bs {
		if supersedes(&bs[i], &bs[best]) {
			best = i
		}
	}
	return bs[best].Flow, true
}

// supersedes reports whether a is what the phone of b registered later, where it
// names no instance: under the Call-ID of b, which one run of a phone keeps (RFC
// 3261 §10.2), or from the very socket. A binding that is only newer may be that
// of another phone with the same credential.
func supersedes(a, b *location.Binding) bool {
	switch {
	case a.Instance != "" || b.Instance != "":
		return false
	case a.CallID == b.CallID:
		return a.CSeq > b.CSeq
	default:
		return a.Flow == b.Flow && a.Seen.After(b.Seen)
	}
}

// Contact returns what the device of side registered over a flow.
func (e *Ends) Contact(s Side, domain string, f location.Flow) (string, bool) {
	lent := e.bindings(s, domain)
	if lent == nil {
		return "", false
	}
	defer e.scratch.Put(lent)
	for i := range *lent {
		if b := &(*lent)[i]; b.Flow == f {
			return b.Contact, true
		}
	}
	return "", false
}

// nearer prefers the exact instance, then the binding whose contact is the
// Request-URI, then the one seen last.
func nearer(a, b *location.Binding, mark Mark, uri []byte) bool {
	am, bm := MarkOf(a.Device, instance(a)) == mark, MarkOf(b.Device, instance(b)) == mark
	if am != bm {
		return am
	}
	au, bu := a.Contact == string(uri), b.Contact == string(uri)
	if au != bu {
		return au
	}
	return a.Seen.After(b.Seen)
}

func instance(b *location.Binding) string {
	if b.Instance != "" {
		return b.Instance
	}
	return b.Contact
}

// lookup returns what is registered at an AOR, in memory that goes back to scratch.
func (e *Ends) lookup(aor location.AOR) *location.Bindings {
	lent := e.scratch.Get().(*location.Bindings)
	*lent = e.loc.AppendBindings((*lent)[:0], aor, time.Now())
	return lent
}

// bindings returns the bindings that side may mean, those of its device, in memory
// that goes back to scratch; nil when the side names no AOR.
func (e *Ends) bindings(s Side, domain string) *location.Bindings {
	aor, err := location.NewAOR(s.Name, domain)
	if err != nil {
		return nil
	}
	lent := e.lookup(aor)
	*lent = slices.DeleteFunc(*lent, func(b location.Binding) bool {
		return MarkOf(b.Device, "").Device != s.Mark.Device
	})
	return lent
}

// sameAddr reports whether two flows come from one address.
func sameAddr(a, b location.Flow) bool {
	return a.Transport == b.Transport && a.Remote.Addr() == b.Remote.Addr()
}
