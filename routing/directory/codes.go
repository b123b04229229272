package directory

import (
	"maps"
	"slices"
	"strings"

	"bellhop/routing/dial"
)

// codes reads the codes and service numbers of a domain.
func (d *decoder) codes(p *object, v *Policies) {
	f := p.sub("features")
	for _, feature := range dial.Features() {
		name := feature.String()
		if !f.has(name) {
			continue
		}
		code := f.text(name)
		if code != "" && !feature.IsCode(code) {
			d.fault(f.at(name), RuleFeature, "must be 1 to 8 of 0-9, * and #, with * or # in front where digits may follow")
			continue
		}
		if v.Features == nil {
			v.Features = map[string]string{}
		}
		v.Features[name] = code
	}
	f.done()
	s := p.sub("services")
	v.Services = Services{Voicemail: s.text("voicemail"), Conference: s.text("conference"), ParkSlots: s.text("park_slots")}
	for name, number := range map[string]string{"voicemail": v.Services.Voicemail, "conference": v.Services.Conference} {
		if number != "" && !dial.IsExtension(number) {
			d.fault(s.at(name), RuleService, "must be 2 to 15 digits")
		}
	}
	if _, ok := dial.ParseSlots(v.Services.ParkSlots); !ok {
		d.fault(s.at("park_slots"), RuleService, "must be a range of numbers like 701-720, of a thousand at most")
	}
	s.done()
	if !p.has("emergency_numbers") {
		return
	}
	v.EmergencyNumbers = p.texts("emergency_numbers")
	for i, n := range v.EmergencyNumbers {
		if len(n) < 2 || len(n) > maxEmergency || strings.Trim(n, "0123456789") != "" {
			d.fault(p.at(item("emergency_numbers", i)), RuleEmergency, "must be 2 to 6 digits")
		}
	}
	if v.EmergencyNumbers == nil {
		v.EmergencyNumbers = []string{}
	}
}

// maxEmergency is how long an emergency number is at most: what is longer would
// hide numbers that people have.
const maxEmergency = 6

func codesOf(d Domain) dial.Codes {
	s := d.Policies.Services
	slots, _ := dial.ParseSlots(s.ParkSlots)
	return dial.NewCodes(d.Policies.Features, map[dial.Feature]string{dial.Voicemail: s.Voicemail, dial.Conference: s.Conference}, slots)
}

func emergencyNumbers(d Domain) []string {
	if d.Policies.EmergencyNumbers != nil {
		return d.Policies.EmergencyNumbers
	}
	return dial.EmergencyNumbers(strings.ToUpper(d.Region))
}

// codes finds fault with codes and service numbers that mean something else
// already: another one, or a number of the domain.
func (c *checker) codes(d Domain) error {
	codes := codesOf(d)
	for _, f := range dial.Features() {
		code := codes.Code(f)
		path := "policies.features." + f.String()
		if other := codes.Others(f, code); code != "" && other != "" {
			c.fault(path, RuleFeature, code+" would be taken for "+other)
		}
		if err := c.free(path, RuleFeature, code); err != nil {
			return err
		}
	}
	taken := map[string]string{}
	numbers := map[string]string{"voicemail": d.Policies.Services.Voicemail, "conference": d.Policies.Services.Conference}
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		number := numbers[name]
		if number == "" {
			continue
		}
		path := "policies.services." + name
		if other := taken[number]; other != "" {
			c.fault(path, RuleService, number+" is the number of "+other)
		}
		taken[number] = name
		if err := c.free(path, RuleService, number); err != nil {
			return err
		}
	}
	slots, _ := dial.ParseSlots(d.Policies.Services.ParkSlots)
	for slot := range slots.All {
		if other := taken[slot]; other != "" {
			c.fault("policies.services.park_slots", RuleService, slot+" is the number of "+other)
		}
		if err := c.free("policies.services.park_slots", RuleService, slot); err != nil {
			return err
		}
	}
	for i, n := range emergencyNumbers(d) {
		if f, _, ok := codes.Feature(n); ok {
			c.fault("policies."+item("emergency_numbers", i), RuleEmergency, n+" is the code of "+f.String())
		}
		if f, _, ok := codes.Service(n); ok {
			c.fault("policies."+item("emergency_numbers", i), RuleEmergency, n+" is the number of "+f.String())
		}
	}
	return nil
}

// free finds fault with a code that is a number of the domain.
func (c *checker) free(path, rule, code string) error {
	if !dial.IsExtension(code) {
		return nil
	}
	ok, err := c.v.exists(Ref{c.ref.Name, KindNumber, code})
	if ok {
		c.fault(path, rule, code+" is a number of the domain")
	}
	return err
}

// notACode finds fault with a new number that already means something else when
// it is dialled. Of one that was there before the code was, the domain's check
// says so.
func (c *checker) notACode(d Domain) error {
	number := c.ref.Name
	codes := codesOf(d)
	feature, _, isFeature := codes.Feature(number)
	service, _, isService := codes.Service(number)
	helps := slices.Contains(emergencyNumbers(d), number)
	if !isFeature && !isService && !helps {
		return nil
	}
	if _, had, err := c.old.Get(c.ref); err != nil || had {
		return err
	}
	switch {
	case isFeature:
		c.fault("number", RuleFeature, number+" is the code of "+feature.String())
	case isService:
		c.fault("number", RuleService, number+" is the number of "+service.String())
	default:
		c.fault("number", RuleEmergency, number+" is an emergency number")
	}
	return nil
}
