package routing_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/ring"
)

// townOf is a town with some documents, "path body" each, and phones of the
// numbers named.
func townOf(t *testing.T, phones string, docs ...string) *town {
	t.Helper()
	x := emptyTown()
	ws := []directory.Write{doc("domains/"+domain, `{"realm":"r","region":"DE","aliases":["192.0.2.1"]}`)}
	for _, d := range docs {
		path, body, _ := strings.Cut(d, " ")
		if ref, ok := directory.ParsePath(domain, path); !ok {
			t.Fatalf("no path %q", path)
		} else if _, faults := directory.Decode(ref.Kind, []byte(body)); len(faults) > 0 {
			t.Fatalf("%s: %v", path, faults)
		}
		ws = append(ws, doc(path, body))
	}
	for n := range strings.FieldsSeq(phones) {
		x.bindings[n] = []ring.Target{{Device: "desk-" + n, Instance: n, Contact: "sip:" + n, Q: 1000}}
	}
	x.view = directory.Assume(nil, ws)
	return x
}

func (x *town) decide(t *testing.T, v routing.Visit) (routing.Plan, routing.Trace) {
	t.Helper()
	plan, trace, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
	if err != nil {
		t.Fatal(err)
	}
	return plan, trace
}

// rings is the Ring of a visit that must come to one.
func (x *town) rings(t *testing.T, v routing.Visit) (routing.Plan, routing.Ring) {
	t.Helper()
	plan, trace := x.decide(t, v)
	r, ok := plan.Decision.(routing.Ring)
	if !ok {
		t.Fatalf("decided %+v by %+v", plan.Decision, trace)
	}
	return plan, r
}

func fromTrunk(caller, target string) routing.Visit {
	return routing.Visit{
		Origin: routing.OriginTrunk, Trunk: "carrier", Method: "INVITE", Domain: domain, Target: target,
		Caller: routing.Caller{Number: caller},
	}
}

const (
	allClass = `classes/all {"rules":[{"allow":"*"}]}`
	hq       = `sites/hq {"main_number":"+49897007000"}`
	all1000  = `numbers/1000/forwarding {"all":{"both":{"enabled":true,"target":"0171 123456"}}}`
)

func carrier(policy string) string {
	return `trunks/carrier {"proof":"address","peers":["192.0.2.9"],"caller_id":"` + policy + `","routes":[{"prefix":"+"}]}`
}

// TestIdentity: who a trunk is shown, by its policy and by the numbers of the
// call.
func TestIdentity(t *testing.T) {
	t.Parallel()
	const (
		public = `"public":"+498970071000","label":"Ana","site":"hq","class_of_service":"all","forwarding_class":"all"`
		caller = `"public":"+498970071003","label":"Ben","class_of_service":"all"`
	)
	direct, forwarded, transit := from("1003", "0171 123456"), from("1003", "1000"), fromTrunk("+4930555", "1000")
	nobody := fromTrunk("", "1000")
	for _, tt := range []struct {
		name       string
		policy     string
		n1000      string
		n1003      string
		visit      routing.Visit
		want       ring.Identity
		wantHidden bool
	}{
		{name: "direct", policy: "original", n1003: caller, visit: direct, want: ring.Identity{User: "+498970071003", Display: "Ben", Asserted: "+498970071003"}},
		{name: "direct, hidden", policy: "original", n1003: caller + `,"caller_id":"hidden"`, visit: direct, want: ring.Identity{User: "anonymous", Display: "Anonymous", Asserted: "+498970071003", Hidden: true}},
		{name: "direct, another number", policy: "original", n1003: caller + `,"caller_id":"+49897007000"`, visit: direct, want: ring.Identity{User: "+49897007000", Asserted: "+498970071003"}},
		{name: "direct, no number but the site's", policy: "original", n1003: `"class_of_service":"all","site":"hq","label":"Ben"`, visit: direct, want: ring.Identity{User: "+49897007000", Asserted: "+49897007000"}},
		{name: "direct, no number at all", policy: "original", n1003: `"class_of_service":"all"`, visit: direct, want: ring.Identity{User: "1003"}},
		{name: "direct, main", policy: "main", n1003: caller + `,"site":"hq"`, visit: direct, want: ring.Identity{User: "+49897007000", Asserted: "+498970071003"}},
		{name: "direct, main, no site", policy: "main", n1003: caller, visit: direct, want: ring.Identity{User: "+498970071003", Display: "Ben", Asserted: "+498970071003"}},
		{name: "direct, main, hidden", policy: "main", n1003: caller + `,"site":"hq","caller_id":"hidden"`, visit: direct, want: ring.Identity{User: "anonymous", Display: "Anonymous", Asserted: "+498970071003", Hidden: true}},
		{name: "forwarded, original", policy: "original", n1003: caller, visit: forwarded, want: ring.Identity{User: "+498970071003", Display: "Ben", Asserted: "+498970071000"}},
		{name: "forwarded, original is hidden", policy: "original", n1003: caller + `,"caller_id":"hidden"`, visit: forwarded, want: ring.Identity{User: "anonymous", Display: "Anonymous", Asserted: "+498970071000", Hidden: true}},
		{name: "forwarded, forwarding", policy: "forwarding", n1003: caller, visit: forwarded, want: ring.Identity{User: "+498970071000", Display: "Ana", Asserted: "+498970071000"}},
		{name: "forwarded, main", policy: "main", n1003: caller, visit: forwarded, want: ring.Identity{User: "+49897007000", Asserted: "+498970071000"}},
		{name: "transit, original", policy: "original", visit: transit, want: ring.Identity{User: "+4930555", Asserted: "+498970071000"}},
		{name: "transit, nobody", policy: "original", visit: nobody, want: ring.Identity{User: "anonymous", Display: "Anonymous", Asserted: "+498970071000", Hidden: true}},
		{name: "transit, forwarding hides", policy: "forwarding", n1000: `,"caller_id":"hidden"`, visit: transit, want: ring.Identity{User: "anonymous", Display: "Anonymous", Asserted: "+498970071000", Hidden: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := townOf(t, "1000", allClass, hq, carrier(tt.policy), "numbers/1000 {"+public+tt.n1000+"}", "numbers/1003 {"+tt.n1003+"}", all1000)
			_, r := x.rings(t, tt.visit)
			target := &r.Stages[0].Targets[0]
			tt.want.Host = domain
			if diff := cmp.Diff(&tt.want, target.Identity); diff != "" || target.Trunk != "carrier" || target.Contact != "+49171123456" {
				t.Errorf("target %s by %q shown (-want +got):\n%s", target.Contact, target.Trunk, diff)
			}
		})
	}
}

// TestWithin: phones are shown the caller as received, unless it shows another
// number or none.
func TestWithin(t *testing.T) {
	t.Parallel()
	for callerID, want := range map[string]*ring.Identity{
		"":             nil,
		"hidden":       {User: "anonymous", Host: domain, Display: "Anonymous", Hidden: true},
		"+49897007000": {User: "+49897007000", Host: domain},
	} {
		x := townOf(t, "1000", `numbers/1000 {}`, `numbers/1003 {"label":"Ben","caller_id":"`+callerID+`"}`)
		plan, r := x.rings(t, from("1003", "1000"))
		if diff := cmp.Diff(want, r.Identity); diff != "" || (plan.Anchored != "") != (want != nil) {
			t.Errorf("caller id %q anchored %q shows (-want +got):\n%s", callerID, plan.Anchored, diff)
		}
	}
	x := townOf(t, "1000", `numbers/1000 {}`)
	if _, r := x.rings(t, fromTrunk("+4930555", "1000")); r.Identity != nil {
		t.Errorf("a caller from outside is shown as %+v", r.Identity)
	}
}

// TestRedirected: where a 302 leads, and that its count goes on.
func TestRedirected(t *testing.T) {
	t.Parallel()
	x := townOf(t, "1000", `users/ana {"numbers":["1000"]}`, `numbers/1000 {"user":"ana"}`, `numbers/1003 {}`)
	_, r := x.rings(t, from("1003", "1000"))
	for _, tt := range []struct{ contact, user, host string }{
		{"sip:1001@bellhop.test", "1001", "bellhop.test"},
		{"sips:1001;phone-context=x@[2001:db8::1]:5061;transport=tls", "1001", "[2001:db8::1]"},
		{"sip:1001@192.0.2.1:5060?Subject=x", "1001", "192.0.2.1"},
		{"tel:+49-171-123456;phone-context=x", "+49-171-123456", ""},
		{"sip:192.0.2.1", "", "192.0.2.1"},
		{"mailto:ana@bellhop.test", "mailto:ana@bellhop.test", ""},
	} {
		v := r.Redirected(tt.contact)
		last := v.Hops[len(v.Hops)-1]
		if v.Target != tt.user || v.TargetHost != tt.host || last.Number != "1000" || last.Owner != "ana" || last.To != tt.contact || last.Rule != routing.DeviceRedirect {
			t.Errorf("%s leads to %s at %s by %+v", tt.contact, v.Target, v.TargetHost, last)
		}
		if len(r.Redirect.Hops) != 0 || len(v.Rung) != 1 {
			t.Errorf("%s leaves hops %v, rung %v", tt.contact, r.Redirect.Hops, v.Rung)
		}
	}
	v := *r.Redirected("sip:1003@bellhop.test")
	for range 10 {
		v.Hops = append(v.Hops, v.Hops[0])
	}
	plan, _ := x.decide(t, v)
	if got := fmt.Sprint(plan.Decision); got != "{480 Temporarily Unavailable forward.too-many}" {
		t.Errorf("the eleventh forward comes to %s", got)
	}
}

// TestRedirectOnlyOfPhones: nothing follows a 302 of a trunk, of the target of a
// CallMe, or of a call that came back.
func TestRedirectOnlyOfPhones(t *testing.T) {
	t.Parallel()
	docs := []string{allClass, carrier("original"), `users/ana {}`, `numbers/1000 {"user":"ana","forwarding_class":"all"}`, `numbers/1001 {}`, `numbers/1003 {"class_of_service":"all"}`}
	back := fromTrunk("+4930555", "1001")
	back.Diverted = []string{"1001"}
	for name, tt := range map[string]struct {
		visit routing.Visit
		with  string
	}{
		"trunk":     {from("1003", "+4930123456"), `users/ben {}`},
		"callme":    {from("1003", "1000"), `users/ana/callme {"target":"1001"}`},
		"came back": {back, `users/ben {}`},
	} {
		x := townOf(t, "1000 1001", append(docs, tt.with)...)
		if _, r := x.rings(t, tt.visit); r.Redirect != nil || r.Redirected("sip:1001@bellhop.test") != nil {
			t.Errorf("%s: %+v follows a redirect", name, r.Redirect)
		}
	}
}

// TestJoins: which devices ring too when they register while a number rings.
func TestJoins(t *testing.T) {
	t.Parallel()
	docs := []string{`users/ana {}`, `numbers/1000 {"user":"ana"}`, `numbers/1001 {}`, `numbers/1003 {}`, `devices/desk-1000 {"lines":[{"number":"1000"}]}`, `users/ana/remote-destinations/lab {"number":"1001"}`}
	muted := append(slices.Clip(docs), `users/ana/dnd {"enabled":true,"remote_destinations":true}`)
	for _, tt := range []struct {
		name, target string
		docs         []string
		desk, other  bool
	}{
		{"the number", "1000", docs, true, true},
		{"a device alone", "desk-1000", docs, true, false},
		{"silent devices", "1000", muted, false, false},
	} {
		_, r := townOf(t, "1000 1001", tt.docs...).rings(t, from("1003", tt.target))
		if desk, other := r.Joins(&ring.Target{Device: "desk-1000"}), r.Joins(&ring.Target{Device: "soft-1000"}); desk != tt.desk || other != tt.other {
			t.Errorf("%s: joins %v and %v, want %v and %v", tt.name, desk, other, tt.desk, tt.other)
		}
	}
}

// TestForwarded: the caller is told of forwards, but not of CallMe.
func TestForwarded(t *testing.T) {
	t.Parallel()
	x := townOf(t, "1001", `users/ana {}`, `numbers/1000 {"user":"ana"}`, `numbers/1001 {}`, `numbers/1002 {}`, `numbers/1003 {}`,
		`users/ana/callme {"target":"1001"}`, `numbers/1002/forwarding {"all":{"both":{"enabled":true,"target":"1000"}}}`)
	for target, want := range map[string]bool{"1001": false, "1000": false, "1002": true} {
		plan, r := x.rings(t, from("1003", target))
		shown := map[string]string{"1001": "1001", "1000": "1000", "1002": "1000"}[target]
		if plan.Forwarded() != want || r.Shown != shown {
			t.Errorf("%s: told of a forward %v, sees %s", target, plan.Forwarded(), r.Shown)
		}
	}
}

// TestOwnCallIsNotOver: a call from outside that is among those in use already
// may still be sent on.
func TestOwnCallIsNotOver(t *testing.T) {
	t.Parallel()
	x := townOf(t, "1000", allClass, strings.Replace(carrier("original"), `"routes"`, `"max_calls":2,"routes"`, 1),
		`numbers/1000 {"forwarding_class":"all","limits":{"calls":1}}`,
		`numbers/1000/forwarding {"no_answer":{"both":{"enabled":true,"target":"+49171123456"}}}`)
	_, r := x.rings(t, fromTrunk("+4930555", "1000"))
	x.usage["1000"], x.usage["trunk:carrier"] = routing.Usage{External: 1}, routing.Usage{External: 2}
	if _, next := x.rings(t, *r.Outcomes.NoAnswer); next.Stages[0].Targets[0].Trunk != "carrier" {
		t.Errorf("rings %+v", next)
	}
	plan, _ := x.decide(t, fromTrunk("+4930555", "1000"))
	if rej, ok := plan.Decision.(routing.Reject); !ok || rej.Rule != routing.LimitCalls || rej.Status != 503 {
		t.Errorf("another call comes to %+v", plan.Decision)
	}
}

// TestRingTime: what counts as the ring time of a number with a remote
// destination.
func TestRingTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, number, remote, forward string
		want                          time.Duration
	}{
		{"nothing follows", `{"user":"ana"}`, `{"number":"1001"}`, `{}`, 0},
		{"the destination's end", `{"user":"ana"}`, `{"number":"1001","stop_after":"PT25S"}`, `{"no_answer":{"both":{"enabled":true,"target":"1003"}}}`, 26 * time.Second},
		{"the user's own", `{"user":"ana","ring_time":"PT10S"}`, `{"number":"1001"}`, `{"no_answer":{"both":{"enabled":true,"target":"1003"}}}`, 10 * time.Second},
		{"none rings", `{"user":"ana"}`, `{"number":"1001","snr":false}`, `{"no_answer":{"both":{"enabled":true,"target":"1003"}}}`, 18 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := townOf(t, "1000 1001", `users/ana {}`, `numbers/1000 `+tt.number, `numbers/1001 {}`, `numbers/1003 {}`,
				`users/ana/remote-destinations/lab `+tt.remote, `numbers/1000/forwarding `+tt.forward)
			if _, r := x.rings(t, from("1003", "1000")); r.RingTime != tt.want {
				t.Errorf("ring time %s, want %s", r.RingTime, tt.want)
			}
		})
	}
}

// TestStaysAnchored: what follows in an anchored call is anchored, so that a
// phone with two lines rings again for the other (ring.device-once).
func TestStaysAnchored(t *testing.T) {
	t.Parallel()
	x := townOf(t, "1000 1001", `numbers/1000 {}`, `numbers/1001 {}`, `numbers/1003 {}`,
		`numbers/1000/forwarding {"busy":{"both":{"enabled":true,"target":"1001"}}}`)
	_, r := x.rings(t, from("1003", "1000"))
	plan, next := x.rings(t, *r.Outcomes.Busy)
	if p := plan.RingPlan(&next); plan.Anchored != routing.ForwardBusy || !p.OwnLegs || !p.Visits.Has(ring.Redirected) {
		t.Errorf("anchored by %q, %+v", plan.Anchored, p)
	}
	if plan, _ = x.rings(t, *r.Redirected("sip:1001@" + domain)); plan.Anchored != routing.ForwardBusy {
		t.Errorf("a redirect is anchored by %q", plan.Anchored)
	}
}
