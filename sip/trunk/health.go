package trunk

import (
	"context"
	"errors"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

const (
	// firstProbe is within what time of the start peers are asked.
	firstProbe = 2 * time.Second
	// answerTime is how long a peer may take to answer OPTIONS; later answers
	// still count as signs of life.
	answerTime = 5 * time.Second
	// doubtProbe is when a peer that missed one is asked again.
	doubtProbe = 2 * time.Second
	// maxMisses is how many it may miss before it is down.
	maxMisses = 3
)

// next is when something of a peer is due; zero: nothing is.
func (p *peer) next() (at time.Time) {
	at = p.probe
	for _, g := range p.targets {
		if !g.asked.IsZero() {
			at = earliest(at, g.asked.Add(answerTime))
		}
	}
	return at
}

// probeDueLocked counts what was missed, and reports whether the peer is to be
// asked now.
func (m *Manager) probeDueLocked(t *trunk, p *peer, now time.Time) bool {
	for _, g := range p.targets {
		if !g.asked.IsZero() && !now.Before(g.asked.Add(answerTime)) {
			m.missedLocked(t, p, g, "no answer to OPTIONS", now)
		}
	}
	if p.probe.IsZero() || now.Before(p.probe) {
		return false
	}
	interval := time.Duration(t.def.Trunk.HealthInterval)
	if interval <= 0 {
		interval = time.Duration(directory.DefaultHealthInterval)
	}
	p.probe = now.Add(around(interval))
	return true
}

// missedLocked counts OPTIONS without an answer. A peer that has missed one is
// asked again soon; down, at its interval.
func (m *Manager) missedLocked(t *trunk, p *peer, g *target, why string, now time.Time) {
	g.asked, g.err = time.Time{}, why
	g.misses++
	if g.misses >= maxMisses {
		g.state = down
	} else if soon := now.Add(around(doubtProbe)); soon.Before(p.probe) {
		p.probe = soon
	}
	m.seeLocked(t, now)
}

// probe asks all targets of a peer how they are, in a lane of its own.
func (m *Manager) probe(t *trunk, p *peer) {
	callID := newCallID()
	m.inLane(callID, func(ctx context.Context) transaction.Task {
		ways := m.resolve(ctx, t, []*peer{p})
		m.dial(ctx, ways)
		return func(set *transaction.Set) { m.options(set, t, p, ways, callID) }
	}, func() {})
}

// options sends OPTIONS down each way; a step of the lane. It carries no
// credentials: a 401 is an answer, and all that is asked for (RFC 3261 §11).
func (m *Manager) options(set *transaction.Set, t *trunk, p *peer, ways []*way, callID string) {
	tag, now := newTag(), time.Now()
	m.mu.Lock()
	host, def := hostPort(p.Peer), t.def
	var ask []*way
	for _, w := range ways {
		g := p.target(w.endpoint)
		switch {
		case g == nil:
		case w.err != nil:
			m.missedLocked(t, p, g, w.err.Error(), now)
		default:
			if g.asked.IsZero() {
				g.asked = now
			}
			ask = append(ask, w)
		}
	}
	m.seeLocked(t, now) // the addresses may be other ones
	m.mu.Unlock()
	m.look()
	for i, w := range ask {
		x := &exchange{m: m, set: set, flow: w.flow, done: func(res *wire.Message, err error) { m.answered(t, p, w.endpoint, res, err) }}
		x.send(&request{
			method: wire.Options, uri: "sip:" + host + transportParam(p.Transport), from: "sip:" + def.Domain, to: "sip:" + host,
			tag: tag, callID: callID, cseq: uint32(i + 1), lines: "Accept: application/sdp\r\n",
		})
	}
}

// answered takes what came of OPTIONS. Silence is counted by the clock, before
// the transaction gives up.
func (m *Manager) answered(t *trunk, p *peer, at endpoint, res *wire.Message, err error) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	g := p.target(at)
	switch {
	case g == nil: // no address of the peer any more
	case err == nil:
		m.heardLocked(t, g, res.Status(), retryAfter(res), now)
	case !errors.Is(err, errSilent): // it could not be sent
		m.missedLocked(t, p, g, err.Error(), now)
	}
}

// inLane runs f, which may block, in the lane of a Call-ID, and then what it
// returns, as a step. When there is no room it runs full instead.
func (m *Manager) inLane(callID string, f func(ctx context.Context) transaction.Task, full func()) {
	ln, _, err := m.lanes.GetOrNew([]byte(callID))
	if err == nil {
		// A step begins it, so that a lane in which nothing begins is closed.
		err = ln.Post(transaction.Task(func(*transaction.Set) {
			if err := ln.Do(func(ctx context.Context) lane.Event { return f(ctx) }); err != nil {
				full()
			}
		}))
	}
	if err != nil {
		full()
	}
}
