package event

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bellhop/feed"
	"bellhop/routing"
	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// Limits of messages that are kept.
const (
	keepFor         = 7 * 24 * time.Hour
	maxMessage      = 16 << 10  // bytes of a body; over UDP a message has 1300 at most (RFC 3428 §8)
	maxMessages     = 200       // of a number
	maxMessageBytes = 512 << 10 // of a number, as saved
	// patience is how long phones have to answer a MESSAGE before it is kept: its
	// sender waits 32 s (Timer F), and must hear of it before.
	patience = 10 * time.Second
	// tendEvery is how often is looked for messages that expired, or whose phone is
	// registered all the same: it did not answer last time, or another node kept them.
	tendEvery = time.Minute
)

// messageKind is the kind of messages in the store.
const messageKind = "message"

// A message is one that is kept.
type message struct {
	From string    `json:"from"` // URI
	Type string    `json:"type"` // Content-Type
	Body []byte    `json:"body"`
	At   time.Time `json:"at"`
}

// An inbox knows which numbers have messages. The store has them.
type inbox struct {
	letters atomic.Uint64
	mu      sync.Mutex // guards what follows
	changes uint64     // of numbers
	counted uint64     // changes when it was counted last
	numbers map[key]*kept
}

// kept is what a number has.
type kept struct {
	count, bytes int
	delivering   bool
	silent       int       // how often one after the other no phone answered
	next         time.Time // not before, unless a phone registers
}

// maxPause is the longest pause between two deliveries to a phone that does not
// answer.
const maxPause = time.Hour

func (b *inbox) waiting() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.numbers {
		n += k.count
	}
	return n
}

// reserve makes room for a message of a number; it reports false without.
func (b *inbox) reserve(number key, size int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.numbers[number]
	if k == nil {
		k = new(kept)
		b.numbers[number] = k
	}
	if k.count >= maxMessages || k.bytes+size > maxMessageBytes {
		return false
	}
	k.count, k.bytes = k.count+1, k.bytes+size
	b.changes++
	return true
}

// release gives the room of a message back.
func (b *inbox) release(number key, size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changes++
	if k := b.numbers[number]; k != nil {
		k.count, k.bytes = max(0, k.count-1), max(0, k.bytes-size)
		b.tidy(number, k)
	}
}

func (b *inbox) tidy(number key, k *kept) {
	if k.count == 0 && !k.delivering {
		delete(b.numbers, number)
	}
}

// begin claims the delivery of what a number has; it reports false when there is
// nothing, or somebody delivers already, or its phones did not answer lately and none
// has registered since.
func (b *inbox) begin(number key, registered bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.numbers[number]
	if k == nil || k.count == 0 || k.delivering || !registered && time.Now().Before(k.next) {
		return false
	}
	k.delivering = true
	return true
}

// end gives the claim back; answered says that a phone did.
func (b *inbox) end(number key, answered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.numbers[number]
	if k == nil {
		return
	}
	k.delivering = false
	if k.silent++; answered {
		k.silent = 0
	}
	k.next = time.Now().Add(min(tendEvery<<min(k.silent, 10)/2, maxPause))
	b.tidy(number, k)
}

// count takes what the store has, as other nodes keep messages too. What is known of a
// number is more recent when something changed since the last time: it may not be
// saved yet.
func (b *inbox) count(all []feed.KeptFor) (numbers []key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	same := b.changes == b.counted
	b.counted = b.changes
	for _, k := range b.numbers {
		if same {
			k.count, k.bytes = 0, 0
		}
	}
	for _, v := range all {
		number := key{v.Domain, v.Number}
		k := b.numbers[number]
		if known := k != nil; !known || same {
			if !known {
				k = new(kept)
				b.numbers[number] = k
			}
			k.count, k.bytes = v.Count, v.Bytes
		}
		numbers = append(numbers, number)
	}
	for number, k := range b.numbers {
		b.tidy(number, k)
	}
	return numbers
}

// A Letter is a MESSAGE of a device for a number, until it has its final response,
// and longer when that says 202 (RFC 3428 §7). It lives in a lane.
type Letter struct {
	s         *Server
	lane      *lane.Lane
	srv       *transaction.Server
	to        key
	row       feed.Kept
	best      func() int
	timer     lane.Timer
	state     letterState
	delivered bool // a phone took it, though it is kept
}

type letterState uint8

const (
	onItsWay letterState = iota
	keeping              // being saved
	answered             // by us, with 202 when it is kept
)

// NewLetter returns the MESSAGE of srv, which a device sent to a number; nil when
// it could not be kept.
func (s *Server) NewLetter(ln *lane.Lane, srv *transaction.Server, from *auth.From, number string) *Letter {
	m := &srv.Request.Msg
	sender := uriOf(m, wire.From)
	if s.o.Store == nil || from.Caller.Device == "" || sender == "" || len(m.Body()) > maxMessage || !s.fetches(from.Domain, number) {
		return nil
	}
	v := message{From: sender, Body: m.Body(), At: srv.Request.Received.UTC()}
	if t, ok := m.Get(wire.ContentType); ok && oneLine(t.Bytes()) {
		v.Type = string(t.Bytes())
	}
	body, err := json.Marshal(&v)
	if err != nil {
		return nil
	}
	return &Letter{s: s, lane: ln, srv: srv, to: key{from.Domain, number}, row: feed.Kept{
		Kind: messageKind, ID: fmt.Sprintf("%016x-%08x-%s", v.At.UnixNano(), uint32(s.inbox.letters.Add(1)), rand.Text()[:8]), // in their order
		Domain: from.Domain, Number: number, Expires: v.At.Add(keepFor), Body: body,
	}}
}

// fetches reports whether messages of a number may be fetched some day: it has
// devices. What is not in memory counts as one that does.
func (s *Server) fetches(domain, number string) bool {
	w := routing.NewWorld(time.Now())
	if number == "" || !s.o.World.Cached(routing.Need{Kind: routing.NeedNumber, Domain: domain, Key: number}, w) {
		return number != ""
	}
	l := w.Number(domain, number)
	return l != nil && l.Hunt == nil && len(l.Devices) > 0
}

// Wait gives the phones some seconds to answer; best returns the best final response
// so far, 0 for none. After that the message is kept.
func (l *Letter) Wait(best func() int) {
	if l.srv.Done() || l.state != onItsWay {
		return
	}
	l.best = best
	l.timer.Owner = l
	l.timer.Set(l.lane, patience)
}

// Fired is the step in which the patience is over.
func (l *Letter) Fired() {
	if !l.srv.Done() && l.state == onItsWay && l.best() == 0 {
		l.keep(408)
	}
}

// Final takes the final response that all branches together have; it reports whether
// the message is answered here instead.
func (l *Letter) Final(status int) (taken bool) {
	switch {
	case status < 300:
		l.timer.Stop()
		if l.state == answered && !l.delivered {
			l.forget()
		}
		l.delivered = true
		return l.state == answered
	case l.state != onItsWay:
		return true
	default:
		l.timer.Stop()
		return absent(status) && l.keep(status)
	}
}

// absent reports whether a final response says that no phone was there to take a
// message: one that refuses it will do so again.
func absent(status int) bool {
	switch status {
	case 408, 430, 480, 481, 500, 502, 503, 504:
		return true
	default:
		return false
	}
}

// keep saves the message and answers 202, or status when it cannot.
func (l *Letter) keep(status int) bool {
	s := l.s
	if !s.inbox.reserve(l.to, len(l.row.Body)) {
		s.metrics.messages.WithLabelValues("refused").Inc()
		return false
	}
	l.state = keeping
	row := l.row
	err := l.lane.Do(func(ctx context.Context) lane.Event {
		ctx, cancel := context.WithTimeoutCause(ctx, storeTimeout, errSlow)
		defer cancel()
		err := s.saver.save(ctx, row)
		return lane.Continue(func() { l.kept(status, err) })
	})
	if err != nil {
		s.inbox.release(l.to, len(l.row.Body))
		l.state = onItsWay
		return false
	}
	return true
}

func (l *Letter) kept(status int, err error) {
	s := l.s
	if l.state = answered; err != nil {
		s.metrics.unsaved.Inc()
		s.log.Error("message not kept", "domain", l.to.domain, "number", l.to.name, "err", err)
		l.forget() // it may have been saved after all
		s.reply(l.srv, status, "", "")
		return
	}
	s.metrics.messages.WithLabelValues("kept").Inc()
	if l.delivered { // the 2xx went up
		l.forget()
		return
	}
	s.reply(l.srv, 202, "", "")
}

// forget takes the message out again.
func (l *Letter) forget() { l.s.forget(l.to, l.row) }

func (s *Server) forget(number key, row feed.Kept) {
	size := len(row.Body)
	row.Body = nil
	s.saver.later(row)
	s.inbox.release(number, size)
}

// Registered takes that devices registered at a number, after they heard so: what
// waited for them goes out.
func (s *Server) Registered(aor location.AOR, added []ring.Target) {
	if len(added) == 0 {
		return
	}
	if s.count.Load() > 0 {
		for _, t := range added {
			s.device(key{aor.Domain(), t.Device}, (*subscription).moved)
		}
	}
	s.deliver(key{aor.Domain(), aor.User()}, true)
}

// tend delivers what waits for phones that are there, and drops what nobody fetched,
// until ctx ends.
func (s *Server) tend(ctx context.Context) {
	t := time.NewTicker(tendEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		numbers, err := s.countMessages(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "kept messages not looked after", "err", err)
		}
		for _, number := range numbers {
			s.deliver(number, false)
		}
	}
}

// countMessages drops the messages that expired and returns which numbers have some.
func (s *Server) countMessages(ctx context.Context) ([]key, error) {
	n, err := s.o.Store.DropKept(ctx, messageKind, time.Now())
	s.metrics.messages.WithLabelValues("expired").Add(float64(n))
	if err != nil {
		return nil, err
	}
	all, err := s.o.Store.KeptFor(ctx, messageKind)
	if err != nil {
		return nil, err
	}
	return s.inbox.count(all), nil
}

// A delivery is the messages of one number going out, one after the other, so that
// they come in order. Each has a Call-ID of its own, and so a lane.
type delivery struct {
	s       *Server
	to      key
	rows    []feed.Kept
	targets location.Bindings
	open    int  // branches of the message at hand
	taken   bool // by a phone
	refused bool // by a phone that was there
}

// deliver sends what a number has to its phones.
func (s *Server) deliver(number key, registered bool) {
	aor, err := location.NewAOR(number.name, number.domain)
	if err != nil {
		return
	}
	d := &delivery{s: s, to: number, targets: s.o.Location.AppendBindings(nil, aor, time.Now())}
	d.targets = slices.DeleteFunc(d.targets, func(b location.Binding) bool { return b.Node != 0 && b.Node != uint16(s.o.Node) }) // another node's
	if len(d.targets) == 0 || !s.inbox.begin(number, registered) {
		return
	}
	err = s.inLane(strings.ToLower(rand.Text()), func(st *step) {
		err := st.lane.Do(func(ctx context.Context) lane.Event {
			err := d.load(ctx)
			return lane.Continue(func() { d.loaded(err) })
		})
		if err != nil {
			s.inbox.end(number, true)
		}
	})
	if err != nil {
		s.inbox.end(number, true)
	}
}

func (d *delivery) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storeTimeout, errSlow)
	defer cancel()
	return d.s.o.Store.Kept(ctx, messageKind, d.to.domain, d.to.name, func(r feed.Kept) error {
		d.rows = append(d.rows, r)
		return nil
	})
}

func (d *delivery) loaded(err error) {
	if err != nil {
		d.s.log.Warn("kept messages not read", "domain", d.to.domain, "number", d.to.name, "err", err)
		d.s.inbox.end(d.to, true)
		return
	}
	d.next()
}

// next sends the next message; without one the delivery is over.
func (d *delivery) next() {
	for len(d.rows) > 0 && !time.Now().Before(d.rows[0].Expires) {
		d.rows = d.rows[1:]
	}
	if len(d.rows) == 0 {
		d.s.inbox.end(d.to, true)
		return
	}
	callID := strings.ToLower(rand.Text())
	if d.s.inLane(callID, func(st *step) { d.send(st, callID) }) != nil {
		d.s.inbox.end(d.to, true) // no room: at the next REGISTER, or in a minute
	}
}

// send sends the first message to all phones of the number.
func (d *delivery) send(st *step, callID string) {
	d.open, d.taken, d.refused = 0, false, false
	var v message
	if json.Unmarshal(d.rows[0].Body, &v) == nil {
		for i := range d.targets {
			b := &d.targets[i]
			id := transaction.NewID()
			buf := d.s.o.Transactions.Buffer()
			*buf = d.compose(*buf, id, b, &v, callID)
			if _, err := st.set.Request(b.Flow, wire.MethodMessage, id, *buf, d, 0); err == nil {
				d.open++
			}
			d.s.o.Transactions.Release(buf)
		}
	}
	if d.open == 0 {
		d.s.inbox.end(d.to, false)
	}
}

// compose appends the MESSAGE as it was, from who sent it, with when that was (RFC
// 3428 §9).
func (d *delivery) compose(b []byte, id transaction.ID, to *location.Binding, v *message, callID string) []byte {
	at := d.s.o.Network.Advertise(to.Flow.Local)
	b = append(append(append(b, "MESSAGE "...), to.Contact...), " SIP/2.0\r\nVia: SIP/2.0/"...)
	b = append(append(append(b, to.Flow.Transport.String()...), ' '), at.String()...)
	b = id.AppendBranch(append(b, ";branch="...), 0)
	b = append(b, ";rport\r\nMax-Forwards: 70\r\n"...)
	for _, p := range to.Path {
		b = wire.AppendLine(b, "Route", p)
	}
	b = append(append(append(b, "From: <"...), v.From...), ">;tag="...)
	b = append(append(b, callID[:10]...), "\r\nTo: <sip:"...)
	b = wire.AppendEscapedUser(b, d.to.name)
	b = append(append(append(b, '@'), d.to.domain...), ">\r\n"...)
	b = wire.AppendLine(b, "Call-ID", callID)
	b = append(b, "CSeq: 1 MESSAGE\r\nDate: "...)
	b = append(v.At.UTC().AppendFormat(b, "Mon, 02 Jan 2006 15:04:05"), " GMT\r\n"...)
	if v.Type != "" {
		b = wire.AppendLine(b, "Content-Type", v.Type)
	}
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(v.Body)), 10)
	return append(append(b, "\r\n\r\n"...), v.Body...)
}

// Response implements [transaction.User].
func (d *delivery) Response(_ *transaction.Client, res *wire.Message) {
	switch status := res.Status(); {
	case status < 200:
		return
	case status < 300:
		if !d.taken {
			d.taken = true
			d.s.metrics.messages.WithLabelValues("delivered").Inc()
			d.s.forget(d.to, d.rows[0])
		}
	default:
		d.refused = d.refused || !absent(status)
	}
	d.settle()
}

// Failed implements [transaction.User].
func (d *delivery) Failed(*transaction.Client) { d.settle() }

// TimerC implements [transaction.User]; it is for INVITE.
func (d *delivery) TimerC(*transaction.Client) {}

// settle goes on when all phones have said something. A message that none took stays;
// those after it go out when it was refused, and wait with it when nobody answered.
func (d *delivery) settle() {
	if d.open--; d.open > 0 {
		return
	}
	if !d.taken && !d.refused {
		d.s.inbox.end(d.to, false)
		return
	}
	d.rows = d.rows[1:]
	d.next()
}
