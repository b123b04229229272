package auth

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

const sketchRows = 4

// A sketch limits a rate per key in a fixed size, whatever number of keys there
// are: it may take one key for another and slow it without cause, rarely, but
// never lets one by. Each cell holds the time until which its debt lasts; a key
// owes what the least of its cells says. Cells are chosen by a hash with a seed
// of this process, so that nobody aims at somebody else's.
type sketch struct {
	seed     maphash.Seed
	cells    [sketchRows][]atomic.Int64 // ms since the Unix epoch
	mask     uint32
	burst    int64 // ms of debt that are free
	interval int64 // ms that one event costs
}

// newSketch allows burst events at once and then one per interval. Each row has
// size cells, a power of two.
func newSketch(size, burst int, interval time.Duration) *sketch {
	s := &sketch{
		seed:     maphash.MakeSeed(),
		mask:     uint32(size - 1),
		burst:    int64(burst-1) * interval.Milliseconds(),
		interval: interval.Milliseconds(),
	}
	for i := range s.cells {
		s.cells[i] = make([]atomic.Int64, size)
	}
	return s
}

// A sketchKey is what a sketch counts by.
type sketchKey uint64

// key hashes a name and a source: an IPv4 address or an IPv6 /64, which is what
// one attacker has at least.
func (s *sketch) key(domain string, name []byte, source netip.Addr) sketchKey {
	var h maphash.Hash
	h.SetSeed(s.seed)
	_, _ = h.WriteString(domain)
	_ = h.WriteByte(0)
	_, _ = h.Write(name)
	_ = h.WriteByte(0)
	a := source.As16()
	if !source.Is4() && !source.Is4In6() {
		clear(a[8:])
	}
	_, _ = h.Write(a[:])
	return sketchKey(h.Sum64())
}

func (s *sketch) cell(row int, k sketchKey) *atomic.Int64 {
	lo, hi := uint32(k), uint32(k>>32)|1
	return &s.cells[row][(lo+uint32(row)*hi)&s.mask]
}

func (s *sketch) owed(k sketchKey) int64 {
	least := s.cell(0, k).Load()
	for row := 1; row < sketchRows; row++ {
		least = min(least, s.cell(row, k).Load())
	}
	return least
}

// slow reports whether k has had more than its share at now (ms).
func (s *sketch) slow(k sketchKey, now int64) bool { return s.owed(k)-now > s.burst }

// add counts one event of k.
func (s *sketch) add(k sketchKey, now int64) {
	debt := max(s.owed(k), now) + s.interval
	for row := range sketchRows {
		for c := s.cell(row, k); ; {
			old := c.Load()
			if old >= debt || c.CompareAndSwap(old, debt) {
				break
			}
		}
	}
}
