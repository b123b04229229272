package journal_test

import (
	"errors"
	"testing"

	"bellhop/store/journal"
)

func TestReasons(t *testing.T) {
	t.Parallel()
	s := &sink{}
	j := open(t, journal.Options{Dir: t.TempDir(), Sink: s})
	parts := func() (names []string) {
		for _, r := range j.Reasons(nil) {
			names = append(names, r.Part)
		}
		return names
	}
	if got := parts(); got != nil {
		t.Fatalf("reasons of a journal that works: %v", got)
	}
	if err := journal.Break(j); err != nil {
		t.Fatal(err)
	}
	c := talking(ringing(j, 1))
	if err := j.Answered(c); err == nil {
		t.Error("a call that could not be journaled was acknowledged")
	}
	s.fail(errors.New("away"))
	if err := j.Ended(over(c)); err == nil {
		t.Error("an end that could not be journaled was acknowledged")
	}
	if err := j.Flush(t.Context()); err == nil {
		t.Error("records were saved to a sink that is away")
	}
	if got := parts(); len(got) != 2 || got[0] != "journal" || got[1] != "records" {
		t.Errorf("reasons = %v", got)
	}
	journal.Mend(j)
	s.fail(nil)
	if err := j.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if got := parts(); got != nil {
		t.Errorf("reasons after all is well again: %v", got)
	}
	if err := j.Answered(talking(ringing(j, 2))); err != nil {
		t.Errorf("Answered on a new file = %v", err)
	}
}
