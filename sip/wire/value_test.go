package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"bellhop/sip/wire"
)

func TestParseNameAddr(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{ // display|uri|params
		{"<sip:a@b>", "|sip:a@b|"},
		{"sip:a@b", "|sip:a@b|"},
		{"sip:a@b;tag=1", "|sip:a@b|;tag=1"},
		{"sip:a@b ; tag = 1 ", "|sip:a@b|; tag = 1"},
		{`"Alice <x>" <sip:a@b;lr?x=y>;tag=1;q`, `"Alice <x>"|sip:a@b;lr?x=y|;tag=1;q`},
		{`"A \" B"<sip:a@b>`, `"A \" B"|sip:a@b|`},
		{"Alice B <sip:a@b>\r\n ;tag=1", "Alice B|sip:a@b|;tag=1"},
		{"Alice<sip:a@b>", "Alice|sip:a@b|"},
		{"Bell, Alexander <sip:a@b>", "Bell, Alexander|sip:a@b|"},
		{"< sip:a@b >", "|sip:a@b|"},
		{"<sip:a@b>;;;", "|sip:a@b|;;;"},
		{`<sip:a@b>;x="a;b,c>"`, `|sip:a@b|;x="a;b,c>"`},
		{`sip:a@b;x="<"`, `|sip:a@b|;x="<"`},
		{"<tel:+1>", "|tel:+1|"},
		{"<urn:uuid:1>", "|urn:uuid:1|"},
		{"", "false"},
		{"*", "false"},
		{"<>", "false"},
		{"<a@b>", "false"},
		{"<sip:>", "false"},
		{"<sip:a@b", "false"},
		{"sip:a@b>", "false"},
		{`"Alice <sip:a@b>`, "false"},
		{`"Alice" sip:a@b`, "false"},
		{`Al"ice <sip:a@b>`, "false"},
		{"sip:a@b?x=y", "false"},
		{"<sip:a@b>, <sip:c@d>", "false"},
		{"sip:a@b,sip:c@d", "false"},
		{"<sip:a@b> x", "false"},
		{"<sip:a@b>;tag=1 2", "false"},
		{`<sip:a@b>;x="`, "false"},
		{"<sip:a@b>;=1", "false"},
		{"<sip:a b@c>", "false"},
		{"<sip:a<b@c>", "false"},
	}
	for _, row := range tests {
		t.Run(row.in, func(t *testing.T) {
			t.Parallel()
			got := "false"
			if n, ok := wire.ParseNameAddr([]byte(row.in)); ok {
				got = fmt.Sprintf("%s|%s|%s", n.Display, n.URI, n.Params)
			}
			if got != row.want {
				t.Errorf("ParseNameAddr(%q) = %s, want %s", row.in, got, row.want)
			}
		})
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"", ""},
		{";a", "a"},
		{";a=1;b", "a=1 b"},
		{" ; a = 1 \r\n ; b\t;c=", "a=1 b c="},
		{`;a="x;y\"";b`, `a="x;y\"" b`},
		{";;a;;", "a"},
		{"a=1;b", "a=1 b"},
		{";a=[::1];b=x=y", "a=[::1] b=x=y"},
		{`;a="open`, `a="open`},
	}
	for _, row := range tests {
		t.Run(row.in, func(t *testing.T) {
			t.Parallel()
			var got []string
			for name, value := range wire.Params([]byte(row.in)) {
				if value != nil {
					got = append(got, fmt.Sprintf("%s=%s", name, value))
				} else {
					got = append(got, string(name))
				}
			}
			if s := strings.Join(got, " "); s != row.want {
				t.Errorf("Params(%q) = %s, want %s", row.in, s, row.want)
			}
		})
	}
	if v, ok := wire.Param([]byte(";A;Expires=60"), "expires"); string(v) != "60" || !ok {
		t.Errorf("Param = %q, %v, want 60", v, ok)
	}
	if v, ok := wire.Param([]byte(";A"), "b"); v != nil || ok {
		t.Errorf("Param = %q, %v, want none", v, ok)
	}
}

func TestParseAuth(t *testing.T) {
	t.Parallel()
	a, ok := wire.ParseAuth([]byte(` Digest username="a,b", realm = "x\"y" ,nc=00000001,` + "\r\n" + ` QOP=auth`))
	if !ok {
		t.Fatal("ParseAuth failed")
	}
	equal(t, "Scheme", a.Scheme, "Digest")
	for name, want := range map[string]string{"username": `"a,b"`, "Realm": `"x\"y"`, "nc": "00000001", "qop": "auth"} {
		v, ok := a.Param(name)
		if string(v) != want || !ok {
			t.Errorf("Param(%s) = %q, %v, want %q", name, v, ok, want)
		}
	}
	if _, ok := a.Param("nonce"); ok {
		t.Error("Param(nonce) = ok, want none")
	}
	if _, ok := wire.ParseAuth([]byte(` "x"`)); ok {
		t.Error("ParseAuth without scheme = ok")
	}
}

func TestParseVia(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{ // transport|host|port|branch|received|rport|maddr
		{"SIP/2.0/UDP h", "UDP|h|||||"},
		{"SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1", "UDP|first.example.com|4000|z9hG4bKa7c6a8dlze.1|||224.2.0.1"},
		{"sip/2.0/tls [::1]:5061;BRANCH=x;RPort=7;Received=::2", "tls|[::1]|5061|x|::2|7|"},
		{"SIP/2.0/WSS\r\n h.invalid\r\n ;branch=x", "WSS|h.invalid||x|||"},
		{`SIP/2.0/UDP h;x="a,b;c"`, "UDP|h|||||"},
		{"", "false"},
		{"SIP/2.0/UDP", "false"},
		{"SIP/2.0/UDPh", "false"},
		{"SIP/2.0 h", "false"},
		{"SIP/2.0/UDP h:", "false"},
		{"SIP/2.0/UDP h x", "false"},
		{"SIP/2.0/UDP h, SIP/2.0/UDP g", "false"},
		{"SIP/2.0/UDP h;branch=a b", "false"},
		{"SIP/2.0/UDP <h>", "false"},
	}
	for _, row := range tests {
		t.Run(row.in, func(t *testing.T) {
			t.Parallel()
			got := "false"
			if h, ok := wire.ParseVia([]byte(row.in)); ok {
				got = fmt.Sprintf("%s|%s|%s|%s|%s|%s|%s", h.Transport, h.Host, h.Port, h.Branch, h.Received, h.RPort, h.MAddr)
			}
			if got != row.want {
				t.Errorf("ParseVia(%q) = %s, want %s", row.in, got, row.want)
			}
		})
	}
}

func TestAll(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		field wire.Field
		lines string
		want  []string
	}{
		{"none", wire.Route, "", nil},
		{"one", wire.Route, "Route: <sip:a>\n", []string{"<sip:a>"}},
		{"two lines and a list", wire.Route, "Route: <sip:a>,\n <sip:b;x=1,2>\nX: y\nROUTE: <sip:c>\n", []string{"<sip:a>", "<sip:b;x=1,2>", "<sip:c>"}},
		{"quotes", wire.Contact, `m: "a, \"b" <sip:a>,"<,"<sip:b>;q="x,y" , sip:c` + "\n", []string{`"a, \"b" <sip:a>`, `"<,"<sip:b>;q="x,y"`, "sip:c"}},
		{"quote inside brackets", wire.Contact, `Contact: <sip:a"b>, <sip:c"d>` + "\n", []string{`<sip:a"b>`, `<sip:c"d>`}},
		{"empty ones", wire.Supported, "k: , a,, b ,\nSupported:\n", []string{"a", "b", ""}},
		{"open quote", wire.Contact, `Contact: "a, <sip:b>` + "\n", []string{`"a, <sip:b>`}},
		{"no list", wire.Authorization, `Authorization: Digest a="b", c=d` + "\n", []string{`Digest a="b", c=d`}},
		{"date", wire.Date, "Date: Sat, 13 Nov 2010 23:29:00 GMT\n", []string{"Sat, 13 Nov 2010 23:29:00 GMT"}},
		{"folded", wire.Subject, "s: a\n b\n\tc  \n", []string{"a\r\n b\r\n\tc"}},
		{"brackets mean nothing in Via", wire.Via, "v: SIP/2.0/UDP g;x=<, SIP/2.0/UDP i;x=>\n", []string{"SIP/2.0/UDP h;branch=z9hG4bK1", "SIP/2.0/UDP g;x=<", "SIP/2.0/UDP i;x=>"}},
	}
	for _, row := range tests {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := parse(t, crlf(strings.Replace(minimal, "Max-F", row.lines+"Max-F", 1)))
			var got []string
			for v := range m.All(row.field) {
				got = append(got, string(v.Bytes()))
				sp := v.Span()
				equal(t, "Span", m.Bytes()[sp.Off:sp.End()], string(v.Bytes()))
				if f := wire.ParseField(m.Name(v)); f != row.field || v.IsZero() {
					t.Errorf("Name = %q", m.Name(v))
				}
			}
			diff(t, "All", got, row.want)
			if m.Has(row.field) != (len(got) > 0) {
				t.Errorf("Has = %v", m.Has(row.field))
			}
			for range m.All(row.field) {
				break // an early end must not panic
			}
		})
	}
}

func TestNamed(t *testing.T) {
	t.Parallel()
	m := parse(t, crlf(strings.Replace(minimal, "Max-F", "X-One: 1, 2\nx-two: 3\nX-ONE : 4\nv: SIP/2.0/UDP g\nMax-F", 1)))
	collect := func(name string) (got []string) {
		for v := range m.Named(name) {
			got = append(got, string(v.Bytes()))
		}
		return got
	}
	diff(t, "X-One", collect("X-one"), []string{"1, 2", "4"})
	diff(t, "Via", collect("via"), []string{"SIP/2.0/UDP h;branch=z9hG4bK1", "SIP/2.0/UDP g"})
	diff(t, "none", collect("X-Three"), nil)
	if _, ok := m.Get(wire.Other); ok {
		t.Error("Get(Other) = ok, want none")
	}
	var names []string
	for f, v := range m.Lines() {
		names = append(names, f.String()+"/"+string(m.Name(v)))
	}
	diff(t, "Lines", names, []string{
		"Via/Via", "To/To", "From/From", "Call-ID/Call-ID", "CSeq/CSeq", "/X-One", "/x-two", "/X-ONE", "Via/v",
		"Max-Forwards/Max-Forwards", "Content-Length/Content-Length",
	})
}

func TestFields(t *testing.T) {
	t.Parallel()
	for f := wire.Other + 1; f.String() != ""; f++ {
		name := f.String()
		for _, s := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := wire.ParseField(s); got != f {
				t.Errorf("ParseField(%s) = %v, want %v", s, got, f)
			}
		}
		for _, s := range []string{name + "x", "x" + name, name[1:] + "-", "X" + name[1:]} {
			if got := wire.ParseField(s); got == f {
				t.Errorf("ParseField(%s) = %v, want another", s, got)
			}
		}
	}
	for name, want := range map[string]wire.Field{
		"b": wire.ReferredBy, "C": wire.ContentType, "e": wire.ContentEncoding, "f": wire.From, "i": wire.CallID,
		"k": wire.Supported, "L": wire.ContentLength, "m": wire.Contact, "o": wire.Event, "r": wire.ReferTo,
		"s": wire.Subject, "t": wire.To, "u": wire.AllowEvents, "V": wire.Via, "x": wire.SessionExpires, "y": wire.Identity,
		"z": wire.Other, "": wire.Other, "\xf6": wire.Other, "V1a": wire.Other,
	} {
		if got := wire.ParseField(name); got != want {
			t.Errorf("ParseField(%q) = %v, want %v", name, got, want)
		}
	}
	for m := wire.Invite; m.String() != ""; m++ {
		if got := wire.ParseMethod([]byte(m.String())); got != m {
			t.Errorf("ParseMethod(%v) = %v", m, got)
		}
	}
	if got := wire.ParseMethod([]byte("invite")); got != wire.Unknown {
		t.Errorf("ParseMethod(invite) = %v, want unknown", got)
	}
}
