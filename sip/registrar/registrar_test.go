package registrar_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/registrar"
	"bellhop/sip/wire"
)

const dom = "bellhop.test"

var (
	udp = location.Flow{Transport: location.UDP, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("198.51.100.7:40000")}
	tls = location.Flow{Transport: location.TLS, Local: netip.MustParseAddrPort("192.0.2.1:5061"), Remote: udp.Remote, Conn: 7}
)

// memory is a location service. A plain refresh needs no saving, all else does.
type memory struct {
	mu   sync.Mutex
	bs   map[location.AOR]location.Bindings
	fail error
	hang bool

	behind behind
}

// behind is what a location service does with what must be saved.
type behind string

const (
	waits behind = ""      // Register waits for it
	saves behind = "saves" // Begin tells when it is saved
	again behind = "again" // the same, but something was in the way
)

func (m *memory) apply(aor location.AOR, r location.Register, plain bool) (location.Bindings, []location.Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next, changes, err := m.bs[aor].Apply(r, time.Now())
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		if plain && c.What != location.Refreshed {
			return nil, nil, errors.New("not plain")
		}
	}
	if m.bs == nil {
		m.bs = make(map[location.AOR]location.Bindings)
	}
	m.bs[aor] = next
	return next, changes, nil
}

func (m *memory) Begin(aor location.AOR, r location.Register, saved func(location.Bindings, []location.Change, error)) (bs location.Bindings, done, saving bool) {
	bs, _, err := m.apply(aor, r, true)
	if err == nil || m.behind == waits || saved == nil {
		return bs, err == nil, false
	}
	go func() {
		if m.behind == again {
			saved(nil, nil, location.ErrAgain)
			return
		}
		saved(m.Register(context.Background(), aor, r))
	}()
	return nil, false, true
}

func (m *memory) Register(ctx context.Context, aor location.AOR, r location.Register) (location.Bindings, []location.Change, error) {
	if m.hang {
		<-ctx.Done()
		return nil, nil, fmt.Errorf("memory: %w", context.Cause(ctx))
	}
	if m.fail != nil {
		return nil, nil, m.fail
	}
	return m.apply(aor, r, false)
}

func (m *memory) Len() int {
	n := 0
	for _, bs := range m.bs {
		n += len(bs)
	}
	return n
}

// lines reads "sip:line@domain" as the authenticator does.
type lines struct{}

func (lines) Line(value []byte, d *directory.Credential, domain string) (string, bool) {
	n, _ := wire.ParseNameAddr(value)
	u, _ := wire.ParseURI(n.URI)
	if string(u.Host) != domain {
		return "", false
	}
	return d.Line(string(u.User))
}

// gruus makes URIs that say what they are.
type gruus struct{}

func (gruus) AppendPublic(dst []byte, aor location.AOR, instance string) []byte {
	return fmt.Appendf(dst, "public of %s %s", aor, instance)
}

func (gruus) AppendTemporary(dst []byte, aor location.AOR, b *location.Binding) []byte {
	return fmt.Appendf(dst, "temporary of %s %s", aor, b.Instance)
}

func newRegistrar(tb testing.TB, loc registrar.Location) *registrar.Registrar {
	tb.Helper()
	r, err := registrar.New(registrar.Options{Location: loc, Lines: lines{}, GRUUs: gruus{}})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func message(tb testing.TB, to, from, callID string, cseq int, fields ...string) *wire.Message {
	tb.Helper()
	text := "REGISTER sip:" + dom + " SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bK1;rport\r\n" +
		"From: <" + from + ">;tag=f\r\nTo: <" + to + ">\r\nCall-ID: " + callID + "\r\n" +
		fmt.Sprintf("CSeq: %d REGISTER\r\nUser-Agent: test\r\n", cseq)
	for _, f := range fields {
		text += f + "\r\n"
	}
	var m wire.Message
	if err := m.Parse([]byte(text + "Content-Length: 0\r\n\r\n")); err != nil {
		tb.Fatalf("%v in\n%s", err, text)
	}
	return &m
}

// A step is one REGISTER of a table: what is sent, when, and what comes back.
type step struct {
	wait     time.Duration
	to, from string // sip:1001@bellhop.test
	call     string
	cseq     int // the last one + 1
	flow     location.Flow
	device   string
	fromNode bool
	fields   []string

	status int // 200
	reason string
	rule   string
	fast   bool     // answered without a blocking call
	want   []string // Contact lines of a 200; lines with another prefix must be there too
	added  []string // contacts that came or moved
}

func (s *step) withDefaults(n int) {
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&s.to, "sip:1001@"+dom)
	set(&s.from, s.to)
	set(&s.call, "call")
	set(&s.device, "desk-1001")
	if s.cseq == 0 {
		s.cseq = n + 1
	}
	if s.status == 0 {
		s.status = 200
	}
	if s.flow.IsZero() {
		s.flow = udp
	}
}

// register sends a step and returns the answer, and whether it needed no
// blocking call.
func (s *step) register(t *testing.T, r *registrar.Registrar) (res registrar.Response, fast bool) {
	t.Helper()
	job, res := r.Prepare(registrar.Request{
		Msg:  message(t, s.to, s.from, s.call, s.cseq, s.fields...),
		Flow: s.flow, Domain: dom, FromNode: s.fromNode,
		Device: &directory.Credential{Device: s.device, Username: s.device, Lines: []string{"1001", "1002"}},
	})
	if job == nil {
		if res.Status == 0 {
			t.Fatal("Prepare returned neither a job nor a response")
		}
		return res, true
	}
	type outcome struct {
		res   registrar.Response
		again bool
	}
	ended := make(chan outcome, 1)
	res, done, saving := job.Start(func(res registrar.Response, again bool) { ended <- outcome{res, again} })
	if done {
		return res, true
	}
	if saving {
		if o := <-ended; !o.again {
			return o.res, false
		}
	}
	return job.Run(t.Context()), false
}

func (s *step) check(t *testing.T, n int, res registrar.Response, fast bool) {
	t.Helper()
	if res.Status != s.status || res.Rule != s.rule || s.reason != "" && res.Reason != s.reason || fast != s.fast {
		t.Fatalf("step %d: %d %q rule %q fast %v, want %d %q rule %q fast %v\n%s",
			n, res.Status, res.Reason, res.Rule, fast, s.status, s.reason, s.rule, s.fast, res.Lines)
	}
	var contacts, want []string
	for l := range strings.SplitSeq(string(res.Lines), "\r\n") {
		if c, ok := strings.CutPrefix(l, "Contact: "); ok {
			contacts = append(contacts, c)
		}
	}
	for _, w := range s.want {
		if strings.HasPrefix(w, "<") {
			want = append(want, w)
		} else if !strings.Contains(string(res.Lines), w+"\r\n") {
			t.Errorf("step %d: no %q in\n%s", n, w, res.Lines)
		}
	}
	if diff := cmp.Diff(want, contacts); diff != "" {
		t.Errorf("step %d: contacts: -want +got\n%s", n, diff)
	}
	var added []string
	for _, a := range res.Added {
		added = append(added, a.Contact)
	}
	if diff := cmp.Diff(s.added, added); diff != "" {
		t.Errorf("step %d: added: -want +got\n%s", n, diff)
	}
}

func TestRegister(t *testing.T) {
	t.Parallel()
	const a, b = "sip:1001@10.0.0.7:5060", "sip:1001@10.0.0.8"
	contact := func(uri, params string) string { return "Contact: <" + uri + ">" + params }
	many := make([]string, 40)
	for i := range many {
		many[i] = contact(fmt.Sprintf("sip:1001@10.0.1.%d", i), "")
	}
	first := step{fields: []string{contact(a, "")}, want: []string{"<" + a + ">;expires=3600"}, added: []string{a}}
	tests := []struct {
		name  string
		steps []step
	}{
		{"one contact", []step{first}},
		{"refresh in memory", []step{first, {wait: time.Minute, fields: []string{contact(a, ";expires=600")}, want: []string{"<" + a + ">;expires=600"}, fast: true}}},
		{"query in memory", []step{first, {wait: time.Minute, want: []string{"<" + a + ">;expires=3540"}, fast: true}}},
		{"query of nothing", []step{{fast: true}}},
		{"retransmission", []step{first, {cseq: 1, fields: first.fields, want: first.want, fast: true}}},
		{"expired", []step{first, {wait: time.Hour, fields: nil}}},
		{"Expires field", []step{{fields: []string{contact(a, ""), "Expires: 120"}, want: []string{"<" + a + ">;expires=120"}, added: []string{a}}}},
		{"parameter before field", []step{{fields: []string{contact(a, ";expires=90"), "Expires: 120"}, want: []string{"<" + a + ">;expires=90"}, added: []string{a}}}},
		{"malformed interval", []step{{fields: []string{contact(a, ";expires=soon"), "Expires: later"}, want: []string{"<" + a + ">;expires=3600"}, added: []string{a}}}},
		{"endless interval", []step{{fields: []string{contact(a, ";expires=99999999999999")}, want: []string{"<" + a + ">;expires=3600"}, added: []string{a}}}},
		{"too brief", []step{{fields: []string{contact(a, ";expires=59")}, status: 423, want: []string{"Min-Expires: 60"}}}},
		{"several contacts", []step{{
			fields: []string{"Contact: <" + a + ">;q=0.25, <" + b + ">;q=1.0;expires=100", `m: "c" <sip:c@10.0.0.9>;q=0`},
			want:   []string{"<" + a + ">;expires=3600;q=0.250", "<" + b + ">;expires=100", "<sip:c@10.0.0.9>;expires=3600;q=0.000"},
			added:  []string{a, b, "sip:c@10.0.0.9"},
		}}},
		{"malformed q", []step{{fields: []string{contact(a, ";q=0.2x")}, want: []string{"<" + a + ">;expires=3600"}, added: []string{a}}}},
		{"all or nothing", []step{{fields: []string{contact(a, ""), contact(b, ";expires=1")}, status: 423}, {fast: true}}},
		{"addr-spec", []step{{fields: []string{"Contact: " + b + ";expires=100"}, want: []string{"<" + b + ">;expires=100"}, added: []string{b}}}},
		{"moved", []step{
			{fields: []string{contact(a, `;+sip.instance="<urn:uuid:1>"`)}, want: []string{"<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>"`}, added: []string{a}},
			{fields: []string{contact(b, `;+sip.instance="<urn:uuid:1>"`)}, want: []string{"<" + b + `>;expires=3600;+sip.instance="<urn:uuid:1>"`}, added: []string{b}},
		}},

		{"remove one", []step{first, {fields: []string{contact(a, ";expires=0")}}, {fast: true}}},
		{"remove by field", []step{first, {fields: []string{contact(a, ""), "Expires: 0"}}}},
		{"remove all", []step{first, {fields: []string{"Contact: *", "Expires: 0"}}, {fast: true}}},
		{"star without Expires", []step{first, {fields: []string{"Contact: *"}, status: 400, fast: true}}},
		{"star with Expires", []step{{fields: []string{"Contact: *", "Expires: 60"}, status: 400, fast: true}}},
		{"star and another", []step{{fields: []string{"Contact: *", contact(a, ""), "Expires: 0"}, status: 400, fast: true}}},
		{"removal out of order", []step{{cseq: 9, fields: first.fields, want: first.want, added: first.added}, {cseq: 8, fields: []string{"Contact: *", "Expires: 0"}, status: 500}, {want: first.want, fast: true}}},
		{"out of order", []step{{cseq: 9, fields: first.fields, want: first.want, added: first.added}, {cseq: 8, fields: []string{contact(a, ";expires=100")}, status: 500, reason: "CSeq Out Of Order"}}},
		{"another Call-ID", []step{{cseq: 9, fields: first.fields, want: first.want, added: first.added}, {cseq: 1, call: "reboot", fields: []string{contact(a, ";expires=100")}, want: []string{"<" + a + ">;expires=100"}, fast: true}}},

		{"second line", []step{{to: "sip:1002@" + dom, fields: first.fields, want: first.want, added: first.added}, {fast: true}}},
		{"device's name means its first line", []step{
			{to: "sip:desk-1001@" + dom, fields: first.fields, want: first.want, added: first.added},
			{want: []string{"<" + a + ">;expires=3600"}, fast: true},
		}},
		{"name in To, number in From", []step{{to: "sip:desk-1001@" + dom, from: "sip:1001@" + dom, fields: first.fields, want: first.want, added: first.added}}},
		{"not its line", []step{{to: "sip:1003@" + dom, from: "sip:1001@" + dom, fields: first.fields, status: 403, rule: registrar.RuleNotYours, fast: true}}},
		{"two of its lines", []step{{to: "sip:1002@" + dom, from: "sip:1001@" + dom, fields: first.fields, status: 403, rule: registrar.RuleNotYours, fast: true}}},
		{"another domain", []step{{to: "sip:1001@other.test", from: "sip:1001@" + dom, fields: first.fields, status: 403, rule: registrar.RuleNotYours, fast: true}}},

		{"too many contacts", []step{{fields: many[:11], status: 403, rule: registrar.RuleLimit}}},
		{"far too many contacts", []step{{fields: many, status: 403, rule: registrar.RuleLimit, fast: true}}},
		{"too many instances", []step{{fields: many[:6], status: 403, rule: registrar.RuleNotYours}}},
		{"contact too long", []step{{fields: []string{contact("sip:1001@10.0.0.7;x="+strings.Repeat("x", 600), "")}, status: 400}}},
		{"malformed contact", []step{{fields: []string{`Contact: "x <sip:1001@10.0.0.7>`}, status: 400, fast: true}}},
		{"no sip contact", []step{{fields: []string{contact("tel:+4989", "")}, status: 400, fast: true}}},

		{"extension", []step{{fields: []string{"Require: path, x-new", "Require: nonesuch"}, status: 420, want: []string{"Unsupported: x-new, nonesuch"}, fast: true}}},
		{"outbound on UDP", []step{{fields: []string{"Require: outbound", contact(a, `;reg-id=1;+sip.instance="<urn:uuid:1>"`)}, want: []string{"<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>";reg-id=1`, "Require: outbound"}, added: []string{a}}}},
		{"outbound through a proxy", []step{{
			fields: []string{"Via: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bK2", "Supported: outbound", contact(a, `;reg-id=1;+sip.instance="<urn:uuid:1>"`)},
			status: 439, fast: true,
		}}},
		{"outbound through a node that keeps the flow", []step{{fromNode: true, fields: []string{
			"Via: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bK2", "Path: <sip:t@n3;lr>, <sip:t@n2;lr;ob>", "Supported: outbound", contact(a, `;reg-id=1;+sip.instance="<urn:uuid:1>"`),
		}, want: []string{"<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>";reg-id=1`, "Require: outbound"}, added: []string{a}}}},
		{"through a proxy without outbound", []step{{
			fields: []string{"Via: SIP/2.0/UDP 10.0.0.8;branch=z9hG4bK2", contact(a, `;reg-id=1;+sip.instance="<urn:uuid:1>"`)},
			want:   []string{"<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>"`}, added: []string{a},
		}}},
		{"GRUUs", []step{{
			fields: []string{"Supported: gruu", contact(a, `;+sip.instance="<urn:uuid:1>"`), contact(b, "")},
			want: []string{
				"<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>";pub-gruu="public of sip:1001@` + dom + ` <urn:uuid:1>";temp-gruu="temporary of sip:1001@` + dom + ` <urn:uuid:1>"`,
				"<" + b + ">;expires=3600",
			}, added: []string{a, b},
		}}},
		{"path of a device", []step{{fields: []string{contact(a, ""), "Path: <sip:evil.test;lr>"}, status: 403, rule: registrar.RulePath, fast: true}}},
		{"path of a node", []step{{fromNode: true, fields: []string{contact(a, ""), "Path: <sip:t@n2;lr>, <sip:n3;lr>"}, want: []string{"<" + a + ">;expires=3600", "Path: <sip:t@n2;lr>", "Path: <sip:n3;lr>"}, added: []string{a}}}},

		{"sips", []step{{to: "sips:1001@" + dom, flow: tls, fields: []string{contact("sips:1001@10.0.0.7", "")}, want: []string{"<sips:1001@10.0.0.7>;expires=3600"}, added: []string{"sips:1001@10.0.0.7"}}}},
		{"sips without TLS", []step{{fields: []string{contact("sips:1001@10.0.0.7", "")}, status: 403, rule: registrar.RuleSIPS, fast: true}}},
		{"sip contact for sips", []step{{to: "sips:1001@" + dom, flow: tls, fields: []string{contact(a, "")}, status: 400, fast: true}}},
		{"sip contact for sips, removed", []step{{to: "sips:1001@" + dom, flow: tls, fields: []string{contact(a, ";expires=0")}, fast: true}}},

		{"two flows", []step{
			{flow: tls, fields: []string{"Supported: outbound, path", contact(a, `;reg-id=1;+sip.instance="<urn:uuid:1>"`)}, want: []string{"<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>";reg-id=1`, "Require: outbound", "Flow-Timer: 120", "Supported: path, outbound, gruu"}, added: []string{a}},
			{flow: func() location.Flow { f := tls; f.Conn = 8; return f }(), fields: []string{"Supported: outbound, path", contact(a, `;reg-id=2;+sip.instance="<urn:uuid:1>"`)}, want: []string{"<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>";reg-id=1`, "<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>";reg-id=2`}, added: []string{a}},
		}},
		{"two flows at once", []step{{flow: tls, fields: []string{"Supported: outbound", contact(a, `;reg-id=1;+sip.instance="<urn:uuid:1>"`), contact(b, `;reg-id=2;+sip.instance="<urn:uuid:1>"`)}, status: 400, fast: true}}},
		{"reg-id without outbound", []step{{flow: tls, fields: []string{contact(a, `;reg-id=1;+sip.instance="<urn:uuid:1>"`)}, want: []string{"<" + a + `>;expires=3600;+sip.instance="<urn:uuid:1>"`}, added: []string{a}}}},
		{"reg-id without instance", []step{{flow: tls, fields: []string{"Supported: outbound", contact(a, `;reg-id=1`)}, want: []string{"<" + a + `>;expires=3600`}, added: []string{a}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for _, behind := range []behind{waits, saves, again} {
					r := newRegistrar(t, &memory{behind: behind})
					for i, s := range tt.steps {
						s.withDefaults(i)
						<-time.After(s.wait)
						res, fast := s.register(t, r)
						s.check(t, i, res, fast)
					}
				}
			})
		})
	}
}

func TestDateAndFlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		loc := &memory{}
		s := step{fields: []string{"Contact: <sip:1001@10.0.0.7>"}}
		s.withDefaults(0)
		res, _ := s.register(t, newRegistrar(t, loc))
		if want := "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n"; !bytes.Contains(res.Lines, []byte(want)) {
			t.Errorf("200 has\n%s\nwant %s", res.Lines, want)
		}
		aor, err := location.ParseAOR("sip:1001@" + dom)
		if err != nil || res.AOR != aor || len(loc.bs[aor]) != 1 {
			t.Fatalf("bindings of %v (%v): %+v", res.AOR, err, loc.bs)
		}
		b := loc.bs[aor][0]
		if b.Flow != udp || b.Device != "desk-1001" || b.UserAgent != "test" || !b.NAT || b.CallID != "call" || b.CSeq != 1 {
			t.Errorf("binding = %+v", b)
		}
	})
}

// The REGISTER went with its packet: a job and its answer hold nothing of it.
func TestJobHoldsNothingOfTheMessage(t *testing.T) {
	t.Parallel()
	loc := &memory{}
	r := newRegistrar(t, loc)
	m := message(t, "sip:1001@"+dom, "sip:1001@"+dom, "call", 1, `Contact: <sip:1001@10.0.0.7>;+sip.instance="<urn:uuid:1>"`)
	d := &directory.Credential{Device: "desk-1001", Lines: []string{"1001"}}
	job, _ := r.Prepare(registrar.Request{Msg: m, Flow: udp, Domain: dom, Device: d})
	for i := range m.Bytes() {
		m.Bytes()[i] = 'x'
	}
	*d = directory.Credential{}
	res := job.Run(t.Context())
	if !bytes.Contains(res.Lines, []byte(`<sip:1001@10.0.0.7>;expires=3600;+sip.instance="<urn:uuid:1>"`)) || job.AOR().String() != "sip:1001@"+dom {
		t.Errorf("200 of %v has\n%s", job.AOR(), res.Lines)
	}
}

func TestStoreFails(t *testing.T) {
	t.Parallel()
	for name, loc := range map[string]*memory{"error": {fail: errors.New("disk full")}, "hangs": {hang: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := step{fields: []string{"Contact: <sip:1001@10.0.0.7>"}, status: 500, reason: "Not Saved", want: []string{"Retry-After: 5"}}
				s.withDefaults(0)
				start := time.Now()
				res, fast := s.register(t, newRegistrar(t, loc))
				s.check(t, 0, res, fast)
				if d := time.Since(start); d > 5*time.Second {
					t.Errorf("answered after %v", d)
				}
			})
		})
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	m := message(t, "sip:1001@"+dom, "sip:1001@"+dom, "call", 1)
	res := registrar.Response{Status: 423, Lines: []byte("Min-Expires: 60\r\n")}
	want := "SIP/2.0 423 Interval Too Brief\r\n" +
		"Via: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bK1;rport=40000;received=198.51.100.7\r\n" +
		"From: <sip:1001@bellhop.test>;tag=f\r\nTo: <sip:1001@bellhop.test>;tag=t\r\nCall-ID: call\r\nCSeq: 1 REGISTER\r\n" +
		"Min-Expires: 60\r\nContent-Length: 0\r\n\r\n"
	if diff := cmp.Diff(want, string(res.Append(nil, m, udp.Remote, []byte("t")))); diff != "" {
		t.Errorf("Append: -want +got\n%s", diff)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	loc := &memory{}
	r, err := registrar.New(registrar.Options{Location: loc, Lines: lines{}, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	next, far := udp, udp
	next.Remote = netip.MustParseAddrPort("198.51.100.8:5060")
	far.Remote = netip.MustParseAddrPort("203.0.113.1:5060")
	for i, s := range []step{
		{fields: []string{"Contact: <sip:1001@10.0.0.7>"}},
		{fields: []string{"Contact: <sip:1001@10.0.0.7>"}},
		{fields: []string{"Contact: <tel:1>"}},
		{fields: []string{"Contact: <sip:1001@10.0.0.7>;expires=1"}},
		{},
		{fields: []string{"Contact: <sip:1001@10.0.0.7>"}, flow: next},
		{fields: []string{"Contact: <sip:1001@10.0.0.7>"}, flow: far},
	} {
		s.withDefaults(i)
		s.register(t, r)
	}
	want := `
# HELP bellhop_registrar_network_moves_total Bindings that moved to another network.
# TYPE bellhop_registrar_network_moves_total counter
bellhop_registrar_network_moves_total 1
# HELP bellhop_registrar_requests_total REGISTER requests of authenticated devices, by what became of them: refreshed in memory, changed and saved, queried, or the status that refused them.
# TYPE bellhop_registrar_requests_total counter
bellhop_registrar_requests_total{outcome="400"} 1
bellhop_registrar_requests_total{outcome="403"} 0
bellhop_registrar_requests_total{outcome="420"} 0
bellhop_registrar_requests_total{outcome="423"} 1
bellhop_registrar_requests_total{outcome="500"} 0
bellhop_registrar_requests_total{outcome="changed"} 3
bellhop_registrar_requests_total{outcome="queried"} 1
bellhop_registrar_requests_total{outcome="refreshed"} 1
# HELP bellhop_registrations Bindings of devices that this node knows.
# TYPE bellhop_registrations gauge
bellhop_registrations 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
	if _, err := registrar.New(registrar.Options{Location: loc, Lines: lines{}, Registerer: reg}); err == nil {
		t.Error("metrics registered twice")
	}
	if _, err := registrar.New(registrar.Options{}); err == nil {
		t.Error("New without a location service succeeds")
	}
}

// Whatever a device sends, the answer is a whole message that says no more
// lines than it has.
func FuzzRegister(f *testing.F) {
	f.Add("<sip:1001@10.0.0.7>;expires=60;q=0.5;+sip.instance=\"<urn:uuid:1>\";reg-id=1", "3600", "path")
	f.Add("*", "0", "")
	f.Add("\"a\\\"\" <sip:a@b;x=y?z=1>;expires=99999999999;q=1.0009, <sips:c@d>", "x", "outbound, y")
	f.Fuzz(func(t *testing.T, contact, expires, require string) {
		text := "REGISTER sip:" + dom + " SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\nFrom: <sip:1001@" + dom + ">;tag=f\r\n" +
			"To: <sip:1001@" + dom + ">\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nContact: " + contact + "\r\nExpires: " + expires +
			"\r\nRequire: " + require + "\r\n\r\n"
		var m, again wire.Message
		if m.Parse([]byte(text)) != nil {
			return
		}
		r := newRegistrar(t, &memory{})
		job, res := r.Prepare(registrar.Request{
			Msg: &m, Flow: tls, Domain: dom, Device: &directory.Credential{Device: "d", Lines: []string{"1001"}},
		})
		if job != nil {
			res = job.Run(t.Context())
		}
		out := res.Append(nil, &m, tls.Remote, []byte("t"))
		if err := again.Parse(out); err != nil || again.Status() != res.Status {
			t.Fatalf("answer to %q: %v\n%s", text, err, out)
		}
		for v := range again.All(wire.Contact) {
			if _, ok := wire.ParseNameAddr(v.Bytes()); !ok {
				t.Fatalf("answer to %q has Contact %q", text, v.Bytes())
			}
		}
	})
}

func BenchmarkRefresh(b *testing.B) {
	r := newRegistrar(b, &memory{})
	d := &directory.Credential{Device: "desk-1001", Lines: []string{"1001"}}
	reqs := make([]*wire.Message, 1<<16)
	for i := range reqs {
		reqs[i] = message(b, "sip:1001@"+dom, "sip:1001@"+dom, "call", i+1, `Contact: <sip:1001@10.0.0.7>;+sip.instance="<urn:uuid:1>"`)
	}
	job, _ := r.Prepare(registrar.Request{Msg: reqs[0], Flow: udp, Domain: dom, Device: d})
	job.Run(b.Context())
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 1) % len(reqs)
		if i == 0 {
			i = 1
			b.StopTimer()
			r = newRegistrar(b, &memory{})
			job, _ := r.Prepare(registrar.Request{Msg: reqs[0], Flow: udp, Domain: dom, Device: d})
			job.Run(b.Context())
			b.StartTimer()
		}
		job, _ := r.Prepare(registrar.Request{Msg: reqs[i], Flow: udp, Domain: dom, Device: d})
		if _, done, _ := job.Start(nil); !done {
			b.Fatal("a refresh needs saving")
		}
	}
}
