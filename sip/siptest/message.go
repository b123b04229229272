package siptest

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	sipmsg "github.com/emiago/sipgo/sip"
)

// A Message is one that a phone received, as sipgo reads it.
type Message struct {
	Raw      []byte
	From     netip.AddrPort
	At       time.Time
	Request  *sipmsg.Request  // nil for a response
	Response *sipmsg.Response // nil for a request
}

// Parse reads a message with sipgo's parser.
func Parse(raw []byte) (*Message, error) {
	m := &Message{Raw: raw, At: time.Now()}
	parsed, err := sipmsg.ParseMessage(raw)
	if err != nil {
		return nil, fmt.Errorf("siptest: sipgo cannot read this: %w\n%s", err, raw)
	}
	switch p := parsed.(type) {
	case *sipmsg.Request:
		m.Request = p
	case *sipmsg.Response:
		m.Response = p
	default:
		return nil, fmt.Errorf("siptest: sipgo read a %T", parsed)
	}
	return m, nil
}

// A common is what requests and responses of sipgo have in common.
type common interface {
	GetHeader(name string) sipmsg.Header
	GetHeaders(name string) []sipmsg.Header
	CallID() *sipmsg.CallIDHeader
	CSeq() *sipmsg.CSeqHeader
	From() *sipmsg.FromHeader
	To() *sipmsg.ToHeader
	Via() *sipmsg.ViaHeader
	Body() []byte
}

func (m *Message) any() common {
	if m.Request != nil {
		return m.Request
	}
	return m.Response
}

// Method is the method of a request, or of the CSeq of a response.
func (m *Message) Method() string {
	if m.Request != nil {
		return string(m.Request.Method)
	}
	if h := m.Response.CSeq(); h != nil {
		return string(h.MethodName)
	}
	return ""
}

// Status is the status of a response, 0 for a request.
func (m *Message) Status() int {
	if m.Response == nil {
		return 0
	}
	return m.Response.StatusCode
}

// Reason is the reason phrase of a response.
func (m *Message) Reason() string {
	if m.Response == nil {
		return ""
	}
	return m.Response.Reason
}

// Word is the message in a word: its method, or its status and method.
func (m *Message) Word() string {
	if m.Response != nil {
		return strconv.Itoa(m.Status()) + " " + m.Method()
	}
	return m.Method()
}

// Header returns the first value of a field, "" for none.
func (m *Message) Header(name string) string {
	if h := m.any().GetHeader(name); h != nil {
		return h.Value()
	}
	return ""
}

// Headers returns the values of all lines of a field.
func (m *Message) Headers(name string) []string {
	var out []string
	for _, h := range m.any().GetHeaders(name) {
		out = append(out, h.Value())
	}
	return out
}

// Lines returns the lines of a field as they were received.
func (m *Message) Lines(name string) []string {
	var out []string
	head, _, _ := bytes.Cut(m.Raw, []byte("\r\n\r\n"))
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if n, _, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(n), name) {
			out = append(out, line)
		}
	}
	return out
}

// Body is the body as it was received.
func (m *Message) Body() string { return string(m.any().Body()) }

// URI is the Request-URI as it was received.
func (m *Message) URI() string {
	line, _, _ := bytes.Cut(m.Raw, []byte("\r\n"))
	f := strings.Fields(string(line))
	if len(f) < 2 {
		return ""
	}
	return f[1]
}

// CallID is the Call-ID.
func (m *Message) CallID() string {
	if h := m.any().CallID(); h != nil {
		return h.Value()
	}
	return ""
}

// CSeq is the number of the CSeq.
func (m *Message) CSeq() uint32 {
	if h := m.any().CSeq(); h != nil {
		return h.SeqNo
	}
	return 0
}

// FromTag is the tag of From.
func (m *Message) FromTag() string {
	if h := m.any().From(); h != nil {
		tag, _ := h.Params.Get("tag")
		return tag
	}
	return ""
}

// ToTag is the tag of To, "" for none.
func (m *Message) ToTag() string {
	if h := m.any().To(); h != nil {
		tag, _ := h.Params.Get("tag")
		return tag
	}
	return ""
}

// Branch is the branch of the top Via.
func (m *Message) Branch() string {
	if h := m.any().Via(); h != nil {
		b, _ := h.Params.Get("branch")
		return b
	}
	return ""
}

// Contact is the URI of the first Contact.
func (m *Message) Contact() string {
	for _, v := range m.Headers("Contact") {
		return bracketed(v)
	}
	return ""
}

// Routes are the values of Record-Route, in their order in the message.
func (m *Message) Routes() []string {
	var out []string
	for _, v := range m.Headers("Record-Route") {
		out = append(out, splitValues(v)...)
	}
	return out
}

// bracketed returns what stands in angle brackets, or all of v without parameters.
func bracketed(v string) string {
	if _, rest, ok := strings.Cut(v, "<"); ok {
		uri, _, _ := strings.Cut(rest, ">")
		return uri
	}
	uri, _, _ := strings.Cut(v, ";")
	return strings.TrimSpace(uri)
}

// splitValues splits a list at commas outside of angle brackets and quotes.
func splitValues(v string) (out []string) {
	depth, quoted, start := 0, false, 0
	for i, c := range v {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			depth++
		case c == '>':
			depth--
		case c == ',' && depth == 0:
			out = append(out, strings.TrimSpace(v[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(v[start:]))
}

// A Request is one to be sent. What is empty gets its usual value.
type Request struct {
	Method  string
	URI     string
	From    string // value of From with its tag
	To      string
	CallID  string
	CSeq    uint32
	Via     string // the whole value; empty: the phone's address with Branch
	Branch  string
	Routes  []string
	Hops    string // Max-Forwards; "-" leaves it out
	Contact string // "-" leaves it out
	Lines   []string
	Body    string
}

// render makes the request text, and checks that sipgo can read it.
func (r *Request) render(p *Phone) []byte {
	if r.Branch == "" {
		r.Branch = p.branch()
	}
	if r.Via == "" {
		r.Via = "SIP/2.0/" + cmp.Or(p.Transport, "UDP") + " " + p.host() + ";branch=" + r.Branch + ";rport"
	}
	if r.Contact == "" {
		r.Contact = "-"
		switch r.Method {
		case "INVITE", "SUBSCRIBE", "NOTIFY", "UPDATE", "REFER":
			r.Contact = "<" + p.Contact() + ">"
		}
	}
	if r.Hops == "" {
		r.Hops = "70"
	}
	var b strings.Builder
	line := func(name, value string) {
		if value != "-" {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	b.WriteString(r.Method + " " + r.URI + " SIP/2.0\r\n")
	line("Via", r.Via)
	line("Max-Forwards", r.Hops)
	for _, v := range r.Routes {
		line("Route", v)
	}
	line("From", r.From)
	line("To", r.To)
	line("Call-ID", r.CallID)
	line("CSeq", fmt.Sprintf("%d %s", r.CSeq, r.Method))
	line("Contact", r.Contact)
	for _, l := range r.Lines {
		b.WriteString(l + "\r\n")
	}
	line("Content-Length", strconv.Itoa(len(r.Body)))
	b.WriteString("\r\n" + r.Body)
	return []byte(b.String())
}
