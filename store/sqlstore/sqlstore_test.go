package sqlstore_test

import (
	"path/filepath"
	"testing"

	"bellhop/feed"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

func open(t testing.TB, o sqlstore.Options) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func in(dir string) sqlstore.Options {
	return sqlstore.Options{File: filepath.Join(dir, "bellhop.db"), Journal: filepath.Join(dir, "journal")}
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, f *feed.Stream) storetest.Parts {
		t.Helper()
		o := in(t.TempDir())
		o.Feed = f
		s := open(t, o)
		return storetest.Parts{Store: s, Bindings: s.Bindings, Calls: s.Calls, Cache: s.Cache}
	})
}
