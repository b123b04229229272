package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
)

// ids lists what a list holds.
func (r answer) ids(t *testing.T, field string) []string {
	t.Helper()
	out := []string{}
	items, _ := r.json(t)["items"].([]any)
	for _, it := range items {
		m, _ := it.(map[string]any)
		id, _ := m[field].(string)
		out = append(out, id)
	}
	return out
}

func TestCalls(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	far := call("far", "1001", "1002")
	far.Domain = "other.test"
	a.store.live = []*feed.Call{call("c1", "1001", "1002"), call("c2", "1003", "1002"), far}
	a.store.ended = []*feed.Call{call("r1", "1002", "1001"), call("r2", "1003", "1003")}

	for _, c := range []struct {
		who, path string
		want      []string
	}{
		{"ada", test + "/calls", []string{"c2", "c1"}},
		{"ada", test + "/calls?limit=1", []string{"c2"}},
		{"root", "/v1/domains/other.test/calls", []string{"far"}},
		{"ana", "/v1/me/calls", []string{"c1"}},
		{"ben", "/v1/me/calls", []string{"c2", "c1"}},
		{"ada", test + "/records", []string{"r1", "r2"}},
		{"ada", test + "/records?number=1003", []string{"r2"}},
		{"ada", test + "/records?from=2026-12-02T00:00:00Z", []string{}},
		{"ada", test + "/records?to=2026-12-02T00:00:00Z", []string{"r1", "r2"}},
		{"ana", "/v1/me/records", []string{"r1"}},
		{"ana", "/v1/me/records?number=1003", []string{}},
		{"zoe", "/v1/me/records", []string{}},
	} {
		got := a.want(a.do(c.who, "GET", c.path, ""), 200, "")
		if diff := cmp.Diff(c.want, got.ids(t, "id")); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.who, c.path, diff)
		}
	}
	a.want(a.do("ada", "GET", test+"/records?from=yesterday", ""), 422, "query.time")
	a.want(a.do("ana", "GET", "/v1/me/calls/c2", ""), 404, "")
	a.want(a.do("ana", "GET", "/v1/me/calls/far", ""), 404, "")
	a.want(a.do("ada", "GET", test+"/calls/far", ""), 404, "")
	a.want(a.do("ada", "GET", test+"/calls/r2", ""), 200, "") // an ended one
}

func TestStoriesAreToldToTheirReader(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.store.live = []*feed.Call{call("c1", "1001", "1002")}
	rules := func(who, path string) (out []string) {
		got := a.want(a.do(who, "GET", path, ""), 200, "").json(t)
		steps, _ := got["steps"].([]any)
		for _, st := range steps {
			m, _ := st.(map[string]any)
			if m["text"] == "" {
				t.Errorf("%v has no words", m)
			}
			if _, ok := m["owner"]; ok && who != "ada" {
				t.Errorf("%s learns whose setting it is: %v", who, m)
			}
			line, _ := m["rule"].(string)
			if to, ok := m["to"].(string); ok {
				line += " " + to
			}
			out = append(out, line)
		}
		return out
	}
	own := []string{"dial.number", "forward.all +4917112345", "ring.devices"} // that it rang where one forwards to
	all := append(slices.Clone(own), "origin.device")                         // nobody said who may read that
	for _, c := range []struct {
		who, path string
		want      []string
	}{
		{"ada", test + "/calls/c1/story", all},
		{"ben", "/v1/me/calls/c1/story", own},                     // it is ben's forward
		{"ana", "/v1/me/calls/c1/story", []string{"dial.number"}}, // the caller does not learn of it
	} {
		if diff := cmp.Diff(append(c.want, "call.taken"), rules(c.who, c.path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.who, diff)
		}
	}
}

func TestRegistrations(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, n := range []string{"1002", "1001", "1003"} {
		a.store.bindings = append(a.store.bindings, feed.Registration{
			Domain: "bellhop.test", Number: n, Device: "desk-" + n, Contact: "sip:" + n + "@192.0.2.1", Transport: "UDP",
			Source: "192.0.2.1:5060", Expires: time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC), Seen: time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC),
		})
	}
	if got := a.do("ada", "GET", test+"/registrations", "").ids(t, "number"); !cmp.Equal(got, []string{"1001", "1002", "1003"}) {
		t.Errorf("registrations = %v", got)
	}
	page := a.do("ada", "GET", test+"/registrations?limit=2", "")
	next, _ := page.json(t)["next"].(string)
	if got := a.do("ada", "GET", test+"/registrations?limit=2&cursor="+next, "").ids(t, "number"); !cmp.Equal(got, []string{"1003"}) {
		t.Errorf("second page = %v", got)
	}
	if got := a.do("ana", "GET", "/v1/me/registrations", "").ids(t, "number"); !cmp.Equal(got, []string{"1001"}) {
		t.Errorf("ana's registrations = %v", got)
	}
	want := `{"items":[{"domain":"bellhop.test","number":"1003","device":"desk-1003","contact":"sip:1003@192.0.2.1","transport":"UDP","source":"192.0.2.1:5060","expires":"2026-12-01T09:00:00Z","last_seen":"2026-12-01T08:00:00Z"}]}`
	if got := a.do("ada", "GET", test+"/registrations?number=1003", ""); got.body != want {
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, n := range []string{"1001", "1002", "1003"} {
		a.store.bindings = append(a.store.bindings, feed.Registration{Domain: "bellhop.test", Number: n, Device: "desk-" + n, Contact: "sip:" + n + "@192.0.2.1"})
	}
	a.want(a.do("ada", "PUT", test+"/numbers/1001/forwarding", `{"all":{"both":{"enabled":true,"target":"1002"}}}`), 200, "")
	ask := func(who, more string) answer {
		return a.do(who, "POST", "/v1/explain", `{"domain":"bellhop.test","caller":"1003","called":"1001"`+more+`}`)
	}
	rang := func(got answer) string {
		line, _ := got.json(t)["timeline"].([]any)
		if len(line) == 0 {
			t.Fatalf("nothing happens: %s", got.body)
		}
		step, _ := line[0].(map[string]any)
		to, _ := step["to"].([]any)
		rule, _ := step["rule"].(string)
		if len(to) == 0 {
			return rule
		}
		return to[0].(string) + " by " + rule
	}
	if got := rang(a.want(ask("ada", ""), 200, "")); !strings.HasPrefix(got, "desk-1002") {
		t.Errorf("1001 forwards to 1002, explained: %s", got)
	}
	off := `,"assume":{"numbers/1001/forwarding":{"all":{"internal":{"enabled":false}}}}`
	if got := rang(a.want(ask("ada", off), 200, "")); got != "desk-1001 by ring.devices" {
		t.Errorf("without the forward, explained: %s", got)
	}
	dnd := `,"assume":{"users/ben/presence":{"status":"do-not-disturb"},"users/ben/dnd":{"mode":"reject"}}`
	if got := a.want(ask("ada", dnd), 200, ""); !strings.Contains(got.body, `"rule":"dnd"`) {
		t.Errorf("with dnd of the target: %s", got.body)
	}
	// Nothing was written, and no assumption stays.
	if got := rang(ask("ada", "")); !strings.HasPrefix(got, "desk-1002") {
		t.Errorf("after assumptions: %s", got)
	}
	group := `,"assume":{"numbers/1001/forwarding":{"all":{"internal":{"enabled":false}}},"groups/sales":{"number":"1001","members":["1002"]}}`
	if got := rang(a.want(ask("ada", group), 200, "")); got != "desk-1002 by group.member" {
		t.Errorf("with a group at 1001, explained: %s", got)
	}
	a.want(a.do("ben", "POST", "/v1/explain", `{"domain":"bellhop.test","caller":"1002","called":"1001","assume":{"groups/sales":{"members":["1002"]}}}`), 403, "")
	a.want(ask("ada", `,"assume":{"users/ben/shoes":{}}`), 422, "field.unknown")
	a.want(ask("ada", `,"assume":{"users/ben/dnd":{"mode":"loud"}}`), 422, "field.value")
	a.want(ask("ada", `,"assume":{"users/ben/dnd":7}`), 400, "body.json")
	a.want(ask("ada", `,"at":"soon"`), 422, "")
	a.want(a.do("ada", "POST", "/v1/explain", `{"domain":"bellhop.test"}`), 422, "field.missing")

	// A caller does not learn of somebody else's forward.
	got := a.want(a.do("ben", "POST", "/v1/explain", `{"domain":"bellhop.test","caller":"1002","called":"1001"}`), 200, "")
	if strings.Contains(got.body, "numbers/1001/forwarding") {
		t.Errorf("ben learns how ana forwards: %s", got.body)
	}
}

func TestLadder(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.store.live = []*feed.Call{call("01A", "1001", "1002")}
	a.store.ended = []*feed.Call{call("01B", "1002", "1001")}
	for _, id := range []string{"01A", "01B"} {
		got := a.want(a.do("ada", "GET", test+"/calls/"+id+"/ladder", ""), 200, "").json(t)
		if messages, _ := got["messages"].([]any); len(messages) != 1 || got["id"] != id {
			t.Errorf("ladder of %s = %v", id, got)
		}
	}
	a.want(a.do("ana", "GET", test+"/calls/01A/ladder", ""), 403, "role.denied")
	a.want(a.do("zoe", "GET", test+"/calls/01A/ladder", ""), 404, "")
	a.want(a.do("ada", "GET", test+"/calls/01C/ladder", ""), 404, "")
}
