package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/icholy/digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/wire"
)

const realm = "Bellhop test"

var desk = location.Flow{
	Transport: location.UDP,
	Local:     netip.MustParseAddrPort("192.0.2.1:5060"),
	Remote:    netip.MustParseAddrPort("198.51.100.7:5060"),
}

func from(addr string) location.Flow {
	f := desk
	f.Remote = netip.MustParseAddrPort(addr)
	return f
}

// credentials is a store for tests. A user that is in neither map is not cached.
type credentials struct {
	mu     sync.Mutex
	known  map[string]directory.Credential
	absent map[string]bool // cached as unknown
}

func (c *credentials) Credential(domain, username string) (directory.Credential, bool, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.known[domain+"/"+username]
	return d, ok, ok || c.absent[domain+"/"+username]
}

func (c *credentials) Load(_ context.Context, domain, username string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.absent[domain+"/"+username] = true
	return nil
}

func device(name string, lines ...string) directory.Credential {
	return directory.Credential{Device: name, Username: name, Lines: lines, Sealed: seal(name, "secret of "+name)}
}

func seal(name, secret string) []byte {
	return []byte(directory.SealCredential + "/" + string(directory.CredentialAAD(dom, name, name)) + "/" + secret)
}

func directoryOfTests() *credentials {
	expired, broken, secure := device("desk-old", "1001"), device("desk-broken", "1001"), device("desk-tls", "1001")
	expired.Expires = time.Now().Add(-time.Second)
	broken.Sealed = []byte("something else")
	secure.TLSRequired = true
	c := &credentials{known: map[string]directory.Credential{}, absent: map[string]bool{}}
	for _, d := range []directory.Credential{device("desk-1001", "1001", "1009"), device("desk-1002", "1002"), device("lobby"), expired, broken, secure} {
		c.known[dom+"/"+d.Username] = d
	}
	c.absent[dom+"/nobody"] = true
	return c
}

func domainOf(host []byte) (string, bool) {
	switch strings.ToLower(string(host)) {
	case dom, "127.0.0.1":
		return dom, true
	case "other.test":
		return "other.test", true
	default:
		return "", false
	}
}

func newAuth(tb testing.TB, change func(*auth.Options)) *auth.Authenticator {
	tb.Helper()
	o := auth.Options{Keys: newRing(1), Credentials: directoryOfTests(), DomainOf: domainOf}
	if change != nil {
		change(&o)
	}
	a, err := auth.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// A request is what a client of the tests sends. Its zero value is a REGISTER
// of desk-1001 with a right password.
type request struct {
	method, uri, digestURI, from, user, secret, alg string
	nc                                              int
	edit                                            func(string) string // of the credentials
}

func (r request) withDefaults() request {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&r.method, "REGISTER")
	set(&r.uri, "sip:"+dom)
	set(&r.digestURI, r.uri)
	set(&r.user, "desk-1001")
	set(&r.from, "<sip:1001@"+dom+">")
	set(&r.secret, "secret of "+r.user)
	set(&r.alg, "MD5")
	if r.nc == 0 {
		r.nc = 1
	}
	return r
}

// answer returns the request with the answer to a nonce; none without a nonce.
func (r request) answer(tb testing.TB, nonce string) *wire.Message {
	tb.Helper()
	r = r.withDefaults()
	lines := ""
	if nonce != "" {
		c, err := digest.Digest(
			&digest.Challenge{Realm: realm, Nonce: nonce, Algorithm: r.alg, QOP: []string{"auth"}},
			digest.Options{Method: r.method, URI: r.digestURI, Username: r.user, Password: r.secret, Count: r.nc, Cnonce: "0a4f113b"},
		)
		if err != nil {
			tb.Fatal(err)
		}
		text := c.String()
		if r.edit != nil {
			text = r.edit(text)
		}
		name := "Proxy-Authorization"
		if r.method == "REGISTER" {
			name = "Authorization"
		}
		lines = name + ": " + text + "\r\n"
	}
	return parse(tb, r.method+" "+r.uri+" SIP/2.0\r\n"+
		"Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK1;rport\r\n"+
		"From: "+r.from+";tag=f1\r\nTo: <sip:1002@"+dom+">\r\nCall-ID: c1\r\nCSeq: 1 "+r.method+"\r\n"+
		"Max-Forwards: 70\r\n"+lines+"Content-Length: 0\r\n\r\n")
}

func parse(tb testing.TB, s string) *wire.Message {
	tb.Helper()
	var m wire.Message
	if err := m.Parse([]byte(s)); err != nil {
		tb.Fatalf("%v in\n%s", err, s)
	}
	return &m
}

// challenge returns the nonce of a challenge after checking its form.
func challenge(tb testing.TB, a *auth.Authenticator, flow location.Flow) string {
	tb.Helper()
	lines := strings.Split(string(a.AppendChallenge(nil, realm, false, false, flow, dom, time.Now())), "\r\n")
	if len(lines) != 3 || lines[2] != "" {
		tb.Fatalf("challenge %q: want two lines", lines)
	}
	var nonces []string
	for i, alg := range []string{"SHA-256", "MD5"} { // RFC 8760 §2.3: the best first
		text, ok := strings.CutPrefix(lines[i], "WWW-Authenticate: ")
		c, err := digest.ParseChallenge(text)
		if !ok || err != nil {
			tb.Fatalf("challenge %q: %v", lines[i], err)
		}
		if c.Algorithm != alg || c.Realm != realm || !c.SupportsQOP("auth") || c.Stale {
			tb.Fatalf("challenge %d = %+v, want %s", i, c, alg)
		}
		nonces = append(nonces, c.Nonce)
	}
	if nonces[0] != nonces[1] {
		tb.Fatalf("nonces %q: want one", nonces)
	}
	return nonces[0]
}

func TestCheck(t *testing.T) {
	t.Parallel()
	replace := func(old, with string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				panic(fmt.Sprintf("no %q in %q", old, s))
			}
			return strings.Replace(s, old, with, 1)
		}
	}
	tests := []struct {
		name string
		req  request
		flow location.Flow
		want auth.Kind
		line string
		rule string
	}{
		{name: "MD5", want: auth.Accepted, line: "1001"},
		{name: "SHA-256", req: request{alg: "SHA-256"}, want: auth.Accepted, line: "1001"},
		{name: "no algorithm", req: request{edit: replace(", algorithm=MD5", "")}, want: auth.Accepted, line: "1001"},
		{name: "INVITE", req: request{method: "INVITE", uri: "sip:1002@" + dom}, want: auth.Accepted, line: "1001"},
		{name: "unknown method", req: request{method: "NONESUCH", uri: "sip:1002@" + dom}, want: auth.Accepted, line: "1001"},
		{name: "second line", req: request{from: "<sip:1009@" + dom + ">"}, want: auth.Accepted, line: "1009"},
		{name: "device name", req: request{from: "<sip:desk-1001@" + dom + ">"}, want: auth.Accepted, line: "1001"},
		{name: "alias", req: request{from: `"Ana" <sip:1001@127.0.0.1:5060;transport=udp>`}, want: auth.Accepted, line: "1001"},
		{name: "escaped", req: request{from: "<sip:%31001@" + dom + ">"}, want: auth.Accepted, line: "1001"},
		{name: "equal uri", req: request{uri: "sip:1002@" + dom, digestURI: "SIP:%31002@BELLHOP.test"}, want: auth.Accepted, line: "1001"},
		{name: "another port", flow: from("198.51.100.7:40000"), want: auth.Accepted, line: "1001"},
		{name: "IPv4 in IPv6", flow: from("[::ffff:198.51.100.7]:5060"), want: auth.Accepted, line: "1001"},
		{name: "upper case response", req: request{edit: func(s string) string {
			i := strings.Index(s, `response="`) + len(`response="`)
			return s[:i] + strings.ToUpper(s[i:i+32]) + s[i+32:]
		}}, want: auth.Accepted, line: "1001"},

		{name: "wrong secret", req: request{secret: "x"}, want: auth.Challenge},
		{name: "wrong secret SHA-256", req: request{secret: "x", alg: "SHA-256"}, want: auth.Challenge},
		{name: "unknown user", req: request{user: "nobody"}, want: auth.Challenge},
		{name: "another device's secret", req: request{user: "desk-1002", secret: "secret of desk-1001"}, want: auth.Challenge},
		{name: "expired credential", req: request{user: "desk-old"}, want: auth.Challenge},
		{name: "credential that does not open", req: request{user: "desk-broken"}, want: auth.Challenge},
		{name: "not cached", req: request{user: "stranger"}, want: auth.Missing},
		{name: "another realm", req: request{edit: replace(realm, "elsewhere")}, want: auth.Challenge},
		{name: "another scheme", req: request{edit: replace("Digest ", "Bearer ")}, want: auth.Challenge},
		{name: "algorithm not offered", req: request{edit: replace("algorithm=MD5", "algorithm=MD5-sess")}, want: auth.Challenge},
		{name: "algorithm swapped", req: request{edit: replace("algorithm=MD5", "algorithm=SHA-256")}, want: auth.Challenge},
		{name: "qop auth-int", req: request{edit: replace("qop=auth", "qop=auth-int")}, want: auth.Challenge},
		{name: "no qop", req: request{edit: replace(", qop=auth", "")}, want: auth.Challenge},
		{name: "short response", req: request{edit: func(s string) string {
			i := strings.Index(s, `response="`) + len(`response="`)
			return s[:i+31] + s[i+32:]
		}}, want: auth.Challenge},
		{name: "long response", req: request{edit: replace(`response="`, `response="`+strings.Repeat("0", 500))}, want: auth.Challenge},

		{name: "another source", flow: from("198.51.100.8:5060"), want: auth.Stale},
		{name: "another transport", flow: location.Flow{Transport: location.TCP, Remote: desk.Remote}, want: auth.Stale},
		{name: "nonce not ours", req: request{edit: replace(`nonce="`, `nonce="A`)}, want: auth.Stale},

		{name: "another uri", req: request{uri: "sip:1002@" + dom, digestURI: "sip:1003@" + dom}, want: auth.Malformed},
		{name: "count zero", req: request{edit: replace("nc=00000001", "nc=00000000")}, want: auth.Malformed},
		{name: "count no number", req: request{edit: replace("nc=00000001", "nc=0000000g")}, want: auth.Malformed},
		{name: "count too short", req: request{edit: replace("nc=00000001", "nc=1")}, want: auth.Malformed},
		{name: "no cnonce", req: request{edit: replace(`cnonce="0a4f113b"`, `cnonce=""`)}, want: auth.Malformed},
		{name: "twice", req: request{edit: replace("nc=", "nc=1, nc=")}, want: auth.Malformed},

		{name: "not its line", req: request{from: "<sip:1002@" + dom + ">"}, want: auth.Forbidden, rule: auth.RuleNotYours},
		{name: "not its line, INVITE", req: request{method: "INVITE", from: "<sip:1002@" + dom + ">"}, want: auth.Forbidden, rule: auth.RuleOrigin},
		{name: "another device's name", req: request{from: "<sip:desk-1002@" + dom + ">"}, want: auth.Forbidden, rule: auth.RuleNotYours},
		{name: "another domain", req: request{from: "<sip:1001@other.test>"}, want: auth.Forbidden, rule: auth.RuleNotYours},
		{name: "foreign domain", req: request{from: "<sip:1001@example.org>"}, want: auth.Forbidden, rule: auth.RuleNotYours},
		{name: "tel", req: request{from: "<tel:1001>"}, want: auth.Forbidden, rule: auth.RuleNotYours},
		{name: "no user", req: request{from: "<sip:" + dom + ">"}, want: auth.Forbidden, rule: auth.RuleNotYours},
		{name: "device without lines", req: request{user: "lobby", from: "<sip:lobby@" + dom + ">"}, want: auth.Forbidden, rule: auth.RuleNotYours},
		{name: "TLS required", req: request{user: "desk-tls"}, want: auth.Forbidden, rule: auth.RuleTLS},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAuth(t, nil)
			flow := tt.flow
			if flow.IsZero() {
				flow = desk
			}
			got := a.Check(tt.req.answer(t, challenge(t, a, desk)), flow, dom, realm, time.Now())
			if got.Kind != tt.want || got.Line != tt.line || got.Rule != tt.rule {
				t.Errorf("Check = %v line %q rule %q, want %v %q %q (%+v)", got.Kind, got.Line, got.Rule, tt.want, tt.line, tt.rule, got)
			}
			if (got.Device.Device != "") != (got.Kind == auth.Accepted || got.Kind == auth.Forbidden) {
				t.Errorf("Check = %v tells device %q", got.Kind, got.Device.Device)
			}
		})
	}
}

func TestCheckWithout(t *testing.T) {
	t.Parallel()
	a := newAuth(t, nil)
	if got := a.Check(request{}.answer(t, ""), desk, dom, realm, time.Now()); got.Kind != auth.Challenge || got.Failed {
		t.Errorf("Check without credentials = %+v, want a challenge", got)
	}
}

// Credentials for other realms may stand before ours, and broken ones too.
func TestCheckFindsOurs(t *testing.T) {
	t.Parallel()
	a := newAuth(t, nil)
	other := `Digest username="x", realm="elsewhere", nonce="n", uri="sip:x", response="0"` + "\r\nAuthorization: "
	for _, before := range []string{other, "Basic eDp5\r\nAuthorization: ", "Digest username=\"\r\nAuthorization: "} {
		req := request{edit: func(s string) string { return before + s }}
		if got := a.Check(req.answer(t, challenge(t, a, desk)), desk, dom, realm, time.Now()); got.Kind != auth.Accepted {
			t.Errorf("Check after %q = %+v, want accepted", before, got)
		}
	}
}

func TestNonceOfAnotherDomain(t *testing.T) {
	t.Parallel()
	a := newAuth(t, nil)
	nonce := challenge(t, a, desk)
	if got := a.Check(request{}.answer(t, nonce), desk, "other.test", realm, time.Now()); got.Kind != auth.Stale {
		t.Errorf("Check = %v, want stale", got.Kind)
	}
}

func TestNonceLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := newRing(1)
		a := newAuth(t, func(o *auth.Options) { o.Keys = keys })
		check := func(nonce string, nc int) auth.Kind {
			return a.Check(request{nc: nc}.answer(t, nonce), desk, dom, realm, time.Now()).Kind
		}
		expect := func(what string, got, want auth.Kind) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		first, second, unused := challenge(t, a, desk), challenge(t, a, desk), challenge(t, a, desk)
		expect("first use", check(first, 1), auth.Accepted)
		expect("first use once more", check(first, 1), auth.Stale)
		expect("rising", check(first, 3), auth.Accepted)
		expect("overtaken", check(first, 2), auth.Accepted)
		expect("overtaken once more", check(first, 2), auth.Stale)
		expect("far ahead", check(first, 1000), auth.Accepted)
		expect("behind the window", check(first, 936), auth.Stale)
		expect("last of the window", check(first, 937), auth.Accepted)
		expect("a nonce of its own", check(second, 7), auth.Accepted)

		<-time.After(40 * time.Second)
		expect("first use too late", check(unused, 1), auth.Stale)
		expect("reused", check(second, 8), auth.Accepted)

		keys.set(2, 1)
		<-time.After(30 * time.Minute)
		expect("reused under the old key", check(second, 9), auth.Accepted)
		expect("under the new key", check(challenge(t, a, desk), 1), auth.Accepted)

		<-time.After(30 * time.Minute)
		expect("too old", check(second, 10), auth.Stale)
		expect("and a new one", check(challenge(t, a, desk), 1), auth.Accepted)
	})
}

// A nonce of another node is good for a moment, one of an earlier run is not:
// its counts are not known here.
func TestNonceOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, nil)
		before := challenge(t, a, desk)
		<-time.After(time.Second)
		restarted := newAuth(t, nil)
		if got := restarted.Check(request{}.answer(t, before), desk, dom, realm, time.Now()); got.Kind != auth.Stale {
			t.Errorf("nonce of an earlier run: %v, want stale", got.Kind)
		}
		fresh := challenge(t, a, desk)
		if got := restarted.Check(request{}.answer(t, fresh), desk, dom, realm, time.Now()); got.Kind != auth.Accepted {
			t.Errorf("nonce of another node: %v, want accepted", got.Kind)
		}
		if got := a.Check(request{}.answer(t, fresh), desk, dom, realm, time.Now().Add(-time.Minute)); got.Kind != auth.Stale {
			t.Errorf("nonce from the future: %v, want stale", got.Kind)
		}
	})
}

// A nonce that was forgotten for want of room is stale, never new again.
func TestNonceForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuth(t, func(o *auth.Options) { o.Nonces = 1 }) // the least there can be
		nonce := challenge(t, a, desk)
		req := request{}.answer(t, nonce)
		if got := a.Check(req, desk, dom, realm, time.Now()); got.Kind != auth.Accepted {
			t.Fatalf("first use: %v", got.Kind)
		}
		for range 20000 {
			<-time.After(time.Millisecond)
			if got := a.Check(request{}.answer(t, challenge(t, a, desk)), desk, dom, realm, time.Now()); got.Kind != auth.Accepted {
				t.Fatalf("use of a new nonce: %v", got.Kind)
			}
		}
		if got := a.Check(req, desk, dom, realm, time.Now()); got.Kind != auth.Stale {
			t.Errorf("replay after it was forgotten: %v, want stale", got.Kind)
		}
	})
}

// To strangers every user looks alike (trust.md §1): same verdict, same size.
func TestUnknownUserLooksLikeWrongPassword(t *testing.T) {
	t.Parallel()
	a := newAuth(t, nil)
	answer := func(user, secret string) (auth.Verdict, string) {
		v := a.Check(request{user: user, secret: secret}.answer(t, challenge(t, a, desk)), desk, dom, realm, time.Now())
		text := string(a.AppendChallenge(nil, realm, false, v.Kind == auth.Stale, desk, dom, time.Now()))
		i := strings.Index(text, `nonce="`) + len(`nonce="`)
		return v, strings.ReplaceAll(text, text[i:i+32], "")
	}
	wrong, wrongText := answer("desk-1001", "x")
	unknown, unknownText := answer("nobody", "x")
	if fmt.Sprint(wrong) != fmt.Sprint(unknown) || wrongText != unknownText {
		t.Errorf("wrong password: %+v %q\nunknown user: %+v %q", wrong, wrongText, unknown, unknownText)
	}
}

func TestChallengeIsSmallAndClean(t *testing.T) {
	t.Parallel()
	a := newAuth(t, nil)
	got := string(a.AppendChallenge([]byte("x"), "a\"b\r\nc", true, true, desk, dom, time.Now()))
	if !strings.HasPrefix(got, "xProxy-Authenticate: Digest realm=\"a\\\"b") || strings.Count(got, "\r\n") != 2 || strings.Count(got, "stale=true") != 2 {
		t.Errorf("challenge = %q", got)
	}
	if n := len(a.AppendChallenge(nil, dom, false, false, desk, dom, time.Now())); n > 250 {
		t.Errorf("a challenge has %d bytes: too much for what it answers", n)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := auth.New(auth.Options{Keys: newRing(), Credentials: directoryOfTests()}); !errors.Is(err, auth.ErrNoKeys) {
		t.Errorf("New with an empty ring: %v, want %v", err, auth.ErrNoKeys)
	}
	if _, err := auth.New(auth.Options{}); err == nil {
		t.Error("New without keys succeeds")
	}
	reg := prometheus.NewPedanticRegistry()
	a := newAuth(t, func(o *auth.Options) { o.Registerer = reg })
	a.Check(request{}.answer(t, ""), desk, dom, realm, time.Now())
	a.Check(request{secret: "x"}.answer(t, challenge(t, a, desk)), desk, dom, realm, time.Now())
	want := `
# HELP bellhop_auth_checks_total Requests whose credentials were checked, by verdict.
# TYPE bellhop_auth_checks_total counter
bellhop_auth_checks_total{verdict="accepted"} 0
bellhop_auth_checks_total{verdict="challenge"} 1
bellhop_auth_checks_total{verdict="failed"} 1
bellhop_auth_checks_total{verdict="forbidden"} 0
bellhop_auth_checks_total{verdict="malformed"} 0
bellhop_auth_checks_total{verdict="missing"} 0
bellhop_auth_checks_total{verdict="slow"} 0
bellhop_auth_checks_total{verdict="stale"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
	if _, err := auth.New(auth.Options{Keys: newRing(1), Credentials: directoryOfTests(), Registerer: reg}); err == nil {
		t.Error("metrics registered twice")
	}
}

// Many readers check at once; a count is accepted once.
func TestCheckConcurrently(t *testing.T) {
	t.Parallel()
	a := newAuth(t, nil)
	nonce := challenge(t, a, desk)
	var mu sync.Mutex
	accepted := map[int]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for nc := 1; nc <= 50; nc++ {
				if a.Check(request{nc: nc}.answer(t, nonce), desk, dom, realm, time.Now()).Kind == auth.Accepted {
					mu.Lock()
					accepted[nc]++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for nc, n := range accepted {
		if n != 1 {
			t.Errorf("count %d was accepted %d times", nc, n)
		}
	}
}

func benchmark(b *testing.B, req request, want auth.Kind) {
	b.Helper()
	a := newAuth(b, func(o *auth.Options) { o.Failures = 1 << 30 })
	nonce := challenge(b, a, desk)
	now := time.Now()
	reqs := make([]*wire.Message, 4096)
	for i := range reqs {
		req.nc = i + 1
		reqs[i] = req.answer(b, nonce)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i == len(reqs) { // counts are used up
			b.StopTimer()
			a = newAuth(b, func(o *auth.Options) { o.Failures = 1 << 30 })
			nonce = challenge(b, a, desk)
			now = time.Now()
			for j := range reqs {
				req.nc = j + 1
				reqs[j] = req.answer(b, nonce)
			}
			i = 0
			b.StartTimer()
		}
		if got := a.Check(reqs[i], desk, dom, realm, now); got.Kind != want {
			b.Fatalf("Check = %+v", got)
		}
		i++
	}
}

func BenchmarkCheckMD5(b *testing.B)     { benchmark(b, request{}, auth.Accepted) }
func BenchmarkCheckSHA256(b *testing.B)  { benchmark(b, request{alg: "SHA-256"}, auth.Accepted) }
func BenchmarkCheckUnknown(b *testing.B) { benchmark(b, request{user: "nobody"}, auth.Challenge) }

func BenchmarkChallenge(b *testing.B) {
	a := newAuth(b, nil)
	var room [512]byte
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		a.AppendChallenge(room[:0], realm, false, false, desk, dom, now)
	}
}

func TestAppendMD5Challenge(t *testing.T) {
	t.Parallel()
	a := newAuth(t, nil)
	got := string(a.AppendMD5Challenge(nil, realm, true, false, desk, dom, time.Now()))
	if strings.Count(got, "Proxy-Authenticate: Digest") != 1 || !strings.Contains(got, "algorithm=MD5,") {
		t.Errorf("challenge for old phones = %q", got)
	}
}
