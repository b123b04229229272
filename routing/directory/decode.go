package directory

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Decode reads the body of a document of a kind: strict, with defaults filled
// in and numbers in their kept form, and with all faults at once. The value is
// a [Domain], [Site], [User], [Number], [Device], [Group], [Trunk], [Class],
// [Forwarding], [DND], [Presence], [PresenceForwarding], [CallMe],
// [RemoteDestination], [Secret], [TrunkKey], [SignIn], [PIN], [SpeedDial],
// [Activation] or [Change].
// Faults that need other documents are found by [Check].
func Decode(kind Kind, body []byte) (any, []Fault) {
	d := &decoder{}
	var v any
	switch kind {
	case KindDomain:
		v = read(d, body, (*decoder).domain)
	case KindSite:
		v = read(d, body, (*decoder).site)
	case KindUser:
		v = read(d, body, (*decoder).user)
	case KindNumber:
		v = read(d, body, (*decoder).number)
	case KindDevice:
		v = read(d, body, (*decoder).device)
	case KindGroup:
		v = read(d, body, (*decoder).group)
	case KindTrunk:
		v = read(d, body, (*decoder).trunk)
	case KindClass:
		v = read(d, body, (*decoder).class)
	case KindForwarding:
		v = read(d, body, (*decoder).forwarding)
	case KindDND:
		v = read(d, body, (*decoder).dnd)
	case KindPresence:
		v = read(d, body, (*decoder).presence)
	case KindPresenceTo:
		v = read(d, body, (*decoder).presenceForwarding)
	case KindCallMe:
		v = read(d, body, (*decoder).callMe)
	case KindRemote:
		v = read(d, body, (*decoder).remote)
	case KindTrunkKey:
		v = read(d, body, (*decoder).trunkKey)
	case KindCredential:
		v = read(d, body, (*decoder).secret)
	case KindSignIn:
		v = read(d, body, (*decoder).signIn)
	case KindPIN:
		v = read(d, body, (*decoder).pin)
	case KindSpeedDial:
		v = read(d, body, (*decoder).speedDial)
	case KindActivation:
		v = read(d, body, (*decoder).activation)
	case KindChange:
		v = read(d, body, (*decoder).change)
	default:
		return nil, []Fault{{Location: "", Message: "there is no kind " + string(kind), Rule: RuleSyntax}}
	}
	return v, d.faults
}

// Parse reads a body as [Decode] does, into the type of its kind; the error is
// an *[Invalid].
func Parse[T any](kind Kind, body []byte) (T, error) {
	v, faults := Decode(kind, body)
	t, _ := v.(T)
	if len(faults) > 0 {
		return t, &Invalid{Rule: faults[0].Rule, Faults: faults}
	}
	return t, nil
}

// Encode returns the canonical JSON of a value that [Decode] can return.
func Encode(v any) ([]byte, error) { return json.Marshal(v) }

// A decoder collects faults.
type decoder struct{ faults []Fault }

func (d *decoder) fault(path, rule, message string) {
	d.faults = append(d.faults, Fault{Location: path, Message: message, Rule: rule})
}

// read decodes a whole body with one function.
func read[T any](d *decoder, body []byte, f func(*decoder, *object) T) T {
	return f(d, d.object("", body))
}

// An object is a JSON object being read. Fields that nobody read are unknown.
type object struct {
	d      *decoder
	path   string
	fields map[string]json.RawMessage
	read   map[string]bool
}

func (d *decoder) object(path string, body []byte) *object {
	o := &object{d: d, path: path, read: map[string]bool{}}
	if err := json.Unmarshal(body, &o.fields); err != nil || o.fields == nil {
		d.fault(path, RuleSyntax, "must be a JSON object")
	}
	return o
}

func (o *object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// raw returns a field; null counts as absent.
func (o *object) raw(name string) (json.RawMessage, bool) {
	o.read[name] = true
	raw, ok := o.fields[name]
	return raw, ok && string(raw) != "null"
}

// done reports what was not read.
func (o *object) done() {
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.read[name] {
			o.d.fault(o.at(name), RuleUnknown, "there is no such field")
		}
	}
}

func (o *object) has(name string) bool { _, ok := o.raw(name); return ok }

// scalar reads a field into a T.
func scalar[T any](o *object, name, want string) (v T) {
	raw, ok := o.raw(name)
	if !ok {
		return v
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		o.d.fault(o.at(name), RuleSyntax, "must be "+want)
		var zero T
		return zero
	}
	return v
}

const maxText = 1000

func (o *object) text(name string) string {
	s := strings.TrimSpace(scalar[string](o, name, "a string"))
	if len(s) > maxText {
		o.d.fault(o.at(name), RuleValue, "is longer than "+strconv.Itoa(maxText)+" bytes")
		return ""
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		o.d.fault(o.at(name), RuleValue, "has a control character")
		return ""
	}
	return s
}

func (o *object) flag(name string) bool { return scalar[bool](o, name, "true or false") }

func (o *object) maybe(name string) *bool {
	return scalar[*bool](o, name, "true or false")
}

func (o *object) moment(name string) time.Time {
	return scalar[time.Time](o, name, "a time (RFC 3339)")
}

func (o *object) count(name string, lo, hi int) int {
	n := scalar[int](o, name, "a whole number")
	if o.has(name) && n != 0 && (n < lo || n > hi) {
		o.d.fault(o.at(name), RuleValue, "must be "+strconv.Itoa(lo)+" to "+strconv.Itoa(hi))
		return 0
	}
	return n
}

// choice reads one word of a list; absent is def.
func (o *object) choice(name, def string, of ...string) string {
	s := o.text(name)
	switch {
	case s == "":
		return def
	case slices.Contains(of, s):
		return s
	default:
		o.d.fault(o.at(name), RuleValue, "must be one of "+strings.Join(of, ", "))
		return def
	}
}

// Ring times (behaviour.md §3).
const (
	minRingTime = 5 * time.Second
	maxRingTime = 120 * time.Second
)

func (o *object) ringTime(name string) Duration {
	v := scalar[Duration](o, name, "a duration: ISO 8601 like PT18S, or milliseconds")
	if t := time.Duration(v); v != 0 && (t < minRingTime || t > maxRingTime) {
		o.d.fault(o.at(name), RuleRingTime, "must be 5 s to 120 s")
		return 0
	}
	return v
}

func (o *object) texts(name string) []string {
	list := scalar[[]string](o, name, "a list of strings")
	for i, s := range list {
		list[i] = strings.TrimSpace(s)
		if list[i] == "" {
			o.d.fault(o.at(name)+"["+strconv.Itoa(i)+"]", RuleValue, "is empty")
		}
	}
	return list
}

// sub reads a field that is an object; absent gives an empty one.
func (o *object) sub(name string) *object {
	raw, ok := o.raw(name)
	if !ok {
		return &object{d: o.d, path: o.at(name), read: map[string]bool{}}
	}
	return o.d.object(o.at(name), raw)
}

// each reads a list of objects.
func each[T any](o *object, name string, f func(*object) T) []T {
	raws := scalar[[]json.RawMessage](o, name, "a list")
	out := make([]T, 0, len(raws))
	for i, raw := range raws {
		e := o.d.object(o.at(name)+"["+strconv.Itoa(i)+"]", raw)
		out = append(out, f(e))
		e.done()
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
