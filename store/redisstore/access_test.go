package redisstore_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"bellhop/store/redisstore"
	"bellhop/store/storetest"
)

// A Redis that would lose or show what it has is refused.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := storetest.NewRedis(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
	for _, tt := range []struct {
		url  string
		want error
	}{
		{s.URL(), redisstore.ErrPolicy},
		{"redis://192.0.2.1:6379", redisstore.ErrURL},
		{"rediss://redis.example.com:6379", redisstore.ErrURL},
		{"redis+sentinel://127.0.0.1:26379", redisstore.ErrURL},
		{"redis+sentinel://127.0.0.1:26379?master_name=m&addr=192.0.2.1:26379", redisstore.ErrURL},
		{"redis+moon://127.0.0.1:26379", redisstore.ErrURL},
		{"127.0.0.1:6379", redisstore.ErrURL},
		{"http://:hush@127.0.0.1:6379", redisstore.ErrURL},
		{"redis://:hush@127.0.0.1:x/", redisstore.ErrURL},
	} {
		_, err := redisstore.New(t.Context(), redisstore.Options{URL: tt.url})
		if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("New(%s) = %v, want %v", tt.url, err, tt.want)
		}
	}
	for _, url := range []string{
		"redis://127.0.0.1:6379/3", "redis://[::1]", "redis://localhost:6379", "unix:///run/redis.sock", "rediss://:hush@redis.example.com:6379",
		"redis+sentinel://s1.example.com:26379?master_name=m&password=hush", "redis+cluster://:hush@a.example.com:6379?addr=b.example.com:6379",
	} {
		if err := redisstore.Check(url); err != nil {
			t.Errorf("Check(%s) = %v", url, err)
		}
	}
}

// rights are those that docs/operations.md gives a user of Redis.
const rights = "on >hush ~bellhop:* &bellhop:* +info +eval +get +set +del +hset +hget +hmget +hincrby +hlen +expire +publish +subscribe +unsubscribe +ping +hello +select"

// A Redis that does not let us in, or not do what we must, is an error at the start
// that says so in its words; the rights that are documented are enough.
func TestAccess(t *testing.T) {
	t.Parallel()
	if docs, err := os.ReadFile("../../docs/operations.md"); err != nil || !strings.Contains(string(docs), "user bellhop "+strings.Replace(rights, "hush", "PASSWORD", 1)+"\n") {
		t.Errorf("docs/operations.md has other rights: %v", err)
	}
	s := storetest.NewRedis(t)
	user := func(name, rights string) {
		t.Helper()
		command := []any{"ACL", "SETUSER", name, "reset"}
		for right := range strings.FieldsSeq(rights) {
			command = append(command, right)
		}
		if err := s.Client(t).Do(t.Context(), command...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	locked := storetest.NewRedis(t, "--requirepass", "hush")
	cluster, _, _ := strings.Cut(strings.TrimPrefix(storetest.NewRedisCluster(t), "redis+cluster://"), "?")
	for _, tt := range []struct{ name, url, says string }{
		{"no password", locked.URL(), "NOAUTH"},
		{"another password", "redis://:hash@" + locked.Addr(), "WRONGPASS"},
		{"nobody", "redis://nobody:hush@" + s.Addr(), "WRONGPASS"},
		{"no such database", s.URL() + "/99", "DB index"},
		{"no cluster", "redis+cluster://" + s.Addr(), "cluster support disabled"},
		{"a cluster", "redis://" + cluster, "redis+cluster"},
	} {
		err := start(t, tt.url)
		if !errors.Is(err, redisstore.ErrRefused) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "hash") {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.says)
		}
	}
	for _, right := range strings.Fields(rights)[2:] {
		if slices.Contains([]string{"+unsubscribe", "+ping", "+hello", "+select"}, right) {
			continue // of the client, which does without
		}
		user("without", strings.Replace(rights+" ", " "+right+" ", " ", 1))
		if err := start(t, "redis://without:hush@"+s.Addr()); !errors.Is(err, redisstore.ErrRefused) {
			t.Errorf("without %s: %v", right, err)
		}
	}
	user("node", rights)
	h := newHouse(t, "redis://node:hush@"+s.Addr()+"/3")
	storetest.Provision(t, h.st)
	h.registered(t, "1001")
	h.registered(t, "1003")
	h.forwards(t, "1001", "1003")
	if rs := h.redis.Reasons(); len(rs) > 0 {
		t.Errorf("reasons: %+v", rs)
	}
	// Somebody takes the rights away.
	user("node", strings.Replace(rights, ">hush", ">other", 1))
	if err := s.Client(t).Do(t.Context(), "CLIENT", "KILL", "USER", "node").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is a reason", func() bool {
		rs := h.redis.Reasons()
		return len(rs) == 1 && strings.Contains(rs[0].Detail, "refuses")
	})
}

// start starts a store.
func start(t *testing.T, url string) error {
	t.Helper()
	s, err := redisstore.New(t.Context(), redisstore.Options{URL: url})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Attach(t.Context(), source{}, nil, nil)
}

// source is a database without a domain.
type source struct{ redisstore.Source }

// ID implements [redisstore.Source].
func (source) ID(context.Context) (int64, error) { return 1, nil }
