package directory

import (
	"net/netip"
	"strconv"
	"strings"

	"bellhop/routing/dial"
)

func (d *decoder) domain(o *object) Domain {
	v := Domain{
		Aliases:    o.texts("aliases"),
		Region:     strings.ToUpper(o.text("region")),
		AccessCode: o.text("access_code"),
		Realm:      o.text("realm"),
	}
	for i, a := range v.Aliases {
		v.Aliases[i] = Host(a)
		if !isHost(v.Aliases[i]) {
			d.fault("aliases["+strconv.Itoa(i)+"]", RuleName, "is neither a host name nor an address")
		}
	}
	if _, ok := dial.NewPlan(v.Region, v.AccessCode); !ok {
		d.fault("region", RuleValue, "is not a region this version can dial in")
	}
	if v.AccessCode != "" && (len(v.AccessCode) > 4 || strings.Trim(v.AccessCode, "0123456789") != "") {
		d.fault("access_code", RuleValue, "must be 1 to 4 digits")
	}
	if strings.ContainsAny(v.Realm, "\"\\") {
		d.fault("realm", RuleValue, "must not have quotes or backslashes")
	}
	p := o.sub("policies")
	v.Policies = Policies{
		BusyExclusive: p.maybe("busy_exclusive"), Strangers: p.flag("strangers"), Retention: d.retention(p.sub("retention")), Limits: d.limits(p),
	}
	v.Policies.Mailbox = p.choice("mailbox", "", MailboxFirst, MailboxLast)
	d.codes(p, &v.Policies)
	v.Policies.PINLength = p.count("pin_length", MinPIN, MaxPIN)
	v.Policies.PasswordLength = p.count("password_length", MinPassword, MaxPassword)
	v.Policies.DevicesPerUser = p.count("devices_per_user", 1, MaxDevices)
	p.done()
	f := o.sub("defaults")
	v.Defaults = Defaults{
		RingTime:        f.ringTime("ring_time"),
		BusyTrigger:     f.count("busy_trigger", 1, 100),
		CallWaiting:     f.maybe("call_waiting"),
		ClassOfService:  f.text("class_of_service"),
		ForwardingClass: f.text("forwarding_class"),
		Limits:          d.limits(f),
	}
	f.done()
	o.done()
	return v
}

func (d *decoder) site(o *object) Site {
	defer o.done()
	return Site{
		Name:              o.text("name"),
		ClassOfService:    o.text("class_of_service"),
		MainNumber:        d.phone(o, "main_number"),
		EmergencyLocation: o.text("emergency_location"),
		EmergencyCallback: d.phone(o, "emergency_callback"),
	}
}

func (d *decoder) user(o *object) User {
	v := User{
		Name:          o.text("name"),
		Email:         o.text("email"),
		Role:          Role(o.choice("role", string(RoleUser), string(RoleUser), string(RoleDomainAdmin), string(RoleSystemAdmin))),
		State:         o.choice("state", "", "disabled"),
		Numbers:       o.texts("numbers"),
		Language:      o.text("language"),
		TimeZone:      o.text("time_zone"),
		PrimaryDevice: o.text("primary_device"),

		ConferenceCode: o.text("conference_code"),
	}
	if c := v.ConferenceCode; c != "" && (len(c) < 3 || len(c) > 10 || strings.Trim(c, "0123456789") != "") {
		d.fault("conference_code", RuleAccessCode, "must be 3 to 10 digits")
	}
	if v.Email != "" && strings.Count(v.Email, "@") != 1 {
		d.fault("email", RuleValue, "is not an e-mail address")
	}
	if _, ok := parseZone(v.TimeZone); !ok {
		d.fault("time_zone", RuleValue, "must be a time zone like Europe/Berlin")
	}
	o.done()
	return v
}

func (d *decoder) number(o *object) Number {
	v := Number{
		Public:          d.phone(o, "public"),
		User:            o.text("user"),
		Site:            o.text("site"),
		State:           o.choice("state", StateActive, StateActive, StateReserved, StatePending),
		Label:           o.text("label"),
		ClassOfService:  o.text("class_of_service"),
		ForwardingClass: o.text("forwarding_class"),
		Voicemail:       o.flag("voicemail"),
		RingTime:        o.ringTime("ring_time"),
		BusyTrigger:     o.count("busy_trigger", 1, 100),
		MissedCalls:     o.maybe("missed_calls"),
		CallWaiting:     o.maybe("call_waiting"),
		Limits:          d.limits(o),
		CodeRequired:    o.flag("authorization_code_required"),
	}
	if v.Public != "" && !dial.IsE164(v.Public) {
		d.fault("public", RuleValue, "must be an E.164 number like +498970079876")
	}
	if v.CallerID = o.text("caller_id"); v.CallerID != "" && v.CallerID != CallerIDHidden {
		v.CallerID = d.phone(o, "caller_id")
	}
	o.done()
	return v
}

func (d *decoder) device(o *object) Device {
	v := Device{
		User:      o.text("user"),
		Kind:      o.choice("kind", DeviceDesk, DeviceDesk, DeviceSoft, DeviceBrowser, DeviceHandset),
		MAC:       strings.ToLower(strings.NewReplacer(":", "", "-", "", ".", "").Replace(o.text("mac"))),
		DNDAlert:  o.choice("dnd_alert", "", "none", "beep", "flash"),
		HoldMusic: o.text("hold_music"),
		TLS:       o.choice("tls", "", TLSRequired),
		Lines: each(o, "lines", func(l *object) DeviceLine {
			return DeviceLine{Number: l.text("number"), Label: l.text("label")}
		}),
	}
	if v.MAC != "" && (len(v.MAC) != 12 || strings.Trim(v.MAC, "0123456789abcdef") != "") {
		d.fault("mac", RuleValue, "must be twelve hexadecimal digits")
	}
	seen := map[string]bool{}
	for i, l := range v.Lines {
		if l.Number == "" || seen[l.Number] {
			d.fault("lines["+strconv.Itoa(i)+"].number", RuleValue, "is empty or a line twice")
		}
		seen[l.Number] = true
	}
	o.done()
	return v
}

func (d *decoder) class(o *object) Class {
	v := Class{Rules: each(o, "rules", func(r *object) ClassRule {
		c := ClassRule{Allow: r.text("allow"), Deny: r.text("deny")}
		if (c.Allow == "") == (c.Deny == "") {
			d.fault(r.path, RuleValue, "must have either allow or deny")
		} else if s := c.Allow + c.Deny; !isDestination(s) {
			d.fault(r.path, RuleValue, "must be a kind of destination or a number, with * at its end for a prefix")
		}
		return c
	})}
	if v.Rules == nil {
		v.Rules = []ClassRule{}
	}
	o.done()
	return v
}

// isDestination reports whether s can stand in a rule of a class.
func isDestination(s string) bool {
	if _, ok := dial.ParseKind(s); ok {
		return true
	}
	p := strings.TrimSuffix(s, "*")
	if strings.HasPrefix(p, "sip:") {
		return !strings.Contains(p, "*")
	}
	return s == "*" || p != "" && strings.Trim(strings.TrimPrefix(p, "+"), "0123456789") == ""
}

func (d *decoder) forwarding(o *object) Forwarding {
	defer o.done()
	return Forwarding{
		All:         d.sides(o, "all"),
		Busy:        d.sides(o, "busy"),
		NoAnswer:    d.sides(o, "no_answer"),
		Unreachable: d.sides(o, "unreachable"),
	}
}

func (d *decoder) sides(o *object, name string) (s Sides) {
	sub := o.sub(name)
	for _, side := range []struct {
		name string
		to   []*Forward
	}{
		{"internal", []*Forward{&s.Internal}},
		{"external", []*Forward{&s.External}},
		{"both", []*Forward{&s.Internal, &s.External}}, // last: it writes both
	} {
		f := sub.sub(side.name)
		enabled, target := f.flag("enabled"), d.target(f, "target")
		for _, to := range side.to {
			if f.has("enabled") {
				to.Enabled = enabled
			}
			if f.has("target") {
				to.Target = target
			}
		}
		f.done()
	}
	side := "internal"
	bad := s.Internal.Enabled && s.Internal.Target == ""
	if !bad {
		side, bad = "external", s.External.Enabled && s.External.Target == ""
	}
	if sub.has("both") {
		side = "both"
	}
	if bad {
		d.fault(sub.at(side)+".target", RuleMissing, "must be set where enabled is true")
	}
	sub.done()
	return s
}

func (d *decoder) dnd(o *object) DND {
	v := DND{
		Enabled: o.flag("enabled"),
		Mode:    o.choice("mode", DNDVoicemail, DNDVoicemail, DNDReject, DNDRingerOff),
		Alert:   o.choice("alert", "", "none", "beep", "flash"),
		Allow:   d.phones(o, "allow"),
		Remotes: o.flag("remote_destinations"),
	}
	o.done()
	return v
}

func (d *decoder) presence(o *object) Presence {
	v := Presence{
		Status:      o.choice("status", StatusOffice, append(Statuses(), StatusDND)...),
		Until:       o.moment("until"),
		EndByItself: o.flag("end_by_itself"),
		Note:        o.text("note"),
		Visibility:  o.choice("visibility", "", "all", "internal", "nobody"),
	}
	if v.EndByItself && v.Until.IsZero() {
		d.fault("until", RuleMissing, "must be set where end_by_itself is true")
	}
	o.done()
	return v
}

func (d *decoder) presenceForwarding(o *object) PresenceForwarding {
	v := PresenceForwarding{}
	for _, status := range Statuses() {
		if !o.has(status) {
			continue
		}
		f := o.sub(status)
		if t := d.target(f, "target"); t != "" {
			v[status] = PresenceTarget{Target: t}
		}
		f.done()
	}
	o.done()
	return v
}

func (d *decoder) secret(o *object) Secret {
	v := Secret{
		ID: o.text("id"), Device: o.text("device"), Sealed: scalar[[]byte](o, "sealed", "base64"),
		Expires: o.moment("expires"), Origin: o.text("origin"),
	}
	if v.Device == "" || len(v.Sealed) == 0 {
		d.fault("device", RuleMissing, "device and sealed must be set")
	}
	o.done()
	return v
}

func (d *decoder) signIn(o *object) SignIn {
	defer o.done()
	return SignIn{
		Hash: o.text("hash"), Previous: o.texts("previous"), Changed: o.moment("changed"),
		MustChange: o.flag("must_change"), LastLogin: o.moment("last_login"),
	}
}

// phone reads a number in any form and returns its kept form.
func (d *decoder) phone(o *object, name string) string {
	s := o.text(name)
	if s == "" {
		return ""
	}
	n, ok := dial.Clean(s)
	if !ok {
		d.fault(o.at(name), RuleValue, "is not a number")
	}
	return n
}

// target reads where a call may be sent: a number, a SIP URI, or "voicemail".
func (d *decoder) target(o *object, name string) string {
	s := o.text(name)
	if s == "" || s == TargetVoicemail {
		return s
	}
	if user, host, ok := splitURI(s); ok {
		return "sip:" + user + "@" + host
	}
	n, ok := dial.Clean(s)
	if !ok {
		d.fault(o.at(name), RuleValue, `must be a number, a SIP URI (sip:user@host) or "voicemail"`)
	}
	return n
}

// splitURI reads "sip:user@host"; nothing may follow the host but its port.
func splitURI(s string) (user, host string, ok bool) {
	rest, ok := strings.CutPrefix(s, "sip:")
	user, host, at := strings.Cut(rest, "@")
	name, port, _ := strings.Cut(host, ":")
	if strings.HasPrefix(host, "[") {
		if a, p, found := strings.Cut(host[1:], "]"); found {
			name, port = "["+a+"]", strings.TrimPrefix(p, ":")
		}
	}
	if !ok || !at || user == "" || strings.ContainsAny(user, " ;?<>\"@") ||
		!isHost(Host(name)) || strings.Trim(port, "0123456789") != "" {
		return "", "", false
	}
	return user, strings.ToLower(host), true
}

// Host returns a host as it is kept and looked for: lower case, an IPv6
// address without brackets and in its short form, no dot at the end.
func Host(s string) string {
	s = strings.TrimSuffix(strings.ToLower(s), ".")
	if t, ok := strings.CutPrefix(s, "["); ok {
		s = strings.TrimSuffix(t, "]")
	}
	if strings.IndexByte(s, ':') >= 0 {
		if a, err := netip.ParseAddr(s); err == nil {
			return a.Unmap().WithZone("").String()
		}
	}
	return s
}

// isHost reports whether s, as [Host] returned it, can name a domain.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}
