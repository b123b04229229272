package b2bua

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bellhop/feed"
	"bellhop/routing/call"
	"bellhop/routing/ring"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// ErrNoCall reports that no live call has the id.
var ErrNoCall = errors.New("b2bua: there is no such call")

// HangUp ends a live call, anchored or proxied: one that was answered with BYE
// to both ends, one that rings as if its caller had given up. It returns when all
// of that was sent. The errors are [ErrNoCall], those of the lane, and the
// context's.
func (b *B2BUA) HangUp(ctx context.Context, id string) error {
	c, ok := b.calls.ByID(id)
	if !ok {
		return fmt.Errorf("%w: %s", ErrNoCall, id)
	}
	done := make(chan struct{})
	task := transaction.Task(func(set *transaction.Set) {
		defer close(done)
		b.hangUp(set, id)
	})
	for {
		ln, _, err := b.lanes.GetOrNew([]byte(c.CallID))
		if err == nil {
			err = ln.Post(task)
		}
		if errors.Is(err, lane.ErrClosed) {
			continue // it closed meanwhile: there is another
		}
		if err != nil {
			return fmt.Errorf("b2bua: hang up %s: %w", id, err)
		}
		break
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// hangUp ends a call, in its lane.
func (b *B2BUA) hangUp(set *transaction.Set, id string) {
	first, _ := set.Tied.(*anchor)
	for a := first; a != nil; a = a.next {
		if a.live.ID != id {
			continue
		}
		now := a.tick()
		if a.joined {
			a.talks.step(call.HangUp{Now: now})
			a.settle()
		} else {
			a.step(ring.Cancelled{Now: now})
		}
		return
	}
	c, ok := b.calls.ByID(id)
	switch {
	case !ok:
	case c.State == feed.Talking:
		b.hangUpProxied(set, c)
	default:
		set.GiveUp()
	}
}

// lastSeq is the CSeq of a BYE that we send in the name of an end of a proxied
// call: higher than any that the end itself can have sent (RFC 3261 §8.1.1.5).
const lastSeq = 1<<31 - 1

// hangUpProxied ends an answered call that is proxied: each end gets BYE as if
// the other had sent it.
func (b *B2BUA) hangUpProxied(set *transaction.Set, c *feed.Call) {
	for i := range c.Legs {
		l := &c.Legs[i]
		if l.Dialog == nil {
			continue
		}
		d := restored(call.B, c.Domain, l)
		f, _ := b.way(&d) // devices: trunks are anchored
		id := transaction.NewID()
		buf := b.txs.Buffer()
		*buf = b.own(*buf, "BYE", &d, f, id, lastSeq, nil, body{})
		if _, err := set.Request(f, wire.Bye, id, *buf, nil, 0); err != nil {
			b.metrics.sendFailed.Inc()
		}
		b.txs.Release(buf)
	}
	next := *c
	next.State, next.EndedAt = feed.Ended, time.Now()
	next.Legs = feed.AppendEnded(nil, c.Legs, next.EndedAt)
	if err := b.calls.Ended(&next); err != nil {
		b.metrics.journalFailed.Inc()
		b.log.Error("record not journaled", "call", next.ID, "err", err)
	}
}
