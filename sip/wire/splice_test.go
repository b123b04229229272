package wire_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"bellhop/sip/wire"
)

// value returns the n-th value of f.
func value(t *testing.T, m *wire.Message, f wire.Field, n int) wire.Value {
	t.Helper()
	for v := range m.All(f) {
		if n == 0 {
			return v
		}
		n--
	}
	t.Fatalf("no such value of %v", f)
	return wire.Value{}
}

func TestSplice(t *testing.T) {
	t.Parallel()
	const in = "OPTIONS sip:a@b SIP/2.0\nv: SIP/2.0/UDP h;branch=1 ,\n SIP/2.0/UDP g\nTo: <sip:a@b>\nFrom : <sip:c@d>;tag=1\n" +
		"Route: <sip:r1>, <sip:r2>,\t<sip:r3>\nx-odd:  kept  \nRoute: <sip:r4>\nCall-ID: 1@h\nCSeq: 1 OPTIONS\nMax-Forwards: 70\n" +
		"c: text/plain\nl: 4\n\nbody"
	type edit = func(t *testing.T, m *wire.Message, s *wire.Splice)
	remove := func(f wire.Field, numbers ...int) edit {
		return func(t *testing.T, m *wire.Message, s *wire.Splice) {
			t.Helper()
			for _, n := range numbers {
				s.Remove(value(t, m, f, n))
			}
		}
	}
	const list = "Route: <sip:r1>, <sip:r2>,\t<sip:r3>\n"
	tests := []struct {
		name string
		edit edit
		old  []string // pairs: what is replaced by what
	}{
		{"nothing", func(*testing.T, *wire.Message, *wire.Splice) {}, nil},
		{"request uri", func(_ *testing.T, _ *wire.Message, s *wire.Splice) { s.SetRequestURI([]byte("sip:x@y:1")) }, []string{"sip:a@b SIP", "sip:x@y:1 SIP"}},
		{"request uri with line break", func(_ *testing.T, _ *wire.Message, s *wire.Splice) {
			s.SetRequestURI([]byte("sip:x\r\nEvil: 1\x00"))
		}, []string{"sip:a@b SIP", "sip:x  Evil: 1  SIP"}},
		{"first of a list", remove(wire.Route, 0), []string{list, "Route: <sip:r2>,\t<sip:r3>\n"}},
		{"middle of a list", remove(wire.Route, 1), []string{list, "Route: <sip:r1>,\t<sip:r3>\n"}},
		{"last of a list", remove(wire.Route, 2), []string{list, "Route: <sip:r1>, <sip:r2>\n"}},
		{"first two of a list", remove(wire.Route, 1, 0), []string{list, "Route: <sip:r3>\n"}},
		{"last two of a list", remove(wire.Route, 1, 2), []string{list, "Route: <sip:r1>\n"}},
		{"all of a list", remove(wire.Route, 2, 0, 1), []string{list, ""}},
		{"alone on its line", remove(wire.Route, 3), []string{"Route: <sip:r4>\n", ""}},
		{"twice the same", remove(wire.Route, 0, 0), []string{list, "Route: <sip:r2>,\t<sip:r3>\n"}},
		{"all", func(_ *testing.T, _ *wire.Message, s *wire.Splice) { s.RemoveAll(wire.Route) }, []string{list, "", "Route: <sip:r4>\n", ""}},
		{"one, then all", func(t *testing.T, m *wire.Message, s *wire.Splice) {
			t.Helper()
			remove(wire.Route, 1, 3)(t, m, s)
			s.RemoveAll(wire.Route)
			remove(wire.Route, 0)(t, m, s)
		}, []string{list, "", "Route: <sip:r4>\n", ""}},
		{"top via, folded list", func(_ *testing.T, m *wire.Message, s *wire.Splice) { s.Remove(m.TopVia().Value) }, []string{"v: SIP/2.0/UDP h;branch=1 ,\n SIP/2.0/UDP g", "v: SIP/2.0/UDP g"}},
		{"replace in a list", func(t *testing.T, m *wire.Message, s *wire.Splice) {
			t.Helper()
			s.Replace(value(t, m, wire.Route, 1), []byte("<sip:new>"))
			s.Remove(value(t, m, wire.Route, 0))
		}, []string{list, "Route: <sip:new>,\t<sip:r3>\n"}},
		{"replace twice", func(t *testing.T, m *wire.Message, s *wire.Splice) {
			t.Helper()
			s.Replace(value(t, m, wire.Route, 3), []byte("<sip:old>"))
			s.Replace(value(t, m, wire.Route, 3), []byte("<sip:new>"))
		}, []string{"<sip:r4>", "<sip:new>"}},
		{"replace, then remove", func(t *testing.T, m *wire.Message, s *wire.Splice) {
			t.Helper()
			s.Replace(value(t, m, wire.Route, 3), []byte("<sip:old>"))
			s.Remove(value(t, m, wire.Route, 3))
		}, []string{"Route: <sip:r4>\n", ""}},
		{"replace a whole line", func(_ *testing.T, m *wire.Message, s *wire.Splice) {
			v, _ := m.Get(wire.Route)
			s.Replace(v, []byte("<sip:x>"))
		}, []string{list, "Route: <sip:x>\n"}},
		{"replace with a line break", func(t *testing.T, m *wire.Message, s *wire.Splice) {
			t.Helper()
			s.Replace(value(t, m, wire.Route, 3), []byte("<sip:x>\r\nEvil: 1"))
		}, []string{"<sip:r4>", "<sip:x>  Evil: 1"}},
		{"by name", func(_ *testing.T, m *wire.Message, s *wire.Splice) {
			for v := range m.Named("X-Odd") {
				s.Replace(v, []byte("changed"))
			}
		}, []string{"kept", "changed"}},
		{"no value of the message", func(_ *testing.T, _ *wire.Message, s *wire.Splice) {
			via, _ := wire.ParseVia([]byte("SIP/2.0/UDP h"))
			s.Remove(via.Value)
			s.Replace(via.Value, []byte("x"))
		}, nil},
		{"max forwards", func(_ *testing.T, _ *wire.Message, s *wire.Splice) { s.SetMaxForwards(69) }, []string{"Max-Forwards: 70", "Max-Forwards: 69"}},
		{"insert", func(_ *testing.T, _ *wire.Message, s *wire.Splice) {
			s.RemoveAll(wire.Via)
			s.InsertTop([]byte("A: 1\r\nA: 2\r\n"))
			s.InsertTop([]byte("A: 3\r\n"))
			s.InsertBefore(wire.Route, []byte("B: 1\r\n"))
			s.InsertBefore(wire.Expires, []byte("A: 4\r\n"))
			s.Append([]byte("C: 1\r\n"))
			s.Append([]byte("C: 2\r\n"))
		}, []string{"v: SIP/2.0/UDP h;branch=1 ,\n SIP/2.0/UDP g\n", "A: 1\nA: 2\nA: 3\nA: 4\n", "Route: <sip:r1>", "B: 1\nRoute: <sip:r1>", "l: 4\n", "l: 4\nC: 1\nC: 2\n"}},
		{"insert what is no line", func(_ *testing.T, _ *wire.Message, s *wire.Splice) {
			s.Append([]byte("\r\nA: 1\r\nnonsense\r\nB: 1\n: 2\r\nC: 1\r\n more\r\n\r\nD: 1"))
		}, []string{"l: 4\n", "l: 4\nA: 1\nC: 1\n more\n"}},
		{"drop body", func(_ *testing.T, _ *wire.Message, s *wire.Splice) { s.DropBody() }, []string{"c: text/plain\n", "", "l: 4", "l: 0", "body", ""}},
		{"set body", func(_ *testing.T, _ *wire.Message, s *wire.Splice) { s.SetBody([]byte("a longer\x00body")) }, []string{"l: 4", "l: 13", "\nbody", "\na longer\x00body"}},
		{"status of a request", func(_ *testing.T, _ *wire.Message, s *wire.Splice) { s.SetStatus(200, "") }, nil},
	}
	for _, row := range tests {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := parse(t, crlf(in))
			var s wire.Splice
			for range 2 { // a splice can be used again
				s.Reset(m)
				row.edit(t, m, &s)
				want := in
				for i := 0; i < len(row.old); i += 2 {
					want = strings.Replace(want, row.old[i], row.old[i+1], 1)
				}
				equal(t, "AppendTo", s.AppendTo([]byte("x")), "x"+string(crlf(want)))
				equal(t, "AppendTo again", s.AppendTo(nil), string(crlf(want)))
			}
		})
	}
}

func TestSpliceResponse(t *testing.T) {
	t.Parallel()
	var s wire.Splice
	m := parse(t, ringing)
	s.Reset(m)
	s.SetRequestURI([]byte("sip:x"))
	s.SetStatus(183, "")
	s.Remove(m.TopVia().Value)
	s.SetMaxForwards(1)
	want := bytes.Replace(ringing, []byte("180 Ringing"), []byte("183 Session Progress"), 1)
	want = bytes.Replace(want, []byte("Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK7f3a9c21.0\r\n"), nil, 1)
	want = bytes.Replace(want, []byte("Length: 0\r\n"), []byte("Length: 0\r\nMax-Forwards: 1\r\n"), 1)
	equal(t, "AppendTo", s.AppendTo(nil), string(want))

	m = parse(t, bytes.Replace(ringing, []byte("180 Ringing"), []byte("180"), 1))
	s.Reset(m)
	s.SetStatus(486, "No\r\nEvil: 1")
	if got := s.AppendTo(nil); !bytes.HasPrefix(got, []byte("SIP/2.0 486 No  Evil: 1\r\nVia: ")) {
		t.Errorf("AppendTo = %q", got)
	}
}

func TestSpliceBodyWithoutLength(t *testing.T) {
	t.Parallel()
	// What came as a datagram may go on over a connection (RFC 3261 §18.3).
	for _, body := range []string{"", "body", "\r\nbody"} {
		m := parse(t, []byte(string(crlf(strings.Replace(minimal, "Content-Length: 0\n\n", "", 1)))+"\r\n"+body))
		var s wire.Splice
		s.Reset(m)
		plain := "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		for range 2 {
			if got := s.AppendTo(nil); !bytes.HasSuffix(got, []byte(plain)) || bytes.Count(got, []byte("Content-Length")) != 1 {
				t.Errorf("AppendTo = %q, want one that ends in %q", got, plain)
			}
		}
		s.Append([]byte("X-More: 1\r\n"))
		if got := s.AppendTo(nil); !bytes.HasSuffix(got, []byte("\r\nX-More: 1"+plain)) {
			t.Errorf("AppendTo with a line more = %q", got)
		}
		s.DropBody()
		if got := s.AppendTo(nil); !bytes.HasSuffix(got, []byte("\r\nContent-Length: 0\r\n\r\n")) || bytes.Count(got, []byte("Content-Length")) != 1 {
			t.Errorf("AppendTo without body = %q", got)
		}
	}
	m := parse(t, crlf(strings.Replace(minimal, "Content-Length: 0\n\n", "\nbody", 1)))
	var s wire.Splice
	s.Reset(m)
	s.SetBody([]byte("other"))
	if got := s.AppendTo(nil); !bytes.HasSuffix(got, []byte("\r\nContent-Length: 5\r\n\r\nother")) {
		t.Errorf("AppendTo = %q", got)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		"": true, "A: b\r\n": true, "A: b\r\nC: d\r\n": true, "A : b\r\n": true, "A:\r\n": true, "A: b\r\n c\r\n": true,
		"A: b": false, "A: b\n": false, "\r\n": false, "A: b\r\n\r\n": false, "A: b\r\n \r\n": false, " A: b\r\n": false,
		"A\r\n": false, "A B: c\r\n": false, "A: \x00\r\n": false, "A: b\rC: d\r\n": false, ": b\r\n": false,
	} {
		if got := wire.CheckLines([]byte(in)); got != want {
			t.Errorf("CheckLines(%q) = %v, want %v", in, got, want)
		}
	}
	for in, want := range map[string]bool{"": true, "a b": true, "a\rb": false, "a\nb": false, "a\x00b": false} {
		if got := wire.CheckText(in); got != want {
			t.Errorf("CheckText(%q) = %v, want %v", in, got, want)
		}
	}
	equal(t, "AppendLine", wire.AppendLine([]byte("x"), "A", "b\r\nC: d\x00"), "xA: b  C: d \r\n")
}
