package call_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"bellhop/routing/call"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	a = call.A
	b = call.B

	second = time.Second
)

// at is an event, when it happens since the first INVITE, and what it does.
type at struct {
	after time.Duration
	ev    call.Event
	want  string
}

// The events of a table; play puts their times in.

func req(l call.Leg, id call.ID, m call.Method) call.Event {
	return call.Request{Leg: l, ID: id, Method: m, Random: 7}
}

func offer(l call.Leg, id call.ID, m call.Method) call.Event {
	return call.Request{Leg: l, ID: id, Method: m, SDP: true, Random: 7}
}

func timedReq(l call.Leg, id call.ID, m call.Method, s call.Session) call.Event {
	return call.Request{Leg: l, ID: id, Method: m, SDP: true, Session: s}
}

func res(l call.Leg, id call.ID, status int) call.Event {
	return call.Response{Leg: l, ID: id, Status: status, Up: status, Random: 50}
}

func sdp(l call.Leg, id call.ID, status int) call.Event {
	return call.Response{Leg: l, ID: id, Status: status, Up: status, SDP: true}
}

func rel(l call.Leg, id call.ID, status int) call.Event {
	return call.Response{Leg: l, ID: id, Status: status, Up: status, SDP: true, Reliable: true}
}

func ack(l call.Leg) call.Event    { return call.Acked{Leg: l} }
func answer(l call.Leg) call.Event { return call.Acked{Leg: l, SDP: true} }
func fired(k call.TimerKind, l call.Leg) call.Event {
	return call.Fired{Timer: call.Timer{Kind: k, Leg: l}}
}

// timed returns ev at now.
func timed(ev call.Event, now time.Time) call.Event {
	switch ev := ev.(type) {
	case call.Request:
		ev.Now = now
		return ev
	case call.Response:
		ev.Now = now
		return ev
	case call.Acked:
		ev.Now = now
		return ev
	case call.Cancelled:
		ev.Now = now
		return ev
	case call.Failed:
		ev.Now = now
		return ev
	case call.HangUp:
		ev.Now = now
		return ev
	case call.Fired:
		ev.Now = now
		return ev
	default:
		panic(fmt.Sprintf("unknown event %T", ev))
	}
}

var methods = map[call.Method]string{
	call.Invite: "INVITE", call.Update: "UPDATE", call.Prack: "PRACK", call.Bye: "BYE",
	call.Info: "INFO", call.MethodOptions: "OPTIONS", call.Refer: "REFER", call.Other: "OTHER",
}

var kinds = map[call.TimerKind]string{
	call.TimerAck: "ack", call.TimerRefresh: "refresh", call.TimerExpire: "expire",
	call.TimerGlare: "glare", call.TimerDeadline: "deadline", call.TimerProbe: "probe",
}

var legs = map[call.Leg]string{a: "A", b: "B"}

// words says effects; timers and what is said of sessions are left out unless
// they are asked for.
func words(effects []call.Effect, timers bool) string {
	var out []string
	say := func(format string, args ...any) {
		out = append(out, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	session := func(s call.Session) string {
		if !timers || s.Expires == 0 {
			return ""
		}
		w := fmt.Sprintf(" expires %v %s", s.Expires, map[call.Refresher]string{call.UAC: "uac", call.UAS: "uas"}[s.Refresher])
		if s.MinSE > 0 {
			w += fmt.Sprintf(" min %v", s.MinSE)
		}
		return w
	}
	for _, e := range effects {
		switch e := e.(type) {
		case call.Relay:
			say("%s %d to %s%s", methods[e.Method], e.ID, legs[e.To], session(e.Session))
		case call.Pass:
			w := map[call.Body]string{call.Dropped: " without sdp", call.Kept: " with kept sdp"}[e.Body]
			if e.Reliable {
				w += " reliably"
			}
			say("%d of %d to %s%s%s", e.Status, e.ID, legs[e.To], w, session(e.Session))
		case call.Answer:
			w := ""
			if e.RetryAfter > 0 {
				w = fmt.Sprintf(" after %v", e.RetryAfter)
			}
			if e.MinSE > 0 {
				w = fmt.Sprintf(" min %v", e.MinSE)
			}
			say("answer %d of %s %d%s", e.ID, legs[e.Leg], e.Status, w)
		case call.Ack:
			w := ""
			if e.SDP {
				w = " with answer"
			}
			say("ack %d to %s%s", e.ID, legs[e.Leg], w)
		case call.Prack1xx:
			say("prack %d to %s", e.ID, legs[e.Leg])
		case call.Cancel:
			say("cancel %d to %s", e.ID, legs[e.Leg])
		case call.SendBye:
			w := ""
			if e.Like != 0 {
				w = fmt.Sprintf(" like %d", e.Like)
			}
			say("bye %d to %s%s", e.ID, legs[e.Leg], w)
		case call.Refresh:
			say("refresh %d to %s by %s%s", e.ID, legs[e.Leg], methods[e.Method], session(e.Session))
		case call.Resend:
			say("again %d to %s%s", e.ID, legs[e.Leg], session(e.Session))
		case call.Probe:
			say("probe %d to %s", e.ID, legs[e.Leg])
		case call.StartTimer:
			if timers && e.Timer.Kind != call.TimerProbe { // which runs in every call
				say("start %s %s in %v", kinds[e.Timer.Kind], legs[e.Timer.Leg], e.After)
			}
		case call.StopTimer:
			if timers && e.Timer.Kind != call.TimerProbe {
				say("stop %s %s", kinds[e.Timer.Kind], legs[e.Timer.Leg])
			}
		case call.Journal:
			say("journal")
		case call.GiveUp:
			say("give up")
		case call.End:
			say("end %v by %s", e.Cause, legs[e.By])
		default:
			panic(fmt.Sprintf("unknown effect %T", e))
		}
	}
	return strings.Join(out, "; ")
}

// row is a row of a table: how the call begins, and what each event does. Up is
// a call that was answered 1 s after it began.
type row struct {
	name    string
	options call.Options
	up      bool
	first   string // of one that is not up
	events  []at
	timers  bool // timers and sessions are told as well
}

func run(t *testing.T, rows []row) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.up {
				tt.options.SDP = true
			}
			s, effects := call.New(tt.options, t0, nil)
			if diff := gocmp.Diff(tt.first, words(effects, tt.timers)); diff != "" && !tt.up {
				t.Fatalf("New (-want +got):\n%s", diff)
			}
			if tt.up {
				for _, ev := range []call.Event{res(b, call.First, 180), sdp(b, call.First, 200), ack(a)} {
					s, _ = s.Step(timed(ev, t0.Add(second)), nil)
				}
			}
			for i, e := range tt.events {
				s, effects = s.Step(timed(e.ev, t0.Add(e.after)), nil)
				if diff := gocmp.Diff(e.want, words(effects, tt.timers)); diff != "" {
					t.Fatalf("event %d, %+v (-want +got):\n%s", i, e.ev, diff)
				}
			}
		})
	}
}
