//go:build e2e

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A softphone is a program that is one phone or several, answers every call, does
// what it is told on its standard input, and says on its output what happens.
type softphone struct {
	name string
	in   io.Writer
	out  lockedBuffer
}

// launch starts a program that plays phones; it ends with the test.
func launch(t *testing.T, cmd *exec.Cmd, name string) *softphone {
	t.Helper()
	if cmd.Err != nil {
		t.Fatalf("%v: run .ci/setup", cmd.Err)
	}
	s := &softphone{name: name}
	cmd.Stdout, cmd.Stderr = &s.out, &s.out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.in = in
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill() // and the context ends it as well
		_ = cmd.Wait()
		if t.Failed() {
			text := s.out.String()
			t.Logf("%s:\n%s", name, text[max(0, len(text)-8000):])
		}
	})
	return s
}

// told tells it what to do.
func (s *softphone) told(format string, args ...any) error {
	_, err := fmt.Fprintf(s.in, format+"\n", args...)
	return err
}

func (s *softphone) do(t *testing.T, format string, args ...any) {
	t.Helper()
	if err := s.told(format, args...); err != nil {
		t.Fatal(err)
	}
}

// said is how often it said one of several things, which "|" parts.
func (s *softphone) said(what string) (n int) {
	text := s.out.String()
	for w := range strings.SplitSeq(what, "|") {
		n += strings.Count(text, w)
	}
	return n
}

// heard waits until it has said something so often.
func (s *softphone) heard(n int, what string) error {
	for deadline := time.Now().Add(15 * time.Second); s.said(what) < n; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not say %q %d times", s.name, what, n)
		}
	}
	return nil
}

func (s *softphone) says(t *testing.T, n int, what string) {
	t.Helper()
	if err := s.heard(n, what); err != nil {
		t.Fatal(err)
	}
}

// registers waits until the server knows a number by a contact of a transport.
func (h *house) registers(t *testing.T, number, contact string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; <-time.After(20 * time.Millisecond) {
		at := h.contacts(t, number)
		if len(at) == 1 && strings.Contains(at[0], contact) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is at %q, want one contact with %q", number, at, contact)
		}
	}
}

// A line is one that a baresip has, and what it does when it rings: auto, early or
// manual.
type line struct{ number, answers string }

// baresip starts one that answers by itself, registered through proxy.
func (h *house) baresip(t *testing.T, number, proxy string) *softphone {
	t.Helper()
	return h.baresips(t, "desk-"+number, proxy, line{number, "auto"})
}

// baresips starts a baresip with lines of one device, and waits until the server
// knows them.
func (h *house) baresips(t *testing.T, device, proxy string, lines ...line) *softphone {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "config", `module_path   /usr/lib/baresip/modules
module        stdio.so
module        g711.so
module        aubridge.so
module_tmp    account.so
module_app    menu.so
audio_source  aubridge,nobody
audio_player  aubridge,nobody
audio_alert   aubridge,nobody
sip_listen    127.0.0.1:0
sip_cafile    `+filepath.Join(h.dir, "demo", "cert.pem")+"\n"+h.watches())
	var accounts strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&accounts, "<sip:%s@%s>;auth_user=%s;auth_pass=%s;outbound=\"sip:%s\";regint=600;answermode=%s\n",
			l.number, demoDomain, device, devicePassword, proxy, l.answers)
	}
	write(t, dir, "accounts", accounts.String())
	write(t, dir, "contacts", h.contactList())
	s := launch(t, exec.CommandContext(t.Context(), "baresip", "-f", dir), "baresip "+device+" through "+proxy)
	_, contact, _ := strings.Cut(proxy, ";")
	for _, l := range lines {
		h.registers(t, l.number, contact)
	}
	return s
}

// watches are the modules of a baresip that watches somebody.
func (h *house) watches() string {
	if len(h.friends) == 0 {
		return ""
	}
	return "module_app    contact.so\nmodule_app    presence.so\n"
}

// contactList is whom it watches.
func (h *house) contactList() string {
	var b strings.Builder
	for _, number := range h.friends {
		fmt.Fprintf(&b, "%q <sip:%s@%s>;presence=p2p\n", "number "+number, number, demoDomain)
	}
	return b.String()
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// linphone starts one that answers by itself, registered over a transport, and
// waits until the server knows it. It plays silence from a file that is not there:
// it has no sound card.
func (h *house) linphone(t *testing.T, number, proxy, transport string) *softphone {
	t.Helper()
	ports := map[string]int{transport: -1} // any; 0: none
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".local", "share", "linphone"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, home, "linphonerc", fmt.Sprintf(`[sip]
sip_port=%d
sip_tcp_port=%d
sip_tls_port=%d
root_ca=%s
use_ipv6=0
ipv6_migration_done=1
default_proxy=0
[misc]
uuid=00000000-0000-4000-8000-%012s
[proxy_0]
reg_proxy=<sip:%[6]s;transport=%[7]s>
reg_route=<sip:%[6]s;transport=%[7]s>
reg_identity=<sip:%[5]s@%[8]s>
reg_expires=600
reg_sendregister=1
[auth_info_0]
username=%[5]s
userid=desk-%[5]s
passwd=%[9]s
realm=%[8]s
`, ports["udp"], ports["tcp"], ports["tls"], filepath.Join(h.dir, "demo", "cert.pem"), number, proxy, transport, demoDomain, devicePassword))
	cmd := exec.CommandContext(t.Context(), "linphonec", "-a", "-c", filepath.Join(home, "linphonerc"))
	cmd.Dir = home
	cmd.Env = append(slices.Clone(os.Environ()), "HOME="+home)
	s := launch(t, cmd, "linphone "+number+" over "+transport)
	s.do(t, "soundcard use files")
	h.registers(t, number, "transport="+transport)
	return s
}

// jssips starts browser softphones of people (testdata/jssip), and waits until they
// are registered.
func (h *house) jssips(t *testing.T, numbers ...string) *softphone {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "phones.js"} {
		b, err := os.ReadFile(filepath.Join("../../testdata/jssip", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(b))
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v (run .ci/setup)\n%s", err, out)
	}
	url := "wss" + strings.TrimPrefix(h.info.HTTPS, "https") + "/sip"
	args := append([]string{"phones.js", url, filepath.Join(h.dir, "demo", "cert.pem"), devicePassword}, numbers...)
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = dir
	s := launch(t, cmd, "JsSIP")
	for _, number := range numbers {
		s.says(t, 1, number+" registered sip:"+number+"@"+demoDomain+";gr=urn:uuid:")
		h.registers(t, number, "transport=ws")
	}
	return s
}
