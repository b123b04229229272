package sqlstore_test

import (
	"fmt"
	"os"
	"testing"
)

// TestMain stops what tests share.
func TestMain(m *testing.M) {
	defer func() {
		if !used.Load() {
			return
		}
		p, err := shared()
		if err != nil {
			return // a test said so
		}
		if err := p.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	m.Run()
}
