package transport

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// udp is a UDP socket read with blocking system calls that the Go scheduler does
// not see: the reader keeps its processor while it waits, and the kernel wakes
// exactly the thread that goes on with the message. Measured (bench_test.go),
// this halves the cost of a relayed message against the netpoller, which needs a
// failed read, an epoll_wait and a hand-over for each.
//
// The price is paid by reserve: each reader has a processor of its own. The
// runtime stops a reader that waits by a signal, which ends the read because
// the socket has a timeout (signal(7)); read then says that there is nothing
// yet, and the loop lets the scheduler have its way.
type udp struct {
	fd     int
	v6     bool
	over   atomic.Bool // closed: the number may be another file's by now
	inode  string
	name   [unix.SizeofSockaddrInet6]byte // of the last sender; the reader's
	once   sync.Once
	closed error
}

// patience is how long a read waits at most: the bound for a stop of the world
// on a system without the signals.
const patience = 100 * time.Millisecond

// openUDP binds n sockets to one address (SO_REUSEPORT), after probing that
// nobody else holds it: the kernel would share the messages between the two.
func openUDP(at netip.AddrPort, n, readBuffer, writeBuffer int) (socks []socket, local netip.AddrPort, err error) {
	defer func() {
		if err != nil {
			for _, s := range socks {
				_ = s.close()
			}
		}
	}()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if at.Port() != 0 {
		probe, err := bindUDP(at, false)
		if err != nil {
			return nil, at, err
		}
		_ = unix.Close(probe)
	}
	for range max(n, 1) {
		fd, err := bindUDP(at, true)
		if err != nil {
			return socks, at, err
		}
		u := &udp{fd: fd, v6: at.Addr().Is6()}
		socks = append(socks, u)
		if at, err = u.prepare(at, readBuffer, writeBuffer); err != nil {
			return socks, at, err
		}
	}
	return socks, at, nil
}

func bindUDP(at netip.AddrPort, share bool) (fd int, err error) {
	var addr unix.Sockaddr
	family := unix.AF_INET
	if at.Addr().Is4() {
		addr = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	} else {
		family = unix.AF_INET6
		addr = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16(), ZoneId: zone(at.Addr())}
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil && share {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err == nil {
		err = unix.Bind(fd, addr)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

func zone(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	ifi, err := net.InterfaceByName(a.Zone())
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}

// prepare sets what a bound socket needs and returns its address.
func (u *udp) prepare(at netip.AddrPort, readBuffer, writeBuffer int) (netip.AddrPort, error) {
	for _, o := range [...]struct{ force, plain, size int }{
		{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, readBuffer}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, writeBuffer},
	} { // beyond the system's limit where we may
		if unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, o.force, o.size) == nil {
			continue
		}
		if err := unix.SetsockoptInt(u.fd, unix.SOL_SOCKET, o.plain, o.size); err != nil {
			return at, os.NewSyscallError("setsockopt", err)
		}
	}
	timeout := unix.NsecToTimeval(int64(patience))
	if err := unix.SetsockoptTimeval(u.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return at, os.NewSyscallError("setsockopt", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(u.fd, &st); err != nil {
		return at, os.NewSyscallError("fstat", err)
	}
	u.inode = fmt.Sprint(st.Ino)
	sa, err := unix.Getsockname(u.fd)
	if err != nil {
		return at, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		at = netip.AddrPortFrom(at.Addr(), uint16(sa.Port))
	case *unix.SockaddrInet6:
		at = netip.AddrPortFrom(at.Addr(), uint16(sa.Port))
	}
	return at, nil
}

func (u *udp) hogs() bool { return true }

// read waits without the scheduler's knowledge; see the type.
func (u *udp) read(buf []byte) (n int, from netip.AddrPort, ok bool, err error) {
	size := uint32(len(u.name))
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(u.fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0,
		uintptr(unsafe.Pointer(&u.name)), uintptr(unsafe.Pointer(&size)))
	switch errno {
	case 0:
	case unix.EINTR, unix.EAGAIN, unix.ECONNREFUSED, unix.ENOBUFS, unix.ENOMEM: // refused: an ICMP error of an earlier send
		return 0, from, false, nil
	default:
		return 0, from, false, os.NewSyscallError("recvfrom", errno)
	}
	port := binary.BigEndian.Uint16(u.name[2:])
	if !u.v6 {
		return int(r), netip.AddrPortFrom(netip.AddrFrom4([4]byte(u.name[4:8])), port), true, nil
	}
	addr := netip.AddrFrom16([16]byte(u.name[8:24]))
	if id := binary.NativeEndian.Uint32(u.name[24:]); id != 0 && addr.IsLinkLocalUnicast() {
		if ifi, err := net.InterfaceByIndex(int(id)); err == nil {
			addr = addr.WithZone(ifi.Name)
		}
	}
	return int(r), netip.AddrPortFrom(addr, port), true, nil
}

// write never blocks, so the scheduler need not know of it either.
func (u *udp) write(b []byte, to netip.AddrPort) error {
	if len(b) == 0 || to.Addr().Unmap().Is4() == u.v6 || u.over.Load() {
		return ErrNoListener
	}
	var name [unix.SizeofSockaddrInet6]byte
	size := unix.SizeofSockaddrInet4
	binary.BigEndian.PutUint16(name[2:], to.Port())
	if u.v6 {
		size = unix.SizeofSockaddrInet6
		binary.NativeEndian.PutUint16(name[:], unix.AF_INET6)
		addr := to.Addr().As16()
		copy(name[8:], addr[:])
		binary.NativeEndian.PutUint32(name[24:], zone(to.Addr()))
	} else {
		binary.NativeEndian.PutUint16(name[:], unix.AF_INET)
		addr := to.Addr().Unmap().As4()
		copy(name[4:], addr[:])
	}
	for {
		_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(u.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&name)), uintptr(size))
		switch errno {
		case 0:
			return nil
		case unix.EINTR, unix.ECONNREFUSED: // refused: an ICMP error of an earlier send; this one was not sent
			continue
		default:
			return errno
		}
	}
}

// drops reads the kernel's count for this socket (proc_net(5)).
func (u *udp) drops() uint64 {
	file := "/proc/self/net/udp"
	if u.v6 {
		file += "6"
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 13 && f[9] == u.inode {
			var n uint64
			_, _ = fmt.Sscan(f[12], &n)
			return n
		}
	}
	return 0
}

func (u *udp) close() error {
	u.once.Do(func() {
		u.over.Store(true)
		u.closed = unix.Close(u.fd)
	})
	return u.closed
}

// reserve makes a processor of the Go runtime for a reader that never gives one
// back, and returns what takes it away again.
func reserve() (release func()) {
	reserved.Lock()
	defer reserved.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	return func() {
		reserved.Lock()
		defer reserved.Unlock()
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)-1))
	}
}

// reserved guards the number of processors, which is one for the process.
var reserved sync.Mutex //nolint:gochecknoglobals // so is GOMAXPROCS

// conn is a network that a test made.
type conn struct{ net.PacketConn }

func (c *conn) hogs() bool    { return false }
func (c *conn) drops() uint64 { return 0 }
func (c *conn) close() error  { return c.Close() }

func (c *conn) read(buf []byte) (n int, from netip.AddrPort, ok bool, err error) {
	n, addr, err := c.ReadFrom(buf)
	if err != nil {
		return 0, from, false, err
	}
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, from, false, nil
	}
	from = a.AddrPort()
	return n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), true, nil
}

func (c *conn) write(b []byte, to netip.AddrPort) error {
	_, err := c.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}
