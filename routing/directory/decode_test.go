package directory_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/routing/directory"
)

func TestDecodeCanonical(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		kind     directory.Kind
		in, want string
	}{
		{
			"domain", directory.KindDomain, `{"realm":"r","region":"de","aliases":["Example.ORG.","[2001:DB8::0:1]"],"policies":{"busy_exclusive":false}}`,
			`{"aliases":["example.org","2001:db8::1"],"region":"DE","policies":{"busy_exclusive":false},"realm":"r"}`,
		},
		{
			"retention", directory.KindDomain, `{"realm":"r","policies":{"retention":{"records":"P52W","history":86400000}}}`,
			`{"policies":{"retention":{"records":"P364D","history":"P1D"}},"realm":"r"}`,
		},
		{"user", directory.KindUser, `{"name":" Ana "}`, `{"name":"Ana","role":"user"}`},
		{"number", directory.KindNumber, `{"public":"+49 (89) 7007-98765","ring_time":12000}`, `{"public":"+4989700798765","state":"active","ring_time":"PT12S"}`},
		{"null is absent", directory.KindNumber, `{"public":null,"call_waiting":null}`, `{"state":"active"}`},
		{"device", directory.KindDevice, `{"mac":"00-1A:2B3C4D5E","lines":[{"number":"1001"}]}`, `{"kind":"desk","mac":"001a2b3c4d5e","lines":[{"number":"1001"}]}`},
		{"class", directory.KindClass, `{"rules":[{"deny":"+49900*"},{"allow":"national"}]}`, `{"rules":[{"deny":"+49900*"},{"allow":"national"}]}`},
		{
			"forwarding, both sides", directory.KindForwarding, `{"busy":{"both":{"enabled":true,"target":"+49 171 12345"}}}`,
			`{"busy":{"internal":{"enabled":true,"target":"+4917112345"},"external":{"enabled":true,"target":"+4917112345"}}}`,
		},
		{
			"forwarding, both after the sides", directory.KindForwarding, `{"all":{"both":{"enabled":false},"internal":{"enabled":true,"target":"1002"}}}`,
			`{"all":{"internal":{"enabled":false,"target":"1002"}}}`,
		},
		{
			"forwarding, a side not set", directory.KindForwarding, `{"all":{"internal":{"enabled":true,"target":"sip:ben@Example.org"}}}`,
			`{"all":{"internal":{"enabled":true,"target":"sip:ben@example.org"}}}`,
		},
		{"dnd", directory.KindDND, `{"enabled":true,"allow":["+49 89 1234567"]}`, `{"enabled":true,"mode":"voicemail-else-busy","allow":["+49891234567"]}`},
		{"presence", directory.KindPresence, `{"status":"lunch","until":"2026-12-01T09:00:00+01:00"}`, `{"status":"lunch","until":"2026-12-01T09:00:00+01:00"}`},
		{"presence forwarding", directory.KindPresenceTo, `{"lunch":{"target":"voicemail"},"sick":{"target":""}}`, `{"lunch":{"target":"voicemail"}}`},
		{
			"trunk", directory.KindTrunk, `{"peers":["SBC.Example.net"],"proof":"tls","routes":[{"prefix":"+*"}],"caller_id":"verified","max_calls":"unlimited","max_cps":5}`,
			`{"peers":["sbc.example.net"],"proof":"tls","match_in":["*"],"routes":[{"prefix":"+"}],"caller_id":"original","caller_id_verified":true,"health":"options","max_calls":"unlimited","max_cps":5}`,
		},
		{
			"trunk by address", directory.KindTrunk, `{"peers":["[2001:DB8::1]:5070;transport=TCP"],"proof":"address","sources":["192.0.2.9/24;transport=udp"," [2001:db8::1]:5060 "],"match_in":[]}`,
			`{"peers":["[2001:db8::1]:5070;transport=tcp"],"proof":"address","sources":["192.0.2.0/24;transport=udp","[2001:db8::1]:5060"],"match_in":[],"caller_id":"original","health":"options"}`,
		},
		{
			"trunk that we register with", directory.KindTrunk, `{"peers":["carrier.example"],"proof":"register","register":true,"methods":["refer"]}`,
			`{"peers":["carrier.example"],"proof":"register","register":{},"match_in":["*"],"caller_id":"original","methods":["REFER"],"health":"options"}`,
		},
		{"trunk credential", directory.KindTrunkKey, `{"id":"1","username":"4989","sealed":"AQI="}`, `{"id":"1","username":"4989","sealed":"AQI="}`},
		{"callme", directory.KindCallMe, `{"target":"+49 171 12345"}`, `{"target":"+4917112345"}`},
		{
			"remote destination", directory.KindRemote, `{"number":"+49 171 12345"}`,
			`{"number":"+4917112345","snr":true,"delay":"PT4S","answer_too_soon":"PT1.5S","stop_after":"PT19S","screening":false,"no_forward":true,"move":true}`,
		},
		{
			"remote destination, all set", directory.KindRemote,
			`{"number":"1009","snr":false,"delay":0,"answer_too_soon":0,"stop_after":60000,"numbers":["1001"],"schedule":[{"days":"Mon-Fri","from":"08:00","to":"18:00"}],"allow":["+49 89 1"],"no_forward":false,"move":false,"mobile":true}`,
			`{"number":"1009","mobile":true,"snr":false,"delay":"PT0S","answer_too_soon":"PT0S","stop_after":"PT1M","screening":false,"numbers":["1001"],"schedule":[{"days":"mon-fri","from":"08:00","to":"18:00"}],"allow":["+49891"],"no_forward":false,"move":false}`,
		},
		{"limits", directory.KindNumber, `{"limits":{"calls":3,"premium_minutes":"unlimited","attempts_per_minute":0}}`, `{"state":"active","limits":{"calls":3,"premium_minutes":"unlimited"}}`},
		{"group", directory.KindGroup, `{"members":["1001"]}`, `{"kind":"hunt","members":["1001"],"strategy":"all"}`},
		{"site", directory.KindSite, `{"main_number":"+49 89 7007"}`, `{"main_number":"+49897007"}`},
		{"credential", directory.KindCredential, `{"id":"1","device":"d","sealed":"AQI="}`, `{"id":"1","device":"d","sealed":"AQI="}`},
		{"sign-in", directory.KindSignIn, `{"hash":"$argon2id$x"}`, `{"hash":"$argon2id$x"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, faults := directory.Decode(tt.kind, []byte(tt.in))
			if faults != nil {
				t.Fatalf("Decode: %v", faults)
			}
			got, err := directory.Encode(v)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("Decode(%s) = %s, want %s", tt.in, got, tt.want)
			}
		})
	}
}

func TestDecodeFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		kind directory.Kind
		in   string
		want []string // location rule
	}{
		{"no object", directory.KindUser, `[1]`, []string{" syntax"}},
		{
			"several at once", directory.KindNumber, `{"public":"abc","ring_time":1000,"colour":"red","state":"gone"}`,
			[]string{"public field.value", "state field.value", "ring_time ring.time", "colour field.unknown"},
		},
		{"number without plus", directory.KindNumber, `{"public":"4989123456"}`, []string{"public field.value"}},
		{"forward without target", directory.KindForwarding, `{"all":{"both":{"enabled":true}}}`, []string{"all.both.target field.missing"}},
		{
			"bad target", directory.KindForwarding, `{"busy":{"external":{"enabled":true,"target":"ben"}}}`,
			[]string{"busy.external.target field.value", "busy.external.target field.missing"},
		},
		{"unknown side", directory.KindForwarding, `{"busy":{"inside":{}}}`, []string{"busy.inside field.unknown"}},
		{"wrong type", directory.KindDND, `{"enabled":"yes"}`, []string{"enabled syntax"}},
		{"line twice", directory.KindDevice, `{"lines":[{"number":"1"},{"number":"1"}]}`, []string{"lines[1].number field.value"}},
		{
			"allow and deny", directory.KindClass, `{"rules":[{"allow":"local","deny":"local"},{"allow":"moon"}]}`,
			[]string{"rules[0] field.value", "rules[1] field.value"},
		},
		{"presence do-not-disturb forwards nowhere", directory.KindPresenceTo, `{"do-not-disturb":{"target":"1"}}`, []string{"do-not-disturb field.unknown"}},
		{"region", directory.KindDomain, `{"realm":"r","region":"XX","access_code":"a"}`, []string{"region field.value", "access_code field.value"}},
		{
			"retention too short and too long", directory.KindDomain, `{"realm":"r","policies":{"retention":{"records":"PT23H","stories":0,"history":"P3651D","ladders":"P1D"}}}`,
			[]string{"policies.retention.records field.value", "policies.retention.stories field.value", "policies.retention.history field.value", "policies.retention.ladders field.unknown"},
		},
		{"stories longer than records", directory.KindDomain, `{"realm":"r","policies":{"retention":{"stories":"P181D"}}}`, []string{"policies.retention.stories field.value"}},
		{"control character", directory.KindUser, `{"name":"a\u0000b"}`, []string{"name field.value"}},
		{"no such kind", "moons", `{}`, []string{" syntax"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, faults := directory.Decode(tt.kind, []byte(tt.in))
			var got []string
			for _, f := range faults {
				got = append(got, f.Location+" "+f.Rule)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Decode(%s) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want time.Duration
		out  string
		ok   bool
	}{
		{"PT18S", 18 * time.Second, "PT18S", true},
		{"PT1.5S", 1500 * time.Millisecond, "PT1.5S", true},
		{"P1DT2H", 26 * time.Hour, "PT26H", true},
		{"PT90M", 90 * time.Minute, "PT1H30M", true},
		{"P2W", 14 * 24 * time.Hour, "P14D", true},
		{"-PT4S", -4 * time.Second, "-PT4S", true},
		{"PT0S", 0, "PT0S", true},
		{"P1Y", 0, "", false},
		{"PT", 0, "", false},
		{"P", 0, "", false},
		{"18s", 0, "", false},
		{"PT1S1H", 0, "", false},
		{"PT99999999999999S", 0, "", false},
	} {
		d, ok := directory.ParseDuration(tt.in)
		if ok != tt.ok || time.Duration(d) != tt.want {
			t.Errorf("ParseDuration(%s) = %s, %v, want %s, %v", tt.in, time.Duration(d), ok, tt.want, tt.ok)
		}
		if ok && d.String() != tt.out {
			t.Errorf("%s prints as %s, want %s", tt.in, d, tt.out)
		}
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	for pw, want := range map[string]string{
		"Sesame-7":                         "",
		"short1A":                          "password.length password.special",
		"sesame-77":                        "password.upper",
		"SESAME-77":                        "password.lower",
		"Sesame-open":                      "password.digit",
		"Sesame77":                         "password.special",
		"Sesäme77":                         "",
		strings.Repeat("Aa1!", 16):         "",
		strings.Repeat("Aa1!", 16) + "toX": "password.length",
		"":                                 "password.length password.upper password.lower password.digit password.special",
	} {
		var rules []string
		for _, f := range directory.Password(pw, directory.MinPassword) {
			rules = append(rules, f.Rule)
		}
		if got := strings.Join(rules, " "); got != want {
			t.Errorf("Password(%q) breaks %q, want %q", pw, got, want)
		}
	}
}

func TestPresenceAndDND(t *testing.T) {
	t.Parallel()
	lunch := directory.Presence{Status: directory.StatusLunch, Note: "back soon"}
	p, d := directory.SplitPresence(directory.Presence{Status: directory.StatusDND, Note: "no"}, lunch, directory.DND{Mode: directory.DNDReject})
	if !d.Enabled || d.Mode != directory.DNDReject || p.Status != directory.StatusLunch || p.Note != "no" {
		t.Errorf("SplitPresence(do-not-disturb) = %+v, %+v", p, d)
	}
	if v := directory.ViewPresence(p, d); v.Status != directory.StatusDND {
		t.Errorf("ViewPresence = %+v, want do-not-disturb", v)
	}
	if p, d = directory.SplitPresence(directory.Presence{Status: directory.StatusOffice}, p, d); d.Enabled || p.Status != directory.StatusOffice {
		t.Errorf("SplitPresence(office) = %+v, %+v", p, d)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"users/ana", "users/ana/dnd", "users/ana/presence", "users/ana/presence/forwarding",
		"users/ana/callme", "users/ana/remote-destinations/mobile", "trunks/carrier",
		"numbers/1001", "numbers/1001/forwarding", "devices/desk-1001", "domains/bellhop.test",
	} {
		ref, ok := directory.ParsePath("bellhop.test", path)
		if !ok || ref.Path() != path {
			t.Errorf("ParsePath(%s) = %v, %v", path, ref, ok)
		}
	}
	for _, path := range []string{"", "users", "users/", "moons/a", "users/ana/password", "numbers/1/dnd", "numbers/1/remote-destinations/a", "users/ana/remote-destinations/", "users/ana/remote-destinations/a/b", "trunks/a/credentials", "domains/other.test"} {
		if ref, ok := directory.ParsePath("bellhop.test", path); ok {
			t.Errorf("ParsePath(%s) = %v, want none", path, ref)
		}
	}
}

// FuzzDecode holds that Decode never panics, and that what it took without a
// fault is written and read again as the same.
func FuzzDecode(f *testing.F) {
	kinds := []directory.Kind{
		directory.KindDomain, directory.KindSite, directory.KindUser, directory.KindNumber, directory.KindDevice,
		directory.KindGroup, directory.KindTrunk, directory.KindClass, directory.KindForwarding, directory.KindDND,
		directory.KindPresence, directory.KindPresenceTo, directory.KindCredential, directory.KindSignIn,
		directory.KindCallMe, directory.KindRemote, directory.KindTrunkKey,
		directory.KindPIN, directory.KindSpeedDial, directory.KindActivation, directory.KindChange,
	}
	for i := range kinds {
		f.Add(uint8(i), []byte(`{"realm":"r","aliases":["a"],"ring_time":"PT18S","lines":[{"number":"1"}],"all":{"both":{"enabled":true,"target":"sip:a@b"}}}`))
	}
	f.Add(uint8(8), []byte(`{"all":{"both":{"enabled":true,"target":"+49 (89) 123-456"}}}`))
	f.Add(uint8(6), []byte(`{"proof":"address","peers":["[2001:db8::1]:5060;transport=udp"],"sources":["192.0.2.0/24;listener=10.0.0.1:5060"],"register":{"registrar":"a.example:5060"},"routes":[{"prefix":"+*"}],"max_calls":"unlimited"}`))
	f.Add(uint8(15), []byte(`{"number":"+4917112345","delay":4000,"stop_after":"PT19S","schedule":[{"days":"mon-fri","from":"08:00","to":"18:00"}]}`))
	f.Add(uint8(3), []byte(`{"public":"+49 (0)89 123456","ring_time":18000,"busy_trigger":2,"call_waiting":false}`))
	f.Fuzz(func(t *testing.T, k uint8, body []byte) {
		kind := kinds[int(k)%len(kinds)]
		v, faults := directory.Decode(kind, body)
		if len(faults) > 0 {
			return
		}
		out, err := directory.Encode(v)
		if err != nil {
			t.Fatalf("Encode(%+v): %v", v, err)
		}
		again, faults := directory.Decode(kind, out)
		if len(faults) > 0 {
			t.Fatalf("Decode(%s) after %s: %v", out, body, faults)
		}
		twice, err := directory.Encode(again)
		if err != nil || string(twice) != string(out) {
			t.Fatalf("%s became %s, then %s (%v)", body, out, twice, err)
		}
	})
}

func TestRetentionEffective(t *testing.T) {
	t.Parallel()
	days := func(records, stories, history int) directory.Retention {
		d := func(n int) directory.Duration { return directory.Duration(time.Duration(n) * 24 * time.Hour) }
		return directory.Retention{Records: d(records), Stories: d(stories), History: d(history)}
	}
	for _, tt := range []struct {
		name      string
		set, want directory.Retention
	}{
		{"nothing set", days(0, 0, 0), days(180, 90, 400)},
		{"all set", days(30, 10, 20), days(30, 10, 20)},
		{"stories go with their records", days(30, 0, 0), days(30, 30, 400)},
		{"long records", days(1000, 0, 0), days(1000, 90, 400)},
	} {
		if got := tt.set.Effective(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
