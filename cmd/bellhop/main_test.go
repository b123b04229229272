package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"bellhop/config"
)

// command runs a command line in an environment of its own.
func command(t *testing.T, env map[string]string, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	std := stdio{in: strings.NewReader(stdin), out: &out, err: &errs, env: func(n string) (string, bool) { v, ok := env[n]; return v, ok }}
	status = run(t.Context(), std, args)
	return out.String(), errs.String(), status
}

func TestUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		args   []string
		out    string // in standard output
		err    string // in standard error
		status int
	}{
		{"nothing", nil, "Commands:", "", exitOK},
		{"help", []string{"--help"}, "Commands:", "", exitOK},
		{"help of demo", []string{"demo", "--help"}, "--expose", "", exitOK},
		{"help of a sub-command", []string{"user", "add", "--help"}, "--number", "", exitOK},
		{"help of backup", []string{"backup", "--help"}, "key ring", "", exitOK},
		{"help of restore", []string{"restore", "--help"}, "must not run", "", exitOK},
		{"backup to nowhere", []string{"backup"}, "", "expected \"<file>\"", exitUsage},
		{"keys", []string{"keys", filepath.Join(t.TempDir(), "keys")}, "has a new key ring", "", exitOK},
		{"version", []string{"version"}, "bellhop ", "", exitOK},
		{"no such command", []string{"sing"}, "", "unexpected argument sing", exitUsage},
		{"no such flag", []string{"demo", "--loud"}, "", "unknown flag --loud", exitUsage},
		{"missing flag", []string{"explain", "--caller", "1"}, "", "--called", exitUsage},
		{"no address", []string{"demo", "--sip", "here"}, "", "--sip", exitUsage},
		{"beyond loopback", []string{"demo", "--sip", "192.0.2.1:5060"}, "", "needs --expose", exitFailed},
		{"API beyond loopback", []string{"demo", "--https", "0.0.0.0:0"}, "", "needs --expose", exitFailed},
		{"no configuration", []string{"serve", "-c", "/nowhere/b.yaml"}, "", "no such file", exitFailed},
		{"no API", []string{"user", "list", "--demo", "/nowhere"}, "", "give --url", exitFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, errs, status := command(t, nil, "", tt.args...)
			if !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.err) || status != tt.status {
				t.Errorf("%v = %d\n%s\n%s", tt.args, status, out, errs)
			}
		})
	}
}

func TestDemoSaysWhatIsIgnored(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	std := stdio{err: &errs}
	demoCmd{Trunk: "127.0.0.1:5090", Password: "x", Expose: true}.warn(std)
	for _, want := range []string{"--trunk is ignored", "--password is ignored"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("standard error does not say %q:\n%s", want, errs.String())
		}
	}
}

func TestDemoSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secrets := func(c demoCmd) *demoInfo {
		t.Helper()
		c.Dir = dir
		info, err := c.secrets()
		if err != nil {
			t.Fatal(err)
		}
		if err := writeDemo(dir, info); err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := secrets(demoCmd{})
	if len(first.Users) != 5 || first.Users[4].User != "eve" || first.Users[4].Number != "1005" || first.Users[4].Devices[1].Name != "web-1005" || len(first.AdminToken) < 32 {
		t.Fatalf("secrets = %+v", first)
	}
	if diff := cmp.Diff(first, secrets(demoCmd{})); diff != "" {
		t.Errorf("secrets change over a restart:\n%s", diff)
	}
	chosen := secrets(demoCmd{Password: "password"})
	if chosen.Users[0].Password != "password" || chosen.Users[3].Devices[1].Password != "password" || chosen.AdminToken != first.AdminToken {
		t.Errorf("--password is not everybody's: %+v", chosen)
	}
	exposed := secrets(demoCmd{Password: "password", Expose: true})
	seen := map[string]bool{}
	for _, u := range exposed.Users {
		seen[u.Password], seen[u.Devices[0].Password], seen[u.Devices[1].Password] = true, true, true
	}
	if len(seen) != 15 || seen["password"] {
		t.Errorf("--expose keeps chosen passwords: %v", seen)
	}
	if diff := cmp.Diff(exposed, secrets(demoCmd{Expose: true})); diff != "" {
		t.Errorf("generated secrets change over a restart:\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(dir, demoFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of %s = %v, %v", demoFile, info.Mode(), err)
	}
}

func TestSelfSigned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	loopback := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	read := func() string {
		b, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, step := range []struct {
		name string
		ips  []netip.Addr
		made bool
	}{{"first", loopback, true}, {"kept", loopback, false}, {"another address", append(loopback, netip.MustParseAddr("192.0.2.1")), true}, {"fewer addresses", loopback, false}} {
		before := ""
		if step.name != "first" {
			before = read()
		}
		if err := selfSigned(cert, key, []string{"localhost"}, step.ips); err != nil {
			t.Fatal(err)
		}
		if made := read() != before; made != step.made {
			t.Errorf("%s: made = %v, want %v", step.name, made, step.made)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	if err := selfSigned(cert, key, []string{"pbx.example.org"}, nil); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "demo", "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("demo/"+demoFile, "{}")
	tests := []struct {
		name, file, text string
		env              map[string]string
		fault            []string // none: it is fine
	}{
		{name: "fine", file: "a.yaml", text: "https: {cert: c.pem, key: k.pem}\nstore: {dir: state}\n"},
		{name: "two faults", file: "b.yaml", text: "https: {cert: c.pem}\nnode: {names: x}\n", fault: []string{"b.yaml:1: https.key: missing", "b.yaml:2: node.names: no such key"}},
		{name: "no certificate", file: "c.yaml", text: "https: {cert: none.pem, key: k.pem}\nstore: {dir: state}\n", fault: []string{"https.cert"}},
		{name: "an open folder", file: "d.yaml", text: "https: {cert: c.pem, key: k.pem}\nstore: {dir: open}\nkeys: {dir: k}\n", fault: []string{"store.dir", "0755"}},
		{name: "of a demo", file: "e.yaml", text: "https: {cert: c.pem, key: k.pem}\nstore: {dir: demo/store}\n", fault: []string{"belongs to a demo"}},
		{name: "a short token", file: "f.yaml", text: "https: {cert: c.pem, key: k.pem}\nstore: {dir: state}\n", env: map[string]string{"BELLHOP_ADMIN_TOKEN": "x"}, fault: []string{"admin token has 1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, errs, status := command(t, tt.env, "", "check", write(tt.file, tt.text))
			if len(tt.fault) == 0 {
				if status != exitOK || !strings.Contains(out, "is fine") {
					t.Errorf("check = %d\n%s%s", status, out, errs)
				}
				return
			}
			for _, want := range tt.fault {
				if status != exitFailed || !strings.Contains(errs, want) {
					t.Errorf("check = %d, want %q in\n%s", status, want, errs)
				}
			}
		})
	}
	out, errs, status := command(t, nil, "", "serve", "-c", write("g.yaml", "https: {cert: c.pem, key: k.pem}\nstore: {dir: demo/store}\n"))
	if status != exitFailed || !strings.Contains(errs, "belongs to a demo") {
		t.Errorf("serve on a demo's folder = %d %s%s", status, out, errs)
	}
}

// TestClient runs the commands that speak to the API against one that answers
// from a table.
func TestClient(t *testing.T) {
	t.Parallel()
	type call struct{ Method, Path, Body string }
	tests := []struct {
		name    string
		args    []string
		stdin   string
		answers map[string]string // "METHOD path" to body; "!" before it: status 409
		calls   []call
		out     string
		err     string
		status  int
	}{
		{
			name: "explain", args: []string{"explain", "--caller", "1003", "--called", "1000"},
			answers: map[string]string{"POST /v1/explain": `{"outcome": "ring", "timeline": [
				{"at": "PT0S", "do": "ring", "target": "1002", "to": ["desk-1002"], "rule": "forward.loop-breakout", "because": [{"setting": "numbers/1002/forwarding/all", "value": "1000"}]},
				{"at": "PT4S", "do": "ring", "target": "+49171123456", "trunk": "carrier", "shown": "Ben <+4989123>", "stop": "PT19S", "rule": "snr"},
				{"at": "PT18S", "do": "ring", "target": "1004", "rule": "forward.no-answer"}],
				"warnings": ["The mobile does not get its time."], "end": {"at": "PT36S", "status": 480, "outcome": "no-answer"}, "anchored": "forward.no-answer",
				"trace": [{"rule": "dial.number", "number": "1000", "text": "1000 was dialled."}, {"rule": "forward.all", "number": "1000", "to": "1001"}], "identity": {"shown_to_callee": "1003", "shown_to_caller": "1002"}}`},
			calls: []call{{"POST", "/v1/explain", `{"called":"1000","caller":"1003","domain":"d.test"}`}},
			out: `1003 calls 1000: ring
     +0s  ring 1002 on desk-1002  [forward.loop-breakout]
          because numbers/1002/forwarding/all is "1000"
     +4s  ring +49171123456 over carrier, shown Ben <+4989123>, until +19s  [snr]
    +18s  ring 1004  [forward.no-answer]
    +36s  480 when nobody answers (no-answer)
  the server holds both ends  [forward.no-answer]
  warning: The mobile does not get its time.
step by step
  dial.number              1000 was dialled.
  forward.all              1000 -> 1001
the called phone shows 1003, the caller's shows 1002
`,
		},
		{
			name: "explain with an assumption", args: []string{"explain", "--caller", "1", "--called", "2", "--assume", `users/ana/dnd={"enabled": true, "mode": "reject"}`},
			answers: map[string]string{"POST /v1/explain": `{"outcome": "reject"}`},
			calls:   []call{{"POST", "/v1/explain", `{"assume":{"users/ana/dnd":{"enabled":true,"mode":"reject"}},"called":"2","caller":"1","domain":"d.test"}`}},
			out:     "1 calls 2: reject\n",
		},
		{
			name: "list over two pages", args: []string{"user", "list"},
			answers: map[string]string{
				"GET /v1/domains/d.test/users?limit=100":          `{"items": [{"user": "ana", "name": "Ana", "role": "user", "numbers": ["1001", "1010"]}], "next": "c"}`,
				"GET /v1/domains/d.test/users?cursor=c&limit=100": `{"items": [{"user": "ben", "role": "domain-admin", "state": "disabled"}]}`,
			},
			calls: []call{{"GET", "/v1/domains/d.test/users?limit=100", ""}, {"GET", "/v1/domains/d.test/users?cursor=c&limit=100", ""}},
			out:   "USER  NAME  ROLE                     NUMBERS\nana   Ana   user                     1001 1010\nben         domain-admin (disabled)  \n",
		},
		{
			name: "add with number and device", args: []string{"user", "add", "fay", "--name", "Fay", "--number", "1006", "--device", "desk-1006"},
			answers: map[string]string{
				"PUT /v1/domains/d.test/users/fay": `{}`, "PUT /v1/domains/d.test/numbers/1006": `{}`, "PATCH /v1/domains/d.test/users/fay": `{}`, "PUT /v1/domains/d.test/devices/desk-1006": `{}`,
				"POST /v1/domains/d.test/devices/desk-1006/credentials": `{"username": "desk-1006", "secret": "s3"}`,
			},
			calls: []call{
				{"PUT", "/v1/domains/d.test/users/fay", `{"name":"Fay","role":"user"}`},
				{"PUT", "/v1/domains/d.test/numbers/1006", `{"user":"fay"}`},
				{"PATCH", "/v1/domains/d.test/users/fay", `{"numbers":["1006"]}`},
				{"PUT", "/v1/domains/d.test/devices/desk-1006", `{"kind":"desk","lines":[{"number":"1006"}],"user":"fay"}`},
				{"POST", "/v1/domains/d.test/devices/desk-1006/credentials", `{}`},
			},
			out: "desk-1006 authenticates as desk-1006 with s3 (shown once)\n", err: "made /v1/domains/d.test/users/fay",
		},
		{
			name: "password", args: []string{"user", "password", "ana"}, stdin: "Correct-Horse-1\n",
			answers: map[string]string{"PUT /v1/domains/d.test/users/ana/password": ""},
			calls:   []call{{"PUT", "/v1/domains/d.test/users/ana/password", `{"new":"Correct-Horse-1"}`}},
		},
		{name: "no password", args: []string{"user", "password", "ana"}, err: "no password", status: exitFailed},
		{
			name: "remove, in another domain", args: []string{"user", "remove", "ana", "--domain", "other.test"},
			answers: map[string]string{"DELETE /v1/domains/other.test/users/ana": ""},
			calls:   []call{{"DELETE", "/v1/domains/other.test/users/ana", ""}},
		},
		{
			name: "refused", args: []string{"user", "remove", "a/b"},
			answers: map[string]string{"DELETE /v1/domains/d.test/users/a%2Fb": `!{"type": "user.last-admin", "detail": "it is the last one", "errors": [{"location": "role", "message": "no", "rule": "r"}]}`},
			calls:   []call{{"DELETE", "/v1/domains/d.test/users/a%2Fb", ""}},
			err:     "it is the last one (user.last-admin, 409)\n  role: no (r)", status: exitFailed,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var calls []call
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.Header.Get("Authorization") != "Bearer token-of-the-demo" {
					t.Errorf("%s %s: %v, %q", r.Method, r.URL, err, r.Header.Get("Authorization"))
				}
				calls = append(calls, call{r.Method, r.URL.String(), string(body)})
				answer, refused := strings.CutPrefix(tt.answers[r.Method+" "+r.URL.String()], "!")
				if refused {
					w.Header().Set("Content-Type", "application/problem+json")
					w.WriteHeader(http.StatusConflict)
				}
				_, _ = io.WriteString(w, answer)
			}))
			defer srv.Close()
			dir := t.TempDir()
			if err := writeDemo(dir, &demoInfo{HTTPS: srv.URL, Domain: "d.test", AdminToken: "token-of-the-demo"}); err != nil {
				t.Fatal(err)
			}
			if err := selfSigned(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), []string{"localhost"}, nil); err != nil {
				t.Fatal(err)
			}
			out, errs, status := command(t, nil, tt.stdin, append(tt.args, "--demo", dir)...)
			if status != tt.status || !strings.Contains(errs, tt.err) {
				t.Errorf("status %d, want %d:\n%s", status, tt.status, errs)
			}
			if diff := cmp.Diff(tt.out, out); diff != "" {
				t.Errorf("output: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(tt.calls, calls); diff != "" {
				t.Errorf("calls: -want +got\n%s", diff)
			}
		})
	}
}

// TestDemoJSON holds what a demo prints to the contract of the API.
func TestDemoJSON(t *testing.T) {
	t.Parallel()
	c := demoCmd{Dir: t.TempDir(), Password: "pw"}
	info, err := c.secrets()
	if err != nil {
		t.Fatal(err)
	}
	info.SIP, info.HTTPS, info.AdminToken = "127.0.0.1:5060", "https://127.0.0.1:8443", "tok"
	info.Users = info.Users[:1]
	info.Users[0].Devices = info.Users[0].Devices[:1]
	var out bytes.Buffer
	if err := c.announce(stdio{out: &out}, info); err != nil {
		t.Fatal(err)
	}
	want := `{"sip":"127.0.0.1:5060","sips":"","https":"https://127.0.0.1:8443","domain":"bellhop.test","admin_token":"tok",` +
		`"users":[{"user":"ana","number":"1001","password":"pw","devices":[{"name":"desk-1001","password":"pw"}]}]}` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("announce: -want +got\n%s", diff)
	}
	if !json.Valid(out.Bytes()) || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("not one line of JSON: %s", out.String())
	}
}

func TestDemoForLoad(t *testing.T) {
	t.Parallel()
	c := &demoCmd{Dir: t.TempDir(), Users: 3, Digest: []string{"md5"}}
	info, err := c.secrets()
	if err != nil {
		t.Fatal(err)
	}
	if last := info.Users[len(info.Users)-1]; len(info.Users) != 8 || last.Number != "10003" || last.Password != "" || last.Devices[0].Name != "desk-10003" || last.Devices[0].Password == "" {
		t.Errorf("%d users, the last is %+v", len(info.Users), last)
	}
	if err := c.addresses(); err != nil {
		t.Fatal(err)
	}
	conf, err := c.config("c.pem", "k.pem")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"MD5"}, conf.SIP.Digest); diff != "" {
		t.Errorf("algorithms: %s", diff)
	}
	if err := (demoCmd{Users: maxExtra + 1}).Run(t.Context(), stdio{}); err == nil {
		t.Error("any number of users is taken")
	}
}

func TestDemoConfigIsValid(t *testing.T) {
	t.Parallel()
	c := &demoCmd{Dir: "d"}
	if err := c.addresses(); err != nil {
		t.Fatal(err)
	}
	conf, err := c.config("c.pem", "k.pem")
	if err != nil {
		t.Fatal(err)
	}
	if l := conf.SIP.Listeners[0]; l.Bind.String() != "127.0.0.1:5060" || l.Network != config.Public {
		t.Errorf("listener = %+v", l)
	}
	e := &demoCmd{Dir: "d", Expose: true}
	if err := e.addresses(); err != nil {
		t.Fatal(err)
	}
	if conf, err = e.config("c.pem", "k.pem"); err != nil || conf.SIP.Listeners[0].Advertise.Addr().IsUnspecified() {
		t.Errorf("exposed: %+v, %v", conf.SIP.Listeners, err)
	}
}

// TestDocsCommands parses every command line of ours in the documentation.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range append(files, "../../README.md") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			line, _, _ = strings.Cut(line, " #")
			_, args, found := strings.Cut("\n"+strings.TrimSpace(line), "\nbellhop ")
			if _, started, ok := strings.Cut(line, "=/usr/bin/bellhop "); ok {
				args, found = started, true
			}
			if !found {
				continue
			}
			seen++
			var cli commands
			parser, err := kong.New(&cli, kong.BindTo(t.Context(), (*context.Context)(nil)), kong.Bind(stdio{}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(strings.Fields(args)); err != nil {
				t.Errorf("%s: bellhop %s: %v", file, args, err)
			}
		}
	}
	if seen < 4 {
		t.Errorf("%d commands in the documentation", seen)
	}
}
