package b2bua

import (
	"bytes"
	"strconv"
	"time"

	"bellhop/routing"
	"bellhop/routing/call"
	"bellhop/routing/ring"
	"bellhop/sip/lane"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

// A Service is an end of a call that is ourselves: what a feature code asked for,
// a mailbox, an announcement. It is rung as a phone is and answers at once; for
// package call it is leg B, whose messages never leave the process. Its functions
// run in steps of the lane of the call.
type Service struct {
	// Name says in the account of the call what it is: "forward_all".
	Name string
	// Describe returns the session description for an offer of the caller, or an
	// offer when there is none: 200 goes out with it. An error is 488.
	Describe func(offer []byte) ([]byte, error)
	// Lasts is how long after the caller's ACK the service hangs up; 0: it does not.
	Lasts time.Duration
	// Joined, when set, is told of the ACK: from then on the service may speak.
	Joined func(Talk)

	left func() // told that the call is over; nil: nobody is
}

// A Talk is an answered call as its service has it. Its methods are for steps of
// the lane of the call; when the call has ended they do nothing.
type Talk struct{ pair *pair }

// Offer asks the caller for another session: a re-INVITE with a session
// description of ours (RFC 3261 §14). then is told the final status and what the
// caller answered; 491 or 500 when another offer was in the way.
func (t Talk) Offer(description []byte, then func(status int, answer []byte)) {
	t.pair.ask(call.Invite, body{"application/sdp", description}, func(status int, answer body) { then(status, answer.bytes) })
	t.pair.a.settle()
}

// HangUp ends the call.
func (t Talk) HangUp() {
	t.pair.ask(call.Bye, body{}, nil)
	t.pair.a.settle()
}

// Answer begins a call that a service answers. The server transaction of the
// caller's INVITE owns it.
func (b *B2BUA) Answer(ln *lane.Lane, set *transaction.Set, srv *transaction.Server, i *Invitation, s *Service) {
	i.Plan.Decision = routing.Ring{Mute: true, Stages: []routing.Stage{{
		Targets: []ring.Target{{Service: true, Kind: s.Name, Instance: s.Name, Q: 1000}},
	}}}
	i.service = s
	b.Invite(ln, set, srv, i)
}

// serviceURI is what a service calls itself in messages that nobody receives.
const serviceURI = "<sip:service@service.invalid>"

// A served is the branch of a service.
type served struct {
	Service
	br    *branch
	timer lane.Timer
}

// begin has the service answer the INVITE of the caller: as a response of a phone
// would come, when this step is over.
func (v *served) begin() {
	br := v.br
	a := br.a
	if !v.later(func() {
		m := a.request()
		if br.ended || m == nil {
			return
		}
		br.took(v.respond(m, call.Invite))
	}) {
		br.unsent()
	}
}

// acked takes the caller's ACK.
func (v *served) acked(p *pair) {
	if v.Lasts > 0 {
		v.timer.Set(v.br.a.lane, v.Lasts)
	}
	if v.Joined != nil {
		v.Joined(Talk{p})
	}
}

// later runs f in a step of its own; false: the lane has no room.
func (v *served) later(f func()) bool {
	a := v.br.a
	return a.lane.Post(lane.Continue(func() {
		if a.released {
			return
		}
		a.tick()
		f()
		a.settle()
	})) == nil
}

// request takes a request of the caller that went on to the service.
func (v *served) request(x *exchange) bool {
	return v.later(func() {
		if x.final || x.srv != nil && x.srv.Request == nil {
			return
		}
		var m *wire.Message
		if x.srv != nil {
			m = &x.srv.Request.Msg
		}
		x.Response(nil, v.respond(m, x.method))
	})
}

// respond is the response of the service to a request; m is nil for one of our
// own: a BYE.
func (v *served) respond(m *wire.Message, method call.Method) *wire.Message {
	status, sdp := 200, body{}
	switch method {
	case call.Invite, call.Update:
		var offer []byte
		if m != nil {
			offer = descriptionOf(m)
		}
		if method == call.Update && offer == nil {
			break
		}
		text, err := v.Describe(offer)
		if err != nil {
			status = 488
			break
		}
		sdp = body{"application/sdp", text}
	case call.Bye, call.MethodOptions, call.Info, call.Prack:
	case call.Refer, call.Other:
		status = 405
	default:
		panic("b2bua: unknown method")
	}
	return v.message(status, sdp)
}

// message makes a response as if it had come from somewhere. What names
// dialog and transaction in it is not looked at: its way is known.
func (v *served) message(status int, sdp body) *wire.Message {
	text := []byte("SIP/2.0 " + strconv.Itoa(status) + " " + wire.ReasonPhrase(status) + "\r\n" +
		"Via: SIP/2.0/UDP service.invalid;branch=z9hG4bKservice\r\nFrom: " + serviceURI + ";tag=caller\r\nTo: " + serviceURI + ";tag=service\r\n" +
		"Call-ID: service\r\nCSeq: 1 INVITE\r\nContact: " + serviceURI + "\r\nAllow: " + allowOutside + "\r\n")
	if len(sdp.bytes) > 0 {
		text = wire.AppendLine(text, "Content-Type", sdp.kind)
	}
	text = append(strconv.AppendInt(append(text, "Content-Length: "...), int64(len(sdp.bytes)), 10), "\r\n\r\n"...)
	m := new(wire.Message)
	if err := m.Parse(append(text, sdp.bytes...)); err != nil {
		panic("b2bua: a response of a service: " + err.Error())
	}
	return m
}

// Fired is the step of the timer: the service has said what it had to say.
func (v *served) Fired() {
	a := v.br.a
	a.tick()
	if a.talks != nil && a.talks.br == v.br {
		Talk{a.talks}.HangUp()
	}
}

// serves returns the service that a leg is; nil: somebody else.
func (p *pair) serves(leg call.Leg) *served {
	if leg == call.A || p.br == nil {
		return nil
	}
	return p.br.service
}

// ask sends a request of the service to the caller, within the call: an INVITE
// with an offer for another session, or BYE. then, which may be nil, is told its
// final response; it runs in a step.
func (p *pair) ask(method call.Method, sdp body, then func(status int, answer body)) {
	a := p.a
	if a.released || p.state.Ended() {
		return
	}
	a.ids++
	x := &exchange{pair: p, id: a.ids, method: method, word: word(method), to: call.A, sdp: sdp, then: then, inside: true}
	x.timer.Owner = x
	p.open = append(p.open, x)
	p.step(call.Request{Now: a.now, Leg: call.B, ID: x.id, Method: method, SDP: len(sdp.bytes) > 0})
}

// heard takes the final response to a request of a service.
func (x *exchange) heard(status int, answer body) {
	then := x.then
	x.then = nil
	if x.method == call.Invite && status/100 == 2 {
		x.pair.step(call.Acked{Now: x.pair.a.now, Leg: call.B})
	}
	if then != nil {
		then(status, answer)
	}
}

// descriptionOf is the session description of a message, also when it is one
// part of several; nil for none.
func descriptionOf(m *wire.Message) []byte {
	b := bodyOf(m)
	if !bytes.HasPrefix(bytes.ToLower([]byte(b.kind)), []byte("multipart/")) {
		return b.bytes
	}
	i := bytes.Index(b.bytes, []byte("\r\n\r\nv=0\r\n"))
	if i < 0 {
		return nil
	}
	text := b.bytes[i+4:]
	if end := bytes.Index(text, []byte("\r\n--")); end >= 0 {
		text = text[:end+2]
	}
	return text
}
