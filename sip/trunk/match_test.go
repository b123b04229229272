package trunk_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
	"bellhop/sip/trunk"
)

// matching is a manager of trunks, for Match.
func matching(t *testing.T, trunks ...directory.Peering) *trunk.Manager {
	t.Helper()
	h := &house{t: t, trunks: trunks}
	m := trunk.New(trunk.Options{Directory: h, Keys: siptest.Keys{}, Network: h, Transports: all, V4: true, V6: true, Servers: []netip.AddrPort{}})
	if err := m.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

func packet(t *testing.T, uri string, f location.Flow) *transport.Packet {
	t.Helper()
	p := &transport.Packet{Flow: f}
	msg := "INVITE " + uri + " SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:+4930@carrier.example>;tag=1\r\nTo: <sip:1001@bellhop.test>\r\n" +
		"Call-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
	if err := p.Msg.Parse([]byte(msg)); err != nil {
		t.Fatal(err)
	}
	return p
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestMatch(t *testing.T) {
	t.Parallel()
	m := matching(t,
		peering(t, "host", `{"proof":"address","peers":["192.0.2.1"],"trusted":true}`),
		peering(t, "port", `{"proof":"address","peers":["192.0.2.2:5070"],"spoofable":"accepted","caller_id":"verified"}`),
		peering(t, "wide", `{"proof":"address","peers":["192.0.2.99"],"sources":["198.51.100.0/24"],"spoofable":"accepted"}`),
		peering(t, "narrow", `{"proof":"address","peers":["192.0.2.99"],"sources":["198.51.100.128/25;transport=udp"]}`),
		peering(t, "tcp", `{"proof":"address","peers":["192.0.2.4:5060;transport=tcp"]}`),
		peering(t, "v6", `{"proof":"address","peers":["2001:db8::1"],"sources":["2001:db8:1::/48"],"spoofable":"accepted"}`),
		peering(t, "bound", `{"proof":"address","peers":["192.0.2.6"],"sources":["192.0.2.6;listener=10.0.0.10:5060"]}`),
		signed(peering(t, "digest", `{"proof":"digest","peers":["192.0.2.5"]}`), "house", "x"),
		peering(t, "reg", `{"proof":"register","peers":["192.0.2.7"],"register":{}}`),
		peering(t, "other", `{"proof":"register","peers":["192.0.2.8"],"register":{}}`),
	)
	token := m.Token(domain, "reg")
	udp := func(from string, to netip.AddrPort) location.Flow {
		return location.Flow{Transport: location.UDP, Local: to, Remote: addr(from)}
	}
	over := func(tr location.Transport, from string) location.Flow {
		return location.Flow{Transport: tr, Local: public, Remote: addr(from), Conn: 3}
	}
	tests := []struct {
		name, uri string
		flow      location.Flow
		want      auth.Origin
	}{
		{"address on a private listener", "", udp("192.0.2.1:1234", private), auth.Origin{Trunk: "host", Trusted: true}},
		{"address that may be forged", "", udp("192.0.2.1:5060", public), auth.Origin{}},
		{"mapped address", "", udp("[::ffff:192.0.2.1]:5060", private), auth.Origin{Trunk: "host", Trusted: true}},
		{"address over TCP", "", over(location.TCP, "192.0.2.1:40000"), auth.Origin{Trunk: "host", Trusted: true}},
		{"its neighbour", "", udp("192.0.2.3:5060", private), auth.Origin{}},
		{"port", "", udp("192.0.2.2:5070", public), auth.Origin{Trunk: "port", Verified: true}},
		{"another port", "", udp("192.0.2.2:5060", public), auth.Origin{}},
		{"prefix", "", udp("198.51.100.1:5060", public), auth.Origin{Trunk: "wide"}},
		{"longer prefix", "", udp("198.51.100.200:5060", private), auth.Origin{Trunk: "narrow"}},
		{"longer prefix that is not believed", "", udp("198.51.100.200:5060", public), auth.Origin{}},
		{"longer prefix of another transport", "", over(location.TCP, "198.51.100.200:5060"), auth.Origin{Trunk: "wide"}},
		{"TCP only", "", over(location.TCP, "192.0.2.4:50000"), auth.Origin{Trunk: "tcp"}},
		{"UDP where TCP is expected", "", udp("192.0.2.4:5060", private), auth.Origin{}},
		{"IPv6", "", udp("[2001:db8:1:2::3]:5060", public), auth.Origin{Trunk: "v6"}},
		{"other IPv6", "", udp("[2001:db8:2::3]:5060", public), auth.Origin{}},
		{"listener", "", udp("192.0.2.6:5060", private), auth.Origin{Trunk: "bound"}},
		{"another listener", "", udp("192.0.2.6:5060", public), auth.Origin{}},
		{"digest proves nothing here", "", udp("192.0.2.5:5060", private), auth.Origin{}},
		{"registration proves by its Contact alone", "", udp("192.0.2.7:5060", private), auth.Origin{}},
		{"Contact", "sip:" + token + "@192.0.2.10:5060", udp("203.0.113.9:5060", public), auth.Origin{Trunk: "reg", Contact: true}},
		{"Contact in capitals", "sip:" + strings.ToUpper(token) + "@192.0.2.10", udp("203.0.113.9:5060", public), auth.Origin{Trunk: "reg", Contact: true}},
		{"number before the Contact", "sip:+4989@192.0.2.10;line=" + token, udp("203.0.113.9:5060", public), auth.Origin{Trunk: "reg"}},
		{"Contact of the other", "sip:" + m.Token(domain, "other") + "@192.0.2.10", udp("203.0.113.9:5060", public), auth.Origin{Trunk: "other", Contact: true}},
		{"a guess", "sip:" + strings.Repeat("a", len(token)) + "@192.0.2.10", udp("203.0.113.9:5060", public), auth.Origin{}},
		{"half of it", "sip:" + token[:13] + "@192.0.2.10", udp("203.0.113.9:5060", public), auth.Origin{}},
		{"Contact of a trunk that proves otherwise", "sip:" + m.Token(domain, "digest") + "@192.0.2.10", udp("203.0.113.9:5060", public), auth.Origin{}},
		{"TLS without a certificate", "", over(location.TLS, "203.0.113.9:5061"), auth.Origin{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			uri := tt.uri
			if uri == "" {
				uri = "sip:1001@bellhop.test"
			}
			if tt.want.Trunk != "" {
				tt.want.Domain = domain
			}
			got, ok := m.Match(packet(t, uri, tt.flow))
			if got != tt.want || ok != (tt.want.Trunk != "") {
				t.Errorf("Match = %+v, %v, want %+v", got, ok, tt.want)
			}
		})
	}
}

// TestMatchAllocs: with a thousand trunks a packet costs no memory.
func TestMatchAllocs(t *testing.T) { //nolint:paralleltest // counts allocations
	var trunks []directory.Peering
	for i := range 1000 {
		trunks = append(trunks, peering(t, fmt.Sprintf("a%d", i), fmt.Sprintf(`{"proof":"address","peers":["192.0.2.99"],"sources":["10.%d.%d.0/%d"],"spoofable":"accepted"}`, i/250, i%250, 24+i%8)))
		trunks = append(trunks, peering(t, fmt.Sprintf("r%d", i), `{"proof":"register","peers":["192.0.2.99"],"register":{}}`))
	}
	m := matching(t, trunks...)
	for _, p := range []*transport.Packet{
		packet(t, "sip:1001@bellhop.test", location.Flow{Transport: location.UDP, Local: public, Remote: addr("203.0.113.1:5060")}),
		packet(t, "sip:1001@bellhop.test", location.Flow{Transport: location.UDP, Local: public, Remote: addr("10.1.7.1:5060")}),
		packet(t, "sip:"+m.Token(domain, "r500")+"@bellhop.test", location.Flow{Transport: location.UDP, Local: public, Remote: addr("203.0.113.1:5060")}),
	} {
		if n := testing.AllocsPerRun(100, func() { m.Match(p) }); n != 0 {
			t.Errorf("Match of %s allocates %v times", p.Flow.Remote, n)
		}
	}
}

// TestMatchAgrees: whatever sources there are, Match finds what looking at all of
// them finds: the longest prefix that contains the address.
func TestMatchAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var trunks []directory.Peering
		var all []directory.Source
		for i := range rapid.IntRange(0, 12).Draw(rt, "trunks") {
			a := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 1).Draw(rt, "b")), 0, byte(rapid.IntRange(0, 3).Draw(rt, "d"))})
			s := directory.Source{Prefix: netip.PrefixFrom(a, rapid.IntRange(8, 32).Draw(rt, "bits")).Masked()}
			if slices.ContainsFunc(all, func(o directory.Source) bool { return o.Prefix == s.Prefix }) {
				continue // overlaps of equals are refused by settings
			}
			all = append(all, s)
			trunks = append(trunks, directory.Peering{
				Domain: domain, Name: fmt.Sprint(i, " ", s.Prefix), Sources: []directory.Source{s},
				Trunk: directory.Trunk{Proof: directory.ProofAddress, Spoofable: directory.SpoofableAccepted},
			})
		}
		m := matching(t, trunks...)
		from := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 2).Draw(rt, "from b")), 0, byte(rapid.IntRange(0, 5).Draw(rt, "from d"))})
		best := -1
		for _, s := range all {
			if s.Prefix.Contains(from) {
				best = max(best, s.Prefix.Bits())
			}
		}
		got, ok := m.Match(packet(t, "sip:x@y", location.Flow{Transport: location.UDP, Local: public, Remote: netip.AddrPortFrom(from, 5060)}))
		if ok != (best >= 0) || ok && !strings.HasSuffix(got.Trunk, fmt.Sprint("/", best)) {
			rt.Fatalf("Match(%s) = %v, %v, want a prefix of %d bits", from, got, ok, best)
		}
	})
}

// TestCredentials: a trunk with proof digest signs in like a device, and nobody
// else does by its name.
func TestCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := matching(t,
			signed(peering(t, "digest", `{"proof":"digest","peers":["192.0.2.5"],"trusted":true}`), "house", "s3cret"),
			signed(peering(t, "reg", `{"proof":"register","peers":["192.0.2.7"],"register":{}}`), "other", "s3cret"))
		cs := m.Credentials(nobody{})
		cr, known, cached := cs.Credential(domain, "house")
		if !known || !cached || cr.Trunk != "digest" {
			t.Errorf("Credential = %+v, %v, %v", cr, known, cached)
		}
		if _, known, _ := cs.Credential("elsewhere.test", "house"); known {
			t.Error("it signs in to another domain")
		}
		if _, known, _ := cs.Credential(domain, "other"); known {
			t.Error("what we sign in with elsewhere signs in here")
		}
		if o, ok := m.Origin(domain, "digest"); !ok || !o.Trusted {
			t.Errorf("Origin = %+v, %v", o, ok)
		}
	})
}

// nobody knows no devices.
type nobody struct{}

func (nobody) Credential(string, string) (directory.Credential, bool, bool) {
	return directory.Credential{}, false, true
}
func (nobody) Load(context.Context, string, string) error { return nil }
