package wire_test

import (
	"net/netip"
	"strings"
	"testing"

	"bellhop/sip/wire"
)

// invite is an INVITE as a desk phone sends it.
var invite = []byte(strings.ReplaceAll(`INVITE sip:1002@example.com;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK-524287-1---5a8f;rport
Max-Forwards: 70
Contact: <sip:1001@192.0.2.17:5060;transport=udp;line=83jdk>
To: "Bob Example" <sip:1002@example.com>
From: "Alice Example" <sip:1001@example.com>;tag=8a7f6e5d
Call-ID: 84kd93kfLSk93kf_dk39Fk3@192.0.2.17
CSeq: 2 INVITE
Allow: INVITE, ACK, CANCEL, BYE, REFER, OPTIONS, NOTIFY, INFO
Supported: replaces, timer, outbound
Proxy-Authorization: Digest username="desk-1001", realm="example.com", nonce="q93kd0a3kf", uri="sip:1002@example.com", response="6629fae49393a05397450978507c4ef1", algorithm=MD5
User-Agent: Example Phone 4.1
Content-Type: application/sdp
Content-Length: 154

v=0
o=- 3 2 IN IP4 192.0.2.17
s=-
c=IN IP4 192.0.2.17
t=0 0
m=audio 49170 RTP/AVP 0 8 101
a=rtpmap:101 telephone-event/8000
a=sendrecv
`, "\n", "\r\n"))

func TestSmoke(t *testing.T) {
	t.Parallel()
	var m wire.Message
	if err := m.Parse(invite); err != nil {
		t.Fatal(err, len(m.Body()))
	}
	var s wire.Splice
	s.Reset(&m)
	s.InsertTop([]byte("Via: SIP/2.0/UDP 1.2.3.4;branch=z9hG4bKx\r\n"))
	mf, _ := m.Get(wire.MaxForwards)
	s.Replace(mf, []byte("69"))
	s.Replace(m.TopVia().Value, m.AppendTopVia(nil, netip.MustParseAddrPort("192.0.2.17:5061")))
	s.RemoveAll(wire.ProxyAuthorization)
	for v := range m.All(wire.Allow) {
		if string(v.Bytes()) == "ACK" || string(v.Bytes()) == "INFO" {
			s.Remove(v)
		}
	}
	t.Logf("%s", s.AppendTo(nil))
	t.Logf("%s", wire.AppendCancel(nil, &m, nil))
	t.Logf("%s", wire.AppendResponseVia(nil, &m, m.AppendTopVia(nil, netip.MustParseAddrPort("192.0.2.17:5061")), 404, "", []byte("x"), nil))
}
