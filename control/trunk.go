package control

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
)

// trunkGranted is what a domain-admin may change of a trunk; the rest, who it
// is and what it may do, a system-admin grants (trust.md §2).
const trunkGranted = "routes and caller_id"

// beforeTrunk keeps what only a system-admin grants.
func (s *Server) beforeTrunk(q *request, w *pending) error {
	if w.input == nil || q.who.role == directory.RoleSystemAdmin {
		return nil
	}
	body := w.body
	if w.patch {
		body, _ = mergePatch(cloneObject(w.old), cloneObject(w.body)).(map[string]any)
	}
	raw, err := marshal(body)
	if err != nil {
		return err
	}
	set, err := directory.Parse[directory.Trunk](directory.KindTrunk, raw)
	if err != nil {
		return err
	}
	old, err := directory.Parse[directory.Trunk](directory.KindTrunk, w.now.Body)
	if err != nil {
		return err
	}
	set.Routes, set.CallerID = old.Routes, old.CallerID
	if !reflect.DeepEqual(set, old) {
		return forbidden("only a system-admin changes more of a trunk than its %s", trunkGranted)
	}
	return nil
}

// A trunkView is how a trunk is.
type trunkView struct {
	Trunk string `json:"trunk"`
	feed.TrunkStatus
}

func (s *Server) trunkStatus(q *request) (reply, error) {
	ref, err := s.trunk(q)
	if err != nil {
		return reply{}, err
	}
	if s.opts.Trunks == nil {
		return reply{}, absent("trunks")
	}
	st, _ := s.opts.Trunks.Status(ref.Domain, ref.Name) // one that is not known yet is not up
	return reply{body: trunkView{ref.Name, st}}, nil
}

// trunk reads the trunk a request is about.
func (s *Server) trunk(q *request) (directory.Ref, error) {
	ref := directory.Ref{Domain: strings.ToLower(q.path("domain")), Kind: directory.KindTrunk, Name: q.path("trunk")}
	if !plainName(ref.Name) {
		return ref, notFound()
	}
	_, err := s.opts.Documents.Get(q.ctx(), ref)
	return ref, err
}

// A trunkCredential is what a trunk and we sign in to each other with. Of an
// account with a carrier, the carrier gives it.
type trunkCredential struct {
	Username string  `json:"username,omitempty" doc:"absent: unchanged"`
	Password *string `json:"password,omitempty" writeOnly:"true" doc:"absent: unchanged; null: the credentials are removed"`
}

// A trunkCredentialView is what may be known of it afterwards.
type trunkCredentialView struct {
	Username string    `json:"username,omitempty"`
	Set      bool      `json:"set"`
	Since    time.Time `json:"since,omitzero"`
}

// maxCredential bounds username and password of a trunk.
const maxCredential = 128

// trunkKey reads the credentials of a trunk; the zero version says that there
// are none.
func (s *Server) trunkKey(q *request) (doc directory.Document, key directory.TrunkKey, err error) {
	trunk, err := s.trunk(q)
	if err != nil {
		return doc, key, err
	}
	ref := directory.Ref{Domain: trunk.Domain, Kind: directory.KindTrunkKey, Name: trunk.Name}
	doc, err = s.opts.Documents.Get(q.ctx(), ref)
	if errors.Is(err, directory.ErrNotFound) {
		return directory.Document{Ref: ref}, key, nil
	}
	if err != nil {
		return doc, key, err
	}
	key, err = directory.Parse[directory.TrunkKey](directory.KindTrunkKey, doc.Body)
	return doc, key, err
}

func (s *Server) getTrunkCredential(q *request) (reply, error) {
	doc, key, err := s.trunkKey(q)
	if err != nil || doc.Version.IsZero() {
		return reply{body: trunkCredentialView{}}, err
	}
	return reply{etag: doc.Version.String(), body: trunkCredentialView{Username: key.Username, Set: true, Since: doc.At}}, nil
}

// putTrunkCredential keeps a username and a password, sealed; nobody reads the
// password again.
func (s *Server) putTrunkCredential(q *request) (reply, error) {
	var in trunkCredential
	if err := decodeStrict(q.body, &in); err != nil {
		return reply{}, err
	}
	fields, err := decodeObject(q.body)
	if err != nil {
		return reply{}, err
	}
	doc, key, err := s.trunkKey(q)
	if err != nil {
		return reply{}, err
	}
	if password, given := fields["password"]; given && password == nil {
		return s.removeTrunkCredential(q)
	}
	if in.Username != "" {
		key.Username = in.Username
	}
	if err := checkCredential(key, in.Password); err != nil {
		return reply{}, err
	}
	if in.Password != nil {
		if q.http.TLS == nil && !s.opts.Plain {
			return reply{}, problem(http.StatusForbidden, "password.tls", "a password is set over TLS only")
		}
		key.ID = newID()
		if key.Sealed, err = s.opts.Sealer.Seal(directory.SealTrunk, []byte(*in.Password), directory.TrunkAAD(doc.Domain, doc.Name)); err != nil {
			return reply{}, err
		}
	}
	body, err := directory.Encode(key)
	if err != nil {
		return reply{}, err
	}
	write := directory.Write{Ref: doc.Ref, Body: body, IfMatch: doc.Version, Create: doc.Version.IsZero()}
	docs, err := s.opts.Documents.Apply(q.ctx(), q.author(), []directory.Write{write})
	if err != nil {
		return reply{}, err
	}
	return reply{etag: docs[0].Version.String(), body: trunkCredentialView{Username: key.Username, Set: true, Since: docs[0].At}}, nil
}

// checkCredential holds a username and a new password, nil for the old one,
// against what can be signed in with.
func checkCredential(key directory.TrunkKey, password *string) error {
	var faults []directory.Fault
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	switch {
	case key.Username == "":
		faults = append(faults, fault("username", directory.RuleMissing, "must be set"))
	case len(key.Username) > maxCredential || strings.ContainsFunc(key.Username, control) || strings.ContainsAny(key.Username, "\"\\"):
		faults = append(faults, fault("username", directory.RuleValue, "must have at most 128 bytes, no quotes, backslashes and control characters"))
	}
	switch {
	case password == nil && len(key.Sealed) == 0, password != nil && *password == "":
		faults = append(faults, fault("password", directory.RuleMissing, "must be set"))
	case password != nil && (len(*password) > maxCredential || strings.ContainsFunc(*password, control)):
		faults = append(faults, fault("password", directory.RuleValue, "must have at most 128 bytes and no control characters"))
	}
	if len(faults) > 0 {
		return invalid(faults...)
	}
	return nil
}

func (s *Server) removeTrunkCredential(q *request) (reply, error) {
	doc, _, err := s.trunkKey(q)
	if err != nil || doc.Version.IsZero() {
		return reply{status: http.StatusNoContent}, err
	}
	_, err = s.opts.Documents.Apply(q.ctx(), q.author(), []directory.Write{{Ref: doc.Ref, IfMatch: doc.Version}})
	return reply{status: http.StatusNoContent}, err
}

func trunkEndpoints() []endpoint {
	const trunk = "/v1/domains/{domain}/trunks/{trunk}"
	es := []endpoint{
		{method: http.MethodGet, path: trunk + "/status", id: "get-trunk-status", summary: "How a trunk and its peers are, as this node sees them", out: typeOf[trunkView](), handle: (*Server).trunkStatus},
		{method: http.MethodGet, path: trunk + "/credentials", id: "get-trunk-credentials", summary: "What a trunk signs in with, without the password", out: typeOf[trunkCredentialView](), handle: (*Server).getTrunkCredential},
		{method: http.MethodPut, path: trunk + "/credentials", id: "put-trunk-credentials", summary: "Keep what a trunk signs in with; the password is never shown", in: typeOf[trunkCredential](), out: typeOf[trunkCredentialView](), handle: (*Server).putTrunkCredential},
		{method: http.MethodDelete, path: trunk + "/credentials", id: "remove-trunk-credentials", summary: "Remove what a trunk signs in with", handle: (*Server).removeTrunkCredential},
	}
	for i := range es {
		es[i].tag, es[i].access = "directory", domainAdmin
	}
	return es
}
