package trunk_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"bellhop/routing/directory"
	"bellhop/routing/location"
)

// TestDocs loads every trunk of docs/trunks.md, and holds its metrics to the code.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/trunks.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(docs) != 4 {
		t.Fatalf("%d trunks, want one of each proof", len(docs))
	}
	proofs := map[string]bool{}
	var trunks []directory.Peering
	for i, d := range docs {
		p := peering(t, fmt.Sprint("trunk", i), string(d[1]))
		proofs[p.Trunk.Proof] = true
		trunks = append(trunks, p)
	}
	if len(proofs) != 4 {
		t.Errorf("proofs = %v, want all four", proofs)
	}
	m := matching(t, trunks...)
	for from, want := range map[string]bool{"192.0.2.9:5060": true, "192.0.2.16:5060": false} {
		if _, ok := m.Match(packet(t, "sip:x@y", location.Flow{Transport: location.UDP, Local: private, Remote: addr(from)})); ok != want {
			t.Errorf("Match of %s = %v, want %v", from, ok, want)
		}
	}
	source, err := os.ReadFile("status.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile("`bellhop_trunk_([a-z_]+)").FindAllSubmatch(text, -1) {
		if !strings.Contains(string(source), `desc("`+string(name[1])+`"`) {
			t.Errorf("there is no metric bellhop_trunk_%s", name[1])
		}
	}
}
