//go:build e2e

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// baresip starts one that answers by itself, registered through proxy, and waits
// until the server knows it.
func (h *house) baresip(t *testing.T, number, proxy string) *lockedBuffer {
	t.Helper()
	return h.baresips(t, "desk-"+number, proxy, line{number, "auto"})
}

// A line is one that a baresip has, and what it does when it rings: auto, early or
// manual.
type line struct{ number, answers string }

// baresips starts a baresip with lines of one device.
func (h *house) baresips(t *testing.T, device, proxy string, lines ...line) *lockedBuffer {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("config", `module_path   /usr/lib/baresip/modules
module        g711.so
module        aubridge.so
module_tmp    account.so
module_app    menu.so
audio_source  aubridge,nobody
audio_player  aubridge,nobody
audio_alert   aubridge,nobody
sip_listen    127.0.0.1:0
sip_cafile    `+filepath.Join(h.dir, "demo", "cert.pem")+"\n")
	var accounts strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&accounts, "<sip:%s@%s>;auth_user=%s;auth_pass=%s;outbound=\"sip:%s\";regint=600;answermode=%s\n",
			l.number, demoDomain, device, devicePassword, proxy, l.answers)
	}
	write("accounts", accounts.String())
	write("contacts", "")
	cmd := exec.CommandContext(t.Context(), "baresip", "-s", "-f", dir)
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // and the context ends it as well
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("baresip %s:\n%s", device, out.String())
		}
	})
	for _, l := range lines {
		for deadline := time.Now().Add(10 * time.Second); len(h.contacts(t, l.number)) == 0; <-time.After(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("baresip does not register %s:\n%s", l.number, out.String())
			}
		}
	}
	return out
}

// TestE2EBaresip lets phones that speak TCP and TLS be called by one that speaks
// UDP, and one by the other's number: a phone of each kind hears each other one.
func TestE2EBaresip(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "--sips", "127.0.0.1:0")
	ana := h.baresip(t, "1001", h.info.SIP+";transport=tcp")
	ben := h.baresip(t, "1002", h.info.SIPS+";transport=tls")
	cleo := h.desk(t, caller)
	dan := h.desk(t, "1004")
	dan.server = newBridge(t, func() (net.Conn, error) { return net.Dial("tcp", h.info.SIP) }).addr()
	for i, phone := range []*phone{cleo, dan} {
		phone.calls(t, "call", "1001", "-d", 200).wait(t)
		phone.calls(t, "call", "1002", "-d", 200).wait(t)
		for _, out := range []*lockedBuffer{ana, ben} {
			if n := strings.Count(out.String(), "Call established"); n != i+1 {
				t.Errorf("%d calls established, want %d:\n%s", n, i+1, out.String())
			}
		}
	}
}

// TestE2EBaresipLines rings two lines of one phone, one after the other, in one call:
// the phone sees two calls, and no
// loop (rule ring.device-once).
func TestE2EBaresipLines(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.person(t, "1001", "ana", nil)
	h.put(t, "/numbers/1006", object{"user": "ana", "ring_time": "PT5S"})
	h.put(t, "/users/ana", object{"numbers": []string{"1001", "1006"}})
	h.put(t, "/devices/desk-1001", object{"user": "ana", "kind": "desk", "lines": []object{{"number": "1001"}, {"number": "1006"}}})
	h.forward(t, "1001", object{"no_answer": object{"both": object{"enabled": true, "target": "1006"}}})
	phone := h.baresips(t, "desk-1001", h.info.SIP, line{"1001", "manual"}, line{"1006", "auto"})
	h.desk(t, caller).calls(t, "call", "1001", "-d", 300).wait(t)
	for _, said := range []string{"1001@bellhop.test: Incoming call", "1006@bellhop.test: Call established"} {
		if strings.Count(phone.String(), said) != 1 {
			t.Errorf("the phone does not say %q once:\n%s", said, phone.String())
		}
	}
	h.check(t, want{caller, "1001", "1006", "desk-1001", 200, "answered", []string{"forward.no-answer"}})
}
