package sqlstore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"bellhop/routing/directory"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// TestFullDiskIsAReason fills the database and makes room again.
func TestFullDiskIsAReason(t *testing.T) {
	t.Parallel()
	o := in(t.TempDir())
	o.Reserve = 1 << 20
	s := open(t, o)
	storetest.Provision(t, s)
	if rs := s.Reasons(); rs != nil {
		t.Fatalf("reasons of a store that works: %+v", rs)
	}
	if err := sqlstore.LimitPages(t.Context(), s, 1); err != nil { // as many as it has
		t.Fatal(err)
	}
	var err error
	for n := 0; err == nil && n < 200; n++ {
		_, err = s.Apply(t.Context(), directory.Author{Actor: "test"}, []directory.Write{{
			Ref:  directory.Ref{Domain: storetest.Domain, Kind: directory.KindUser, Name: "u" + strconv.Itoa(n)},
			Body: []byte(`{"name": "` + strings.Repeat("x", 900) + `", "role": "user"}`),
		}})
	}
	if !errors.Is(err, directory.ErrUnavailable) {
		t.Fatalf("Apply on a full disk = %v", err)
	}
	rs := s.Reasons()
	if len(rs) != 1 || rs[0].Part != "store" || rs[0].Since.IsZero() || rs[0].Detail != "the disk is full: changes and registrations are refused" {
		t.Fatalf("reasons = %+v", rs)
	}
	if _, err := os.Stat(o.File + ".reserve"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the reserve is still there: %v", err)
	}
	// What the caller did wrong, and a caller who went away, are no faults of the store.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = s.Get(ctx, directory.Ref{Domain: storetest.Domain, Kind: directory.KindUser, Name: "ana"})
	_, _ = s.Get(t.Context(), directory.Ref{Domain: storetest.Domain, Kind: directory.KindUser, Name: "nobody"})
	if rs := s.Reasons(); len(rs) != 1 {
		t.Errorf("reasons = %+v", rs)
	}
	if err := sqlstore.LimitPages(t.Context(), s, 1<<30); err != nil {
		t.Fatal(err)
	}
	sqlstore.Probe(t.Context(), s)
	if rs := s.Reasons(); rs != nil {
		t.Errorf("reasons with room again: %+v", rs)
	}
}
