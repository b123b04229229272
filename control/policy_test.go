package control_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (r answer) text(t *testing.T, field string) string {
	t.Helper()
	s, _ := r.json(t)[field].(string)
	return s
}

func TestPIN(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = "/v1/me/pin"
	if got := a.want(a.do("ana", "GET", path, ""), 200, "").json(t); got["set"] != false || got["length"] != 6.0 {
		t.Errorf("pin = %v", got)
	}
	a.want(a.do("ana", "PUT", path, `{"new":"123456"}`), 422, "pin.run")
	a.want(a.do("ana", "PUT", path, `{"new":"1001"}`), 422, "pin.length")
	a.want(a.do("ana", "PUT", path, `{"new":"250913"}`), 204, "")
	a.want(a.do("ana", "PUT", path, `{"new":"319052"}`), 422, "pin.old")
	a.want(a.do("ana", "PUT", path, `{"old":"250913","new":"319052"}`), 204, "")
	a.want(a.do("ada", "PUT", test+"/users/ana/pin", `{"new":"250913"}`), 403, "role.denied")
	a.want(a.do("ben", "GET", test+"/users/ana/pin", ""), 404, "")
	a.want(a.do("ana", "POST", test+"/users/ana/pin/reset", ""), 403, "role.denied")

	a.want(a.do("ada", "PATCH", test, `{"policies":{"pin_length":10}}`), 200, "")
	pin := a.want(a.do("ada", "POST", test+"/users/ana/pin/reset", ""), 201, "").text(t, "pin")
	if len(pin) != 10 {
		t.Errorf("pin = %q, want ten digits", pin)
	}
	if got := a.do("ada", "GET", test+"/users/ana/pin", "").json(t); got["must_change"] != true || got["length"] != 10.0 {
		t.Errorf("pin = %v", got)
	}
	a.want(a.do("ana", "PUT", path, `{"old":"`+pin+`","new":"2509133174"}`), 204, "")
	if got := a.do("ana", "GET", path, "").json(t); got["must_change"] != false {
		t.Errorf("pin = %v", got)
	}
	for range 10 { // guesses at the old one are slowed
		if got := a.do("ana", "PUT", path, `{"old":"000","new":"2509133174"}`); got.status == 429 {
			return
		}
	}
	t.Error("nobody slows guesses at the old PIN")
}

func TestDomainPolicies(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("ada", "PATCH", test, `{"policies":{"pin_length":3}}`), 422, "field.value")
	a.want(a.do("ada", "PATCH", test, `{"policies":{"password_length":12,"devices_per_user":1}}`), 200, "")
	a.want(a.do("root", "PATCH", test+"/users/ana", `{"password":"`+"Short-Ho9"+`"}`), 422, "password.length")
	a.want(a.do("ada", "PUT", test+"/devices/web-1001", `{"user":"ana","kind":"browser","lines":[{"number":"1001"}]}`), 422, "device.too-many")

	a.want(a.do("ada", "PATCH", test+"/users/ana", `{"conference_code":"12"}`), 422, "access-code")
	a.want(a.do("ada", "PATCH", test+"/users/ana", `{"conference_code":"4711"}`), 200, "")
	a.want(a.do("ada", "PATCH", test+"/users/ben", `{"conference_code":"4711"}`), 409, "name.taken")

	a.want(a.do("ada", "PUT", test+"/devices/dect-1", `{"kind":"handset","lines":[{"number":"1001"}]}`), 201, "")
	got := a.want(a.do("ada", "PUT", test+"/devices/dect-2", `{"kind":"handset","lines":[{"number":"1002"},{"number":"1001"}]}`), 422, "handset.taken")
	if !strings.Contains(got.body, "1001 is logged in at handset dect-1") {
		t.Errorf("refusal = %s", got.body)
	}
	a.want(a.do("ada", "PATCH", test+"/devices/dect-1", `{"lines":[]}`), 200, "")
	a.want(a.do("ada", "PUT", test+"/devices/dect-2", `{"kind":"handset","lines":[{"number":"1001"}]}`), 201, "")
}

func TestSpeedDials(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = "/v1/me/devices/desk-1001/speed-dials"
	a.want(a.do("ana", "PUT", path+"/1", `{"number":"91886543,8787,5656,987989#","label":"Bank"}`), 201, "")
	a.want(a.do("ana", "PUT", path+"/199", `{"number":"1002"}`), 201, "")
	a.want(a.do("ana", "PUT", path+"/200", `{"number":"1002"}`), 422, "name.syntax")
	a.want(a.do("ana", "PUT", path+"/2", `{"number":"call me"}`), 422, "speed-dial.syntax")
	a.want(a.do("ana", "PUT", "/v1/me/devices/desk-1002/speed-dials/1", `{"number":"1002"}`), 404, "")
	a.want(a.do("ben", "GET", test+"/devices/desk-1001/speed-dials/1", ""), 404, "")
	list := a.want(a.do("ada", "GET", test+"/devices/desk-1001/speed-dials", ""), 200, "").ids(t, "position")
	if diff := cmp.Diff([]string{"1", "199"}, list); diff != "" {
		t.Errorf("speed dials (-want +got):\n%s", diff)
	}
	a.want(a.do("ana", "DELETE", path+"/1", ""), 204, "")
	a.want(a.do("ada", "DELETE", test+"/devices/desk-1001", ""), 204, "") // the other goes with it
}

func TestActivation(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	const path = test + "/devices/desk-1001/activation"
	a.want(a.do("ana", "POST", path, ""), 403, "role.denied")
	first := a.want(a.do("ada", "POST", path, ""), 201, "").text(t, "code")
	second := a.want(a.do("ada", "POST", path, ""), 201, "").text(t, "code")
	if len(second) != 16 || strings.Trim(second, "0123456789") != "" {
		t.Fatalf("code = %q", second)
	}
	use := func(code string) answer { return a.do("", "POST", "/v1/activate", `{"code":"`+code+`"}`) }
	a.want(use(first), 422, "activation.code") // the second ended it
	got := a.want(use(second[:4]+"-"+second[4:8]+" "+second[8:]), 201, "").json(t)
	if got["username"] != "desk-1001" || got["domain"] != "bellhop.test" || got["secret"] == "" || got["lines"].([]any)[0] != "1001" {
		t.Errorf("activated = %v", got)
	}
	a.want(use(second), 422, "activation.code")
	for range 10 {
		if use("0000000000000000").status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("nobody slows guesses at codes")
}

// until waits for what other goroutines bring about.
func (a *api) until(done func() bool) {
	a.t.Helper()
	for range 200 {
		if done() {
			return
		}
		<-time.After(50 * time.Millisecond)
	}
	a.t.Error("it did not come about")
}

// TestLater: a change is made at its time, as who asked for it, who must still be
// allowed to.
func TestLater(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	at := func(d time.Duration) string { return "?at=" + time.Now().Add(d).UTC().Format(time.RFC3339) }
	a.want(a.do("ana", "PUT", "/v1/me/dnd"+at(-time.Hour), `{"enabled":true}`), 422, "change.past")
	a.want(a.do("ana", "PUT", "/v1/me/dnd?at=tomorrow", `{"enabled":true}`), 422, "field.value")
	a.want(a.do("ana", "PUT", "/v1/me/dnd"+at(time.Hour), `{"mode":"loud"}`), 422, "field.value")
	a.want(a.do("ana", "PUT", test+"/users/ben/dnd"+at(time.Hour), `{"enabled":true}`), 404, "")
	a.want(a.do("ada", "PATCH", test+"/users/ana"+at(time.Hour), `{"password":"`+password+`"}`), 422, "change.secret")

	far := a.want(a.do("ana", "PUT", "/v1/me/presence"+at(time.Hour), `{"status":"vacation"}`), 202, "")
	if got := far.json(t); got["setting"] != "users/ana/presence" || got["by"] != "ana@bellhop.test" {
		t.Errorf("change = %v", got)
	}
	a.want(a.do("ben", "DELETE", test+"/changes/"+far.text(t, "id"), ""), 404, "")
	a.want(a.do("zoe", "GET", test+"/changes", ""), 404, "")
	if ids := a.want(a.do("ben", "GET", "/v1/me/changes", ""), 200, "").ids(t, "id"); len(ids) != 0 {
		t.Errorf("ben sees %v", ids)
	}
	soon := a.want(a.do("ana", "PUT", "/v1/me/dnd"+at(2*time.Second), `{"enabled":true}`), 202, "")
	a.want(a.do("ana", "PATCH", "/v1/me/numbers/1001/forwarding"+at(2*time.Second), `{"all":{"both":{"enabled":true,"target":"1002"}}}`), 202, "")
	// Closes a loop by then, and ben may not any more.
	a.want(a.do("ben", "PUT", "/v1/me/numbers/1002/forwarding"+at(3*time.Second), `{"all":{"both":{"enabled":true,"target":"1001"}}}`), 202, "")
	a.want(a.do("ada", "PUT", test+"/sites/hq"+at(2*time.Second), `{"name":"HQ"}`), 202, "")
	if ids := a.want(a.do("ada", "GET", test+"/changes", ""), 200, "").ids(t, "id"); len(ids) != 5 {
		t.Errorf("changes = %v", ids)
	}
	a.until(func() bool {
		items, _ := a.do("ada", "GET", test+"/changes", "").json(t)["items"].([]any)
		return len(items) == 2 && strings.Contains(a.do("ada", "GET", test+"/changes", "").body, "forward.loop-refused")
	})
	if got := a.do("ana", "GET", "/v1/me/dnd", "").json(t); got["enabled"] != true {
		t.Errorf("dnd = %v", got)
	}
	if got := a.do("ada", "GET", test+"/users/ana/dnd/history", ""); !strings.Contains(got.body, `"actor":"ana@bellhop.test"`) {
		t.Errorf("history = %s", got.body)
	}
	a.want(a.do("ada", "GET", test+"/sites/hq", ""), 200, "")
	a.want(a.do("ana", "DELETE", "/v1/me/changes/"+far.text(t, "id"), ""), 204, "")
	a.want(a.do("ana", "DELETE", "/v1/me/changes/"+soon.text(t, "id"), ""), 404, "")
}
