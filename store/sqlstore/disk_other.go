//go:build !linux

package sqlstore

import (
	"errors"
	"os"
)

// roomOf is known on Linux only.
func roomOf(string) (free, total uint64, ok bool) { return 0, 0, false }

// allocate works on Linux only.
func allocate(string, int64) error { return errors.ErrUnsupported }

// lock keeps nobody out.
func lock(path string) (f *os.File, ok bool, err error) {
	f, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	return f, err == nil, err
}

func unlock(f *os.File) error { return f.Close() }
