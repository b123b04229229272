package control

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"bellhop/routing/directory"
)

// A changeRow is one row of a history: what was there before and after it.
type changeRow struct {
	Version string          `json:"version"`
	At      time.Time       `json:"at"`
	Actor   string          `json:"actor"`
	From    string          `json:"from,omitempty" doc:"address; shown to administrators"`
	Deleted bool            `json:"deleted,omitempty"`
	Before  json.RawMessage `json:"before,omitempty"`
	After   json.RawMessage `json:"after,omitempty"`
}

// history shows who may read a document how it came to be.
func (rs *resource) history(s *Server, q *request) (reply, error) {
	ref, err := rs.ref(q)
	if err != nil {
		return reply{}, err
	}
	limit, cursor, err := page(q)
	if err != nil {
		return reply{}, err
	}
	if err := s.mayReadNow(q, rs, ref); err != nil {
		return reply{}, err
	}
	docs, next, err := s.opts.Documents.History(q.ctx(), ref, limit, cursor)
	if err != nil {
		return reply{}, err
	}
	older, err := s.oneOlder(q, ref, docs, next)
	if err != nil {
		return reply{}, err
	}
	out := list[changeRow]{Items: make([]changeRow, 0, len(docs)), Next: next}
	admin := rank(q.who.role) > rank(directory.RoleUser)
	for i, d := range docs {
		c := changeRow{Version: d.Version.String(), At: d.At, Actor: d.Actor, From: d.From, Deleted: d.Body == nil, After: d.Body, Before: older}
		if i+1 < len(docs) {
			c.Before = docs[i+1].Body
		}
		if !admin && d.Actor != q.who.name() {
			c.From = ""
		}
		out.Items = append(out.Items, c)
	}
	return reply{body: out}, nil
}

// oneOlder is the state before the last row of a page.
func (s *Server) oneOlder(q *request, ref directory.Ref, docs []directory.Document, next string) (json.RawMessage, error) {
	if next == "" || len(docs) == 0 {
		return nil, nil
	}
	more, _, err := s.opts.Documents.History(q.ctx(), ref, 1, next)
	if err != nil || len(more) == 0 {
		return nil, err
	}
	return more[0].Body, nil
}

// mayReadNow checks the right to read a document as it is now; of one that is
// deleted, only administrators have it.
func (s *Server) mayReadNow(q *request, rs *resource, ref directory.Ref) error {
	_, m, err := s.current(q.ctx(), ref)
	if err != nil {
		return err
	}
	return s.mayRead(q, rs, ref, m)
}

// historyScan bounds how far back a restore looks for its version.
const historyScan = 2000

// restore writes a former state again: a new write, with every check.
func (rs *resource) restore(s *Server, q *request) (reply, error) {
	ref, err := rs.ref(q)
	if err != nil {
		return reply{}, err
	}
	version, ok := directory.ParseVersion(q.path("version"))
	if !ok {
		return reply{}, notFound()
	}
	if err := s.mayReadNow(q, rs, ref); err != nil {
		return reply{}, err
	}
	cursor := ""
	for seen := 0; seen < historyScan; {
		docs, next, err := s.opts.Documents.History(q.ctx(), ref, pageMost, cursor)
		if err != nil {
			return reply{}, err
		}
		for _, d := range docs {
			if d.Version == version {
				return s.restoreState(q, rs, d)
			}
		}
		if next == "" || len(docs) == 0 {
			break
		}
		seen, cursor = seen+len(docs), next
	}
	return reply{}, notFound()
}

func (s *Server) restoreState(q *request, rs *resource, d directory.Document) (reply, error) {
	if d.Body == nil {
		return reply{}, problem(http.StatusConflict, "history.deleted", "that version is a deletion: delete it instead")
	}
	input, err := decodeObject(d.Body)
	if err != nil {
		return reply{}, err
	}
	return s.change(q, rs, input, false)
}

// equalJSON compares two decoded JSON values.
func equalJSON(a, b any) bool { return reflect.DeepEqual(a, b) }

func itoa(n int) string { return strconv.Itoa(n) }
