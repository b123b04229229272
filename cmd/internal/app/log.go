package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"bellhop/config"
)

// logSettings are what of the log can change while it is written to.
type logSettings struct {
	base   slog.LevelVar
	detail atomic.Pointer[detail]
}

// A detail is a level in force for some lines or for some time.
type detail struct {
	level slog.Level
	match string    // a value that an attribute of the line must have; "" for all lines
	until time.Time // zero: the next reload
}

func (d *detail) active(now time.Time) bool {
	return d != nil && (d.until.IsZero() || now.Before(d.until))
}

// newLog returns a logger whose settings can be changed.
func newLog(w io.Writer, c config.Log, s *logSettings) *slog.Logger {
	s.base.Set(c.Level)
	opts := &slog.HandlerOptions{Level: slog.LevelDebug}
	if c.Format == config.Text {
		return slog.New(&logHandler{next: slog.NewTextHandler(w, opts), settings: s})
	}
	return slog.New(&logHandler{next: slog.NewJSONHandler(w, opts), settings: s})
}

// A logHandler passes on what the settings let through.
type logHandler struct {
	next     slog.Handler
	settings *logSettings
	values   []string // of the attributes given by With
}

// Enabled implements [slog.Handler].
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool {
	if l >= h.settings.base.Level() {
		return true
	}
	d := h.settings.detail.Load()
	return d != nil && l >= d.level && d.active(time.Now())
}

// Handle implements [slog.Handler].
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	d := h.settings.detail.Load()
	if r.Level >= h.settings.base.Level() || d.active(r.Time) && r.Level >= d.level && h.matches(r, d.match) {
		return h.next.Handle(ctx, r)
	}
	return nil
}

func (h *logHandler) matches(r slog.Record, match string) bool {
	if match == "" || slices.ContainsFunc(h.values, func(v string) bool { return strings.Contains(v, match) }) {
		return true
	}
	found := false
	r.Attrs(func(a slog.Attr) bool {
		found = strings.Contains(a.Value.Resolve().String(), match)
		return !found
	})
	return found
}

// WithAttrs implements [slog.Handler].
func (h *logHandler) WithAttrs(as []slog.Attr) slog.Handler {
	c := &logHandler{next: h.next.WithAttrs(as), settings: h.settings, values: slices.Clone(h.values)}
	for _, a := range as {
		c.values = append(c.values, a.Value.Resolve().String())
	}
	return c
}

// WithGroup implements [slog.Handler].
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{next: h.next.WithGroup(name), settings: h.settings, values: h.values}
}

// SetLog changes what is logged until a time; the zero time is until
// the next reload. With
// match only lines with that text in a value (a call id, a number, a device)
// are logged at level, beside what is logged anyway.
func (a *App) SetLog(level slog.Level, match string, until time.Time) error {
	if !until.IsZero() && !until.After(time.Now()) {
		return errors.New("app: the time until which to log is over")
	}
	if match == "" && until.IsZero() {
		a.logging.base.Set(level)
		a.logging.detail.Store(nil)
		return nil
	}
	a.logging.detail.Store(&detail{level: level, match: match, until: until})
	return nil
}
