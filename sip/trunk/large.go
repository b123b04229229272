package trunk

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/transport"
)

// refusedTime is how long a peer that refused a connection is not asked for one
// again.
const refusedTime = 10 * time.Minute

// errRefused reports a peer that refused a connection lately.
var errRefused = errors.New("trunk: it takes no connections")

// mayStream reports whether a request to an endpoint of a peer may go by TCP when it
// is too large for a datagram: nobody said that it has to be UDP, and what comes back
// finds a listener of ours.
func (m *Manager) mayStream(w *way) bool {
	return m.streams && w.transport == location.UDP && w.peer.Transport == ""
}

// Large returns a flow over TCP to the peer of an attempt over UDP, for a request that
// is too large for a datagram (RFC 3261 §18.1.1). It may wait for a connection. Where
// there is none, the request goes by UDP after all.
func (m *Manager) Large(ctx context.Context, a transport.Attempt) (location.Flow, error) {
	to := a.Flow.Remote
	now := time.Now()
	m.mu.Lock()
	lately := now.Before(m.refused[to])
	m.mu.Unlock()
	if lately {
		return location.Flow{}, errRefused
	}
	ctx, cancel := context.WithTimeoutCause(ctx, dialTime, errDial)
	defer cancel()
	f, err := m.network.Dial(ctx, location.TCP, to, "")
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.refuseLocked(to, now)
	}
	return f, err
}

// refuseLocked remembers that a peer takes no connections, and forgets of whom that is
// long ago.
func (m *Manager) refuseLocked(at netip.AddrPort, now time.Time) {
	for other, until := range m.refused {
		if !now.Before(until) {
			delete(m.refused, other)
		}
	}
	m.refused[at] = now.Add(refusedTime)
}
