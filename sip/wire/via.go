package wire

import (
	"bytes"
	"net/netip"
	"strconv"
)

// A Hop is one Via value (RFC 3261 §20.42).
type Hop struct {
	Value     Value
	Transport []byte // "UDP", "TCP", ...
	Host      []byte // of sent-by; an IPv6 address with its brackets
	Port      []byte // of sent-by; empty when there is none
	Branch    []byte
	Received  []byte // RFC 3261 §18.2.1
	MAddr     []byte // RFC 3261 §18.1.1
	RPort     []byte // the value of rport, empty in a request (RFC 3581 §3)
	HasRPort  bool
}

// IsZero reports whether h is no Via value.
func (h Hop) IsZero() bool { return len(h.Host) == 0 }

// HasCookie reports whether the branch is unique by RFC 3261 §8.1.1.7: it
// begins with the cookie and has something behind it (RFC 4475 §3.2.1).
func (h Hop) HasCookie() bool {
	return len(h.Branch) > len(branchCookie) && fold(h.Branch[:len(branchCookie)], branchCookie)
}

const branchCookie = "z9hG4bK"

// hop is a Hop as offsets.
type hop struct {
	value, transport, host, port            Span
	branch, received, maddr, rport          Span
	hasRPort, hasBranch, hasReceived, ready bool // ready: sent-by could be read
}

// parse reads the Via value at b[from:end] up to its end or a comma. next
// is where it ended. The hop is usable, though not ok, when sent-by could be
// read and the parameters could not.
func (h *hop) parse(b []byte, from, end int) (next int, ok bool) {
	*h = hop{}
	b = b[:end]
	i := from
	if end-i > 8 && fold(b[i:i+8], "SIP/2.0/") {
		i += 8
	} else {
		// sent-protocol = protocol-name SLASH protocol-version SLASH transport;
		// blanks may stand around the slashes. The version is the start line's.
		for range 2 {
			start := i
			i = skip(b, i, clsToken)
			if i == start {
				return i, false
			}
			i = skip(b, i, clsBlank)
			if i == end || b[i] != '/' {
				return i, false
			}
			i = skip(b, i+1, clsBlank)
		}
	}
	start := i
	i = skip(b, i, clsToken)
	h.transport = span(start, i)
	start = i
	i = skip(b, i, clsBlank)
	if i == start || h.transport.Len == 0 {
		return i, false
	}
	h.host, h.port, i, ok = hostPort(b, i, true)
	if !ok {
		return i, false
	}
	h.ready = true
	stop := i
	i = skip(b, i, clsBlank)
	for i < end && b[i] == ';' {
		p := scanParam(b, i)
		ok = ok && p.ok && h.take(b, p)
		stop = max(p.nameEnd, p.valueEnd)
		i = p.next
	}
	h.value = span(from, stop)
	return i, ok && (i == end || b[i] == ',')
}

// take notes a parameter that matters; false when it is there twice.
func (h *hop) take(b []byte, p param) bool {
	value := span(p.valueOff, p.valueEnd)
	switch name := b[p.nameOff:p.nameEnd]; {
	case fold(name, "branch"):
		if h.hasBranch {
			return false
		}
		h.branch, h.hasBranch = value, true
		return value.Len <= MaxToken
	case fold(name, "received"):
		if h.hasReceived {
			return false
		}
		h.received, h.hasReceived = value, true
	case fold(name, "rport"):
		if h.hasRPort {
			return false
		}
		h.rport, h.hasRPort = value, true
	case fold(name, "maddr"):
		h.maddr = value
	}
	return true
}

// export gives the hop as slices of b.
func (h *hop) export(b []byte) Hop {
	return Hop{
		Transport: h.transport.of(b), Host: h.host.of(b), Port: h.port.of(b), Branch: h.branch.of(b),
		Received: h.received.of(b), MAddr: h.maddr.of(b), RPort: h.rport.of(b), HasRPort: h.hasRPort,
	}
}

// ParseVia reads one Via value.
func ParseVia(b []byte) (Hop, bool) {
	b = trim(b)
	if len(b) > MaxMessage {
		return Hop{}, false
	}
	var h hop
	next, ok := h.parse(b, 0, len(b))
	if !ok || next != len(b) {
		return Hop{}, false
	}
	via := h.export(b)
	via.Value = Value{b: h.value.of(b)}
	return via, true
}

// TopVia returns the first Via value: where the message was sent last. It is
// zero when it could not be read.
func (m *Message) TopVia() Hop {
	if !m.hop.ready {
		return Hop{}
	}
	h := m.hop.export(m.b)
	l := int(m.first[Via]) - 1
	h.Value = m.valueAt(l, int(m.hop.value.Off), m.hop.value.End())
	return h
}

// AppendTopVia appends the top Via value of a request to dst as the server
// must hand it on and answer it: with the address and port the request came
// from. received is set when sent-by says otherwise or rport asks for it (RFC
// 3261 §18.2.1, RFC 3581 §4); what the sender itself wrote there is replaced,
// for it would send our responses elsewhere.
func (m *Message) AppendTopVia(dst []byte, src netip.AddrPort) []byte {
	h := &m.hop
	if !h.ready {
		return dst
	}
	value := h.value.of(m.b)
	if !src.IsValid() {
		return append(dst, value...)
	}
	addr := src.Addr().Unmap().WithZone("")
	pos := 0
	first := bytes.IndexByte(value, ';')
	for i := first; i >= 0 && i < len(value) && value[i] == ';'; {
		p := scanParam(value, i)
		i = p.next
		switch name := value[p.nameOff:p.nameEnd]; {
		case fold(name, "received"):
			dst = append(dst, value[pos:p.semi]...)
			pos = i
		case fold(name, "rport"):
			dst = append(dst, value[pos:p.nameEnd]...)
			dst = append(dst, '=')
			dst = strconv.AppendUint(dst, uint64(src.Port()), 10)
			pos = i
		}
	}
	dst = append(dst, value[pos:]...)
	if h.hasRPort || !sameHost(h.host.of(m.b), addr) {
		dst = append(dst, ";received="...)
		dst = addr.AppendTo(dst) // without brackets: RFC 3261 §25.1 via-received
	}
	return dst
}

// sameHost reports whether host writes addr.
func sameHost(host []byte, addr netip.Addr) bool {
	var buf [64]byte
	text := addr.AppendTo(buf[:0])
	if len(host) > 1 && host[0] == '[' {
		host = host[1 : len(host)-1]
		if fold(host, text) {
			return true
		}
		// Another way to write the same address: RFC 5118 §4.
		if len(host) > 45 {
			return false
		}
		a, err := netip.ParseAddr(string(host))
		return err == nil && a.Unmap() == addr
	}
	return fold(host, text)
}
