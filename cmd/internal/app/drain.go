package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"bellhop/control"
)

// draining says whether the node refuses new calls.
type draining struct {
	mu       sync.Mutex // guards what follows
	since    time.Time  // zero: it takes calls
	stopping bool       // the process is on its way down: nobody can undo it
}

// begin notes that new calls are refused, and whether that is for good.
func (d *draining) begin(stopping bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since.IsZero() {
		d.since = time.Now().UTC()
	}
	d.stopping = d.stopping || stopping
}

// state returns since when new calls are refused, zero for not at all.
func (d *draining) state() (since time.Time, stopping bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since, d.stopping
}

// Drain implements [control.Node]: the node refuses new calls until
// [App.Undrain]; it goes on running.
func (a *App) Drain(ctx context.Context) error {
	a.draining.begin(false)
	a.sip.Drain(true)
	a.log.InfoContext(ctx, "draining: new calls are refused")
	return nil
}

// Undrain implements [control.Node].
func (a *App) Undrain(ctx context.Context) error {
	d := &a.draining
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return control.ErrStopping
	}
	d.since = time.Time{}
	a.sip.Drain(false)
	a.log.InfoContext(ctx, "not draining any more")
	return nil
}

// WindDown makes the node refuse new calls for good and waits until those that
// need this process are over, the drain timeout ends, or ctx does.
func (a *App) WindDown(ctx context.Context) {
	limit := time.Duration(a.drainTimeout.Load())
	a.draining.begin(true)
	a.sip.Drain(true)
	a.log.InfoContext(ctx, "draining: new calls are refused", slog.Duration("at_most", limit))
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errDrained)
	defer cancel()
	a.drainCalls(ctx)
	a.log.InfoContext(ctx, "drained")
}

// ringingTick is how often a drain looks whether phones still ring.
const ringingTick = 100 * time.Millisecond

// drainCalls waits for the calls that need this process: those that ring.
// Answered ones live on without it.
func (a *App) drainCalls(ctx context.Context) {
	tick := time.NewTicker(ringingTick)
	defer tick.Stop()
	for a.sip.Ringing() > 0 {
		select {
		case <-ctx.Done():
			a.log.WarnContext(ctx, "phones still ring, their calls are given up", slog.Int("numbers", a.sip.Ringing()), slog.Any("cause", context.Cause(ctx)))
			return
		case <-tick.C:
		}
	}
}

// errDrained ends a drain that took too long.
var errDrained = errors.New("app: the drain timeout is over")
