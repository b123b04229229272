package transport

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sockname is an address as system calls have it: struct sockaddr_in or
// sockaddr_in6. The kernel reads and writes it in place.
type sockname struct {
	family uint16
	port   [2]byte // network order
	rest   [24]byte
}

const (
	size4 = 16 // struct sockaddr_in
	size6 = 28 // struct sockaddr_in6
)

// put writes to as a socket bound to local wants it, and returns its size. It
// reports false when addresses of the two kinds do not go together.
func (n *sockname) put(local netip.Addr, to netip.AddrPort) (size uintptr, ok bool) {
	addr := to.Addr().Unmap()
	binary.BigEndian.PutUint16(n.port[:], to.Port())
	switch {
	case addr.Is4() && local.Is4():
		n.family = unix.AF_INET
		*(*[4]byte)(n.rest[:]) = addr.As4()
		return size4, true
	case addr.Is6() && local.Is6():
		n.family = unix.AF_INET6
		*(*[16]byte)(n.rest[4:]) = addr.As16() // flow information is before it
		if addr.Zone() != "" {
			scope, err := scope(addr.Zone())
			if err != nil {
				return 0, false
			}
			binary.NativeEndian.PutUint32(n.rest[20:], scope)
		}
		return size6, true
	default:
		return 0, false
	}
}

// addrPort reads an address that the kernel wrote; invalid when it is of no
// family of ours.
func (n *sockname) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(n.port[:])
	switch n.family {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4(*(*[4]byte)(n.rest[:])), port)
	case unix.AF_INET6:
		addr := netip.AddrFrom16(*(*[16]byte)(n.rest[4:]))
		if scope := binary.NativeEndian.Uint32(n.rest[20:]); scope != 0 { // link-local
			addr = addr.WithZone(strconv.FormatUint(uint64(scope), 10))
		}
		return netip.AddrPortFrom(addr, port)
	default:
		return netip.AddrPort{}
	}
}

// scope returns the index of the interface of an IPv6 address, 0 for none.
func (n *sockname) scope() uint32 { return binary.NativeEndian.Uint32(n.rest[20:]) }

// scope returns the index of an interface, which zone names or numbers.
func scope(zone string) (uint32, error) {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

// sockaddr converts an address to bind to.
func sockaddr(a netip.AddrPort) (unix.Sockaddr, error) {
	switch {
	case a.Addr().Is4():
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	case a.Addr().Is6():
		sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
		if a.Addr().Zone() != "" {
			var err error
			if sa.ZoneId, err = scope(a.Addr().Zone()); err != nil {
				return nil, err
			}
		}
		return sa, nil
	default:
		return nil, fmt.Errorf("%s is no address", a)
	}
}

// The layout that the kernel has.
const _ = -uint(unsafe.Sizeof(sockname{}) ^ size6)
