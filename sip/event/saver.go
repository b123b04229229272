package event

import (
	"context"
	"fmt"
	"sync"

	"bellhop/feed"
)

// A saver saves rows in groups: while one commit is under way the next group
// gathers.
type saver struct {
	mu    sync.Mutex // guards what follows
	rows  []feed.Kept
	waits []chan error
	wake  chan struct{} // holds one
}

// save saves a row, and blocks until it is.
func (v *saver) save(ctx context.Context, row feed.Kept) error {
	done := make(chan error, 1)
	v.add(row, done)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("event: save: %w", context.Cause(ctx))
	}
}

// later saves a row and waits for nothing: what is lost with the process is found
// again to be over.
func (v *saver) later(row feed.Kept) { v.add(row, nil) }

func (v *saver) add(row feed.Kept, done chan error) {
	v.mu.Lock()
	v.rows = append(v.rows, row)
	if done != nil {
		v.waits = append(v.waits, done)
	}
	v.mu.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// maxRows is how many rows that nobody waits for may gather while the store is away.
const maxRows = 100_000

// run saves until ctx ends, and then what is left.
func (v *saver) run(ctx context.Context, store Store) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), storeTimeout, errSlow)
			v.flush(last, store)
			cancel()
			return
		case <-v.wake:
			v.flush(ctx, store)
		}
	}
}

func (v *saver) flush(ctx context.Context, store Store) {
	v.mu.Lock()
	rows, waits := v.rows, v.waits
	v.rows, v.waits = nil, nil
	v.mu.Unlock()
	if len(rows) == 0 {
		return
	}
	err := store.Keep(ctx, rows)
	for _, done := range waits {
		done <- err
	}
	if err == nil {
		return
	}
	var left []feed.Kept // deletions are tried again
	for _, r := range rows {
		if r.Body == nil {
			left = append(left, r)
		}
	}
	v.mu.Lock()
	if len(v.rows)+len(left) <= maxRows {
		v.rows = append(left, v.rows...)
	}
	v.mu.Unlock()
}
