package control_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
)

// texts are the sentences of a story, by who reads it in which language.
func (a *api) texts(who, path, language string) (out []string) {
	a.t.Helper()
	got := a.want(a.do(who, "GET", path, "", "Accept-Language", language), 200, "").json(a.t)
	steps, _ := got["steps"].([]any)
	for _, st := range steps {
		text, _ := within(st, "text").(string)
		out = append(out, text)
	}
	return out
}

// TestFate: the story of a call ends with what became of it, at each end, in the
// language of its reader, who learns of their own devices only.
func TestFate(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	c := call("01A", "1002", "1001")
	c.Story = []feed.Step{{At: c.Started, Rule: "ring.devices", Number: "1001", Level: feed.ForOwner, Owner: "ana"}}
	at := func(d time.Duration) time.Time { return c.Started.Add(d) }
	c.State, c.AnsweredAt, c.EndedAt, c.Outcome = feed.Ended, at(9*time.Second), at(time.Minute), "answered"
	c.Legs = []feed.Leg{
		{Caller: true, Number: "1002", Device: "desk-1002", Started: at(0), AnsweredAt: at(9 * time.Second), EndedAt: at(time.Minute)},
		{Number: "1001", Device: "desk-1001", Started: at(0), EndedAt: at(9 * time.Second), Status: 487},
		{Number: "1001", Device: "web-1001", Started: at(0), EndedAt: at(time.Second), Status: 486},
		{Number: "1001", Remote: "mobile", Trunk: "carrier", Started: at(4 * time.Second), AnsweredAt: at(9 * time.Second), EndedAt: at(time.Minute), Status: 200},
		{Number: "1001", Device: "old-1001", Started: at(0), EndedAt: at(0), Status: 503},
	}
	lost := call("01B", "1002", "1001")
	lost.Story, lost.State, lost.AnsweredAt, lost.EndedAt, lost.Outcome = nil, feed.Ended, time.Time{}, at(18*time.Second), "no-answer"
	a.store.ended = []*feed.Call{c, lost}

	english := []string{
		"The phones of 1001 ring.", "desk-1001 of 1001 rang for 9s.", "web-1001 of 1001 was busy.", "mobile of 1001 answered after 5s.",
		"old-1001 of 1001 could not be reached.", "The call was answered after 9s.",
	}
	if diff := cmp.Diff(english, a.texts("ana", "/v1/me/calls/01A/story", "en-GB, de")); diff != "" {
		t.Errorf("ana reads (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Der Anruf wurde nach 9s angenommen."}, a.texts("ben", "/v1/me/calls/01A/story", "de")); diff != "" {
		t.Errorf("ben, who called, reads (-want +got):\n%s", diff)
	}
	a.want(a.do("ada", "PATCH", test+"/users/ana", `{"language":"de-AT"}`), 200, "")
	if got := a.texts("ana", "/v1/me/calls/01A/story", ""); !strings.Contains(strings.Join(got, " "), "mobile (1001) hat nach 5s abgehoben.") {
		t.Errorf("ana reads %v", got)
	}
	if diff := cmp.Diff([]string{"Niemand hat abgehoben."}, a.texts("ana", "/v1/me/calls/01B/story", "de")); diff != "" {
		t.Errorf("of a lost call (-want +got):\n%s", diff)
	}
}
