package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bellhop/sip/wire"
)

// status returns what a parse error is answered with, 0 for none.
func status(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*wire.ParseError](err); ok {
		return e.Status
	}
	return -1
}

func equal(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Errorf("%s = %q, want %q", what, got, want)
	}
}

func diff[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got)\n%s", what, d)
	}
}

func cut(s, sep string) (string, string, bool) { return strings.Cut(s, sep) }

// minimal is the shortest sound request, to be spoilt by the rows below.
const minimal = "OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nTo: <sip:a@b>\nFrom: <sip:c@d>;tag=1\n" +
	"Call-ID: 1@h\nCSeq: 1 OPTIONS\nMax-Forwards: 70\nContent-Length: 0\n\n"

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		old, new string // put into minimal
		status   int
		reason   string
	}{
		{"sound", "", "", 0, ""},
		{"empty lines before", "OPTIONS sip", "\n\n\nOPTIONS sip", 0, ""},
		{"version in small letters", "a@b SIP/2.0", "a@b sip/2.0", 0, ""},
		{"version 3", "a@b SIP/2.0", "a@b SIP/3.0", 505, "Version Not Supported"},
		{"no version", "a@b SIP/2.0", "a@b", 400, "Malformed Request-Line"},
		{"other protocol", "a@b SIP/2.0", "a@b HTTP/1.1", 400, "Malformed Request-Line"},
		{"tab in start line", "OPTIONS sip:a@b ", "OPTIONS\tsip:a@b ", 400, "Malformed Request-Line"},
		{"no method", "OPTIONS sip:a", " sip:a", 400, "Malformed Request-Line"},
		{"method is no token", "OPTIONS sip:a", "OPT(IONS sip:a", 400, "Malformed Request-Line"},
		{"no scheme", "sip:a@b SIP", "a@b SIP", 400, "Malformed Request-URI"},
		{"no host", "sip:a@b SIP", "sip:a@ SIP", 400, "Malformed Request-URI"},
		{"port too large", "sip:a@b SIP", "sip:a@b:65536 SIP", 400, "Malformed Request-URI"},
		{"tel", "sip:a@b SIP", "tel:+4989123 SIP", 0, ""},
		{"headers in an opaque Request-URI", "sip:a@b SIP", "http://b/?x SIP", 0, ""},
		{"long Request-URI", "sip:a@b SIP", "sip:" + strings.Repeat("a", 2048) + "@b SIP", 414, "Request-URI Too Long"},
		{"method differs from CSeq by case", "CSeq: 1 OPTIONS", "CSeq: 1 options", 400, "CSeq Does Not Match Method"},
		{"CSeq without blank", "1 OPTIONS", "1OPTIONS", 400, "Malformed CSeq"},
		{"CSeq without number", "1 OPTIONS", "OPTIONS", 400, "Malformed CSeq"},
		{"CSeq without method", "1 OPTIONS", "1", 400, "Malformed CSeq"},
		{"CSeq at its limit", "1 OPTIONS", "4294967295 OPTIONS", 0, ""},
		{"CSeq beyond", "1 OPTIONS", "4294967296 OPTIONS", 400, "Malformed CSeq"},
		{"CSeq negative", "1 OPTIONS", "-1 OPTIONS", 400, "Malformed CSeq"},
		{"CSeq with more", "1 OPTIONS", "1 OPTIONS x", 400, "Malformed CSeq"},
		{"no Via", "Via: SIP/2.0/UDP h;branch=z9hG4bK1\n", "", 400, "Missing Via"},
		{"no To", "To: <sip:a@b>\n", "", 400, "Missing To"},
		{"no From", "From: <sip:c@d>;tag=1\n", "", 400, "Missing From"},
		{"no Call-ID", "Call-ID: 1@h\n", "", 400, "Missing Call-ID"},
		{"no CSeq", "CSeq: 1 OPTIONS\n", "", 400, "Missing CSeq"},
		{"two To", "To:", "t: sip:x@y\nTo:", 400, "Multiple To"},
		{"two From", "From:", "f: sip:x@y\nFROM:", 400, "Multiple From"},
		{"two Call-ID", "Call-ID:", "i: 7\nCall-ID:", 400, "Multiple Call-ID"},
		{"two CSeq", "CSeq:", "CSEQ: 1 OPTIONS\nCSeq:", 400, "Multiple CSeq"},
		{"two Max-Forwards", "Max-Forwards:", "Max-Forwards: 70\nMax-Forwards:", 400, "Multiple Max-Forwards"},
		{"two equal Content-Length", "Content-Length:", "l: 0\nContent-Length:", 400, "Multiple Content-Length"},
		{"two To in one", "<sip:a@b>\n", "<sip:a@b>, <sip:x@y>\n", 400, "Malformed To"},
		{"empty To", "To: <sip:a@b>", "To:", 400, "Malformed To"},
		{"empty Call-ID", "Call-ID: 1@h", "Call-ID: ", 400, "Malformed Call-ID"},
		{"Call-ID with blank", "Call-ID: 1@h", "Call-ID: 1 h", 400, "Malformed Call-ID"},
		{"Call-ID too long", "1@h", strings.Repeat("1", 513), 400, "Malformed Call-ID"},
		{"tag too long", "tag=1", "tag=" + strings.Repeat("1", 513), 400, "Malformed From"},
		{"quoted tag", "tag=1", `tag="1"`, 400, "Malformed From"},
		{"branch too long", "bK1", "bK" + strings.Repeat("1", 513), 400, "Malformed Via"},
		{"two branches", "bK1", "bK1;Branch=z9hG4bK2", 400, "Malformed Via"},
		{"two received", "bK1", "bK1;received=1;received=2", 400, "Malformed Via"},
		{"two rport", "bK1", "bK1;rport;rport", 400, "Malformed Via"},
		{"quote inside a Via parameter", "bK1", `bK1;x=a"b,c"`, 400, "Malformed Via"},
		{"empty Via parameter", "bK1", "bK1;", 400, "Malformed Via"},
		{"Via without host", "UDP h;", "UDP ;", 400, "Malformed Via"},
		{"Via with blanks around the colon", "UDP h;", "UDP h : 5060 ;", 0, ""},
		{"Via of an unknown version", "Via: SIP/2.0/", "Via: SIP/4.0/", 0, ""},
		{"Via of two values", "bK1", "bK1 , SIP/2.0/TCP g", 0, ""},
		{"Max-Forwards 256", "s: 70", "s: 256", 400, "Malformed Max-Forwards"},
		{"Max-Forwards no number", "s: 70", "s: many", 400, "Malformed Max-Forwards"},
		{"no Max-Forwards", "Max-Forwards: 70\n", "", 0, ""},
		{"Content-Length no number", "h: 0", "h: +0", 400, "Malformed Content-Length"},
		{"Content-Length empty", "h: 0", "h:", 400, "Malformed Content-Length"},
		{"Content-Length of 33 bits", "h: 0", "h: 4294967296", 400, "Body Shorter Than Content-Length"},
		{"Content-Length too large", "h: 0", "h: 1", 400, "Body Shorter Than Content-Length"},
		{"no Content-Length", "Content-Length: 0\n", "", 0, ""},
		{"line without colon", "Max-F", "Nonsense\nMax-F", 400, "Malformed Header Line"},
		{"name with blank inside", "Max-F", "Non sense: 1\nMax-F", 400, "Malformed Header Line"},
		{"no name", "Max-F", ": 1\nMax-F", 400, "Malformed Header Line"},
		{"folded first line", "Via:", " Via:", 400, "Malformed Header Line"},
		{"blanks before the colon", "Max-Forwards:", "Max-Forwards \t :", 0, ""},
		{"colon on the next line", "Max-Forwards:", "Max-Forwards\n :", 400, "Malformed Header Line"},
		{"254 lines", "Max-F", strings.Repeat("X: y\n", 247) + "Max-F", 0, ""},
		{"255 lines", "Max-F", strings.Repeat("X: y\n", 248) + "Max-F", 400, "Too Many Header Lines"},
		{"CR alone in a value", "Max-F", "X: a\rRoute: <sip:evil>\nMax-F", 400, "CR Without LF"},
		{"CR alone in the start line", "sip:a@b SIP", "sip:a\r@b SIP", 400, "Malformed Request-URI"},
		{"CRs before LF", "s: 70", "s: 70\r\r", 400, "CR Without LF"},
		{"NUL", "Max-F", "X: \x00\nMax-F", 400, "NUL in Header"},
		{"quoted NULs", "Max-F", "X: \"\\\x00\\\x00\"\nMax-F", 0, ""},
		{"second NUL not quoted", "Max-F", "X: \"\\\x00\x00\"\nMax-F", 400, "NUL in Header"},
		{"no end of header", "Length: 0\n\n", "Length: 0\n", 400, "Header Without End"},
		{"cut in a line", "Length: 0\n\n", "Len", 400, "Header Without End"},
		{"message too large", "Length: 0\n\n", "Length: 0\n\n" + strings.Repeat("x", 65536), 513, "Message Too Large"},
	}
	for _, row := range tests {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			in := strings.Replace(minimal, row.old, row.new, 1)
			if row.new != "" && row.old != "" && in == minimal {
				t.Fatalf("%q is not in the message", row.old)
			}
			var m wire.Message
			err := m.Parse(crlf(in))
			if got := status(err); got != row.status {
				t.Fatalf("Parse = %d %v, want %d", got, err, row.status)
			}
			if err != nil && m.Err().Reason != row.reason {
				t.Errorf("Reason = %q, want %q", m.Err().Reason, row.reason)
			}
		})
	}
}

// TestParseLineEnds replaces each CRLF of a header by LF alone: a message that
// one reader takes for two lines and another for one must go nowhere, but can
// still be answered.
func TestParseLineEnds(t *testing.T) {
	t.Parallel()
	in := strings.Replace(minimal, "Max-F", "Subject: a\n b\nMax-F", 1)
	for i, c := range in {
		if c != '\n' {
			continue
		}
		b := append(append(crlf(in[:i]), '\n'), crlf(in[i+1:])...)
		var m wire.Message
		err := m.Parse(b)
		if status(err) != 400 || m.Err().Reason != "LF Without CR" || !m.Answerable() {
			t.Errorf("Parse = %v, Answerable = %v, want 400, of %q", err, m.Answerable(), b)
		}
	}
	var m wire.Message
	if err := m.Parse([]byte(in)); status(err) != 400 {
		t.Errorf("Parse = %v, want 400, of LFs alone", err)
	}
	if err := m.Parse(crlf(strings.Replace(minimal, "Content-Length: 0\n\n", "\na\nb", 1) + "\x00\r")); err != nil {
		t.Errorf("Parse = %v, want nil: a body may hold anything", err)
	}
}

func TestParseStatusLine(t *testing.T) {
	t.Parallel()
	_, rest, _ := bytes.Cut(ringing, []byte("\r\n"))
	tests := []struct {
		line   string
		err    int
		status int
		reason string
	}{
		{"SIP/2.0 180 Ringing", 0, 180, "Ringing"},
		{"sip/2.0 180 Ringing", 0, 180, "Ringing"},
		{"SIP/2.0 200 ", 0, 200, ""},
		{"SIP/2.0 200", 0, 200, ""},
		{"SIP/2.0 699 A  b ", 0, 699, "A  b "},
		{"SIP/2.0 99 Low", 400, 0, ""},
		{"SIP/2.0 099 Low", 400, 0, ""},
		{"SIP/2.0 700 High", 400, 0, ""},
		{"SIP/2.0 2000 Long", 400, 0, ""},
		{"SIP/2.0 20x OK", 400, 0, ""},
		{"SIP/2.0  200 OK", 400, 0, ""},
		{"SIP/2.0", 400, 0, ""},
		{"SIP/2.1 200 OK", 505, 200, "OK"},
	}
	for _, row := range tests {
		t.Run(row.line, func(t *testing.T) {
			t.Parallel()
			var m wire.Message
			err := m.Parse(append([]byte(row.line+"\r\n"), rest...))
			if status(err) != row.err || m.Status() != row.status || string(m.Reason()) != row.reason || m.IsRequest() {
				t.Errorf("Parse = %v, %d %q, want %d, %d %q", err, m.Status(), m.Reason(), row.err, row.status, row.reason)
			}
		})
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	m := parse(t, invite)
	equal(t, "MethodBytes", m.MethodBytes(), "INVITE")
	equal(t, "RequestURI", m.RequestURI(), "sip:1002@example.com;user=phone")
	equal(t, "CallID", m.CallID(), "84kd93kfLSk93kf_dk39Fk3@192.0.2.17")
	equal(t, "FromTag", m.FromTag(), "8a7f6e5d")
	equal(t, "ToTag", m.ToTag(), "")
	equal(t, "CSeqMethodBytes", m.CSeqMethodBytes(), "INVITE")
	via := m.TopVia()
	equal(t, "Transport", via.Transport, "UDP")
	equal(t, "Host", via.Host, "192.0.2.17")
	equal(t, "Port", via.Port, "5060")
	equal(t, "Branch", via.Branch, "z9hG4bK-524287-1---5a8f")
	if !m.IsRequest() || m.Method() != wire.Invite || m.CSeq() != 2 || !via.HasRPort || !via.HasCookie() || via.IsZero() ||
		!m.Answerable() || m.Status() != 0 {
		t.Errorf("the index of %q is wrong", m.Bytes())
	}
	if n, ok := m.ContentLength(); n != len(m.Body()) || !ok {
		t.Errorf("ContentLength = %d, %v, want %d", n, ok, len(m.Body()))
	}
	if _, ok := m.Expires(); ok {
		t.Error("Expires = ok, want none")
	}
	if !bytes.HasPrefix(m.Body(), []byte("v=0\r\n")) || !bytes.HasSuffix(m.Body(), []byte("a=sendrecv\r\n")) {
		t.Errorf("Body = %q", m.Body())
	}
	m = parse(t, ok200)
	equal(t, "ToTag", m.ToTag(), "20f8a")
	equal(t, "Body", m.Body(), "v=0\r\n")
	if m.IsRequest() || m.Status() != 200 || m.CSeqMethod() != wire.Invite || m.Method() != wire.Unknown || m.Answerable() {
		t.Errorf("the index of %q is wrong", m.Bytes())
	}
}

func TestExpires(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		n  uint32
		ok bool
	}{
		"3600": {3600, true}, "0": {0, true}, " 007 ": {7, true}, "99999999999": {1<<32 - 1, true},
		"": {0, false}, "soon": {0, false}, "-1": {0, false}, "1.5": {0, false},
	} {
		m := parse(t, crlf(strings.Replace(minimal, "Max-F", "Expires: "+in+"\nMax-F", 1)))
		if n, ok := m.Expires(); n != want.n || ok != want.ok {
			t.Errorf("Expires(%q) = %d, %v, want %d, %v", in, n, ok, want.n, want.ok)
		}
	}
}

func TestClone(t *testing.T) {
	t.Parallel()
	b := bytes.Clone(invite)
	m := parse(t, b)
	c := m.Clone()
	clear(b)
	if err := m.Parse(ringing); err != nil {
		t.Fatal(err)
	}
	equal(t, "Bytes", c.Bytes(), string(invite))
	equal(t, "CallID", c.CallID(), "84kd93kfLSk93kf_dk39Fk3@192.0.2.17")
	if c.Method() != wire.Invite || !c.Has(wire.ProxyAuthorization) {
		t.Error("the clone lost its index")
	}
}

func TestParseStream(t *testing.T) {
	t.Parallel()
	two := append(append([]byte("\r\n\r\n"), invite...), ringing...)
	var m wire.Message
	for i := range len(invite) + 4 {
		if n, err := m.ParseStream(two[:i]); n != 0 || err != nil {
			t.Fatalf("ParseStream of %d bytes = %d, %v, want 0, nil", i, n, err)
		}
	}
	n, err := m.ParseStream(two)
	if n != len(invite)+4 || err != nil || !bytes.Equal(m.Bytes(), invite) {
		t.Fatalf("ParseStream = %d, %v, want %d", n, err, len(invite)+4)
	}
	if n, err = m.ParseStream(two[n:]); n != len(ringing) || err != nil || m.Status() != 180 {
		t.Errorf("ParseStream = %d, %v, want %d", n, err, len(ringing))
	}
	many := bytes.Repeat(ringing, 1+65535/len(ringing))
	if n, err = m.ParseStream(many); n != len(ringing) || err != nil {
		t.Errorf("ParseStream of many = %d, %v, want %d", n, err, len(ringing))
	}
	tests := []struct {
		name     string
		old, new string
		status   int
		lost     bool
	}{
		{"no length", "Content-Length: 0\n", "", 400, true},
		{"bad length", "Length: 0", "Length: x", 400, true},
		{"two lengths", "Content-Length: 0\n", "Content-Length: 0\nl: 0\n", 400, true},
		{"too large", "Length: 0", "Length: 65500", 513, true},
		{"huge", "Length: 0", "Length: 4294967295", 513, true},
		{"header without end", "Length: 0\n\n", "Length: 0\nX: " + strings.Repeat("x", 65535), 513, true},
		{"only this message", "<sip:a@b>", "<sip:a@b", 400, false},
		{"version", "SIP/2.0\n", "SIP/3.0\n", 505, false},
	}
	for _, row := range tests {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var m wire.Message
			n, err := m.ParseStream(crlf(strings.Replace(minimal, row.old, row.new, 1)))
			if status(err) != row.status || (n == 0) != row.lost {
				t.Errorf("ParseStream = %d, %v, want %d, lost %v", n, err, row.status, row.lost)
			}
		})
	}
}
