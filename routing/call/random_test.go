package call_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bellhop/routing/call"
)

// A source draws numbers from 0 to n-1.
type source interface{ intn(n int) int }

// failer is what tests and properties have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// request is a request between us and an end, in either direction.
type request struct {
	id        call.ID
	method    call.Method
	sdp       bool // it made an offer
	described bool // a response to it that counts had a session description
	final     int
	unacked   bool // a 2xx that we passed to the end, and no ACK yet
	acks      int  // that we sent
	pracks    int  // reliable 1xx that we passed, and no PRACK yet
}

// An open offer of a dialog: who made it, and with which request.
type open struct {
	by string // "", "in" from the end, "out" from us
	id call.ID
}

// peer is one end, and all that passed between it and us.
type peer struct {
	asked, sent []*request // by the end, by us
	open        open
	byes        int  // of ours
	bye         bool // it sent one that got 200
	crossed     bool // after ours
}

func find(qs []*request, id call.ID) *request {
	if i := slices.IndexFunc(qs, func(q *request) bool { return q.id == id }); i >= 0 {
		return qs[i]
	}
	return nil
}

// world is what surrounds a call: two ends and a clock. It plays events in any
// order and holds what is done against the rules.
type world struct {
	t      failer
	src    source
	now    time.Time
	s      call.State
	ends   [2]peer
	timers map[call.Timer]time.Time
	last   call.ID
	ended  int
	up     bool
	loose  bool // nobody took the answer
	acked  bool // the first 2xx, or it never will be
	log    []string
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf(format+"\n%s", append(args, strings.Join(w.log, "\n"))...)
}

func (w *world) session() call.Session {
	s := call.Session{Supported: w.src.intn(3) > 0, Update: w.src.intn(2) > 0}
	if s.Supported {
		s.Expires = []time.Duration{0, 90 * time.Second, 30 * time.Minute, time.Minute}[w.src.intn(4)]
		s.Refresher = call.Refresher(w.src.intn(3))
	}
	return s
}

// event draws an event of an end, possible or not.
func (w *world) event() call.Event {
	l := call.Leg(w.src.intn(2))
	switch w.src.intn(8) {
	case 0, 1, 2:
		return w.response(l)
	case 3, 4:
		w.last++
		m := []call.Method{call.Invite, call.Update, call.Update, call.Prack, call.Info, call.MethodOptions, call.Refer, call.Other, call.Invite, call.Bye}[w.src.intn(10)]
		return call.Request{
			Now: w.now, Leg: l, ID: w.last, Method: m, Session: w.session(), Random: uint32(w.src.intn(300)),
			SDP: w.src.intn(3) > 0 && (m == call.Invite || m == call.Update || m == call.Prack),
		}
	case 5:
		return call.Acked{Now: w.now, Leg: l, SDP: w.src.intn(2) == 0}
	case 6:
		if w.src.intn(12) == 0 {
			return []call.Event{call.Failed{Now: w.now, Leg: l}, call.HangUp{Now: w.now}}[w.src.intn(2)]
		}
		return call.Fired{Now: w.now, Timer: call.Timer{Kind: call.TimerKind(w.src.intn(8)), Leg: l}}
	default:
		if n := len(w.ends[l].asked); n > 0 {
			return call.Cancelled{Now: w.now, Leg: l, ID: w.ends[l].asked[w.src.intn(n)].id}
		}
		return call.Cancelled{Now: w.now, Leg: l, ID: 77}
	}
}

// response draws a response to something that is open at l.
func (w *world) response(l call.Leg) call.Event {
	p := &w.ends[l]
	var waiting []*request
	for _, q := range p.sent {
		if q.final == 0 {
			waiting = append(waiting, q)
		}
	}
	if len(waiting) == 0 {
		return call.Response{Now: w.now, Leg: l, ID: 99, Status: 200}
	}
	q := waiting[w.src.intn(len(waiting))]
	r := call.Response{Now: w.now, Leg: l, ID: q.id, Random: uint32(w.src.intn(300)), Session: w.session()}
	r.Status = []int{200, 200, 200, 180, 183, 491, 488, 481, 408, 422, 302, 407, 500, 405}[w.src.intn(14)]
	if r.Status == 422 {
		r.Session.MinSE = 1800 * time.Second
	}
	if r.Status < 300 && q.method == call.Invite {
		r.SDP = w.src.intn(2) == 0
		r.Reliable = r.Status < 200 && q.id >= 0 && w.src.intn(2) == 0
		if r.Status == 200 && p.open == (open{"in", q.id}) {
			r.Status = 500 // it still waits for the PRACK with the answer
		}
		r.SDP = r.SDP || r.Status == 200 && !q.described
	} else if r.Status < 300 {
		r.Status, r.SDP = 200, q.sdp
	}
	if q.id == call.First {
		r.Up = []int{r.Status, r.Status, 0}[w.src.intn(3)]
		r.DropSDP = r.Status < 200 && w.src.intn(3) == 0
	}
	return r
}

// step carries an event out, after noting what it means.
func (w *world) step(ev call.Event) {
	w.t.Helper()
	before := w.s
	w.noted(ev)
	s, effects := before.Step(ev, nil)
	said := words(effects, true)
	w.log = append(w.log, strings.TrimSpace(w.now.Sub(t0).String()+" "+typeOf(ev)+" -> "+said))
	if _, again := before.Step(ev, nil); words(again, true) != said {
		w.fail("Step changed the state it was called on")
	}
	before.Step(call.Request{Leg: call.B, ID: 1 << 20, Method: call.Info, Now: w.now}, nil) // a sibling
	w.s = s
	for _, e := range effects {
		w.done(e, ev)
	}
	w.check(ev)
}

// noted keeps what an event means, but for requests: it is not known yet whether
// they are refused.
func (w *world) noted(ev call.Event) {
	switch ev := ev.(type) {
	case call.Request:
		w.ends[ev.Leg].asked = append(w.ends[ev.Leg].asked, &request{id: ev.ID, method: ev.Method, sdp: ev.SDP})
	case call.Response:
		w.answered(ev)
	case call.Acked:
		w.ackedBy(ev.Leg)
	case call.Fired:
		at, ok := w.timers[ev.Timer]
		if ok && !at.After(w.now) {
			delete(w.timers, ev.Timer)
			w.acked = w.acked || ev.Timer == call.Timer{Kind: call.TimerAck, Leg: a}
		}
	case call.Failed:
		w.acked = w.acked || ev.Leg == a
	case call.Cancelled, call.HangUp:
	default:
		w.fail("unknown event %T", ev)
	}
}

// ackedBy notes an ACK of the end of l, or what shows that it has our 2xx.
func (w *world) ackedBy(l call.Leg) {
	p := &w.ends[l]
	for _, q := range p.asked {
		if q.unacked {
			q.unacked = false
			w.acked = w.acked || l == a
			if p.open == (open{"out", q.id}) {
				p.open = open{}
			}
		}
	}
}

// answered notes a response of an end.
func (w *world) answered(ev call.Response) {
	p := &w.ends[ev.Leg]
	q := find(p.sent, ev.ID)
	if q == nil || q.final != 0 {
		return
	}
	if ev.Status >= 200 {
		q.final = ev.Status
	}
	held := ev.ID == call.First && (ev.Up == 0 || ev.DropSDP)
	switch {
	case ev.Status < 200 && !ev.Reliable:
	case ev.Status >= 300, !ev.SDP && ev.Status >= 200:
		if p.open.id == q.id {
			p.open = open{}
		}
	case !ev.SDP:
	case p.open == open{"out", q.id}:
		p.open = open{}
		q.described = true
	case q.method == call.Invite && !q.sdp && !q.described && w.ended == 0 && !held:
		if p.open.by != "" {
			w.fail("an offer while one is open")
		}
		p.open, q.described = open{"in", q.id}, true
	default:
	}
}

// done checks an effect and carries it out.
func (w *world) done(e call.Effect, ev call.Event) {
	w.t.Helper()
	switch e := e.(type) {
	case call.Relay:
		w.relayed(e, ev)
	case call.Refresh:
		w.sends(e.Leg, &request{id: e.ID, method: e.Method, sdp: e.Method == call.Invite})
	case call.Probe:
		w.sends(e.Leg, &request{id: e.ID, method: call.MethodOptions})
	case call.Prack1xx:
		w.sends(e.Leg, &request{id: e.ID, method: call.Prack})
	case call.Resend:
		q := find(w.ends[e.Leg].sent, e.ID)
		if q.final != 422 {
			w.fail("sent again after %d", q.final)
		}
		q.final = 0
		if q.sdp {
			w.ends[e.Leg].open = open{"out", q.id}
		}
	case call.SendBye:
		p := &w.ends[e.Leg]
		if p.bye || p.byes > 0 || e.Leg == a && !w.acked {
			w.fail("BYE to %v", e.Leg)
		}
		p.byes++
		p.sent = append(p.sent, &request{id: e.ID, method: call.Bye})
	case call.Pass:
		r, ok := ev.(call.Response)
		if !ok || e.To != r.Leg.Other() || e.ID != r.ID {
			w.fail("a response out of nothing")
		}
		if e.ID == call.First && e.Status >= 200 {
			w.up = true
		}
		w.gives(e.To, e.ID, e.Status, e.Reliable, r.SDP && e.Body == call.Received || e.Body == call.Kept)
	case call.Answer:
		if e.Status < 200 {
			w.fail("an answer %d", e.Status)
		}
		w.gives(e.Leg, e.ID, e.Status, false, false)
	case call.Ack:
		p := &w.ends[e.Leg]
		q := find(p.sent, e.ID)
		if q.acks++; q.acks > 1 || q.final/100 != 2 || e.SDP && p.open != (open{"in", e.ID}) {
			w.fail("ACK %d of %d", q.acks, q.final)
		}
		if p.open == (open{"in", e.ID}) {
			p.open = open{}
		}
	case call.Cancel:
		if q := find(w.ends[e.Leg].sent, e.ID); q.method != call.Invite || q.final != 0 {
			w.fail("CANCEL of %d", e.ID)
		}
	case call.StartTimer:
		if e.After <= 0 {
			w.fail("timer in %v", e.After)
		}
		w.timers[e.Timer] = w.now.Add(e.After)
	case call.StopTimer:
		// Who sends an INVITE, if one that is refused, has our 2xx.
		if r, ok := ev.(call.Request); ok && r.Method == call.Invite && e.Timer.Kind == call.TimerAck {
			w.ackedBy(r.Leg)
		}
		delete(w.timers, e.Timer)
	case call.End:
		if w.ended++; w.ended > 1 {
			w.fail("a second end")
		}
		w.loose = !w.up
	case call.Journal, call.GiveUp:
	default:
		w.fail("unknown effect %T", e)
	}
}

// relayed checks a request that goes on.
func (w *world) relayed(e call.Relay, ev call.Event) {
	w.t.Helper()
	r, ok := ev.(call.Request)
	if !ok || e.To != r.Leg.Other() || e.ID != r.ID || e.Method != r.Method {
		w.fail("a request out of nothing")
	}
	p := &w.ends[r.Leg]
	if r.Method == call.Invite {
		w.ackedBy(r.Leg)
	}
	if r.Method == call.Prack {
		i := slices.IndexFunc(p.asked, func(q *request) bool { return q.pracks > 0 })
		if i < 0 {
			w.fail("a PRACK for nothing")
		}
		p.asked[i].pracks--
		if q := find(p.asked, p.open.id); r.SDP && p.open.by == "out" && q != nil && q.method == call.Invite { // an answer
			if to := &w.ends[e.To]; to.open == (open{"in", q.id}) {
				to.open = open{}
			}
			p.open = open{}
			w.ends[e.To].sent = append(w.ends[e.To].sent, &request{id: e.ID, method: e.Method})
			return
		}
	}
	if r.SDP {
		if p.open.by != "" {
			w.fail("an offer of %v while one is open", r.Leg)
		}
		p.open = open{"in", r.ID}
	}
	w.sends(e.To, &request{id: e.ID, method: e.Method, sdp: r.SDP})
}

// sends checks a request that we send.
func (w *world) sends(l call.Leg, q *request) {
	w.t.Helper()
	p := &w.ends[l]
	if w.ended > 0 || p.bye || p.byes > 0 {
		w.fail("a request to %v after the end", l)
	}
	if q.sdp {
		if p.open.by != "" {
			w.fail("an offer to %v while one is open", l)
		}
		p.open = open{"out", q.id}
	}
	p.sent = append(p.sent, q)
}

// gives checks a response that we give an end.
func (w *world) gives(l call.Leg, id call.ID, status int, reliable, sdp bool) {
	w.t.Helper()
	p := &w.ends[l]
	q := find(p.asked, id)
	if q == nil || q.final != 0 {
		w.fail("a response to what is not open")
	}
	if status >= 200 {
		q.final = status
	}
	if reliable {
		q.pracks++
	}
	if q.method == call.Bye && status == 200 {
		p.bye, p.crossed = true, p.byes > 0
		w.ackedBy(l)
	}
	q.unacked = q.method == call.Invite && status/100 == 2
	switch {
	case status < 200 && !reliable:
	case p.open == open{"in", id}:
		if sdp || status >= 200 {
			p.open = open{}
		}
	case status >= 300:
		if p.open.id == id {
			p.open = open{}
		}
	case sdp && q.method == call.Invite && !q.sdp && !q.described:
		if p.open.by != "" {
			w.fail("an offer to %v while one is open", l)
		}
		p.open, q.described = open{"out", id}, true
	default:
	}
}

// check holds what is open against the rules.
func (w *world) check(ev call.Event) {
	w.t.Helper()
	for l := range w.ends {
		invites := 0
		for _, q := range slices.Concat(w.ends[l].asked, w.ends[l].sent) {
			if q.method == call.Invite && q.final == 0 && q.id != call.First {
				invites++
			}
		}
		if invites > 1 {
			w.fail("%d INVITEs at %v after %v", invites, call.Leg(l), ev)
		}
	}
	if w.s.Ended() != (w.ended == 1) {
		w.fail("Ended = %t after %d End", w.s.Ended(), w.ended)
	}
}

// wait lets the next timer fire.
func (w *world) wait() bool {
	w.t.Helper()
	var first call.Timer
	found := false
	for t, at := range w.timers {
		if o := w.timers[first]; !found || at.Before(o) || at.Equal(o) && (t.Kind < first.Kind || t.Kind == first.Kind && t.Leg < first.Leg) {
			first, found = t, true
		}
	}
	if found {
		if at := w.timers[first]; at.After(w.now) {
			w.now = at
		}
		w.step(call.Fired{Now: w.now, Timer: first})
	}
	return found
}

// finish lets the call end: everything that is open is answered.
func (w *world) finish() {
	w.t.Helper()
	for range 200 {
		if w.s.Done() {
			break
		}
		if w.s.Answered() {
			w.step(call.HangUp{Now: w.now})
		}
		for l := range w.ends {
			for _, q := range w.ends[l].sent {
				if q.final == 0 {
					w.step(call.Response{Now: w.now, Leg: call.Leg(l), ID: q.id, Status: []int{200, 487, 408}[w.src.intn(3)], SDP: q.sdp})
				}
			}
		}
		w.wait()
	}
	if !w.s.Done() || len(w.timers) > 0 || w.ended != 1 {
		w.fail("done = %t, timers %v, %d End", w.s.Done(), w.timers, w.ended)
	}
	for l := range w.ends {
		p := &w.ends[l]
		for _, q := range p.asked {
			if q.final == 0 && (q.id != call.First || w.up) {
				w.fail("request %d of %v has no final response", q.id, call.Leg(l))
			}
		}
		answered := false
		for _, q := range p.sent {
			ok := q.method == call.Invite && q.final/100 == 2
			answered = answered || ok
			if ok != (q.acks == 1) {
				w.fail("%d ACKs of request %d to %v", q.acks, q.id, call.Leg(l))
			}
		}
		ends := p.byes
		if p.bye && !p.crossed {
			ends++
		}
		if want := w.up || call.Leg(l) == b && answered; want != (ends == 1) && (want || ends > 0 && !p.bye) {
			w.fail("leg %v ended %d times", call.Leg(l), ends)
		}
	}
}

// playCall plays a whole call.
func playCall(t failer, src source, n int) {
	t.Helper()
	w := &world{t: t, src: src, now: t0, timers: map[call.Timer]time.Time{}}
	o := call.Options{SDP: src.intn(2) == 0, Session: w.session()}
	o.Interval = []time.Duration{0, 1800 * time.Second}[src.intn(2)]
	o.Deadline = []time.Duration{0, 4 * time.Hour}[src.intn(2)]
	w.ends[a].asked = []*request{{id: call.First, method: call.Invite, sdp: o.SDP}}
	if o.SDP {
		w.ends[a].open = open{"in", call.First}
	}
	var effects []call.Effect
	w.s, effects = call.New(o, t0, nil)
	w.log = append(w.log, "new -> "+words(effects, true))
	w.sends(b, &request{id: call.First, method: call.Invite, sdp: o.SDP})
	if src.intn(2) == 0 { // most of what there is comes after the answer
		w.step(call.Response{Now: w.now, Leg: b, ID: call.First, Status: 200, Up: 200, SDP: true, Session: w.session()})
		w.step(call.Acked{Now: w.now, Leg: a, SDP: !o.SDP})
	}
	for range n {
		w.now = w.now.Add(time.Duration(src.intn(5)) * 100 * time.Millisecond)
		if src.intn(12) == 0 && w.wait() {
			continue
		}
		w.step(w.event())
	}
	w.finish()
}

// typeOf says an event in a word or two.
func typeOf(ev call.Event) string {
	switch ev := ev.(type) {
	case call.Request:
		return fmt.Sprintf("%s asks %d %s sdp %t", legs[ev.Leg], ev.ID, methods[ev.Method], ev.SDP)
	case call.Response:
		return fmt.Sprintf("%s answers %d %d sdp %t reliable %t up %d drop %t", legs[ev.Leg], ev.ID, ev.Status, ev.SDP, ev.Reliable, ev.Up, ev.DropSDP)
	case call.Acked:
		return fmt.Sprintf("%s acks sdp %t", legs[ev.Leg], ev.SDP)
	case call.Cancelled:
		return fmt.Sprintf("%s cancels %d", legs[ev.Leg], ev.ID)
	case call.Failed:
		return legs[ev.Leg] + " failed"
	case call.HangUp:
		return "hang up"
	case call.Fired:
		return "fired " + kinds[ev.Timer.Kind] + " " + legs[ev.Timer.Leg]
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

// TestAnyOrder plays calls in which anything happens in any order: every request
// gets exactly one final response, every leg ends exactly once, no dialog ever
// has two open offers or INVITEs, and no timer is left.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	for range 20 { // a rapid.Check is 100 calls
		rapid.Check(t, func(t *rapid.T) {
			playCall(t, rapidSource{t}, rapid.IntRange(0, 60).Draw(t, "events"))
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
