package sip_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/sip/siptest"
)

// TestValidation is RFC 3261 §16.3 and what else is refused before routing. Each
// request comes from a device with good credentials.
func TestValidation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(r *siptest.Request)
		want   int
		lines  []string // of the response
	}{
		{"no hop left", func(r *siptest.Request) { r.Hops = "0" }, 483, nil},
		{"no breadth left", func(r *siptest.Request) { r.Lines = append(r.Lines, "Max-Breadth: 0") }, 440, nil},
		{"Proxy-Require", func(r *siptest.Request) { r.Lines = append(r.Lines, "Proxy-Require: foo, bar") }, 420, []string{"Unsupported: foo, bar"}},
		{"a scheme that is none of ours", func(r *siptest.Request) { r.URI = "tel:1002" }, 416, nil},
		{"a Route past us", func(r *siptest.Request) { r.Routes = []string{"<sip:192.0.2.66;lr>"} }, 403, nil},
		{"a Route past us behind ours", func(r *siptest.Request) { r.Routes = []string{"<sip:192.0.2.1:5060;lr>", "<sip:192.0.2.66;lr>"} }, 403, nil},
		{"nobody at the server", func(r *siptest.Request) { r.URI = "sip:bellhop.test" }, 404, nil},
		{"From of somebody else", func(r *siptest.Request) { r.From = "<sip:1003@bellhop.test>;tag=1" }, 403, nil},
	}
	for _, tt := range tests {
		for _, method := range []string{"INVITE", "MESSAGE"} {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T, h *house) {
					ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
					r := out(ana, method, "1002")
					tt.change(r)
					r.Lines = append(r.Lines, ana.Credentials(t, method, r.URI))
					ana.Send(r)
					res := ana.Wait(t, fmt.Sprintf("%d %s", tt.want, method))
					for _, l := range tt.lines {
						name, _, _ := strings.Cut(l, ":")
						if !slices.Contains(res.Lines(name), l) {
							t.Errorf("no %q in\n%s", l, res.Raw)
						}
					}
					if method == "INVITE" {
						leg := siptest.Leg{Phone: ana, CallID: r.CallID, Invite: *r}
						leg.Refused(res)
					}
					ben.Quiet(t, time.Second)
				})
			})
		}
	}
}

// out is a request outside of a dialog.
func out(p *siptest.Phone, method, to string) *siptest.Request {
	uri := "sip:" + to + "@" + domain
	return &siptest.Request{
		Method: method, URI: uri, From: "<" + p.AOR() + ">;tag=" + p.ID(), To: "<" + uri + ">", CallID: p.ID(), CSeq: 1,
	}
}

func TestOptionsToTheServer(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana := h.registered(t, "desk-1001", 11)
		r := out(ana, "OPTIONS", "x")
		r.URI, r.Hops = "sip:"+domain, "-"
		r.Lines = []string{ana.Credentials(t, "OPTIONS", r.URI)}
		ana.Send(r)
		res := ana.Wait(t, "200 OPTIONS")
		if !strings.Contains(res.Header("Allow"), "INVITE") || res.Header("Accept") != "application/sdp" || res.Header("Server") != "" {
			t.Errorf("200 to OPTIONS:\n%s", res.Raw)
		}
	})
}

// TestOwnRoute: a phone may name us as its outbound proxy, by an address or by
// whatever name it has for us (RFC 3261 §16.4), and nobody beside.
func TestOwnRoute(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		routes []string
		want   bool
	}{
		{"our address", []string{"<sip:192.0.2.1:5060;lr>"}, true},
		{"our address twice", []string{"<sip:192.0.2.1:5060;lr>, <sip:192.0.2.1;lr>"}, true},
		{"our address at another port, as a load balancer has", []string{"<sip:192.0.2.1:15061;transport=tls;lr>"}, true},
		{"the domain", []string{"<sip:bellhop.test;lr>"}, true},
		{"a name of the DNS", []string{"<sip:sip7.pbx.example:5061;transport=tls;lr>"}, true},
		{"another address", []string{"<sip:198.51.100.1;lr>"}, false},
		{"another IPv6 address", []string{"<sip:[2001:db8::1];lr>"}, false},
		{"a name behind us", []string{"<sip:192.0.2.1;lr>", "<sip:sip7.pbx.example;lr>"}, false},
		{"a second name", []string{"<sip:sip7.pbx.example;lr>, <sip:sip8.pbx.example;lr>"}, false},
		{"no URI", []string{"<sip:>"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				r := out(ana, "MESSAGE", "1002")
				r.Routes = tt.routes
				r.Lines = []string{ana.Credentials(t, "MESSAGE", r.URI)}
				ana.Send(r)
				if !tt.want {
					ana.Wait(t, "403 MESSAGE")
					return
				}
				got := ben.Wait(t, "MESSAGE")
				if len(got.Headers("Route")) != 0 {
					t.Errorf("forwarded with Route:\n%s", got.Raw)
				}
				reply(ben, got, 200)
				ana.Wait(t, "200 MESSAGE")
			})
		})
	}
}

// TestBorder is the table of trust.md §1 for what a device sends.
func TestBorder(t *testing.T) {
	t.Parallel()
	kept := []string{
		"Alert-Info: <http://a.test/ring>", "Call-Info: <http://a.test/me>;purpose=icon", "P-Preferred-Identity: <sip:1001@bellhop.test>",
		"Answer-Mode: Auto", "X-Strange:   kept  as it is ", "Subject: again", "s: twice",
		`Proxy-Authorization: Digest username="a", realm="else.test", nonce="n", uri="sip:x", response="00000000000000000000000000000000"`,
	}
	dropped := []string{
		"P-Asserted-Identity: <sip:boss@bellhop.test>", "Remote-Party-ID: <sip:boss@bellhop.test>", "Diversion: <sip:1009@bellhop.test>",
		"History-Info: <sip:1009@bellhop.test>;index=1",
	}
	for _, method := range []string{"INVITE", "MESSAGE", "WOMBAT"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				r := out(ana, method, "1002")
				r.Body = "any\x00bytes\xff\xfe\r\n\r\nat all"
				r.Lines = append(append(slices.Clone(kept), dropped...), "Content-Type: application/octet-stream", ana.Credentials(t, method, r.URI))
				ana.Send(r)
				got := ben.Wait(t, method)
				if got.Body() != r.Body {
					t.Errorf("body %q, want %q", got.Body(), r.Body)
				}
				for _, l := range kept {
					if !strings.Contains(string(got.Raw), "\r\n"+l+"\r\n") {
						t.Errorf("%q is not kept", l)
					}
				}
				for _, l := range dropped {
					name, _, _ := strings.Cut(l, ":")
					if len(got.Lines(name)) != 0 {
						t.Errorf("%s is not dropped", name)
					}
				}
				if n := len(got.Lines("Proxy-Authorization")); n != 1 {
					t.Errorf("%d Proxy-Authorization, want that of the other realm", n)
				}
				res := ben.Reply(got, siptest.Answer{Status: 488, Reason: "Just No", Lines: []string{"Warning: 399 x \"odd\"", "X-Odd: 1"}, Body: "\x01\x02"})
				up := ana.Wait(t, "488 "+method)
				if up.Reason() != "Just No" || up.Body() != "\x01\x02" || up.Header("X-Odd") != "1" || len(up.Raw) >= len(res) {
					t.Errorf("488 as relayed:\n%s", up.Raw)
				}
				if method == "INVITE" {
					ben.Wait(t, "ACK")
					leg := siptest.Leg{Phone: ana, CallID: r.CallID, Invite: *r}
					leg.Refused(up)
				}
			})
		})
	}
}

// TestMessageToTwo: a MESSAGE goes to all devices, one answer comes back.
func TestMessageToTwo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		desk, soft int // 0: silent
		want       string
	}{
		{"both take it", 200, 200, "200 MESSAGE"},
		{"one takes it", 486, 200, "200 MESSAGE"},
		{"none takes it", 486, 404, "486 MESSAGE"},
		{"one is silent", 415, 0, "415 MESSAGE"},
		{"a decline wins", 404, 603, "603 MESSAGE"},
		{"both are silent", 0, 0, "202 MESSAGE"}, // it is kept (RFC 3428 §7)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, desk, soft := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12), h.registered(t, "soft-1002", 13)
				r := out(ana, "MESSAGE", "1002")
				r.Body = "hello"
				r.Lines = []string{"Content-Type: text/plain", ana.Credentials(t, "MESSAGE", r.URI)}
				again := ana.Send(r)
				for _, p := range []struct {
					*siptest.Phone
					status int
				}{{desk, tt.desk}, {soft, tt.soft}} {
					m := p.Wait(t, "MESSAGE")
					if m.Body() != "hello" || len(m.Routes()) != 0 {
						t.Errorf("MESSAGE as forked:\n%s", m.Raw)
					}
					if p.status != 0 {
						reply(p.Phone, m, p.status)
					}
				}
				pass(33 * time.Second)
				ana.Saw(t, "> MESSAGE", "< "+tt.want)
				if tt.soft != 0 {
					ana.SendRaw(again, "MESSAGE")
					pass(0)
					soft.Saw(t, "< MESSAGE", fmt.Sprintf("> %d MESSAGE", tt.soft))
				}
			})
		})
	}
}

// TestLoop: a request that comes round unchanged is refused (RFC 3261 §16.3
// step 4). Whoever sends it back needs credentials, as everybody does.
func TestLoop(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"INVITE", "MESSAGE"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
				r := out(ana, method, "1002")
				r.Lines = []string{ana.Credentials(t, method, r.URI)}
				ana.Send(r)
				got := ben.Wait(t, method)
				back := *r // as it went out, through ana once more
				back.Branch, back.Via = "", ""
				for _, v := range got.Headers("Via") {
					back.Lines = append(back.Lines, "Via: "+v)
				}
				back.Lines[0] = ana.Credentials(t, method, r.URI)
				ana.Send(&back)
				res := ana.Wait(t, "482 "+method)
				leg := siptest.Leg{Phone: ana, CallID: r.CallID, Invite: back}
				if method == "INVITE" {
					leg.Refused(res)
				}
				reply(ben, got, 486)
				if method == "INVITE" {
					ben.Wait(t, "ACK")
					leg.Invite = *r
					leg.Refused(ana.Wait(t, "486 INVITE"))
				}
			})
		})
	}
}

// TestVia: answers go where RFC 3261 §18.2 and RFC 3581 say.
func TestVia(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		ana, ben := h.registered(t, "desk-1001", 11), h.registered(t, "desk-1002", 12)
		r := out(ana, "MESSAGE", "1002")
		r.Via = "SIP/2.0/UDP 10.0.0.7:5099;branch=z9hG4bKnat;rport"
		r.Lines = []string{ana.Credentials(t, "MESSAGE", r.URI)}
		ana.Send(r)
		got := ben.Wait(t, "MESSAGE")
		if v := got.Headers("Via")[1]; !strings.Contains(v, "rport=5060") || !strings.Contains(v, "received=192.0.2.11") {
			t.Errorf("Via = %s", v)
		}
		reply(ben, got, 200)
		ana.Wait(t, "200 MESSAGE")
	})
}
