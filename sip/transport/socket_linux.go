package transport

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

const (
	// idle is how long a held reader waits for a datagram before it parks. It
	// is also the longest that it can keep the runtime from stopping it.
	idle = 4 * time.Millisecond
	// broken is how many errors in a row end a reader.
	broken = 1000
)

// A socket is a UDP socket and its reader, which has two ways to wait.
//
// Parked, it waits in the network poller of the runtime, as any goroutine does.
// That costs about 8 us CPU per message over the system calls: a futile
// receive, epoll_wait, and threads woken to look for work.
//
// Held, it waits in a blocking recvfrom that the scheduler does not know of, so
// that it keeps its P: the thread that receives is the one that sends, and
// nobody else is woken. (Telling the scheduler is worse than parking: its
// monitor then takes the P away every 20 us.) To the scheduler a held reader is
// a goroutine that computes. What makes that sound:
//
//   - The socket has a receive timeout, and so a signal ends recvfrom with EINTR
//     even under SA_RESTART (signal(7)). The runtime preempts by signal: who
//     stops the world gets a held reader at once, or after idle.
//   - Run sees to spare Ps: at most as many readers hold as there are cores, and
//     there is a P for each core besides.
//   - A reader that was woken yields once before it holds, so that another thread
//     watches the network poller in its stead.
//
// A reader holds while messages come, and parks when none came for idle.
// TestHeldReadersYield and BenchmarkRelay hold this to account.
//
// The poller must not see each datagram of a held reader, so it does not have
// the socket but an epoll instance with the socket in it, armed once at a time.
type socket struct {
	t     *Transport
	local netip.AddrPort
	wild  bool            // bound to a wildcard; see pktinfo_linux.go
	poll  *os.File        // the epoll instance
	raw   syscall.RawConn // of poll
	lost  atomic.Uint64   // drops until close

	mu sync.RWMutex // guards fd against being closed, and then another's
	fd int          // -1: closed
}

// openUDP binds the sockets of one listener. The first is bound alone: it fails
// when anybody else holds the port, one that shares it too. SO_REUSEPORT comes
// after that, which lets in the others.
func openUDP(t *Transport, bind netip.AddrPort, o *Options) (local netip.AddrPort, ends []endpoint, err error) {
	local = bind
	for i := range o.Readers {
		s, err := openSocket(t, local, o, i > 0)
		if err != nil {
			for _, e := range ends {
				_ = e.close()
			}
			return bind, nil, err
		}
		local = s.local
		ends = append(ends, s)
	}
	return local, ends, nil
}

func openSocket(t *Transport, bind netip.AddrPort, o *Options, shared bool) (_ *socket, err error) {
	family := unix.AF_INET
	if bind.Addr().Is6() {
		family = unix.AF_INET6
	}
	s := &socket{t: t, wild: bind.Addr().IsUnspecified()}
	// Not SOCK_NONBLOCK: held readers block. Whoever must not says so.
	if s.fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if err = s.configure(family, o, shared); err != nil {
		return nil, err
	}
	sa, err := sockaddr(bind)
	if err != nil {
		return nil, err
	}
	if err = unix.Bind(s.fd, sa); err == unix.EADDRINUSE { //nolint:errorlint // an errno, not wrapped
		return nil, fmt.Errorf("the port is in use by another process, or another listener: %w", err)
	} else if err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt SO_REUSEPORT", err)
	}
	bound, err := unix.Getsockname(s.fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	switch a := bound.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(bind.Addr(), uint16(a.Port))
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(bind.Addr(), uint16(a.Port))
	}
	return s, s.openPoll()
}

// configure sets the options that a socket has before it is bound.
func (s *socket) configure(family int, o *Options, shared bool) error {
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
	}
	if shared {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	if s.wild {
		if err := s.hearAddress(family); err != nil {
			return err
		}
	}
	s.buffer("SO_RCVBUF", unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.ReadBuffer)
	s.buffer("SO_SNDBUF", unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.WriteBuffer)
	tv := unix.NsecToTimeval(idle.Nanoseconds())
	return os.NewSyscallError("setsockopt SO_RCVTIMEO", unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
}

// buffer sets the size of a kernel buffer, beyond net.core's limits when we may.
// A smaller one than asked for is no reason to stay down.
func (s *socket) buffer(name string, force, plain, size int) {
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, size) == nil {
		return
	}
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, plain, size) // what was got is looked at
	if got, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, plain); err != nil || got/2 < size {
		s.t.log.Warn("kernel buffer smaller than asked; raise net.core.rmem_max and wmem_max",
			"buffer", name, "asked", size, "got", got/2)
	}
}

func (s *socket) openPoll() error {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(ep, true); err != nil { // os.NewFile asks the poller then
		return os.NewSyscallError("fcntl", err)
	}
	s.poll = os.NewFile(uintptr(ep), "epoll")
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLONESHOT}); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	s.raw, err = s.poll.SyscallConn()
	return err
}

func (s *socket) read() error {
	r := &reader{s: s, b: make([]byte, wire.MaxMessage)}
	r.ready = r.look
	r.packet.Flow = location.Flow{Transport: location.UDP, Local: s.local}
	for {
		if err := r.busy(); err != nil || s.t.closing.Load() {
			return err
		}
		if err := r.park(); err != nil {
			return err
		}
	}
}

// park waits until there is something to receive.
func (r *reader) park() error {
	r.armed, r.fault = false, 0
	err := r.s.raw.Read(r.ready)
	if err == nil && r.fault != 0 {
		err = os.NewSyscallError("epoll_ctl", r.fault)
	}
	return err
}

// look arms the epoll instance ep once, and reports whether there is something
// to receive. Its system calls do not wait, and the scheduler's monitor is
// better not woken by them: hence raw.
func (r *reader) look(ep uintptr) bool {
	if !r.armed {
		r.armed = true
		r.event = unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
		_, _, r.fault = syscall.RawSyscall6(unix.SYS_EPOLL_CTL, ep, unix.EPOLL_CTL_MOD, uintptr(r.s.fd), uintptr(unsafe.Pointer(&r.event)), 0, 0)
		if r.fault != 0 {
			return true
		}
	}
	n, _, _ := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, ep, uintptr(unsafe.Pointer(&r.event)), 1, 0, 0, 0)
	return int(n) > 0
}

// hold reports whether the reader may keep its P while it waits.
func (t *Transport) hold() bool {
	if int(t.holding.Add(1)) <= t.cores && runtime.GOMAXPROCS(0) > t.cores { // nobody took back what Run gave
		return true
	}
	t.holding.Add(-1)
	return false
}

// send never waits. System calls that do not wait need not tell the scheduler.
// A socket bound to a wildcard sends from an address of ours, if it is one.
func (s *socket) send(b []byte, from netip.Addr, to netip.AddrPort) error {
	if len(b) == 0 {
		return nil
	}
	var name sockname
	size, ok := name.put(s.local.Addr(), to)
	if !ok {
		return fmt.Errorf("transport: no way from %s to %s", s.local, to)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return ErrClosed
	}
	for {
		var errno syscall.Errno
		if s.wild && !from.IsUnspecified() {
			errno = s.sendFrom(b, &name, size, from)
		} else {
			_, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
				syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, uintptr(unsafe.Pointer(&name)), size)
		}
		switch errno {
		case 0:
			return nil
		case syscall.EINTR:
		case syscall.EAGAIN, syscall.ENOBUFS:
			return ErrBusy
		default:
			return fmt.Errorf("transport: send to %s: %w", to, errno)
		}
	}
}

// wake ends a reader that is parked; one that holds looks up after idle.
func (s *socket) wake() {
	if s.poll != nil {
		_ = s.poll.Close()
	}
}

func (s *socket) close() error {
	s.wake()
	lost := s.drops()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil
	}
	s.lost.Store(lost)
	fd := s.fd
	s.fd = -1
	return os.NewSyscallError("close", unix.Close(fd))
}

// drops asks the kernel: the number of SO_RXQ_OVFL, without its cost for each
// datagram.
func (s *socket) drops() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.fd < 0 {
		return s.lost.Load()
	}
	var info [16]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0 // before Linux 4.12
	}
	return uint64(info[unix.SK_MEMINFO_DROPS])
}

// A reader receives from a socket. Its fields are what the kernel writes to.
type reader struct {
	s      *socket
	b      []byte
	name   sockname
	packet Packet

	ready func(ep uintptr) bool // look
	event unix.EpollEvent
	armed bool
	fault syscall.Errno // of arming

	head    unix.Msghdr // of receiveWild, with what follows
	vec     unix.Iovec
	control control
}

// busy receives until nothing comes any more.
func (r *reader) busy() error {
	flags := uintptr(syscall.MSG_DONTWAIT)
	if t := r.s.t; t.hold() {
		defer t.holding.Add(-1)
		flags = 0
		runtime.Gosched() // now another thread watches the network poller
	}
	faults := 0
	for !r.s.t.closing.Load() {
		n, errno := r.receive(flags)
		switch errno {
		case 0:
			faults = 0
			if r.packet.Flow.Remote = r.name.addrPort(); r.packet.Flow.Remote.IsValid() {
				r.s.t.deliver(&r.packet, r.b[:n])
			}
		case syscall.EAGAIN:
			return nil
		case syscall.EINTR:
			runtime.Gosched() // the runtime wants us to stop, or somebody else to run
		default:
			if faults++; faults >= broken {
				return os.NewSyscallError("recvfrom", errno)
			}
			runtime.Gosched()
		}
	}
	return nil
}

func (r *reader) receive(flags uintptr) (int, syscall.Errno) {
	if r.s.wild {
		return r.receiveWild(flags)
	}
	size := uint32(unsafe.Sizeof(r.name))
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(r.s.fd), uintptr(unsafe.Pointer(&r.b[0])), uintptr(len(r.b)),
		flags, uintptr(unsafe.Pointer(&r.name)), uintptr(unsafe.Pointer(&size)))
	return int(n), errno
}
