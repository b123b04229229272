package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"bellhop/routing/directory"
)

// Limits of changes that wait.
const (
	maxChanges    = 1000 // in a domain; more would be a plan nobody can survey
	furthest      = 2 * 365 * 24 * time.Hour
	changesTick   = 30 * time.Second    // how late a change of another node is noticed
	changesKeep   = 30 * 24 * time.Hour // how long one that failed stays to be read
	changeTimeout = 30 * time.Second
)

// A changeView is a change that waits, or one that failed.
type changeView struct {
	ID      string          `json:"id"`
	Setting string          `json:"setting" doc:"path of what changes, below its domain" example:"users/ana/dnd"`
	Method  string          `json:"method" enum:"PUT,PATCH,DELETE"`
	Body    json.RawMessage `json:"body,omitempty"`
	At      time.Time       `json:"at" doc:"when it is made"`
	By      string          `json:"by" doc:"who asked for it; what they may do is asked again then"`
	Error   string          `json:"error,omitempty" doc:"why it was not made; it stays for 30 days"`
	Failed  time.Time       `json:"failed,omitzero"`
}

func changeEndpoints() []endpoint {
	var es []endpoint
	for _, at := range []struct {
		path, id, tag string
		access        access
	}{{"/v1/domains/{domain}/changes", "changes", "settings", member}, {"/v1/me/changes", "my-changes", "me", person}} {
		es = append(es,
			endpoint{method: http.MethodGet, path: at.path, id: "list-" + at.id, tag: at.tag, access: at.access, summary: "Changes that are made at a later time (?at= of a write)", out: typeOf[list[changeView]](), handle: (*Server).listChanges},
			endpoint{method: http.MethodDelete, path: at.path + "/{id}", id: "delete-" + at.id, tag: at.tag, access: at.access, summary: "Take a change back that was not made yet", handle: (*Server).dropChange},
		)
	}
	return es
}

// later keeps a write for the time that ?at= names, after every check that can be
// made now; what may be done is checked again then.
func (s *Server) later(q *request, rs *resource, input map[string]any, patch bool) (reply, error) {
	at, err := time.Parse(time.RFC3339, q.query("at"))
	if err != nil || at.Sub(q.now) > furthest {
		return reply{}, invalid(fault("at", directory.RuleValue, "must be a time (RFC 3339) within two years"))
	}
	if !at.After(q.now) {
		return reply{}, invalid(fault("at", "change.past", "is past: leave it out to change it now"))
	}
	ref, err := rs.ref(q)
	if err != nil {
		return reply{}, err
	}
	cond, err := conditionOf(q.http)
	if err != nil {
		return reply{}, err
	}
	w := &pending{ref: ref, input: input, patch: patch}
	ws, err := s.prepare(q, rs, cond, w)
	if err != nil {
		return reply{}, err
	}
	if slices.ContainsFunc(w.more, func(w directory.Write) bool {
		return w.Kind == directory.KindSignIn || w.Kind == directory.KindTrunkKey
	}) {
		return reply{}, invalid(fault("at", "change.secret", "a secret is set at once or not at all"))
	}
	if err := s.opts.Documents.Check(q.ctx(), ws); err != nil {
		return reply{}, err
	}
	return s.keepChange(q, ref, at, input, patch)
}

func (s *Server) keepChange(q *request, ref directory.Ref, at time.Time, input map[string]any, patch bool) (reply, error) {
	waiting, err := s.changes(q.ctx(), func(c directory.Change) bool { return c.Domain == ref.Domain })
	if err != nil {
		return reply{}, err
	}
	if len(waiting) >= maxChanges {
		return reply{}, problem(http.StatusConflict, "change.too-many", "%d changes wait already", len(waiting))
	}
	c := directory.Change{
		Domain: ref.Domain, Kind: ref.Kind, Name: ref.Name, Method: q.http.Method, IfMatch: strings.Join(q.http.Header.Values("If-Match"), ","),
		At: at.UTC().Truncate(time.Second), By: directory.ChangeBy{Domain: q.who.domain, User: q.who.user, From: peerAddr(q.http).String()},
	}
	if q.who.token != nil {
		c.By.Token = q.who.token.Name
	}
	if !patch && input != nil {
		c.Method = http.MethodPut // also of a restore
	}
	if input != nil {
		if c.Body, err = json.Marshal(input); err != nil {
			return reply{}, err
		}
	}
	body, err := directory.Encode(c)
	if err != nil {
		return reply{}, err
	}
	docs, err := s.opts.Documents.Apply(q.ctx(), q.author(), []directory.Write{{Ref: directory.Ref{Kind: directory.KindChange, Name: newID()}, Body: body, Create: true}})
	if err != nil {
		return reply{}, err
	}
	select {
	case s.planned <- struct{}{}:
	default:
	}
	return reply{status: http.StatusAccepted, body: viewChange(docs[0], c)}, nil
}

func viewChange(d directory.Document, c directory.Change) changeView {
	return changeView{
		ID: d.Name, Setting: c.Ref().Path(), Method: c.Method, Body: c.Body, At: c.At, By: byName(c.By), Error: c.Error, Failed: c.Failed,
	}
}

func byName(by directory.ChangeBy) string { return principalOf(by).name() }

// principalOf is who asked for a change, without a role yet.
func principalOf(by directory.ChangeBy) *principal {
	p := &principal{domain: by.Domain, user: by.User}
	if by.Token != "" {
		p.token = &directory.Token{Name: by.Token, Domain: by.Domain}
	}
	return p
}

// A waiting change is one with its document.
type waiting struct {
	doc directory.Document
	directory.Change
}

// changes lists the changes that want says.
func (s *Server) changes(ctx context.Context, want func(directory.Change) bool) (out []waiting, err error) {
	page := directory.Query{Limit: pageMost}
	for {
		docs, next, err := s.opts.Documents.List(ctx, "", directory.KindChange, page)
		if err != nil {
			return nil, err
		}
		for _, d := range docs {
			c, err := directory.Parse[directory.Change](directory.KindChange, d.Body)
			if err == nil && want(c) {
				out = append(out, waiting{d, c})
			}
		}
		if next == "" || len(docs) == 0 {
			return out, nil
		}
		page.Cursor = next
	}
}

// mine reports whether who asks may see a change: an administrator those of the
// domain, others what they asked for.
func (q *request) mine(c directory.Change) bool {
	domain := strings.ToLower(q.path("domain"))
	if domain != "" && q.who.admin(domain) {
		return c.Domain == domain || c.Kind == directory.KindDomain && c.Name == domain
	}
	return c.By.Domain == q.who.domain && c.By.User == q.who.user && q.who.user != ""
}

func (s *Server) listChanges(q *request) (reply, error) {
	all, err := s.changes(q.ctx(), q.mine)
	if err != nil {
		return reply{}, err
	}
	slices.SortFunc(all, func(a, b waiting) int { return a.At.Compare(b.At) })
	out := list[changeView]{Items: make([]changeView, 0, len(all))}
	for _, c := range all {
		out.Items = append(out.Items, viewChange(c.doc, c.Change))
	}
	return reply{body: out}, nil
}

func (s *Server) dropChange(q *request) (reply, error) {
	if !plainName(q.path("id")) {
		return reply{}, notFound()
	}
	doc, err := s.opts.Documents.Get(q.ctx(), directory.Ref{Kind: directory.KindChange, Name: q.path("id")})
	if err != nil {
		return reply{}, err
	}
	c, err := directory.Parse[directory.Change](directory.KindChange, doc.Body)
	if err != nil {
		return reply{}, err
	}
	if !q.mine(c) {
		return reply{}, notFound()
	}
	_, err = s.opts.Documents.Apply(q.ctx(), q.author(), []directory.Write{{Ref: doc.Ref, IfMatch: doc.Version}})
	return reply{status: http.StatusNoContent}, err
}

// runChanges makes changes when their time has come, until ctx ends.
func (s *Server) runChanges(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.planned:
		case <-timer.C:
		}
		wait, err := s.due(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "changes not read", "err", err)
		}
		timer.Reset(wait)
	}
}

// due makes the changes whose time has come, and says when to look again.
func (s *Server) due(ctx context.Context, now time.Time) (wait time.Duration, err error) {
	all, err := s.changes(ctx, func(directory.Change) bool { return true })
	slices.SortFunc(all, func(a, b waiting) int { return a.At.Compare(b.At) })
	wait = changesTick
	for _, c := range all {
		switch {
		case c.Error != "":
			if now.Sub(c.Failed) > changesKeep {
				s.forget(ctx, c)
			}
		case c.At.After(now):
			return min(wait, c.At.Sub(now)), nil // those that failed had their time before
		default:
			s.makeChange(ctx, c, now)
		}
	}
	return wait, err
}

// makeChange makes one change, by the same path as a request. A node that was
// slower than another one finds it gone.
func (s *Server) makeChange(ctx context.Context, c waiting, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	err := s.asRequest(ctx, c, now)
	p := problemOf(err)
	switch {
	case err == nil:
		s.log.InfoContext(ctx, "change made", "change", c.doc.Name, "setting", c.Ref().Path(), "domain", c.Domain, "by", byName(c.By))
		return
	case p.Status >= http.StatusInternalServerError || ctx.Err() != nil:
		s.log.WarnContext(ctx, "change not made yet", "change", c.doc.Name, "err", err)
		return
	}
	if _, gone := s.opts.Documents.Get(ctx, c.doc.Ref); errors.Is(gone, directory.ErrNotFound) {
		return
	}
	s.log.WarnContext(ctx, "change refused", "change", c.doc.Name, "setting", c.Ref().Path(), "domain", c.Domain, "by", byName(c.By), "rule", p.Type)
	failed := c.Change
	failed.Error, failed.Failed = p.Type+": "+p.Detail, now.UTC().Truncate(time.Second)
	body, err := directory.Encode(failed)
	if err == nil {
		_, err = s.opts.Documents.Apply(ctx, directory.Author{Actor: byName(c.By), From: c.By.From}, []directory.Write{{Ref: c.doc.Ref, Body: body, IfMatch: c.doc.Version}})
	}
	if err != nil && !errors.Is(err, directory.ErrVersion) {
		s.log.WarnContext(ctx, "refusal of a change not kept", "change", c.doc.Name, "err", err)
	}
}

// asRequest makes the request that the change was, at its time.
func (s *Server) asRequest(ctx context.Context, c waiting, now time.Time) error {
	who, err := s.standing(ctx, c.By)
	if err != nil {
		return err
	}
	rs := s.resourceOf(c.Ref())
	if rs == nil {
		return notFound()
	}
	r, err := http.NewRequestWithContext(ctx, c.Method, "/", nil)
	if err != nil {
		return err
	}
	r.RemoteAddr = net.JoinHostPort(c.By.From, "0")
	if c.IfMatch != "" {
		r.Header.Set("If-Match", c.IfMatch)
	}
	r.SetPathValue("domain", c.Domain)
	if c.Kind == directory.KindDomain {
		r.SetPathValue("domain", c.Name)
	}
	name := c.Name
	if rs.id != "" {
		of, id := directory.SplitRemote(c.Name)
		r.SetPathValue(rs.id, id)
		name = of
	}
	r.SetPathValue(rs.param, name)
	q := &request{http: r, who: who, now: now, with: []directory.Write{{Ref: c.doc.Ref, IfMatch: c.doc.Version}}}
	var input map[string]any
	if c.Method != http.MethodDelete {
		if input, err = decodeObject(c.Body); err != nil {
			return err
		}
	}
	_, err = s.change(q, rs, input, c.Method == http.MethodPatch) //nolint:contextcheck // q has it
	if err == nil {
		s.forget(ctx, c) // of a deletion of what is not there, which writes nothing
	}
	return err
}

// forget removes a change; one that is gone is fine.
func (s *Server) forget(ctx context.Context, c waiting) {
	_, err := s.opts.Documents.Apply(ctx, directory.Author{Actor: byName(c.By), From: c.By.From}, []directory.Write{{Ref: c.doc.Ref}})
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		s.log.WarnContext(ctx, "change not removed", "change", c.doc.Name, "err", err)
	}
}

// standing is who asked for a change, with the role they have now.
func (s *Server) standing(ctx context.Context, by directory.ChangeBy) (*principal, error) {
	p := principalOf(by)
	gone := forbidden("%s is gone or disabled", p.name())
	if by.Token != "" {
		tokens, err := s.opts.Tokens.Tokens(ctx, by.Domain)
		i := slices.IndexFunc(tokens, func(t directory.Token) bool { return t.Name == by.Token })
		if err != nil || i < 0 {
			return nil, errors.Join(err, gone)
		}
		p.role, p.token = tokens[i].Role, &tokens[i]
		return p, nil
	}
	if by.User == "" {
		p.role = directory.RoleSystemAdmin // the bootstrap token, while it was one
		return p, nil
	}
	doc, err := s.opts.Documents.Get(ctx, directory.Ref{Domain: by.Domain, Kind: directory.KindUser, Name: by.User})
	if errors.Is(err, directory.ErrNotFound) {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	u, err := directory.Parse[directory.User](directory.KindUser, doc.Body)
	if err != nil || u.State != "" {
		return nil, gone
	}
	if p.role = u.Role; by.Domain == "" {
		p.role = directory.RoleSystemAdmin
	}
	return p, nil
}

// resourceOf is the resource that writes a document.
func (s *Server) resourceOf(ref directory.Ref) *resource {
	for _, rs := range s.resources {
		if rs.kind == ref.Kind && !rs.mine && (ref.Kind != directory.KindUser || (ref.Domain == "") == (rs.path == "/v1/users/{user}")) {
			return rs
		}
	}
	return nil
}
