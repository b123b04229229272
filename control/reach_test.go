package control_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// configured is a document without what is computed.
func (r answer) configured(t *testing.T) string {
	t.Helper()
	m := r.json(t)
	delete(m, "effective")
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCallMe(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = "/v1/me/callme"
	if got := a.want(a.do("ana", "GET", path, ""), 200, ""); got.configured(t) != `{"user":"ana"}` || got.header.Get("ETag") != `"0.0"` {
		t.Errorf("callme that nobody set: %s %s", got.header.Get("ETag"), got.body)
	}
	set := a.want(a.do("ana", "PUT", path, `{"target":"+49 171 12345"}`, "If-Match", `"0.0"`), 200, "")
	if set.configured(t) != `{"target":"+4917112345","user":"ana"}` {
		t.Errorf("callme = %s", set.body)
	}
	a.want(a.do("ana", "PUT", path, `{"target":"+49 171 12345"}`, "If-Match", `"0.0"`), 412, "")
	a.want(a.do("ana", "PUT", path, `{"target":"1001"}`), 422, "forward.loop-refused")
	a.want(a.do("ben", "PUT", path, `{"target":"1001"}`), 422, "callme.unusable") // ana has one
	a.want(a.do("ana", "PUT", path, `{"target":"voicemail"}`), 422, "field.value")
	a.want(a.do("ana", "PUT", path, `{"number":"1003"}`), 422, "field.unknown")
	a.want(a.do("ana", "DELETE", path, ""), 204, "")
	a.want(a.do("ana", "DELETE", path, ""), 204, "")
	if got := a.want(a.do("ada", "GET", test+"/users/ana/callme", ""), 200, ""); got.configured(t) != `{"user":"ana"}` {
		t.Errorf("after DELETE: %s", got.body)
	}
	rows := a.do("ana", "GET", path+"/history", "").ids(t, "version")
	if len(rows) != 2 {
		t.Fatalf("history = %v, want two rows", rows)
	}
	a.want(a.do("ana", "POST", path+"/history/"+rows[1]+"/restore", ""), 200, "")
	a.want(a.do("ada", "GET", test+"/users/zoe/callme", ""), 404, "")
}

func TestRemoteDestinations(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = "/v1/me/remote-destinations/mobile"
	got := a.want(a.do("ana", "PUT", path, `{"number":"0171 12345","label":"mobile"}`), 201, "")
	want := `{"answer_too_soon":"PT1.5S","delay":"PT4S","id":"mobile","label":"mobile","move":true,"no_forward":true,"number":"+4917112345","screening":false,"snr":true,"stop_after":"PT19S"}`
	if got.configured(t) != want { // the number in the form in which it calls
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
	if loc := got.header.Get("Location"); loc != path {
		t.Errorf("Location = %s", loc)
	}
	a.want(a.do("ana", "PUT", path, got.body), 200, "")
	a.want(a.do("ana", "PATCH", path, `{"delay":0,"schedule":[{"days":"mon-fri","from":"08:00","to":"18:00"}],"numbers":["1001"]}`), 200, "")
	a.want(a.do("ana", "PATCH", path, `{"id":"home"}`), 422, "name.mismatch")
	a.want(a.do("ana", "PATCH", path, `{"numbers":["1002"]}`), 422, "reference.missing")
	a.want(a.do("ana", "PATCH", path, `{"number":"1001"}`), 422, "forward.loop-refused")
	a.want(a.do("ana", "PATCH", path, `{"stop_after":"PT5M"}`), 422, "field.value")
	a.want(a.do("ana", "PUT", "/v1/me/remote-destinations/a%2Fb", `{"number":"1003"}`), 404, "")
	a.want(a.do("ana", "PUT", "/v1/me/remote-destinations/Mobile", `{"number":"1003"}`), 422, "name.syntax")
	a.want(a.do("root", "PUT", test+"/users/zoe/remote-destinations/x", `{"number":"1003"}`), 404, "")

	a.want(a.do("ada", "PUT", test+"/users/ana/remote-destinations/home", `{"number":"1003"}`), 201, "")
	a.want(a.do("root", "PUT", test+"/users/diana", `{}`), 201, "")
	a.want(a.do("root", "PUT", test+"/users/diana/remote-destinations/x", `{"number":"1003"}`), 201, "")
	for _, list := range []answer{a.do("ana", "GET", "/v1/me/remote-destinations", ""), a.do("ada", "GET", test+"/users/ana/remote-destinations", "")} {
		if got := list.ids(t, "id"); !cmp.Equal(got, []string{"home", "mobile"}) {
			t.Errorf("remote destinations = %v", got)
		}
	}
	if rows := a.do("ana", "GET", path+"/history", "").ids(t, "version"); len(rows) != 3 {
		t.Errorf("history = %v, want three rows", rows)
	}
	a.want(a.do("ana", "DELETE", path, ""), 204, "")
	a.want(a.do("ana", "DELETE", path, ""), 404, "")
}

// TestEffectiveReach: what CallMe and remote destinations do to a call is shown
// with the forwards.
func TestEffectiveReach(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	internal := func() string {
		t.Helper()
		m := a.want(a.do("ana", "GET", "/v1/me/numbers/1001/forwarding", ""), 200, "").json(t)
		v := at(at(m, "effective"), "internal")
		var out []string
		for _, field := range []string{"rule", "target", "not"} {
			if s, ok := v[field].(string); ok {
				out = append(out, s)
			}
		}
		also, _ := v["also"].([]any)
		for _, x := range also {
			s, _ := x.(string)
			out = append(out, "+"+s)
		}
		return strings.Join(out, " ")
	}
	for _, step := range []struct{ method, path, body, want string }{
		{"GET", "/v1/me", "", "ring.devices 1001"},
		{"PUT", "/v1/me/remote-destinations/mobile", `{"number":"+4917112345"}`, "ring.devices 1001 ++4917112345"},
		{"PATCH", "/v1/me/remote-destinations/mobile", `{"snr":false}`, "ring.devices 1001"},
		{"PATCH", "/v1/me/remote-destinations/mobile", `{"snr":true,"numbers":["1001"]}`, "ring.devices 1001 ++4917112345"},
		{"PUT", "/v1/me/callme", `{"target":"1003"}`, "callme 1003"},
		{"PUT", "/v1/me/presence", `{"status":"lunch"}`, "presence.forward voicemail"}, // suspends it
		{"PUT", "/v1/me/presence", `{"status":"office"}`, "callme 1003"},
		{"PUT", "/v1/me/numbers/1001/forwarding", `{"all":{"internal":{"enabled":true,"target":"1002"}}}`, "forward.all 1002"},
		{"PUT", "/v1/me/numbers/1001/forwarding", `{}`, "callme 1003"},
		{"PUT", "/v1/me/dnd", `{"enabled":true,"mode":"reject","remote_destinations":true}`, "snr ++4917112345"}, // suspends it, too
		{"PUT", "/v1/me/dnd", `{"enabled":true,"mode":"reject"}`, "dnd"},
	} {
		if got := a.do("ana", step.method, step.path, step.body); got.status/100 != 2 {
			t.Fatalf("%s %s = %d %s", step.method, step.path, got.status, got.body)
		}
		if got := internal(); got != step.want {
			t.Errorf("after %s %s %s: %q, want %q", step.method, step.path, step.body, got, step.want)
		}
	}
	// A target that redirects calls itself is not obeyed, and that is said.
	a.want(a.do("ana", "PUT", "/v1/me/callme", `{"target":"1003"}`), 200, "")
	a.want(a.do("ada", "PUT", test+"/numbers/1003/forwarding", `{"all":{"external":{"enabled":true,"target":"1002"}}}`), 200, "")
	a.want(a.do("ana", "DELETE", "/v1/me/dnd", ""), 204, "")
	if got := internal(); got != "ring.devices 1001 callme.unusable ++4917112345" {
		t.Errorf("with an unusable target: %q", got)
	}
	// The number of a hunt group has its members.
	a.want(a.do("ada", "PUT", test+"/numbers/1100", `{}`), 201, "")
	a.want(a.do("ada", "PUT", test+"/groups/sales", `{"number":"1100","members":["1001"]}`), 201, "")
	got := a.want(a.do("ada", "GET", test+"/numbers/1100/forwarding", ""), 200, "").json(t)
	if rule := within(got, "effective", "external", "rule"); rule != "dial.group" {
		t.Errorf("effective of a group = %v", got)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	got := a.want(a.do("ada", "PATCH", test, `{"policies":{"limits":{"calls":50,"premium_minutes":"unlimited"}},"defaults":{"limits":{"calls":2}}}`), 200, "")
	if !strings.Contains(got.body, `"policies":{"limits":{"calls":50,"premium_minutes":"unlimited"}}`) || !strings.Contains(got.body, `"defaults":{"limits":{"calls":2}}`) {
		t.Errorf("limits of the domain: %s", got.body)
	}
	got = a.want(a.do("ada", "PATCH", test+"/numbers/1001", `{"limits":{"attempts_per_minute":5,"international_minutes":0}}`), 200, "")
	if !strings.Contains(got.body, `"limits":{"attempts_per_minute":5}`) {
		t.Errorf("limits of a number: %s", got.body)
	}
	a.want(a.do("ada", "PATCH", test+"/numbers/1001", `{"limits":null}`), 200, "")
	for _, bad := range []string{`-1`, `"none"`, `1.5`, `1e9`, `1000001`, `true`} {
		got := a.want(a.do("ada", "PATCH", test+"/numbers/1001", `{"limits":{"calls":`+bad+`}}`), 422, "syntax")
		if !strings.Contains(got.body, `"location":"limits.calls"`) {
			t.Errorf("%s: %s", bad, got.body)
		}
	}
	a.want(a.do("ada", "PATCH", test+"/numbers/1001", `{"limits":{"callz":1}}`), 422, "field.unknown")
	a.want(a.do("ana", "PATCH", test+"/numbers/1001", `{"limits":{"calls":"unlimited"}}`), 403, "")
}

// TestExplainReach: CallMe and remote destinations can be assumed, by who they
// are of.
func TestExplainReach(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	ask := func(who, assume, more string) answer {
		return a.do(who, "POST", "/v1/explain", `{"domain":"bellhop.test","caller":"1003","called":"1001"`+more+`,"assume":{`+assume+`}}`)
	}
	a.want(ask("ana", `"users/ana/callme":{"target":"1002"}`, ""), 200, "")
	a.want(ask("ana", `"users/ana/remote-destinations/mobile":{"number":"+4917112345"}`, ""), 200, "")
	a.want(ask("ana", `"users/ben/callme":{"target":"1002"}`, ""), 403, "")
	a.want(ask("ana", `"users/ben/remote-destinations/mobile":{"number":"1002"}`, ""), 403, "")
	a.want(ask("ada", `"users/ana/remote-destinations/mobile":{"delay":"soon"}`, ""), 422, "")
	a.want(ask("ada", `"users/ana/remote-destinations":{}`, ""), 422, "field.unknown")
	a.want(ask("ada", `"trunks/carrier":{}`, ""), 422, "field.unknown")
	a.want(ask("ada", `"users/ana/password":{}`, ""), 422, "field.unknown")
	outside := `{"domain":"bellhop.test","caller":"+4989123456","called":"1001","trunk":"`
	a.want(a.do("ada", "POST", "/v1/explain", outside+`carrier"}`), 200, "")
	a.want(a.do("ada", "POST", "/v1/explain", outside+`none"}`), 404, "")
	a.want(a.do("ana", "POST", "/v1/explain", outside+`carrier"}`), 403, "")
}
