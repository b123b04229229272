package event

import (
	"bytes"
	"encoding/xml"
	"slices"
	"strconv"
	"strings"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/location"
)

// Namespace is that of our extension of dialog-info and PIDF documents: the
// element line, whose attribute state is a connection state of behaviour.md. It is
// documented in docs/events.md.
const Namespace = "urn:bellhop:line"

// A view is what one subscriber sees.
type view struct {
	entity string // the URI that it asked for
	open   bool   // what the user set shows
	own    bool   // the number is one of the subscriber's
}

// xmlHead begins every XML document.
const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// escape makes text fit for XML, attributes included.
func escape(s string) string {
	if !strings.ContainsAny(s, "&<>\"'\t\r\n") && isPlain(s) {
		return s
	}
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// A dialogInfo is a document of package dialog (RFC 4235).
type dialogInfo struct {
	view
	version uint32
	partial bool
	dialogs []Dialog // those that are told
	line    string   // the connection state
}

// dndDialog is the id of the dialog that stands for do not disturb, as long as
// nobody calls: phones know no other way to light a lamp for it.
const dndDialog = "dnd"

// lamps are the dialogs that a subscriber is told of: those of calls, and without any
// one that stands for do not disturb.
func (st *State) lamps(open bool) []Dialog {
	if len(st.Dialogs) == 0 && st.Connection(open) == DND {
		return []Dialog{{ID: dndDialog, Phase: Confirmed}}
	}
	return st.Dialogs
}

// appendTo appends the document.
func (d *dialogInfo) appendTo(dst []byte) []byte {
	kind := "full"
	if d.partial {
		kind = "partial"
	}
	dst = append(dst, xmlHead+`<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="`...)
	dst = strconv.AppendUint(dst, uint64(d.version), 10)
	dst = append(dst, `" state="`+kind+`" entity="`+escape(d.entity)+"\">\n"...)
	for _, g := range d.dialogs {
		dst = append(dst, `  <dialog id="`+escape(g.ID)+`"`...)
		switch {
		case g.ID == dndDialog:
		case g.Initiator:
			dst = append(dst, ` direction="initiator"`...)
		default:
			dst = append(dst, ` direction="recipient"`...)
		}
		dst = append(dst, `><state>`+g.Phase.String()+"</state></dialog>\n"...)
	}
	return append(dst, `  <line xmlns="`+Namespace+`" state="`+d.line+"\"/>\n</dialog-info>\n"...)
}

// whole is how many dialogs a document has at most that tells all: longer ones tell
// only what changed, where the subscriber knows the rest.
const whole = 4

// Step returns the dialogs to tell a subscriber who was told shown, and whether
// they are only what changed (RFC 4235 §4.3). Those that are over are told once, as
// terminated, so that phones which take a document for all there is to do act on it
// too. partial is false when the subscriber may have missed what was sent before.
func Step(shown, now []Dialog, partial bool) (tell []Dialog, isPartial bool) {
	for _, d := range shown {
		if !slices.ContainsFunc(now, func(n Dialog) bool { return n.ID == d.ID }) {
			d.Phase = Terminated
			tell = append(tell, d)
		}
	}
	if !partial || len(tell)+len(now) <= whole {
		return append(tell, now...), false
	}
	for _, d := range now {
		if !slices.Contains(shown, d) {
			tell = append(tell, d)
		}
	}
	return tell, true
}

// appendPIDF appends a document of package presence (RFC 3863) with the activities
// of RFC 4480.
func (st *State) appendPIDF(dst []byte, v view) []byte {
	basic, state := "open", st.Connection(v.open)
	if len(st.Bindings) == 0 {
		basic = "closed"
	}
	dst = append(dst, xmlHead+`<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"`+
		` xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="`+escape(v.entity)+"\">\n"...)
	dst = append(dst, `  <tuple id="line"><status><basic>`+basic+`</basic></status><line xmlns="`+Namespace+`" state="`+state+
		`"/><note xml:lang="en">`+words(state)+"</note></tuple>\n"...)
	var activities string
	if state == TalkingInternal || state == TalkingExternal {
		activities = "<rpid:on-the-phone/>"
	}
	status, note, until := "", "", ""
	if v.open && st.Line != nil {
		status, note = st.Status, st.Line.Presence.Note
		activities += activity(status)
		if !st.Until.IsZero() {
			until = ` until="` + st.Until.UTC().Format(time.RFC3339) + `"`
		}
	}
	dst = append(dst, `  <dm:person id="user">`...)
	if activities != "" {
		dst = append(dst, "<rpid:activities"+until+">"+activities+"</rpid:activities>"...)
	}
	if status == directory.StatusAtHome {
		dst = append(dst, `<rpid:place-type><home xmlns="urn:ietf:params:xml:ns:location-type"/></rpid:place-type>`...)
	}
	if note != "" {
		dst = append(dst, "<dm:note>"+escape(note)+"</dm:note>"...)
	}
	return append(dst, "</dm:person>\n</presence>\n"...)
}

// activity is a status of presence as RFC 4480 §3.2 spells it; what it has no word
// for is other.
func activity(status string) string {
	switch status {
	case directory.StatusMeeting:
		return "<rpid:meeting/>"
	case directory.StatusSick, directory.StatusBreak:
		return "<rpid:other>" + status + "</rpid:other>"
	case directory.StatusGoneOut:
		return "<rpid:away/>"
	case directory.StatusVacation:
		return "<rpid:vacation/>"
	case directory.StatusLunch:
		return "<rpid:lunch/>"
	case directory.StatusDND:
		return "<rpid:busy/>"
	default: // office and at-home say where, not what
		return ""
	}
}

// words are a connection state for people, as phones show notes.
func words(state string) string {
	switch state {
	case Idle:
		return "Available"
	case Unregistered:
		return "Not registered"
	case Ringing:
		return "Ringing"
	case Calling:
		return "Calling"
	case TalkingInternal:
		return "On the phone"
	case TalkingExternal:
		return "On the phone (external)"
	case DND:
		return "Do not disturb"
	case Forwarded:
		return "Forwarded"
	default:
		return ""
	}
}

// appendSummary appends a document of package message-summary (RFC 3842 §5.2).
func (st *State) appendSummary(dst []byte, v view) []byte {
	waiting := "no"
	if st.New > 0 {
		waiting = "yes"
	}
	dst = append(dst, "Messages-Waiting: "+waiting+"\r\nMessage-Account: "+v.entity+"\r\nVoice-Message: "...)
	dst = strconv.AppendInt(dst, int64(st.New), 10)
	dst = strconv.AppendInt(append(dst, '/'), int64(st.Old), 10)
	return append(dst, " (0/0)\r\n"...)
}

// appendReginfo appends a document of package reg (RFC 3680 §5), always of all
// contacts. Expiry is told to the second it was granted for, as times go on without
// a notification.
func (st *State) appendReginfo(dst []byte, v view, version uint32, now time.Time) []byte {
	dst = append(dst, xmlHead+`<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" version="`...)
	dst = strconv.AppendUint(dst, uint64(version), 10)
	state := "active"
	if len(st.Bindings) == 0 {
		state = "terminated"
	}
	dst = append(dst, `" state="full">`+"\n"+`  <registration aor="`+escape(v.entity)+`" id="line" state="`+state+"\">\n"...)
	for i := range st.Bindings {
		b := &st.Bindings[i]
		dst = append(dst, `    <contact id="`+contactID(b)+`" state="active" event="registered"`...)
		if version != unsent {
			dst = append(dst, ` expires="`...)
			dst = strconv.AppendInt(dst, int64(max(0, b.Expires.Sub(now))/time.Second), 10)
			dst = append(dst, '"')
		}
		dst = append(dst, ` callid="`+escape(b.CallID)+`"><uri>`+escape(b.Contact)+"</uri>"...)
		if b.UserAgent != "" {
			dst = append(dst, `<unknown-param name="user-agent">`+escape(b.UserAgent)+"</unknown-param>"...)
		}
		dst = append(dst, "</contact>\n"...)
	}
	return append(dst, "  </registration>\n</reginfo>\n"...)
}

// contactID tells the contacts of a number apart.
func contactID(b *location.Binding) string {
	h := uint64(14695981039346656037) // FNV-1a
	for _, s := range [...]string{b.Contact, "\x00", b.Instance, "\x00", strconv.FormatUint(uint64(b.RegID), 10)} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	return "c" + strconv.FormatUint(h, 36)
}

// oneLine reports whether b may stand in a header field or URI of ours as it is.
func oneLine(b []byte) bool { return !bytes.ContainsAny(b, "\r\n\x00") }
