package directory

import (
	"slices"

	"bellhop/routing/dial"
)

// LoadTenant finds the domain that answers for a host, by its name or an alias,
// with its trunks.
func LoadTenant(v View, host string) (*Tenant, bool, error) {
	t, ok, err := LoadDomain(v, host)
	if err != nil || !ok {
		return nil, false, err
	}
	refs, err := v.Find(Key{IndexTrunk, t.Name})
	for _, ref := range refs {
		trunk, ok, err := load[Trunk](v, ref)
		if err != nil {
			return nil, false, err
		}
		if ok {
			t = t.WithTrunk(ref.Name, &trunk)
		}
	}
	return t, err == nil, err
}

// LoadPeerings returns all trunks of the system, by domain and name, as the SIP
// side uses them.
func LoadPeerings(v View) ([]Peering, error) {
	refs, err := v.Find(Key{IndexTrunk, AllTrunks})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(refs, compareRefs)
	out := make([]Peering, 0, len(refs))
	for _, ref := range refs {
		trunk, ok, err := load[Trunk](v, ref)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		d, _, err := load[Domain](v, Ref{Kind: KindDomain, Name: ref.Domain})
		if err != nil {
			return nil, err
		}
		key, _, err := load[TrunkKey](v, Ref{ref.Domain, KindTrunkKey, ref.Name})
		if err != nil {
			return nil, err
		}
		out = append(out, Peering{
			Domain: ref.Domain, Name: ref.Name, Realm: d.Realm, Trunk: trunk,
			Peers: PeersOf(trunk), Sources: SourcesOf(trunk), Names: NamesOf(trunk),
			Username: key.Username, Sealed: key.Sealed,
			MaxCalls: trunk.MaxCalls.or(DefaultMaxCalls), MaxCPS: trunk.MaxCPS.or(DefaultMaxCPS),
		})
	}
	return out, nil
}

// LoadDomain is [LoadTenant] without the trunks: what numbers are compiled with.
// It need not read what a [TenantView] knows.
func LoadDomain(v View, host string) (*Tenant, bool, error) {
	host = Host(host)
	if k, ok := v.(TenantView); ok {
		if t, ok := k.Tenant(host); ok {
			return t, true, nil
		}
	}
	refs, err := v.Find(Key{IndexHost, host})
	if err != nil || len(refs) == 0 {
		return nil, false, err
	}
	d, ok, err := load[Domain](v, refs[0])
	if err != nil || !ok {
		return nil, false, err
	}
	return CompileTenant(refs[0].Name, d), true, nil
}

// LoadLine finds a number of a domain by its extension or its public number and
// compiles it.
func LoadLine(v View, t *Tenant, key string) (*Line, bool, error) {
	name, ok, err := key, true, error(nil)
	if dial.IsE164(key) {
		name, ok, err = findNumber(v, t.Name, dial.Number{E164: key})
	}
	if err != nil || !ok {
		return nil, false, err
	}
	d := LineDocuments{Tenant: t, Name: name}
	ref := func(k Kind, name string) Ref { return Ref{t.Name, k, name} }
	if d.Number, ok, err = load[Number](v, ref(KindNumber, name)); err != nil || !ok {
		return nil, false, err
	}
	if d.Forwarding, _, err = load[Forwarding](v, ref(KindForwarding, name)); err != nil {
		return nil, false, err
	}
	if u := d.Number.User; u != "" {
		if d.DND, _, err = load[DND](v, ref(KindDND, u)); err != nil {
			return nil, false, err
		}
		if d.Presence, _, err = load[Presence](v, ref(KindPresence, u)); err != nil {
			return nil, false, err
		}
		if d.PresenceTo, _, err = load[PresenceForwarding](v, ref(KindPresenceTo, u)); err != nil {
			return nil, false, err
		}
		if err = loadReach(v, &d, u); err != nil {
			return nil, false, err
		}
	}
	if d.Number.Site != "" {
		if d.Site, _, err = load[Site](v, ref(KindSite, d.Number.Site)); err != nil {
			return nil, false, err
		}
	}
	dom := Domain{Defaults: t.Defaults}
	if d.Class, err = serviceClass(v, t.Name, dom, d.Number); err != nil {
		return nil, false, err
	}
	if d.Forwarded, err = forwardingClass(v, t.Name, dom, d.Number); err != nil {
		return nil, false, err
	}
	refs, err := v.Find(Key{IndexLine, t.Name + "/" + name})
	if err != nil {
		return nil, false, err
	}
	for _, r := range refs {
		if r.Kind == KindDevice {
			d.Devices = append(d.Devices, r.Name)
		}
		if r.Kind == KindGroup {
			if err := loadGroup(v, &d, r); err != nil {
				return nil, false, err
			}
		}
	}
	slices.Sort(d.Devices)
	slices.Sort(d.Pickup)
	if d.DND.Enabled && d.DND.Mode == DNDRingerOff {
		if err := loadAlerts(v, &d); err != nil {
			return nil, false, err
		}
	}
	return CompileLine(d), true, nil
}

// loadAlerts reads how the devices of a number show what they do not ring for.
func loadAlerts(v View, d *LineDocuments) error {
	for _, name := range d.Devices {
		dev, _, err := load[Device](v, Ref{d.Tenant.Name, KindDevice, name})
		if err != nil {
			return err
		}
		if dev.DNDAlert != "" {
			if d.Alerts == nil {
				d.Alerts = map[string]string{}
			}
			d.Alerts[name] = dev.DNDAlert
		}
	}
	return nil
}

// loadReach reads the CallMe and the remote destinations of a user.
func loadReach(v View, d *LineDocuments, user string) (err error) {
	domain := d.Tenant.Name
	if d.CallMe, _, err = load[CallMe](v, Ref{domain, KindCallMe, user}); err != nil {
		return err
	}
	u, _, err := load[User](v, Ref{domain, KindUser, user})
	if err != nil {
		return err
	}
	d.Zone, d.Role = u.TimeZone, u.Role
	refs, err := v.Find(Key{IndexOwner, domain + "/" + user})
	if err != nil || len(refs) == 0 {
		return err
	}
	d.Remotes = make(map[string]RemoteDestination, len(refs))
	for _, r := range refs {
		remote, ok, err := load[RemoteDestination](v, r)
		if err != nil {
			return err
		}
		if _, id := SplitRemote(r.Name); ok {
			d.Remotes[id] = remote
		}
	}
	return nil
}

// LoadCaller returns the user whose remote destination a number is
// (snr.inbound); "" for nobody's, and for one that several users have.
func LoadCaller(v View, domain, number string) (user string, err error) {
	refs, err := v.Find(Key{IndexReach, domain + "/" + number})
	for _, r := range refs {
		switch u, _ := SplitRemote(r.Name); user {
		case "", u:
			user = u
		default:
			return "", err
		}
	}
	return user, err
}

// LoadUser returns the main number of a user, or the number of the hunt group of
// that name; false when there is neither, or without a number.
func LoadUser(v View, domain, user string) (number string, ok bool, err error) {
	if number, err = mainNumber(v, domain, user); number == "" && err == nil {
		var g Group
		g, _, err = load[Group](v, Ref{domain, KindGroup, user})
		number = g.Number
	}
	return number, number != "", err
}

// LoadDevice returns the first line of a device.
func LoadDevice(v View, domain, device string) (number string, ok bool, err error) {
	d, ok, err := load[Device](v, Ref{domain, KindDevice, device})
	if err != nil || !ok || len(d.Lines) == 0 {
		return "", false, err
	}
	return d.Lines[0].Number, true, nil
}

// LoadCredential returns what a request with a username is checked against.
func LoadCredential(v View, domain, username string) (Credential, bool, error) {
	s, ok, err := load[Secret](v, Ref{domain, KindCredential, username})
	if err != nil || !ok {
		return Credential{}, false, err
	}
	dev, ok, err := load[Device](v, Ref{domain, KindDevice, s.Device})
	if err != nil || !ok {
		return Credential{}, false, err
	}
	c := Credential{
		Device: s.Device, User: dev.User, Kind: dev.Kind, Username: username, Sealed: s.Sealed, Expires: s.Expires,
		TLSRequired: dev.TLS == TLSRequired,
	}
	for _, l := range dev.Lines {
		c.Lines = append(c.Lines, l.Number)
	}
	return c, true, nil
}

// mainNumber is the first number a user lists, else the first that is theirs.
func mainNumber(v View, domain, user string) (string, error) {
	u, ok, err := load[User](v, Ref{domain, KindUser, user})
	if err != nil || !ok {
		return "", err
	}
	if len(u.Numbers) > 0 {
		return u.Numbers[0], nil
	}
	refs, err := v.Find(Key{IndexUser, domain + "/" + user})
	first := ""
	for _, r := range refs {
		if r.Kind == KindNumber && (first == "" || r.Name < first) {
			first = r.Name
		}
	}
	return first, err
}

// findNumber returns the extension of a number of the domain.
func findNumber(v View, domain string, n dial.Number) (string, bool, error) {
	if n.Ext != "" {
		if _, ok, err := v.Get(Ref{domain, KindNumber, n.Ext}); err != nil || ok {
			return n.Ext, ok, err
		}
	}
	if n.E164 == "" {
		return "", false, nil
	}
	refs, err := v.Find(Key{IndexPublic, n.E164})
	if err != nil || len(refs) == 0 || refs[0].Domain != domain {
		return "", false, err
	}
	return refs[0].Name, true, nil
}

// resolveTarget returns the number of the domain that a target means.
func resolveTarget(v View, domain string, t Target) (string, bool, error) {
	if t.User == "" {
		return findNumber(v, domain, t.Number)
	}
	tenant, ok, err := LoadDomain(v, t.Host)
	if err != nil || !ok || tenant.Name != domain { // the same extension elsewhere is no loop
		return "", false, err
	}
	if n, ok := tenant.Plan.Parse(t.User); ok {
		return findNumber(v, domain, n)
	}
	if n, ok, err := LoadUser(v, domain, t.User); err != nil || ok {
		return n, ok, err
	}
	return "", false, nil // a device rings alone, without its number's forwards
}

// serviceClass is the class of the calls a number makes: its own, its site's,
// the domain's default, or [StandardClass] for one with a public number.
func serviceClass(v View, domain string, d Domain, n Number) (dial.Class, error) {
	name := n.ClassOfService
	if name == "" && n.Site != "" {
		s, _, err := load[Site](v, Ref{domain, KindSite, n.Site})
		if err != nil {
			return nil, err
		}
		name = s.ClassOfService
	}
	class, err := loadClass(v, domain, firstOf(name, d.Defaults.ClassOfService))
	if class == nil && n.Public != "" && err == nil {
		class = StandardClass()
	}
	return class, err
}

// forwardingClass is the class of the targets that settings of a number name:
// its own or the domain's default.
func forwardingClass(v View, domain string, d Domain, n Number) (dial.Class, error) {
	return loadClass(v, domain, firstOf(n.ForwardingClass, d.Defaults.ForwardingClass))
}

func loadClass(v View, domain, name string) (dial.Class, error) {
	if name == "" {
		return nil, nil
	}
	c, ok, err := load[Class](v, Ref{domain, KindClass, name})
	if err != nil {
		return nil, err
	}
	if !ok {
		return Class{}.Compile(), nil // named but gone: nothing is allowed
	}
	return c.Compile(), nil
}
