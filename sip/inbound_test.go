package sip_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

// carrierHost is the host of the carrier in 192.0.2.0/24.
const carrierHost = 50

// inTrunk runs a scenario with a house that has the trunk "carrier" and a carrier.
func inTrunk(t *testing.T, doc string, scenario func(t *testing.T, h *house, c *siptest.Phone), change ...func(*sip.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, append(change, func(o *sip.Options) { o.NameServers = []netip.AddrPort{} })...)
		ref := directory.Ref{Domain: domain, Kind: directory.KindTrunk, Name: "carrier"}
		h.apply(t, directory.Write{Ref: ref, Body: []byte(doc)})
		if strings.Contains(doc, `"digest"`) || strings.Contains(doc, `"register":`) {
			sealed := siptest.Keys{}.Seal(directory.SealTrunk, []byte(password), directory.TrunkAAD(domain, "carrier"))
			h.apply(t, directory.Write{
				Ref:  directory.Ref{Domain: domain, Kind: directory.KindTrunkKey, Name: "carrier"},
				Body: []byte(`{"id":"1","username":"house","sealed":"` + base64.StdEncoding.EncodeToString(sealed) + `"}`),
			})
		}
		c := siptest.NewPhone(h.net, siptest.Line{
			Device: "house", Password: password, Number: "+49301234", Domain: "carrier.example",
			Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, carrierHost}), 5060), Server: netip.MustParseAddrPort(server),
		})
		synctest.Wait()
		scenario(t, h, c)
	})
}

// fromCarrier is a request of a carrier.
func fromCarrier(c *siptest.Phone, method, uri, to string, lines ...string) *siptest.Request {
	return &siptest.Request{
		Method: method, URI: uri, From: "<" + c.AOR() + ">;tag=c1", To: "<sip:" + to + "@carrier.example>", CallID: c.ID(), CSeq: 1,
		Lines: append(lines, "X-Pad: "+strings.Repeat("x", 300)),
	}
}

// ack confirms a refusal, so that its transaction ends.
func ack(c *siptest.Phone, r *siptest.Request, res *siptest.Message) {
	c.Send(&siptest.Request{Method: "ACK", URI: r.URI, From: r.From, To: res.Header("To"), CallID: r.CallID, CSeq: 1, Branch: r.Branch})
}

const (
	byAddress = `{"proof":"address","health":"off","peers":["192.0.2.50"],"spoofable":"accepted"`
	byDigest  = `{"proof":"digest","health":"off","peers":["192.0.2.50"]}`
)

// TestInbound: what a trunk may ask for, once it proved itself (behaviour.md §1,
// trust.md §1).
func TestInbound(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc, method, uri, to string
		lines                      []string
		want                       string // the answer; "" is none
		caller, called             string // of the record
	}{
		{name: "a number that nobody has", doc: byAddress + `}`, uri: "sip:9999@192.0.2.1", want: "404", caller: "+49301234", called: "9999"},
		{name: "the parameters of a number", doc: byAddress + `}`, uri: "sip:9999;npdi@192.0.2.1;user=phone", want: "404", called: "9999"},
		{name: "a telephone number", doc: byAddress + `}`, uri: "tel:+49899999", want: "404", called: "+49899999"},
		{name: "outside of match_in", doc: byAddress + `,"match_in":["1001"]}`, uri: "sip:1002@bellhop.test", want: "403", called: "1002"},
		{name: "whom a carrier asserts", doc: byAddress + `}`, uri: "sip:9999@bellhop.test", lines: []string{"P-Asserted-Identity: <sip:+491@x>"}, want: "404", caller: "+49301234"},
		{name: "whom a trusted carrier asserts", doc: byAddress + `,"trusted":true}`, uri: "sip:9999@bellhop.test", lines: []string{`P-Asserted-Identity: "X" <sip:+491@x>, <tel:+492>`}, want: "404", caller: "+491"},
		{name: "whether we are there", doc: byAddress + `}`, method: "OPTIONS", uri: "sip:192.0.2.1", want: "200"},
		{name: "whether a number is there", doc: byAddress + `}`, method: "OPTIONS", uri: "sip:9999@192.0.2.1", want: "200"},
		{name: "no business of a trunk", doc: byAddress + `}`, method: "MESSAGE", uri: "sip:1001@bellhop.test", want: "405"},
		{name: "a registration", doc: byAddress + `}`, method: "REGISTER", uri: "sip:bellhop.test", to: "1001", want: "401"},
		{name: "a route past us", doc: byAddress + `}`, uri: "sip:1001@bellhop.test", lines: []string{"Route: <sip:198.51.100.1;lr>"}, want: "403"},
		{name: "another scheme", doc: byAddress + `}`, uri: "http://192.0.2.1/", want: "416"},
		{name: "no number", doc: byAddress + `}`, uri: "sip:192.0.2.1", want: "404"},
		{name: "an address that may be forged", doc: strings.Replace(byAddress, "accepted", "", 1) + `}`, uri: "sip:9999@bellhop.test", want: "407"},
		{name: "the same, to no domain of ours", doc: strings.Replace(byAddress, "accepted", "", 1) + `}`, uri: "sip:9999@192.0.2.1"},
		{name: "digest", doc: byDigest, uri: "sip:9999@bellhop.test", want: "404", caller: "+49301234", called: "9999"},
		{name: "digest for a registration", doc: byDigest, method: "REGISTER", uri: "sip:bellhop.test", to: "house", want: "403"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inTrunk(t, tt.doc, func(t *testing.T, h *house, c *siptest.Phone) {
				if tt.method == "" {
					tt.method = "INVITE"
				}
				if tt.to == "" {
					tt.to = "x"
				}
				r := fromCarrier(c, tt.method, tt.uri, tt.to, tt.lines...)
				c.Send(r)
				if tt.doc == byDigest {
					status := map[bool]string{true: "401 ", false: "407 "}[tt.method == "REGISTER"]
					res := c.Wait(t, status+tt.method)
					ack(c, r, res)
					c.Learn(t, res)
					r = fromCarrier(c, tt.method, tt.uri, tt.to, c.Credentials(t, tt.method, tt.uri))
					c.Send(r)
				}
				if tt.want == "" {
					c.Quiet(t, time.Minute)
					return
				}
				res := c.Wait(t, tt.want+" "+tt.method)
				ack(c, r, res)
				pass(time.Minute)
				if tt.caller+tt.called == "" {
					return
				}
				rec := h.record(t)
				if tt.caller != "" && rec.Caller != tt.caller || tt.called != "" && rec.Called != tt.called {
					t.Errorf("record of %s to %s, want %s to %s", rec.Caller, rec.Called, tt.caller, tt.called)
				}
			})
		})
	}
}

// TestInboundContact: who calls the Contact that we registered is the trunk, and
// the number is in To; who guesses is nobody.
func TestInboundContact(t *testing.T) {
	t.Parallel()
	inTrunk(t, `{"proof":"register","health":"off","peers":["192.0.2.50"],"register":{"registrar":"carrier.example"}}`, func(t *testing.T, h *house, c *siptest.Phone) {
		reg := c.Wait(t, "REGISTER")
		if got := reg.Header("To"); got != "<sip:house@carrier.example>" {
			t.Errorf("To = %s", got)
		}
		contact := reg.Contact()
		c.Reply(reg, siptest.Answer{Status: 200})
		pass(time.Second)
		if s, ok := h.server.Trunks().Status(domain, "carrier"); !ok || s.RegisteredUntil.IsZero() {
			t.Errorf("status = %+v", s)
		}
		r := fromCarrier(c, "INVITE", contact, "9999")
		c.Send(r)
		ack(c, r, c.Wait(t, "404 INVITE"))
		pass(time.Minute)
		if rec := h.record(t); rec.Called != "9999" {
			t.Errorf("called %s, want 9999", rec.Called)
		}
		c.Send(fromCarrier(c, "INVITE", strings.Replace(contact, contact[4:8], "aaaa", 2), "9999"))
		c.Quiet(t, time.Minute)
	})
}

// TestInboundDevice: what comes down the flow of a registered device is the
// device's, although a trunk has its address (trust.md §1).
func TestInboundDevice(t *testing.T) {
	t.Parallel()
	inTrunk(t, byAddress+`}`, func(t *testing.T, h *house, c *siptest.Phone) {
		c.Close()
		p := h.registered(t, "desk-1001", carrierHost)
		r := fromCarrier(p, "INVITE", "sip:1002@bellhop.test", "1002")
		p.Forget()
		p.Send(r)
		ack(p, r, p.Wait(t, "407 INVITE"))
	})
}

// TestInboundTLS: a certificate with the trunk's name is its proof, and nobody
// else's certificate is.
func TestInboundTLS(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"sbc.carrier.example": "404 INVITE", "sbc.other.example": "407 INVITE", "": "407 INVITE"} {
		t.Run("name "+name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cert, authority := named(t, name)
				streams := new(siptest.Streams)
				h := newHouse(t, 1, func(o *sip.Options) {
					o.NameServers = []netip.AddrPort{}
					o.Listeners = append(o.Listeners, transport.Listener{
						Transport: location.TLS, Stream: streams.Listen(netip.MustParseAddrPort(tlsAt)),
						TLS: &tls.Config{Certificates: selfSigned(t), ClientCAs: authority},
					})
				})
				h.apply(t, put(directory.KindTrunk, "carrier", `{"proof":"tls","health":"off","peers":["sbc.carrier.example"]}`))
				synctest.Wait()
				c := siptest.NewPhone(h.net, siptest.Line{
					Device: "house", Number: "+49301234", Domain: "carrier.example", Transport: "TLS",
					Addr: netip.MustParseAddrPort("192.0.2.50:40000"), Server: netip.MustParseAddrPort(tlsAt),
					Dial: func(from, to netip.AddrPort) (net.Conn, error) {
						raw, err := streams.Dial(from, to)
						conf := &tls.Config{InsecureSkipVerify: true} // not the test's subject
						if name != "" {
							conf.Certificates = []tls.Certificate{cert}
						}
						return tls.Client(raw, conf), err
					},
				})
				r := fromCarrier(c, "INVITE", "sip:9999@bellhop.test", "9999")
				c.Send(r)
				ack(c, r, c.Wait(t, want))
				c.Close()
				pass(time.Minute)
			})
		})
	}
}

// named returns a certificate for a host name, and the authority that signed it.
func named(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if name == "" {
		c.DNSNames = nil
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pool
}

// TestTrunkPlacesOutliveTheProcess: calls that are up keep their places among
// max_calls over a restart, however many may begin in a second.
func TestTrunkPlacesOutliveTheProcess(t *testing.T) {
	t.Parallel()
	inTrunk(t, byAddress+`,"max_calls":2,"max_cps":1}`, func(t *testing.T, h *house, c *siptest.Phone) {
		ben, cleo := h.registered(t, "desk-1002", 12), h.registered(t, "desk-1003", 13)
		var legs [][2]*siptest.Leg
		for _, p := range []*siptest.Phone{ben, cleo} {
			leg := c.Call(t, p.Number)
			inv := p.Wait(t, "INVITE")
			p.Reply(inv, withSDP(200))
			leg.Ack(c.Wait(t, "200 INVITE"))
			p.Wait(t, "ACK")
			legs = append(legs, [2]*siptest.Leg{leg, p.Answered(inv)})
			pass(2 * time.Second)
		}
		calls := func(want int) {
			t.Helper()
			if s, _ := h.server.Trunks().Status(domain, "carrier"); s.Calls != want {
				t.Errorf("%d calls, want %d", s.Calls, want)
			}
		}
		calls(2)
		h.again(t)
		calls(2)
		pass(2 * time.Second)
		third := c.Call(t, "1004")
		third.Refused(c.Wait(t, "503 INVITE"))
		for _, l := range legs {
			over(t, l[0], l[1])
		}
		calls(0)
	})
}
