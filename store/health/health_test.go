package health_test

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/store/health"
)

func TestPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p health.Part
		if p.Failing() || p.OK() || len(p.Append(nil)) != 0 {
			t.Error("the zero Part fails")
		}
		start := time.Now().UTC().Truncate(time.Millisecond)
		if !p.Fail("store", "the disk is full") {
			t.Error("the first failure is no news")
		}
		<-time.After(time.Minute)
		if p.Fail("store", "the disk is full") || p.Fail("store", "the disk fails") {
			t.Error("a failure after a failure is news")
		}
		got := p.Append(nil)
		if len(got) != 1 || got[0].Part != "store" || got[0].Detail != "the disk fails" || !got[0].Since.Equal(start) {
			t.Errorf("reasons = %+v, want the last words and the first time %s", got, start)
		}
		if !p.OK() || p.OK() || p.Failing() {
			t.Error("it works again, once")
		}
	})
}

func TestWords(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		syscall.ENOSPC: "the disk is full",
		fmt.Errorf("write: %w", &fs.PathError{Err: syscall.EIO}): "the disk fails",
		syscall.EROFS:       "the disk is read-only",
		errors.New("other"): "",
	} {
		if got := health.Words(err); got != want {
			t.Errorf("Words(%v) = %q, want %q", err, got, want)
		}
	}
}
