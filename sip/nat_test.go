package sip

import (
	"fmt"
	"net/netip"
	"testing"

	"bellhop/sip/transport"
)

func TestBehindNAT(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, contact, sdp, source string
		want                       bool
	}{
		{"all the same", "<sip:a@192.0.2.1>", "c=IN IP4 192.0.2.1", "192.0.2.1:5060", false},
		{"a phone at home", "<sip:a@10.0.0.5:5060>", "c=IN IP4 10.0.0.5", "192.0.2.1:4711", true},
		{"a browser", "<sip:a@x.invalid>", "c=IN IP4 10.0.0.5", "192.0.2.1:4711", true},
		{"media elsewhere on purpose", "<sip:a@192.0.2.1>", "c=IN IP4 192.0.2.7", "192.0.2.1:5060", false},
		{"on hold", "<sip:a@10.0.0.5>", "c=IN IP4 0.0.0.0", "192.0.2.1:5060", false},
		{"no offer", "<sip:a@10.0.0.5>", "", "192.0.2.1:5060", false},
		{"IPv6", "<sip:a@[2001:db8::1]>", "c=IN IP6 2001:db8::1", "[2001:db8::1]:5060", false},
		{"a group", "<sip:a@10.0.0.5>", "c=IN IP4 10.0.0.5/127", "192.0.2.1:5060", true},
		{"nonsense", "<sip:a@10.0.0.5>", "c=IN IP4 here", "192.0.2.1:5060", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := "v=0\r\n" + tt.sdp + "\r\n"
			p := &transport.Packet{}
			p.Flow.Remote = netip.MustParseAddrPort(tt.source)
			msg := fmt.Sprintf("INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\n"+
				"Call-ID: c\r\nCSeq: 1 INVITE\r\nContact: %s\r\nContent-Length: %d\r\n\r\n%s", tt.contact, len(body), body)
			if err := p.Msg.Parse([]byte(msg)); err != nil {
				t.Fatal(err)
			}
			if got := behindNAT(p); got != tt.want {
				t.Errorf("behindNAT = %v, want %v", got, tt.want)
			}
		})
	}
}
