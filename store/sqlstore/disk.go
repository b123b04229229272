package sqlstore

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"bellhop/store/health"
)

// The shares of the disk below which stories are not kept, and above which they
// are again (trust.md §3).
const (
	lowDisk    = 0.05
	enoughDisk = 0.06
)

// A disk watches the room that the store has left. Below [lowDisk] stories of
// calls are not kept; when even the last of it is nearly gone, a file that was
// made for this moment goes, and leaves its room to settings and records.
type disk struct {
	reserve string // path of the file
	size    int64  // of it in bytes; 0: none
	room    func() (free, total uint64, ok bool)
	log     *slog.Logger
	metrics *metrics

	low    atomic.Bool // stories are not kept
	health health.Part

	mu       sync.Mutex // guards what follows
	reserved bool       // the file is there, as far as is known
}

// look looks how much room there is and does what follows from it.
func (d *disk) look(ctx context.Context) {
	free, total, ok := d.room()
	if !ok || total == 0 {
		return
	}
	d.metrics.free.Set(float64(free))
	share := float64(free) / float64(total)
	switch {
	case share < lowDisk && !d.low.Swap(true):
		d.log.LogAttrs(ctx, slog.LevelWarn, "the disk is nearly full: stories of calls are not kept", slog.Uint64("free", free))
	case share >= enoughDisk && d.low.Swap(false):
		d.log.LogAttrs(ctx, slog.LevelInfo, "the disk has room again: stories of calls are kept", slog.Uint64("free", free))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.reserved && free < uint64(d.size):
		d.releaseLocked(ctx)
	case d.size > 0 && !d.reserved && share >= enoughDisk && free > 2*uint64(d.size):
		if err := allocate(d.reserve, d.size); err != nil {
			d.log.LogAttrs(ctx, slog.LevelWarn, "no reserve on the disk", slog.Any("error", err))
			d.size = 0 // this disk cannot
			break
		}
		d.reserved = true
	}
	switch {
	case d.low.Load() && d.size > 0 && !d.reserved:
		d.health.Fail("disk", "below 5 % are free: stories of calls are not kept, settings and records live on the reserve")
	case d.low.Load():
		d.health.Fail("disk", "below 5 % are free: stories of calls are not kept")
	default:
		d.health.OK()
	}
}

// full is told that the disk is full: the reserve goes.
func (d *disk) full(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reserved {
		d.releaseLocked(ctx)
	}
}

func (d *disk) releaseLocked(ctx context.Context) {
	if err := os.Remove(d.reserve); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.LogAttrs(ctx, slog.LevelError, "the reserve on the disk does not go", slog.Any("error", err))
		return
	}
	d.reserved = false
	d.log.LogAttrs(ctx, slog.LevelError, "the disk is full: settings and records live on the reserve", slog.Int64("bytes", d.size))
}
