// Package b2bua carries out anchored calls: those that need a leg of ours at
// each end (architecture.md §3). Towards the caller it is a user agent server,
// towards everybody it rings a user agent client; each leg has a Call-ID, tags,
// CSeq, Contact, Via and routes of its own (RFC 3261 §12, RFC 7092). What is not
// ours in a message passes through byte for byte, bodies too: media is direct.
//
// It decides nothing. Package routing says where a call goes, package
// routing/ring who rings when and what the caller hears, package routing/call
// what becomes of every request and response between the two ends. What is here
// turns messages into their events and their effects into messages.
//
// All legs of a call share the lane of the caller's Call-ID; their Call-IDs are
// its aliases. Only steps of the lane touch a call, and the package starts no
// goroutine. What it needs of others it declares here.
package b2bua

import (
	"context"
	"crypto/rand"
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

// A Resolver asks routing about a visit.
type Resolver interface {
	// Resolve decides about v; then runs in the lane, now or later.
	Resolve(ln *lane.Lane, now time.Time, v *routing.Visit, then func(routing.Plan, routing.Trace, error))
}

// Calls keeps the live calls, their journal and their records. Every Call handed
// over is immutable from then on.
type Calls interface {
	Begin(c *feed.Call)          // counts from now on, in memory
	Update(c *feed.Call) bool    // replaces the one with its ID; false: there is none
	Answered(c *feed.Call) error // journaled before it returns (trust.md §3)
	Ended(c *feed.Call) error    // journaled, becomes the record
	ByID(id string) (*feed.Call, bool)
	Live(domain string) []*feed.Call
}

// A Location is told of UDP bindings that were silent (rule ring.silent).
type Location interface {
	Doubt(aor location.AOR, flow location.Flow)
}

// A Network sends, and knows what our listeners are called outside.
type Network interface {
	Send(f location.Flow, b []byte) error
	Advertise(local netip.AddrPort) netip.AddrPort
}

// Trunks knows the trunks by which calls leave and come in.
type Trunks interface {
	// Attempts returns the ways to reach number by a trunk, in order. It may block.
	Attempts(ctx context.Context, domain, trunk, number string) ([]transport.Attempt, error)
	// Large returns a flow over TCP to the peer of an attempt over UDP. It may block.
	Large(ctx context.Context, a transport.Attempt) (location.Flow, error)
	// Next returns the flow to the next hop that a URI names, of a request within a
	// call that has the flow was. It may block.
	Next(ctx context.Context, domain, trunk, uri string, was location.Flow) (location.Flow, error)
	// Every is Attempts with those that are down or rest.
	Every(ctx context.Context, domain, trunk, number string) ([]transport.Attempt, error)
	// Acquire takes a place among the calls of a trunk.
	Acquire(domain, trunk string) (release func(), err error)
	// Hold does the same for a call that is there already, without limits.
	Hold(domain, trunk string) (release func())
	// Result says what came of an attempt; 0 is no answer.
	Result(a transport.Attempt, status int, retryAfter time.Duration)
	// Answer returns the header line that answers a 401 or 407.
	Answer(domain, trunk, method, uri string, res *wire.Message) (line []byte, ok bool)
	// Takes reports whether a trunk may send a method in a dialog that others may not.
	Takes(domain, trunk, method string) bool
	// Match returns the trunk that a request was proven to come from.
	Match(p *transport.Packet) (auth.Origin, bool)
}

// A Counter counts calls and how long they took to be answered.
type Counter interface {
	Call(outcome, rule string)
	Setup(d time.Duration) // from the INVITE to its 2xx
}

// Options are the parts of a [B2BUA].
type Options struct {
	Network      Network
	Transactions *transaction.Layer
	Lanes        *lane.Table
	Tokens       *auth.Tokens
	Tags         *auth.Tags
	Ends         *auth.Ends
	Node         uint8 // number of this node in tokens
	Resolver     Resolver
	Calls        Calls
	Location     Location
	Trunks       Trunks                    // nil: there are none
	Ringing      *lane.Index[location.AOR] // where a device that registers may join
	Counter      Counter
	Story        func(routing.Trace) []feed.Step // a trace as a call keeps it
	Registerer   prometheus.Registerer
	Logger       *slog.Logger // nil: discard
}

// A B2BUA is safe for concurrent use; see the package comment.
type B2BUA struct {
	net       Network
	txs       *transaction.Layer
	lanes     *lane.Table
	tokens    *auth.Tokens
	tags      *auth.Tags
	ends      *auth.Ends
	node      uint8
	resolver  Resolver
	calls     Calls
	loc       Location
	trunks    Trunks
	ringing   *lane.Index[location.AOR]
	groups    *lane.Index[pickupKey] // calls that the members of a pickup group may take
	counter   Counter
	story     func(routing.Trace) []feed.Step
	log       *slog.Logger
	metrics   metrics
	composers sync.Pool
}

// New returns a B2BUA.
func New(o Options) *B2BUA {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &B2BUA{
		net: o.Network, txs: o.Transactions, lanes: o.Lanes, tokens: o.Tokens, tags: o.Tags, ends: o.Ends, node: o.Node,
		resolver: o.Resolver, calls: o.Calls, loc: o.Location, trunks: o.Trunks, ringing: o.Ringing, counter: o.Counter, story: o.Story,
		groups: lane.NewIndex[pickupKey](), log: o.Logger, metrics: newMetrics(o.Registerer),
	}
	b.composers.New = func() any { return new(composer) }
	return b
}

const (
	// interval is the session interval that we ask for (RFC 4028 §4: half an hour):
	// an end that is gone is noticed before its call stops counting (rule busy).
	interval = 30 * time.Minute
	// longest is how long a call over a trunk may last (trust.md §3).
	longest = 4 * time.Hour
	// silence is how long a call counts without a sign of life (rule busy).
	silence = time.Hour
	// unanswered is how long a peer of a trunk has for its first response (rule
	// dial.trunk).
	unanswered = 4 * time.Second
)

// newTag returns what nobody can guess, 130 bits: a tag or a Call-ID of ours
// (RFC 3261 §19.3).
func newTag() string { return rand.Text() }

// reply sends a response that we make, with a To tag.
func (b *B2BUA) reply(srv *transaction.Server, status int, tag string, lines []byte) {
	if srv.Request == nil {
		return
	}
	buf := b.txs.Buffer()
	*buf = transaction.AppendReply(*buf, srv.Request, status, wire.ReasonPhrase(status), []byte(tag), lines)
	srv.Send(status, *buf)
	b.txs.Release(buf)
}
