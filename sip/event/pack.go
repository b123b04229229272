package event

import (
	"bytes"
	"math"
	"strings"
	"time"

	"bellhop/sip/wire"
)

// A pack is an event package (RFC 6665 §7).
type pack struct {
	name        string
	contentType string
	own         bool // only who has the number may subscribe
	// body appends what a subscriber sees, whole, as version, counted from 0; in the
	// version unsent, which is for comparing, there is nothing that only goes on with
	// time.
	body func(dst []byte, st *State, v view, version uint32, now time.Time) []byte
}

// unsent is the version of a document that is not sent.
const unsent = math.MaxUint32

// The packages with more to them than one document.
const (
	packDialog  = "dialog"
	packFeature = "as-feature-event"
	packReg     = "reg"
)

// packs are the packages we know, by name.
func packs() map[string]*pack {
	out := make(map[string]*pack)
	for _, p := range []*pack{
		{
			name: packDialog, contentType: "application/dialog-info+xml",
			body: func(dst []byte, st *State, v view, version uint32, _ time.Time) []byte {
				d := dialogInfo{view: v, version: version, dialogs: st.lamps(v.open), line: st.Connection(v.open)}
				return d.appendTo(dst)
			},
		},
		{
			name: "presence", contentType: "application/pidf+xml",
			body: func(dst []byte, st *State, v view, _ uint32, _ time.Time) []byte { return st.appendPIDF(dst, v) },
		},
		{
			name: "message-summary", contentType: "application/simple-message-summary", own: true,
			body: func(dst []byte, st *State, v view, _ uint32, _ time.Time) []byte { return st.appendSummary(dst, v) },
		},
		{
			name: packReg, contentType: "application/reginfo+xml", own: true,
			body: func(dst []byte, st *State, v view, version uint32, now time.Time) []byte {
				return st.appendReginfo(dst, v, version, now)
			},
		},
		{
			name: packFeature, contentType: featureType, own: true,
			body: func(dst []byte, st *State, _ view, _ uint32, _ time.Time) []byte {
				dst, _ = appendFeatures(dst, st.features())
				return dst
			},
		},
	} {
		out[p.name] = p
	}
	return out
}

// Allow names the packages (RFC 6665 §8.2.2): a header line.
const Allow = "Allow-Events: dialog, presence, message-summary, reg, as-feature-event\r\n"

// mayHave reports whether a subscriber may have a package of a number (trust.md): what
// is the owner's business is for the devices of the number, and registrations also
// for administrators.
func (p *pack) mayHave(own, admin bool) bool {
	return !p.own || own || admin && p.name == packReg
}

// eventOf reads the Event field: the package and its id parameter (RFC 6665 §8.4).
func eventOf(m *wire.Message) (name, id string, ok bool) {
	v, ok := m.Get(wire.Event)
	if !ok {
		return "", "", false
	}
	b := v.Bytes()
	params := []byte(nil)
	if i := bytes.IndexByte(b, ';'); i >= 0 {
		b, params = bytes.TrimSpace(b[:i]), b[i:]
	}
	if v, ok := wire.Param(params, "id"); ok {
		id = string(v)
	}
	return strings.ToLower(string(b)), id, len(b) > 0 && oneLine([]byte(id))
}

// accepts reports whether a subscriber takes a type: what it names in Accept, or,
// without one, what the package has (RFC 6665 §3.1.3).
func accepts(m *wire.Message, contentType string) bool {
	named := false
	for v := range m.All(wire.Accept) {
		named = true
		b := v.Bytes()
		if i := bytes.IndexByte(b, ';'); i >= 0 {
			b = bytes.TrimSpace(b[:i])
		}
		if main, _, _ := strings.Cut(contentType, "/"); bytes.EqualFold(b, []byte(contentType)) ||
			string(b) == "*/*" || bytes.EqualFold(b, []byte(main+"/*")) {
			return true
		}
	}
	return !named
}
