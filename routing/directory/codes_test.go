package directory_test

import (
	"errors"
	"strings"
	"testing"

	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

func TestCodes(t *testing.T) {
	t.Parallel()
	policies := func(s string) string {
		return `{"realm":"r","region":"DE","aliases":["127.0.0.1"],"policies":{` + s + `}}`
	}
	old := directory.Assume(base(t), []directory.Write{
		put(t, "domains/"+domain, policies(`"services":{"voicemail":"600","park_slots":"701-720"},"features":{"pickup":"88"}`)),
	})
	for _, tt := range []struct {
		name, path, body string
		want             string // location rule, of each fault
	}{
		{"the usual codes", "domains/" + domain, policies(``), ""},
		{"another code", "domains/" + domain, policies(`"features":{"dnd":"#1","park":""}`), ""},
		{"a code twice", "domains/" + domain, policies(`"features":{"dnd":"*79"}`), "policies.features.dnd dial.feature, policies.features.dnd_off dial.feature"},
		{"two exchanged", "domains/" + domain, policies(`"features":{"dnd":"*79","dnd_off":"*78"}`), ""},
		{"begins another that takes digits", "domains/" + domain, policies(`"features":{"pickup":"*721"}`), "policies.features.forward_all dial.feature"},
		{"begins another that takes none", "domains/" + domain, policies(`"features":{"pickup":"*781"}`), ""},
		{"digits before digits", "domains/" + domain, policies(`"features":{"forward_all":"72"}`), "policies.features.forward_all dial.feature"},
		{"letters", "domains/" + domain, policies(`"features":{"dnd":"*d"}`), "policies.features.dnd dial.feature"},
		{"no such feature", "domains/" + domain, policies(`"features":{"fly":"*1"}`), "policies.features.fly field.unknown"},
		{"a number of the domain", "domains/" + domain, policies(`"features":{"dnd":"1001"}`), "policies.features.dnd dial.feature"},
		{"a service at a number", "domains/" + domain, policies(`"services":{"conference":"1001"}`), "policies.services.conference dial.service"},
		{"two services", "domains/" + domain, policies(`"services":{"conference":"600","voicemail":"600"}`), "policies.services.voicemail dial.service"},
		{"slots around a number", "domains/" + domain, policies(`"services":{"park_slots":"1001 - 1002"}`), "policies.services.park_slots dial.service, policies.services.park_slots dial.service"},
		{"slots around a service", "domains/" + domain, policies(`"services":{"park_slots":"700-710","voicemail":"705"}`), "policies.services.park_slots dial.service"},
		{"slots backwards", "domains/" + domain, policies(`"services":{"park_slots":"720-701"}`), "policies.services.park_slots dial.service"},
		{"too many slots", "domains/" + domain, policies(`"services":{"park_slots":"7000-8999"}`), "policies.services.park_slots dial.service"},
		{"emergency numbers", "domains/" + domain, policies(`"emergency_numbers":["112","117"]`), ""},
		{"no emergency numbers", "domains/" + domain, policies(`"emergency_numbers":[]`), ""},
		{"an emergency number is a service", "domains/" + domain, policies(`"services":{"voicemail":"112"}`), "policies.emergency_numbers[1] dial.emergency"},
		{"an emergency number too long", "domains/" + domain, policies(`"emergency_numbers":["1234567"]`), "policies.emergency_numbers[0] dial.emergency"},
		{"a number that is a code", "numbers/88", `{}`, "number dial.feature"},
		{"a number that is a service", "numbers/600", `{}`, "number dial.service"},
		{"a number that is a slot", "numbers/720", `{}`, "number dial.service"},
		{"a number beside the slots", "numbers/721", `{}`, ""},
		{"a number that calls for help", "numbers/110", `{}`, "number dial.emergency"},
		{"a number that was there before", "numbers/1001", `{"user":"ana"}`, ""},
		{"a code for calls, and forwards", "numbers/1002", `{"authorization_code_required":true}`, "authorization_code_required forward.authorization-code"},
		{"a code for calls", "numbers/1000", `{"authorization_code_required":true,"public":"+4989123450"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := directory.Check(old, []directory.Write{put(t, tt.path, tt.body)})
			var got []string
			if inv, ok := errors.AsType[*directory.Invalid](err); ok {
				for _, f := range inv.Faults {
					got = append(got, f.Location+" "+f.Rule)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("Check = %v, want %s", err, tt.want)
			}
		})
	}
}

// TestEmergencyKept: an empty list stays one, in the kept form too.
func TestEmergencyKept(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`{"realm":"r","region":"DE"}`:                                          2,
		`{"realm":"r","region":"DE","policies":{"emergency_numbers":[]}}`:      0,
		`{"realm":"r","region":"DE","policies":{"emergency_numbers":["117"]}}`: 1,
		`{"realm":"r"}`: 2,
	} {
		d, err := directory.Parse[directory.Domain](directory.KindDomain, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := directory.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		d, err = directory.Parse[directory.Domain](directory.KindDomain, kept)
		if got := directory.CompileTenant(domain, d).Emergency; err != nil || len(got) != want {
			t.Errorf("%s kept as %s has %v, %v, want %d", body, kept, got, err, want)
		}
	}
}

// FuzzCodes holds that what is dialled is split at a code, and that no codes
// make a number of ours a code that takes digits.
func FuzzCodes(f *testing.F) {
	f.Add("*72", "*721002")
	f.Add("**", "**1000")
	f.Add("#", "#")
	f.Fuzz(func(t *testing.T, code, dialled string) {
		codes := dial.NewCodes(map[string]string{"forward_all": code}, nil, dial.Slots{})
		if !dial.ForwardAll.IsCode(code) {
			return
		}
		feature, rest, ok := codes.Feature(dialled)
		if ok && codes.Code(feature)+rest != dialled {
			t.Errorf("Feature(%q) = %s, %q", dialled, feature, rest)
		}
		if ok && rest != "" && dial.IsExtension(dialled) {
			t.Errorf("Feature(%q) = %s, %q: it is an extension", dialled, feature, rest)
		}
	})
}
