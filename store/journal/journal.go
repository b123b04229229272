// Package journal owns the calls of a node: a table of the live ones in
// memory, a local journal that outlives the process, and the batches in which
// ended ones become records (trust.md §3).
//
// An answered call and the end of any call are appended to the journal with
// write(2) before [Journal.Answered] and [Journal.Ended] return: that survives
// the death of the process. fsync follows within a second, for all of that
// second together: that survives a loss of power. These are two promises, and
// the second is the weaker one: a loss of power may lose the last second. Calls
// that only ring are in memory alone.
//
// At start the journal is replayed: answered calls that did not end are live
// again, ended ones that did not reach the [Sink] go there. Records are taken
// by id, so one that is sent twice is kept once.
//
// A call stops counting as busy at its deadline, or [Silence] after it was
// answered or started; it stays in the table until it ends, or until [Forget]
// after that, when it becomes a record with the outcome "lost".
//
// The caller's goroutine does the work; [Journal.Run] owns the one that syncs,
// batches and drops files.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/store/health"
)

// Silence is how long a call counts without a sign of life (behaviour.md,
// busy): a Deadline of the call says otherwise.
const Silence = time.Hour

// Forget is how long after its deadline a call that nobody ended is kept.
const Forget = 24 * time.Hour

// Defaults of [Options].
const (
	defaultBatch   = 1000
	defaultFlush   = time.Second
	defaultSegment = 64 << 20
	maxPending     = 100_000 // records in memory while the sink is away: about 100 MB
	maxSegments    = 4       // above this, live calls are carried out of the oldest
	idleSegment    = 1 << 20 // a file that nobody needs is replaced above this size
)

// ErrID reports a call whose id was not made by [IDs].
var ErrID = errors.New("journal: not a call id")

// A Sink keeps records. When SaveRecords returns nil they survive a loss of
// power, since the journal forgets them then. Saving a call whose id it has
// already is no error and changes nothing.
type Sink interface {
	SaveRecords(ctx context.Context, calls []*feed.Call) error
}

// Options are what a journal needs.
type Options struct {
	// Dir is the folder of the files; it is made. "" keeps calls in memory
	// only: nothing survives the process.
	Dir string
	// Sink takes the records; nil forgets them.
	Sink Sink
	// Feed is told of every change of a call; nil: nobody.
	Feed *feed.Stream
	// Node is the number of this node among those that share a store, 0 to
	// 1023; it makes ids unique.
	Node uint16
	// Batch is how many records are saved at most in one go, and how many wake
	// the batcher before FlushEvery. 0 is 1000.
	Batch int
	// FlushEvery is how long a record waits at most, and how long a byte waits
	// for its fsync. 0 is one second.
	FlushEvery time.Duration
	// SegmentSize is the size in bytes at which a new file is begun. 0 is 64 MiB.
	SegmentSize int64
	Logger      *slog.Logger          // nil discards
	Registerer  prometheus.Registerer // nil: metrics are not shown
}

// A Journal owns the calls of a node. Make one with [New], then Run it.
type Journal struct {
	dir         string
	sink        Sink
	feed        *feed.Stream
	batch       int
	flushEvery  time.Duration
	segmentSize int64
	log         *slog.Logger
	metrics     *metrics
	ids         IDs
	table       *table
	wake        chan struct{}
	writing     health.Part // to the files
	saving      health.Part // to the sink

	flushing sync.Mutex // one batcher at a time; locked before mu

	// mu orders the entries of the journal. It is held over write(2), which is
	// what it is for: the order in the file is the order of the locks.
	mu       sync.Mutex
	buf      []byte
	segments []*segment // oldest first; the last is written to; none without Dir
	retired  []*segment // full, to be synced and closed
	unnamed  bool       // a file was made whose name was not synced
	pending  []record
	failed   error // the journal cannot be written to since
}

// record is an ended call on its way to the sink.
type record struct {
	call *feed.Call
	seg  *segment // where it is journaled, or nil
}

// New opens the journal in o.Dir and replays it. Errors are [ErrNewer] and
// those of the file system; a torn end of a file is no error.
func New(o Options) (*Journal, error) {
	if o.Node > maxNode {
		return nil, fmt.Errorf("journal: node %d is not 0 to %d", o.Node, maxNode)
	}
	j := &Journal{
		dir: o.Dir, sink: o.Sink, feed: o.Feed, batch: o.Batch, flushEvery: o.FlushEvery,
		segmentSize: o.SegmentSize, log: o.Logger, table: newTable(), wake: make(chan struct{}, 1),
	}
	j.ids.node = uint64(o.Node)
	if j.batch <= 0 {
		j.batch = defaultBatch
	}
	if j.flushEvery <= 0 {
		j.flushEvery = defaultFlush
	}
	if j.segmentSize <= 0 {
		j.segmentSize = defaultSegment
	}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	j.metrics = newMetrics(o.Registerer, j)
	if j.dir == "" {
		return j, nil
	}
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if err := j.replay(time.Now()); err != nil {
		return nil, err
	}
	return j, nil
}

// NewID returns an id for a call that starts at now: 13 characters, rising.
func (j *Journal) NewID(now time.Time) string { return j.ids.Next(now) }

// Begin puts a call in the table; from now on its numbers are busy. It is in
// memory only. The call is shared from now on: who has news makes a copy.
func (j *Journal) Begin(c *feed.Call) {
	j.table.put(c)
	j.feed.Publish(feed.CallChanged{Call: c})
}

// Update replaces the call with the same id, in memory only: it rings
// elsewhere, or gave a sign of life and has a later deadline. It reports
// whether there is such a call.
func (j *Journal) Update(c *feed.Call) bool {
	if !j.table.update(c) {
		return false
	}
	j.feed.Publish(feed.CallChanged{Call: c})
	return true
}

// Answered replaces the call with the same id, or puts it in the table, and
// journals it before it returns. On an error it is in the table but would not
// survive the process.
func (j *Journal) Answered(c *feed.Call) error {
	e := j.table.put(c)
	err := j.appendAnswered(e, c)
	j.feed.Publish(feed.CallChanged{Call: c})
	return err
}

// Ended takes the call with the same id out of the table and journals c, which
// becomes the record, before it returns. On an error the record is on its way
// to the sink but would not survive the process before that.
func (j *Journal) Ended(c *feed.Call) error {
	if _, ok := ParseID(c.ID); !ok {
		return fmt.Errorf("%w: %q", ErrID, c.ID)
	}
	e := j.table.remove(c.ID)
	if e != nil {
		j.table.ledger.ended(e.call.Load(), c)
	}
	err := j.appendEnded(e, c)
	j.feed.Publish(feed.CallChanged{Call: c})
	return err
}

// Find returns the newest live call with a Call-ID and the tag of its caller.
// It does not allocate.
func (j *Journal) Find(callID, callerTag []byte) (*feed.Call, bool) {
	c := j.table.find(callID, callerTag)
	return c, c != nil
}

// ByID returns the live call with an id.
func (j *Journal) ByID(id string) (*feed.Call, bool) {
	sh := j.table.idShard(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if e := sh.calls[id]; e != nil {
		return e.call.Load(), true
	}
	return nil, false
}

// Live returns the live calls of a domain, oldest first; "" is all domains.
func (j *Journal) Live(domain string) []*feed.Call { return j.table.live(domain) }

// Count returns how many calls keep a number busy: those it calls, rings or
// talks in, until their deadline.
func (j *Journal) Count(domain, number string) int {
	return j.table.count(domain, number, time.Now())
}

// Idle returns when the last answered call of a member of a group ended; the
// zero time where that is not known: since the start of the process it was not
// asked about, or had none.
func (j *Journal) Idle(domain, number string) time.Time { return j.table.idle(domain, number) }

// Of returns the calls that keep a number busy, as [Journal.Count] counts them, in
// the order they began.
func (j *Journal) Of(domain, number string) []*feed.Call {
	return j.table.of(domain, number, time.Now())
}

// Usage returns what the key of a [routing.NeedUsage] has in use: a number, a
// whole domain, or a trunk.
func (j *Journal) Usage(domain, key string, now time.Time) routing.Usage {
	return j.table.ledger.usage(domain, key, now)
}

// CallBack lets calls back after an emergency call through to numbers of a domain
// until a time (rule dial.emergency): the call may be older than this process, or
// another node's.
func (j *Journal) CallBack(domain string, numbers []string, until time.Time) {
	j.table.ledger.callBack(domain, numbers, until)
}

// Len returns how many calls are live.
func (j *Journal) Len() int { return int(j.table.size.Load()) }

// Run syncs, batches and drops files until ctx ends; then it saves what is
// left. It returns after all it started has ended.
func (j *Journal) Run(ctx context.Context) error {
	tick := time.NewTicker(j.flushEvery)
	defer tick.Stop()
	forget := time.Now()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), 5*time.Second, errors.New("journal: sink too slow at the end"))
			defer cancel()
			err := j.Flush(last)
			return errors.Join(err, j.sync())
		case <-j.wake:
		case <-tick.C:
			j.mend(ctx)
			if err := j.sync(); err != nil {
				j.metrics.errors.Inc()
				j.unwritten(err)
				j.log.LogAttrs(ctx, slog.LevelError, "journal sync failed", slog.Any("error", err))
			}
			if now := time.Now(); now.Sub(forget) >= time.Minute {
				j.forget(now)
				forget = now
			}
		}
		if err := j.Flush(ctx); err != nil && ctx.Err() == nil {
			j.log.LogAttrs(ctx, slog.LevelError, "records not saved", slog.Any("error", err), slog.Int("pending", j.waiting()))
		}
	}
}

// Close syncs and closes the files. Live calls stay in the journal for the
// next start. It may be called more than once.
func (j *Journal) Close() error {
	err := j.sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		if s.file != nil {
			err = errors.Join(err, s.file.Close())
			s.file = nil
		}
	}
	if j.dir != "" && j.failed == nil {
		j.failed = errors.New("journal: closed")
	}
	return err
}

// forget ends the calls that gave no sign of life for [Silence] and [Forget].
func (j *Journal) forget(now time.Time) {
	lost := j.table.entries(func(c *feed.Call) bool { return now.After(deadline(c).Add(Forget)) })
	j.table.ledger.forget(now)
	for _, e := range lost {
		c := *e.call.Load()
		c.State, c.EndedAt, c.Outcome = feed.Ended, deadline(&c), "lost"
		if err := j.Ended(&c); err != nil {
			j.metrics.errors.Inc()
		}
	}
}

// waiting returns how many records the sink has not taken.
func (j *Journal) waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.pending)
}
