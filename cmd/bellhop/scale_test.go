//go:build e2e

package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/icholy/digest"

	"bellhop/cmd/internal/app"
	"bellhop/config"
	"bellhop/routing/location"
	"bellhop/store/binding"
	"bellhop/store/sqlstore"
)

// maxStart is how long a start may take with 100,000 bindings.
const maxStart = 2 * time.Second

// TestE2ERestart starts the daemon on a store with many bindings: it is ready,
// and routes the first call to one of them, soon. make scale asks for 100,000.
func TestE2ERestart(t *testing.T) {
	t.Parallel()
	phones := 1_000
	if s := os.Getenv("BELLHOP_TEST_SCALE"); s != "" {
		var err error
		if phones, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	callee, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer callee.Close()
	server, metrics := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	dir := t.TempDir()
	conf := writeServe(t, dir, server, metrics)
	provideMany(t, conf, phones)
	bindMany(t, conf, phones, netip.MustParseAddrPort(server), callee.LocalAddr().(*net.UDPAddr).AddrPort())

	start := time.Now()
	d := begin(t, dir, "serve", "-c", "b.yaml")
	for ; ; <-time.After(2 * time.Millisecond) {
		res, err := http.Get("http://" + metrics + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Since(start) > 20*maxStart {
			t.Fatalf("not ready after %v: %v\n%s", time.Since(start), err, d.stderr.String())
		}
	}
	ready := time.Since(start)
	if err := inviteRaw(server, fmt.Sprint(firstExtra), fmt.Sprint(firstExtra+phones-1)); err != nil {
		t.Fatal(err)
	}
	if err := callee.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := callee.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "INVITE ") {
		t.Fatalf("the callee gets %q, %v", b[:n], err)
	}
	routed := time.Since(start)
	t.Logf("%d bindings: ready after %v, the first call is routed after %v", phones, ready.Round(time.Millisecond), routed.Round(time.Millisecond))
	if routed > maxStart {
		t.Errorf("the first call was routed after %v, want %v at most", routed, maxStart)
	}
	d.stop(t)
}

// writeServe writes the configuration of a daemon and returns it.
func writeServe(t *testing.T, dir, server, metrics string) *config.Config {
	t.Helper()
	if err := selfSigned(filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), []string{"localhost"}, nil); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("sip: {listeners: [{bind: '%s'}], digest: [MD5]}\nhttps: {bind: '127.0.0.1:0', cert: c.pem, key: k.pem}\n"+
		"metrics: {bind: '%s'}\nstore: {dir: state}\n", server, metrics)
	path := filepath.Join(dir, "b.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := config.Load(path, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

// provideMany provisions so many people with a phone each.
func provideMany(t *testing.T, conf *config.Config, n int) {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{Config: conf})
	if err != nil {
		t.Fatal(err)
	}
	users := make([]app.DemoUser, n)
	for i := range users {
		number := fmt.Sprint(firstExtra + i)
		users[i] = app.DemoUser{User: "user-" + number, Number: number, Devices: []app.DemoDevice{{Name: "desk-" + number, Password: devicePassword}}}
	}
	err = a.ProvisionDemo(t.Context(), app.Demo{Domain: demoDomain, Aliases: []string{"127.0.0.1"}, Users: users})
	if err := errors.Join(err, a.Close()); err != nil {
		t.Fatal(err)
	}
}

// bindMany saves a binding of every phone, as one that just registered from
// callee for an hour.
func bindMany(t *testing.T, conf *config.Config, n int, server, callee netip.AddrPort) {
	t.Helper()
	s, err := sqlstore.New(t.Context(), sqlstore.Options{File: filepath.Join(conf.Store.Dir, sqlstore.FileName)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	rows := make([]binding.Row, n)
	for i := range rows {
		number := fmt.Sprint(firstExtra + i)
		a, err := location.NewAOR(number, demoDomain)
		if err != nil {
			t.Fatal(err)
		}
		bs, _, err := location.Bindings(nil).Apply(location.Register{
			Contacts: []location.Contact{{URI: "sip:" + number + "@" + callee.String(), Q: 1000}}, Expires: location.In(3600),
			CallID: fmt.Sprintf("313732303938333638%08d-2bvyp0m1z9rk", i), CSeq: 2, Device: "desk-" + number, UserAgent: "Example-Phone/10.1.169.16",
			Flow: location.Flow{Transport: location.UDP, Local: server, Remote: callee},
		}, now)
		if err != nil {
			t.Fatal(err)
		}
		rows[i] = binding.Row{AOR: a, Packed: bs.Pack(), Expires: bs.LastExpiry(), Version: 1}
	}
	_, err = s.SaveBindings(t.Context(), rows)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// inviteRaw calls one number from another as its desk phone does, and returns
// when the call is under way.
func inviteRaw(server, from, to string) error {
	conn, err := net.Dial("udp4", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	uri := "sip:" + to + "@bellhop.test"
	ask := func(cseq int, more string) (string, error) {
		request := strings.ReplaceAll(fmt.Sprintf(`INVITE %s SIP/2.0
Via: SIP/2.0/UDP %s;branch=z9hG4bKscale%d;rport
From: <sip:%s@bellhop.test>;tag=scale
To: <%[1]s>
Call-ID: scale
CSeq: %[3]d INVITE
Contact: <sip:%[4]s@%[2]s>
Max-Forwards: 70
%[5]sContent-Length: 0

`, uri, conn.LocalAddr(), cseq, from, more), "\n", "\r\n")
		b := make([]byte, 4096)
		for wait := 500 * time.Millisecond; ; wait *= 2 { // RFC 3261 §17.1.1.2
			if _, err := conn.Write([]byte(request)); err != nil {
				return "", err
			}
			if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
				return "", err
			}
			n, err := conn.Read(b)
			if err == nil || wait > 2*time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
				return string(b[:n]), err
			}
		}
	}
	res, err := ask(1, "")
	if err != nil {
		return err
	}
	values := field(strings.ReplaceAll(res, "\r\n", "\n"), "Proxy-Authenticate")
	if len(values) == 0 {
		return fmt.Errorf("no challenge in %q", res)
	}
	chal, err := digest.ParseChallenge(values[0])
	if err != nil {
		return err
	}
	cred, err := digest.Digest(chal, digest.Options{Method: "INVITE", URI: uri, Username: "desk-" + from, Password: devicePassword})
	if err != nil {
		return err
	}
	if res, err = ask(2, "Proxy-Authorization: "+cred.String()+"\n"); err != nil {
		return err
	}
	if !strings.HasPrefix(res, "SIP/2.0 1") {
		return fmt.Errorf("answer %q", res)
	}
	return nil
}
