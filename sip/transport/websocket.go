package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// SIP over WebSocket (RFC 7118): one message is one WebSocket message, text or
// binary. The handshake is an HTTP request to a server that is not ours; from then
// on the connection is a Peer as any other.

const (
	// pingEvery is how often a browser is asked whether it lives: more often than
	// what stands between forgets it.
	pingEvery = 30 * time.Second
	// pingTime is how long it may take to answer.
	pingTime = 20 * time.Second
)

// WebSocket is the handler of the path at which SIP is spoken over WebSocket, for
// the HTTP server that the listener of that transport stands for; not found when
// there is none.
func (t *Transport) WebSocket() http.Handler {
	for _, ln := range t.all {
		if ln.protocol == location.WS || ln.protocol == location.WSS {
			return &webSocket{t, ln}
		}
	}
	return http.NotFoundHandler()
}

// webSocket is a listener whose connections an HTTP server accepts.
type webSocket struct {
	t  *Transport
	ln *listener
}

// ServeHTTP is the life of a connection.
func (h *webSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !offersSIP(r) { // RFC 7118 §4
		http.Error(w, "the WebSocket subprotocol is sip", http.StatusBadRequest)
		return
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		http.Error(w, "no address", http.StatusBadRequest)
		return
	}
	s, link := h.t.streams, &frameLink{}
	p, why := s.admit(link, from.Addr(), false)
	if p == nil {
		s.metrics.refused(h.ln.protocol, why)
		w.Header().Set("Retry-After", "10")
		http.Error(w, "too many connections", http.StatusServiceUnavailable)
		return
	}
	defer s.leave(p)
	link.ws, err = websocket.Accept(&hijacked{w, link}, r, &websocket.AcceptOptions{
		Subprotocols: []string{"sip"}, OriginPatterns: h.ln.origins, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil { // it was answered
		s.metrics.refused(h.ln.protocol, reasonHandshake)
		p.close(reasonHandshake)
		return
	}
	link.ws.SetReadLimit(wire.MaxMessage)
	defer link.ws.CloseNow() //nolint:errcheck // it is closed
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if !p.attach(link) {
		return
	}
	s.enter(p, location.Flow{Transport: h.ln.protocol, Local: h.ln.local, Remote: from})
	c := &clock{heard: time.Now()}
	s.wg.Go(func() { p.care(c, link.ws) }) //nolint:contextcheck // ends with the connection, which outlives the request
	p.close(h.t.frames(p, link.ws, c))     //nolint:contextcheck // the same
}

// offersSIP reports whether the client offers the subprotocol.
func offersSIP(r *http.Request) bool {
	for _, v := range r.Header.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(name) == "sip" {
				return true
			}
		}
	}
	return false
}

// hijacked keeps the connection that the WebSocket takes over, so that it can be
// cut without a goodbye that might wait.
type hijacked struct {
	http.ResponseWriter
	link *frameLink
}

// Hijack implements [http.Hijacker].
func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	raw := nc
	if secure, ok := nc.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	h.link.mu.Lock()
	h.link.raw = raw
	h.link.mu.Unlock()
	return nc, rw, nil
}

// A frameLink is a link over WebSocket.
type frameLink struct {
	ws *websocket.Conn

	mu  sync.Mutex // guards raw
	raw net.Conn   // nil before the handshake
}

func (l *frameLink) cut() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raw == nil {
		return nil
	}
	return l.raw.Close()
}

// write sends each message as one of WebSocket: as text when it is, for browsers
// end a connection that sends them other text.
func (l *frameLink) write(b *batch) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	start := 0
	for _, end := range b.ends {
		message := b.bytes[start:end]
		start = end
		kind := websocket.MessageText
		if !utf8.Valid(message) {
			kind = websocket.MessageBinary
		}
		if err := l.ws.Write(ctx, kind, message); err != nil {
			return err
		}
	}
	return nil
}

// A clock is when a peer sent something.
type clock struct {
	mu           sync.Mutex // guards what follows
	heard, begun time.Time
}

func (c *clock) set(heard, begun time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.begun = heard, begun
}

// alive notes that the peer answered a ping.
func (c *clock) alive(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = now
}

func (c *clock) get() (heard, begun time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard, c.begun
}

// care closes the connection when its time is over, and pings it, until it is
// closed.
func (p *Peer) care(c *clock, ws *websocket.Conn) {
	pinged := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		// A message that begins meanwhile may take that much longer.
		timer.Reset(time.Until(earlier(p.deadline(c.get()), pinged.Add(pingEvery))))
		select {
		case <-p.done:
			return
		case <-timer.C:
		}
		if why := p.late(c.get()); why != "" {
			p.close(why)
			return
		}
		if time.Since(pinged) < pingEvery {
			continue
		}
		pinged = time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), pingTime)
		err := ws.Ping(ctx)
		cancel()
		if err != nil {
			p.close(reasonBroken)
			return
		}
		c.alive(time.Now())
	}
}

// frames hands on what comes until the connection ends, and returns why.
func (t *Transport) frames(p *Peer, ws *websocket.Conn, c *clock) (why string) {
	s, m := t.streams, t.streams.metrics.of[p.flow.Transport]
	pk := &Packet{Flow: p.flow, Peer: p}
	buf := make([]byte, 0, baseBuffer)
	for {
		_, r, err := ws.Reader(context.Background()) // care ends it
		if err != nil {
			return whyEnded(err)
		}
		now := time.Now()
		c.set(now, now)
		buf = buf[:0]
		for {
			if len(buf) == cap(buf) {
				size := 2 * cap(buf) // at most maxBuffer: the read limit is below it
				if !s.hold(p, size-baseBuffer) {
					return reasonUnparsed
				}
				buf = append(make([]byte, 0, size), buf...)
			}
			n, err := r.Read(buf[len(buf):cap(buf)])
			buf = buf[:len(buf)+n]
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return whyEnded(err)
			}
		}
		c.set(time.Now(), time.Time{})
		t.frame(p, pk, buf, m)
		if cap(buf) > baseBuffer {
			buf = make([]byte, 0, baseBuffer)
			s.hold(p, 0)
		}
	}
}

// frame takes one message of WebSocket.
func (t *Transport) frame(p *Peer, pk *Packet, b []byte, m *metrics) {
	if keepsAlive(b) {
		m.keepalives.Inc()
		if string(b) == "\r\n\r\n" {
			_ = p.send(pong) // full: it is closed
		}
		return
	}
	_ = pk.Msg.Parse(b) // hand looks
	t.hand(pk, m)
}

// whyEnded is the reason of an error of reading.
func whyEnded(err error) string {
	status := websocket.CloseStatus(err)
	switch {
	case status == websocket.StatusNormalClosure, status == websocket.StatusGoingAway:
		return reasonPeer
	case errors.Is(err, websocket.ErrMessageTooBig):
		return reasonGarbage
	default:
		return reasonBroken
	}
}
