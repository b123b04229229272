package app_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"bellhop/config"
)

const probe = "OPTIONS sip:nobody.test SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@nobody.test>;tag=1\r\n" +
	"To: <sip:nobody.test>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"

// A certificate that is replaced is shown to who connects then; connections that
// are open stay.
func TestReloadKeepsConnections(t *testing.T) {
	t.Parallel()
	h := openText(t, strings.Replace(text(""), "listeners: [",
		"listeners: [{bind: '127.0.0.1:0', transport: tls}, {bind: '127.0.0.1:0', transport: tcp}, ", 1))
	h.run(t)
	connect := func() *tls.Conn {
		t.Helper()
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // its name is what the test asks for
		c, err := d.DialContext(t.Context(), "tcp", h.SIPAddr(config.TLS).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.(*tls.Conn)
	}
	answers := func(c *tls.Conn) {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte("\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 2)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != "\r\n" {
			t.Errorf("answer to a keep-alive: %q, %v", b, err)
		}
	}
	first := connect()
	answers(first)
	h.certify(t, "two.test")
	if _, err := h.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if name := connect().ConnectionState().PeerCertificates[0].DNSNames[0]; name != "two.test" {
		t.Errorf("certificate of %s after the reload", name)
	}
	answers(first)
	if udp, tcp := h.SIPAddr(config.UDP), h.SIPAddr(config.TCP); !tcp.IsValid() || !udp.IsValid() {
		t.Errorf("addresses %v and %v", udp, tcp)
	}
}

// SIP over WebSocket is at /sip of the API's listener.
func TestWebSocketBesideTheAPI(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	h.run(t)
	o := &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}, // self-signed
	}
	url := "wss://" + h.HTTPSAddr().String() + "/sip"
	_, res, err := websocket.Dial(t.Context(), url, o) //nolint:bodyclose // coder/websocket closes it
	if err == nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("without the subprotocol = %v, want 400", err)
	}
	o.Subprotocols = []string{"sip"}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, o) //nolint:bodyclose // coder/websocket closes it
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for _, sent := range []string{probe + "\r\n", "\r\n\r\n"} { // the first is for no domain of ours: no answer
		if err := c.Write(ctx, websocket.MessageText, []byte(sent)); err != nil {
			t.Fatal(err)
		}
	}
	if _, b, err := c.Read(ctx); err != nil || string(b) != "\r\n" {
		t.Errorf("answer to a keep-alive: %q, %v", b, err)
	}
}
