package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
)

func kept(t *testing.T, fresh func(*testing.T) Parts) {
	t.Helper()
	at := time.UnixMilli(1_900_000_000_123)
	row := func(kind, id, number, body string) feed.Kept {
		return feed.Kept{Kind: kind, ID: id, Domain: Domain, Number: number, Expires: at, Body: []byte(body)}
	}
	s := fresh(t).Store
	keep := func(rows ...feed.Kept) {
		t.Helper()
		if err := s.Keep(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	check := func(step, kind, number string, want ...feed.Kept) {
		t.Helper()
		var got []feed.Kept
		err := s.Kept(t.Context(), kind, Domain, number, func(r feed.Kept) error {
			got = append(got, r)
			return nil
		})
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: Kept(%q, %q) = %v (-want +got):\n%s", step, kind, number, err, diff)
		}
	}
	other := row("message", "2", "1001", "of another domain")
	other.Domain = "b.test"
	later := row("message", "3", "1001", "three")
	later.Expires = at.Add(time.Hour)
	one, four, sub := row("message", "1", "1001", "one"), row("message", "4", "1002", "\x00\xff"), row("subscription/1", "1", "1001", "sub")
	keep(later, four, one, other, sub)
	check("kept", "message", "1001", one, later)
	check("all", "message", "", one, other, later, four)
	check("another kind", "subscription/1", "1001", sub)

	counts, err := s.KeptFor(t.Context(), "message")
	want := []feed.KeptFor{{Domain: Domain, Number: "1001", Count: 2, Bytes: 8}, {Domain: Domain, Number: "1002", Count: 1, Bytes: 2}, {Domain: "b.test", Number: "1001", Count: 1, Bytes: 17}}
	if diff := cmp.Diff(want, counts); err != nil || diff != "" {
		t.Errorf("KeptFor = %v (-want +got):\n%s", err, diff)
	}

	one.Body, one.Expires = []byte("uno"), at.Add(time.Minute)
	gone := four
	gone.Body = nil
	keep(one, gone)
	check("changed, gone", "message", "", one, other, later)
	keep(gone) // again: no error
	if n, err := s.DropKept(t.Context(), "message", at.Add(time.Minute)); n != 1 || err != nil {
		t.Errorf("DropKept = %d, %v, want 1", n, err)
	}
	check("expired", "message", "", one, later)
	check("expired, another kind", "subscription/1", "", sub)
}
