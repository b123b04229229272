package storetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Redis is a redis-server of a test, in a folder of its own. Make one with
// [NewRedis], [NewSentinel] or [NewRedisCluster].
type Redis struct {
	Port int
	dir  string
	args []string
	cmd  *exec.Cmd
}

// NewRedis starts a server that writes to disk only when it is told to. It ends
// with the test.
func NewRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	r := &Redis{Port: freePort(t), dir: t.TempDir()}
	r.args = append([]string{
		"--port", strconv.Itoa(r.Port), "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--daemonize", "no",
	}, args...)
	r.Start(t)
	t.Cleanup(r.Kill)
	return r
}

// freePort is a port that nobody has, and whose bus port is one too.
func freePort(t testing.TB) int {
	t.Helper()
	for {
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		_ = ln.Close()
		if port < 55_000 {
			return port
		}
	}
}

// Start starts a server that was killed, and waits until it answers, though it may
// want a password.
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	r.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), "redis-server", r.args...)
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("%v: the tests need redis-server (make setup)", err)
	}
	c := r.Client(t)
	for limit := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		err := c.Ping(t.Context()).Err()
		if err == nil || strings.HasPrefix(err.Error(), "NOAUTH") {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("redis-server does not answer: %v", err)
		}
	}
}

// Kill ends the server as a power cut would.
func (r *Redis) Kill() {
	_ = r.cmd.Process.Kill() // it may have ended
	_ = r.cmd.Wait()         // "signal: killed"
}

// Stall stops the server from working; its kernel goes on taking what comes.
func (r *Redis) Stall(t testing.TB) { t.Helper(); r.signal(t, syscall.SIGSTOP) }

// Resume lets a server go on that was stalled.
func (r *Redis) Resume(t testing.TB) { t.Helper(); r.signal(t, syscall.SIGCONT) }

func (r *Redis) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// Flush makes the server forget all it has.
func (r *Redis) Flush(t testing.TB) {
	t.Helper()
	if err := r.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

// Dump returns what the server has, for [Redis.RollBack].
func (r *Redis) Dump(t testing.TB) []byte {
	t.Helper()
	if err := r.Client(t).Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(r.dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RollBack starts the server again with what it had once.
func (r *Redis) RollBack(t testing.TB, dump []byte) {
	t.Helper()
	r.Kill()
	if err := os.WriteFile(filepath.Join(r.dir, "dump.rdb"), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	r.Start(t)
}

// Addr is where the server is.
func (r *Redis) Addr() string { return "127.0.0.1:" + strconv.Itoa(r.Port) }

// URL is the same for [redisstore.Options].
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// Client returns a client of the test.
func (r *Redis) Client(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: r.Addr(), DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Keys returns the names of all that the server has.
func (r *Redis) Keys(t testing.TB) []string {
	t.Helper()
	keys, err := r.Client(t).Keys(context.WithoutCancel(t.Context()), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Locations returns what the server has of bindings, by AOR.
func (r *Redis) Locations(t testing.TB) map[string]string {
	t.Helper()
	c := r.Client(t)
	out := make(map[string]string)
	for _, k := range r.Keys(t) {
		_, rest, ok := strings.Cut(k, ":loc:{")
		if !ok {
			continue
		}
		value, err := c.Get(context.WithoutCancel(t.Context()), k).Result()
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(rest, "}")] = value
	}
	return out
}

// NewRedisCluster makes a cluster of three masters, and returns its URL.
func NewRedisCluster(t testing.TB) (url string) {
	t.Helper()
	args := []string{"--cluster", "create"}
	var at []string
	for i := range 3 {
		r := NewRedis(t, "--cluster-enabled", "yes", "--cluster-config-file", fmt.Sprintf("nodes-%d.conf", i), "--cluster-node-timeout", "2000")
		at = append(at, r.Addr())
	}
	args = append(append(args, at...), "--cluster-yes")
	out, err := exec.CommandContext(t.Context(), "redis-cli", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli: %v\n%s", err, out)
	}
	return "redis+cluster://" + at[0] + "?addr=" + strings.Join(at[1:], "&addr=")
}

// NewSentinel starts a Sentinel that decides alone, and fast, who is the master of
// "house".
func NewSentinel(t testing.TB, master *Redis) *Redis {
	t.Helper()
	r := &Redis{dir: t.TempDir(), Port: freePort(t)}
	file := filepath.Join(r.dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor house 127.0.0.1 %d 1\nsentinel down-after-milliseconds house 500\nsentinel failover-timeout house 2000\n",
		r.Port, r.dir, master.Port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.args = []string{file, "--sentinel"}
	r.Start(t)
	t.Cleanup(r.Kill)
	return r
}
