package storetest

import (
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
)

// ask asks for a need, in the cache and then in the store.
func ask(t *testing.T, p Parts, n routing.Need) (cached bool) {
	t.Helper()
	var w routing.World
	if p.Cache.Cached(n, &w) {
		return true
	}
	if err := p.Cache.Load(t.Context(), n, &w); err != nil {
		t.Fatal(err)
	}
	return false
}

// rings returns the number that a call of 1002 to a number rings.
func rings(t *testing.T, p Parts, target string) string {
	t.Helper()
	var w routing.World
	plan, _, err := routing.Resolve(&w, routing.Visit{
		Origin: routing.OriginDevice, Domain: Domain, Method: "INVITE", Target: target, TargetHost: Domain,
		Caller: routing.Caller{Domain: Domain, Device: "desk-1002", Number: "1002"},
	}, func(n routing.Need, w *routing.World) error { return p.Cache.Load(t.Context(), n, w) })
	if err != nil {
		t.Fatal(err)
	}
	r, ok := plan.Decision.(routing.Ring)
	if !ok {
		t.Fatalf("decision about %s = %+v, want a Ring", target, plan.Decision)
	}
	return r.Number
}

func caches(t *testing.T, fresh func(*testing.T) Parts) {
	t.Helper()
	t.Run("a setting is obeyed by the next call", func(t *testing.T) {
		t.Parallel()
		p := fresh(t)
		Provision(t, p.Store)
		for _, n := range []string{"1001", "1003"} {
			if _, _, err := p.Bindings.Register(t.Context(), AOR(t, n), Register("desk-"+n, 5060, 1)); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if got := rings(t, p, "1001"); got != "1001" {
				t.Fatalf("rings %s, want 1001", got)
			}
			Apply(t, p.Store, Forward("1001", "1003"))
			if got := rings(t, p, "1001"); got != "1003" {
				t.Fatalf("after the forward: rings %s, want 1003", got)
			}
			Apply(t, p.Store, directory.Write{Ref: Ref(directory.KindForwarding, "1001")})
		}
	})
	t.Run("what a change touches is forgotten", func(t *testing.T) { t.Parallel(); forgotten(t, fresh(t)) })
	t.Run("what does not exist", func(t *testing.T) {
		t.Parallel()
		p := fresh(t)
		Provision(t, p.Store)
		need := routing.Need{Kind: routing.NeedNumber, Domain: Domain, Key: "1009"}
		ask(t, p, need)
		if !ask(t, p, need) {
			t.Error("that there is no 1009 was not remembered")
		}
		Apply(t, p.Store, Put(directory.KindNumber, "1009", `{}`))
		if ask(t, p, need) {
			t.Error("that there is no 1009 was remembered for too long")
		}
	})
	t.Run("callers", func(t *testing.T) {
		t.Parallel()
		p := fresh(t)
		Provision(t, p.Store)
		mobile := func(user, number string) directory.Write {
			return Put(directory.KindRemote, user+"/mobile", `{"number":"`+number+`"}`)
		}
		Apply(t, p.Store, Put(directory.KindClass, "all", `{"rules":[{"allow":"*"}]}`), Put(directory.KindNumber, "1001", `{"user":"ana","forwarding_class":"all"}`), Put(directory.KindNumber, "1002", `{"user":"ben","forwarding_class":"all"}`))
		for _, tt := range []struct {
			w    directory.Write
			want string
		}{
			{mobile("ana", "+4917112345"), "1001"},
			{Put(directory.KindUser, "ana", `{"name":"Ana"}`), "1001"},
			{mobile("ben", "+4917112345"), ""}, // of both: of nobody
			{mobile("ana", "+4917199999"), "1002"},
			{directory.Write{Ref: Ref(directory.KindRemote, "ben/mobile")}, ""},
		} {
			Apply(t, p.Store, tt.w)
			for range 2 { // from the store, then from the cache
				w := routing.NewWorld(time.Now())
				if err := p.Cache.Load(t.Context(), routing.Need{Kind: routing.NeedCaller, Domain: Domain, Key: "+4917112345"}, w); err != nil {
					t.Fatal(err)
				}
				if got := w.Caller(Domain, "+4917112345"); got != tt.want {
					t.Errorf("after %s: +4917112345 is %q, want %q", tt.w.Ref, got, tt.want)
				}
			}
		}
	})
	t.Run("credentials", func(t *testing.T) { t.Parallel(); credentials(t, fresh(t)) })
	t.Run("hosts", func(t *testing.T) { t.Parallel(); hosts(t, fresh(t)) })
	t.Run("trunks", func(t *testing.T) { t.Parallel(); trunks(t, fresh(t)) })
	t.Run("busy", func(t *testing.T) {
		t.Parallel()
		p := fresh(t)
		Provision(t, p.Store)
		c := Call(p.Calls, "1001", "1002", "1002", time.Now())
		c.State = feed.Ringing
		p.Calls.Begin(c)
		if n := p.Calls.Count(Domain, "1002"); n != 1 {
			t.Errorf("Count = %d, want 1", n)
		}
		for _, k := range []routing.NeedKind{routing.NeedCalls, routing.NeedBindings, routing.NeedUsage, routing.NeedIdle} {
			if !ask(t, p, routing.Need{Kind: k, Domain: Domain, Key: "1002"}) {
				t.Errorf("%s are not known", k)
			}
		}
	})
}

func forgotten(t *testing.T, p Parts) {
	t.Helper()
	Provision(t, p.Store)
	number := routing.Need{Kind: routing.NeedNumber, Domain: Domain, Key: "1001"}
	other := routing.Need{Kind: routing.NeedNumber, Domain: Domain, Key: "1002"}
	for _, w := range []directory.Write{
		Put(directory.KindDND, "ana", `{"enabled":true}`),
		Put(directory.KindPresence, "ana", `{"status":"lunch"}`),
		Put(directory.KindPresenceTo, "ana", `{"lunch":{"target":"1003"}}`),
		Put(directory.KindCallMe, "ana", `{"target":"1003"}`),
		Put(directory.KindRemote, "ana/home", `{"number":"1003"}`),
		{Ref: Ref(directory.KindRemote, "ana/home")},
		Put(directory.KindUser, "ana", `{"time_zone":"Europe/Berlin"}`),
		Put(directory.KindNumber, "1001", `{"user":"ana","label":"x"}`),
		Put(directory.KindDevice, "desk-1001", `{"user":"ana","kind":"desk"}`),
		Put(directory.KindDevice, "desk-1001", `{"user":"ana","kind":"desk","lines":[{"number":"1001"}]}`),
		Forward("1001", "1004"),
	} {
		ask(t, p, number)
		ask(t, p, other)
		Apply(t, p.Store, w)
		if ask(t, p, number) {
			t.Errorf("after %s: number 1001 is still cached", w.Ref)
		}
		if !ask(t, p, other) {
			t.Errorf("after %s: number 1002 was forgotten", w.Ref)
		}
		if !ask(t, p, number) {
			t.Errorf("after %s: number 1001 was not cached again", w.Ref)
		}
	}
	Apply(t, p.Store, Put(directory.KindClass, "all", `{"rules":[{"allow":"internal"}]}`))
	if ask(t, p, other) {
		t.Error("after a class: number 1002 is still cached")
	}
}

func credentials(t *testing.T, p Parts) {
	t.Helper()
	Provision(t, p.Store)
	cs := p.Cache.Credentials()
	find := func(username string) (c directory.Credential, known, cached bool) {
		t.Helper()
		if c, known, cached = cs.Credential(Domain, username); cached {
			return c, known, true
		}
		if err := cs.Load(t.Context(), Domain, username); err != nil {
			t.Fatal(err)
		}
		c, known, ok := cs.Credential(Domain, username)
		if !ok {
			t.Fatalf("credential %s is not cached after Load", username)
		}
		return c, known, false
	}
	c, known, _ := find("desk-1001")
	if !known || c.Device != "desk-1001" || string(c.Sealed) != "sealed" || len(c.Lines) != 1 || c.Lines[0] != "1001" {
		t.Errorf("Credential = %+v, %v", c, known)
	}
	if _, known, _ := find("nobody"); known {
		t.Error("a credential of nobody is known")
	}
	Apply(t, p.Store, Put(directory.KindCredential, "desk-1001", `{"id":"3","device":"desk-1001","sealed":"bmV3"}`))
	if c, _, cached := find("desk-1001"); cached || string(c.Sealed) != "new" {
		t.Errorf("after a new secret: %s, cached %v", c.Sealed, cached)
	}
	Apply(t, p.Store, Put(directory.KindDevice, "desk-1001", `{"user":"ana","kind":"desk","lines":[{"number":"1003"}]}`))
	if c, _, cached := find("desk-1001"); cached || c.Lines[0] != "1003" {
		t.Errorf("after a new line: %v, cached %v", c.Lines, cached)
	}
	Apply(t, p.Store, directory.Write{Ref: Ref(directory.KindDevice, "desk-1001")})
	if _, known, _ := find("desk-1001"); known {
		t.Error("the credential of a deleted device is known")
	}
}

// trunks: the next call of a domain dials by the trunks it has, and who keeps
// trunks is told.
func trunks(t *testing.T, p Parts) {
	t.Helper()
	Provision(t, p.Store)
	for range len(p.Cache.TrunksChanged()) {
		<-p.Cache.TrunksChanged()
	}
	number := routing.Need{Kind: routing.NeedNumber, Domain: Domain, Key: "1001"}
	ask(t, p, number)
	for _, tt := range []struct {
		w    directory.Write
		want string
	}{
		{Put(directory.KindTrunk, "carrier", `{"proof":"digest","peers":["192.0.2.9"],"routes":[{"prefix":"+"}]}`), "carrier +"},
		{Put(directory.KindTrunk, "carrier", `{"proof":"digest","peers":["192.0.2.9"],"routes":[{"prefix":"+49"}]}`), "carrier +49"},
		{Put(directory.KindTrunkKey, "carrier", `{"id":"1","username":"account","sealed":"c2VhbGVk"}`), "carrier +49"},
		{Put(directory.KindDomain, Domain, `{"realm":"a.test","aliases":["192.0.2.1"],"region":"DE","access_code":"0"}`), "carrier +49"},
		{directory.Write{Ref: Ref(directory.KindTrunk, "carrier")}, ""},
	} {
		Apply(t, p.Store, tt.w)
		select {
		case <-p.Cache.TrunksChanged():
		default:
			t.Errorf("%s: nobody was told", tt.w.Ref)
		}
		for _, host := range []string{Domain, "192.0.2.1"} {
			tenant, ok := p.Cache.Tenant([]byte(host))
			got := ""
			if ok && len(tenant.Trunks) == 1 {
				got = tenant.Trunks[0].Name + " " + tenant.Trunks[0].Prefix
			}
			if got != tt.want {
				t.Errorf("after %s: %s dials by %q, want %q", tt.w.Ref, host, got, tt.want)
			}
		}
		ps, err := p.Cache.Peerings(t.Context())
		if err != nil || (len(ps) == 1) != (tt.want != "") {
			t.Errorf("after %s: Peerings = %+v, %v", tt.w.Ref, ps, err)
		}
	}
	Apply(t, p.Store, Put(directory.KindTrunk, "carrier", `{"proof":"digest"}`))
	ask(t, p, number)
	Apply(t, p.Store, Put(directory.KindTrunk, "carrier", `{"proof":"digest","trusted":true}`))
	if !ask(t, p, number) {
		t.Error("after a trunk: number 1001 was forgotten")
	}
}

func hosts(t *testing.T, p Parts) {
	t.Helper()
	check := func(host string, want bool) {
		t.Helper()
		tenant, ok := p.Cache.Tenant([]byte(host))
		if ok != want || ok && tenant.Name != Domain {
			t.Errorf("Tenant(%s) = %+v, %v, want %v", host, tenant, ok, want)
		}
		var w routing.World
		if !p.Cache.Cached(routing.Need{Kind: routing.NeedDomain, Key: host}, &w) {
			t.Errorf("the domain of %s is not known", host)
		}
	}
	check(Domain, false)
	Provision(t, p.Store)
	for _, host := range []string{Domain, "A.Test", "192.0.2.1", "a.test."} {
		check(host, true)
	}
	Apply(t, p.Store, Put(directory.KindDomain, Domain, `{"realm":"a.test","aliases":["192.0.2.2"],"region":"DE"}`))
	check("192.0.2.1", false)
	check("192.0.2.2", true)
}
