// Package proxy is the stateful proxy of RFC 3261 §16: it takes requests whose
// origin is proven, asks routing what becomes of them, carries the plan out
// over transactions, and forwards what belongs to a dialog by its token alone.
//
// All its state lives in the lane of a Call-ID; it starts no goroutine. What it
// needs of the stores it declares here.
package proxy

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A World answers what a decision needs.
type World interface {
	// Cached puts what need asks for into w from memory; false when it is not
	// there. It never blocks.
	Cached(need routing.Need, w *routing.World) bool
	// Load puts what need asks for into w. It may block.
	Load(ctx context.Context, need routing.Need, w *routing.World) error
}

// Calls keeps the live calls, their journal and their records. Every Call handed
// over is immutable from then on.
type Calls interface {
	NewID(now time.Time) string
	Begin(c *feed.Call)          // counts from now on, in memory
	Update(c *feed.Call) bool    // replaces the one with its ID; false: there is none
	Answered(c *feed.Call) error // journaled before it returns (trust.md §3)
	Ended(c *feed.Call) error    // journaled, becomes the record
	Find(callID, callerTag []byte) (*feed.Call, bool)
}

// A Location knows the flows of devices.
type Location interface {
	// Bindings returns what is registered now at an AOR, from memory. The slice
	// is shared: do not change it.
	Bindings(aor location.AOR) location.Bindings
	// Doubt marks the UDP bindings behind a flow that was silent (rule ring.silent).
	Doubt(aor location.AOR, flow location.Flow)
}

// A Network sends, and knows what our listeners are called outside.
type Network interface {
	Send(f location.Flow, b []byte) error
	Advertise(local netip.AddrPort) netip.AddrPort
	Addrs() []netip.AddrPort // of the listeners, always in the same order
}

// Options are the parts of a [Proxy].
type Options struct {
	Network      Network
	Transactions *transaction.Layer
	Tokens       *auth.Tokens
	Tags         *auth.Tags
	Node         uint8 // number of this node in tokens
	World        World
	Calls        Calls
	Location     Location
	Registerer   prometheus.Registerer
	Logger       *slog.Logger // nil: discard
}

// A Proxy is safe for concurrent use; see the package comment.
type Proxy struct {
	net       Network
	locals    []netip.AddrPort // of the listeners
	ours      []netip.AddrPort // what others call them
	txs       *transaction.Layer
	tokens    *auth.Tokens
	tags      *auth.Tags
	node      uint8
	world     World
	calls     Calls
	loc       Location
	log       *slog.Logger
	seed      maphash.Seed
	metrics   metrics
	ringing   ringing
	composers sync.Pool
	worlds    sync.Pool
}

// New returns a proxy.
func New(o Options) *Proxy {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	x := &Proxy{
		net: o.Network, txs: o.Transactions, tokens: o.Tokens, tags: o.Tags, node: o.Node, world: o.World, calls: o.Calls,
		loc: o.Location, log: o.Logger, seed: maphash.MakeSeed(), metrics: newMetrics(o.Registerer),
	}
	x.composers.New = func() any { return new(composer) }
	x.worlds.New = func() any { return new(routing.World) }
	x.locals = o.Network.Addrs()
	for _, local := range x.locals {
		x.ours = append(x.ours, o.Network.Advertise(local))
	}
	x.ringing.init()
	return x
}

// From is the proven sender of a request that belongs to no dialog.
type From struct {
	Origin routing.Origin
	Domain string // canonical name of the domain that is asked
	Realm  string // whose credentials are ours and go no further
	Caller routing.Caller
}

// errMiss reports that a decision needs what is not in memory.
var errMiss = errors.New("proxy: not cached")

// A Continue is a lane event: the rest of a step that waited for something.
type Continue func()

// A Branching is what a server transaction that was proxied ties to itself: a
// response context that a CANCEL from upstream can end.
type Branching interface {
	// CancelAll gives up all branches; reason is the value of the Reason field
	// of the CANCEL, "" without.
	CancelAll(reason string)
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
	if b, ok := invite.User.(Branching); ok && !invite.Done() {
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

// status maps what stopped a decision to a final status.
func (x *Proxy) status(err error) int {
	switch {
	case errors.Is(err, lane.ErrFull):
		return 503
	case errors.Is(err, context.DeadlineExceeded):
		return 504
	default:
		return 500
	}
}

// resolve asks routing about v: from memory when all is there, otherwise by
// loading in the pool. then runs in the lane, now or later.
func (x *Proxy) resolve(ln *lane.Lane, now time.Time, v *routing.Visit, then func(routing.Plan, routing.Trace, error)) {
	w := x.worlds.Get().(*routing.World)
	w.Reset(now)
	plan, trace, err := routing.Resolve(w, *v, x.cached)
	x.worlds.Put(w)
	if !errors.Is(err, errMiss) {
		then(plan, trace, err)
		return
	}
	if err := x.load(ln, now, *v, then); err != nil {
		then(routing.Plan{}, nil, err)
	}
}

func (x *Proxy) load(ln *lane.Lane, now time.Time, v routing.Visit, then func(routing.Plan, routing.Trace, error)) error {
	return ln.Do(func(ctx context.Context) lane.Event {
		plan, trace, err := routing.Resolve(routing.NewWorld(now), v, func(n routing.Need, w *routing.World) error {
			return x.world.Load(ctx, n, w)
		})
		return Continue(func() { then(plan, trace, err) })
	})
}

func (x *Proxy) cached(n routing.Need, w *routing.World) error {
	if x.world.Cached(n, w) {
		return nil
	}
	return errMiss
}
