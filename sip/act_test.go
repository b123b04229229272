package sip_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip"
	"bellhop/sip/b2bua"
	"bellhop/sip/siptest"
)

// document is what is kept of a setting; "" for nothing.
func (h *house) document(tb testing.TB, kind directory.Kind, name string) string {
	tb.Helper()
	doc, err := h.store.Get(tb.Context(), directory.Ref{Domain: domain, Kind: kind, Name: name})
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		tb.Fatal(err)
	}
	return string(doc.Body)
}

// dial dials a code and takes the call that confirms it.
func dial(t *testing.T, p *siptest.Phone, code string) {
	t.Helper()
	leg := p.Call(t, code)
	ok := p.Wait(t, "200 INVITE")
	if !strings.Contains(ok.Body(), "m=audio 9 RTP/AVP 0\r\na=inactive\r\n") {
		t.Errorf("the code %s is answered with\n%s", code, ok.Raw)
	}
	leg.Ack(ok)
	start := time.Now()
	bye := p.Wait(t, "BYE")
	if d := time.Since(start); d < 900*time.Millisecond || d > 1200*time.Millisecond {
		t.Errorf("BYE after %v", d)
	}
	p.Reply(bye, siptest.Answer{Status: 200})
}

func TestCodes(t *testing.T) {
	t.Parallel()
	const on, off = `{"enabled":true,"target":"1002"}`, `{"enabled":false,"target":"1002"}`
	both := func(kind, side string) string {
		return `{"` + kind + `":{"internal":` + side + `,"external":` + side + `}}`
	}
	for _, tt := range []struct {
		code string
		kind directory.Kind
		name string
		want string // document
	}{
		{"*721002", directory.KindForwarding, "1001", both("all", on)},
		{"*73", directory.KindForwarding, "1001", both("all", off)},
		{"*72", directory.KindForwarding, "1001", both("all", on)},
		{"*901002", directory.KindForwarding, "1001", both("busy", on)},
		{"*91", directory.KindForwarding, "1001", both("busy", off)},
		{"*921002", directory.KindForwarding, "1001", both("no_answer", on)},
		{"*93", directory.KindForwarding, "1001", both("no_answer", off)},
		{"*78", directory.KindDND, "user1001", `{"enabled":true,"mode":"voicemail-else-busy"}`},
		{"*79", directory.KindDND, "user1001", `{"enabled":false,"mode":"voicemail-else-busy"}`},
	} {
		t.Run(tt.code, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				switch tt.code {
				case "*72", "*73":
					h.apply(t, put(directory.KindForwarding, "1001", `{"all":{"both":{"enabled":`+map[string]string{"*72": "false", "*73": "true"}[tt.code]+`,"target":"1002"}}}`))
				case "*91":
					h.apply(t, put(directory.KindForwarding, "1001", `{"busy":{"both":`+on+`}}`))
				case "*93":
					h.apply(t, put(directory.KindForwarding, "1001", `{"no_answer":{"both":`+on+`}}`))
				case "*79":
					h.apply(t, put(directory.KindDND, "user1001", `{"enabled":true}`))
				}
				ana := h.registered(t, "desk-1001", 11)
				dial(t, ana, tt.code)
				if got := h.document(t, tt.kind, tt.name); got != tt.want {
					t.Errorf("kept\n%s\nwant\n%s", got, tt.want)
				}
				doc, err := h.store.Get(t.Context(), directory.Ref{Domain: domain, Kind: tt.kind, Name: tt.name})
				if err != nil || doc.Actor != "device:desk-1001@bellhop.test" || doc.From != "192.0.2.11" {
					t.Errorf("written by %s from %s, %v", doc.Actor, doc.From, err)
				}
				c := h.record(t)
				if c.Outcome != "answered" || c.Rule != "dial.feature" || c.Number != "1001" || len(c.Legs) != 2 || c.Called != tt.code ||
					c.Legs[1].Kind == "" || c.EndedAt.IsZero() || len(c.Story) == 0 || c.Story[0].Value != c.Legs[1].Kind {
					t.Errorf("record %+v", c)
				}
			})
		})
	}
}

// A code that breaks a rule of settings is refused with the name of the rule, and
// the story of the call says how.
func TestCodesRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, code string
		set        directory.Write
		word       string
		reason     string
		rule       string
		value      string // of the last step of the story
	}{
		{
			"a loop", "*721002", put(directory.KindForwarding, "1002", `{"all":{"both":{"enabled":true,"target":"1001"}}}`),
			"403 INVITE", "forward.loop-refused", "forward.loop-refused", "1001 -> 1002 -> 1001",
		},
		{"outside without a class", "*72030123456", directory.Write{}, "403 INVITE", "target.class", "target.class", "030123456"},
		{"nobody there", "*721999", directory.Write{}, "404 INVITE", "reference.missing", "reference.missing", "1999"},
		{
			"call waiting", "*901002", put(directory.KindNumber, "1001", `{"user":"user1001","call_waiting":true}`),
			"403 INVITE", "busy.exclusive", "busy.exclusive", "1002",
		},
		{"no target", "*72", directory.Write{}, "484 INVITE", "No Target Kept", "dial.feature", "no-target"},
		{"no number after it", "**", directory.Write{}, "484 INVITE", "Address Incomplete", "dial.feature", "no-digits"},
		{"no number", "*72ana", directory.Write{}, "484 INVITE", "Address Incomplete", "dial.feature", "wrong-digits"},
		{"something after it", "*7812", directory.Write{}, "404 INVITE", "Not Found", "dial.unknown", ""},
		{"no media yet", "*97", directory.Write{}, "480 INVITE", "No Voicemail Yet", "dial.feature", "voicemail"},
		{
			"switched off", "*78", put(directory.KindDomain, domain, `{"realm":"bellhop.test","aliases":["pbx.test"],"policies":{"features":{"dnd":""}}}`),
			"404 INVITE", "Not Found", "dial.unknown", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				if tt.set.Body != nil {
					h.apply(t, tt.set)
				}
				ana := h.registered(t, "desk-1001", 11)
				leg := ana.Call(t, tt.code)
				res := ana.Wait(t, tt.word)
				leg.Refused(res)
				if res.Reason() != tt.reason {
					t.Errorf("reason %q, want %q", res.Reason(), tt.reason)
				}
				if got := h.document(t, directory.KindForwarding, "1001"); got != "" {
					t.Errorf("kept %s", got)
				}
				pass(time.Second)
				c := h.record(t)
				if n := len(c.Story); c.Rule != tt.rule || n == 0 || c.Story[n-1].Value != tt.value || c.Story[n-1].Rule != tt.rule {
					t.Errorf("record %+v", c)
				}
			})
		})
	}
}

// The caller hangs up before we do.
func TestCodeHungUp(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana := h.registered(t, "desk-1001", 11)
		leg := ana.Call(t, "*78")
		leg.Ack(ana.Wait(t, "200 INVITE"))
		leg.Bye()
		ana.Wait(t, "200 BYE")
		ana.Quiet(t, time.Minute)
		if c := h.record(t); c.Outcome != "answered" || c.State != feed.Ended {
			t.Errorf("record %+v", c)
		}
	})
}

// A phone that never acknowledges the answer to its code.
func TestCodeWithoutAck(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana := h.registered(t, "desk-1001", 11)
		ana.Call(t, "*78")
		n := 0
		for m := ana.Next(t, 40*time.Second); m != nil; m = ana.Next(t, 40*time.Second) {
			switch m.Word() {
			case "200 INVITE":
				n++
			case "BYE":
				ana.Reply(m, siptest.Answer{Status: 200})
			default:
				t.Errorf("got %s", m.Word())
			}
		}
		if n < 7 {
			t.Errorf("the 200 came %d times", n)
		}
		if c := h.record(t); c.State != feed.Ended {
			t.Errorf("record %+v", c)
		}
	})
}

// A service holds the line, changes the session by a re-INVITE, and answers what
// the caller asks within the call.
func TestService(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		var status int
		var answer string
		const offer = "v=0\r\no=- 9 9 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0\r\n"
		h.server.Served(func(s *b2bua.Service) {
			s.Lasts = 0
			s.Joined = func(j b2bua.Talk) {
				j.Offer([]byte(offer), func(st int, a []byte) { status, answer = st, string(a) })
			}
		})
		ana := h.registered(t, "desk-1001", 11)
		leg := ana.Call(t, "*78")
		leg.Ack(ana.Wait(t, "200 INVITE"))
		again := ana.Wait(t, "INVITE")
		if again.Body() != offer || again.ToTag() == "" {
			t.Errorf("the second INVITE is\n%s", again.Raw)
		}
		ana.Reply(again, siptest.Answer{Status: 200, Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
		ana.Wait(t, "ACK")
		synctest.Wait() // the step that told the service is over
		if status != 200 || answer != siptest.SDP {
			t.Errorf("the service heard %d %q", status, answer)
		}
		leg.SendInvite(t) // it puts us on hold
		ok := ana.Wait(t, "200 INVITE")
		if !strings.Contains(ok.Body(), "a=inactive") {
			t.Errorf("answer to a re-INVITE\n%s", ok.Raw)
		}
		leg.Ack(ok)
		ana.Send(leg.Within("OPTIONS"))
		ana.Wait(t, "200 OPTIONS")
		ana.Send(leg.Within("REFER", "Refer-To: <sip:1002@bellhop.test>"))
		ana.Wait(t, "603 REFER")
		ana.Quiet(t, time.Minute)
		if err := h.server.HangUp(t.Context(), h.store.Calls.Live(domain)[0].ID); err != nil {
			t.Fatal(err)
		}
		ana.Reply(ana.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Quiet(t, time.Minute)
	})
}

// A call to a service does not survive the process: the caller gets its BYE.
func TestServiceAfterRestart(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		h.server.Served(func(s *b2bua.Service) { s.Lasts = 0 })
		ana := h.registered(t, "desk-1001", 11)
		leg := ana.Call(t, "*78")
		leg.Ack(ana.Wait(t, "200 INVITE"))
		pass(time.Second)
		h.again(t)
		for m := ana.Next(t, time.Second); m != nil; m = ana.Next(t, time.Second) {
			if m.Word() == "BYE" {
				ana.Reply(m, siptest.Answer{Status: 200})
			}
		}
		pass(time.Second)
		if c := h.record(t); c.State != feed.Ended {
			t.Errorf("record %+v", c)
		}
	})
}

// lateSettings answer after a second, and may fail.
type lateSettings struct {
	sip.Settings
	err error
}

func (s lateSettings) Edit(ctx context.Context, a directory.Author, ref directory.Ref, edit func([]byte) ([]byte, error)) error {
	<-time.After(time.Second)
	if s.err != nil {
		return s.err
	}
	return s.Settings.Edit(ctx, a, ref, edit)
}

// The caller gives up while its setting is being saved.
func TestCodeCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.Settings = lateSettings{o.Settings, nil} })
		ana := h.registered(t, "desk-1001", 11)
		leg := ana.Call(t, "*78")
		ana.Wait(t, "100 INVITE")
		leg.Cancel()
		ana.Wait(t, "200 CANCEL")
		leg.Refused(ana.Wait(t, "487 INVITE"))
		ana.Quiet(t, time.Minute)
		if c := h.record(t); c.Outcome != "caller-gave-up" {
			t.Errorf("record %+v", c)
		}
		h.sane(t)
	})
}

// A setting that cannot be saved is not confirmed.
func TestCodeNotSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, func(o *sip.Options) { o.Settings = lateSettings{o.Settings, errors.New("away")} })
		ana := h.registered(t, "desk-1001", 11)
		leg := ana.Call(t, "*78")
		ana.Wait(t, "100 INVITE")
		res := ana.Wait(t, "503 INVITE")
		leg.Refused(res)
		if res.Reason() != "Setting Not Saved" {
			t.Errorf("reason %q", res.Reason())
		}
		h.sane(t)
	})
}
