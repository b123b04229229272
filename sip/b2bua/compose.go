package b2bua

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"bellhop/routing/call"
	"bellhop/routing/location"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A composer is the memory that composing a message takes, lent by a pool.
type composer struct {
	wire.Splice
	line []byte // header lines being written
	text []byte // values that replace others
}

func (b *B2BUA) composer() *composer {
	c := b.composers.Get().(*composer)
	c.line, c.text = c.line[:0], c.text[:0]
	return c
}

// carried are the option tags of Supported and Require that work from end to
// end across us; others are taken out, so that nobody counts on what we do not
// carry (RFC 3261 §8.1.1.9, §19.2). timer is ours to say on each leg.
var carried = [...]string{"100rel", "precondition", "early-session", "histinfo", "answermode", "resource-priority", "sdp-anat"} //nolint:gochecknoglobals // a table

func isCarried(option []byte) bool {
	for _, name := range carried {
		if bytes.EqualFold(option, []byte(name)) {
			return true
		}
	}
	return false
}

// reliably reports whether a message requires 100rel (RFC 3262).
func reliably(m *wire.Message) bool { return m != nil && names(m, wire.Require, "100rel") }

// names reports whether a list of tokens has one, case ignored.
func names(m *wire.Message, f wire.Field, token string) bool {
	for v := range m.All(f) {
		if bytes.EqualFold(v.Bytes(), []byte(token)) {
			return true
		}
	}
	return false
}

// maxID is how long a Call-ID or tag of a caller may be, in bytes.
const maxID = 256

// acceptable is what a user agent server looks at before it rings anybody (RFC
// 3261 §8.2.2.3); it returns the status to refuse with, or 0.
func (a *anchor) acceptable(m *wire.Message) (status int, lines []byte) {
	if status, lines = unsupported(m); status != 0 {
		return status, lines
	}
	if len(m.CallID()) > maxID || len(m.FromTag()) > maxID { // the journal keeps them
		return 400, nil
	}
	for range m.Named("Join") {
		return call.TransferStatus, nil
	}
	if m.Has(wire.Replaces) {
		return call.TransferStatus, nil
	}
	if a.sess.TooShort() {
		return 422, appendSeconds(nil, "Min-SE", call.MinSession)
	}
	return 0, nil
}

// unsupported refuses what a request requires and we do not carry.
func unsupported(m *wire.Message) (status int, lines []byte) {
	for v := range m.All(wire.Require) {
		if !isCarried(v.Bytes()) && !bytes.EqualFold(v.Bytes(), []byte("timer")) {
			status = 420
			lines = wire.AppendLine(lines, "Unsupported", v.Bytes())
		}
	}
	return status, lines
}

// sessionOf reads what a message says of the session timer (RFC 4028).
func sessionOf(m *wire.Message) (s call.Session) {
	s.Supported = names(m, wire.Supported, "timer") || names(m, wire.Require, "timer")
	s.Update = names(m, wire.Allow, "UPDATE")
	if v, ok := m.Get(wire.SessionExpires); ok {
		n, params, _ := bytes.Cut(v.Bytes(), []byte(";"))
		s.Expires = seconds(n)
		if r, ok := wire.Param(append([]byte(";"), params...), "refresher"); ok {
			switch {
			case bytes.EqualFold(r, []byte("uac")):
				s.Refresher = call.UAC
			case bytes.EqualFold(r, []byte("uas")):
				s.Refresher = call.UAS
			}
		}
	}
	if v, ok := m.Get(wire.MinSE); ok {
		n, _, _ := bytes.Cut(v.Bytes(), []byte(";"))
		s.MinSE = seconds(n)
	}
	return s
}

// seconds reads a number of seconds, at most a day; 0 for none.
func seconds(b []byte) time.Duration {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(min(n, 86400)) * time.Second
}

func appendSeconds(dst []byte, name string, d time.Duration) []byte {
	dst = append(append(dst, name...), ": "...)
	dst = strconv.AppendInt(dst, int64(d/time.Second), 10)
	return append(dst, "\r\n"...)
}

// appendSession writes what a message says of the session timer.
func appendSession(dst []byte, s call.Session, response bool) []byte {
	if s.Supported {
		dst = append(dst, "Supported: timer\r\n"...)
	}
	if s.Expires > 0 {
		dst = appendSeconds(dst, "Session-Expires", s.Expires)
		switch s.Refresher {
		case call.UAC:
			dst = append(dst[:len(dst)-2], ";refresher=uac\r\n"...)
			if response { // RFC 4028 §9
				dst = append(dst, "Require: timer\r\n"...)
			}
		case call.UAS:
			dst = append(dst[:len(dst)-2], ";refresher=uas\r\n"...)
		case call.Unsaid:
		default:
			panic("b2bua: unknown refresher")
		}
	}
	if s.MinSE > 0 {
		dst = appendSeconds(dst, "Min-SE", s.MinSE)
	}
	return dst
}

// strip takes out what belongs to the leg that a message came over.
func (c *composer) strip(m *wire.Message) {
	for _, f := range [...]wire.Field{
		wire.Via, wire.RecordRoute, wire.Route, wire.Contact, wire.Path, wire.ServiceRoute, wire.Timestamp,
		wire.SessionExpires, wire.MinSE, wire.MaxBreadth, wire.RSeq, wire.RAck,
		wire.Authorization, wire.ProxyAuthorization, wire.WWWAuthenticate, wire.ProxyAuthenticate, wire.AuthenticationInfo,
		wire.Replaces, wire.TargetDialog,
	} {
		if m.Has(f) {
			c.RemoveAll(f)
		}
	}
	for _, f := range [...]wire.Field{wire.Supported, wire.Require} {
		for v := range m.All(f) {
			if !isCarried(v.Bytes()) {
				c.Remove(v)
			}
		}
	}
	if !m.IsRequest() { // 100rel is for each hop of ours to say: see Pass
		for v := range m.All(wire.Require) {
			if bytes.EqualFold(v.Bytes(), []byte("100rel")) {
				c.Remove(v)
			}
		}
	}
}

// name puts the fields in that name the dialog and the request: From, To,
// Call-ID and CSeq of a request of ours.
func (c *composer) name(m *wire.Message, d *dialog, method []byte) {
	from := len(c.text)
	c.text = appendTagged(c.text, d.local, d.localTag)
	from = c.field(m, wire.From, from)
	c.text = appendTagged(c.text, d.remote, d.remoteTag)
	from = c.field(m, wire.To, from)
	c.text = append(c.text, d.callID...)
	from = c.field(m, wire.CallID, from)
	c.text = append(appendUint(c.text, d.localSeq), method...)
	c.field(m, wire.CSeq, from)
}

// field replaces the value of a field that a message has once by what c.text has
// from an offset on. It returns the offset of the next.
func (c *composer) field(m *wire.Message, f wire.Field, from int) int {
	if v, ok := m.Get(f); ok {
		c.Replace(v, c.text[from:])
	}
	return len(c.text)
}

// appendTagged writes a name-addr with its tag, if it has one.
func appendTagged(dst []byte, name, tag string) []byte {
	dst = append(dst, name...)
	if tag != "" {
		dst = append(append(dst, ";tag="...), tag...)
	}
	return dst
}

func tagged(name, tag string) string { return string(appendTagged(nil, name, tag)) }

// appendVia writes our Via.
func (b *B2BUA) appendVia(dst []byte, f location.Flow, id transaction.ID) []byte {
	dst = append(append(dst, "Via: SIP/2.0/"...), f.Transport.String()...)
	dst = b.net.Advertise(f.Local).AppendTo(append(dst, ' '))
	dst = id.AppendBranch(append(dst, ";branch="...), 0)
	return append(dst, ";rport\r\n"...)
}

func appendRoutes(dst []byte, routes []string) []byte {
	for _, r := range routes {
		dst = wire.AppendLine(dst, "Route", r)
	}
	return dst
}

// relay appends the request m, which came over the other leg, as it goes on
// within the dialog d. lines are header lines more.
func (b *B2BUA) relay(dst []byte, m *wire.Message, from, d *dialog, f location.Flow, id transaction.ID, s call.Session, lines []byte) []byte {
	c := b.composer()
	defer b.composers.Put(c)
	c.Reset(m)
	c.strip(m)
	c.cross(m, from, d)
	uri, routes := d.addressed()
	c.SetRequestURI([]byte(uri))
	c.line = b.appendVia(c.line, f, id)
	c.line = appendRoutes(c.line, routes)
	c.InsertTop(c.line)
	c.name(m, d, m.MethodBytes())
	n, ok := m.MaxForwards()
	if !ok {
		n = maxForwards + 1
	}
	c.SetMaxForwards(max(n-1, 0))
	c.line = c.line[:0]
	if m.Has(wire.Contact) {
		c.line = wire.AppendLine(c.line, "Contact", d.contact)
	}
	c.line = appendSession(c.line, s, false)
	c.line = append(c.line, lines...)
	c.Append(c.line)
	return c.AppendTo(dst)
}

// maxForwards is that of a request of ours, and of one that came without.
const maxForwards = 70

// own appends a request of our own within the dialog d.
func (b *B2BUA) own(dst []byte, method string, d *dialog, f location.Flow, id transaction.ID, seq uint32, lines []byte, sdp body) []byte {
	uri, routes := d.addressed()
	dst = append(append(append(append(dst, method...), ' '), uri...), " SIP/2.0\r\n"...)
	dst = b.appendVia(dst, f, id)
	dst = append(dst, "Max-Forwards: 70\r\n"...)
	dst = appendRoutes(dst, routes)
	var room [256]byte
	dst = wire.AppendLine(dst, "From", appendTagged(room[:0], d.local, d.localTag))
	dst = wire.AppendLine(dst, "To", appendTagged(room[:0], d.remote, d.remoteTag))
	dst = wire.AppendLine(dst, "Call-ID", d.callID)
	dst = append(dst, "CSeq: "...)
	dst = strconv.AppendUint(dst, uint64(seq), 10)
	dst = append(append(append(dst, ' '), method...), "\r\n"...)
	if method == "INVITE" || method == "UPDATE" {
		dst = wire.AppendLine(dst, "Contact", d.contact)
		dst = append(dst, "Allow: "+allow+"\r\n"...)
	}
	dst = append(dst, lines...)
	if len(sdp.bytes) > 0 {
		dst = wire.AppendLine(dst, "Content-Type", sdp.kind)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(sdp.bytes)), 10)
	return append(append(dst, "\r\n\r\n"...), sdp.bytes...)
}

// allow is what we take within a call, whatever the other end does with it.
const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, MESSAGE"

// An up is what is to be said in a response that goes on to the other leg.
type up struct {
	status  int
	rseq    uint32 // not 0: it is sent reliably
	body    body   // in the place of its own, when kept
	drop    bool   // without session description
	kept    bool
	session call.Session
	tag     string  // our To tag, for a request that has none
	from    *dialog // the leg it came over
	to      *dialog
	contact string
}

// pass appends the response res of the other leg as the response to the request
// p that we say it is.
func (b *B2BUA) pass(dst []byte, res *wire.Message, p *transport.Packet, u *up) []byte {
	c := b.composer()
	defer b.composers.Put(c)
	m := &p.Msg
	c.Reset(res)
	c.strip(res)
	c.cross(res, u.from, u.to)
	if u.status != 420 {
		c.RemoveAll(wire.Unsupported)
	}
	if u.status != res.Status() {
		c.SetStatus(u.status, wire.ReasonPhrase(u.status))
	}
	c.line = appendVias(c.line, p)
	early := u.status > 100 && u.status < 300
	if early {
		for v := range m.All(wire.RecordRoute) {
			c.line = wire.AppendLine(c.line, "Record-Route", v.Bytes())
		}
	}
	c.InsertTop(c.line)
	c.line = c.line[:0]
	for _, f := range [...]wire.Field{wire.From, wire.To, wire.CallID, wire.CSeq} {
		v, _ := m.Get(f)
		from := len(c.text)
		c.text = append(c.text, v.Bytes()...)
		if f == wire.To && len(m.ToTag()) == 0 {
			c.text = append(append(c.text, ";tag="...), u.tag...)
		}
		c.field(res, f, from)
	}
	if early && u.contact != "" {
		c.line = wire.AppendLine(c.line, "Contact", u.contact)
	}
	c.line = appendSession(c.line, u.session, true)
	if u.rseq != 0 {
		c.line = append(c.line, "Require: 100rel\r\nRSeq: "...)
		c.line = strconv.AppendUint(c.line, uint64(u.rseq), 10)
		c.line = append(c.line, "\r\n"...)
	}
	switch {
	case u.kept:
		c.DropBody()
		c.line = wire.AppendLine(c.line, "Content-Type", u.body.kind)
		c.SetBody(u.body.bytes)
	case u.drop && len(res.Body()) > 0:
		c.DropBody()
	}
	c.Append(c.line)
	return c.AppendTo(dst)
}

// appendVias writes the Via lines of a response to p.
func appendVias(dst []byte, p *transport.Packet) []byte {
	var room [256]byte
	top := true
	for v := range p.Msg.All(wire.Via) {
		if top {
			dst = wire.AppendLine(dst, "Via", p.Msg.AppendTopVia(room[:0], p.Flow.Remote))
			top = false
			continue
		}
		dst = wire.AppendLine(dst, "Via", v.Bytes())
	}
	return dst
}

// reasonLine is the Reason field of a CANCEL or BYE (RFC 3326), nothing for none.
func reasonLine(reason string) []byte {
	if reason == "" {
		return nil
	}
	return wire.AppendLine(nil, "Reason", reason)
}

// quoted is a display name as it stands in a name-addr.
func quoted(display string) string {
	if display == "" {
		return ""
	}
	return string(wire.AppendQuoted(nil, strings.ToValidUTF8(display, "?"))) + " "
}
