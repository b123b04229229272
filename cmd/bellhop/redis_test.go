//go:build e2e

package main

import (
	"database/sql"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// metric is the sum of the values of a metric.
func (h *house) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	_, text := h.asks(t, "/metrics")
	found := false
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(series, "{"); base != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Errorf("there is no metric %s", name)
	}
	return sum
}

// saved are the bindings that the database of a demo has, as Redis should have
// them.
func (h *house) saved(t *testing.T) map[string]string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.dir, "demo", "store", "bellhop.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT user, domain, version, packed FROM bindings`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := make(map[string]string)
	for rows.Next() {
		var user, domain, version, packed string
		if err := rows.Scan(&user, &domain, &version, &packed); err != nil {
			t.Fatal(err)
		}
		out["sip:"+user+"@"+domain] = "1 " + version + " " + packed
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// A crowd registers phones and changes settings all the time, and remembers what
// was acknowledged last.
type crowd struct {
	wg   sync.WaitGroup
	stop chan struct{}

	mu              sync.Mutex
	contacts        map[string]string // by number
	forward         string            // of 1004
	registered, set int
	slowest         time.Duration
}

// newCrowd begins with so many of the extra phones of a demo.
func newCrowd(t *testing.T, h *house, phones int) *crowd {
	t.Helper()
	c := &crowd{stop: make(chan struct{}), contacts: make(map[string]string)}
	again := func(every time.Duration, do func(round int)) {
		c.wg.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for round := 0; ; round++ {
				do(round)
				select {
				case <-c.stop:
					return
				case <-tick.C:
				}
			}
		})
	}
	for i := range phones {
		number := fmt.Sprint(firstExtra + i)
		again(200*time.Millisecond, func(round int) {
			contact := fmt.Sprintf("sip:%s@192.0.2.%d:%d", number, i+1, 10_000+round)
			begin := time.Now()
			err := registerRaw(h.info.SIP, number, devicePassword, contact)
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				t.Errorf("registration of %s: %v", contact, err)
				return
			}
			c.contacts[number] = contact
			c.registered++
			c.slowest = max(c.slowest, time.Since(begin))
		})
	}
	again(100*time.Millisecond, func(round int) {
		target := fmt.Sprint(1001 + round%2)
		if p := h.setForward(t, "1004", target); p != nil {
			t.Errorf("a setting is refused: %v", p)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forward = target
		c.set++
	})
	return c
}

// TestE2ERedisFails empties Redis, stalls it, and kills it, while people call,
// register and change settings: no call and no registration fails, nothing that was
// acknowledged is lost, and all heals by itself.
func TestE2ERedisFails(t *testing.T) {
	t.Parallel()
	const phones, rate, calls = 20, 20, 240
	redis := storetest.NewRedis(t)
	ops := "127.0.0.1:" + freePort(t)
	h := newHouse(t, "--redis", redis.URL(), "--users", fmt.Sprint(phones), "--metrics", ops)
	h.ops = ops
	cleo, ana := h.desk(t, caller), h.desk(t, "1001")
	h.put(t, "/numbers/1001", object{"user": "ana", "busy_trigger": 100})
	begin := time.Now()
	answer := ana.start(t, "answer", "-d", 20, "-m", calls)
	call := cleo.calls(t, "call", "1001", "-d", 100, "-m", calls, "-r", rate)
	people := newCrowd(t, h, phones)

	full := func() bool { return len(redis.Locations(t)) == phones+2 }
	reason := func() bool { return strings.Contains(h.readyz(t), `"part":"redis"`) }
	well := func() bool { return !reason() && full() && h.metric(t, "bellhop_redis_pending") == 0 }
	within(t, "Redis has all phones", full)
	redis.Flush(t)
	t.Logf("emptied: full again after %v", within(t, "what was flushed is there again", func() bool { return full() && h.metric(t, "bellhop_redis_fills_total") > 1 }))
	for _, mishap := range []struct {
		name      string
		from, end func(testing.TB)
	}{
		{"stalled", redis.Stall, redis.Resume},
		{"killed", func(testing.TB) { redis.Kill() }, redis.Start},
	} {
		mishap.from(t)
		told := within(t, "/readyz tells that Redis is "+mishap.name, reason)
		if h.metric(t, "bellhop_redis_breaker_open") != 1 || h.metric(t, "bellhop_node_ready") != 1 {
			t.Errorf("%s: the metrics do not tell", mishap.name)
		}
		<-time.After(1500 * time.Millisecond)
		mishap.end(t)
		t.Logf("%s: told after %v, well again %v after its end", mishap.name, told, within(t, "all is well", well))
	}
	call.wait(t)
	answer.wait(t)
	took := time.Since(begin)
	close(people.stop)
	people.wg.Wait()

	answered := 0
	for _, r := range h.records(t, calls) {
		if r.Outcome == "answered" {
			answered++
		}
	}
	t.Logf("%d of %d calls answered, %d registrations (the slowest took %v) and %d settings acknowledged, in %v", answered, calls, people.registered, people.slowest, people.set, took)
	if answered != calls {
		t.Errorf("%d of %d calls failed", calls-answered, calls)
	}
	for number, contact := range people.contacts {
		if got := h.contacts(t, number); !slices.Equal(got, []string{contact}) {
			t.Errorf("%s is at %v, want %s", number, got, contact)
		}
	}
	if got := h.obeys(t, caller, "1004"); got != people.forward {
		t.Errorf("1004 forwards to %s, want %s", got, people.forward)
	}
	within(t, "Redis has what the database has", func() bool { return maps.Equal(redis.Locations(t), h.saved(t)) })
	for _, name := range []string{"bellhop_redis_pending", "bellhop_redis_follower_lag_seconds", "bellhop_redis_breaker_open"} {
		within(t, name+" is 0", func() bool { return h.metric(t, name) == 0 })
	}
}
