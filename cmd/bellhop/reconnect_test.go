//go:build e2e

package main

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A cable is what a phone's connections to the server go through, until they are cut.
type cable struct {
	ln net.Listener
	to string

	mu    sync.Mutex // guards what follows
	conns []net.Conn
	taken int
}

// newCable is one to the server at an address.
func newCable(t *testing.T, to string) *cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{ln: ln, to: to}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			c.mu.Lock()
			c.conns = append(c.conns, near, far)
			c.taken++
			c.mu.Unlock()
			for _, pair := range [...][2]net.Conn{{near, far}, {far, near}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					_ = pair[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		c.cut()
		wg.Wait()
	})
	return c
}

// cut closes all connections, and returns how many there have been.
func (c *cable) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
	return c.taken
}

// again waits for another connection than the first n.
func (c *cable) again(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(10 * time.Millisecond) {
		c.mu.Lock()
		taken := c.taken
		c.mu.Unlock()
		if taken > n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the phone does not connect again")
		}
	}
}

// TestE2EReconnect cuts the connection of a phone in mid-call, over TCP and TLS: it
// comes back by itself, and gets the BYE of the other end, in proxied and anchored
// calls.
func TestE2EReconnect(t *testing.T) {
	t.Parallel()
	h := newTown(t, "--sips", "127.0.0.1:0")
	h.anchor(t, "1002")
	for _, tt := range []struct{ name, number, transport string }{
		{"proxied, TCP", "1001", "tcp"}, {"anchored, TLS", "1002", "tls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			to := h.info.SIP
			if tt.transport == "tls" {
				to = h.info.SIPS
			}
			c := newCable(t, to)
			phone := h.linphone(t, tt.number, "localhost:"+port(t, c.ln.Addr().String()), tt.transport)
			other := h.baresip(t, map[string]string{"1001": "1003", "1002": "1004"}[tt.number], h.info.SIP)
			before := h.contacts(t, tt.number)
			other.do(t, "/dial sip:%s@%s", tt.number, demoDomain)
			phone.says(t, 1, " connected.")
			other.says(t, 1, "Call established")
			c.again(t, c.cut())
			for deadline := time.Now().Add(15 * time.Second); ; <-time.After(20 * time.Millisecond) {
				if at := h.contacts(t, tt.number); len(at) == 1 && at[0] != before[0] {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s is at %q, as before: %q", tt.number, h.contacts(t, tt.number), before)
				}
			}
			if phone.said(" ended (") != 0 {
				t.Fatal("the phone ended the call when its connection closed")
			}
			other.do(t, "/hangup")
			phone.says(t, 1, " ended (")
		})
	}
}

func port(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
