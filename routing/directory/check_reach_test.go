package directory_test

import (
	"fmt"
	"testing"

	"bellhop/routing/directory"
)

// reachBase is base with people who may be reached elsewhere: cleo, whose numbers
// are 1005 and 1006 and who may forward anywhere, and dan (1007).
func reachBase(t *testing.T) directory.View {
	t.Helper()
	return directory.Assume(base(t), []directory.Write{
		put(t, "users/cleo", `{"numbers":["1005","1006"],"time_zone":"Europe/Berlin"}`),
		put(t, "users/dan", `{}`),
		put(t, "numbers/1005", `{"user":"cleo","forwarding_class":"all"}`),
		put(t, "numbers/1006", `{"user":"cleo","forwarding_class":"all"}`),
		put(t, "numbers/1007", `{"user":"dan"}`),
		put(t, "users/dan/callme", `{"target":"1003"}`),
		put(t, "numbers/1100", `{}`),
		put(t, "groups/sales", `{"number":"1100","members":["1003"]}`),
		put(t, "users/cleo/remote-destinations/mobile", `{"number":"+4917112345","numbers":["1005"]}`),
		put(t, "trunks/carrier", `{"proof":"address","peers":["192.0.2.10:5060"],"routes":[{"prefix":"+"}]}`),
		put(t, "trunks/pbx", `{"proof":"digest"}`),
		trunkKey("pbx", "branch"),
		{Ref: directory.Ref{Domain: "other.test", Kind: directory.KindTrunk, Name: "far"}, Body: []byte(`{"proof":"address","sources":["198.51.100.0/24"]}`)},
		{Ref: directory.Ref{Domain: "other.test", Kind: directory.KindTrunk, Name: "tls"}, Body: []byte(`{"proof":"tls","peers":["sbc.example.net"]}`)},
	})
}

func trunkKey(trunk, username string) directory.Write {
	return directory.Write{
		Ref:  directory.Ref{Domain: domain, Kind: directory.KindTrunkKey, Name: trunk},
		Body: []byte(`{"id":"1","username":"` + username + `","sealed":"AQ=="}`),
	}
}

func TestCheckReach(t *testing.T) {
	t.Parallel()
	address := func(sources string) string { return `{"proof":"address","sources":[` + sources + `]}` }
	for _, tt := range []struct {
		name, path, body string
		want             string // location rule, of each fault
	}{
		{"callme to a mobile", "users/cleo/callme", `{"target":"+49 171 99999"}`, ""},
		{"callme to a colleague", "users/cleo/callme", `{"target":"1003"}`, ""},
		{"callme off", "users/cleo/callme", `{}`, ""},
		{"callme without the class", "users/ben/callme", `{"target":"+49 171 99999"}`, "target target.class"},
		{"callme of nobody", "users/zoe/callme", `{"target":"1003"}`, " reference.missing"},
		{"callme to nothing", "users/cleo/callme", `{"target":"1999"}`, "target reference.missing"},
		{"callme to voicemail", "users/cleo/callme", `{"target":"voicemail"}`, "target field.value"},
		{"callme to a group", "users/cleo/callme", `{"target":"1100"}`, "target callme.unusable"},
		{"callme to a member of a group", "users/cleo/callme", `{"target":"1003"}`, ""},
		{"callme to a redirected number", "users/cleo/callme", `{"target":"1001"}`, "target callme.unusable"},
		{"callme to a number redirected on one side", "users/cleo/callme", `{"target":"sip:1002@127.0.0.1"}`, "target callme.unusable"},
		{"callme to who has a callme", "users/cleo/callme", `{"target":"1007"}`, "target callme.unusable"},
		{"callme to oneself", "users/cleo/callme", `{"target":"1006"}`, "target forward.loop-refused"},
		{"callme to oneself by name", "users/cleo/callme", `{"target":"sip:cleo@bellhop.test"}`, "target forward.loop-refused"},

		{"remote destination", "users/cleo/remote-destinations/home", `{"number":"089 654321"}`, ""},
		{"remote destination of nobody", "users/zoe/remote-destinations/home", `{"number":"1003"}`, " reference.missing"},
		{"remote destination without the class", "users/dan/remote-destinations/home", `{"number":"089654321"}`, "number target.class"},
		{"remote destination for others' numbers", "users/cleo/remote-destinations/home", `{"number":"1003","numbers":["1001","1999"]}`, "numbers[0] reference.missing, numbers[1] reference.missing"},
		{"remote destination that is its line", "users/cleo/remote-destinations/home", `{"number":"1006"}`, "number forward.loop-refused"},
		{"remote destination of one's other line", "users/cleo/remote-destinations/home", `{"number":"1006","numbers":["1005"]}`, ""},
		{"remote destination by a bad id", "users/cleo/remote-destinations/Home", `{"number":"1003"}`, "name name.syntax"},
		{"remote destination of a number for a user", "users/1005/remote-destinations/home", `{"number":"1003"}`, "name name.syntax,  reference.missing"},
		{"a number that a remote destination has", "numbers/1005", ``, " reference.in-use"},
		{"a number leaves its user", "numbers/1005", `{"user":"dan"}`, "user reference.in-use, user reference.in-use"},

		{"trunk elsewhere", "trunks/b", address(`"203.0.113.0/24"`), ""},
		{"trunk as it is", "trunks/carrier", `{"proof":"address","peers":["192.0.2.10:5060"]}`, ""},
		{"the address of another trunk", "trunks/b", address(`"192.0.2.10"`), "sources trunk.source"},
		{"the same address, another port", "trunks/b", address(`"192.0.2.10:5090"`), ""},
		{"the peer of another trunk", "trunks/b", `{"proof":"address","peers":["192.0.2.10:5060"]}`, "sources trunk.source"},
		{"an address that is only reached", "trunks/b", `{"proof":"digest","peers":["192.0.2.10:5060"]}`, ""},
		{"around the address of another trunk", "trunks/b", address(`"192.0.0.0/16"`), "sources trunk.source"},
		{"inside of another domain's", "trunks/b", address(`"198.51.100.7;transport=tcp"`), "sources trunk.source"},
		{"the name of another domain's trunk", "trunks/b", `{"proof":"tls","sources":["SBC.example.net"]}`, "sources trunk.source"},
		{"everybody", "trunks/b", address(`"0.0.0.0/0"`), "sources[0] trunk.source"},
		{"everybody, in IPv6", "trunks/b", address(`"::/0"`), "sources[0] trunk.source"},
		{"half of everybody", "trunks/b", address(`"0.0.0.0/1","128.0.0.0/1"`), "sources[0] trunk.source, sources[1] trunk.source"},
		{"everybody, mapped", "trunks/b", address(`"::ffff:0.0.0.0/96"`), "sources[0] trunk.source"},

		{"credentials of a trunk", "", "carrier account", ""},
		{"credentials of no trunk", "", "nothing account", " reference.missing"},
		{"credentials of a device", "", "pbx desk-1001", "username name.taken"},
		{"we sign in as one of our devices elsewhere", "", "carrier desk-1001", ""},
		{"a device with the name a trunk signs in as", "credentials/branch", `{"device":"desk-1001","sealed":"AQ=="}`, "name name.taken"},
		{"a device with the name we sign in as", "credentials/account", `{"device":"desk-1001","sealed":"AQ=="}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			view := directory.Assume(reachBase(t), []directory.Write{put(t, "credentials/desk-1001", `{"device":"desk-1001","sealed":"AQ=="}`), trunkKey("carrier", "account")})
			var w directory.Write
			if tt.path != "" {
				w = put(t, tt.path, tt.body)
			} else {
				var trunk, name string
				if _, err := fmt.Sscan(tt.body, &trunk, &name); err != nil {
					t.Fatal(err)
				}
				w = trunkKey(trunk, name)
			}
			err := directory.Check(view, []directory.Write{w})
			if got := faults(err); got != tt.want {
				t.Errorf("Check(%s %s) = %q, want %q (%v)", tt.path, tt.body, got, tt.want, err)
			}
		})
	}
}

// TestOtherDomainsAreNotTold: who may not know of a trunk does not learn its
// addresses by trying.
func TestOtherDomainsAreNotTold(t *testing.T) {
	t.Parallel()
	err := directory.Check(reachBase(t), []directory.Write{put(t, "trunks/b", `{"proof":"address","sources":["198.51.0.0/16"]}`)})
	if err == nil || err.Error() != "sources: 198.51.0.0/16 overlaps another trunk (trunk.source)" {
		t.Errorf("Check = %v", err)
	}
}

func TestTenRemoteDestinations(t *testing.T) {
	t.Parallel()
	var ws []directory.Write
	for i := range directory.MaxRemotes {
		ws = append(ws, put(t, fmt.Sprintf("users/ana/remote-destinations/r%d", i), `{"number":"1003"}`))
	}
	view := directory.Assume(base(t), ws)
	if err := directory.Check(view, ws[:1]); err != nil {
		t.Errorf("Check of the tenth = %v, want nil", err)
	}
	if got := faults(directory.Check(view, []directory.Write{put(t, "users/ana/remote-destinations/x", `{"number":"1003"}`)})); got != " remote.too-many" {
		t.Errorf("Check of the eleventh = %q", got)
	}
}

func TestDependents(t *testing.T) {
	t.Parallel()
	refs, err := directory.Dependents(reachBase(t), directory.Ref{Domain: domain, Kind: directory.KindUser, Name: "cleo"})
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, r := range refs {
		paths[r.Path()] = true
	}
	for _, want := range []string{"users/cleo/dnd", "users/cleo/callme", "users/cleo/remote-destinations/mobile"} {
		if !paths[want] {
			t.Errorf("Dependents(cleo) = %v, lacks %s", paths, want)
		}
	}
	if refs, err = directory.Dependents(reachBase(t), directory.Ref{Domain: domain, Kind: directory.KindTrunk, Name: "pbx"}); err != nil || len(refs) != 1 || refs[0].Kind != directory.KindTrunkKey {
		t.Errorf("Dependents of a trunk = %v, %v", refs, err)
	}
}
