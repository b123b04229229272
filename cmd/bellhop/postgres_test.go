//go:build e2e

package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellhop/store/storetest"
)

// adminToken is that of the nodes of these tests.
const adminToken = "0123456789012345678901234567890123456789"

// node starts a daemon with a configuration file on a database. It is a house
// without people; there may be several on one database.
func node(t *testing.T, number int, url, redis, keys string) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), info: &demoInfo{SIP: "127.0.0.1:" + freePort(t), HTTPS: "https://localhost:" + freePort(t)}, ops: "127.0.0.1:" + freePort(t)}
	h.configure(t, number, url, redis, keys)
	h.serve(t)
	return h
}

// configure writes the files of a node; redis is "" for none.
func (h *house) configure(t *testing.T, number int, url, redis, keys string) {
	t.Helper()
	if err := selfSigned(filepath.Join(h.dir, "c.pem"), filepath.Join(h.dir, "k.pem"), []string{"localhost"}, nil); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("node: {number: %d}\nsip: {listeners: [{bind: '%[2]s'}, {bind: '%[2]s', transport: tcp}], digest: [MD5]}\nhttps: {bind: '%[3]s', cert: c.pem, key: k.pem}\n"+
		"metrics: {bind: '%[4]s'}\nstore: {dir: state, url: '%[5]s', redis: '%[6]s', timeout: 1s}\nkeys: {dir: '%[7]s'}\n",
		number, h.info.SIP, strings.Replace(strings.TrimPrefix(h.info.HTTPS, "https://"), "localhost", "127.0.0.1", 1), h.ops, url, redis, keys)
	for file, text := range map[string]string{"b.yaml": text, "token": adminToken} {
		if err := os.WriteFile(filepath.Join(h.dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// serve starts the daemon and waits until it is up.
func (h *house) serve(t *testing.T) {
	t.Helper()
	h.daemon = beginWith(t, []string{"BELLHOP_ADMIN_TOKEN=" + adminToken}, h.dir, "serve", "-c", "b.yaml")
	h.said(t, "bellhop is up")
	var err error
	flags := apiFlags{URL: h.info.HTTPS, TokenFile: filepath.Join(h.dir, "token"), CA: filepath.Join(h.dir, "c.pem")}
	if h.api, err = flags.client(stdio{env: func(string) (string, bool) { return "", false }}); err != nil {
		t.Fatal(err)
	}
}

// readyz is what a node says of itself; it asks no store.
func (h *house) readyz(t *testing.T) string {
	t.Helper()
	status, body := h.asks(t, "/readyz")
	if status != http.StatusOK {
		t.Errorf("/readyz = %d %s", status, body)
	}
	return body
}

// asks asks a node for health or metrics.
func (h *house) asks(t *testing.T, path string) (status int, body string) {
	t.Helper()
	res, err := http.Get("http://" + h.ops + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// people makes a domain with ana at 1001 and ben at 1002, and returns the secrets
// of their desk phones, by number.
func (h *house) people(t *testing.T) (secrets map[string]string) {
	t.Helper()
	secrets = make(map[string]string)
	if err := h.api.do(t.Context(), http.MethodPut, inDomain(demoDomain), object{"region": "DE", "aliases": []string{"127.0.0.1"}}, nil); err != nil {
		t.Fatal(err)
	}
	for number, user := range map[string]string{"1001": "ana", "1002": "ben"} {
		h.put(t, "/users/"+user, object{})
		h.put(t, "/numbers/"+number, object{"user": user})
		h.put(t, "/devices/desk-"+number, object{"user": user, "kind": "desk", "lines": []object{{"number": number}}})
		var made struct{ Secret string }
		if err := h.api.do(t.Context(), http.MethodPost, inDomain(demoDomain, "devices", "desk-"+number)+"/credentials", object{}, &made); err != nil {
			t.Fatal(err)
		}
		secrets[number] = made.Secret
	}
	return secrets
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// TestE2EPostgres runs two nodes on one PostgreSQL: what is set at one holds at
// the other, calls go on while the database is away, and changes are refused.
func TestE2EPostgres(t *testing.T) {
	t.Parallel()
	db, err := storetest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	url := db.Schema(t)

	// A node makes no ring by itself.
	lone := &house{dir: t.TempDir(), info: &demoInfo{SIP: "127.0.0.1:0", HTTPS: "https://127.0.0.1:0"}, ops: "127.0.0.1:0"}
	lone.configure(t, 9, url, "", "keys")
	cmd := exec.Command(binary(t), "serve", "-c", "b.yaml")
	cmd.Dir = lone.dir
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "keys.dir: ") || !strings.Contains(string(out), "bellhop keys") {
		t.Errorf("serve without a key ring says %s", out)
	}
	keys := makeKeys(t)

	one, two := node(t, 1, url, "", keys), node(t, 2, url, "", keys)
	secrets := one.people(t)
	register := func(h *house, number string) *phone {
		t.Helper()
		p := h.phone(t, number, "desk-"+number)
		p.start(t, "register", "-ap", secrets[number]).wait(t)
		return p
	}
	// What one node made, the other one knows and opens.
	eventually(t, "node 2 knows the domain", func() bool {
		return two.api.do(t.Context(), http.MethodGet, inDomain(demoDomain, "numbers", "1002"), nil, nil) == nil
	})
	ana, ben := register(two, "1001"), register(two, "1002")
	if n := len(two.contacts(t, "1001")); n != 1 {
		t.Errorf("%d contacts of 1001 at node 2, want 1", n)
	}
	eventually(t, "node 1 knows the registration", func() bool { return len(one.contacts(t, "1001")) == 1 })
	call := func() {
		t.Helper()
		answer := ana.start(t, "answer", "-d", 100, "-ap", secrets["1001"])
		ben.calls(t, "call", "1001", "-d", 100, "-ap", secrets["1002"]).wait(t)
		answer.wait(t)
	}
	call()
	one.check(t, want{"1002", "1001", "1001", "desk-1001", 200, "answered", []string{"ring.devices"}})

	if err := db.Kill(); err != nil {
		t.Fatal(err)
	}
	call() // from memory
	eventually(t, "the store is a reason", func() bool { return strings.Contains(two.readyz(t), "changes and registrations are refused") })
	err = two.api.do(t.Context(), http.MethodPut, inDomain(demoDomain, "users", "cleo"), object{}, nil)
	if p, ok := errors.AsType[*problem](err); !ok || p.Status != http.StatusServiceUnavailable {
		t.Errorf("a change while the database is away = %v, want 503", err)
	}
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all works again", func() bool { return !strings.Contains(one.readyz(t)+two.readyz(t), "degraded") })
	one.records(t, 2)
	two.put(t, "/users/cleo", object{})

	// A node that died has its bindings again; the other one did not lose them.
	two.kill(t)
	two.serve(t)
	if n := len(two.contacts(t, "1001")); n != 1 {
		t.Errorf("%d contacts of 1001 after kill -9, want 1", n)
	}
	two.stop(t)
	one.stop(t)
}
