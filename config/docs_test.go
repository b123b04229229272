package config_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bellhop/config"
)

var update = flag.Bool("update", false, "rewrite the key table of docs/config.md")

const (
	docs  = "../docs/config.md"
	start = "<!-- made by `go test ./config -update` -->\n"
)

// TestDocsListEveryKey holds the table of docs/config.md to the code.
func TestDocsListEveryKey(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	head, got, found := strings.Cut(string(b), start)
	if !found {
		t.Fatalf("%s has no line %q", docs, start)
	}
	var want strings.Builder
	want.WriteString("\n| key | default | change | |\n|---|---|---|---|\n")
	for _, k := range config.Reference() {
		def := ""
		if k.Default != "" {
			def = "`" + k.Default + "`"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", k.Path, def, k.Change, strings.ReplaceAll(k.Doc, "|", "\\|"))
	}
	if *update {
		if err := os.WriteFile(docs, []byte(head+start+want.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Errorf("%s: run go test ./config -update: -want +got\n%s", docs, diff)
	}
}

// TestDocsExamples loads every YAML example of docs/config.md.
func TestDocsExamples(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(b), "```yaml\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("%s has %d examples", docs, len(blocks))
	}
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if _, err := config.Parse("docs/config.md", []byte(text), func(string) (string, bool) { return "/var/lib/bellhop", true }); err != nil {
			t.Errorf("%v\nin\n%s", err, text)
		}
	}
}
