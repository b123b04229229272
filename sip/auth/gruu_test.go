package auth_test

import (
	"strings"
	"testing"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/auth"
	"bellhop/sip/siptest"
	"bellhop/sip/wire"
)

// fixed are the bindings of one AOR.
type fixed struct {
	aor location.AOR
	bs  location.Bindings
}

func (f *fixed) AppendBindings(dst location.Bindings, a location.AOR, _ time.Time) location.Bindings {
	if a == f.aor {
		dst = append(dst, f.bs...)
	}
	return dst
}

func TestGRUUs(t *testing.T) {
	t.Parallel()
	g, err := auth.NewGRUUs(siptest.Keys{})
	if err != nil {
		t.Fatal(err)
	}
	aor, _ := location.NewAOR("1001", "bellhop.test")
	loc := &fixed{aor, location.Bindings{
		{Contact: "sip:a", Instance: "<urn:uuid:1>", CallID: "c1"},
		{Contact: "sip:b", Instance: `<urn:x: "é>`, CallID: "c2"},
	}}
	resolve := func(uri, domain string) (string, string, bool) {
		t.Helper()
		u, ok := wire.ParseURI([]byte(uri))
		if !ok {
			t.Fatalf("%s is no URI", uri)
		}
		return g.Resolve(u, domain, loc)
	}
	for i := range loc.bs {
		b := &loc.bs[i]
		want := strings.Trim(b.Instance, "<>")
		public := string(g.AppendPublic(nil, aor, b.Instance))
		one, two := string(g.AppendTemporary(nil, aor, b)), string(g.AppendTemporary(nil, aor, b))
		if one == two || strings.Contains(one, "1001") {
			t.Errorf("temporary GRUUs %s and %s tell too much", one, two)
		}
		for _, uri := range []string{public, one, two} {
			if number, instance, ok := resolve(uri, "bellhop.test"); !ok || number != "1001" || instance != want {
				t.Errorf("Resolve(%s) = %s, %s, %v, want 1001, %s", uri, number, instance, ok, want)
			}
		}
		if _, _, ok := resolve(one, "other.test"); ok {
			t.Errorf("Resolve(%s) in another domain = true", one)
		}
		for at := len("sip:tgruu."); at < strings.IndexByte(one, '@')-1; at++ { // the last has bits that are not used
			bad := one[:at] + string('A'+(one[at]+1)%26) + one[at+1:]
			if _, _, ok := resolve(bad, "bellhop.test"); ok && bad != one {
				t.Errorf("Resolve of one that was changed at %d = true", at)
			}
		}
	}
	if got := string(g.AppendPublic(nil, aor, "<urn:uuid:1>")); got != "sip:1001@bellhop.test;gr=urn:uuid:1" {
		t.Errorf("public GRUU %s", got)
	}
	ended := string(g.AppendTemporary(nil, aor, &loc.bs[0]))
	loc.bs[0].CallID = "another registration"
	if number, instance, ok := resolve(ended, "bellhop.test"); !ok || number != "1001" || instance == "urn:uuid:1" {
		t.Errorf("Resolve of one that has ended = %s, %s, %v, want nobody's instance", number, instance, ok)
	}
	if _, _, ok := resolve("sip:1001@bellhop.test", "bellhop.test"); ok {
		t.Error("Resolve of no GRUU = true")
	}
}
