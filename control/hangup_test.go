package control_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
)

// anchored is a call from 1003 to ana, which rang her desk, her mobile and, by
// her forward, ben, who answered.
func anchored() *feed.Call {
	c := call("c1", "1003", "1001")
	c.Number, c.Device, c.Anchored = "1002", "desk-1002", "snr"
	at := c.Started
	secret := &feed.Dialog{CallID: "secret-call-id", LocalTag: "secret-tag", RemoteTag: "secret-tag", Target: "sip:secret@192.0.2.1", Routes: []string{"<sip:secret>"}}
	c.Legs = []feed.Leg{
		{Caller: true, Number: "1003", Device: "desk-1003", State: feed.Talking, Started: at, AnsweredAt: at.Add(time.Second), Dialog: secret},
		{Number: "1001", Device: "desk-1001", State: feed.Ended, Status: 487, Started: at, EndedAt: at.Add(time.Second), Dialog: secret},
		{Number: "+4917112345", Trunk: "carrier", Remote: "mobile", Identity: "+4989111", State: feed.Ended, Status: 487, Started: at, EndedAt: at.Add(time.Second)},
		{Number: "+4917199999", Trunk: "carrier", Remote: "mobile", State: feed.Ended, Status: 487, Started: at, EndedAt: at.Add(time.Second)}, // ben's
		{Number: "1002", Device: "desk-1002", State: feed.Talking, Started: at, AnsweredAt: at.Add(time.Second), Dialog: secret},
	}
	return c
}

func TestLegs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.want(a.do("ana", "PUT", "/v1/me/remote-destinations/mobile", `{"number":"+4917112345"}`), 201, "")
	a.store.live = []*feed.Call{anchored()}
	a.store.ended = []*feed.Call{anchored()}
	a.store.ended[0].ID, a.store.ended[0].State = "r1", feed.Ended
	legs := func(who, path string) (out []string) {
		t.Helper()
		got := a.want(a.do(who, "GET", path, ""), 200, "")
		if strings.Contains(got.body, "secret") {
			t.Errorf("%s shows what a leg is spoken to with: %s", path, got.body)
		}
		all, _ := got.json(t)["legs"].([]any)
		for _, l := range all {
			m, _ := l.(map[string]any)
			line := []string{}
			for _, f := range []string{"number", "device", "trunk", "remote_destination", "shown", "state"} {
				if s, ok := m[f].(string); ok {
					line = append(line, s)
				}
			}
			out = append(out, strings.Join(line, " "))
		}
		return out
	}
	all := []string{
		"1003 desk-1003 talking", "1001 desk-1001 ended", "+4917112345 carrier mobile +4989111 ended",
		"+4917199999 carrier mobile ended", "1002 desk-1002 talking",
	}
	for _, c := range []struct {
		who, path string
		want      []string
	}{
		{"ada", test + "/calls/c1", all},
		{"ada", test + "/calls/r1", all},
		{"ana", "/v1/me/calls/c1", []string{"talking", "1001 desk-1001 ended", "+4917112345 carrier mobile +4989111 ended"}},
		{"ana", "/v1/me/calls/r1", []string{"talking", "1001 desk-1001 ended", "+4917112345 carrier mobile +4989111 ended"}},
		{"ben", "/v1/me/calls/c1", []string{"talking", "1002 desk-1002 talking"}}, // his mobile is not known any more
	} {
		if diff := cmp.Diff(c.want, legs(c.who, c.path)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", c.who, c.path, diff)
		}
	}
	if got := a.do("ana", "GET", "/v1/me/calls/c1", ""); strings.Contains(got.body, "anchored") {
		t.Errorf("ana learns why: %s", got.body)
	}
}

func TestHangUp(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	ringing, talking, ended := call("c1", "1003", "1001"), anchored(), call("r1", "1001", "1002")
	ringing.State, talking.ID, ended.State = feed.Ringing, "c2", feed.Ended
	a.store.live, a.store.ended = []*feed.Call{ringing, talking}, []*feed.Call{ended}

	got := a.want(a.do("ada", "POST", test+"/calls/c1/hangup", ""), 202, "")
	if got.body != `{"id":"c1","action":"hangup","state":"ringing"}` {
		t.Errorf("answer = %s", got.body)
	}
	a.want(a.do("ana", "POST", "/v1/me/calls/c1/hangup", ""), 202, "")
	a.want(a.do("ben", "POST", "/v1/me/calls/c2/hangup", ""), 202, "")
	a.want(a.do("ana", "POST", "/v1/me/calls/c2/hangup", ""), 403, "") // hers no more: ben talks
	a.want(a.do("ben", "POST", "/v1/me/calls/c1/hangup", ""), 404, "")
	a.want(a.do("ada", "POST", test+"/calls/none/hangup", ""), 404, "")
	a.want(a.do("zoe", "POST", "/v1/domains/other.test/calls/c1/hangup", ""), 404, "")
	if diff := cmp.Diff([]string{"c1", "c1", "c2"}, a.store.hung); diff != "" {
		t.Errorf("hung up (-want +got):\n%s", diff)
	}
	over := a.want(a.do("ada", "POST", test+"/calls/r1/hangup", ""), 409, "call.ended")
	if over.json(t)["state"] != "ended" {
		t.Errorf("the conflict does not say the state: %s", over.body)
	}
	a.store.hang = errors.New("boom")
	a.want(a.do("ada", "POST", test+"/calls/c2/hangup", ""), 500, "internal")
	a.store.live = []*feed.Call{ringing}
	a.store.ended = append(a.store.ended, talking) // ended while it was being hung up, found as it was before
	over = a.want(a.do("ada", "POST", test+"/calls/c2/hangup", ""), 409, "call.ended")
	if over.json(t)["state"] != "ended" {
		t.Errorf("the conflict does not say the state: %s", over.body)
	}
	a.store.live, a.store.ended = []*feed.Call{ringing, talking}, []*feed.Call{ended}
	actions := func(who, path string) string {
		t.Helper()
		_, list, _ := strings.Cut(a.want(a.do(who, "GET", path, ""), 200, "").body, `"actions":`)
		list, _, _ = strings.Cut(list, "]")
		return list
	}
	for path, want := range map[string]string{"/calls/c1": `["hangup"`, "/calls/c2": `["hangup"`, "/calls/r1": `[`} {
		if got := actions("ada", test+path); got != want {
			t.Errorf("actions of %s = %s, want %s", path, got, want)
		}
	}
	if got := actions("ana", "/v1/me/calls/c2"); got != "[" {
		t.Errorf("ana's actions of ben's call = %s", got)
	}
}
