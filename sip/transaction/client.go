package transaction

import (
	"math/rand/v2"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/lane"
	"bellhop/sip/wire"
)

// An ID identifies a client transaction; it is the unique part of the branch
// parameter, so that nobody off the path can guess a response.
type ID uint64

// NewID returns a fresh id.
func NewID() ID { return ID(rand.Uint64()) } // ChaCha8, seeded by the system: not to be guessed

// branchLen is the length of the branch of [ID.AppendBranch] without the loop part.
const branchLen = len(cookie) + 16

const hex = "0123456789abcdef"

// AppendBranch appends the branch parameter of id: the magic cookie, the id, and
// the loop detection value of the request (RFC 3261 §16.6 step 8).
func (id ID) AppendBranch(dst []byte, loop uint32) []byte {
	dst = append(dst, cookie...)
	for i := 60; i >= 0; i -= 4 {
		dst = append(dst, hex[id>>i&15])
	}
	dst = append(dst, '.')
	for i := 28; i >= 0; i -= 4 {
		dst = append(dst, hex[loop>>i&15])
	}
	return dst
}

// ParseBranch reads what AppendBranch wrote.
func ParseBranch(b []byte) (id ID, loop uint32, ok bool) {
	if len(b) != branchLen+9 || string(b[:len(cookie)]) != cookie || b[branchLen] != '.' {
		return 0, 0, false
	}
	hi, ok1 := unhex(b[len(cookie):branchLen])
	lo, ok2 := unhex(b[branchLen+1:])
	return ID(hi), uint32(lo), ok1 && ok2
}

func unhex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// A Client is a client transaction (RFC 3261 §17.1).
type Client struct {
	// Branch is the user's own name for the transaction.
	Branch int
	// Home finds whom a CANCEL is for when its connection is gone; nil: nobody does.
	Home Home

	set    *Set
	user   User
	id     ID
	method wire.Method
	state  state
	ticks  int8
	flow   location.Flow
	sent   *[]byte // the request as sent, lent by the layer; given back with a final response that needs no ACK
	timer  lane.Timer
	left   time.Duration // until Timer B or F; of a CANCEL that cannot be sent, until it is given up
	// gaveUp: the user wants no answer any more; CANCEL goes out as soon as a
	// provisional response came (RFC 3261 §9.1).
	gaveUp   bool
	canceled bool
	away     bool   // CANCEL could not be sent yet
	reason   []byte // header lines of the CANCEL
}

// Request sends b, the request of a client transaction with this id, down flow.
// b is copied. user may be nil for a request whose answer nobody wants. When the
// send fails there is no transaction.
func (s *Set) Request(flow location.Flow, method wire.Method, id ID, b []byte, user User, branch int) (*Client, error) {
	if err := s.layer.sender.Send(flow, b); err != nil {
		return nil, err
	}
	c := &Client{
		Branch: branch, set: s, user: user, id: id, method: method, flow: flow,
		sent: s.layer.Buffer(), left: 64 * s.layer.timers.T1,
	}
	*c.sent = append(*c.sent, b...)
	c.timer.Owner = c
	s.clients = append(s.clients, c)
	s.layer.metrics.begun.Inc()
	c.wait(s.layer.timers.T1)
	return c, nil
}

// Resume takes up the client transaction of an INVITE that an earlier process
// sent as b, down flow, and that has no final response: what is to come is that
// of a CANCEL.
func (s *Set) Resume(flow location.Flow, id ID, b []byte, user User) *Client {
	c := &Client{set: s, user: user, id: id, method: wire.Invite, state: proceeding, flow: flow, sent: s.layer.Buffer()}
	*c.sent = append(*c.sent, b...)
	c.timer.Owner = c
	s.clients = append(s.clients, c)
	c.timer.Set(s.lane, s.layer.timers.C)
	return c
}

// wait sets the timer for the next retransmission, or for the end.
func (c *Client) wait(d time.Duration) {
	if reliable(c.flow) {
		d = c.left
	}
	d = min(d, c.left)
	c.left -= d
	c.timer.Set(c.set.lane, d)
}

// ID is the id of the transaction.
func (c *Client) ID() ID { return c.id }

// Flow is where the request went.
func (c *Client) Flow() location.Flow { return c.flow }

// SetUser gives the transaction another user; one that is over has none.
func (c *Client) SetUser(u User) {
	if c.state != terminated {
		c.user = u
	}
}

// Move sends what is still to be sent, retransmissions and a CANCEL, down another
// flow: the device reconnected.
func (c *Client) Move(f location.Flow) { c.flow = f }

// Done reports that a final response came or the transaction failed.
func (c *Client) Done() bool { return c.state >= completed }

// Response hands the response m to its client transaction and reports whether
// there was one: a stray one is dropped (RFC 6026 §7.3).
func (s *Set) Response(m *wire.Message) bool {
	id, _, ok := ParseBranch(m.TopVia().Branch)
	if !ok {
		return false
	}
	method := m.CSeqMethod()
	for _, c := range s.clients {
		if c.id == id && c.method == method {
			c.receive(m)
			return true
		}
	}
	return false
}

func (c *Client) receive(m *wire.Message) {
	status := m.Status()
	switch c.state {
	case trying, proceeding:
		if status < 200 {
			c.provisional(m)
			return
		}
		c.final(m)
	case completed:
		c.set.layer.metrics.absorbed.Inc()
		if c.method == wire.Invite && status >= 300 {
			c.ack(m)
		}
	case accepted:
		if status/100 == 2 && c.user != nil {
			c.user.Response(c, m)
		}
	case confirmed, terminated:
	default:
	}
}

func (c *Client) provisional(m *wire.Message) {
	first := c.state == trying
	c.state = proceeding
	switch {
	case c.method != wire.Invite: // RFC 3261 §17.1.2.2: go on at T2
	case c.gaveUp && !c.canceled:
		c.sendCancel()
	case c.canceled: // the 64*T1 of §9.1 runs
	case first || m.Status() > 100: // RFC 3261 §16.7 step 2
		c.timer.Set(c.set.lane, c.timers().C)
	}
	if c.user != nil {
		c.user.Response(c, m)
	}
}

func (c *Client) final(m *wire.Message) {
	status := m.Status()
	linger := 64 * c.timers().T1 // Timers D and M
	switch {
	case c.method == wire.Invite && status < 300:
		c.state, c.reason = accepted, nil
		c.giveBack()
	case c.method == wire.Invite:
		c.state = completed
		c.ack(m)
		if reliable(c.flow) {
			linger = 0
		}
	default:
		c.state = completed
		c.giveBack()
		linger = c.timers().T4 // Timer K
		if reliable(c.flow) {
			linger = 0
		}
	}
	c.timer.Stop()
	user := c.user
	if linger == 0 || !c.set.layer.linger() {
		c.end()
	} else {
		c.timer.SetCoarse(c.set.lane, linger)
	}
	if user != nil {
		user.Response(c, m)
	}
}

// ack acknowledges a non-2xx final response (RFC 3261 §17.1.1.3).
func (c *Client) ack(res *wire.Message) {
	var sent wire.Message
	if c.sent == nil || sent.Parse(*c.sent) != nil {
		return // we made it: cannot be
	}
	buf := c.set.layer.Buffer()
	*buf = wire.AppendAck(*buf, &sent, res)
	_ = c.set.layer.sender.Send(c.flow, *buf)
	c.set.layer.Release(buf)
}

// Cancel gives the INVITE up: CANCEL is sent now, or as soon as a provisional
// response came (RFC 3261 §9.1). lines are header lines for it, such as Reason.
// A 2xx may still come.
func (c *Client) Cancel(lines []byte) {
	if c.method != wire.Invite || c.gaveUp || c.state >= completed {
		return
	}
	c.gaveUp, c.reason = true, lines
	if c.state == proceeding {
		c.sendCancel()
	}
}

// sendCancel sends CANCEL. For a device whose connection is gone it waits until the
// device is back, or would have had its time.
func (c *Client) sendCancel() {
	if !c.canceled {
		c.canceled, c.left = true, 64*c.timers().T1
	}
	c.timer.Set(c.set.lane, 64*c.timers().T1) // RFC 3261 §9.1: then it counts as cancelled
	var sent wire.Message
	if c.sent == nil || sent.Parse(*c.sent) != nil {
		return
	}
	buf := c.set.layer.Buffer()
	*buf = wire.AppendCancel(*buf, &sent, c.reason)
	_, err := c.set.Request(c.flow, wire.Cancel, c.id, *buf, nil, 0)
	if err != nil && c.Home != nil {
		if f, ok := c.Home.Flow(); ok {
			if _, err = c.set.Request(f, wire.Cancel, c.id, *buf, nil, 0); err == nil {
				c.flow = f
				c.set.layer.metrics.sentHome.Inc()
			}
		}
		if c.away = err != nil; c.away {
			wait := min(c.timers().T2, c.left)
			c.left -= wait
			c.timer.Set(c.set.lane, wait)
		}
	}
	c.set.layer.Release(buf)
}

func (c *Client) fired() {
	ly := c.set.layer
	switch c.state {
	case proceeding:
		if c.method == wire.Invite {
			switch {
			case c.away && c.left > 0:
				c.sendCancel()
			case c.canceled:
				c.fail()
			case c.user != nil:
				c.timer.Set(c.set.lane, c.timers().C)
				c.user.TimerC(c)
			}
			return
		}
		c.again(c.timers().T2)
	case trying:
		c.ticks++
		if c.method == wire.Invite {
			c.again(c.timers().T1 << c.ticks) // Timer A
		} else {
			c.again(min(c.timers().T1<<c.ticks, c.timers().T2)) // Timer E
		}
	case completed, accepted: // Timers D, K and M
		ly.finished.Add(-1)
		c.end()
	case confirmed, terminated:
	default:
	}
}

// again sends the request once more, or ends the transaction when its time is
// over. After the user gave up, an INVITE without any response is not repeated.
func (c *Client) again(next time.Duration) {
	if c.left <= 0 {
		c.fail()
		return
	}
	if !reliable(c.flow) && (!c.gaveUp || c.state != trying) {
		c.set.layer.metrics.sentAgain.Inc()
		if err := c.set.layer.sender.Send(c.flow, *c.sent); err != nil {
			c.fail()
			return
		}
	}
	c.wait(next)
}

func (c *Client) fail() {
	c.set.layer.metrics.timedOut.Inc()
	user := c.user
	c.end()
	if user != nil {
		user.Failed(c)
	}
}

// giveBack returns the request as sent, which nobody needs any more: the next
// call finds warm memory.
func (c *Client) giveBack() {
	if c.sent != nil {
		c.set.layer.Release(c.sent)
		c.sent = nil
	}
}

func (c *Client) end() {
	c.state, c.reason, c.user = terminated, nil, nil
	c.giveBack()
	c.timer.Stop()
	s := c.set
	for i, other := range s.clients {
		if other == c {
			last := len(s.clients) - 1
			s.clients[i], s.clients[last] = s.clients[last], nil
			s.clients = s.clients[:last]
			return
		}
	}
}

func (c *Client) timers() *Timers { return &c.set.layer.timers }
