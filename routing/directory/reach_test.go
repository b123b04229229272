package directory_test

import (
	"strings"
	"testing"
	"time"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

func TestWindows(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		t.Helper()
		v, err := time.Parse("Mon 2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		days, from, to string
		in, out        []string
	}{
		{"", "", "", []string{"Mon 2026-11-23 00:00", "Sun 2026-11-29 23:59"}, nil},
		{"mon-fri", "08:00", "18:00", []string{"Mon 2026-11-23 08:00", "Fri 2026-11-27 17:59"}, []string{"Mon 2026-11-23 07:59", "Fri 2026-11-27 18:00", "Sat 2026-11-28 12:00"}},
		{"Sat,SUN", "", "12:00", []string{"Sat 2026-11-28 00:00"}, []string{"Sat 2026-11-28 12:00", "Mon 2026-11-23 09:00"}},
		{"fri-mon", "10:00", "24:00", []string{"Sun 2026-11-29 23:59", "Mon 2026-11-23 10:00"}, []string{"Tue 2026-11-24 10:00"}},
		{"fri", "22:00", "06:00", []string{"Fri 2026-11-27 22:00", "Sat 2026-11-28 05:59"}, []string{"Fri 2026-11-27 05:00", "Sat 2026-11-28 06:00", "Sat 2026-11-28 22:00"}},
		{"sat", "22:00", "06:00", []string{"Sun 2026-11-29 05:00"}, []string{"Sat 2026-11-28 05:00"}},
	} {
		s, ok := directory.ParseWindow(directory.Window{Days: tt.days, From: tt.from, To: tt.to})
		if !ok {
			t.Errorf("ParseWindow(%s %s-%s) failed", tt.days, tt.from, tt.to)
			continue
		}
		for _, x := range tt.in {
			if !s.Contains(at(x)) {
				t.Errorf("%s %s-%s lacks %s", tt.days, tt.from, tt.to, x)
			}
		}
		for _, x := range tt.out {
			if s.Contains(at(x)) {
				t.Errorf("%s %s-%s has %s", tt.days, tt.from, tt.to, x)
			}
		}
	}
	for _, w := range []directory.Window{
		{Days: "monday"},
		{Days: "mon-"},
		{Days: ","},
		{Days: "mon-tue-wed"},
		{From: "8:00"},
		{From: "24:00"},
		{To: "25:00"},
		{From: "08:60"},
		{From: "08:00", To: "08:00"},
		{To: "00:00"},
		{From: "eight"},
	} {
		if s, ok := directory.ParseWindow(w); ok {
			t.Errorf("ParseWindow(%+v) = %+v, want none", w, s)
		}
	}
}

func TestRemoteFaults(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`: "number field.missing",
		`{"number":"1","delay":31000,"stop_after":"PT9S","answer_too_soon":"PT11S"}`: "delay field.value, answer_too_soon field.value, stop_after field.value",
		`{"number":"1","delay":-1}`:                                                                   "delay field.value",
		`{"number":"1","delay":"PT20S","stop_after":"PT20S"}`:                                         "delay field.value",
		`{"number":"1","schedule":[{"days":"moon"},{"from":"18:00","to":"18:00"},{"until":"18:00"}]}`: "schedule[0].days field.value, schedule[1] field.value, schedule[2].until field.unknown",
		`{"number":"voicemail"}`:                                                                      "number field.value, number field.missing",
		`{"number":"a","allow":["x"],"block":["1"],"snr":"no"}`:                                       "number field.value, snr syntax, allow[0] field.value, number field.missing",
		`{"number":"1","block":[` + strings.Repeat(`"1003",`, 200) + `"1003"]}`:                       "block field.value",
		`{"number":"sip:a@b.example"}`:                                                                "",
	} {
		_, err := directory.Parse[directory.RemoteDestination](directory.KindRemote, []byte(body))
		if got := faults(err); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// TestLoadReach: a line has the remote destinations that ring with it, its
// CallMe, its limits and what its site shows.
func TestLoadReach(t *testing.T) {
	t.Parallel()
	view := directory.Assume(reachBase(t), []directory.Write{
		put(t, "sites/hq", `{"main_number":"089 7007"}`),
		put(t, "numbers/1005", `{"user":"cleo","site":"hq","public":"+4989111","limits":{"calls":2,"attempts_per_minute":"unlimited"}}`),
		put(t, "domains/"+domain, `{"realm":"r","region":"DE","defaults":{"limits":{"calls":5,"premium_minutes":7}},"policies":{"limits":{"calls":"unlimited"}}}`),
		put(t, "users/cleo/callme", `{"target":"1003"}`),
		put(t, "users/cleo/remote-destinations/home", `{"number":"089654321","schedule":[{"days":"mon-fri","from":"08:00","to":"18:00"}],"block":["1001"],"allow":["+49 89 123450","1001"]}`),
		put(t, "users/cleo/remote-destinations/off", `{"number":"1003","snr":false}`),
	})
	tenant, _, err := directory.LoadTenant(view, domain)
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := directory.LoadLine(view, tenant, "1005")
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(l); got != "home mobile" {
		t.Errorf("1005 rings with %q, want home and mobile", got)
	}
	if !l.CallMe.On || l.CallMe.Target.Number.Ext != "1003" || l.CallMe.Setting != "users/cleo/callme" || l.MainNumber != "+49897007" {
		t.Errorf("CallMe = %+v, main number %s", l.CallMe, l.MainNumber)
	}
	if want := (directory.Quota{Calls: 2, Attempts: 0, International: 4 * time.Hour, Premium: 7 * time.Minute}); l.Limits != want {
		t.Errorf("limits = %+v, want %+v", l.Limits, want)
	}
	if tenant.Limits.Calls != 0 || tenant.Limits.Attempts == 0 || tenant.Limits.Premium == 0 {
		t.Errorf("limits of the domain = %+v", tenant.Limits)
	}
	if !l.Class.Allows(dial.National, "+4989654321") || l.Class.Allows(dial.International, "+15551234567") || l.Class.Allows(dial.Premium, "+49900123") {
		t.Errorf("a public number without a class has %+v", l.Class)
	}
	home := l.Remotes[0]
	winter, summer := time.Date(2026, 11, 23, 7, 30, 0, 0, time.UTC), time.Date(2026, 7, 6, 6, 30, 0, 0, time.UTC)
	if !home.Rings(winter) || !home.Rings(summer) || home.Rings(winter.Add(-time.Hour)) || home.Rings(winter.Add(10*time.Hour)) {
		t.Error("the schedule is not in the time of Berlin")
	}
	for _, tt := range []struct {
		n    dial.Number
		want bool
	}{{dial.Number{E164: "+4989123450"}, true}, {dial.Number{Ext: "1001"}, false}, {dial.Number{Ext: "1002"}, false}, {dial.Number{}, false}} {
		if got := home.Admits(tt.n); got != tt.want {
			t.Errorf("Admits(%+v) = %v, want %v", tt.n, got, tt.want)
		}
	}
	if l, _, _ = directory.LoadLine(view, tenant, "1006"); ids(l) != "home" || l.Class != nil {
		t.Errorf("1006 rings with %q and class %v, want home and none", ids(l), l.Class)
	}
	if l, _, _ = directory.LoadLine(view, tenant, "1100"); l.Hunt == nil || l.Hunt.Name != "sales" {
		t.Errorf("group of 1100 = %+v", l.Hunt)
	}
	if l, _, _ = directory.LoadLine(view, tenant, "1003"); l.Hunt != nil {
		t.Errorf("group of a member = %+v", l.Hunt)
	}
	for number, want := range map[string]string{"+4917112345": "cleo", "+4917100000": ""} {
		if got, err := directory.LoadCaller(view, domain, number); got != want || err != nil {
			t.Errorf("LoadCaller(%s) = %q, %v, want %q", number, got, err, want)
		}
	}
}

func ids(l *directory.Line) string {
	var out []string
	for _, r := range l.Remotes {
		out = append(out, r.ID)
	}
	return strings.Join(out, " ")
}
