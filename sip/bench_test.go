package sip_test

import (
	"bytes"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

// A mirror is a network of one server and two phones without a mind: what the
// server sends stays until the next message, and messages go in one by one.
type mirror struct {
	in     chan []byte
	idle   chan struct{}
	closed chan struct{}
	from   *net.UDPAddr // of the next message
	evict  func()       // runs before each message; nil: nothing does
	spent  time.Duration

	mu   sync.Mutex // guards what follows: a worker may answer
	sent []byte     // what the server sent first since
	all  [4][]byte  // and all of it, the first few
	n    int        // how many messages it sent
}

func newMirror() *mirror {
	return &mirror{in: make(chan []byte), idle: make(chan struct{}), closed: make(chan struct{})}
}

// ReadFrom waits for a message. The server has done all it does with the last one.
func (m *mirror) ReadFrom(p []byte) (int, net.Addr, error) {
	select {
	case m.idle <- struct{}{}:
	case <-m.closed:
		return 0, nil, siptest.ErrClosed
	}
	select {
	case b := <-m.in:
		return copy(p, b), m.from, nil
	case <-m.closed:
		return 0, nil, siptest.ErrClosed
	}
}

// WriteTo keeps what is sent.
func (m *mirror) WriteTo(p []byte, _ net.Addr) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n == 0 {
		m.sent = append(m.sent[:0], p...)
	}
	if m.n < len(m.all) {
		m.all[m.n] = append(m.all[m.n][:0], p...)
	}
	m.n++
	return len(p), nil
}

// feed gives the server a message and waits until it is done with it.
func (m *mirror) feed(from *net.UDPAddr, b []byte) {
	m.mu.Lock()
	m.n = 0
	m.mu.Unlock()
	m.from = from
	if m.evict != nil {
		m.evict()
	}
	start := time.Now()
	m.in <- b
	<-m.idle
	m.spent += time.Since(start)
}

// out returns how many messages the server sent since the last one came in, and
// the first of them.
func (m *mirror) out() (n int, first []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n, m.sent
}

// wait waits until the server sent something: what it does not know is loaded,
// and a new binding is saved, by a worker.
func (m *mirror) wait() []byte {
	for {
		if n, first := m.out(); n > 0 {
			return first
		}
		<-time.After(time.Millisecond)
	}
}

func (m *mirror) Close() error {
	select {
	case <-m.closed:
	default:
		close(m.closed)
	}
	return nil
}

func (m *mirror) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(server))
}
func (m *mirror) SetDeadline(time.Time) error      { return nil }
func (m *mirror) SetReadDeadline(time.Time) error  { return nil }
func (m *mirror) SetWriteDeadline(time.Time) error { return nil }

// A caller plays whole calls from 1001 to 1002 through a server.
type caller struct {
	tb       testing.TB
	m        *mirror
	h        *house
	ana, ben *siptest.Phone
	stock    [][]byte // INVITEs with credentials
	toAna    *net.UDPAddr
	toBen    *net.UDPAddr
	buf      []byte
	route    []byte
}

func newCaller(tb testing.TB) *caller {
	tb.Helper()
	m := newMirror()
	n := siptest.NewNetwork(1)
	c := &caller{tb: tb, m: m, h: open(tb, n, transport.Listener{Transport: location.UDP, Conn: m})}
	c.ana, c.ben = c.h.phone("desk-1001", 11), c.h.phone("desk-1002", 12)
	c.toAna, c.toBen = net.UDPAddrFromAddrPort(c.ana.Addr), net.UDPAddrFromAddrPort(c.ben.Addr)
	<-m.idle
	for _, p := range []*siptest.Phone{c.ana, c.ben} {
		for range 2 {
			m.feed(net.UDPAddrFromAddrPort(p.Addr), p.SendRegister(tb, siptest.Registration{}))
			if res, err := siptest.Parse(m.wait()); err != nil {
				tb.Fatal(err)
			} else if res.Status() == 401 {
				p.Learn(tb, res)
			}
		}
	}
	c.call() // the cache is warm from here on
	return c
}

// fill makes n INVITEs with credentials, which is none of the server's work.
func (c *caller) fill(n int) {
	c.stock = nil
	for range n {
		c.stock = append(c.stock, c.ana.Call(c.tb, "1002").Text)
	}
}

// call plays one call: INVITE, 180, 200, ACK, BYE, 200.
func (c *caller) call() {
	if len(c.stock) == 0 {
		c.fill(1)
	}
	invite := c.stock[0]
	c.stock = c.stock[1:]
	c.m.feed(c.toAna, invite)
	out := append(c.buf[:0], c.m.wait()...)
	c.buf = out
	c.expect("INVITE ")
	var room [4096]byte
	c.m.feed(c.toBen, answer(room[:0], out, "180 Ringing"))
	c.m.feed(c.toBen, answer(room[:0], out, "200 OK"))
	c.expect("SIP/2.0 200 ")
	c.route = append(c.route[:0], line(out, "Record-Route: ")...)
	c.m.feed(c.toAna, c.within(room[:0], invite, "ACK", 1))
	c.expect("ACK ")
	c.m.feed(c.toAna, c.within(room[:0], invite, "BYE", 2))
	out = append(c.buf[:0], c.expect("BYE ")...)
	c.buf = out
	c.m.feed(c.toBen, answer(room[:0], out, "200 OK"))
	c.expect("SIP/2.0 200 ")
}

// expect returns what the server sent, which begins so; on a slow machine a 100
// may follow.
func (c *caller) expect(prefix string) []byte {
	n, first := c.m.out()
	if n < 1 || !bytes.HasPrefix(first, []byte(prefix)) {
		c.tb.Fatalf("%d messages, want one %q:\n%s", n, prefix, first)
	}
	return first
}

// line returns the value of the first line that begins so.
func line(m []byte, name string) []byte {
	i := bytes.Index(m, []byte("\r\n"+name))
	if i < 0 {
		return nil
	}
	v := m[i+2+len(name):]
	return v[:bytes.IndexByte(v, '\r')]
}

// answer appends a response to a request.
func answer(dst, req []byte, status string) []byte {
	dst = append(append(append(dst, "SIP/2.0 "...), status...), "\r\n"...)
	for rest := req; ; {
		i := bytes.Index(rest, []byte("\r\n"))
		if i <= 0 {
			break
		}
		l := rest[:i]
		rest = rest[i+2:]
		for _, name := range [...]string{"Via:", "Record-Route:", "From:", "Call-ID:", "CSeq:"} {
			if bytes.HasPrefix(l, []byte(name)) {
				dst = append(append(dst, l...), "\r\n"...)
			}
		}
		if bytes.HasPrefix(l, []byte("To:")) {
			dst = append(dst, l...)
			if !bytes.Contains(l, []byte(";tag=")) {
				dst = append(dst, ";tag=ben"...)
			}
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "Contact: <sip:1002@192.0.2.12:5060>\r\nContent-Length: 0\r\n\r\n"...)
}

// within appends a request of the caller within the dialog.
func (c *caller) within(dst, invite []byte, method string, cseq byte) []byte {
	dst = append(append(dst, method...), " sip:1002@192.0.2.12:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.11:5060;rport;branch=z9hG4bK"...)
	dst = append(append(dst, method...), line(invite, "Call-ID: ")...)
	dst = append(append(dst, "\r\nMax-Forwards: 70\r\nRoute: "...), c.route...)
	dst = append(append(dst, "\r\nFrom: "...), line(invite, "From: ")...)
	dst = append(append(dst, "\r\nTo: "...), line(invite, "To: ")...)
	dst = append(append(dst, ";tag=ben\r\nCall-ID: "...), line(invite, "Call-ID: ")...)
	dst = append(append(dst, "\r\nCSeq: "...), '0'+cseq, ' ')
	return append(append(dst, method...), "\r\nContent-Length: 0\r\n\r\n"...)
}

// BenchmarkCall is a whole call through the server, the network left out: six
// messages in, six out, with digest, decision, token, journal and record. Its
// time has six hand-overs of the test in it, about a microsecond each. cpu-us/call
// is processor time, which other processes of the machine change less.
func BenchmarkCall(b *testing.B) {
	c := newCaller(b)
	c.bench(b, c.call)
}

// bench runs calls, each with an INVITE that was made before.
func (c *caller) bench(b *testing.B, call func()) {
	b.Helper()
	b.ReportAllocs()
	const batch = 512
	var spent time.Duration
	start, n := processorTime(b), 0
	for b.Loop() {
		if len(c.stock) == 0 {
			b.StopTimer()
			spent += processorTime(b) - start
			c.fill(batch)
			start = processorTime(b)
			b.StartTimer()
		}
		call()
		n++
	}
	spent += processorTime(b) - start
	b.ReportMetric(float64(spent.Nanoseconds())/1000/float64(n), "cpu-us/call")
}

// processorTime is what the process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkCallCold is the same call where each message finds cold caches, as it
// does on a machine that does other things between two messages: what the live
// daemon costs, less the kernel. Its time leaves out what makes them cold.
func BenchmarkCallCold(b *testing.B) {
	c := newCaller(b)
	b.ReportAllocs()
	other := make([]byte, 4<<20) // more than the caches of a core and its TLB hold
	const line = 64
	c.m.evict = func() {
		for i := 0; i < len(other); i += line {
			other[i]++
		}
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the hand-over of a message wakes no thread
	const batch = 512
	var spent []time.Duration
	for b.Loop() {
		if len(c.stock) == 0 {
			b.StopTimer()
			c.fill(batch)
			b.StartTimer()
		}
		c.m.spent = 0
		c.call()
		spent = append(spent, c.m.spent)
	}
	slices.Sort(spent)
	b.ReportMetric(float64(spent[len(spent)/2].Nanoseconds()), "cold-ns/op")
}
