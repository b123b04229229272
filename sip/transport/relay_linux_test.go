package transport_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"bellhop/sip/transport"
)

// relayEnv makes the test binary a relay: "reader callee caller".
const relayEnv = "BELLHOP_TEST_RELAY"

func TestMain(m *testing.M) {
	if spec := os.Getenv(relayEnv); spec != "" {
		if err := relay(strings.Fields(spec)); err != nil {
			panic(err)
		}
		return
	}
	m.Run()
}

// BenchmarkRelay measures what a message costs at least: a process that sends
// what comes from one peer to the other, under 1000 calls a second of six
// messages as SIPp makes them. cpu-us/call is its CPU clock. It decided how
// sockets are read, and holds that decision to account:
//
//	net      net.UDPConn, one reader a core
//	blocking recvfrom in a system call that the scheduler knows of
//	parked   this package, readers in the network poller only
//	held     this package
func BenchmarkRelay(b *testing.B) {
	for _, reader := range []string{"net", "blocking", "parked", "held"} {
		b.Run(reader, func(b *testing.B) {
			calls(b, reader)
		})
	}
}

// calls makes b.N calls by way of a relay, one a millisecond.
func calls(b *testing.B, reader string) {
	b.Helper()
	const pace = time.Millisecond
	callee, caller := newPeer(b), newPeer(b)
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), relayEnv+"="+reader+" "+callee.addr().String()+" "+caller.addr().String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var text string
	if _, err := fmt.Fscanln(out, &text); err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddrPort(text)
	var done atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() { callee.answer(addr) })
	wg.Go(func() { caller.acknowledge(addr, &done) })
	before := cpu(b, cmd.Process.Pid)
	b.ResetTimer()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	const talk = 100
	for i := range b.N + talk { // the BYE comes 100 calls later
		if <-tick.C; i < b.N {
			caller.send(addr, message("INVITE sip:bob@bellhop.test SIP/2.0", "INVITE", i))
		}
		if i >= talk {
			caller.send(addr, message("BYE sip:bob@bellhop.test SIP/2.0", "BYE", i-talk))
		}
	}
	for range 1000 {
		if done.Load() == int64(b.N) {
			break
		}
		<-tick.C
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu(b, cmd.Process.Pid)-before)/1e3/float64(b.N), "cpu-us/call")
	b.ReportMetric(float64(int64(b.N)-done.Load())/float64(b.N)*100, "%lost")
	callee.c.Close()
	caller.c.Close()
	wg.Wait()
}

// cpu is the CPU clock of a process in nanoseconds; it keeps what threads used
// that have ended.
func cpu(b *testing.B, pid int) int64 {
	b.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		b.Fatal(err)
	}
	return ts.Nano()
}

type peer struct{ c *net.UDPConn }

func newPeer(b *testing.B) peer {
	b.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	return peer{c}
}

func (p peer) addr() netip.AddrPort { return p.c.LocalAddr().(*net.UDPAddr).AddrPort() }

func (p peer) send(to netip.AddrPort, m []byte) { _, _ = p.c.WriteToUDPAddrPort(m, to) }

// receive calls f with each message until the peer is closed.
func (p peer) receive(f func(m []byte)) {
	buf := make([]byte, 65536)
	for {
		n, _, err := p.c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		f(buf[:n])
	}
}

func (p peer) answer(relay netip.AddrPort) {
	p.receive(func(m []byte) {
		switch {
		case bytes.HasPrefix(m, []byte("INVITE")):
			p.send(relay, message("SIP/2.0 180 Ringing", "INVITE", 0))
			p.send(relay, message("SIP/2.0 200 OK", "INVITE", 0))
		case bytes.HasPrefix(m, []byte("BYE")):
			p.send(relay, message("SIP/2.0 200 OK", "BYE", 0))
		}
	})
}

func (p peer) acknowledge(relay netip.AddrPort, done *atomic.Int64) {
	p.receive(func(m []byte) {
		switch {
		case !bytes.HasPrefix(m, []byte("SIP/2.0 200")):
		case bytes.Contains(m, []byte("1 INVITE")):
			p.send(relay, message("ACK sip:bob@bellhop.test SIP/2.0", "ACK", 0))
		default:
			done.Add(1)
		}
	})
}

func message(start, method string, n int) []byte {
	return fmt.Appendf(nil, "%s\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%d;rport\r\n"+
		"From: \"Alice\" <sip:alice@bellhop.test>;tag=%d\r\nTo: <sip:bob@bellhop.test>\r\nCall-ID: %d@192.0.2.1\r\n"+
		"CSeq: 1 %s\r\nContact: <sip:alice@192.0.2.1:5060>\r\nMax-Forwards: 70\r\nUser-Agent: bench\r\n"+
		"Content-Type: application/sdp\r\nContent-Length: 129\r\n\r\n%0129d", start, n, n, n, method, 0)
}

// relay serves as BenchmarkRelay says.
func relay(spec []string) error {
	reader := spec[0]
	callee, caller := netip.MustParseAddrPort(spec[1]), netip.MustParseAddrPort(spec[2])
	other := func(from netip.AddrPort) netip.AddrPort {
		if from == callee {
			return caller
		}
		return callee
	}
	switch reader {
	case "net":
		return relayNet(other)
	case "blocking":
		return relayBlocking(other)
	}
	var tr *transport.Transport
	tr, err := transport.New(transport.Options{
		Listeners: udp("127.0.0.1:0"), Parked: reader == "parked",
		Handler: func(p *transport.Packet) {
			f := p.Flow
			f.Remote = other(f.Remote)
			_ = tr.Send(f, p.Msg.Bytes())
		},
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a daemon always waits for others too
	if err != nil {
		return err
	}
	go func() { _, _ = l.Accept() }()
	fmt.Fprintln(os.Stdout, tr.Addrs()[0])
	return tr.Run(context.Background())
}

// sharing binds two sockets to one port.
func sharing() (cs [2]*net.UDPConn, err error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return firstOf(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}), err)
	}}
	addr := "127.0.0.1:0"
	for i := range cs {
		pc, err := lc.ListenPacket(context.Background(), "udp4", addr)
		if err != nil {
			return cs, err
		}
		cs[i] = pc.(*net.UDPConn)
		addr = pc.LocalAddr().String()
	}
	return cs, nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func relayNet(other func(netip.AddrPort) netip.AddrPort) error {
	cs, err := sharing()
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, cs[0].LocalAddr())
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			b := make([]byte, 65536)
			for {
				n, from, err := c.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				_, _ = c.WriteToUDPAddrPort(b[:n], other(from))
			}
		})
	}
	wg.Wait()
	return nil
}

func relayBlocking(other func(netip.AddrPort) netip.AddrPort) error {
	cs, err := sharing()
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, cs[0].LocalAddr())
	var wg sync.WaitGroup
	for _, c := range cs {
		f, err := c.File() // blocking, from here on
		if err != nil {
			return err
		}
		wg.Go(func() {
			b := make([]byte, 65536)
			var from unix.RawSockaddrInet4
			for {
				size := uint32(unix.SizeofSockaddrInet4)
				n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, f.Fd(), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0,
					uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&size)))
				if errno != 0 {
					continue
				}
				port := from.Port>>8 | from.Port<<8
				to := other(netip.AddrPortFrom(netip.AddrFrom4(from.Addr), port))
				_ = unix.Sendto(int(f.Fd()), b[:n], unix.MSG_DONTWAIT, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
			}
		})
	}
	wg.Wait()
	return nil
}
