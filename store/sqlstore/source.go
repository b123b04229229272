package sqlstore

import (
	"context"

	"bellhop/routing/directory"
	"bellhop/store/document"
)

// Versions implements [cache.Source].
func (s *Store) Versions(ctx context.Context) (map[string]directory.Version, error) {
	rows, err := s.db.read.QueryContext(ctx, "SELECT domain, n, (SELECT value FROM meta WHERE name = 'epoch') FROM versions")
	if err != nil {
		return nil, s.failed("versions", err)
	}
	defer rows.Close()
	out := make(map[string]directory.Version)
	for rows.Next() {
		var domain string
		var v directory.Version
		if err := rows.Scan(&domain, &v.N, &v.Epoch); err != nil {
			return nil, s.failed("versions", err)
		}
		out[domain] = v
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("versions", err)
	}
	return out, nil
}

// Snapshot implements [cache.Source].
func (s *Store) Snapshot(ctx context.Context, limit int) (snap *document.Snapshot, err error) {
	err = s.db.whole(ctx, func(q querier) (err error) {
		snap, err = s.snapshot(ctx, q, limit)
		return err
	})
	return snap, err
}

func (s *Store) snapshot(ctx context.Context, q querier, limit int) (*document.Snapshot, error) {
	rows, err := q.QueryContext(ctx, "SELECT "+documentColumns+" FROM documents LIMIT ?", limit+1)
	if err != nil {
		return nil, s.failed("snapshot", err)
	}
	defer rows.Close()
	snap := document.NewSnapshot()
	for n := 0; rows.Next(); n++ {
		if n == limit {
			return nil, nil
		}
		doc, err := scanDocument(rows.Scan)
		if err != nil {
			return nil, s.failed("snapshot", err)
		}
		snap.Put(doc, directory.Keys(doc.Ref, doc.Body))
	}
	if err := rows.Err(); err != nil {
		return nil, s.failed("snapshot", err)
	}
	return snap, nil
}

// Changes returns the rows of the history of a domain after a version, oldest
// first, at most limit. Of secrets a shared database tells that they were written,
// with an empty Body, or deleted, with none; another tells nothing.
func (s *Store) Changes(ctx context.Context, domain string, after directory.Version, limit int) ([]directory.Document, error) {
	docs, err := s.documents(ctx, "SELECT "+documentColumns+` FROM history
		WHERE domain = ? AND (epoch, n) > (?, ?) ORDER BY epoch, n, id LIMIT ?`, domain, after.Epoch, int64(after.N), limit)
	if err != nil {
		return nil, s.failed("changes", err)
	}
	return docs, nil
}

// ID names the database among all; a restored one has the same.
func (s *Store) ID(ctx context.Context) (id int64, err error) {
	if err := s.db.read.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = 'id'").Scan(&id); err != nil {
		return 0, s.failed("id", err)
	}
	return id, nil
}
