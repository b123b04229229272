package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// TestAway kills the server of the database while two nodes write, stalls it, and
// starts it again: nothing that was acknowledged is lost, what is in memory goes
// on, changes are refused meanwhile, and all heals by itself.
func TestAway(t *testing.T) {
	t.Parallel()
	p, err := storetest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	url := p.Schema(t)
	var nodes [2]*sqlstore.Store
	for i := range nodes {
		if i == 1 { // it has nothing to follow, and keeps what it reads
			storetest.Provision(t, nodes[0])
		}
		o := at(url, t.TempDir(), uint16(i+1))
		o.PostgreSQL.Timeout = time.Second
		nodes[i] = open(t, o)
		run(t, nodes[i])
	}
	number := routing.Need{Kind: routing.NeedNumber, Domain: storetest.Domain, Key: "1001"}
	soon(t, "the number is in the caches", func() bool {
		for _, s := range nodes {
			w := routing.NewWorld(time.Now())
			if err := s.Cache.Load(t.Context(), number, w); err != nil || !s.Cache.Cached(number, w) {
				return false
			}
		}
		return true
	})
	w := newWriters(t, nodes[:])
	for range 3 {
		w.while(t, func() {
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
		})
		for _, s := range nodes {
			goesOn(t, s, number)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		for _, s := range nodes {
			soon(t, "no reasons any more", func() bool { return len(s.Reasons()) == 0 })
		}
		w.check(t)
	}
	w.while(t, func() {
		if err := p.Stall(); err != nil {
			t.Fatal(err)
		}
	})
	for _, s := range nodes {
		goesOn(t, s, number)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	for _, s := range nodes {
		soon(t, "no reasons after the stall", func() bool { return len(s.Reasons()) == 0 })
	}
	w.check(t)
	// They follow each other again.
	if _, _, err := nodes[0].Bindings.Register(t.Context(), storetest.AOR(t, "1004"), storetest.Register("late", 5060, 1)); err != nil {
		t.Fatal(err)
	}
	soon(t, "a binding from after the outage", func() bool { return len(nodes[1].Bindings.Bindings(storetest.AOR(t, "1004"))) == 1 })
}

// goesOn checks what a node does whose database is away.
func goesOn(t *testing.T, s *sqlstore.Store, number routing.Need) {
	t.Helper()
	soon(t, "the store is a reason", func() bool {
		rs := s.Reasons()
		return len(rs) > 0 && rs[0].Part == "store" && strings.Contains(rs[0].Detail, "changes and registrations are refused")
	})
	start := time.Now()
	if !s.Cache.Cached(number, routing.NewWorld(time.Now())) {
		t.Error("what was in memory is gone")
	}
	_, err := s.Apply(t.Context(), storetest.Author(), []directory.Write{storetest.Put(directory.KindNumber, "1004", `{}`)})
	if !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("Apply = %v, want %v", err, directory.ErrUnavailable)
	}
	a := storetest.AOR(t, "1009")
	if bs, _, err := s.Bindings.Register(t.Context(), a, storetest.Register("x", 5060, 1)); err == nil || len(bs) != 0 || len(s.Bindings.Bindings(a)) != 0 {
		t.Errorf("Register = %v, %v: acknowledged without being saved", bs, err)
	}
	if _, err := s.Get(t.Context(), storetest.Ref(directory.KindNumber, "1001")); !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("Get = %v, want %v", err, directory.ErrUnavailable)
	}
	t.Logf("three refusals took %v", time.Since(start))
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("three refusals took %v", took)
	}
	// A call that ends is kept in the journal.
	c := storetest.Call(s.Calls, "1001", "1002", "1002", time.Now())
	c.State = feed.Talking
	s.Calls.Begin(c)
	if err := s.Calls.Answered(c); err != nil {
		t.Error(err)
	}
	over := *c
	over.State = feed.Ended
	if err := s.Calls.Ended(&over); err != nil {
		t.Error(err)
	}
}

// writers change settings and register phones at all nodes, and remember what was
// acknowledged.
type writers struct {
	nodes []*sqlstore.Store
	mu    sync.Mutex // guards what follows
	n     int
	kept  []string // "saved LABEL", "registered USER"
}

func newWriters(t *testing.T, nodes []*sqlstore.Store) *writers {
	t.Helper()
	return &writers{nodes: nodes}
}

// while writes at all nodes, calls f amidst, and ends when all writers were
// refused.
func (w *writers) while(t *testing.T, f func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	next := func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.n++
		return fmt.Sprint(w.n)
	}
	keep := func(what string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.kept = append(w.kept, what)
	}
	before := len(w.kept)
	for _, s := range w.nodes {
		wg.Go(func() {
			for ctx.Err() == nil {
				label := next()
				if _, err := s.Apply(ctx, storetest.Author(), []directory.Write{storetest.Put(directory.KindNumber, "1003", `{"label":"`+label+`"}`)}); err != nil {
					return
				}
				keep("saved " + label)
			}
		})
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					user := "5" + next()
					if _, _, err := s.Bindings.Register(ctx, storetest.AOR(t, user), storetest.Register("desk", 5060, 1)); err != nil {
						return
					}
					keep("registered " + user)
				}
			})
		}
	}
	soon(t, "something is written", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.kept) > before+50
	})
	f()
	wg.Wait()
	if ctx.Err() != nil {
		t.Error("writers were not refused")
	}
}

// check looks for all that was acknowledged, in the memory of all nodes and in the
// database.
func (w *writers) check(t *testing.T) {
	t.Helper()
	labels := make(map[string]bool)
	for cursor := ""; ; {
		docs, next, err := w.nodes[0].History(t.Context(), storetest.Ref(directory.KindNumber, "1003"), 1000, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			labels[string(d.Body)] = true
		}
		if cursor = next; next == "" {
			break
		}
	}
	for _, line := range w.kept {
		what, arg, _ := strings.Cut(line, " ")
		if what == "saved" {
			if !labels[`{"label":"`+arg+`"}`] {
				t.Errorf("lost: %s", line)
			}
			continue
		}
		for i, s := range w.nodes {
			soon(t, fmt.Sprintf("node %d knows: %s", i, line), func() bool { return len(s.Bindings.Bindings(storetest.AOR(t, arg))) == 1 })
		}
	}
	t.Logf("%d acknowledgements", len(w.kept))
}
