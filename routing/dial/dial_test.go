package dial_test

import (
	"strings"
	"testing"

	"bellhop/routing/dial"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, region, access, in, ext, e164 string
		ok                                  bool
	}{
		{"extension", "DE", "", "1001", "1001", "", true},
		{"canonical", "DE", "", "+49 (89) 7007-98765", "", "+49897007" + "98765", true},
		{"canonical with a bracket first", "DE", "", "(+49) 89/7007.98765", "", "+49897007" + "98765", true},
		{"canonical with the zero in brackets", "DE", "", "+49 (0)89 700798765", "", "+49897007" + "98765", true},
		{"kept form", "DE", "", "+498970079876", "", "+498970079876", true},
		{"national", "DE", "", "089 70079876", "08970079876", "+498970079876", true},
		{"international", "DE", "", "0043 1 5123456", "004315123456", "+4315123456", true},
		{"access code, national", "DE", "0", "0 089 70079876", "008970079876", "+498970079876", true},
		{"access code, international", "DE", "0", "0 0043 1 5123456", "0004315123456", "+4315123456", true},
		{"without the access code", "DE", "9", "08970079876", "08970079876", "", true},
		{"north america", "US", "9", "9 1 (212) 555-0100", "912125550100", "+12125550100", true},
		{"north america, ten digits", "US", "", "212-555-0100", "2125550100", "+12125550100", true},
		{"no national prefix", "DK", "", "32 12 34 56", "32123456", "+4532123456", true},
		{"no national prefix, an extension", "DK", "", "3212", "3212", "", true},
		{"no region", "", "", "089123456", "089123456", "", true},
		{"too long", "DE", "", "+1234567890123456", "", "", false},
		{"letters", "DE", "", "ana", "", "", false},
		{"plus inside", "DE", "", "49+89", "", "", false},
		{"nothing", "DE", "", "", "", "", false},
		{"signs only", "DE", "", "-- ", "", "", false},
		{"feature code", "DE", "", "*72", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, ok := dial.NewPlan(tt.region, tt.access)
			if !ok {
				t.Fatalf("no plan for %s", tt.region)
			}
			n, ok := p.Parse(tt.in)
			if want := (dial.Number{Ext: tt.ext, E164: tt.e164}); n != want || ok != tt.ok {
				t.Errorf("Parse(%q) = %+v, %v, want %+v, %v", tt.in, n, ok, want, tt.ok)
			}
		})
	}
}

func TestNewPlanUnknown(t *testing.T) {
	t.Parallel()
	if _, ok := dial.NewPlan("XX", ""); ok {
		t.Error("NewPlan(XX) = true, want false")
	}
}

func TestClass(t *testing.T) {
	t.Parallel()
	de, _ := dial.NewPlan("DE", "")
	class := dial.Class{
		{Pattern: "+49900*"},
		{Allow: true, Kind: dial.Internal},
		{Allow: true, Kind: dial.National},
		{Allow: true, Pattern: "+4315123456"},
	}
	for _, tt := range []struct {
		name   string
		class  dial.Class
		number string
		kind   dial.Kind // 0: of the number
		want   bool
	}{
		{"no rules, internal", nil, "1001", dial.Internal, true},
		{"no rules, national", nil, "+498912345", 0, false},
		{"internal", class, "1001", dial.Internal, true},
		{"national", class, "+498912345", 0, true},
		{"denied by pattern", class, "+499001234567", 0, false},
		{"mobile matches nothing", class, "+491711234567", 0, false},
		{"international by whole number", class, "+4315123456", 0, true},
		{"international otherwise", class, "+4315123457", 0, false},
		{"everything", dial.Class{{Allow: true, Pattern: "*"}}, "sip:a@b", dial.Elsewhere, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kind := tt.kind
			if kind == 0 {
				kind = de.KindOf(tt.number)
			}
			if got := tt.class.Allows(kind, tt.number); got != tt.want {
				t.Errorf("Allows(%s, %s) = %v, want %v", kind, tt.number, got, tt.want)
			}
		})
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	de, _ := dial.NewPlan("DE", "")
	for number, want := range map[string]dial.Kind{
		"+498912345": dial.National, "+491711234567": dial.Mobile,
		"+499001234567": dial.Premium, "+4315123456": dial.International,
	} {
		if got := de.KindOf(number); got != want {
			t.Errorf("KindOf(%s) = %s, want %s", number, got, want)
		}
		if k, ok := dial.ParseKind(want.String()); !ok || k != want {
			t.Errorf("ParseKind(%s) = %s, %v", want, k, ok)
		}
	}
}

// FuzzParse holds that what Parse returns is a number in its kept form, that
// Clean is idempotent, and that a kept E.164 number reads as itself in every
// domain.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"1001", "+49 (89) 7007-98765", "(+49)(0)89", "0089", "9,1", "+", "٣"} {
		f.Add("DE", "0", s)
	}
	f.Fuzz(func(t *testing.T, region, access, s string) {
		p, ok := dial.NewPlan(region, access)
		if !ok || strings.Trim(access, "0123456789") != "" {
			return
		}
		n, ok := p.Parse(s)
		if ok != (n != dial.Number{}) {
			t.Fatalf("Parse(%q) = %+v, %v", s, n, ok)
		}
		if n.E164 != "" {
			if !dial.IsE164(n.E164) {
				t.Fatalf("Parse(%q) = %q, which is no E.164 number", s, n.E164)
			}
			if again, ok := p.Parse(n.E164); !ok || again != (dial.Number{E164: n.E164}) {
				t.Fatalf("Parse(%q) = %+v, %v", n.E164, again, ok)
			}
		}
		if c, ok := dial.Clean(s); ok {
			if again, ok := dial.Clean(c); !ok || again != c {
				t.Fatalf("Clean(%q) = %q, again %q, %v", s, c, again, ok)
			}
		}
	})
}
