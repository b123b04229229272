package siptest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

// Streams carry connections between addresses, without sockets: what is written
// is there at once, when the other end reads it. It is safe for concurrent use.
// The zero Streams are ready.
type Streams struct {
	mu        sync.Mutex // guards what follows
	listeners map[netip.AddrPort]*StreamListener
	port      uint16
}

// Listen returns a listener of an address.
func (s *Streams) Listen(at netip.AddrPort) *StreamListener {
	l := &StreamListener{addr: at, queue: make(chan net.Conn, 1024), closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = make(map[netip.AddrPort]*StreamListener)
	}
	s.listeners[at] = l
	return l
}

// Forget makes an address refuse connections.
func (s *Streams) Forget(at netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, at)
}

// ErrRefused is the answer of an address where nobody listens.
var ErrRefused = errors.New("siptest: connection refused")

// Dial connects an address to another; port 0 is any.
func (s *Streams) Dial(from, to netip.AddrPort) (net.Conn, error) {
	s.mu.Lock()
	l := s.listeners[to]
	if from.Port() == 0 {
		s.port++
		from = netip.AddrPortFrom(from.Addr(), 20000+s.port)
	}
	s.mu.Unlock()
	if l == nil {
		return nil, ErrRefused
	}
	a, b := net.Pipe()
	select {
	case l.queue <- addressed{b, to, from}:
		return addressed{a, from, to}, nil
	case <-l.closed:
		return nil, ErrRefused
	}
}

// Connect dials as sip/transport does.
func (s *Streams) Connect(_ context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	return s.Dial(netip.AddrPortFrom(from, 0), to)
}

// addressed is an end of a pipe that has addresses.
type addressed struct {
	net.Conn
	local, remote netip.AddrPort
}

func (a addressed) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(a.local) }
func (a addressed) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(a.remote) }

// A StreamListener is a [net.Listener] of [Streams].
type StreamListener struct {
	addr   netip.AddrPort
	queue  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// receive cuts what comes from the server into messages, until the end.
func (c *Conn) receive(server netip.AddrPort) {
	r := bufio.NewReader(c.stream)
	for {
		b, err := readMessage(r)
		if err != nil {
			return
		}
		if len(b) > 0 {
			c.queue <- Datagram{From: server, To: c.addr, Data: b}
		}
		if c.deaf.Load() {
			<-c.closed
			return
		}
	}
}

// readMessage reads one message, or an empty line: nothing.
func readMessage(r *bufio.Reader) (b []byte, err error) {
	size := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		b = append(b, line...)
		if line == "\r\n" {
			break
		}
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Content-Length") {
			if size, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return nil, err
			}
		}
	}
	if len(b) == len("\r\n") {
		return nil, nil
	}
	body := make([]byte, size)
	_, err = io.ReadFull(r, body)
	return append(b, body...), err
}

// Accept waits for a connection.
func (l *StreamListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *StreamListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the address of the listener.
func (l *StreamListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }
