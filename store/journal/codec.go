package journal

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"bellhop/feed"
)

// errShort reports an entry that ends before its fields do.
var errShort = errors.New("journal: entry is cut short")

// maxSteps bounds the story that is kept of one call.
const maxSteps = 64

// maxEntry bounds what is read back as one entry, in bytes.
const maxEntry = 1 << 20

// appendCall writes c in the form of [segmentFormat]: strings with their length
// before them, times as microseconds, 0 for none.
func appendCall(b []byte, c *feed.Call) []byte {
	for _, s := range [...]string{
		c.ID, c.Domain, c.CallID, c.CallerTag, c.CalleeTag, c.Caller, c.CallerDev,
		c.Called, c.Number, c.Device, c.Outcome, c.Rule,
	} {
		b = appendString(b, s)
	}
	b = append(b, byte(c.State))
	b = binary.AppendUvarint(b, uint64(max(c.Status, 0)))
	for _, t := range [...]time.Time{c.Started, c.AnsweredAt, c.EndedAt, c.Deadline} {
		b = appendTime(b, t)
	}
	b = appendAddr(b, c.CallerAddr)
	b = appendAddr(b, c.CalleeAddr)
	story := c.Story[:min(len(c.Story), maxSteps)]
	b = binary.AppendUvarint(b, uint64(len(story)))
	for i := range story {
		s := &story[i]
		b = appendTime(b, s.At)
		b = appendString(b, s.Rule)
		b = appendString(b, s.Number)
		b = appendString(b, s.To)
		b = appendString(b, s.Setting)
		b = appendString(b, s.Value)
	}
	return appendEmergency(appendHomes(appendSenders(appendReaders(appendLegs(b, c), story), c), c), c)
}

// appendEmergency writes what segmentFormat 6 has more than 5: the numbers that
// an emergency call may be answered at.
func appendEmergency(b []byte, c *feed.Call) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.Emergency)))
	for _, n := range c.Emergency {
		b = appendString(b, n)
	}
	return b
}

// appendReaders writes what segmentFormat 3 has more than 2: who may read the
// steps of the story.
func appendReaders(b []byte, story []feed.Step) []byte {
	for i := range story {
		b = append(b, byte(story[i].Level))
		b = appendString(b, story[i].Owner)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendAddr writes the length of the address, the address and the port; of no
// address only a 0.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	raw := a.Addr().Unmap().WithZone("").AsSlice()
	b = append(b, byte(len(raw)))
	if len(raw) == 0 {
		return b
	}
	return binary.BigEndian.AppendUint16(append(b, raw...), a.Port())
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMicro())
}

// addr reads what appendAddr wrote.
func (r *reader) addr() netip.AddrPort {
	n := r.take(1)
	if n == "" || n[0] == 0 {
		return netip.AddrPort{}
	}
	addr, ok := netip.AddrFromSlice([]byte(r.take(int(n[0]))))
	port := r.take(2)
	if !ok || port == "" {
		r.bad = true
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, uint16(port[0])<<8|uint16(port[1]))
}

// decodeCall reads what appendCall wrote, in the form of a segment format up to
// ours. All strings share one copy of b.
func decodeCall(b []byte, format byte) (*feed.Call, error) {
	r := reader{s: string(b)}
	c := new(feed.Call)
	for _, p := range [...]*string{
		&c.ID, &c.Domain, &c.CallID, &c.CallerTag, &c.CalleeTag, &c.Caller, &c.CallerDev,
		&c.Called, &c.Number, &c.Device, &c.Outcome, &c.Rule,
	} {
		*p = r.string()
	}
	if state := r.take(1); state != "" {
		c.State = feed.CallState(state[0])
	}
	c.Status = int(r.uvarint() & 0xffff)
	for _, p := range [...]*time.Time{&c.Started, &c.AnsweredAt, &c.EndedAt, &c.Deadline} {
		*p = r.time()
	}
	c.CallerAddr, c.CalleeAddr = r.addr(), r.addr()
	for range r.count() {
		c.Story = append(c.Story, feed.Step{
			At: r.time(), Rule: r.string(), Number: r.string(), To: r.string(), Setting: r.string(), Value: r.string(),
		})
	}
	if format > 1 {
		r.legs(c)
	}
	if format > 2 {
		for i := range c.Story {
			if level := r.take(1); level != "" {
				c.Story[i].Level = feed.Level(level[0])
			}
			c.Story[i].Owner = r.string()
		}
	}
	if format > 3 {
		r.senders(c)
	}
	if format > 4 {
		r.homes(c)
	}
	if format > 5 {
		for range r.count() {
			c.Emergency = append(c.Emergency, r.string())
		}
	}
	if r.bad || r.s != "" {
		return nil, errShort
	}
	return c, nil
}

// reader takes fields off the front of s; once one is missing, all are.
type reader struct {
	s   string
	bad bool
}

func (r *reader) take(n int) string {
	if n < 0 || n > len(r.s) {
		r.bad, r.s = true, ""
		return ""
	}
	out := r.s[:n]
	r.s = r.s[n:]
	return out
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		c := r.take(1)
		if c == "" {
			return 0
		}
		v |= uint64(c[0]&0x7f) << shift
		if c[0] < 0x80 {
			return v
		}
	}
	r.bad, r.s = true, ""
	return 0
}

// count returns the length of a list; each element takes at least one byte, so
// that a damaged length cannot ask for more memory than the entry has.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.s)) {
		r.bad, r.s = true, ""
		return 0
	}
	return int(n)
}

func (r *reader) string() string {
	n := r.uvarint()
	if n > uint64(len(r.s)) {
		r.bad, r.s = true, ""
		return ""
	}
	return r.take(int(n))
}

func (r *reader) time() time.Time {
	u := r.uvarint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	if v == 0 {
		return time.Time{}
	}
	return time.UnixMicro(v).UTC()
}
