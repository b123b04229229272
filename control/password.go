package control

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"bellhop/routing/directory"
)

// policies reads what a domain asks of passwords and PINs; outside of domains it
// is the default.
func (s *Server) policies(ctx context.Context, domain string) (directory.Domain, error) {
	if domain == "" {
		return directory.Domain{}, nil
	}
	doc, err := s.opts.Documents.Get(ctx, directory.Ref{Kind: directory.KindDomain, Name: domain})
	if err != nil {
		return directory.Domain{}, err
	}
	return directory.Parse[directory.Domain](directory.KindDomain, doc.Body)
}

// located puts faults at the field a secret came in.
func located(location string, faults []directory.Fault) []directory.Fault {
	for i := range faults {
		faults[i].Location = location
	}
	return faults
}

// passwordChange is the body of PUT .../password.
type passwordChange struct {
	Old string `json:"old,omitempty" writeOnly:"true" doc:"the password until now; an administrator setting another's needs none"`
	New string `json:"new" writeOnly:"true"`
}

// changePassword sets a password: one's own with the old one, another's as an
// administrator, who also makes it one that must be changed.
func (s *Server) changePassword(q *request) (reply, error) {
	var in passwordChange
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	if q.http.TLS == nil && !s.opts.Plain {
		return reply{}, problemPlainPassword()
	}
	domain, user, err := s.sessionsOf(q)
	if err != nil {
		return reply{}, err
	}
	own := q.who.user == user && q.who.domain == domain
	if own {
		if err := s.checkOld(q, domain, user, in.Old); err != nil {
			return reply{}, err
		}
	}
	return reply{status: http.StatusNoContent}, s.setPassword(q, domain, user, in.New, own)
}

func problemPlainPassword() *Problem {
	return problem(http.StatusForbidden, "password.tls", "a password is set over TLS only")
}

// checkOld slows guesses at the old password as it does sign-ins.
func (s *Server) checkOld(q *request, domain, user, old string) error {
	source, key := peerAddr(q.http), user+"@"+domain
	if wait := s.brake.admit(key, source, q.now); wait > 0 {
		p := problem(http.StatusTooManyRequests, "session.slow", "too many wrong passwords: wait")
		p.retry = wait
		return p
	}
	_, _, _, err := s.checkSignIn(q.ctx(), signInRequest{Domain: domain, User: user, Password: old})
	if p, ok := errors.AsType[*Problem](err); ok && p.Type == "session.refused" {
		return invalid(directory.Fault{Location: "old", Message: "it is not the password until now", Rule: "password.old"})
	}
	if err == nil {
		s.brake.succeeded(key, source)
	}
	return err
}

func (s *Server) setPassword(q *request, domain, user, password string, own bool) error {
	_, u, err := s.current(q.ctx(), directory.Ref{Domain: domain, Kind: directory.KindUser, Name: user})
	if err != nil {
		return err
	}
	if u == nil {
		return notFound()
	}
	w, err := s.passwordWrite(q.ctx(), directory.Ref{Domain: domain, Kind: directory.KindSignIn, Name: user}, "new", password, !own, q.now)
	if err != nil {
		return err
	}
	if _, err := s.opts.Documents.Apply(q.ctx(), q.author(), []directory.Write{w}); err != nil {
		return err
	}
	keep := q.who.session
	if !own {
		keep = nil
	}
	if err := s.endSessions(q.ctx(), domain, user, keep); err != nil {
		return err
	}
	if keep == nil || !keep.MustChange {
		return nil
	}
	free := *keep
	free.MustChange = false
	return s.opts.Sessions.SaveSession(q.ctx(), free)
}

// passwordWrite makes the write that sets a password: it keeps the policy, and
// none of the last passwords comes again.
func (s *Server) passwordWrite(ctx context.Context, ref directory.Ref, location, password string, mustChange bool, now time.Time) (directory.Write, error) {
	d, err := s.policies(ctx, ref.Domain)
	if err != nil {
		return directory.Write{}, err
	}
	if faults := directory.Password(password, directory.PasswordLength(d)); len(faults) > 0 {
		return directory.Write{}, invalid(located(location, faults)...)
	}
	var secret directory.SignIn
	doc, err := s.opts.Documents.Get(ctx, ref)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return directory.Write{}, err
	}
	if err == nil {
		if secret, err = directory.Parse[directory.SignIn](directory.KindSignIn, doc.Body); err != nil {
			return directory.Write{}, err
		}
	}
	past := slices.DeleteFunc(append([]string{secret.Hash}, secret.Previous...), func(h string) bool { return h == "" })
	past = past[:min(len(past), directory.KeepPasswords)]
	for _, h := range past {
		same, err := s.hasher.verify(ctx, h, password)
		if err != nil {
			return directory.Write{}, err
		}
		if same {
			return directory.Write{}, invalid(directory.Fault{Location: location, Message: "it is one of the last five", Rule: directory.RulePasswordReused})
		}
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return directory.Write{}, err
	}
	next := directory.SignIn{Hash: hash, Previous: past[:min(len(past), directory.KeepPasswords-1)], MustChange: mustChange, Changed: now.UTC().Truncate(time.Second), LastLogin: secret.LastLogin}
	body, err := directory.Encode(next)
	return directory.Write{Ref: ref, Body: body, IfMatch: doc.Version, Create: doc.Version.IsZero()}, err
}
