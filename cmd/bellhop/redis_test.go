//go:build e2e

package main

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/store/storetest"
)

// within returns how long it takes until something is so, looking every 2 ms.
func within(t *testing.T, what string, is func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !is() {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("not within 10 s: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
	return time.Since(begin)
}

// obeys returns where a number forwards to, as a node decides it.
func (h *house) obeys(t *testing.T, caller, called string) string {
	t.Helper()
	var e explanation
	if err := h.api.do(t.Context(), http.MethodPost, "/v1/explain", object{"domain": demoDomain, "caller": caller, "called": called}, &e); err != nil {
		t.Fatal(err)
	}
	for _, entry := range e.Trace {
		if entry.Rule == "forward.all" {
			return entry.To
		}
	}
	return ""
}

// TestE2ETwoNodes runs two daemons on one PostgreSQL and one Redis. Each sees what
// registers at the other and what is set there, and says at once that it cannot
// ring a phone of the other.
func TestE2ETwoNodes(t *testing.T) {
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
	url, redis, keys := db.Schema(t), storetest.NewRedis(t), makeKeys(t)
	one, two := node(t, 1, url, redis.URL(), keys), node(t, 2, url, redis.URL(), keys)
	secrets := one.people(t)
	one.put(t, "/numbers/1003", object{})
	one.put(t, "/numbers/1004", object{})

	register := func(h *house, number string, more ...any) *phone {
		t.Helper()
		p := h.phone(t, number, "desk-"+number)
		p.start(t, "register", append(more, "-ap", secrets[number])...).wait(t)
		return p
	}
	ben := register(two, "1002")
	// Ben calls ana, whose phone is at node 1: over TCP, then another one over UDP.
	refused := func(over string) {
		t.Helper()
		begin := time.Now()
		ben.calls(t, "call-refused", "1001", final(480), "-ap", secrets["1002"]).wait(t)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s: the caller waited for %v", over, took)
		}
	}
	one.over = newBridge(t, func() (net.Conn, error) { return net.Dial("tcp", one.info.SIP) })
	register(one, "1001")
	within(t, "node 2 knows of TCP", func() bool { return slices.Equal(two.transports(t, "1001"), []string{"TCP"}) })
	refused("TCP")

	var seen, obeyed []time.Duration
	for i := range 10 {
		contact := fmt.Sprintf("sip:1001@127.0.0.1:%d", 10_000+i)
		if err := registerRaw(one.info.SIP, "1001", secrets["1001"], contact); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, within(t, "node 2 knows the new contact", func() bool { return slices.Contains(two.contacts(t, "1001"), contact) }))
	}
	for i := range 10 {
		target := []string{"1001", "1004"}[i%2]
		one.forwardAll(t, "1003", target)
		obeyed = append(obeyed, within(t, "node 2 obeys the forward", func() bool { return two.obeys(t, "1002", "1003") == target }))
	}
	t.Logf("registrations of another node are known after %v, settings obeyed after %v", seen, obeyed)

	refused("UDP")
	for _, r := range two.records(t, 2) {
		want{"1002", "1001", "1001", "", 480, "unreachable", []string{"ring.elsewhere"}}.equal(t, &r)
	}
	for _, h := range []*house{one, two} {
		if text := h.readyz(t); strings.Contains(text, "degraded") {
			t.Error(text)
		}
		h.stop(t)
	}
}

// makeKeys makes a key ring.
func makeKeys(t *testing.T) string {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	if out, err := exec.Command(binary(t), "keys", keys).CombinedOutput(); err != nil {
		t.Fatalf("bellhop keys: %v %s", err, out)
	}
	return keys
}

// transports are those of the registrations of a number.
func (h *house) transports(t *testing.T, number string) (out []string) {
	t.Helper()
	var page struct {
		Items []struct{ Transport string }
	}
	if err := h.api.do(t.Context(), http.MethodGet, inDomain(demoDomain, "registrations")+"?number="+number, nil, &page); err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Items {
		out = append(out, r.Transport)
	}
	return out
}
