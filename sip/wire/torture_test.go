package wire_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"bellhop/sip/wire"
)

// torture is every message of RFC 4475 with the verdict of this package: the
// status a request is refused with, 0 when it is read. What only a layer above
// can judge (unknown methods, schemes, options, body types) is read.
var torture = []struct {
	name    string
	section string
	status  int
	check   func(t *testing.T, m *wire.Message)
}{
	{"wsinv", "3.1.1.1", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		equal(t, "FromTag", m.FromTag(), "98asjd8")
		equal(t, "ToTag", m.ToTag(), "1918181833n")
		equal(t, "Branch", m.TopVia().Branch, "390skdjuw")
		equal(t, "Host", m.TopVia().Host, "192.0.2.2")
		if hops, ok := m.MaxForwards(); hops != 68 || !ok || m.CSeq() != 9 || m.CSeqMethod() != wire.Invite {
			t.Errorf("MaxForwards = %d, %v, CSeq = %d %v, want 68 and 9 INVITE", hops, ok, m.CSeq(), m.CSeqMethod())
		}
		var hosts []string
		for v := range m.All(wire.Via) {
			hop, ok := wire.ParseVia(v.Bytes())
			if !ok {
				t.Errorf("ParseVia(%q) failed", v.Bytes())
			}
			hosts = append(hosts, string(hop.Transport)+" "+string(hop.Host)+" "+string(hop.Branch))
		}
		want := []string{"UDP 192.0.2.2 390skdjuw", "TCP spindle.example.com z9hG4bK9ikj8", "UDP 192.168.255.111 z9hG4bK30239"}
		diff(t, "All(Via)", hosts, want)
		v, _ := m.Get(wire.Contact)
		contact, ok := wire.ParseNameAddr(v.Bytes())
		q, _ := contact.Param("Q")
		if !ok || string(q) != "0.33" || string(contact.Display) != `"Quoted string \"\""` {
			t.Errorf("Contact = %q, q = %q, ok = %v", contact.Display, q, ok)
		}
	}},
	{"intmeth", "3.1.1.2", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		equal(t, "Method", m.MethodBytes(), "!interesting-Method0123456789_*+`.%indeed'~")
		equal(t, "FromTag", m.FromTag(), "_token~1'+`*%!-.")
		equal(t, "CallID", m.CallID(), `intmeth.word%ZK-!.*_+'@word`+"`"+`~)(><:\/"][?}{`)
		u, ok := wire.ParseURI(m.RequestURI())
		if !ok || string(u.Host) != "example.com" || string(u.Password) != "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)" {
			t.Errorf("ParseURI = %q, %q, %v", u.Host, u.Password, ok)
		}
	}},
	{"esc01", "3.1.1.3", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		u, _ := wire.ParseURI(m.RequestURI())
		equal(t, "User", wire.AppendUnescaped(nil, u.User), "sips:user@example.com")
		equal(t, "Host", u.Host, "example.net")
	}},
	{"escnull", "3.1.1.4", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		var users []string
		for v := range m.All(wire.Contact) {
			n, _ := wire.ParseNameAddr(v.Bytes())
			u, _ := wire.ParseURI(n.URI)
			users = append(users, string(wire.AppendUnescaped(nil, u.User)))
		}
		diff(t, "users", users, []string{"\x00", "\x00\x00"})
	}},
	{"esc02", "3.1.1.5", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		equal(t, "Method", m.MethodBytes(), "RE%47IST%45R")
		if m.Method() != wire.Unknown {
			t.Errorf("Method = %v, want unknown: escapes mean nothing in a method", m.Method())
		}
		n := 0
		for range m.All(wire.Contact) {
			n++
		}
		if n != 2 {
			t.Errorf("contacts = %d, want 2: escapes mean nothing in a field name", n)
		}
	}},
	{"lwsdisp", "3.1.1.6", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		v, _ := m.Get(wire.From)
		n, _ := wire.ParseNameAddr(v.Bytes())
		equal(t, "Display", n.Display, "caller")
	}},
	{"longreq", "3.1.1.7", 0, nil},
	{"dblreq", "3.1.1.8", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		if !bytes.HasSuffix(m.Bytes(), []byte("Content-Length: 0\r\n\r\n")) || bytes.Contains(m.Bytes(), []byte("INVITE")) {
			t.Errorf("Bytes = %q, want the first request alone", m.Bytes())
		}
	}},
	{"semiuri", "3.1.1.9", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		u, _ := wire.ParseURI(m.RequestURI())
		equal(t, "User", wire.AppendUnescaped(nil, u.User), "user;par=u@example.net")
	}},
	{"transports", "3.1.1.10", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		var got []string
		for v := range m.All(wire.Via) {
			hop, _ := wire.ParseVia(v.Bytes())
			got = append(got, string(hop.Transport))
		}
		diff(t, "transports", got, []string{"UDP", "SCTP", "TLS", "UNKNOWN", "TCP"})
	}},
	{"mpart01", "3.1.1.11", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		if len(m.Body()) != 553 {
			t.Errorf("len(Body) = %d, want 553", len(m.Body()))
		}
	}},
	{"unreason", "3.1.1.12", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		if m.Status() != 200 || !bytes.HasPrefix(m.Reason(), []byte("= 2**3 * 5**2 ")) {
			t.Errorf("Status, Reason = %d %q", m.Status(), m.Reason())
		}
	}},
	{"noreason", "3.1.1.13", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		if m.Status() != 100 || len(m.Reason()) != 0 {
			t.Errorf("Status, Reason = %d %q", m.Status(), m.Reason())
		}
	}},
	{"badinv01", "3.1.2.1", 400, nil},
	{"clerr", "3.1.2.2", 400, nil},
	{"ncl", "3.1.2.3", 400, nil},
	{"scalar02", "3.1.2.4", 400, nil},
	{"scalarlg", "3.1.2.5", 400, nil}, // a response: dropped
	{"quotbal", "3.1.2.6", 400, nil},
	{"ltgtruri", "3.1.2.7", 400, nil},
	{"lwsruri", "3.1.2.8", 400, nil},
	{"lwsstart", "3.1.2.9", 400, nil},
	{"trws", "3.1.2.10", 400, nil},
	{"escruri", "3.1.2.11", 400, nil},
	{"baddate", "3.1.2.12", 0, nil}, // Date means nothing to us; the RFC lets an element ignore it
	{"regbadct", "3.1.2.13", 0, func(t *testing.T, m *wire.Message) {
		t.Helper() // refused by who asks for the Contact: the registrar
		v, _ := m.Get(wire.Contact)
		if n, ok := wire.ParseNameAddr(v.Bytes()); ok {
			t.Errorf("ParseNameAddr = %q, want refusal", n.URI)
		}
	}},
	{"badaspec", "3.1.2.14", 0, func(t *testing.T, m *wire.Message) {
		t.Helper() // the RFC allows to ignore the blanks
		v, _ := m.Get(wire.To)
		n, _ := wire.ParseNameAddr(v.Bytes())
		equal(t, "URI", n.URI, "sip:t.watson@example.org")
	}},
	{"baddn", "3.1.2.15", 0, func(t *testing.T, m *wire.Message) {
		t.Helper() // the RFC allows to infer the missing quotes
		v, _ := m.Get(wire.From)
		n, _ := wire.ParseNameAddr(v.Bytes())
		equal(t, "Display", n.Display, "Bell, Alexander")
	}},
	{"badvers", "3.1.2.16", 505, nil},
	{"mismatch01", "3.1.2.17", 400, nil},
	{"mismatch02", "3.1.2.18", 400, nil}, // 501 is as good by the RFC
	{"bigcode", "3.1.2.19", 400, nil},    // a response: dropped
	{"badbranch", "3.2.1", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		if m.TopVia().HasCookie() {
			t.Errorf("HasCookie(%q) = true, want false", m.TopVia().Branch)
		}
	}},
	{"insuf", "3.3.1", 400, nil},
	{"unkscm", "3.3.2", 0, nil},
	{"novelsc", "3.3.3", 0, nil},
	{"unksm2", "3.3.4", 0, nil},
	{"bext01", "3.3.5", 0, nil},
	{"invut", "3.3.6", 0, nil},
	{"regaut01", "3.3.7", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		v, _ := m.Get(wire.Authorization)
		a, _ := wire.ParseAuth(v.Bytes())
		equal(t, "Scheme", a.Scheme, "NoOneKnowsThisScheme")
	}},
	{"multi01", "3.3.8", 400, nil},
	{"mcl01", "3.3.9", 400, nil},
	{"bcast", "3.3.10", 0, nil}, // the second Via is the transport's to judge
	{"zeromf", "3.3.11", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		if hops, ok := m.MaxForwards(); hops != 0 || !ok {
			t.Errorf("MaxForwards = %d, %v, want 0, true", hops, ok)
		}
	}},
	{"cparam01", "3.3.12", 0, nil},
	{"cparam02", "3.3.13", 0, nil},
	{"regescrt", "3.3.14", 0, nil},
	{"sdp01", "3.3.15", 0, nil},
	{"inv2543", "3.4.1", 0, func(t *testing.T, m *wire.Message) {
		t.Helper()
		if _, ok := m.MaxForwards(); ok || len(m.FromTag()) != 0 || len(m.TopVia().Branch) != 0 || len(m.Body()) == 0 {
			t.Errorf("FromTag, Branch = %q, %q, want none, and a body up to the end", m.FromTag(), m.TopVia().Branch)
		}
	}},
}

func TestTorture(t *testing.T) {
	t.Parallel()
	for _, row := range torture {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(filepath.Join("testdata", "rfc4475", row.name+".dat"))
			if err != nil {
				t.Fatal(err)
			}
			var m wire.Message
			if got := status(m.Parse(b)); got != row.status {
				t.Fatalf("Parse(%s) = %d, want %d: %v (RFC 4475 §%s)", row.name, got, row.status, m.Err(), row.section)
			}
			if row.check != nil {
				row.check(t, &m)
			}
		})
	}
	files, err := filepath.Glob("testdata/rfc4475/*.dat")
	if err != nil || len(files) != len(torture) || len(files) != 49 {
		t.Errorf("files, rows = %d, %d, %v, want 49 each", len(files), len(torture), err)
	}
}

// TestTortureAnswerable tells which refused requests can be answered.
func TestTortureAnswerable(t *testing.T) {
	t.Parallel()
	for _, row := range torture {
		if row.status == 0 {
			continue
		}
		b, err := os.ReadFile(filepath.Join("testdata", "rfc4475", row.name+".dat"))
		if err != nil {
			t.Fatal(err)
		}
		var m wire.Message
		_ = m.Parse(b)
		// insuf has neither From nor To; the others are responses.
		want := row.name != "insuf" && row.name != "scalarlg" && row.name != "bigcode"
		if m.Answerable() != want {
			t.Errorf("Answerable(%s) = %v, want %v", row.name, m.Answerable(), want)
		}
	}
}
