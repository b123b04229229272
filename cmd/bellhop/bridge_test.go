//go:build e2e

package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bellhop/store/storetest"
)

// overEach runs a test once for each variant: "UDP TCP TLS" are transports that the
// phones speak; "Redis" is UDP with a Redis beside the store, "TCP+Redis" both.
func overEach(t *testing.T, variants string, test func(t *testing.T, open func(t *testing.T, args ...string) *house)) {
	t.Helper()
	for variant := range strings.FieldsSeq(variants) {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			test(t, func(t *testing.T, args ...string) *house {
				t.Helper()
				var h *house
				over, redis := strings.CutSuffix(variant, "Redis")
				var r *storetest.Redis
				if redis {
					r = storetest.NewRedis(t)
					args = append(args, "--redis", r.URL())
				}
				switch strings.TrimSuffix(over, "+") {
				case "TCP":
					h = newHouse(t, args...)
					h.over = newBridge(t, func() (net.Conn, error) { return net.Dial("tcp", h.info.SIP) })
				case "TLS":
					h = newHouse(t, append(args, "--sips", "127.0.0.1:0")...)
					pem, err := os.ReadFile(filepath.Join(h.dir, "demo", "cert.pem"))
					if err != nil {
						t.Fatal(err)
					}
					trusted := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
					trusted.RootCAs.AppendCertsFromPEM(pem)
					h.over = newBridge(t, func() (net.Conn, error) { return tls.Dial("tcp", h.info.SIPS, trusted) })
				default:
					h = newHouse(t, args...)
				}
				if redis {
					t.Cleanup(func() {
						if keys := r.Keys(t); len(keys) == 0 || strings.Contains(h.stderr.String(), "Redis does not") {
							t.Errorf("Redis took no part: it has %q", keys)
						}
					})
				}
				return h
			})
		})
	}
}

// A bridge gives the SIPps, which cannot keep a connection from one scenario to
// the next, connections that stay: what comes over UDP goes out over them, and
// back. Each Call-ID that a phone begins has its own, so that what one proved does
// not count for the next; a call that rings comes over that of the REGISTER. The
// Via of SIPp says UDP; a server goes by the connection. What was over a connection
// that closed goes over another, dialed for the next message.
type bridge struct {
	t    *testing.T
	pc   net.PacketConn
	dial func() (net.Conn, error)
	wg   sync.WaitGroup

	mu    sync.Mutex          // guards what follows
	conns map[string]net.Conn // by the phone's address and Call-ID
	all   []net.Conn
}

func newBridge(t *testing.T, dial func() (net.Conn, error)) *bridge {
	t.Helper()
	pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bridge{t: t, pc: pc, dial: dial, conns: make(map[string]net.Conn)}
	b.wg.Go(b.out)
	t.Cleanup(func() {
		pc.Close()
		b.mu.Lock()
		for _, c := range b.all {
			c.Close()
		}
		b.mu.Unlock()
		b.wg.Wait()
	})
	return b
}

func (b *bridge) addr() string { return b.pc.LocalAddr().String() }

// out carries what phones send.
func (b *bridge) out() {
	buf := make([]byte, 65536)
	for {
		n, from, err := b.pc.ReadFrom(buf)
		if err != nil {
			return
		}
		c, err := b.conn(from, callID(string(buf[:n])))
		if err == nil {
			_, err = c.Write(buf[:n])
		}
		if err != nil {
			b.t.Errorf("bridge of %s: %v", from, err)
		}
	}
}

// callID is the Call-ID of a message.
func callID(message string) string {
	_, rest, _ := strings.Cut(message, "\r\nCall-ID:")
	id, _, _ := strings.Cut(rest, "\r\n")
	return strings.TrimSpace(id)
}

func (b *bridge) conn(from net.Addr, id string) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := from.String() + " " + id
	if c := b.conns[key]; c != nil {
		return c, nil
	}
	c, err := b.dial()
	if err == nil {
		b.conns[key] = c
		b.keep(c, from)
	}
	return c, err
}

// keep carries what comes over a connection to a phone. The caller holds b.mu.
func (b *bridge) keep(c net.Conn, to net.Addr) {
	b.all = append(b.all, c)
	b.wg.Go(func() {
		b.back(c, to)
		b.mu.Lock()
		maps.DeleteFunc(b.conns, func(_ string, closed net.Conn) bool { return closed == c })
		b.mu.Unlock()
	})
}

// again registers a phone once more, in mid-call: its connection went with the
// daemon. SIPp has its port, and cannot do it itself.
func (p *phone) again(t *testing.T) {
	t.Helper()
	b := p.house.over
	if b == nil { // over UDP there is nothing to be lost
		return
	}
	c, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	if err := registerOver(c, p.number, devicePassword, "sip:"+p.number+"@"+p.ip+":"+p.port); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", p.ip+":"+p.port)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.keep(c, to)
	b.mu.Unlock()
}

// back carries what the server sends, message by message.
func (b *bridge) back(c net.Conn, to net.Addr) {
	r := bufio.NewReader(c)
	for {
		var message strings.Builder
		size := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			message.WriteString(line)
			if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Content-Length") {
				size, _ = strconv.Atoi(strings.TrimSpace(value))
			}
			if line == "\r\n" {
				break
			}
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		b.mu.Lock()
		b.conns[to.String()+" "+callID(message.String())] = c
		b.mu.Unlock()
		_, _ = b.pc.WriteTo([]byte(message.String()+string(body)), to) // a phone that is gone misses it
	}
}
