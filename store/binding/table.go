// Package binding is the location service of a node: the bindings of all its
// addresses-of-record in memory, with a [Saver] behind them that outlives the
// process (trust.md §3, bindings).
//
// A binding that is new, moved or removed is saved before [Table.Register]
// returns; those of all callers that wait are saved together. Memory shows only
// what was saved. A plain refresh is in memory at once and is saved within
// [Slack]; every deadline is therefore saved with that much added, so that a
// phone that refreshed just before a crash is still known after it.
//
// Several nodes may have one saver behind their tables. Every saved state of an
// AOR has a version and replaces the one that it was made from, or none at all:
// who comes second reads what the first one saved and does its change on that.
// What others saved is told to [Table.Learn]; [Table.Resync] reads all of it.
//
// In memory there are 64 shards, each AOR one packed string that is decoded on
// use. Lookups never wait for the saver. [Table.Run] owns two goroutines: one
// saves groups, the other expires bindings and saves refreshes.
package binding

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing/location"
)

// Slack is how long a plain refresh may be in memory only, and how much is
// added to every deadline that is saved.
const Slack = 30 * time.Second

// shards is the number of parts of the table, each under its own lock.
const shards = 64

// A Row is the bindings of one AOR as they are saved.
type Row struct {
	AOR     location.AOR
	Packed  string    // [location.Bindings.Pack]; "" deletes the row
	Expires time.Time // when the last of them ends
	Version uint64    // of this state; 0: there is no row. Grows with every change of an AOR, over all its lives
	Before  uint64    // the version that it replaces; 0: none
}

// A Saver keeps bindings over the life of a process.
type Saver interface {
	// SaveBindings saves rows in one transaction, but for those whose AOR has not
	// the version Before: of these it returns what there is, Version 0 when there
	// is none. When it returns no error the rest survives the death of the process.
	SaveBindings(ctx context.Context, rows []Row) (stale []Row, err error)
	// LoadBindings calls add with every row.
	LoadBindings(ctx context.Context, add func(Row) error) error
}

// Options are what a table needs.
type Options struct {
	Saver      Saver                 // nil: memory only
	Node       uint16                // number of this node, different on those that share a saver
	Announce   func([]Row)           // told of what was saved; must not block. nil: nobody is
	Shared     bool                  // other nodes save too: connections in what is loaded may be theirs
	Feed       *feed.Stream          // nil: nobody is told
	Logger     *slog.Logger          // nil discards
	Registerer prometheus.Registerer // nil: metrics are not shown
}

// A Table is a location service. Make one with [New], then Run it.
type Table struct {
	saver    Saver
	node     uint16
	tell     func([]Row)
	shared   bool
	feed     *feed.Stream
	log      *slog.Logger
	metrics  *metrics
	seed     maphash.Seed
	group    group
	size     atomic.Int64
	shards   [shards]shard
	held     *held
	contacts *contacts

	// Flows in doubt: read on every message, so the count is checked first.
	doubts atomic.Int64
	doubt  sync.Mutex
	flows  map[location.Flow][]location.AOR // guarded by doubt; doubt is locked before a shard
}

// shard is a part of the table.
type shard struct {
	mu    sync.RWMutex
	slots map[location.AOR]slot
	busy  map[location.AOR]busy    // what is being saved
	dirty map[location.AOR]uint64  // refreshed or expired, not saved yet; the version that is saved
	gone  map[location.AOR]uint64  // removed lately: the version of that; only where nodes share a saver
	due   map[int64][]location.AOR // by second: look for expired bindings then
	next  int64                    // the first second of due that was not looked at
}

// busy marks an AOR whose row is being saved.
type busy struct {
	done    chan struct{} // closed when it is over
	refresh bool          // memory has it already, so that a refresh need not wait
}

// isBusy reports whether the row of a is being saved.
func (sh *shard) isBusy(a location.AOR) bool { return sh.busy[a].done != nil }

// slot is the bindings of one AOR.
type slot struct {
	packed   string
	n        int      // bindings
	saved    uint64   // version of the row that is saved
	flows    []uint64 // keys of theirs in Table.held
	contacts []uint64 // and in Table.contacts
	due      int64    // the second of its entry in shard.due; others are stale
}

// New loads what the saver has. Deadlines further away than what was granted
// are cut (a clock that was set back); connections of the last run are gone, so
// flows over them lead nowhere until the device registers again.
func New(ctx context.Context, o Options) (*Table, error) {
	t := &Table{
		saver: o.Saver, node: o.Node, tell: o.Announce, shared: o.Shared, feed: o.Feed, log: o.Logger, seed: maphash.MakeSeed(),
		flows: make(map[location.Flow][]location.AOR), held: newHeld(), contacts: newContacts(), group: group{wake: make(chan struct{}, 1)},
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	now := time.Now()
	for i := range t.shards {
		t.shards[i] = shard{
			slots: make(map[location.AOR]slot),
			busy:  make(map[location.AOR]busy),
			dirty: make(map[location.AOR]uint64),
			gone:  make(map[location.AOR]uint64),
			due:   make(map[int64][]location.AOR),
			next:  now.Unix(),
		}
	}
	t.metrics = newMetrics(o.Registerer, t)
	if t.saver == nil {
		return t, nil
	}
	if err := t.saver.LoadBindings(ctx, func(r Row) error { return t.load(r, now) }); err != nil {
		return nil, fmt.Errorf("binding: load: %w", err)
	}
	return t, nil
}

// load takes one saved row into memory.
func (t *Table) load(r Row, now time.Time) error {
	bs, err := location.Unpack(r.Packed)
	if err != nil {
		return fmt.Errorf("%s: %w", r.AOR, err)
	}
	bs, _ = bs.Clamp(now).Expire(now)
	for i := range bs {
		if bs[i].Flow.Transport != location.UDP && (!t.shared || bs[i].Node == t.node) {
			bs[i].Flow.Conn = 0
		}
		if bs[i].Doubtful {
			t.addDoubt(r.AOR, bs[i].Flow)
		}
	}
	sh := t.shard(r.AOR)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	t.installLocked(sh, r.AOR, bs)
	sh.setSaved(r.AOR, r.Version)
	return nil
}

// saved returns the version of the row of a that is saved, 0 for none.
func (sh *shard) saved(a location.AOR) uint64 {
	if s, ok := sh.slots[a]; ok {
		return s.saved
	}
	return sh.dirty[a]
}

// setSaved notes the version of the row of a that is saved.
func (sh *shard) setSaved(a location.AOR, version uint64) {
	if s, ok := sh.slots[a]; ok {
		s.saved = version
		sh.slots[a] = s
	}
	if _, ok := sh.dirty[a]; ok {
		sh.dirty[a] = version
	}
}

func (t *Table) shard(a location.AOR) *shard {
	return &t.shards[maphash.Comparable(t.seed, a)%shards]
}

// unpack decodes what the table packed itself.
func unpack(s string) location.Bindings {
	bs, err := location.Unpack(s)
	if err != nil {
		panic(err) // we packed it
	}
	return bs
}

// installLocked makes bs the bindings of a.
func (t *Table) installLocked(sh *shard, a location.AOR, bs location.Bindings) {
	s := sh.slots[a]
	t.size.Add(int64(len(bs) - s.n))
	s.flows, s.contacts = t.held.change(s.flows, bs), t.contacts.change(a, s.contacts, bs)
	if len(bs) == 0 {
		delete(sh.slots, a) // its entry in due is stale now
		return
	}
	s.packed, s.n = bs.Pack(), len(bs)
	// The second after the one in which the first binding ends.
	if due := max(bs.NextExpiry().Unix()+1, sh.next); s.due == 0 || due < s.due {
		s.due = due
		sh.due[due] = append(sh.due[due], a)
	}
	sh.slots[a] = s
}

// Bindings returns the bindings of a that hold now. It never waits for the
// saver.
func (t *Table) Bindings(a location.AOR) location.Bindings {
	sh := t.shard(a)
	sh.mu.RLock()
	packed := sh.slots[a].packed
	sh.mu.RUnlock()
	if packed == "" {
		return nil
	}
	bs, _ := unpack(packed).Expire(time.Now())
	return bs
}

// AppendBindings appends to dst what [Table.Bindings] returns: for who looks at
// them for a moment, and has memory for that.
func (t *Table) AppendBindings(dst location.Bindings, a location.AOR, now time.Time) location.Bindings {
	sh := t.shard(a)
	sh.mu.RLock()
	packed := sh.slots[a].packed
	sh.mu.RUnlock()
	had := len(dst)
	bs, err := location.AppendUnpacked(dst, packed)
	if err != nil {
		panic(err) // we packed it
	}
	left := bs[:had]
	for i := range bs[had:] {
		if b := &bs[had+i]; b.Active(now) {
			left = append(left, *b)
		}
	}
	return left
}

// Len returns how many bindings there are.
func (t *Table) Len() int { return int(t.size.Load()) }

// plain reports whether changes are refreshes only, which may be saved later.
func plain(changes []location.Change) bool {
	for i := range changes {
		if w := changes[i].What; w != location.Refreshed && w != location.Expired {
			return false
		}
	}
	return true
}

// Begin applies r without waiting. When that needs nothing saved (a plain refresh,
// a retransmission, a question) it is done, and bs holds now. When it does, and
// saved is not nil, it is being saved, and saved is told once of what [Table.Register]
// would return; or of [location.ErrAgain], when another node was first. It is called
// from a goroutine of the table and must not block. Otherwise nothing has changed,
// and Register must be asked: for its error, or since r has to wait.
func (t *Table) Begin(a location.AOR, r location.Register, saved func(location.Bindings, []location.Change, error)) (bs location.Bindings, done, saving bool) {
	now := time.Now()
	sh := t.shard(a)
	sh.mu.Lock()
	b := sh.busy[a]
	if b.done != nil && !b.refresh {
		sh.mu.Unlock()
		return nil, false, false
	}
	next, changes, err := unpack(sh.slots[a].packed).Apply(r, now)
	if err == nil && plain(changes) {
		t.refreshLocked(sh, a, next, changes)
		sh.mu.Unlock()
		t.publish(a, now, changes)
		return next, true, false
	}
	defer sh.mu.Unlock()
	if err != nil || saved == nil || b.done != nil {
		return nil, false, false
	}
	c := t.beginLocked(sh, a, next, changes, now)
	saving = t.group.begin(c.row, now, func(theirs *Row, err error) {
		stale, err := c.end(theirs, err)
		switch {
		case err != nil:
			saved(nil, nil, err)
		case stale:
			saved(nil, nil, location.ErrAgain)
		default:
			saved(next, changes, nil)
		}
	})
	if !saving {
		delete(sh.busy, a)
		close(c.done)
	}
	return nil, false, saving
}

// refreshLocked installs what needs no saving now.
func (t *Table) refreshLocked(sh *shard, a location.AOR, next location.Bindings, changes []location.Change) {
	if len(changes) == 0 {
		return
	}
	if t.saver != nil {
		sh.dirty[a] = sh.saved(a)
	}
	t.installLocked(sh, a, next)
}

// Register applies r to the bindings of a and returns those that follow, and
// how they changed. What must not be lost is saved before it returns. Errors are
// those of [location.Bindings.Apply], of the saver and of ctx; nothing has
// changed then.
func (t *Table) Register(ctx context.Context, a location.AOR, r location.Register) (location.Bindings, []location.Change, error) {
	r.Node = t.mark()
	return t.change(ctx, a, func(bs location.Bindings, now time.Time) (location.Bindings, []location.Change, error) {
		return bs.Apply(r, now)
	})
}

// mark is the node that bindings made here name: none where there are no others.
func (t *Table) mark() uint16 {
	if t.shared {
		return t.node
	}
	return 0
}

// RemoveFlow removes the bindings of a that lead down f: a 430, or a closed
// connection.
func (t *Table) RemoveFlow(ctx context.Context, a location.AOR, f location.Flow) error {
	_, _, err := t.change(ctx, a, func(bs location.Bindings, _ time.Time) (location.Bindings, []location.Change, error) {
		next, changes := bs.RemoveFlow(f)
		return next, changes, nil
	})
	return err
}

// RemoveWhere removes every binding that drop names, one AOR after the other:
// those of a device that was deleted, or of a connection that closed. It looks
// at all bindings.
func (t *Table) RemoveWhere(ctx context.Context, drop func(a location.AOR, b *location.Binding) bool) error {
	for i := range t.shards {
		for _, a := range t.shards[i].aors(func(a location.AOR, bs location.Bindings) bool {
			for i := range bs {
				if drop(a, &bs[i]) {
					return true
				}
			}
			return false
		}) {
			_, _, err := t.change(ctx, a, func(bs location.Bindings, _ time.Time) (location.Bindings, []location.Change, error) {
				next, changes := bs.Remove(func(b *location.Binding) bool { return drop(a, b) })
				return next, changes, nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// aors returns the AORs whose bindings keep names.
func (sh *shard) aors(keep func(location.AOR, location.Bindings) bool) (out []location.AOR) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for a, s := range sh.slots {
		if keep(a, unpack(s.packed)) {
			out = append(out, a)
		}
	}
	return out
}

// maxStale is how often a change is done again because another node was first.
const maxStale = 10

// errContended reports an AOR that other nodes change all the time.
var errContended = errors.New("binding: changed elsewhere again and again")

// change applies f to the bindings of a. Changes of one AOR wait for each
// other, so that memory never shows what was not saved.
func (t *Table) change(ctx context.Context, a location.AOR,
	f func(bs location.Bindings, now time.Time) (location.Bindings, []location.Change, error),
) (location.Bindings, []location.Change, error) {
	for range maxStale {
		bs, changes, stale, err := t.tryChange(ctx, a, f)
		if !stale {
			return bs, changes, err
		}
	}
	return nil, nil, fmt.Errorf("%w: %s", errContended, a)
}

// tryChange is one try of change; stale says that another node was first, whose
// bindings are here now.
func (t *Table) tryChange(ctx context.Context, a location.AOR,
	f func(bs location.Bindings, now time.Time) (location.Bindings, []location.Change, error),
) (_ location.Bindings, _ []location.Change, stale bool, _ error) {
	sh := t.shard(a)
	if err := sh.lockIdle(ctx, a); err != nil {
		return nil, nil, false, err
	}
	now := time.Now()
	bs := unpack(sh.slots[a].packed)
	next, changes, err := f(bs, now)
	if err != nil {
		sh.mu.Unlock()
		return bs, nil, false, err
	}
	if t.saver == nil || plain(changes) {
		t.refreshLocked(sh, a, next, changes)
		sh.mu.Unlock()
		t.publish(a, now, changes)
		return next, changes, false, nil
	}
	c := t.beginLocked(sh, a, next, changes, now)
	sh.mu.Unlock()
	if stale, err := c.end(t.group.save(ctx, t, c.row)); stale || err != nil {
		return bs, nil, stale, err
	}
	return next, changes, false, nil
}

// changing is a change that is being saved.
type changing struct {
	table   *Table
	row     Row
	next    location.Bindings
	changes []location.Change
	at      time.Time
	done    chan struct{}
}

// beginLocked makes a busy with a change.
func (t *Table) beginLocked(sh *shard, a location.AOR, next location.Bindings, changes []location.Change, now time.Time) *changing {
	c := &changing{table: t, row: t.row(a, next, sh.saved(a)), next: next, changes: changes, at: now, done: make(chan struct{})}
	sh.busy[a] = busy{done: c.done}
	return c
}

// end installs what was saved: the change, or what another node was first with.
func (c *changing) end(theirs *Row, err error) (stale bool, _ error) {
	t, a := c.table, c.row.AOR
	sh := t.shard(a)
	changes := c.changes
	sh.mu.Lock()
	delete(sh.busy, a)
	switch {
	case err != nil:
		changes = nil
		sh.dirty[a] = sh.saved(a) // it may have been saved after all: what memory has is saved again
	case theirs != nil:
		changes = t.learnLocked(sh, *theirs, c.at)
	default:
		t.installLocked(sh, a, c.next)
		delete(sh.dirty, a)
		t.savedLocked(sh, c.row)
	}
	sh.mu.Unlock()
	close(c.done)
	t.publish(a, c.at, changes)
	if err != nil {
		return false, fmt.Errorf("binding: save %s: %w", a, err)
	}
	return theirs != nil, nil
}

// lockIdle locks the shard when nothing of a is being saved.
func (sh *shard) lockIdle(ctx context.Context, a location.AOR) error {
	sh.mu.Lock()
	for sh.isBusy(a) {
		wait := sh.busy[a].done
		sh.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return fmt.Errorf("binding: %s: %w", a, context.Cause(ctx))
		}
		sh.mu.Lock()
	}
	return nil
}

// publish tells of changes; a plain refresh is not told (package feed).
func (t *Table) publish(a location.AOR, now time.Time, changes []location.Change) {
	for i := range changes {
		c := &changes[i]
		t.metrics.change(c.What)
		if c.What == location.Refreshed || t.feed == nil {
			continue
		}
		b := c.Binding()
		t.feed.Publish(feed.RegistrationChanged{
			At: now, Domain: a.Domain(), Number: a.User(), Device: b.Device, Contact: b.Contact,
			What: c.What.String(), UserAgent: b.UserAgent, Source: b.Flow.Remote,
		})
	}
}
