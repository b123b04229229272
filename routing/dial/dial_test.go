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
	for _, tt := range []struct {
		region, number string
		want           dial.Kind
	}{
		{"DE", "+498912345", dial.National},
		{"DE", "+491711234567", dial.Mobile},
		{"DE", "+49171123456", dial.Mobile}, // a digit short
		{"DE", "+4917112345678901", dial.International},
		{"DE", "+499001234567", dial.Premium},
		{"DE", "+49900123", dial.Premium},     // far too short
		{"DE", "+491801234567", dial.Premium}, // shared cost
		{"DE", "+498001234567", dial.National},
		{"DE", "+4315123456", dial.International},
		{"DE", "+43900123456", dial.Premium}, // of another country
		{"DE", "+979123456789", dial.Premium},
		{"DE", "+881612345678", dial.International},
		{"DE", "+2101234567", dial.International}, // no country has that code
		{"GB", "+447012345678", dial.Premium},     // personal
		{"GB", "+442079460000", dial.National},
		{"US", "+12125550100", dial.National},
		{"US", "+19005550100", dial.Premium},
		{"US", "+18765550100", dial.International}, // Jamaica, with the same country code
		{"US", "+14165550100", dial.International}, // Canada
		{"CA", "+14165550100", dial.National},
		{"", "+498912345", dial.International},
	} {
		p, ok := dial.NewPlan(tt.region, "")
		if !ok {
			t.Fatalf("no plan for %s", tt.region)
		}
		if got := p.KindOf(tt.number); got != tt.want {
			t.Errorf("KindOf(%s) from %q = %s, want %s", tt.number, tt.region, got, tt.want)
		}
		if k, ok := dial.ParseKind(tt.want.String()); !ok || k != tt.want {
			t.Errorf("ParseKind(%s) = %s, %v", tt.want, k, ok)
		}
	}
}

func TestLocal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		from, to string
		kind     dial.Kind
		want     dial.Kind
	}{
		{"+4989700798765", "+498912345", dial.National, dial.Local},
		{"+4989700798765", "+493012345", dial.National, dial.National},
		{"+4989700798765", "+499001234567", dial.Premium, dial.Premium},
		{"+491711234567", "+491711234568", dial.Mobile, dial.Mobile},
		{"+12125550100", "+12125550199", dial.National, dial.Local},
		{"", "+498912345", dial.National, dial.National},
	} {
		if got := dial.KindFrom(tt.kind, tt.to, dial.Area(tt.from)); got != tt.want {
			t.Errorf("from %s to %s = %s, want %s", tt.from, tt.to, got, tt.want)
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
