package binding

import (
	"context"
	"time"
)

// Shift does what a jump of the clock leads to.
func (t *Table) Shift(ctx context.Context, jump time.Duration) { t.shift(ctx, jump) }
