package trunk

import (
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/transaction"
	"bellhop/sip/wire"
)

var errSilent = errors.New("no answer")

// A request is an OPTIONS or REGISTER of ours.
type request struct {
	method   wire.Method
	uri      string
	from, to string // URIs
	tag      string // of From
	callID   string
	cseq     uint32
	contact  string // value of Contact; "": our address
	lines    string // more header lines
}

// An exchange is one request of ours and its final response. It lives in a lane;
// send and done are in its steps.
type exchange struct {
	m    *Manager
	set  *transaction.Set
	flow location.Flow
	// done is called once for each send, with the final response, or why there
	// is none. res is borrowed.
	done func(res *wire.Message, err error)
}

// send sends r.
func (x *exchange) send(r *request) {
	id := transaction.NewID()
	at := x.m.network.Advertise(x.flow.Local)
	b := append(make([]byte, 0, 640), methodName(r.method)...)
	b = append(append(append(b, ' '), r.uri...), " SIP/2.0\r\nVia: SIP/2.0/"...)
	b = append(append(append(b, x.flow.Transport.String()...), ' '), at.String()...)
	b = id.AppendBranch(append(b, ";branch="...), 0)
	b = append(b, ";rport\r\nMax-Forwards: 70\r\nFrom: <"...)
	b = append(append(append(b, r.from...), ">;tag="...), r.tag...)
	b = append(append(append(b, "\r\nTo: <"...), r.to...), ">\r\nCall-ID: "...)
	b = append(append(b, r.callID...), "\r\nCSeq: "...)
	b = strconv.AppendUint(b, uint64(r.cseq), 10)
	b = append(append(b, ' '), methodName(r.method)...)
	contact := r.contact
	if contact == "" {
		contact = "<sip:" + at.String() + transportParam(strings.ToLower(x.flow.Transport.String())) + ">"
	}
	b = append(append(append(b, "\r\nContact: "...), contact...), "\r\n"...)
	b = append(append(b, r.lines...), "Content-Length: 0\r\n\r\n"...)
	if _, err := x.set.Request(x.flow, r.method, id, b, x, 0); err != nil {
		x.done(nil, err)
	}
}

func methodName(m wire.Method) string {
	if m == wire.Register {
		return "REGISTER"
	}
	return "OPTIONS"
}

// Response implements [transaction.User].
func (x *exchange) Response(_ *transaction.Client, res *wire.Message) {
	if res.Status() >= 200 {
		x.done(res, nil)
	}
}

// Failed implements [transaction.User].
func (x *exchange) Failed(*transaction.Client) { x.done(nil, errSilent) }

// TimerC implements [transaction.User]; it is for INVITE.
func (x *exchange) TimerC(*transaction.Client) {}

// retryAfter is the value of Retry-After, 0 without one (RFC 3261 §20.33).
func retryAfter(res *wire.Message) time.Duration {
	v, ok := res.Get(wire.RetryAfter)
	if !ok {
		return 0
	}
	return seconds(v.Bytes())
}

// seconds reads the number that b begins with, at most a day.
func seconds(b []byte) time.Duration {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			break
		}
		n = min(n*10+int(c-'0'), 86400)
	}
	return time.Duration(n) * time.Second
}

func newCallID() string { return strings.ToLower(rand.Text()) }

func newTag() string { return strings.ToLower(rand.Text()[:16]) }
