// Package trunk keeps what the daemon knows of its trunks: which peers they
// have and whether those answer, our registrations with them, how many calls
// they carry, and by which proof a request is theirs (trust.md §1).
//
// It carries no call: sip/b2bua does, with what [Manager] tells it.
package trunk

import (
	"context"
	"errors"
	"time"

	"bellhop/feed"
	"bellhop/sip/auth"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// Errors of a [Manager].
var (
	// ErrUnknown reports a trunk that does not exist.
	ErrUnknown = errors.New("trunk: there is no such trunk")
	// ErrDown reports a trunk none of whose peers can be tried now.
	ErrDown = errors.New("trunk: no peer can be reached")
	// ErrCalls reports that max_calls calls are going on (rule limit.trunk).
	ErrCalls = errors.New("trunk: max_calls are going on")
	// ErrRate reports more than max_cps calls in a second (rule limit.trunk).
	ErrRate = errors.New("trunk: more calls a second than max_cps")
)

// A Manager knows all trunks. Its methods are safe for use by many goroutines.
type Manager struct{}

// Attempts returns the ways to reach number by a trunk, in the order in which to
// try them, the number being canonical: strip and prepend of the route are
// applied here. Peers that are down or rest are left out. It may wait for DNS.
// The error is [ErrUnknown], [ErrDown], or the context's.
func (m *Manager) Attempts(ctx context.Context, domain, trunk, number string) ([]transport.Attempt, error) {
	return nil, ErrUnknown
}

// Acquire takes a place among the calls of a trunk, in or out. The call that has
// it gives it back at its end with release, which may be called more than once.
// The error is [ErrCalls], [ErrRate] or [ErrUnknown].
func (m *Manager) Acquire(domain, trunk string) (release func(), err error) {
	return nil, ErrUnknown
}

// Result says what came of an attempt: its final status, 0 when there was none
// (no answer in time, or it could not be sent). 503 rests the peer for
// retryAfter, the value of Retry-After, 0 without one.
func (m *Manager) Result(a transport.Attempt, status int, retryAfter time.Duration) {}

// Answer returns the header line, with its CRLF, that answers the 401 or 407 res
// of a peer to a request of ours with this method and Request-URI. ok is false
// when the trunk has no credentials for what is asked.
func (m *Manager) Answer(domain, trunk, method, uri string, res *wire.Message) (line []byte, ok bool) {
	return nil, false
}

// Match returns the trunk that p, a request outside of dialogs, was proven to
// come from. It does not block, and does not allocate.
func (m *Manager) Match(p *transport.Packet) (auth.Origin, bool) {
	return auth.Origin{}, false
}

// Status returns how a trunk is; false: there is none of that name.
func (m *Manager) Status(domain, name string) (feed.TrunkStatus, bool) {
	return feed.TrunkStatus{}, false
}
