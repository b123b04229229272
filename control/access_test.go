package control_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// who asks in the matrix, in the order of the columns: nobody, ana (user, owns
// 1001), ben (user, owns 1002), ada (domain-admin), zoe (domain-admin of another
// domain), root (system-admin).
var columns = []string{"", "ana", "ben", "ada", "zoe", "root"}

// TestAccess is the role matrix: what everybody gets of everything. Bodies are
// valid, so that a status says who may, not what is wrong. A write that is let
// in may be refused for its content later: 2xx or 4xx other than 401, 403, 404
// counts as let in, written 0 here.
func TestAccess(t *testing.T) {
	t.Parallel()
	const in = 0
	shared := newAPI(t) // for reads
	shared.store.live = append(shared.store.live, call("c1", "1001", "1003"))
	for _, c := range []struct {
		method, path, body string
		want               [6]int
	}{
		{"GET", "/v1/domains", "", [6]int{401, in, in, in, in, in}},
		{"GET", test, "", [6]int{401, in, in, in, 404, in}},
		{"PATCH", test, `{"access_code":"0"}`, [6]int{401, 403, 403, in, 404, in}},
		{"DELETE", test, "", [6]int{401, 403, 403, 403, 404, in}},
		{"GET", test + "/users", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", test + "/users/ana", "", [6]int{401, in, 404, in, 404, in}},
		{"PATCH", test + "/users/ana", `{"name":"A"}`, [6]int{401, 403, 404, in, 404, in}},
		{"PUT", test + "/users/new", `{}`, [6]int{401, 404, 404, in, 404, in}},
		{"DELETE", test + "/users/ana", "", [6]int{401, 403, 404, in, 404, in}},
		{"GET", test + "/users/ana/history", "", [6]int{401, in, 404, in, 404, in}},
		{"POST", test + "/users/ana/history/1.4/restore", "", [6]int{401, 403, 404, in, 404, in}},
		{"PUT", test + "/users/ana/password", `{"new":"x"}`, [6]int{401, in, 404, in, 404, in}},
		{"GET", test + "/users/ana/sessions", "", [6]int{401, in, 404, in, 404, in}},
		{"GET", test + "/numbers", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", test + "/numbers/1001", "", [6]int{401, in, 404, in, 404, in}},
		{"PATCH", test + "/numbers/1001", `{"label":"x"}`, [6]int{401, 403, 404, in, 404, in}},
		{"GET", test + "/numbers/1003", "", [6]int{401, 404, 404, in, 404, in}},
		{"GET", test + "/numbers/1001/forwarding", "", [6]int{401, in, 404, in, 404, in}},
		{"PUT", test + "/numbers/1001/forwarding", `{}`, [6]int{401, in, 404, in, 404, in}},
		{"DELETE", test + "/numbers/1001/forwarding", "", [6]int{401, in, 404, in, 404, in}},
		{"PUT", test + "/users/ana/dnd", `{"enabled":true}`, [6]int{401, in, 404, in, 404, in}},
		{"GET", test + "/users/ana/presence", "", [6]int{401, in, 404, in, 404, in}},
		{"PUT", test + "/users/ana/presence/forwarding", `{}`, [6]int{401, in, 404, in, 404, in}},
		{"PUT", test + "/users/ana/callme", `{"target":"1003"}`, [6]int{401, in, 404, in, 404, in}},
		{"GET", test + "/users/ana/callme", "", [6]int{401, in, 404, in, 404, in}},
		{"DELETE", test + "/users/ana/callme", "", [6]int{401, in, 404, in, 404, in}},
		{"GET", test + "/users/ana/remote-destinations", "", [6]int{401, in, 404, in, 404, in}},
		{"PUT", test + "/users/ana/remote-destinations/m", `{"number":"1003"}`, [6]int{401, in, 404, in, 404, in}},
		{"GET", test + "/users/ana/remote-destinations/none", "", [6]int{401, 404, 404, 404, 404, 404}},
		{"GET", "/v1/me/callme", "", [6]int{401, in, in, in, in, 403}},
		{"GET", "/v1/me/remote-destinations", "", [6]int{401, in, in, in, in, 403}},
		{"GET", test + "/trunks", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", test + "/trunks/carrier", "", [6]int{401, 404, 404, in, 404, in}},
		{"PUT", test + "/trunks/new", `{"proof":"digest"}`, [6]int{401, 404, 404, 403, 404, in}},
		{"DELETE", test + "/trunks/carrier", "", [6]int{401, 404, 404, 403, 404, in}},
		{"PATCH", test + "/trunks/carrier", `{"routes":[{"prefix":"+49"}]}`, [6]int{401, 404, 404, in, 404, in}},
		{"PATCH", test + "/trunks/carrier", `{"peers":["192.0.2.66"]}`, [6]int{401, 404, 404, 403, 404, in}},
		{"PATCH", test + "/trunks/carrier", `{"caller_id":"verified"}`, [6]int{401, 404, 404, 403, 404, in}},
		{"GET", test + "/trunks/carrier/status", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", test + "/trunks/carrier/credentials", "", [6]int{401, 403, 403, in, 404, in}},
		{"PUT", test + "/trunks/carrier/credentials", `{"username":"u","password":"p"}`, [6]int{401, 403, 403, in, 404, in}},
		{"DELETE", test + "/trunks/carrier/credentials", "", [6]int{401, 403, 403, in, 404, in}},
		{"POST", test + "/calls/c1/hangup", "", [6]int{401, 403, 403, in, 404, in}},
		{"POST", "/v1/me/calls/c1/hangup", "", [6]int{401, in, 404, 404, 404, 404}},
		{"GET", test + "/devices/desk-1001", "", [6]int{401, in, 404, in, 404, in}},
		{"DELETE", test + "/devices/desk-1001", "", [6]int{401, 403, 404, in, 404, in}},
		{"GET", test + "/devices/desk-1001/credentials", "", [6]int{401, 403, 404, in, 404, in}},
		{"POST", test + "/devices/desk-1001/credentials", `{}`, [6]int{401, 403, 404, in, 404, in}},
		{"GET", test + "/sites/hq", "", [6]int{401, 404, 404, 404, 404, 404}},
		{"PUT", test + "/sites/hq", `{}`, [6]int{401, 404, 404, in, 404, in}},
		{"GET", test + "/groups", "", [6]int{401, 403, 403, in, 404, in}},
		{"PUT", test + "/groups/sales", `{"members":["1001"]}`, [6]int{401, 404, 404, in, 404, in}},
		{"GET", test + "/classes/all", "", [6]int{401, 404, 404, in, 404, in}},
		{"GET", test + "/registrations", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", test + "/calls", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", test + "/calls/c1", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", test + "/calls/c1/story", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", test + "/records", "", [6]int{401, 403, 403, in, 404, in}},
		{"GET", "/v1/me", "", [6]int{401, in, in, in, in, in}},
		{"PATCH", "/v1/me", `{"language":"de"}`, [6]int{401, in, in, in, in, 403}},
		{"GET", "/v1/me/dnd", "", [6]int{401, in, in, in, in, 403}},
		{"GET", "/v1/me/numbers", "", [6]int{401, in, in, in, in, in}},
		{"GET", "/v1/me/devices", "", [6]int{401, in, in, in, in, in}},
		{"GET", "/v1/me/numbers/1001/forwarding", "", [6]int{401, in, 404, 404, 404, 404}},
		{"GET", "/v1/me/calls", "", [6]int{401, in, in, in, in, in}},
		{"GET", "/v1/me/calls/c1", "", [6]int{401, in, 404, 404, 404, 404}},
		{"GET", "/v1/me/records", "", [6]int{401, in, in, in, in, in}},
		{"GET", "/v1/me/registrations", "", [6]int{401, in, in, in, in, in}},
		{"GET", "/v1/me/sessions", "", [6]int{401, in, in, in, in, 403}},
		{"GET", "/v1/session", "", [6]int{401, in, in, in, in, in}},
		{"GET", "/v1/tokens", "", [6]int{401, 403, 403, in, in, in}},
		{"POST", "/v1/tokens", `{"name":"t","role":"domain-admin","domain":"bellhop.test"}`, [6]int{401, 403, 403, in, 404, in}},
		{"GET", "/v1/users", "", [6]int{401, 403, 403, 403, 403, in}},
		{"PUT", "/v1/users/root", `{"role":"user"}`, [6]int{401, 403, 403, 403, 403, in}},
		{"POST", "/v1/explain", `{"domain":"bellhop.test","caller":"1002","called":"1001"}`, [6]int{401, in, in, in, 404, in}},
		{"POST", "/v1/explain", `{"domain":"bellhop.test","caller":"1003","called":"1001"}`, [6]int{401, in, 403, in, 404, in}},
		{"POST", "/v1/explain", `{"domain":"bellhop.test","caller":"1002","called":"1001","assume":{"users/ben/dnd":{"enabled":true}}}`, [6]int{401, 403, in, in, 404, in}},
		{"GET", "/v1/node", "", [6]int{401, 403, 403, 403, 403, in}},
		{"POST", "/v1/node/reload", "", [6]int{401, 403, 403, 403, 403, in}},
		{"PUT", "/v1/node/log", `{"level":"debug"}`, [6]int{401, 403, 403, 403, 403, in}},
		{"GET", "/metrics", "", [6]int{401, 403, 403, 403, 403, in}},
		{"GET", "/healthz", "", [6]int{in, in, in, in, in, in}},
		{"GET", "/readyz", "", [6]int{in, in, in, in, in, in}},
		{"GET", "/openapi.json", "", [6]int{in, in, in, in, in, in}},
		{"GET", "/docs", "", [6]int{in, in, in, in, in, in}},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			t.Parallel()
			a := &api{t: t, store: shared.store, http: shared.http, token: shared.token}
			if c.method != http.MethodGet {
				a = newAPI(t)
				a.store.live = append(a.store.live, call("c1", "1001", "1003"))
			}
			for i, who := range columns {
				got := a.do(who, c.method, c.path, c.body)
				refused := got.status == 401 || got.status == 403 || got.status == 404
				if c.want[i] == in && refused || c.want[i] != in && got.status != c.want[i] || got.status >= 500 {
					t.Errorf("%q gets %d, want %d (0: let in)\n%s", who, got.status, c.want[i], got.body)
				}
				if got.status >= 400 && got.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%q gets a refusal of type %q", who, got.header.Get("Content-Type"))
				}
				if strings.HasPrefix(c.path, "/v1") && got.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%q gets an answer that may be kept", who)
				}
				if c.method == "DELETE" && got.status == 204 {
					break // nothing left for those after
				}
			}
		})
	}
}

// TestEveryRouteNeedsSomebody asks for every operation of the document without
// signing in: none but those for everyone answer.
func TestEveryRouteNeedsSomebody(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	open := []string{"sign-in", "healthz", "readyz", "openapi", "docs", "activate"}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(a.do("", "GET", "/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, item := range doc.Paths {
		for method, op := range item {
			n++
			at := strings.NewReplacer("{domain}", "bellhop.test", "{", "", "}", "").Replace(path)
			got := a.do("", strings.ToUpper(method), at, "")
			if slices.Contains(open, op.OperationID) {
				continue
			}
			if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s without signing in = %d", method, path, got.status)
			}
			if bad := a.do("bad", strings.ToUpper(method), at, ""); bad.status != http.StatusUnauthorized {
				t.Errorf("%s %s with an unknown token = %d", method, path, bad.status)
			}
		}
	}
	if n < 90 {
		t.Errorf("the document has %d operations", n)
	}
}
