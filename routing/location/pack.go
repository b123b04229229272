package location

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrFormat reports a packed value that is damaged or of another format.
var ErrFormat = errors.New("location: not packed bindings")

// format is the format number of packed bindings, their first byte (trust.md
// §3: release N reads those of N-1).
const format = 1

// Flags of a packed binding.
const (
	flagNAT = 1 << iota
	flagDoubtful
	flagNode // the number of a node follows the rest
)

// Pack returns the bindings as one string for memory and stores: at most 600
// bytes each for what [Bindings.Apply] made. No bindings are "".
func (bs Bindings) Pack() string {
	if len(bs) == 0 {
		return ""
	}
	return string(bs.AppendPacked(make([]byte, 0, 256*len(bs))))
}

// AppendPacked appends what [Bindings.Pack] returns to dst.
func (bs Bindings) AppendPacked(dst []byte) []byte {
	if len(bs) == 0 {
		return dst
	}
	dst = append(dst, format)
	dst = appendUint(dst, uint64(len(bs)))
	for i := range bs {
		dst = bs[i].pack(dst)
	}
	return dst
}

func (b *Binding) pack(dst []byte) []byte {
	var flags byte
	if b.NAT {
		flags |= flagNAT
	}
	if b.Doubtful {
		flags |= flagDoubtful
	}
	if b.Node != 0 {
		flags |= flagNode
	}
	dst = append(dst, flags)
	dst = appendText(dst, b.Contact)
	dst = appendText(dst, b.Device)
	dst = appendText(dst, b.Instance)
	dst = appendUint(dst, uint64(b.RegID))
	dst = appendUint(dst, uint64(len(b.Path)))
	for _, p := range b.Path {
		dst = appendText(dst, p)
	}
	dst = appendUint(dst, uint64(b.Q))
	dst = appendInt(dst, b.Expires.UnixMilli())
	dst = appendInt(dst, b.Granted.Milliseconds())
	dst = appendText(dst, b.CallID)
	dst = appendUint(dst, uint64(b.CSeq))
	dst = appendText(dst, b.UserAgent)
	dst = append(dst, byte(b.Flow.Transport))
	dst = appendAddr(dst, b.Flow.Local)
	dst = appendAddr(dst, b.Flow.Remote)
	dst = appendUint(dst, b.Flow.Conn)
	dst = appendInt(dst, b.Seen.UnixMilli())
	if b.Node != 0 {
		dst = appendUint(dst, uint64(b.Node))
	}
	return dst
}

// Unpack reads what [Bindings.Pack] wrote. The texts of the bindings are parts
// of s, so it costs one allocation and keeps s alive. It fails with [ErrFormat].
func Unpack(s string) (Bindings, error) { return AppendUnpacked(nil, s) }

// AppendUnpacked appends what [Unpack] returns to dst, so that who looks at
// bindings only for a moment needs no memory for them. On an error it returns nil.
func AppendUnpacked(dst Bindings, s string) (Bindings, error) {
	if s == "" {
		return dst, nil
	}
	if s[0] != format {
		return nil, fmt.Errorf("%w: format %d", ErrFormat, s[0])
	}
	r := reader{s: s[1:]}
	n := r.uint(uint64(len(r.s))) // a binding takes more than a byte
	bs := dst
	if bs == nil {
		bs = make(Bindings, 0, min(n, uint64(len(r.s))/minPacked))
	}
	for range n {
		bs = append(bs, Binding{})
		r.binding(&bs[len(bs)-1])
		if r.bad {
			return nil, ErrFormat
		}
	}
	if r.bad || r.s != "" {
		return nil, ErrFormat
	}
	return bs, nil
}

// minPacked is the least a packed binding takes, in bytes.
const minPacked = 21

func (r *reader) binding(b *Binding) {
	flags := r.byte()
	r.bad = r.bad || flags&^(flagNAT|flagDoubtful|flagNode) != 0
	b.NAT, b.Doubtful = flags&flagNAT != 0, flags&flagDoubtful != 0
	b.Contact = r.text()
	b.Device = r.text()
	b.Instance = r.text()
	b.RegID = uint32(r.uint(1<<32 - 1))
	if n := r.uint(uint64(len(r.s))); n > 0 {
		b.Path = make([]string, n)
		for i := range b.Path {
			b.Path[i] = r.text()
		}
	}
	b.Q = uint16(r.uint(1<<16 - 1))
	b.Expires = r.time()
	b.Granted = r.duration()
	b.CallID = r.text()
	b.CSeq = uint32(r.uint(1<<32 - 1))
	b.UserAgent = r.text()
	b.Flow.Transport = Transport(r.byte())
	b.Flow.Local = r.addr()
	b.Flow.Remote = r.addr()
	b.Flow.Conn = r.uint(1<<64 - 1)
	b.Seen = r.time()
	if flags&flagNode != 0 {
		b.Node = uint16(r.uint(1<<16 - 1))
	}
}

// appendUint appends v, seven bits a byte, the lowest first.
func appendUint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// appendInt appends v with its sign in the lowest bit.
func appendInt(dst []byte, v int64) []byte { return appendUint(dst, uint64(v)<<1^uint64(v>>63)) }

func appendText(dst []byte, s string) []byte {
	return append(appendUint(dst, uint64(len(s))), s...)
}

// appendAddr appends the length of the address, 0, 4 or 16, the address, its
// zone when it is one of 16 bytes, and the port.
func appendAddr(dst []byte, a netip.AddrPort) []byte {
	ip := a.Addr()
	switch {
	case !ip.IsValid():
		dst = append(dst, 0)
	case ip.Is4():
		four := ip.As4()
		dst = append(append(dst, 4), four[:]...)
	default:
		sixteen := ip.As16()
		dst = append(append(dst, 16), sixteen[:]...)
		dst = appendText(dst, ip.Zone())
	}
	return append(dst, byte(a.Port()>>8), byte(a.Port()))
}

// reader reads a packed value from the front. After a fault it is bad and reads
// zeros.
type reader struct {
	s   string
	bad bool
}

func (r *reader) take(n uint64) string {
	if r.bad || n > uint64(len(r.s)) {
		r.bad = true
		return ""
	}
	part := r.s[:n]
	r.s = r.s[n:]
	return part
}

func (r *reader) byte() byte {
	if p := r.take(1); p != "" {
		return p[0]
	}
	return 0
}

// uint reads a number of at most limit.
func (r *reader) uint(limit uint64) uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		c := r.byte()
		if shift == 63 && c > 1 {
			break
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if v > limit {
				break
			}
			return v
		}
	}
	r.bad = true
	return 0
}

func (r *reader) int() int64 {
	v := r.uint(1<<64 - 1)
	return int64(v>>1) ^ -int64(v&1)
}

func (r *reader) text() string { return r.take(r.uint(uint64(len(r.s)))) }

// The years 1 to 9999, in milliseconds of Unix time.
const (
	firstMilli = -62_135_596_800_000
	lastMilli  = 253_402_300_799_999
)

// time reads a time between the years 1 and 9999.
func (r *reader) time() time.Time {
	ms := r.int()
	if ms < firstMilli || ms > lastMilli {
		r.bad = true
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (r *reader) duration() time.Duration {
	ms := r.int()
	if ms < 0 || ms > int64(1<<63-1)/int64(time.Millisecond) {
		r.bad = true
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func (r *reader) addr() netip.AddrPort {
	var ip netip.Addr
	switch r.byte() {
	case 0:
	case 4:
		if p := r.take(4); p != "" {
			ip = netip.AddrFrom4([4]byte([]byte(p)))
		}
	case 16:
		if p := r.take(16); p != "" {
			ip = netip.AddrFrom16([16]byte([]byte(p)))
		}
		if zone := r.text(); zone != "" {
			ip = ip.WithZone(zone)
		}
	default:
		r.bad = true
	}
	p := r.take(2)
	if p == "" {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip, uint16(p[0])<<8|uint16(p[1]))
}
