package auth_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bellhop/sip/auth"
)

func TestAnswer(t *testing.T) {
	t.Parallel()
	// RFC 7616 §3.9.1.
	mufasa := `uri="/dir/index.html", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,` +
		`cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth`
	// draft-smith-sipping-auth-examples-01 §3.3.
	bob := `uri="sip:bob@biloxi.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", nc=00000001, cnonce="0a4f113b", qop=auth`
	tests := []struct{ name, alg, user, realm, secret, method, params, want string }{
		{
			"RFC 7616 MD5", "MD5", "Mufasa", "http-auth@example.org", "Circle of Life", "GET", mufasa,
			"8ca523f5e9506fed4657c9700eebdbec",
		},
		{
			"RFC 7616 SHA-256", "SHA-256", "Mufasa", "http-auth@example.org", "Circle of Life", "GET", mufasa,
			"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
		},
		{"SIP MD5", "md5", "bob", "biloxi.com", "zanzibar", "INVITE", bob, "89eb0059246c02b2f6ee02c7961d5ea3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := auth.Answer(tt.alg, tt.user, tt.realm, tt.secret, tt.method, tt.params); got != tt.want {
				t.Errorf("answer = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestParseCredentials(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     map[string]string // nil: refused
	}{
		{"usual", `username="desk-1001",realm="r", nonce="n" , uri="sip:r", response="00", algorithm=MD5, cnonce="c", qop=auth, nc=00000001`, map[string]string{
			"username": "desk-1001", "realm": "r", "nonce": "n", "uri": "sip:r", "response": "00", "algorithm": "MD5", "cnonce": "c", "qop": "auth", "nc": "00000001",
		}},
		{"case and quotes", `USERNAME="u", Nc="00000001", qop="auth", Algorithm="MD5"`, map[string]string{"username": "u", "nc": "00000001", "qop": "auth", "algorithm": "MD5"}},
		{"folded", "username=\"u\",\r\n realm = \"a b\"", map[string]string{"username": "u", "realm": "a b"}},
		{"escapes stay", `username="a\"b,c\\", realm="r"`, map[string]string{"username": `a\"b,c\\`, "realm": "r"}},
		{"commas", `,,username="u",,`, map[string]string{"username": "u"}},
		{"empty value", `username=""`, map[string]string{"username": ""}},
		{"unknown", `username="u", x=y, opaque="o", userhash=false`, map[string]string{"username": "u"}},
		{"equals in a token", `nonce=abc==`, map[string]string{"nonce": "abc=="}},
		{"none", "", map[string]string{}},
		{"twice", `username="a", username="b"`, nil},
		{"twice, empty first", `username="", username="b"`, nil},
		{"open quote", `username="a`, nil},
		{"open escape", `username="a\"`, nil},
		{"no value", `username=`, nil},
		{"no equals", `username`, nil},
		{"no name", `="x"`, nil},
		{"no comma", `username="a" realm="b"`, nil},
		{"text behind", `username="a"b`, nil},
		{"two equals signs", `nc=1=2`, nil},
		{"backslash", `nc=1\2`, nil},
		{"quote inside", `nc=0"1"`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := auth.ParseCredentials(tt.in)
			if ok != (tt.want != nil) {
				t.Fatalf("parse(%q) = %v, %v, want %v", tt.in, got, ok, tt.want)
			}
			if ok {
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("parse(%q): -want +got\n%s", tt.in, diff)
				}
			}
		})
	}
}

func FuzzParseCredentials(f *testing.F) {
	f.Add(`username="desk-1001",realm="r", nonce="n" , uri="sip:r", response="00", algorithm=MD5, cnonce="c", qop=auth, nc=00000001`)
	f.Add("username=\"a\\\"b\",\r\n realm=x")
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := auth.ParseCredentials(s)
		if !ok {
			return
		}
		var b strings.Builder
		for name, v := range m {
			if !strings.Contains(s, v) {
				t.Fatalf("parse(%q) made up %q", s, v)
			}
			b.WriteString(name + `="` + v + `",`)
		}
		for _, v := range m {
			if strings.Contains(strings.NewReplacer(`\\`, "", `\"`, "").Replace(v), `"`) {
				t.Fatalf("parse(%q) = %q: a quote in a value", s, m)
			}
		}
		again, ok := auth.ParseCredentials(b.String())
		if diff := cmp.Diff(m, again); !ok || diff != "" {
			t.Fatalf("parse(%q) does not read back: %s", b.String(), diff)
		}
	})
}
