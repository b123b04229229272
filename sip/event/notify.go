package event

import (
	"hash/maphash"
	"slices"
	"strconv"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// How many NOTIFYs a subscription may cost: one a second (RFC 4235 §3.8), and a few
// more at once, so that the lamp of a call that is answered at once does not lag.
const (
	interval = time.Second
	burst    = 6
)

// newest is the newest state that is known: that of the looker, or that of a
// SUBSCRIBE. nil: none is yet.
func (sub *subscription) newest() *State {
	state := sub.w.state.Load()
	if state == nil || sub.state != nil && sub.state.turn > state.turn {
		return sub.state
	}
	return state
}

// flush tells the subscriber what the number is like now, unless it knows.
func (sub *subscription) flush(st *step) {
	state := sub.newest()
	own := state != nil && state.owns(sub.saved.Device)
	switch {
	case sub.over || sub.ending != "" || state == nil:
		return
	case sub.current != nil || sub.busy > 0:
		sub.pending = true
		return
	case state.Line == nil:
		sub.end(st, "noresource")
		return
	case sub.pack.own && sub.pack.name != packReg && !own: // the number is another's now
		sub.end(st, "rejected")
		return
	}
	now := time.Now()
	v := view{entity: sub.saved.Entity, own: own, open: state.open(own)}
	hash := sub.s.digest(sub.pack.body(nil, state, v, unsent, now))
	if hash == sub.hash && !sub.force {
		return
	}
	if !sub.force && now.Before(sub.tat.Add(-burst*interval)) {
		sub.hold(st, sub.tat.Add(-burst*interval).Sub(now))
		return
	}
	body, kind := sub.body(state, v, now)
	remaining := (sub.saved.Expires.Sub(now) + time.Second - 1) / time.Second
	if !sub.send(st, "active;expires="+strconv.Itoa(int(max(1, remaining))), kind, body) {
		sub.waiting, sub.known = true, false
		return
	}
	if sub.tat.Before(now) {
		sub.tat = now
	}
	sub.tat = sub.tat.Add(interval)
	sub.force, sub.waiting, sub.hash = false, false, hash
}

// body makes the document for the subscriber, and notes what it was told.
func (sub *subscription) body(state *State, v view, now time.Time) (body []byte, contentType string) {
	version := sub.saved.Seq // the first is 0, and CSeq 1
	switch sub.pack.name {
	case packDialog:
		lamps := state.lamps(v.open)
		d := dialogInfo{view: v, version: version, line: state.Connection(v.open)}
		d.dialogs, d.partial = Step(sub.shown, lamps, sub.known)
		sub.shown = slices.Clone(lamps)
		return d.appendTo(nil), sub.pack.contentType
	case packFeature:
		all := state.features()
		tell := changedFeatures(sub.features, all)
		if !sub.known {
			tell = all
		}
		sub.features = all
		return appendFeatures(nil, tell)
	default:
		return sub.pack.body(nil, state, v, version, now), sub.pack.contentType
	}
}

// last sends the NOTIFY that ends the subscription.
func (sub *subscription) last(st *step, reason string) {
	state := sub.newest()
	var body []byte
	kind := ""
	if state != nil && state.Line != nil && reason == "timeout" {
		sub.known = false
		own := state.owns(sub.saved.Device)
		body, kind = sub.body(state, view{entity: sub.saved.Entity, own: own, open: state.open(own)}, time.Now())
	}
	sub.send(st, "terminated;reason="+reason, kind, body)
}

// digest tells documents apart; it is never 0.
func (s *Server) digest(b []byte) uint64 { return maphash.Bytes(s.seed, b) | 1 }

// A holding is a subscription whose NOTIFY is held back.
type holding struct {
	sub *subscription
	st  *step
}

// Fired is the step in which the time has come.
func (h *holding) Fired() {
	h.sub.held = false
	h.st.lane.Let()
	h.sub.flush(h.st)
}

// hold puts a NOTIFY off; the newest state goes out then.
func (sub *subscription) hold(st *step, d time.Duration) {
	if sub.held {
		return
	}
	sub.held = true
	st.lane.Keep()
	sub.timer.Owner = &holding{sub, st}
	sub.timer.Set(st.lane, d)
}

// A notification is a NOTIFY under way.
type notification struct {
	sub  *subscription
	st   *step
	flow location.Flow
}

// send sends a NOTIFY; it reports false when the device cannot be reached.
func (sub *subscription) send(st *step, state, contentType string, body []byte) bool {
	outcome := sub.s.metrics.notifies
	flow, ok := sub.flow()
	if !ok {
		outcome.WithLabelValues("unreachable").Inc()
		return false
	}
	sub.saved.Seq++
	id := transaction.NewID()
	buf := sub.s.o.Transactions.Buffer()
	*buf = sub.compose(*buf, id, flow, state, contentType, body)
	n := &notification{sub, st, flow}
	_, err := st.set.Request(flow, wire.Notify, id, *buf, n, 0)
	sub.s.o.Transactions.Release(buf)
	if err != nil {
		outcome.WithLabelValues("unreachable").Inc()
		return false
	}
	outcome.WithLabelValues("sent").Inc()
	sub.current = n
	return true
}

// compose appends a NOTIFY (RFC 6665 §4.2.2, RFC 3261 §12.2.1.1).
func (sub *subscription) compose(b []byte, id transaction.ID, flow location.Flow, state, contentType string, body []byte) []byte {
	v := &sub.saved
	at := sub.s.o.Network.Advertise(flow.Local)
	b = append(append(append(b, "NOTIFY "...), v.Target...), " SIP/2.0\r\nVia: SIP/2.0/"...)
	b = append(append(append(b, flow.Transport.String()...), ' '), at.String()...)
	b = id.AppendBranch(append(b, ";branch="...), 0)
	b = append(b, ";rport\r\nMax-Forwards: 70\r\n"...)
	for _, r := range v.Routes {
		b = wire.AppendLine(b, "Route", r)
	}
	b = append(append(append(b, "From: <"...), v.LocalURI...), ">;tag="...)
	b = append(append(append(b, v.LocalTag...), "\r\nTo: <"...), v.RemoteURI...)
	b = append(append(append(b, ">;tag="...), v.RemoteTag...), "\r\n"...)
	b = wire.AppendLine(b, "Call-ID", v.CallID)
	b = append(strconv.AppendUint(append(b, "CSeq: "...), uint64(v.Seq), 10), " NOTIFY\r\nContact: <"...)
	b = append(append(b, sub.contact(flow)...), ">\r\nEvent: "...)
	b = append(b, v.Package...)
	if v.EventID != "" {
		b = append(append(b, ";id="...), v.EventID...)
	}
	b = append(b, "\r\n"...)
	b = wire.AppendLine(b, "Subscription-State", state)
	if contentType != "" {
		b = wire.AppendLine(b, "Content-Type", contentType)
	}
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
	return append(append(b, "\r\n\r\n"...), body...)
}

// Response implements [transaction.User].
func (n *notification) Response(_ *transaction.Client, res *wire.Message) {
	status := res.Status()
	outcome := n.sub.s.metrics.notifies
	switch {
	case status < 200:
		return
	case status < 300:
		outcome.WithLabelValues("accepted").Inc()
		n.done(true)
	case isOver(status):
		outcome.WithLabelValues("refused").Inc()
		n.sub.drop("refused")
	default: // 401 and 407 too: who challenges us has not ended anything
		outcome.WithLabelValues("refused").Inc()
		n.done(false)
	}
}

// isOver reports whether a response to NOTIFY ends the subscription (RFC 6665
// §4.2.2).
func isOver(status int) bool {
	return slices.Contains([]int{404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604}, status)
}

// Failed implements [transaction.User]: the subscriber is gone, or only has moved.
func (n *notification) Failed(*transaction.Client) {
	sub := n.sub
	sub.s.metrics.notifies.WithLabelValues("timeout").Inc()
	if sub.current != n {
		return
	}
	f, ok := sub.flow()
	if ok && f == n.flow {
		sub.drop("silent")
		return
	}
	sub.waiting, sub.force = !ok, true
	n.done(false)
}

// TimerC implements [transaction.User]; it is for INVITE.
func (n *notification) TimerC(*transaction.Client) {}

// done goes on after a NOTIFY; known says that the subscriber has what it says.
func (n *notification) done(known bool) {
	sub := n.sub
	if sub.current != n { // the device registered elsewhere since, and got another one
		return
	}
	sub.current, sub.known = nil, known
	reason := sub.ending
	switch {
	case sub.over:
	case reason != "":
		sub.ending = ""
		sub.end(n.st, reason)
	case !known && !sub.force: // what it missed goes out with the next change
		sub.hash = 0
		sub.again(n.st)
	default:
		sub.again(n.st)
	}
}

// again looks whether something happened while a NOTIFY was under way.
func (sub *subscription) again(st *step) {
	if sub.pending || sub.force && !sub.waiting {
		sub.pending = false
		sub.flush(st)
	}
}

// moved takes that the device of the subscriber registered: what could not be sent
// goes out now, and what was sent where it is no more goes out again.
func (sub *subscription) moved(st *step) {
	f, ok := sub.flow()
	switch {
	case sub.over || !ok:
		return
	case sub.current != nil && sub.current.flow != f:
		sub.current, sub.known = nil, false
	case !sub.waiting:
		return
	}
	sub.waiting, sub.force = false, true
	if reason := sub.ending; reason != "" {
		sub.ending = ""
		sub.end(st, reason)
		return
	}
	sub.flush(st)
}
