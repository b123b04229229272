package registrar

import (
	"bytes"
	"math"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// maxContacts bounds how many contacts of one REGISTER are read: more than an
// AOR may have are refused anyway.
const maxContacts = 32

// prepare does what Prepare says.
func (r *Registrar) prepare(q *Request) (*Job, Response) {
	if res := unsupported(q); res.Status != 0 {
		return nil, res
	}
	aor, sips, res := r.aor(q)
	if res.Status != 0 {
		return nil, res
	}
	j := &Job{registrar: r, aor: aor, register: location.Register{
		CallID: string(q.Msg.CallID()), CSeq: q.Msg.CSeq(), Flow: q.Flow, Device: q.Device.Device,
		UserAgent: string(value(q.Msg, wire.UserAgent)), Limits: r.limits,
	}}
	if q.Msg.Has(wire.Path) {
		if !q.FromNode {
			return nil, Response{Status: 403, Reason: "Path Not Allowed", Rule: RulePath}
		}
		for v := range q.Msg.All(wire.Path) {
			j.register.Path = append(j.register.Path, string(v.Bytes()))
		}
	}
	if s, ok := q.Msg.Expires(); ok {
		j.register.Expires = location.In(s)
	}
	if res := j.contacts(q, sips); res.Status != 0 {
		return nil, res
	}
	return j, Response{}
}

// unsupported refuses extensions that we would have to know (RFC 3261 §10.3
// step 2, §8.2.2.3).
func unsupported(q *Request) Response {
	var unknown []byte
	for v := range q.Msg.All(wire.Require) {
		tag := v.Bytes()
		if bytes.EqualFold(tag, []byte("path")) || bytes.EqualFold(tag, []byte("outbound")) || bytes.EqualFold(tag, []byte("gruu")) {
			continue
		}
		if unknown != nil {
			unknown = append(unknown, ", "...)
		}
		unknown = append(unknown, tag...)
	}
	if unknown == nil {
		return Response{}
	}
	return Response{Status: 420, Lines: wire.AppendLine(nil, "Unsupported", unknown)}
}

// aor returns the address-of-record in To, which must be the one in From and a
// line of the device (trust.md §1, RFC 3261 §10.3 steps 4 and 5): an AOR that
// does not exist looks like one that is somebody else's.
func (r *Registrar) aor(q *Request) (aor location.AOR, sips bool, res Response) {
	notYours := Response{Status: 403, Reason: "Not Your Address", Rule: RuleNotYours}
	to := value(q.Msg, wire.To)
	line, ok := r.lines.Line(to, q.Device, q.Domain)
	from, fromOK := r.lines.Line(value(q.Msg, wire.From), q.Device, q.Domain)
	if !ok || !fromOK || line != from {
		return aor, false, notYours
	}
	aor, err := location.NewAOR(line, q.Domain)
	if err != nil {
		return aor, false, notYours
	}
	n, _ := wire.ParseNameAddr(to)
	return aor, bytes.HasPrefix(bytes.ToLower(n.URI), []byte("sips:")), Response{}
}

// contacts reads the Contact fields.
func (j *Job) contacts(q *Request, sips bool) Response {
	outbound, firstHop := supports(q.Msg, "outbound"), hopKnowsOutbound(q.Msg)
	j.gruu = supports(q.Msg, "gruu")
	flows := 0 // contacts with a reg-id that are to stay
	for v := range q.Msg.All(wire.Contact) {
		if len(j.register.Contacts) == maxContacts {
			return Response{Status: 403, Reason: "Too Many Contacts", Rule: RuleLimit}
		}
		if string(v.Bytes()) == "*" { // Apply sees to what stands beside it
			j.register.Star = true
			continue
		}
		c, res := contact(v.Bytes(), q.Flow, sips, j.register.Expires)
		if res.Status != 0 {
			return res
		}
		if !outbound {
			c.RegID = 0 // RFC 5626 §6: without outbound it means nothing
		} else if c.RegID > 0 {
			if !firstHop {
				return Response{Status: 439, Reason: "First Hop Lacks Outbound Support"}
			}
			j.outbound = true
			if c.Expires != location.In(0) {
				flows++
			}
		}
		j.register.Contacts = append(j.register.Contacts, c)
	}
	switch {
	case flows > 1: // RFC 5626 §6
		return Response{Status: 400, Reason: "Several Flows At Once"}
	case j.register.Star && (len(j.register.Contacts) > 0 || j.register.Expires != location.In(0)):
		return Response{Status: 400, Reason: "Malformed Contact"} // RFC 3261 §10.3 step 6
	default:
		return Response{}
	}
}

// supports reports whether a client knows an extension.
func supports(m *wire.Message, tag string) bool {
	return has(m, wire.Supported, tag) || has(m, wire.Require, tag)
}

// hopKnowsOutbound reports whether who got the REGISTER from the client keeps the
// flow: we did, or a proxy that says so in its Path (RFC 5626 §6).
func hopKnowsOutbound(m *wire.Message) bool {
	hops := 0
	for range m.All(wire.Via) {
		hops++
	}
	if hops == 1 {
		return true
	}
	var first wire.Value
	for v := range m.All(wire.Path) { // the last one is the first that was added
		first = v
	}
	n, ok := wire.ParseNameAddr(first.Bytes())
	if !ok {
		return false
	}
	u, ok := wire.ParseURI(n.URI)
	if !ok {
		return false
	}
	_, ok = u.Param("ob")
	return ok
}

// contact reads one Contact value. Contacts that are no sip URIs are refused:
// nobody but a device registers here, and devices are reached by their flows.
func contact(b []byte, flow location.Flow, sips bool, field location.Expiry) (c location.Contact, res Response) {
	n, ok := wire.ParseNameAddr(b)
	if !ok {
		return c, Response{Status: 400, Reason: "Malformed Contact"}
	}
	u, ok := wire.ParseURI(n.URI)
	isSIPS := bytes.EqualFold(u.Scheme, []byte("sips"))
	if !ok || !isSIPS && !bytes.EqualFold(u.Scheme, []byte("sip")) {
		return c, Response{Status: 400, Reason: "Contact Is No SIP URI"}
	}
	c = location.Contact{URI: string(n.URI), Q: 1000}
	for name, v := range wire.Params(n.Params) {
		switch {
		case bytes.EqualFold(name, []byte("expires")):
			if s, ok := seconds(v); ok {
				c.Expires = location.In(s)
			}
		case bytes.EqualFold(name, []byte("q")):
			c.Q = quality(v)
		case bytes.EqualFold(name, []byte("+sip.instance")):
			c.Instance = string(wire.AppendUnquoted(nil, v))
		case bytes.EqualFold(name, []byte("reg-id")):
			if id, ok := seconds(v); ok && id < 1<<31 { // RFC 5626 §4.2
				c.RegID = id
			}
		}
	}
	if c.Instance == "" {
		c.RegID = 0 // RFC 5626 §6
	}
	removal := c.Expires == location.In(0) || c.Expires == (location.Expiry{}) && field == location.In(0)
	switch {
	case removal:
	case sips && !isSIPS: // RFC 3261 §10.2.1
		return c, Response{Status: 400, Reason: "Contact Is No SIPS URI"}
	case isSIPS && !flow.Secure():
		return c, Response{Status: 403, Reason: "SIPS Needs TLS", Rule: RuleSIPS}
	}
	return c, Response{}
}

// seconds reads delta-seconds; what is beyond 32 bits is the largest there is
// (RFC 3261 §20.19), and what is no number is none.
func seconds(b []byte) (n uint32, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n > (math.MaxUint32-9)/10 {
			n = math.MaxUint32
			continue
		}
		n = n*10 + uint32(c-'0')
	}
	return n, len(b) > 0
}

// quality reads a qvalue in thousandths (RFC 3261 §25.1). What is none counts
// as the default, 1.
func quality(b []byte) uint16 {
	if len(b) == 0 || len(b) > 5 || b[0] != '0' && b[0] != '1' || len(b) > 1 && b[1] != '.' {
		return 1000
	}
	q := uint16(b[0]-'0') * 1000
	for i, weight := 2, uint16(100); i < len(b); i, weight = i+1, weight/10 {
		if b[i] < '0' || b[i] > '9' {
			return 1000
		}
		q += uint16(b[i]-'0') * weight
	}
	return min(q, 1000)
}

// has reports whether a list of option tags names tag.
func has(m *wire.Message, f wire.Field, tag string) bool {
	for v := range m.All(f) {
		if bytes.EqualFold(v.Bytes(), []byte(tag)) {
			return true
		}
	}
	return false
}

// value returns the value of a field, nil for none.
func value(m *wire.Message, f wire.Field) []byte {
	v, _ := m.Get(f)
	return v.Bytes()
}
