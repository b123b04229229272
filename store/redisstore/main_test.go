package redisstore_test

import (
	"flag"
	"testing"
)

// TestMain lets many tests run at once: what they do is wait for servers that are
// away, and processors have nothing to do with it.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	m.Run()
}
