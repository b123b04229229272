package app_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDecisionsNameTests: a test that a decision or a document names is there.
func TestDecisionsNameTests(t *testing.T) {
	t.Parallel()
	const root = "../../.."
	there := make(map[string]bool)
	is := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`")
	claims := make(map[string][]string) // file: tests
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == ".git" || name == "bin" || name == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, "_test.go") && filepath.Ext(name) != ".md":
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Ext(name) == ".md" {
			for _, m := range named.FindAllSubmatch(b, -1) {
				claims[path] = append(claims[path], string(m[1]))
			}
			return nil
		}
		for _, m := range is.FindAllSubmatch(b, -1) {
			there[string(m[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, tests := range claims {
		for _, name := range tests {
			if !there[name] {
				t.Errorf("%s names %s, and there is no such test", strings.TrimPrefix(path, root+"/"), name)
			}
		}
	}
	const traps = "docs/decisions/0020-connections.md"
	b, err := os.ReadFile(filepath.Join(root, traps))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(regexp.MustCompile(`(?m)^\| \d+ \|.*(?:`+"`(?:Test|Fuzz)"+`).*\|$`).FindAll(b, -1)); n != 23 {
		t.Errorf("%s lists %d traps with tests, want 23", traps, n)
	}
}
