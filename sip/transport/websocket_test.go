package transport_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"bellhop/routing/location"
	"bellhop/sip/transport"
)

var web = netip.MustParseAddrPort("192.0.2.1:443")

// openWeb is a hall with an HTTP server that has its WebSocket at /sip.
func openWeb(t *testing.T, standing transport.Standing, change ...func(*transport.Options)) *hall {
	t.Helper()
	h := openHall(t, standing, append(change, func(o *transport.Options) {
		o.Listeners = append(o.Listeners, transport.Listener{Bind: web, Transport: location.WSS, Origins: []string{"portal.example"}})
	})...)
	mux := http.NewServeMux()
	mux.Handle("/sip", h.WebSocket())
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	ln := h.streams.Listen(web)
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(ln) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
	return h
}

// browse connects as a browser does.
func (h *hall) browse(origin, subprotocol string) (c *websocket.Conn, status int, err error) {
	h.t.Helper()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return h.streams.Dial(netip.MustParseAddrPort("192.0.2.7:0"), web)
	}}
	h.t.Cleanup(tr.CloseIdleConnections)
	o := &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}, HTTPHeader: http.Header{}}
	if origin != "" {
		o.HTTPHeader.Set("Origin", origin)
	}
	if subprotocol != "" {
		o.Subprotocols = strings.Split(subprotocol, ",")
	}
	c, res, err := websocket.Dial(h.t.Context(), "ws://pbx.example/sip", o) //nolint:bodyclose // coder/websocket closes it
	if err == nil {
		c.SetReadLimit(1 << 20)
		h.t.Cleanup(func() { _ = c.CloseNow() })
	}
	if res != nil {
		status = res.StatusCode
	}
	return c, status, err
}

func (h *hall) browser() *websocket.Conn {
	h.t.Helper()
	c, _, err := h.browse("https://pbx.example", "sip")
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// heard checks the next message.
func heard(t *testing.T, c *websocket.Conn, kind websocket.MessageType, want string) {
	t.Helper()
	got, b, err := c.Read(t.Context())
	if err != nil || got != kind || string(b) != want {
		t.Errorf("got %v %q, %v, want %v %q", got, b, err, kind, want)
	}
}

func TestWebSocketHandshake(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, origin, subprotocol string
		status                    int
	}{
		{"our own page", "https://pbx.example", "sip", 101},
		{"a page we know", "https://portal.example", "sip", 101},
		{"no browser", "", "sip", 101},
		{"one of several subprotocols", "", "xmpp,sip", 101},
		{"another page", "https://evil.example", "sip", 403},
		{"no page", "null", "sip", 403},
		{"no subprotocol", "https://pbx.example", "", 400},
		{"another subprotocol", "https://pbx.example", "xmpp", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := openWeb(t, transport.Proven)
				c, status, err := h.browse(tt.origin, tt.subprotocol)
				if status != tt.status {
					t.Fatalf("handshake = %v, %v, want %d", status, err, tt.status)
				}
				if err == nil {
					if c.Subprotocol() != "sip" {
						t.Errorf("subprotocol %q, want sip", c.Subprotocol())
					}
				}
				synctest.Wait()
				if n := h.sum("connections", ""); (n == 1) != (tt.status == 101) {
					t.Errorf("%v connections are open", n)
				}
			})
		})
	}
}

func TestWebSocketMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openWeb(t, transport.Proven)
		c := h.browser()
		send := func(kind websocket.MessageType, s string) {
			t.Helper()
			if err := c.Write(t.Context(), kind, []byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		send(websocket.MessageText, options)
		heard(t, c, websocket.MessageText, options)
		send(websocket.MessageBinary, options) // RFC 7118 §5
		heard(t, c, websocket.MessageText, options)
		none := strings.Replace(options, "Content-Length: 0\r\n", "", 1)
		send(websocket.MessageText, none) // what is framed needs no length
		heard(t, c, websocket.MessageText, none)
		latin := strings.Replace(options, "Max-Forwards", "Subject: caf\xe9\r\nMax-Forwards", 1)
		send(websocket.MessageBinary, latin)
		heard(t, c, websocket.MessageBinary, latin)
		w, err := c.Writer(t.Context(), websocket.MessageText) // several frames (trap 6)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{options[:40], options[40:]} {
			if _, err := w.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		heard(t, c, websocket.MessageText, options)
		send(websocket.MessageText, "\r\n\r\n")
		heard(t, c, websocket.MessageText, "\r\n")
		long := strings.Replace(options, "Content-Length: 0\r\n\r\n", "Content-Length: 60000\r\n\r\n"+strings.Repeat("x", 60000), 1)
		send(websocket.MessageText, long)
		heard(t, c, websocket.MessageText, long)
		if want := (location.Flow{Transport: location.WSS, Local: web, Remote: h.peers[0].Flow().Remote, Conn: h.peers[0].Flow().Conn}); h.peers[0].Flow() != want {
			t.Errorf("Flow = %v, want %v", h.peers[0].Flow(), want)
		}
		send(websocket.MessageText, "garbage")
		send(websocket.MessageText, options) // is not harmed
		heard(t, c, websocket.MessageText, options)
		if n := h.sum("messages_unreadable_total", ""); n != 1 {
			t.Errorf("%v unreadable messages, want 1", n)
		}
	})
}

func TestWebSocketEnds(t *testing.T) {
	t.Parallel()
	const second = time.Second
	tests := []struct {
		name   string
		do     func(t *testing.T, c *websocket.Conn)
		reason string
		within time.Duration
	}{
		{"it says nothing", func(*testing.T, *websocket.Conn) {}, "unproven", 11 * second},
		{"it goes", func(t *testing.T, c *websocket.Conn) { t.Helper(); _ = c.Close(websocket.StatusNormalClosure, "") }, "peer", second},
		{"it breaks", func(t *testing.T, c *websocket.Conn) { t.Helper(); _ = c.CloseNow() }, "broken", second},
		{"a message that is too large", func(t *testing.T, c *websocket.Conn) {
			t.Helper()
			_ = c.Write(t.Context(), websocket.MessageText, make([]byte, 70000))
		}, "garbage", 6 * second}, // a peer may say goodbye
		{"half a message", func(t *testing.T, c *websocket.Conn) {
			t.Helper()
			_ = c.Write(t.Context(), websocket.MessageText, []byte(options))
			heard(t, c, websocket.MessageText, options)
			w, _ := c.Writer(t.Context(), websocket.MessageText)
			_, _ = w.Write(make([]byte, 10000)) // less would wait for more
		}, "slow", 41 * second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := openWeb(t, transport.Proven)
				c := h.browser()
				synctest.Wait()
				begun := time.Now()
				tt.do(t, c)
				for h.sum("connections", "") > 0 && time.Since(begun) < time.Minute {
					<-time.After(second)
				}
				if wait := time.Since(begun); wait > tt.within {
					t.Errorf("closed after %v, want %v", wait, tt.within)
				}
				h.closed(tt.reason)
			})
		})
	}
}

// A browser that answers pings stays, one that does not goes.
func TestWebSocketPings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openWeb(t, transport.Proven)
		lives, dead := h.browser(), h.browser()
		for _, c := range []*websocket.Conn{lives, dead} {
			if err := c.Write(t.Context(), websocket.MessageText, []byte(options)); err != nil {
				t.Fatal(err)
			}
			heard(t, c, websocket.MessageText, options)
		}
		reading := lives.CloseRead(t.Context()) // answers pings
		<-time.After(3 * time.Hour)
		if err := reading.Err(); err != nil {
			t.Errorf("the one that answers was closed: %v", err)
		}
		if n := h.sum("connections", ""); n != 1 {
			t.Errorf("%v connections are open, want 1", n)
		}
		if n := h.sum("connections_closed_total", "broken"); n != 1 {
			t.Errorf("%v connections broke, want 1", n)
		}
	})
}

func TestWebSocketLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openWeb(t, transport.Proven, func(o *transport.Options) { o.Limits.PerSource = 1 })
		c := h.browser()
		_, status, err := h.browse("", "sip")
		if err == nil || status != http.StatusServiceUnavailable {
			t.Errorf("the second connection = %v, %v, want 503", status, err)
		}
		if err := c.Write(t.Context(), websocket.MessageText, []byte(options)); err != nil {
			t.Fatal(err)
		}
		heard(t, c, websocket.MessageText, options)
		_ = c.CloseNow()
		synctest.Wait()
		if err := h.Send(h.peers[0].Flow(), []byte(options)); !errors.Is(err, transport.ErrGone) {
			t.Errorf("Send when it is gone = %v, want %v", err, transport.ErrGone)
		}
		h.browser()
	})
}

// TestWebSocketUnparsed: what has come of a message counts, as over TCP.
func TestWebSocketUnparsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := openWeb(t, transport.Proven, func(o *transport.Options) { o.Limits.Unparsed = 64 << 10 }) // 4 KiB of one source
		c := h.browser()
		for _, n := range []int{len(options) + 4, 3000} {
			if err := c.Write(t.Context(), websocket.MessageText, []byte(sized(n))); err != nil {
				t.Fatal(err)
			}
			heard(t, c, websocket.MessageText, sized(n))
		}
		_ = c.Write(t.Context(), websocket.MessageText, []byte(sized(30_000)))
		_ = c.CloseNow()
		h.closed("unparsed")
	})
}
