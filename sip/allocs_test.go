//go:build !race

package sip_test

import "testing"

// callAllocs is how much a call may allocate, with what the test adds: an address
// for every message that is written.
const callAllocs = 68

func TestCallAllocs(t *testing.T) { //nolint:paralleltest // counts allocations
	c := newCaller(t)
	const runs = 1000
	c.fill(runs + 1)
	if n := testing.AllocsPerRun(runs, c.call); n > callAllocs {
		t.Errorf("a call allocates %v times, want at most %d", n, callAllocs)
	}
}
