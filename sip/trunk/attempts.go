package trunk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/transport"
)

const (
	// resolveTime and dialTime bound what a call waits for DNS and for a
	// connection before the next peer has its turn (rule dial.trunk: 4 s).
	resolveTime = 4 * time.Second
	dialTime    = 3 * time.Second
)

// A way is an endpoint of a peer and the flow to it, or why there is none.
type way struct {
	peer *peer
	endpoint
	flow location.Flow
	err  error
}

// Attempts returns the ways to reach number by a trunk, in the order in which to
// try them, the number being canonical: strip and prepend of the route are
// applied here. Peers that are down or rest are left out. It may wait for DNS,
// and for connections to be made. The error is [ErrUnknown], [ErrDown], or the
// context's.
func (m *Manager) Attempts(ctx context.Context, domain, name, number string) ([]transport.Attempt, error) {
	return m.attempts(ctx, domain, name, number, false)
}

// Every is Attempts for a call that is not given up before everything was tried:
// peers that are down or rest come last.
func (m *Manager) Every(ctx context.Context, domain, name, number string) ([]transport.Attempt, error) {
	return m.attempts(ctx, domain, name, number, true)
}

func (m *Manager) attempts(ctx context.Context, domain, name, number string, every bool) ([]transport.Attempt, error) {
	m.mu.Lock()
	t := m.trunks[key{domain, name}]
	var peers []*peer
	if t != nil {
		peers = t.peers
	}
	m.mu.Unlock()
	if t == nil {
		return nil, ErrUnknown
	}
	ways := m.resolve(ctx, t, peers)
	now := time.Now()
	m.mu.Lock()
	var usable, others []*way
	for _, w := range ways {
		if g := w.peer.target(w.endpoint); g == nil || g.usable(now) {
			usable = append(usable, w)
		} else if every {
			others = append(others, w)
		}
	}
	m.mu.Unlock()
	usable = append(usable, others...)
	m.dial(ctx, usable)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	out := make([]transport.Attempt, 0, len(usable))
	now = time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range usable {
		if w.err != nil {
			m.failedLocked(t, w, now)
			continue
		}
		out = append(out, transport.Attempt{Domain: domain, Trunk: name, Peer: w.peer.String(), Flow: w.flow, URI: t.uri(w.peer, number), MayStream: m.mayStream(w)})
	}
	if len(out) == 0 {
		t.attempts["down"]++
		return nil, ErrDown
	}
	return out, nil
}

// resolve finds the endpoints of peers, side by side, in their order.
func (m *Manager) resolve(ctx context.Context, t *trunk, peers []*peer) (ways []*way) {
	ctx, cancel := context.WithTimeoutCause(ctx, resolveTime, errServers)
	defer cancel()
	found, errs := make([][]endpoint, len(peers)), make([]error, len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		if _, numeric := p.Addr(); numeric {
			found[i], errs[i] = m.resolver.resolve(ctx, p.Peer) // asks nobody
			continue
		}
		wg.Go(func() { found[i], errs[i] = m.resolver.resolve(ctx, p.Peer) })
	}
	wg.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, p := range peers {
		p.resolvedLocked(found[i], errs[i])
		for _, ep := range found[i] {
			ways = append(ways, &way{peer: p, endpoint: ep})
		}
		if errs[i] != nil {
			m.log.DebugContext(ctx, "peer not resolved", "domain", t.domain, "trunk", t.name, "err", errs[i])
		}
	}
	return ways
}

// dial gives each way its flow. Connections are made side by side.
func (m *Manager) dial(ctx context.Context, ways []*way) {
	ctx, cancel := context.WithTimeoutCause(ctx, dialTime, errDial)
	defer cancel()
	var wg sync.WaitGroup
	for _, w := range ways {
		dial := func() { w.flow, w.err = m.network.Dial(ctx, w.transport, w.addr, w.host) }
		if w.transport == location.UDP {
			dial()
		} else {
			wg.Go(dial)
		}
	}
	wg.Wait()
}

var errDial = errors.New("trunk: no connection in time")

// failedLocked notes a way that could not be dialled.
func (m *Manager) failedLocked(t *trunk, w *way, now time.Time) {
	t.attempts["unreachable"]++
	if g := w.peer.target(w.endpoint); g != nil {
		m.silentLocked(t, g, w.err.Error(), now)
	}
}

// Result says what came of an attempt: its final status, 0 when there was none
// (no answer in time, or it could not be sent). 503 rests the peer for
// retryAfter, the value of Retry-After, 0 without one.
func (m *Manager) Result(a transport.Attempt, status int, retryAfter time.Duration) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.trunks[key{a.Domain, a.Trunk}]
	if t == nil {
		return
	}
	t.attempts[result(status)]++
	for _, g := range t.at(a.Flow) {
		if status != 0 {
			m.heardLocked(t, g, status, retryAfter, now)
			continue
		}
		m.silentLocked(t, g, "no answer to a call", now)
		for _, p := range t.peers { // is it gone?
			if t.def.Trunk.Health != directory.HealthOff && p.target(g.endpoint) == g {
				p.probe = now
			}
		}
	}
	m.look()
}

// result is a status as metrics spell it.
func result(status int) string {
	switch status {
	case 0:
		return "silent"
	case 503:
		return "503"
	default:
		return fmt.Sprintf("%dxx", status/100)
	}
}
