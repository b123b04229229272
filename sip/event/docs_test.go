package event_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/feed"
	"bellhop/routing/directory"
	"bellhop/sip/event"
)

// TestDocs holds the examples of docs/events.md to what subscribers get: a block says
// which one it is in the line before it.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	rings := event.Observe(line(nil), []*feed.Call{proxied("0ivd2kq4m01c8", "1001", "1002", feed.Ringing)}, bound(), now())
	dnd := event.Observe(line(func(l *directory.Line) { l.DND.Enabled = true }), nil, bound(), now())
	away := event.Observe(line(func(l *directory.Line) {
		l.Presence = directory.Presence{Status: directory.StatusVacation, Until: now().Add(72 * time.Hour), Note: "Back on Wednesday"}
	}), nil, bound(), now())
	want := map[string]string{
		"dialog, ringing":         event.Documents(rings, false)["dialog"],
		"dialog, do not disturb":  event.Documents(dnd, false)["dialog"],
		"presence, on vacation":   event.Documents(away, false)["presence"],
		"message-summary":         strings.ReplaceAll(event.Documents(away, true)["message-summary"], "\r\n", "\n"),
		"reg":                     event.Documents(away, true)["reg"],
		"as-feature-event, first": strings.ReplaceAll(event.Documents(dnd, true)["as-feature-event"], "\r\n", "\n"),
	}
	blocks := regexp.MustCompile("(?s)<!-- ([^\n]*) -->\n```[a-z]*\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	var seen []string
	for _, b := range blocks {
		seen = append(seen, b[1])
		if body, is := strings.CutPrefix(b[1], "key: "); is {
			c, err := event.ParseFeature([]byte(b[2]))
			if err != nil || body != "dnd" && body != "forward" {
				t.Errorf("%s: %+v, %v", b[1], c, err)
			}
			continue
		}
		doc, ok := want[b[1]]
		if !ok {
			t.Errorf("no such example: %s", b[1])
			continue
		}
		if diff := cmp.Diff(doc, b[2]); diff != "" {
			t.Errorf("%s (-is +docs/events.md):\n%s\nit is\n%s", b[1], diff, doc)
		}
	}
	for name := range want {
		if !slices.Contains(seen, name) {
			t.Errorf("docs/events.md has no example of %s", name)
		}
	}
	for _, m := range regexp.MustCompile("`(bellhop_event_[a-z_]+)`").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(metricNames(t), m[1]) {
			t.Errorf("no metric %s", m[1])
		}
	}
}
