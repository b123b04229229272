package auth_test

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/routing/location"
	"bellhop/sip/auth"
)

const dom = "bellhop.test"

func newTokens(tb testing.TB, keys auth.Keys) *auth.Tokens {
	tb.Helper()
	t, err := auth.NewTokens(keys)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func line(name string) auth.Side {
	return auth.Side{Kind: auth.Line, Name: name, Mark: auth.MarkOf("desk-"+name, "<urn:uuid:"+name+">")}
}

func address(s string, t location.Transport) auth.Side {
	return auth.Side{Kind: auth.Address, Addr: netip.MustParseAddrPort(s), Transport: t, Listener: 3}
}

func trunk(name string) auth.Side { return auth.Side{Kind: auth.Trunk, Name: name} }

func TestTokens(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, newRing(1))
	callID, from, to := []byte("a84b4c76e66710@pc33"), []byte("1928301774"), []byte("a6c85cf")
	tests := []struct {
		name string
		tok  auth.Token
		err  error
	}{
		{name: "two extensions", tok: auth.Token{Caller: line("1001"), Callee: line("1002"), Node: 7}},
		{name: "odd digits", tok: auth.Token{Caller: line("101"), Callee: line("1")}},
		{name: "public numbers", tok: auth.Token{Caller: line("+498970079876543"), Callee: line("+498970079876544"), Node: 255}},
		{name: "longest numbers", tok: auth.Token{Caller: line("1234567890123456789012"), Callee: line("+*#4567890123456789012")}},
		{name: "names", tok: auth.Token{Caller: line("lobby"), Callee: line("ana.meier")}},
		{name: "trunk", tok: auth.Token{Caller: trunk("carrier-frankfurt-2a"), Callee: line("100100")}},
		{name: "IPv4", tok: auth.Token{Caller: address("192.0.2.7:5060", location.UDP), Callee: line("1002")}},
		{name: "IPv6", tok: auth.Token{Caller: address("[2001:db8::7]:65535", location.WSS), Callee: line("+498970079876543")}},
		{name: "too long", tok: auth.Token{Caller: line("conference-room-north"), Callee: line("conference-room-south")}, err: auth.ErrTokenSize},
		{name: "name too long", tok: auth.Token{Caller: line(strings.Repeat("1", 32)), Callee: line("1")}, err: auth.ErrTokenSize},
		{name: "no name", tok: auth.Token{Caller: line("1"), Callee: auth.Side{Kind: auth.Line}}, err: auth.ErrSide},
		{name: "no address", tok: auth.Token{Caller: auth.Side{Kind: auth.Address}, Callee: line("1")}, err: auth.ErrSide},
		{name: "zone", tok: auth.Token{Caller: address("[fe80::1%eth0]:5060", location.UDP), Callee: line("1")}, err: auth.ErrSide},
		{name: "no side", tok: auth.Token{Caller: line("1")}, err: auth.ErrSide},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := tokens.Append([]byte("sip:"), tt.tok, dom, callID, from)
			if !errors.Is(err, tt.err) {
				t.Fatalf("Append(%+v) error = %v, want %v", tt.tok, err, tt.err)
			}
			text, ok := strings.CutPrefix(string(out), "sip:")
			if !ok {
				t.Fatalf("Append does not append: %q", text)
			}
			if err != nil {
				if text != "" {
					t.Errorf("Append left %q behind an error", text)
				}
				return
			}
			if len(text) > 64 {
				t.Errorf("token %q has %d characters", text, len(text))
			}
			if i := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(userSafe, r) }); i >= 0 {
				t.Errorf("token %q has %q, which a user part may not", text, text[i])
			}
			for _, way := range []struct {
				dir      auth.Direction
				from, to []byte
			}{{auth.Downstream, from, to}, {auth.Upstream, to, from}} {
				got, dir, ok := tokens.Verify([]byte(text), dom, callID, way.from, way.to)
				if !ok || dir != way.dir {
					t.Fatalf("Verify(%q) = %d, %v, want %d", text, dir, ok, way.dir)
				}
				if diff := cmp.Diff(tt.tok, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
					t.Errorf("Verify: -want +got\n%s", diff)
				}
			}
		})
	}
}

const userSafe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func TestTokenSides(t *testing.T) {
	t.Parallel()
	tok := auth.Token{Caller: line("1"), Callee: line("2")}
	if tok.Other(auth.Downstream) != tok.Callee || tok.Origin(auth.Downstream) != tok.Caller {
		t.Error("downstream does not go from the caller to the callee")
	}
	if tok.Other(auth.Upstream) != tok.Caller || tok.Origin(auth.Upstream) != tok.Callee {
		t.Error("upstream does not go from the callee to the caller")
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	a := auth.MarkOf("desk-1001", "x")
	if a != auth.MarkOf("desk-1001", "x") {
		t.Error("marks of the same binding differ")
	}
	if b := auth.MarkOf("desk-1001", "y"); b.Device != a.Device || b.Instance == a.Instance {
		t.Errorf("marks of two instances: %v and %v, want the same device only", a, b)
	}
	if b := auth.MarkOf("desk-1002", "x"); b.Device == a.Device || b.Instance == a.Instance {
		t.Errorf("marks of two devices: %v and %v", a, b)
	}
	if auth.MarkOf("ab", "c") == auth.MarkOf("a", "bc") {
		t.Error("device and instance run together")
	}
}

// A token is good for one dialog of one domain and nothing else.
func TestTokenRefused(t *testing.T) {
	t.Parallel()
	tokens := newTokens(t, newRing(1))
	callID, from, to := []byte("call"), []byte("caller"), []byte("callee")
	good, err := tokens.Append(nil, auth.Token{Caller: line("1001"), Callee: line("1002")}, dom, callID, from)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(string(good))
	if err != nil {
		t.Fatal(err)
	}
	flip := func(i int) []byte {
		b := append([]byte(nil), raw...)
		b[i] ^= 1
		return []byte(base64.RawURLEncoding.EncodeToString(b))
	}
	type request struct{ token, callID, from, to []byte }
	tests := map[string]struct {
		req    request
		domain string
	}{
		"another call":       {request{good, []byte("other"), from, to}, dom},
		"another caller":     {request{good, callID, []byte("x"), to}, dom},
		"another domain":     {request{good, callID, from, to}, "evil.test"},
		"no To tag, callee":  {request{good, callID, to, nil}, dom},
		"equal tags":         {request{good, callID, from, from}, dom},
		"no tags":            {request{good, callID, nil, nil}, dom},
		"shifted boundaries": {request{good, []byte("callc"), []byte("aller"), to}, dom},
		"empty":              {request{nil, callID, from, to}, dom},
		"no base64":          {request{[]byte("!!!!"), callID, from, to}, dom},
		"cut short":          {request{good[:len(good)-4], callID, from, to}, dom},
		"longer":             {request{append(slices.Clip(good), "AAAA"...), callID, from, to}, dom},
		"huge":               {request{[]byte(strings.Repeat("A", 4096)), callID, from, to}, dom},
		"format":             {request{flip(0), callID, from, to}, dom},
		"key":                {request{flip(1), callID, from, to}, dom},
		"node":               {request{flip(2), callID, from, to}, dom},
		"side":               {request{flip(4), callID, from, to}, dom},
		"mac":                {request{flip(len(raw) - 1), callID, from, to}, dom},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tok, dir, ok := tokens.Verify(tt.req.token, tt.domain, tt.req.callID, tt.req.from, tt.req.to); ok {
				t.Errorf("Verify = %+v, %d, true, want refused", tok, dir)
			}
		})
	}
	if _, _, ok := newTokens(t, newRing(2)).Verify(good, dom, callID, from, to); ok {
		t.Error("a token of another ring is taken")
	}
}

func TestTokenKeyRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := newRing(1)
		tokens := newTokens(t, keys)
		newToken := func() []byte {
			b, err := tokens.Append(nil, auth.Token{Caller: line("1"), Callee: line("2")}, dom, []byte("c"), []byte("f"))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		verify := func(b []byte) bool {
			_, _, ok := tokens.Verify(b, dom, []byte("c"), []byte("f"), []byte("t"))
			return ok
		}
		old := newToken()
		keys.set(2, 1)
		<-time.After(time.Minute)
		fresh := newToken()
		if string(fresh) == string(old) {
			t.Error("the new key does not sign")
		}
		if !verify(old) || !verify(fresh) {
			t.Error("old and new key do not both verify")
		}
		keys.set(2)
		<-time.After(time.Minute)
		if verify(old) || !verify(fresh) {
			t.Error("a key that left the ring verifies, or the one that stayed does not")
		}
		keys.set()
		<-time.After(time.Minute)
		if !verify(fresh) {
			t.Error("a ring that answers nothing took the keys away")
		}
	})
	if _, err := auth.NewTokens(newRing()); !errors.Is(err, auth.ErrNoKeys) {
		t.Errorf("NewTokens without keys: %v, want %v", err, auth.ErrNoKeys)
	}
}

func FuzzTokenVerify(f *testing.F) {
	tokens := newTokens(f, newRing(1))
	for _, tok := range []auth.Token{
		{Caller: line("1001"), Callee: line("1002")},
		{Caller: address("[2001:db8::7]:65535", location.WSS), Callee: trunk("carrier")},
	} {
		b, err := tokens.Append(nil, tok, dom, []byte("c"), []byte("f"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "c", "f", "t")
	}
	f.Fuzz(func(t *testing.T, token []byte, callID, from, to string) {
		tok, dir, ok := tokens.Verify(token, dom, []byte(callID), []byte(from), []byte(to))
		if !ok {
			return
		}
		tag := from
		if dir == auth.Upstream {
			tag = to
		}
		again, err := tokens.Append(nil, tok, dom, []byte(callID), []byte(tag))
		if err != nil || string(again) != string(token) {
			t.Errorf("Verify(%q) = %+v, whose token is %q, %v", token, tok, again, err)
		}
	})
}

func TestTags(t *testing.T) {
	t.Parallel()
	tags, err := auth.NewTags(newRing(1))
	if err != nil {
		t.Fatal(err)
	}
	a := string(tags.Append(nil, []byte("call"), []byte("from"), []byte("z9hG4bK1")))
	if b := string(tags.Append(nil, []byte("call"), []byte("from"), []byte("z9hG4bK1"))); b != a || len(a) != 12 {
		t.Errorf("tags of a retransmission: %q and %q, want the same of 12 characters", a, b)
	}
	if b := string(tags.Append(nil, []byte("call"), []byte("from"), []byte("z9hG4bK2"))); b == a {
		t.Error("another request has the same tag")
	}
	for _, tt := range []struct {
		tag, callID string
		want        bool
	}{{a, "call", true}, {a, "other", false}, {"AAAAAAAAAAAA", "call", false}, {"", "call", false}, {a + "A", "call", false}, {"????????????", "call", false}} {
		if got := tags.Verify([]byte(tt.tag), []byte(tt.callID), []byte("from"), []byte("z9hG4bK1")); got != tt.want {
			t.Errorf("Verify(%q, %q) = %v, want %v", tt.tag, tt.callID, got, tt.want)
		}
	}
}

func BenchmarkTokenVerify(b *testing.B) {
	tokens := newTokens(b, newRing(1))
	text, _ := tokens.Append(nil, auth.Token{Caller: line("1001"), Callee: line("1002")}, dom, []byte("call-id@host"), []byte("from"))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := tokens.Verify(text, dom, []byte("call-id@host"), []byte("to"), []byte("from")); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkTokenAppend(b *testing.B) {
	tokens := newTokens(b, newRing(1))
	tok := auth.Token{Caller: line("1001"), Callee: line("1002")}
	var buf [64]byte
	b.ReportAllocs()
	for b.Loop() {
		_, _ = tokens.Append(buf[:0], tok, dom, []byte("call-id@host"), []byte("from"))
	}
}
