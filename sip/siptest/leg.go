package siptest

import (
	"slices"
	"strings"
	"testing"
)

// SDP is a session description that says nothing of interest.
const SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.99\r\ns=-\r\nc=IN IP4 192.0.2.99\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"

// A Leg is one end of a call.
type Leg struct {
	Phone       *Phone
	CallID      string
	Local       string // value of From with the tag
	Remote      string // value of To, with the tag once it is known
	Target      string // where requests within the dialog go
	Routes      []string
	CSeq        uint32
	Invite      Request  // as sent last
	Text        []byte   // of Invite
	Got         *Message // the callee's: the INVITE it answered
	Established bool
	Earlier     Request // the INVITE before, which was challenged
	Retried     bool
}

// Call sends an INVITE to a user of the phone's domain or to a SIP URI, with
// credentials when a challenge is known.
func (p *Phone) Call(tb testing.TB, to string, lines ...string) *Leg {
	tb.Helper()
	uri := to
	if !strings.Contains(uri, ":") {
		uri = "sip:" + to + "@" + p.Domain
	}
	id := p.ID()
	l := &Leg{
		Phone: p, CallID: id + "@" + p.Domain, Target: uri,
		Local: "<" + p.AOR() + ">;tag=f" + id, Remote: "<" + uri + ">",
	}
	l.SendInvite(tb, lines...)
	return l
}

// SendInvite sends the INVITE once more as a new transaction, with credentials
// when a challenge is known.
func (l *Leg) SendInvite(tb testing.TB, lines ...string) {
	tb.Helper()
	l.CSeq++
	l.Invite = Request{
		Method: "INVITE", URI: l.Target, From: l.Local, To: l.Remote, CallID: l.CallID, CSeq: l.CSeq,
		Lines: append(slices.Clone(lines), "Content-Type: application/sdp"), Body: SDP,
	}
	if line := l.Phone.Credentials(tb, "INVITE", l.Target); line != "" {
		l.Invite.Lines = append(l.Invite.Lines, line)
	}
	l.Text = l.Phone.Send(&l.Invite)
}

// Again sends the INVITE again as it was: a retransmission.
func (l *Leg) Again() { l.Phone.SendRaw(l.Text, "INVITE") }

// Refused acknowledges a final response that is no 2xx (RFC 3261 §17.1.1.3).
func (l *Leg) Refused(res *Message) {
	l.Phone.Send(&Request{
		Method: "ACK", URI: l.Invite.URI, From: l.Invite.From, To: res.Header("To"), CallID: l.CallID,
		CSeq: l.Invite.CSeq, Via: l.Invite.Via, Routes: l.Invite.Routes,
	})
}

// Cancel gives the INVITE up (RFC 3261 §9.1).
func (l *Leg) Cancel(lines ...string) []byte {
	return l.Phone.Send(&Request{
		Method: "CANCEL", URI: l.Invite.URI, From: l.Invite.From, To: l.Invite.To, CallID: l.CallID,
		CSeq: l.Invite.CSeq, Via: l.Invite.Via, Routes: l.Invite.Routes, Lines: lines,
	})
}

// Took learns the dialog from the 2xx of the INVITE.
func (l *Leg) Took(res *Message) {
	l.Remote = res.Header("To")
	if c := res.Contact(); c != "" {
		l.Target = c
	}
	if l.Established {
		return // the route set stays (RFC 3261 §12.2.1.2)
	}
	l.Routes = res.Routes()
	slices.Reverse(l.Routes)
	l.Established = true
}

// Ack acknowledges a 2xx (RFC 3261 §13.2.2.4).
func (l *Leg) Ack(res *Message) []byte {
	l.Took(res)
	return l.Phone.Send(&Request{
		Method: "ACK", URI: l.Target, From: l.Local, To: l.Remote, CallID: l.CallID, CSeq: res.CSeq(), Routes: l.Routes,
	})
}

// Within makes a request within the dialog.
func (l *Leg) Within(method string, lines ...string) *Request {
	l.CSeq++
	return &Request{
		Method: method, URI: l.Target, From: l.Local, To: l.Remote, CallID: l.CallID, CSeq: l.CSeq,
		Routes: slices.Clone(l.Routes), Lines: lines,
	}
}

// Bye sends BYE.
func (l *Leg) Bye() []byte { return l.Phone.Send(l.Within("BYE")) }

// Answered is the callee's end of a call whose INVITE the phone answered with a
// 2xx.
func (p *Phone) Answered(invite *Message) *Leg {
	return &Leg{
		Phone: p, CallID: invite.CallID(), Got: invite,
		Local: invite.Header("To") + ";tag=" + p.Tag(invite.CallID()), Remote: invite.Header("From"),
		Target: invite.Contact(), Routes: invite.Routes(), CSeq: 100, Established: true,
	}
}
