package b2bua

import (
	"context"
	"strconv"
	"time"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A trunk is how a branch leaves by a trunk: the peers of the first trunk are
// tried in order, then those of the next (rule dial.trunk). For the plan it is one
// branch with one final response.
type trunk struct {
	br       *branch
	first    ring.Other
	left     []ring.Other // trunks that are still to be tried
	again    bool         // all were: a call for help tries them once more, what is down too
	attempts []transport.Attempt
	at       transport.Attempt // under way
	flow     location.Flow     // that its INVITE goes down
	rang     bool              // a 101 to 199 came: there is no failing over any more
	answered bool              // its challenge was answered
	over     bool              // no attempt follows
	line     []byte            // with our credentials, of at
	release  func()            // our place among the calls of the trunk
	timer    lane.Timer        // for the first response
	last     int               // what the attempts came to so far
}

// lookTime bounds how long names of peers are looked up.
const lookTime = 8 * time.Second

// dial begins, or sends the INVITE to the same peer again.
func (br *branch) dial() {
	if t := br.trunk; t != nil {
		if !t.send() {
			t.on(0)
		}
		return
	}
	t := &trunk{br: br, first: ring.Other{Trunk: br.target.Trunk, Identity: br.target.Identity}, last: 503}
	t.left = t.all()
	t.timer.Owner = t
	br.trunk = t
	t.next()
}

// all are the trunks, in order.
func (t *trunk) all() []ring.Other {
	return append([]ring.Other{t.first}, t.br.target.Others...)
}

// stop ends the trying: the branch was given up, or is over.
func (t *trunk) stop() {
	t.over = true
	t.timer.Stop()
	t.letGo()
}

// letGo gives our place among the calls of the trunk back.
func (t *trunk) letGo() {
	if t.release != nil {
		t.release()
		t.release = nil
	}
}

// next tries the next peer, or the first of the next trunk.
func (t *trunk) next() {
	for !t.over {
		for len(t.attempts) > 0 {
			t.at, t.attempts = t.attempts[0], t.attempts[1:]
			t.flow, t.answered, t.line = t.at.Flow, false, nil
			if t.br.d.secure && !t.at.Flow.Secure() {
				continue // sips never falls back (trust.md §1)
			}
			if t.send() {
				return
			}
			t.br.a.b.trunks.Result(t.at, 0, 0)
		}
		t.letGo()
		if len(t.left) == 0 {
			if t.again || !t.br.a.urgent() {
				break
			}
			t.again, t.left = true, t.all()
		}
		o := t.left[0]
		t.left = t.left[1:]
		if t.look(o) {
			return
		}
	}
	if !t.over {
		t.over = true
		t.br.missed(t.last)
	}
}

// look asks for the peers of a trunk that has room for the call.
func (t *trunk) look(o ring.Other) bool {
	a, name := t.br.a, o.Trunk
	if a.b.trunks == nil {
		return false
	}
	if a.urgent() {
		t.release = a.b.trunks.Hold(a.domain, name)
	} else {
		release, err := a.b.trunks.Acquire(a.domain, name)
		if err != nil {
			a.b.log.Info("trunk refused", "call", a.live.ID, "trunk", name, "err", err)
			return false
		}
		t.release = release
	}
	number, attempts := t.br.target.Contact, a.b.trunks.Attempts
	if t.again {
		attempts = a.b.trunks.Every
	}
	err := a.lane.Do(func(ctx context.Context) lane.Event {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		found, err := attempts(ctx, a.domain, name, number)
		return lane.Continue(func() { t.found(o, found, err) })
	})
	if err != nil {
		t.letGo()
		return false
	}
	return true
}

// found goes on when the peers of a trunk are known.
func (t *trunk) found(o ring.Other, attempts []transport.Attempt, err error) {
	a, name := t.br.a, o.Trunk
	a.tick()
	if t.over {
		return
	}
	if err != nil {
		a.b.log.Info("trunk has no peers", "call", a.live.ID, "trunk", name, "err", err)
	}
	t.attempts = attempts
	if len(attempts) > 0 && a.live.Legs[t.br.leg].Trunk != name {
		t.br.shows(o.Identity)
		a.update(func(l *feed.Call) {
			leg := &l.Legs[t.br.leg]
			leg.Trunk, leg.Identity = name, identity(o.Identity)
		})
	}
	t.br.d.side.Name = name
	t.next()
	a.settle()
}

// send sends the INVITE to the peer at hand.
func (t *trunk) send() bool {
	br := t.br
	a := br.a
	br.d.target, br.d.remote, br.d.flow, br.d.routes = t.at.URI, "<"+t.at.URI+">", t.flow, nil
	br.d.contact = a.b.contact(&br.d, a.domain)
	a.b.lanes.Alias(br.d.callID, a.lane)
	i := invite{flow: t.flow, uri: t.at.URI, auth: t.line}
	if t.at.MayStream && t.flow == t.at.Flow {
		i.most = maxDatagram
	}
	if !br.send(&i) {
		return i.large && t.stream()
	}
	t.timer.Set(a.lane, unanswered)
	return true
}

// maxDatagram is how large a request may be that goes by UDP, where there is another
// way (RFC 3261 §18.1.1).
const maxDatagram = 1300

// stream asks for a connection to the peer at hand, for an INVITE that is too large
// for a datagram. Without one it goes by UDP after all.
func (t *trunk) stream() bool {
	a, at := t.br.a, t.at
	t.at.MayStream = false
	return a.lane.Do(func(ctx context.Context) lane.Event {
		f, err := a.b.trunks.Large(ctx, at)
		return lane.Continue(func() {
			a.tick()
			if t.over {
				return
			}
			if err == nil {
				t.flow = f
			}
			if !t.send() {
				a.b.trunks.Result(t.at, 0, 0)
				t.next()
			}
			a.settle()
		})
	}) == nil
}

// took looks at a response of the peer at hand; true when that is all there is
// to it: it was a challenge, or another peer is tried.
func (t *trunk) took(res *wire.Message) bool {
	t.timer.Stop()
	b := t.br.a.b
	status := res.Status()
	switch {
	case status == 100:
		return true
	case status < 200:
		t.rang = true
		return false
	case status < 300:
		if !t.over {
			t.over = true // no attempt follows; our place is kept
			b.trunks.Result(t.at, status, 0)
		}
		return false
	case t.over:
		return false
	case (status == 401 || status == 407) && !t.answered:
		line, ok := b.trunks.Answer(t.at.Domain, t.at.Trunk, "INVITE", t.at.URI, res)
		if !ok {
			break
		}
		b.metrics.challenged.Inc()
		t.answered, t.line = true, line
		return t.send() || t.on(0)
	}
	if status == 422 { // the session interval is negotiated first
		return false
	}
	b.trunks.Result(t.at, status, retryAfter(res))
	if status == 401 || status == 407 {
		status = 403 // the caller has no credentials for a carrier
		t.br.missed(status)
		return true
	}
	return t.another(status)
}

// on reports that the peer at hand gave no answer, and goes on; true.
func (t *trunk) on(status int) bool {
	t.br.a.b.trunks.Result(t.at, 0, 0)
	if !t.another(max(status, 408)) {
		t.br.missed(max(status, 408))
	}
	return true
}

// another tries the next peer after a final status, where the rule has it.
func (t *trunk) another(status int) bool {
	if t.over || t.rang || status != 408 && status/100 != 5 && !t.br.a.urgent() { // who calls for help is refused by all or by none
		return false
	}
	t.last = status
	t.br.a.b.metrics.failover.Inc()
	t.br.client = nil
	t.next()
	return true
}

// failed takes the end of the transaction of the peer at hand without a final
// response.
func (t *trunk) failed(status int) bool {
	t.timer.Stop()
	if t.over {
		return false
	}
	t.br.a.b.trunks.Result(t.at, 0, 0)
	return t.another(status)
}

// Fired is the step of the timer: the peer said nothing for 4 s. It may not be
// cancelled yet (RFC 3261 §9.1); what it answers later is hung up.
func (t *trunk) Fired() {
	br := t.br
	a := br.a
	a.tick()
	if t.over || br.client == nil {
		return
	}
	br.client.Cancel(nil)
	t.on(408)
	a.settle()
}

// retryAfter reads the field of that name, 0 without.
func retryAfter(res *wire.Message) time.Duration {
	v, ok := res.Get(wire.RetryAfter)
	if !ok {
		return 0
	}
	b := v.Bytes()
	for i, c := range b {
		if c < '0' || c > '9' {
			b = b[:i]
			break
		}
	}
	n, err := strconv.ParseUint(string(b), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// challenged answers the 401 or 407 of a peer to a request within the call once;
// it reports whether the request went out again.
func (x *exchange) challenged(res *wire.Message) bool {
	p := x.pair
	a := p.a
	d := &p.legs[x.to]
	if x.answered || a.b.trunks == nil || d.side.Kind != auth.Trunk {
		return false
	}
	line, ok := a.b.trunks.Answer(a.domain, d.side.Name, x.word, d.target, res)
	if !ok {
		return false
	}
	x.answered, x.line = true, line
	a.b.metrics.challenged.Inc()
	return x.send()
}
