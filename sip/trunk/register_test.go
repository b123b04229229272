package trunk_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/icholy/digest"
	"pgregory.net/rapid"

	"bellhop/routing/directory"
	"bellhop/sip/siptest"
	"bellhop/sip/wire"
)

const registering = `{"proof":"register","peers":["192.0.2.1"],"health":"off","register":{"registrar":"carrier.example","expires":"PT10M"}}`

// field is the whole value of the first line of a field.
func field(m *wire.Message, f wire.Field) string {
	v, _ := m.Get(f)
	return string(v.Bytes())
}

// A registrar is a carrier that knows one password.
type registrar struct {
	password   string
	algorithms []string
	nonce      string
	grant      int  // seconds; in the Contact
	least      int  // 423 below
	field      bool // grants by the Expires field
	stale      int  // so many right answers are stale
	ok, wrong  int
	bound      bool
	callIDs    map[string]bool
	cseq       uint32
	contacts   []string
	problem    string
}

func (r *registrar) answer(m *wire.Message) (int, string) {
	if m.Method() != wire.Register {
		return 200, ""
	}
	if r.callIDs == nil {
		r.callIDs = map[string]bool{}
	}
	if id := string(m.CallID()); !r.callIDs[id] {
		r.callIDs[id], r.cseq = true, 0
	}
	if m.CSeq() <= r.cseq {
		r.problem = "CSeq does not rise"
	}
	r.cseq = m.CSeq()
	challenge := func(stale string) (int, string) {
		lines := ""
		for _, alg := range r.algorithms {
			lines += fmt.Sprintf("WWW-Authenticate: Digest realm=\"carrier\", nonce=\"%s\", algorithm=%s, qop=\"auth, auth-int\", opaque=\"a\\\"b\"%s\r\n", r.nonce, alg, stale)
		}
		return 401, lines
	}
	if r.password != "" {
		v := field(m, wire.Authorization)
		if v == "" {
			return challenge("")
		}
		c, err := digest.ParseCredentials(strings.NewReplacer(",", ", ").Replace(v))
		if err != nil {
			r.problem = err.Error() + ": " + v
			return 400, ""
		}
		want, err := digest.Digest(&digest.Challenge{Realm: "carrier", Nonce: r.nonce, Algorithm: c.Algorithm, QOP: []string{"auth"}},
			digest.Options{Method: "REGISTER", URI: string(m.RequestURI()), Count: c.Nc, Cnonce: c.Cnonce, Username: "house", Password: r.password})
		if err != nil || want.Response != c.Response || c.Algorithm != r.algorithms[0] || c.Opaque != `a"b` {
			r.wrong++
			return challenge("")
		}
		if r.stale > 0 {
			r.stale--
			return challenge(", stale=TRUE")
		}
	}
	asked, _ := m.Expires()
	if asked > 0 && int(asked) < r.least {
		return 423, "Min-Expires: " + strconv.Itoa(r.least) + "\r\n"
	}
	r.ok++
	r.bound = asked > 0
	r.contacts = append(r.contacts, field(m, wire.Contact))
	if !r.bound {
		return 200, ""
	}
	n, _ := wire.ParseNameAddr([]byte(field(m, wire.Contact)))
	granted := int(asked)
	if r.grant > 0 {
		granted = r.grant
	}
	if r.field {
		return 200, fmt.Sprintf("Expires: %d\r\n", granted)
	}
	return 200, fmt.Sprintf("Contact: <sip:somebody@else>;expires=7\r\nContact: <%s>;expires=%d\r\n", n.URI, granted)
}

func TestRegister(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		r        registrar
		password string // ours
		err      string
		until    time.Duration
	}{
		{name: "without a password", until: 10 * time.Minute},
		{name: "MD5", r: registrar{password: "s3cret", algorithms: []string{"MD5"}}, password: "s3cret", until: 10 * time.Minute},
		{name: "SHA-256", r: registrar{password: "s3cret", algorithms: []string{"SHA-256", "MD5"}}, password: "s3cret", until: 10 * time.Minute},
		{name: "an algorithm nobody knows first", r: registrar{password: "s3cret", algorithms: []string{"MD5", "WHIRLPOOL"}}, password: "s3cret", until: 10 * time.Minute},
		{name: "only one nobody knows", r: registrar{password: "s3cret", algorithms: []string{"WHIRLPOOL"}}, password: "s3cret", err: "no credentials"},
		{name: "stale", r: registrar{password: "s3cret", algorithms: []string{"MD5"}, stale: 1}, password: "s3cret", until: 10 * time.Minute},
		{name: "always stale", r: registrar{password: "s3cret", algorithms: []string{"MD5"}, stale: 1 << 30}, password: "s3cret", err: "refused"},
		{name: "wrong", r: registrar{password: "s3cret", algorithms: []string{"MD5"}}, password: "other", err: "refused"},
		{name: "no password of ours", r: registrar{password: "s3cret", algorithms: []string{"MD5"}}, err: "no credentials"},
		{name: "less is granted", r: registrar{grant: 60}, until: time.Minute},
		{name: "granted by the field", r: registrar{grant: 90, field: true}, until: 90 * time.Second},
		{name: "nothing is granted", r: registrar{grant: 1}, until: 10 * time.Second},
		{name: "forever", r: registrar{grant: 1 << 40}, until: 24 * time.Hour},
		{name: "more is wanted", r: registrar{least: 3600}, until: time.Hour},
		{name: "too much is wanted", r: registrar{least: 1 << 40}, err: "423"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, h *house) {
				r := tt.r
				r.nonce = "n1"
				h.carrier("192.0.2.1:5060", r.answer)
				p := peering(t, "carrier", registering)
				if tt.password != "" {
					p = signed(p, "house", tt.password)
				}
				p.Username = "house"
				h.set(p)
				start := time.Now()
				h.after(1500 * time.Millisecond)
				s := h.status("carrier")
				until := s.RegisteredUntil.Sub(start)
				if tt.err != "" && (!strings.Contains(s.LastError, tt.err) || !s.RegisteredUntil.IsZero()) {
					t.Errorf("status = %+v, want the error %q", s, tt.err)
				}
				if tt.err == "" && (until < tt.until || until > tt.until+1500*time.Millisecond || s.LastError != "") {
					t.Errorf("registered for %v (%s), want %v", until, s.LastError, tt.until)
				}
				if r.problem != "" || len(r.callIDs) != 1 {
					t.Errorf("%d Call-IDs, %s", len(r.callIDs), r.problem)
				}
				tries := r.wrong
				h.after(20 * time.Minute)
				if r.wrong > tries+4 || tries > 2 {
					t.Errorf("a wrong password was tried %d times at once, %d in 20 min", tries, r.wrong)
				}
				if tt.err == "" && h.status("carrier").RegisteredUntil.IsZero() {
					t.Error("20 min later it is not registered")
				}
			})
		})
	}
}

// TestRegisterMessage: what is in a REGISTER, and that it survives a restart.
func TestRegisterMessage(t *testing.T) {
	t.Parallel()
	var contacts []string
	for range 2 {
		bubble(t, func(t *testing.T, h *house) {
			r := &registrar{}
			c := h.carrier("192.0.2.1:5060", r.answer)
			p := peering(t, "carrier", strings.Replace(registering, `"expires"`, `"username":"+4989","expires"`, 1))
			h.set(p)
			h.after(2 * time.Second)
			m := h.requests(c, wire.Register)[0]
			for f, want := range map[wire.Field]string{
				wire.To: "<sip:+4989@carrier.example>", wire.Expires: "600",
				wire.Contact: "<sip:" + h.m.Token(domain, "carrier") + "@192.0.2.10:5060;line=" + h.m.Token(domain, "carrier") + ">;expires=600",
			} {
				if got := field(m, f); got != want {
					t.Errorf("%v = %s, want %s", f, got, want)
				}
			}
			if string(m.RequestURI()) != "sip:carrier.example" {
				t.Errorf("Request-URI = %s", m.RequestURI())
			}
			contacts = append(contacts, r.contacts...)
			h.stop()
			if r.bound || r.ok != 2 {
				t.Errorf("bound %v after the end, %d REGISTERs", r.bound, r.ok)
			}
		})
	}
	if len(contacts) != 2 || contacts[0] != contacts[1] {
		t.Errorf("contacts = %q, want the same after a restart", contacts)
	}
}

// TestRegisterKeeps: a registration does not lapse while the registrar answers one
// request in three.
func TestRegisterKeeps(t *testing.T) {
	t.Parallel()
	for _, grant := range []int{60, 3600} {
		bubble(t, func(t *testing.T, h *house) {
			r := &registrar{grant: grant}
			n, fail := 0, false
			c := h.carrier("192.0.2.1:5060", func(m *wire.Message) (int, string) {
				if n++; fail && n%3 != 0 {
					return 500, ""
				}
				return r.answer(m)
			})
			h.set(peering(t, "carrier", registering))
			h.after(2 * time.Second)
			h.mu.Lock()
			fail = true
			h.mu.Unlock()
			for range 200 {
				h.after(time.Duration(grant) * time.Second / 10)
				if h.status("carrier").RegisteredUntil.IsZero() {
					t.Errorf("grants %d s: not registered: %s", grant, h.status("carrier").LastError)
					break
				}
			}
			if n := len(h.requests(c, wire.Register)); n > 200 {
				t.Errorf("grants %d s: %d REGISTERs in 20 of its times", grant, n)
			}
		})
	}
}

// TestRegisterFails: refusals and silence are tried again later and later, at the
// next peer, and redirects are not followed.
func TestRegisterFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		status   int
		lines    string
		err      string
		max, min int // REGISTERs in 12 h
	}{
		{"refused", 403, "", "403", 60, 20},
		{"redirected", 302, "Contact: <sip:evil@198.51.100.66>\r\n", "not followed", 60, 20},
		{"busy for long", 503, "Retry-After: 3600\r\n", "503", 12, 10},
		{"busy for ever", 503, "Retry-After: 999999999999\r\n", "503", 12, 10},
		{"silent", 0, "", "no answer", 700, 200}, // sent again and again
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, h *house) {
				c := h.carrier("192.0.2.1:5060", always(tt.status, tt.lines))
				evil := h.carrier("198.51.100.66:5060", always(200))
				h.set(peering(t, "carrier", registering))
				h.after(12 * time.Hour)
				s := h.status("carrier")
				if n := len(c.got); n > tt.max || n < tt.min || !strings.Contains(s.LastError, tt.err) || len(evil.got) > 0 {
					t.Errorf("%d REGISTERs in 12 h, want %d to %d; %q, want %q; %d elsewhere", n, tt.min, tt.max, s.LastError, tt.err, len(evil.got))
				}
			})
		})
	}
	bubble(t, func(t *testing.T, h *house) {
		h.carrier("192.0.2.1:5060", always(500))
		r := &registrar{}
		h.carrier("192.0.2.2:5060", r.answer)
		h.set(peering(t, "carrier", strings.Replace(registering, `"192.0.2.1"`, `"192.0.2.1","192.0.2.2"`, 1)))
		h.after(time.Minute)
		if !r.bound || h.status("carrier").RegisteredUntil.IsZero() {
			t.Errorf("status = %+v, want registered at the second peer", h.status("carrier"))
		}
		h.after(2 * time.Hour)
		if r.ok < 10 {
			t.Errorf("refreshed %d times there, want it to stay", r.ok)
		}
	})
}

// TestRegisterChanges: settings that change while we are registered.
func TestRegisterChanges(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		old, next := &registrar{}, &registrar{password: "new", algorithms: []string{"MD5"}, nonce: "n"}
		h.carrier("192.0.2.1:5060", old.answer)
		h.carrier("192.0.2.2:5060", next.answer)
		p := signed(peering(t, "carrier", registering), "house", "old")
		h.set(p)
		h.after(2 * time.Second)
		if !old.bound {
			t.Fatal("not registered")
		}
		h.set(p)
		h.after(time.Minute)
		if old.ok != 1 {
			t.Errorf("registered %d times, want once: nothing changed", old.ok)
		}
		q := signed(peering(t, "carrier", strings.Replace(registering, "192.0.2.1", "192.0.2.2", 1)), "house", "old")
		h.set(q)
		h.after(2 * time.Second)
		if old.bound || next.wrong != 1 || !h.status("carrier").RegisteredUntil.IsZero() {
			t.Errorf("bound at the old one: %v; %d refused at the new one; %+v", old.bound, next.wrong, h.status("carrier"))
		}
		q.Sealed = siptest.Keys{}.Seal(directory.SealTrunk, []byte("new"), directory.TrunkAAD(domain, "carrier"))
		h.set(q) // the right password is tried at once
		h.after(time.Second)
		if !next.bound {
			t.Errorf("not registered with the new password: %+v", h.status("carrier"))
		}
		h.set()
		h.after(time.Second)
		if next.bound {
			t.Error("a trunk that was deleted is still registered")
		}
	})
}

// TestRegisterTwice: a proxy asks before the registrar does; both are answered.
func TestRegisterTwice(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		r := &registrar{password: "s3cret", algorithms: []string{"SHA-256"}, nonce: "n"}
		h.carrier("192.0.2.1:5060", func(m *wire.Message) (int, string) {
			if !m.Has(wire.ProxyAuthorization) {
				return 407, `Proxy-Authenticate: Digest realm="proxy",nonce="p"` + "\r\n"
			}
			return r.answer(m)
		})
		h.set(signed(peering(t, "carrier", registering), "house", "s3cret"))
		h.after(2 * time.Second)
		if !r.bound || r.wrong > 0 {
			t.Errorf("status = %+v, %d wrong", h.status("carrier"), r.wrong)
		}
	})
}

// TestRegisterAnyway: whatever a carrier answers, we do not flood it, and when it
// comes to its senses we register within the longest wait, and deregister at the
// end.
func TestRegisterAnyway(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		statuses := rapid.SliceOfN(rapid.SampledFrom([]int{0, 100, 200, 299, 302, 401, 407, 404, 423, 500, 503, 603}), 1, 12).Draw(rt, "statuses")
		lines := rapid.SampledFrom([]string{
			"", "Min-Expires: 1200\r\n", "Min-Expires: -1\r\n", "Retry-After: 1\r\n", "Retry-After: 99999 (later)\r\n", "Expires: 0\r\n", "Expires: x\r\n", "Contact: *\r\n",
			`WWW-Authenticate: Digest realm="r",nonce="n",stale=true` + "\r\n", `Proxy-Authenticate: Digest realm="r",nonce="n"` + "\r\n",
		}).Draw(rt, "lines")
		bubble(t, func(t *testing.T, h *house) {
			n := 0
			c := h.carrier("192.0.2.1:5060", func(*wire.Message) (int, string) {
				n++
				return statuses[n%len(statuses)], lines
			})
			h.set(signed(peering(t, "carrier", registering), "house", "s3cret"))
			h.after(time.Hour)
			if n := len(c.got); n > 400 { // a registration for 10 s, renewed every 5 s, is the carrier's wish
				if s := c.at[n-1].Sub(c.at[0]) / time.Duration(n); s < 2*time.Second {
					rt.Errorf("%d REGISTERs, one every %v", n, s)
				}
			}
			r := &registrar{}
			h.carrier("192.0.2.1:5060", r.answer)
			h.after(65 * time.Minute) // Retry-After holds for an hour at most
			if !r.bound || h.status("carrier").RegisteredUntil.IsZero() {
				rt.Errorf("not registered with a good carrier: %+v", h.status("carrier"))
			}
			if n := h.table.Len(); n > 1 { // a refresh may be under way
				rt.Errorf("%d lanes are open", n)
			}
			h.stop()
			if r.bound {
				rt.Error("still registered after the end")
			}
		})
	})
}

// TestPart: an end waits for carriers, but not for long.
func TestPart(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, h *house) {
		r := &registrar{}
		h.carrier("192.0.2.1:5060", r.answer)
		h.set(peering(t, "carrier", registering))
		h.after(2 * time.Second)
		h.carrier("192.0.2.1:5060", always(0))
		start := time.Now()
		h.stop()
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("the end took %v", d)
		}
	})
}
