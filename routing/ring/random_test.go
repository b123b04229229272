package ring_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bellhop/routing/location"
	"bellhop/routing/ring"
)

// A source draws numbers from 0 to n-1.
type source interface{ intn(n int) int }

// world is what surrounds a running plan: phones, timers and a caller. It plays
// events in any order and holds what is done against the rules.
type world struct {
	t        failer
	src      source
	now      time.Time
	s        ring.State
	own      bool // OwnLegs
	members  bool // plans of groups
	phones   []*leg
	began    time.Time // when the number at hand began to ring
	base     int       // its first branch
	timers   map[ring.Timer]time.Time
	replies  []int // final responses that went upstream
	gaveUp   bool
	visiting bool
	ends     int
	log      []string
}

// failer is what tests and properties have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// leg is a branch as its phone sees it.
type leg struct {
	target    ring.Target
	final     int // 0: none yet
	cancelled bool
	heard     bool
	silent    bool // had no 1xx in its time
	mended    bool // its flow was broken once; it may be too late for it to ring on
	broken    bool // failed, or had 430 or 408: its device may get another INVITE
}

func (l *leg) open() bool { return l.final == 0 && !l.broken }

// rings reports whether the leg is still given its time.
func (l *leg) rings() bool { return l.open() && !l.cancelled && !l.silent }

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf(format+"\n%s", append(args, strings.Join(w.log, "\n"))...)
}

// target draws one of a few targets, so that instances meet again.
func (w *world) target() ring.Target {
	name := string(rune('a' + w.src.intn(5)))
	return ring.Target{
		Number: w.number(), Device: name, Instance: name, RegID: uint32(w.src.intn(2)), Contact: "sip:" + name,
		Q: uint16(w.src.intn(3)) * 300, Flow: location.Flow{Transport: location.UDP, Conn: uint64(w.src.intn(4))},
		Service: w.src.intn(8) == 0,
	}
}

// number draws a member of a group.
func (w *world) number() string {
	if !w.members {
		return ""
	}
	return []string{"1001", "1002"}[w.src.intn(2)]
}

// away draws a remote destination, a target of a trunk, or a device that rings
// only so long.
func (w *world) away() ring.Target {
	name := string(rune('a' + w.src.intn(5)))
	return ring.Target{
		Number: w.number(), Instance: "+49" + name, Contact: "+49" + name, Trunk: []string{"carrier", ""}[w.src.intn(2)], Remote: []string{"mobile", "home", ""}[w.src.intn(3)],
		Delay: time.Duration(w.src.intn(4)) * 2 * time.Second, StopAfter: time.Duration(int(name[0])%3) * 5 * time.Second,
	}
}

func (w *world) plan() ring.Plan {
	p := ring.Plan{Together: w.src.intn(3) == 0, OwnLegs: w.own, RingTime: time.Duration(w.src.intn(3)) * 6 * time.Second}
	for range w.src.intn(4) {
		var stage []ring.Target
		for range w.src.intn(4) {
			if w.src.intn(3) == 0 {
				stage = append(stage, w.away())
				continue
			}
			stage = append(stage, w.target())
		}
		p.Stages = append(p.Stages, stage)
	}
	if w.src.intn(2) == 0 {
		p.Visits = ring.Visits(w.src.intn(1 << 9))
	}
	return p
}

// event draws an event, legal or not.
func (w *world) event() ring.Event {
	id := ring.BranchID(w.src.intn(len(w.phones)+1) - 1)
	switch w.src.intn(12) {
	case 0:
		if w.src.intn(3) == 0 {
			t := w.target()
			t.Pickup, t.Instance = true, "pickup:"+strconv.Itoa(len(w.phones))
			return ring.Picked{Target: t, Now: w.now}
		}
		return ring.Failed{Branch: id, Now: w.now}
	case 1:
		t := w.target()
		if w.src.intn(3) == 0 { // of a remote destination that is one of our numbers
			t.Instance = "+49" + t.Instance
		}
		return ring.Registered{Target: t, Now: w.now}
	case 2:
		if w.src.intn(4) == 0 {
			return ring.Cancelled{Now: w.now}
		}
		return ring.Decided{Plan: w.plan(), Status: []int{0, 0, 403, 503}[w.src.intn(4)], Now: w.now}
	case 3: // stale, or never started
		return ring.Fired{Timer: ring.Timer{Kind: ring.TimerKind(w.src.intn(8)), Branch: id}, Now: w.now}
	case 4, 5, 6:
		return ring.Response{Branch: id, Status: []int{200, 486, 603, 408, 430, 404, 503, 480, 302, 600, 606, 407}[w.src.intn(12)], Now: w.now}
	default:
		return ring.Response{Branch: id, Status: []int{100, 180, 183, 199}[w.src.intn(4)], SDP: w.src.intn(2) == 0, Now: w.now}
	}
}

// possible reports whether an event can come from a network: a branch gives one
// final response, and more than one only of 2xx.
func (w *world) possible(ev ring.Event) bool {
	r, ok := ev.(ring.Response)
	if !ok || r.Branch < 0 {
		return true
	}
	l := w.phones[r.Branch]
	return l.open() || r.Status/100 == 2 && (l.final/100 == 2 || l.final == 0)
}

// step carries an event out, after noting what it means for the phones.
func (w *world) step(ev ring.Event) {
	w.t.Helper()
	before := w.s
	var relayed *ring.Response
	switch ev := ev.(type) {
	case ring.Response:
		if ev.Branch >= 0 {
			w.phones[ev.Branch].heard = true
		}
		if ev.Branch >= 0 && ev.Status >= 200 {
			l := w.phones[ev.Branch]
			l.final, l.broken = ev.Status, l.broken || ev.Status == 430 || ev.Status == 408
		}
		relayed = &ev
	case ring.Failed:
		if ev.Branch >= 0 {
			w.phones[ev.Branch].broken = true
		}
	case ring.Fired:
		if at, ok := w.timers[ev.Timer]; ok && !at.After(w.now) {
			delete(w.timers, ev.Timer)
		}
		if b := ev.Timer.Branch; ev.Timer.Kind == ring.TimerSilent && b >= 0 && !w.phones[b].heard {
			w.phones[b].silent = true
		}
	case ring.Cancelled:
		w.gaveUp = true
	case ring.Decided:
		if w.visiting {
			w.visiting, w.began, w.base = false, w.now, len(w.phones)
		}
	case ring.Registered, ring.Picked:
	default:
		w.fail("unknown event %T", ev)
	}
	s, effects := before.Step(ev, nil)
	said := words(effects, true)
	w.log = append(w.log, strings.TrimSpace(w.now.Sub(t0).String()+" "+typeOf(ev)+" -> "+said))
	if _, again := before.Step(ev, nil); words(again, true) != said {
		w.fail("Step changed the state it was called on")
	}
	// A sibling state must not reach into this one.
	before.Step(ring.Registered{Target: ring.Target{Instance: "sibling"}, Now: w.now}, nil)
	w.s = s
	w.done(effects, relayed)
	for i, l := range w.phones {
		if t, ok := w.s.Target(ring.BranchID(i)); !ok || t.Instance != l.target.Instance || t.Number != l.target.Number || t.Flow != l.target.Flow || t.Remote != l.target.Remote {
			w.fail("branch %d is of %+v", i, t)
		}
	}
	if w.s.Branches() != len(w.phones) {
		w.fail("%d branches of %d", w.s.Branches(), len(w.phones))
	}
}

// done checks effects and carries them out.
func (w *world) done(effects []ring.Effect, r *ring.Response) {
	w.t.Helper()
	for _, e := range effects {
		switch e := e.(type) {
		case ring.Invite:
			w.invited(e)
		case ring.Cancel:
			l := w.phones[e.Branch]
			if l.final != 0 || l.cancelled {
				w.fail("CANCEL of branch %d after its final response or a CANCEL", e.Branch)
			}
			l.cancelled = true
		case ring.Move:
			l := w.phones[e.Branch]
			if e.Target.Remote != l.target.Remote || e.Target.StopAfter != l.target.StopAfter {
				w.fail("branch %d forgets what it is", e.Branch)
			}
			l.target, l.broken, l.mended = e.Target, false, l.mended || l.broken
		case ring.Reply:
			w.replied(e, r)
		case ring.HangUp:
			if w.phones[e.Branch].final/100 != 2 || len(w.replies) == 0 {
				w.fail("branch %d hung up", e.Branch)
			}
		case ring.StartTimer:
			if w.ends > 0 || e.After <= 0 || e.Timer.Kind == ring.TimerSilent && w.phones[e.Timer.Branch].target.Trunk != "" && !w.gaveUp {
				w.fail("timer %s started in %v", timerName(e.Timer), e.After)
			}
			w.timers[e.Timer] = w.now.Add(e.After)
			if e.Timer.Kind == ring.TimerSilent {
				w.phones[e.Timer.Branch].silent = false
			}
		case ring.StopTimer:
			delete(w.timers, e.Timer)
		case ring.Doubt:
		case ring.Visit:
			w.visiting = true
		case ring.End:
			w.ends++
			if w.ends > 1 || len(w.replies) != 1 || w.replies[0] != e.Outcome.Status {
				w.fail("end %d with %v", w.ends, w.replies)
			}
			clear(w.timers)
		default:
			w.fail("unknown effect %T", e)
		}
	}
	_, ended := w.s.Ended()
	if ended != (w.ends == 1) {
		w.fail("Ended = %t after %d End", ended, w.ends)
	}
	if !ended && len(w.timers) == 0 {
		w.fail("not ended, and no timer runs")
	}
	w.times(ended)
}

// times holds the timers of remote destinations against the branches: none runs
// for nothing, and none is missing.
func (w *world) times(ended bool) {
	w.t.Helper()
	for t := range w.timers {
		switch t.Kind {
		case ring.TimerDelay:
			if w.visiting || w.gaveUp {
				w.fail("a delay while nothing may start")
			}
		case ring.TimerStop:
			if l := w.phones[t.Branch]; !l.open() {
				w.fail("branch %d ended, and is to be stopped", t.Branch)
			}
		case ring.TimerSilent, ring.TimerStage, ring.TimerNext, ring.TimerClock:
		default:
			w.fail("unknown timer %v", t)
		}
	}
	for i, l := range w.phones[w.base:] {
		if d := l.target.StopAfter; d > 0 && l.rings() && !l.mended && !ended && !w.members {
			at, ok := w.timers[ring.Timer{Kind: ring.TimerStop, Branch: ring.BranchID(w.base + i)}]
			if !ok || at.After(w.began.Add(d)) {
				w.fail("branch %d is stopped at %v", w.base+i, at)
			}
		}
	}
}

func (w *world) invited(e ring.Invite) {
	w.t.Helper()
	if w.ends > 0 || int(e.Branch) != len(w.phones) {
		w.fail("invite %d after %d branches and %d End", e.Branch, len(w.phones), w.ends)
	}
	for i, l := range w.phones {
		if !w.own && l.target.Instance == e.Target.Instance && l.target.Number == e.Target.Number && !l.broken {
			w.fail("invite %d: device %s has branch %d", e.Branch, e.Target.Instance, i)
		}
	}
	rung := w.now.Sub(w.began)
	if d := e.Target.StopAfter; d > 0 && rung >= d && !w.members { // theirs count from their stage
		w.fail("invite %d when its time is over", e.Branch)
	}
	again := slices.ContainsFunc(w.phones[w.base:], func(l *leg) bool { return l.target.Instance == e.Target.Instance })
	for i, l := range w.phones[w.base:] {
		if e.Target.Remote != "" && !again && !w.members && rung < e.Target.Delay && l.target.Remote == "" && l.rings() && !l.mended {
			w.fail("invite %d after %v while device %d rings", e.Branch, rung, w.base+i)
		}
	}
	w.phones = append(w.phones, &leg{target: *e.Target})
}

func (w *world) replied(e ring.Reply, r *ring.Response) {
	w.t.Helper()
	if e.Status < 200 {
		open := 0
		for _, l := range w.phones {
			if l.open() {
				open++
			}
		}
		if w.ends > 0 || r == nil || r.Branch != e.From {
			w.fail("reply %d out of nothing", e.Status)
		}
		if _, more := w.timers[ring.Timer{Kind: ring.TimerDelay}]; (more || open > 1) && (e.Status == 183 || r.SDP && !e.DropSDP) {
			w.fail("early media of branch %d while %d branches can answer", e.From, open)
		}
		return
	}
	switch {
	case e.Status < 300:
		if len(w.replies) > 0 && w.replies[0] >= 300 || r == nil || r.Branch != e.From {
			w.fail("reply %d after %v", e.Status, w.replies)
		}
		if len(w.replies) > 0 {
			return // relayed
		}
	case len(w.replies) > 0:
		w.fail("reply %d after %v", e.Status, w.replies)
	case e.Status == 408, e.Status == 503, e.Status == 487 != w.gaveUp, e.Status < 400:
		w.fail("reply %d; the caller gave up: %t", e.Status, w.gaveUp)
	}
	w.replies = append(w.replies, e.Status)
}

// soonest returns the timer that fires next.
func (w *world) soonest() (ring.Timer, bool) {
	var first ring.Timer
	found := false
	for t, at := range w.timers {
		if o := w.timers[first]; !found || at.Before(o) || at.Equal(o) && (t.Kind < first.Kind || t.Kind == first.Kind && t.Branch < first.Branch) {
			first, found = t, true
		}
	}
	return first, found
}

// wait lets the next timer fire.
func (w *world) wait() bool {
	w.t.Helper()
	t, ok := w.soonest()
	if ok {
		if at := w.timers[t]; at.After(w.now) {
			w.now = at
		}
		w.step(ring.Fired{Timer: t, Now: w.now})
	}
	return ok
}

// playCall plays a whole call.
func playCall(t failer, src source, n int) {
	t.Helper()
	w := &world{t: t, src: src, now: t0, began: t0, timers: map[ring.Timer]time.Time{}}
	w.own, w.members = src.intn(3) == 0, src.intn(4) == 0
	var effects []ring.Effect
	w.s, effects = ring.New(w.plan(), t0, nil)
	w.log = append(w.log, "new -> "+words(effects, true))
	w.done(effects, nil)
	for range n {
		w.now = w.now.Add(time.Duration(src.intn(5)) * 100 * time.Millisecond)
		ev := w.event()
		if src.intn(4) == 0 && w.wait() || !w.possible(ev) {
			continue
		}
		w.step(ev)
	}
	// Nothing more happens but timers: the caller gets its response in time.
	for w.ends == 0 {
		w.wait()
	}
	if d := w.now.Sub(t0); d > 205*time.Second {
		w.fail("ended after %v", d)
	}
	for i, l := range w.phones {
		if l.open() {
			w.step(ring.Response{Branch: ring.BranchID(i), Status: 487, Now: w.now})
		}
	}
	if !w.s.Done() {
		w.fail("not done when all branches ended")
	}
}

// typeOf says an event in a word or two.
func typeOf(ev ring.Event) string {
	switch ev := ev.(type) {
	case ring.Response:
		return "response " + strconv.Itoa(int(ev.Branch)) + " " + strconv.Itoa(ev.Status)
	case ring.Failed:
		return "failed " + strconv.Itoa(int(ev.Branch))
	case ring.Fired:
		return "fired " + timerName(ev.Timer)
	case ring.Cancelled:
		return "cancelled"
	case ring.Registered:
		return "registered " + ev.Target.Instance
	case ring.Picked:
		return "picked " + ev.Target.Instance
	case ring.Decided:
		return "decided " + strconv.Itoa(ev.Status)
	default:
		return "unknown"
	}
}

type rapidSource struct{ t *rapid.T }

func (s rapidSource) intn(n int) int { return rapid.IntRange(0, n-1).Draw(s.t, "n") }

// byteSource draws from bytes, then zeros.
type byteSource struct{ b []byte }

func (s *byteSource) intn(n int) int {
	if len(s.b) == 0 {
		return 0
	}
	v := int(s.b[0])
	s.b = s.b[1:]
	return v % n
}

func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for range 20 { // a rapid.Check is 100 calls
		rapid.Check(t, func(t *rapid.T) {
			playCall(t, rapidSource{t}, rapid.IntRange(0, 40).Draw(t, "events"))
		})
	}
}

func FuzzStep(f *testing.F) {
	f.Add([]byte{1, 0, 1, 2, 2, 1, 0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte("any order of events is a call that ends"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<10 {
			return
		}
		playCall(t, &byteSource{b: b}, len(b)/4)
	})
}

// TestSiblings steps one State twice: neither of the two reaches into the other.
func TestSiblings(t *testing.T) {
	t.Parallel()
	var targets []ring.Target
	for n := range 12 {
		s, _ := ring.New(one(targets...), t0, nil)
		a, _ := s.Step(ring.Registered{Target: target("left", 0), Now: t0}, nil)
		b, _ := s.Step(ring.Registered{Target: target("right", 0), Now: t0}, nil)
		for i := range ring.BranchID(n) {
			b, _ = b.Step(ring.Response{Branch: i, Status: 486, Now: t0}, nil)
		}
		if got, _ := a.Target(ring.BranchID(n)); n > 0 && got.Device != "left" {
			t.Errorf("after %d branches the last of one is %s, of its sibling", n, got.Device)
		}
		if _, effects := a.Step(ring.Response{Branch: 0, Status: 180, Now: t0}, nil); n > 0 && len(effects) != 2 {
			t.Errorf("after %d branches a 180 does %v", n, effects)
		}
		targets = append(targets, target(strconv.Itoa(n), 0))
	}
}
