package binding_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/location"
	"bellhop/store/binding"
)

// phone returns the AOR of a phone and a REGISTER as one over UDP sends it.
func phone(t testing.TB, i int, cseq, seconds uint32) (location.AOR, location.Register) {
	t.Helper()
	number := fmt.Sprint(10_000 + i)
	a, err := location.NewAOR(number, fmt.Sprintf("customer%d.pbx.example.com", i%100))
	if err != nil {
		t.Fatal(err)
	}
	from := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	return a, location.Register{
		Contacts: []location.Contact{{
			URI: fmt.Sprintf("sip:%s@%v:5060;transport=udp;line=f0ab2%06d", number, from, i), Q: 1000,
			Instance: fmt.Sprintf("<urn:uuid:00000000-0000-4000-8000-%012d>", i),
		}},
		Expires: location.In(seconds), CallID: fmt.Sprintf("313732303938333638%08d-2bvyp0m1z9rk", i), CSeq: cseq, Device: "desk-" + number,
		UserAgent: "Example-Phone/10.1.169.16 00041340FAB1",
		Flow: location.Flow{
			Transport: location.UDP, Local: netip.MustParseAddrPort("192.0.2.250:5060"), Remote: netip.AddrPortFrom(from, 5060),
		},
	}
}

// maxHeap is what a binding may take of the heap, in bytes.
const maxHeap = 1500

// TestHeapOfBinding has bindings loaded and refreshed, and looks at what lives
// then. make scale asks for 100,000 of them: that takes long with the race
// detector.
func TestHeapOfBinding(t *testing.T) { //nolint:paralleltest // it looks at the heap of the process
	phones := 25_000
	if s := os.Getenv("BELLHOP_TEST_SCALE"); s != "" {
		var err error
		if phones, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // finalizers of the first
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	tb, err := binding.New(t.Context(), binding.Options{Saver: saved{t, phones}})
	if err != nil {
		t.Fatal(err)
	}
	fresh := live()
	for i := range phones {
		a, r := phone(t, i, 2, 3600)
		if _, done, _ := tb.Begin(a, r, nil); !done {
			t.Fatal("not refreshed")
		}
	}
	refreshed := live()
	if err := tb.SaveRefreshes(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := live()
	each := func(n uint64) uint64 { return (n - before) / uint64(phones) }
	t.Logf("%d bytes each when loaded, %d when refreshed, %d when that is saved", each(fresh), each(refreshed), each(kept))
	if n := max(each(fresh), each(refreshed), each(kept)); n > maxHeap {
		t.Errorf("a binding takes %d bytes, want %d at most", n, maxHeap)
	}
	if tb.Len() != phones {
		t.Errorf("%d bindings, want %d", tb.Len(), phones)
	}
}

// saved is a saver that has the bindings of so many phones.
type saved struct {
	t      *testing.T
	phones int
}

func (saved) SaveBindings(context.Context, []binding.Row) ([]binding.Row, error) { return nil, nil }

func (s saved) LoadBindings(_ context.Context, add func(binding.Row) error) error {
	now := time.Now()
	for i := range s.phones {
		a, r := phone(s.t, i, 1, 3600)
		bs, _, err := location.Bindings(nil).Apply(r, now)
		if err == nil {
			err = add(binding.Row{AOR: a, Packed: bs.Pack(), Version: 1})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// counting is a saver that counts what it saves.
type counting struct {
	mu              sync.Mutex
	rows, group     int // since the last take; rows of the greatest transaction ever
	deleted, groups int
}

func (c *counting) SaveBindings(_ context.Context, rows []binding.Row) ([]binding.Row, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows, c.group, c.groups = c.rows+len(rows), max(c.group, len(rows)), c.groups+1
	for i := range rows {
		if rows[i].Packed == "" {
			c.deleted++
		}
	}
	return nil, nil
}

func (*counting) LoadBindings(context.Context, func(binding.Row) error) error { return nil }

func (c *counting) take() (rows int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows, c.rows = c.rows, 0
	return rows
}

// Bindings that were refreshed in one moment are saved over several ticks, in
// small transactions, and within the slack; so are those that end in one moment.
func TestNoBurstOfSaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const phones, turns = 20_000, 10
		s := &counting{}
		tb, err := binding.New(t.Context(), binding.Options{Saver: s})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = tb.Run(ctx) })
		all := func(cseq uint32) {
			var wg sync.WaitGroup
			for i := range phones {
				a, r := phone(t, i, cseq, 600)
				wg.Go(func() {
					if _, _, err := tb.Register(ctx, a, r); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		watch := func(what string, seconds, most int) {
			total := 0
			for range seconds {
				<-time.After(time.Second)
				n := s.take()
				if total += n; n > most {
					t.Errorf("%s: %d rows saved in a second, want %d at most", what, n, most)
				}
			}
			if total != phones {
				t.Errorf("%s: %d rows saved in %d seconds, want %d", what, total, seconds, phones)
			}
		}
		all(1)
		<-time.After(time.Minute)
		s.take()
		all(2)
		watch("refreshed", turns+1, 2*phones/turns)
		<-time.After(589*time.Second - time.Millisecond)
		s.take()
		watch("ended", turns+8, 64*64*2)
		if s.group > 500 || s.deleted != phones || tb.Len() != 0 {
			t.Errorf("%d rows in a transaction, %d deleted, %d are left", s.group, s.deleted, tb.Len())
		}
		cancel()
		wg.Wait()
	})
}
