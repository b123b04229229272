package sip

import (
	"context"

	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// Drain makes the server refuse new calls, or take them again: a new INVITE gets
// 503, everything else is served (trust.md §3, Drain).
func (s *Server) Drain(on bool) { s.draining.Store(on) }

// Ringing is how many numbers ring: calls that would be lost with this process,
// as answered ones would not.
func (s *Server) Ringing() int { return s.ringing.Len() }

// Full reports whether there is no room for another call: it would get 503.
func (s *Server) Full() bool { return s.pool.Full() }

// Drops is how many datagrams the kernel dropped since receive buffers were full.
func (s *Server) Drops() uint64 { return s.transport.Drops() }

// refused answers a new call while the server drains.
func (s *Server) refused(p *transport.Packet) bool {
	if !s.draining.Load() || p.Msg.Method() != wire.Invite || len(p.Msg.ToTag()) > 0 {
		return false
	}
	s.stateless(p, 503, "", []byte("Retry-After: 5\r\n"))
	return true
}

// HangUp ends a live call, whoever carries it: see [b2bua.B2BUA.HangUp].
func (s *Server) HangUp(ctx context.Context, callID string) error {
	return s.b2bua.HangUp(ctx, callID)
}
