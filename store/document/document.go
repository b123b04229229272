// Package document is how settings are written, once for all stores: the
// conditions of writes, the checks across documents, versions and history. A
// store brings a transaction, [Tx]; this package says what happens in it.
//
// It also holds a directory in memory, [Snapshot], which is the whole of the
// memory store and what the SQL store compiles many values from at once.
//
// The package does no I/O of its own and starts no goroutine.
package document

import (
	"fmt"
	"slices"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
)

// Paging of lists and histories.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Limit returns how many rows a page has for what was asked.
func Limit(asked int) int {
	switch {
	case asked <= 0:
		return defaultLimit
	default:
		return min(asked, maxLimit)
	}
}

// A Tx is one settings transaction: the directory as it sees it, and writing.
// Nothing of it holds unless the whole is committed.
type Tx interface {
	directory.View
	// Bump increments the version of a domain, "" being the system's own, and
	// returns it. It locks the domain until the end of the transaction.
	Bump(domain string) (directory.Version, error)
	// Put writes a document with its keys, in place of what was there.
	Put(doc directory.Document, keys []directory.Key) error
	// Delete takes a document and its keys out; doc has no Body, and the version
	// that deletes it.
	Delete(doc directory.Document) error
	// Record adds a row to history; a nil Body is a deletion.
	Record(doc directory.Document) error
}

// Apply makes writes in tx (trust.md §3). Its first statements increment the
// versions of the domains concerned, which locks, orders and versions; then
// conditions and [directory.Check] are held against what the transaction sees,
// so that two who save at once cannot both pass. What depends on a deleted
// document goes with it.
//
// It returns the documents as they are then, those of ws first and in their
// order, deletions with a nil Body. Errors are [directory.ErrNotFound],
// [directory.ErrExists], [directory.ErrVersion], *[directory.Invalid] and
// those of tx; the transaction must then be rolled back.
func Apply(tx Tx, now time.Time, a directory.Author, ws []directory.Write) ([]directory.Document, error) {
	if len(ws) == 0 {
		return nil, nil
	}
	versions := make(map[string]directory.Version)
	for _, d := range domains(ws) {
		v, err := tx.Bump(d)
		if err != nil {
			return nil, err
		}
		versions[d] = v
	}
	ws, err := check(tx, ws)
	if err != nil {
		return nil, err
	}
	docs := make([]directory.Document, len(ws))
	for i, w := range ws {
		docs[i] = directory.Document{
			Ref: w.Ref, Version: versions[w.Domain], Body: w.Body,
			At: now.UTC().Truncate(time.Millisecond), Actor: a.Actor, From: a.From,
		}
		if err := write(tx, docs[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", w.Ref, err)
		}
	}
	return docs, nil
}

// Check returns the error that [Apply] would return for writes now, nil for none;
// it writes nothing.
func Check(v directory.View, ws []directory.Write) error {
	_, err := check(v, ws)
	return err
}

// check adds the deletions that go with writes and holds all against what is
// there.
func check(v directory.View, ws []directory.Write) ([]directory.Write, error) {
	ws, err := withDependents(v, ws)
	if err != nil {
		return nil, err
	}
	for _, w := range ws {
		if err := condition(v, w); err != nil {
			return nil, fmt.Errorf("%s: %w", w.Ref, err)
		}
	}
	return ws, directory.Check(v, ws)
}

// write makes one write and its history row.
func write(tx Tx, doc directory.Document) error {
	var err error
	if doc.Body == nil {
		err = tx.Delete(doc)
	} else {
		err = tx.Put(doc, directory.Keys(doc.Ref, doc.Body))
	}
	if err != nil || Secret(doc.Kind) {
		return err
	}
	return tx.Record(doc)
}

// Secret reports whether documents of a kind never reach history (trust.md §2).
func Secret(k directory.Kind) bool {
	return k == directory.KindCredential || k == directory.KindTrunkKey || k == directory.KindSignIn ||
		k == directory.KindPIN || k == directory.KindActivation
}

// domains returns the domains whose versions ws increment, sorted, so that two
// transactions lock in one order. A change of a domain's own document is one of
// the domain too: what is checked in it depends on it.
func domains(ws []directory.Write) []string {
	var out []string
	for _, w := range ws {
		out = append(out, w.Domain)
		if w.Kind == directory.KindDomain {
			out = append(out, w.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// withDependents adds the deletion of what goes with a deleted document.
func withDependents(v directory.View, ws []directory.Write) ([]directory.Write, error) {
	seen := make(map[directory.Ref]bool, len(ws))
	for _, w := range ws {
		if seen[w.Ref] {
			return nil, fmt.Errorf("document: %s is written twice", w.Ref)
		}
		seen[w.Ref] = true
	}
	out := slices.Clone(ws)
	for _, w := range ws {
		if w.Body != nil {
			continue
		}
		refs, err := directory.Dependents(v, w.Ref)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			_, ok, err := v.Get(ref)
			if err != nil {
				return nil, err
			}
			if ok && !seen[ref] {
				seen[ref] = true
				out = append(out, directory.Write{Ref: ref})
			}
		}
	}
	return out, nil
}

// condition holds a write against the document that is there.
func condition(v directory.View, w directory.Write) error {
	doc, ok, err := v.Get(w.Ref)
	switch {
	case err != nil:
		return err
	case w.Create && ok:
		return directory.ErrExists
	case !w.IfMatch.IsZero() && (!ok || doc.Version != w.IfMatch):
		return directory.ErrVersion
	case w.Body == nil && !ok:
		return directory.ErrNotFound
	default:
		return nil
	}
}

// Tell publishes what was written, after the commit.
func Tell(s *feed.Stream, docs []directory.Document) {
	for _, d := range docs {
		s.Publish(feed.SettingChanged{
			At: d.At, Domain: d.Domain, Kind: string(d.Kind), Name: d.Name,
			Version: d.Version.N, Deleted: d.Body == nil, Actor: d.Actor,
		})
	}
}
