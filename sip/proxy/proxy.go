// Package proxy is the stateful proxy of RFC 3261 §16: it takes requests whose
// origin is proven and that routing decided about, carries the plan out over
// transactions, and forwards what belongs to a dialog by its token alone.
//
// All its state lives in the lane of a Call-ID; it starts no goroutine. What it
// needs of the stores it declares here.
package proxy

import (
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// Calls keeps the live calls, their journal and their records. Every Call handed
// over is immutable from then on.
type Calls interface {
	Begin(c *feed.Call)          // counts from now on, in memory
	Update(c *feed.Call) bool    // replaces the one with its ID; false: there is none
	Answered(c *feed.Call) error // journaled before it returns (trust.md §3)
	Ended(c *feed.Call) error    // journaled, becomes the record
	Find(callID, callerTag []byte) (*feed.Call, bool)
}

// A Location knows the flows of devices.
type Location interface {
	// Doubt marks the UDP bindings behind a flow that was silent (rule ring.silent).
	Doubt(aor location.AOR, flow location.Flow)
}

// A Network sends, and knows what our listeners are called outside.
type Network interface {
	Send(f location.Flow, b []byte) error
	Advertise(local netip.AddrPort) netip.AddrPort
}

// A Counter counts calls and how long they took to be answered.
type Counter interface {
	Call(outcome, rule string)
	Setup(d time.Duration) // from the INVITE to its 2xx
}

// Options are the parts of a [Proxy].
type Options struct {
	Network      Network
	Transactions *transaction.Layer
	Tokens       *auth.Tokens
	Tags         *auth.Tags
	Ends         *auth.Ends
	Node         uint8 // number of this node in tokens
	Calls        Calls
	Location     Location
	Ringing      *lane.Index[location.AOR] // where a device that registers may join
	Counter      Counter
	Redirect     func(*lane.Lane, *transaction.Set, *transaction.Server, *Redirect) // follows a redirect
	Registerer   prometheus.Registerer
	Logger       *slog.Logger // nil: discard
}

// A Proxy is safe for concurrent use; see the package comment.
type Proxy struct {
	net       Network
	ends      *auth.Ends
	txs       *transaction.Layer
	tokens    *auth.Tokens
	tags      *auth.Tags
	node      uint8
	calls     Calls
	loc       Location
	log       *slog.Logger
	seed      maphash.Seed
	counter   Counter
	redirect  func(*lane.Lane, *transaction.Set, *transaction.Server, *Redirect)
	metrics   metrics
	ringing   *lane.Index[location.AOR]
	composers sync.Pool
}

// New returns a proxy.
func New(o Options) *Proxy {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	x := &Proxy{
		net: o.Network, ends: o.Ends, txs: o.Transactions, tokens: o.Tokens, tags: o.Tags, node: o.Node, calls: o.Calls,
		loc: o.Location, log: o.Logger, seed: maphash.MakeSeed(), counter: o.Counter, metrics: newMetrics(o.Registerer),
		ringing: o.Ringing, redirect: o.Redirect,
	}
	x.composers.New = func() any { return new(composer) }
	return x
}

// Cancel carries out the CANCEL p (RFC 3261 §16.10): it is answered here, and
// the INVITE it is for gives up its branches.
func (x *Proxy) Cancel(set *transaction.Set, p *transport.Packet) {
	invite := set.Invite(&p.Msg)
	own := set.Serve(p)
	if invite == nil {
		x.reply(own, 481, "", nil)
		return
	}
	x.reply(own, 200, "", nil)
	if b, ok := invite.User.(transaction.Branching); ok && !invite.Done() {
		reason := ""
		if v, ok := p.Msg.Get(wire.Reason); ok {
			reason = string(v.Bytes())
		}
		b.CancelAll(reason)
	}
}

// Reply sends a response that we make; an empty reason is the usual one.
func (x *Proxy) Reply(srv *transaction.Server, status int, reason string, lines []byte) {
	x.reply(srv, status, reason, lines)
}

func (x *Proxy) reply(srv *transaction.Server, status int, reason string, lines []byte) {
	if srv.Request == nil {
		return
	}
	if reason == "" {
		reason = wire.ReasonPhrase(status)
	}
	buf := x.txs.Buffer()
	var tag [32]byte
	*buf = transaction.AppendReply(*buf, srv.Request, status, reason, x.localTag(tag[:0], &srv.Request.Msg), lines)
	srv.Send(status, *buf)
	x.txs.Release(buf)
}

// localTag is the To tag of responses we make: the same for all of one request
// (rule ring.181), and none of our memory (RFC 3261 §8.2.7).
func (x *Proxy) localTag(dst []byte, m *wire.Message) []byte {
	return x.tags.Append(dst, m.CallID(), m.FromTag(), m.TopVia().Branch)
}
