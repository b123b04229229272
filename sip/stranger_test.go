package sip_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
)

// TestStrangers: nothing is kept, and no answer is more than twice as large as
// what it answers (trust.md §1).
func TestStrangers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(r *siptest.Request)
		want   map[string]string // answer by method; "" is none; of "" by default
	}{
		{"no credentials", func(*siptest.Request) {}, map[string]string{"": "407", "REGISTER": "401", "ACK": "", "CANCEL": "481"}},
		{"a domain that is none of ours", func(r *siptest.Request) {
			r.URI, r.From, r.To = "sip:a@else.test", "<sip:b@else.test>;tag=1", "<sip:a@else.test>"
		}, map[string]string{"": "", "CANCEL": "481"}},
		{"from elsewhere to us", func(r *siptest.Request) { r.From = "<sip:b@else.test>;tag=1" }, map[string]string{"": "407", "REGISTER": "401", "ACK": "", "CANCEL": "481"}},
		{"a To tag out of the air", func(r *siptest.Request) { r.To += ";tag=x" }, map[string]string{"": "481", "REGISTER": "401", "ACK": ""}},
		{"credentials for another realm", func(r *siptest.Request) {
			r.Lines = append(r.Lines, `Proxy-Authorization: Digest username="desk-1001", realm="else.test", nonce="n", uri="sip:x", response="00"`)
		}, map[string]string{"": "407", "REGISTER": "401", "ACK": "", "CANCEL": "481"}},
		{"a nonce out of the air", func(r *siptest.Request) {
			h := "Proxy-Authorization"
			if r.Method == "REGISTER" {
				h = "Authorization"
			}
			r.Lines = append(r.Lines, h+`: Digest username="desk-1001", realm="bellhop.test", nonce="n", uri="`+r.URI+`", response="00000000000000000000000000000000", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"`)
		}, map[string]string{"": "407", "REGISTER": "401", "ACK": "", "CANCEL": "481"}},
	}
	for _, tt := range tests {
		for _, method := range []string{"REGISTER", "INVITE", "ACK", "CANCEL", "BYE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "WOMBAT"} {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				t.Parallel()
				in(t, func(t *testing.T, h *house) {
					h.registered(t, "desk-1002", 12)
					pass(time.Minute)
					begun := h.metric(t, "bellhop_sip_transactions_total")
					evil := h.phone("desk-1001", 66)
					r := out(evil, method, "1002")
					r.Lines = []string{"X-Pad: " + strings.Repeat("x", 200)}
					tt.change(r)
					sent := evil.Send(r)
					want, ok := tt.want[method]
					if !ok {
						want = tt.want[""]
					}
					if want == "" {
						evil.Quiet(t, time.Minute)
					} else {
						res := evil.Wait(t, want+" "+method)
						if len(res.Raw) > 2*len(sent) {
							t.Errorf("%d bytes answer %d", len(res.Raw), len(sent))
						}
						if res.ToTag() == "" {
							t.Errorf("no To tag:\n%s", res.Raw)
						}
						evil.SendRaw(sent, "")
						if again := evil.Wait(t, want+" "+method); again.ToTag() != res.ToTag() { // RFC 3261 §8.2.7
							t.Errorf("To tags %s and %s", res.ToTag(), again.ToTag())
						}
						evil.Quiet(t, time.Minute)
					}
					if n := h.lanes(t); n != 0 {
						t.Errorf("%d lanes", n)
					}
					if n := h.metric(t, "bellhop_sip_transactions_total"); n != begun {
						t.Errorf("%v transactions", n-begun)
					}
				})
			})
		}
	}
}

// TestSmallQuestion: an answer that would amplify is not sent.
func TestSmallQuestion(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		evil := h.phone("desk-1001", 66)
		evil.SendRaw([]byte("OPTIONS sip:a@bellhop.test SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK1\r\nf:<sip:a@b>;tag=1\r\nt:<sip:a@b>\r\ni:1\r\nCSeq:1 OPTIONS\r\n\r\n"), "OPTIONS")
		evil.Quiet(t, time.Minute)
		if n := h.metric(t, "bellhop_sip_answers_too_large_total"); n != 1 {
			t.Errorf("answers_too_large = %v, want 1", n)
		}
	})
}

// TestFlood: ten thousand strangers leave no memory behind.
func TestFlood(t *testing.T) { //nolint:paralleltest // measures memory
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1)
		heap := func() int64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		flood := func(n int) {
			for i := range n {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), uint16(1024+i%60000))
				p := siptest.NewPhone(h.net, siptest.Line{
					Device: "x", Password: "y", Number: fmt.Sprint(i), Domain: domain, Addr: from, Server: netip.MustParseAddrPort(server),
				})
				p.Send(out(p, []string{"INVITE", "REGISTER", "BYE", "WOMBAT"}[i%4], "1002"))
				p.Next(t, time.Millisecond)
				p.Close()
			}
		}
		flood(500)
		before := heap()
		flood(10_000)
		if grown := heap() - before; grown > 1<<20 {
			t.Errorf("the heap grew by %d KB", grown>>10)
		}
		if n := h.lanes(t); n != 0 {
			t.Errorf("%d lanes", n)
		}
		h.sane(t)
	})
}

// TestOpenDomain: a domain may be open to strangers, who then reach numbers, and
// bring nothing in that a border keeps out.
func TestOpenDomain(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		within := func(kind directory.Kind, name, body string) directory.Write {
			return directory.Write{Ref: directory.Ref{Domain: "open.test", Kind: kind, Name: name}, Body: []byte(body)}
		}
		h.apply(t, within(directory.KindNumber, "2001", `{}`))
		h.openDevice(t, "open.test", "door-2001", "2001")
		door := h.phone("door-2001", 21)
		door.Domain = "open.test"
		if res := door.Register(t, siptest.Registration{}); res.Status() != 200 {
			t.Fatalf("REGISTER = %d %s", res.Status(), res.Reason())
		}
		door.Ladder = nil
		zoe := h.phone("zoe-0001", 66)
		zoe.Domain = "else.test"
		r := out(zoe, "MESSAGE", "2001")
		r.URI, r.To = "sip:2001@open.test", "<sip:2001@open.test>"
		r.Lines = []string{"Alert-Info: <http://a.test/ring>", "Call-Info: <http://a.test/me>", "Answer-Mode: Auto", "P-Asserted-Identity: <sip:a@b>", "P-Preferred-Identity: <sip:a@b>", "X-Keep: 1"}
		zoe.Send(r)
		got := door.Wait(t, "MESSAGE")
		for _, l := range r.Lines {
			name, _, _ := strings.Cut(l, ":")
			if kept := len(got.Lines(name)) > 0; kept != (name == "X-Keep") {
				t.Errorf("%s kept: %v", name, kept)
			}
		}
		reply(door, got, 200)
		zoe.Wait(t, "200 MESSAGE")
		call := zoe.Call(t, "sip:2001@open.test", r.Lines...)
		got = door.Wait(t, "INVITE")
		for _, l := range r.Lines {
			name, _, _ := strings.Cut(l, ":")
			if kept := len(got.Lines(name)) > 0; kept != (name == "X-Keep") {
				t.Errorf("%s kept: %v", name, kept)
			}
		}
		reply(door, got, 486)
		door.Wait(t, "ACK")
		call.Refused(zoe.Wait(t, "486 INVITE"))
		call = zoe.Call(t, "sip:door-2001@open.test") // dial.number only
		call.Refused(zoe.Wait(t, "403 INVITE"))
		ana := h.registered(t, "desk-1001", 11) // of another domain: as a stranger
		call = ana.Call(t, "sip:2001@open.test")
		reply(door, door.Wait(t, "INVITE"), 486)
		door.Wait(t, "ACK")
		call.Refused(ana.Wait(t, "486 INVITE"))
	})
}
