package directory

import "bellhop/routing/dial"

// A Domain is a tenant: a SIP domain with its other names, its region for
// reading numbers, its policies and its defaults. Nothing is shared between
// domains. The name of the document is the canonical domain name.
type Domain struct {
	Aliases    []string `json:"aliases,omitempty"`     // other host names and addresses it answers for
	Region     string   `json:"region,omitempty"`      // ISO 3166-1 alpha-2
	AccessCode string   `json:"access_code,omitempty"` // dialled for an outside line
	Policies   Policies `json:"policies,omitzero"`
	Defaults   Defaults `json:"defaults,omitzero"`
	Realm      string   `json:"realm"` // of digest; never changes (trust.md §2); default: the name
}

// Policies are what a domain chose where behaviour.md leaves a choice.
type Policies struct {
	BusyExclusive *bool `json:"busy_exclusive,omitempty"` // forward.busy and call waiting exclude each other; default true
	Strangers     bool  `json:"strangers,omitempty"`      // dial.number is open to strangers

	// Mailbox is whose takes a call at the end of a chain of forwards: of the "first"
	// number called (default), or the "last".
	Mailbox string `json:"mailbox,omitempty"`

	// Features are the feature codes by name, where they are not the usual ones; ""
	// switches one off (dial.feature).
	Features map[string]string `json:"features,omitempty"`
	Services Services          `json:"services,omitzero"`
	// EmergencyNumbers are dialled for help (dial.emergency); nil: those of the
	// region. An empty list is none at all.
	EmergencyNumbers []string `json:"emergency_numbers,omitzero"`
	// PINLength and PasswordLength are the least digits of a PIN, 4 to 128 (default
	// 6), and the least characters of a password, 8 to 64 (default 8).
	PINLength      int `json:"pin_length,omitempty"`
	PasswordLength int `json:"password_length,omitempty"`
	DevicesPerUser int `json:"devices_per_user,omitempty"` // 1 to 10, which is the default

	Retention Retention `json:"retention,omitzero"` // how long is kept what people did
	// Limits hold for all calls of the domain together (limit.*).
	Limits Limits `json:"limits,omitzero"`
}

// The values of [Policies.Mailbox].
const (
	MailboxFirst = "first"
	MailboxLast  = "last"
)

// Services are the numbers by which services are called (dial.service); "" for
// none. No number of the domain has one of them.
type Services struct {
	Voicemail  string `json:"voicemail,omitempty"`
	Conference string `json:"conference,omitempty"`
	ParkSlots  string `json:"park_slots,omitempty"` // "701-720"
}

// Defaults are settings of numbers that have none of their own.
type Defaults struct {
	RingTime        Duration `json:"ring_time,omitempty"`
	BusyTrigger     int      `json:"busy_trigger,omitempty"`
	CallWaiting     *bool    `json:"call_waiting,omitempty"`
	ClassOfService  string   `json:"class_of_service,omitempty"`
	ForwardingClass string   `json:"forwarding_class,omitempty"`
	Limits          Limits   `json:"limits,omitzero"` // of each number
}

// A Site is a place in a domain.
type Site struct {
	Name              string `json:"name,omitempty"`
	ClassOfService    string `json:"class_of_service,omitempty"`
	MainNumber        string `json:"main_number,omitempty"` // what a trunk with the caller id policy "main" shows
	EmergencyLocation string `json:"emergency_location,omitempty"`
	EmergencyCallback string `json:"emergency_callback,omitempty"`
}

// A User is a person. The password is not part of it: [SignIn] holds its hash.
type User struct {
	Name          string   `json:"name,omitempty"`
	Email         string   `json:"email,omitempty"`
	Role          Role     `json:"role"`               // default user
	State         string   `json:"state,omitempty"`    // "" or "disabled"
	Numbers       []string `json:"numbers,omitempty"`  // in the user's order, the main one first
	Language      string   `json:"language,omitempty"` // BCP 47
	TimeZone      string   `json:"time_zone,omitempty"`
	PrimaryDevice string   `json:"primary_device,omitempty"`
	// ConferenceCode is the access code of the user's conference: 3 to 10 digits,
	// unique in the domain.
	ConferenceCode string `json:"conference_code,omitempty"`
}

// The states of a number. Only an active one can be called.
const (
	StateActive   = "active"
	StateReserved = "reserved"
	StatePending  = "pending"
)

// A Number is a line and an AOR; the name of the document is its extension.
type Number struct {
	Public          string   `json:"public,omitempty"` // E.164, unique in the system
	User            string   `json:"user,omitempty"`
	Site            string   `json:"site,omitempty"`
	State           string   `json:"state"` // default active
	Label           string   `json:"label,omitempty"`
	ClassOfService  string   `json:"class_of_service,omitempty"`
	ForwardingClass string   `json:"forwarding_class,omitempty"`
	CallerID        string   `json:"caller_id,omitempty"` // "" its own, "hidden", or a number shown instead
	Voicemail       bool     `json:"voicemail,omitempty"`
	RingTime        Duration `json:"ring_time,omitempty"`    // 5 s to 120 s; 0: the default
	BusyTrigger     int      `json:"busy_trigger,omitempty"` // calls at which it is busy with call waiting on; 0: the default
	MissedCalls     *bool    `json:"missed_calls,omitempty"` // its phones log missed calls; default true
	CallWaiting     *bool    `json:"call_waiting,omitempty"`
	Limits          Limits   `json:"limits,omitzero"`
	// CodeRequired says that its calls outside need an authorization code, which
	// nothing can ask for yet: they are refused. It cannot forward.
	CodeRequired bool `json:"authorization_code_required,omitempty"`
}

// CallerIDHidden is the caller id of a number that shows none.
const CallerIDHidden = "hidden"

// The kinds of devices.
const (
	DeviceDesk    = "desk"
	DeviceSoft    = "soft"
	DeviceBrowser = "browser"
	// DeviceHandset is one that people log in at: a number is on one handset at a time.
	DeviceHandset = "handset"
)

// A Device is something that registers; the name of the document is its
// authorization name.
type Device struct {
	User      string       `json:"user,omitempty"`
	Kind      string       `json:"kind"`
	MAC       string       `json:"mac,omitempty"` // twelve lower-case hex digits
	Lines     []DeviceLine `json:"lines,omitempty"`
	DNDAlert  string       `json:"dnd_alert,omitempty"` // none, beep, flash
	HoldMusic string       `json:"hold_music,omitempty"`
	TLS       string       `json:"tls,omitempty"` // "" or "required"
}

// A DeviceLine is one number on a device.
type DeviceLine struct {
	Number string `json:"number"`
	Label  string `json:"label,omitempty"`
}

// TLSRequired is the value of a device that must not be reached in the clear.
const TLSRequired = "required"

// MaxDevices is how many devices a user has at most.
const MaxDevices = 10

// A Class is a class of service: the first rule that matches decides.
type Class struct {
	Rules []ClassRule `json:"rules"`
}

// A ClassRule allows or denies, never both: internal, local, national, mobile,
// international, premium, or a number with an optional "*" at its end.
type ClassRule struct {
	Allow string `json:"allow,omitempty"`
	Deny  string `json:"deny,omitempty"`
}

// StandardClass is the class of the calls of a number with a public number that
// has no class, nor has its site or domain: international and premium numbers
// are denied (limit.*). A number without a public number that has none reaches
// internal destinations only (behaviour.md §2).
func StandardClass() dial.Class {
	return dial.Class{
		{Allow: true, Kind: dial.Internal},
		{Allow: true, Kind: dial.National}, // local ones too: it does not tell them apart
		{Allow: true, Kind: dial.Mobile},
	}
}

// Compile returns c as routing uses it. A class without rules allows nothing,
// so it compiles to one that denies everything.
func (c Class) Compile() dial.Class {
	out := make(dial.Class, 0, len(c.Rules)+1)
	for _, r := range c.Rules {
		s := r.Allow
		if s == "" {
			s = r.Deny
		}
		d := dial.Rule{Allow: r.Allow != ""}
		if k, ok := dial.ParseKind(s); ok {
			d.Kind = k
		} else {
			d.Pattern = s
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		out = append(out, dial.Rule{Kind: dial.Internal})
	}
	return out
}
