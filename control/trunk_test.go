package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
	"bellhop/routing/directory"
)

func TestTrunk(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = test + "/trunks/carrier"
	got := a.want(a.do("ada", "GET", path, ""), 200, "")
	want := `{"caller_id":"original","health":"options","match_in":["*"],"peers":["192.0.2.10:5060"],"proof":"address","routes":[{"prefix":"+"}],"trunk":"carrier"}`
	if got.body != want {
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
	// What a GET answered can be sent back, also by who may not change it.
	a.want(a.do("ada", "PUT", path, got.body, "If-Match", got.header.Get("ETag")), 200, "")
	a.want(a.do("ada", "PATCH", path, `{"routes":[{"prefix":"+49*","strip":3,"prepend":"0"}],"caller_id":"main"}`), 200, "")
	a.want(a.do("ada", "PATCH", path, `{"max_calls":"unlimited"}`), 403, "role.denied")
	a.want(a.do("ada", "PATCH", path, `{"sources":["203.0.113.0/24"]}`), 403, "role.denied")
	a.want(a.do("root", "PATCH", path, `{"max_calls":"unlimited","sources":["203.0.113.0/24"]}`), 200, "")
	a.want(a.do("root", "PATCH", path, `{"sources":["0.0.0.0/0"]}`), 422, "trunk.source")
	a.want(a.do("root", "PATCH", path, `{"max_cps":-4}`), 422, "syntax")
	taken := a.want(a.do("root", "PUT", "/v1/domains/other.test/trunks/x", `{"proof":"address","peers":["203.0.113.9"]}`), 422, "trunk.source")
	if strings.Contains(taken.body, "carrier") || strings.Contains(taken.body, "/24") {
		t.Errorf("another domain learns of the trunk: %s", taken.body)
	}
	if rows := a.do("ada", "GET", path+"/history", "").ids(t, "version"); len(rows) != 4 {
		t.Errorf("history = %v, want four rows", rows)
	}
	if names := a.do("ada", "GET", test+"/trunks", "").ids(t, "trunk"); !cmp.Equal(names, []string{"carrier"}) {
		t.Errorf("trunks = %v", names)
	}
	a.want(a.do("root", "DELETE", path, ""), 204, "")
	a.want(a.do("ada", "GET", path, ""), 404, "")
	a.want(a.do("ada", "GET", path+"/status", ""), 404, "")
}

func TestTrunkStatus(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = test + "/trunks/carrier/status"
	if got := a.want(a.do("ada", "GET", path, ""), 200, ""); got.body != `{"trunk":"carrier","up":false,"calls":0}` {
		t.Errorf("status of a trunk that nobody knows yet: %s", got.body)
	}
	at := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	a.store.trunks = map[string]feed.TrunkStatus{"bellhop.test/carrier": {
		Up: true, Since: at, RegisteredUntil: at.Add(time.Hour), Calls: 3, Peers: []feed.PeerStatus{{Peer: "192.0.2.10:5060", Up: true}},
	}}
	want := `{"trunk":"carrier","up":true,"since":"2026-12-01T09:00:00Z","registered_until":"2026-12-01T10:00:00Z","calls":3,"peers":[{"peer":"192.0.2.10:5060","up":true}]}`
	if got := a.want(a.do("ada", "GET", path, ""), 200, ""); got.body != want {
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
}

func TestTrunkCredentials(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = test + "/trunks/carrier/credentials"
	stored := func() string {
		a.store.mu.Lock()
		defer a.store.mu.Unlock()
		return string(a.store.docs[directory.Ref{Domain: "bellhop.test", Kind: directory.KindTrunkKey, Name: "carrier"}].Body)
	}
	if got := a.want(a.do("ada", "GET", path, ""), 200, ""); got.body != `{"set":false}` {
		t.Errorf("no credentials: %s", got.body)
	}
	a.want(a.do("ada", "PUT", path, `{"username":"account"}`), 422, "field.missing")
	a.want(a.do("ada", "PUT", path, `{"password":"s3cret-of-the-carrier"}`), 422, "field.missing")
	a.want(a.do("ada", "PUT", path, `{"username":"a\"b","password":"x"}`), 422, "field.value")
	a.want(a.do("ada", "PUT", path, `{"username":"a","password":"x\u0000"}`), 422, "field.value")
	a.want(a.do("ada", "PUT", path, `{"username":"a","password":"`+strings.Repeat("x", 200)+`"}`), 422, "field.value")
	a.want(a.do("ada", "PUT", path, `{"username":"a","password":7}`), 422, "")
	a.want(a.do("ada", "PUT", test+"/trunks/none/credentials", `{"username":"a","password":"x"}`), 404, "")

	set := a.want(a.do("ada", "PUT", path, `{"username":"account","password":"s3cret-of-the-carrier"}`), 200, "")
	first := stored()
	a.want(a.do("ada", "PUT", path, `{"username":"renamed"}`), 200, "") // absent: unchanged
	for _, answer := range []answer{set, a.do("ada", "GET", path, ""), a.do("ada", "GET", test+"/trunks/carrier", ""), a.do("root", "GET", test+"/trunks/carrier/history", "")} {
		if strings.Contains(answer.body, "s3cret") || strings.Contains(answer.body, "sealed") {
			t.Errorf("the password is shown: %s", answer.body)
		}
	}
	if got := a.do("ada", "GET", path, "").json(t); got["username"] != "renamed" || got["set"] != true {
		t.Errorf("credentials = %v", got)
	}
	sealed := func(body string) string { _, s, _ := strings.Cut(body, `"sealed":`); return s }
	if now := stored(); sealed(now) != sealed(first) || sealed(now) == "" || strings.Contains(now, "s3cret") {
		t.Errorf("stored %s, then %s", first, now)
	}
	a.want(a.do("ada", "PUT", path, `{"password":null}`), 204, "")
	a.want(a.do("ada", "DELETE", path, ""), 204, "") // nothing to remove
	if stored() != "" {
		t.Errorf("removed credentials are stored: %s", stored())
	}
}
