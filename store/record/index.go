package record

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"bellhop/feed"
)

// A Party is one number of a domain.
type Party struct{ Domain, Number string }

func compareParties(a, b Party) int {
	return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Number, b.Number))
}

// An Index says in which calls parties were. Secondary indexes of a table of
// records would dirty a page for every row; so the records of a batch get one
// small Index that is written as one value, and many of those are merged into
// a run, sorted, from time to time.
type Index map[Party][]int64

// Add notes the parties of a call: who called, what was dialled, what rang.
func (x Index) Add(id int64, c *feed.Call) {
	x.add(c.Domain, c.Caller, id)
	if c.Called != c.Caller {
		x.add(c.Domain, c.Called, id)
	}
	if c.Number != c.Caller && c.Number != c.Called {
		x.add(c.Domain, c.Number, id)
	}
}

func (x Index) add(domain, number string, id int64) {
	if number != "" {
		p := Party{domain, number}
		x[p] = append(x[p], id)
	}
}

// Merge adds the entries of y.
func (x Index) Merge(y Index) {
	for p, ids := range y {
		x[p] = append(x[p], ids...)
	}
}

// Sorted returns the parties in order.
func (x Index) Sorted() []Party {
	out := make([]Party, 0, len(x))
	for p := range x {
		out = append(out, p)
	}
	slices.SortFunc(out, compareParties)
	return out
}

// errIndex reports a damaged index.
var errIndex = errors.New("record: damaged index")

// AppendIndex appends the form of x that [DecodeIndex] reads.
func AppendIndex(b []byte, x Index) []byte {
	domain := ""
	for _, p := range x.Sorted() {
		if p.Domain == domain {
			b = append(b, 0)
		} else {
			domain = p.Domain
			b = appendText(b, domain)
		}
		b = appendText(b, p.Number)
		ids := AppendIDs(nil, x[p])
		b = binary.AppendUvarint(b, uint64(len(ids)))
		b = append(b, ids...)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// EachParty yields the parties of an encoded index with their encoded ids.
func EachParty(b []byte, yield func(p Party, ids []byte)) error {
	domain := ""
	for len(b) > 0 {
		d, rest, ok := text(b)
		if !ok {
			return errIndex
		}
		if len(d) > 0 && string(d) != domain {
			domain = string(d)
		}
		number, rest, ok := text(rest)
		if !ok {
			return errIndex
		}
		ids, rest, ok := text(rest)
		if !ok {
			return errIndex
		}
		yield(Party{domain, string(number)}, ids)
		b = rest
	}
	return nil
}

func text(b []byte) (s, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

// DecodeIndex reads what [AppendIndex] wrote.
func DecodeIndex(b []byte) (Index, error) {
	x := make(Index)
	var bad error
	err := EachParty(b, func(p Party, ids []byte) {
		var err error
		if x[p], err = DecodeIDs(x[p], ids); err != nil {
			bad = err
		}
	})
	return x, errors.Join(err, bad)
}

// AppendIDs appends ids, sorted and each once, as differences.
func AppendIDs(b []byte, ids []int64) []byte {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	last := int64(0)
	for _, id := range slices.Compact(ids) {
		b = binary.AppendUvarint(b, uint64(id-last))
		last = id
	}
	return b
}

// DecodeIDs appends to dst what [AppendIDs] wrote.
func DecodeIDs(dst []int64, b []byte) ([]int64, error) {
	last := int64(0)
	for len(b) > 0 {
		d, w := binary.Uvarint(b)
		if w <= 0 {
			return dst, errIndex
		}
		last += int64(d)
		dst = append(dst, last)
		b = b[w:]
	}
	return dst, nil
}
