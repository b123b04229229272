package routing_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
	"bellhop/routing/location"
	"bellhop/routing/ring"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const domain = "bellhop.test"

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// TestScenarios runs every testdata/routing/*.txtar: the sections documents
// (path and body a line), bindings (number, device and marks), calls (number and
// count), idle (number, and for how long), usage (number, "domain" or trunk:name, and what is used), call (origin,
// caller, dialled string and marks) and redirect (Contact of a 302) are the
// input; explained is the golden output for an admin.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../testdata/routing/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	seen := map[string]bool{}
	for _, name := range files {
		ar, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		got := play(t, ar)
		want := section(ar, "explained")
		if *update {
			want.Data = []byte(got)
			if err := os.WriteFile(name, txtar.Format(ar), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got != string(want.Data) {
			t.Errorf("%s:\n%s\nwant:\n%s", filepath.Base(name), got, want.Data)
		}
		for word := range strings.FieldsSeq(got) {
			seen[word] = true
		}
	}
	for _, r := range routing.Rules() {
		if !seen[string(r)] {
			t.Errorf("no scenario shows rule %s", r)
		}
	}
}

// A town is a whole world that is asked for bit by bit.
type town struct {
	view     directory.View
	bindings map[string][]ring.Target
	nat      map[string]bool
	calls    map[string]int
	usage    map[string]routing.Usage
	idle     map[string]time.Time
	loads    int
}

func (x *town) load(n routing.Need, w *routing.World) error {
	x.loads++
	if a, ok, err := routing.Compile(x.view, n); err != nil {
		return err
	} else if ok {
		w.Put(n, a)
		return nil
	}
	switch n.Kind {
	case routing.NeedBindings:
		w.PutBindings(n.Domain, n.Key, x.bindings[n.Key], x.nat[n.Key])
	case routing.NeedCalls:
		w.PutCalls(n.Domain, n.Key, x.calls[n.Key])
	case routing.NeedUsage:
		w.PutUsage(n.Domain, n.Key, x.usage[n.Key])
	case routing.NeedIdle:
		w.PutIdle(n.Domain, n.Key, x.idle[n.Key])
	default:
		return fmt.Errorf("asked for %s", n)
	}
	return nil
}

func emptyTown() *town {
	return &town{
		bindings: map[string][]ring.Target{}, nat: map[string]bool{}, calls: map[string]int{},
		usage: map[string]routing.Usage{}, idle: map[string]time.Time{},
	}
}

// usage reads "external=2 attempts=3 international=PT2H premium=PT1H forwarded=4
// ringing=+49...".
func usage(t *testing.T, fields []string) (u routing.Usage) {
	t.Helper()
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		n, _ := strconv.Atoi(value)
		var d directory.Duration
		if strings.HasPrefix(value, "PT") {
			if err := d.UnmarshalJSON([]byte(strconv.Quote(value))); err != nil {
				t.Fatalf("usage %q: %v", field, err)
			}
		}
		switch name {
		case "external":
			u.External = n
		case "attempts":
			u.Attempts = n
		case "international":
			u.International = time.Duration(d)
		case "premium":
			u.Premium = time.Duration(d)
		case "forwarded":
			u.Forwarded = n
		case "callback":
			u.CallBack = noon.Add(time.Duration(d))
		case "ringing":
			u.Ringing = append(u.Ringing, value)
		default:
			t.Fatalf("usage %q", field)
		}
	}
	return u
}

func newTown(t *testing.T, ar *txtar.Archive) *town {
	t.Helper()
	x := emptyTown()
	var ws []directory.Write
	for line := range strings.Lines(string(section(ar, "documents").Data)) {
		path, body, _ := strings.Cut(strings.TrimSpace(line), " ")
		ref, ok := directory.ParsePath(domain, path)
		if other, name, cut := strings.Cut(path, "/domains/"); cut { // another tenant
			ref, ok = directory.Ref{Kind: directory.KindDomain, Name: name}, other == ""
		}
		if !ok {
			t.Fatalf("no path: %q", path)
		}
		if _, faults := directory.Decode(ref.Kind, []byte(body)); len(faults) > 0 {
			t.Fatalf("%s: %v", path, faults)
		}
		ws = append(ws, directory.Write{Ref: ref, Body: []byte(body)})
	}
	x.view = directory.Assume(nil, ws)
	for line := range strings.Lines(string(section(ar, "bindings").Data)) {
		f := strings.Fields(line)
		b := ring.Target{
			Device: f[1], Instance: f[1], Contact: "sip:" + f[1] + "@192.0.2.1", Q: 1000,
			Flow: location.Flow{Transport: location.UDP},
		}
		for _, mark := range f[2:] {
			switch mark {
			case "nat":
				x.nat[f[0]] = true
			case "doubtful":
				b.Doubtful = true
			case "elsewhere": // at node 2, over TCP
				b.Node, b.Flow.Transport = 2, location.TCP
			default:
				q, err := strconv.ParseUint(mark, 10, 16)
				if err != nil {
					t.Fatalf("mark %q", mark)
				}
				b.Q = uint16(q)
			}
		}
		x.bindings[f[0]] = append(x.bindings[f[0]], b)
	}
	for line := range strings.Lines(string(section(ar, "calls").Data)) {
		f := strings.Fields(line)
		x.calls[f[0]], _ = strconv.Atoi(f[1])
	}
	for line := range strings.Lines(string(section(ar, "idle").Data)) {
		f := strings.Fields(line)
		d, ok := directory.ParseDuration(f[1])
		if !ok {
			t.Fatalf("idle %q", line)
		}
		x.idle[f[0]] = noon.Add(-time.Duration(d))
	}
	for line := range strings.Lines(string(section(ar, "usage").Data)) {
		f := strings.Fields(line)
		x.usage[strings.TrimPrefix(f[0], "domain")] = usage(t, f[1:])
	}
	return x
}

// visit reads "device 1003 1000 [method] [behind] [foreign] [via=trunk]
// [diverted=number] [instance=device]".
func visit(t *testing.T, line string) routing.Visit {
	t.Helper()
	f := strings.Fields(line)
	if len(f) < 3 {
		t.Fatalf("call %q", line)
	}
	v := routing.Visit{Method: "INVITE", Domain: domain, Target: f[2], TargetHost: domain}
	v.Caller = routing.Caller{Domain: domain, Device: "desk-" + f[1], Number: f[1]}
	switch f[0] {
	case "device":
		v.Origin = routing.OriginDevice
	case "stranger":
		v.Caller.Domain = ""
	case "trunk":
		v.Origin, v.Caller.Domain = routing.OriginTrunk, ""
	default:
		t.Fatalf("origin %q", f[0])
	}
	for _, mark := range f[3:] {
		switch mark {
		case "behind":
			v.Caller.Behind = true
		case "foreign":
			v.Caller.Domain = "other.test"
		default:
			name, value, _ := strings.Cut(mark, "=")
			switch name {
			case "via":
				v.Trunk = value
			case "instance":
				v.Instance = value
			case "diverted":
				v.Diverted = append(v.Diverted, value)
			default:
				v.Method = mark
			}
		}
	}
	return v
}

func play(t *testing.T, ar *txtar.Archive) string {
	t.Helper()
	x := newTown(t, ar)
	q := explain.Question{Visit: visit(t, string(section(ar, "call").Data)), At: noon, Viewer: explain.Viewer{Admin: true}}
	if contact := strings.TrimSpace(string(section(ar, "redirect").Data)); contact != "" {
		q.Visit = *redirected(t, x, q.Visit, contact)
	}
	e, err := explain.Explain(q, x.load)
	if err != nil {
		t.Fatal(err)
	}
	return render(e)
}

// redirected is the visit that follows when the phone of a call answers 302.
func redirected(t *testing.T, x *town, v routing.Visit, contact string) *routing.Visit {
	t.Helper()
	plan, _, err := routing.Resolve(routing.NewWorld(noon), v, x.load)
	if err != nil {
		t.Fatal(err)
	}
	r, ok := plan.Decision.(routing.Ring)
	if !ok || r.Redirect == nil {
		t.Fatalf("a redirect does not follow %+v", plan.Decision)
	}
	return r.Redirected(contact)
}

func render(e explain.Explanation) string {
	var out strings.Builder
	for _, s := range e.Timeline {
		fmt.Fprintf(&out, "%s %s %s %v by %s", s.At, s.Do, s.Target, s.To, s.Rule)
		if s.Status != 0 {
			fmt.Fprintf(&out, " with %d", s.Status)
		}
		if s.Trunk != "" {
			fmt.Fprintf(&out, " over %s then %v", s.Trunk, s.Others)
		}
		if s.Shown != "" {
			fmt.Fprintf(&out, " shown %s", s.Shown)
		}
		if s.Stop != 0 {
			fmt.Fprintf(&out, " until %s", s.Stop)
		}
		for _, b := range s.Because {
			fmt.Fprintf(&out, " because %s = %s", b.Setting, b.Value)
		}
		out.WriteByte('\n')
	}
	fmt.Fprintf(&out, "%s end %d %s\n", e.End.At, e.End.Status, e.End.Outcome)
	fmt.Fprintf(&out, "callee sees %s, caller sees %s\n", e.Identity.ToCallee, e.Identity.ToCaller)
	if e.Anchored != "" {
		fmt.Fprintf(&out, "anchored %s\n", e.Anchored)
	}
	for _, s := range e.Trace {
		fmt.Fprintf(&out, "%s %s | %s\n", s.At, s.Rule, s.Text)
	}
	for _, w := range e.Warnings {
		fmt.Fprintf(&out, "warning: %s\n", w)
	}
	return out.String()
}

func section(ar *txtar.Archive, name string) *txtar.File {
	i := slices.IndexFunc(ar.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		return &txtar.File{Name: name}
	}
	return &ar.Files[i]
}

// TestRulesDocument: the scenarios that docs/rules.md names are there.
func TestRulesDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for i, name := range strings.Split(string(text), "`") {
		if i%2 == 0 || !strings.HasSuffix(name, ".txtar") {
			continue
		}
		n++
		if _, err := os.Stat("../testdata/routing/" + name); err != nil {
			t.Errorf("docs/rules.md names %s: %v", name, err)
		}
	}
	if n == 0 {
		t.Error("docs/rules.md names no scenario")
	}
}
