package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"bellhop/routing/directory"
)

// A resource is a kind of document as the API shows it. One handler serves all
// kinds; what differs is in these fields.
type resource struct {
	kind     directory.Kind
	path     string // of one document
	list     string // of the collection, "" where there is none
	param    string // path value that names it; also the field it is named by in answers
	id       string // second path value of its name: "user/id"; "" for most
	singular string
	settings bool // exists always, with defaults, while its parent does
	parent   directory.Kind
	mine     bool // under /v1/me: domain and user are those of who asks
	doc      reflect.Type
	// owner returns the user a document belongs to, "" for nobody.
	owner func(s *Server, q *request, ref directory.Ref, doc map[string]any) (string, error)
	// ownerWrites lets the owner write, not only read.
	ownerWrites bool
	// memberReads lets every user of the domain read.
	memberReads bool
	// systemOnly keeps creation and deletion for system-admins.
	systemOnly bool
	// before may change the input of a write and add writes to it.
	before func(s *Server, q *request, w *pending) error
	// after runs when a write was made.
	after func(s *Server, q *request, w *pending) error
	// decorate adds computed fields to an answer.
	decorate func(s *Server, q *request, ref directory.Ref, doc map[string]any) error
}

// A pending write is one that is being checked.
type pending struct {
	ref   directory.Ref
	now   directory.Document // the state it replaces; zero: none
	old   map[string]any     // decoded now.Body
	input map[string]any     // fields of the request; nil deletes
	patch bool
	body  map[string]any // fields as they shall be
	more  []directory.Write
	done  directory.Document
}

// ref names the document of a request.
func (rs *resource) ref(q *request) (directory.Ref, error) {
	domain, name := strings.ToLower(q.path("domain")), q.path(rs.param)
	if rs.mine {
		domain = q.who.domain
		if rs.param == "user" {
			name = q.who.user
			if name == "" {
				return directory.Ref{}, forbidden("a token is no person: name the user in the path")
			}
		}
	}
	if rs.kind == directory.KindDomain {
		domain, name = "", strings.ToLower(q.path("domain"))
	}
	if !plainName(name) {
		return directory.Ref{}, notFound()
	}
	if id := q.path(rs.id); rs.id != "" {
		if id != "" && !plainName(id) {
			return directory.Ref{}, notFound()
		}
		name = directory.RemoteName(name, id)
	}
	return directory.Ref{Domain: domain, Kind: rs.kind, Name: name}, nil
}

// called is what a document is called in its path.
func (rs *resource) called(name string) string {
	if rs.id != "" {
		_, name = directory.SplitRemote(name)
	}
	return name
}

// parentOf is the name of what a document hangs on.
func (rs *resource) parentOf(name string) string {
	if rs.id != "" {
		name, _ = directory.SplitRemote(name)
	}
	return name
}

// plainName reports whether name may name a document.
func plainName(name string) bool {
	if name == "" || len(name) > 128 || !utf8.ValidString(name) {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == '/' || r == '\\' }) < 0
}

// current reads a document; of settings that nobody wrote yet, an empty one.
func (s *Server) current(ctx context.Context, ref directory.Ref) (directory.Document, map[string]any, error) {
	doc, err := s.opts.Documents.Get(ctx, ref)
	if errors.Is(err, directory.ErrNotFound) {
		return directory.Document{Ref: ref}, nil, nil
	}
	if err != nil {
		return doc, nil, err
	}
	m, err := decodeObject(doc.Body)
	return doc, m, err
}

// mayRead says whether q may see the document; who may not is told that there
// is none.
func (s *Server) mayRead(q *request, rs *resource, ref directory.Ref, doc map[string]any) error {
	domain := ref.Domain
	if rs.kind == directory.KindDomain {
		domain = ref.Name
	}
	if !rs.mine && q.who.admin(domain) || rs.memberReads && q.who.domain == domain {
		return nil
	}
	if rs.owner == nil || q.who.user == "" {
		return notFound()
	}
	owner, err := rs.owner(s, q, ref, doc)
	if err != nil {
		return err
	}
	if owner == "" || owner != q.who.user {
		return notFound()
	}
	return nil
}

// mayWrite says whether q may change the document, which it may see.
func (s *Server) mayWrite(q *request, rs *resource, w *pending) error {
	if err := s.mayRead(q, rs, w.ref, w.old); err != nil {
		return err
	}
	domain := w.ref.Domain
	if rs.kind == directory.KindDomain {
		domain = w.ref.Name
	}
	switch {
	case q.who.role == directory.RoleSystemAdmin:
		return nil
	case rs.systemOnly && (w.now.Version.IsZero() || w.input == nil):
		return forbidden("only a system-admin makes and removes %s", rs.kind)
	case q.who.admin(domain), rs.ownerWrites:
		return nil
	default:
		return forbidden("only an administrator changes this")
	}
}

func (rs *resource) get(s *Server, q *request) (reply, error) {
	ref, err := rs.ref(q)
	if err != nil {
		return reply{}, err
	}
	doc, m, err := s.current(q.ctx(), ref)
	if err != nil {
		return reply{}, err
	}
	if err := s.mayRead(q, rs, ref, m); err != nil {
		return reply{}, err
	}
	if m == nil && !rs.settings {
		return reply{}, notFound()
	}
	if err := s.needsParent(q, rs, ref); err != nil {
		return reply{}, err
	}
	return s.show(q, rs, doc, m)
}

// needsParent refuses settings of a thing that does not exist.
func (s *Server) needsParent(q *request, rs *resource, ref directory.Ref) error {
	if rs.parent == "" {
		return nil
	}
	_, err := s.opts.Documents.Get(q.ctx(), directory.Ref{Domain: ref.Domain, Kind: rs.parent, Name: rs.parentOf(ref.Name)})
	return err
}

// show renders one document.
func (s *Server) show(q *request, rs *resource, doc directory.Document, m map[string]any) (reply, error) {
	if m == nil {
		m = map[string]any{}
	}
	m[rs.singular] = rs.called(doc.Name)
	if rs.decorate != nil {
		if err := rs.decorate(s, q, doc.Ref, m); err != nil {
			return reply{}, err
		}
	}
	return reply{body: m, etag: doc.Version.String(), computed: rs.decorate != nil}, nil
}

func (rs *resource) put(s *Server, q *request) (reply, error) {
	input, err := decodeObject(q.body)
	if err != nil {
		return reply{}, err
	}
	return s.nowOrLater(q, rs, input, false)
}

func (rs *resource) patch(s *Server, q *request) (reply, error) {
	input, err := decodeObject(q.body)
	if err != nil {
		return reply{}, err
	}
	return s.nowOrLater(q, rs, input, true)
}

func (rs *resource) remove(s *Server, q *request) (reply, error) {
	return s.nowOrLater(q, rs, nil, false)
}

func (s *Server) nowOrLater(q *request, rs *resource, input map[string]any, patch bool) (reply, error) {
	if q.query("at") != "" {
		return s.later(q, rs, input, patch)
	}
	return s.change(q, rs, input, patch)
}

// changeTries bounds how often a write without a condition is made anew after
// somebody else was faster.
const changeTries = 8

// change makes one write: input nil deletes. Every check is made against one
// state of the document, and the write holds only while that is the state.
func (s *Server) change(q *request, rs *resource, input map[string]any, patch bool) (reply, error) {
	ref, err := rs.ref(q)
	if err != nil {
		return reply{}, err
	}
	cond, err := conditionOf(q.http)
	if err != nil {
		return reply{}, err
	}
	for try := 0; ; try++ {
		w := &pending{ref: ref, input: input, patch: patch}
		err := s.attempt(q, rs, cond, w)
		raced := errors.Is(err, errRaced)
		if raced && !cond.given && !cond.none && try < changeTries {
			continue
		}
		if raced {
			err = directory.ErrVersion
		}
		if err != nil {
			return reply{}, err
		}
		return s.changed(q, rs, w)
	}
}

// errRaced says that the state a write was checked against is gone.
var errRaced = errors.New("control: the document changed meanwhile")

// prepare makes every check of a write that needs no transaction, and the writes
// that it takes: none to remove settings that nobody wrote.
func (s *Server) prepare(q *request, rs *resource, cond condition, w *pending) ([]directory.Write, error) {
	var err error
	if w.now, w.old, err = s.current(q.ctx(), w.ref); err != nil {
		return nil, err
	}
	if err := s.mayWrite(q, rs, w); err != nil {
		return nil, err
	}
	missing := w.now.Version.IsZero()
	if missing && !rs.settings && (w.patch || w.input == nil) && !cond.given {
		return nil, notFound()
	}
	if err := s.needsParent(q, rs, w.ref); err != nil {
		return nil, err
	}
	if err := cond.check(w.now.Version, rs.settings); err != nil {
		return nil, err
	}
	if w.input == nil && missing {
		return nil, nil
	}
	return s.writes(q, rs, cond, w)
}

func (s *Server) attempt(q *request, rs *resource, cond condition, w *pending) error {
	ws, err := s.prepare(q, rs, cond, w)
	if err != nil || len(ws) == 0 {
		return err
	}
	docs, err := s.opts.Documents.Apply(q.ctx(), q.author(), append(ws, q.with...))
	if errors.Is(err, directory.ErrVersion) || errors.Is(err, directory.ErrExists) {
		return errRaced
	}
	if err != nil {
		return err
	}
	for _, d := range docs {
		if d.Ref == w.ref {
			w.done = d
		}
	}
	return nil
}

// writes builds the writes of w: the document first, then what goes with it.
func (s *Server) writes(q *request, rs *resource, cond condition, w *pending) ([]directory.Write, error) {
	if w.input != nil {
		w.body = cloneObject(w.input)
		if err := rs.dropReadOnly(w); err != nil {
			return nil, err
		}
	}
	if rs.before != nil {
		if err := rs.before(s, q, w); err != nil {
			return nil, err
		}
	}
	if w.input == nil { // the store removes what goes with it
		return append([]directory.Write{cond.write(w.ref, w.now.Version, nil)}, w.more...), nil
	}
	if w.patch {
		merged, _ := mergePatch(cloneObject(w.old), w.body).(map[string]any)
		w.body = merged
	}
	raw, err := json.Marshal(w.body)
	if err != nil {
		return nil, err
	}
	body, err := canonical(w.ref.Kind, raw)
	if err != nil {
		return nil, err
	}
	return append([]directory.Write{cond.write(w.ref, w.now.Version, body)}, w.more...), nil
}

// dropReadOnly lets an answer of GET be sent back: its name must be the one in
// the path, and computed fields are ignored.
func (rs *resource) dropReadOnly(w *pending) error {
	if name, ok := w.body[rs.singular]; ok {
		if name != rs.called(w.ref.Name) {
			return invalid(directory.Fault{Location: rs.singular, Message: "it is named otherwise in the path", Rule: "name.mismatch"})
		}
		delete(w.body, rs.singular)
	}
	delete(w.body, "etag")
	delete(w.body, "effective")
	return nil
}

// changed answers a write.
func (s *Server) changed(q *request, rs *resource, w *pending) (reply, error) {
	if rs.after != nil {
		if err := rs.after(s, q, w); err != nil {
			return reply{}, err
		}
	}
	if w.input == nil {
		return reply{status: http.StatusNoContent}, nil
	}
	m, err := decodeObject(w.done.Body)
	if err != nil {
		return reply{}, err
	}
	rep, err := s.show(q, rs, w.done, m)
	if w.now.Version.IsZero() && !rs.settings {
		rep.status = http.StatusCreated
		rep.header = http.Header{"Location": {q.http.URL.Path}}
	}
	return rep, err
}

// Pages of a list.
const (
	pageDefault = 50
	pageMost    = 500
)

// page reads limit and cursor.
func page(q *request) (limit int, cursor string, err error) {
	limit = pageDefault
	if v := q.query("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > pageMost {
			return 0, "", invalid(directory.Fault{Location: "limit", Message: "between 1 and " + strconv.Itoa(pageMost), Rule: "query.limit"})
		}
	}
	return limit, q.query("cursor"), nil
}

// A list is one page.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"cursor of the next page"`
}

func (rs *resource) all(s *Server, q *request) (reply, error) {
	limit, cursor, err := page(q)
	if err != nil {
		return reply{}, err
	}
	if rs.kind == directory.KindDomain && q.who.role != directory.RoleSystemAdmin {
		return s.ownDomain(q)
	}
	domain := strings.ToLower(q.path("domain"))
	docs, next, err := s.opts.Documents.List(q.ctx(), domain, rs.kind, directory.Query{Limit: limit, Cursor: cursor, Q: q.query("q")})
	if err != nil {
		return reply{}, err
	}
	out := list[map[string]any]{Items: make([]map[string]any, 0, len(docs)), Next: next}
	for _, d := range docs {
		m, err := decodeObject(d.Body)
		if err != nil {
			return reply{}, err
		}
		m[rs.singular] = d.Name
		m["etag"] = d.Version.String()
		out.Items = append(out.Items, m)
	}
	return reply{body: out}, nil
}

// ownDomain lists the one domain that somebody who is no system-admin is of.
func (s *Server) ownDomain(q *request) (reply, error) {
	doc, m, err := s.current(q.ctx(), directory.Ref{Kind: directory.KindDomain, Name: q.who.domain})
	if err != nil {
		return reply{}, err
	}
	out := list[map[string]any]{Items: []map[string]any{}}
	if m != nil {
		m["domain"], m["etag"] = doc.Name, doc.Version.String()
		out.Items = append(out.Items, m)
	}
	return reply{body: out}, nil
}

// canonical reads the body of a document strictly, fills defaults in and writes
// it in its kept form.
func canonical(kind directory.Kind, raw []byte) ([]byte, error) {
	v, faults := directory.Decode(kind, raw)
	if len(faults) > 0 {
		return nil, invalid(faults...)
	}
	return directory.Encode(v)
}

// cloneObject copies a JSON object in depth.
func cloneObject(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = cloneValue(v)
	}
	return out
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneObject(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = cloneValue(e)
		}
		return out
	default:
		return v
	}
}
