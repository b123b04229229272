package control_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"bellhop/control"
)

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = test + "/users/ben"
	for _, c := range []struct {
		name, body   string
		status       int
		rule         string
		header, want string
	}{
		{name: "no JSON", body: `{"name":`, status: 400, rule: "body.json"},
		{name: "two values", body: `{} {}`, status: 400, rule: "body.json"},
		{name: "an array", body: `[]`, status: 400, rule: "body.json"},
		{name: "null", body: `null`, status: 400, rule: "body.json"},
		{name: "a field twice", body: `{"role":"user","role":"domain-admin"}`, status: 400, rule: "body.json"},
		{name: "deep arrays", body: strings.Repeat("[", 30000) + strings.Repeat("]", 30000), status: 400, rule: "body.json"},
		{name: "deep objects", body: `{"a":` + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 101), status: 400, rule: "body.json"},
		{name: "larger than the limit", body: `{"name":"` + strings.Repeat("x", 70<<10) + `"}`, status: 413, rule: "body.too-large"},
		{name: "a long value", body: `{"name":"` + strings.Repeat("x", 5000) + `"}`, status: 422, rule: "field.value"},
		{name: "a wrong type", body: `{"name":7}`, status: 422, rule: "syntax", want: `"location":"name"`},
		{name: "an unknown field", body: `{"nom":"x"}`, status: 422, rule: "field.unknown", want: `"location":"nom"`},
		{name: "several faults", body: `{"nom":"x","role":"god"}`, status: 422, want: `"location":"role"`},
		{name: "a control character", body: `{"name":"a\u0000b"}`, status: 422, rule: "field.value"},
		{name: "a huge number", body: `{"numbers":[1e999]}`, status: 422, rule: "syntax"},
		{name: "another media type", body: `{}`, status: 415, rule: "body.media-type", header: "text/plain"},
		{name: "a form", body: `a=b`, status: 415, rule: "body.media-type", header: "application/x-www-form-urlencoded"},
		{name: "a system-admin in a domain", body: `{"role":"system-admin"}`, status: 422, rule: "role.system"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ct := c.header
			if ct == "" {
				ct = "application/json"
			}
			got := a.want(a.do("ada", "PUT", path, c.body, "Content-Type", ct), c.status, c.rule)
			if !strings.Contains(got.body, c.want) {
				t.Errorf("the problem does not say %s: %s", c.want, got.body)
			}
		})
	}
}

func TestHostilePaths(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{
		test + "/users/" + strings.Repeat("x", 200), test + "/users/a%00b", test + "/users/a%2Fb", test + "/users/a%20b", test + "/users/%ff",
		"/v1/nothing", "/", "/v1/domains/bellhop.test/sign-ins/ana", "/v1/domains/bellhop.test/credentials/desk-1001",
	} {
		got := a.do("root", "GET", path, "")
		if got.status != http.StatusNotFound || got.rule() != "resource.unknown" {
			t.Errorf("GET %s = %d %s", path, got.status, got.body)
		}
	}
	got := a.want(a.do("root", "POST", test+"/users/ana", `{}`), 405, "method.unknown")
	if allow := got.header.Get("Allow"); !strings.Contains(allow, "PATCH") {
		t.Errorf("Allow = %q", allow)
	}
	a.want(a.do("root", "PUT", test+"/users/ana@x", `{}`), 422, "name.syntax")
	a.want(a.do("root", "PUT", "/v1/domains/nowhere.test/users/ana", `{}`), 422, "reference.missing")
}

func TestSecretsInOddPlaces(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, h := range []string{"Bearer", "Bearer ", "Basic Zm9vOmJhcg==", "bearer " + strings.Repeat("x", 10000), "Token x"} {
		a.want(a.do("", "GET", "/v1/me", "", "Authorization", h), 401, "session.required")
	}
	a.want(a.do("", "GET", "/v1/me?access_token="+adminToken, ""), 401, "session.required")
	a.want(a.do("", "GET", "/v1/node", "", "Authorization", "bEARER "+adminToken), 200, "")
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.store.mu.Lock()
	a.store.fail = fmt.Errorf("sqlite: disk I/O error at /var/lib/secret")
	a.store.mu.Unlock()
	got := a.want(a.do("ada", "GET", test+"/users/ana", ""), 500, "internal")
	if strings.Contains(got.body, "sqlite") {
		t.Errorf("the problem tells of our inside: %s", got.body)
	}
	a.want(a.do("", "GET", "/healthz", ""), 200, "")
}

func TestPanicEndsOneRequest(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	srv, err := control.New(control.Options{Documents: a.store, Sessions: a.store, Tokens: a.store, Sealer: sealer{}, AdminToken: adminToken, Node: panicking{}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/node", nil)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	w := httptest.NewRecorder()
	srv.Handler().ServeHTTP(w, r)
	if w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("a panic answers %d %s", w.Code, w.Body)
	}
}

type panicking struct{ control.Node }

func (panicking) Status() control.NodeStatus { panic("boom") }

func TestMergePatch(t *testing.T) {
	t.Parallel()
	// RFC 7396, appendix A.
	for _, c := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		if got := merge(t, c[0], c[1]); got != c[2] {
			t.Errorf("merge(%s, %s) = %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func merge(t *testing.T, target, patch string) string {
	t.Helper()
	tv, err1 := control.DecodeAny([]byte(target))
	pv, err2 := control.DecodeAny([]byte(patch))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	b, err := json.Marshal(control.MergePatch(tv, pv))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzMergePatch holds what RFC 7396 promises: merging twice is merging once, no
// null of the patch stays, and what the patch does not name stays as it was.
func FuzzMergePatch(f *testing.F) {
	f.Add(`{"a":{"b":1},"c":[1]}`, `{"a":{"b":null,"d":{}},"c":"x"}`)
	f.Add(`{}`, `{"a":{"b":{"c":null}}}`)
	f.Add(`[1]`, `{"a":1}`)
	f.Fuzz(func(t *testing.T, target, patch string) {
		tv, err := control.DecodeAny([]byte(target))
		if err != nil {
			return
		}
		pv, err := control.DecodeAny([]byte(patch))
		if err != nil {
			return
		}
		before, _ := json.Marshal(tv)
		once := control.MergePatch(tv, pv)
		first, err := json.Marshal(once)
		if err != nil {
			t.Fatalf("the result is no JSON: %v", err)
		}
		again, _ := control.DecodeAny([]byte(patch))
		second, _ := json.Marshal(control.MergePatch(once, again))
		if !bytes.Equal(first, second) {
			t.Errorf("merging %s into %s twice gives %s, once %s", patch, before, second, first)
		}
		pm, ok := pv.(map[string]any)
		if !ok {
			return
		}
		m, _ := once.(map[string]any)
		for k, v := range pm {
			if _, there := m[k]; v == nil && there {
				t.Errorf("null left %q in place", k)
			}
		}
		was, _ := control.DecodeAny(before)
		if old, ok := was.(map[string]any); ok {
			for k, v := range old {
				if _, named := pm[k]; !named && !reflect.DeepEqual(m[k], v) {
					t.Errorf("%q changed and nobody asked", k)
				}
			}
		}
	})
}

func FuzzCheckJSON(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,{"b":null}]}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte(`[[[[[[[[[[]]]]]]]]]]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if control.CheckJSON(b) == nil && !json.Valid(b) {
			t.Errorf("CheckJSON passes %q", b)
		}
	})
}

func TestPasswordHashes(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	hash := control.HashPassword(password)
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash = %s", hash)
	}
	for _, c := range []struct {
		name, hash, password string
		want                 bool
	}{
		{"the password", hash, password, true},
		{"another", hash, password + "x", false},
		{"no password", hash, "", false},
		{"no hash", "", "", false},
		{"a hash that would take all memory", strings.Replace(hash, "m=19456", "m=99999999", 1), password, false},
		{"a hash that would take all day", strings.Replace(hash, "t=2", "t=4000000000", 1), password, false},
		{"a broken hash", hash[:len(hash)-3], password, false},
	} {
		if got, err := control.Verify(a.srv, t.Context(), c.hash, c.password); got != c.want || err != nil {
			t.Errorf("%s: verified %t, %v", c.name, got, err)
		}
	}
}
