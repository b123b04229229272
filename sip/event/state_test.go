package event_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/event"
)

func now() time.Time { return time.Date(2030, 11, 3, 10, 0, 0, 0, time.UTC) }

func line(change func(*directory.Line)) *directory.Line {
	l := &directory.Line{Domain: "example.com", Number: "1002", User: "ben", Devices: []string{"desk-1002"}, RingTime: 18 * time.Second}
	if change != nil {
		change(l)
	}
	return l
}

func bound() location.Bindings {
	return location.Bindings{{Contact: "sip:1002@192.0.2.12:5060", Device: "desk-1002", CallID: "r1", UserAgent: "Phone <1>", Expires: now().Add(time.Hour)}}
}

// proxied is a call between devices.
func proxied(id, from, to string, s feed.CallState) *feed.Call {
	return &feed.Call{ID: id, Domain: "example.com", Caller: from, CallerDev: "desk-" + from, Called: to, Number: to, State: s}
}

// legs is an anchored call.
func legs(id string, s feed.CallState, ls ...feed.Leg) *feed.Call {
	return &feed.Call{ID: id, Domain: "example.com", Caller: ls[0].Number, CallerDev: ls[0].Device, State: s, Legs: ls}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	mine := feed.Leg{Caller: true, Number: "1002", Device: "desk-1002"}
	theirs := feed.Leg{Caller: true, Number: "1001", Device: "desk-1001"}
	carrier := feed.Leg{Caller: true, Number: "+49891", Trunk: "carrier"}
	at := func(l feed.Leg, s feed.CallState) feed.Leg { l.State = s; return l }
	ben := feed.Leg{Number: "1002", Device: "desk-1002"}
	tests := []struct {
		name  string
		calls []*feed.Call
		line  func(*directory.Line)
		gone  bool // nothing is registered
		want  string
	}{
		{name: "nothing", want: "idle"},
		{name: "nothing registered", gone: true, want: "unregistered"},
		{name: "its call is on its way", calls: []*feed.Call{proxied("a", "1002", "1001", feed.Calling)}, want: "calling a-o:trying"},
		{name: "its call rings", calls: []*feed.Call{proxied("a", "1002", "1001", feed.Ringing)}, want: "calling a-o:early"},
		{name: "it rings", calls: []*feed.Call{proxied("a", "1001", "1002", feed.Ringing)}, want: "ringing a:early"},
		{name: "its phone has not rung yet", calls: []*feed.Call{proxied("a", "1001", "1002", feed.Calling)}, want: "idle"},
		{name: "it talks", calls: []*feed.Call{proxied("a", "1001", "1002", feed.Talking)}, want: "talking-internal a:confirmed"},
		{name: "it calls itself", calls: []*feed.Call{proxied("a", "1002", "1002", feed.Ringing)}, want: "ringing a-o:early a:early"},
		{name: "over", calls: []*feed.Call{proxied("a", "1001", "1002", feed.Ended)}, want: "idle"},
		{name: "a stranger rings", calls: []*feed.Call{{ID: "a", Number: "1002", State: feed.Ringing}}, want: "ringing a:early"},
		{name: "a stranger talks", calls: []*feed.Call{{ID: "a", Number: "1002", State: feed.Talking}}, want: "talking-external a:confirmed"},
		{
			name: "two phones of it ring", want: "ringing a:early",
			calls: []*feed.Call{legs("a", feed.Ringing, at(theirs, feed.Ringing), at(ben, feed.Calling), at(ben, feed.Ringing))},
		},
		{
			name: "a trunk talks to it", want: "talking-external a:confirmed",
			calls: []*feed.Call{legs("a", feed.Talking, at(carrier, feed.Talking), at(ben, feed.Talking))},
		},
		{
			name: "it talks to a trunk", want: "talking-external a-o:confirmed",
			calls: []*feed.Call{legs("a", feed.Talking, at(mine, feed.Talking), feed.Leg{Number: "+49892", Trunk: "carrier", State: feed.Talking})},
		},
		{
			name: "it talks inside, its mobile was rung too", want: "talking-internal a-o:confirmed",
			calls: []*feed.Call{legs("a", feed.Talking, at(mine, feed.Talking), feed.Leg{Number: "+49892", Trunk: "carrier", State: feed.Ended}, feed.Leg{Number: "1001", State: feed.Talking})},
		},
		{
			name: "it was rung, another rings now", want: "idle",
			calls: []*feed.Call{legs("a", feed.Ringing, at(theirs, feed.Ringing), at(ben, feed.Ended), feed.Leg{Number: "1003", State: feed.Ringing})},
		},
		{
			name: "it talks, and a second one rings", want: "talking-internal a:confirmed b:early",
			calls: []*feed.Call{proxied("a", "1001", "1002", feed.Talking), proxied("b", "1003", "1002", feed.Ringing)},
		},
		{name: "dnd", line: func(l *directory.Line) { l.DND.Enabled = true }, want: "dnd"},
		{name: "dnd of nobody", line: func(l *directory.Line) { l.DND.Enabled, l.User = true, "" }, want: "idle"},
		{name: "dnd of a phone that is away", gone: true, line: func(l *directory.Line) { l.DND.Enabled = true }, want: "dnd"},
		{name: "dnd while it talks", line: func(l *directory.Line) { l.DND.Enabled = true }, calls: []*feed.Call{proxied("a", "1002", "1001", feed.Talking)}, want: "talking-internal a-o:confirmed"},
		{name: "forwarded", line: func(l *directory.Line) { l.All.Internal.On = true }, want: "forwarded"},
		{name: "forwarded, with dnd", line: func(l *directory.Line) { l.All.Internal.On, l.DND.Enabled = true, true }, want: "forwarded"},
		{name: "forwarded for others", line: func(l *directory.Line) { l.All.External.On = true }, want: "idle"},
		{name: "call me", line: func(l *directory.Line) { l.CallMe.On = true }, want: "forwarded"},
		{name: "call me, away", line: func(l *directory.Line) { l.CallMe.On, l.Presence.Status = true, directory.StatusLunch }, want: "idle"},
		{name: "away, with a target", line: func(l *directory.Line) {
			l.Presence.Status = directory.StatusLunch
			l.PresenceTo = []directory.StatusFollow{{Status: directory.StatusLunch, Follow: directory.Follow{On: true}}}
		}, want: "forwarded"},
		{name: "nobody is to see it", line: func(l *directory.Line) {
			l.DND.Enabled, l.All.Internal.On, l.Presence.Visibility = true, true, "nobody"
		}, want: "idle"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bs := bound()
			if tt.gone {
				bs = nil
			}
			st := event.Observe(line(tt.line), tt.calls, bs, now())
			got := st.Connection(st.Line.Presence.Visibility != "nobody")
			for _, d := range st.Dialogs {
				got += " " + d.ID + ":" + d.Phase.String()
			}
			if got != tt.want {
				t.Errorf("Observe = %q, want %q", got, tt.want)
			}
			for name, doc := range event.Documents(st, false) {
				if strings.HasPrefix(doc, "<?xml") && xml.Unmarshal([]byte(doc), new(struct{})) != nil {
					t.Errorf("%s is no XML:\n%s", name, doc)
				}
			}
		})
	}
}

// A phone is the dialogs that a phone believes in, by the rules of RFC 4235 §4.3.
type phone map[string]event.Phase

func (p phone) take(tell []event.Dialog, partial bool) {
	if !partial {
		clear(p)
	}
	for _, d := range tell {
		if p[d.ID] = d.Phase; d.Phase == event.Terminated {
			delete(p, d.ID)
		}
	}
}

// TestStepProperty: whatever calls come and go, a phone that was told each step, and
// one that only ever acts on what it is told, both know exactly the dialogs there are.
func TestStepProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var shown []event.Dialog
		exact, simple := phone{}, phone{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			var now []event.Dialog
			for id := range 8 {
				if p := event.Phase(rapid.IntRange(0, 3).Draw(t, "phase")); p != 0 {
					now = append(now, event.Dialog{ID: fmt.Sprint(id), Phase: p})
				}
			}
			known := rapid.Bool().Draw(t, "known")
			if !known {
				clear(exact) // it lost what it had
			}
			tell, partial := event.Step(shown, now, known)
			if partial && !known {
				t.Fatal("a partial document for who may have missed the last one")
			}
			exact.take(tell, partial)
			simple.take(tell, true) // it takes a full document for a partial one
			shown = now
			if len(exact) != len(now) || len(simple) != len(now) {
				t.Fatalf("phones know %v and %v, want %v", exact, simple, now)
			}
			for _, d := range now {
				if exact[d.ID] != d.Phase || simple[d.ID] != d.Phase {
					t.Fatalf("phones know %v and %v, want %v", exact, simple, now)
				}
			}
		}
	})
}

// TestObserveProperty: a number is talking, ringing or calling exactly when a call
// says so, however many there are, and their order does not count.
func TestObserveProperty(t *testing.T) {
	t.Parallel()
	states := []feed.CallState{feed.Calling, feed.Ringing, feed.Talking, feed.Ended}
	rapid.Check(t, func(t *rapid.T) {
		var calls []*feed.Call
		var talks, rings, makes bool
		for i := range rapid.IntRange(0, 6).Draw(t, "calls") {
			s := rapid.SampledFrom(states).Draw(t, "state")
			c := proxied(fmt.Sprint(i), "1001", "1002", s)
			if rapid.Bool().Draw(t, "out") {
				c = proxied(fmt.Sprint(i), "1002", "1001", s)
				makes = makes || s == feed.Calling || s == feed.Ringing
			} else {
				rings = rings || s == feed.Ringing
			}
			talks = talks || s == feed.Talking
			calls = append(calls, c)
		}
		want := event.Idle
		switch {
		case talks:
			want = event.TalkingInternal
		case rings:
			want = event.Ringing
		case makes:
			want = event.Calling
		}
		st := event.Observe(line(nil), calls, bound(), now())
		slices.Reverse(calls)
		back := event.Observe(line(nil), calls, bound(), now())
		if st.Connection(true) != want || back.Connection(true) != want {
			t.Fatalf("%s and %s, want %s", st.Connection(true), back.Connection(true), want)
		}
	})
}

func TestParseFeature(t *testing.T) {
	t.Parallel()
	to := "1004"
	tests := []struct {
		name, body string
		want       event.FeatureChange
		err        error
	}{
		{name: "dnd on", body: `<SetDoNotDisturb xmlns="http://www.ecma-international.org/standards/ecma-323/csta/ed3"><device></device><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>`, want: event.FeatureChange{Kind: event.FeatureDND, On: true}},
		{name: "dnd off, no namespace", body: `<?xml version="1.0" encoding="ISO-8859-1"?> <SetDoNotDisturb><doNotDisturbOn> false </doNotDisturbOn></SetDoNotDisturb>`, want: event.FeatureChange{Kind: event.FeatureDND}},
		{name: "forward", body: `<SetForwarding><forwardingType>forwardNoAns</forwardingType><activateForward>1</activateForward><forwardDN>1004</forwardDN><ringCount>4</ringCount></SetForwarding>`, want: event.FeatureChange{Kind: event.FeatureNoAnswer, On: true, Target: &to}},
		{name: "busy off", body: `<SetForwarding><forwardingType>forwardBusy</forwardingType><activateForward>false</activateForward></SetForwarding>`, want: event.FeatureChange{Kind: event.FeatureBusy}},
		{name: "a forward we do not have", body: `<SetForwarding><forwardingType>forwardNights</forwardingType><activateForward>true</activateForward></SetForwarding>`, err: event.ErrFeatureUnknown},
		{name: "another feature", body: `<SetHoteling/>`, err: event.ErrFeatureUnknown},
		{name: "neither on nor off", body: `<SetDoNotDisturb><doNotDisturbOn>maybe</doNotDisturbOn></SetDoNotDisturb>`, err: event.ErrFeature},
		{name: "cut short", body: `<SetDoNotDisturb><doNotDisturbOn>true`, err: event.ErrFeature},
		{name: "a bomb", body: `<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;">]><SetDoNotDisturb><doNotDisturbOn>&b;</doNotDisturbOn></SetDoNotDisturb>`, err: event.ErrFeature},
		{name: "too long", body: `<SetDoNotDisturb>` + strings.Repeat(" ", 5000) + `<doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>`, err: event.ErrFeature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := event.ParseFeature([]byte(tt.body))
			if !errors.Is(err, tt.err) {
				t.Fatalf("ParseFeature: %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			if got.Kind != tt.want.Kind || got.On != tt.want.On || (got.Target == nil) != (tt.want.Target == nil) || got.Target != nil && *got.Target != *tt.want.Target {
				t.Errorf("ParseFeature = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func FuzzParseFeature(f *testing.F) {
	f.Add([]byte(`<SetDoNotDisturb><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>`), []byte(`{"enabled":false}`))
	f.Add([]byte(`<SetForwarding><forwardingType>forwardImmediate</forwardingType><activateForward>true</activateForward><forwardDN>1 &amp; 2</forwardDN></SetForwarding>`), []byte(`{}`))
	f.Add([]byte(`<?xml version="1.0"?><a><b></a>`), []byte(nil))
	f.Fuzz(func(t *testing.T, body, doc []byte) {
		c, err := event.ParseFeature(body)
		if err != nil {
			return
		}
		l := line(nil)
		ref := c.Ref(l)
		if _, faults := directory.Decode(ref.Kind, doc); len(faults) > 0 {
			doc = nil
		}
		after, err := c.Apply(doc)
		if err != nil {
			return // the policies of targets
		}
		again, err := c.Apply(after)
		if err != nil || string(again) != string(after) {
			t.Errorf("a key pressed twice: %s, then %s, %v", after, again, err)
		}
	})
}

// metricNames are the metrics of the package, also linted.
func metricNames(t *testing.T) (names string) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	event.New(event.Options{Registerer: reg}).Count()
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		names += f.GetName() + "\n"
	}
	return names
}
