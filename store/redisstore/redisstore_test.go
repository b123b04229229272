package redisstore_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/store/binding"
	"bellhop/store/cache"
	"bellhop/store/redisstore"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// open opens a store on SQLite that shares through Redis, and runs both.
func open(t *testing.T, url string, s *feed.Stream, r prometheus.Registerer) (*sqlstore.Store, *redisstore.Store) {
	t.Helper()
	shared, err := redisstore.New(t.Context(), redisstore.Options{URL: url, Registerer: r})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	st, err := sqlstore.New(t.Context(), sqlstore.Options{
		File: filepath.Join(dir, sqlstore.FileName), Journal: filepath.Join(dir, "journal"), Node: 1, Feed: s, Shared: shared,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.Attach(t.Context(), st, st.Bindings, st.Cache); err != nil {
		t.Fatal(err)
	}
	run(t, shared.Run)
	t.Cleanup(func() { // after Run: clean-ups run last first
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st, shared
}

// run runs something until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { _ = f(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// TestContract holds the contract of a store with Redis in every condition.
func TestContract(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(t *testing.T) string{
		"up": func(t *testing.T) string { t.Helper(); return storetest.NewRedis(t).URL() },
		"refused": func(t *testing.T) string {
			t.Helper()
			s := storetest.NewRedis(t)
			s.Kill()
			return s.URL()
		},
		"slow": func(t *testing.T) string {
			t.Helper()
			return newProxy(t, storetest.NewRedis(t), 70*time.Millisecond, 0).url()
		},
		"cut in mid-answer": func(t *testing.T) string { t.Helper(); return newProxy(t, storetest.NewRedis(t), 0, 700).url() },
		"stalled": func(t *testing.T) string {
			t.Helper()
			s := storetest.NewRedis(t)
			s.Stall(t)
			return s.URL()
		},
		"flushed all the time": func(t *testing.T) string {
			t.Helper()
			s := storetest.NewRedis(t)
			c := s.Client(t)
			run(t, func(ctx context.Context) error {
				for ctx.Err() == nil {
					c.FlushAll(ctx)
					<-time.After(5 * time.Millisecond)
				}
				return nil
			})
			return s.URL()
		},
		"cluster": func(t *testing.T) string { t.Helper(); return storetest.NewRedisCluster(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := url(t)
			contract := storetest.RunShared
			if name == "up" {
				contract = storetest.Run
			}
			contract(t, func(t *testing.T, s *feed.Stream) storetest.Parts {
				t.Helper()
				st, _ := open(t, at, s, nil)
				return storetest.Parts{Store: st, Bindings: st.Bindings, Calls: st.Calls, Cache: st.Cache}
			})
		})
	}
}

// A peer is another node on the database of a store.
type peer struct {
	bindings *binding.Table
	cache    *cache.Cache
	redis    *redisstore.Store
	metrics  *prometheus.Registry
}

// noCalls are the calls of a node without any.
type noCalls struct{}

func (noCalls) Count(string, string) int                          { return 0 }
func (noCalls) Idle(string, string) (t time.Time)                 { return t }
func (noCalls) Usage(string, string, time.Time) (u routing.Usage) { return u }

func newPeer(t *testing.T, st *sqlstore.Store, url string) *peer {
	t.Helper()
	p := &peer{metrics: prometheus.NewRegistry()}
	var err error
	if p.redis, err = redisstore.New(t.Context(), redisstore.Options{URL: url, Registerer: p.metrics}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.redis.Close() })
	p.bindings, err = binding.New(t.Context(), binding.Options{Saver: st, Node: 2, Shared: true, Announce: p.redis.Announce})
	if err != nil {
		t.Fatal(err)
	}
	p.cache, err = cache.New(t.Context(), cache.Options{Source: st, Bindings: p.bindings, Calls: noCalls{}, Copies: p.redis})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.redis.Attach(t.Context(), st, p.bindings, p.cache); err != nil {
		t.Fatal(err)
	}
	run(t, p.redis.Run)
	run(t, p.cache.Run)
	return p
}

// house is two nodes on one database and one Redis.
type house struct {
	st    *sqlstore.Store
	redis *redisstore.Store
	peer  *peer
	reg   *prometheus.Registry
	cseq  uint32
}

func newHouse(t *testing.T, url string) *house {
	t.Helper()
	h := &house{reg: prometheus.NewRegistry()}
	h.st, h.redis = open(t, url, nil, h.reg)
	h.peer = newPeer(t, h.st, url)
	return h
}

// registered registers a phone at one node and waits until the other one knows;
// then the other way round.
func (h *house) registered(t *testing.T, number string) {
	t.Helper()
	a := storetest.AOR(t, number)
	for i, tb := range []*binding.Table{h.st.Bindings, h.peer.bindings} {
		h.cseq++
		r := storetest.Register(fmt.Sprintf("desk-%s-%d", number, i), uint16(5060+i), h.cseq)
		if _, _, err := tb.Register(t.Context(), a, r); err != nil {
			t.Fatal(err)
		}
		eventually(t, "both nodes know "+r.Device, func() bool {
			for _, other := range []*binding.Table{h.st.Bindings, h.peer.bindings} {
				if len(other.Bindings(a)) != i+1 {
					return false
				}
			}
			return true
		})
	}
	eventually(t, "Redis has the bindings of "+number, func() bool {
		r, ok, err := h.redis.Lookup(t.Context(), a)
		bs, unpackErr := location.Unpack(r.Packed)
		return err == nil && ok && unpackErr == nil && len(bs) == 2
	})
}

// forwards sets a forward at the first node and waits until the second obeys.
func (h *house) forwards(t *testing.T, number, to string) {
	t.Helper()
	storetest.Apply(t, h.st, storetest.Forward(number, to))
	eventually(t, "the other node obeys the forward to "+to, func() bool { return h.peer.target(t, number) == to })
}

// target is where a number forwards to, as a node knows it.
func (p *peer) target(t *testing.T, number string) string {
	t.Helper()
	w := routing.NewWorld(time.Now())
	plan, _, err := routing.Resolve(w, routing.Visit{
		Origin: routing.OriginDevice, Domain: storetest.Domain, Method: "INVITE", Target: number, TargetHost: storetest.Domain,
		Caller: routing.Caller{Domain: storetest.Domain, Device: "desk-1002", Number: "1002"},
	}, func(n routing.Need, w *routing.World) error { return p.cache.Load(t.Context(), n, w) })
	if err != nil {
		t.Fatal(err)
	}
	r, ok := plan.Decision.(routing.Ring)
	if !ok {
		return fmt.Sprintf("%T", plan.Decision)
	}
	return r.Number
}

func TestTwoNodes(t *testing.T) {
	t.Parallel()
	s := storetest.NewRedis(t)
	h := newHouse(t, s.URL())
	storetest.Provision(t, h.st)
	h.registered(t, "1001")
	h.registered(t, "1003")
	h.registered(t, "1004")
	h.forwards(t, "1001", "1003")
	h.forwards(t, "1001", "1004")
	gone := storetest.Register("desk-1001-0", 5060, 100)
	gone.Expires = location.In(0)
	if _, _, err := h.peer.bindings.Register(t.Context(), storetest.AOR(t, "1001"), gone); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removal is known", func() bool { return len(h.st.Bindings.Bindings(storetest.AOR(t, "1001"))) == 1 })
	if rs := append(h.redis.Reasons(), h.peer.redis.Reasons()...); len(rs) > 0 {
		t.Errorf("reasons: %+v", rs)
	}
	h.copies(t, s)
	keys, err := s.Client(t).Keys(t.Context(), "*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("keys = %v, %v", keys, err)
	}
	for _, k := range keys {
		if !strings.HasPrefix(k, "bellhop:") || !strings.Contains(k, "{") || strings.Contains(k, "{}") {
			t.Errorf("key %q", k)
		}
		if ttl := s.Client(t).TTL(t.Context(), k).Val(); ttl < 0 && !strings.HasSuffix(k, "{epoch}") {
			t.Errorf("%s is kept for ever", k)
		}
	}
}

// Another node may fill Redis with a binding between its being saved and announced:
// it is announced all the same.
func TestAnnouncedWhenFilled(t *testing.T) {
	t.Parallel()
	s := storetest.NewRedis(t)
	h := newHouse(t, s.URL())
	storetest.Provision(t, h.st)
	h.registered(t, "1001") // both hear each other
	var key string
	for _, k := range s.Keys(t) {
		if before, ok := strings.CutSuffix(k, "{epoch}"); ok {
			key = before + "loc:{" + storetest.AOR(t, "1003").String() + "}"
		}
	}
	bs, _, err := location.Bindings(nil).Apply(storetest.Register("desk-1003", 5060, 1), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r := binding.Row{AOR: storetest.AOR(t, "1003"), Packed: bs.Pack(), Expires: bs.LastExpiry(), Version: uint64(time.Now().UnixMilli()) << 10}
	if err := s.Client(t).Set(t.Context(), key, fmt.Sprintf("1 %d %s", r.Version, r.Packed), 0).Err(); err != nil {
		t.Fatal(err)
	}
	h.peer.redis.Announce([]binding.Row{r})
	eventually(t, "the other node knows", func() bool { return len(h.st.Bindings.Bindings(r.AOR)) == 1 })
}

// copies looks whether a node that knows nothing takes what another one read.
func (h *house) copies(t *testing.T, s *storetest.Redis) {
	t.Helper()
	need := routing.Need{Kind: routing.NeedNumber, Domain: storetest.Domain, Key: "1001"}
	load := func(p *peer) {
		t.Helper()
		if err := p.cache.Load(t.Context(), need, routing.NewWorld(time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	hits := func(p *peer) float64 { return count(t, p.metrics, "bellhop_redis_copies_total", "hit") }
	load(h.peer)
	if err := h.peer.cache.Credentials().Load(t.Context(), storetest.Domain, "desk-1001"); err != nil {
		t.Fatal(err)
	}
	third := func() *peer { return newPeer(t, h.st, s.URL()) }
	eventually(t, "a third node takes the copy", func() bool {
		p := third()
		load(p)
		if err := p.cache.Credentials().Load(t.Context(), storetest.Domain, "desk-1001"); err != nil {
			t.Fatal(err)
		}
		return hits(p) >= 1
	})
	for _, w := range []directory.Write{
		storetest.Forward("1001", "1002"),
		storetest.Put(directory.KindUser, "ana", `{"name":"Ana"}`),
		storetest.Put(directory.KindDevice, "desk-1003", `{"kind":"desk","lines":[{"number":"1001"}]}`),
		storetest.Put(directory.KindDomain, storetest.Domain, `{"realm":"a.test","region":"FR"}`),
		{Ref: storetest.Ref(directory.KindForwarding, "1001")},
	} {
		p := third()
		load(p)
		storetest.Apply(t, h.st, w)
		fresh := newPeer(t, h.st, s.URL()) // knows that the domain has another version
		before := hits(fresh)
		load(fresh)
		if hits(fresh) != before {
			t.Errorf("after %s: a stale copy was taken", w.Ref)
		}
	}
}

// count is the value of a counter with a label.
func count(t *testing.T, r *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || len(m.GetLabel()) > 0 && m.GetLabel()[0].GetValue() == label) {
				if m.GetGauge() != nil {
					return m.GetGauge().GetValue()
				}
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// What befalls Redis: meanwhile both nodes go on, afterwards they agree.
func TestHeals(t *testing.T) {
	t.Parallel()
	for name, befall := range map[string]func(t *testing.T, s *storetest.Redis, during func()){
		"flushed": func(t *testing.T, s *storetest.Redis, during func()) {
			t.Helper()
			s.Flush(t)
			during()
		},
		"killed and empty": func(t *testing.T, s *storetest.Redis, during func()) {
			t.Helper()
			s.Kill()
			during()
			s.Start(t)
		},
		"rolled back": func(t *testing.T, s *storetest.Redis, during func()) {
			t.Helper()
			dump := s.Dump(t)
			during()
			s.RollBack(t, dump)
		},
		"stalled": func(t *testing.T, s *storetest.Redis, during func()) {
			t.Helper()
			s.Stall(t)
			during()
			s.Resume(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := storetest.NewRedis(t)
			h := newHouse(t, s.URL())
			storetest.Provision(t, h.st)
			h.registered(t, "1001")
			h.registered(t, "1003")
			h.registered(t, "1004")
			h.forwards(t, "1001", "1003")
			befall(t, s, func() { h.during(t) })
			for _, number := range []string{"1001", "1002", "1003", "1004"} {
				a := storetest.AOR(t, number)
				want := len(h.st.Bindings.Bindings(a))
				if number == "1002" || number == "1004" {
					want = 1
				}
				eventually(t, "Redis and the other node have the bindings of "+number, func() bool {
					r, ok, err := h.redis.Lookup(t.Context(), a)
					bs, unpackErr := location.Unpack(r.Packed)
					return err == nil && ok && unpackErr == nil && len(bs) == want && len(h.peer.bindings.Bindings(a)) == want
				})
			}
			eventually(t, "the other node obeys", func() bool { return h.peer.target(t, "1001") == "1004" })
			h.forwards(t, "1001", "1003")
			eventually(t, "nothing is wrong any more", func() bool {
				return len(h.redis.Reasons())+len(h.peer.redis.Reasons()) == 0 &&
					count(t, h.reg, "bellhop_redis_pending", "") == 0 && count(t, h.reg, "bellhop_redis_follower_lag_seconds", "") == 0
			})
		})
	}
}

// during changes what must not be lost, and looks that nobody waits for Redis.
func (h *house) during(t *testing.T) {
	t.Helper()
	start := time.Now()
	if _, _, err := h.st.Bindings.Register(t.Context(), storetest.AOR(t, "1002"), storetest.Register("desk-1002", 5062, 1)); err != nil {
		t.Error(err)
	}
	gone := storetest.Register("desk-1004-0", 5060, 1000)
	gone.Expires = location.In(0)
	if _, _, err := h.st.Bindings.Register(t.Context(), storetest.AOR(t, "1004"), gone); err != nil {
		t.Error(err)
	}
	storetest.Apply(t, h.st, storetest.Forward("1001", "1004"))
	for i := range 10 {
		need := routing.Need{Kind: routing.NeedNumber, Domain: storetest.Domain, Key: fmt.Sprint(1001 + i)}
		if err := h.st.Cache.Load(t.Context(), need, routing.NewWorld(time.Now())); err != nil {
			t.Error(err)
		}
	}
	// Each question that failed took 50 ms at most; after three there is one a second.
	if n := count(t, h.reg, "bellhop_redis_errors_total", "copy"); n > 4+time.Since(start).Seconds() {
		t.Errorf("Redis was asked %v times in vain", n)
	}
}

// A policy that changes while we run is told, until it is as it should be.
func TestPolicyChanges(t *testing.T) {
	t.Parallel()
	s := storetest.NewRedis(t)
	h := newHouse(t, s.URL())
	set := func(policy string) {
		t.Helper()
		if err := s.Client(t).ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("allkeys-lru")
	eventually(t, "the policy is a reason", func() bool {
		rs := h.redis.Reasons()
		return len(rs) == 1 && strings.Contains(rs[0].Detail, "noeviction")
	})
	set("noeviction")
	eventually(t, "it is none", func() bool { return len(h.redis.Reasons()) == 0 })
}

// Redis on a Unix socket, behind a password.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	sock := filepath.Join(t.TempDir(), "s")
	storetest.NewRedis(t, "--unixsocket", sock, "--requirepass", "hush")
	h := newHouse(t, "unix://:hush@"+sock)
	storetest.Provision(t, h.st)
	h.registered(t, "1001")
	if testutil.CollectAndCount(h.reg) == 0 {
		t.Error("no metrics")
	}
}

func TestCluster(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.NewRedisCluster(t))
	storetest.Provision(t, h.st)
	for _, number := range []string{"1001", "1002", "1003", "1004"} {
		h.registered(t, number)
	}
	h.forwards(t, "1001", "1003")
}

// The master dies; a Sentinel makes the replica the master.
func TestSentinel(t *testing.T) {
	t.Parallel()
	master := storetest.NewRedis(t, "--repl-diskless-sync-delay", "0")
	replica := storetest.NewRedis(t, "--replicaof", "127.0.0.1", fmt.Sprint(master.Port))
	eventually(t, "the replica follows", func() bool {
		info, err := replica.Client(t).Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	sentinel := storetest.NewSentinel(t, master)
	h := newHouse(t, "redis+sentinel://"+sentinel.Addr()+"?master_name=house")
	storetest.Provision(t, h.st)
	h.registered(t, "1001")
	h.registered(t, "1003")
	h.registered(t, "1004")
	master.Kill()
	h.during(t)
	eventually(t, "the replica is the master", func() bool {
		info, err := replica.Client(t).Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "role:master")
	})
	h.registered(t, "1005")
	eventually(t, "the removal is known", func() bool { return len(h.peer.bindings.Bindings(storetest.AOR(t, "1004"))) == 1 })
}
