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
	if a.Domain != b.Domain { // mostly the same string: decided by its address
		return strings.Compare(a.Domain, b.Domain)
	}
	return strings.Compare(a.Number, b.Number)
}

// A Batch collects which numbers were in which calls. Secondary indexes of a
// table of records would dirty a page for every row; so the records of a batch
// get one small index that is written as one value, and many of those are
// merged into a [Run], sorted, from time to time. The zero Batch is empty.
type Batch struct{ entries []entry }

type entry struct {
	party Party
	id    int64
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.entries)
	b.entries = b.entries[:0]
}

// Add notes the numbers of a call: who called, what was dialled, what rang.
func (b *Batch) Add(id int64, c *feed.Call) {
	b.add(c.Domain, c.Caller, id)
	if c.Called != c.Caller {
		b.add(c.Domain, c.Called, id)
	}
	if c.Number != c.Caller && c.Number != c.Called {
		b.add(c.Domain, c.Number, id)
	}
	if len(c.Emergency) > 0 {
		b.add(c.Domain, Emergencies, id)
	}
}

// Emergencies is the party of every emergency call: no number is spelled so.
const Emergencies = "!emergency"

func (b *Batch) add(domain, number string, id int64) {
	if number != "" {
		b.entries = append(b.entries, entry{Party{domain, number}, id})
	}
}

// AppendTo sorts the batch and appends its encoded form to dst: for each party
// its domain, empty where it is that of the party before, its number, and its
// ids; each with its length before it.
func (b *Batch) AppendTo(dst []byte) []byte {
	slices.SortFunc(b.entries, func(x, y entry) int {
		if c := compareParties(x.party, y.party); c != 0 {
			return c
		}
		return cmp.Compare(x.id, y.id)
	})
	domain := ""
	var ids []int64
	var packed []byte
	for i := 0; i < len(b.entries); {
		p := b.entries[i].party
		ids = ids[:0]
		for ; i < len(b.entries) && b.entries[i].party == p; i++ {
			ids = append(ids, b.entries[i].id)
		}
		if p.Domain == domain {
			dst = append(dst, 0)
		} else {
			domain = p.Domain
			dst = appendText(dst, domain)
		}
		dst = appendText(dst, p.Number)
		packed = appendSorted(packed[:0], ids)
		dst = binary.AppendUvarint(dst, uint64(len(packed)))
		dst = append(dst, packed...)
	}
	return dst
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// errIndex reports a damaged index.
var errIndex = errors.New("record: damaged index")

// Each yields the parties of an encoded batch with their packed ids, until
// yield fails. The bytes are parts of b.
func Each(b []byte, yield func(domain, number, ids []byte) error) error {
	var domain []byte
	for len(b) > 0 {
		d, rest, ok1 := text(b)
		number, rest, ok2 := text(rest)
		ids, rest, ok3 := text(rest)
		if !ok1 || !ok2 || !ok3 {
			return errIndex
		}
		if len(d) > 0 {
			domain = d
		}
		if err := yield(domain, number, ids); err != nil {
			return err
		}
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

// A Run is many batches as one.
type Run struct {
	parties   map[Party]*[]int64
	low, high int64
}

// NewRun returns an empty run.
func NewRun() *Run { return &Run{parties: make(map[Party]*[]int64)} }

// Add adds an encoded batch.
func (r *Run) Add(b []byte) error {
	return Each(b, func(domain, number, packed []byte) error {
		ids := r.parties[Party{string(domain), string(number)}]
		if ids == nil {
			ids = new([]int64)
			r.parties[Party{string(domain), string(number)}] = ids
		}
		n := len(*ids)
		var err error
		if *ids, err = DecodeIDs(*ids, packed); err != nil {
			return err
		}
		for _, id := range (*ids)[n:] {
			if r.low == 0 || id < r.low {
				r.low = id
			}
			r.high = max(r.high, id)
		}
		return nil
	})
}

// Span returns the smallest and the greatest id in the run.
func (r *Run) Span() (low, high int64) { return r.low, r.high }

// Parties returns the parties in order.
func (r *Run) Parties() []Party {
	out := make([]Party, 0, len(r.parties))
	for p := range r.parties {
		out = append(out, p)
	}
	slices.SortFunc(out, compareParties)
	return out
}

// AppendIDs appends the packed ids of a party to dst.
func (r *Run) AppendIDs(dst []byte, p Party) []byte {
	ids := r.parties[p]
	if ids == nil {
		return dst
	}
	slices.Sort(*ids)
	return appendSorted(dst, *ids)
}

// appendSorted appends sorted ids, each once, as differences.
func appendSorted(b []byte, ids []int64) []byte {
	last := int64(0)
	for _, id := range ids {
		if id != last {
			b = binary.AppendUvarint(b, uint64(id-last))
			last = id
		}
	}
	return b
}

// DecodeIDs appends to dst the ids that are packed in b.
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
