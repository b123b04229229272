package directory

import (
	"strings"
	"time"

	"bellhop/routing/dial"
)

// A Tenant is a domain as routing uses it. It never changes once compiled.
type Tenant struct {
	Name        string
	Realm       string
	Plan        dial.Plan
	Strangers   bool // dial.number is open to strangers
	Defaults    Defaults
	Exclusive   bool // busy.exclusive
	LastMailbox bool // of a chain the last number's mailbox takes the call
	Limits      Quota
	Codes       dial.Codes // dial.feature, dial.service
	Emergency   []string   // dial.emergency
	// Trunks are the routes out, the longest prefix first, then the lowest
	// priority; Carriers are all trunks, by name.
	Trunks   []TrunkRoute
	Carriers []Carrier
}

// CompileTenant compiles the document of a domain; [Tenant.WithTrunk] adds its
// trunks.
func CompileTenant(name string, d Domain) *Tenant {
	return &Tenant{
		Name: name, Realm: d.Realm, Plan: plan(d), Strangers: d.Policies.Strangers,
		Defaults: d.Defaults, Exclusive: BusyExclusive(d), LastMailbox: d.Policies.Mailbox == MailboxLast, Limits: quota(d.Policies.Limits, domainLimits()),
		Codes: codesOf(d), Emergency: emergencyNumbers(d),
	}
}

func plan(d Domain) dial.Plan {
	p, _ := dial.NewPlan(d.Region, d.AccessCode)
	return p
}

// A Line is all that routing asks about a number: the number itself, its
// forwarding, what its user set, and the devices that have it. It never
// changes once compiled.
type Line struct {
	Domain string
	Number string // extension; the user part of the AOR
	Public string // E.164; "" for none
	User   string // whose it is; "" for nobody's
	Admin  bool   // that is an administrator of the domain
	Active bool

	CallerID  string // "" its own, CallerIDHidden, or a number
	Voicemail bool
	Unlogged  bool          // its phones log no missed calls
	RingTime  time.Duration // until forward.no-answer
	RingSet   bool          // RingTime is the number's own: remote destinations do not make it longer
	Trigger   Pair[int]     // calls at which it is busy
	Label     string        // name that its calls show; "" for none

	Hunt       *Hunt    // the hunt group whose number it is; nil for none
	Pickup     []string // the pickup groups that it is a member of, sorted
	MainNumber string   // of the site; "" for none

	EmergencyLocation string // of the site
	EmergencyCallback string // of the site, E.164 where the plan knows it
	CodeRequired      bool   // its calls outside need an authorization code
	Area              string // what numbers of its place begin with, where a class of its own names them; see [dial.Area]

	Limits Quota

	All, Busy, NoAnswer, Unreachable Pair[Follow]

	DND        DND
	DNDSetting string            // "users/ana/dnd"
	Alerts     map[string]string // dnd_alert of devices that have one, where DND is on and ringer-off
	Allow      []dial.Number     // who gets through dnd
	Presence   Presence
	PresenceTo []StatusFollow
	CallMe     Follow   // On where it has a target; presence may suspend it
	Remotes    []Remote // single number reach, by id

	Class           dial.Class // of the calls it makes
	OwnClass        bool       // the number names Class itself: neither its site's nor the default
	ForwardingClass dial.Class // of the targets its settings name

	Devices []string // authorization names, sorted
}

// Alert is how a device shows a call that comes while do not disturb keeps it
// silent: none, beep or flash. What the device says goes before what its user does.
func (l *Line) Alert(device string) string {
	return firstOf(l.Alerts[device], l.DND.Alert, "none")
}

// A Pair has one value for internal calls and one for external ones.
type Pair[T any] struct{ Internal, External T }

// Of returns the side for an internal or an external call.
func (p *Pair[T]) Of(internal bool) *T {
	if internal {
		return &p.Internal
	}
	return &p.External
}

// A Follow is a compiled forward.
type Follow struct {
	On      bool
	Target  Target
	Setting string // path of the setting: "numbers/1002/forwarding/all"
}

// A StatusFollow is the compiled forward of a presence status.
type StatusFollow struct {
	Status string
	Follow
}

// A Target is where a setting sends a call: voicemail, a number, or a user part
// at a host.
type Target struct {
	Text       string // as configured
	Voicemail  bool
	Number     dial.Number // an extension, an E.164 number, or either
	Kind       dial.Kind   // of Number where it is outside; 0: it has no E.164 form
	User, Host string      // of a SIP URI
}

// external returns a number in its E.164 form where the plan knows it.
func external(p dial.Plan, s string) string {
	if n, ok := p.Parse(s); ok && n.E164 != "" {
		return n.E164
	}
	return s
}

func parseTarget(p dial.Plan, s string) Target {
	t := Target{Text: s, Voicemail: s == TargetVoicemail}
	if t.Voicemail || s == "" {
		return t
	}
	if user, host, ok := splitURI(s); ok {
		if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
			host = host[:i]
		}
		t.User, t.Host = user, Host(host)
		return t
	}
	if t.Number, _ = p.Parse(s); t.Number.E164 != "" {
		t.Kind = p.KindOf(t.Number.E164)
	}
	return t
}

// Ring times and triggers where neither number nor domain says otherwise
// (behaviour.md §3).
const (
	DefaultRingTime = 18 * time.Second
	DefaultTrigger  = 2
)

// LineDocuments are the documents a [Line] is compiled from. Those that do not
// exist are zero.
type LineDocuments struct {
	Tenant     *Tenant
	Name       string
	Number     Number
	Forwarding Forwarding
	DND        DND
	Presence   Presence
	PresenceTo PresenceForwarding
	CallMe     CallMe
	Remotes    map[string]RemoteDestination // by id
	Zone       string                       // of the user
	Role       Role                         // of the user
	Site       Site
	GroupName  string
	Group      *Group   // the hunt group whose number it is
	Pickup     []string // names of the pickup groups that it is a member of
	Class      dial.Class
	Forwarded  dial.Class // the forwarding class
	Devices    []string
	Alerts     map[string]string // dnd_alert, by device
}

// CompileLine compiles a number with all that hangs on it.
func CompileLine(d LineDocuments) *Line {
	n, t := d.Number, d.Tenant
	l := &Line{
		Domain: t.Name, Number: d.Name, Public: n.Public, User: n.User,
		Active:   n.State == "" || n.State == StateActive,
		CallerID: n.CallerID, Voicemail: n.Voicemail, Unlogged: n.MissedCalls != nil && !*n.MissedCalls,
		RingTime: firstOf(time.Duration(n.RingTime), time.Duration(t.Defaults.RingTime), DefaultRingTime),
		RingSet:  n.RingTime != 0, Label: n.Label, OwnClass: n.ClassOfService != "",
		Class: d.Class, ForwardingClass: d.Forwarded,
		Hunt: hunt(t, d.GroupName, d.Group), Pickup: d.Pickup, MainNumber: external(t.Plan, d.Site.MainNumber), Limits: quota(n.Limits, t.Defaults.Limits, numberLimits()),
		Devices: d.Devices,

		CodeRequired:      n.CodeRequired,
		EmergencyLocation: d.Site.EmergencyLocation, EmergencyCallback: external(t.Plan, d.Site.EmergencyCallback),
	}
	if d.Class.Has(dial.Local) || d.Forwarded.Has(dial.Local) {
		l.Area = dial.Area(firstOf(l.Public, l.MainNumber))
	}
	path := "numbers/" + d.Name + "/forwarding/"
	l.All = follows(t, d.Forwarding.All, path+"all")
	l.Busy = follows(t, d.Forwarding.Busy, path+"busy")
	l.NoAnswer = follows(t, d.Forwarding.NoAnswer, path+"no_answer")
	l.Unreachable = follows(t, d.Forwarding.Unreachable, path+"unreachable")
	l.Trigger = Pair[int]{
		Internal: trigger(t, n, l.Busy.Internal.On),
		External: trigger(t, n, l.Busy.External.On),
	}
	if n.User == "" {
		return l
	}
	l.Admin = d.Role == RoleDomainAdmin
	l.DND, l.Presence, l.Alerts = d.DND, d.Presence, d.Alerts
	l.DNDSetting = "users/" + n.User + "/dnd"
	for _, a := range d.DND.Allow {
		if who, ok := t.Plan.Parse(a); ok {
			l.Allow = append(l.Allow, who)
		}
	}
	l.CallMe = Follow{
		On: d.CallMe.Target != "", Target: parseTarget(t.Plan, d.CallMe.Target), Setting: "users/" + n.User + "/callme",
	}
	l.Remotes = remotes(t, d.Name, n.User, d.Zone, d.Remotes)
	for _, status := range Statuses() {
		if to := d.PresenceTo[status].Target; to != "" {
			l.PresenceTo = append(l.PresenceTo, StatusFollow{status, Follow{
				On: true, Target: parseTarget(t.Plan, to), Setting: "users/" + n.User + "/presence/forwarding/" + status,
			}})
		}
	}
	return l
}

func follows(t *Tenant, s Sides, setting string) Pair[Follow] {
	one := func(f Forward) Follow {
		return Follow{On: f.Enabled, Target: parseTarget(t.Plan, f.Target), Setting: setting}
	}
	return Pair[Follow]{Internal: one(s.Internal), External: one(s.External)}
}

// trigger is the number of calls at which a number is busy: 1 with call waiting
// off, else 2 or what was set. Call waiting that nobody set is on, but gives
// way to a forward.busy where the domain lets only one of them be.
func trigger(t *Tenant, n Number, busy bool) int {
	waiting := !busy || !t.Exclusive
	switch {
	case n.CallWaiting != nil:
		waiting = *n.CallWaiting
	case t.Defaults.CallWaiting != nil:
		waiting = *t.Defaults.CallWaiting && waiting
	}
	if !waiting {
		return 1
	}
	return firstOf(n.BusyTrigger, t.Defaults.BusyTrigger, DefaultTrigger)
}

func firstOf[T comparable](vs ...T) (zero T) {
	for _, v := range vs {
		if v != zero {
			return v
		}
	}
	return zero
}
