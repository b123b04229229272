package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
)

// The PROXY protocol, versions 1 and 2, by which a load balancer says for whom it
// connects (HAProxy, proxy-protocol.txt).
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	maxProxyLine   = 107                      // of version 1, with its CRLF
	maxProxyExtra  = 4096                     // of version 2: addresses and what stands behind them
)

var errProxyHeader = errors.New("transport: no header of the PROXY protocol")

// readProxyHeader reads the header that a connection from a load balancer begins
// with, and nothing behind it. The address is that of the client; it is not valid
// when the balancer speaks for itself (a health check).
func readProxyHeader(r io.Reader) (netip.AddrPort, error) {
	var head [len(proxySignature)]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, err
	}
	switch {
	case string(head[:]) == proxySignature:
		return readProxyBinary(r)
	case bytes.HasPrefix(head[:], []byte("PROXY ")):
		return readProxyLine(r, head[:])
	default:
		return netip.AddrPort{}, errProxyHeader
	}
}

// readProxyLine reads version 1, which began with head.
func readProxyLine(r io.Reader, head []byte) (netip.AddrPort, error) {
	line := append(make([]byte, 0, maxProxyLine), head...)
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxProxyLine {
			return netip.AddrPort{}, errProxyHeader
		}
		var b [1]byte // nothing behind the line may be taken
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return netip.AddrPort{}, err
		}
		line = append(line, b[0])
	}
	words := strings.Split(string(line[:len(line)-2]), " ")
	if words[1] == "UNKNOWN" {
		return netip.AddrPort{}, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return netip.AddrPort{}, errProxyHeader
	}
	addr, err := netip.ParseAddr(words[2])
	if err != nil || addr.Is4() != (words[1] == "TCP4") || addr.Zone() != "" {
		return netip.AddrPort{}, errProxyHeader
	}
	port, ok := parsePort(words[4])
	if !ok {
		return netip.AddrPort{}, errProxyHeader
	}
	return netip.AddrPortFrom(addr.Unmap(), port), nil
}

func parsePort(s string) (uint16, bool) {
	ap, err := netip.ParseAddrPort("0.0.0.0:" + s)
	return ap.Port(), err == nil
}

// readProxyBinary reads what follows the signature of version 2.
func readProxyBinary(r io.Reader) (netip.AddrPort, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, err
	}
	size := binary.BigEndian.Uint16(head[2:])
	if head[0]>>4 != 2 || head[0]&15 > 1 || size > maxProxyExtra {
		return netip.AddrPort{}, errProxyHeader
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		return netip.AddrPort{}, err
	}
	const local, stream4, stream6 = 0, 0x11, 0x21
	switch {
	case head[0]&15 == local:
		return netip.AddrPort{}, nil
	case head[1] == stream4 && len(b) >= 12:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[:4])), binary.BigEndian.Uint16(b[8:])), nil
	case head[1] == stream6 && len(b) >= 36:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[:16])).Unmap(), binary.BigEndian.Uint16(b[32:])), nil
	default:
		return netip.AddrPort{}, errProxyHeader
	}
}
