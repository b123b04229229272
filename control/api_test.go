package control_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/control"
	"bellhop/feed"
	"bellhop/routing/directory"
)

const (
	adminToken = "0123456789abcdef0123456789abcdef"
	password   = "Correct-Horse-9"
	test       = "/v1/domains/bellhop.test"
)

// An api is a server with people in it: ana (user, 1001), ben (user, 1002), ada
// (domain-admin), all of bellhop.test; zoe (domain-admin) of other.test.
type api struct {
	t     *testing.T
	store *store
	node  *node
	reg   *prometheus.Registry
	srv   *control.Server
	http  *httptest.Server
	token map[string]string // by who
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := &api{t: t, store: newStore(), node: &node{status: control.NodeStatus{Name: "n1", Ready: true}}, reg: prometheus.NewRegistry(), token: map[string]string{"root": adminToken}}
	srv, err := control.New(control.Options{
		Documents: a.store, Sessions: a.store, Tokens: a.store, Sealer: sealer{}, Registrations: a.store, Calls: a.store, Records: a.store,
		World: a.store, Node: a.node, Hanger: a.store, Ladder: a.store, Trunks: a.store, Feed: a.store.stream, AdminToken: adminToken, Registerer: a.reg, Gatherer: a.reg, Version: "1.2.3",
	})
	if err != nil {
		t.Fatal(err)
	}
	control.CheapHashes(srv)
	a.srv = srv
	a.http = httptest.NewTLSServer(srv.Handler())
	t.Cleanup(a.http.Close)
	done := make(chan struct{})
	ctx := t.Context()
	go func() { defer close(done); _ = srv.Run(ctx) }()
	t.Cleanup(func() { <-done })
	a.seed()
	return a
}

// seed makes the people through the API itself.
func (a *api) seed() {
	a.t.Helper()
	for _, c := range [][2]string{
		{"/v1/domains/bellhop.test", `{"region":"DE"}`},
		{"/v1/domains/other.test", `{"region":"DE"}`},
		{test + "/classes/all", `{"rules":[{"allow":"*"}]}`},
		{test + "/users/ana", `{"name":"Ana","role":"user"}`},
		{test + "/users/ben", `{"name":"Ben"}`},
		{test + "/users/ada", `{"name":"Ada","role":"domain-admin"}`},
		{"/v1/domains/other.test/users/zoe", `{"role":"domain-admin"}`},
		{test + "/numbers/1001", `{"user":"ana","voicemail":true,"forwarding_class":"all"}`},
		{test + "/numbers/1002", `{"user":"ben","forwarding_class":"all"}`},
		{test + "/numbers/1003", `{"forwarding_class":"all"}`},
		{test + "/trunks/carrier", `{"proof":"address","peers":["192.0.2.10:5060"],"routes":[{"prefix":"+"}]}`},
		{test + "/devices/desk-1001", `{"user":"ana","kind":"desk","lines":[{"number":"1001"}]}`},
		{test + "/devices/desk-1002", `{"user":"ben","kind":"desk","lines":[{"number":"1002"}]}`},
	} {
		if got := a.do("root", "PUT", c[0], c[1]); got.status != http.StatusCreated {
			a.t.Fatalf("PUT %s = %d %s", c[0], got.status, got.body)
		}
	}
	for _, who := range []string{"ana", "ben", "ada"} {
		a.session(who, "bellhop.test", directory.RoleUser)
	}
	a.session("ada", "bellhop.test", directory.RoleDomainAdmin)
	a.session("zoe", "other.test", directory.RoleDomainAdmin)
}

// session makes a session without the cost of a hash.
func (a *api) session(user, domain string, role directory.Role) {
	secret := "bhs_" + user
	now := time.Now()
	_ = a.store.SaveSession(a.t.Context(), directory.Session{
		Hash: control.HashOf(secret), Domain: domain, User: user, Role: role, Created: now, LastSeen: now, Expires: now.Add(time.Hour),
	})
	a.token[user] = secret
}

// An answer of the API.
type answer struct {
	status int
	header http.Header
	body   string
}

func (r answer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("answer %d is no object: %v: %s", r.status, err, r.body)
	}
	return m
}

// rule is the type of a problem.
func (r answer) rule() string {
	var p control.Problem
	_ = json.Unmarshal([]byte(r.body), &p)
	return p.Type
}

// do asks as somebody ("" as nobody); header fields come in pairs.
func (a *api) do(who, method, path, body string, header ...string) answer {
	a.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.http.URL+path, in)
	if err != nil {
		a.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+a.token[who])
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := a.http.Client().Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(bytes.TrimSpace(b))}
}

// want fails the test when an answer has another status or rule.
func (a *api) want(got answer, status int, rule string) answer {
	a.t.Helper()
	if got.status != status || rule != "" && got.rule() != rule {
		a.t.Errorf("answer = %d %s, want %d %s\n%s", got.status, got.rule(), status, rule, got.body)
	}
	return got
}

func call(id, caller, called string) *feed.Call {
	at := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	return &feed.Call{
		ID: id, Domain: "bellhop.test", CallID: "x@y", Caller: caller, CallerDev: "desk-" + caller, Called: called, Number: called, Device: "desk-" + called,
		State: feed.Talking, Started: at, AnsweredAt: at.Add(3 * time.Second), Rule: "ring.devices",
		Story: []feed.Step{
			{At: at, Rule: "dial.number", Number: called, Level: feed.Public},
			{At: at, Rule: "forward.all", Number: called, To: "+4917112345", Setting: "numbers/" + called + "/forwarding/all", Level: feed.ForOwner, Owner: map[string]string{"1001": "ana", "1002": "ben"}[called]},
			{At: at, Rule: "ring.devices", Number: called, Level: feed.ForOwner, Owner: "somebody"},
			{At: at, Rule: "origin.device", Number: called},
		},
	}
}
