package control_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bellhop/control"
	"bellhop/routing/directory"
)

func (a *api) signIn(domain, user, pw string) answer {
	a.t.Helper()
	return a.do("", "POST", "/v1/session?as=token", `{"domain":"`+domain+`","user":"`+user+`","password":"`+pw+`"}`)
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("ada", "PUT", test+"/users/ben/password", `{"new":"`+password+`"}`), 204, "")

	// The first password must be changed, and nothing else goes until it is.
	got := a.want(a.signIn("bellhop.test", "ben", password), 200, "").json(t)
	if got["must_change_password"] != true || got["last_login"] != nil {
		t.Errorf("first sign-in = %v", got)
	}
	a.token["new"], _ = got["token"].(string)
	a.want(a.do("new", "GET", "/v1/me/dnd", ""), 403, "password.must-change")
	a.want(a.do("new", "GET", "/v1/me", ""), 200, "")
	a.want(a.do("new", "PUT", "/v1/me/password", `{"old":"wrong","new":"Another-Horse-9"}`), 422, "password.old")
	a.want(a.do("new", "PUT", "/v1/me/password", `{"old":"`+password+`","new":"short"}`), 422, "password.length")
	a.want(a.do("new", "PUT", "/v1/me/password", `{"old":"`+password+`","new":"`+password+`"}`), 422, "password.reused")
	a.want(a.do("ben", "GET", "/v1/me", ""), 401, "session.required") // another's setting it ended the session
	a.want(a.do("new", "PUT", "/v1/me/password", `{"old":"`+password+`","new":"Another-Horse-9"}`), 204, "")
	a.want(a.do("new", "GET", "/v1/me/dnd", ""), 200, "")

	again := a.want(a.signIn("bellhop.test", "ben", "Another-Horse-9"), 200, "").json(t)
	if again["must_change_password"] != false || again["last_login"] == nil {
		t.Errorf("second sign-in = %v", again)
	}
	if hash := a.store.docs[directory.Ref{Domain: "bellhop.test", Kind: directory.KindSignIn, Name: "ben"}].Body; strings.Contains(string(hash), "Another") {
		t.Errorf("the password is stored: %s", hash)
	}
	for h := range a.store.sessions {
		if strings.HasPrefix(h, "bhs_") {
			t.Errorf("a session is stored in the clear")
		}
	}
	a.want(a.do("new", "DELETE", "/v1/session", ""), 204, "")
	a.want(a.do("new", "GET", "/v1/me", ""), 401, "session.required")
}

func TestSignInWithCookie(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("ada", "PUT", test+"/users/ben/password", `{"new":"`+password+`"}`), 204, "")
	got := a.want(a.do("", "POST", "/v1/session", `{"domain":"bellhop.test","user":"ben","password":"`+password+`"}`), 200, "")
	if got.json(t)["token"] != nil {
		t.Errorf("the token of a cookie is shown: %s", got.body)
	}
	cookie := got.header.Get("Set-Cookie")
	for _, attr := range []string{"__Host-bellhop=bhs_", "Path=/", "HttpOnly", "Secure", "SameSite=Strict"} {
		if !strings.Contains(cookie, attr) {
			t.Errorf("cookie %q lacks %q", cookie, attr)
		}
	}
	pair, _, _ := strings.Cut(cookie, ";")
	a.want(a.do("", "GET", "/v1/session", "", "Cookie", pair), 200, "")
	// A page of another site cannot use it.
	a.want(a.do("", "DELETE", "/v1/session", "", "Cookie", pair, "Sec-Fetch-Site", "cross-site"), 403, "origin.cross-site")
	a.want(a.do("", "DELETE", "/v1/session", "", "Cookie", pair, "Origin", "https://evil.example"), 403, "origin.cross-site")
	got = a.want(a.do("", "DELETE", "/v1/session", "", "Cookie", pair, "Sec-Fetch-Site", "same-origin"), 204, "")
	if !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("the cookie stays: %q", got.header.Get("Set-Cookie"))
	}
}

func TestSignInRefusals(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("ada", "PUT", test+"/users/ben/password", `{"new":"`+password+`"}`), 204, "")
	known := a.want(a.signIn("bellhop.test", "ben", "wrong"), 401, "session.refused")
	for _, c := range []struct{ name, domain, user string }{
		{"no such user", "bellhop.test", "nobody"},
		{"no such domain", "nowhere.test", "ben"},
		{"no password set", "bellhop.test", "ana"},
		{"a name that names nothing", "bellhop.test", "../ben"},
		{"system", "", "ben"},
	} {
		if got := a.signIn(c.domain, c.user, password); got.status != 401 || got.body != known.body {
			t.Errorf("%s: answer = %d %s, want one like a wrong password's", c.name, got.status, got.body)
		}
	}
	a.want(a.signIn("bellhop.test", "ben", strings.Repeat("A", 5000)), 401, "session.refused")
	a.want(a.do("ada", "PATCH", test+"/users/ben", `{"state":"disabled"}`), 200, "")
	a.want(a.signIn("bellhop.test", "ben", password), 401, "session.refused")
	a.want(a.do("ben", "GET", "/v1/me", ""), 401, "") // and the session has ended
}

func TestSignInIsSlowed(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"ana", "nobody"} { // who exists and who does not: alike
		a := newAPI(t)
		slow := 0
		for i := range 6 {
			got := a.signIn("bellhop.test", user, "wrong")
			if got.status == http.StatusTooManyRequests {
				if got.rule() != "session.slow" || got.header.Get("Retry-After") == "" {
					t.Errorf("refusal = %s, Retry-After %q", got.body, got.header.Get("Retry-After"))
				}
				slow++
			} else if i >= 3 {
				t.Errorf("%s: attempt %d = %d, want 429", user, i, got.status)
			}
		}
		if slow != 3 {
			t.Errorf("%s: %d of 6 attempts were slowed, want 3", user, slow)
		}
	}
}

func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	now := time.Now()
	for _, c := range []struct {
		name          string
		seen, expires time.Duration
		status        int
	}{
		{"fresh", 0, time.Hour, 200},
		{"idle for long", -11 * time.Hour, time.Hour, 200},
		{"idle too long", -12 * time.Hour, time.Hour, 401},
		{"at its end", 0, 0, 401},
	} {
		_ = a.store.SaveSession(t.Context(), directory.Session{
			Hash: control.HashOf("bhs_x"), Domain: "bellhop.test", User: "ana", Role: directory.RoleUser, LastSeen: now.Add(c.seen), Expires: now.Add(c.expires),
		})
		a.token["x"] = "bhs_x"
		if got := a.do("x", "GET", "/v1/me", ""); got.status != c.status {
			t.Errorf("%s: %d, want %d", c.name, got.status, c.status)
		}
		if c.status == 200 && now.Sub(a.store.sessions[control.HashOf("bhs_x")].LastSeen) > time.Minute {
			t.Errorf("%s: not touched", c.name)
		}
	}
}

func TestSessionsAreListedAndRevoked(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.token["other"] = "bhs_other"
	now := time.Now()
	_ = a.store.SaveSession(t.Context(), directory.Session{Hash: control.HashOf("bhs_other"), Domain: "bellhop.test", User: "ana", LastSeen: now, Created: now, Expires: now.Add(time.Hour)})
	got := a.want(a.do("ana", "GET", "/v1/me/sessions", ""), 200, "")
	items, _ := got.json(t)["items"].([]any)
	if len(items) != 2 || strings.Contains(got.body, control.HashOf("bhs_other")) {
		t.Fatalf("sessions = %s", got.body)
	}
	for _, it := range items {
		m, _ := it.(map[string]any)
		if m["current"] == true {
			continue
		}
		id, _ := m["id"].(string)
		a.want(a.do("ben", "DELETE", "/v1/me/sessions/"+id, ""), 404, "")
		a.want(a.do("ben", "GET", test+"/users/ana/sessions", ""), 404, "")
		a.want(a.do("ada", "DELETE", test+"/users/ana/sessions/"+id, ""), 204, "")
	}
	a.want(a.do("other", "GET", "/v1/me", ""), 401, "")
	a.want(a.do("ana", "GET", "/v1/me", ""), 200, "")
}

func TestRoleChangeEndsSessions(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("ada", "PATCH", test+"/users/ben", `{"name":"Benno"}`), 200, "")
	a.want(a.do("ben", "GET", "/v1/me", ""), 200, "")
	a.want(a.do("ada", "PATCH", test+"/users/ben", `{"role":"domain-admin"}`), 200, "")
	a.want(a.do("ben", "GET", "/v1/me", ""), 401, "")
}

func TestPasswordInUserDocument(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.want(a.do("ada", "PUT", test+"/users/ben", `{"name":"Ben","password":"`+password+`"}`), 200, "")
	if strings.Contains(got.body, "assword") {
		t.Errorf("a password is shown: %s", got.body)
	}
	a.want(a.signIn("bellhop.test", "ben", password), 200, "")
	a.want(a.do("ada", "PUT", test+"/users/ben", `{"name":"Ben"}`), 200, "") // absent: unchanged
	a.want(a.signIn("bellhop.test", "ben", password), 200, "")
	a.want(a.do("ada", "PATCH", test+"/users/ben", `{"password":null}`), 200, "") // null: removed
	a.want(a.signIn("bellhop.test", "ben", password), 401, "")
	a.want(a.do("ada", "PATCH", test+"/users/ben", `{"password":null}`), 200, "")
	a.want(a.do("ada", "PATCH", test+"/users/ben", `{"password":7}`), 422, "body.type")
	got = a.want(a.do("ada", "PATCH", test+"/users/ben", `{"password":"alllower"}`), 422, "password.upper")
	for _, rule := range []string{"password.upper", "password.digit", "password.special"} {
		if !strings.Contains(got.body, rule) {
			t.Errorf("%s is not named: %s", rule, got.body)
		}
	}
	if got := a.do("ada", "GET", test+"/users/ben/history", ""); strings.Contains(got.body, "argon2") || strings.Contains(got.body, password) {
		t.Errorf("history holds a password: %s", got.body)
	}
}

func TestPasswordsOverTLSOnly(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for path, body := range map[string]string{"/users/ben/password": `{"new":"` + password + `"}`, "/users/ben": `{"password":"` + password + `"}`} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, test+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+adminToken)
		r.Header.Set("Content-Type", "application/json")
		for _, c := range []struct {
			tls  *tls.ConnectionState
			want int
		}{{nil, 403}} {
			r.TLS = c.tls
			w := httptest.NewRecorder()
			a.srv.Handler().ServeHTTP(w, r)
			if w.Code != c.want || !strings.Contains(w.Body.String(), "password.tls") {
				t.Errorf("PUT %s in the clear = %d %s", path, w.Code, w.Body)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.want(a.do("ada", "POST", "/v1/tokens", `{"name":"ci","role":"domain-admin"}`), 201, "").json(t)
	a.token["ci"], _ = got["token"].(string)
	if got["domain"] != "bellhop.test" || !strings.HasPrefix(a.token["ci"], "bht_") {
		t.Errorf("token = %v", got)
	}
	a.want(a.do("ci", "GET", test+"/users/ana", ""), 200, "")
	a.want(a.do("ci", "PATCH", test+"/users/ana", `{"language":"de"}`), 200, "")
	a.want(a.do("ci", "GET", "/v1/domains/other.test", ""), 404, "")
	a.want(a.do("ci", "GET", "/v1/me/dnd", ""), 403, "role.denied")
	if rows := a.do("ada", "GET", test+"/users/ana/history?limit=1", ""); !strings.Contains(rows.body, `"token:ci@bellhop.test"`) {
		t.Errorf("history = %s", rows.body)
	}
	a.want(a.do("ada", "POST", "/v1/tokens", `{"name":"ci","role":"domain-admin"}`), 412, "version.exists")
	a.want(a.do("ada", "POST", "/v1/tokens", `{"name":"up","role":"system-admin"}`), 403, "role.denied")
	a.want(a.do("ada", "POST", "/v1/tokens", `{"name":"far","role":"domain-admin","domain":"other.test"}`), 404, "")
	a.want(a.do("ada", "POST", "/v1/tokens", `{"name":"","role":"user","networks":["x"],"expires":"2020-01-01T00:00:00Z"}`), 422, "name.form")
	a.want(a.do("ana", "POST", "/v1/tokens", `{"name":"mine","role":"user"}`), 403, "role.denied")

	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"here":  {`{"name":"here","role":"domain-admin","networks":["127.0.0.0/8"]}`, 200},
		"there": {`{"name":"there","role":"domain-admin","networks":["192.0.2.0/24"]}`, 401},
	} {
		made := a.want(a.do("ada", "POST", "/v1/tokens", c.body), 201, "").json(t)
		a.token[name], _ = made["token"].(string)
		a.want(a.do(name, "GET", test+"/users/ana", ""), c.status, "")
	}
	list := a.want(a.do("ada", "GET", "/v1/tokens", ""), 200, "")
	if strings.Contains(list.body, "bht_") || strings.Contains(list.body, "hash") || !strings.Contains(list.body, `"last_used"`) {
		t.Errorf("tokens = %s", list.body)
	}
	a.want(a.do("root", "PUT", "/v1/domains/gone.test", `{"region":"DE"}`), 201, "")
	orphan := a.want(a.do("root", "POST", "/v1/tokens", `{"name":"x","role":"domain-admin","domain":"gone.test"}`), 201, "").json(t)
	a.token["orphan"], _ = orphan["token"].(string)
	a.want(a.do("orphan", "GET", "/v1/domains/gone.test", ""), 200, "")
	a.want(a.do("root", "DELETE", "/v1/domains/gone.test", ""), 204, "")
	a.want(a.do("orphan", "GET", "/v1/domains", ""), 401, "")
	a.want(a.do("zoe", "DELETE", "/v1/tokens/ci", ""), 404, "")
	a.want(a.do("ada", "DELETE", "/v1/tokens/ci", ""), 204, "")
	a.want(a.do("ci", "GET", test+"/users/ana", ""), 401, "")
}

func TestBootstrapTokenEndsWithTheFirstSystemAdmin(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("root", "PUT", "/v1/users/root", `{"role":"user"}`), 422, "role.system")
	a.want(a.do("root", "PUT", "/v1/users/root", `{"role":"system-admin","password":"`+password+`"}`), 201, "")
	a.want(a.do("root", "GET", "/v1/node", ""), 401, "session.bootstrap-closed")
	got := a.want(a.signIn("", "root", password), 200, "").json(t)
	a.token["boss"], _ = got["token"].(string)
	a.want(a.do("boss", "PUT", "/v1/me/password", `{"old":"`+password+`","new":"Another-Horse-9"}`), 204, "")
	a.want(a.do("boss", "GET", "/v1/node", ""), 200, "")
	a.want(a.do("boss", "GET", "/v1/users/root", ""), 200, "")
	a.want(a.do("ada", "GET", "/v1/users/root", ""), 403, "role.denied")

	if _, err := control.New(control.Options{Documents: a.store, Sessions: a.store, Tokens: a.store, Sealer: sealer{}, AdminToken: "short"}); err == nil {
		t.Error("a short admin token is taken")
	}
	if _, err := control.New(control.Options{}); err == nil {
		t.Error("a server without a store is made")
	}
}
