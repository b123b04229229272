// Package health remembers whether a part of the store works.
package health

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"bellhop/feed"
)

// A Part is something that works or not. The zero Part works. Its methods are
// safe for use by many goroutines, and free of locks while it works.
type Part struct {
	mu     sync.Mutex
	reason atomic.Pointer[feed.Reason] // nil: it works; written under mu
}

// Fail notes that the part does not work, in words that anybody may read. It
// reports whether it worked before: what is worth a line in the log.
func (p *Part) Fail(part, detail string) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.reason.Load()
	if was != nil && was.Detail == detail {
		return false
	}
	r := &feed.Reason{Part: part, Detail: detail, Since: time.Now().UTC().Truncate(time.Millisecond)}
	if was != nil {
		r.Since = was.Since
	}
	p.reason.Store(r)
	return was == nil
}

// OK notes that the part works. It reports whether it did not before.
func (p *Part) OK() (news bool) {
	if p.reason.Load() == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reason.Swap(nil) != nil
}

// Failing reports whether the part does not work.
func (p *Part) Failing() bool { return p.reason.Load() != nil }

// Append appends why the part does not work, if so.
func (p *Part) Append(rs []feed.Reason) []feed.Reason {
	if r := p.reason.Load(); r != nil {
		rs = append(rs, *r)
	}
	return rs
}

// Full are the words for a disk without room.
const Full = "the disk is full"

// Words says what an error of the file system means, "" when it is another.
func Words(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Full
	case errors.Is(err, syscall.EROFS):
		return "the disk is read-only"
	case errors.Is(err, syscall.EIO):
		return "the disk fails"
	default:
		return ""
	}
}
