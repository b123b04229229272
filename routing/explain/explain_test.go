package explain_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"bellhop/routing"
	"bellhop/routing/directory"
	"bellhop/routing/explain"
	"bellhop/routing/ring"
)

const domain = "bellhop.test"

func load(t *testing.T) func(routing.Need, *routing.World) error {
	t.Helper()
	return loadOf(view(t, map[string]string{
		"domains/" + domain: `{"realm":"r"}`, "users/ana": `{}`, "users/ben": `{}`,
		"numbers/1000": `{"user":"ana"}`, "numbers/1001": `{"user":"ben"}`, "numbers/1003": `{}`,
		"numbers/1000/forwarding": `{"all":{"both":{"enabled":true,"target":"1001"}}}`,
	}), true)
}

func view(t *testing.T, docs map[string]string) directory.View {
	t.Helper()
	var ws []directory.Write
	for path, body := range docs {
		ref, ok := directory.ParsePath(domain, path)
		if !ok {
			t.Fatal(path)
		}
		ws = append(ws, directory.Write{Ref: ref, Body: []byte(body)})
	}
	return directory.Assume(nil, ws)
}

// loadOf loads from a view; with phones every number has one.
func loadOf(view directory.View, phones bool) func(routing.Need, *routing.World) error {
	return func(n routing.Need, w *routing.World) error {
		if a, ok, err := routing.Compile(view, n); err != nil {
			return err
		} else if ok {
			w.Put(n, a)
			return nil
		}
		switch n.Kind {
		case routing.NeedBindings:
			var targets []ring.Target
			if phones {
				targets = []ring.Target{{Device: "desk-" + n.Key, Instance: n.Key, Contact: "sip:" + n.Key}}
			}
			w.PutBindings(n.Domain, n.Key, targets, false)
		case routing.NeedUsage:
			w.PutUsage(n.Domain, n.Key, routing.Usage{})
		case routing.NeedCalls:
			w.PutCalls(n.Domain, n.Key, 0)
		default:
			return fmt.Errorf("asked for %s", n)
		}
		return nil
	}
}

// TestViewer: a caller does not learn that, and where to, somebody forwards.
func TestViewer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		viewer explain.Viewer
		target string
		rules  string
	}{
		{"admin", explain.Viewer{Admin: true}, "1001", "dial.number forward.all ring.devices"},
		{"owner", explain.Viewer{User: "ana"}, "1001", "dial.number forward.all ring.devices"},
		{"somebody else", explain.Viewer{User: "ben"}, "1000", "dial.number ring.devices"},
		{"caller", explain.Viewer{}, "1000", "dial.number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := routing.Visit{Origin: routing.OriginDevice, Domain: domain, Target: "1000", Caller: routing.Caller{Domain: domain, Number: "1003"}}
			e, err := explain.Explain(explain.Question{Visit: v, At: time.Unix(0, 0), Viewer: tt.viewer}, load(t))
			if err != nil {
				t.Fatal(err)
			}
			if s := e.Timeline[0]; s.Target != tt.target || e.Identity.ToCaller != tt.target {
				t.Errorf("timeline %+v, identity %+v, want target %s", e.Timeline, e.Identity, tt.target)
			}
			var rules []string
			for _, x := range e.Trace {
				rules = append(rules, string(x.Rule))
			}
			if got := strings.Join(rules, " "); got != tt.rules {
				t.Errorf("trace %s, want %s", got, tt.rules)
			}
			if b := fmt.Sprint(e); tt.viewer.User == "" && !tt.viewer.Admin && strings.Contains(b, "1001") {
				t.Errorf("a stranger reads %s", b)
			}
		})
	}
}

// TestRemoteIsPrivate: nobody but the user learns what rings beside the desk, or
// alone.
func TestRemoteIsPrivate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		viewer explain.Viewer
		phone  bool
		steps  int
		knows  bool
	}{
		"admin":                {explain.Viewer{Admin: true}, true, 2, true},
		"owner":                {explain.Viewer{User: "ana"}, true, 2, true},
		"somebody else":        {explain.Viewer{User: "ben"}, true, 1, false},
		"owner, no desk":       {explain.Viewer{User: "ana"}, false, 1, true},
		"somebody, no desk":    {explain.Viewer{User: "ben"}, false, 1, false},
		"nobody, no desk":      {explain.Viewer{}, false, 1, false},
		"admin, again no desk": {explain.Viewer{Admin: true}, false, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view := view(t, map[string]string{
				"domains/" + domain: `{"realm":"r","region":"DE"}`, "users/ana": `{}`, "numbers/1000": `{"user":"ana","forwarding_class":"all","ring_time":"PT10S"}`,
				"numbers/1003": `{}`, "classes/all": `{"rules":[{"allow":"*"}]}`, "users/ana/remote-destinations/mobile": `{"number":"+49171123456"}`,
				"trunks/carrier": `{"proof":"address","peers":["192.0.2.1"],"routes":[{"prefix":"+"}]}`,
			})
			v := routing.Visit{Origin: routing.OriginDevice, Domain: domain, Target: "1000", Caller: routing.Caller{Domain: domain, Number: "1003"}}
			e, err := explain.Explain(explain.Question{Visit: v, At: time.Unix(0, 0), Viewer: tt.viewer}, loadOf(view, tt.phone))
			if err != nil {
				t.Fatal(err)
			}
			told := fmt.Sprint(e)
			if len(e.Timeline) != tt.steps || strings.Contains(told, "171123456") != tt.knows || strings.Contains(told, "carrier") != tt.viewer.Admin {
				t.Errorf("told %s", told)
			}
		})
	}
}

// TestGroupIsPrivate: who calls a group learns who rings, not why others do not,
// and nothing of mobiles.
func TestGroupIsPrivate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		viewer       explain.Viewer
		away, mobile bool
	}{
		"admin":  {explain.Viewer{Admin: true}, true, true},
		"caller": {explain.Viewer{User: "cleo"}, false, false},
		"away":   {explain.Viewer{User: "ben"}, true, false},
		"rung":   {explain.Viewer{User: "ana"}, false, true},
		"nobody": {explain.Viewer{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view := view(t, map[string]string{
				"domains/" + domain: `{"realm":"r","region":"DE"}`, "users/ana": `{}`, "users/ben": `{}`, "classes/all": `{"rules":[{"allow":"*"}]}`,
				"numbers/1000": `{"user":"ana","forwarding_class":"all"}`, "numbers/1001": `{"user":"ben"}`, "numbers/1003": `{}`, "numbers/1100": `{}`,
				"users/ben/presence": `{"status":"vacation"}`, "users/ana/remote-destinations/mobile": `{"number":"+49171123456"}`,
				"trunks/carrier": `{"proof":"address","peers":["192.0.2.1"],"routes":[{"prefix":"+"}]}`,
				"groups/sales":   `{"number":"1100","members":["1000","1001"],"remote_destinations":true}`,
			})
			v := routing.Visit{Origin: routing.OriginDevice, Domain: domain, Target: "1100", Caller: routing.Caller{Domain: domain, Number: "1003"}}
			e, err := explain.Explain(explain.Question{Visit: v, At: time.Unix(0, 0), Viewer: tt.viewer}, loadOf(view, true))
			if err != nil {
				t.Fatal(err)
			}
			told := fmt.Sprint(e)
			if e.Timeline[0].Target != "1000" || strings.Contains(told, "vacation") != tt.away || strings.Contains(told, "171123456") != tt.mobile {
				t.Errorf("told %s", told)
			}
		})
	}
}

// TestWordsForEveryRule: each catalogue has a sentence for each rule.
func TestWordsForEveryRule(t *testing.T) {
	t.Parallel()
	for _, lang := range []string{"", "en-GB", "de-AT", "xx"} {
		for _, r := range routing.Rules() {
			s := explain.Words(routing.Entry{Rule: r, Number: "1000", To: "1001", Value: "v"}, lang)
			if strings.HasPrefix(s, string(r)) || strings.ContainsAny(s, "{}") {
				t.Errorf("Words(%s, %q) = %q", r, lang, s)
			}
		}
	}
}

// TestCataloguesAgree: every catalogue has a sentence for the same keys, and it
// names the same things.
func TestCataloguesAgree(t *testing.T) {
	t.Parallel()
	catalogue := func(file, name string) map[string]string {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		said := map[string]string{}
		ast.Inspect(f, func(n ast.Node) bool {
			if fn, ok := n.(*ast.FuncDecl); ok {
				return fn.Name.Name == name
			}
			c, ok := n.(*ast.CaseClause)
			if !ok || len(c.List) == 0 {
				return true
			}
			ret, _ := c.Body[0].(*ast.ReturnStmt)
			for _, key := range c.List {
				said[types.ExprString(key)] = types.ExprString(ret.Results[0])
			}
			return false
		})
		return said
	}
	places := regexp.MustCompile(`\{\w+\}`)
	english, german := catalogue("words.go", "english"), catalogue("words_de.go", "german")
	if len(english) < 80 || len(english) != len(german) {
		t.Errorf("%d sentences in English, %d in German", len(english), len(german))
	}
	for key, words := range english {
		de, ok := german[key]
		if !ok {
			t.Errorf("no German sentence for %s: %s", key, words)
			continue
		}
		want, got := places.FindAllString(words, -1), places.FindAllString(de, -1)
		slices.Sort(want)
		slices.Sort(got)
		if want, got = slices.Compact(want), slices.Compact(got); !slices.Equal(want, got) {
			t.Errorf("%s: %v in English, %v in German", key, want, got)
		}
	}
}
