package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	neturl "net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/store/keyring"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// run runs a store until the test ends.
func run(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Logf("Run: %v", err) // a database that is away at the end
		}
	})
}

// soon waits until ok, for at most ten seconds.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !ok(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// pair are two nodes on one database; what the second tells is on the stream.
func pair(t *testing.T) (one, two *sqlstore.Store, f *feed.Stream) {
	t.Helper()
	url := server(t).Schema(t)
	f = feed.NewStream(1000)
	o := at(url, t.TempDir(), 2)
	o.Feed = f
	one, two = open(t, at(url, t.TempDir(), 1)), open(t, o)
	run(t, one)
	run(t, two)
	return one, two, f
}

// TestTwoNodes: what one node is told is what the other one does.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	one, two, f := pair(t)
	storetest.Provision(t, one)
	cs := two.Cache.Credentials()
	soon(t, "the domain is known", func() bool { _, ok := two.Cache.Tenant([]byte("192.0.2.1")); return ok })
	// What is read while something changes is not kept; so it may take two tries.
	sealed := func(want string) {
		t.Helper()
		soon(t, "the credential is "+want, func() bool {
			c, _, cached := cs.Credential(storetest.Domain, "desk-1001")
			if cached {
				return string(c.Sealed) == want
			}
			if err := cs.Load(t.Context(), storetest.Domain, "desk-1001"); err != nil {
				t.Fatal(err)
			}
			return false
		})
	}
	sealed("sealed")
	// A secret changes, of which the history does not tell what.
	storetest.Apply(t, one, storetest.Put(directory.KindCredential, "desk-1001", `{"id":"3","device":"desk-1001","sealed":"bmV3"}`))
	sealed("new")
	if docs, _, err := two.History(t.Context(), storetest.Ref(directory.KindCredential, "desk-1001"), 10, ""); err != nil || len(docs) != 0 {
		t.Errorf("history of a secret = %v, %v", docs, err)
	}
	// Both write one document.
	for i, s := range []*sqlstore.Store{one, two, one, two} {
		storetest.Apply(t, s, storetest.Put(directory.KindNumber, "1003", fmt.Sprintf(`{"label":"%d"}`, i)))
	}
	docs, _, err := one.History(t.Context(), storetest.Ref(directory.KindNumber, "1003"), 10, "")
	if err != nil || len(docs) != 5 || string(docs[0].Body) != `{"label":"3"}` {
		t.Errorf("History = %d states, %v", len(docs), err)
	}
	// Each change is told once at the other node, its own ones included.
	told := 0
	soon(t, "the changes are told", func() bool {
		for _, ev := range f.Drain(nil, 100) {
			if c, ok := ev.(feed.SettingChanged); ok && c.Name == "1003" {
				told++
			}
		}
		return told >= 5
	})
	// A registration at one node is known at the other; it goes with its device.
	a := storetest.AOR(t, "1001")
	if _, _, err := one.Bindings.Register(t.Context(), a, storetest.Register("desk-1001", 5060, 1)); err != nil {
		t.Fatal(err)
	}
	soon(t, "the binding is known", func() bool { return len(two.Bindings.Bindings(a)) == 1 })
	if _, _, err := two.Bindings.Register(t.Context(), a, storetest.Register("web", 5070, 1)); err != nil {
		t.Fatal(err)
	}
	soon(t, "both bindings are known", func() bool { return len(one.Bindings.Bindings(a)) == 2 })
	gone := storetest.Register("web", 5070, 2)
	gone.Expires = location.In(0)
	if _, _, err := one.Bindings.Register(t.Context(), a, gone); err != nil {
		t.Fatal(err)
	}
	soon(t, "the removal is known", func() bool { return len(two.Bindings.Bindings(a)) == 1 })
	storetest.Apply(t, two, directory.Write{Ref: storetest.Ref(directory.KindDevice, "desk-1001")})
	soon(t, "the binding of a device that is gone", func() bool { return len(one.Bindings.Bindings(a))+len(two.Bindings.Bindings(a)) == 0 })
	for _, ev := range f.Drain(nil, 1000) {
		if c, ok := ev.(feed.SettingChanged); ok && c.Name == "1003" {
			t.Errorf("told again: %+v", c)
		}
	}
}

// TestTwoNodesOneLoop has two nodes save the two halves of a loop at once, and
// the same public number in two domains: exactly one of them is refused.
func TestTwoNodesOneLoop(t *testing.T) {
	t.Parallel()
	one, two, _ := pair(t)
	storetest.Provision(t, one)
	storetest.Apply(t, one, directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: "b.test"}, Body: []byte(`{"realm":"b.test"}`)})
	far := func(kind directory.Kind, name string) directory.Ref {
		return directory.Ref{Domain: "b.test", Kind: kind, Name: name}
	}
	const trunk = `{"proof":"address","peers":["198.51.100.7:5060"]}`
	for n, halves := range [][2]directory.Write{
		{storetest.Forward("1001", "1002"), storetest.Forward("1002", "1001")},
		{storetest.Put(directory.KindNumber, "1008", `{"public":"+498970079"}`), {Ref: far(directory.KindNumber, "2000"), Body: []byte(`{"public":"+498970079"}`)}},
		{storetest.Put(directory.KindTrunk, "x", trunk), {Ref: far(directory.KindTrunk, "y"), Body: []byte(trunk)}},
	} {
		for range 30 {
			var wg sync.WaitGroup
			errs := make([]error, 2)
			for i, s := range []*sqlstore.Store{one, two} {
				wg.Go(func() { _, errs[i] = s.Apply(t.Context(), storetest.Author(), halves[i:i+1]) })
			}
			wg.Wait()
			lost := 0
			if errs[0] == nil {
				lost = 1
			}
			if _, ok := errors.AsType[*directory.Invalid](errs[lost]); !ok || errs[1-lost] != nil {
				t.Fatalf("case %d: Apply = %v and %v, want exactly one refused", n, errs[0], errs[1])
			}
			storetest.Apply(t, one, directory.Write{Ref: halves[1-lost].Ref})
		}
	}
}

// TestTwoNodesRecords merges the tail of the records at both nodes while both
// write: nothing of the index is lost.
func TestTwoNodesRecords(t *testing.T) {
	t.Parallel()
	one, two, _ := pair(t)
	const rounds, each = 100, 3
	var wg sync.WaitGroup
	for _, s := range []*sqlstore.Store{one, two} {
		wg.Go(func() {
			for n := range rounds {
				var batch []*feed.Call
				for range each {
					batch = append(batch, storetest.Call(s.Calls, "1001", "2000", "2000", time.Now()))
				}
				if err := s.SaveRecords(t.Context(), batch); err != nil {
					t.Error(err)
				}
				if n%2 == 1 {
					if err := sqlstore.MergeTail(t.Context(), s); err != nil && !strings.Contains(err.Error(), "40001") {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	calls, _, err := one.Records(t.Context(), storetest.Domain, feed.Filter{Numbers: []string{"2000"}, Limit: 1000})
	if err != nil || len(calls) != 2*rounds*each {
		t.Errorf("Records by number = %d, %v, want %d", len(calls), err, 2*rounds*each)
	}
	if err := sqlstore.MergeTail(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	if err := sqlstore.Retire(t.Context(), two, time.Now()); err != nil {
		t.Fatal(err)
	}
	if calls, _, err := one.Records(t.Context(), storetest.Domain, feed.Filter{Numbers: []string{"2000"}, Limit: 1000}); err != nil || len(calls) != 2*rounds*each {
		t.Errorf("Records by number after retention = %d, %v", len(calls), err)
	}
}

// ring makes a key ring in a folder, or reads it.
func ring(t *testing.T, dir string) *keyring.Ring {
	t.Helper()
	r, err := keyring.New(keyring.Options{Dir: dir, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestWhoIsLetIn refuses a number that is taken, a ring of keys that is another
// one, and a database that is not right.
func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	p := server(t)
	url := p.Schema(t)
	keys := t.TempDir()
	o := at(url, t.TempDir(), 1)
	o.Keys = ring(t, keys)
	first := open(t, o)
	refused := func(what string, o sqlstore.Options, want error, words string) {
		t.Helper()
		s, err := sqlstore.New(t.Context(), o)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: New = %v, want %v %q", what, err, want, words)
		}
	}
	same := o
	same.Journal = t.TempDir() + "/journal"
	refused("a number twice", same, sqlstore.ErrNumber, "node.number 1")
	journal := o
	journal.Node = 2
	refused("a journal twice", journal, sqlstore.ErrInUse, o.Journal)
	second := at(url, t.TempDir(), 2)
	second.Keys = ring(t, t.TempDir())
	refused("a ring of its own", second, sqlstore.ErrKeys, "copy the folder")
	if err := ring(t, keys).Rotate(); err != nil { // a newer key beside the one that is known
		t.Fatal(err)
	}
	second.Keys = ring(t, keys)
	open(t, second)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, same) // the number is free again

	// A user with a password, which is not in the URL.
	if _, err := p.SQL("CREATE ROLE " + storetest.PasswordUser + " LOGIN PASSWORD 'hush hush'; CREATE SCHEMA locked AUTHORIZATION " + storetest.PasswordUser); err != nil {
		t.Fatal(err)
	}
	locked := at(p.URL(neturl.Values{"search_path": {"locked"}}), t.TempDir(), 1)
	locked.PostgreSQL.URL = strings.Replace(locked.PostgreSQL.URL, "bellhop@", storetest.PasswordUser+"@", 1)
	refused("no password", locked, nil, "refuses this user or its password")
	locked.PostgreSQL.Password = "hush"
	refused("another password", locked, nil, "refuses this user or its password")
	locked.PostgreSQL.Password = "hush hush"
	open(t, locked)

	for _, tt := range []struct{ what, url, words string }{
		{"no server", "postgres://bellhop@/postgres?host=/nowhere", "cannot be reached"},
		{"no database", strings.Replace(url, "/postgres?", "/nothing?", 1), "there is no such database"},
		{"no user", strings.Replace(url, "bellhop@", "nobody@", 1), "refuses this user"},
		{"no schema", strings.Replace(url, "search_path=", "search_path=no", 1), "no schema"},
		{"nothing is synced", url + "&synchronous_commit=off", "synchronous_commit is off"},
	} {
		refused(tt.what, at(tt.url, t.TempDir(), 9), nil, tt.words)
	}
}

// TestPostgresSchemas starts at nothing, at the schema before this release's, and
// at that of the next one.
func TestPostgresSchemas(t *testing.T) {
	t.Parallel()
	steps := func(n int) fs.FS {
		out := fstest.MapFS{}
		names, err := fs.Glob(sqlstore.Migrations(t), "*.sql")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names[:min(n, len(names))] {
			b, err := fs.ReadFile(sqlstore.Migrations(t), name)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = &fstest.MapFile{Data: b}
		}
		if n > len(names) {
			out[fmt.Sprintf("%05d_next.sql", n)] = &fstest.MapFile{Data: []byte("-- +goose Up\nDROP TABLE tokens;\n")}
		}
		return out
	}
	newest := len(steps(99).(fstest.MapFS)) - 1
	p := server(t)
	url := p.Schema(t)
	if err := sqlstore.MigratePostgres(t.Context(), url, steps(newest-1)); err != nil {
		t.Fatal(err)
	}
	old := location.Bindings{{Contact: "sip:x@192.0.2.1", Device: "x", Expires: time.Now().Add(time.Hour), Granted: time.Hour}}
	schema := url[strings.Index(url, "search_path=")+len("search_path="):]
	insert := fmt.Sprintf(`INSERT INTO %s.bindings (domain, "user", expires, packed) VALUES ('a.test', '1001', %d, '\x%x')`, schema, time.Now().Add(time.Hour).UnixMilli(), old.Pack())
	if _, err := p.SQL(insert); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup // two nodes start at once
	stores := make([]*sqlstore.Store, 2)
	for i := range stores {
		o := at(url, t.TempDir(), uint16(i+1))
		wg.Go(func() {
			var err error
			if stores[i], err = sqlstore.New(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if s == nil {
			continue
		}
		if n := len(s.Bindings.Bindings(storetest.AOR(t, "1001"))); n != 1 {
			t.Errorf("%d bindings after the migration, want 1", n)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := sqlstore.MigratePostgres(t.Context(), url, steps(newest+1)); err != nil {
		t.Fatal(err)
	}
	_, err := sqlstore.New(t.Context(), at(url, t.TempDir(), 1))
	if !errors.Is(err, sqlstore.ErrNewer) || !strings.Contains(err.Error(), fmt.Sprintf("schema %d", newest+1)) {
		t.Errorf("New on a newer schema = %v, want %v that names it", err, sqlstore.ErrNewer)
	}
}
