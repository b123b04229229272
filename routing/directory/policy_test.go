package directory_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"bellhop/routing/directory"
)

func TestCheckPIN(t *testing.T) {
	t.Parallel()
	for pin, want := range map[string]string{
		"250913":                 "",
		"13572468":               "",
		"2509":                   "pin.length",
		"":                       "pin.digits",
		"25091a":                 "pin.digits",
		"１２３４５６":                 "pin.digits",
		"408408":                 "pin.repeated",
		"121212":                 "pin.repeated pin.two-digits",
		"112122":                 "pin.two-digits",
		"288831":                 "pin.three-equal",
		"012345":                 "pin.run",
		"987654":                 "pin.run",
		"700713":                 "pin.extension",
		"317007":                 "pin.extension",
		"111111":                 "pin.repeated pin.two-digits pin.three-equal",
		strings.Repeat("13", 65): "pin.length",
		strings.Repeat("1357924680", 12) + "13579246": "",
	} {
		var rules []string
		for _, f := range directory.CheckPIN(pin, directory.DefaultPIN, []string{"1001", "700713"}) {
			rules = append(rules, f.Rule)
		}
		if got := strings.Join(rules, " "); got != want {
			t.Errorf("CheckPIN(%q) breaks %q, want %q", pin, got, want)
		}
	}
}

// TestPINHasNoPattern: what passes has no three equal digits in a row, whatever
// was drawn, and backwards it is no run either.
func TestPINHasNoPattern(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pin := rapid.StringMatching(`[0-9]{4,12}`).Draw(t, "pin")
		if len(directory.CheckPIN(pin, directory.MinPIN, nil)) > 0 {
			t.Skip("refused")
		}
		for _, d := range "0123456789" {
			if strings.Contains(pin, strings.Repeat(string(d), 3)) {
				t.Errorf("%s passes", pin)
			}
		}
		if strings.Contains("0123456789", pin) || strings.Contains("9876543210", pin) {
			t.Errorf("%s passes", pin)
		}
	})
}

func TestSpeedDial(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]bool{
		"91886543,8787,5656,987989#": true, "+4989123": true, "*72": true, "1001": true, "+49 89 123": true,
		"": false, "+": false, ",1": false, "ana": false, "1001,ana": false, "1001;1": false,
		strings.Repeat("1", 200): false,
	} {
		_, err := directory.Parse[directory.SpeedDial](directory.KindSpeedDial, []byte(`{"number":"`+number+`"}`))
		if (err == nil) != want {
			t.Errorf("speed dial %q: %v, want %v", number, err, want)
		}
	}
}
