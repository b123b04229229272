// Package explain says why a call goes where it goes: it runs the machine of
// package ring over the plans that routing decides, on the assumption that
// nobody answers, and makes words of traces.
//
// It has no side effects and decides nothing itself: what it tells is what a
// live call would do. The API, the command and the tests share it.
package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// A Question is a call to be explained, and who wants to know.
type Question struct {
	Visit  routing.Visit
	At     time.Time
	Viewer Viewer
	// Language of the words, BCP 47; "" or an unknown one is English.
	Language string
}

// A Viewer is who reads a story: the admin reads all of it, others what is
// public or their own.
type Viewer struct {
	Admin bool
	User  string
}

// sees reports whether the viewer may read what has a level and an owner.
func (v Viewer) sees(l routing.Level, owner string) bool {
	return v.Admin || l == routing.Public || l == routing.ForOwner && owner != "" && owner == v.User
}

// A Reader is a [Viewer] who reads a trace in its order: whose setting sent a
// call on may know, too, whether it rang there.
type Reader struct {
	Viewer
	via string // owner of the setting that sent the call on last
}

// Sees reports whether the reader may read e, the next entry of the trace.
func (r *Reader) Sees(e routing.Entry) bool {
	mine := r.via != "" && r.via == r.User && (e.Rule == routing.RingDevices || e.Rule == routing.RingFinal)
	if e.To != "" {
		r.via = e.Owner
	}
	return mine || r.sees(e.Level, e.Owner)
}

// An Explanation is the answer of POST /v1/explain.
type Explanation struct {
	Outcome  string           `json:"outcome"`            // "ring", "reject", or "act" for a code or service
	Anchored routing.RuleName `json:"anchored,omitempty"` // why the call cannot be proxied
	Timeline []Step           `json:"timeline"`
	End      End              `json:"end"`
	Trace    []Entry          `json:"trace"`
	Identity Identity         `json:"identity"`
	// Warnings are the sentences of the trace about settings that do not do what
	// they say.
	Warnings []string `json:"warnings,omitempty"`
}

// A Step is one thing that happens, at a time from the beginning of the call.
type Step struct {
	At      directory.Duration `json:"at"`
	Do      string             `json:"do"` // "ring", "reject" or "act"
	Target  string             `json:"target,omitempty"`
	To      []string           `json:"to,omitempty"`     // devices
	Trunk   string             `json:"trunk,omitempty"`  // that the call leaves by
	Others  []string           `json:"others,omitempty"` // trunks that follow when it fails, in order
	Stop    directory.Duration `json:"stop,omitempty"`   // when it stops ringing while the rest rings on
	Shown   string             `json:"shown,omitempty"`  // who it shows as the caller, where that is not the caller as received
	Rule    routing.RuleName   `json:"rule"`
	Status  int                `json:"status,omitempty"` // of a reject
	Because []Cause            `json:"because,omitempty"`

	number string // of the member of a group
	remote string // id of the remote destination
	hidden bool   // by a setting the viewer may not know of
}

// A Cause is a setting that decided, and its value.
type Cause struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
}

// An End is what the caller gets when nobody answers.
type End struct {
	At      directory.Duration `json:"at"`
	Status  int                `json:"status"`
	Outcome string             `json:"outcome"` // of package ring, or "rejected"
}

// An Entry is a trace entry with its words.
type Entry struct {
	Rule    routing.RuleName   `json:"rule"`
	Number  string             `json:"number,omitempty"`
	To      string             `json:"to,omitempty"`
	Setting string             `json:"setting,omitempty"`
	Value   string             `json:"value,omitempty"`
	At      directory.Duration `json:"at"`
	Text    string             `json:"text"`
}

// An Identity is who is shown to whom.
type Identity struct {
	ToCallee string `json:"shown_to_callee"`
	ToCaller string `json:"shown_to_caller"`
}

// Explain decides a visit, rings in thought until nobody answered, and follows
// every outcome. Load is that of [routing.Resolve].
func Explain(q Question, load func(routing.Need, *routing.World) error) (Explanation, error) {
	r := &run{q: q, load: load, now: q.At, reader: Reader{Viewer: q.Viewer}}
	r.out.Timeline, r.out.Trace = []Step{}, []Entry{}
	if err := r.begin(); err != nil {
		return Explanation{}, fmt.Errorf("explain: %w", err)
	}
	r.mask()
	return r.out, nil
}

// A run is one call in thought.
type run struct {
	q      Question
	load   func(routing.Need, *routing.World) error
	now    time.Time
	out    Explanation
	trace  routing.Trace // of the whole call
	reader Reader

	state   ring.State
	plan    routing.Plan
	ringing *routing.Ring
	timers  []timer
	events  []ring.Event // that the effects cause at once
}

type timer struct {
	name ring.Timer
	at   time.Time
}

func (r *run) begin() error {
	plan, world, err := r.resolve(r.q.Visit)
	if err != nil {
		return err
	}
	r.out.Anchored = plan.Anchored
	switch d := plan.Decision.(type) {
	case routing.Reject:
		r.out.Outcome = "reject"
		r.step(Step{Do: "reject", Target: r.called(), Rule: d.Rule, Status: d.Status})
		r.out.End = End{Status: d.Status, Outcome: "rejected"}
	case routing.Act:
		r.out.Outcome = "act"
		s := Step{Do: "act", Target: d.Feature.String(), Rule: d.Rule}
		r.out.End = End{Status: 200, Outcome: "done"}
		if d.Target != "" {
			s.To = []string{d.Target}
		}
		if d.Lacking() != "" {
			r.out.End = End{Status: 480, Outcome: "rejected"}
		}
		r.step(s)
	case routing.Ring:
		r.out.Outcome = "ring"
		r.plan, r.ringing = plan, &d
		var effects []ring.Effect
		r.state, effects = ring.New(plan.RingPlan(&d), r.now, nil)
		r.identify(world, d.Shown)
		return r.carry(effects)
	default:
		panic(fmt.Sprintf("explain: unknown decision %T", d))
	}
	r.identify(world, r.called())
	return nil
}

// resolve decides a visit now and adds its trace.
func (r *run) resolve(v routing.Visit) (routing.Plan, *routing.World, error) {
	w := routing.NewWorld(r.now)
	plan, trace, err := routing.Resolve(w, v, r.load)
	r.trace = append(r.trace, trace...)
	for _, e := range trace {
		if r.reader.Sees(e) {
			r.out.Trace = append(r.out.Trace, Entry{
				Rule: e.Rule, Number: e.Number, To: e.To, Setting: e.Setting, Value: e.Value,
				At: r.since(e.At), Text: Words(e, r.q.Language),
			})
			if vain(e) {
				r.out.Warnings = append(r.out.Warnings, Words(e, r.q.Language))
			}
		}
	}
	return plan, w, err
}

// vain reports whether an entry tells of a setting that does not do what it says.
func vain(e routing.Entry) bool {
	switch e.Rule {
	case routing.SNRRingTime, routing.CallMeUnusable, routing.GroupRingTime:
		return true
	case routing.DialUnknown, routing.TargetClass:
		return e.Setting != ""
	default:
		return false
	}
}

func (r *run) since(t time.Time) directory.Duration { return directory.Duration(t.Sub(r.q.At)) }

func (r *run) called() string { return r.q.Visit.Target }

// carry carries effects out in thought until the call has ended.
func (r *run) carry(effects []ring.Effect) error {
	for {
		if err := r.perform(effects); err != nil {
			return err
		}
		if o, ended := r.state.Ended(); ended {
			r.out.End = End{At: r.since(r.now), Status: o.Status, Outcome: o.Kind.String()}
			return nil
		}
		ev, ok := r.next()
		if !ok {
			return nil // nothing can happen any more
		}
		r.state, effects = r.state.Step(ev, effects[:0])
	}
}

// next returns what happens next: what effects caused, else the first timer.
func (r *run) next() (ring.Event, bool) {
	if len(r.events) > 0 {
		ev := r.events[0]
		r.events = r.events[1:]
		return ev, true
	}
	if len(r.timers) == 0 {
		return nil, false
	}
	first := slices.MinFunc(r.timers, func(a, b timer) int { return a.at.Compare(b.at) })
	r.stop(first.name)
	r.now = first.at
	return ring.Fired{Now: r.now, Timer: first.name}, true
}

func (r *run) stop(name ring.Timer) {
	r.timers = slices.DeleteFunc(r.timers, func(t timer) bool { return t.name == name })
}

// perform does what the effects say, to phones that ring and nobody answers.
func (r *run) perform(effects []ring.Effect) error {
	first := true
	for _, e := range effects {
		switch e := e.(type) {
		case ring.Invite:
			r.invited(*e.Target, first)
			first = false
			r.events = append(r.events, ring.Response{Now: r.now, Branch: e.Branch, Status: 180})
		case ring.Cancel:
			r.events = append(r.events, ring.Response{Now: r.now, Branch: e.Branch, Status: 487})
		case ring.StartTimer:
			r.stop(e.Timer)
			r.timers = append(r.timers, timer{e.Timer, r.now.Add(e.After)})
		case ring.StopTimer:
			r.stop(e.Timer)
		case ring.Visit:
			if err := r.visit(e.Outcome); err != nil {
				return err
			}
		case ring.Move, ring.Reply, ring.HangUp, ring.Doubt, ring.End:
			// Nothing anybody hears of.
		default:
			panic(fmt.Sprintf("explain: unknown effect %T", e))
		}
	}
	return nil
}

// invited adds a branch to the timeline: to the step of its group or of its
// remote destination, or as the first of a new one.
func (r *run) invited(t ring.Target, first bool) {
	n := len(r.out.Timeline)
	if last := n - 1; first || n == 0 || r.out.Timeline[last].remote != t.Remote || r.out.Timeline[last].number != t.Number {
		s := Step{Do: "ring", Target: cmp.Or(t.Number, r.ringing.Number), Rule: r.rule(), number: t.Number, remote: t.Remote, Shown: shown(r.ringing, &t)}
		if t.Remote != "" {
			s.Rule, s.Stop = routing.SNR, r.since(r.state.Began().Add(t.StopAfter))
		}
		s.Trunk = t.Trunk
		for _, o := range t.Others {
			s.Others = append(s.Others, o.Trunk)
		}
		r.step(s)
	}
	s := &r.out.Timeline[len(r.out.Timeline)-1]
	if t.Device != "" && !slices.Contains(s.To, t.Device) {
		s.To = append(s.To, t.Device)
	}
}

// shown is who a target is shown as the caller; "" for the caller as received.
func shown(d *routing.Ring, t *ring.Target) string {
	id := t.Identity
	if id == nil {
		id = d.Identity
	}
	switch {
	case id == nil:
		return ""
	case id.Display != "" && !id.Hidden:
		return id.Display + " <" + id.User + ">"
	default:
		return id.User
	}
}

func (r *run) rule() routing.RuleName {
	if n := len(r.ringing.Stages); n > 0 {
		return r.ringing.Stages[0].Rule
	}
	return routing.RingDevices
}

// step adds a step, with the setting that its rule last spoke of.
func (r *run) step(s Step) {
	s.At = r.since(r.now)
	for _, e := range slices.Backward(r.trace) {
		if e.Rule == s.Rule && e.Setting != "" && (s.number == "" || e.Number == s.number || e.Value == s.number) && (s.remote == "" || strings.HasSuffix(e.Setting, "/"+s.remote)) {
			if s.remote != "" {
				s.Target = e.Value
			}
			s.Because = []Cause{{Setting: e.Setting, Value: e.Value}}
			s.hidden = !r.q.Viewer.sees(e.Level, e.Owner)
			break
		}
	}
	for _, h := range r.plan.Hops {
		s.hidden = s.hidden || !r.q.Viewer.sees(routing.ForOwner, h.Owner)
	}
	r.out.Timeline = append(r.out.Timeline, s)
}

// visit decides what follows an outcome.
func (r *run) visit(o ring.Outcome) error {
	next := r.ringing.Outcomes.After(o.Kind)
	if next == nil {
		r.events = append(r.events, ring.Decided{Now: r.now, Status: o.Status})
		return nil
	}
	plan, _, err := r.resolve(*next)
	if err != nil {
		return err
	}
	r.plan = plan
	switch d := plan.Decision.(type) {
	case routing.Reject:
		r.events = append(r.events, ring.Decided{Now: r.now, Status: d.Status})
	case routing.Act: // nobody forwards to a code
		r.events = append(r.events, ring.Decided{Now: r.now, Status: 480})
	case routing.Ring:
		r.ringing = &d
		r.events = append(r.events, ring.Decided{Now: r.now, Plan: plan.RingPlan(&d)})
	default:
		panic(fmt.Sprintf("explain: unknown decision %T", d))
	}
	return nil
}

// identify says who is shown to whom: the caller's number or what its caller
// id says, and the number that rings first.
func (r *run) identify(w *routing.World, to string) {
	v := &r.q.Visit
	r.out.Identity = Identity{ToCallee: v.Caller.Number, ToCaller: to}
	if r.ringing != nil && len(r.ringing.Stages) > 0 {
		if s := shown(r.ringing, &r.ringing.Stages[0].Targets[0]); s != "" {
			r.out.Identity.ToCallee = s
		}
		return
	}
	if l := w.Number(v.Caller.Domain, v.Caller.Number); l != nil && l.CallerID != "" {
		r.out.Identity.ToCallee = l.CallerID
		if l.CallerID == directory.CallerIDHidden {
			r.out.Identity.ToCallee = "anonymous"
		}
	}
}

// mask takes out of the timeline what the viewer may not know: that, and where
// to, somebody forwards, and that remote destinations ring.
func (r *run) mask() {
	if n := len(r.out.Timeline); n > 1 { // the first is what the caller hears ringing
		rest := slices.DeleteFunc(r.out.Timeline[1:], func(s Step) bool { return s.hidden && s.remote != "" })
		r.out.Timeline = r.out.Timeline[:1+len(rest)]
	}
	for i := range r.out.Timeline {
		s := &r.out.Timeline[i]
		if !r.q.Viewer.Admin {
			s.Trunk, s.Others = "", nil
		}
		if !s.hidden {
			continue
		}
		s.Because = nil
		if s.Do == "ring" {
			s.Target, s.To, s.Shown, s.Stop, s.Rule = r.called(), nil, "", 0, routing.RingDevices
		} else {
			s.Rule = routing.RingFinal
		}
		if i == 0 {
			r.out.Identity.ToCaller = r.called()
		}
	}
	if !r.q.Viewer.Admin {
		r.out.Anchored = ""
	}
}
