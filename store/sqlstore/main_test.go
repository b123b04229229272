package sqlstore_test

import (
	"fmt"
	"os"
	"testing"
)

// TestMain stops what tests share.
func TestMain(m *testing.M) {
	code := m.Run()
	if used.Load() {
		if p, err := shared(); err == nil {
			if err := p.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code)
}
