package control_test

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"bellhop/control"
	"bellhop/feed"
	"bellhop/routing/location"
	"bellhop/store/memstore"
)

// TestExplainShows asks POST /v1/explain the questions that people have, of a
// house with phones: each answer names the rules that decided and the settings
// that they come from.
func TestExplainShows(t *testing.T) {
	t.Parallel()
	a := newHouse(t)
	for _, tt := range []struct {
		name     string
		settings [][2]string // path below the domain, body
		question string
		timeline []string // at, do, target, rule
		rules    []string // of the trace, among others
		settled  []string // settings that are named
	}{
		{
			"the loop of Cisco's guide",
			[][2]string{
				{"numbers/1000/forwarding", `{"all":{"both":{"enabled":true,"target":"1001"}}}`},
				{"numbers/1001/forwarding", `{"all":{"both":{"enabled":true,"target":"1002"}}}`},
				{"numbers/1002/forwarding", `{"no_answer":{"both":{"enabled":true,"target":"1004"}}}`},
			},
			// What the API refuses to save (forward.loop-refused) may be assumed.
			`{"caller":"1003","called":"1000","assume":{"numbers/1002/forwarding":{"all":{"both":{"enabled":true,"target":"1000"}}}}}`,
			[]string{"PT0S ring 1002 forward.loop-breakout", "PT18S ring 1004 forward.no-answer"},
			[]string{"forward.all", "forward.loop-breakout", "forward.no-answer"},
			[]string{"numbers/1000/forwarding/all", "numbers/1001/forwarding/all", "numbers/1002/forwarding/all", "numbers/1002/forwarding/no_answer"},
		},
		{
			"an external caller and an internal forward",
			[][2]string{{"numbers/1000/forwarding", `{"all":{"internal":{"enabled":true,"target":"1001"}}}`}},
			`{"caller":"+49301234","called":"1000"}`,
			[]string{"PT0S ring 1000 ring.devices"},
			[]string{"dial.number", "ring.devices"},
			nil,
		},
		{
			"the same forward and a colleague",
			[][2]string{{"numbers/1000/forwarding", `{"all":{"internal":{"enabled":true,"target":"1001"}}}`}},
			`{"caller":"1003","called":"1000"}`,
			[]string{"PT0S ring 1001 forward.all"},
			[]string{"forward.all"},
			[]string{"numbers/1000/forwarding/all"},
		},
		{
			"vacation with a return time",
			[][2]string{
				{"users/u1000/presence", `{"status":"vacation","until":"2026-12-24T09:00:00Z","end_by_itself":true}`},
				{"users/u1000/presence/forwarding", `{"vacation":{"target":"1002"}}`},
			},
			`{"caller":"1003","called":"1000","at":"2026-12-23T12:00:00Z"}`,
			[]string{"PT0S ring 1002 presence.forward"},
			[]string{"presence.forward"},
			[]string{"users/u1000/presence/forwarding/vacation"},
		},
		{
			"and after it",
			[][2]string{
				{"users/u1000/presence", `{"status":"vacation","until":"2026-12-24T09:00:00Z","end_by_itself":true}`},
				{"users/u1000/presence/forwarding", `{"vacation":{"target":"1002"}}`},
			},
			`{"caller":"1003","called":"1000","at":"2026-12-24T09:00:01Z"}`,
			[]string{"PT0S ring 1000 ring.devices"},
			[]string{"ring.devices"},
			nil,
		},
		{
			"a mobile that rings after 4 s and stops after 19 s",
			[][2]string{{"users/u1000/remote-destinations/mobile", `{"number":"+4917112345","delay":4000,"stop_after":19000}`}},
			`{"caller":"1003","called":"1000"}`,
			[]string{"PT0S ring 1000 ring.devices", "PT4S ring +4917112345 snr stop PT19S"},
			[]string{"snr", "snr.too-soon"},
			[]string{"users/u1000/remote-destinations/mobile"},
		},
		{
			"a denied international forward",
			[][2]string{{"numbers/1000/forwarding", `{"busy":{"both":{"enabled":true,"target":"1001"}}}`}},
			`{"caller":"1003","called":"1000","assume":{"numbers/1000":{"forwarding_class":"national"},"numbers/1000/forwarding":{"all":{"both":{"enabled":true,"target":"+33140123456"}}}}}`,
			[]string{"PT0S ring 1000 ring.devices"},
			[]string{"target.class", "ring.devices"},
			[]string{"numbers/1000/forwarding/all"},
		},
		{
			"CallMe to a phone that is redirected itself",
			[][2]string{{"numbers/1001/forwarding", `{"all":{"both":{"enabled":true,"target":"1002"}}}`}},
			`{"caller":"1003","called":"1000","assume":{"users/u1000/callme":{"target":"1001"}}}`,
			[]string{"PT0S ring 1000 ring.devices"},
			[]string{"callme.unusable", "ring.devices"},
			[]string{"users/u1000/callme"},
		},
		{
			"a group with one member away",
			[][2]string{{"users/u1001/presence", `{"status":"meeting"}`}},
			`{"caller":"1003","called":"1100"}`,
			[]string{"PT0S ring 1000 group.member", "PT12S ring 1002 group.member", "PT24S ring 1004 group.overflow"},
			[]string{"dial.group", "group.skipped", "group.member", "group.overflow"},
			[]string{"groups/hunt", "users/u1001/presence"},
		},
	} {
		for _, s := range tt.settings {
			if got := a.do("root", "PUT", test+"/"+s[0], s[1]); got.status >= 300 {
				t.Fatalf("%s: PUT %s = %d %s", tt.name, s[0], got.status, got.body)
			}
		}
		got := a.want(a.do("root", "POST", "/v1/explain", strings.Replace(tt.question, "{", `{"domain":"bellhop.test",`, 1)), 200, "")
		answer := got.json(t)
		if steps := timeline(answer); !slices.Equal(steps, tt.timeline) {
			t.Errorf("%s: timeline %q, want %q", tt.name, steps, tt.timeline)
		}
		for _, rule := range tt.rules {
			if !strings.Contains(got.body, `"rule":"`+rule+`"`) {
				t.Errorf("%s: no %s in %s", tt.name, rule, got.body)
			}
		}
		for _, setting := range tt.settled {
			if !strings.Contains(got.body, `"setting":"`+setting) {
				t.Errorf("%s: %s is not named in %s", tt.name, setting, got.body)
			}
		}
		for _, s := range slices.Backward(tt.settings) {
			a.want(a.do("root", "DELETE", test+"/"+s[0], ""), 204, "")
		}
	}
}

// timeline reduces the steps of an explanation to words.
func timeline(answer map[string]any) (out []string) {
	steps, _ := answer["timeline"].([]any)
	for _, s := range steps {
		m, _ := s.(map[string]any)
		line := ""
		for _, field := range []string{"at", "do", "target", "rule"} {
			word, _ := m[field].(string)
			line += word + " "
		}
		line = strings.TrimSpace(line)
		if stop, _ := m["stop"].(string); stop != "" && stop != "PT0S" {
			line += " stop " + stop
		}
		out = append(out, line)
	}
	return out
}

// newHouse is the API on a store with five people, who have a phone each, a hunt
// group of three with overflow, and a trunk.
func newHouse(t *testing.T) *api {
	t.Helper()
	stream := feed.NewStream(256)
	st, err := memstore.New(memstore.Options{Feed: stream})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := control.New(control.Options{
		Documents: st, Sessions: st, Tokens: st, Records: st, Sealer: sealer{}, Registrations: st.Bindings, Calls: st.Calls,
		World: st.Cache, Feed: stream, AdminToken: adminToken,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = st.Run(ctx) })
	t.Cleanup(func() { stop(); wg.Wait(); _ = st.Close() })
	a := &api{t: t, srv: srv, http: httptest.NewTLSServer(srv.Handler()), token: map[string]string{"root": adminToken}}
	t.Cleanup(a.http.Close)
	put := func(path, body string) { t.Helper(); a.want(a.do("root", "PUT", test+path, body), 201, "") }
	put("", `{"region":"DE"}`)
	put("/classes/all", `{"rules":[{"allow":"*"}]}`)
	put("/classes/national", `{"rules":[{"allow":"internal"},{"allow":"national"}]}`)
	put("/trunks/carrier", `{"proof":"address","peers":["192.0.2.10:5060"],"routes":[{"prefix":"+"}]}`)
	for _, n := range []string{"1000", "1001", "1002", "1003", "1004"} {
		put("/users/u"+n, `{}`)
		put("/numbers/"+n, `{"user":"u`+n+`","class_of_service":"all","forwarding_class":"all"}`)
		put("/devices/desk-"+n, `{"user":"u`+n+`","lines":[{"number":"`+n+`"}]}`)
		aor, err := location.NewAOR(n, "bellhop.test")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := st.Bindings.Register(t.Context(), aor, registration("desk-"+n)); err != nil {
			t.Fatal(err)
		}
	}
	put("/numbers/1100", `{"forwarding_class":"all"}`)
	put("/groups/hunt", `{"number":"1100","members":["1000","1001","1002"],"strategy":"in-order","ring_time":"PT12S","overflow":"1004"}`)
	return a
}

// registration is the REGISTER of a phone.
func registration(device string) location.Register {
	return location.Register{
		Contacts: []location.Contact{{URI: "sip:" + device + "@192.0.2.10", Q: 1000}}, Expires: location.In(3600), CallID: device, CSeq: 1, Device: device,
		Flow: location.Flow{Transport: location.UDP, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort("192.0.2.10:5060")},
	}
}
