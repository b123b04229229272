package directory

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A PIN identifies a user at a telephone (behaviour.md §4); a document of
// [KindPIN], never in history.
type PIN struct {
	Hash       string    `json:"hash"` // argon2id, PHC string
	Changed    time.Time `json:"changed,omitzero"`
	MustChange bool      `json:"must_change,omitempty"` // given by somebody else: first use changes it
}

// Lengths of a PIN: the least that a domain may ask for and its default, and the
// most digits there can be.
const (
	MinPIN     = 4
	DefaultPIN = 6
	MaxPIN     = 128
)

// PINLength is how many digits a PIN of the domain has at least.
func PINLength(d Domain) int { return firstOf(d.Policies.PINLength, DefaultPIN) }

// CheckPIN returns the rules of behaviour.md §4 that a new PIN breaks, all of
// them. The extensions are those of its user.
func CheckPIN(pin string, length int, extensions []string) []Fault {
	var faults []Fault
	say := func(broken bool, rule, message string) {
		if broken {
			faults = append(faults, Fault{Location: "pin", Message: message, Rule: rule})
		}
	}
	if strings.Trim(pin, "0123456789") != "" || pin == "" {
		say(true, "pin.digits", "must have digits only")
		return faults
	}
	say(len(pin) < length || len(pin) > MaxPIN, "pin.length", fmt.Sprintf("must have %d to %d digits", length, MaxPIN))
	if len(pin) > MaxPIN {
		return faults
	}
	say(slices.ContainsFunc(extensions, func(e string) bool { return pin == e || pin == reversed(e) }),
		"pin.extension", "must not be the extension, nor the extension backwards")
	say(repeats(pin), "pin.repeated", "must not be a group of digits again and again, like 408408")
	say(kinds(pin) <= 2, "pin.two-digits", "must have more than two different digits, unlike 121212")
	say(same(pin, 3), "pin.three-equal", "must not have three equal digits in a row, like 28883")
	say(run(pin), "pin.run", "must not count up or down, like 012345")
	return faults
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// repeats reports whether s is one group of digits several times.
func repeats(s string) bool {
	for n := 1; n <= len(s)/2; n++ {
		if len(s)%n == 0 && strings.Repeat(s[:n], len(s)/n) == s {
			return true
		}
	}
	return false
}

// kinds counts the different digits of s.
func kinds(s string) (n int) {
	for _, d := range "0123456789" {
		if strings.ContainsRune(s, d) {
			n++
		}
	}
	return n
}

// same reports whether s has n equal digits in a row.
func same(s string, n int) bool {
	for i := range len(s) - n + 1 {
		if strings.Count(s[i:i+n], s[i:i+1]) == n {
			return true
		}
	}
	return false
}

// run reports whether all of s counts up or down.
func run(s string) bool {
	up, down := len(s) > 1, len(s) > 1
	for i := 1; i < len(s); i++ {
		up = up && s[i] == s[i-1]+1
		down = down && s[i] == s[i-1]-1
	}
	return up || down
}

// A SpeedDial is a key of a device; the name of the document is
// "device/position". A comma is a pause of 2 s: what is before the first is
// dialled, the rest is sent as digits after the answer (behaviour.md §4).
type SpeedDial struct {
	Number string `json:"number"`
	Label  string `json:"label,omitempty"`
}

// MaxSpeedDials is how many speed dials a device has; their positions are 1 to it.
const MaxSpeedDials = 199

// maxSpeedDial bounds the text of one: a number and what follows it.
const maxSpeedDial = 128

func (d *decoder) speedDial(o *object) SpeedDial {
	defer o.done()
	v := SpeedDial{Number: strings.ReplaceAll(o.text("number"), " ", ""), Label: o.text("label")}
	first, rest, _ := strings.Cut(v.Number, ",")
	dialled := strings.Trim(strings.TrimPrefix(first, "+"), "0123456789*#") == "" && strings.Trim(first, "+") != ""
	if !dialled || len(v.Number) > maxSpeedDial || strings.Trim(rest, "0123456789*#ABCD,") != "" {
		d.fault("number", RuleSpeedDial, "must be a number, then after each comma (a pause of 2 s) digits to send, like 91886543,8787,5656,987989#")
	}
	return v
}

// speedDialPosition reports whether s is the position of a speed dial.
func speedDialPosition(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= MaxSpeedDials && strconv.Itoa(n) == s
}

// An Activation lets a phone fetch its credentials once, by a code of 16 digits;
// a document of [KindActivation], never in history. The name is the SHA-256 of
// the code, in hex; it is outside of domains, since a phone knows the code only.
type Activation struct {
	Domain  string    `json:"domain"`
	Device  string    `json:"device"`
	Expires time.Time `json:"expires"`
}

// Activation codes (behaviour.md §4).
const (
	ActivationDigits = 16
	ActivationLife   = 7 * 24 * time.Hour
)

func (d *decoder) activation(o *object) Activation {
	defer o.done()
	return Activation{Domain: o.text("domain"), Device: o.text("device"), Expires: o.moment("expires")}
}

// A Change is a write that is made at a later time; a document of [KindChange],
// outside of domains so that all of them are one list.
type Change struct {
	Domain  string          `json:"domain,omitempty"`
	Kind    Kind            `json:"kind"`
	Name    string          `json:"name"`
	Method  string          `json:"method"` // PUT, PATCH or DELETE
	Body    json.RawMessage `json:"body,omitempty"`
	IfMatch string          `json:"if_match,omitempty"` // the condition of the request
	At      time.Time       `json:"at"`
	By      ChangeBy        `json:"by"`
	// Error says why it was not made; it stays until somebody removes it.
	Error  string    `json:"error,omitempty"`
	Failed time.Time `json:"failed,omitzero"`
}

// A ChangeBy is who a change is made by: what they may do is asked again then.
type ChangeBy struct {
	Domain string `json:"domain,omitempty"`
	User   string `json:"user,omitempty"`
	Token  string `json:"token,omitempty"`
	From   string `json:"from,omitempty"` // address
}

// Ref names the document that changes.
func (c Change) Ref() Ref { return Ref{Domain: c.Domain, Kind: c.Kind, Name: c.Name} }

func (d *decoder) change(o *object) Change {
	defer o.done()
	by := o.sub("by")
	defer by.done()
	body, _ := o.raw("body")
	return Change{
		Domain: o.text("domain"), Kind: Kind(o.text("kind")), Name: o.text("name"),
		Method: o.choice("method", "PUT", "PUT", "PATCH", "DELETE"), Body: body, IfMatch: o.text("if_match"), At: o.moment("at"),
		By:    ChangeBy{Domain: by.text("domain"), User: by.text("user"), Token: by.text("token"), From: by.text("from")},
		Error: o.text("error"), Failed: o.moment("failed"),
	}
}

func (d *decoder) pin(o *object) PIN {
	defer o.done()
	return PIN{Hash: o.text("hash"), Changed: o.moment("changed"), MustChange: o.flag("must_change")}
}

// DevicesPerUser is how many devices a user of the domain has at most.
func DevicesPerUser(d Domain) int { return firstOf(d.Policies.DevicesPerUser, MaxDevices) }
