package sqlstore_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// TestMove moves a SQLite database to PostgreSQL. Interrupted at any moment it has
// moved all or nothing.
func TestMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from := in(dir)
	was := fill(t, from)
	to := at(server(t).Schema(t), t.TempDir(), 1)

	if _, err := sqlstore.Move(t.Context(), filepath.Join(dir, "none.db"), to, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Move of nothing = %v", err)
	}
	s := open(t, from)
	if _, err := sqlstore.Move(t.Context(), from.File, to, nil); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("Move under a daemon = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, after := range []int{1, 5, 12} { // of 12 tables
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		_, err := sqlstore.Move(ctx, from.File, to, func(string, int64) {
			if n++; n == after {
				cancel()
			}
		})
		if err == nil || n != after {
			t.Errorf("Move that ends after %d of %d tables = %v", n, after, err)
		}
		cancel()
	}
	if rows, err := sqlstore.Move(t.Context(), from.File, to, nil); err != nil || rows < 1000 { // it would be ErrFilled
		t.Fatalf("Move = %d rows, %v", rows, err)
	}
	if _, err := sqlstore.Move(t.Context(), from.File, to, nil); !errors.Is(err, sqlstore.ErrFilled) {
		t.Errorf("Move again = %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.moving*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}

	s = open(t, to)
	if diff := cmp.Diff(was, sqlstore.Dump(t, s)); diff != "" {
		t.Fatalf("moved (-want +got):\n%s", diff)
	}
	docs := storetest.Apply(t, s, storetest.Put(directory.KindNumber, "1003", `{"label":"later"}`))
	if v := docs[0].Version; v.Epoch != 2 {
		t.Errorf("the next version is %v, want epoch 2", v)
	}
	if err := s.SaveRecords(t.Context(), []*feed.Call{storetest.Call(s.Calls, "1001", "1002", "1002", time.Now())}); err != nil {
		t.Error(err)
	}
	if n := len(s.Bindings.Bindings(storetest.AOR(t, "1001"))); n != 1 {
		t.Errorf("%d bindings, want 1", n)
	}
}

// fill makes a database with something of everything, and returns what is in it.
func fill(t *testing.T, o sqlstore.Options) map[string][]string {
	t.Helper()
	s, err := sqlstore.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Provision(t, s)
	storetest.Apply(t, s, directory.Write{Ref: storetest.Ref(directory.KindNumber, "1004")}) // deleted
	if _, _, err := s.Bindings.Register(t.Context(), storetest.AOR(t, "1001"), storetest.Register("desk-1001", 5060, 1)); err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour)
	errs := []error{
		s.SaveSession(t.Context(), directory.Session{Hash: "h", Domain: storetest.Domain, User: "ana", Expires: expires}),
		s.SaveToken(t.Context(), directory.Token{Hash: "g", Domain: storetest.Domain, Name: "door"}),
	}
	for range 20 {
		var batch []*feed.Call
		for range 50 {
			batch = append(batch, storetest.Call(s.Calls, "1001", "1002", "1002", time.Now()))
		}
		errs = append(errs, s.SaveRecords(t.Context(), batch))
	}
	errs = append(errs, sqlstore.MergeTail(t.Context(), s),
		s.SaveRecords(t.Context(), []*feed.Call{storetest.Call(s.Calls, "1002", "1001", "1001", time.Now())}))
	was := sqlstore.Dump(t, s)
	if err := errors.Join(append(errs, s.Close())...); err != nil {
		t.Fatal(err)
	}
	if len(was) < 11 { // all but what SIP keeps
		t.Errorf("only %d tables have something", len(was))
	}
	return was
}
