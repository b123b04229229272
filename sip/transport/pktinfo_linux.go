package transport

import (
	"encoding/binary"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A socket bound to a wildcard hears of each datagram which address of ours it
// was sent to, and answers from that one: a peer takes no answer from another,
// nor does a NAT let it in. Other sockets need none of this, and do without: it
// makes receiving and sending a tenth of a microsecond dearer.

// controlSize holds one control message with a struct in6_pktinfo, the greater of
// the two.
const controlSize = unix.SizeofCmsghdr + 24

// A control is room for the control message of a datagram, aligned as the kernel
// wants it.
type control [(controlSize + 7) / 8]uint64

func (c *control) bytes() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(c)), controlSize) }

// hearAddress makes the socket tell the addresses.
func (s *socket) hearAddress(family int) error {
	if family == unix.AF_INET6 {
		return os.NewSyscallError("setsockopt IPV6_RECVPKTINFO", unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
	}
	return os.NewSyscallError("setsockopt IP_PKTINFO", unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
}

// receiveWild is receive of a socket bound to a wildcard.
func (r *reader) receiveWild(flags uintptr) (int, syscall.Errno) {
	r.head.Name, r.head.Namelen = (*byte)(unsafe.Pointer(&r.name)), uint32(unsafe.Sizeof(r.name))
	r.vec.Base = &r.b[0]
	r.vec.SetLen(len(r.b))
	r.head.Iov = &r.vec
	r.head.SetIovlen(1)
	r.head.Control = (*byte)(unsafe.Pointer(&r.control))
	r.head.SetControllen(controlSize)
	n, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, uintptr(r.s.fd), uintptr(unsafe.Pointer(&r.head)), flags)
	if errno == 0 {
		local := r.s.local.Addr()
		if addr := sentTo(r.control.bytes()[:min(r.head.Controllen, controlSize)]); addr.IsValid() {
			local = addr
		}
		r.packet.Flow.Local = netip.AddrPortFrom(local, r.s.local.Port())
	}
	return int(n), errno
}

// sentTo reads the address of ours out of a control message: that of IPv4 is the
// one to answer from, also where the datagram was a broadcast. Invalid: none.
func sentTo(b []byte) netip.Addr {
	if len(b) < unix.SizeofCmsghdr {
		return netip.Addr{}
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	data := b[unix.SizeofCmsghdr:]
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		return netip.AddrFrom4([4]byte(data[4:8])) // ipi_spec_dst
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		if addr := netip.AddrFrom16([16]byte(data[:16])); !addr.IsMulticast() {
			return addr
		}
	}
	return netip.Addr{}
}

// putFrom writes a control message that sends from an address of ours, and
// returns its size.
func (c *control) putFrom(from netip.Addr, scope uint32) int {
	*c = control{}
	b := c.bytes()
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	data := b[unix.SizeofCmsghdr:]
	if from.Is4() {
		h.Level, h.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		*(*[4]byte)(data[4:]) = from.As4()
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	h.Level, h.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	*(*[16]byte)(data) = from.As16()
	binary.NativeEndian.PutUint32(data[16:], scope) // the interface of a link-local peer
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

// sendFrom is the system call of send, from an address of ours.
func (s *socket) sendFrom(b []byte, name *sockname, size uintptr, from netip.Addr) syscall.Errno {
	var c control
	scope := uint32(0)
	if from.Is6() {
		scope = name.scope()
	}
	vec := unix.Iovec{Base: &b[0]}
	vec.SetLen(len(b))
	head := unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(name)), Namelen: uint32(size), Iov: &vec, Control: (*byte)(unsafe.Pointer(&c)),
	}
	head.SetIovlen(1)
	head.SetControllen(c.putFrom(from, scope))
	_, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&head)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	return errno
}

// The layout that the kernel has.
const (
	_ = -uint(unix.SizeofInet4Pktinfo ^ 12)
	_ = -uint(unix.SizeofInet6Pktinfo ^ 20)
)
