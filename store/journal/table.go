package journal

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bellhop/feed"
)

// shards is the number of parts of each index, each under its own lock.
const shards = 64

// table is the live calls, found by id, by Call-ID and caller's tag, and by the
// numbers in them. Lock order: byID, then byKey, then numbers, then the ledger; no
// two of one kind at once.
type table struct {
	seed    maphash.Seed
	size    atomic.Int64
	byID    [shards]idShard
	byKey   [shards]keyShard
	numbers [shards]numberShard
	ledger  ledger
}

type idShard struct {
	mu    sync.RWMutex
	calls map[string]*entry
}

type keyShard struct {
	mu    sync.RWMutex
	calls map[string]*entry // by Call-ID; entries of one are linked, newest first
}

type numberShard struct {
	mu    sync.RWMutex
	calls map[numberKey]*link
	// idle says since when members of groups have no answered call: of those that
	// were asked about. Zero: not known.
	idle map[numberKey]time.Time
}

type numberKey struct{ domain, number string }

// entry is one live call.
type entry struct {
	call   atomic.Pointer[feed.Call]
	next   *entry  // guarded by the keyShard
	links  [2]link // caller, number that rings; guarded by their numberShards
	linked [2]numberKey
	also   *others // numbers that ring in it too, nil: none; guarded by the idShard

	seg   *segment // where it is journaled, nil: nowhere; guarded by Journal.mu
	ended bool     // guarded by Journal.mu
}

// link chains the live calls of one number.
type link struct {
	entry      *entry
	prev, next *link
}

func newTable() *table {
	t := &table{seed: maphash.MakeSeed()}
	for i := range shards {
		t.byID[i].calls = make(map[string]*entry)
		t.byKey[i].calls = make(map[string]*entry)
		t.numbers[i].calls = make(map[numberKey]*link)
	}
	return t
}

func (t *table) idShard(id string) *idShard {
	return &t.byID[maphash.String(t.seed, id)%shards]
}

func (t *table) numberShard(number string) *numberShard {
	return &t.numbers[maphash.String(t.seed, number)%shards]
}

// put adds c, or replaces the call with the same id, and returns its entry.
func (t *table) put(c *feed.Call) *entry {
	sh := t.idShard(c.ID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e := sh.calls[c.ID]; e != nil {
		t.replaceLocked(e, c)
		return e
	}
	e := new(entry)
	e.call.Store(c)
	sh.calls[c.ID] = e
	t.size.Add(1)
	t.ledger.change(nil, c)

	ks := &t.byKey[maphash.String(t.seed, c.CallID)%shards]
	ks.mu.Lock()
	e.next = ks.calls[c.CallID]
	ks.calls[c.CallID] = e
	ks.mu.Unlock()
	t.link(e, keysOf(c))
	t.linkOthers(e, othersOf(c))
	return e
}

// update replaces the call with the id of c; it reports false, and does
// nothing, when there is none.
func (t *table) update(c *feed.Call) bool {
	sh := t.idShard(c.ID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.calls[c.ID]
	if e == nil {
		return false
	}
	t.replaceLocked(e, c)
	return true
}

// replaceLocked makes c the call of e; the id's shard is locked.
func (t *table) replaceLocked(e *entry, c *feed.Call) {
	t.ledger.change(e.call.Swap(c), c)
	if keys := keysOf(c); keys != e.linked {
		t.unlink(e, false)
		t.link(e, keys)
	}
	if keys := othersOf(c); !e.also.same(keys) {
		t.unlinkOthers(e)
		t.linkOthers(e, keys)
	}
}

// remove takes the call with id out and returns its entry, or nil.
func (t *table) remove(id string) *entry {
	sh := t.idShard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.calls[id]
	if e == nil {
		return nil
	}
	delete(sh.calls, id)
	t.size.Add(-1)
	t.ledger.change(e.call.Load(), nil)
	callID := e.call.Load().CallID
	ks := &t.byKey[maphash.String(t.seed, callID)%shards]
	ks.mu.Lock()
	if head := ks.calls[callID]; head != e {
		for head.next != e {
			head = head.next
		}
		head.next = e.next
	} else if e.next != nil {
		ks.calls[callID] = e.next
	} else {
		delete(ks.calls, callID)
	}
	ks.mu.Unlock()
	t.unlink(e, !e.call.Load().AnsweredAt.IsZero())
	t.unlinkOthers(e)
	return e
}

// keysOf returns the numbers that c keeps busy: that of a caller that is a
// device of the domain, and the one that rings or talks.
func keysOf(c *feed.Call) (k [2]numberKey) {
	if c.CallerDev != "" {
		k[0] = numberKey{c.Domain, c.Caller}
	}
	if c.Number != "" && (c.CallerDev == "" || c.Number != c.Caller) {
		k[1] = numberKey{c.Domain, c.Number}
	}
	return k
}

func (t *table) link(e *entry, keys [2]numberKey) {
	e.linked = keys
	for i, k := range keys {
		if k.number == "" {
			continue
		}
		e.links[i].entry = e
		t.insert(&e.links[i], k)
	}
}

func (t *table) insert(l *link, k numberKey) {
	sh := t.numberShard(k.number)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if l.next = sh.calls[k]; l.next != nil {
		l.next.prev = l
	}
	sh.calls[k] = l
}

// unlink takes the numbers of e out; hungUp says that it was answered and is over.
func (t *table) unlink(e *entry, hungUp bool) {
	for i, k := range e.linked {
		if k.number == "" {
			continue
		}
		t.extract(&e.links[i], k, hungUp)
	}
	e.linked = [2]numberKey{}
}

func (t *table) extract(l *link, k numberKey, hungUp bool) {
	sh := t.numberShard(k.number)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if hungUp && len(sh.idle) > 0 {
		if _, asked := sh.idle[k]; asked {
			sh.idle[k] = time.Now()
		}
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	switch {
	case l.prev != nil:
		l.prev.next = l.next
	case l.next != nil:
		sh.calls[k] = l.next
	default:
		delete(sh.calls, k)
	}
	*l = link{}
}

// find returns the newest live call with Call-ID and caller's tag.
func (t *table) find(callID, callerTag []byte) *feed.Call {
	ks := &t.byKey[maphash.Bytes(t.seed, callID)%shards]
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	for e := ks.calls[string(callID)]; e != nil; e = e.next {
		if c := e.call.Load(); c.CallerTag == string(callerTag) {
			return c
		}
	}
	return nil
}

// count returns how many calls with a deadline after now number is in.
func (t *table) count(domain, number string, now time.Time) (n int) {
	sh := t.numberShard(number)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for l := sh.calls[numberKey{domain, number}]; l != nil; l = l.next {
		if now.Before(deadline(l.entry.call.Load())) {
			n++
		}
	}
	return n
}

// of returns the calls with a deadline after now that number is in, oldest first.
func (t *table) of(domain, number string, now time.Time) (calls []*feed.Call) {
	sh := t.numberShard(number)
	sh.mu.RLock()
	for l := sh.calls[numberKey{domain, number}]; l != nil; l = l.next {
		if c := l.entry.call.Load(); now.Before(deadline(c)) {
			calls = append(calls, c)
		}
	}
	sh.mu.RUnlock()
	slices.SortFunc(calls, func(a, b *feed.Call) int { return strings.Compare(a.ID, b.ID) })
	return calls
}

// deadline returns when c stops counting.
func deadline(c *feed.Call) time.Time {
	switch {
	case !c.Deadline.IsZero():
		return c.Deadline
	case !c.AnsweredAt.IsZero():
		return c.AnsweredAt.Add(Silence)
	default:
		return c.Started.Add(Silence)
	}
}

// entries returns the live entries that keep says, in no order.
func (t *table) entries(keep func(*feed.Call) bool) (out []*entry) {
	for i := range t.byID {
		sh := &t.byID[i]
		sh.mu.RLock()
		for _, e := range sh.calls {
			if keep(e.call.Load()) {
				out = append(out, e)
			}
		}
		sh.mu.RUnlock()
	}
	return out
}

// live returns the calls of a domain, or of all for "", oldest first.
func (t *table) live(domain string) []*feed.Call {
	es := t.entries(func(c *feed.Call) bool { return domain == "" || c.Domain == domain })
	calls := make([]*feed.Call, len(es))
	for i, e := range es {
		calls[i] = e.call.Load()
	}
	slices.SortFunc(calls, func(a, b *feed.Call) int { return strings.Compare(a.ID, b.ID) })
	return calls
}
