package trunk_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/icholy/digest"

	"bellhop/sip/trunk"
	"bellhop/sip/wire"
)

// response is a final response to an INVITE with header lines.
func response(t testing.TB, status, lines string) (*wire.Message, bool) {
	t.Helper()
	m := new(wire.Message)
	err := m.Parse([]byte("SIP/2.0 " + status + " X\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n" +
		"Call-ID: c\r\nCSeq: 1 INVITE\r\n" + lines + "Content-Length: 0\r\n\r\n"))
	return m, err == nil
}

func answering(t *testing.T) *trunk.Manager {
	t.Helper()
	return matching(t,
		signed(peering(t, "any", `{"proof":"digest","peers":["192.0.2.5"]}`), `ho"use`, "s3cret"),
		signed(peering(t, "one", `{"proof":"register","peers":["192.0.2.5"],"register":{"realm":"carrier"}}`), `house`, "s3cret"),
		peering(t, "none", `{"proof":"address","peers":["192.0.2.5"]}`))
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	m := answering(t)
	const www, proxy = "WWW-Authenticate: ", "Proxy-Authenticate: "
	tests := []struct {
		name, trunk, status, lines string
		want                       []string // each in a line of its own; none: not ok
	}{
		{"proxy", "any", "407", proxy + `Digest realm="r", nonce="n"`, []string{`Proxy-Authorization: Digest username="ho\"use",realm="r",nonce="n",uri="sip:1@c",response="`}},
		{"server", "any", "401", www + `digest  nonce="n" , realm = "r",qop=auth`, []string{`Authorization: Digest username="ho\"use",realm="r",nonce="n",uri="sip:1@c"`}},
		{"the other's field", "any", "401", proxy + `Digest realm="r", nonce="n"`, nil},
		{"the best first", "any", "401", www + `Digest realm="r",nonce="a",algorithm=SHA-512-256` + "\r\n" + www + `Digest realm="r",nonce="b",algorithm=MD5`, []string{`nonce="a"`}},
		{"an unknown one first", "any", "401", www + `Digest realm="r",nonce="a",algorithm=MD5-sess` + "\r\n" + www + `Digest realm="r",nonce="b",algorithm=md5`, []string{`nonce="b"`}},
		{"two realms", "any", "407", proxy + `Digest realm="r",nonce="a"` + "\r\n" + proxy + `Digest realm="s",nonce="b"`, []string{`realm="r"`, `realm="s"`}},
		{"one realm only", "one", "407", proxy + `Digest realm="evil",nonce="a"` + "\r\n" + proxy + `Digest realm="carrier",nonce="b"`, []string{`realm="carrier"`}},
		{"auth-int only", "any", "401", www + `Digest realm="r",nonce="a",qop="auth-int"`, nil},
		{"auth and auth-int", "any", "401", www + `Digest realm="r",nonce="a",qop="auth-int , AUTH"`, []string{`qop=auth,nc=00000001`}},
		{"no nonce", "any", "401", www + `Digest realm="r"`, nil},
		{"basic", "any", "401", www + `Basic realm="r"`, nil},
		{"no credentials", "none", "401", www + `Digest realm="r",nonce="a"`, nil},
		{"no trunk", "gone", "401", www + `Digest realm="r",nonce="a"`, nil},
		{"a nonce without end", "any", "401", www + `Digest realm="r",nonce="` + strings.Repeat("n", 600) + `"`, nil},
		{"a nonce that folds", "any", "401", www + "Digest realm=\"r\",nonce=\"a\r\n b\"", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res, ok := response(t, tt.status, tt.lines+"\r\n")
			if !ok {
				t.Fatalf("not a response: %v", res.Err())
			}
			got, ok := m.Answer(domain, tt.trunk, "INVITE", "sip:1@c", res)
			if ok != (tt.want != nil) || bytes.Count(got, []byte("\r\n")) != len(tt.want) {
				t.Fatalf("Answer = %q, %v, want %q", got, ok, tt.want)
			}
			for i, want := range tt.want {
				if line := strings.Split(string(got), "\r\n")[i]; !strings.Contains(line, want) {
					t.Errorf("Answer = %s, want %s", line, want)
				}
			}
		})
	}
}

// FuzzAnswer: whatever a carrier asks, the answer is whole lines of one field, and
// right when somebody else computes it.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`Digest realm="r",nonce="n"`, `Digest realm="r\"\\",nonce="\n",qop="auth",algorithm=SHA-256,opaque="\""`,
		"Digest realm=\"a\r\n b\",nonce=x", `Digest nonce="é",realm=r, , stale=true`, `Digest`, `Digest nonce=a=b,nonce="c"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, challenge string) {
		m := answering(t)
		res, ok := response(t, "401", "WWW-Authenticate: "+challenge+"\r\n")
		if !ok {
			return
		}
		lines, ok := m.Answer(domain, "one", "INVITE", "sip:1@c", res)
		if !ok {
			return
		}
		var back wire.Message
		req := "INVITE sip:1@c SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
		if err := back.Parse([]byte(req + string(lines) + "Content-Length: 0\r\n\r\n")); err != nil {
			t.Fatalf("%q: a request with it: %v", lines, err)
		}
		n := 0
		for range back.Lines() {
			n++
		}
		if n != 8 { // the seven above and one
			t.Fatalf("%q is %d lines", lines, n-7)
		}
		v, _ := back.Get(wire.Authorization)
		a, _ := wire.ParseAuth(v.Bytes())
		get := func(name string) string {
			p, _ := a.Param(name)
			if len(p) > 0 && p[0] == '"' {
				p = wire.AppendUnquoted(nil, p)
			}
			return string(p)
		}
		ch := &digest.Challenge{Realm: get("realm"), Nonce: get("nonce"), Algorithm: get("algorithm")}
		if get("qop") != "" {
			ch.QOP = []string{"auth"}
		}
		want, err := digest.Digest(ch, digest.Options{Method: "INVITE", URI: "sip:1@c", Username: "house", Password: "s3cret", Count: 1, Cnonce: get("cnonce")})
		if err != nil || want.Response != get("response") {
			t.Fatalf("%q: want the response %v, %v", lines, want, err)
		}
	})
}
