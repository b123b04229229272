package journal_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bellhop/feed"
	"bellhop/store/journal"
)

// sink keeps records by id, and fails while err is set.
type sink struct {
	mu    sync.Mutex
	err   error
	calls map[string]*feed.Call
	saved int
}

func (s *sink) SaveRecords(_ context.Context, calls []*feed.Call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.calls == nil {
		s.calls = make(map[string]*feed.Call)
	}
	for _, c := range calls {
		s.calls[c.ID] = c
		s.saved++
	}
	return nil
}

func (s *sink) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sink) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func open(t testing.TB, o journal.Options) *journal.Journal {
	t.Helper()
	j, err := journal.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// ringing returns a call from 1001 (desk-1001) to 1002 that rings.
func ringing(j *journal.Journal, n int) *feed.Call {
	now := time.Now()
	return &feed.Call{
		ID: j.NewID(now), Domain: "bellhop.test", CallID: fmt.Sprintf("call-%d@phone", n), CallerTag: "tag",
		Caller: "1001", CallerDev: "desk-1001", Called: "1002", Number: "1002", State: feed.Ringing, Started: now,
	}
}

func talking(c *feed.Call) *feed.Call {
	d := *c
	d.State, d.AnsweredAt, d.Device, d.CalleeTag, d.Status = feed.Talking, time.Now(), "desk-1002", "callee", 200
	return &d
}

func over(c *feed.Call) *feed.Call {
	d := *c
	d.State, d.EndedAt, d.Outcome = feed.Ended, time.Now(), "answered"
	return &d
}

func TestLifeOfACall(t *testing.T) {
	t.Parallel()
	s := new(sink)
	j := open(t, journal.Options{Dir: t.TempDir(), Sink: s})
	c := ringing(j, 1)
	j.Begin(c)
	if got, ok := j.Find([]byte(c.CallID), []byte("tag")); !ok || got != c {
		t.Errorf("Find = %v, %v, want the call", got, ok)
	}
	if _, ok := j.Find([]byte(c.CallID), []byte("other")); ok {
		t.Error("Find with another tag found the call")
	}
	if n, m := j.Count("bellhop.test", "1001"), j.Count("bellhop.test", "1002"); n != 1 || m != 1 {
		t.Errorf("Count = %d and %d, want 1 and 1", n, m)
	}
	if n := j.Count("other.test", "1002"); n != 0 {
		t.Errorf("Count in another domain = %d, want 0", n)
	}
	moved := *c
	moved.Number = "1003"
	if !j.Update(&moved) {
		t.Error("Update = false")
	}
	if n, m := j.Count("bellhop.test", "1002"), j.Count("bellhop.test", "1003"); n != 0 || m != 1 {
		t.Errorf("after a forward: Count = %d and %d, want 0 and 1", n, m)
	}
	if of := j.Of("bellhop.test", "1003"); len(of) != 1 || of[0] != &moved || len(j.Of("bellhop.test", "1002")) != 0 {
		t.Errorf("after a forward: Of = %v, want the call, and none of the number before", of)
	}
	tk := talking(&moved)
	if err := j.Answered(tk); err != nil {
		t.Fatal(err)
	}
	if got, ok := j.ByID(c.ID); !ok || got != tk {
		t.Errorf("ByID = %v, %v, want the answered call", got, ok)
	}
	if live := j.Live("bellhop.test"); len(live) != 1 || live[0] != tk {
		t.Errorf("Live = %v, want the answered call", live)
	}
	if err := j.Ended(over(tk)); err != nil {
		t.Fatal(err)
	}
	if _, ok := j.Find([]byte(c.CallID), []byte("tag")); ok || j.Len() != 0 || j.Count("bellhop.test", "1003") != 0 {
		t.Errorf("after the end the call is still there")
	}
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.len() != 1 {
		t.Errorf("records = %d, want 1", s.len())
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gone := &sink{err: errors.New("away")}
	j := open(t, journal.Options{Dir: dir, Sink: gone})
	rings, talks, ended := ringing(j, 1), talking(ringing(j, 2)), talking(ringing(j, 3))
	talks.CalleeAddr = netip.MustParseAddrPort("[2001:db8::1]:5062")
	j.Begin(rings)
	for _, c := range []*feed.Call{talks, ended} {
		if err := j.Answered(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Ended(over(ended)); err != nil {
		t.Fatal(err)
	}
	// The process dies here: nothing is closed.
	s := new(sink)
	k := open(t, journal.Options{Dir: dir, Sink: s})
	live := k.Live("")
	if len(live) != 1 {
		t.Fatalf("live after replay = %d calls, want the one that talked", len(live))
	}
	if diff := cmp.Diff(talks, live[0], cmpopts.EquateApproxTime(time.Microsecond), cmpopts.EquateComparable(feed.Call{}.CallerAddr)); diff != "" {
		t.Errorf("replayed call (-want +got):\n%s", diff)
	}
	if err := k.Flush(t.Context()); err != nil || s.len() != 1 {
		t.Errorf("records after replay = %d, %v, want 1", s.len(), err)
	}
	if id := k.NewID(time.Time{}); id <= over(ended).ID {
		t.Errorf("NewID after replay = %s, not after %s", id, ended.ID)
	}
	if err := k.Ended(over(live[0])); err != nil {
		t.Fatal(err)
	}
	l := open(t, journal.Options{Dir: dir, Sink: s})
	if l.Len() != 0 {
		t.Errorf("live after the end = %d, want 0", l.Len())
	}
}

func TestTornTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, journal.Options{Dir: dir})
	for n := range 3 {
		if err := j.Answered(talking(ringing(j, n))); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.calls"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files = %v, %v", files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	entry := (len(whole) - 8) / 3
	for cut := 0; cut < len(whole); cut += 7 {
		torn := t.TempDir()
		if err := os.WriteFile(filepath.Join(torn, filepath.Base(files[0])), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		k := open(t, journal.Options{Dir: torn})
		if want := max(cut-8, 0) / entry; k.Len() != want {
			t.Fatalf("cut at %d of %d: %d calls, want %d", cut, len(whole), k.Len(), want)
		}
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "0000000000000000.calls"), []byte("BHJOURN\xff"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.New(journal.Options{Dir: dir}); !errors.Is(err, journal.ErrNewer) {
		t.Errorf("New = %v, want %v", err, journal.ErrNewer)
	}
}

// Files go when nobody needs them, and never the end of a call before its
// answer; a long call does not keep them all.
func TestSegmentsAreDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := new(sink)
	j := open(t, journal.Options{Dir: dir, Sink: s, SegmentSize: 4096, Batch: 10})
	long := talking(ringing(j, 0))
	if err := j.Answered(long); err != nil {
		t.Fatal(err)
	}
	const calls = 500
	for n := range calls {
		c := talking(ringing(j, n+1))
		if err := j.Answered(c); err != nil {
			t.Fatal(err)
		}
		if err := j.Ended(over(c)); err != nil {
			t.Fatal(err)
		}
		if n%50 == 0 {
			if err := j.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.len() != calls || s.saved != calls {
		t.Errorf("records = %d in %d, want %d", s.len(), s.saved, calls)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.calls"))
	if err != nil || len(files) > 5 {
		t.Errorf("%d files left (%v), want 5 at most", len(files), err)
	}
	k := open(t, journal.Options{Dir: dir, Sink: s})
	if live := k.Live(""); len(live) != 1 || live[0].ID != long.ID {
		t.Errorf("live after replay = %v, want the long call", live)
	}
}

func TestSinkAway(t *testing.T) {
	t.Parallel()
	s := &sink{err: errors.New("away")}
	j := open(t, journal.Options{Dir: t.TempDir(), Sink: s})
	c := talking(ringing(j, 1))
	if err := j.Answered(c); err != nil {
		t.Fatal(err)
	}
	if err := j.Ended(over(c)); err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(t.Context()); err == nil {
		t.Error("Flush = nil, want the sink's error")
	}
	s.fail(nil)
	if err := j.Flush(t.Context()); err != nil || s.len() != 1 {
		t.Errorf("Flush = %v with %d records, want 1", err, s.len())
	}
}

// While the sink is away for long the journal alone remembers; nothing is lost,
// and memory stays bounded.
func TestMoreThanMemoryHolds(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("100,000 calls")
	}
	s := &sink{err: errors.New("away")}
	dir := t.TempDir()
	j := open(t, journal.Options{Dir: dir, Sink: s, SegmentSize: 4 << 20})
	const calls = 130_000
	for n := range calls {
		c := ringing(j, n)
		if err := j.Ended(over(c)); err != nil {
			t.Fatal(err)
		}
	}
	s.fail(nil)
	for range 3 {
		if err := j.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.len() != calls {
		t.Errorf("records = %d, want %d", s.len(), calls)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.calls"))
	if err != nil || len(files) > 1 {
		t.Errorf("%d files are left (%v), want one", len(files), err)
	}
}

func TestForeignID(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Options{})
	if err := j.Ended(&feed.Call{ID: "c1"}); !errors.Is(err, journal.ErrID) {
		t.Errorf("Ended = %v, want %v", err, journal.ErrID)
	}
}

func TestCountingEndsWithSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := new(sink)
		j := open(t, journal.Options{Sink: s})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = j.Run(ctx) })
		c := talking(ringing(j, 1))
		if err := j.Answered(c); err != nil {
			t.Fatal(err)
		}
		<-time.After(journal.Silence - time.Second)
		if n := j.Count("bellhop.test", "1002"); n != 1 {
			t.Errorf("Count before the hour = %d, want 1", n)
		}
		alive := *c
		alive.Deadline = time.Now().Add(journal.Silence)
		j.Update(&alive)
		<-time.After(journal.Silence - time.Second)
		if n := j.Count("bellhop.test", "1002"); n != 1 {
			t.Errorf("Count after a sign of life = %d, want 1", n)
		}
		<-time.After(time.Second)
		if n := j.Count("bellhop.test", "1002"); n != 0 {
			t.Errorf("Count after an hour of silence = %d, want 0", n)
		}
		if _, ok := j.Find([]byte(c.CallID), []byte("tag")); !ok {
			t.Error("the call left the table")
		}
		<-time.After(journal.Forget + 2*time.Minute)
		if j.Len() != 0 || s.len() != 1 {
			t.Errorf("after a day: %d live, %d records, want 0 and 1", j.Len(), s.len())
		}
		cancel()
		wg.Wait()
	})
}

func TestSameCallIDTwice(t *testing.T) {
	t.Parallel()
	j := open(t, journal.Options{})
	a, b, c := ringing(j, 1), ringing(j, 1), ringing(j, 1)
	b.CallerTag = "b"
	c.CallerTag = "c"
	for _, x := range []*feed.Call{a, b, c} {
		j.Begin(x)
	}
	for _, x := range []*feed.Call{b, c, a} {
		if got, ok := j.Find([]byte(x.CallID), []byte(x.CallerTag)); !ok || got != x {
			t.Errorf("Find(%s) = %v, %v", x.CallerTag, got, ok)
		}
		if err := j.Ended(over(x)); err != nil {
			t.Error(err)
		}
		if _, ok := j.Find([]byte(x.CallID), []byte(x.CallerTag)); ok {
			t.Errorf("Find(%s) after its end found it", x.CallerTag)
		}
	}
	if n := j.Count("bellhop.test", "1001"); n != 0 {
		t.Errorf("Count = %d, want 0", n)
	}
}

func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	s := new(sink)
	dir := t.TempDir()
	j := open(t, journal.Options{Dir: dir, Sink: s, SegmentSize: 64 << 10, FlushEvery: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var run, wg sync.WaitGroup
	run.Go(func() {
		if err := j.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	const workers, each = 4, 500
	for w := range workers {
		wg.Go(func() {
			for n := range each {
				c := ringing(j, w*each+n)
				j.Begin(c)
				tk := talking(c)
				if err := j.Answered(tk); err != nil {
					t.Error(err)
				}
				_ = j.Count("bellhop.test", "1002")
				if err := j.Ended(over(tk)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	run.Wait()
	if s.len() != workers*each || j.Len() != 0 || j.Count("bellhop.test", "1001") != 0 {
		t.Errorf("records = %d, live = %d, want %d and 0", s.len(), j.Len(), workers*each)
	}
}
