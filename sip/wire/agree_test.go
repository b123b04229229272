package wire_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sipmsg "github.com/emiago/sipgo/sip"

	"bellhop/sip/wire"
)

// reading is what two readers of a message are compared by.
type reading map[string]string

// readWire returns what wire reads, nil when it refuses.
func readWire(m *wire.Message, b []byte) reading {
	if m.Parse(b) != nil {
		return nil
	}
	r := reading{
		"kind": "request", "call-id": string(m.CallID()), "cseq": fmt.Sprint(m.CSeq()),
		"cseq method": string(m.CSeqMethodBytes()), "from tag": string(m.FromTag()), "to tag": string(m.ToTag()),
		"branch": string(m.TopVia().Branch), "body": string(m.Body()),
	}
	if !m.IsRequest() {
		r["kind"] = fmt.Sprint("response ", m.Status())
		return r
	}
	r["method"] = string(m.MethodBytes())
	if u, _ := wire.ParseURI(m.RequestURI()); len(u.Host) > 0 {
		r["user"], r["host"] = string(u.User), string(u.Host)
		r["port"] = strings.TrimLeft(string(u.Port), "0")
	}
	return r
}

// readSipgo returns what sipgo reads, nil when it refuses.
func readSipgo(b []byte) reading {
	msg, err := sipmsg.ParseMessage(b)
	if err != nil || msg.CallID() == nil || msg.CSeq() == nil || msg.From() == nil || msg.To() == nil || msg.Via() == nil {
		return nil
	}
	tag, _ := msg.From().Params.Get("tag")
	toTag, _ := msg.To().Params.Get("tag")
	branch, _ := msg.Via().Params.Get("branch")
	r := reading{
		"kind": "request", "call-id": msg.CallID().Value(), "cseq": fmt.Sprint(msg.CSeq().SeqNo),
		"cseq method": string(msg.CSeq().MethodName), "from tag": tag, "to tag": toTag,
		"branch": branch, "body": string(msg.Body()),
	}
	switch msg := msg.(type) {
	case *sipmsg.Request:
		r["method"] = string(msg.Method)
		if msg.Recipient.Scheme == "sip" || msg.Recipient.Scheme == "sips" {
			r["user"], r["host"], r["port"] = msg.Recipient.User, msg.Recipient.Host, ""
			if msg.Recipient.Port != 0 {
				r["port"] = fmt.Sprint(msg.Recipient.Port)
			}
		}
	case *sipmsg.Response:
		r["kind"] = fmt.Sprint("response ", msg.StatusCode)
	}
	return r
}

// exceptions are the differences between wire and sipgo 1.7.2 that we know
// and accept: wire follows RFC 3261. Each has a sample that shows it.
var exceptions = []struct {
	name     string
	key      string // of the reading
	old, new string // put into minimal
	applies  func(m *wire.Message) bool
}{
	{"reason phrase that begins with SIP makes it a request", "", "OPTIONS sip:a@b SIP/2.0", "SIP/2.0 200 SIPped", func(m *wire.Message) bool {
		return !m.IsRequest() && len(m.Reason()) >= 3 && strings.EqualFold(string(m.Reason()[:3]), "sip")
	}},
	{"method in upper case", "method", "OPTIONS", "Options", func(m *wire.Message) bool {
		return string(m.MethodBytes()) != strings.ToUpper(string(m.MethodBytes()))
	}},
	{"blanks before the method of CSeq", "cseq method", "1 OPTIONS", "1  OPTIONS", func(m *wire.Message) bool {
		return bytes.ContainsAny(first(m, wire.CSeq), " \t\r\n") && bytes.Count(first(m, wire.CSeq), []byte(" "))+
			bytes.Count(first(m, wire.CSeq), []byte("\t")) != 1
	}},
	{"colons in a password", "user", "sip:a@b SIP", "sip:a:b:c@b SIP", func(m *wire.Message) bool {
		u, _ := wire.ParseURI(m.RequestURI())
		return bytes.IndexByte(u.Password, ':') >= 0
	}},
	{"password without user", "user", "sip:a@b SIP", "sip::x@b SIP", func(m *wire.Message) bool {
		u, _ := wire.ParseURI(m.RequestURI())
		return len(u.User) == 0 && u.HasUser
	}},
	{"slashes before the user", "user", "sip:a@b SIP", "sip://a@b SIP", func(m *wire.Message) bool {
		u, _ := wire.ParseURI(m.RequestURI())
		return bytes.HasPrefix(u.User, []byte("//"))
	}},
	{"name of the tag in another case", "from tag", "tag=1", "TAG=1", oddTag(wire.From)},
	{"blanks around the tag", "from tag", "tag=1", "tag = 1", oddTag(wire.From)},
	{"blank behind the tag", "from tag", "tag=1", "tag=1 ;x", oddTag(wire.From)},
	{"equals sign in the tag", "from tag", "tag=1", "tag=1=2", oddTag(wire.From)},
	{"semicolon in quotes", "from tag", "tag=1", `tag=1;x=";tag=2"`, oddTag(wire.From)},
	{"two tags", "from tag", "tag=1", "tag=1;tag=2", oddTag(wire.From)},
	{"tag of To in another case", "to tag", "To: <sip:a@b>", "To: <sip:a@b>;TAG=1", oddTag(wire.To)},
	{"name of the branch in another case", "branch", "branch=", "Branch=", oddVia},
	{"blanks in Via parameters", "branch", "branch=", "branch = ", oddVia},
	{"blanks around the colon in Via", "branch", "UDP h;", "UDP h : 1;", oddVia},
	{"quotes in Via parameters", "branch", "branch=z9hG4bK1", `x="a;branch=2";branch=z9hG4bK1`, oddVia},
	{"list of Via values whose first has no parameters", "branch", "UDP h;", "UDP g, SIP/2.0/UDP h;", func(m *wire.Message) bool {
		return bytes.IndexByte(m.TopVia().Value.Bytes(), ';') < 0
	}},
}

func first(m *wire.Message, f wire.Field) []byte {
	v, _ := m.Get(f)
	return v.Bytes()
}

// oddTag reports whether f's parameters are written in one of the ways that
// sipgo reads otherwise.
func oddTag(f wire.Field) func(m *wire.Message) bool {
	return func(m *wire.Message) bool {
		n, _ := wire.ParseNameAddr(first(m, f))
		tags := 0
		for name, value := range wire.Params(n.Params) {
			if bytes.EqualFold(name, []byte("tag")) {
				tags++
				if string(name) != "tag" || bytes.IndexByte(value, '=') >= 0 || value == nil {
					return true
				}
			}
		}
		return tags > 1 || bytes.ContainsAny(n.Params, " \t\r\n\"")
	}
}

// oddVia is oddTag for the top Via.
func oddVia(m *wire.Message) bool {
	via := m.TopVia().Value.Bytes()
	_, params, _ := bytes.Cut(via, []byte(";"))
	for name := range wire.Params(params) {
		if bytes.EqualFold(name, []byte("branch")) && string(name) != "branch" {
			return true
		}
	}
	fields := bytes.Fields(via)
	return len(fields) != 2 || bytes.IndexByte(via, '"') >= 0
}

// disagreements lists the keys two readings differ in.
func disagreements(a, b reading) (keys []string) {
	if a["kind"] != b["kind"] {
		return []string{""}
	}
	for key, value := range a {
		if other, ok := b[key]; ok && other != value {
			keys = append(keys, key)
		}
	}
	return keys
}

// excused reports whether an exception explains the difference in key.
func excused(m *wire.Message, key string) bool {
	for _, e := range exceptions {
		if e.key == key && e.applies(m) {
			return true
		}
	}
	return false
}

// TestAgreeExceptions shows each exception: the readers differ there, and
// nowhere else.
func TestAgreeExceptions(t *testing.T) {
	t.Parallel()
	for _, e := range exceptions {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			b := crlf(strings.ReplaceAll(minimal, e.old, e.new))
			var m wire.Message
			ours, theirs := readWire(&m, b), readSipgo(b)
			if ours == nil {
				t.Fatalf("wire refuses: %v", m.Err())
			}
			if !e.applies(&m) {
				t.Error("the exception does not apply to its sample")
			}
			if theirs == nil && e.key == "" {
				return // sipgo took it for a request and refused it
			}
			if theirs == nil {
				t.Fatal("sipgo refuses")
			}
			if got := disagreements(ours, theirs); len(got) != 1 || got[0] != e.key {
				t.Errorf("disagreements = %q, want %q\nwire  %v\nsipgo %v", got, e.key, ours, theirs)
			}
		})
	}
	var m wire.Message
	for _, b := range [][]byte{crlf(minimal), invite, ringing} {
		ours, theirs := readWire(&m, b), readSipgo(b)
		if got := disagreements(ours, theirs); ours == nil || theirs == nil || len(got) > 0 {
			t.Errorf("disagreements = %q about\n%s\nwire  %v\nsipgo %v", got, b, ours, theirs)
		}
		for _, e := range exceptions {
			if e.applies(&m) && e.key != "user" && e.key != "branch" {
				t.Errorf("the exception %q applies to a plain message", e.name)
			}
		}
	}
}

// TestAgreeTorture compares the readers on the messages of RFC 4475.
func TestAgreeTorture(t *testing.T) {
	t.Parallel()
	for _, row := range torture {
		b, err := os.ReadFile(filepath.Join("testdata", "rfc4475", row.name+".dat"))
		if err != nil {
			t.Fatal(err)
		}
		agree(t, b)
	}
}

func agree(t *testing.T, b []byte) {
	t.Helper()
	if bytes.ContainsAny(b, "\v\f\u0085\u00a0") {
		return // sipgo takes what Unicode calls space for blanks
	}
	var m wire.Message
	ours, theirs := readWire(&m, b), readSipgo(b)
	if ours == nil || theirs == nil {
		return // only what both read is compared
	}
	for _, key := range disagreements(ours, theirs) {
		if !excused(&m, key) {
			t.Errorf("%q differs\nwire  %q\nsipgo %q\n%q", key, ours[key], theirs[key], b)
		}
	}
}

// FuzzAgree: what wire and sipgo both read they read alike, but for the
// exceptions.
func FuzzAgree(f *testing.F) {
	seed(f)
	for _, e := range exceptions {
		f.Add(crlf(strings.ReplaceAll(minimal, e.old, e.new)))
	}
	f.Fuzz(func(t *testing.T, b []byte) { agree(t, b) })
}
