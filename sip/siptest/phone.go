package siptest

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	sipmsg "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// A Line is what a phone is: its name and secret, and where it stands.
type Line struct {
	Device   string // authorization name
	Password string
	Number   string
	Domain   string
	Addr     netip.AddrPort
	Server   netip.AddrPort
	Instance string // +sip.instance without quotes, "" for none

	Transport string // of Via and Contact: "" is UDP
	Host      string // in Via and Contact, for one that knows no address of its own; "": Addr
	// Dial makes its connection; nil for UDP.
	Dial func(from, to netip.AddrPort) (net.Conn, error)
}

// A Phone is a user agent that follows the script of a test. It starts no
// goroutine and sends nothing that the test did not say; what it sends and
// receives it writes into Ladder. It is not safe for concurrent use.
type Phone struct {
	Line

	// Algorithm is the one that the phone answers challenges with; "": the first
	// that it is offered and can.
	Algorithm string
	// Ladder has a line for every message: "> INVITE", "< 407 INVITE".
	Ladder []string
	// Patience is how long Wait waits: a minute.
	Patience time.Duration

	net       *Network
	conn      *Conn
	challenge *digest.Challenge
	count     int // nc
	ids       int
	cseq      uint32 // of REGISTERs
}

// NewPhone puts a phone into the network.
func NewPhone(n *Network, l Line) *Phone {
	p := &Phone{Line: l, net: n, Patience: time.Minute}
	p.conn = p.connect()
	return p
}

// connect gives the phone its socket, or its connection.
func (p *Phone) connect() *Conn {
	if p.Dial == nil {
		return p.net.Listen(p.Addr)
	}
	c := &Conn{net: p.net, addr: p.Addr, queue: make(chan Datagram, depth), closed: make(chan struct{})}
	stream, err := p.Dial(p.Addr, p.Server)
	if err != nil {
		panic(err) // a mistake of the test
	}
	c.stream = stream
	go c.receive(p.Server)
	return c
}

// Move gives the phone another address; the old one is dead.
func (p *Phone) Move(to netip.AddrPort) {
	_ = p.conn.Close()
	p.Addr = to
	p.conn = p.connect()
	p.challenge = nil // a nonce is for one source
}

// Close takes the phone off the network.
func (p *Phone) Close() { _ = p.conn.Close() }

// AOR is the address-of-record of the phone.
func (p *Phone) AOR() string { return "sip:" + p.Number + "@" + p.Domain }

// Contact is the URI the phone registers.
func (p *Phone) Contact() string {
	uri := "sip:" + p.Number + "@" + p.host()
	if p.Transport != "" {
		uri += ";transport=" + strings.ToLower(p.Transport)
	}
	return uri
}

// host is the phone's own name for where it is.
func (p *Phone) host() string { return cmp.Or(p.Host, p.Addr.String()) }

// ID returns what no other message has.
func (p *Phone) ID() string {
	p.ids++
	return fmt.Sprintf("%s-%d-%d", p.Device, p.Addr.Port(), p.ids)
}

func (p *Phone) branch() string { return "z9hG4bK" + p.ID() }

// SendRaw sends any bytes; word is what the ladder says of them, "" nothing.
func (p *Phone) SendRaw(b []byte, word string) {
	if word != "" {
		p.Ladder = append(p.Ladder, "> "+word)
	}
	_, _ = p.conn.WriteTo(b, net.UDPAddrFromAddrPort(p.Server))
}

// Send sends a request and returns its text, to be sent again.
func (p *Phone) Send(r *Request) []byte {
	b := r.render(p)
	p.SendRaw(b, r.Method)
	return b
}

// Next waits d for a message; nil when none came.
func (p *Phone) Next(tb testing.TB, d time.Duration) *Message {
	tb.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	var dg Datagram
	select {
	case dg = <-p.conn.queue:
	default:
		select {
		case dg = <-p.conn.queue:
		case <-timer.C:
			return nil
		}
	}
	m, err := Parse(dg.Data)
	if err != nil {
		tb.Fatalf("%s got what sipgo cannot read: %v\n%q", p.Device, err, dg.Data)
	}
	m.From = dg.From
	p.Ladder = append(p.Ladder, "< "+m.Word())
	return m
}

// Wait waits for the next message, which must be this one: a method, or a status
// and a method.
func (p *Phone) Wait(tb testing.TB, word string) *Message {
	tb.Helper()
	m := p.Next(tb, p.Patience)
	if m == nil {
		tb.Fatalf("%s got nothing, want %s; so far:\n%s", p.Device, word, strings.Join(p.Ladder, "\n"))
	}
	if m.Word() != word {
		tb.Fatalf("%s got %s (%s), want %s; so far:\n%s", p.Device, m.Word(), m.Reason(), word, strings.Join(p.Ladder, "\n"))
	}
	return m
}

// Quiet fails when a message comes within d.
func (p *Phone) Quiet(tb testing.TB, d time.Duration) {
	tb.Helper()
	if m := p.Next(tb, d); m != nil {
		tb.Fatalf("%s got %s (%s), want nothing for %v; so far:\n%s\n%s", p.Device, m.Word(), m.Reason(), d, strings.Join(p.Ladder, "\n"), m.Raw)
	}
}

// Saw checks the ladder, and begins a new one: every message counts.
func (p *Phone) Saw(tb testing.TB, want ...string) {
	tb.Helper()
	for m := p.Next(tb, 0); m != nil; m = p.Next(tb, 0) { // what came and nobody waited for
	}
	if !slices.Equal(p.Ladder, want) {
		tb.Errorf("%s saw\n\t%s\nwant\n\t%s", p.Device, strings.Join(p.Ladder, "\n\t"), strings.Join(want, "\n\t"))
	}
	p.Ladder = nil
}

// Learn keeps the challenge of a 401 or 407 for the requests to come.
func (p *Phone) Learn(tb testing.TB, res *Message) *digest.Challenge {
	tb.Helper()
	name := "Proxy-Authenticate"
	if res.Status() == 401 {
		name = "WWW-Authenticate"
	}
	for _, v := range res.Headers(name) {
		c, err := digest.ParseChallenge(v)
		if err != nil {
			tb.Fatalf("challenge %q: %v", v, err)
		}
		if digest.CanDigest(c) && (p.Algorithm == "" || strings.EqualFold(c.Algorithm, p.Algorithm)) {
			p.challenge, p.count = c, 0
			return c
		}
	}
	tb.Fatalf("%s: no challenge it can answer in\n%s", p.Device, res.Raw)
	return nil
}

// Forget makes the phone wait for a challenge again.
func (p *Phone) Forget() { p.challenge = nil }

// Credentials returns the header line that answers the last challenge; "" when
// there was none.
func (p *Phone) Credentials(tb testing.TB, method, uri string) string {
	tb.Helper()
	if p.challenge == nil {
		return ""
	}
	p.count++
	c, err := digest.Digest(p.challenge, digest.Options{
		Method: method, URI: uri, Count: p.count, Username: p.Device, Password: p.Password, Cnonce: "0a4f113b",
	})
	if err != nil {
		tb.Fatal(err)
	}
	if method == "REGISTER" {
		return "Authorization: " + c.String()
	}
	return "Proxy-Authorization: " + c.String()
}

// A Registration is what a REGISTER says beside the usual.
type Registration struct {
	Contacts []string // values; nil: the phone's own; empty: none, to ask
	Expires  string   // "": 3600; "-" leaves it out
	CallID   string   // "": the phone's
	CSeq     uint32   // 0: the next
	Lines    []string
}

// SendRegister sends a REGISTER with credentials when a challenge is known.
func (p *Phone) SendRegister(tb testing.TB, r Registration) []byte {
	tb.Helper()
	if r.CSeq == 0 {
		p.cseq++
		r.CSeq = p.cseq
	}
	if r.Contacts == nil {
		v := "<" + p.Contact() + ">"
		if p.Instance != "" {
			v += `;+sip.instance="` + p.Instance + `"`
		}
		r.Contacts = []string{v}
	}
	if r.CallID == "" {
		r.CallID = "reg-" + p.Device
	}
	uri := "sip:" + p.Domain
	req := Request{
		Method: "REGISTER", URI: uri, From: "<" + p.AOR() + ">;tag=r", To: "<" + p.AOR() + ">",
		CallID: r.CallID, CSeq: r.CSeq, Lines: slices.Clone(r.Lines),
	}
	for _, c := range r.Contacts {
		req.Lines = append(req.Lines, "Contact: "+c)
	}
	switch r.Expires {
	case "":
		req.Lines = append(req.Lines, "Expires: 3600")
	case "-":
	default:
		req.Lines = append(req.Lines, "Expires: "+r.Expires)
	}
	if line := p.Credentials(tb, "REGISTER", uri); line != "" {
		req.Lines = append(req.Lines, line)
	}
	return p.Send(&req)
}

// Register registers, answering one challenge, and returns the final response.
func (p *Phone) Register(tb testing.TB, r Registration) *Message {
	tb.Helper()
	for range 2 {
		p.SendRegister(tb, r)
		res := p.Next(tb, p.Patience)
		if res == nil || res.Method() != "REGISTER" {
			tb.Fatalf("%s: no answer to REGISTER; so far:\n%s", p.Device, strings.Join(p.Ladder, "\n"))
		}
		if res.Status() != 401 {
			return res
		}
		p.Learn(tb, res)
	}
	return nil
}

// An Answer is a response beside the usual.
type Answer struct {
	Status int
	Reason string
	Lines  []string
	Body   string
	Tag    string // "": one for the phone and the Call-ID; "-": none

	NoContact bool // of its own: it is among Lines
}

// Tag is the tag that the phone answers a call with.
func (p *Phone) Tag(callID string) string { return "t" + p.Device + "." + callID }

// Reply answers a request and returns the text, to be sent again.
func (p *Phone) Reply(req *Message, a Answer) []byte {
	if a.Reason == "" {
		a.Reason = "Because"
	}
	res := sipmsg.NewResponseFromRequest(req.Request, a.Status, a.Reason, nil)
	if to := res.To(); to != nil && a.Status > 100 {
		if old := req.ToTag(); old == "" {
			to.Params.Remove("tag")
			tag := a.Tag
			if tag == "" {
				tag = p.Tag(req.CallID())
			}
			if tag != "-" {
				to.Params.Add("tag", tag)
			}
		}
	}
	method := string(req.Request.Method)
	if a.Status/100 <= 2 && a.Status > 100 && (method == "INVITE" || method == "SUBSCRIBE" || method == "UPDATE") && !a.NoContact {
		res.AppendHeader(sipmsg.NewHeader("Contact", "<"+p.Contact()+">"))
	}
	for _, l := range a.Lines {
		name, value, _ := strings.Cut(l, ": ")
		res.AppendHeader(sipmsg.NewHeader(name, value))
	}
	res.SetBody([]byte(a.Body))
	b := []byte(res.String())
	p.SendRaw(b, fmt.Sprintf("%d %s", a.Status, method))
	return b
}
