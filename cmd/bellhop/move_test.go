//go:build e2e

package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellhop/store/storetest"
)

// TestE2EMove moves a demo from SQLite to PostgreSQL, by a command that is killed a
// few times, and makes a call there.
func TestE2EMove(t *testing.T) {
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
	call := func(h *house) {
		t.Helper()
		cleo, ana := h.desk(t, caller), h.desk(t, "1001")
		answer := ana.start(t, "answer", "-d", 100)
		cleo.calls(t, "call", "1001", "-d", 100).wait(t)
		answer.wait(t)
	}
	old := newHouse(t)
	call(old)
	old.records(t, 1)
	old.stop(t)
	if err := os.Remove(filepath.Join(old.dir, "demo", demoFile)); err != nil { // it is none any more
		t.Fatal(err)
	}

	h := &house{dir: t.TempDir(), info: &demoInfo{SIP: "127.0.0.1:" + freePort(t), HTTPS: "https://localhost:" + freePort(t)}, ops: "127.0.0.1:" + freePort(t)}
	h.configure(t, 1, db.Schema(t), "", filepath.Join(old.dir, "demo", "keys"))
	command := func() *exec.Cmd {
		cmd := exec.Command(binary(t), "move", "-c", "b.yaml", filepath.Join(old.dir, "demo", "store", "bellhop.db"))
		cmd.Dir = h.dir
		return cmd
	}
	for range 5 {
		cmd := command()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(rand.N(300 * time.Millisecond))
		_ = cmd.Process.Kill() // it may be through
		_ = cmd.Wait()
	}
	// One that was killed after it was through has left everything.
	if out, err := command().CombinedOutput(); err != nil && !strings.Contains(string(out), "something in the database") {
		t.Fatalf("bellhop move: %v %s", err, out)
	}
	h.serve(t)
	h.records(t, 1)
	if n := len(h.contacts(t, "1001")); n != 1 {
		t.Errorf("%d contacts of 1001, want 1", n)
	}
	call(h)
	h.records(t, 2)
	h.stop(t)
}
