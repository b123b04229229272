package sqlstore_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
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

func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, in(dir))
	storetest.Provision(t, s)
	a := storetest.AOR(t, "1001")
	if _, _, err := s.Bindings.Register(t.Context(), a, storetest.Register("desk-1001", 5060, 1)); err != nil {
		t.Fatal(err)
	}
	want := s.Bindings.Bindings(a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	again := open(t, in(dir))
	doc, err := again.Get(t.Context(), storetest.Ref(directory.KindNumber, "1001"))
	if err != nil || string(doc.Body) != `{"user":"ana"}` {
		t.Errorf("Get after reopening = %s, %v", doc.Body, err)
	}
	got := again.Bindings.Bindings(a)
	if len(got) != 1 || got[0].Expires.After(time.Now().Add(got[0].Granted)) {
		t.Fatalf("Bindings after reopening = %+v, want one, within what was granted", got)
	}
	got[0].Expires = want[0].Expires // stored with slack, cut to what was granted
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("Bindings after reopening (-want +got):\n%s", diff)
	}
	if _, ok := again.Cache.Tenant([]byte("192.0.2.1")); !ok {
		t.Error("the alias is not known after reopening")
	}
	if err := again.Cache.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	var w routing.World
	for _, need := range []routing.Need{
		{Kind: routing.NeedNumber, Domain: storetest.Domain, Key: "1001"},
		{Kind: routing.NeedUser, Domain: storetest.Domain, Key: "ana"},
		{Kind: routing.NeedDevice, Domain: storetest.Domain, Key: "desk-1001"},
	} {
		if !again.Cache.Cached(need, &w) {
			t.Errorf("%s is not cached after Warm", need)
		}
	}
	if _, known, _ := again.Cache.Credentials().Credential(storetest.Domain, "desk-1001"); !known {
		t.Error("the credential is not cached after Warm")
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	o := in(filepath.Join(t.TempDir(), "data"))
	open(t, o)
	for path, want := range map[string]os.FileMode{o.File: 0o600, filepath.Dir(o.File): 0o700, o.Journal: 0o700} {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("mode of %s = %v, %v, want %04o", path, st.Mode().Perm(), err, want)
		}
	}
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := in(dir)
	s := open(t, o)
	storetest.Provision(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	newer := fstest.MapFS{
		"00001_first.sql":  {Data: []byte("-- +goose Up\nSELECT 1;\n")},
		"00002_second.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")},
		"00003_third.sql":  {Data: []byte("-- +goose Up\nSELECT 1;\n")},
		"00004_fourth.sql": {Data: []byte("-- +goose Up\nDROP TABLE tokens;\n")},
	}
	if err := sqlstore.Migrate(t.Context(), o.File, newer); err != nil {
		t.Fatalf("the next release: %v", err)
	}
	_, err := sqlstore.New(t.Context(), o)
	if !errors.Is(err, sqlstore.ErrNewer) || !strings.Contains(err.Error(), "schema 4") || !strings.Contains(err.Error(), o.File) {
		t.Errorf("New on a newer schema = %v, want %v that names file and schema", err, sqlstore.ErrNewer)
	}
	before := o
	before.File += ".schema-3"
	old := open(t, before)
	if _, err := old.Get(t.Context(), storetest.Ref(directory.KindNumber, "1001")); err != nil {
		t.Errorf("the copy from before the migration: %v", err)
	}
}

func TestRestoreRaisesEpoch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := in(dir)
	s := open(t, o)
	storetest.Provision(t, s)
	backup := filepath.Join(dir, "backup.db")
	if err := s.Backup(t.Context(), backup); err != nil {
		t.Fatal(err)
	}
	late := storetest.Apply(t, s, storetest.Put(directory.KindNumber, "1003", `{"label":"late"}`))[0]
	if _, err := sqlstore.Restore(t.Context(), backup, o.File, nil); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("Restore over an open database = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.Restore(t.Context(), backup, o.File, nil); err != nil {
		t.Fatal(err)
	}
	again := open(t, o)
	if doc, err := again.Get(t.Context(), storetest.Ref(directory.KindNumber, "1003")); err != nil || string(doc.Body) != "{}" {
		t.Errorf("Get after Restore = %s, %v, want what the backup had", doc.Body, err)
	}
	doc := storetest.Apply(t, again, storetest.Put(directory.KindNumber, "1003", `{"label":"new"}`))[0]
	if doc.Version.Compare(late.Version) <= 0 || doc.Version.Epoch != 2 {
		t.Errorf("version after Restore = %s, want it after %s", doc.Version, late.Version)
	}
	_, err := again.Apply(t.Context(), storetest.Author(), []directory.Write{{Ref: doc.Ref, Body: []byte(`{}`), IfMatch: late.Version}})
	if !errors.Is(err, directory.ErrVersion) {
		t.Errorf("Apply with a version from before = %v, want %v", err, directory.ErrVersion)
	}
}

// Records are found by number from runs and from the tail alike.
func TestRecordRuns(t *testing.T) {
	t.Parallel()
	s := open(t, in(t.TempDir()))
	now := time.Now()
	want := 0
	for n := range 300 {
		var batch []*feed.Call
		for i := range 10 {
			called := strconv.Itoa(2000 + (n*10+i)%70)
			if called == "2007" {
				want++
			}
			batch = append(batch, storetest.Call(s.Calls, "1001", called, called, now))
		}
		if err := s.SaveRecords(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if n%97 == 50 {
			if err := sqlstore.MergeTail(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, f := 0, feed.Filter{Numbers: []string{"2007"}, Limit: 7}
	last := "~"
	for {
		calls, next, err := s.Records(t.Context(), storetest.Domain, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			if c.ID >= last || c.Called != "2007" {
				t.Fatalf("record %s of %s after %s", c.ID, c.Called, last)
			}
			last = c.ID
			got++
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	if got != want {
		t.Errorf("records of 2007 = %d, want %d", got, want)
	}
}

// The minutes that a number talked today outlive the process (rule limit.minutes).
func TestMinutesOutliveTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, in(dir))
	now := time.Now().Truncate(time.Second)
	midnight := now.UTC().Truncate(24 * time.Hour)
	ended := now.Add(-time.Second)
	if ended.Before(midnight) {
		t.Skip("it is midnight")
	}
	talk := func(by, kind string, began, over time.Time) {
		t.Helper()
		c := &feed.Call{
			ID: s.Calls.NewID(began), Domain: "bellhop.test", CallID: by + kind + began.String(), Caller: by, CallerDev: "desk-" + by, State: feed.Talking, Started: began,
			Legs: []feed.Leg{{Caller: true, Number: by}, {Trunk: "carrier", By: by, Kind: kind, State: feed.Talking, Started: began, AnsweredAt: began}},
		}
		if err := s.Calls.Answered(c); err != nil {
			t.Fatal(err)
		}
		if over.IsZero() {
			return
		}
		next := *c
		next.State, next.EndedAt = feed.Ended, over
		next.Legs = []feed.Leg{c.Legs[0], c.Legs[1]}
		next.Legs[1].State, next.Legs[1].EndedAt = feed.Ended, over
		if err := s.Calls.Ended(&next); err != nil {
			t.Fatal(err)
		}
	}
	talk("1001", "international", ended.Add(-4*time.Hour), ended)
	talk("1001", "premium", ended.Add(-time.Minute), ended)
	talk("1002", "international", ended.Add(-3*time.Minute), ended)
	talk("1002", "national", ended.Add(-time.Hour), ended)
	talk("1003", "international", midnight.Add(-3*time.Hour), midnight.Add(-time.Hour)) // yesterday
	talk("1004", "international", now.Add(-time.Minute), time.Time{})                   // goes on
	if err := s.Calls.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	talk("1002", "premium", ended.Add(-7*time.Minute), ended) // is in the journal only
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	again := open(t, in(dir))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- again.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	want := map[string][2]time.Duration{
		"1001": {4 * time.Hour, time.Minute}, "1002": {3 * time.Minute, 7 * time.Minute}, "1003": {}, "1004": {time.Minute, 0},
		"": {4*time.Hour + 4*time.Minute, 8 * time.Minute},
	}
	deadline := time.After(20 * time.Second)
	for {
		got := map[string][2]time.Duration{}
		for number := range want {
			u := again.Calls.Usage("bellhop.test", number, now)
			got[number] = [2]time.Duration{u.International, u.Premium}
		}
		if cmp.Equal(want, got) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("usage (-want +got):\n%s", cmp.Diff(want, got))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
