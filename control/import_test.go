package control_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bellhop/control"
)

const csvHeader = "user,name,email,number,public,voicemail,device,kind\n"

func (a *api) imports(who, query, file string, header ...string) answer {
	a.t.Helper()
	return a.do(who, "POST", test+"/import"+query, file, append([]string{"Content-Type", "text/csv"}, header...)...)
}

// lines reduces the result of an import to "line status faults...".
func (r answer) lines(t *testing.T) []string {
	t.Helper()
	var out struct {
		Rows []struct {
			Line   int
			Status string
			Errors []struct{ Location, Rule string }
		}
	}
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	lines := []string{}
	for _, row := range out.Rows {
		s := fmt.Sprint(row.Line, " ", row.Status)
		for _, f := range row.Errors {
			s += " " + f.Location + "=" + f.Rule
		}
		lines = append(lines, s)
	}
	return lines
}

func TestImport(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	file := csvHeader +
		"dan,Dan,dan@example.com,1004,+49 89 1004,yes,desk-1004,desk\n" +
		"dan,,,1005,,,desk-1004,\n" +
		"\n" +
		"ana,,,1001,,,,\n" +
		"ben,Ben B.,,,,,,\n"
	want := []string{"2 created", "3 created", "5 updated", "6 updated"}

	got := a.want(a.imports("ada", "?dry_run=1", file), 200, "")
	if diff := cmp.Diff(want, got.lines(t)); diff != "" {
		t.Errorf("dry run (-want +got):\n%s\n%s", diff, got.body)
	}
	a.want(a.do("ada", "GET", test+"/users/dan", ""), 404, "")

	got = a.want(a.imports("ada", "?credentials=1", file), 200, "")
	if diff := cmp.Diff(want, got.lines(t)); diff != "" {
		t.Errorf("import (-want +got):\n%s\n%s", diff, got.body)
	}
	if m := got.json(t); m["applied"] != true || strings.Count(got.body, `"secret"`) != 1 {
		t.Errorf("import = %s", got.body)
	}
	dan := a.want(a.do("ada", "GET", test+"/users/dan", ""), 200, "").json(t)
	if diff := cmp.Diff(map[string]any{"user": "dan", "name": "Dan", "email": "dan@example.com", "role": "user", "numbers": []any{"1004", "1005"}}, dan); diff != "" {
		t.Errorf("dan (-want +got):\n%s", diff)
	}
	desk := a.do("ada", "GET", test+"/devices/desk-1004", "").json(t)
	if diff := cmp.Diff([]any{map[string]any{"number": "1004"}, map[string]any{"number": "1005"}}, desk["lines"]); diff != "" || desk["user"] != "dan" {
		t.Errorf("desk-1004 = %v\n%s", desk, diff)
	}
	if n := a.do("ada", "GET", test+"/numbers/1004", "").json(t); n["public"] != "+49891004" || n["voicemail"] != true || n["user"] != "dan" {
		t.Errorf("1004 = %v", n)
	}

	got = a.want(a.imports("ada", "", file), 200, "")
	if diff := cmp.Diff([]string{"2 unchanged", "3 unchanged", "5 unchanged", "6 unchanged"}, got.lines(t)); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
}

// TestImportRefused: one row at fault, and nothing is changed; every fault names
// its line.
func TestImportRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	file := strings.ReplaceAll(csvHeader, ",", ";") +
		"dan;;;1004;+49891004;yes;;\n" +
		"eve;;not an address;1005;+49891004;perhaps;;\n" +
		"fay;;;1002;;;;\n" + // ben's
		";Nobody;;;;;;\n" +
		"gus;;;1004;;;desk-1001;vending\n" +
		";;;x y;;;;\n"
	want := []string{
		"2 refused public=name.taken",
		"3 refused voicemail=field.value email=field.value",
		"4 created",
		"5 refused name=import.column",
		"6 refused user=import.twice kind=field.value",
		"7 refused number=name.syntax",
	}
	got := a.want(a.imports("ada", "?dry_run=true", file), 200, "")
	if diff := cmp.Diff(want, got.lines(t)); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	refused := a.want(a.imports("ada", "", file), 422, "import.refused")
	if !strings.Contains(refused.body, `"line 3: voicemail"`) || !strings.Contains(refused.body, "nothing was changed") {
		t.Errorf("refusal = %s", refused.body)
	}
	a.want(a.do("ada", "GET", test+"/users/dan", ""), 404, "")
}

func TestImportHostile(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, c := range []struct {
		name, file, rule string
	}{
		{"unknown column", "user,role\nx,system-admin\n", "import.column"},
		{"column twice", "user,user\nx,y\n", "import.column"},
		{"no csv", "user,name\n\"x\n", "import.file"},
		{"too few cells", "user,name\nx\n", "import.file"},
		{"empty", "\n", "import.file"},
		{"too many rows", "number\n" + strings.Repeat("1\n", 50_001), "import.file"},
	} {
		a.want(a.imports("ada", "", c.file), 422, c.rule)
	}
	a.want(a.imports("ada", "", csvHeader+strings.Repeat("x", 17<<20)), 413, "body.too-large")
	a.want(a.imports("zoe", "", csvHeader), 404, "")
	a.want(a.imports("ana", "", csvHeader), 403, "role.denied")
	a.want(a.do("ada", "POST", test+"/import", "{}"), 415, "body.media-type")
	a.want(a.do("root", "POST", "/v1/domains/none.test/import", csvHeader, "Content-Type", "text/csv"), 404, "")
}

// TestImportExample imports the example of the documentation.
func TestImportExample(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/import.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```csv\n")
	file, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/import.md has no example")
	}
	a := newAPI(t)
	want := []string{"2 updated", "3 created", "4 updated", "5 created"}
	got := a.want(a.imports("ada", "?credentials=1", file), 200, "")
	if diff := cmp.Diff(want, got.lines(t)); diff != "" {
		t.Errorf("example (-want +got):\n%s\n%s", diff, got.body)
	}
	for _, c := range control.ImportColumns() {
		if !strings.Contains(string(b), "`"+c+"`") {
			t.Errorf("docs/import.md does not name the column %s", c)
		}
	}
}

// TestImportProgress: a client that asks for lines gets them, the result last.
func TestImportProgress(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for query, last := range map[string]string{"": `{"problem":`, "?dry_run=1": `{"result":`} {
		got := a.want(a.imports("ada", query, csvHeader+"dan,,,1004,+49891004,maybe,,\n", "Accept", "application/x-ndjson"), 200, "")
		lines := strings.Split(got.body, "\n")
		if !strings.HasPrefix(lines[0], `{"progress":{"phase":"read"`) || !strings.HasPrefix(lines[len(lines)-1], last) {
			t.Errorf("%s: lines = %s", query, got.body)
		}
	}
}
