package sip

import (
	"bytes"
	"net/netip"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/sip/auth"
	"bellhop/sip/event"
	"bellhop/sip/proxy"
	"bellhop/sip/registrar"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A Tenants knows all domains of the system, from memory.
type Tenants interface {
	// Tenant returns the domain that answers for a host, by its name or an alias.
	Tenant(host []byte) (*directory.Tenant, bool)
}

// An admission is what was proven about a request, and so what is done with it.
// Exactly one of dialog, status, job and visit says so.
type admission struct {
	dialog proxy.Dialog
	status int // a final response of ours
	reason string
	lines  []byte
	job    *registrar.Job
	visit  routing.Visit
	from   auth.From
	popped bool
}

// admit proves where a request comes from. When ok is false it was answered
// already, or dropped, and nothing may be kept of it.
func (s *Server) admit(p *transport.Packet) (a admission, ok bool) {
	m := &p.Msg
	from, fromOurs := s.domainOf(m, wire.From)
	to, toOurs := s.domainOf(m, wire.To)
	if len(m.ToTag()) > 0 && m.Method() != wire.Register && (m.Method() != wire.Subscribe || !s.events.Knows(m)) {
		return s.admitInDialog(p, name(from), name(to))
	}
	uri, uriOK := wire.ParseURI(m.RequestURI())
	if o, is := s.inbound(p); is {
		p.Peer.Prove(transport.Proven)
		return s.ofTrunk(p, o, uri, uriOK), true
	}
	asked, askedOurs := from, fromOurs
	if uriOK {
		if t, ours := s.tenants.Tenant(uri.Host); ours {
			asked, askedOurs = t, true
		}
	}
	home := from // whose credentials are asked for
	if !fromOurs {
		home = asked
	}
	if !fromOurs && !askedOurs && !toOurs || home == nil {
		s.metrics.foreign.Inc() // trust.md §1: unknown domains are dropped
		return a, false
	}
	if !fromOurs && asked != nil && asked.Strangers && m.Method() != wire.Register {
		return s.stranger(p, asked, uri, uriOK)
	}
	now := p.Received
	v := s.check(p, home, now)
	switch v.Kind {
	case auth.Accepted:
		return s.accepted(p, v, home, asked, uri, uriOK)
	case auth.Challenge, auth.Stale:
		s.challenge(p, home, v.Kind == auth.Stale, now)
	case auth.Missing:
		s.load(p, home.Name, v.Username)
	case auth.Malformed:
		s.stateless(p, 400, v.Reason, nil)
	case auth.Forbidden:
		s.log.Info("request refused", "rule", v.Rule, "domain", home.Name, "device", v.Device.Device)
		s.stateless(p, 403, v.Reason, nil)
	case auth.Slow:
		s.metrics.slowed.Inc()
	default:
		panic("sip: unknown verdict")
	}
	return a, false
}

// check asks for the credentials of a device, or for what its connection proved
// already.
func (s *Server) check(p *transport.Packet, home *directory.Tenant, now time.Time) auth.Verdict {
	if !p.Flow.Secure() || p.Peer == nil { // what is in the clear proves nothing for what comes later
		v := s.auth.Check(&p.Msg, p.Flow, home.Name, home.Realm, now)
		if v.Kind == auth.Accepted {
			p.Peer.Prove(transport.Proven)
		}
		return v
	}
	proved, _ := p.Peer.Value().(*auth.Proved)
	if v, ok := s.auth.Again(&p.Msg, p.Flow, home.Name, proved, now); ok {
		return v
	}
	v := s.auth.Check(&p.Msg, p.Flow, home.Name, home.Realm, now)
	if v.Kind == auth.Accepted {
		p.Peer.Prove(transport.Proven)
	}
	if v.Kind == auth.Accepted && v.Device.Trunk == "" {
		p.Peer.SetValue(proved.With(home.Name, &v.Device)) // one that closed needs it no more
	}
	return v
}

func name(t *directory.Tenant) string {
	if t == nil {
		return ""
	}
	return t.Name
}

// domainOf returns the domain that the host of a From or To belongs to.
func (s *Server) domainOf(m *wire.Message, f wire.Field) (*directory.Tenant, bool) {
	v, ok := m.Get(f)
	if !ok {
		return nil, false
	}
	n, ok := wire.ParseNameAddr(v.Bytes())
	if !ok {
		return nil, false
	}
	u, ok := wire.ParseURI(n.URI)
	if !ok {
		return nil, false
	}
	return s.tenants.Tenant(u.Host)
}

// admitInDialog takes a request with a To tag: it needs a token of ours.
func (s *Server) admitInDialog(p *transport.Packet, from, to string) (a admission, ok bool) {
	if status := s.valid(p, &a); status != 0 {
		s.stateless(p, status, a.reason, a.lines)
		return a, false
	}
	d, status := s.proxy.Dialog(p, from, to)
	if status != 0 {
		s.stateless(p, status, "", nil)
		return a, false
	}
	a.dialog = d
	p.Peer.Prove(transport.Guest)
	return a, true
}

// stranger admits a request from outside where the domain is open to it
// (behaviour.md §1): it may reach numbers, and nothing else.
func (s *Server) stranger(p *transport.Packet, asked *directory.Tenant, uri wire.URI, uriOK bool) (a admission, ok bool) {
	a.from = auth.From{Origin: routing.OriginStranger, Domain: asked.Name, Realm: asked.Realm}
	a.from.Caller.Number = user(&p.Msg, wire.From)
	p.Peer.Prove(transport.Guest)
	return s.routed(p, a, uri, uriOK), true
}

// accepted goes on with a request of a device.
func (s *Server) accepted(p *transport.Packet, v auth.Verdict, home, asked *directory.Tenant, uri wire.URI, uriOK bool) (a admission, ok bool) {
	if p.Msg.Method() == wire.Register && v.Device.Trunk != "" {
		a.status, a.reason = 403, "Trunks Do Not Register"
		return a, true
	}
	if p.Msg.Method() == wire.Register {
		device := v.Device
		job, res := s.registrar.Prepare(registrar.Request{Msg: &p.Msg, Flow: p.Flow, Device: &device, Domain: home.Name})
		if job == nil {
			a.status, a.reason, a.lines = res.Status, res.Reason, res.Lines
		}
		a.job = job
		return a, true
	}
	if trunk := v.Device.Trunk; trunk != "" {
		o, ok := s.trunks.Origin(home.Name, trunk)
		return s.ofTrunk(p, o, uri, uriOK), ok
	}
	a.from = auth.From{
		Origin: routing.OriginDevice, Domain: asked.Name, Realm: home.Realm,
		Caller: routing.Caller{Domain: home.Name, Device: v.Device.Device, Number: v.Line},
	}
	a.from.Caller.Behind = p.Msg.Method() == wire.Invite && behindNAT(p)
	return s.routed(p, a, uri, uriOK), true
}

// routed completes an admission that routing decides about.
func (s *Server) routed(p *transport.Packet, a admission, uri wire.URI, uriOK bool) admission {
	m := &p.Msg
	if a.status = s.valid(p, &a); a.status != 0 {
		return a
	}
	if !uriOK || !sipScheme(uri.Scheme) {
		a.status = 416 // RFC 3261 §16.3 step 2
		return a
	}
	popped, ok := s.ends.Popped(p)
	if !ok { // a device has no business to route past us
		a.status, a.reason = 403, "Route Not Ours"
		return a
	}
	a.popped = popped
	if len(uri.User) == 0 { // for the server itself
		a.status = 404
		if m.Method() == wire.Options {
			a.status, a.lines = 200, []byte(capabilities)
		}
		return a
	}
	sips := bytes.EqualFold(uri.Scheme, []byte("sips"))
	if sips && !p.Flow.Secure() { // it came in the clear already
		a.status = 480
		return a
	}
	var room [128]byte
	a.visit = routing.Visit{
		Origin: a.from.Origin, Domain: a.from.Domain, Method: string(m.MethodBytes()), Caller: a.from.Caller,
		Target: string(wire.AppendUnescaped(room[:0], uri.User)), TargetHost: string(uri.Host), Secure: sips,
	}
	number, instance, ok := s.gruus.Resolve(uri, a.from.Domain, s.location)
	if !ok && a.from.Origin == routing.OriginDevice && s.mayBeContact(uri) {
		number, instance, ok = s.location.AtContact(a.from.Domain, string(m.RequestURI()))
	}
	if ok {
		a.visit.Target, a.visit.Instance = number, instance
	}
	return a
}

// mayBeContact reports whether a URI may be the Contact of a device: its host is none
// of ours, or an address beside one of our listeners.
func (s *Server) mayBeContact(u wire.URI) bool {
	if _, ours := s.tenants.Tenant(u.Host); !ours {
		return true
	}
	if len(u.Port) == 0 || s.ends.Ours(u) {
		return false
	}
	_, err := netip.ParseAddr(string(bytes.Trim(u.Host, "[]")))
	return err == nil
}

// capabilities answers an OPTIONS for the server itself (RFC 3261 §11.2).
const capabilities = allow + event.Allow + "Accept: application/sdp\r\n"

// allow is what devices may send.
const allow = "Allow: INVITE, ACK, CANCEL, BYE, REGISTER, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY, INFO, PRACK, UPDATE, REFER\r\n"

// valid is the request validation of RFC 3261 §16.3 that needs no origin; it
// returns the status to refuse with, or 0.
func (s *Server) valid(p *transport.Packet, a *admission) int {
	m := &p.Msg
	if n, ok := m.MaxForwards(); ok && n == 0 {
		return 483
	}
	if v, ok := m.Get(wire.MaxBreadth); ok && string(v.Bytes()) == "0" {
		return 440 // RFC 5393 §5.3.3
	}
	if m.Has(wire.ProxyRequire) { // we support none that would have to be understood here
		lines := []byte("Unsupported: ")
		for v := range m.All(wire.ProxyRequire) {
			lines = append(append(lines, v.Bytes()...), ", "...)
		}
		a.lines = append(bytes.TrimSuffix(lines, []byte(", ")), "\r\n"...)
		return 420
	}
	return 0
}

func sipScheme(b []byte) bool {
	return bytes.EqualFold(b, []byte("sip")) || bytes.EqualFold(b, []byte("sips"))
}

// user returns the user part of the URI in a From or To field.
func user(m *wire.Message, f wire.Field) string {
	v, _ := m.Get(f)
	n, ok := wire.ParseNameAddr(v.Bytes())
	if !ok {
		return ""
	}
	u, _ := wire.ParseURI(n.URI)
	return string(wire.AppendUnescaped(nil, u.User))
}

// challenge asks for credentials, keeping nothing (trust.md §1).
func (s *Server) challenge(p *transport.Packet, home *directory.Tenant, stale bool, now time.Time) {
	status := 407
	if p.Msg.Method() == wire.Register {
		status = 401
	}
	challenge := s.auth.AppendChallenge
	if s.md5Only(&p.Msg) {
		challenge = s.auth.AppendMD5Challenge
	}
	lines := s.txs.Buffer()
	*lines = challenge(*lines, home.Realm, status == 407, stale, p.Flow, home.Name, now)
	s.stateless(p, status, "", *lines)
	s.txs.Release(lines)
}

// md5Only reports whether a phone says that it is one of those that register
// nowhere when SHA-256 is offered. Who lies about it gains nothing: who can do
// that can leave the better challenge out as well.
func (s *Server) md5Only(m *wire.Message) bool {
	v, ok := m.Get(wire.UserAgent)
	if !ok {
		return false
	}
	agent := v.Bytes()
	for _, prefix := range s.old {
		if len(agent) >= len(prefix) && string(agent[:len(prefix)]) == prefix {
			return true
		}
	}
	return false
}

// maxGain is how much larger an answer to a stranger may be than what it sent:
// we are no amplifier (trust.md §1).
const maxGain = 2

// stateless answers without keeping anything (RFC 3261 §8.2.7, §16.11).
func (s *Server) stateless(p *transport.Packet, status int, reason string, lines []byte) {
	if !p.Msg.Answerable() {
		return
	}
	if reason == "" {
		reason = wire.ReasonPhrase(status)
	}
	var tag [32]byte
	m := &p.Msg
	to := s.tags.Append(tag[:0], m.CallID(), m.FromTag(), m.TopVia().Branch)
	buf := s.txs.Buffer()
	defer s.txs.Release(buf)
	*buf = transaction.AppendReply(*buf, p, status, reason, to, lines)
	if len(*buf) > maxGain*len(m.Bytes()) {
		s.metrics.tooLarge.Inc()
		return
	}
	_ = s.transport.Send(transaction.ReplyFlow(m, p.Flow), *buf) // lost: the request comes again
}

// malformed answers what could not be read, when enough of it could.
func (s *Server) malformed(p *transport.Packet) {
	s.metrics.malformed.Inc()
	if p.Msg.IsRequest() && p.Msg.Answerable() {
		s.stateless(p, p.Err.Status, p.Err.Reason, nil)
	}
}
