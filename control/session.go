package control

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"bellhop/routing/directory"
)

// Credentials of a sign-in.
type signInRequest struct {
	Domain   string `json:"domain" doc:"domain of the user; empty for a system-admin"`
	User     string `json:"user"`
	Password string `json:"password" writeOnly:"true"`
}

// SessionStarted answers a sign-in.
type sessionStarted struct {
	Token              string    `json:"token,omitempty" doc:"with ?as=token; otherwise a cookie is set"`
	LastLogin          time.Time `json:"last_login,omitzero"`
	MustChangePassword bool      `json:"must_change_password" doc:"the session permits nothing but PUT /v1/me/password"`
	Expires            time.Time `json:"expires"`
}

// errSignIn is the one answer to everything that can be wrong with a sign-in.
func errSignIn() error {
	return problem(http.StatusUnauthorized, "session.refused", "domain, user or password is wrong")
}

func (s *Server) signIn(q *request) (reply, error) {
	var in signInRequest
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	in.Domain = strings.ToLower(in.Domain)
	source, key := peerAddr(q.http), in.User+"@"+in.Domain
	if wait := s.brake.admit(key, source, q.now); wait > 0 {
		s.metrics.limited.WithLabelValues("sign-in").Inc()
		p := problem(http.StatusTooManyRequests, "session.slow", "too many failed sign-ins: wait")
		p.retry = wait
		return reply{}, p
	}
	who, secret, doc, err := s.checkSignIn(q.ctx(), in)
	if err != nil {
		s.metrics.signIns.WithLabelValues("refused").Inc()
		return reply{}, err
	}
	s.brake.succeeded(key, source)
	s.metrics.signIns.WithLabelValues("accepted").Inc()

	token, hash := newSecret(sessionPrefix)
	ss := directory.Session{
		Hash: hash, Bearer: q.query("as") == "token", Domain: in.Domain, User: in.User, Role: who.role, MustChange: secret.MustChange,
		Created: q.now, LastSeen: q.now, Expires: q.now.Add(sessionLife), From: source.String(), Agent: clip(q.http.UserAgent(), 200),
	}
	if err := s.opts.Sessions.SaveSession(q.ctx(), ss); err != nil {
		return reply{}, err
	}
	last := secret.LastLogin
	secret.LastLogin = q.now.UTC().Truncate(time.Second)
	s.rememberLogin(q.ctx(), directory.Author{Actor: who.name(), From: ss.From}, doc, secret)
	out := sessionStarted{LastLogin: last, MustChangePassword: secret.MustChange, Expires: ss.Expires}
	rep := reply{body: &out}
	if q.query("as") == "token" {
		out.Token = token
		return rep, nil
	}
	rep.header = http.Header{"Set-Cookie": {sessionCookie(token, int(sessionLife/time.Second)).String()}}
	return rep, nil
}

func sessionCookie(value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode,
	}
}

func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}

// checkSignIn compares a password with what is stored. Users that do not exist
// cost the same hash.
func (s *Server) checkSignIn(ctx context.Context, in signInRequest) (*principal, directory.SignIn, directory.Document, error) {
	secret, doc, role, err := s.loadSignIn(ctx, in.Domain, in.User)
	if err != nil {
		return nil, secret, doc, err
	}
	password := in.Password
	if len(password) > directory.MaxPassword*4 {
		password, secret.Hash = "", ""
	}
	ok, err := s.hasher.verify(ctx, secret.Hash, password)
	if err != nil {
		return nil, secret, doc, err
	}
	if !ok {
		return nil, secret, doc, errSignIn()
	}
	return &principal{domain: in.Domain, user: in.User, role: role}, secret, doc, nil
}

// loadSignIn reads the password of a user who exists and may sign in; for
// others the hash is empty.
func (s *Server) loadSignIn(ctx context.Context, domain, user string) (directory.SignIn, directory.Document, directory.Role, error) {
	var secret directory.SignIn
	none := directory.Document{}
	if !plainName(user) || domain != "" && !plainName(domain) {
		return secret, none, "", nil
	}
	_, u, err := s.current(ctx, directory.Ref{Domain: domain, Kind: directory.KindUser, Name: user})
	if err != nil || u == nil || u["state"] == "disabled" {
		return secret, none, "", err
	}
	doc, err := s.opts.Documents.Get(ctx, directory.Ref{Domain: domain, Kind: directory.KindSignIn, Name: user})
	if errors.Is(err, directory.ErrNotFound) {
		return secret, none, "", nil
	}
	if err != nil {
		return secret, none, "", err
	}
	if secret, err = directory.Parse[directory.SignIn](directory.KindSignIn, doc.Body); err != nil {
		return directory.SignIn{}, none, "", err
	}
	return secret, doc, roleOf(domain, u), nil
}

// roleOf is the role that a user document gives. In a domain nobody is a
// system-admin, outside of domains nobody is anything else.
func roleOf(domain string, user map[string]any) directory.Role {
	role, _ := user["role"].(string)
	switch {
	case domain == "":
		return directory.RoleSystemAdmin
	case directory.Role(role) == directory.RoleDomainAdmin:
		return directory.RoleDomainAdmin
	default:
		return directory.RoleUser
	}
}

// rememberLogin keeps when a user signed in; that it cannot is no reason to
// refuse.
func (s *Server) rememberLogin(ctx context.Context, a directory.Author, doc directory.Document, secret directory.SignIn) {
	body, err := directory.Encode(secret)
	if err == nil {
		_, err = s.opts.Documents.Apply(ctx, a, []directory.Write{{Ref: doc.Ref, Body: body, IfMatch: doc.Version}})
	}
	if err != nil && !errors.Is(err, directory.ErrVersion) {
		s.log.LogAttrs(ctx, slog.LevelWarn, "last login not kept", slog.Any("err", err))
	}
}

// A sessionView is a session as lists show it.
type sessionView struct {
	ID        string         `json:"id"`
	Domain    string         `json:"domain,omitempty"`
	User      string         `json:"user"`
	Role      directory.Role `json:"role"`
	Created   time.Time      `json:"created"`
	Seen      time.Time      `json:"last_used"`
	Expires   time.Time      `json:"expires"`
	From      string         `json:"from"`
	UserAgent string         `json:"user_agent,omitempty"`
	Current   bool           `json:"current,omitempty" doc:"this request uses it"`
	Must      bool           `json:"must_change_password"`
}

// sessionID names a session in lists: the beginning of its hash, from which
// nobody finds the secret.
func sessionID(ss directory.Session) string { return ss.Hash[:min(len(ss.Hash), 16)] }

func viewSession(ss directory.Session, who *principal) sessionView {
	return sessionView{
		ID: sessionID(ss), Domain: ss.Domain, User: ss.User, Role: ss.Role, Created: ss.Created, Seen: ss.LastSeen, Expires: ss.Expires,
		From: ss.From, UserAgent: ss.Agent, Must: ss.MustChange, Current: who.session != nil && who.session.Hash == ss.Hash,
	}
}

func (s *Server) whoAmI(q *request) (reply, error) {
	if q.who.session != nil {
		return reply{body: viewSession(*q.who.session, q.who)}, nil
	}
	v := sessionView{Domain: q.who.domain, User: q.who.name(), Role: q.who.role, Current: true}
	if t := q.who.token; t != nil {
		v.Created, v.Expires, v.Seen = t.Created, t.Expires, t.LastUsed
	}
	return reply{body: v}, nil
}

func (s *Server) signOut(q *request) (reply, error) {
	if q.who.session == nil {
		return reply{}, problem(http.StatusConflict, "session.none", "a token is revoked under /v1/tokens")
	}
	if err := s.opts.Sessions.DeleteSession(q.ctx(), q.who.session.Hash); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent, header: http.Header{"Set-Cookie": {sessionCookie("", -1).String()}}}, nil
}

// sessionsOf names the user whose sessions a request is about, and checks that
// the caller may see them.
func (s *Server) sessionsOf(q *request) (domain, user string, err error) {
	if q.path("user") == "" { // /v1/me
		if q.who.user == "" {
			return "", "", forbidden("a token has no sessions")
		}
		return q.who.domain, q.who.user, nil
	}
	domain, user = strings.ToLower(q.path("domain")), q.path("user")
	if !q.who.admin(domain) && (q.who.domain != domain || q.who.user != user) {
		return "", "", notFound()
	}
	return domain, user, nil
}

func (s *Server) listSessions(q *request) (reply, error) {
	domain, user, err := s.sessionsOf(q)
	if err != nil {
		return reply{}, err
	}
	all, err := s.opts.Sessions.Sessions(q.ctx(), domain, user)
	if err != nil {
		return reply{}, err
	}
	out := list[sessionView]{Items: []sessionView{}}
	for _, ss := range all {
		if sessionAlive(ss, q.now) {
			out.Items = append(out.Items, viewSession(ss, q.who))
		}
	}
	slices.SortFunc(out.Items, func(a, b sessionView) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	return reply{body: out}, nil
}

func (s *Server) revokeSession(q *request) (reply, error) {
	domain, user, err := s.sessionsOf(q)
	if err != nil {
		return reply{}, err
	}
	all, err := s.opts.Sessions.Sessions(q.ctx(), domain, user)
	if err != nil {
		return reply{}, err
	}
	for _, ss := range all {
		if sessionID(ss) == q.path("id") {
			return reply{status: http.StatusNoContent}, s.opts.Sessions.DeleteSession(q.ctx(), ss.Hash)
		}
	}
	return reply{}, notFound()
}

// endSessions ends the sessions of a user, but for the one to keep.
func (s *Server) endSessions(ctx context.Context, domain, user string, keep *directory.Session) error {
	all, err := s.opts.Sessions.Sessions(ctx, domain, user)
	if err != nil {
		return err
	}
	for _, ss := range all {
		if keep != nil && ss.Hash == keep.Hash {
			continue
		}
		if err := s.opts.Sessions.DeleteSession(ctx, ss.Hash); err != nil {
			return err
		}
	}
	return nil
}
