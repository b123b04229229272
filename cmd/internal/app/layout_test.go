package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "bellhop"

// The architecture as this test holds it. What is not listed is forbidden; a
// folder that is not listed fails, so that a new room is drawn here (and in
// docs/architecture.md) before it is built.

// rooms has every folder that may hold Go files, by top-level folder; "." is
// the top-level folder itself.
func rooms() map[string][]string {
	return map[string][]string{
		"routing": {".", "directory", "dial", "location", "ring", "call", "explain"},
		"sdp":     {"."},
		"feed":    {"."},
		"config":  {"."},
		"sip":     {".", "wire", "lane", "transport", "transaction", "auth", "registrar", "proxy", "b2bua", "trunk", "event", "siptest"},
		"media":   {"."},
		"store":   {".", "binding", "document", "record", "sqlstore", "redisstore", "memstore", "storetest", "keyring", "journal", "cache", "health"},
		"control": {"."},
		"portal":  {"."},
		"bench":   {"."},
		"cmd":     {"bellhop", "internal/app"},
	}
}

// mayImport says which of our other top-level folders a folder may import.
func mayImport() map[string][]string {
	return map[string][]string{
		"routing": {"sdp"},
		"sdp":     {},
		"feed":    {},
		"config":  {"routing"},
		"sip":     {"routing", "sdp", "feed"},
		"media":   {"sdp", "feed"},
		"store":   {"routing", "feed"},
		"control": {"routing", "config", "feed"},
		"portal":  {},
		"bench":   {},
		"cmd":     {"routing", "sdp", "feed", "config", "sip", "media", "store", "control", "portal"},
	}
}

// testsMayImport is what the tests of a folder may import of ours besides.
func testsMayImport() map[string][]string {
	return map[string][]string{
		"sip":     {"store/memstore", "sip/siptest"},
		"control": {"store/memstore", "sip/siptest"},
	}
}

// sipFloor orders the rooms of sip: each may import those on lower floors.
// Rooms on one floor are siblings and never import each other. siptest is a
// user agent for tests: it stands beside the applications, on what they stand.
func sipFloor() map[string]int {
	return map[string]int{
		"wire": 0, "lane": 1, "transport": 2, "transaction": 3, "auth": 4,
		"registrar": 5, "proxy": 5, "b2bua": 5, "trunk": 5, "event": 5, "siptest": 5,
		".": 6,
	}
}

// pureStd is the standard library that the functional core may use.
func pureStd() []string {
	return []string{
		"cmp", "errors", "fmt", "iter", "maps", "math", "net/netip", "slices", "strconv", "strings", "time", "unicode/utf8",
	}
}

// alsoPure is what one folder of the core may use besides, of the standard
// library and of other modules.
func alsoPure() map[string][]string {
	return map[string][]string{
		"routing/directory": {"encoding/json"}, // the JSON forms of documents
		"routing/dial":      {"github.com/nyaruka/phonenumbers"},
	}
}

// outside says which folders may import a module of others, their tests
// included. A module that is not listed may be imported by every shell.
func outside() map[string][]string {
	return map[string][]string{
		"github.com/emiago/sipgo":         {"sip/wire", "sip/b2bua", "sip/trunk", "sip/event", "sip/siptest"},
		"github.com/icholy/digest":        {"sip", "cmd"},
		"github.com/coder/websocket":      {"sip", "cmd"},
		"github.com/miekg/dns":            {"sip/trunk"},
		"github.com/goccy/go-yaml":        {"config"},
		"github.com/alecthomas/kong":      {"cmd"},
		"github.com/danielgtaylor/huma":   {"control"},
		"github.com/pressly/goose":        {"store"},
		"github.com/redis/go-redis":       {"store"},
		"modernc.org/sqlite":              {"store"},
		"github.com/jackc/pgx":            {"store"},
		"github.com/nyaruka/phonenumbers": {"routing/dial"},
	}
}

// A pkg is what go list says of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestImports(t *testing.T) {
	t.Parallel()
	seeTree(t)
	for _, fault := range faults(list(t)) {
		t.Error(fault)
	}
}

// list asks go list for our packages, the files of end-to-end tests included.
func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", "e2e",
		"-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// faults returns what breaks the architecture, one sentence each.
func faults(pkgs []pkg) []string {
	var out []string
	for _, p := range pkgs {
		from, ok := place(p.ImportPath)
		if !ok {
			out = append(out, fmt.Sprintf("%s: nobody drew this folder; add it to the architecture first", p.ImportPath))
			continue
		}
		for _, imp := range p.Imports {
			if why := refuse(from, imp); why != "" {
				out = append(out, fmt.Sprintf("%s imports %s: %s", p.ImportPath, imp, why))
			}
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if why := refuseTest(from, imp); why != "" {
				out = append(out, fmt.Sprintf("tests of %s import %s: %s", p.ImportPath, imp, why))
			}
		}
	}
	return out
}

// A spot is a folder of ours: its top-level folder and the room in it.
type spot struct{ top, room string }

func (s spot) path() string {
	if s.room == "." {
		return s.top
	}
	return s.top + "/" + s.room
}

// place finds the folder of one of our packages; false: nobody drew it.
func place(importPath string) (spot, bool) {
	rest, ours := strings.CutPrefix(importPath, module+"/")
	if !ours {
		return spot{}, false
	}
	top, room, deeper := strings.Cut(rest, "/")
	if !deeper {
		room = "."
	}
	return spot{top, room}, slices.Contains(rooms()[top], room)
}

// refuse says why code in from must not import imp, "" when it may.
func refuse(from spot, imp string) string {
	if !ours(imp) {
		return refuseOthers(from, imp, true)
	}
	if to, _ := place(imp); strings.HasSuffix(to.room, "test") && from != to {
		return "only tests import " + to.path()
	}
	return refuseOurs(from, imp)
}

// refuseTest says why tests in from must not import imp, "" when they may.
func refuseTest(from spot, imp string) string {
	if !ours(imp) {
		return refuseOthers(from, imp, false)
	}
	if slices.Contains(testsMayImport()[from.top], strings.TrimPrefix(imp, module+"/")) {
		return ""
	}
	return refuseOurs(from, imp)
}

func refuseOurs(from spot, imp string) string {
	to, _ := place(imp) // an undrawn folder is reported where it stands
	switch {
	case from == to:
		return ""
	case from.top != to.top && !slices.Contains(mayImport()[from.top], to.top):
		return fmt.Sprintf("%s must not import %s", from.top, to.top)
	case from.top == "sip" && to.top == "sip":
		lower, upper := sipFloor()[to.room], sipFloor()[from.room]
		if lower == upper {
			return "siblings never import each other"
		}
		if lower > upper {
			return fmt.Sprintf("%s is below %s", from.path(), to.path())
		}
	}
	return ""
}

// refuseOthers checks packages that are not ours. Tests of the core may use
// what they like of the standard library.
func refuseOthers(from spot, imp string, strict bool) string {
	for _, mod := range slices.Sorted(maps.Keys(outside())) {
		if !within(imp, mod) {
			continue
		}
		allowed := func(folder string) bool { return within(from.path(), folder) }
		if !slices.ContainsFunc(outside()[mod], allowed) {
			return fmt.Sprintf("%s is only for %s", mod, strings.Join(outside()[mod], ", "))
		}
	}
	core := from.top == "routing" || from.top == "sdp" || from.top == "feed"
	if core && strict && !slices.Contains(pureStd(), imp) && !slices.Contains(alsoPure()[from.path()], imp) {
		return from.top + " is pure"
	}
	return ""
}

func ours(imp string) bool { return within(imp, module) }

// within reports whether path is prefix or below it.
func within(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// seeTree looks at every file, so that go test runs again when a file changed:
// it cannot know what go list reads, and would answer from its cache.
func seeTree(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir("../../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch d.Name() {
		case ".git", "bin", ".demo", "node_modules", "dist":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestImportRules proves the checker by mutation: each row is a tree with one
// sin in it, or with something that looks like one and is none.
func TestImportRules(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		pkg   pkg
		fault string // "" for none
	}{
		{"core uses pure std", code("routing", "time", "net/netip", "bellhop/sdp"), ""},
		{"core with a context", code("routing/ring", "context"), "routing is pure"},
		{"core with a lock", code("routing", "sync"), "routing is pure"},
		{"core with a log", code("feed", "log/slog"), "feed is pure"},
		{"core with a socket", code("sdp", "net"), "sdp is pure"},
		{"core with another's module", code("routing", "golang.org/x/sync/errgroup"), "routing is pure"},
		{"JSON in directory", code("routing/directory", "encoding/json"), ""},
		{"JSON elsewhere in the core", code("routing/ring", "encoding/json"), "routing is pure"},
		{"core imports a shell", code("routing", "bellhop/store"), "routing must not import store"},
		{"feed is a leaf", code("feed", "bellhop/routing"), "feed must not import routing"},
		{"sdp is a leaf", code("sdp", "bellhop/feed"), "sdp must not import feed"},
		{"tests of the core use os", tests("routing", "os", "testing", "pgregory.net/rapid"), ""},
		{"tests of the core see no shell", tests("routing", "bellhop/store/memstore"), "routing must not import store"},

		{"sip looks down", code("sip/proxy", "bellhop/sip/auth", "bellhop/sip/wire", "bellhop/routing/ring", "bellhop/feed"), ""},
		{"sip looks up", code("sip/wire", "bellhop/sip/lane"), "sip/wire is below sip/lane"},
		{"transactions know no auth", code("sip/transaction", "bellhop/sip/auth"), "sip/transaction is below sip/auth"},
		{"auth knows no dispatch", code("sip/auth", "bellhop/sip"), "sip/auth is below sip"},
		{"siblings", code("sip/proxy", "bellhop/sip/registrar"), "siblings never import each other"},
		{"siblings in tests", tests("sip/registrar", "bellhop/sip/proxy"), "siblings never import each other"},
		{"dispatch sees all", code("sip", "bellhop/sip/proxy", "bellhop/sip/registrar"), ""},
		{"sip imports the store", code("sip/registrar", "bellhop/store"), "sip must not import store"},
		{"sip imports control", code("sip", "bellhop/control"), "sip must not import control"},
		{"sip imports config", code("sip/transport", "bellhop/config"), "sip must not import config"},
		{"sip imports media", code("sip/b2bua", "bellhop/media"), "sip must not import media"},
		{"tests of sip use memstore", tests("sip/registrar", "bellhop/store/memstore", "bellhop/sip/siptest"), ""},
		{"tests of sip use SQL", tests("sip/registrar", "bellhop/store/sqlstore"), "sip must not import store"},
		{"siptest in the daemon", code("sip/proxy", "bellhop/sip/siptest"), "only tests import sip/siptest"},
		{"storetest in the daemon", code("cmd/internal/app", "bellhop/store/storetest"), "only tests import store/storetest"},
		{"storetest in tests", tests("store/sqlstore", "bellhop/store/storetest"), ""},

		{"media imports sip", code("media", "bellhop/sip"), "media must not import sip"},
		{"store imports sip", code("store", "bellhop/sip/wire"), "store must not import sip"},
		{"control imports the store", code("control", "bellhop/store"), "control must not import store"},
		{"control imports sip", code("control", "bellhop/sip"), "control must not import sip"},
		{"tests of control use memstore", tests("control", "bellhop/store/memstore"), ""},
		{"config opens no store", code("config", "bellhop/store"), "config must not import store"},
		{"portal imports anything", code("portal", "bellhop/feed"), "portal must not import feed"},
		{"somebody imports cmd", code("control", "bellhop/cmd/internal/app"), "control must not import cmd"},
		{"cmd imports all", code("cmd/bellhop", "bellhop/cmd/internal/app", "bellhop/sip", "bellhop/store"), ""},

		{"a folder nobody drew", code("util"), "nobody drew this folder"},
		{"a room nobody drew", code("sip/helper"), "nobody drew this folder"},
		{"a cellar nobody drew", code("sip/wire/internal"), "nobody drew this folder"},
		{"a file at the top", pkg{ImportPath: module}, "nobody drew this folder"},

		{"sipgo in wire", code("sip/wire", "github.com/emiago/sipgo/sip"), ""},
		{"sipgo in proxy", code("sip/proxy", "github.com/emiago/sipgo/sip"), "is only for"},
		{"sipgo in dispatch", code("sip", "github.com/emiago/sipgo"), "is only for"},
		{"SQL in control", code("control", "modernc.org/sqlite"), "is only for store"},
		{"YAML in control", code("control", "github.com/goccy/go-yaml"), "is only for config"},
		{"huma in tests of cmd", tests("cmd/bellhop", "github.com/danielgtaylor/huma/v2"), "is only for control"},
		{"a name that only looks alike", code("sip", "modernc.org/sqlitex"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := faults([]pkg{tt.pkg})
			switch {
			case tt.fault == "" && len(got) > 0:
				t.Errorf("faults = %q, want none", got)
			case tt.fault != "" && (len(got) != 1 || !strings.Contains(got[0], tt.fault)):
				t.Errorf("faults = %q, want one with %q", got, tt.fault)
			}
		})
	}
}

func code(folder string, imports ...string) pkg {
	return pkg{ImportPath: module + "/" + folder, Imports: imports}
}

func tests(folder string, imports ...string) pkg {
	return pkg{ImportPath: module + "/" + folder, XTestImports: imports}
}
