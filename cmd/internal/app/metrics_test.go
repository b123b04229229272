package app_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/cmd/internal/app"
	"bellhop/store/redisstore"
)

// TestMetricsAreDocumented: docs/operations.md has every metric of a node, with
// its labels and what it says, and no others.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	h := open(t, "")
	redis := prometheus.NewRegistry()
	s, err := redisstore.New(t.Context(), redisstore.Options{URL: "redis://127.0.0.1:1", Registerer: redis}) // away
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	want := append(described(t, app.Metrics(h.App)), described(t, redis)...)
	slices.Sort(want)
	want = slices.Compact(want)
	text, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(text), "## All metrics\n")
	list, _, _ = strings.Cut(list, "\n## ")
	var got []string
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, "| `") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if !ok || !slices.Equal(got, want) {
		t.Errorf("the table of docs/operations.md, \"All metrics\", should be\n%s", strings.Join(want, "\n"))
	}
	for _, file := range []string{"operations.md", "trunks.md", "grafana.json"} {
		text, err := os.ReadFile("../../../docs/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`bellhop_[a-z0-9_]+`).FindAllString(string(text), -1) {
			plain := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} { // of a histogram
				plain = strings.TrimSuffix(plain, suffix)
			}
			if !slices.ContainsFunc(want, func(row string) bool {
				return strings.HasPrefix(row, "| `"+plain+"`") || strings.HasPrefix(row, "| `"+plain+"{") ||
					strings.HasPrefix(row, "| `"+name+"`") || strings.HasPrefix(row, "| `"+name+"{")
			}) {
				t.Errorf("docs/%s speaks of %s, which nobody measures", file, name)
			}
		}
	}
}

// described are the rows of the metrics of ours in a registry.
func described(t *testing.T, r *prometheus.Registry) (rows []string) {
	t.Helper()
	form := regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)", .*variableLabels: \{([^}]*)\}\}$`)
	ch := make(chan *prometheus.Desc)
	go func() { r.Describe(ch); close(ch) }()
	for d := range ch {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("description %s", d)
		}
		if !strings.HasPrefix(m[1], "bellhop_") {
			continue
		}
		labels := ""
		if m[3] != "" {
			labels = "{" + m[3] + "}"
		}
		rows = append(rows, fmt.Sprintf("| `%s%s` | %s |", m[1], labels, strings.ReplaceAll(m[2], `\"`, `"`)))
	}
	return rows
}
