package transaction

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/lane"
	"bellhop/sip/transport"
	"bellhop/sip/wire"
)

type state uint8

const (
	trying     state = iota // server: nothing sent; client: nothing received
	proceeding              // a provisional response went through
	completed               // a final response, non-2xx for an INVITE
	confirmed               // server INVITE: ACK received
	accepted                // INVITE: 2xx (RFC 6026)
	terminated
)

// A Server is a server transaction (RFC 3261 §17.2).
type Server struct {
	// Request is the request as received, owned by the transaction: what
	// responses, CANCEL and further branches are made of. It is nil after the
	// final response.
	Request *transport.Packet
	// User is what the transaction user ties to the transaction.
	User any
	// Home finds who sent the request when its connection is gone; nil: nobody does.
	Home Home

	set    *Set
	key    uint64
	method wire.Method
	state  state
	ticks  int8 // how often the timer fired in this state
	reply  location.Flow
	last   []byte            // the last response, to be sent again
	lent   *[]byte           // where a provisional one is, until the final one
	room   *transport.Packet // the memory of Request; nil: it is not ours
	brief  bool              // nobody keeps parts of Request
	lost   bool              // its connection is gone and nobody found another
	timer  lane.Timer
	until  time.Duration // Timer H: what is left
}

// A Home knows where a device is. That of a request whose connection closed takes
// the responses there: devices are not dialed at the sent-by of their Via, as RFC
// 3261 §18.2.2 has it, but reached by the flow they came back with (RFC 5626 §5.3).
type Home interface {
	// Flow returns the newest flow of the device.
	Flow() (location.Flow, bool)
}

// ReplyFlow is where responses to m, received over f, go: the source with rport
// (RFC 3581 §4), otherwise the source address and the port of the top Via
// (RFC 3261 §18.2.2); over a stream the connection it came from.
func ReplyFlow(m *wire.Message, f location.Flow) location.Flow {
	if reliable(f) {
		return f
	}
	via := m.TopVia()
	if via.HasRPort {
		return f
	}
	port := uint64(5060)
	if len(via.Port) > 0 {
		p, err := strconv.ParseUint(string(via.Port), 10, 16)
		if err != nil || p == 0 {
			return f
		}
		port = p
	}
	f.Remote = netip.AddrPortFrom(f.Remote.Addr(), uint16(port))
	return f
}

// Absorb takes p when it belongs to a server transaction that is there: a
// request received again, which is answered as before or swallowed, or the ACK
// of a non-2xx response. It reports whether it took p.
func (s *Set) Absorb(p *transport.Packet) bool {
	if len(s.servers) == 0 {
		return false
	}
	method := p.Msg.Method()
	srv := s.find(&p.Msg, method)
	if srv == nil {
		return false
	}
	switch {
	case method == wire.Ack:
		if srv.state == accepted {
			return false // the ACK of a 2xx is a transaction of its own, proxied
		}
		srv.acked()
	case srv.method != method:
		return false
	default:
		s.layer.metrics.absorbed.Inc()
		if len(srv.last) > 0 && srv.state != confirmed && srv.state != accepted {
			_ = s.layer.sender.Send(srv.reply, srv.last)
		}
	}
	return true
}

// Invite returns the INVITE transaction that the CANCEL m is for (RFC 3261
// §9.2), or nil.
func (s *Set) Invite(m *wire.Message) *Server {
	if len(s.servers) == 0 {
		return nil
	}
	return s.find(m, wire.Invite)
}

func (s *Set) find(m *wire.Message, method wire.Method) *Server {
	key := s.layer.key(m, method)
	for _, srv := range s.servers {
		if srv.key == key {
			return srv
		}
	}
	return nil
}

// Serve begins a server transaction for p, which it makes its own.
func (s *Set) Serve(p *transport.Packet) *Server {
	room := s.layer.packets.Get().(*transport.Packet)
	srv := &Server{
		Request: p.OwnIn(room),
		set:     s,
		key:     s.layer.key(&p.Msg, p.Msg.Method()),
		method:  p.Msg.Method(),
		reply:   ReplyFlow(&p.Msg, p.Flow),
	}
	if srv.Request == room {
		srv.room = room
	} else {
		s.layer.packets.Put(room)
	}
	srv.timer.Owner = srv
	s.servers = append(s.servers, srv)
	s.layer.metrics.begun.Inc()
	if srv.method == wire.Invite {
		srv.timer.Set(s.lane, tryingAfter)
	}
	return srv
}

// GiveUp ends what rings in the lane, as CANCEL of each INVITE would (RFC 3261
// §16.10).
func (s *Set) GiveUp() {
	for _, srv := range slices.Clone(s.servers) {
		if u, ok := srv.User.(Branching); ok && srv.method == wire.Invite && !srv.Done() {
			u.CancelAll("")
		}
	}
}

// A Branching is what a server transaction that was sent on ties to itself: who
// can give up what it was sent to.
type Branching interface {
	// CancelAll gives up all branches; reason is the value of the Reason field
	// of the CANCEL, "" without.
	CancelAll(reason string)
}

// Method is the method of the request.
func (srv *Server) Method() wire.Method { return srv.method }

// Alone reports whether nothing else goes on in the lane, as far as transactions
// tell.
func (srv *Server) Alone() bool {
	return len(srv.set.servers) == 1 && len(srv.set.clients) == 0 && srv.set.Tied == nil
}

// Done reports that a final response was sent.
func (srv *Server) Done() bool { return srv.state >= completed }

// ReplyFlow is where the responses of the transaction go.
func (srv *Server) ReplyFlow() location.Flow { return srv.reply }

// Send sends a response and takes the transaction on. b is not kept. A second 2xx
// of an INVITE is sent on (RFC 6026 §7.1); any other response after a final one
// is dropped.
func (srv *Server) Send(status int, b []byte) {
	switch {
	case srv.state == accepted && status/100 == 2:
	case srv.state >= completed:
		return
	}
	srv.put(b)
	if srv.state == accepted {
		return
	}
	if status < 200 {
		srv.state = proceeding
		srv.timer.Stop()
		if srv.lent == nil {
			srv.lent = srv.set.layer.Buffer()
		}
		*srv.lent = append((*srv.lent)[:0], b...)
		srv.last = *srv.lent
		return
	}
	srv.forget()
	srv.finish(status, b)
}

// put puts a response on its way. One that is lost is sent again, or asked for
// again.
func (srv *Server) put(b []byte) {
	ly := srv.set.layer
	err := ly.sender.Send(srv.reply, b)
	if srv.lost = err != nil && reliable(srv.reply); !srv.lost || srv.Home == nil {
		return
	}
	if f, ok := srv.Home.Flow(); ok && ly.sender.Send(f, b) == nil {
		srv.reply, srv.lost = f, false
		ly.metrics.sentHome.Inc()
	}
}

// Brief says whether nobody keeps the request, or a part of it, beyond the final
// response: the next call finds its memory warm then. Who does not know is not
// asked: it is false at first.
func (srv *Server) Brief(is bool) { srv.brief = is }

// forget lets go of the request and of the provisional response.
func (srv *Server) forget() {
	ly := srv.set.layer
	srv.Request = nil
	if srv.room != nil && srv.brief {
		srv.room.Peer, srv.room.Err = nil, nil
		ly.packets.Put(srv.room)
	}
	srv.room = nil
	if srv.lent != nil {
		ly.Release(srv.lent)
		srv.lent, srv.last = nil, nil
	}
}

// Abandon ends the transaction without a final response. A non-INVITE whose time
// is over is not answered with 408, which would come too late for its client
// (RFC 4320 §4.2).
func (srv *Server) Abandon() {
	if srv.state < completed {
		srv.end()
	}
}

// finish enters the state that follows the final response.
func (srv *Server) finish(status int, b []byte) {
	ly := srv.set.layer
	srv.ticks = 0
	isInvite := srv.method == wire.Invite
	switch {
	case isInvite && status < 300:
		srv.state, srv.last = accepted, nil // retransmitted INVITEs are swallowed: the UAS repeats its 2xx
	case isInvite:
		srv.state = completed // waits for the ACK
		srv.last = append(srv.last[:0], b...)
		srv.until = 64 * srv.timers().T1
		wait := srv.timers().T1 // Timer G
		if reliable(srv.reply) && !srv.lost {
			wait = srv.until
		}
		srv.until -= wait
		srv.timer.Set(srv.set.lane, wait)
		return
	default:
		srv.state = completed
		if reliable(srv.reply) { // Timer J is 0
			srv.end()
			return
		}
		srv.last = append(srv.last[:0], b...)
	}
	if !ly.linger() {
		srv.end()
		return
	}
	srv.timer.SetCoarse(srv.set.lane, 64*srv.timers().T1) // Timers J and L
}

// acked takes the ACK of a non-2xx final response.
func (srv *Server) acked() {
	if srv.state != completed {
		return
	}
	srv.state, srv.last = confirmed, nil
	if reliable(srv.reply) || !srv.set.layer.linger() {
		srv.state = completed
		srv.end()
		return
	}
	srv.timer.SetCoarse(srv.set.lane, srv.timers().T4) // Timer I
}

func (srv *Server) fired() {
	switch srv.state {
	case trying, proceeding:
		if srv.method == wire.Invite && srv.state == trying && srv.Request != nil {
			buf := srv.set.layer.Buffer()
			*buf = AppendReply(*buf, srv.Request, 100, "Trying", nil, nil)
			srv.Send(100, *buf)
			srv.set.layer.Release(buf)
		}
	case completed:
		if srv.method != wire.Invite { // Timer J
			srv.leave()
			return
		}
		if srv.until <= 0 { // Timer H: the ACK never came
			srv.end()
			return
		}
		srv.ticks++
		srv.put(srv.last)
		srv.set.layer.metrics.sentAgain.Inc()
		wait := min(srv.timers().T1<<srv.ticks, srv.timers().T2, srv.until)
		if reliable(srv.reply) && !srv.lost {
			wait = srv.until
		}
		srv.until -= wait
		srv.timer.Set(srv.set.lane, wait)
	case confirmed, accepted: // Timers I and L
		srv.leave()
	case terminated:
	default:
	}
}

// leave ends a transaction that had a place among the finished ones.
func (srv *Server) leave() {
	srv.set.layer.finished.Add(-1)
	srv.end()
}

func (srv *Server) end() {
	srv.forget()
	srv.state, srv.last = terminated, nil
	srv.timer.Stop()
	s := srv.set
	for i, other := range s.servers {
		if other == srv {
			last := len(s.servers) - 1
			s.servers[i], s.servers[last] = s.servers[last], nil
			s.servers = s.servers[:last]
			return
		}
	}
}

// AppendReply appends a response to the request p that we make ourselves, its
// top Via filled in with where the request came from.
func AppendReply(dst []byte, p *transport.Packet, status int, reason string, toTag, lines []byte) []byte {
	var room [256]byte
	return wire.AppendResponseVia(dst, &p.Msg, p.Msg.AppendTopVia(room[:0], p.Flow.Remote), status, reason, toTag, lines)
}

func (srv *Server) timers() *Timers { return &srv.set.layer.timers }
