package document

import (
	"bytes"
	"iter"
	"maps"
	"slices"
	"strings"

	"bellhop/routing/directory"
)

// A Snapshot is a directory in memory. It is not safe for use while it is
// written to.
type Snapshot struct {
	docs map[directory.Ref]directory.Document
	keys map[directory.Key][]directory.Ref
}

// NewSnapshot returns an empty directory.
func NewSnapshot() *Snapshot {
	return &Snapshot{docs: make(map[directory.Ref]directory.Document), keys: make(map[directory.Key][]directory.Ref)}
}

// Put adds or replaces a document.
func (s *Snapshot) Put(doc directory.Document, keys []directory.Key) {
	s.Delete(doc.Ref)
	s.docs[doc.Ref] = doc
	for _, k := range keys {
		s.keys[k] = append(s.keys[k], doc.Ref)
	}
}

// Delete takes a document out.
func (s *Snapshot) Delete(ref directory.Ref) {
	doc, ok := s.docs[ref]
	if !ok {
		return
	}
	delete(s.docs, ref)
	for _, k := range directory.Keys(ref, doc.Body) {
		refs := slices.DeleteFunc(s.keys[k], func(r directory.Ref) bool { return r == ref })
		if len(refs) == 0 {
			delete(s.keys, k)
			continue
		}
		s.keys[k] = refs
	}
}

// Get implements [directory.View].
func (s *Snapshot) Get(ref directory.Ref) (directory.Document, bool, error) {
	doc, ok := s.docs[ref]
	return doc, ok, nil
}

// Find implements [directory.View].
func (s *Snapshot) Find(key directory.Key) ([]directory.Ref, error) {
	return slices.Clone(s.keys[key]), nil
}

// List implements [directory.View].
func (s *Snapshot) List(domain string, kind directory.Kind) iter.Seq2[directory.Ref, error] {
	return func(yield func(directory.Ref, error) bool) {
		for ref := range s.docs {
			if ref.Domain == domain && (kind == "" || ref.Kind == kind) && !yield(ref, nil) {
				return
			}
		}
	}
}

// Page returns a page of the documents of a kind, by name.
func (s *Snapshot) Page(domain string, kind directory.Kind, q directory.Query) (docs []directory.Document, next string) {
	limit := Limit(q.Limit)
	for _, ref := range slices.SortedFunc(maps.Keys(s.docs), func(a, b directory.Ref) int { return strings.Compare(a.Name, b.Name) }) {
		if ref.Domain != domain || ref.Kind != kind || ref.Name <= q.Cursor && q.Cursor != "" {
			continue
		}
		doc := s.docs[ref]
		if !Matches(doc, q.Q) {
			continue
		}
		if len(docs) == limit {
			return docs, docs[limit-1].Name
		}
		docs = append(docs, doc)
	}
	return docs, ""
}

// Matches reports whether q is in the name or, but for secrets, in the body.
func Matches(doc directory.Document, q string) bool {
	if q == "" {
		return true
	}
	q = strings.ToLower(q)
	return strings.Contains(strings.ToLower(doc.Name), q) ||
		!Secret(doc.Kind) && bytes.Contains(bytes.ToLower(doc.Body), []byte(q))
}
