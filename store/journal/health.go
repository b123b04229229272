package journal

import (
	"cmp"
	"context"
	"log/slog"

	"bellhop/feed"
	"bellhop/store/health"
)

// Reasons appends what of the journal does not work.
func (j *Journal) Reasons(rs []feed.Reason) []feed.Reason {
	return j.saving.Append(j.writing.Append(rs))
}

// unwritten notes that calls are not journaled.
func (j *Journal) unwritten(err error) {
	j.writing.Fail("journal", cmp.Or(health.Words(err), "it cannot be written to")+": an answered call would not survive the process")
}

// mend begins a new file when the last one could not be written to, so that the
// journal is known to work again before the next call needs it.
func (j *Journal) mend(ctx context.Context) {
	if !j.writing.Failing() {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.dir == "" || j.failed != nil {
		return
	}
	if _, err := j.rotateLocked(); err == nil && j.writing.OK() {
		j.log.LogAttrs(ctx, slog.LevelInfo, "the journal can be written to again")
	}
}
