package wire_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"bellhop/sip/wire"
)

func TestAppendResponse(t *testing.T) {
	t.Parallel()
	const in = "INVITE sip:a@b SIP/2.0\nv: SIP/2.0/UDP 10.0.0.1;rport;branch=1,\n SIP/2.0/UDP g\nRecord-Route: <sip:p1;lr>\nRecord-Route: <sip:p2;lr>\n" +
		"Via: SIP/2.0/UDP i\nt: <sip:a@b>\nf: <sip:c@d>;tag=1\ni: 1@h\nCSEQ: 007  INVITE\nTimestamp: 54\n\n"
	const vias = "Via: SIP/2.0/UDP 10.0.0.1;rport;branch=1,   SIP/2.0/UDP g\nVia: SIP/2.0/UDP i\n"
	const same = "Call-ID: 1@h\nCSeq: 007  INVITE\n"
	m := parse(t, crlf(in))
	tests := []struct {
		name   string
		status int
		reason string
		tag    string
		lines  string
		via    string
		want   string
	}{
		{"trying", 100, "", "", "", "", "SIP/2.0 100 Trying\n" + vias + "From: <sip:c@d>;tag=1\nTo: <sip:a@b>\n" + same + "Timestamp: 54\nContent-Length: 0\n\n"},
		{
			"ok", 200, "Fine", "x1", "Contact: <sip:x>\r\n", "",
			"SIP/2.0 200 Fine\n" + vias + "Record-Route: <sip:p1;lr>\nRecord-Route: <sip:p2;lr>\nFrom: <sip:c@d>;tag=1\nTo: <sip:a@b>;tag=x1\n" + same + "Contact: <sip:x>\nContent-Length: 0\n\n",
		},
		{
			"stamped", 404, "", "x1", "", string(m.AppendTopVia(nil, netip.MustParseAddrPort("192.0.2.1:7"))),
			"SIP/2.0 404 Not Found\n" + strings.Replace(vias, "rport;branch=1", "rport=7;branch=1;received=192.0.2.1", 1) + "From: <sip:c@d>;tag=1\nTo: <sip:a@b>;tag=x1\n" + same + "Content-Length: 0\n\n",
		},
		{"injection", 400, "A\r\nB: c", "x\r\nD: e", "\r\nbody", "", "SIP/2.0 400 A  B: c\n" + vias + "From: <sip:c@d>;tag=1\nTo: <sip:a@b>;tag=x  D: e\n" + same + "Content-Length: 0\n\n"},
	}
	for _, row := range tests {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := wire.AppendResponseVia(nil, m, []byte(row.via), row.status, row.reason, []byte(row.tag), []byte(row.lines))
			equal(t, "AppendResponseVia", got, string(crlf(row.want)))
			if row.via == "" {
				equal(t, "AppendResponse", wire.AppendResponse(nil, m, row.status, row.reason, []byte(row.tag), []byte(row.lines)), string(crlf(row.want)))
			}
		})
	}
	tagged := parse(t, bytes.Replace(crlf(in), []byte("<sip:a@b>"), []byte("<sip:a@b>;tag=old"), 1))
	equal(t, "ToTag", parse(t, wire.AppendResponse(nil, tagged, 481, "", []byte("new"), nil)).ToTag(), "old")
}

// TestAppendResponseRefused answers what could not be read.
func TestAppendResponseRefused(t *testing.T) {
	t.Parallel()
	for _, spoilt := range [][2]string{
		{"SIP/2.0\n", "SIP/3.0\n"},
		{"Length: 0", "Length: 9"},
		{"CSeq: 1 OPTIONS", "CSeq: 1 INVITE"},
		{"<sip:a@b>", "\"x <sip:a@b>"},
		{"branch=z9hG4bK1", "branch=z9hG4bK1;;"},
		{"Length: 0\n\n", "Length: 0"},
	} {
		var m wire.Message
		err := m.Parse(crlf(strings.Replace(minimal, spoilt[0], spoilt[1], 1)))
		if err == nil || !m.Answerable() {
			t.Errorf("%s: Parse = %v, Answerable = %v", spoilt[1], err, m.Answerable())
			continue
		}
		via := m.AppendTopVia(nil, netip.MustParseAddrPort("192.0.2.1:7"))
		got := wire.AppendResponseVia(nil, &m, via, m.Err().Status, m.Err().Reason, []byte("t"), nil)
		if !bytes.Contains(got, []byte("\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1")) || !bytes.Contains(got, []byte("192.0.2.1")) {
			t.Errorf("AppendResponse = %s", got)
		}
	}
	var m wire.Message
	if err := m.Parse(crlf(strings.ReplaceAll(strings.Replace(minimal, "<sip:a@b>", "x", 1), "OPTIONS", "ACK"))); err == nil || m.Answerable() {
		t.Errorf("Parse, Answerable = %v, %v: an ACK is never answered", err, m.Answerable())
	}
}

func TestAppendCancelAndAck(t *testing.T) {
	t.Parallel()
	sent := parse(t, crlf("INVITE sip:x@y;z SIP/2.0\nVia: SIP/2.0/UDP me;branch=z9hG4bK1, SIP/2.0/UDP g\nMax-Forwards: 12\nRoute: <sip:p1;lr>, <sip:p2;lr>\n"+
		"r: x\nt: <sip:a@b>\nf: <sip:c@d>;tag=1\ni: 1@h\nCSEQ: 007 INVITE\nRoute: <sip:p3;lr>\nContent-Length: 4\n\nbody"))
	const top = " sip:x@y;z SIP/2.0\nVia: SIP/2.0/UDP me;branch=z9hG4bK1\nMax-Forwards: 70\nRoute: <sip:p1;lr>, <sip:p2;lr>\nRoute: <sip:p3;lr>\nFrom: <sip:c@d>;tag=1\n"
	equal(t, "AppendCancel", wire.AppendCancel(nil, sent, []byte("Reason: SIP;cause=200\r\n")),
		string(crlf("CANCEL"+top+"To: <sip:a@b>\nCall-ID: 1@h\nCSeq: 7 CANCEL\nReason: SIP;cause=200\nContent-Length: 0\n\n")))
	res := parse(t, wire.AppendResponse(nil, sent, 486, "", []byte("2"), nil))
	equal(t, "AppendAck", wire.AppendAck(nil, sent, res),
		string(crlf("ACK"+top+"To: <sip:a@b>;tag=2\nCall-ID: 1@h\nCSeq: 7 ACK\nContent-Length: 0\n\n")))
}

func TestReasonPhrase(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		180: "Ringing", 199: "Early Dialog Terminated", 150: "Session Progress", 299: "OK", 399: "Redirected",
		487: "Request Terminated", 499: "Request Failure", 599: "Server Failure", 699: "Global Failure",
	} {
		if got := wire.ReasonPhrase(status); got != want {
			t.Errorf("ReasonPhrase(%d) = %s, want %s", status, got, want)
		}
	}
}
