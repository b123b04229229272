package directory_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
)

// grouped is the directory of [base] with a hunt group and a pickup group.
func grouped(t *testing.T) directory.View {
	t.Helper()
	return directory.Assume(base(t), []directory.Write{
		put(t, "numbers/1100", `{}`),
		put(t, "numbers/1200", `{"forwarding_class":"all"}`),
		put(t, "groups/sales", `{"number":"1100","members":["1001","1002"],"strategy":"in-order","ring_time":"PT15S","overflow":"1003"}`),
		put(t, "groups/room", `{"kind":"pickup","members":["1002","1001"]}`),
		put(t, "groups/floor", `{"kind":"pickup","members":["1001"]}`),
	})
}

func TestCheckGroups(t *testing.T) {
	t.Parallel()
	var many []string
	for range directory.MaxMembers + 1 {
		many = append(many, `"1001"`)
	}
	for _, tt := range []struct {
		name, path, body string
		want             string // location rule, of each fault
	}{
		{"nothing wrong", "groups/help", `{"number":"1200","members":["1001"],"overflow":"+49171123456"}`, ""},
		{"the same again", "groups/sales", `{"number":"1100","members":["1001"]}`, ""},
		{"without a number yet", "groups/help", `{"members":["1001"]}`, ""},
		{"pickup", "groups/help", `{"kind":"pickup","members":["1100","1001"]}`, ""},
		{"pickup with a number", "groups/help", `{"kind":"pickup","number":"1200"}`, "kind field.value"},
		{"pickup with a strategy", "groups/help", `{"kind":"pickup","strategy":"all"}`, "kind field.value"},
		{"no such member", "groups/help", `{"members":["1999"]}`, "members[0] reference.missing"},
		{"no such number", "groups/help", `{"number":"1999"}`, "number reference.missing"},
		{"a member twice", "groups/help", `{"members":["1001","1002","1001"]}`, "members[2] field.value"},
		{"too many members", "groups/help", `{"members":[` + strings.Join(many[:2], ",") + `]}`, "members[1] field.value"},
		{"a group as a member", "groups/help", `{"number":"1200","members":["1100"]}`, "members[0] field.value"},
		{"its own number as a member", "groups/help", `{"number":"1200","members":["1200"]}`, "members[0] field.value, number name.taken"},
		{"number of a member elsewhere", "groups/help", `{"number":"1002"}`, "number name.taken"},
		{"number of another group", "groups/help", `{"number":"1100"}`, "number name.taken"},
		{"number of a user", "groups/help", `{"number":"1001"}`, "number name.taken, number name.taken"},
		{"named as a user", "groups/ana", `{}`, "name name.taken"},
		{"named as a device", "groups/desk-1001", `{}`, "name name.taken"},
		{"user named as a group", "users/sales", `{}`, "name name.taken"},
		{"device named as a group", "devices/sales", `{}`, "name name.taken"},
		{"the number gets a user", "numbers/1100", `{"user":"ben"}`, "user name.taken"},
		{"overflow outside without a class", "groups/sales", `{"number":"1100","overflow":"+49171123456"}`, "overflow target.class"},
		{"overflow to nothing", "groups/sales", `{"number":"1100","overflow":"1999"}`, "overflow reference.missing"},
		{"overflow to itself", "groups/sales", `{"number":"1100","overflow":"sip:sales@` + domain + `"}`, "overflow forward.loop-refused"},
		{"overflow without a number", "groups/help", `{"overflow":"1001"}`, "number field.missing"},
		{"overflow to voicemail", "groups/sales", `{"number":"1100","overflow":"voicemail"}`, ""},
		{"callme to a group", "users/ben/callme", `{"target":"1100"}`, "target callme.unusable"},
		{"number of a group is in use", "numbers/1100", ``, " reference.in-use"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := directory.Check(grouped(t), []directory.Write{put(t, tt.path, tt.body)})
			if got := faults(err); got != tt.want {
				t.Errorf("Check(%s %s) = %q, want %q (%v)", tt.path, tt.body, got, tt.want, err)
			}
		})
	}
	_, fs := directory.Decode(directory.KindGroup, []byte(`{"members":[`+strings.Join(many, ",")+`]}`))
	if !slices.ContainsFunc(fs, func(f directory.Fault) bool { return f.Location == "members" }) {
		t.Errorf("%d members: %+v", len(many), fs)
	}
}

// TestLoadGroups: what groups mean to the numbers that they name.
func TestLoadGroups(t *testing.T) {
	t.Parallel()
	view := grouped(t)
	tenant, _, err := directory.LoadTenant(view, domain)
	if err != nil {
		t.Fatal(err)
	}
	load := func(number string) *directory.Line {
		l, ok, err := directory.LoadLine(view, tenant, number)
		if err != nil || !ok {
			t.Fatalf("LoadLine(%s) = %v, %v", number, ok, err)
		}
		return l
	}
	h := load("1100").Hunt
	if h == nil || h.Name != "sales" || h.Strategy != directory.StrategyInOrder || h.RingTime != 15*time.Second ||
		!h.Overflow.On || h.Overflow.Setting != "groups/sales" || !slices.Equal(h.Members, []string{"1001", "1002"}) {
		t.Errorf("hunt of 1100 = %+v", h)
	}
	for number, want := range map[string]string{"1001": "floor room", "1002": "room", "1100": ""} {
		if got := strings.Join(load(number).Pickup, " "); got != want {
			t.Errorf("pickup groups of %s = %q, want %q", number, got, want)
		}
	}
	for name, want := range map[string]string{"sales": "1100", "room": "", "ana": "1001", "nobody": ""} {
		if got, ok, err := directory.LoadUser(view, domain, name); got != want || ok != (want != "") || err != nil {
			t.Errorf("LoadUser(%s) = %q, %v, %v, want %q", name, got, ok, err, want)
		}
	}
}
