package sqlstore_test

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// server is the PostgreSQL that tests share, each with a schema of its own. Who
// kills it has one of their own.
func server(t testing.TB) *storetest.Postgres {
	t.Helper()
	used.Store(true)
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shared starts the server when the first test asks for it; TestMain stops it.
var shared = sync.OnceValues(storetest.StartPostgres)

// used says that somebody asked for the server.
var used atomic.Bool

// at are the options of a node on a database.
func at(url, dir string, node uint16) sqlstore.Options {
	return sqlstore.Options{
		PostgreSQL: &sqlstore.PostgreSQL{URL: url, Connections: 4}, Journal: filepath.Join(dir, "journal"), Node: node,
	}
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, f *feed.Stream) storetest.Parts {
		t.Helper()
		o := at(server(t).Schema(t), t.TempDir(), 1)
		o.Feed = f
		s := open(t, o)
		return storetest.Parts{Store: s, Bindings: s.Bindings, Calls: s.Calls, Cache: s.Cache}
	})
}

func TestNumbered(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"SELECT 1":                     "SELECT 1",
		"a = ?":                        "a = $1",
		"a = ? AND b IN (?,?) LIMIT ?": "a = $1 AND b IN ($2,$3) LIMIT $4",
		"a = ?1 AND b = ?12":           "a = $1 AND b = $12",
		`a LIKE ? ESCAPE '\' AND b = '?' OR "?c" = ?`: `a LIKE $1 ESCAPE '\' AND b = '?' OR "?c" = $2`,
		"a = 'it''s ?' AND b = ?":                     "a = 'it''s ?' AND b = $1",
	} {
		if got := sqlstore.Numbered(query); got != want {
			t.Errorf("%s is %s, want %s", query, got, want)
		}
	}
}

// TestStrangeText: what no text in PostgreSQL can be is not found, and is no fault
// of the store, whoever sends it.
func TestStrangeText(t *testing.T) {
	t.Parallel()
	s := open(t, at(server(t).Schema(t), t.TempDir(), 1))
	storetest.Provision(t, s)
	for _, text := range []string{"a\x00b", "\xff\xfe", "\xed\xa0\x80", "'; DROP TABLE meta; --", `\`, "%", "?"} {
		if err := s.Cache.Credentials().Load(t.Context(), storetest.Domain, text); err != nil {
			t.Errorf("credential %q: %v", text, err)
		}
		if _, err := s.Get(t.Context(), storetest.Ref(directory.KindNumber, text)); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("Get(%q) = %v", text, err)
		}
		docs, _, err := s.List(t.Context(), storetest.Domain, directory.KindNumber, directory.Query{Q: text})
		if err != nil || len(docs) != 0 {
			t.Errorf("List(%q) = %v, %v", text, docs, err)
		}
		if _, _, err := s.List(t.Context(), storetest.Domain, directory.KindNumber, directory.Query{Cursor: text}); err != nil {
			t.Errorf("List from %q: %v", text, err)
		}
	}
	if rs := s.Reasons(); len(rs) != 0 {
		t.Errorf("reasons = %+v", rs)
	}
}
