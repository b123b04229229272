package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// stopTimeout bounds how long one part may take to stop.
const stopTimeout = 10 * time.Second

// A part is something that runs from the start of the daemon to its end.
type part struct {
	name string
	run  func(ctx context.Context) error // blocks until all it started has ended
}

// A cleanup undoes one step of the start.
type cleanup struct {
	name string
	stop func() error
}

// onStop adds a clean-up; the last one added runs first.
func (a *App) onStop(name string, stop func() error) {
	a.cleanups = append(a.cleanups, cleanup{name, stop})
}

// stop undoes everything, newest first. Calling it again does nothing.
func (a *App) stop() error {
	var errs []error
	for _, c := range slices.Backward(a.cleanups) {
		if err := c.stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", c.name, err))
		}
	}
	a.cleanups = nil
	return errors.Join(errs...)
}

// start runs p in a goroutine that its clean-up waits for. A part that ends by
// itself ends the daemon: fail is called with the reason.
func (a *App) start(ctx context.Context, p part, fail context.CancelCauseFunc) {
	// Parts do not end with ctx but in their turn: those that others stand on last.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		err := p.run(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended by itself")
			}
			fail(fmt.Errorf("app: %s: %w", p.name, err))
			err = nil // reported already
		}
		done <- err
	}()
	a.onStop(p.name, func() error {
		cancel()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-time.After(stopTimeout):
			return fmt.Errorf("still running after %s", stopTimeout)
		}
	})
}
