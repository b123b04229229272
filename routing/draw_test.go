package routing_test

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/routing/ring"
)

// Every town has the numbers 1000 to 1007 of the users u1000 to u1007, and may
// have the hunt groups g1008 and g1009 at 1008 and 1009. 1999 is nobody's, 1950 a
// caller whom no setting names.
const townsize = 8

func ext(i int) string { return fmt.Sprint(1000 + i) }

// public is the public number that a number of a town may have.
func public(ext string) string { return "+49897007" + ext }

// A builder draws a town.
type builder struct {
	*rapid.T
	town *town
	ws   []directory.Write
}

// drawTown draws numbers whose settings lead anywhere, loops and other networks
// included, with users who are away, take calls elsewhere or do not want to be
// disturbed, groups of them, classes that allow this and that, and phones here and
// there.
func drawTown(t *rapid.T) *town {
	b := &builder{T: t, town: emptyTown()}
	b.put("domains/"+domain, `{"realm":"r","region":"DE","aliases":["alias.test"],"policies":{"mailbox":%q,"busy_exclusive":%v}}`,
		b.one("mailbox", "first", "last"), b.flip("busy exclusive"))
	b.put("classes/out", `{"rules":[{"allow":"internal"},{"deny":"+49171999"},{"allow":"mobile"}]}`)
	b.put("classes/in", `{"rules":[{"allow":"internal"}]}`)
	b.put("trunks/carrier", `{"proof":"address","peers":["192.0.2.9"],"routes":[{"prefix":"+"}],"max_calls":3,"caller_id":%q}`,
		b.one("caller id policy", "original", "forwarding", "verified"))
	b.put("numbers/1950", `{"class_of_service":"out"}`)
	for i := range townsize {
		b.number(ext(i))
		b.forwarding(ext(i))
		b.user(ext(i))
		b.phones(ext(i))
	}
	b.group("1008")
	b.group("1009")
	b.town.usage["trunk:carrier"] = routing.Usage{External: b.below(4, "on the trunk")}
	b.town.view = directory.Assume(nil, b.ws)
	return b.town
}

func (b *builder) put(path, format string, args ...any) {
	body := format
	if len(args) > 0 {
		body = fmt.Sprintf(format, args...)
	}
	b.ws = append(b.ws, doc(path, body))
}

func (b *builder) flip(what string) bool        { return rapid.Bool().Draw(b.T, what) }
func (b *builder) sometimes(what string) bool   { return b.below(5, what) == 0 }
func (b *builder) below(n int, what string) int { return rapid.IntRange(0, n-1).Draw(b.T, what) }

func (b *builder) one(what string, of ...string) string { return rapid.SampledFrom(of).Draw(b.T, what) }

// target draws where a setting leads: anywhere, or nowhere.
func (b *builder) target(what string) string {
	return b.one(what, "1000", "1000", "1001", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "1999", "voicemail",
		"+49171123456", "+49171999", public("1003"), "sip:u1002@"+domain, "sip:g1008@"+domain, "sip:desk-1004@"+domain, "sip:1000@other.test")
}

// phone is a target that is no mailbox.
func (b *builder) phone(what string) string {
	if to := b.target(what); to != "voicemail" {
		return to
	}
	return "1000"
}

func (b *builder) number(n string) {
	more := ""
	if b.sometimes(n + "own ring time") {
		more += `,"ring_time":"PT10S"`
	}
	if b.sometimes(n + "call waiting") {
		more += `,"call_waiting":false`
	}
	if b.sometimes(n + "hidden") {
		more += `,"caller_id":"hidden"`
	}
	if b.below(20, n+"reserved") == 0 {
		more += `,"state":"reserved"`
	}
	b.put("numbers/"+n, `{"user":"u%s","public":%q,"forwarding_class":%q,"class_of_service":%q,"voicemail":%v,"missed_calls":%v%s}`, n, public(n),
		b.one(n+"forwarding class", "out", "in"), b.one(n+"class", "out", "in"), b.flip(n+"voicemail"), b.flip(n+"missed calls"), more)
	b.town.calls[n] = b.below(3, n+"calls")
	b.town.usage[n] = routing.Usage{Forwarded: b.below(5, n+"forwarded")}
	b.town.idle[n] = noon.Add(-time.Duration(b.below(3, n+"idle")) * time.Minute)
}

func (b *builder) forwarding(n string) {
	var kinds []string
	for _, kind := range []string{"all", "busy", "no_answer", "unreachable"} {
		if b.flip(n + kind) {
			kinds = append(kinds, fmt.Sprintf(`%q:{%q:{"enabled":%v,"target":%q}}`, kind, b.one(n+kind+"side", "both", "both", "both", "internal", "external"),
				b.below(8, n+kind+"off") > 0, b.target(n+kind+"to")))
		}
	}
	b.put("numbers/"+n+"/forwarding", "{%s}", strings.Join(kinds, ","))
}

func (b *builder) user(n string) {
	user := "u" + n
	b.put("users/"+user, `{}`)
	if b.sometimes(n + "away") {
		b.put("users/"+user+"/presence", `{"status":"lunch","until":%q,"end_by_itself":%v}`,
			b.one(n+"until", "2026-01-02T11:00:00Z", "2026-01-02T13:00:00Z"), b.flip(n+"ends by itself"))
	}
	if b.below(4, n+"nowhere when away") > 0 {
		b.put("users/"+user+"/presence/forwarding", `{"lunch":{"target":%q}}`, b.target(n+"lunch"))
	}
	if b.sometimes(n + "dnd") {
		b.put("users/"+user+"/dnd", `{"enabled":true,"mode":%q,"remote_destinations":%v,"allow":[%q]}`,
			b.one(n+"mode", directory.DNDReject, directory.DNDVoicemail, directory.DNDRingerOff), b.sometimes(n+"remotes though dnd"),
			b.one(n+"allowed", "1000", "1003", "+4930555"))
	}
	if b.sometimes(n + "callme") {
		b.put("users/"+user+"/callme", `{"target":%q}`, b.phone(n+"phone to call"))
	}
	for id := range b.below(3, n+"remotes") {
		b.put(fmt.Sprintf("users/%s/remote-destinations/r%d", user, id), `{"number":%q,"no_forward":%v,"delay":%d%s}`,
			b.phone(n+"remote"), b.flip(n+"alone"), 2000*b.below(4, n+"delay"),
			b.one(n+"when", "", "", `,"block":["+4930555"]`, `,"allow":["1000"]`, `,"schedule":[{"from":"09:00","to":"11:00"}]`))
	}
}

func (b *builder) phones(n string) {
	for i := range b.below(3, n+"phones") {
		device := []string{"desk-", "soft-"}[i] + n
		b.put("devices/"+device, `{"lines":[{"number":%q}],"dnd_alert":%q}`, n, b.one(device+"alert", "", "beep"))
		b.town.bindings[n] = append(b.town.bindings[n], ring.Target{
			Device: device, Instance: device, Contact: "sip:" + device, Q: uint16(1000 - 500*b.below(2, device+"q")), Flow: location.Flow{Transport: location.UDP},
		})
	}
}

// group draws a hunt group at a number, or none.
func (b *builder) group(n string) {
	if b.flip(n + "no group") {
		return
	}
	var members []string
	for i := range townsize {
		if b.below(3, n+"member") == 0 {
			members = append(members, fmt.Sprintf("%q", ext(i)))
		}
	}
	b.put("numbers/"+n, `{"forwarding_class":%q,"public":%q}`, b.one(n+"forwarding class", "out", "in"), public(n))
	if b.sometimes(n + "all") {
		b.forwarding(n)
	}
	overflow := ""
	if b.flip(n + "overflow") {
		overflow = b.target(n + "overflow to")
	}
	b.put("groups/g"+n, `{"number":%q,"members":[%s],"strategy":%q,"ring_time":"PT%dS","overflow":%q,"remote_destinations":%v}`, n, strings.Join(members, ","),
		b.one(n+"strategy", directory.StrategyAll, directory.StrategyInOrder, directory.StrategyLongestIdle), 10+10*b.below(3, n+"ring time"),
		overflow, b.flip(n+"remotes"))
}

// anyCall draws a call from one of the town's phones or from a trunk.
func anyCall(t *rapid.T) routing.Visit {
	called := rapid.SampledFrom([]string{
		"1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "u1002", "g1009", "desk-1004", "+49171123456", "+49171123456", "+49171999",
	}).Draw(t, "called")
	return to(t, called)
}

// to draws who calls: a phone of the town, or somebody by a trunk.
func to(t *rapid.T, called string) routing.Visit {
	caller := rapid.SampledFrom([]int{0, 0, 1, 1, 2, 3, 4, 5, 6, 7}).Draw(t, "caller") // those that settings name most
	v := from(ext(caller), called)
	if rapid.Bool().Draw(t, "from a trunk") {
		v.Origin, v.Trunk, v.Caller = routing.OriginTrunk, "carrier", routing.Caller{Number: "+4930555"}
		if rapid.Bool().Draw(t, "diverted") {
			v.Diverted = []string{"1000"}
		}
	}
	return v
}

func doc(path, body string) directory.Write {
	ref, ok := directory.ParsePath(domain, path)
	if !ok {
		panic(path)
	}
	if body == "{" {
		body = "{}"
	}
	return directory.Write{Ref: ref, Body: []byte(body)}
}

func from(caller, target string) routing.Visit {
	return routing.Visit{
		Origin: routing.OriginDevice, Method: "INVITE", Domain: domain, Target: target,
		Caller: routing.Caller{Domain: domain, Device: "desk-" + caller, Number: caller},
	}
}
