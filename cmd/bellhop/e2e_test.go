//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// binary is the daemon that the build phase made.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("BELLHOP_BIN")
	if path == "" {
		t.Fatal("BELLHOP_BIN is not set: run make e2e")
	}
	return path
}

// A daemon is a process of the binary.
type daemon struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr lockedBuffer
	ended  chan error
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// begin starts the binary in dir; it is killed when the test ends.
func begin(t *testing.T, dir string, args ...string) *daemon {
	t.Helper()
	return beginWith(t, nil, dir, args...)
}

// beginWith is begin with more in the environment.
func beginWith(t *testing.T, env []string, dir string, args ...string) *daemon {
	t.Helper()
	d := &daemon{cmd: exec.Command(binary(t), args...), ended: make(chan error, 1)}
	d.cmd.Dir, d.cmd.Stderr, d.cmd.Env = dir, &d.stderr, append(os.Environ(), env...)
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.stdout = bufio.NewReader(out)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill() // it may be gone already
		if t.Failed() {
			t.Logf("standard error of bellhop %v:\n%s", args, d.stderr.String())
		}
	})
	return d
}

// demo starts a demo on free ports and waits until it is up.
func demo(t *testing.T, dir string, args ...string) (*daemon, *demoInfo) {
	t.Helper()
	d := begin(t, dir, append([]string{"demo", "--sip", "127.0.0.1:0", "--https", "127.0.0.1:0"}, args...)...)
	line, err := d.stdout.ReadBytes('\n')
	if err != nil {
		t.Fatalf("no line from the demo: %v\n%s", err, d.stderr.String())
	}
	var info demoInfo
	if err := json.Unmarshal(line, &info); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return d, &info
}

// stop ends the process as an operator would, and waits for it.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("bellhop ended with %v\n%s", err, d.stderr.String())
	}
}

// said waits until the log says something, and returns that line.
func (d *daemon) said(t *testing.T, msg string) map[string]any {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		for line := range strings.Lines(d.stderr.String()) {
			var entry map[string]any
			if json.Unmarshal([]byte(line), &entry) == nil && entry["msg"] == msg {
				return entry
			}
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Fatalf("the log does not say %q:\n%s", msg, d.stderr.String())
	return nil
}

// TestE2EReadme makes the README's first call with its own lines: two phones,
// a forward set by one curl, and the explanation.
func TestE2EReadme(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, info := demo(t, dir)
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	phones := filepath.Join(dir, "phones")
	here := strings.NewReplacer("127.0.0.1:5060", info.SIP, "https://127.0.0.1:8443", info.HTTPS, "/tmp/bellhop", phones, "bin/bellhop", binary(t))
	var script strings.Builder
	script.WriteString("set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n")
	for _, block := range strings.Split(string(readme), "\n```sh\n")[1:] {
		lines, _, _ := strings.Cut(block, "\n```\n")
		script.WriteString(here.Replace(lines) + "\necho END OF BLOCK\n")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script.String())
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		for _, phone := range []string{"ana", "ben"} {
			log, _ := os.ReadFile(filepath.Join(phones, phone+".log"))
			t.Logf("%s's phone:\n%s", phone, log)
		}
		t.Fatalf("the README's lines fail: %v\n%s", err, out)
	}
	blocks := strings.Split(string(out), "END OF BLOCK\n")
	for i, want := range []string{"", "1001@bellhop.test: Call established", "1002@bellhop.test: Call established", "forward.all"} {
		if i >= len(blocks) || !strings.Contains(blocks[i], want) {
			t.Errorf("block %d does not show %q:\n%s", i, want, out)
		}
	}
	heard, err := filepath.Glob(filepath.Join(phones, "ben", "dump-*-dec.wav"))
	if err != nil || len(heard) == 0 {
		t.Fatalf("ben heard nothing: %v", err)
	}
	if info, err := os.Stat(heard[0]); err != nil || info.Size() < 100_000 {
		t.Errorf("ben heard %v, %v", info.Size(), err)
	}
}

// TestE2EDemoKeepsState stops a demo and starts it again: passwords and
// settings are as they were.
func TestE2EDemoKeepsState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, first := demo(t, dir, "--sips", "127.0.0.1:0", "--trunk", "127.0.0.1:5090")
	tool := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(binary(t), args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("bellhop %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if out := tool("user", "list"); !strings.Contains(out, "eve") || !strings.Contains(out, "1005") {
		t.Errorf("user list:\n%s", out)
	}
	if out := tool("user", "add", "fay", "--number", "1006", "--device", "desk-1006"); !strings.Contains(out, "desk-1006 authenticates as desk-1006") {
		t.Errorf("user add:\n%s", out)
	}
	people := "user,name,number,device,kind\ngus,Gus,1007,desk-1007,desk\nhal,Hal,1008,desk-1008,desk\n"
	if err := os.WriteFile(filepath.Join(dir, "people.csv"), []byte(people), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := tool("import", "--dry-run", "people.csv"); !strings.Contains(out, "would import 2 rows") || !strings.Contains(out, "2 created") {
		t.Errorf("import --dry-run:\n%s", out)
	}
	if out := tool("import", "--secrets", "secrets.csv", "people.csv"); !strings.Contains(out, "save") || !strings.Contains(out, "imported 2 rows") {
		t.Errorf("import:\n%s", out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "secrets.csv")); err != nil || !strings.Contains(string(b), "\ndesk-1008,") {
		t.Errorf("secrets.csv = %s, %v", b, err)
	}
	d.stop(t)

	d, second := demo(t, dir)
	if diff := cmp.Diff(first.Users, second.Users); diff != "" || first.AdminToken != second.AdminToken {
		t.Errorf("secrets changed over a restart:\n%s", diff)
	}
	if out := tool("user", "list"); !strings.Contains(out, "fay") || !strings.Contains(out, "hal") {
		t.Errorf("fay or hal is gone:\n%s", out)
	}
	if out := tool("explain", "--caller", "1001", "--called", "1006"); !strings.Contains(out, "1001 calls 1006") {
		t.Errorf("explain:\n%s", out)
	}
	d.stop(t)
	if strings.Contains(d.stderr.String(), first.AdminToken) || strings.Contains(d.stderr.String(), first.Users[0].Password) {
		t.Error("a secret is in the log")
	}
}

// TestE2EServe runs the daemon with a file: ready, reload by HUP, stop by TERM.
func TestE2EServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := selfSigned(filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), []string{"localhost"}, nil); err != nil {
		t.Fatal(err)
	}
	write := func(more string) {
		t.Helper()
		text := "sip: {listeners: [{bind: '127.0.0.1:0'}]}\nhttps: {bind: '127.0.0.1:0', cert: c.pem, key: k.pem}\n" +
			"metrics: {bind: '127.0.0.1:0'}\nstore: {dir: state}\n" + more
		if err := os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	d := begin(t, dir, "serve", "-c", "b.yaml")
	said := func(msg string) map[string]any { t.Helper(); return d.said(t, msg) }
	metrics := ""
	for _, at := range said("bellhop is up")["listen"].([]any) {
		if s := at.(string); strings.HasPrefix(s, "http://") {
			metrics = s
		}
	}
	get := func(path string) (int, string) {
		t.Helper()
		res, err := http.Get(metrics + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if status, body := get("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz = %d %s", status, body)
	}
	write("drain_timeout: 1s\n")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	said("reloaded")
	write("nonsense: 1\n")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	said("reload refused, the old configuration stays")
	if status, body := get("/readyz"); status != http.StatusOK || !strings.Contains(body, `"degraded"`) || !strings.Contains(body, `"part":"config"`) {
		t.Errorf("/readyz after a refused reload = %d %s", status, body)
	}
	for _, line := range []struct{ status, args string }{{"copy", "backup copy.db --store state"}, {"stop it first", "restore copy.db --store state"}} {
		cmd := exec.Command(binary(t), strings.Fields(line.args)...)
		cmd.Dir = dir
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), line.status) {
			t.Errorf("bellhop %s beside the daemon says %s", line.args, out)
		}
	}
	if _, body := get("/metrics"); !strings.Contains(body, `bellhop_config_reloads_total{result="refused"} 1`) || !strings.Contains(body, `bellhop_config_reloads_total{result="applied"} 1`) {
		t.Errorf("/metrics does not count reloads:\n%s", body)
	}
	d.stop(t)
}
