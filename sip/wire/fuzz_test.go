package wire_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bellhop/sip/wire"
)

// seed gives the fuzzer all messages of the tests.
func seed(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/rfc4475/*.dat")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, b := range [][]byte{invite, ringing, ok200, crlf(minimal), []byte(minimal)} {
		f.Add(b)
	}
}

// FuzzParse: no input panics, all the index says lies in the message, a splice
// without edits is the identity (but for a Content-Length), a clone equals, and what is answered to a
// sound request can be read.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		var m wire.Message
		before := bytes.Clone(in)
		err := m.Parse(in)
		checkIndex(t, &m)
		if !bytes.Equal(in, before) {
			t.Fatal("Parse changed its input")
		}
		checkStream(t, in, &m, err)
		if err != nil {
			if m.Answerable() {
				wire.AppendResponseVia(nil, &m, m.AppendTopVia(nil, benchSrc), m.Err().Status, m.Err().Reason, []byte("t"), nil)
			}
			return
		}
		checkSplice(t, &m)
		c := m.Clone()
		checkIndex(t, c)
		if !bytes.Equal(c.Bytes(), m.Bytes()) || !bytes.Equal(c.CallID(), m.CallID()) || !bytes.Equal(c.ToTag(), m.ToTag()) ||
			!bytes.Equal(c.TopVia().Branch, m.TopVia().Branch) || c.CSeq() != m.CSeq() || c.Method() != m.Method() {
			t.Errorf("the clone differs")
		}
		if m.IsRequest() {
			checkBuilders(t, &m)
		}
	})
}

// checkIndex walks everything there is to walk.
func checkIndex(t *testing.T, m *wire.Message) {
	t.Helper()
	size := len(m.Bytes())
	first := true
	for f, v := range m.Lines() {
		if sp := v.Span(); sp.End() > size || !bytes.Equal(m.Bytes()[sp.Off:sp.End()], v.Bytes()) || len(m.Name(v)) == 0 {
			t.Fatalf("value %v of %d bytes: %q", sp, size, v.Bytes())
		}
		if f == wire.Via && first && m.Err() == nil {
			first = false
			for one := range m.All(wire.Via) {
				if !bytes.Equal(one.Bytes(), m.TopVia().Value.Bytes()) {
					t.Fatalf("TopVia = %q, first of All = %q", m.TopVia().Value.Bytes(), one.Bytes())
				}
				break
			}
		}
	}
	for f := range wire.Field(80) {
		for v := range m.All(f) {
			if sp := v.Span(); sp.End() > size {
				t.Fatalf("value %v of %d bytes", sp, size)
			}
			walk(v.Bytes())
		}
	}
	walk(m.RequestURI())
	_, _ = m.Reason(), m.Body()
}

// walk runs all cursors over b.
func walk(b []byte) {
	if n, ok := wire.ParseNameAddr(b); ok {
		b = n.URI
		_, _ = n.Param("tag")
	}
	if u, ok := wire.ParseURI(b); ok {
		_, _ = u.Param("lr")
		wire.AppendUnescaped(nil, u.User)
	}
	wire.EqualURI(b, b)
	_, _ = wire.ParseVia(b)
	if a, ok := wire.ParseAuth(b); ok {
		_, _ = a.Param("nonce")
	}
}

// checkStream holds that streams and datagrams are read alike.
func checkStream(t *testing.T, in []byte, m *wire.Message, err error) {
	t.Helper()
	var s wire.Message
	n, streamErr := s.ParseStream(in)
	if n > len(in) || n < 0 {
		t.Fatalf("ParseStream = %d of %d bytes", n, len(in))
	}
	if n > 0 && streamErr == nil && (err != nil || !bytes.Equal(s.Bytes(), m.Bytes())) {
		t.Fatalf("ParseStream read %q, Parse %v, %q", s.Bytes(), err, m.Bytes())
	}
	if _, ok := m.ContentLength(); ok && err == nil && (n == 0 || streamErr != nil) {
		t.Fatalf("ParseStream = %d, %v of what Parse reads", n, streamErr)
	}
}

func checkSplice(t *testing.T, m *wire.Message) {
	t.Helper()
	var s wire.Splice
	s.Reset(m)
	want := m.Bytes()
	if _, has := m.ContentLength(); !has {
		head := len(want) - len(m.Body())
		head = bytes.LastIndexByte(bytes.TrimSuffix(want[:head], []byte("\n")), '\n') + 1 // the empty line
		want = slices.Concat(want[:head], fmt.Appendf(nil, "Content-Length: %d\r\n", len(m.Body())), want[head:])
	}
	if got := s.AppendTo(nil); !bytes.Equal(got, want) {
		t.Fatalf("AppendTo without edits = %q, want %q", got, want)
	}
	for v := range m.All(wire.Route) {
		s.Replace(v, v.Bytes())
	}
	s.InsertTop([]byte("Via: SIP/2.0/UDP mine;branch=z9hG4bKmine\r\n"))
	s.SetBody(m.Body())
	var again wire.Message
	if err := again.Parse(s.AppendTo(nil)); err != nil {
		if len(s.AppendTo(nil)) > wire.MaxMessage || again.Err().Reason == "Too Many Header Lines" {
			return
		}
		t.Fatalf("Parse of what was spliced = %v\n%q", err, s.AppendTo(nil))
	}
	if !bytes.Equal(again.Body(), m.Body()) || string(again.TopVia().Host) != "mine" {
		t.Errorf("spliced body = %q, want %q", again.Body(), m.Body())
	}
}

func checkBuilders(t *testing.T, m *wire.Message) {
	t.Helper()
	via := m.AppendTopVia(nil, benchSrc)
	var res wire.Message
	if err := res.Parse(wire.AppendResponseVia(nil, m, via, 200, "", []byte("mytag"), nil)); err != nil {
		t.Fatalf("Parse of the response = %v\n%q", err, res.Bytes())
	}
	tag := m.ToTag()
	if len(tag) == 0 {
		tag = []byte("mytag")
	}
	if !bytes.Equal(res.ToTag(), tag) || !bytes.Equal(res.FromTag(), m.FromTag()) || !bytes.Equal(res.CallID(), m.CallID()) ||
		!bytes.Equal(res.TopVia().Branch, m.TopVia().Branch) || res.CSeq() != m.CSeq() {
		t.Errorf("response = %q", res.Bytes())
	}
	var made wire.Message
	if err := made.Parse(wire.AppendCancel(nil, m, nil)); err != nil || made.Method() != wire.Cancel {
		t.Fatalf("Parse of the CANCEL = %v\n%q", err, made.Bytes())
	}
	if err := made.Parse(wire.AppendAck(nil, m, &res)); err != nil || !bytes.Equal(made.ToTag(), tag) {
		t.Fatalf("Parse of the ACK = %v\n%q", err, made.Bytes())
	}
}

// FuzzURI: a URI equals itself, and its parts lie in it.
func FuzzURI(f *testing.F) {
	for _, s := range []string{"sip:a:b@c:1;d=e?f=g", "sips:[::1]", "tel:+1;x", "urn:x", "sip:%41@b;%6cr"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, ok := wire.ParseURI(b)
		if !ok {
			return
		}
		if !wire.EqualURI(b, b) {
			t.Errorf("EqualURI(%q, itself) = false", b)
		}
		if len(u.Host) > 0 && !bytes.Equal(wire.AppendUnescaped(nil, wire.AppendEscapedUser(nil, u.User)), u.User) {
			t.Errorf("escape and unescape of %q", u.User)
		}
		if n, ok := wire.ParseNameAddr(append(append([]byte("<"), b...), '>')); !ok || !bytes.Equal(n.URI, b) {
			t.Errorf("ParseNameAddr(<%q>) = %q, %v", b, n.URI, ok)
		}
	})
}
