package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bellhop/feed"
)

// The form of a segment file: a header of magic and format number, then
// entries of length (4 bytes, of kind and call), CRC-32C (4 bytes, of the
// same), kind (1 byte), call. Numbers are little endian. Format 1 had no legs, 2
// did not say who may read a story.
const (
	segmentMagic  = "BHJOURN"
	segmentFormat = 6
	headerSize    = len(segmentMagic) + 1
	frameSize     = 8
	segmentSuffix = ".calls"
)

// ErrNewer reports a journal that a newer release wrote.
var ErrNewer = errors.New("journal: written by a newer release")

// A kind is what an entry says of its call.
type kind byte

const (
	kindAnswered kind = 1 // it is live; replaces what was said before
	kindEnded    kind = 2 // it is over; the call is the record
)

// segment is one file of the journal, and who still needs it. All fields but
// n and path are guarded by Journal.mu.
type segment struct {
	n       uint64
	path    string
	file    *os.File // nil once it is no longer written to
	size    int64
	dirty   bool // bytes that were not synced
	live    int  // live calls whose newest entry is here
	pending int  // records from here that the sink has not taken
	spilled bool // some of its records are in the file only
}

// needed reports whether the segment must be kept.
func (s *segment) needed() bool { return s.live > 0 || s.pending > 0 || s.spilled }

// create makes the file of segment n.
func create(dir string, n uint64) (*segment, error) {
	s := &segment{n: n, path: filepath.Join(dir, fmt.Sprintf("%016x%s", n, segmentSuffix))}
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	head := append([]byte(segmentMagic), segmentFormat)
	if _, err := f.Write(head); err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), f.Close(), os.Remove(s.path))
	}
	s.file, s.size, s.dirty = f, int64(len(head)), true
	return s, nil
}

// list returns the segments in dir, oldest first, not opened.
func list(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var out []*segment
	for _, e := range entries {
		hex, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		n, err := strconv.ParseUint(hex, 16, 64)
		if !ok || err != nil {
			continue
		}
		out = append(out, &segment{n: n, path: filepath.Join(dir, e.Name())})
	}
	slices.SortFunc(out, func(a, b *segment) int { return strings.Compare(a.path, b.path) })
	return out, nil
}

// frame appends an entry to b.
func frame(b []byte, k kind, c *feed.Call) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, byte(k))
	b = appendCall(b, c)
	body := b[start+frameSize:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(body, castagnoli()))
	return b
}

// castagnoli returns the table of CRC-32C, which the processor computes.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// decode yields the entries of a segment's bytes in order and returns how many
// bytes it understood: less than all of them when the end is torn or damaged.
func decode(b []byte, yield func(k kind, c *feed.Call)) (good int, err error) {
	if len(b) < headerSize || !bytes.HasPrefix(b, []byte(segmentMagic)) {
		return 0, nil
	}
	if b[headerSize-1] > segmentFormat {
		return 0, fmt.Errorf("%w: format %d, this one knows %d", ErrNewer, b[headerSize-1], segmentFormat)
	}
	good = headerSize
	for {
		rest := b[good:]
		if len(rest) < frameSize {
			return good, nil
		}
		n := binary.LittleEndian.Uint32(rest)
		if n == 0 || n > maxEntry || int(n) > len(rest)-frameSize {
			return good, nil
		}
		body := rest[frameSize : frameSize+int(n)]
		if crc32.Checksum(body, castagnoli()) != binary.LittleEndian.Uint32(rest[4:]) {
			return good, nil
		}
		c, err := decodeCall(body[1:], b[headerSize-1])
		if err != nil {
			return good, nil //nolint:nilerr // damaged: the entries before it count
		}
		yield(kind(body[0]), c)
		good += frameSize + int(n)
	}
}

// read yields the entries of s; torn tells that its end was not understood.
func (s *segment) read(yield func(k kind, c *feed.Call)) (torn bool, err error) {
	b, err := os.ReadFile(s.path)
	if err != nil {
		return false, fmt.Errorf("journal: %w", err)
	}
	good, err := decode(b, yield)
	if err != nil {
		return false, fmt.Errorf("%s: %w", s.path, err)
	}
	return good < len(b), nil
}

// drop deletes the file of s.
func (s *segment) drop() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// syncDir makes the names in dir survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("journal: sync: %w", err)
	}
	return nil
}
