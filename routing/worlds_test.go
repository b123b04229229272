package routing_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
	"bellhop/routing/ring"
)

// worldSeed replays a run of TestWorlds, which prints the seed it had.
var worldSeed = flag.Int("worlds.seed", 0, "the first of the seeds of random worlds; 0: any")

const (
	worlds     = 1000 // drawn a run, unless BELLHOP_TEST_WORLDS says otherwise
	callsEach  = 6    // in each of them
	firedLeast = 20   // how often each rule decides in a run of 1,000
)

// TestMain has each property tried in a third of as many worlds as [TestWorlds]
// draws.
func TestMain(m *testing.M) {
	flag.Parse()
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set(strconv.Itoa(worldCount() / 3))
	}
	m.Run()
}

func worldCount() int {
	if n, err := strconv.Atoi(os.Getenv("BELLHOP_TEST_WORLDS")); err == nil && n > 0 {
		return n
	}
	return worlds
}

// TestWorlds draws worlds with everything in them that settings can be, makes
// calls of all kinds there, and holds that each ends, and that in all of them
// together every rule decided often enough to be proven by the other properties.
func TestWorlds(t *testing.T) {
	t.Parallel()
	seed := *worldSeed
	if seed == 0 {
		seed = rand.IntN(1 << 30) //nolint:gosec // of a test
	}
	n := worldCount()
	draw := rapid.Custom(func(t *rapid.T) *drawn {
		d := &drawn{town: wholeTown(t)}
		for range callsEach {
			d.calls = append(d.calls, wholeCall(t))
		}
		return d
	})
	fired, total := map[routing.RuleName]int{}, 0
	for i := range n {
		d := draw.Example(seed + i)
		for _, v := range d.calls {
			e, err := explain.Explain(explain.Question{Visit: v, At: noon, Viewer: explain.Viewer{Admin: true}}, d.town.load)
			if err != nil {
				t.Fatalf("seed %d: %+v: %v", seed+i, v, err)
			}
			ends(t, seed+i, v, &e)
			for _, entry := range e.Trace {
				fired[entry.Rule]++
				total++
			}
		}
	}
	files, _ := filepath.Glob("../testdata/routing/*.txtar")
	rarest := slices.SortedFunc(slices.Values(routing.Rules()), func(a, b routing.RuleName) int { return fired[a] - fired[b] })
	t.Logf("%d rules, %d scenarios, %d random worlds with %d calls, %d firings; rarest: %s %d, %s %d; replay with -worlds.seed=%d",
		len(rarest), len(files), n, n*callsEach, total, rarest[0], fired[rarest[0]], rarest[1], fired[rarest[1]], seed)
	for _, r := range rarest {
		if n >= worlds && fired[r] < firedLeast {
			t.Errorf("seed %d: rule %s decided %d times in %d worlds, want %d", seed, r, fired[r], n, firedLeast)
		}
	}
}

// A drawn world and the calls in it.
type drawn struct {
	town  *town
	calls []routing.Visit
}

// ends holds what is true of every call: it ends, within the time that a call may
// ring, and no number rings twice but in a group's overflow.
func ends(t *testing.T, seed int, v routing.Visit, e *explain.Explanation) {
	t.Helper()
	if e.End.Outcome == "" || time.Duration(e.End.At) > ring.ClockTime {
		t.Errorf("seed %d: %+v ends %+v", seed, v, e.End)
	}
	rung := map[string]int{}
	grouped := slices.ContainsFunc(e.Trace, func(x explain.Entry) bool { return x.Rule == routing.GroupMember })
	for _, s := range e.Timeline {
		if s.Do != "ring" {
			continue
		}
		for _, to := range s.To {
			if rung[to]++; rung[to] > 1 && !grouped {
				t.Errorf("seed %d: %+v rings %s twice: %+v", seed, v, to, e.Timeline)
			}
		}
	}
}

// wholeTown is a town of [drawTown] with everything else that there can be: a
// group, services, numbers that are not active or forward with a code only,
// limits, screening, schedules, and phones of other nodes.
func wholeTown(t *rapid.T) *town {
	x := drawTown(t)
	often := func(what string) bool { return rapid.IntRange(0, 2).Draw(t, what) > 0 }
	ws := []directory.Write{
		doc("domains/"+domain, `{"realm":"r","region":"DE","policies":{"services":{"voicemail":"800","conference":"801"},"limits":{"calls":4}}}`),
		doc("classes/far", `{"rules":[{"allow":"*"}]}`), doc("devices/desk-1001", `{"user":"u1001","lines":[{"number":"1001"}]}`),
		doc("sites/hq", `{"emergency_callback":"+4989700700"}`),
		doc("numbers/1900", `{"site":"hq","class_of_service":"out","forwarding_class":"out"}`), doc("numbers/1901", `{"state":"reserved"}`),
		doc("numbers/1902", `{"class_of_service":"out","authorization_code_required":true,"public":"+49891902"}`),
		doc("groups/hunt", fmt.Sprintf(`{"number":"1900","members":["1000","1001","1002","1003"],"strategy":%q,"ring_time":%q,"overflow":%q}`,
			rapid.SampledFrom([]string{"all", "in-order", "longest-idle"}).Draw(t, "strategy"), "PT10S",
			rapid.SampledFrom([]string{"1004", "voicemail"}).Draw(t, "overflow"))),
		doc("numbers/1910", `{}`), doc("numbers/1401", `{}`), doc("numbers/1402", `{}`),
		doc("groups/slow", `{"number":"1910","members":["1401","1402"],"strategy":"in-order","ring_time":"PT2M","overflow":"1212"}`),
		doc("trunks/verified", `{"proof":"address","peers":["192.0.2.8"],"caller_id_verified":true,"routes":[]}`),
	}
	// A chain of forwards that is longer than a call may follow.
	for i := range 12 {
		n := strconv.Itoa(1200 + i)
		ws = append(ws, doc("numbers/"+n, `{}`), doc("numbers/"+n+"/forwarding", `{"all":{"both":{"enabled":true,"target":"`+strconv.Itoa(1201+i)+`"}}}`))
	}
	ws = append(ws, doc("numbers/1212", `{}`), doc("numbers/1300", `{"user":"boss","voicemail":true,"forwarding_class":"out"}`), doc("users/boss", `{}`),
		doc("numbers/1300/forwarding", `{"all":{"both":{"enabled":true,"target":"1000"}}}`),
		doc("numbers/1301", `{"user":"rover","forwarding_class":"out","class_of_service":"far","ring_time":"PT6S","voicemail":true,"limits":{"calls":2,"attempts_per_minute":5,"international_minutes":30,"premium_minutes":60}}`),
		doc("numbers/1301/forwarding", `{"no_answer":{"both":{"enabled":true,"target":"1212"}}}`),
		doc("users/rover", `{"time_zone":"Europe/Berlin"}`),
		doc("users/rover/remote-destinations/mobile", fmt.Sprintf(`{"number":"+49171123456","screening":%v,"stop_after":"PT30S"}`, often("screening"))),
		doc("users/rover/remote-destinations/night", `{"number":"+49171123457","schedule":[{"days":"mon-sun","from":"22:00","to":"06:00"}]}`),
		doc("users/rover/remote-destinations/picky", `{"number":"+49171123458","block":["1000","1001","1002","1003","1004","1005","1006","1007"]}`))
	for _, n := range []string{"1401", "1402"} {
		x.bindings[n] = []ring.Target{{Device: "desk-" + n, Instance: n, Contact: "sip:" + n}}
	}
	if often("rover has a phone") {
		x.bindings["1301"] = []ring.Target{{Device: "desk-1301", Instance: "1301", Contact: "sip:1301"}}
	}
	if often("a phone elsewhere") {
		x.bindings["1212"] = []ring.Target{{Device: "desk-1212", Instance: "1212", Contact: "sip:1212", Node: 7}}
	}
	x.usage["1301"] = routing.Usage{
		External: rapid.IntRange(0, 3).Draw(t, "rover's calls") / 2, Attempts: rapid.IntRange(0, 6).Draw(t, "rover's attempts"),
		International: time.Duration(rapid.IntRange(0, 3).Draw(t, "rover's hours")) * time.Hour,
	}
	x.usage[""] = routing.Usage{External: rapid.IntRange(0, 4).Draw(t, "calls of the domain")}
	x.view = directory.Assume(x.view, ws)
	return x
}

// wholeCall is any call that can be made: from a phone, a trunk or a stranger, to
// what can be dialled.
func wholeCall(t *rapid.T) routing.Visit {
	v := anyCall(t)
	switch rapid.IntRange(0, 13).Draw(t, "what is dialled") {
	case 0:
		v.Target = rapid.SampledFrom([]string{"*721002", "*73", "*78", "*79", "*90", "*8", "**1001", "*97", "*68", "*69701"}).Draw(t, "code")
	case 1:
		v.Target = rapid.SampledFrom([]string{"800", "801", "112", "110"}).Draw(t, "service")
	case 2, 8:
		v.Target = "1900"
	case 9:
		v.Target = rapid.SampledFrom([]string{"1901", "1910", "1910", "1902", "1200", "1300", "1212"}).Draw(t, "number")
	case 3, 4:
		v.Target = "1301"
	case 5:
		v.Target = rapid.SampledFrom([]string{"u1000", "desk-1001", "desk-1001", "nobody"}).Draw(t, "name")
	case 6:
		v.Target = rapid.SampledFrom([]string{"1200", "1300"}).Draw(t, "chain")
	case 7:
		v.Instance = "urn:uuid:00000000-0000-1000-8000-000000000001"
	default:
	}
	switch rapid.IntRange(0, 9).Draw(t, "who calls") {
	case 0:
		v.Origin, v.Caller = routing.OriginStranger, routing.Caller{Number: "+4930555"}
	case 1:
		v.Origin, v.Trunk, v.Caller = routing.OriginTrunk, "verified", routing.Caller{Number: "+49171123456"}
	case 2:
		v.Origin, v.Trunk, v.Caller = routing.OriginDevice, "", routing.Caller{Domain: domain, Device: "lobby", Number: rapid.SampledFrom([]string{"1901", "1902", "1902", "1301", "1301"}).Draw(t, "lobby")}
		if rapid.Bool().Draw(t, "outside") {
			v.Target = rapid.SampledFrom([]string{"+49171123456", "+33140123456", "+33140123456", "+49171123456"}).Draw(t, "number outside")
		}
	default:
	}
	if v.Caller.Number == "1301" && rapid.Bool().Draw(t, "far away") {
		v.Target = "+33140123456"
	}
	if v.Origin == routing.OriginDevice && strings.HasPrefix(v.Target, "1") && rapid.IntRange(0, 9).Draw(t, "a 302") == 0 {
		v.Hops = []routing.Hop{{Number: "1007", To: "sip:" + v.Target + "@" + domain, Rule: routing.DeviceRedirect, Owner: "u1007"}}
	}
	return v
}
