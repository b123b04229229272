package sip_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

// A campus is a house that is reached over UDP and TCP.
type campus struct {
	*house
	streams *siptest.Streams
}

func inCampus(t *testing.T, scenario func(t *testing.T, c *campus)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCampus(t, 1)
		scenario(t, c)
		c.sane(t)
	})
}

// newCampus opens a house that is reached over UDP, TCP, TLS and WebSocket.
func newCampus(t *testing.T, seed uint64) *campus {
	t.Helper()
	c := &campus{streams: new(siptest.Streams)}
	c.house = newHouse(t, seed, func(o *sip.Options) {
		o.Listeners = append(o.Listeners, transport.Listener{
			Transport: location.TCP, Stream: c.streams.Listen(netip.MustParseAddrPort(server)),
		}, transport.Listener{Transport: location.WS, Bind: netip.MustParseAddrPort(web)}, transport.Listener{
			Transport: location.TLS, Stream: c.streams.Listen(netip.MustParseAddrPort(tlsAt)), TLS: &tls.Config{Certificates: selfSigned(t)},
		})
	})
	srv := &http.Server{Handler: c.server.WebSocket(), ReadHeaderTimeout: time.Minute}
	ln := c.streams.Listen(netip.MustParseAddrPort(web))
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(ln) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
	return c
}

// web is where the HTTP server listens.
const web = "192.0.2.1:80"

// tlsAt is where TLS is spoken.
const tlsAt = "192.0.2.1:5061"

func selfSigned(t *testing.T) []tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}
}

// browse makes a connection as a browser does.
func (c *campus) browse(from, _ netip.AddrPort) (net.Conn, error) {
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return c.streams.Dial(from, netip.MustParseAddrPort(web))
	}}
	ws, _, err := websocket.Dial(context.Background(), "ws://pbx.example/sip", &websocket.DialOptions{ //nolint:bodyclose // coder/websocket closes it
		HTTPClient: &http.Client{Transport: tr}, Subprotocols: []string{"sip"}, HTTPHeader: http.Header{"Origin": {"http://pbx.example"}},
	})
	if err != nil {
		return nil, err
	}
	return websocket.NetConn(context.Background(), ws, websocket.MessageText), nil
}

// phone puts a device into the network that speaks a transport.
func (c *campus) phone(device string, host int, tr string) *siptest.Phone {
	l := siptest.Line{
		Device: device, Password: password, Instance: "<urn:x:" + device + ">", Number: device[len(device)-4:], Domain: domain,
		Addr:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), 40000),
		Server:    netip.MustParseAddrPort(server),
		Transport: tr, Dial: c.streams.Dial,
	}
	switch tr {
	case "":
		return c.house.phone(device, host)
	case "TLS":
		l.Server, l.Dial = netip.MustParseAddrPort(tlsAt), func(from, to netip.AddrPort) (net.Conn, error) {
			raw, err := c.streams.Dial(from, to)
			return tls.Client(raw, &tls.Config{InsecureSkipVerify: true}), err // not the test's subject
		}
	case "WS":
		l.Host, l.Dial = device+".invalid", c.browse
	}
	return siptest.NewPhone(c.net, l)
}

func (c *campus) registered(t *testing.T, device string, host int, tr string) *siptest.Phone {
	t.Helper()
	p := c.phone(device, host, tr)
	if res := p.Register(t, siptest.Registration{}); res.Status() != 200 {
		t.Fatalf("REGISTER of %s = %d %s", device, res.Status(), res.Reason())
	}
	p.Ladder = nil
	return p
}

// bindings are the contacts of a number.
func (c *campus) bindings(number string) (out []string) {
	aor, _ := location.NewAOR(number, domain)
	for _, b := range c.store.Bindings.Bindings(aor) {
		out = append(out, b.Contact)
	}
	return out
}

func TestCallsBetweenTransports(t *testing.T) {
	t.Parallel()
	via := func(tr string) string {
		if tr == "" {
			return "UDP"
		}
		return tr
	}
	param := func(tr string) string {
		if tr == "" {
			return ""
		}
		return ";transport=" + strings.ToLower(tr)
	}
	at := func(tr string) string {
		switch tr {
		case "WS":
			return web
		case "TLS":
			return tlsAt
		default:
			return server
		}
	}
	for _, from := range []string{"", "TCP", "TLS", "WS"} {
		for _, to := range []string{"", "TCP", "TLS", "WS"} {
			for _, hangsUp := range []string{"caller", "callee"} {
				t.Run(via(from)+" to "+via(to)+", "+hangsUp+" hangs up", func(t *testing.T) {
					t.Parallel()
					inCampus(t, func(t *testing.T, c *campus) {
						ana, ben := c.registered(t, "desk-1001", 11, from), c.registered(t, "desk-1002", 12, to)
						call := ana.Call(t, "1002")
						inv := ben.Wait(t, "INVITE")
						if v := inv.Headers("Via")[0]; !strings.HasPrefix(v, "SIP/2.0/"+via(to)+" "+at(to)) {
							t.Errorf("top Via %s, want one of %s", v, via(to))
						}
						routes := inv.Routes()
						if len(routes) == 2 == (from == to) {
							t.Errorf("Record-Route %q, want one for each transport", routes)
						}
						if r := routes[0]; !strings.HasSuffix(r, at(to)+param(to)+";lr>") {
							t.Errorf("Record-Route of the callee %s, want %s", r, param(to))
						}
						if r := routes[len(routes)-1]; !strings.HasSuffix(r, at(from)+param(from)+";lr>") {
							t.Errorf("Record-Route of the caller %s, want %s", r, param(from))
						}
						ben.Reply(inv, siptest.Answer{Status: 180})
						ana.Wait(t, "180 INVITE")
						ben.Reply(inv, siptest.Answer{Status: 200, Body: siptest.SDP})
						call.Ack(ana.Wait(t, "200 INVITE"))
						if ack := ben.Wait(t, "ACK"); len(ack.Headers("Route")) != 0 {
							t.Errorf("ACK as forwarded:\n%s", ack.Raw)
						}
						pass(time.Minute)
						if hangsUp == "caller" {
							call.Bye()
							ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
							ana.Wait(t, "200 BYE")
						} else {
							ben.Answered(inv).Bye()
							ana.Reply(ana.Wait(t, "BYE"), siptest.Answer{Status: 200})
							ben.Wait(t, "200 BYE")
						}
						if r := c.record(t); r.Outcome != "answered" {
							t.Errorf("record %+v", r)
						}
					})
				})
			}
		}
	}
}

// Nothing is sent twice over a connection (RFC 3261 §17.1.1.2), and the time of a
// transaction is the same.
func TestNothingIsSentTwiceOverTCP(t *testing.T) {
	t.Parallel()
	inCampus(t, func(t *testing.T, c *campus) {
		ana, ben := c.registered(t, "desk-1001", 11, "TCP"), c.registered(t, "desk-1002", 12, "TCP")
		begun := time.Now()
		call := ana.Call(t, "1002")
		ana.Patience = 2 * time.Minute
		ana.Wait(t, "100 INVITE")
		res := ana.Next(t, time.Minute)
		call.Refused(res)
		if res.Status() != 480 || time.Since(begun) > 33*time.Second {
			t.Errorf("%s after %v, want 480 within 32 s", res.Word(), time.Since(begun))
		}
		pass(time.Minute)
		ben.Next(t, 0)
		ben.Saw(t, "< INVITE")
		if n := ana.Next(t, time.Minute); n != nil {
			t.Errorf("%s was sent again", n.Word())
		}
	})
}

// A call that rings over a connection that closes ends at once when nothing else
// rings, and a device that comes back rings again while something does.
func TestConnectionClosesWhileItRings(t *testing.T) {
	t.Parallel()
	t.Run("the only phone", func(t *testing.T) {
		t.Parallel()
		inCampus(t, func(t *testing.T, c *campus) {
			ana, ben := c.registered(t, "desk-1001", 11, ""), c.registered(t, "desk-1002", 12, "TCP")
			call := ana.Call(t, "1002")
			ben.Reply(ben.Wait(t, "INVITE"), siptest.Answer{Status: 180})
			ana.Wait(t, "180 INVITE")
			begun := time.Now()
			ben.Close()
			call.Refused(ana.Wait(t, "480 INVITE"))
			if wait := time.Since(begun); wait > time.Second {
				t.Errorf("the caller heard after %v", wait)
			}
			synctest.Wait() // the caller hears first, then the bindings end
			if n := c.bindings("1002"); len(n) != 0 {
				t.Errorf("bindings %v, want none", n)
			}
			again := ana.Call(t, "1002")
			again.Refused(ana.Wait(t, "480 INVITE"))
		})
	})
	t.Run("one of two", func(t *testing.T) {
		t.Parallel()
		inCampus(t, func(t *testing.T, c *campus) {
			ana, desk, soft := c.registered(t, "desk-1001", 11, ""), c.registered(t, "desk-1002", 12, ""), c.registered(t, "soft-1002", 13, "TCP")
			call := ana.Call(t, "1002")
			inv := desk.Wait(t, "INVITE")
			desk.Reply(inv, siptest.Answer{Status: 180})
			ana.Wait(t, "180 INVITE")
			soft.Wait(t, "INVITE")
			soft.Move(netip.MustParseAddrPort("192.0.2.14:40000"))
			synctest.Wait() // the server knows that the connection is gone before it hears of another
			soft.Register(t, siptest.Registration{CallID: "reg-again"})
			again := soft.Wait(t, "INVITE")
			soft.Reply(again, siptest.Answer{Status: 200, Body: siptest.SDP})
			call.Ack(ana.Wait(t, "200 INVITE"))
			soft.Wait(t, "ACK")
			desk.Reply(desk.Wait(t, "CANCEL"), siptest.Answer{Status: 200})
			desk.Reply(inv, siptest.Answer{Status: 487})
			desk.Wait(t, "ACK")
			call.Bye()
			soft.Reply(soft.Wait(t, "BYE"), siptest.Answer{Status: 200})
			ana.Wait(t, "200 BYE")
		})
	})
}

// A device that calls without registering is known by its connection: nobody else
// gets its messages, and when it is gone it is not dialed.
func TestCallerThatIsNotRegistered(t *testing.T) {
	t.Parallel()
	inCampus(t, func(t *testing.T, c *campus) {
		ana, ben := c.phone("desk-1001", 11, "TCP"), c.registered(t, "desk-1002", 12, "")
		first := ana.Call(t, "1002")
		res := ana.Wait(t, "407 INVITE")
		first.Refused(res)
		ana.Learn(t, res)
		first.SendInvite(t)
		inv := ben.Wait(t, "INVITE")
		ben.Reply(inv, siptest.Answer{Status: 200, Body: siptest.SDP})
		first.Ack(ana.Wait(t, "200 INVITE"))
		ben.Wait(t, "ACK")
		callee := ben.Answered(inv)
		ben.Send(callee.Within("INFO"))
		ana.Reply(ana.Wait(t, "INFO"), siptest.Answer{Status: 200})
		ben.Wait(t, "200 INFO")
		ana.Close()
		synctest.Wait()
		ben.Send(callee.Within("INFO"))
		ben.Wait(t, "480 INFO")
		callee.Bye()
		ben.Wait(t, "480 BYE")
	})
}

// What proves nothing is closed after ten seconds; what registered stays.
func TestUnprovenConnections(t *testing.T) {
	t.Parallel()
	inCampus(t, func(t *testing.T, c *campus) {
		c.registered(t, "desk-1001", 11, "TCP")
		guess := c.phone("desk-1002", 12, "TCP")
		guess.Password = "wrong"
		guess.SendRegister(t, siptest.Registration{})
		guess.Learn(t, guess.Wait(t, "401 REGISTER"))
		guess.SendRegister(t, siptest.Registration{})
		guess.Next(t, time.Second)
		pass(11 * time.Second)
		if n := c.metric(t, "bellhop_transport_connections"); n != 1 {
			t.Errorf("%v connections are open, want that of the phone", n)
		}
	})
}

// Over TLS and nothing else (trust.md §1): a sips URI, and a device marked so.
func TestSIPSNeverFallsBack(t *testing.T) {
	t.Parallel()
	inCampus(t, func(t *testing.T, c *campus) {
		ana, plain := c.registered(t, "desk-1001", 11, "TLS"), c.registered(t, "desk-1002", 12, "TCP")
		sips := func(number string) string { return "sips:" + number + "@" + domain }
		call := ana.Call(t, sips("1002"))
		call.Refused(ana.Wait(t, "480 INVITE"))

		ben := c.registered(t, "soft-1002", 13, "TLS")
		call = ana.Call(t, sips("1002"))
		inv := ben.Wait(t, "INVITE")
		for _, r := range inv.Routes() {
			if !strings.HasPrefix(r, "<sips:") {
				t.Errorf("Record-Route %s, want a sips URI", r)
			}
		}
		c.registered(t, "web-1002", 14, "TCP").Quiet(t, time.Second) // who joins must be secure too
		ana.Wait(t, "100 INVITE")
		ben.Reply(inv, siptest.Answer{Status: 200, Body: siptest.SDP})
		call.Ack(ana.Wait(t, "200 INVITE"))
		ben.Wait(t, "ACK")
		call.Bye()
		ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
		ana.Wait(t, "200 BYE")

		inTheClear := plain.Call(t, sips("1001"))
		inTheClear.Refused(plain.Wait(t, "480 INVITE"))

		c.apply(t, put(directory.KindDevice, "soft-1002", `{"kind":"soft","tls":"required","lines":[{"number":"1002"}]}`))
		if res := c.phone("soft-1002", 15, "TCP").Register(t, siptest.Registration{}); res.Status() != 403 {
			t.Errorf("REGISTER in the clear = %d, want 403", res.Status())
		}
	})
}

// A connection over TLS counts for the devices that authenticated over it, and
// for nobody else, until the credential changes; one in the clear never does.
func TestConnectionThatAuthenticated(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, over string
		change     func(t *testing.T, c *campus, p *siptest.Phone)
		asked      bool
	}{
		{"TLS", "TLS", func(*testing.T, *campus, *siptest.Phone) {}, false},
		{"TCP", "TCP", func(*testing.T, *campus, *siptest.Phone) {}, true},
		{"another number", "TLS", func(_ *testing.T, _ *campus, p *siptest.Phone) { p.Number = "1003" }, true},
		{"another domain", "TLS", func(_ *testing.T, _ *campus, p *siptest.Phone) { p.Domain = "open.test" }, true},
		{"a connection later", "TLS", func(_ *testing.T, _ *campus, p *siptest.Phone) {
			p.Move(netip.AddrPortFrom(p.Addr.Addr(), 40001))
		}, true},
		{"another secret", "TLS", func(t *testing.T, c *campus, p *siptest.Phone) {
			t.Helper()
			c.openDevice(t, domain, p.Device, p.Number) // sealed anew
		}, true},
		{"the credential is gone", "TLS", func(t *testing.T, c *campus, p *siptest.Phone) {
			t.Helper()
			c.apply(t, directory.Write{Ref: directory.Ref{Domain: domain, Kind: directory.KindCredential, Name: p.Device}})
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inCampus(t, func(t *testing.T, c *campus) {
				p := c.registered(t, "desk-1001", 11, tt.over)
				p.Forget()
				tt.change(t, c, p)
				call := p.Call(t, "sip:1005@"+domain)
				word := "480 INVITE"
				if tt.asked {
					word = "407 INVITE"
				}
				call.Refused(p.Wait(t, word))
			})
		})
	}
}

// A GRUU reaches one phone of a number (RFC 5627), within a call too.
func TestGRUU(t *testing.T) {
	t.Parallel()
	inCampus(t, func(t *testing.T, c *campus) {
		ana, desk := c.registered(t, "desk-1001", 11, ""), c.registered(t, "desk-1002", 12, "")
		web := c.phone("web-1002", 13, "WS")
		res := web.Register(t, siptest.Registration{Lines: []string{"Supported: gruu"}})
		var public, temporary string
		for _, v := range res.Headers("Contact") {
			if _, rest, ok := strings.Cut(v, `;pub-gruu="`); ok && strings.Contains(v, "web-1002") {
				public, rest, _ = strings.Cut(rest, `"`)
				_, rest, _ = strings.Cut(rest, `;temp-gruu="`)
				temporary, _, _ = strings.Cut(rest, `"`)
			}
		}
		if public != "sip:1002@"+domain+";gr=urn:x:web-1002" || !strings.HasPrefix(temporary, "sip:tgruu.") {
			t.Fatalf("GRUUs %q and %q in\n%s", public, temporary, res.Raw)
		}
		web.Ladder = nil
		for _, uri := range []string{public, temporary} {
			call := ana.Call(t, uri)
			inv := web.Wait(t, "INVITE")
			if inv.URI() != web.Contact() {
				t.Errorf("INVITE of %s for %s, want %s", uri, inv.URI(), web.Contact())
			}
			web.Reply(inv, siptest.Answer{Status: 200, Body: siptest.SDP, Lines: []string{"Contact: <" + public + ">"}})
			call.Ack(ana.Wait(t, "200 INVITE"))
			if ack := web.Wait(t, "ACK"); ack.URI() != web.Contact() {
				t.Errorf("ACK for %s, want %s", ack.URI(), web.Contact())
			}
			call.Bye()
			web.Reply(web.Wait(t, "BYE"), siptest.Answer{Status: 200})
			ana.Wait(t, "200 BYE")
		}
		desk.Quiet(t, time.Second)
		web.Close()
		synctest.Wait()
		call := ana.Call(t, temporary)
		call.Refused(ana.Wait(t, "480 INVITE"))
	})
}

// An anchored call has a leg over each transport, and our Contact says so.
func TestAnchoredBetweenTransports(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ from, to, answered, asked string }{
		{"", "TCP", server + ">", server + ";transport=tcp>"},
		{"TCP", "TLS", server + ";transport=tcp>", tlsAt + ";transport=tls>"},
		{"TLS", "WS", tlsAt + ";transport=tls>", web + ";transport=ws>"},
		{"WS", "", web + ";transport=ws>", server + ">"},
	} {
		t.Run(tt.from+" to "+tt.to, func(t *testing.T) {
			t.Parallel()
			inCampus(t, func(t *testing.T, c *campus) {
				c.apply(t, noAnswer("1002", "1003"))
				ana, ben := c.registered(t, "desk-1001", 11, tt.from), c.registered(t, "desk-1002", 12, tt.to)
				leg := ana.Call(t, "1002")
				inv := ben.Wait(t, "INVITE")
				if v := inv.Header("Contact"); !strings.Contains(v, tt.asked) {
					t.Errorf("Contact to the callee %s, want %s", v, tt.asked)
				}
				ben.Reply(inv, siptest.Answer{Status: 200, Body: siptest.SDP, Lines: []string{"Content-Type: application/sdp"}})
				ok := ana.Wait(t, "200 INVITE")
				if v := ok.Header("Contact"); !strings.Contains(v, tt.answered) {
					t.Errorf("Contact to the caller %s, want %s", v, tt.answered)
				}
				ben.Wait(t, "ACK")
				leg.Ack(ok)
				pass(time.Second)
				if tt.to != "" { // it comes back
					ben.Move(netip.AddrPortFrom(ben.Addr.Addr(), 40001))
					if res := ben.Register(t, siptest.Registration{CallID: "reg-again"}); res.Status() != 200 {
						t.Fatalf("REGISTER = %d", res.Status())
					}
				}
				leg.Bye()
				ana.Wait(t, "200 BYE")
				ben.Reply(ben.Wait(t, "BYE"), siptest.Answer{Status: 200})
			})
		})
	}
	t.Run("the connection closes while it rings", func(t *testing.T) {
		t.Parallel()
		inCampus(t, func(t *testing.T, c *campus) {
			c.apply(t, noAnswer("1002", "1003"))
			ana, ben := c.registered(t, "desk-1001", 11, ""), c.registered(t, "desk-1002", 12, "TCP")
			leg := ana.Call(t, "1002")
			ben.Reply(ben.Wait(t, "INVITE"), siptest.Answer{Status: 180})
			ana.Wait(t, "180 INVITE")
			begun := time.Now()
			ben.Close()
			leg.Refused(ana.Wait(t, "480 INVITE"))
			if wait := time.Since(begun); wait > time.Second {
				t.Errorf("the caller heard after %v", wait)
			}
		})
	})
}
