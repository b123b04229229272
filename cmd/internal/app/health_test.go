package app_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"bellhop/cmd/internal/app"
	"bellhop/control"
)

func TestDrainAndUndrain(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	h.run(t)
	if s := h.Status(); !s.Ready || s.Draining || s.Drain != nil || len(s.Reasons) > 0 {
		t.Fatalf("Status = %+v", s)
	}
	for range 2 { // asking twice is no fault
		if err := h.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := h.Status()
	if s.Ready || !s.Draining || s.Drain == nil || s.Drain.Stopping || s.Drain.Since.IsZero() || len(s.Reasons) != 1 {
		t.Errorf("Status while draining = %+v", s)
	}
	if err := h.Undrain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := h.Status(); !s.Ready || s.Draining || s.Drain != nil || len(s.Reasons) > 0 {
		t.Errorf("Status after Undrain = %+v", s)
	}
	h.WindDown(t.Context())
	if err := h.Undrain(t.Context()); !errors.Is(err, control.ErrStopping) {
		t.Errorf("Undrain of a node that stops = %v", err)
	}
	if s := h.Status(); s.Drain == nil || !s.Drain.Stopping {
		t.Errorf("Status while stopping = %+v", s)
	}
}

func TestReloadRefusedIsAReason(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	h.run(t)
	h.write(t, text("colour: red\n"))
	if _, err := h.Reload(t.Context()); err == nil {
		t.Fatal("a bad file was taken")
	}
	s := h.Status()
	if !s.Ready || len(s.Reasons) != 1 || s.Reasons[0].Part != "config" || s.Reasons[0].Since.IsZero() {
		t.Errorf("Status = %+v", s)
	}
	h.write(t, text(""))
	if _, err := h.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := h.Status(); len(s.Reasons) != 0 {
		t.Errorf("Status = %+v", s)
	}
}

func TestOverload(t *testing.T) {
	t.Parallel()
	var o app.Overload
	start := time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	steps := []struct {
		name  string
		at    time.Duration
		full  bool
		drops uint64
		want  []string // parts
		since time.Duration
	}{
		{"all is well", 0, false, 0, nil, 0},
		{"drops", time.Second, false, 5, []string{"sip"}, time.Second},
		{"no more of them", 30 * time.Second, false, 5, []string{"sip"}, time.Second},
		{"more of them", 50 * time.Second, false, 6, []string{"sip"}, time.Second},
		{"still within a minute", 100 * time.Second, false, 6, []string{"sip"}, time.Second},
		{"a minute after the last", 110 * time.Second, false, 6, nil, 0},
		{"full", 111 * time.Second, true, 6, []string{"limits"}, 111 * time.Second},
		{"full still", 112 * time.Second, true, 6, []string{"limits"}, 111 * time.Second},
		{"room again", 113 * time.Second, false, 6, nil, 0},
		{"full again", 114 * time.Second, true, 6, []string{"limits"}, 114 * time.Second},
	}
	for _, s := range steps {
		o.Look(start.Add(s.at), s.full, s.drops)
		full, lossy := o.Reasons()
		var parts []string
		if full != nil {
			parts = append(parts, full.Part)
			if !full.Since.Equal(start.Add(s.since)) {
				t.Errorf("%s: since %s", s.name, full.Since)
			}
		}
		if lossy != nil {
			parts = append(parts, lossy.Part)
			if !lossy.Since.Equal(start.Add(s.since)) {
				t.Errorf("%s: since %s", s.name, lossy.Since)
			}
		}
		if !slices.Equal(parts, s.want) {
			t.Errorf("%s: %v, want %v", s.name, parts, s.want)
		}
	}
}
