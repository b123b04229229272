package wire_test

import (
	"strings"
	"testing"

	"bellhop/sip/wire"
)

// crlf writes a message the way it is sent.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// invite is an INVITE as a desk phone sends it.
var invite = crlf(`INVITE sip:1002@example.com;user=phone SIP/2.0
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
Content-Length: 143

v=0
o=- 3 2 IN IP4 192.0.2.17
s=-
c=IN IP4 192.0.2.17
t=0 0
m=audio 49170 RTP/AVP 0 8 101
a=rtpmap:101 telephone-event/8000
a=sendrecv
`)

// ringing is a 180 as it reaches a proxy.
var ringing = crlf(`SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK7f3a9c21.0
Via: SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK-524287-1---5a8f;rport=5060;received=192.0.2.17
Record-Route: <sip:r1AbCdEfGhIjKlMnOpQrStUvWxYz0123456789@198.51.100.7;lr>
From: "Alice Example" <sip:1001@example.com>;tag=8a7f6e5d
To: "Bob Example" <sip:1002@example.com>;tag=20f8a
Call-ID: 84kd93kfLSk93kf_dk39Fk3@192.0.2.17
CSeq: 2 INVITE
Contact: <sip:1002@192.0.2.33:5060;transport=udp>
Content-Length: 0

`)

// ok200 is the 200 that follows, in compact form and lists.
var ok200 = crlf(`SIP/2.0 200 OK
v: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK7f3a9c21.0, SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK-524287-1---5a8f;rport=5060;received=192.0.2.17
Record-Route: <sip:r1AbCdEfGhIjKlMnOpQrStUvWxYz0123456789@198.51.100.7;lr>
f: "Alice Example" <sip:1001@example.com>;tag=8a7f6e5d
t: "Bob Example" <sip:1002@example.com>;tag=20f8a
i: 84kd93kfLSk93kf_dk39Fk3@192.0.2.17
CSeq: 2 INVITE
m: <sip:1002@192.0.2.33:5060;transport=udp>
c: application/sdp
l: 5

v=0
`)

// parse reads a message that must be sound.
func parse(t testing.TB, b []byte) *wire.Message {
	t.Helper()
	m := new(wire.Message)
	if err := m.Parse(b); err != nil {
		t.Fatalf("Parse = %v, want nil, of\n%s", err, b)
	}
	return m
}
