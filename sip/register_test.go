package sip_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/siptest"
)

// bound returns the contacts of a number, as the location service has them.
func (h *house) bound(tb testing.TB, number string) (contacts []string) {
	tb.Helper()
	aor, err := location.NewAOR(number, domain)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range h.store.Bindings.Bindings(aor) {
		contacts = append(contacts, b.Contact)
	}
	return contacts
}

func TestRegister(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script func(t *testing.T, h *house, p *siptest.Phone)
		ladder string
		bound  int
	}{
		{
			name: "challenge, SHA-256 first",
			script: func(t *testing.T, _ *house, p *siptest.Phone) {
				t.Helper()
				p.SendRegister(t, siptest.Registration{})
				res := p.Wait(t, "401 REGISTER")
				if v := res.Headers("WWW-Authenticate"); len(v) != 2 || !strings.Contains(v[0], "SHA-256") || !strings.Contains(v[1], "MD5") || res.Header("Server") != "" {
					t.Errorf("challenge:\n%s", res.Raw)
				}
				if c := p.Learn(t, res); c.Realm != domain || c.Stale {
					t.Errorf("challenge %+v", c)
				}
				p.SendRegister(t, siptest.Registration{})
				if res := p.Wait(t, "200 REGISTER"); !strings.Contains(res.Header("Contact"), "expires=3600") || res.Header("Date") == "" {
					t.Errorf("200:\n%s", res.Raw)
				}
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER", bound: 1,
		},
		{
			name: "MD5",
			script: func(t *testing.T, _ *house, p *siptest.Phone) {
				t.Helper()
				p.Algorithm = "MD5"
				p.Register(t, siptest.Registration{})
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER", bound: 1,
		},
		{
			name: "refresh with the same nonce, and the count it had: stale",
			script: func(t *testing.T, _ *house, p *siptest.Phone) {
				t.Helper()
				p.Register(t, siptest.Registration{})
				p.SendRegister(t, siptest.Registration{})
				p.Wait(t, "200 REGISTER")
				b := p.SendRegister(t, siptest.Registration{})
				p.Wait(t, "200 REGISTER")
				replayed := bytes.ReplaceAll(b, []byte("branch=z9hG4bK"), []byte("branch=z9hG4bKx"))
				p.SendRaw(replayed, "REGISTER") // RFC 7616 §5.12
				if c := p.Learn(t, p.Wait(t, "401 REGISTER")); !c.Stale {
					t.Errorf("challenge %+v, want stale", c)
				}
				p.SendRegister(t, siptest.Registration{})
				p.Wait(t, "200 REGISTER")
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER",
			bound:  1,
		},
		{
			name: "an old nonce is stale",
			script: func(t *testing.T, _ *house, p *siptest.Phone) {
				t.Helper()
				p.Register(t, siptest.Registration{Expires: "7200"})
				pass(61 * time.Minute)
				p.SendRegister(t, siptest.Registration{})
				if c := p.Learn(t, p.Wait(t, "401 REGISTER")); !c.Stale {
					t.Errorf("challenge %+v, want stale", c)
				}
				p.SendRegister(t, siptest.Registration{})
				p.Wait(t, "200 REGISTER")
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER", bound: 1,
		},
		{
			name: "a retransmission is answered from memory",
			script: func(t *testing.T, _ *house, p *siptest.Phone) {
				t.Helper()
				p.Register(t, siptest.Registration{})
				b := p.SendRegister(t, siptest.Registration{})
				first := p.Wait(t, "200 REGISTER")
				p.SendRaw(b, "REGISTER")
				if again := p.Wait(t, "200 REGISTER"); !bytes.Equal(first.Raw, again.Raw) {
					t.Errorf("another answer:\n%s\n%s", first.Raw, again.Raw)
				}
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 200 REGISTER", bound: 1,
		},
		{
			name: "two contacts, a question, and *",
			script: func(t *testing.T, h *house, p *siptest.Phone) {
				t.Helper()
				res := p.Register(t, siptest.Registration{Contacts: []string{"<sip:a@192.0.2.11>;expires=600;q=0.5", "<sip:b@192.0.2.11:5070>"}})
				if v := res.Headers("Contact"); len(v) != 2 || !strings.Contains(v[0], "q=0.5") || !strings.Contains(v[0], "expires=600") || !strings.Contains(v[1], "expires=3600") {
					t.Errorf("200:\n%s", res.Raw)
				}
				if got := h.bound(t, "1001"); len(got) != 2 {
					t.Errorf("bound %q", got)
				}
				if res := p.Register(t, siptest.Registration{Contacts: []string{}, Expires: "-"}); len(res.Headers("Contact")) != 2 {
					t.Errorf("question:\n%s", res.Raw)
				}
				if res := p.Register(t, siptest.Registration{Contacts: []string{"*"}, Expires: "10"}); res.Status() != 400 {
					t.Errorf("* with time: %d", res.Status())
				}
				if res := p.Register(t, siptest.Registration{Contacts: []string{"*"}, Expires: "0"}); res.Status() != 200 || len(res.Headers("Contact")) != 0 {
					t.Errorf("*:\n%s", res.Raw)
				}
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 400 REGISTER, > REGISTER, < 200 REGISTER",
		},
		{
			name: "too brief",
			script: func(t *testing.T, _ *house, p *siptest.Phone) {
				t.Helper()
				res := p.Register(t, siptest.Registration{Expires: "5"})
				if res.Status() != 423 || res.Header("Min-Expires") == "" {
					t.Fatalf("answer:\n%s", res.Raw)
				}
				p.SendRegister(t, siptest.Registration{Expires: res.Header("Min-Expires")})
				p.Wait(t, "200 REGISTER")
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 423 REGISTER, > REGISTER, < 200 REGISTER", bound: 1,
		},
		{
			name: "it expires",
			script: func(t *testing.T, h *house, p *siptest.Phone) {
				t.Helper()
				p.Register(t, siptest.Registration{Expires: "120"})
				pass(119 * time.Second)
				if got := h.bound(t, "1001"); len(got) != 1 {
					t.Errorf("bound %q before it expires", got)
				}
				pass(5 * time.Second)
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER",
		},
		{
			name: "the number of somebody else",
			script: func(t *testing.T, _ *house, p *siptest.Phone) {
				t.Helper()
				p.Number = "1002"
				if res := p.Register(t, siptest.Registration{}); res.Status() != 403 {
					t.Errorf("answer:\n%s", res.Raw)
				}
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 403 REGISTER",
		},
		{
			name: "CSeq out of order",
			script: func(t *testing.T, _ *house, p *siptest.Phone) {
				t.Helper()
				p.Register(t, siptest.Registration{CSeq: 10})
				p.SendRegister(t, siptest.Registration{CSeq: 9})
				p.Wait(t, "500 REGISTER")
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 500 REGISTER", bound: 1,
		},
		{
			name: "the device is deleted, and its binding with it",
			script: func(t *testing.T, h *house, p *siptest.Phone) {
				t.Helper()
				p.Register(t, siptest.Registration{})
				h.apply(t, directory.Write{Ref: directory.Ref{Domain: domain, Kind: directory.KindDevice, Name: "desk-1001"}})
				p.SendRegister(t, siptest.Registration{})
				p.Wait(t, "401 REGISTER")
			},
			ladder: "> REGISTER, < 401 REGISTER, > REGISTER, < 200 REGISTER, > REGISTER, < 401 REGISTER",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				p := h.phone("desk-1001", 11)
				p.Instance = ""
				tt.script(t, h, p)
				p.Saw(t, strings.Split(tt.ladder, ", ")...)
				if got := h.bound(t, "1001"); len(got) != tt.bound {
					t.Errorf("bound %q, want %d", got, tt.bound)
				}
			})
		})
	}
}

// TestNobodyLearnsWhoExists: a wrong password, an unknown user and a device
// without a secret are answered with the same bytes, but for the nonce.
func TestNobodyLearnsWhoExists(t *testing.T) {
	t.Parallel()
	nonce := regexp.MustCompile(`nonce="[^"]*"|tag=[^\r;]*`)
	for _, method := range []string{"REGISTER", "INVITE", "MESSAGE", "WOMBAT"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h *house) {
				var answers []string
				for _, who := range []string{"desk-1001", "nobody-1001"} {
					p := h.phone(who, 11)
					p.Password = "wrong"
					var ladder []string
					for range 3 {
						r := out(p, method, "1002")
						r.CallID, r.Branch, r.From = "c", "z9hG4bKsame"+fmt.Sprint(len(ladder)), "<"+p.AOR()+">;tag=same"
						if method == "REGISTER" {
							r.URI, r.To, r.Contact = "sip:"+domain, "<"+p.AOR()+">", "<"+p.Contact()+">"
						}
						if line := p.Credentials(t, method, r.URI); line != "" {
							r.Lines = []string{line, "X-Pad: " + strings.Repeat("x", 300)}
						} else {
							r.Lines = []string{"X-Pad: " + strings.Repeat("x", 300)}
						}
						p.Send(r)
						res := p.Next(t, time.Second)
						if res == nil {
							t.Fatalf("no answer to %s of %s", method, who)
						}
						ladder = append(ladder, nonce.ReplaceAllString(string(res.Raw), ""))
						p.Learn(t, res)
					}
					answers = append(answers, strings.Join(ladder, "\n"))
				}
				if answers[0] != answers[1] {
					t.Errorf("known and unknown differ:\n%s\n%s", answers[0], answers[1])
				}
				if n := h.lanes(t); n != 0 {
					t.Errorf("%d lanes for strangers", n)
				}
			})
		})
	}
}

// TestSlowed: who guesses gets no answer any more, and who knows still does.
func TestSlowed(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, h *house) {
		guess := h.phone("desk-1001", 66)
		guess.Password = "wrong"
		answers := 0
		for range 30 {
			guess.SendRegister(t, siptest.Registration{})
			res := guess.Next(t, 100*time.Millisecond)
			if res == nil {
				continue
			}
			answers++
			guess.Learn(t, res)
		}
		if answers > 10 {
			t.Errorf("%d of 30 guesses were answered", answers)
		}
		if h.metric(t, "bellhop_sip_slowed_requests_total") == 0 {
			t.Error("nobody was slowed")
		}
		h.registered(t, "desk-1001", 11) // from elsewhere
		h.registered(t, "desk-1002", 66) // another one from there
	})
}
