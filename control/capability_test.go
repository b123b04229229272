package control_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// within follows keys into an answer.
func within(v any, keys ...string) any {
	for _, k := range keys {
		m, _ := v.(map[string]any)
		v = m[k]
	}
	return v
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("ada", "PATCH", test, `{"policies":{"features":{"dnd":"*60","park":""}},"defaults":{"ring_time":"PT30S"}}`), 200, "")
	a.want(a.do("ada", "PATCH", test+"/numbers/1001", `{"class_of_service":"all","busy_trigger":3}`), 200, "")
	a.want(a.do("ana", "PUT", "/v1/me/numbers/1001/forwarding", `{"busy":{"both":{"enabled":true,"target":"1003"}}}`), 200, "")

	got := a.want(a.do("ana", "GET", "/v1/me/capabilities", ""), 200, "").json(t)
	if within(got, "codes", "dnd") != "*60" || within(got, "codes", "park") != nil || within(got, "codes", "forward_all") != "*72" {
		t.Errorf("codes = %v", got["codes"])
	}
	if within(got, "settings", "callme", "allowed") != true || within(got, "policies", "speed_dials") != 199.0 {
		t.Errorf("settings = %v, policies = %v", got["settings"], got["policies"])
	}
	numbers, _ := got["numbers"].([]any)
	if len(numbers) != 1 {
		t.Fatalf("numbers = %v", numbers)
	}
	all := []any{"internal", "local", "national", "mobile", "international", "premium"}
	want := map[string]any{
		"ring_time":    map[string]any{"value": "PT30S", "from": "domain"},
		"busy_trigger": map[string]any{"value": map[string]any{"internal": 1.0, "external": 1.0}, "from": "number"},
		"call_waiting": map[string]any{"value": false, "from": "computed"}, // gives way to the forward
		"voicemail":    map[string]any{"value": true, "from": "number"},
	}
	if diff := cmp.Diff(want, within(numbers[0], "effective")); diff != "" {
		t.Errorf("effective (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all, within(numbers[0], "calls")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if within(numbers[0], "settings", "call_waiting", "because") != "busy.exclusive" {
		t.Errorf("settings = %v", within(numbers[0], "settings"))
	}
	devices, _ := got["devices"].([]any)
	if len(devices) != 1 || within(devices[0], "settings", "speed-dials", "allowed") != true || within(devices[0], "settings", "activation", "because") != "role.denied" {
		t.Errorf("devices = %v", devices)
	}
	a.want(a.do("ben", "GET", test+"/users/ana/capabilities", ""), 404, "")
	a.want(a.do("ada", "GET", test+"/users/nobody/capabilities", ""), 404, "")
	// Who has no number has nothing that a setting would act on.
	ada := a.want(a.do("ada", "GET", "/v1/me/capabilities", ""), 200, "").json(t)
	if within(ada, "settings", "dnd", "because") != "number.none" {
		t.Errorf("ada = %v", ada["settings"])
	}
}

// TestConfiguredAndEffective: what is set stays; what applies is told beside it.
func TestConfiguredAndEffective(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	set := func(path, body string) { a.t.Helper(); a.want(a.do("ana", "PUT", "/v1/me"+path, body), 200, "") }
	effective := func(path string) any { return a.do("ana", "GET", "/v1/me"+path, "").json(t)["effective"] }
	set("/dnd", `{"enabled":true,"mode":"reject"}`)
	if e := effective("/dnd"); within(e, "in_force") != true {
		t.Errorf("dnd = %v", e)
	}
	set("/callme", `{"target":"1003"}`)
	set("/presence/forwarding", `{"lunch":{"target":"1003"}}`)
	if e := effective("/callme"); within(e, "in_force") != false || within(e, "because").([]any)[0] != "dnd" { // do-not-disturb is a status, too
		t.Errorf("callme suspended by dnd = %v", e)
	}
	set("/dnd", `{"enabled":false,"mode":"reject"}`)
	if e := effective("/callme"); within(e, "in_force") != true || within(e, "numbers", "1001", "external", "target") != "1003" {
		t.Errorf("callme = %v", e)
	}
	set("/presence", `{"status":"lunch"}`)
	if e := effective("/callme"); within(e, "in_force") != false { // suspended
		t.Errorf("callme at lunch = %v", e)
	}
	set("/numbers/1001/forwarding", `{"all":{"both":{"enabled":true,"target":"1002"}}}`)
	if e := effective("/presence"); within(e, "in_force") != false || within(e, "status") != "lunch" || within(e, "because").([]any)[0] != "forward.all" {
		t.Errorf("presence = %v", e)
	}
	if got := a.do("ana", "GET", "/v1/me/callme", "").json(t); got["target"] != "1003" { // as it was set
		t.Errorf("callme = %v", got)
	}
	if e := a.do("ana", "GET", test+"/numbers/1001", "").json(t)["effective"]; within(e, "ring_time", "from") != "default" {
		t.Errorf("number = %v", e)
	}
}
