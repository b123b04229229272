package control_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDocumentLife(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := test + "/users/cleo"

	got := a.want(a.do("ada", "PUT", path, `{"name":"Cleo","time_zone":"Europe/Berlin"}`, "If-None-Match", "*"), 201, "")
	if loc := got.header.Get("Location"); loc != path {
		t.Errorf("Location = %q, want %q", loc, path)
	}
	first := got.header.Get("ETag")
	want := map[string]any{"user": "cleo", "name": "Cleo", "role": "user", "time_zone": "Europe/Berlin"}
	if diff := cmp.Diff(want, got.json(t)); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	a.want(a.do("ada", "PUT", path, `{"name":"X"}`, "If-None-Match", "*"), 412, "version.exists")
	a.want(a.do("ada", "GET", path, "", "If-None-Match", first), 304, "")

	got = a.want(a.do("ada", "PATCH", path, `{"name":null,"language":"de"}`, "If-Match", first), 200, "")
	second := got.header.Get("ETag")
	want = map[string]any{"user": "cleo", "role": "user", "time_zone": "Europe/Berlin", "language": "de"}
	if diff := cmp.Diff(want, got.json(t)); diff != "" {
		t.Errorf("patched (-want +got):\n%s", diff)
	}
	a.want(a.do("ada", "PATCH", path, `{"language":"fr"}`, "If-Match", first), 412, "version.changed")
	a.want(a.do("ada", "PUT", path, `{}`, "If-Match", first), 412, "version.changed")
	a.want(a.do("ada", "DELETE", path, "", "If-Match", first), 412, "version.changed")

	// What was read can be written again.
	read := a.want(a.do("ada", "GET", path, ""), 200, "")
	a.want(a.do("ada", "PUT", path, read.body, "If-Match", second), 200, "")
	a.want(a.do("ada", "PUT", path, `{"user":"dan"}`), 422, "name.mismatch")

	a.want(a.do("ada", "DELETE", path, "", "If-Match", "*"), 204, "")
	a.want(a.do("ada", "GET", path, ""), 404, "resource.unknown")
	a.want(a.do("ada", "DELETE", path, ""), 404, "resource.unknown")
	a.want(a.do("ada", "PATCH", path, `{}`), 404, "resource.unknown")
	a.want(a.do("ada", "PUT", path, `{}`, "If-Match", "*"), 412, "version.changed")

	got = a.want(a.do("ada", "GET", path+"/history", ""), 200, "")
	items, _ := got.json(t)["items"].([]any)
	if len(items) != 4 {
		t.Fatalf("history has %d rows, want 4: %s", len(items), got.body)
	}
	newest, _ := items[0].(map[string]any)
	if newest["deleted"] != true || newest["actor"] != "ada@bellhop.test" || newest["from"] != "127.0.0.1" || newest["before"] == nil {
		t.Errorf("newest row = %v", newest)
	}
	oldest, _ := items[3].(map[string]any)
	if oldest["before"] != nil || oldest["after"] == nil {
		t.Errorf("oldest row = %v", oldest)
	}
	version, _ := oldest["version"].(string)
	a.want(a.do("ada", "POST", path+"/history/"+newest["version"].(string)+"/restore", ""), 409, "history.deleted")
	a.want(a.do("ada", "POST", path+"/history/9.9/restore", ""), 404, "")
	a.want(a.do("ada", "POST", path+"/history/x/restore", ""), 404, "")
	got = a.want(a.do("ada", "POST", path+"/history/"+version+"/restore", ""), 201, "")
	if got.json(t)["name"] != "Cleo" {
		t.Errorf("restored = %s", got.body)
	}
}

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, lang := range []string{"de", "fr", "it", "es"} {
		a.want(a.do("ada", "PATCH", test+"/users/ben", `{"language":"`+lang+`"}`), 200, "")
	}
	cursor, rows := "", 0
	for range 10 {
		got := a.want(a.do("ada", "GET", test+"/users/ben/history?limit=2&cursor="+cursor, ""), 200, "").json(t)
		items, _ := got["items"].([]any)
		for _, it := range items {
			row, _ := it.(map[string]any)
			if rows++; rows < 5 && row["before"] == nil {
				t.Errorf("row %d has no state before", rows)
			}
		}
		if cursor, _ = got["next"].(string); cursor == "" {
			break
		}
	}
	if rows != 5 {
		t.Errorf("history has %d rows, want 5", rows)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	names := func(path, field string) (out []string, next string) {
		got := a.want(a.do("ada", "GET", path, ""), 200, "").json(t)
		items, _ := got["items"].([]any)
		for _, it := range items {
			m, _ := it.(map[string]any)
			name, _ := m[field].(string)
			if etag, _ := m["etag"].(string); etag == "" {
				t.Errorf("%s has no etag", name)
			}
			out = append(out, name)
		}
		next, _ = got["next"].(string)
		return out, next
	}
	got, next := names(test+"/users?limit=2", "user")
	if diff := cmp.Diff([]string{"ada", "ana"}, got); diff != "" || next == "" {
		t.Errorf("first page: next %q %s", next, diff)
	}
	got, next = names(test+"/users?limit=2&cursor="+next, "user")
	if diff := cmp.Diff([]string{"ben"}, got); diff != "" || next != "" {
		t.Errorf("second page: next %q %s", next, diff)
	}
	if got, _ = names(test+"/devices?q=1002", "device"); !cmp.Equal(got, []string{"desk-1002"}) {
		t.Errorf("q=1002 = %v", got)
	}
	if got, _ = names("/v1/domains", "domain"); !cmp.Equal(got, []string{"bellhop.test"}) {
		t.Errorf("a domain-admin sees the domains %v", got)
	}
	a.want(a.do("ada", "GET", test+"/users?limit=0", ""), 422, "query.limit")
	a.want(a.do("ada", "GET", test+"/users?limit=x", ""), 422, "query.limit")
}

func TestForwarding(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = "/v1/me/numbers/1001/forwarding"
	got := a.want(a.do("ana", "GET", path, ""), 200, "")
	if etag := got.header.Get("ETag"); etag != `"0.0"` {
		t.Errorf("ETag of settings nobody wrote = %s", etag)
	}
	want := `{"effective":{"external":{"rule":"ring.devices","target":"1001"},"internal":{"rule":"ring.devices","target":"1001"}},"number":"1001"}`
	if got.body != want {
		t.Errorf("nothing set:\n got %s\nwant %s", got.body, want)
	}
	a.want(a.do("ana", "PUT", path, `{}`, "If-Match", `"1.1"`), 412, "version.changed")
	a.want(a.do("ana", "PUT", path, `{"all":{"internal":{"enabled":true,"target":"1002"},"external":{"enabled":false,"target":"voicemail"}}}`, "If-Match", `"0.0"`), 200, "")
	got = a.want(a.do("ana", "GET", path, ""), 200, "")
	want = `{"all":{"external":{"enabled":false,"target":"voicemail"},"internal":{"enabled":true,"target":"1002"}},"effective":{"external":{"rule":"ring.devices","target":"1001"},"internal":{"rule":"forward.all","target":"1002"}},"number":"1001"}`
	if got.body != want {
		t.Errorf("set:\n got %s\nwant %s", got.body, want)
	}
	// The same under the domain, for the owner and for an administrator.
	for _, who := range []string{"ana", "ada", "root"} {
		a.want(a.do(who, "GET", test+"/numbers/1001/forwarding", ""), 200, "")
	}
	a.want(a.do("ben", "GET", test+"/numbers/1001/forwarding", ""), 404, "")
	a.want(a.do("ben", "PUT", "/v1/me/numbers/1001/forwarding", `{}`), 404, "")

	// do not disturb and presence change what applies, not what is set.
	a.want(a.do("ana", "PUT", "/v1/me/dnd", `{"enabled":true}`), 200, "")
	a.want(a.do("ana", "PATCH", path, `{"all":{"internal":{"enabled":false}}}`), 200, "")
	eff, _ := a.do("ana", "GET", path, "").json(t)["effective"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"rule": "dnd", "target": "voicemail"}, eff["internal"]); diff != "" {
		t.Errorf("with dnd (-want +got):\n%s", diff)
	}
	a.want(a.do("ana", "DELETE", path, ""), 204, "")
	a.want(a.do("ana", "DELETE", path, ""), 204, "")
}

func TestForwardLoopIsRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	forward := func(from, to string) answer {
		return a.do("ada", "PUT", test+"/numbers/"+from+"/forwarding", `{"all":{"both":{"enabled":true,"target":"`+to+`"}}}`)
	}
	a.want(forward("1001", "1002"), 200, "")
	a.want(forward("1002", "1003"), 200, "")
	got := a.want(forward("1003", "1001"), 422, "forward.loop-refused")
	if !strings.Contains(got.body, "1003 -> 1001 -> 1002 -> 1003") {
		t.Errorf("the refusal does not name the chain: %s", got.body)
	}
}

func TestPresenceAndDNDAreOneSetting(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	status := func() any { return a.want(a.do("ana", "GET", "/v1/me/presence", ""), 200, "").json(t)["status"] }
	dnd := func() any { return a.want(a.do("ana", "GET", "/v1/me/dnd", ""), 200, "").json(t)["enabled"] }
	a.want(a.do("ana", "PUT", "/v1/me/presence", `{"status":"vacation","note":"back soon"}`), 200, "")
	a.want(a.do("ana", "PUT", "/v1/me/dnd", `{"enabled":true,"mode":"reject"}`), 200, "")
	if status() != "do-not-disturb" {
		t.Errorf("status with dnd on = %v", status())
	}
	a.want(a.do("ana", "PUT", "/v1/me/dnd", `{"enabled":false,"mode":"reject"}`), 200, "")
	if status() != "vacation" {
		t.Errorf("status after dnd = %v, want what it was", status())
	}
	got := a.want(a.do("ana", "PATCH", "/v1/me/presence", `{"status":"do-not-disturb"}`), 200, "")
	if dnd() != true || got.json(t)["status"] != "do-not-disturb" {
		t.Errorf("dnd = %v after %s", dnd(), got.body)
	}
	got = a.want(a.do("ana", "PATCH", "/v1/me/presence", `{"status":"lunch"}`), 200, "")
	if dnd() != false || got.json(t)["status"] != "lunch" || got.json(t)["note"] != "back soon" {
		t.Errorf("dnd = %v after %s", dnd(), got.body)
	}
	if mode := a.do("ana", "GET", "/v1/me/dnd", "").json(t)["mode"]; mode != "reject" {
		t.Errorf("mode = %v, want it kept", mode)
	}
	a.want(a.do("ana", "PUT", "/v1/me/presence/forwarding", `{"vacation":{"target":"1002"}}`), 200, "")
	a.want(a.do("ana", "PUT", "/v1/me/presence", `{"status":"asleep"}`), 422, "field.value")
	a.want(a.do("ana", "PUT", "/v1/me/presence", `{"status":"meeting","end_by_itself":true}`), 422, "field.missing")
}

func TestConcurrentWrites(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	etag := a.do("ada", "GET", test+"/users/ben", "").header.Get("ETag")
	var won, lost, other atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			switch got := a.do("ada", "PATCH", test+"/users/ben", `{"language":"de"}`, "If-Match", etag); got.status {
			case http.StatusOK:
				won.Add(1)
			case http.StatusPreconditionFailed:
				lost.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || other.Load() != 0 {
		t.Errorf("%d won, %d lost, %d other; want 1 winner", won.Load(), lost.Load(), other.Load())
	}

	// Without a condition all of them are made, one after the other.
	fields := map[string]string{"language": "de", "time_zone": "Europe/Berlin", "name": "Ben", "email": "x@y"}
	for field, v := range fields {
		wg.Go(func() {
			a.want(a.do("ada", "PATCH", test+"/users/ben", `{"`+field+`":"`+v+`"}`), 200, "")
		})
	}
	wg.Wait()
	m := a.do("ada", "GET", test+"/users/ben", "").json(t)
	for field, v := range fields {
		if m[field] != v {
			t.Errorf("%s = %v: a write was lost", field, m[field])
		}
	}
}

func TestDomains(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.want(a.do("root", "GET", test, ""), 200, "")
	if diff := cmp.Diff(map[string]any{"domain": "bellhop.test", "realm": "bellhop.test", "region": "DE"}, got.json(t)); diff != "" {
		t.Errorf("domain (-want +got):\n%s", diff)
	}
	a.want(a.do("ada", "PATCH", test, `{"access_code":"0"}`), 200, "")
	a.want(a.do("ada", "PATCH", test, `{"aliases":["other.example"]}`), 403, "role.denied")
	a.want(a.do("ada", "PUT", "/v1/domains/new.test", `{}`), 404, "")
	a.want(a.do("ada", "DELETE", test, ""), 403, "role.denied")
	a.want(a.do("root", "PATCH", test, `{"realm":"else"}`), 422, "field.read-only")
	a.want(a.do("root", "PATCH", test, `{"aliases":["other.test"]}`), 409, "name.taken")
	a.want(a.do("root", "DELETE", test, ""), 409, "reference.in-use")
	a.want(a.do("root", "DELETE", test+"/users/ana", ""), 409, "reference.in-use")
	a.want(a.do("root", "PUT", "/v1/domains/NEW.test", `{"region":"DE"}`), 201, "")
	a.want(a.do("root", "DELETE", "/v1/domains/new.test", ""), 204, "")
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = test + "/devices/desk-1001/credentials"
	if got := a.want(a.do("ada", "GET", path, ""), 200, ""); got.body != `{"username":"desk-1001","set":false}` {
		t.Errorf("before = %s", got.body)
	}
	first := a.want(a.do("ada", "POST", path, ""), 201, "").json(t)
	second := a.want(a.do("ada", "POST", path, "{}"), 201, "").json(t)
	secret, _ := second["secret"].(string)
	if first["secret"] == second["secret"] || len(secret) != 22 || second["username"] != "desk-1001" {
		t.Errorf("credentials = %v, %v", first, second)
	}
	got := a.want(a.do("ada", "GET", path, ""), 200, "")
	if strings.Contains(got.body, secret) || strings.Contains(got.body, "sealed") || got.json(t)["set"] != true {
		t.Errorf("after = %s", got.body)
	}
	a.want(a.do("ana", "POST", path, ""), 403, "role.denied")
	a.want(a.do("ben", "POST", path, ""), 404, "")
	a.want(a.do("zoe", "POST", path, ""), 404, "")
	a.want(a.do("ada", "POST", test+"/devices/nothing/credentials", ""), 404, "")
	for ref, d := range a.store.docs {
		if strings.Contains(string(d.Body), secret) {
			t.Errorf("%s holds the secret in the clear", ref)
		}
	}
	a.want(a.do("ada", "DELETE", path, ""), 204, "")
	a.want(a.do("ada", "DELETE", path, ""), 404, "")
	a.want(a.do("ada", "POST", path, ""), 201, "")
	a.want(a.do("ada", "DELETE", test+"/devices/desk-1001", ""), 204, "")
	for ref := range a.store.docs {
		if ref.Name == "desk-1001" {
			t.Errorf("%s outlives its device", ref)
		}
	}
}
