package ring_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"bellhop/routing/location"
	"bellhop/routing/ring"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// target returns a UDP target of its own instance; name[0] tells its address.
func target(name string, q uint16) ring.Target {
	return ring.Target{Device: name, Instance: name, Contact: "sip:" + name, Q: q, Flow: flow(uint64(name[0]))}
}

// flow returns UDP flow number n.
func flow(n uint64) location.Flow { return location.Flow{Transport: location.UDP, Conn: n} }

// on returns t on another flow.
func on(t ring.Target, f location.Flow) ring.Target {
	t.Flow = f
	return t
}

var (
	desk  = target("desk", 1000)
	soft  = target("soft", 1000)
	phone = target("phone", 500)
	mail  = ring.Target{Instance: "mail", Contact: "sip:mail", Service: true}
)

// at is an event, when it happens since the first INVITE, and what it does.
type at struct {
	after time.Duration
	ev    ring.Event
	want  string
}

// The events of a table; play puts their times in.
func res(i ring.BranchID, status int) ring.Event { return ring.Response{Branch: i, Status: status} }

func sdp(i ring.BranchID, status int) ring.Event {
	return ring.Response{Branch: i, Status: status, SDP: true}
}
func fail(i ring.BranchID) ring.Event { return ring.Failed{Branch: i} }
func silent(i ring.BranchID) ring.Event {
	return ring.Fired{Timer: ring.Timer{Kind: ring.TimerSilent, Branch: i}}
}

func stops(i ring.BranchID) ring.Event {
	return ring.Fired{Timer: ring.Timer{Kind: ring.TimerStop, Branch: i}}
}

func timer(k ring.TimerKind) ring.Event { return ring.Fired{Timer: ring.Timer{Kind: k}} }
func joins(t ring.Target) ring.Event    { return ring.Registered{Target: t} }
func picked(t ring.Target) ring.Event   { return ring.Picked{Target: t} }
func gaveUp(reason string) ring.Event   { return ring.Cancelled{Reason: reason} }
func visited(stages ...[]ring.Target) ring.Event {
	return ring.Decided{Plan: ring.Plan{Stages: stages}}
}

// timed returns ev at now.
func timed(ev ring.Event, now time.Time) ring.Event {
	switch ev := ev.(type) {
	case ring.Response:
		ev.Now = now
		return ev
	case ring.Failed:
		ev.Now = now
		return ev
	case ring.Fired:
		ev.Now = now
		return ev
	case ring.Cancelled:
		ev.Now = now
		return ev
	case ring.Registered:
		ev.Now = now
		return ev
	case ring.Picked:
		ev.Now = now
		return ev
	case ring.Decided:
		ev.Now = now
		return ev
	default:
		panic(fmt.Sprintf("unknown event %T", ev))
	}
}

// words says effects; timers are left out unless they are asked for.
func words(effects []ring.Effect, timers bool) string {
	var out []string
	say := func(format string, args ...any) {
		out = append(out, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	for _, e := range effects {
		switch e := e.(type) {
		case ring.Invite:
			say("invite %d %s", e.Branch, cmp.Or(e.Target.Device, e.Target.Remote, e.Target.Trunk))
		case ring.Cancel:
			say("cancel %d %s", e.Branch, e.Reason)
		case ring.Move:
			say("move %d to %d", e.Branch, e.Target.Flow.Conn)
		case ring.Reply:
			drop := ""
			if e.DropSDP {
				drop = " without sdp"
			}
			say("reply %d from %d%s", e.Status, e.From, drop)
		case ring.HangUp:
			say("hang up %d", e.Branch)
		case ring.StartTimer:
			if timers {
				say("start %s in %v", timerName(e.Timer), e.After)
			}
		case ring.StopTimer:
			if timers {
				say("stop %s", timerName(e.Timer))
			}
		case ring.Doubt:
			say("doubt %d", e.Branch)
		case ring.Visit:
			say("visit %v", e.Outcome.Kind)
		case ring.End:
			say("end %v %d %d", e.Outcome.Kind, e.Outcome.Status, e.Outcome.Branch)
		default:
			panic(fmt.Sprintf("unknown effect %T", e))
		}
	}
	return strings.Join(out, "; ")
}

func timerName(t ring.Timer) string {
	switch t.Kind {
	case ring.TimerSilent:
		return fmt.Sprintf("silent %d", t.Branch)
	case ring.TimerStage:
		return "stage"
	case ring.TimerNext:
		return "next"
	case ring.TimerClock:
		return "clock"
	case ring.TimerDelay:
		return "delay"
	case ring.TimerStop:
		return fmt.Sprintf("stop %d", t.Branch)
	default:
		return "unknown"
	}
}

// row is a row of a table: a plan, what New does, and what each event does.
type row struct {
	name   string
	plan   ring.Plan
	first  string
	events []at
	timers bool // timers are told as well
}

func run(t *testing.T, rows []row) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, effects := ring.New(tt.plan, t0, nil)
			if diff := gocmp.Diff(tt.first, words(effects, tt.timers)); diff != "" {
				t.Fatalf("New (-want +got):\n%s", diff)
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
