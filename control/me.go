package control

import (
	"net/http"

	"bellhop/routing/directory"
)

// meView is who is signed in.
type meView struct {
	Domain     string         `json:"domain,omitempty"`
	User       string         `json:"user"`
	Role       directory.Role `json:"role"`
	Name       string         `json:"name,omitempty"`
	Email      string         `json:"email,omitempty"`
	Language   string         `json:"language,omitempty"`
	TimeZone   string         `json:"time_zone,omitempty"`
	Numbers    []string       `json:"numbers"`
	Devices    []string       `json:"devices"`
	MustChange bool           `json:"must_change_password"`
}

// mePatch is what users change of themselves.
type mePatch struct {
	Language      *string `json:"language,omitempty"`
	TimeZone      *string `json:"time_zone,omitempty"`
	PrimaryDevice *string `json:"primary_device,omitempty"`
}

func (s *Server) me(q *request) (reply, error) {
	out := meView{Domain: q.who.domain, User: q.who.user, Role: q.who.role, MustChange: q.who.mustChange, Numbers: []string{}, Devices: []string{}}
	if q.who.user == "" || q.who.mustChange {
		return reply{body: out}, nil
	}
	doc, err := s.opts.Documents.Get(q.ctx(), directory.Ref{Domain: q.who.domain, Kind: directory.KindUser, Name: q.who.user})
	if err != nil {
		return reply{}, err
	}
	u, err := directory.Parse[directory.User](directory.KindUser, doc.Body)
	if err != nil {
		return reply{}, err
	}
	out.Name, out.Email, out.Language, out.TimeZone = u.Name, u.Email, u.Language, u.TimeZone
	if out.Numbers, err = s.owned(q, directory.KindNumber); err != nil {
		return reply{}, err
	}
	if out.Devices, err = s.owned(q, directory.KindDevice); err != nil {
		return reply{}, err
	}
	return reply{body: out, etag: doc.Version.String(), computed: true}, nil
}

// patchMe changes what is the user's own to change, through the same write as
// an administrator's change.
func (s *Server) patchMe(q *request) (reply, error) {
	if q.who.user == "" {
		return reply{}, forbidden("a token is no person")
	}
	var in mePatch
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	input, err := decodeObject(q.body)
	if err != nil {
		return reply{}, err
	}
	rs := &resource{
		kind: directory.KindUser, param: "user", singular: "user", mine: true, owner: ownedByName, ownerWrites: true,
	}
	return s.change(q, rs, input, true)
}

// ownedBy returns the documents of a kind that belong to a user.
func (s *Server) ownedBy(q *request, domain, user string, kind directory.Kind) ([]directory.Document, []map[string]any, error) {
	var docs []directory.Document
	var bodies []map[string]any
	cursor := ""
	for {
		// The search narrows to documents that mention the user; the field decides.
		page, next, err := s.opts.Documents.List(q.ctx(), domain, kind, directory.Query{Limit: pageMost, Cursor: cursor, Q: user})
		if err != nil {
			return nil, nil, err
		}
		for _, d := range page {
			m, err := decodeObject(d.Body)
			if err != nil {
				return nil, nil, err
			}
			if m["user"] == user {
				docs, bodies = append(docs, d), append(bodies, m)
			}
		}
		if next == "" || len(page) == 0 {
			return docs, bodies, nil
		}
		cursor = next
	}
}

// owned names the numbers or devices of who asks.
func (s *Server) owned(q *request, kind directory.Kind) ([]string, error) {
	names := []string{}
	if q.who.user == "" || q.who.domain == "" {
		return names, nil
	}
	docs, _, err := s.ownedBy(q, q.who.domain, q.who.user, kind)
	for _, d := range docs {
		names = append(names, d.Name)
	}
	return names, err
}

// listOwned lists the numbers or devices of who asks.
func listOwned(kind directory.Kind, singular string) func(*Server, *request) (reply, error) {
	return func(s *Server, q *request) (reply, error) {
		out := list[map[string]any]{Items: []map[string]any{}}
		if q.who.user == "" || q.who.domain == "" {
			return reply{body: out}, nil
		}
		docs, bodies, err := s.ownedBy(q, q.who.domain, q.who.user, kind)
		if err != nil {
			return reply{}, err
		}
		for i, m := range bodies {
			m[singular], m["etag"] = docs[i].Name, docs[i].Version.String()
			out.Items = append(out.Items, m)
		}
		return reply{body: out}, nil
	}
}

func sessionEndpoints() []endpoint {
	const user = "/v1/domains/{domain}/users/{user}"
	return []endpoint{
		{
			method: http.MethodPost, path: "/v1/session", id: "sign-in", tag: "session", summary: "Sign in", access: anyone,
			query: []param{{"as", "token: answer with a bearer token instead of a cookie", "token"}},
			in:    typeOf[signInRequest](), out: typeOf[sessionStarted](), handle: (*Server).signIn,
		},
		{method: http.MethodGet, path: "/v1/session", id: "who-am-i", tag: "session", summary: "This session", access: signedIn, out: typeOf[sessionView](), handle: (*Server).whoAmI},
		{method: http.MethodDelete, path: "/v1/session", id: "sign-out", tag: "session", summary: "Sign out", access: signedIn, handle: (*Server).signOut},
		{method: http.MethodGet, path: "/v1/me/sessions", id: "list-my-sessions", tag: "session", summary: "Where one is signed in", access: person, out: typeOf[list[sessionView]](), handle: (*Server).listSessions},
		{method: http.MethodDelete, path: "/v1/me/sessions/{id}", id: "revoke-my-session", tag: "session", summary: "Sign out elsewhere", access: person, handle: (*Server).revokeSession},
		{method: http.MethodGet, path: user + "/sessions", id: "list-sessions", tag: "session", summary: "Sessions of a user", access: member, out: typeOf[list[sessionView]](), handle: (*Server).listSessions},
		{method: http.MethodDelete, path: user + "/sessions/{id}", id: "revoke-session", tag: "session", summary: "End a session of a user", access: member, handle: (*Server).revokeSession},
		{method: http.MethodPut, path: "/v1/me/password", id: "change-my-password", tag: "me", summary: "Change one's password", access: signedIn, in: typeOf[passwordChange](), handle: (*Server).changePassword},
		{method: http.MethodPut, path: user + "/password", id: "change-password", tag: "directory", summary: "Set a password", access: member, in: typeOf[passwordChange](), handle: (*Server).changePassword},
		{method: http.MethodPut, path: "/v1/users/{user}/password", id: "change-system-password", tag: "directory", summary: "Set the password of a system-admin", access: systemAdmin, in: typeOf[passwordChange](), handle: (*Server).changePassword},
		{
			method: http.MethodGet, path: "/v1/tokens", id: "list-tokens", tag: "session", summary: "API tokens", access: person,
			query: tokenParams(), out: typeOf[list[tokenView]](), handle: adminOnly((*Server).listTokens),
		},
		{method: http.MethodPost, path: "/v1/tokens", id: "create-token", tag: "session", summary: "Make an API token", access: person, in: typeOf[tokenView](), out: typeOf[tokenView](), status: http.StatusCreated, handle: adminOnly((*Server).createToken)},
		{method: http.MethodDelete, path: "/v1/tokens/{name}", id: "revoke-token", tag: "session", summary: "Revoke an API token", access: person, query: tokenParams(), handle: adminOnly((*Server).revokeToken)},
	}
}

func tokenParams() []param {
	return []param{{"domain", "for a system-admin: whose tokens; none: those outside domains", "bellhop.test"}}
}

// adminOnly keeps users out of what has no domain in its path.
func adminOnly(h func(*Server, *request) (reply, error)) func(*Server, *request) (reply, error) {
	return func(s *Server, q *request) (reply, error) {
		if q.who.role == directory.RoleUser {
			return reply{}, forbidden("this takes an administrator")
		}
		return h(s, q)
	}
}

func meEndpoints() []endpoint {
	const credentials = "/v1/domains/{domain}/devices/{device}/credentials"
	return []endpoint{
		{method: http.MethodGet, path: "/v1/me", id: "get-me", tag: "me", summary: "Who is signed in", access: signedIn, out: typeOf[meView](), handle: (*Server).me},
		{
			method: http.MethodPatch, path: "/v1/me", id: "patch-me", tag: "me", summary: "Change one's language, time zone and primary device", access: person,
			in: typeOf[mePatch](), out: docType(directory.KindUser), patch: true, conditional: true, handle: (*Server).patchMe,
		},
		{method: http.MethodGet, path: "/v1/me/numbers", id: "list-my-numbers", tag: "me", summary: "One's numbers", access: person, out: typeOf[list[map[string]any]](), handle: listOwned(directory.KindNumber, "number")},
		{method: http.MethodGet, path: "/v1/me/devices", id: "list-my-devices", tag: "me", summary: "One's devices", access: person, out: typeOf[list[map[string]any]](), handle: listOwned(directory.KindDevice, "device")},
		{method: http.MethodGet, path: credentials, id: "get-credential", tag: "directory", summary: "Whether a device has a secret", access: member, out: typeOf[credentialView](), handle: (*Server).getCredential},
		{method: http.MethodPost, path: credentials, id: "new-credential", tag: "directory", summary: "Make or rotate the secret of a device; it is shown once", access: member, out: typeOf[credentialShown](), status: http.StatusCreated, handle: (*Server).newCredential},
		{method: http.MethodDelete, path: credentials, id: "remove-credential", tag: "directory", summary: "Remove the secret of a device", access: member, handle: (*Server).removeCredential},
	}
}
