package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
)

func documents(t *testing.T, fresh func(*testing.T) Parts) {
	t.Helper()
	t.Run("get what was put", func(t *testing.T) {
		t.Parallel()
		s := fresh(t).Store
		Provision(t, s)
		doc, err := s.Get(t.Context(), Ref(directory.KindNumber, "1003"))
		if err != nil || string(doc.Body) != "{}" || doc.Actor != "ana@a.test" || doc.From != "192.0.2.7" || doc.Version.IsZero() || doc.At.IsZero() {
			t.Errorf("Get = %+v, %v", doc, err)
		}
		if _, err := s.Get(t.Context(), Ref(directory.KindNumber, "1009")); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("Get of nothing = %v, want %v", err, directory.ErrNotFound)
		}
	})
	t.Run("conditions", func(t *testing.T) { t.Parallel(); conditions(t, fresh(t).Store) })
	t.Run("all or nothing", func(t *testing.T) {
		t.Parallel()
		p := fresh(t)
		Provision(t, p.Store)
		_, err := p.Store.Apply(t.Context(), Author(), []directory.Write{
			Put(directory.KindNumber, "1003", `{"label":"hall"}`),
			Put(directory.KindNumber, "1004", `{"user":"nobody"}`),
		})
		if _, ok := errors.AsType[*directory.Invalid](err); !ok {
			t.Fatalf("Apply = %v, want an *Invalid", err)
		}
		if doc, err := p.Store.Get(t.Context(), Ref(directory.KindNumber, "1003")); err != nil || string(doc.Body) != "{}" {
			t.Errorf("after a refused transaction: %s, %v", doc.Body, err)
		}
	})
	t.Run("names are unique in the whole system", func(t *testing.T) {
		t.Parallel()
		s := fresh(t).Store
		Provision(t, s)
		_, err := s.Apply(t.Context(), Author(), []directory.Write{Put(directory.KindDomain, "b.test", `{"realm":"b.test","aliases":["192.0.2.1"]}`)})
		if _, ok := errors.AsType[*directory.Invalid](err); !ok {
			t.Errorf("Apply of a taken alias = %v, want an *Invalid", err)
		}
	})
	t.Run("addresses of trunks are unique in the whole system", func(t *testing.T) {
		t.Parallel()
		s := fresh(t).Store
		Provision(t, s)
		Apply(t, s, Put(directory.KindDomain, "b.test", `{"realm":"b.test"}`))
		Apply(t, s, Put(directory.KindTrunk, "carrier", `{"proof":"address","peers":["198.51.100.7:5060"]}`))
		far := directory.Write{Ref: directory.Ref{Domain: "b.test", Kind: directory.KindTrunk, Name: "x"}, Body: []byte(`{"proof":"address","sources":["198.51.100.0/24"]}`)}
		_, err := s.Apply(t.Context(), Author(), []directory.Write{far})
		if bad, ok := errors.AsType[*directory.Invalid](err); !ok || bad.Rule != directory.RuleSource {
			t.Errorf("Apply of a taken address = %v, want %s", err, directory.RuleSource)
		}
		Apply(t, s, directory.Write{Ref: Ref(directory.KindTrunk, "carrier")})
		Apply(t, s, far)
	})
	t.Run("what hangs on a user and on a trunk goes with it", func(t *testing.T) { t.Parallel(); dependents(t, fresh(t).Store) })
	t.Run("history", func(t *testing.T) { t.Parallel(); history(t, fresh(t).Store) })
	t.Run("list", func(t *testing.T) { t.Parallel(); list(t, fresh(t).Store) })
	t.Run("what hangs on a device goes with it", func(t *testing.T) {
		t.Parallel()
		s := fresh(t).Store
		Provision(t, s)
		Apply(t, s, Put(directory.KindCredential, "web-1", `{"id":"9","device":"desk-1001","sealed":"c2VhbGVk"}`))
		docs := Apply(t, s, directory.Write{Ref: Ref(directory.KindDevice, "desk-1001")})
		if len(docs) != 1 || docs[0].Body != nil || docs[0].Version.IsZero() {
			t.Errorf("Apply of a deletion = %+v, want the device without a body", docs)
		}
		for _, name := range []string{"desk-1001", "web-1"} {
			if _, err := s.Get(t.Context(), Ref(directory.KindCredential, name)); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("credential %s of a deleted device: %v, want %v", name, err, directory.ErrNotFound)
			}
		}
	})
	t.Run("changes are told", func(t *testing.T) {
		t.Parallel()
		p := fresh(t)
		Provision(t, p.Store)
		p.Feed.Drain(nil, 1000)
		doc := Apply(t, p.Store, Put(directory.KindNumber, "1003", `{"label":"hall"}`))[0]
		evs := p.Feed.Drain(nil, 10)
		if len(evs) != 1 {
			t.Fatalf("events = %v, want one", evs)
		}
		ev, ok := evs[0].(feed.SettingChanged)
		if !ok || ev.Domain != Domain || ev.Kind != "numbers" || ev.Name != "1003" || ev.Version != doc.Version.N || ev.Actor != "ana@a.test" {
			t.Errorf("event = %+v", evs[0])
		}
	})
	t.Run("two who save a loop", func(t *testing.T) { t.Parallel(); loops(t, fresh(t).Store) })
}

func dependents(t *testing.T, s Store) {
	t.Helper()
	Provision(t, s)
	Apply(t, s, Put(directory.KindTrunk, "carrier", `{"proof":"digest"}`))
	Apply(t, s, Put(directory.KindRemote, "ana/home", `{"number":"1003"}`))
	Apply(t, s, Put(directory.KindRemote, "ana/mobile", `{"number":"1004","numbers":["1001"]}`))
	Apply(t, s, Put(directory.KindCallMe, "ana", `{"target":"1003"}`))
	Apply(t, s, Put(directory.KindTrunkKey, "carrier", `{"id":"1","username":"account","sealed":"c2VhbGVk"}`))
	if _, err := s.Apply(t.Context(), Author(), []directory.Write{{Ref: Ref(directory.KindNumber, "1001")}}); err == nil {
		t.Error("a number that a remote destination has was deleted")
	}
	Apply(t, s, directory.Write{Ref: Ref(directory.KindRemote, "ana/mobile")})
	Apply(t, s, Put(directory.KindDevice, "desk-1001", `{"kind":"desk","lines":[{"number":"1001"}]}`))
	Apply(t, s, Put(directory.KindNumber, "1001", `{}`))
	Apply(t, s, directory.Write{Ref: Ref(directory.KindUser, "ana")})
	Apply(t, s, directory.Write{Ref: Ref(directory.KindTrunk, "carrier")})
	for _, r := range []directory.Ref{
		Ref(directory.KindRemote, "ana/home"), Ref(directory.KindRemote, "ana/mobile"), Ref(directory.KindCallMe, "ana"), Ref(directory.KindTrunkKey, "carrier"),
	} {
		if _, err := s.Get(t.Context(), r); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%s is still there: %v", r, err)
		}
	}
	if docs, _, err := s.History(t.Context(), Ref(directory.KindTrunkKey, "carrier"), 10, ""); err != nil || len(docs) != 0 {
		t.Errorf("history of a secret = %v, %v, want none", docs, err)
	}
}

func conditions(t *testing.T, s Store) {
	t.Helper()
	Provision(t, s)
	number := Ref(directory.KindNumber, "1003")
	old, err := s.Get(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	now := Apply(t, s, Put(directory.KindNumber, "1003", `{"label":"hall"}`))[0]
	if now.Version.Compare(old.Version) <= 0 {
		t.Errorf("version %s after %s", now.Version, old.Version)
	}
	for _, tt := range []struct {
		name string
		w    directory.Write
		want error
	}{
		{"create what is there", directory.Write{Ref: number, Body: []byte(`{}`), Create: true}, directory.ErrExists},
		{"an old version", directory.Write{Ref: number, Body: []byte(`{}`), IfMatch: old.Version}, directory.ErrVersion},
		{"a version of nothing", directory.Write{Ref: Ref(directory.KindNumber, "1009"), Body: []byte(`{}`), IfMatch: old.Version}, directory.ErrVersion},
		{"delete nothing", directory.Write{Ref: Ref(directory.KindNumber, "1009")}, directory.ErrNotFound},
		{"delete an old version", directory.Write{Ref: number, IfMatch: old.Version}, directory.ErrVersion},
		{"the version it has", directory.Write{Ref: number, Body: []byte(`{"label":"lobby"}`), IfMatch: now.Version}, nil},
		{"create what is not there", directory.Write{Ref: Ref(directory.KindNumber, "1009"), Body: []byte(`{}`), Create: true}, nil},
	} {
		if _, err := s.Apply(t.Context(), Author(), []directory.Write{tt.w}); !errors.Is(err, tt.want) {
			t.Errorf("%s: Apply = %v, want %v", tt.name, err, tt.want)
		}
	}
}

func history(t *testing.T, s Store) {
	t.Helper()
	Provision(t, s)
	number := Ref(directory.KindNumber, "1003")
	for i := range 5 {
		Apply(t, s, Put(directory.KindNumber, "1003", fmt.Sprintf(`{"label":"%d"}`, i)))
	}
	Apply(t, s, directory.Write{Ref: number})
	var bodies []string
	var versions []directory.Version
	for cursor := ""; ; {
		docs, next, err := s.History(t.Context(), number, 3, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			bodies, versions = append(bodies, string(d.Body)), append(versions, d.Version)
			if d.Actor != "ana@a.test" {
				t.Errorf("actor = %q", d.Actor)
			}
		}
		if cursor = next; next == "" {
			break
		}
	}
	if want := []string{"", `{"label":"4"}`, `{"label":"3"}`, `{"label":"2"}`, `{"label":"1"}`, `{"label":"0"}`, "{}"}; !slices.Equal(bodies, want) {
		t.Errorf("History = %q, want %q", bodies, want)
	}
	if !slices.IsSortedFunc(versions, func(a, b directory.Version) int { return b.Compare(a) }) {
		t.Errorf("versions = %v, want the newest first", versions)
	}
	Apply(t, s, Put(directory.KindSignIn, "ana", `{"hash":"$argon2id$secret"}`))
	for _, r := range []directory.Ref{Ref(directory.KindCredential, "desk-1001"), Ref(directory.KindSignIn, "ana")} {
		if docs, _, err := s.History(t.Context(), r, 10, ""); err != nil || len(docs) != 0 {
			t.Errorf("history of %s = %v, %v, want none", r, docs, err)
		}
	}
}

func list(t *testing.T, s Store) {
	t.Helper()
	Provision(t, s)
	Apply(t, s, Put(directory.KindNumber, "1003", `{"label":"Great Hall 100%"}`))
	names := func(q directory.Query, kind directory.Kind) (out []string) {
		for {
			docs, next, err := s.List(t.Context(), Domain, kind, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs {
				out = append(out, d.Name)
			}
			if q.Cursor = next; next == "" {
				return out
			}
		}
	}
	for _, tt := range []struct {
		q    directory.Query
		kind directory.Kind
		want string
	}{
		{directory.Query{}, directory.KindNumber, "1001 1002 1003 1004"},
		{directory.Query{Limit: 1}, directory.KindNumber, "1001 1002 1003 1004"},
		{directory.Query{Limit: 3}, directory.KindNumber, "1001 1002 1003 1004"},
		{directory.Query{Q: "hall"}, directory.KindNumber, "1003"},
		{directory.Query{Q: "0%"}, directory.KindNumber, "1003"},
		{directory.Query{Q: "_"}, directory.KindNumber, ""},
		{directory.Query{Q: "1002"}, directory.KindNumber, "1002"},
		{directory.Query{Q: "c2vhbgvk"}, directory.KindCredential, ""},
		{directory.Query{}, directory.KindTrunk, ""},
	} {
		if got := strings.Join(names(tt.q, tt.kind), " "); got != tt.want {
			t.Errorf("List(%s, %+v) = %q, want %q", tt.kind, tt.q, got, tt.want)
		}
	}
	if docs, _, err := s.List(t.Context(), "", directory.KindDomain, directory.Query{}); err != nil || len(docs) != 1 || docs[0].Name != Domain {
		t.Errorf("List of domains = %v, %v", docs, err)
	}
}

// loops has two clients save the two halves of a loop at once: exactly one of
// them is refused, with the chain (forward.loop-refused).
func loops(t *testing.T, s Store) {
	t.Helper()
	Provision(t, s)
	tries := 1000
	if testing.Short() {
		tries = 50
	}
	start := time.Now()
	for n := 0; n < tries && time.Since(start) < 5*time.Second; n++ { // over a network it takes longer
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, w := range []directory.Write{Forward("1001", "1002"), Forward("1002", "1001")} {
			wg.Go(func() { _, errs[i] = s.Apply(t.Context(), Author(), []directory.Write{w}) })
		}
		wg.Wait()
		lost := slices.IndexFunc(errs, func(err error) bool { return err != nil })
		if lost < 0 || errs[1-lost] != nil {
			t.Fatalf("try %d: Apply = %v and %v, want exactly one refused", n, errs[0], errs[1])
		}
		bad, ok := errors.AsType[*directory.Invalid](errs[lost])
		if !ok || bad.Rule != directory.RuleLoop || !strings.Contains(bad.Error(), " -> ") {
			t.Fatalf("try %d: Apply = %v, want %s with the chain", n, errs[lost], directory.RuleLoop)
		}
		Apply(t, s, directory.Write{Ref: Ref(directory.KindForwarding, []string{"1001", "1002"}[1-lost])})
	}
}
