package sip_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip"
	"bellhop/sip/event"
	"bellhop/sip/siptest"
)

// write sends a MESSAGE with credentials.
func write(t *testing.T, p *siptest.Phone, to, body string) []byte {
	t.Helper()
	r := out(p, "MESSAGE", to)
	r.Body = body
	r.Lines = []string{"Content-Type: text/plain", p.Credentials(t, "MESSAGE", r.URI)}
	return p.Send(r)
}

// kept is how many messages are kept.
func (h *house) kept(t *testing.T) int {
	t.Helper()
	synctest.Wait()
	n := 0
	if err := h.store.Kept(t.Context(), "message", "", "", countRows(&n)); err != nil {
		t.Fatal(err)
	}
	if m := int(h.metric(t, "bellhop_event_messages_waiting")); m != n {
		t.Errorf("%d messages are kept, the metric says %d", n, m)
	}
	return n
}

// TestMessageKept: messages for a phone that is away wait for it, through a restart,
// and come in order when it registers; each is gone when a phone took it.
func TestMessageKept(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, eve := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1003", 13)
		again := write(t, ana, "1002", "one")
		ana.Wait(t, "202 MESSAGE")
		ana.SendRaw(again, "MESSAGE")
		ana.Wait(t, "202 MESSAGE") // the same, sent again
		sent := time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
		write(t, eve, "1002", "two")
		eve.Wait(t, "202 MESSAGE")
		pass(time.Second)
		write(t, ana, "1002", "three")
		ana.Wait(t, "202 MESSAGE")
		if n := h.kept(t); n != 3 {
			t.Fatalf("%d messages are kept, want 3", n)
		}
		h.again(t)
		<-time.After(2 * time.Hour)

		ben := h.registered(t, "desk-1002", 12)
		m := ben.Wait(t, "MESSAGE")
		if m.Body() != "one" || !strings.Contains(m.Header("From"), "sip:1001@bellhop.test") || m.Header("Date") != sent ||
			m.Header("Content-Type") != "text/plain" || m.Header("To") != "<sip:1002@bellhop.test>" {
			t.Errorf("the first:\n%s", m.Raw)
		}
		ben.Quiet(t, 100*time.Millisecond) // the second waits
		reply(ben, m, 200)
		m = ben.Wait(t, "MESSAGE")
		if m.Body() != "two" || !strings.Contains(m.Header("From"), "sip:1003@bellhop.test") {
			t.Errorf("the second:\n%s", m.Raw)
		}
		reply(ben, m, 503) // no: it stays, and the third with it
		ben.Quiet(t, time.Second)
		if n := h.kept(t); n != 2 {
			t.Errorf("%d messages are kept, want 2", n)
		}
		ben.Patience = 2 * time.Minute // it is tried again
		m = ben.Wait(t, "MESSAGE")
		if m.Body() != "two" {
			t.Errorf("again:\n%s", m.Raw)
		}
		reply(ben, m, 415) // this one never: it stays, but the third goes out
		m = ben.Wait(t, "MESSAGE")
		if m.Body() != "three" {
			t.Errorf("the third:\n%s", m.Raw)
		}
		reply(ben, m, 200)
		if n := h.kept(t); n != 1 {
			t.Errorf("%d messages are kept, want 1", n)
		}
		// It expires after a week.
		err := h.store.Kept(t.Context(), "message", domain, "1002", func(r feed.Kept) error {
			if age := time.Until(r.Expires); age < 7*24*time.Hour-3*time.Hour || age > 7*24*time.Hour {
				t.Errorf("it is kept for %v", age)
			}
			r.Expires = time.Now().Add(30 * time.Second)
			return h.store.Keep(t.Context(), []feed.Kept{r})
		})
		if err != nil {
			t.Fatal(err)
		}
		ben.Close()
		pass(2 * time.Minute)
		if n := h.kept(t); n != 0 {
			t.Errorf("%d messages are kept that expired", n)
		}
	})
}

// TestMessageSilentPhone: a phone that does not answer costs its sender some seconds,
// and a message that it takes late is not delivered twice.
func TestMessageSilentPhone(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				write(t, ana, "1002", "hello")
				m := ben.Wait(t, "MESSAGE")
				began := time.Now()
				ana.Wait(t, "202 MESSAGE")
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("202 after %v", took)
				}
				if n := h.kept(t); n != 1 {
					t.Errorf("%d messages are kept, want 1", n)
				}
				for ben.Next(t, 0) != nil {
				}
				if late {
					reply(ben, m, 200)
					pass(time.Second)
				} else {
					pass(30 * time.Second)
					for ben.Next(t, 0) != nil {
					}
					ben.Register(t, siptest.Registration{Expires: "0"})
					ben.Register(t, siptest.Registration{})
					reply(ben, ben.Wait(t, "MESSAGE"), 200)
				}
				if n := h.kept(t); n != 0 {
					t.Errorf("%d messages are kept, want none", n)
				}
				ben.Register(t, siptest.Registration{Expires: "0"})
				ben.Register(t, siptest.Registration{})
				ben.Quiet(t, 5*time.Minute)
				ana.Quiet(t, 0)
			})
		})
	}
}

// TestMessageLimits: a number has room for so much, and nobody for novels.
func TestMessageLimits(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana := h.registered(t, "desk-1001", 11)
		write(t, ana, "1002", strings.Repeat("x", 17<<10))
		ana.Wait(t, "480 MESSAGE")
		for range 200 {
			write(t, ana, "1002", "hello")
			ana.Wait(t, "202 MESSAGE")
		}
		write(t, ana, "1002", "one more")
		ana.Wait(t, "480 MESSAGE")
		write(t, ana, "1003", "to another")
		ana.Wait(t, "202 MESSAGE")
		for range 33 {
			write(t, ana, "1004", strings.Repeat("x", 12<<10))
			ana.Next(t, time.Second)
		}
		write(t, ana, "1004", strings.Repeat("x", 12<<10))
		ana.Wait(t, "480 MESSAGE") // half a megabyte
		write(t, ana, "1999", "to nobody")
		ana.Wait(t, "404 MESSAGE")
		h.apply(t, put(directory.KindNumber, "1010", `{}`))
		write(t, ana, "1010", "to a number without a device")
		ana.Wait(t, "480 MESSAGE")
	})
}

// A badStore is slow to keep things, or does not.
type badStore struct {
	event.Store
	err  error
	slow time.Duration
}

func (s badStore) Keep(ctx context.Context, rows []feed.Kept) error {
	<-time.After(s.slow)
	if s.err != nil {
		return s.err
	}
	return s.Store.Keep(ctx, rows)
}

// TestMessageTakenWhileItIsKept: a phone that answers while its message is being saved
// has it, and nobody keeps it.
func TestMessageTakenWhileItIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.Store = badStore{Store: o.Store, slow: time.Second} })
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		write(t, ana, "1002", "hello")
		m := ben.Wait(t, "MESSAGE")
		pass(10*time.Second + 500*time.Millisecond)
		for ben.Next(t, 0) != nil {
		}
		reply(ben, m, 200)
		ana.Wait(t, "200 MESSAGE")
		pass(5 * time.Second)
		if n := h.kept(t); n != 0 {
			t.Errorf("%d messages are kept", n)
		}
		ana.Quiet(t, time.Minute)
		h.sane(t)
	})
}

// TestStoreDoesNotKeep: what is not saved is not acknowledged.
func TestStoreDoesNotKeep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.Store = badStore{Store: o.Store, err: errors.New("disk full")} })
		ana := h.registered(t, "desk-1001", 11)
		write(t, ana, "1002", "hello")
		ana.Wait(t, "480 MESSAGE")
		_, r := subscribing(t, ana, "dialog", "1002")
		ana.Send(r)
		ana.Wait(t, "500 SUBSCRIBE")
		ana.Quiet(t, time.Minute)
		if n := h.metric(t, "bellhop_event_save_failures_total"); n != 2 {
			t.Errorf("%v failures counted, want 2", n)
		}
		if n := h.kept(t); n != 0 {
			t.Errorf("%d messages are kept", n)
		}
		h.sane(t)
	})
}
