package journal

import (
	"slices"
	"time"

	"bellhop/feed"
)

// othersOf returns the numbers that ring in c beside those of [keysOf]: members
// of a group, and numbers of ours that are remote destinations.
func othersOf(c *feed.Call) (out []numberKey) {
	if len(c.Legs) == 0 {
		return nil
	}
	known := keysOf(c)
	for i := range c.Legs {
		l := &c.Legs[i]
		k := numberKey{c.Domain, l.Number}
		if l.Caller || l.Trunk != "" || l.State == feed.Ended || l.Number == "" ||
			k == known[0] || k == known[1] || slices.Contains(out, k) {
			continue
		}
		out = append(out, k)
	}
	return out
}

// others are numbers in a call beyond the two of its entry.
type others struct {
	keys  []numberKey
	links []link
}

func (o *others) same(keys []numberKey) bool {
	if o == nil {
		return len(keys) == 0
	}
	return slices.Equal(o.keys, keys)
}

func (t *table) linkOthers(e *entry, keys []numberKey) {
	if len(keys) == 0 {
		return
	}
	e.also = &others{keys, make([]link, len(keys))}
	for i, k := range keys {
		e.also.links[i].entry = e
		t.insert(&e.also.links[i], k)
	}
}

func (t *table) unlinkOthers(e *entry) {
	if e.also == nil {
		return
	}
	for i, k := range e.also.keys {
		t.extract(&e.also.links[i], k, false)
	}
	e.also = nil
}

// idle returns since when a number has no answered call; the zero time is not
// known. From now on it will be.
func (t *table) idle(domain, number string) time.Time {
	sh, k := t.numberShard(number), numberKey{domain, number}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	at, asked := sh.idle[k]
	if !asked {
		if sh.idle == nil {
			sh.idle = make(map[numberKey]time.Time)
		}
		sh.idle[k] = at
	}
	return at
}
