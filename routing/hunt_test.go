package routing_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"bellhop/routing"
	"bellhop/routing/directory"
)

// TestAlerts: how a call is shown that nobody is to hear: by what the device says,
// then its user.
func TestAlerts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ user, device, want string }{
		{"", "", "none"}, {"beep", "", "beep"}, {"beep", "flash", "flash"}, {"", "beep", "beep"}, {"flash", "none", "none"},
	} {
		for _, called := range []string{"1000", "1100"} {
			x := townOf(t, "1000", "users/ana {}", `numbers/1000 {"user":"ana"}`, "numbers/1003 {}", "numbers/1100 {}",
				`groups/sales {"number":"1100","members":["1000"]}`,
				`users/ana/dnd {"enabled":true,"mode":"ringer-off","alert":"`+tt.user+`"}`,
				`devices/desk-1000 {"lines":[{"number":"1000"}],"dnd_alert":"`+tt.device+`"}`)
			_, r := x.rings(t, from("1003", called))
			got := r.Stages[0].Targets[0].Alert
			if got == "" {
				got = r.Alert
			}
			if !strings.HasSuffix(got, "alert="+tt.want) || !strings.Contains(got, "info=silent") {
				t.Errorf("%s: user %q, device %q: Alert-Info %q, want %s", called, tt.user, tt.device, got, tt.want)
			}
		}
	}
}

// TestUnlogged: a number may have its phones log no missed calls.
func TestUnlogged(t *testing.T) {
	t.Parallel()
	x := townOf(t, "1000 1001", `numbers/1000 {"missed_calls":false}`, "numbers/1001 {}", "numbers/1003 {}", "numbers/1100 {}",
		`groups/sales {"number":"1100","members":["1000","1001"]}`)
	for called, want := range map[string]string{"1000": "1000:true", "1001": "1001:false", "1100": "1000:true 1001:false"} {
		_, r := x.rings(t, from("1003", called))
		var got []string
		for _, target := range r.Stages[0].Targets {
			got = append(got, fmt.Sprintf("%s:%t", target.Instance, target.Unlogged))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s rings %s, want %s", called, s, want)
		}
	}
	if x.bindings["1000"][0].Unlogged {
		t.Error("what others share was changed")
	}
}

// TestManyMembers: the largest group there can be, with remote destinations, is
// decided.
func TestManyMembers(t *testing.T) {
	t.Parallel()
	docs := []string{"numbers/1000 {}", "numbers/1003 {}", allClass, carrier("original")}
	var members []string
	for i := range directory.MaxMembers {
		n := fmt.Sprint(2000 + i)
		members = append(members, n)
		docs = append(docs, "users/u"+n+" {}", "numbers/"+n+` {"user":"u`+n+`","forwarding_class":"all"}`,
			"users/u"+n+`/remote-destinations/mobile {"number":"+49171`+n+`"}`, "users/u"+n+`/remote-destinations/home {"number":"3`+n[1:]+`"}`,
			"numbers/3"+n[1:]+" {}")
	}
	docs = append(docs, `groups/sales {"number":"1000","strategy":"longest-idle","remote_destinations":true,"members":["`+strings.Join(members, `","`)+`"]}`)
	x := townOf(t, strings.Join(members, " "), docs...)
	plan, r := x.rings(t, from("1003", "1000"))
	if len(r.Stages) != directory.MaxMembers || plan.Anchored != routing.DialGroup {
		t.Errorf("%d stages, anchored %s", len(r.Stages), plan.Anchored)
	}
	if got := r.Members(); !slices.Equal(got, members) {
		t.Errorf("members %v", got)
	}
}
