package journal

import (
	"strings"
	"sync/atomic"
	"time"
)

// The bits of a call id, from the highest: milliseconds since the year 2000
// (until 2139), node, and a count within the millisecond.
const (
	seqBits  = 11
	nodeBits = 10
	idLen    = 13 // characters of 5 bits
	maxNode  = 1<<nodeBits - 1
)

// alphabet is Crockford's base 32 in lower case: it sorts as the numbers do.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// epochMilli is 2000-01-01T00:00:00Z in milliseconds of Unix time.
const epochMilli = 946684800000

// An IDs makes call ids: 13 characters, unique on all nodes with different
// numbers, and rising on one node in the order they were made, whatever the
// clock does. As numbers they are the primary key of records, so that rows are
// appended. The zero IDs is node 0.
type IDs struct {
	node uint64
	last atomic.Uint64 // milliseconds and count of the last one
}

// Next returns an id for a call that starts at now.
func (g *IDs) Next(now time.Time) string {
	t := uint64(max(now.UnixMilli()-epochMilli, 0)) << seqBits
	for {
		last := g.last.Load()
		next := max(t, last+1)
		if g.last.CompareAndSwap(last, next) {
			return FormatID(int64(next>>seqBits<<(seqBits+nodeBits) | g.node<<seqBits | next&(1<<seqBits-1)))
		}
	}
}

// seen makes every further id greater than n, an id of an earlier run.
func (g *IDs) seen(n int64) {
	t := uint64(n)>>(seqBits+nodeBits)<<seqBits | uint64(n)&(1<<seqBits-1)
	for {
		last := g.last.Load()
		if t <= last || g.last.CompareAndSwap(last, t) {
			return
		}
	}
}

// FormatID returns the text of an id; it sorts as n does.
func FormatID(n int64) string {
	var b [idLen]byte
	for i := idLen - 1; i >= 0; i-- {
		b[i] = alphabet[n&31]
		n >>= 5
	}
	return string(b[:])
}

// ParseID returns the number of an id, and whether s is one.
func ParseID(s string) (n int64, ok bool) {
	if len(s) != idLen || s[0] > '7' {
		return 0, false
	}
	for i := range idLen {
		d := strings.IndexByte(alphabet, s[i])
		if d < 0 {
			return 0, false
		}
		n = n<<5 | int64(d)
	}
	return n, true
}

// FloorID returns the smallest id that a call of t or later can have, on any
// node: records from a time to a time are a range of ids.
func FloorID(t time.Time) int64 {
	return max(t.UnixMilli()-epochMilli, 0) << (seqBits + nodeBits)
}
