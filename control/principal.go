package control

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bellhop/routing/directory"
)

// Life of a session (trust.md §2).
const (
	sessionIdle   = 12 * time.Hour
	sessionLife   = 7 * 24 * time.Hour
	touchInterval = 5 * time.Minute // how coarse Seen and LastUsed are
	minAdminToken = 32              // characters of the bootstrap token
)

// cookieName carries the __Host- prefix: a browser takes it over TLS only, for
// this host only, for every path.
const cookieName = "__Host-bellhop"

// Prefixes of secrets, so that leaked ones are found by scanners.
const (
	sessionPrefix = "bhs_"
	tokenPrefix   = "bht_"
)

// A principal is who asks.
type principal struct {
	domain     string // "" for system-admins
	user       string // "" for tokens
	role       directory.Role
	mustChange bool
	session    *directory.Session // nil for tokens
	token      *directory.Token   // nil for sessions and the bootstrap token
}

// name is who changes are recorded under.
func (p *principal) name() string {
	switch {
	case p.token != nil && p.domain != "":
		return "token:" + p.token.Name + "@" + p.domain
	case p.token != nil:
		return "token:" + p.token.Name
	case p.user == "":
		return "token:bootstrap"
	case p.domain == "":
		return p.user
	default:
		return p.user + "@" + p.domain
	}
}

// admin reports whether p administers domain.
func (p *principal) admin(domain string) bool {
	return p.role == directory.RoleSystemAdmin || p.role == directory.RoleDomainAdmin && p.domain == domain && domain != ""
}

// newSecret makes the secret of a session or token and its hash.
func newSecret(prefix string) (secret, hash string) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	secret = prefix + base64.RawURLEncoding.EncodeToString(b)
	return secret, hashOf(secret)
}

// hashOf is what is stored of a secret: hex of its SHA-256.
func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// rank orders roles.
func rank(r directory.Role) int {
	switch r {
	case directory.RoleSystemAdmin:
		return 3
	case directory.RoleDomainAdmin:
		return 2
	case directory.RoleUser:
		return 1
	default:
		return 1
	}
}

// newID makes a short name that says nothing.
func newID() string { return strings.ToLower(rand.Text()[:12]) }

// secretOf takes the secret from the Authorization field or the cookie.
func secretOf(r *http.Request) (string, bool) {
	if auth := r.Header.Get("Authorization"); auth != "" {
		scheme, secret, ok := strings.Cut(auth, " ")
		return strings.TrimSpace(secret), ok && strings.EqualFold(scheme, "Bearer") && secret != ""
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return "", false
	}
	return c.Value, c.Value != ""
}

func unauthorized() *Problem {
	return problem(http.StatusUnauthorized, "session.required", "sign in first")
}

// authenticate finds who asks. An unknown, an expired and a revoked secret look
// alike.
func (s *Server) authenticate(r *http.Request, now time.Time) (*principal, error) {
	secret, ok := secretOf(r)
	if !ok || len(secret) > 256 {
		return nil, unauthorized()
	}
	hash := hashOf(secret)
	if s.adminToken != "" && subtle.ConstantTimeCompare([]byte(hash), []byte(s.adminToken)) == 1 {
		return s.bootstrap(r.Context())
	}
	var who *principal
	var err error
	if strings.HasPrefix(secret, tokenPrefix) {
		who, err = s.byToken(r, hash, now)
	} else {
		who, err = s.bySession(r.Context(), hash, now)
	}
	if errors.Is(err, directory.ErrNotFound) {
		return nil, unauthorized()
	}
	return who, err
}

// bootstrap lets the token of the environment in while there is no system-admin.
func (s *Server) bootstrap(ctx context.Context) (*principal, error) {
	users, _, err := s.opts.Documents.List(ctx, "", directory.KindUser, directory.Query{Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(users) > 0 {
		return nil, problem(http.StatusUnauthorized, "session.bootstrap-closed", "there is a system-admin: sign in")
	}
	return &principal{role: directory.RoleSystemAdmin}, nil
}

func (s *Server) bySession(ctx context.Context, hash string, now time.Time) (*principal, error) {
	ss, err := s.opts.Sessions.Session(ctx, hash)
	if err != nil {
		return nil, err
	}
	if !sessionAlive(ss, now) {
		return nil, unauthorized()
	}
	if now.Sub(ss.LastSeen) >= touchInterval {
		if err := s.opts.Sessions.TouchSession(ctx, hash, now); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "session not touched", slog.Any("err", err))
		}
	}
	return &principal{domain: ss.Domain, user: ss.User, role: ss.Role, mustChange: ss.MustChange, session: &ss}, nil
}

// sessionAlive reports whether ss may still be used at now.
func sessionAlive(ss directory.Session, now time.Time) bool {
	return now.Before(ss.Expires) && now.Sub(ss.LastSeen) < sessionIdle
}

func (s *Server) byToken(r *http.Request, hash string, now time.Time) (*principal, error) {
	t, err := s.opts.Tokens.Token(r.Context(), hash)
	if err != nil {
		return nil, err
	}
	if !t.Expires.IsZero() && !now.Before(t.Expires) {
		return nil, unauthorized()
	}
	if addr := peerAddr(r); len(t.Networks) > 0 && !slices.ContainsFunc(t.Networks, func(n netip.Prefix) bool { return n.Contains(addr) }) {
		return nil, unauthorized()
	}
	if now.Sub(t.LastUsed) >= touchInterval {
		if err := s.opts.Tokens.TouchToken(r.Context(), hash, now); err != nil {
			s.log.LogAttrs(r.Context(), slog.LevelWarn, "token not touched", slog.Any("err", err))
		}
	}
	return &principal{domain: t.Domain, role: t.Role, token: &t}, nil
}

// An access says who may call an endpoint. What an endpoint does beyond that,
// for example to which user's settings, its handler checks.
type access uint8

const (
	anyone      access = iota
	signedIn           // also with a password that must be changed
	person             // signed in, nothing to change first
	member             // of the domain in the path, any role
	domainAdmin        // of the domain in the path
	systemAdmin
)

// String names the access for the docs.
func (a access) String() string {
	switch a {
	case anyone:
		return "everyone"
	case signedIn, person:
		return "user"
	case member:
		return "user of the domain"
	case domainAdmin:
		return "domain-admin"
	case systemAdmin:
		return "system-admin"
	default:
		return "nobody"
	}
}

// admit lets q.who in or says why not: another domain does not exist for who is
// not of it (404), in one's own what is not allowed is forbidden (403).
func (a access) admit(e endpoint, q *request) error {
	if q.who.mustChange && a != signedIn {
		return problem(http.StatusForbidden, "password.must-change", "change the password first: PUT /v1/me/password")
	}
	if q.who.role == directory.RoleSystemAdmin {
		return nil
	}
	if domain := strings.ToLower(q.path("domain")); domain != "" && domain != q.who.domain {
		return notFound()
	}
	switch a {
	case systemAdmin:
		return forbidden("this takes a system-admin")
	case domainAdmin:
		if q.who.role != directory.RoleDomainAdmin {
			return forbidden("this takes a domain-admin")
		}
		return nil
	case anyone, signedIn, person, member:
		return nil
	default:
		return forbidden("%s is for nobody", e.path)
	}
}
