package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"

	"bellhop/routing"
	"bellhop/routing/directory"
)

// Copies are what nodes share of the directory, so that each need not read it
// from SQL: for an entry everything that it was compiled from. They are a help
// only; without one the store is asked.
type Copies interface {
	// Copy returns a copy by name, of a domain that has the version at or a later
	// one; nil when there is none, or something that it depends on has changed.
	// It takes 50 ms at most.
	Copy(ctx context.Context, domain, name string, at directory.Version) []byte
	// Keep stores a copy that holds as long as none of what it depends on (see
	// [Touches]) changes after the version at. It does not block.
	Keep(domain, name string, at directory.Version, depends []string, packed []byte)
	// Changed is told after commits of this node. It does not block.
	Changed()
}

// copyFormat is the first byte of a copy.
const copyFormat = '1'

// Touches returns the names of what a document, when it is written or deleted,
// changes for copies: itself, the keys that it has from now on, and the list of
// its kind. Under names that it had before, others found the document itself.
func Touches(d *directory.Document) []string {
	out := []string{refName(d.Ref), listName(d.Kind), listName("")}
	for _, k := range directory.Keys(d.Ref, d.Body) {
		out = append(out, keyName(k))
	}
	return out
}

// SecretsChanged is touched by every change of a domain, as history does not say
// whether secrets are part of it.
const SecretsChanged = "secrets"

func refName(r directory.Ref) string   { return "d " + string(r.Kind) + " " + r.Name }
func keyName(k directory.Key) string   { return "k " + string(k.Index) + " " + k.Value }
func listName(k directory.Kind) string { return "l " + string(k) }

// copyName names the copy of an entry in its domain.
func (k key) copyName() string {
	if k.kind == kindCredential {
		return "credential " + k.name
	}
	return routing.NeedKind(k.kind).String() + " " + k.name
}

// A recorder is a view that remembers what it was asked and what it said.
type recorder struct {
	view    directory.View
	domain  string
	foreign bool // it was asked for what is not the domain's: no copy may be kept
	transcript
}

// transcript is the questions to a view with their answers.
type transcript struct {
	Docs  []got   `json:"docs,omitempty"`
	Finds []found `json:"finds,omitempty"`
	Lists []list  `json:"lists,omitempty"`
}

// got is a document; without a body there is none.
type got struct {
	Ref  directory.Ref   `json:"ref"`
	Body json.RawMessage `json:"body,omitempty"`
}

type found struct {
	Key  directory.Key   `json:"key"`
	Refs []directory.Ref `json:"refs,omitempty"`
}

type list struct {
	Domain string          `json:"domain"`
	Kind   directory.Kind  `json:"kind"`
	Refs   []directory.Ref `json:"refs,omitempty"`
}

// own notes whether a document is the domain's, or its own one.
func (r *recorder) own(ref directory.Ref) {
	if ref.Domain != r.domain && (ref.Domain != "" || ref.Kind != directory.KindDomain || ref.Name != r.domain) {
		r.foreign = true
	}
}

// Get implements [directory.View].
func (r *recorder) Get(ref directory.Ref) (directory.Document, bool, error) {
	r.own(ref)
	doc, ok, err := r.view.Get(ref)
	if err == nil && !slices.ContainsFunc(r.Docs, func(g got) bool { return g.Ref == ref }) {
		r.Docs = append(r.Docs, got{ref, doc.Body})
	}
	return doc, ok, err
}

// Find implements [directory.View].
func (r *recorder) Find(k directory.Key) ([]directory.Ref, error) {
	refs, err := r.view.Find(k)
	for _, ref := range refs {
		r.own(ref)
	}
	if !strings.HasPrefix(k.Value, r.domain+"/") {
		r.foreign = true
	}
	r.Finds = append(r.Finds, found{k, refs})
	return refs, err
}

// List implements [directory.View].
func (r *recorder) List(domain string, kind directory.Kind) iter.Seq2[directory.Ref, error] {
	return func(yield func(directory.Ref, error) bool) {
		l := list{Domain: domain, Kind: kind}
		r.foreign = r.foreign || domain != r.domain
		for ref, err := range r.view.List(domain, kind) {
			if err == nil {
				l.Refs = append(l.Refs, ref)
			}
			if !yield(ref, err) {
				r.foreign = true // it does not know the rest
				return
			}
		}
		r.Lists = append(r.Lists, l)
	}
}

// depends returns what the answers depend on.
func (r *recorder) depends(k kind) (out []string) {
	for _, g := range r.Docs {
		out = append(out, refName(g.Ref))
	}
	for _, f := range r.Finds {
		out = append(out, keyName(f.Key))
		for _, ref := range f.Refs {
			out = append(out, refName(ref))
		}
	}
	for _, l := range r.Lists {
		out = append(out, listName(l.Kind))
	}
	if k == kindCredential {
		out = append(out, SecretsChanged)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (r *recorder) pack() []byte {
	b, err := json.Marshal(&r.transcript)
	if err != nil {
		panic(err) // bodies are JSON
	}
	return append([]byte{copyFormat}, b...)
}

// errNotCopied reports a question that a copy does not answer: another release
// made it.
var errNotCopied = errors.New("cache: not in the copy")

// replay is a view that gives the answers of a transcript.
type replay struct{ transcript }

// Get implements [directory.View].
func (r *replay) Get(ref directory.Ref) (directory.Document, bool, error) {
	for i := range r.Docs {
		if g := &r.Docs[i]; g.Ref == ref {
			return directory.Document{Ref: ref, Body: g.Body}, g.Body != nil, nil
		}
	}
	return directory.Document{}, false, errNotCopied
}

// Find implements [directory.View].
func (r *replay) Find(k directory.Key) ([]directory.Ref, error) {
	for _, f := range r.Finds {
		if f.Key == k {
			return f.Refs, nil
		}
	}
	return nil, errNotCopied
}

// List implements [directory.View].
func (r *replay) List(domain string, kind directory.Kind) iter.Seq2[directory.Ref, error] {
	return func(yield func(directory.Ref, error) bool) {
		for _, l := range r.Lists {
			if l.Domain != domain || l.Kind != kind {
				continue
			}
			for _, ref := range l.Refs {
				if !yield(ref, nil) {
					return
				}
			}
			return
		}
		yield(directory.Ref{}, errNotCopied)
	}
}

// version returns the newest version of a domain that was heard of, which copies
// must have, and the one that the entries agree with, which is not newer than
// what a read from now on finds.
func (c *Cache) version(domain string) (newest, agreed directory.Version) {
	if c.copies == nil {
		return newest, agreed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest[domain], c.versions[domain]
}

// copied compiles an entry from its shared copy; nil when there is none.
func (c *Cache) copied(ctx context.Context, k key, at directory.Version) *entry {
	if c.copies == nil {
		return nil
	}
	packed := c.copies.Copy(ctx, k.domain, k.copyName(), at)
	if packed == nil {
		return nil
	}
	e, err := fromCopy(packed, k)
	if err != nil {
		c.log.LogAttrs(ctx, slog.LevelDebug, "shared copy not used", slog.String("name", k.copyName()), slog.Any("error", err))
		return nil
	}
	return e
}

func fromCopy(packed []byte, k key) (*entry, error) {
	if len(packed) == 0 || packed[0] != copyFormat {
		return nil, fmt.Errorf("%w: format", errNotCopied)
	}
	var r replay
	if err := json.Unmarshal(packed[1:], &r.transcript); err != nil {
		return nil, fmt.Errorf("cache: copy: %w", err)
	}
	e, err := compile(&r, k)
	if err == nil && e.nothing() {
		err = errNotCopied
	}
	return e, err
}
