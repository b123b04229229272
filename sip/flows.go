package sip

import (
	"context"
	"log/slog"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/lane"
	"bellhop/sip/transport"
)

// forgetTimeout bounds how long the bindings of a connection that closed wait for
// the store.
const forgetTimeout = 10 * time.Second

// tie remembers that bindings of an AOR lead down a connection. When it closed
// before they were saved they end here.
func (s *Server) tie(ctx context.Context, peer *transport.Peer, aor location.AOR) {
	if !peer.Tie(aor) {
		s.forget(ctx, aor, peer.Flow())
	}
}

// gone takes a connection that closed: what rings over it fails, and its bindings
// end (RFC 5626 §5.3.1 would answer 430). It runs on the connection's goroutine.
func (s *Server) gone(peer *transport.Peer) {
	flow := peer.Flow()
	for _, aor := range peer.Ties() {
		for _, at := range s.ringing.At(aor) {
			if call, ok := at.Who.(goner); ok {
				_ = at.Lane.Post(lane.Continue(func() { call.Gone(flow) })) // a closed lane rings no more
			}
		}
		s.forget(context.Background(), aor, flow)
	}
}

// A goner is a call that rings at a number, in its own lane, and wants to know
// when a flow that it may ring over is gone.
type goner interface {
	Gone(flow location.Flow)
}

func (s *Server) forget(ctx context.Context, aor location.AOR, flow location.Flow) {
	ctx, cancel := context.WithTimeoutCause(ctx, forgetTimeout, errSlow)
	defer cancel()
	if err := s.location.RemoveFlow(ctx, aor, flow); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "bindings of a closed connection not removed", slog.String("aor", aor.String()), slog.Any("err", err))
	}
}
