package auth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// Credentials is where credentials are found (package store, with its cache).
type Credentials interface {
	// Credential returns the credential that signs in as username in a domain
	// (canonical name). It never blocks: when cached is false it does not know,
	// and Load asks.
	Credential(domain, username string) (c directory.Credential, known, cached bool)
	// Load fills the cache; it may block.
	Load(ctx context.Context, domain, username string) error
}

// Options are what an [Authenticator] needs. Zero values mean the default.
type Options struct {
	Keys        Keys
	Credentials Credentials
	// DomainOf returns the canonical name of the domain that a host (of a URI)
	// belongs to, aliases included. It does not block. Without it a host is a
	// domain.
	DomainOf func(host []byte) (domain string, ok bool)

	// Algorithms are offered in this order: SHA-256, then MD5 (RFC 8760 §2.3).
	// Clients that look at the first challenge only want theirs first.
	Algorithms []string

	NonceLifetime time.Duration // how long a nonce may be used: 1 h
	Nonces        int           // how many answered nonces are remembered: 65536
	Devices       int           // how many derived secrets are kept: 32768

	// A user at a source address may fail Failures times at once, and then once
	// per FailureInterval: 5, and 10 s.
	Failures        int
	FailureInterval time.Duration

	Logger     *slog.Logger          // nil: silent
	Registerer prometheus.Registerer // nil: no metrics
}

// A Kind says what to do with a request.
type Kind uint8

// The kinds of verdict.
const (
	// Accepted: the request is of Verdict.Device, from its Verdict.Line; or of a
	// trunk, when Verdict.Device says so.
	Accepted Kind = iota + 1
	// Challenge: no credentials for the realm, or wrong ones. Nobody learns
	// which: unknown user and wrong password are the same answer.
	Challenge
	// Stale: challenge with stale=true; the nonce is too old, was used before,
	// or is not one of ours for this source.
	Stale
	// Missing: the credential is not in the cache. [Authenticator.Load] it where
	// blocking is allowed, then Check again.
	Missing
	// Slow: too many failures. Drop it without an answer.
	Slow
	// Malformed: 400 with Verdict.Reason.
	Malformed
	// Forbidden: the digest is right, the request is not the device's to make:
	// 403, with Verdict.Rule and Verdict.Reason.
	Forbidden
)

// String returns the kind as metrics spell it.
func (k Kind) String() string {
	switch k {
	case Accepted:
		return "accepted"
	case Challenge:
		return "challenge"
	case Stale:
		return "stale"
	case Missing:
		return "missing"
	case Slow:
		return "slow"
	case Malformed:
		return "malformed"
	case Forbidden:
		return "forbidden"
	default:
		return "none"
	}
}

// Rules that a [Forbidden] verdict names.
const (
	RuleNotYours = "register.not-yours" // trust.md §1: a REGISTER for what is not the device's
	RuleOrigin   = "origin.denied"      // behaviour.md §1: From is not one of the device's lines
	RuleTLS      = "origin.tls"         // trust.md §1: the device is marked tls: required
)

// A Verdict is what a request proved.
type Verdict struct {
	Kind     Kind
	Device   directory.Credential // of Accepted and Forbidden
	Line     string               // of Accepted: the number in From; a device's own name means its first line
	Username string               // of Missing: what to Load
	Rule     string               // of Forbidden
	Reason   string               // reason phrase of Malformed and Forbidden
	Failed   bool                 // of Challenge: there were credentials, and they were wrong
}

// An Authenticator checks digest credentials. Make one with [New].
type Authenticator struct {
	credentials Credentials
	domainOf    func([]byte) (string, bool)
	lifetime    int64 // ms
	algorithms  []string
	clock       clock
	nonces      *nonces
	used        *replay
	failures    *sketch // by domain, user and source
	strangers   *sketch // by source: failures that may cost a look into the store
	vault       *vault
	log         *slog.Logger
	verdicts    [Forbidden + 1]prometheus.Counter
	failed      prometheus.Counter // challenges that answer wrong credentials
}

// Sizes of the sketches, in cells a row (8 bytes each, 4 rows).
const sketchSize = 16384

// A source may fail this often before requests whose credential is not in the
// cache are no longer looked up for it. Devices that are known are not touched:
// many may sit behind one NAT.
const (
	strangerFailures = 200
	strangerInterval = time.Second
)

// New returns an authenticator. Its errors are [ErrNoKeys], missing options, or
// metrics that are registered twice.
func New(o Options) (*Authenticator, error) {
	if o.Keys == nil || o.Credentials == nil {
		return nil, errors.New("auth: keys or credentials are not given")
	}
	lifetime := cmp.Or(o.NonceLifetime, time.Hour)
	c := clock{base: time.Now()}
	n, err := newNonces(o.Keys, c)
	if err != nil {
		return nil, err
	}
	if o.Algorithms == nil {
		o.Algorithms = []string{"SHA-256", "MD5"}
	}
	for _, alg := range o.Algorithms {
		if _, ok := parseAlgorithm([]byte(alg)); !ok {
			return nil, fmt.Errorf("auth: unknown algorithm %q", alg)
		}
	}
	a := &Authenticator{
		credentials: o.Credentials,
		algorithms:  o.Algorithms,
		domainOf:    o.DomainOf,
		lifetime:    lifetime.Milliseconds(),
		clock:       c,
		nonces:      n,
		used:        newReplay(cmp.Or(o.Nonces, 65536), lifetime, c.ms(c.base)),
		failures:    newSketch(sketchSize, cmp.Or(o.Failures, 5), cmp.Or(o.FailureInterval, 10*time.Second)),
		strangers:   newSketch(sketchSize, strangerFailures, strangerInterval),
		vault:       newVault(o.Keys, cmp.Or(o.Devices, 32768)),
		log:         cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
	}
	if a.domainOf == nil {
		a.domainOf = func(host []byte) (string, bool) { return string(bytes.ToLower(host)), true }
	}
	return a, a.measure(o.Registerer)
}

// offers reports whether alg is one of the algorithms in use: an answer to what
// was not asked counts as none.
func (a *Authenticator) offers(alg algorithm) bool {
	return slices.ContainsFunc(a.algorithms, func(name string) bool {
		offered, _ := parseAlgorithm([]byte(name))
		return offered == alg
	})
}

// names reports whether uri is that of the server of domain, without a user.
// Clients behind outbound proxies, and SIPp, sign that instead of the Request-URI:
// the nonce, bound to the source and counted, keeps such credentials from being
// used elsewhere.
func (a *Authenticator) names(uri []byte, domain string) bool {
	u, ok := wire.ParseURI(uri)
	if !ok || u.HasUser {
		return false
	}
	name, ok := a.domainOf(u.Host)
	return ok && name == domain
}

// measure makes the counters, one for each kind of verdict, and one for challenges
// that answer wrong credentials.
func (a *Authenticator) measure(r prometheus.Registerer) error {
	checks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bellhop_auth_checks_total",
		Help: "Requests whose credentials were checked, by verdict.",
	}, []string{"verdict"})
	for k := Accepted; k <= Forbidden; k++ {
		a.verdicts[k] = checks.WithLabelValues(k.String())
	}
	a.failed = checks.WithLabelValues("failed")
	if r == nil {
		return nil
	}
	return r.Register(checks)
}

// Load fills the cache with what a [Missing] verdict lacks. It may block.
func (a *Authenticator) Load(ctx context.Context, domain, username string) error {
	return a.credentials.Load(ctx, domain, username)
}

// Check says what a request out of dialog from a device proves, by Authorization
// when it is a REGISTER and by Proxy-Authorization otherwise (RFC 3261 §22). The
// domain (canonical name) and its realm (without quotes and backslashes) are
// those that the request is for. It never blocks, and keeps nothing of a request that proves nothing.
//
// A request that is Accepted has used its nonce count up: checked again it is
// Stale. So retransmissions must be absorbed before, by their transaction.
func (a *Authenticator) Check(req *wire.Message, flow location.Flow, domain, realm string, now time.Time) Verdict {
	v := a.check(req, flow, domain, realm, a.clock.ms(now), now)
	if v.Failed {
		a.failed.Inc()
	} else {
		a.verdicts[v.Kind].Inc()
	}
	return v
}

func (a *Authenticator) check(req *wire.Message, flow location.Flow, domain, realm string, ms int64, now time.Time) Verdict {
	f := wire.ProxyAuthorization
	if req.Method() == wire.Register {
		f = wire.Authorization
	}
	c, ok, malformed := find(req, f, realm)
	switch {
	case malformed:
		return Verdict{Kind: Malformed, Reason: "Malformed Credentials"}
	case !ok:
		return Verdict{Kind: Challenge}
	}
	alg, known := parseAlgorithm(c.algorithm)
	if known && !a.offers(alg) {
		known = false
	}
	if !known || !bytes.EqualFold(c.qop, []byte("auth")) {
		return Verdict{Kind: Challenge} // not what we offered
	}
	nc, ok := c.count()
	if !ok || !c.complete() {
		return Verdict{Kind: Malformed, Reason: "Malformed Credentials"}
	}
	// RFC 7616 §3.4.6: credentials are for one resource.
	if !bytes.Equal(c.uri, req.RequestURI()) && !wire.EqualURI(c.uri, req.RequestURI()) && !a.names(c.uri, domain) {
		return Verdict{Kind: Malformed, Reason: "Digest URI Is Not Request-URI"}
	}
	// A nonce that is ours for this source also proves the source: what follows
	// costs more, and failures count against the user and the source.
	nonce, ok := a.nonces.verify(c.nonce, domain, flow)
	if !ok || ms-nonce.issued > a.lifetime || nonce.issued-ms > nonceSkew.Milliseconds() {
		return Verdict{Kind: Stale}
	}
	return a.prove(req, flow, &c, &proof{alg: alg, nonce: nonce, nc: nc, domain: domain, realm: realm, ms: ms, now: now})
}

// A proof is what is known of credentials whose form, URI and nonce are right.
type proof struct {
	alg           algorithm
	nonce         nonceID
	nc            uint32
	domain, realm string
	ms            int64
	now           time.Time
}

// prove compares the digest.
func (a *Authenticator) prove(req *wire.Message, flow location.Flow, c *credentials, p *proof) Verdict {
	source := flow.Remote.Addr()
	user := a.failures.key(p.domain, c.username, source)
	if a.failures.slow(user, p.ms) {
		return Verdict{Kind: Slow}
	}
	username := string(c.username)
	device, known, cached := a.credentials.Credential(p.domain, username)
	if !cached {
		if a.strangers.slow(a.strangers.key("", nil, source), p.ms) {
			return Verdict{Kind: Slow}
		}
		return Verdict{Kind: Missing, Username: username}
	}
	if !a.answered(req.MethodBytes(), c, &device, known && device.Usable(p.now), p) {
		a.failures.add(user, p.ms)
		a.strangers.add(a.strangers.key("", nil, source), p.ms)
		return Verdict{Kind: Challenge, Failed: true}
	}
	if !a.used.use(p.nonce, p.nc, p.ms) {
		return Verdict{Kind: Stale}
	}
	return a.admit(req, flow, device, p.domain)
}

// answered reports whether the response is right. For who is not known it
// compares with what nobody can know.
func (a *Authenticator) answered(method []byte, c *credentials, device *directory.Credential, known bool, p *proof) bool {
	var h *ha1
	if known {
		var err error
		if h, err = a.vault.ha1(device, p.domain, p.realm); err != nil {
			a.log.Error("credential cannot be opened", "domain", p.domain, "device", device.Device, "error", err)
		}
	}
	if h == nil {
		h, known = a.vault.unknown(), false
	}
	var want, got [2 * maxSum]byte
	answer := p.alg.appendAnswer(want[:0], h, method, c)
	n := copy(got[:], c.response)
	for i := range n {
		if x := got[i]; x >= 'A' && x <= 'F' {
			got[i] = x | 0x20 // RFC 7616 §3.4 says lower case; phones differ
		}
	}
	return subtle.ConstantTimeCompare(answer, got[:n]) == 1 && len(c.response) == n && known
}

// maxSum is the length of the longest hash, in bytes.
const maxSum = 32

// admit checks what an authenticated device may say of itself: From is one of
// its lines, and it came as it must.
func (a *Authenticator) admit(req *wire.Message, flow location.Flow, device directory.Credential, domain string) Verdict {
	v := Verdict{Kind: Accepted, Device: device}
	if device.Trunk != "" {
		return v // its callers are everybody's
	}
	if device.TLSRequired && !flow.Secure() {
		v.Kind, v.Rule, v.Reason = Forbidden, RuleTLS, "TLS Required"
		return v
	}
	from, _ := req.Get(wire.From)
	var ok bool
	if v.Line, ok = a.Line(from.Bytes(), &device, domain); !ok {
		v.Kind, v.Rule, v.Reason = Forbidden, RuleOrigin, "From Is Not Yours"
		if req.Method() == wire.Register {
			v.Rule = RuleNotYours
		}
	}
	return v
}

// Line returns the number that a From or To value means for a device of domain:
// one of its lines, or the first one for the device's own name.
func (a *Authenticator) Line(value []byte, device *directory.Credential, domain string) (number string, ok bool) {
	n, ok := wire.ParseNameAddr(value)
	if !ok {
		return "", false
	}
	u, ok := wire.ParseURI(n.URI)
	if !ok || len(u.Host) == 0 {
		return "", false
	}
	if name, ok := a.domainOf(u.Host); !ok || name != domain {
		return "", false
	}
	user := u.User
	if bytes.IndexByte(user, '%') >= 0 {
		user = wire.AppendUnescaped(nil, user)
	}
	return device.Line(string(user))
}

// AppendChallenge appends the header lines of a 401, or with proxy of a 407:
// one challenge for each algorithm, the preferred one first (RFC 8760 §2.3), with one new nonce for requests of domain
// from the source of flow. They depend on nothing that the request said, and
// have the same size for everybody in the realm.
func (a *Authenticator) AppendChallenge(dst []byte, realm string, proxy, stale bool, flow location.Flow, domain string, now time.Time) []byte {
	return a.appendChallenge(dst, a.algorithms, realm, proxy, stale, flow, domain, now)
}

// AppendMD5Challenge is [Authenticator.AppendChallenge] with MD5 alone, where
// that is offered at all: for phones that give up over an algorithm they do not
// know, although RFC 7616 §3.7 has them pass over it.
func (a *Authenticator) AppendMD5Challenge(dst []byte, realm string, proxy, stale bool, flow location.Flow, domain string, now time.Time) []byte {
	algorithms := a.algorithms
	if i := slices.Index(algorithms, "MD5"); i >= 0 {
		algorithms = algorithms[i : i+1]
	}
	return a.appendChallenge(dst, algorithms, realm, proxy, stale, flow, domain, now)
}

func (a *Authenticator) appendChallenge(dst []byte, algorithms []string, realm string, proxy, stale bool, flow location.Flow, domain string, now time.Time) []byte {
	var room [nonceText]byte
	nonce := a.nonces.append(room[:0], domain, flow, now)
	name := "WWW-Authenticate: Digest realm="
	if proxy {
		name = "Proxy-Authenticate: Digest realm="
	}
	for _, alg := range algorithms {
		dst = append(dst, name...)
		dst = wire.AppendQuoted(dst, realm)
		dst = append(dst, `,qop="auth",algorithm=`...)
		dst = append(dst, alg...)
		dst = append(dst, `,nonce="`...)
		dst = append(dst, nonce...)
		dst = append(dst, '"')
		if stale {
			dst = append(dst, ",stale=true"...)
		}
		dst = append(dst, "\r\n"...)
	}
	return dst
}
