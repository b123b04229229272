package proxy

import (
	"cmp"

	"bellhop/sip/transaction"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

// A relay is the response context (RFC 3261 §16.7) of a request that rings
// nobody by a plan: one within a dialog, or one outside of a dialog that is no
// INVITE. All its branches are tried at once.
type relay struct {
	x          *Proxy
	set        *transaction.Set
	srv        *transaction.Server
	clients    []*transaction.Client
	room       [1]*transaction.Client // for the client of a request with one branch
	best       *wire.Message          // owned; the best final response so far
	challenges []byte                 // of the 401 and 407 that are not the best
	open       int
	gaveUp     bool
	finished   func(status int) // called once, before the final response goes up; may be nil
	watch      Watch            // may be nil
}

// A Watch sees how a request comes out: each 2xx, and the final response when no
// branch had one. When it reports true, somebody else answers or has answered, and
// nothing goes up.
type Watch func(status int) (taken bool)

// taken asks the watch.
func (r *relay) taken(status int) bool { return r.watch != nil && r.watch(status) }

// add sends one more branch.
func (r *relay) add(o *outgoing, p *transport.Packet) {
	o.id = transaction.NewID()
	buf := r.x.txs.Buffer()
	*buf = r.x.compose(*buf, p, o)
	c, err := r.set.Request(o.flow, r.srv.Method(), o.id, *buf, r, len(r.clients))
	r.x.txs.Release(buf)
	if err != nil {
		r.x.metrics.sendFailed.Inc()
		return
	}
	if r.clients == nil {
		r.clients = r.room[:0]
	}
	r.clients = append(r.clients, c)
	r.open++
}

// start answers when no branch could be sent.
func (r *relay) start(status int) {
	if r.open == 0 && !r.taken(status) {
		r.finish(status)
		r.x.reply(r.srv, status, "", nil)
	}
}

// Response implements [transaction.User].
func (r *relay) Response(c *transaction.Client, res *wire.Message) {
	status := res.Status()
	switch {
	case status == 100: // RFC 3261 §16.7 step 5: ends here
	case status < 200:
		if !r.srv.Done() {
			r.up(res)
		}
	case status < 300:
		r.open--
		if r.taken(status) {
			return
		}
		first := !r.srv.Done()
		if first {
			r.finish(status)
		}
		if first || r.srv.Method() == wire.Invite {
			r.up(res) // every 2xx of an INVITE goes up (§16.7 step 5)
		}
		if first {
			r.cancelOthers(c)
		}
	default:
		r.open--
		if r.best == nil || better(res.Status(), r.best.Status()) {
			r.challenges = appendChallenges(r.challenges, r.best)
			r.best = res.Clone()
		} else {
			r.challenges = appendChallenges(r.challenges, res)
		}
		r.settle()
	}
}

// Failed implements [transaction.User]: the branch counts as a 408 (RFC 3261 §16.8).
func (r *relay) Failed(*transaction.Client) {
	r.open--
	r.settle()
}

// TimerC implements [transaction.User] (RFC 3261 §16.8).
func (r *relay) TimerC(c *transaction.Client) { c.Cancel(nil) }

// CancelAll implements [transaction.Branching].
func (r *relay) CancelAll(reason string) {
	r.gaveUp = true
	for _, c := range r.clients {
		c.Cancel(reasonLine(reason))
	}
}

func (r *relay) cancelOthers(winner *transaction.Client) {
	for _, c := range r.clients {
		if c != winner {
			c.Cancel(nil)
		}
	}
}

// settle answers with the best response when no branch is open.
func (r *relay) settle() {
	if r.open > 0 || r.srv.Done() || r.taken(cmp.Or(r.bestStatus(), 408)) {
		return
	}
	switch {
	case r.best == nil && r.gaveUp:
		r.finish(487)
		r.x.reply(r.srv, 487, "", nil)
	case r.best == nil || r.best.Status() == 408:
		r.finish(408)
		if r.srv.Method() != wire.Invite {
			r.srv.Abandon()
			return
		}
		r.x.reply(r.srv, 408, "", nil)
	default:
		r.finish(r.best.Status())
		r.up(r.best)
		r.best = nil
	}
}

// bestStatus is the status of the best final response so far, 0 for none.
func (r *relay) bestStatus() int {
	if r.best == nil {
		return 0
	}
	return r.best.Status()
}

func (r *relay) finish(status int) {
	if r.finished != nil {
		r.finished(status)
		r.finished = nil
	}
}

// up relays a response upstream: our Via comes off (RFC 3261 §16.7 step 3).
func (r *relay) up(res *wire.Message) {
	buf := r.x.txs.Buffer()
	var lines []byte
	if isChallenge(res) {
		lines = r.challenges
	}
	*buf = r.x.appendUp(*buf, res, 0, false, lines)
	r.srv.Send(res.Status(), *buf)
	r.x.txs.Release(buf)
}

// appendUp appends the response res as it goes upstream: without our Via, with
// another status when status is not 0, without its session description when
// dropSDP says so, with lines added to its header.
func (x *Proxy) appendUp(dst []byte, res *wire.Message, status int, dropSDP bool, lines []byte) []byte {
	sp := x.composers.Get().(*composer)
	defer x.composers.Put(sp)
	sp.Reset(res)
	sp.Remove(res.TopVia().Value)
	if status != 0 && status != res.Status() {
		sp.SetStatus(status, wire.ReasonPhrase(status))
	}
	if dropSDP && len(res.Body()) > 0 {
		sp.DropBody()
	}
	sp.Append(lines)
	return sp.AppendTo(dst)
}

// isChallenge reports whether a final response asks for credentials.
func isChallenge(res *wire.Message) bool {
	return res != nil && (res.Status() == 401 || res.Status() == 407)
}

// appendChallenges appends what a 401 or 407 asks for: the best of several
// carries the challenges of all (RFC 3261 §16.7 step 7).
func appendChallenges(dst []byte, res *wire.Message) []byte {
	if !isChallenge(res) {
		return dst
	}
	for _, f := range [...]wire.Field{wire.WWWAuthenticate, wire.ProxyAuthenticate} {
		for v := range res.All(f) {
			dst = wire.AppendLine(dst, f.String(), v.Bytes())
		}
	}
	return dst
}

// better reports whether the final status a is to be preferred to b (RFC 3261
// §16.7 step 6): 6xx first, then the lowest class; within 4xx those that let
// the caller try again with more.
func better(a, b int) bool {
	rank := func(s int) int {
		switch {
		case s >= 600:
			return 0
		case s >= 500:
			return 500 + s%100
		case s == 401 || s == 407 || s == 415 || s == 420 || s == 484:
			return 400
		case s == 408: // tells the caller least
			return 490
		default:
			return s/100*100 + 10
		}
	}
	return rank(a) < rank(b)
}

func reasonLine(reason string) []byte {
	if reason == "" {
		return nil
	}
	return []byte("Reason: " + reason + "\r\n")
}
