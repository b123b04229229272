package directory_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"bellhop/routing/directory"
)

const domain = "bellhop.test"

func put(t *testing.T, path, body string) directory.Write {
	t.Helper()
	if name, ok := strings.CutPrefix(path, "/domains/"); ok { // another tenant
		return directory.Write{Ref: directory.Ref{Kind: directory.KindDomain, Name: name}, Body: []byte(body)}
	}
	if name, ok := strings.CutPrefix(path, "credentials/"); ok {
		return directory.Write{Ref: directory.Ref{Domain: domain, Kind: directory.KindCredential, Name: name}, Body: []byte(body)}
	}
	ref, ok := directory.ParsePath(domain, path)
	if !ok {
		t.Fatalf("no path: %s", path)
	}
	if body == "" {
		return directory.Write{Ref: ref}
	}
	return directory.Write{Ref: ref, Body: []byte(body)}
}

func base(t *testing.T) directory.View {
	t.Helper()
	ws := []directory.Write{
		put(t, "domains/"+domain, `{"realm":"r","region":"DE","aliases":["127.0.0.1"]}`),
		put(t, "/domains/other.test", `{"realm":"r"}`),
		put(t, "classes/all", `{"rules":[{"allow":"*"}]}`),
		put(t, "users/ana", `{"numbers":["1001"]}`),
		put(t, "users/ben", `{}`),
		put(t, "numbers/1000", `{"public":"+4989123450"}`),
		put(t, "numbers/1001", `{"user":"ana"}`),
		put(t, "numbers/1002", `{"forwarding_class":"all"}`),
		put(t, "numbers/1003", `{"call_waiting":true}`),
		put(t, "devices/desk-1001", `{"user":"ana","lines":[{"number":"1001"}]}`),
		put(t, "numbers/1001/forwarding", `{"all":{"both":{"enabled":true,"target":"1002"}}}`),
		put(t, "numbers/1002/forwarding", `{"all":{"internal":{"enabled":true,"target":"sip:1003@127.0.0.1"},"external":{"enabled":false,"target":"1003"}}}`),
	}
	return directory.Assume(nil, ws)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	forward := func(to string) string { return `{"all":{"both":{"enabled":true,"target":"` + to + `"}}}` }
	for _, tt := range []struct {
		name, path, body string
		want             string // location rule, of each fault
	}{
		{"nothing wrong", "numbers/1004", `{"user":"ben","class_of_service":"all"}`, ""},
		{"no such user", "numbers/1004", `{"user":"zoe"}`, "user reference.missing"},
		{"no such class and site", "numbers/1004", `{"forwarding_class":"x","site":"y"}`, "site reference.missing, forwarding_class reference.missing"},
		{"faults of decoding", "numbers/1004", `{"state":"x"}`, "state field.value"},
		{"public number taken", "numbers/1004", `{"public":"+49 89 123450"}`, "public name.taken"},
		{"public number kept", "numbers/1000", `{"public":"+49 89 123450","label":"x"}`, ""},
		{"name of a number", "numbers/abc", `{}`, "name name.syntax"},
		{"name of a user is a number", "users/1234", `{}`, "name name.syntax"},
		{"user lists what is not theirs", "users/ben", `{"numbers":["1001","1999"]}`, "numbers[0] reference.missing, numbers[1] reference.missing"},
		{"number leaves its user", "numbers/1001", `{"user":"ben"}`, "user reference.in-use"},
		{"system-admin in a domain", "users/ben", `{"role":"system-admin"}`, "role field.value"},
		{"user named as a device", "users/desk-1001", `{}`, "name name.taken"},
		{"device named as a user", "devices/ana", `{}`, "name name.taken"},
		{"line that does not exist", "devices/d", `{"lines":[{"number":"1999"}]}`, "lines[0].number reference.missing"},
		{"alias of another domain", "/domains/third.test", `{"realm":"r","aliases":["other.test"]}`, "aliases[0] name.taken"},
		{"realm changes", "domains/" + domain, `{"realm":"s"}`, "realm field.read-only"},
		{"domain is in use", "domains/" + domain, ``, " reference.in-use"},
		{"number is in use", "numbers/1001", ``, " reference.in-use"},
		{"number is not in use", "numbers/1002", ``, ""},
		{"user is in use", "users/ana", ``, " reference.in-use"},
		{"user is not in use", "users/ben", ``, ""},
		{"class is in use", "classes/all", ``, " reference.in-use"},
		{"forwarding of nothing", "numbers/1999/forwarding", `{}`, " reference.missing"},
		{"forward to nothing", "numbers/1000/forwarding", forward("1999"), "all.internal.target reference.missing, all.external.target reference.missing"},
		{"forward to nothing, switched off", "numbers/1000/forwarding", `{"all":{"both":{"enabled":false,"target":"1999"}}}`, ""},
		{"forward outside without a class", "numbers/1000/forwarding", `{"busy":{"internal":{"enabled":true,"target":"+49171123456"}}}`, "busy.internal.target target.class"},
		{"forward outside with a class", "numbers/1002/forwarding", `{"busy":{"internal":{"enabled":true,"target":"+49171123456"}}}`, ""},
		{"forward to our public number", "numbers/1002/forwarding", `{"busy":{"internal":{"enabled":true,"target":"089123450"}}}`, ""},
		{"forward elsewhere without a class", "numbers/1000/forwarding", `{"busy":{"internal":{"enabled":true,"target":"sip:a@other.test"}}}`, "busy.internal.target target.class"},
		{"forward to itself", "numbers/1000/forwarding", forward("+4989123450"), "all.internal.target forward.loop-refused, all.external.target forward.loop-refused"},
		{"loop on one side", "numbers/1003/forwarding", forward("1001"), "all.internal.target forward.loop-refused"},
		{"loop through a user", "numbers/1003/forwarding", `{"all":{"internal":{"enabled":true,"target":"sip:ana@` + domain + `"}}}`, "all.internal.target forward.loop-refused"},
		{"no loop: the other kind", "numbers/1003/forwarding", `{"no_answer":{"both":{"enabled":true,"target":"1001"}}}`, ""},
		{"no loop: switched off", "numbers/1003/forwarding", `{"all":{"both":{"enabled":false,"target":"1001"}}}`, ""},
		{"no loop: the same extension elsewhere", "numbers/1002/forwarding", forward("sip:1001@other.test"), ""},
		{"busy and call waiting", "numbers/1003/forwarding", `{"busy":{"both":{"enabled":true,"target":"1001"}}}`, "busy busy.exclusive"},
		{"busy and nothing said of call waiting", "numbers/1000/forwarding", `{"busy":{"both":{"enabled":true,"target":"1001"}}}`, ""},
		{"presence holds no dnd", "users/ana/presence", `{"status":"do-not-disturb"}`, "status field.value"},
		{"presence target outside", "users/ana/presence/forwarding", `{"lunch":{"target":"+49171123456"}}`, "lunch.target target.class"},
		{"dnd of nobody", "users/zoe/dnd", `{"enabled":true}`, " reference.missing"},
		{"credential of nothing", "credentials/x", `{"device":"x","sealed":"AQ=="}`, "device reference.missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := directory.Check(base(t), []directory.Write{put(t, tt.path, tt.body)})
			if got := faults(err); got != tt.want {
				t.Errorf("Check(%s %s) = %q, want %q (%v)", tt.path, tt.body, got, tt.want, err)
			}
		})
	}
}

func faults(err error) string {
	inv, ok := errors.AsType[*directory.Invalid](err)
	if !ok {
		return fmt.Sprint(err)[:0]
	}
	var out []string
	for _, f := range inv.Faults {
		out = append(out, f.Location+" "+f.Rule)
	}
	return strings.Join(out, ", ")
}

// TestLoopRefusedChain: the error shows the whole chain.
func TestLoopRefusedChain(t *testing.T) {
	t.Parallel()
	err := directory.Check(base(t), []directory.Write{put(t, "numbers/1003/forwarding", `{"all":{"internal":{"enabled":true,"target":"1001"}}}`)})
	if err == nil || !strings.Contains(err.Error(), "1003 -> 1001 -> 1002 -> 1003") {
		t.Errorf("Check = %v, want the chain 1003 -> 1001 -> 1002 -> 1003", err)
	}
}

// TestLoopWithinWrites: writes of one transaction are seen together.
func TestLoopWithinWrites(t *testing.T) {
	t.Parallel()
	ws := []directory.Write{
		put(t, "numbers/1005", `{}`), put(t, "numbers/1006", `{}`),
		put(t, "numbers/1005/forwarding", `{"all":{"both":{"enabled":true,"target":"1006"}}}`),
		put(t, "numbers/1006/forwarding", `{"all":{"both":{"enabled":true,"target":"1005"}}}`),
	}
	if err := directory.Check(base(t), ws[:3]); err != nil {
		t.Errorf("Check of a chain = %v, want nil", err)
	}
	inv, ok := errors.AsType[*directory.Invalid](directory.Check(base(t), ws))
	if !ok || inv.Rule != directory.RuleLoop || !strings.HasPrefix(inv.Faults[0].Location, domain+"/forwarding/1005: ") {
		t.Errorf("Check of a loop = %+v, want %s", inv, directory.RuleLoop)
	}
}

func TestTenDevices(t *testing.T) {
	t.Parallel()
	var ws []directory.Write
	for i := range directory.MaxDevices {
		ws = append(ws, put(t, fmt.Sprintf("devices/soft-%d", i), `{"user":"ben"}`))
	}
	view := directory.Assume(base(t), ws)
	if err := directory.Check(view, []directory.Write{put(t, "devices/soft-1", `{"user":"ben","kind":"soft"}`)}); err != nil {
		t.Errorf("Check of the tenth device = %v, want nil", err)
	}
	if got := faults(directory.Check(view, []directory.Write{put(t, "devices/soft-x", `{"user":"ben"}`)})); got != "user device.too-many" {
		t.Errorf("Check of the eleventh device = %q", got)
	}
}

// TestExclusiveOff: a domain may let call waiting and forward.busy be.
func TestExclusiveOff(t *testing.T) {
	t.Parallel()
	err := directory.Check(base(t), []directory.Write{
		put(t, "domains/"+domain, `{"realm":"r","policies":{"busy_exclusive":false}}`),
		put(t, "numbers/1003/forwarding", `{"busy":{"both":{"enabled":true,"target":"1001"}}}`),
	})
	if err != nil {
		t.Errorf("Check = %v, want nil", err)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	view := directory.Assume(base(t), []directory.Write{
		put(t, "credentials/desk-1001", `{"id":"1","device":"desk-1001","sealed":"AQ=="}`),
		put(t, "domains/"+domain, `{"realm":"r","defaults":{"ring_time":"PT30S","forwarding_class":"all"}}`),
		put(t, "users/ana/dnd", `{"enabled":true}`),
		put(t, "numbers/1003/forwarding", `{"busy":{"internal":{"enabled":true,"target":"1001"}}}`),
		put(t, "numbers/1003", `{}`),
	})
	tenant, ok, err := directory.LoadTenant(view, "BELLHOP.test.")
	if err != nil || !ok || tenant.Name != domain {
		t.Fatalf("LoadTenant = %+v, %v, %v", tenant, ok, err)
	}
	l, ok, err := directory.LoadLine(view, tenant, "1001")
	if err != nil || !ok {
		t.Fatalf("LoadLine = %v, %v", ok, err)
	}
	if !l.DND.Enabled || l.RingTime.Seconds() != 30 || !l.All.Internal.On || len(l.Devices) != 1 || len(l.ForwardingClass) != 1 || l.Class != nil {
		t.Errorf("LoadLine(1001) = %+v", l)
	}
	if l, ok, err = directory.LoadLine(view, tenant, "+4989123450"); err != nil || !ok || l.Number != "1000" {
		t.Errorf("LoadLine by its public number = %+v, %v, %v", l, ok, err)
	}
	if l, _, _ = directory.LoadLine(view, tenant, "1003"); l.Trigger != (directory.Pair[int]{Internal: 1, External: 2}) {
		t.Errorf("trigger with forward.busy on one side = %+v, want 1 and 2", l.Trigger)
	}
	if _, ok, err = directory.LoadLine(view, tenant, "1999"); ok || err != nil {
		t.Errorf("LoadLine(1999) = %v, %v, want none", ok, err)
	}
	if n, ok, err := directory.LoadUser(view, domain, "ana"); n != "1001" || !ok || err != nil {
		t.Errorf("LoadUser(ana) = %s, %v, %v", n, ok, err)
	}
	if n, ok, err := directory.LoadDevice(view, domain, "desk-1001"); n != "1001" || !ok || err != nil {
		t.Errorf("LoadDevice = %s, %v, %v", n, ok, err)
	}
	c, ok, err := directory.LoadCredential(view, domain, "desk-1001")
	if err != nil || !ok || c.Device != "desk-1001" || c.User != "ana" || len(c.Lines) != 1 {
		t.Errorf("LoadCredential = %+v, %v, %v", c, ok, err)
	}
}
