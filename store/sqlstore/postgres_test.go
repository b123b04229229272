package sqlstore_test

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"bellhop/feed"
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
