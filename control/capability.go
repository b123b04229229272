package control

import (
	"net/http"
	"slices"

	"bellhop/routing"
	"bellhop/routing/dial"
	"bellhop/routing/directory"
)

// Capabilities are what a user and their devices may do, so that a portal shows
// only that.
type capabilities struct {
	User     string                `json:"user"`
	Settings map[string]capability `json:"settings" doc:"by the last part of the path"`
	Numbers  []numberCapabilities  `json:"numbers"`
	Devices  []deviceCapabilities  `json:"devices"`
	Codes    map[string]string     `json:"codes" doc:"what is dialled for a feature (dial.feature)"`
	Policies map[string]int        `json:"policies" doc:"least lengths of secrets, most of things"`
}

// A capability is whether something may be done, and the rule why not.
type capability struct {
	Allowed bool   `json:"allowed"`
	Because string `json:"because,omitempty" doc:"the rule that forbids it"`
}

type numberCapabilities struct {
	Number    string                `json:"number"`
	State     string                `json:"state" enum:"active,reserved,pending"`
	Calls     []string              `json:"calls" doc:"kinds of destinations that it may call (class-of-service)"`
	Forwards  []string              `json:"forwards" doc:"kinds of destinations that its settings may name (target.class)"`
	Settings  map[string]capability `json:"settings"`
	Effective map[string]effective  `json:"effective" doc:"what applies of what is set, and who set it"`
}

// An effective value is one that applies, and where it comes from.
type effective struct {
	Value any    `json:"value"`
	From  string `json:"from" enum:"number,site,domain,default,computed"`
}

type deviceCapabilities struct {
	Device   string                `json:"device"`
	Kind     string                `json:"kind"`
	Lines    []string              `json:"lines"`
	Settings map[string]capability `json:"settings"`
}

func yes() capability { return capability{Allowed: true} }

func no(rule string) capability { return capability{Because: rule} }

func allowedIf(ok bool, rule string) capability {
	if ok {
		return yes()
	}
	return no(rule)
}

func capabilityEndpoints() []endpoint {
	const summary = "What a user and each device may do"
	return []endpoint{
		{method: http.MethodGet, path: "/v1/domains/{domain}/users/{user}/capabilities", id: "get-capabilities", tag: "settings", access: member, summary: summary, out: typeOf[capabilities](), handle: (*Server).capabilities},
		{method: http.MethodGet, path: "/v1/me/capabilities", id: "get-my-capabilities", tag: "me", access: person, summary: summary, out: typeOf[capabilities](), handle: (*Server).capabilities},
	}
}

func (s *Server) capabilities(q *request) (reply, error) {
	if s.opts.World == nil {
		return reply{}, absent("routing")
	}
	domain, user, err := s.sessionsOf(q)
	if err != nil {
		return reply{}, err
	}
	if _, err := s.opts.Documents.Get(q.ctx(), directory.Ref{Domain: domain, Kind: directory.KindUser, Name: user}); err != nil {
		return reply{}, err
	}
	d, err := s.policies(q.ctx(), domain)
	if err != nil {
		return reply{}, err
	}
	t := directory.CompileTenant(domain, d)
	out := capabilities{
		User: user, Settings: map[string]capability{}, Numbers: []numberCapabilities{}, Devices: []deviceCapabilities{}, Codes: map[string]string{},
		Policies: map[string]int{
			"password_length": directory.PasswordLength(d), "pin_length": directory.PINLength(d), "speed_dials": directory.MaxSpeedDials,
			"remote_destinations": directory.MaxRemotes, "devices": directory.DevicesPerUser(d),
		},
	}
	for _, f := range dial.Features() {
		if code := t.Codes.Code(f); code != "" {
			out.Codes[f.String()] = code
		}
	}
	if err := s.numberCapabilities(q, &out, t, d); err != nil {
		return reply{}, err
	}
	return reply{body: out}, s.deviceCapabilities(q, &out, domain)
}

func (s *Server) numberCapabilities(q *request, out *capabilities, t *directory.Tenant, d directory.Domain) error {
	docs, _, err := s.ownedBy(q, t.Name, out.User, directory.KindNumber)
	if err != nil {
		return err
	}
	active := false
	for _, doc := range docs {
		n, err := directory.Parse[directory.Number](directory.KindNumber, doc.Body)
		if err != nil {
			return err
		}
		l, err := s.line(q, t.Name, doc.Name)
		if err != nil {
			return err
		}
		if l == nil { // deleted meanwhile
			continue
		}
		active = active || l.Active
		forwards := allowedIf(!l.CodeRequired, directory.RuleCode)
		c := numberCapabilities{
			Number: doc.Name, State: n.State, Calls: kindsOf(l.Class), Forwards: kindsOf(l.ForwardingClass),
			Settings: map[string]capability{
				"forwarding": forwards, "voicemail": allowedIf(l.Voicemail, "voicemail"),
				"forwarding/busy": forwards, "call_waiting": yes(),
			},
			Effective: effectiveOf(n, d, l),
		}
		if busy := l.Busy.Internal.On || l.Busy.External.On; directory.BusyExclusive(d) && busy {
			c.Settings["call_waiting"] = no(directory.RuleExclusive)
		} else if directory.BusyExclusive(d) && n.CallWaiting != nil && *n.CallWaiting && forwards.Allowed {
			c.Settings["forwarding/busy"] = no(directory.RuleExclusive)
		}
		out.Numbers = append(out.Numbers, c)
	}
	for _, name := range []string{"dnd", "presence", "presence/forwarding", "callme", "remote-destinations"} {
		out.Settings[name] = allowedIf(active, "number.none") // nothing they would act on
	}
	out.Settings["pin"], out.Settings["password"] = yes(), yes()
	return nil
}

// kindsOf lists the kinds of destinations that a class allows.
func kindsOf(c dial.Class) []string {
	out := []string{}
	for k := dial.Internal; k <= dial.Premium; k++ {
		if c.Allows(k, "") {
			out = append(out, k.String())
		}
	}
	return out
}

// effectiveOf says what applies of the settings of a number that have a default
// in its site or domain.
func effectiveOf(n directory.Number, d directory.Domain, l *directory.Line) map[string]effective {
	from := func(own, domain bool) string {
		switch {
		case own:
			return "number"
		case domain:
			return "domain"
		default:
			return "default"
		}
	}
	waiting := max(l.Trigger.Internal, l.Trigger.External) > 1
	out := map[string]effective{
		"ring_time":    {directory.Duration(l.RingTime), from(n.RingTime != 0, d.Defaults.RingTime != 0)},
		"busy_trigger": {map[string]int{"internal": l.Trigger.Internal, "external": l.Trigger.External}, from(n.BusyTrigger != 0, d.Defaults.BusyTrigger != 0)},
		"call_waiting": {waiting, from(n.CallWaiting != nil, d.Defaults.CallWaiting != nil)},
		"voicemail":    {l.Voicemail, "number"},
	}
	if !waiting && n.CallWaiting == nil && (l.Busy.Internal.On || l.Busy.External.On) {
		out["call_waiting"] = effective{false, "computed"} // it gives way to a forward
	}
	return out
}

func (s *Server) deviceCapabilities(q *request, out *capabilities, domain string) error {
	docs, _, err := s.ownedBy(q, domain, out.User, directory.KindDevice)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		d, err := directory.Parse[directory.Device](directory.KindDevice, doc.Body)
		if err != nil {
			return err
		}
		phone := d.Kind == directory.DeviceDesk || d.Kind == directory.DeviceHandset
		c := deviceCapabilities{Device: doc.Name, Kind: d.Kind, Lines: []string{}, Settings: map[string]capability{
			"speed-dials": yes(), "activation": allowedIf(q.who.admin(domain), "role.denied"), "dnd_alert": allowedIf(phone, "device.kind"),
		}}
		for _, l := range d.Lines {
			c.Lines = append(c.Lines, l.Number)
		}
		out.Devices = append(out.Devices, c)
	}
	return nil
}

// line returns a number as routing uses it; nil when there is none.
func (s *Server) line(q *request, domain, number string) (*directory.Line, error) {
	w := routing.NewWorld(q.now)
	if err := s.opts.World.Load(q.ctx(), routing.Need{Kind: routing.NeedNumber, Domain: domain, Key: number}, w); err != nil {
		return nil, err
	}
	return w.Number(domain, number), nil
}

// An inForce says whether a setting of a user acts now, and at which number.
type inForce struct {
	InForce bool                          `json:"in_force"`
	Status  string                        `json:"status,omitempty" doc:"of a presence: the one that is in force now"`
	Because []string                      `json:"because,omitempty" doc:"the rules that go before it, where it does not"`
	Numbers map[string]map[string]applied `json:"numbers" doc:"what decides at each number, for calls from inside and outside"`
}

// acts returns the decoration of a user's setting: settings never overwrite each
// other, so what is set and what applies are two things (behaviour.md §3).
func acts(is func(a applied, m map[string]any) bool) func(*Server, *request, directory.Ref, map[string]any) error {
	return func(s *Server, q *request, ref directory.Ref, m map[string]any) error {
		user, _ := directory.SplitRemote(ref.Name)
		docs, _, err := s.ownedBy(q, ref.Domain, user, directory.KindNumber)
		if err != nil {
			return err
		}
		out := inForce{Numbers: map[string]map[string]applied{}}
		for _, doc := range docs {
			r, err := s.reach(q, directory.Ref{Domain: ref.Domain, Kind: directory.KindForwarding, Name: doc.Name})
			if err != nil {
				return err
			}
			sides := map[string]applied{"internal": r.apply(true, q.now), "external": r.apply(false, q.now)}
			out.Numbers[doc.Name] = sides
			for _, a := range sides {
				if is(a, m) {
					out.InForce = true
				} else if !slices.Contains(out.Because, a.Rule) {
					out.Because = append(out.Because, a.Rule)
				}
			}
		}
		slices.Sort(out.Because)
		if out.InForce {
			out.Because = nil
		}
		m["effective"] = out
		return nil
	}
}

// byRule is [acts] of a setting that decides by a rule.
func byRule(rule string) func(*Server, *request, directory.Ref, map[string]any) error {
	return acts(func(a applied, _ map[string]any) bool { return a.Rule == rule })
}

// dndActs: ringer-off lets calls through, silently.
func dndActs(a applied, m map[string]any) bool {
	return a.Rule == "dnd" || m["enabled"] == true && (a.Rule == "ring.devices" || a.Rule == "snr")
}

// rings: a remote destination acts where it rings with the number.
func rings(a applied, m map[string]any) bool {
	number, _ := m["number"].(string)
	return number != "" && slices.Contains(a.Also, number)
}

// numberEffective adds what applies of a number's settings.
func (s *Server) numberEffective(q *request, ref directory.Ref, m map[string]any) error {
	if s.opts.World == nil {
		return nil
	}
	n, _, err := document[directory.Number](s, q, ref)
	if err != nil {
		return err
	}
	d, err := s.policies(q.ctx(), ref.Domain)
	if err != nil {
		return err
	}
	l, err := s.line(q, ref.Domain, ref.Name)
	if err != nil || l == nil {
		return err
	}
	out := effectiveOf(n, d, l)
	out["calls"] = effective{kindsOf(l.Class), "computed"}
	out["forwards"] = effective{kindsOf(l.ForwardingClass), "computed"}
	m["effective"] = out
	return nil
}
