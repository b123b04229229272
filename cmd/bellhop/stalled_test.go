//go:build e2e

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// question asks the server whether it is there; it is answered before anything is proven.
const question = "OPTIONS sip:" + demoDomain + " SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;rport;branch=z9hG4bK%[1]d\r\n" +
	"Max-Forwards: 70\r\nFrom: <sip:1001@" + demoDomain + ">;tag=1\r\nTo: <sip:" + demoDomain + ">\r\nCall-ID: %[1]d@asks\r\nCSeq: 1 OPTIONS\r\n" +
	"User-Agent: one that has much to say, so that it may be answered at length, for nobody is sent more than twice what came\r\nContent-Length: 0\r\n\r\n"

// TestE2EStalled lets peers stall in every way, in handshakes, requests and messages,
// and read nothing of what they ask for: nobody else waits for them.
func TestE2EStalled(t *testing.T) {
	t.Parallel()
	h := newTown(t, "--sips", "127.0.0.1:0")
	pem, err := os.ReadFile(filepath.Join(h.dir, "demo", "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	trusted.RootCAs.AppendCertsFromPEM(pem)
	https := strings.TrimPrefix(h.info.HTTPS, "https://")
	dial := func(from, to string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
		c, err := d.DialContext(t.Context(), "tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for i, stall := range []struct {
		name, to, says string
		tls            bool
	}{
		{"says nothing where TLS is spoken", h.info.SIPS, "", false},
		{"half a ClientHello", h.info.SIPS, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", false},
		{"TLS, and nothing", h.info.SIPS, "", true},
		{"half a message", h.info.SIP, question[:60], false},
		{"says nothing to HTTPS", https, "", false},
		{"half a ClientHello to HTTPS", https, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", false},
		{"half a request for WebSocket", https, "GET /sip HTTP/1.1\r\nHost: x\r\nUpgr", true},
	} {
		for range 40 {
			c := dial(fmt.Sprintf("127.0.1.%d", i+1), stall.to)
			if stall.tls {
				secure := tls.Client(c, trusted)
				if err := secure.HandshakeContext(t.Context()); err != nil {
					t.Fatalf("%s: %v", stall.name, err)
				}
				c = secure
			}
			if _, err := c.Write([]byte(stall.says)); err != nil {
				t.Fatalf("%s: %v", stall.name, err)
			}
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 4 { // they ask and ask, and do not listen
		c := dial(fmt.Sprintf("127.0.2.%d", i+1), h.info.SIP)
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				if _, err := fmt.Fprintf(c, question, n); err != nil {
					return // its queue is full, and it is closed
				}
			}
		})
	}
	for tr, open := range map[string]func() (net.Conn, error){
		"TCP": func() (net.Conn, error) { return net.Dial("tcp", h.info.SIP) },
		"TLS": func() (net.Conn, error) { return tls.Dial("tcp", h.info.SIPS, trusted) },
		"WSS": func() (net.Conn, error) {
			ws, _, err := websocket.Dial(ctx, "wss://"+https+"/sip", &websocket.DialOptions{ //nolint:bodyclose // coder/websocket closes it
				HTTPClient:   &http.Client{Transport: &http.Transport{TLSClientConfig: trusted}},
				Subprotocols: []string{"sip"}, HTTPHeader: http.Header{"Origin": {h.info.HTTPS}},
			})
			if err != nil {
				return nil, err
			}
			return websocket.NetConn(ctx, ws, websocket.MessageText), nil
		},
	} {
		for n := range 5 {
			begun := time.Now()
			c, err := open()
			if err != nil {
				t.Fatalf("%s: %v", tr, err)
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := fmt.Fprintf(c, question, n); err != nil {
				t.Fatalf("%s: %v", tr, err)
			}
			line, err := bufio.NewReader(c).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "SIP/2.0 407 ") {
				t.Fatalf("%s: %q, %v, want a challenge", tr, line, err)
			}
			if wait := time.Since(begun); wait > 2*time.Second {
				t.Errorf("%s: an answer after %v", tr, wait)
			}
			_ = c.Close()
		}
	}
}
