package wire_test

import (
	"net/netip"
	"testing"

	"bellhop/sip/wire"
)

// The messages of RFC 5118 §4, as far as they differ for a reader of messages.
func TestIPv6(t *testing.T) {
	t.Parallel()
	request := func(start, via, more string) string {
		method, _, _ := cut(start, " ")
		return start + " SIP/2.0\nVia: " + via + "\nTo: sip:user@example.com\nFrom: sip:user@example.com;tag=81x2\n" +
			"Call-ID: SSG9559905523997077@hlau_4100\nMax-Forwards: 70\nCSeq: 98176 " + method + "\n" + more + "Content-Length: 0\n\n"
	}
	const plain = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111"
	tests := []struct {
		name                        string
		in                          string
		status                      int
		host, port                  string // of the Request-URI
		viaHost, viaPort, viaReturn string
	}{
		{"4.1 reference", request("REGISTER sip:[2001:db8::10]", plain, ""), 0, "[2001:db8::10]", "", "[2001:db8::9:1]", "", ""},
		{"4.2 without brackets", request("REGISTER sip:2001:db8::10", plain, ""), 400, "", "", "", "", ""},
		{"4.3 port looks like part of the address", request("REGISTER sip:[2001:db8::10:5070]", plain, ""), 0, "[2001:db8::10:5070]", "", "[2001:db8::9:1]", "", ""},
		{"4.4 port", request("REGISTER sip:[2001:db8::10]:5070", plain, ""), 0, "[2001:db8::10]", "5070", "[2001:db8::9:1]", "", ""},
		{"4.5 received with brackets", request("BYE sip:[2001:db8::10]", "SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111", ""), 0, "[2001:db8::10]", "", "[2001:db8::9:1]", "", "[2001:db8::9:255]"},
		{"4.5 received without brackets", request("OPTIONS sip:[2001:db8::10]", "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3", ""), 0, "[2001:db8::10]", "", "[2001:db8::9:1]", "", "2001:db8::9:255"},
		{"4.7 several addresses", request("BYE sip:user@host.example.net", "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144\nVia: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200\n"), 0, "host.example.net", "", "[2001:db8::9:1]", "6050", ""},
		{"4.9 mapped", request("INVITE sip:user@example.com", "SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19", "Contact: \"T. desk phone\" <sip:ted@[::ffff:192.0.2.2]>\n"), 0, "example.com", "", "[::ffff:192.0.2.10]", "19823", ""},
		{"4.10 three colons", request("OPTIONS sip:user@[2001:db8:::192.0.2.1]", plain, ""), 0, "[2001:db8:::192.0.2.1]", "", "[2001:db8::9:1]", "", ""},
		{"open bracket", request("OPTIONS sip:user@[2001:db8::1", plain, ""), 400, "", "", "", "", ""},
		{"empty brackets", request("OPTIONS sip:user@[]", plain, ""), 400, "", "", "", "", ""},
		{"via without brackets", request("OPTIONS sip:user@example.com", "SIP/2.0/UDP 2001:db8::9:1;branch=z9hG4bKas3", ""), 400, "", "", "", "", ""},
	}
	for _, row := range tests {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var m wire.Message
			if got := status(m.Parse(crlf(row.in))); got != row.status {
				t.Fatalf("Parse = %d %v, want %d", got, m.Err(), row.status)
			}
			if row.status != 0 {
				return
			}
			u, _ := wire.ParseURI(m.RequestURI())
			equal(t, "Host", u.Host, row.host)
			equal(t, "Port", u.Port, row.port)
			equal(t, "Via.Host", m.TopVia().Host, row.viaHost)
			equal(t, "Via.Port", m.TopVia().Port, row.viaPort)
			equal(t, "Via.Received", m.TopVia().Received, row.viaReturn)
		})
	}
}

func TestAppendTopVia(t *testing.T) {
	t.Parallel()
	const head = "OPTIONS sip:a@b SIP/2.0\nTo: sip:a@b\nFrom: sip:a@b;tag=1\nCall-ID: 1\nCSeq: 1 OPTIONS\nVia: "
	tests := []struct{ name, via, src, want string }{
		{"same address", "SIP/2.0/UDP 192.0.2.1:5060;branch=z1", "192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.1:5060;branch=z1"},
		{"same address, other port", "SIP/2.0/UDP 192.0.2.1:5060;branch=z1", "192.0.2.1:1024", "SIP/2.0/UDP 192.0.2.1:5060;branch=z1"},
		{"other address", "SIP/2.0/UDP 10.0.0.1;branch=z1", "192.0.2.1:5060", "SIP/2.0/UDP 10.0.0.1;branch=z1;received=192.0.2.1"},
		{"name", "SIP/2.0/WSS x93kd.invalid;branch=z1", "192.0.2.1:5060", "SIP/2.0/WSS x93kd.invalid;branch=z1;received=192.0.2.1"},
		{"rport", "SIP/2.0/UDP 192.0.2.1;rport;branch=z1", "192.0.2.1:1024", "SIP/2.0/UDP 192.0.2.1;rport=1024;branch=z1;received=192.0.2.1"},
		{"rport with blanks", "SIP/2.0/UDP 192.0.2.1 ; RPORT ; branch = z1", "192.0.2.1:1024", "SIP/2.0/UDP 192.0.2.1 ; RPORT=1024; branch = z1;received=192.0.2.1"},
		{"forged", "SIP/2.0/UDP 10.0.0.1;received=203.0.113.9;rport=9;branch=z1", "192.0.2.1:1024", "SIP/2.0/UDP 10.0.0.1;rport=1024;branch=z1;received=192.0.2.1"},
		{"forged, of ours", "SIP/2.0/UDP 192.0.2.1;branch=z1;received=203.0.113.9", "192.0.2.1:1024", "SIP/2.0/UDP 192.0.2.1;branch=z1"},
		{"no parameters", "SIP/2.0/UDP 10.0.0.1", "192.0.2.1:1024", "SIP/2.0/UDP 10.0.0.1;received=192.0.2.1"},
		{"IPv6", "SIP/2.0/UDP [2001:db8::1];rport;branch=z1", "[2001:db8::2]:1024", "SIP/2.0/UDP [2001:db8::1];rport=1024;branch=z1;received=2001:db8::2"},
		{"IPv6 written otherwise", "SIP/2.0/UDP [2001:DB8:0::1];branch=z1", "[2001:db8::1]:1024", "SIP/2.0/UDP [2001:DB8:0::1];branch=z1"},
		{"mapped source", "SIP/2.0/UDP 192.0.2.1;branch=z1", "[::ffff:192.0.2.1]:1024", "SIP/2.0/UDP 192.0.2.1;branch=z1"},
		{"list", "SIP/2.0/UDP 10.0.0.1;branch=z1 , SIP/2.0/UDP 10.0.0.2;rport", "192.0.2.1:1024", "SIP/2.0/UDP 10.0.0.1;branch=z1;received=192.0.2.1"},
	}
	for _, row := range tests {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := parse(t, crlf(head+row.via+"\n\n"))
			equal(t, "AppendTopVia", m.AppendTopVia(nil, netip.MustParseAddrPort(row.src)), row.want)
		})
	}
	m := parse(t, invite)
	equal(t, "AppendTopVia without source", m.AppendTopVia(nil, netip.AddrPort{}), string(m.TopVia().Value.Bytes()))
}
