package control

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"bellhop/routing/directory"
)

// A tokenView is an API token as the API shows it.
type tokenView struct {
	Name     string         `json:"name"`
	Role     directory.Role `json:"role" enum:"domain-admin,system-admin"`
	Domain   string         `json:"domain,omitempty" doc:"of a domain-admin's token"`
	Networks []string       `json:"networks,omitempty" doc:"prefixes it works from; none: from everywhere" example:"[\"192.0.2.0/24\"]"`
	Expires  time.Time      `json:"expires,omitzero"`
	Created  time.Time      `json:"created,omitzero" readOnly:"true"`
	LastUsed time.Time      `json:"last_used,omitzero" readOnly:"true"`
	By       string         `json:"created_by,omitempty" readOnly:"true"`
	Token    string         `json:"token,omitempty" readOnly:"true" doc:"the secret, shown once: in the answer to POST"`
}

func viewToken(t directory.Token) tokenView {
	v := tokenView{Name: t.Name, Role: t.Role, Domain: t.Domain, Expires: t.Expires, Created: t.Created, LastUsed: t.LastUsed, By: t.Creator}
	for _, n := range t.Networks {
		v.Networks = append(v.Networks, n.String())
	}
	return v
}

// tokenDomain is the domain whose tokens a request is about: an administrator's
// own, or the one a system-admin names with ?domain=.
func (q *request) tokenDomain() string {
	if q.who.role == directory.RoleSystemAdmin {
		return strings.ToLower(q.query("domain"))
	}
	return q.who.domain
}

func (s *Server) listTokens(q *request) (reply, error) {
	all, err := s.opts.Tokens.Tokens(q.ctx(), q.tokenDomain())
	if err != nil {
		return reply{}, err
	}
	out := list[tokenView]{Items: make([]tokenView, 0, len(all))}
	for _, t := range all {
		out.Items = append(out.Items, viewToken(t))
	}
	slices.SortFunc(out.Items, func(a, b tokenView) int { return cmp.Compare(a.Name, b.Name) })
	return reply{body: out}, nil
}

func (s *Server) createToken(q *request) (reply, error) {
	var in tokenView
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	t, err := in.parse(q)
	if err != nil {
		return reply{}, err
	}
	secret, hash := newSecret(tokenPrefix)
	t.ID, t.Hash = newID(), hash
	if t.Domain != "" {
		if _, err := s.opts.Documents.Get(q.ctx(), directory.Ref{Kind: directory.KindDomain, Name: t.Domain}); err != nil {
			return reply{}, err
		}
	}
	if err := s.opts.Tokens.SaveToken(q.ctx(), t); err != nil {
		return reply{}, err
	}
	v := viewToken(t)
	v.Token = secret
	return reply{status: http.StatusCreated, body: v}, nil
}

// parse checks what a new token shall be. Nobody grants above their role.
func (v *tokenView) parse(q *request) (directory.Token, error) {
	var faults []directory.Fault
	say := func(location, rule, message string) {
		faults = append(faults, directory.Fault{Location: location, Message: message, Rule: rule})
	}
	t := directory.Token{
		Name: v.Name, Domain: strings.ToLower(v.Domain), Role: v.Role, Expires: v.Expires, Created: q.now.UTC().Truncate(time.Second), Creator: q.who.name(),
	}
	if !plainName(v.Name) || len(v.Name) > 64 {
		say("name", "name.form", "1 to 64 characters without blanks")
	}
	switch v.Role {
	case directory.RoleSystemAdmin:
		if t.Domain != "" {
			say("domain", "token.domain", "a system-admin is outside domains")
		}
	case directory.RoleDomainAdmin:
		if t.Domain == "" {
			t.Domain = q.who.domain
		}
		if t.Domain == "" {
			say("domain", "token.domain", "which domain?")
		}
	case directory.RoleUser:
		fallthrough
	default:
		say("role", "token.role", "domain-admin or system-admin")
	}
	for i, n := range v.Networks {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			say("networks["+itoa(i)+"]", "token.network", "a prefix like 192.0.2.0/24 is expected")
			continue
		}
		t.Networks = append(t.Networks, p.Masked())
	}
	if !v.Expires.IsZero() && !v.Expires.After(q.now) {
		say("expires", "token.expires", "it is in the past")
	}
	if len(faults) > 0 {
		return t, invalid(faults...)
	}
	if rank(t.Role) > rank(q.who.role) {
		return t, forbidden("nobody grants above their own role")
	}
	if q.who.role != directory.RoleSystemAdmin && t.Domain != q.who.domain {
		return t, notFound()
	}
	return t, nil
}

func (s *Server) revokeToken(q *request) (reply, error) {
	all, err := s.opts.Tokens.Tokens(q.ctx(), q.tokenDomain())
	if err != nil {
		return reply{}, err
	}
	for _, t := range all {
		if t.Name == q.path("name") {
			return reply{status: http.StatusNoContent}, s.opts.Tokens.DeleteToken(q.ctx(), t.Hash)
		}
	}
	return reply{}, notFound()
}
