package app_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/cmd/internal/app"
	"bellhop/config"
	"bellhop/control"
)

// A house is a whole daemon on ports of its own, with its folder.
type house struct {
	*app.App
	dir string
	log *buffer
}

// buffer is what the daemon logs.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// text is the configuration of a house; more is added to it.
func text(more string) string {
	return "sip: {listeners: [{bind: '127.0.0.1:0'}]}\nhttps: {bind: '127.0.0.1:0', cert: c.pem, key: k.pem}\nstore: {dir: state}\n" + more
}

// open makes a house and closes it when the test ends; it does not run yet.
func open(t *testing.T, more string) *house {
	t.Helper()
	return openText(t, text(more))
}

// openText makes a house of a whole configuration.
func openText(t *testing.T, conf string) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), log: &buffer{}}
	h.certify(t, "one.test")
	h.write(t, conf)
	load := func() (*config.Config, error) {
		return config.Load(filepath.Join(h.dir, "b.yaml"), func(string) (string, bool) { return "", false })
	}
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	h.App, err = app.New(t.Context(), app.Options{Config: c, Load: load, Version: "test", Log: h.log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return h
}

// run runs a house until the test ends.
func (h *house) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v\n%s", err, h.log)
		}
	})
	select {
	case <-h.Up():
	case err := <-done:
		t.Fatalf("Run = %v\n%s", err, h.log)
	}
}

func (h *house) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, "b.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certify writes a certificate for name.
func (h *house) certify(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"c.pem": {Type: "CERTIFICATE", Bytes: der}, "k.pem": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(filepath.Join(h.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// shows returns the name on the certificate that the API shows.
func (h *house) shows(t *testing.T) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // its name is what the test asks for
	conn, err := d.DialContext(t.Context(), "tcp", h.HTTPSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames[0]
}

func TestReload(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	h.run(t)
	if got := h.shows(t); got != "one.test" {
		t.Fatalf("certificate of %s", got)
	}
	before := h.Status()
	if !before.Ready || before.Version != "test" || before.Config != "" || len(before.Listen) == 0 {
		t.Errorf("Status = %+v", before)
	}

	// A good file: what can be is applied, the rest waits, again and again.
	h.certify(t, "two.test")
	h.write(t, text("log: {level: debug, format: text}\ndrain_timeout: 5s\n"))
	report, err := h.Reload(t.Context())
	want := control.ReloadReport{Applied: []string{"log.level", "drain_timeout"}, Waiting: []string{"log.format"}}
	if diff := cmp.Diff(want, report); diff != "" || err != nil {
		t.Errorf("Reload = %v: -want +got\n%s", err, diff)
	}
	report, err = h.Reload(t.Context())
	if err != nil || len(report.Applied) != 0 || len(report.Waiting) != 1 {
		t.Errorf("Reload again = %+v, %v", report, err)
	}
	if got := h.shows(t); got != "two.test" {
		t.Errorf("certificate of %s after the reload", got)
	}

	// A bad file, and one that names a bad certificate: all stays as it is.
	h.write(t, text("colour: red\n"))
	if _, err := h.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "b.yaml:4: colour: no such key") {
		t.Errorf("Reload of a bad file = %v", err)
	}
	if s := h.Status(); !strings.Contains(s.Config, "refused") || !s.Ready {
		t.Errorf("Status = %+v", s)
	}
	h.write(t, text("log: {level: error}\n"))
	if err := os.Remove(filepath.Join(h.dir, "k.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "https.cert") {
		t.Errorf("Reload without a key = %v", err)
	}
	if got := h.shows(t); got != "two.test" {
		t.Errorf("certificate of %s after a bad reload", got)
	}
	if n := strings.Count(h.log.String(), "reload refused"); n != 2 {
		t.Errorf("%d refusals in the log:\n%s", n, h.log)
	}
}

func TestNewFailsWhole(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := config.Default()
	c.Store.Dir = t.TempDir()
	c.HTTPS.Plain = true
	c.HTTPS.Bind = h.HTTPSAddr() // taken
	c.SIP.Listeners = []config.Listener{config.DefaultListener()}
	c.SIP.Listeners[0].Bind = ln.Addr().(*net.TCPAddr).AddrPort() // free for UDP, and free again afterwards
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := app.New(t.Context(), app.Options{Config: c}); err == nil || !strings.Contains(err.Error(), "https: listen tcp") {
			t.Fatalf("New on a port that is taken = %v", err)
		}
	}
}

func TestDrainThenStop(t *testing.T) {
	t.Parallel()
	h := open(t, "drain_timeout: 1s\n")
	h.run(t)
	h.WindDown(t.Context())
	if s := h.Status(); s.Ready || !s.Draining {
		t.Errorf("Status after Drain = %+v", s)
	}
}

func TestSetLog(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	log := h.Logger()
	line := func(msg string) bool {
		log.With(slog.String("call", "abc-"+msg)).DebugContext(t.Context(), "line", slog.String("number", "n-"+msg))
		return strings.Contains(h.log.String(), "n-"+msg)
	}
	set := func(level slog.Level, match string, until time.Time) {
		t.Helper()
		if err := h.SetLog(level, match, until); err != nil {
			t.Fatal(err)
		}
	}
	if line("quiet") {
		t.Error("debug is logged at level info")
	}
	set(slog.LevelDebug, "abc-seven", time.Time{})
	if line("six") || !line("seven") {
		t.Error("match by a value of With")
	}
	set(slog.LevelDebug, "n-eight", time.Now().Add(time.Hour))
	if line("seven-again") || !line("eight") {
		t.Error("match by a value of the line")
	}
	if err := h.SetLog(slog.LevelDebug, "", time.Now().Add(-time.Second)); err == nil {
		t.Error("a time that is over is taken")
	}
	set(slog.LevelDebug, "", time.Time{})
	if !line("all") {
		t.Error("debug for good")
	}
	set(slog.LevelWarn, "", time.Time{})
	if line("none") {
		t.Error("debug after warn for good")
	}
}
