package sqlstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// left says what of the records of a domain there is: one letter a record, the
// oldest first, "s" with its story, "r" without.
func left(t *testing.T, s *sqlstore.Store, domain string) (out string) {
	t.Helper()
	f := feed.Filter{Limit: 500}
	for {
		calls, next, err := s.Records(t.Context(), domain, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			if len(c.Story) > 0 {
				out = "s" + out
			} else {
				out = "r" + out
			}
		}
		if f.Cursor = next; next == "" {
			return out
		}
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	s := open(t, in(t.TempDir()))
	const other = "other.test"
	storetest.Apply(t, s,
		directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: storetest.Domain}, Body: []byte(`{"realm":"a"}`)},
		directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: other}, Body: []byte(`{"realm":"b","policies":{"retention":{"records":"P10D","stories":"P5D"}}}`)})
	now := time.Now()
	var batch []*feed.Call
	for days := 200; days >= 0; days -= 10 { // 0, 10 ... 200 days old, and an hour
		for _, domain := range []string{storetest.Domain, other} {
			c := storetest.Call(s.Calls, "1001", "1002", "1002", now.Add(-time.Duration(days)*24*time.Hour-time.Hour))
			c.Domain = domain
			batch = append(batch, c)
		}
	}
	if err := s.SaveRecords(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := sqlstore.Retire(t.Context(), s, now); err != nil {
		t.Fatal(err)
	}
	if got := left(t, s, storetest.Domain); got != "rrrrrrrrr"+"sssssssss" { // 170 to 90, 80 to 0 days
		t.Errorf("records with the defaults: %s", got)
	}
	if got := left(t, s, other); got != "s" {
		t.Errorf("records of 10 days: %s", got)
	}
	// Found by number, too, and pages end where the records do.
	calls, next, err := s.Records(t.Context(), other, feed.Filter{Numbers: []string{"1002"}, Limit: 5})
	if err != nil || len(calls) != 1 || next != "" {
		t.Errorf("Records by number = %d, %q, %v", len(calls), next, err)
	}
	// A shorter time later takes away what is over by then.
	storetest.Apply(t, s, directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: storetest.Domain}, Body: []byte(`{"realm":"a","policies":{"retention":{"records":"P45D"}}}`)})
	if err := sqlstore.Retire(t.Context(), s, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := left(t, s, storetest.Domain); got != "sssss" {
		t.Errorf("records of 45 days: %s", got)
	}
	// The call itself is as it was.
	c, err := s.Record(t.Context(), storetest.Domain, batch[len(batch)-2].ID)
	if err != nil || c.Called != "1002" || !c.Started.Equal(batch[len(batch)-2].Started) {
		t.Errorf("Record = %+v, %v", c, err)
	}
}

// TestRetentionInBatches has more to take away than a batch, in several domains
// that are mixed, and an index that goes with them.
func TestRetentionInBatches(t *testing.T) {
	t.Parallel()
	s := open(t, in(t.TempDir()))
	storetest.Apply(t, s,
		directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: storetest.Domain}, Body: []byte(`{"realm":"a"}`)},
		directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: "gone.test"}, Body: []byte(`{"realm":"b"}`)})
	storetest.Apply(t, s, directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: "gone.test"}}) // its records stay
	now := time.Now()
	save := func(age time.Duration, n int) {
		t.Helper()
		var batch []*feed.Call
		for i := range n {
			c := storetest.Call(s.Calls, fmt.Sprint(1000+i), "2000", "2000", now.Add(-age))
			c.Domain = []string{storetest.Domain, "gone.test"}[i%2]
			batch = append(batch, c)
		}
		if err := s.SaveRecords(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	save(190*24*time.Hour, 900)
	save(181*24*time.Hour, 301)
	if err := sqlstore.MergeTail(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	save(0, 5)
	if err := sqlstore.MergeTail(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := sqlstore.Retire(t.Context(), s, now); err != nil {
		t.Fatal(err)
	}
	if a, b := len(left(t, s, storetest.Domain)), len(left(t, s, "gone.test")); a != 3 || b != 2 {
		t.Errorf("%d and %d records are left, want 3 and 2", a, b)
	}
	if runs, entries := sqlstore.CountIndex(t, s); runs != 1 || entries != 7 {
		t.Errorf("the index has %d runs and %d entries, want 1 and 7", runs, entries)
	}
	calls, _, err := s.Records(t.Context(), storetest.Domain, feed.Filter{Numbers: []string{"2000"}})
	if err != nil || len(calls) != 3 {
		t.Errorf("Records by number = %d, %v, want 3", len(calls), err)
	}
}

// TestRetentionClock: a clock that is years ahead costs a day, not everything.
func TestRetentionClock(t *testing.T) {
	t.Parallel()
	s := open(t, in(t.TempDir()))
	storetest.Apply(t, s, directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: storetest.Domain}, Body: []byte(`{"realm":"a"}`)})
	now := time.Now()
	if err := s.SaveRecords(t.Context(), []*feed.Call{storetest.Call(s.Calls, "1001", "1002", "1002", now)}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{now, now.Add(20 * 365 * 24 * time.Hour), now.Add(time.Minute)} {
		if err := sqlstore.Retire(t.Context(), s, at); err != nil {
			t.Fatal(err)
		}
	}
	if got := left(t, s, storetest.Domain); got != "s" {
		t.Errorf("records = %q", got)
	}
	for day := range 92 {
		if err := sqlstore.Retire(t.Context(), s, now.Add(time.Duration(day)*24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if got := left(t, s, storetest.Domain); got != "r" {
		t.Errorf("after 91 days: %q", got)
	}
}

// TestRetentionOfHistory takes the history of a domain away, its own document's
// included, and no other's.
func TestRetentionOfHistory(t *testing.T) {
	t.Parallel()
	s := open(t, in(t.TempDir()))
	domain := func(name string) directory.Ref { return directory.Ref{Kind: directory.KindDomain, Name: name} }
	user := directory.Ref{Domain: "short.test", Kind: directory.KindUser, Name: "ana"}
	system := directory.Ref{Kind: directory.KindUser, Name: "root"}
	for i := range 300 {
		body := fmt.Appendf(nil, `{"realm":"r","policies":{"retention":{"history":"P2D"}},"region":"%s"}`, []string{"DE", "AT"}[i%2])
		storetest.Apply(t, s, directory.Write{Ref: domain("short.test"), Body: body})
	}
	storetest.Apply(t, s, directory.Write{Ref: domain("long.test"), Body: []byte(`{"realm":"r"}`)},
		directory.Write{Ref: user, Body: []byte(`{"role":"user"}`)}, directory.Write{Ref: system, Body: []byte(`{"role":"system-admin"}`)})
	count := func(ref directory.Ref) (n int) {
		t.Helper()
		for cursor := ""; ; {
			docs, next, err := s.History(t.Context(), ref, 500, cursor)
			if err != nil {
				t.Fatal(err)
			}
			if n += len(docs); next == "" {
				return n
			}
			cursor = next
		}
	}
	if count(domain("short.test")) != 300 {
		t.Fatal("no history")
	}
	if err := sqlstore.Retire(t.Context(), s, time.Now().Add(3*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[directory.Ref]int{domain("short.test"): 0, user: 0, domain("long.test"): 1, system: 1} {
		if got := count(ref); got != want {
			t.Errorf("%s has %d states in its history, want %d", ref, got, want)
		}
	}
	if doc, err := s.Get(t.Context(), user); err != nil || string(doc.Body) != `{"role":"user"}` {
		t.Errorf("what is in force went with its history: %s, %v", doc.Body, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sqlstore.Retire(ctx, s, time.Now()); err == nil {
		t.Error("it does not stop when it is told to")
	}
}
