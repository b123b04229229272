package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bellhop/config"
)

const tls = "https: {cert: c.pem, key: k.pem}\n"

func noEnv(string) (string, bool) { return "", false }

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		env        map[string]string
		want       func(c *config.Config)
	}{
		{"only what has no default", tls, nil, func(*config.Config) {}},
		{"a section of comments only", tls + "log:\n  # level: debug\n", nil, func(*config.Config) {}},
		{"a listener", tls + "sip:\n  listeners:\n  - bind: 10.0.0.1:5060\n    network: private\n", nil, func(c *config.Config) {
			ap := netip.MustParseAddrPort("10.0.0.1:5060")
			c.SIP.Listeners = []config.Listener{{Bind: ap, Advertise: ap, Transport: config.UDP, Network: config.Private}}
		}},
		{"behind 1:1 NAT", tls + "sip: {listeners: [{bind: '0.0.0.0:5060', advertise: '192.0.2.7:5060'}]}\n", nil, func(c *config.Config) {
			c.SIP.Listeners = []config.Listener{{
				Bind: netip.MustParseAddrPort("0.0.0.0:5060"), Advertise: netip.MustParseAddrPort("192.0.2.7:5060"),
				Transport: config.UDP, Network: config.Public,
			}}
		}},
		{"TCP beside UDP, behind a balancer", tls + "sip: {listeners: [{bind: '10.0.0.1:5060'}, {bind: '10.0.0.1:5060', transport: TCP, proxy_protocol_from: [10.0.0.2, 10.1.0.0/16]}]}\n", nil, func(c *config.Config) {
			ap := netip.MustParseAddrPort("10.0.0.1:5060")
			c.SIP.Listeners = []config.Listener{
				{Bind: ap, Advertise: ap, Transport: config.UDP, Network: config.Public},
				{Bind: ap, Advertise: ap, Transport: config.TCP, Network: config.Public, ProxyProtocolFrom: []string{"10.0.0.2", "10.1.0.0/16"}},
			}
		}},
		{"durations", tls + "registration: {max_expires: 2h}\ndrain_timeout: 1m30s\n", nil, func(c *config.Config) {
			c.Registration.MaxExpires = config.Duration(2 * time.Hour)
			c.DrainTimeout = config.Duration(90 * time.Second)
		}},
		{"timers and buffers", tls + "sip:\n  timers: {t1: 2s, t2: 8s, t4: 10s, c: 4m}\n  udp: {receive_buffer: 8388608, send_buffer: 65536}\n  ladder: 0\n", nil, func(c *config.Config) {
			c.SIP.Ladder = 0
			c.SIP.Timers = config.SIPTimers{
				T1: config.Duration(2 * time.Second), T2: config.Duration(8 * time.Second), T4: config.Duration(10 * time.Second), C: config.Duration(4 * time.Minute),
			}
			c.SIP.UDP = config.SIPUDP{ReceiveBuffer: 8 << 20, SendBuffer: 64 << 10}
		}},
		{"from the environment", tls + "node: {name: 'node-${N}'}\nlimits: {calls: '${CALLS}'}\n", map[string]string{"N": "7", "CALLS": "12"}, func(c *config.Config) {
			c.Node.Name, c.Limits.Calls = "node-7", 12
		}},
		{"log", tls + "log: {level: debug, format: text}\n", nil, func(c *config.Config) {
			c.Log = config.Log{Level: slog.LevelDebug, Format: config.Text}
		}},
		{"keys of their own", tls + "store: {dir: /srv/b}\nkeys: {dir: /etc/b}\n", nil, func(c *config.Config) {
			c.Store.Dir, c.Keys.Dir = "/srv/b", "/etc/b"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := config.Parse("b.yaml", []byte(tt.text), func(n string) (string, bool) { v, ok := tt.env[n]; return v, ok })
			if err != nil {
				t.Fatal(err)
			}
			want, err := config.Parse("b.yaml", []byte(tls), noEnv)
			if err != nil {
				t.Fatal(err)
			}
			tt.want(want)
			if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Errorf("Parse: -want +got\n%s", diff)
			}
		})
	}
}

func TestParseReportsEveryFault(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string // each "line: path: start of message"
	}{
		{"empty file", "", []string{"0: https.cert: missing", "0: https.key: missing"}},
		{"many at once", strings.Join([]string{
			"node: {name: a name, number: 300}",
			"sip:",               // 2
			"  listeners:",       // 3
			"  - bind: here",     // 4
			"    transport: tls", // 5
			"  - network: lan",   // 6
			"  md5-only: [x]",
			"https:",               // 8
			"  bind: 0.0.0.0:8443", // 9
			"  plain: true",        // 10
			"registration: {min_expires: 2h, max_expires: 30s}",
			"limits:",            // 12
			"  calls: many",      // 13
			"drain_timeout: -1s", // 14
			"colour: red",        // 15
		}, "\n"), []string{
			"1: node.name: \"a name\" is no name",
			"1: node.number: 300 is not between",
			"4: sip.listeners[0].bind: \"here\" is no address and port",
			"5: sip.listeners[0].transport: tls needs sip.tls.cert and key",
			"6: sip.listeners[1].network: \"lan\" is neither",
			"6: sip.listeners[1].bind: missing",
			"7: sip.md5-only: no such key; did you mean md5_only?",
			"10: https.plain: 0.0.0.0:8443 is no loopback address",
			"11: registration.min_expires: 2h is not between",
			"11: registration.max_expires: 30s is not between",
			"11: registration.max_expires: 30s is below min_expires",
			"13: limits.calls: \"many\" is no whole number",
			"14: drain_timeout: -1s is not between",
			"15: colour: no such key; known here:",
		}},
		{"wrong shapes", tls + "sip: [1]\nlog: 7\ndrain_timeout: {a: b}\nstore:\n  dir: [x]\n", []string{
			"2: sip: is a list; want a mapping", "3: log: is a single value; want a mapping",
			"4: drain_timeout: is a mapping; want a single value", "6: store.dir: is a list; want a single value",
		}},
		{"list wanted", tls + "sip: {listeners: 5060}\n", []string{"2: sip.listeners: is a single value; want a list"}},
		{"no value", tls + "drain_timeout:\n", []string{"2: drain_timeout: has no value"}},
		{"twice", tls + "drain_timeout: 1s\ndrain_timeout: 2s\n", []string{"3: drain_timeout: already set in line 2"}},
		{"no yaml", "a: [\n", []string{"1: "}},
		{"a list at the top", "- a\n", []string{"1: : is a list; want a mapping"}},
		{"two documents", tls + "---\n" + tls, []string{"3: : a second YAML document"}},
		{"anchors", tls + "drain_timeout: &a 1s\nstore: {dir: *a}\n", []string{"2: drain_timeout: anchors", "3: store.dir: anchors"}},
		{"not in the environment", tls + "store: {dir: '${NODE}'}\n", []string{"2: store.dir: ${NODE} is not in the environment"}},
		{"unclosed", tls + "store: {dir: 'a${NODE'}\n", []string{"2: store.dir: ${NODE has no }"}},
		{"wildcard needs advertise", tls + "sip: {listeners: [{bind: '[::]:5060'}]}\n", []string{"2: sip.listeners[0].advertise: missing"}},
		{"families differ", tls + "sip: {listeners: [{bind: '[::]:5060', advertise: '192.0.2.1:5060'}]}\n", []string{"2: sip.listeners[0].advertise: 192.0.2.1:5060 is of another"}},
		{"one address twice", tls + "sip: {listeners: [{bind: '127.0.0.1:5060'}, {bind: '127.0.0.1:5060'}]}\n", []string{"2: sip.listeners[1].bind: 127.0.0.1:5060 is taken by sip.listeners[0]"}},
		{"TCP and TLS on one address", tls + "sip: {listeners: [{bind: '127.0.0.1:5060', transport: tcp}, {bind: '127.0.0.1:5060', transport: tls}]}\n", []string{"2: sip.listeners[1].bind: 127.0.0.1:5060 is taken by sip.listeners[0]"}},
		{"TLS on the API's port", tls + "sip: {listeners: [{bind: '127.0.0.1:8443', transport: tls}]}\n", []string{"2: sip.listeners[0].bind: 127.0.0.1:8443 is taken by https.bind"}},
		{"two names for one address", tls + "sip: {listeners: [{bind: '127.0.0.1:5060'}, {bind: '127.0.0.1:5060', transport: tcp, advertise: '192.0.2.1:5060'}]}\n", []string{"2: sip.listeners[1].advertise: 192.0.2.1:5060 is not that of sip.listeners[0]"}},
		{"WebSocket", tls + "sip: {listeners: [{bind: '127.0.0.1:5060', transport: wss}]}\n", []string{"2: sip.listeners[0].transport: transport wss has no listener of its own"}},
		{"a balancer of datagrams", tls + "sip: {listeners: [{bind: '127.0.0.1:5060', proxy_protocol_from: [192.0.2.1, lb]}]}\n", []string{
			"2: sip.listeners[0].proxy_protocol_from[1]: \"lb\" is no address", "2: sip.listeners[0].proxy_protocol_from: is for tcp and tls",
		}},
		{"half a certificate", tls + "sip: {tls: {cert: a.pem}}\n", []string{"2: sip.tls: cert and key belong together"}},
		{"limits of connections", tls + "limits: {connections: 0, connections_per_source: -1, connection_idle: 1s}\n", []string{
			"2: limits.connections: 0 is not between", "2: limits.connections_per_source: -1 is not between", "2: limits.connection_idle: 1s is not between",
		}},
		{"timers out of bounds", tls + "sip:\n  timers:\n    t1: 50ms\n    t2: 1m\n    t4: 500ms\n    c: 3m\n", []string{
			"4: sip.timers.t1: 50ms is not between 100ms and 5s", "5: sip.timers.t2: 1m is not between 1s and 40s",
			"6: sip.timers.t4: 500ms is not between 1s and 40s", "7: sip.timers.c: 3m is not between 3m1s and 15m",
		}},
		{"t2 below t1", tls + "sip: {timers: {t1: 3s, t2: 2s}}\n", []string{"2: sip.timers.t2: 2s is below t1, 3s"}},
		{"buffers out of bounds", tls + "sip:\n  udp:\n    receive_buffer: 1024\n    send_buffer: 1000000000\n", []string{
			"4: sip.udp.receive_buffer: 1024 is not between 65536 and 268435456 bytes", "5: sip.udp.send_buffer: 1000000000 is not between",
		}},
		{"a database that is none", tls + "store: {url: 'mysql://a@b/c', connections: 1, timeout: 1h}\n", []string{
			"2: store.connections: 1 is not between", "2: store.timeout: 1h is not between", "2: store.url: \"mysql\" is no database",
		}},
		{"a password in the URL", tls + "store: {url: 'postgres://a:hush@localhost/c'}\n", []string{"2: store.url: has a password in it; put it into"}},
		{"a password in the URL's keys", tls + "store: {url: 'postgres://a@localhost/c?password=hush'}\n", []string{"2: store.url: has a password in it; put it into"}},
		{"a URL that is none", tls + "store: {url: 'postgres://a:hush@[/c'}\n", []string{"2: store.url: is no URL: missing ']' in host"}},
		{"a database without a user", tls + "store: {url: 'postgres://localhost/c'}\n", []string{"2: store.url: names no user"}},
		{"a database without a name", tls + "store: {url: 'postgres://a@localhost/'}\n", []string{"2: store.url: names no database"}},
		{"a database nowhere", tls + "store: {url: 'postgres:///c'}\n", []string{"2: store.url: names no user"}},
		{"a database in the clear", tls + "store: {url: 'postgres://a@db.example.com/c?sslmode=prefer&foo=1'}\n", []string{
			"2: store.url: foo is not among", "2: store.url: db.example.com is another host: sslmode is to be",
		}},
		{"a password for no database", tls + "store: {password_file: a}\n", []string{"2: store.password_file: set without store.url"}},
		{"no listener", tls + "sip: {listeners: []}\n", []string{"2: sip.listeners: is empty"}},
		{"an algorithm that is none", tls + "sip:\n  digest:\n  - SHA-256\n  - sha1\n", []string{"5: sip.digest[1]: \"sha1\" is neither"}},
		{"no algorithm", tls + "sip: {digest: []}\n", []string{"2: sip.digest: is empty"}},
		{"metrics on the API's port", tls + "metrics: {bind: '127.0.0.1:8443'}\n", []string{"2: metrics.bind: 127.0.0.1:8443 is taken"}},
		{"plain beside a certificate", "https: {plain: true, cert: a}\n", []string{"1: https.plain: set beside"}},
		{"too deep", tls + strings.Repeat("[\n", 30), []string{"22: : over 20 brackets open"}},
		{"too wide", tls + strings.Repeat("- ", 501), []string{"2: : a line of over 1000 bytes"}},
		{"too long", strings.Repeat("#\n", 32<<10) + "\n", []string{"0: : longer than 65536 bytes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("b.yaml", []byte(tt.text), noEnv)
			e, ok := errors.AsType[*config.Error](err)
			if !ok {
				t.Fatalf("Parse = %v, want faults", err)
			}
			var got []string
			for _, f := range e.Faults {
				got = append(got, fmt.Sprintf("%d: %s: %s", f.Line, f.Path, f.Message))
			}
			if len(got) != len(tt.want) {
				t.Fatalf("Parse reports\n%s\nwant %d faults", strings.Join(got, "\n"), len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("fault %d = %q, want %q", i, got[i], want)
				}
			}
		})
	}
}

func TestErrorNamesFileLineAndPath(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("b.yaml", []byte(tls+"drain_timeout: 2h\n"), noEnv)
	want := "b.yaml:2: drain_timeout: 2h is not between 0s and 1h"
	if err == nil || err.Error() != want {
		t.Errorf("error = %q, want %q", err, want)
	}
}

func TestLoadResolvesPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "b.yaml")
	if err := os.WriteFile(path, []byte(tls+"store: {dir: state}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.HTTPS.Cert, c.HTTPS.Key, c.Store.Dir, c.Keys.Dir}
	want := []string{filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "state"), filepath.Join(dir, "state", "keys")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths: -want +got\n%s", diff)
	}
	if _, err := config.Load(filepath.Join(dir, "none.yaml"), noEnv); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of no file = %v", err)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	parse := func(text string) *config.Config {
		c, err := config.Parse("b.yaml", []byte(tls+text), noEnv)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	tests := []struct {
		name, text string
		want       config.Changes
	}{
		{"nothing", "", config.Changes{Applied: []string{}, Waiting: []string{}}},
		{"applied", "log: {level: debug}\ndrain_timeout: 5s\n", config.Changes{Applied: []string{"log.level", "drain_timeout"}, Waiting: []string{}}},
		{"waiting", "sip: {listeners: [{bind: '127.0.0.1:5080'}]}\n", config.Changes{Applied: []string{}, Waiting: []string{"sip.listeners"}}},
		{"both", "log: {level: warn, format: text}\n", config.Changes{Applied: []string{"log.level"}, Waiting: []string{"log.format"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, config.Diff(parse(""), parse(tt.text))); diff != "" {
				t.Errorf("Diff: -want +got\n%s", diff)
			}
		})
	}
}

func TestReferenceIsComplete(t *testing.T) {
	t.Parallel()
	for _, k := range config.Reference() {
		if k.Doc == "" || (k.Change != "reload" && k.Change != "restart") {
			t.Errorf("%s: doc %q, change %q", k.Path, k.Doc, k.Change)
		}
	}
}

func TestValidateByHand(t *testing.T) {
	t.Parallel()
	c := config.Default()
	err := c.Validate()
	if err == nil || !strings.Contains(err.Error(), "https.cert: missing") {
		t.Errorf("Validate = %v", err)
	}
	c.HTTPS.Plain = true
	if err := c.Validate(); err != nil {
		t.Errorf("Validate = %v", err)
	}
}

func TestAdminToken(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("0123456789", 4)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		want string
		bad  string
	}{
		{name: "none"},
		{name: "direct", env: map[string]string{"BELLHOP_ADMIN_TOKEN": token}, want: token},
		{name: "by file", env: map[string]string{"BELLHOP_ADMIN_TOKEN_FILE": file}, want: token},
		{name: "short", env: map[string]string{"BELLHOP_ADMIN_TOKEN": "secret"}, bad: "has 6 characters"},
		{name: "empty", env: map[string]string{"BELLHOP_ADMIN_TOKEN": ""}, bad: "has 0 characters"},
		{name: "both", env: map[string]string{"BELLHOP_ADMIN_TOKEN": token, "BELLHOP_ADMIN_TOKEN_FILE": file}, bad: "choose one"},
		{name: "no file", env: map[string]string{"BELLHOP_ADMIN_TOKEN_FILE": file + "x"}, bad: "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := config.AdminToken(func(n string) (string, bool) { v, ok := tt.env[n]; return v, ok })
			if tt.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tt.bad) || strings.Contains(err.Error(), "secret") {
					t.Errorf("AdminToken = %v, want %q", err, tt.bad)
				}
				return
			}
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("AdminToken = %q, %v, want %q", got.Reveal(), err, tt.want)
			}
		})
	}
}

func TestStorePassword(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "postgres://a@localhost/b"
	env := map[string]string{"BELLHOP_STORE_PASSWORD": "hunter3"}
	for _, tt := range []struct {
		name string
		s    config.Store
		env  map[string]string
		want string
		bad  string
	}{
		{name: "none", s: config.Store{URL: url}},
		{name: "SQLite", env: env},
		{name: "direct", s: config.Store{URL: url}, env: env, want: "hunter3"},
		{name: "by file", s: config.Store{URL: url, PasswordFile: file}, want: "hunter2"},
		{name: "both", s: config.Store{URL: url, PasswordFile: file}, env: env, bad: "choose one"},
		{name: "no file", s: config.Store{URL: url, PasswordFile: file + "x"}, bad: "store.password_file"},
		{name: "empty", s: config.Store{URL: url, PasswordFile: os.DevNull}, bad: "is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.s.Password(func(n string) (string, bool) { v, ok := tt.env[n]; return v, ok })
			switch {
			case tt.bad != "":
				if err == nil || !strings.Contains(err.Error(), tt.bad) || strings.Contains(err.Error(), "hunter") {
					t.Errorf("Password = %v, want %q", err, tt.bad)
				}
			case err != nil || got.Reveal() != tt.want:
				t.Errorf("Password = %q, %v, want %q", got.Reveal(), err, tt.want)
			}
		})
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	t.Parallel()
	s := config.NewSecret("hunter2")
	js, err := json.Marshal(map[string]any{"a": s, "b": &s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s)
	all := fmt.Sprintf("%v %+v %#v %s %q", s, struct{ S config.Secret }{s}, s, s, s) + string(js) + log.String()
	if strings.Contains(all, "hunter2") {
		t.Errorf("a secret shows itself: %s", all)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(tls)
	f.Add(tls + "sip:\n  listeners:\n  - {bind: '10.0.0.1:5060', network: private}\n  digest: [MD5]\n")
	f.Add("a: &x [*x, !!int 7, <<: {b: |\n  c\n}]\n---\n")
	f.Add(tls + "node: ${HOME}\nregistration: {max_expires: 1h30m}\nlog: # none\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse("f.yaml", []byte(text), func(string) (string, bool) { return "x", true })
		if err != nil {
			e, ok := errors.AsType[*config.Error](err)
			if !ok || len(e.Faults) == 0 || c != nil {
				t.Fatalf("Parse = %v, %T %v", c, err, err)
			}
			return
		}
		// What Parse returns is valid, and reading it again changes nothing.
		if err := c.Validate(); err != nil {
			t.Fatalf("Validate of what Parse took: %v", err)
		}
		again, err := config.Parse("f.yaml", []byte(text), func(string) (string, bool) { return "x", true })
		if err != nil {
			t.Fatal(err)
		}
		if ch := config.Diff(c, again); len(ch.Applied)+len(ch.Waiting) > 0 {
			t.Fatalf("Diff of the same file: %v", ch)
		}
	})
}
