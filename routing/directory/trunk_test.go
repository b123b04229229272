package directory_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"bellhop/routing/directory"
)

func TestParsePeer(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"sbc.example.net":                     "sbc.example.net",
		"SBC.Example.NET.:5070":               "sbc.example.net:5070",
		"192.0.2.1":                           "192.0.2.1",
		"192.0.2.1:5060;transport=TCP":        "192.0.2.1:5060;transport=tcp",
		"2001:DB8:0::1":                       "[2001:db8::1]",
		"[2001:db8::1]":                       "[2001:db8::1]",
		"[2001:db8::1]:5061;transport=tls":    "[2001:db8::1]:5061;transport=tls",
		"[::ffff:192.0.2.1]:5060":             "192.0.2.1:5060",
		"localhost:5060":                      "localhost:5060",
		"":                                    "",
		":5060":                               "",
		"192.0.2.1:0":                         "",
		"192.0.2.1:05060":                     "",
		"192.0.2.1:65536":                     "",
		"192.0.2.300":                         "",
		"1234:5060":                           "",
		"0.0.0.0":                             "",
		"224.0.0.1":                           "",
		"fe80::1%eth0":                        "",
		"[sbc.example.net]:5060":              "",
		"[2001:db8::1":                        "",
		"sip:sbc.example.net":                 "",
		"sbc.example.net;transport=ws":        "",
		"sbc.example.net;transport=udp;lr":    "",
		"sbc.example.net;maddr=192.0.2.1":     "",
		"user@sbc.example.net":                "",
		"sbc example":                         "",
		strings.Repeat("a", 64) + ".example":  "",
		"sbc.example.net:5060;transport=udp ": "sbc.example.net:5060;transport=udp",
	} {
		p, ok := directory.ParsePeer(in)
		if ok != (want != "") || ok && p.String() != want {
			t.Errorf("ParsePeer(%q) = %q, %v, want %q", in, p, ok, want)
		}
	}
}

func TestParseSource(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"192.0.2.1":                   "192.0.2.1",
		"192.0.2.9/28":                "192.0.2.0/28",
		"192.0.2.1:5060":              "192.0.2.1:5060",
		"[2001:db8::1]:5060":          "[2001:db8::1]:5060",
		"2001:db8::/32;transport=tls": "2001:db8::/32;transport=tls",
		"::ffff:192.0.2.0/120":        "192.0.2.0/24",
		"192.0.2.1;listener=[::ffff:192.0.2.5]:5060;transport=udp": "192.0.2.1;transport=udp;listener=192.0.2.5:5060",
		"":                                      "",
		"sbc.example.net":                       "",
		"192.0.2.1/33":                          "",
		"192.0.2.0/24:5060":                     "",
		"192.0.2.1;transport=ws":                "",
		"192.0.2.1;":                            "192.0.2.1",
		"192.0.2.1;listener=5060":               "",
		"192.0.2.1;transport=":                  "",
		"192.0.2.1;x=y":                         "",
		"239.1.1.1":                             "",
		"0.0.0.0":                               "",
		"192.0.2.1;transport=udp;;":             "",
		"fe80::1%eth0":                          "",
		"192.0.2.1;transport=udp;transport=tcp": "",
	} {
		s, ok := directory.ParseSource(in)
		if ok != (want != "") || ok && s.String() != want {
			t.Errorf("ParseSource(%q) = %v, %v, want %q", in, s, ok, want)
		}
	}
}

// TestSourcesOverlap: two sources that do not overlap have no request in common,
// and what is printed is read again.
func TestSourcesOverlap(t *testing.T) {
	t.Parallel()
	listeners := []netip.AddrPort{{}, netip.MustParseAddrPort("10.0.0.1:5060"), netip.MustParseAddrPort("10.0.0.2:5060")}
	transports := []string{"", "udp", "tcp", "tls"}
	address := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 15).Draw(t, "last"))})
	})
	source := rapid.Custom(func(t *rapid.T) directory.Source {
		s := directory.Source{
			Prefix:    netip.PrefixFrom(address.Draw(t, "address"), rapid.IntRange(28, 32).Draw(t, "bits")).Masked(),
			Transport: rapid.SampledFrom(transports).Draw(t, "transport"),
			Listener:  rapid.SampledFrom(listeners).Draw(t, "listener"),
		}
		if s.Prefix.IsSingleIP() {
			s.Port = uint16(rapid.IntRange(0, 2).Draw(t, "port"))
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := source.Draw(t, "a"), source.Draw(t, "b")
		if got, ok := directory.ParseSource(a.String()); !ok || got != a {
			t.Fatalf("ParseSource(%s) = %v, %v, want %v", a, got, ok, a)
		}
		if a.Overlaps(b) != b.Overlaps(a) || !a.Overlaps(a) {
			t.Fatalf("Overlaps is not symmetric or not reflexive: %s, %s", a, b)
		}
		from := netip.AddrPortFrom(address.Draw(t, "from"), uint16(rapid.IntRange(1, 2).Draw(t, "from port")))
		over := rapid.SampledFrom(transports[1:]).Draw(t, "over")
		to := rapid.SampledFrom(listeners[1:]).Draw(t, "to")
		if a.Matches(from, over, to) && b.Matches(from, over, to) && !a.Overlaps(b) {
			t.Fatalf("%s over %s to %s is of %s and of %s, which do not overlap", from, over, to, a, b)
		}
	})
}

func TestTrunkOf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body     string
		sources, names string
	}{
		{"exactly an address and port", `{"proof":"address","peers":["127.0.0.1:5090"]}`, "127.0.0.1:5090", ""},
		{"an address", `{"proof":"address","peers":["127.0.0.1"]}`, "127.0.0.1", ""},
		{"over a connection, from any port", `{"proof":"address","peers":["127.0.0.1:5090;transport=tcp"]}`, "127.0.0.1;transport=tcp", ""},
		{"sources say it", `{"proof":"address","peers":["sbc.example"],"sources":["192.0.2.0/24"]}`, "192.0.2.0/24", ""},
		{"names", `{"proof":"tls","peers":["sbc.example:5061","b.example"]}`, "", "sbc.example b.example"},
		{"names apart", `{"proof":"tls","peers":["192.0.2.1"],"sources":["sbc.example"]}`, "", "sbc.example"},
		{"digest", `{"proof":"digest","peers":["192.0.2.1"]}`, "", ""},
	} {
		v, err := directory.Parse[directory.Trunk](directory.KindTrunk, []byte(tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var sources []string
		for _, s := range directory.SourcesOf(v) {
			sources = append(sources, s.String())
		}
		if got := strings.Join(sources, " "); got != tt.sources {
			t.Errorf("%s: sources %q, want %q", tt.name, got, tt.sources)
		}
		if got := strings.Join(directory.NamesOf(v), " "); got != tt.names {
			t.Errorf("%s: names %q, want %q", tt.name, got, tt.names)
		}
	}
}

func TestTrunkFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		want       string
	}{
		{"no proof", `{}`, "proof field.missing"},
		{"address without an address", `{"proof":"address"}`, "sources field.missing"},
		{"a name proves nothing", `{"proof":"address","peers":["sbc.example"]}`, "sources field.missing"},
		{"routes without a peer", `{"proof":"digest","routes":[{"prefix":"+"}]}`, "peers field.missing"},
		{"a route without a prefix", `{"proof":"digest","peers":["a.example"],"routes":[{}]}`, "routes[0].prefix field.missing"},
		{"a route for words", `{"proof":"digest","peers":["a.example"],"routes":[{"prefix":"+49x","strip":21,"prepend":"a"}]}`, "routes[0].strip field.value, routes[0].prefix field.value, routes[0].prepend field.value"},
		{"tls in the clear", `{"proof":"tls","peers":["a.example;transport=tcp"]}`, "peers[0] field.value"},
		{"tls without a name", `{"proof":"tls"}`, "sources field.missing"},
		{"register with nobody", `{"proof":"register"}`, "register.registrar field.missing"},
		{"register for a moment", `{"proof":"register","peers":["a.example"],"register":{"expires":"PT5S","registrar":"a;transport=tls","username":"a@b"}}`, "register.expires field.value, register.registrar field.value, register.username field.value"},
		{"sources of the wrong proof", `{"proof":"digest","sources":["192.0.2.1"]}`, "sources field.value"},
		{"spoofable said otherwise", `{"proof":"digest","spoofable":"yes"}`, "spoofable field.value"},
		{"a method that is never let in", `{"proof":"digest","methods":["PUBLISH"]}`, "methods[0] field.value"},
		{"match_in", `{"proof":"digest","match_in":["+49*89*","a b"]}`, "match_in[0] field.value, match_in[1] field.value"},
		{"limits", `{"proof":"digest","max_calls":-1,"max_cps":"many"}`, "max_calls syntax, max_cps syntax"},
		{"too many peers", `{"proof":"digest","peers":[` + strings.Repeat(`"a.example",`, 50) + `"a.example"]}`, "peers field.value"},
		{"caller id", `{"proof":"digest","caller_id":"anybody"}`, "caller_id field.value"},
		{"health", `{"proof":"digest","health_interval":1}`, "health_interval field.value"},
	} {
		_, got := directory.Parse[directory.Trunk](directory.KindTrunk, []byte(tt.body))
		if faults(got) != tt.want {
			t.Errorf("%s: %q, want %q (%v)", tt.name, faults(got), tt.want, got)
		}
	}
}

// TestLoadTrunks: what a domain dials by, in the order in which it is tried, and
// what the SIP side gets.
func TestLoadTrunks(t *testing.T) {
	t.Parallel()
	view := directory.Assume(base(t), []directory.Write{
		put(t, "trunks/main", `{"proof":"address","peers":["192.0.2.1"],"routes":[{"prefix":"+","priority":2},{"prefix":"+49","strip":3,"prepend":"0"}],"max_calls":"unlimited","caller_id":"main"}`),
		put(t, "trunks/spare", `{"proof":"address","peers":["192.0.2.2"],"routes":[{"prefix":"+*","priority":1}],"match_in":["+4989*","1001"]}`),
		trunkKey("main", "account"),
	})
	tenant, _, err := directory.LoadTenant(view, domain)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range tenant.Trunks {
		order = append(order, r.Name+" "+r.Prefix)
	}
	if diff := cmp.Diff([]string{"main +49", "spare +", "main +"}, order); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if got := tenant.Trunks[0].Number("+4989123"); got != "089123" {
		t.Errorf("Number = %s, want 089123", got)
	}
	c := tenant.Carrier("spare")
	if c == nil || c.MaxCalls != directory.DefaultMaxCalls || c.CallerID != directory.CallerOriginal || tenant.Carrier("main").MaxCalls != 0 || tenant.Carrier("x") != nil {
		t.Fatalf("Carrier = %+v", c)
	}
	for _, tt := range []struct {
		names []string
		want  bool
	}{{[]string{"1001", ""}, true}, {[]string{"1002", "+4989123450"}, true}, {[]string{"1002", "", "ana"}, false}, {[]string{"10011"}, false}, {nil, false}} {
		if got := c.Reaches(tt.names...); got != tt.want {
			t.Errorf("Reaches(%q) = %v, want %v", tt.names, got, tt.want)
		}
	}
	if less := tenant.WithTrunk("main", nil); len(less.Trunks) != 1 || less.Carrier("main") != nil || len(tenant.Trunks) != 3 {
		t.Errorf("without main: %+v, before: %+v", less.Trunks, tenant.Trunks)
	}
	ps, err := directory.LoadPeerings(view)
	if err != nil || len(ps) != 2 || ps[0].Name != "main" || ps[0].Username != "account" || ps[0].Realm != "r" || len(ps[0].Sealed) == 0 || ps[1].Username != "" {
		t.Errorf("LoadPeerings = %+v, %v", ps, err)
	}
}
