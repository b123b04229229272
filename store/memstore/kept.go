package memstore

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/document"
)

// Edit changes a setting by telephone: see [document.Settings].
func (s *Store) Edit(ctx context.Context, a directory.Author, ref directory.Ref, edit func(body []byte) ([]byte, error)) error {
	return document.Settings{Documents: s}.Edit(ctx, a, ref, edit)
}

// Keep saves what SIP keeps, in place of what was there, and forgets what has no
// body.
func (s *Store) Keep(_ context.Context, rows []feed.Kept) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rows {
		r.Expires = r.Expires.Truncate(time.Millisecond)
		if key := [2]string{r.Kind, r.ID}; r.Body == nil {
			delete(s.kept, key)
		} else {
			r.Body = slices.Clone(r.Body)
			s.kept[key] = r
		}
	}
	return nil
}

// Kept calls add with what is kept of a kind, of one number or, without one, of
// all, in the order of the ids.
func (s *Store) Kept(_ context.Context, kind, domain, number string, add func(feed.Kept) error) error {
	for _, r := range s.keptOf(kind) {
		if number != "" && (r.Domain != domain || r.Number != number) {
			continue
		}
		if err := add(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) keptOf(kind string) (rows []feed.Kept) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.kept {
		if r.Kind == kind {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b feed.Kept) int { return strings.Compare(a.ID, b.ID) })
	return rows
}

// KeptFor returns what each number has of a kind.
func (s *Store) KeptFor(_ context.Context, kind string) (out []feed.KeptFor, err error) {
	rows := s.keptOf(kind)
	slices.SortFunc(rows, func(a, b feed.Kept) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Number, b.Number))
	})
	for _, r := range rows {
		if n := len(out); n == 0 || out[n-1].Domain != r.Domain || out[n-1].Number != r.Number {
			out = append(out, feed.KeptFor{Domain: r.Domain, Number: r.Number})
		}
		last := &out[len(out)-1]
		last.Count++
		last.Bytes += len(r.Body)
	}
	return out, nil
}

// DropKept forgets what expired before a time, and returns how much that was.
func (s *Store) DropKept(_ context.Context, kind string, before time.Time) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.kept {
		if r.Kind == kind && r.Expires.Before(before) {
			delete(s.kept, key)
			n++
		}
	}
	return n, nil
}
