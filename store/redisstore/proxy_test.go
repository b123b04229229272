package redisstore_test

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"bellhop/store/storetest"
)

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.After(time.Minute) // of a machine that has other things to do
	for !is() {
		select {
		case <-limit:
			t.Fatalf("it is not so that %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A proxy stands before a server and spoils what it answers.
type proxy struct {
	ln    net.Listener
	delay time.Duration
	cut   int // bytes of answers after which a connection ends; 0: never
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, to *storetest.Redis, delay time.Duration, cut int) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, delay: delay, cut: cut}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(c, to.Addr()) })
		}
	})
	t.Cleanup(func() { _ = ln.Close() })
	return p
}

func (p *proxy) url() string { return "redis://" + p.ln.Addr().String() }

func (p *proxy) serve(c net.Conn, to string) {
	defer c.Close()
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		_, _ = copyAll(up, c, 0, 0)
		_ = up.Close()
	}()
	_, _ = copyAll(c, up, p.delay, p.cut)
}

// copyAll copies with a delay before each piece, until so many bytes were copied.
func copyAll(to, from net.Conn, delay time.Duration, cut int) (n int, err error) {
	b := make([]byte, 32<<10)
	for {
		m, err := from.Read(b)
		if err != nil {
			return n, err
		}
		if delay > 0 {
			<-time.After(delay)
		}
		if cut > 0 && n+m > cut {
			_, _ = to.Write(b[:cut-n])
			return cut, errors.New("cut")
		}
		if _, err := to.Write(b[:m]); err != nil {
			return n, err
		}
		n += m
	}
}
