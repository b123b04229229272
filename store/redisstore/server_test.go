package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A server is a redis-server of a test.
type server struct {
	dir  string
	port int
	args []string
	cmd  *exec.Cmd
}

// freePort is a port that nobody has, and whose bus port is one too.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
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

// newServer starts a server that writes to disk only when it is told to.
func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), port: freePort(t)}
	s.args = append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no",
	}, args...)
	s.start(t)
	t.Cleanup(func() { s.end() })
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), "redis-server", s.args...)
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("%v: the tests need redis-server (make setup)", err)
	}
	c := s.client(t)
	eventually(t, "redis-server answers", func() bool { return c.Ping(t.Context()).Err() == nil })
}

// end kills the server as a power cut would.
func (s *server) end() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (s *server) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }
func (s *server) url() string  { return "redis://" + s.addr() }

// client is a client of the test.
func (s *server) client(t *testing.T) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.addr(), DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// save writes a dump and returns it.
func (s *server) save(t *testing.T) []byte {
	t.Helper()
	if err := s.client(t).Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(s.dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rollBack starts the server again with an old dump.
func (s *server) rollBack(t *testing.T, dump []byte) {
	t.Helper()
	s.end()
	if err := os.WriteFile(filepath.Join(s.dir, "dump.rdb"), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t)
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(15 * time.Second)
	for !is() {
		select {
		case <-limit:
			t.Fatalf("it is not so that %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A proxy stands before a server and spoils what it answers.
type proxy struct {
	ln    net.Listener
	delay time.Duration
	cut   int // bytes of answers after which a connection ends; 0: never
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, to *server, delay time.Duration, cut int) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, delay: delay, cut: cut}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c, to.addr()) })
		}
	})
	t.Cleanup(func() { _ = ln.Close() })
	return p
}

func (p *proxy) url() string { return "redis://" + p.ln.Addr().String() }

func (p *proxy) serve(c net.Conn, to string) {
	defer c.Close()
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		_, _ = copyAll(up, c, 0, 0)
		_ = up.Close()
	}()
	_, _ = copyAll(c, up, p.delay, p.cut)
}

// copyAll copies with a delay before each piece, until so many bytes were copied.
func copyAll(to, from net.Conn, delay time.Duration, cut int) (n int, err error) {
	b := make([]byte, 32<<10)
	for {
		m, err := from.Read(b)
		if err != nil {
			return n, err
		}
		if delay > 0 {
			<-time.After(delay)
		}
		if cut > 0 && n+m > cut {
			_, _ = to.Write(b[:cut-n])
			return cut, errors.New("cut")
		}
		if _, err := to.Write(b[:m]); err != nil {
			return n, err
		}
		n += m
	}
}

// newCluster makes a cluster of three masters.
func newCluster(t *testing.T) (url string) {
	t.Helper()
	args := []string{"--cluster", "create"}
	var at []string
	for i := range 3 {
		s := newServer(t, "--cluster-enabled", "yes", "--cluster-config-file", fmt.Sprintf("nodes-%d.conf", i), "--cluster-node-timeout", "2000")
		at = append(at, s.addr())
	}
	args = append(append(args, at...), "--cluster-yes")
	out, err := exec.CommandContext(t.Context(), "redis-cli", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli: %v\n%s", err, out)
	}
	return "redis+cluster://" + at[0] + "?addr=" + strings.Join(at[1:], "&addr=")
}

// newSentinel starts a Sentinel that decides alone, and fast.
func newSentinel(t *testing.T, master *server) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), port: freePort(t)}
	file := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor house 127.0.0.1 %d 1\nsentinel down-after-milliseconds house 500\nsentinel failover-timeout house 2000\n",
		s.port, s.dir, master.port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{file, "--sentinel"}
	s.start(t)
	t.Cleanup(func() { s.end() })
	eventually(t, "the Sentinel knows the replica", func() bool {
		v, err := redis.NewSentinelClient(&redis.Options{Addr: s.addr(), DisableIdentity: true}).Replicas(t.Context(), "house").Result()
		return err == nil && len(v) == 1
	})
	return s
}
