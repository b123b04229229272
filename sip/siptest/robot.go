package siptest

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// The timers of RFC 3261 §17 (table 4).
const (
	t1 = 500 * time.Millisecond
	t2 = 4 * time.Second
)

// A Robot is a phone with a mind of its own: it registers, answers calls as it is
// told, sends again what may be lost and acknowledges what comes again, as RFC
// 3261 wants. What it saw stands in its Calls when Run has returned.
type Robot struct {
	*Phone

	Ring   time.Duration // a callee answers after it
	Status int           // with this; 0: 200
	Mute   bool          // a callee that never says anything
	Hang   time.Duration // a callee hangs up so long after its ACK; 0: never

	dropped bool // its connection was, once at least
	calls   []*RobotCall
	sends   []*sending
	later   []*deed
	seen    map[string][]byte // final answers to non-INVITEs, to be given again
}

// A RobotCall is a call as one end saw it.
type RobotCall struct {
	CallID string
	Caller bool
	Finals []int // every final response a caller got or a callee gave, each status once
	Tags   []string
	Over   bool      // hung up, or never answered
	At     time.Time // the INVITE came, or went
	End    time.Time // the first final response came, or went
	leg    *Leg
	invite *Message // the callee's
	acked  bool
	gaveUp bool
	rings  bool
	ended  map[string]bool // BYEs to callees that came too late
	lost   bool            // the robot has forgotten it
}

// Calls are the calls the robot had, in the order they began.
func (r *Robot) Calls() []*RobotCall { return r.calls }

// A sending is a message that is sent again until it is answered.
type sending struct {
	key   string
	raw   []byte
	every time.Duration
	most  time.Duration // of every; 0: no bound
	at    time.Time
	until time.Time
	lost  func()
}

// A deed is something to do later.
type deed struct {
	at time.Time
	do func()
}

// Run lives until ctx ends. The robot registers first when it is told to, and
// does plan afterwards.
func (r *Robot) Run(ctx context.Context, tb testing.TB, register bool, plan func()) {
	tb.Helper()
	r.seen = make(map[string][]byte)
	if register {
		r.register(tb)
	}
	if plan != nil {
		plan()
	}
	for {
		timer := time.NewTimer(r.next())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case d := <-r.conn.queue:
			m, err := Parse(d.Data)
			if err != nil {
				tb.Errorf("%s got what sipgo cannot read: %v\n%q", r.Device, err, d.Data)
				break
			}
			r.Ladder = append(r.Ladder, fmt.Sprintf("%s < %s", time.Now().Format("05.000"), m.Word()))
			r.take(tb, m)
		case <-timer.C:
			r.due()
		}
		timer.Stop()
	}
}

// Drop closes the connection of the robot: what it sends is lost until Return.
// One that boots again has forgotten its calls.
func (r *Robot) Drop(boots bool) {
	r.Ladder = append(r.Ladder, time.Now().Format("05.000")+" the connection is closed")
	r.Close()
	r.dropped = true
	if boots {
		for _, c := range r.calls {
			c.Over, c.lost = true, true
		}
		r.sends, r.seen = nil, make(map[string][]byte)
	}
}

// Deafen makes the robot read no more from its connection, which stays open.
func (r *Robot) Deafen() {
	r.Ladder = append(r.Ladder, time.Now().Format("05.000")+" reads no more")
	r.conn.deaf.Store(true)
	r.dropped = true
}

// Return connects a robot again, from another address, and registers it.
func (r *Robot) Return(tb testing.TB, from netip.AddrPort) {
	tb.Helper()
	r.Ladder = append(r.Ladder, time.Now().Format("05.000")+" connects again")
	r.Move(from)
	r.register(tb)
}

// Dropped reports whether the connection was closed once at least: then a call
// may have ended without its knowing.
func (r *Robot) Dropped() bool { return r.dropped }

// After does something later.
func (r *Robot) After(d time.Duration, do func()) {
	r.later = append(r.later, &deed{time.Now().Add(d), do})
}

func (r *Robot) next() time.Duration {
	at := time.Now().Add(time.Hour)
	for _, s := range r.sends {
		if s.at.Before(at) {
			at = s.at
		}
	}
	for _, d := range r.later {
		if d.at.Before(at) {
			at = d.at
		}
	}
	return time.Until(at)
}

func (r *Robot) due() {
	now := time.Now()
	for _, s := range slices.Clone(r.sends) {
		if s.at.After(now) || !slices.Contains(r.sends, s) {
			continue
		}
		if !s.until.After(now) {
			r.answered(s.key)
			if s.lost != nil {
				s.lost()
			}
			continue
		}
		r.SendRaw(s.raw, "again "+s.key)
		if s.every *= 2; s.most > 0 && s.every > s.most {
			s.every = s.most
		}
		s.at = now.Add(s.every)
		if s.at.After(s.until) {
			s.at = s.until
		}
	}
	for _, d := range slices.Clone(r.later) {
		if !d.at.After(now) {
			r.later = slices.DeleteFunc(r.later, func(o *deed) bool { return o == d })
			d.do()
		}
	}
}

func (r *Robot) register(tb testing.TB) {
	tb.Helper()
	r.persist("REGISTER", func() []byte { return r.SendRegister(tb, Registration{}) }, t2, nil)
}

// persist sends something now and again until it is answered: after T1, and
// then after twice as long each time, but no longer than most (0: no bound).
func (r *Robot) persist(key string, send func() []byte, most time.Duration, lost func()) {
	r.answered(key)
	now, every := time.Now(), t1
	if r.Line.Dial != nil && !strings.HasPrefix(key, "FINAL") { // RFC 3261 §17.1.1.2, §13.3.1.4
		every = 64 * t1
	}
	r.sends = append(r.sends, &sending{key: key, raw: send(), every: every, most: most, at: now.Add(every), until: now.Add(64 * t1), lost: lost})
}

func (r *Robot) answered(key string) {
	r.sends = slices.DeleteFunc(r.sends, func(s *sending) bool { return s.key == key })
}

func (r *Robot) call(callID string) *RobotCall {
	for _, c := range r.calls {
		if c.CallID == callID && !c.lost {
			return c
		}
	}
	return nil
}

// Dial calls; the robot gives up after patience unless somebody answered, and
// hangs up so long after the answer (0: never).
func (r *Robot) Dial(tb testing.TB, to string, patience, talk time.Duration) {
	tb.Helper()
	c := &RobotCall{Caller: true, At: time.Now(), ended: make(map[string]bool)}
	r.calls = append(r.calls, c)
	id := r.ID()
	uri := "sip:" + to + "@" + r.Domain
	c.CallID = id + "@" + r.Domain
	c.leg = &Leg{Phone: r.Phone, CallID: c.CallID, Target: uri, Local: "<" + r.AOR() + ">;tag=f" + id, Remote: "<" + uri + ">"}
	r.invite(tb, c)
	r.After(patience, func() { r.giveUp(c) })
	if talk > 0 {
		r.After(patience+talk, func() { r.hangUp(c) })
	}
}

func (r *Robot) invite(tb testing.TB, c *RobotCall) {
	tb.Helper()
	r.persist("INVITE "+c.CallID, func() []byte { c.leg.SendInvite(tb); return c.leg.Text }, 0, func() { c.Over = true })
}

func (r *Robot) giveUp(c *RobotCall) {
	if len(c.Finals) > 0 || c.Over {
		return
	}
	c.gaveUp = true
	if c.rings { // RFC 3261 §9.1: not before a provisional response
		r.persist(fmt.Sprint("CANCEL ", c.CallID, c.leg.CSeq), func() []byte { return c.leg.Cancel() }, t2, nil)
		r.After(64*t1, func() {
			if len(c.Finals) == 0 {
				c.Over = true // §9.1: counts as cancelled
			}
		})
	}
}

func (r *Robot) hangUp(c *RobotCall) {
	if !c.leg.Established || c.Over {
		return
	}
	c.Over = true
	r.persist(fmt.Sprint("BYE ", c.CallID, c.leg.CSeq+1), c.leg.Bye, t2, nil)
}

func (r *Robot) take(tb testing.TB, m *Message) {
	tb.Helper()
	switch {
	case m.Request != nil:
		r.request(m)
	case m.Method() == "INVITE":
		r.response(tb, m)
	case m.Method() == "REGISTER":
		if m.Status() == 401 && slices.ContainsFunc(r.sends, func(s *sending) bool { return s.key == "REGISTER" }) {
			r.Learn(tb, m)
			r.register(tb)
			return
		}
		r.answered("REGISTER")
	case m.Status() >= 200:
		r.answered(fmt.Sprint(m.Method(), " ", m.CallID(), m.CSeq()))
	}
}

// response takes a response to an INVITE of the robot.
func (r *Robot) response(tb testing.TB, m *Message) {
	tb.Helper()
	c := r.call(m.CallID())
	if c == nil && r.dropped {
		return
	}
	if c == nil || !c.Caller {
		tb.Errorf("%s got %s for no call of its own", r.Device, m.Word())
		return
	}
	current := m.CSeq() == c.leg.Invite.CSeq
	if m.Status() >= 300 && !current { // of the challenge: the ACK was lost
		old := *c.leg
		old.Invite = old.Earlier
		old.Refused(m)
		return
	}
	r.answered("INVITE " + c.CallID)
	switch status := m.Status(); {
	case status < 200:
		c.rings = true
		if c.gaveUp {
			r.giveUp(c)
		}
	case status < 300:
		c.final(m)
		leg := *c.leg
		leg.Established = false
		leg.Ack(m)
		if !c.leg.Established {
			*c.leg = leg
			if c.gaveUp {
				c.Over = false
				r.hangUp(c)
			}
		} else if m.Header("To") != c.leg.Remote { // a second callee answered
			leg.CSeq += 100 + uint32(slices.Index(c.Tags, m.ToTag())) //nolint:gosec // small
			key := fmt.Sprint("BYE ", c.CallID, leg.CSeq+1)
			if !c.ended[key] {
				c.ended[key] = true
				r.persist(key, leg.Bye, t2, nil)
			}
		}
	case status == 407 && len(c.Finals) == 0 && !c.leg.Retried:
		c.leg.Refused(m)
		r.Learn(tb, m)
		c.leg.Earlier, c.leg.Retried = c.leg.Invite, true
		r.invite(tb, c)
	default:
		c.leg.Refused(m)
		c.final(m)
		c.Over = true
	}
}

func (c *RobotCall) final(m *Message) {
	if len(c.Finals) == 0 {
		c.End = time.Now()
	}
	if s := m.Status(); !slices.Contains(c.Finals, s) {
		c.Finals = append(c.Finals, s)
	}
	if tag := m.ToTag(); !slices.Contains(c.Tags, tag) {
		c.Tags = append(c.Tags, tag)
	}
}

// request takes a request for the robot.
func (r *Robot) request(m *Message) {
	if r.Mute {
		return
	}
	key := m.Branch() + m.Method()
	if b := r.seen[key]; b != nil {
		r.SendRaw(b, "again")
		return
	}
	c := r.call(m.CallID())
	switch m.Method() {
	case "INVITE":
		if c == nil {
			r.ringing(m)
		}
	case "ACK":
		if c != nil && !c.Caller {
			r.answered("FINAL " + c.CallID)
			if !c.acked && r.Hang > 0 && len(c.Finals) > 0 && c.Finals[0] == 200 {
				r.After(r.Hang, func() { r.hangUp(c) })
			}
			c.acked = true
		}
	case "CANCEL":
		if c == nil || c.Caller || c.invite.Branch() != m.Branch() {
			r.seen[key] = r.Reply(m, Answer{Status: 481})
			return
		}
		r.seen[key] = r.Reply(m, Answer{Status: 200})
		r.finish(c, 487)
	case "BYE":
		if c == nil {
			r.seen[key] = r.Reply(m, Answer{Status: 481})
			return
		}
		c.Over = true
		r.answered("FINAL " + c.CallID)
		r.seen[key] = r.Reply(m, Answer{Status: 200})
	default:
		a := Answer{Status: 200}
		if m.ToTag() != "" && (c == nil || c.Over) {
			a.Status = 481
		}
		r.seen[key] = r.Reply(m, a)
	}
}

// ringing begins the callee's end of a call.
func (r *Robot) ringing(m *Message) {
	c := &RobotCall{CallID: m.CallID(), At: time.Now(), invite: m}
	c.leg = r.Answered(m)
	c.leg.Established = false
	r.calls = append(r.calls, c)
	r.Reply(m, Answer{Status: 180})
	status := r.Status
	if status == 0 {
		status = 200
	}
	r.After(r.Ring, func() { r.finish(c, status) })
}

// finish gives the final response of a call and repeats it until the ACK.
func (r *Robot) finish(c *RobotCall, status int) {
	if len(c.Finals) > 0 || c.Over {
		return
	}
	c.Finals, c.End = append(c.Finals, status), time.Now()
	c.leg.Established = status == 200
	c.Over = status != 200
	if r.Line.Dial != nil && status != 200 {
		r.Reply(c.invite, Answer{Status: status})
		return
	}
	r.persist("FINAL "+c.CallID, func() []byte { return r.Reply(c.invite, Answer{Status: status}) }, t2, func() {
		r.hangUp(c) // RFC 3261 §13.3.1.4: no ACK came
	})
}

// String tells what the robot did, for a test that failed.
func (r *Robot) String() string {
	return r.Device + ":\n\t" + strings.Join(r.Ladder, "\n\t")
}
