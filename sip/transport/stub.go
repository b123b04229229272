package transport

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

type Packet struct {
	Msg      wire.Message
	Flow     location.Flow
	Received time.Time
	Err      *wire.ParseError
	owned    bool
}

func (p *Packet) Own() *Packet {
	if p.owned {
		return p
	}
	q := &Packet{Flow: p.Flow, Received: p.Received, owned: true}
	q.Msg = *p.Msg.Clone()
	return q
}

type Listener struct {
	Bind, Advertise netip.AddrPort
	Transport       location.Transport
}
type Options struct {
	Listeners  []Listener
	Handler    func(*Packet)
	Registerer prometheus.Registerer
	Logger     *slog.Logger
}
type Transport struct {
	o    Options
	fds  []int
	addr netip.AddrPort
}

func New(o Options) (*Transport, error) {
	t := &Transport{o: o, addr: o.Listeners[0].Bind}
	for range runtime.NumCPU() {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
		tv := unix.NsecToTimeval(int64(time.Second))
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
		if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(t.addr.Port()), Addr: t.addr.Addr().As4()}); err != nil {
			return nil, err
		}
		t.fds = append(t.fds, fd)
	}
	return t, nil
}

func (t *Transport) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	runtime.GOMAXPROCS(runtime.NumCPU() + len(t.fds))
	for _, fd := range t.fds {
		wg.Go(func() { t.read(fd) })
	}
	<-ctx.Done()
	return nil
}

func (t *Transport) read(fd int) {
	buf := make([]byte, 65536)
	var p Packet
	for {
		var name [28]byte
		nl := uint32(28)
		n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), 65536, 0, uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&nl)))
		if e != 0 {
			runtime.Gosched()
			continue
		}
		p.Flow = location.Flow{Transport: location.UDP, Local: t.addr, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte(name[4:8])), binary.BigEndian.Uint16(name[2:4]))}
		p.Received = time.Now()
		p.Err = nil
		if err := p.Msg.Parse(buf[:n]); err != nil {
			p.Err = err.(*wire.ParseError)
		}
		t.o.Handler(&p)
	}
}

func (t *Transport) Send(f location.Flow, b []byte) error {
	var sa [16]byte
	*(*uint16)(unsafe.Pointer(&sa[0])) = syscall.AF_INET
	binary.BigEndian.PutUint16(sa[2:], f.Remote.Port())
	ip := f.Remote.Addr().As4()
	copy(sa[4:], ip[:])
	_, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(t.fds[0]), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), syscall.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa)), 16)
	if e != 0 {
		return e
	}
	return nil
}
func (t *Transport) Addrs() []netip.AddrPort { return []netip.AddrPort{t.addr} }
func (t *Transport) Advertise(local netip.AddrPort) netip.AddrPort { return local }
