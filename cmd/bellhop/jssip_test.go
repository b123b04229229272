//go:build e2e

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browsers are two JsSIP softphones (testdata/jssip), those of ana and ben.
type browsers struct {
	in  io.WriteCloser
	out *lockedBuffer
}

// openBrowsers starts them and waits until they are registered.
func openBrowsers(t *testing.T, h *house) *browsers {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: no JsSIP", tool)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "phones.js"} {
		b, err := os.ReadFile(filepath.Join("../../testdata/jssip", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	url := "wss" + strings.TrimPrefix(h.info.HTTPS, "https") + "/sip"
	cmd := exec.CommandContext(t.Context(), "node", "phones.js", url, filepath.Join(h.dir, "demo", "cert.pem"), devicePassword)
	cmd.Dir = dir
	b := &browsers{out: &lockedBuffer{}}
	cmd.Stdout, cmd.Stderr = b.out, b.out
	var err error
	if b.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.in.Close() // it ends then
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("JsSIP:\n%s", b.out.String())
		}
	})
	b.saw(t, "1001 registered sip:1001@"+demoDomain+";gr=urn:uuid:", "1002 registered")
	return b
}

func (b *browsers) do(t *testing.T, what string) {
	t.Helper()
	if _, err := io.WriteString(b.in, what+"\n"); err != nil {
		t.Fatal(err)
	}
}

// saw waits until they said all of this.
func (b *browsers) saw(t *testing.T, what ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(20 * time.Millisecond) {
		missing := ""
		for _, w := range what {
			if !strings.Contains(b.out.String(), w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("JsSIP does not say %q:\n%s", missing, b.out.String())
		}
	}
}

// TestE2EJsSIP lets browser softphones over secure WebSocket call each other and a
// phone over UDP, and that one call them.
func TestE2EJsSIP(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	cleo := h.desk(t, caller)
	b := openBrowsers(t, h)

	b.do(t, "1001 call 1002")
	b.saw(t, "1002 rings 1001", "1001 confirmed", "1002 confirmed")
	b.do(t, "1002 hangup")
	b.saw(t, "1001 ended remote", "1002 ended local")

	answer := cleo.start(t, "answer", "-d", 200)
	b.do(t, "1002 call "+caller)
	b.saw(t, "1002 progress remote", "1002 confirmed local")
	b.do(t, "1002 hangup")
	answer.wait(t)

	cleo.calls(t, "call", "1001", "-d", 300).wait(t)
	b.saw(t, "1001 rings "+caller, "1001 ended remote Terminated")
	for _, r := range h.records(t, 3) {
		if r.Outcome != "answered" {
			t.Errorf("record = %+v, want an answered call", r)
		}
	}
}
