package b2bua

import (
	"slices"
	"strings"

	"bellhop/sip/wire"
)

// help marks a call for help, and says so (rule dial.emergency).
func (a *anchor) help() {
	e := a.rings.Emergency
	if e == nil {
		return
	}
	a.live.Emergency = e.Numbers
	a.b.metrics.emergencies.Inc()
	a.b.log.Warn("emergency call", "call", a.live.ID, "domain", a.domain, "number", a.rings.Number,
		"caller", a.live.Caller, "device", a.live.CallerDev, "callback", e.Callback, "location", e.Location)
}

// urgent reports whether the call is one for help, which no limit stops.
func (a *anchor) urgent() bool { return a.rings.Emergency != nil }

// appendHelp writes what an emergency call says beside who calls: that it is one
// (RFC 3261 §20.26), and where the caller is, by reference (RFC 6442 §4.1). A
// location in words is for people: nothing on the wire has it.
func (a *anchor) appendHelp(dst []byte) []byte {
	dst = append(dst, "Priority: emergency\r\n"...)
	if at := a.rings.Emergency.Location; isLocation(at) {
		dst = wire.AppendLine(dst, "Geolocation", "<"+at+">")
		dst = append(dst, "Geolocation-Routing: yes\r\n"...)
	}
	return dst
}

// isLocation reports whether a location is one that a Geolocation field can have:
// a URI by which it is asked for (RFC 6442 §4.2).
func isLocation(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	schemes := []string{"http", "https", "sip", "sips", "pres"}
	return ok && rest != "" && slices.Contains(schemes, strings.ToLower(scheme)) && !strings.ContainsAny(s, " <>\"\r\n")
}
