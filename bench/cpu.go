package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processTime is the processor time that a process has used. The clock of a
// process, unlike the times of its threads in /proc, keeps those of threads
// that ended, and counts nanoseconds, not ticks.
func processTime(pid int) (time.Duration, error) {
	const schedClock = 2 // CPUCLOCK_SCHED; clock_getcpuclockid(3) makes the same number
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &ts); err != nil {
		return 0, fmt.Errorf("clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// processes are a process and all its descendants.
func processes(root int) ([]int, error) {
	out := []int{root}
	for i := 0; i < len(out); i++ {
		lists, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", out[i]))
		if err != nil {
			return nil, err
		}
		for _, task := range lists {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", out[i], task.Name()))
			if err != nil {
				return nil, err
			}
			for field := range strings.FieldsSeq(string(b)) {
				pid, err := strconv.Atoi(field)
				if err != nil {
					return nil, err
				}
				out = append(out, pid)
			}
		}
	}
	return out, nil
}

// treeTime is the processor time of a process and its descendants.
func treeTime(root int) (time.Duration, error) {
	pids, err := processes(root)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range pids {
		d, err := processTime(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}
