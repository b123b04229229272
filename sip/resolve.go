package sip

import (
	"context"
	"errors"
	"sync"
	"time"

	"bellhop/routing"
	"bellhop/sip/lane"
)

// A World answers what a decision needs.
type World interface {
	// Cached puts what need asks for into w from memory; false when it is not
	// there. It never blocks.
	Cached(need routing.Need, w *routing.World) bool
	// Load puts what need asks for into w. It may block.
	Load(ctx context.Context, need routing.Need, w *routing.World) error
}

// errMiss reports that a decision needs what is not in memory.
var errMiss = errors.New("sip: not cached")

// A resolver asks routing. It is safe for concurrent use.
type resolver struct {
	world  World
	worlds sync.Pool // of *routing.World
	memory func(routing.Need, *routing.World) error
}

func newResolver(w World) *resolver {
	r := &resolver{world: w}
	r.worlds.New = func() any { return new(routing.World) }
	r.memory = func(n routing.Need, w *routing.World) error {
		if r.world.Cached(n, w) {
			return nil
		}
		return errMiss
	}
	return r
}

// cached decides about v from memory; the error is errMiss when not all that it
// takes is there.
func (r *resolver) cached(now time.Time, v *routing.Visit) (routing.Plan, routing.Trace, error) {
	w := r.worlds.Get().(*routing.World)
	w.Reset(now)
	plan, trace, err := routing.Resolve(w, *v, r.memory)
	r.worlds.Put(w)
	return plan, trace, err
}

// load decides about v by loading in the pool; then runs in the lane. On an error
// it does not.
func (r *resolver) load(ln *lane.Lane, now time.Time, v routing.Visit, then func(routing.Plan, routing.Trace, error)) error {
	return ln.Do(func(ctx context.Context) lane.Event {
		plan, trace, err := routing.Resolve(routing.NewWorld(now), v, func(n routing.Need, w *routing.World) error {
			return r.world.Load(ctx, n, w)
		})
		return lane.Continue(func() { then(plan, trace, err) })
	})
}

// Resolve decides about v: from memory when all is there, otherwise by loading in
// the pool. then runs in the lane, now or later.
func (r *resolver) Resolve(ln *lane.Lane, now time.Time, v *routing.Visit, then func(routing.Plan, routing.Trace, error)) {
	plan, trace, err := r.cached(now, v)
	if errors.Is(err, errMiss) {
		if err = r.load(ln, now, *v, then); err == nil {
			return
		}
	}
	then(plan, trace, err)
}

// status maps what stopped a decision to a final status.
func status(err error) int {
	switch {
	case errors.Is(err, lane.ErrFull):
		return 503
	case errors.Is(err, context.DeadlineExceeded):
		return 504
	default:
		return 500
	}
}
