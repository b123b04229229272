package control

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"bellhop/routing/directory"
)

// TestStoreAway: a store that cannot save is not an error of ours, and says that
// nothing was changed.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		status int
		rule   string
	}{
		{fmt.Errorf("sqlstore: commit: %w", directory.ErrUnavailable), http.StatusServiceUnavailable, "store.unavailable"},
		{fmt.Errorf("sqlstore: get: %w", context.DeadlineExceeded), http.StatusServiceUnavailable, "store.slow"},
		{fmt.Errorf("anything else"), http.StatusInternalServerError, "internal"},
	} {
		if p := problemOf(tt.err); p.Status != tt.status || p.Type != tt.rule {
			t.Errorf("problemOf(%v) = %d %s, want %d %s", tt.err, p.Status, p.Type, tt.status, tt.rule)
		}
	}
}
