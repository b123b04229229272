package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"

	"bellhop/feed"
)

// How the hub drains the stream: on a tick, so that publishing an event costs a
// call nothing but a channel send and wakes nobody.
const (
	hubTick  = 50 * time.Millisecond
	hubBatch = 8192
	hubRing  = 1 << 13
)

// A hub keeps the last events in a ring and lets readers follow it. A reader has
// a position, not a queue: one that is slow misses events and is told so; it
// holds up nobody. [hub.run] owns the only goroutine.
type hub struct {
	stream *feed.Stream
	boot   string // tells the ids of this run from those of another

	mu    sync.RWMutex  // guards what follows
	ring  []feed.Event  // event n is at n % len(ring)
	next  uint64        // id of the next event; the first is 1
	moved chan struct{} // closed and replaced when next grew
}

func newHub(stream *feed.Stream, size int) *hub {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return &hub{
		stream: stream, boot: hex.EncodeToString(b[:]),
		ring: make([]feed.Event, size), next: 1, moved: make(chan struct{}),
	}
}

// run drains the stream until ctx ends.
func (h *hub) run(ctx context.Context) {
	tick := time.NewTicker(hubTick)
	defer tick.Stop()
	var batch []feed.Event
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			batch = h.stream.Drain(batch[:0], hubBatch)
			h.add(batch)
			clear(batch)
		}
	}
}

// add appends events and wakes the readers.
func (h *hub) add(evs []feed.Event) {
	if len(evs) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range evs {
		h.ring[h.next%uint64(len(h.ring))] = ev
		h.next++
	}
	close(h.moved)
	h.moved = make(chan struct{})
}

// read appends the events from position at on, at most limit, and returns the
// position after them. lost says that some before were overwritten already;
// moved is closed when there are more.
func (h *hub) read(dst []feed.Event, at uint64, limit int) (evs []feed.Event, first uint64, lost bool, moved <-chan struct{}) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if oldest := h.oldestLocked(); at < oldest {
		at, lost = oldest, true
	}
	first = at
	for ; at < h.next && limit > 0; limit-- {
		dst = append(dst, h.ring[at%uint64(len(h.ring))])
		at++
	}
	return dst, first, lost, h.moved
}

func (h *hub) oldestLocked() uint64 {
	if n := uint64(len(h.ring)); h.next > n {
		return h.next - n
	}
	return 1
}

// end is the position after the newest event.
func (h *hub) end() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.next
}

// id is how event n is named to a client.
func (h *hub) id(n uint64) string { return h.boot + "-" + strconv.FormatUint(n, 10) }

// position is where to go on after the event a client saw last. resumed is
// false when the id is of another run, or of no event yet: then events are lost
// for that client.
func (h *hub) position(lastID string) (at uint64, resumed bool) {
	end := h.end()
	boot, num, ok := strings.Cut(lastID, "-")
	n, err := strconv.ParseUint(num, 10, 64)
	if !ok || err != nil || boot != h.boot || n >= end {
		return end, false
	}
	return n + 1, true
}
