package control_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"bellhop/control"
	"bellhop/feed"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, c := range []struct {
		name   string
		status control.NodeStatus
		code   int
		want   string
	}{
		{"ready", control.NodeStatus{Ready: true}, 200, `{"status":"ready"}`},
		{"degraded", control.NodeStatus{Ready: true, Reasons: []feed.Reason{{Part: "store", Detail: "slow"}}}, 200, `{"status":"degraded","reasons":[{"part":"store","detail":"slow"}]}`},
		{"unready", control.NodeStatus{Reasons: []feed.Reason{{Part: "sip", Detail: "no listener"}}}, 503, `{"status":"unready","reasons":[{"part":"sip","detail":"no listener"}]}`},
		{"draining", control.NodeStatus{Draining: true, Reasons: []feed.Reason{{Part: "sip", Detail: "draining"}}}, 503, `{"status":"unready","reasons":[{"part":"sip","detail":"draining"}]}`},
	} {
		a.node.mu.Lock()
		a.node.status = c.status
		a.node.mu.Unlock()
		if got := a.do("", "GET", "/readyz", ""); got.status != c.code || got.body != c.want {
			t.Errorf("%s: %d %s, want %d %s", c.name, got.status, got.body, c.code, c.want)
		}
		a.want(a.do("", "GET", "/healthz", ""), 200, "")
	}
}

func TestNode(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	if got := a.want(a.do("root", "GET", "/v1/node", ""), 200, "").json(t); got["name"] != "n1" || got["ready"] != true {
		t.Errorf("node = %v", got)
	}
	if got := a.want(a.do("root", "POST", "/v1/node/reload", ""), 200, ""); got.body != `{"applied":["log.level"],"waiting":["sip.listeners"]}` {
		t.Errorf("reload = %s", got.body)
	}
	a.node.reload = errors.New("bellhop.yaml: line 3: sip.listeners: missing")
	got := a.want(a.do("root", "POST", "/v1/node/reload", ""), 422, "config.invalid")
	if !strings.Contains(got.body, "line 3") {
		t.Errorf("reload does not say why not: %s", got.body)
	}
	drain := at(a.want(a.do("root", "POST", "/v1/node/drain", ""), 200, "").json(t), "drain")
	if drain["ringing"] != 2. || drain["calls"] != 3. || drain["stopping"] != false {
		t.Errorf("drain = %v", drain)
	}
	a.want(a.do("", "GET", "/readyz", ""), 503, "")
	if got := a.want(a.do("root", "POST", "/v1/node/undrain", ""), 200, "").json(t); got["draining"] != false || got["drain"] != nil {
		t.Errorf("undrain = %v", got)
	}
	a.want(a.do("", "GET", "/readyz", ""), 200, "")
	a.want(a.do("ana", "POST", "/v1/node/drain", ""), 403, "")
	a.node.drain = control.ErrStopping
	a.want(a.do("root", "POST", "/v1/node/undrain", ""), 409, "node.stopping")
	a.want(a.do("root", "PUT", "/v1/node/log", `{"level":"debug","match":"1001"}`), 204, "")
	if a.node.level != slog.LevelDebug {
		t.Errorf("level = %v", a.node.level)
	}
	a.want(a.do("root", "PUT", "/v1/node/log", `{"level":"loud"}`), 422, "log.level")
	a.want(a.do("root", "PUT", "/v1/node/log", `{"level":"info","until":"2020-01-01T00:00:00Z"}`), 422, "log.until")
	a.want(a.do("root", "PUT", "/v1/node/log", `{"depth":"info"}`), 422, "body.field")
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("ana", "GET", "/v1/me", ""), 200, "")
	got := a.want(a.do("root", "GET", "/metrics", ""), 200, "")
	if !strings.Contains(got.body, `bellhop_http_requests_total{operation="get-me",status="2xx"} 1`) {
		t.Errorf("the request is not counted")
	}
	families, err := a.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

func TestOperationsListener(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	srv, err := control.New(control.Options{Documents: a.store, Sessions: a.store, Tokens: a.store, Sealer: sealer{}, Gatherer: a.reg, MetricsToken: "scrape"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/healthz", "", 200},
		{"/readyz", "", 200},
		{"/metrics", "", 401},
		{"/metrics", "wrong", 401},
		{"/metrics", "scrape", 200},
		{"/v1/me", "scrape", 404},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, nil)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		srv.Operations().ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("GET %s with %q = %d, want %d", c.path, c.token, w.Code, c.want)
		}
	}
	// Parts that are not there say so.
	for _, path := range []string{"/v1/node", "/v1/domains/x.test/calls", "/v1/domains/x.test/registrations", "/v1/domains/x.test/records", "/v1/events"} {
		a2, err := control.New(control.Options{Documents: a.store, Sessions: a.store, Tokens: a.store, Sealer: sealer{}, AdminToken: adminToken})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+adminToken)
		w := httptest.NewRecorder()
		a2.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusNotImplemented {
			t.Errorf("GET %s without its part = %d", path, w.Code)
		}
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.want(a.do("", "GET", "/openapi.json", ""), 200, "")
	doc := got.json(t)
	if doc["openapi"] != "3.1.0" {
		t.Errorf("openapi = %v", doc["openapi"])
	}
	schemas := at(doc, "components", "schemas")
	ref := regexp.MustCompile(`"\$ref": ?"#/components/schemas/([^"]+)"`)
	for _, m := range ref.FindAllStringSubmatch(got.body, -1) {
		if schemas[m[1]] == nil {
			t.Errorf("%s is referred to and not there", m[1])
		}
	}
	seen := map[string]bool{}
	methods := []string{"get", "put", "post", "patch", "delete"}
	for path, item := range at(doc, "paths") {
		names := regexp.MustCompile(`\{([^}]+)\}`).FindAllStringSubmatch(path, -1)
		for method, v := range item.(map[string]any) {
			op, _ := v.(map[string]any)
			id, _ := op["operationId"].(string)
			if !slices.Contains(methods, method) || id == "" || seen[id] || op["summary"] == "" || len(op["tags"].([]any)) != 1 {
				t.Errorf("%s %s: operation %q lacks something or is there twice", method, path, id)
			}
			seen[id] = true
			declared := []string{}
			params, _ := op["parameters"].([]any)
			for _, p := range params {
				if pm, _ := p.(map[string]any); pm["in"] == "path" && pm["required"] == true {
					declared = append(declared, pm["name"].(string))
				}
			}
			if len(declared) != len(names) {
				t.Errorf("%s %s declares %v", method, path, declared)
			}
			ok := false
			responses, _ := op["responses"].(map[string]any)
			for code := range responses {
				ok = ok || code[0] == '2'
			}
			if !ok {
				t.Errorf("%s %s has no answer without faults", method, path)
			}
			if body, _ := op["requestBody"].(map[string]any); body != nil && len(at(body, "content")) == 0 {
				t.Errorf("%s %s has a body of no type", method, path)
			}
		}
	}
	for _, name := range []string{"Problem", "Domain", "User", "Number", "Device", "Forwarding", "DND", "Presence", "Explanation"} {
		if schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
}

// at follows names into an object.
func at(m map[string]any, names ...string) map[string]any {
	for _, n := range names {
		m, _ = m[n].(map[string]any)
	}
	return m
}

func TestDocsPageIsSelfContained(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.want(a.do("", "GET", "/docs", ""), 200, "")
	if !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") || !strings.Contains(got.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("header = %v", got.header)
	}
	for _, outside := range []string{"<script", "http://", "https://", "src=", "@import"} {
		if strings.Contains(got.body, outside) {
			t.Errorf("the page has %q", outside)
		}
	}
	for _, inside := range []string{"/v1/domains/{domain}/numbers/{number}/forwarding", "/v1/explain", `id="schema-Forwarding"`} {
		if !strings.Contains(got.body, inside) {
			t.Errorf("the page lacks %q", inside)
		}
	}
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(got.body, -1) {
		if !strings.Contains(got.body, `id="`+m[1]+`"`) && !strings.Contains(m[1], "/") {
			t.Errorf("a link leads to %s, which is not there", m[1])
		}
	}
}

// TestDocumentation holds docs/api.md and docs/grafana.json against the API.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	docs := filepath.Join("..", "docs")
	text, err := os.ReadFile(filepath.Join(docs, "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	paths := at(a.do("", "GET", "/openapi.json", "").json(t), "paths")
	calls := regexp.MustCompile(`(?m)^curl .*-X (GET|PUT|POST|PATCH|DELETE) "?\$API(/[^\s"?]*)`).FindAllStringSubmatch(string(text), -1)
	if len(calls) < 12 {
		t.Errorf("docs/api.md has %d calls of curl", len(calls))
	}
	for _, c := range calls {
		if !slices.ContainsFunc(keysOf(paths), func(p string) bool {
			item := at(paths, p)
			return item[strings.ToLower(c[1])] != nil && regexp.MustCompile("^"+regexp.MustCompile(`\{[^}]+\}`).ReplaceAllString(p, "[^/]+")+"$").MatchString(c[2])
		}) {
			t.Errorf("docs/api.md calls %s %s, which is no operation", c[1], c[2])
		}
	}
	for _, body := range regexp.MustCompile(`(?s)-d '([^']*)'`).FindAllStringSubmatch(string(text), -1) {
		if !json.Valid([]byte(body[1])) {
			t.Errorf("docs/api.md sends no JSON: %s", body[1])
		}
	}
	f, err := os.Open(filepath.Join(docs, "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil || !json.Valid(b) {
		t.Errorf("docs/grafana.json is no JSON: %v", err)
	}
}

// TestDocumentedSettings makes the changes that docs/api.md shows, in their
// order.
func TestDocumentedSettings(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	text, err := os.ReadFile(filepath.Join("..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	who := map[string]string{"ADMIN": "root", "TOKEN": "ana"}
	made := 0
	for _, c := range regexp.MustCompile(`(?m)^curl .*Bearer \$(\w+)".*-X (PUT|PATCH|DELETE) "\$API(/v1/(?:me|domains)/[^"]*)"(?: -d '(.*)')?$`).FindAllStringSubmatch(string(text), -1) {
		if who[c[1]] == "" || strings.HasSuffix(c[3], "/password") || strings.HasSuffix(c[3], "/users/ana") { // sessions end
			continue
		}
		made++
		if got := a.do(who[c[1]], c[2], c[3], c[4]); got.status/100 != 2 {
			t.Errorf("%s %s %s = %d %s", c[2], c[3], c[4], got.status, got.body)
		}
	}
	if made < 15 {
		t.Errorf("docs/api.md shows %d changes", made)
	}
}

func keysOf(m map[string]any) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}
