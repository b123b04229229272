package control

import (
	"errors"
	"net/http"
	"strings"

	"bellhop/routing/directory"
)

// ownedByName is the owner of a user's document and settings: the user.
func ownedByName(_ *Server, _ *request, ref directory.Ref, _ map[string]any) (string, error) {
	return ref.Name, nil
}

// ownedByField is the owner of a number or device: the user it names.
func ownedByField(_ *Server, _ *request, _ directory.Ref, doc map[string]any) (string, error) {
	user, _ := doc["user"].(string)
	return user, nil
}

// ownedByNumber is the owner of a number's settings: the number's.
func ownedByNumber(s *Server, q *request, ref directory.Ref, _ map[string]any) (string, error) {
	_, number, err := s.current(q.ctx(), directory.Ref{Domain: ref.Domain, Kind: directory.KindNumber, Name: ref.Name})
	user, _ := number["user"].(string)
	return user, err
}

// resources is the table of everything that is a document.
func resources() []*resource {
	const domain = "/v1/domains/{domain}"
	rs := []*resource{
		{
			kind: directory.KindDomain, path: domain, list: "/v1/domains", param: "domain", singular: "domain", doc: docType(directory.KindDomain),
			memberReads: true, systemOnly: true, before: (*Server).beforeDomain, after: (*Server).afterDomain,
		},
		{kind: directory.KindSite, path: domain + "/sites/{site}", list: domain + "/sites", param: "site", singular: "site", doc: docType(directory.KindSite)},
		{
			kind: directory.KindUser, path: domain + "/users/{user}", list: domain + "/users", param: "user", singular: "user", doc: docType(directory.KindUser),
			owner: ownedByName, before: (*Server).beforeUser, after: (*Server).afterUser,
		},
		{
			kind: directory.KindUser, path: "/v1/users/{user}", list: "/v1/users", param: "user", singular: "user", doc: docType(directory.KindUser),
			before: (*Server).beforeUser, after: (*Server).afterUser,
		},
		{
			kind: directory.KindNumber, path: domain + "/numbers/{number}", list: domain + "/numbers", param: "number", singular: "number", doc: docType(directory.KindNumber),
			owner: ownedByField, decorate: (*Server).numberEffective,
		},
		{
			kind: directory.KindDevice, path: domain + "/devices/{device}", list: domain + "/devices", param: "device", singular: "device", doc: docType(directory.KindDevice),
			owner: ownedByField,
		},
		{kind: directory.KindGroup, path: domain + "/groups/{group}", list: domain + "/groups", param: "group", singular: "group", doc: docType(directory.KindGroup)},
		{
			kind: directory.KindTrunk, path: domain + "/trunks/{trunk}", list: domain + "/trunks", param: "trunk", singular: "trunk", doc: docType(directory.KindTrunk),
			systemOnly: true, before: (*Server).beforeTrunk,
		},
		{kind: directory.KindClass, path: domain + "/classes/{class}", list: domain + "/classes", param: "class", singular: "class", doc: docType(directory.KindClass)},
	}
	for _, at := range []struct {
		base, mine string
		rs         resource
	}{
		{domain + "/numbers/{number}", "/v1/me/numbers/{number}", resource{
			kind: directory.KindForwarding, path: "/forwarding", param: "number", singular: "number",
			owner: ownedByNumber, parent: directory.KindNumber, decorate: (*Server).effective,
		}},
		{domain + "/users/{user}", "/v1/me", resource{kind: directory.KindDND, path: "/dnd", decorate: acts(dndActs)}},
		{domain + "/users/{user}", "/v1/me", resource{kind: directory.KindPresence, path: "/presence", before: (*Server).beforePresence, decorate: (*Server).viewPresence}},
		{domain + "/users/{user}", "/v1/me", resource{kind: directory.KindPresenceTo, path: "/presence/forwarding", decorate: byRule("presence.forward")}},
		{domain + "/users/{user}", "/v1/me", resource{kind: directory.KindCallMe, path: "/callme", decorate: byRule("callme")}},
		{domain + "/devices/{device}", "/v1/me/devices/{device}", resource{
			kind: directory.KindSpeedDial, path: "/speed-dials/{position}", list: "/speed-dials", id: "position",
			param: "device", singular: "position", owner: ownedByDevice, parent: directory.KindDevice,
		}},
		{domain + "/users/{user}", "/v1/me", resource{
			kind: directory.KindRemote, path: "/remote-destinations/{id}", list: "/remote-destinations", id: "id",
			param: "user", singular: "id", owner: ownedRemote, parent: directory.KindUser, before: (*Server).beforeRemote, decorate: acts(rings),
		}},
	} {
		r := at.rs
		r.settings, r.ownerWrites, r.doc = r.list == "", true, docType(r.kind)
		if r.owner == nil {
			r.owner, r.param, r.singular, r.parent = ownedByName, "user", "user", directory.KindUser
		}
		theirs, mine := r, r
		theirs.path = at.base + r.path
		mine.path, mine.mine = at.mine+r.path, true
		if r.list != "" {
			theirs.list, mine.list = at.base+r.list, at.mine+r.list
		}
		rs = append(rs, &theirs, &mine)
	}
	return rs
}

// endpoints are the operations of a resource.
func (rs *resource) endpoints() []endpoint {
	who, change := member, member
	switch {
	case rs.mine:
		who, change = person, person
	case rs.path == "/v1/users/{user}":
		who, change = systemAdmin, systemAdmin
	}
	id := string(rs.kind)
	if rs.path == "/v1/users/{user}" {
		id = "system-" + id
	}
	if rs.mine {
		id = "my-" + id
	}
	tag := rs.tag()
	noun := strings.TrimSuffix(strings.ReplaceAll(string(rs.kind), "-", " "), "s")
	if rs.settings {
		noun = strings.ReplaceAll(string(rs.kind), "-", " ")
	}
	es := []endpoint{
		{method: http.MethodGet, path: rs.path, id: "get-" + id, summary: "Read " + noun, access: who, out: rs.doc, conditional: true, handle: func(s *Server, q *request) (reply, error) { return rs.get(s, q) }},
		{method: http.MethodPut, path: rs.path, id: "put-" + id, summary: "Create or replace " + noun, access: change, in: rs.doc, out: rs.doc, conditional: true, handle: func(s *Server, q *request) (reply, error) { return rs.put(s, q) }},
		{method: http.MethodPatch, path: rs.path, id: "patch-" + id, summary: "Change " + noun + " by JSON merge patch", access: change, in: rs.doc, out: rs.doc, patch: true, conditional: true, handle: func(s *Server, q *request) (reply, error) { return rs.patch(s, q) }},
		{method: http.MethodDelete, path: rs.path, id: "delete-" + id, summary: "Delete " + noun, access: change, conditional: true, handle: func(s *Server, q *request) (reply, error) { return rs.remove(s, q) }},
		{
			method: http.MethodGet, path: rs.path + "/history", id: "history-" + id, summary: "Who changed " + noun + ", when, from where", access: who,
			query: pageParams(), out: typeOf[list[changeRow]](), handle: func(s *Server, q *request) (reply, error) { return rs.history(s, q) },
		},
		{
			method: http.MethodPost, path: rs.path + "/history/{version}/restore", id: "restore-" + id, summary: "Write a former state of " + noun + " again", access: change,
			out: rs.doc, conditional: true, handle: func(s *Server, q *request) (reply, error) { return rs.restore(s, q) },
		},
	}
	if rs.list != "" && rs.id != "" {
		es = append(es, endpoint{
			method: http.MethodGet, path: rs.list, id: "list-" + id, summary: "List " + strings.ReplaceAll(string(rs.kind), "-", " "), access: who,
			out: typeOf[list[map[string]any]](), handle: func(s *Server, q *request) (reply, error) { return rs.allOf(s, q) },
		})
	} else if rs.list != "" {
		listAccess := domainAdmin
		if rs.kind == directory.KindDomain {
			listAccess = person
		} else if who == systemAdmin {
			listAccess = systemAdmin
		}
		es = append(es, endpoint{
			method: http.MethodGet, path: rs.list, id: "list-" + id, summary: "List " + strings.ReplaceAll(string(rs.kind), "-", " "), access: listAccess,
			query: append(pageParams(), param{"q", "only those whose name or content contains it", "100"}), out: typeOf[list[map[string]any]](),
			handle: func(s *Server, q *request) (reply, error) { return rs.all(s, q) },
		})
	}
	for i := range es {
		es[i].tag = tag
		if es[i].path == rs.path && es[i].method != http.MethodGet {
			es[i].query = []param{{"at", "a time in the future: the change is made then (202, see .../changes)", ""}}
		}
	}
	return es
}

func (rs *resource) tag() string {
	switch {
	case rs.mine:
		return "me"
	case rs.ownerWrites:
		return "settings"
	default:
		return "directory"
	}
}

func pageParams() []param {
	return []param{{"limit", "at most this many", "50"}, {"cursor", "where the last page ended: next of the answer", ""}}
}

// beforeDomain keeps what only a system-admin grants. The realm of a new domain
// is its name, and it stays.
func (s *Server) beforeDomain(q *request, w *pending) error {
	if w.input == nil {
		return nil
	}
	if _, given := w.body["realm"]; !given && !w.patch {
		w.body["realm"] = w.ref.Name
		if realm, ok := w.old["realm"]; ok {
			w.body["realm"] = realm
		}
	}
	if q.who.role == directory.RoleSystemAdmin {
		return nil
	}
	if v, given := w.body["aliases"]; (given || !w.patch) && !equalJSON(v, w.old["aliases"]) {
		return forbidden("only a system-admin changes aliases")
	}
	return nil
}

// afterDomain revokes the tokens of a domain that is gone: one made anew under
// its name is another.
func (s *Server) afterDomain(q *request, w *pending) error {
	if w.input != nil {
		return nil
	}
	tokens, err := s.opts.Tokens.Tokens(q.ctx(), w.ref.Name)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if err := s.opts.Tokens.DeleteToken(q.ctx(), t.Hash); err != nil {
			return err
		}
	}
	return nil
}

// beforeUser keeps roles in bounds and takes the password out of the document:
// it is stored apart, hashed, without history. Absent leaves it, null removes it.
func (s *Server) beforeUser(q *request, w *pending) error {
	if w.old != nil && rank(roleOf(w.ref.Domain, w.old)) > rank(q.who.role) {
		return forbidden("nobody changes a higher role")
	}
	if w.input == nil {
		return nil
	}
	if err := checkRole(q, w); err != nil {
		return err
	}
	password, given := w.body["password"]
	delete(w.body, "password")
	if !given {
		return nil
	}
	ref := directory.Ref{Domain: w.ref.Domain, Kind: directory.KindSignIn, Name: w.ref.Name}
	if password == nil {
		doc, err := s.opts.Documents.Get(q.ctx(), ref)
		if errors.Is(err, directory.ErrNotFound) {
			return nil
		}
		w.more = append(w.more, directory.Write{Ref: ref, IfMatch: doc.Version})
		return err
	}
	text, ok := password.(string)
	if !ok {
		return invalid(directory.Fault{Location: "password", Message: "a string is expected", Rule: "body.type"})
	}
	if q.http.TLS == nil && !s.opts.Plain {
		return problemPlainPassword()
	}
	write, err := s.passwordWrite(q.ctx(), ref, "password", text, true, q.now)
	w.more = append(w.more, write)
	return err
}

// checkRole: in a domain nobody is a system-admin; outside, everybody is.
func checkRole(q *request, w *pending) error {
	v, given := w.body["role"]
	role, _ := v.(string)
	switch {
	case !given || v == nil:
		return nil
	case w.ref.Domain == "" && role != string(directory.RoleSystemAdmin):
		return invalid(directory.Fault{Location: "role", Message: "outside of domains everybody is a system-admin", Rule: "role.system"})
	case w.ref.Domain != "" && role == string(directory.RoleSystemAdmin):
		return invalid(directory.Fault{Location: "role", Message: "a system-admin is outside of domains", Rule: "role.system"})
	case rank(directory.Role(role)) > rank(q.who.role):
		return forbidden("nobody grants above their own role")
	default:
		return nil
	}
}

// afterUser ends the sessions of a user whose password, role or state changed,
// or who is gone.
func (s *Server) afterUser(q *request, w *pending) error {
	var now map[string]any
	if w.input != nil {
		var err error
		if now, err = decodeObject(w.done.Body); err != nil {
			return err
		}
	}
	if now != nil && len(w.more) == 0 && roleOf(w.ref.Domain, now) == roleOf(w.ref.Domain, w.old) && equalJSON(now["state"], w.old["state"]) {
		return nil
	}
	return s.endSessions(q.ctx(), w.ref.Domain, w.ref.Name, nil)
}
