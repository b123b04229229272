package cache

import (
	"context"
	"log/slog"
	"time"
)

// Refill is how long after the last change what it took out is compiled again, so
// that the next call to a changed number need not wait for the store. During a bulk
// change nothing is: it would be taken out again.
const Refill = 100 * time.Millisecond

// again notes entries that were taken out, to be compiled again. What does not fit
// is read when it is asked for.
func (c *Cache) again(keys []key) {
	c.stale.Lock()
	for _, k := range keys {
		if len(c.stale.keys) >= c.each*shards {
			break
		}
		c.stale.keys[k] = struct{}{}
	}
	none := len(c.stale.keys) == 0
	c.stale.Unlock()
	if none {
		return
	}
	select {
	case c.refills <- struct{}{}:
	default: // it is about to begin
	}
}

// refill compiles what was taken out. It ends early, and begins again later, when
// something changes meanwhile.
func (c *Cache) refill(ctx context.Context) {
	c.stale.Lock()
	keys := c.stale.keys
	c.stale.keys = make(map[key]struct{})
	c.stale.Unlock()
	gen := c.gen.Load()
	for k := range keys {
		if ctx.Err() != nil || c.gen.Load() != gen {
			break
		}
		delete(keys, k)
		if e, _ := c.get(k); e != nil {
			continue
		}
		if _, err := c.read(ctx, k); err != nil {
			c.log.LogAttrs(ctx, slog.LevelDebug, "entry not compiled again", slog.Any("error", err))
			return // the store is away: who asks reads
		}
		if c.gen.Load() != gen {
			keys[k] = struct{}{} // it was not stored
		}
	}
	left := make([]key, 0, len(keys))
	for k := range keys {
		left = append(left, k)
	}
	c.again(left)
}
