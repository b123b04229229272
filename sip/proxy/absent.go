package proxy

import (
	"time"

	"bellhop/sip/auth"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// An absent is a BYE for a device that has no flow now, because its connection
// closed: it is tried again for as long as one that is not answered (Timer F), so
// that a device which comes back does not sit in a call that is over. Who hung up has
// had its answer.
type absent struct {
	x      *Proxy
	lane   *lane.Lane
	set    *transaction.Set
	packet *transport.Packet // ours
	dialog Dialog
	tries  int
	timer  lane.Timer
}

const (
	absentTries = 32
	absentPause = time.Second
)

// await waits for the device that the BYE p is for.
func (x *Proxy) await(ln *lane.Lane, set *transaction.Set, p *transport.Packet, d Dialog) {
	a := &absent{x: x, lane: ln, set: set, packet: p, dialog: d}
	a.timer.Owner = a
	ln.Keep()
	a.timer.Set(ln, absentPause)
}

// Fired is the step of the timer.
func (a *absent) Fired() {
	a.tries++
	if f, ok := a.x.ends.Find(a.dialog.side, a.dialog.home, a.packet.Msg.RequestURI()); ok {
		a.dialog.flow = f
		if contact, ok := a.x.ends.Contact(a.dialog.side, a.dialog.home, f); ok && a.dialog.uri == nil && isGRUU(a.packet.Msg.RequestURI()) {
			a.dialog.contact = []byte(contact)
		}
		var o outgoing
		a.x.within(&o, a.packet, a.dialog)
		o.id = transaction.NewID()
		buf := a.x.txs.Buffer()
		*buf = a.x.compose(*buf, a.packet, &o)
		_, err := a.set.Request(f, wire.Bye, o.id, *buf, ignore{}, 0)
		a.x.txs.Release(buf)
		if err == nil {
			a.lane.Let()
			return
		}
	}
	if a.tries >= absentTries {
		a.x.metrics.sendFailed.Inc()
		a.lane.Let()
		return
	}
	a.timer.Set(a.lane, absentPause)
}

// ignore takes the responses that nobody waits for.
type ignore struct{}

func (ignore) Response(*transaction.Client, *wire.Message) {}
func (ignore) Failed(*transaction.Client)                  {}
func (ignore) TimerC(*transaction.Client)                  {}

// waits reports whether a request that no flow was found for is one to be awaited.
func waits(m *wire.Message, side auth.Side) bool {
	return m.Method() == wire.Bye && side.Kind == auth.Line
}
