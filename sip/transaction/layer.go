// Package transaction is the transaction layer of RFC 3261 §17 with the
// corrections of RFC 6026: it absorbs what is sent twice, sends again what may
// be lost, and tells its user what is new.
//
// A transaction is passive state in the lane of its Call-ID: a [Set] holds all
// those of one lane, and only steps of that lane touch them. The package starts
// no goroutine; time comes as [lane.Fired] events.
package transaction

import (
	"cmp"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/routing/location"
	"bellhop/sip/lane"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// Timers are those of RFC 3261 §17 (table 4) that a node may choose. Zero is the
// default.
type Timers struct {
	T1 time.Duration // round trip estimate: 500 ms
	T2 time.Duration // longest retransmission interval of a non-INVITE: 4 s
	T4 time.Duration // how long a message stays in the network: 5 s
	C  time.Duration // bounds a proceeding INVITE (§16.6 step 11: more than 3 minutes): 185 s
}

// DefaultTimers are those of RFC 3261.
func DefaultTimers() Timers {
	return Timers{T1: 500 * time.Millisecond, T2: 4 * time.Second, T4: 5 * time.Second, C: 185 * time.Second}
}

// orDefault returns t with defaults for what is zero.
func (t Timers) orDefault() Timers {
	d := DefaultTimers()
	return Timers{T1: cmp.Or(t.T1, d.T1), T2: cmp.Or(t.T2, d.T2), T4: cmp.Or(t.T4, d.T4), C: cmp.Or(t.C, d.C)}
}

// tryingAfter is when an INVITE without a provisional answer gets 100 (RFC 3261
// §17.2.1).
const tryingAfter = 200 * time.Millisecond

// DefaultMaxFinished is how many finished transactions may linger to absorb
// retransmissions: 32 s of 4,000 calls a second, about 100 MB.
const DefaultMaxFinished = 1 << 18

// A Sender puts a message on a flow. It never blocks and does not keep b.
type Sender interface {
	Send(f location.Flow, b []byte) error
}

// Options are the parts of a [Layer].
type Options struct {
	Sender      Sender
	MaxFinished int // 0: DefaultMaxFinished
	Timers      Timers
	Registerer  prometheus.Registerer
}

// A Layer is what all transactions share. It is safe for concurrent use.
type Layer struct {
	sender      Sender
	timers      Timers
	seed        maphash.Seed
	maxFinished int64
	finished    atomic.Int64
	metrics     metrics
	scratch     sync.Pool
	packets     sync.Pool // of *transport.Packet, for requests
}

type metrics struct {
	begun, sentAgain, sentHome, absorbed, timedOut, cutShort prometheus.Counter
}

// New returns a layer.
func New(o Options) *Layer {
	if o.MaxFinished == 0 {
		o.MaxFinished = DefaultMaxFinished
	}
	l := &Layer{sender: o.Sender, timers: o.Timers.orDefault(), seed: maphash.MakeSeed(), maxFinished: int64(o.MaxFinished)}
	l.packets.New = func() any { return new(transport.Packet) }
	l.scratch.New = func() any { b := make([]byte, 0, 2048); return &b }
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "bellhop", Subsystem: "sip", Name: name, Help: help})
		if o.Registerer != nil {
			o.Registerer.MustRegister(c)
		}
		return c
	}
	l.metrics = metrics{
		begun:     counter("transactions_total", "Transactions begun, client and server."),
		sentHome:  counter("responses_rerouted_total", "Responses whose connection was gone, sent down the one that the device came back with."),
		sentAgain: counter("retransmissions_sent_total", "Messages we sent again because no answer came."),
		absorbed:  counter("retransmissions_absorbed_total", "Messages received again and absorbed."),
		timedOut:  counter("transactions_timed_out_total", "Client transactions that no final response ended (Timers B, C and F)."),
		cutShort:  counter("transactions_cut_short_total", "Finished transactions dropped early because too many lingered (limit)."),
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "bellhop", Subsystem: "sip", Name: "transactions_lingering",
			Help: "Finished transactions that still absorb retransmissions.",
		}, func() float64 { return float64(l.finished.Load()) }))
	}
	return l
}

// Timers are those in force.
func (ly *Layer) Timers() Timers { return ly.timers }

// Buffer lends a buffer of length 0 to compose a message in; give it back with
// [Layer.Release] after it was sent.
func (ly *Layer) Buffer() *[]byte {
	b := ly.scratch.Get().(*[]byte)
	*b = (*b)[:0]
	return b
}

// Release takes back what Buffer lent.
func (ly *Layer) Release(b *[]byte) { ly.scratch.Put(b) }

// A User is the transaction user of client transactions (RFC 3261 §5): a
// response context of the proxy, or a leg. Its methods run in steps of the lane.
type User interface {
	// Response is called for every provisional response, for the first final
	// one, and for every 2xx to an INVITE (RFC 6026 §7.2). res is valid during
	// the call; clone it to keep it.
	Response(c *Client, res *wire.Message)
	// Failed is called when a transaction ended without a final response: it
	// timed out (Timers B and F, or 64*T1 after CANCEL) or could not be sent again.
	Failed(c *Client)
	// TimerC is called when an INVITE had no 101 to 199 for Timer C
	// (RFC 3261 §16.8): cancel it.
	TimerC(c *Client)
}

// A Set is the transactions of one lane. The zero Set is not usable; see
// [Layer.NewSet].
type Set struct {
	// Tied is what the transaction user ties to the lane.
	Tied any

	layer   *Layer
	lane    *lane.Lane
	servers []*Server
	clients []*Client

	// What a call to one phone takes of these.
	serverRoom [2]*Server
	clientRoom [2]*Client
}

// A Task is an event of a lane: what begins transactions of our own in it, such
// as a REGISTER with a carrier. It runs as a step.
type Task func(s *Set)

// NewSet returns the empty set of l's lane.
func (ly *Layer) NewSet(l *lane.Lane) *Set {
	s := &Set{layer: ly, lane: l}
	s.servers, s.clients = s.serverRoom[:0], s.clientRoom[:0]
	return s
}

// Empty reports that no transaction is left, so that the lane may close.
func (s *Set) Empty() bool { return len(s.servers) == 0 && len(s.clients) == 0 }

// Fired hands a timer event to the transaction it belongs to. It reports false
// when the timer is none of ours.
func (s *Set) Fired(ev lane.Fired) bool {
	switch tx := ev.Timer.Owner.(type) {
	case *Server:
		tx.fired()
	case *Client:
		tx.fired()
	default:
		return false
	}
	return true
}

// linger asks for a place among the finished transactions.
func (ly *Layer) linger() bool {
	if ly.finished.Add(1) > ly.maxFinished {
		ly.finished.Add(-1)
		ly.metrics.cutShort.Inc()
		return false
	}
	return true
}

func reliable(f location.Flow) bool { return f.Transport != location.UDP }

// cookie starts every branch made to RFC 3261 (§8.1.1.7).
const cookie = "z9hG4bK"

// key folds what identifies a server transaction (RFC 3261 §17.2.3) into one
// keyed hash: branch, sent-by and method, ACK counted as INVITE. Branches without the
// cookie are of RFC 2543 and need more of the message.
func (ly *Layer) key(m *wire.Message, method wire.Method) uint64 {
	var h maphash.Hash
	h.SetSeed(ly.seed)
	via := m.TopVia()
	if method == wire.Ack {
		method = wire.Invite
	}
	_ = h.WriteByte(byte(method))
	if method == wire.Unknown {
		_, _ = h.Write(m.MethodBytes())
	}
	if len(via.Branch) > len(cookie) && string(via.Branch[:len(cookie)]) == cookie {
		_, _ = h.Write(via.Branch)
	} else {
		_, _ = h.Write(m.RequestURI())
		_, _ = h.Write(m.FromTag())
		_, _ = h.WriteString("\x00")
		_, _ = h.Write([]byte{byte(m.CSeq() >> 24), byte(m.CSeq() >> 16), byte(m.CSeq() >> 8), byte(m.CSeq())})
		_, _ = h.Write(via.Branch)
	}
	_ = h.WriteByte(0)
	_, _ = h.Write(via.Host)
	_ = h.WriteByte(':')
	_, _ = h.Write(via.Port)
	return h.Sum64()
}
