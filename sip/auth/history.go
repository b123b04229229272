package auth

import (
	"slices"
	"strings"

	"bellhop/routing"
)

// AppendHistory appends Diversion (RFC 5806) and History-Info (RFC 7044) for the
// forwards that led to a branch, in a domain: the newest diversion first, the
// history oldest first.
func AppendHistory(dst []byte, hops []routing.Hop, domain string) []byte {
	if len(hops) == 0 {
		return dst
	}
	for _, h := range slices.Backward(hops) {
		dst = append(dst, "Diversion: "...)
		dst = appendURI(dst, h.Number, domain, "")
		dst = append(dst, ";reason="...)
		dst = append(dst, diversion(h.Rule)...)
		dst = append(dst, ";counter=1\r\n"...)
	}
	dst = append(dst, "History-Info: "...)
	dst = appendURI(dst, hops[0].Number, domain, "")
	dst = append(dst, ";index=1"...)
	for i, h := range hops {
		dst = append(dst, ", "...)
		dst = appendURI(dst, h.To, domain, cause(h.Rule))
		dst = append(dst, ";index=1"...)
		for range i + 1 {
			dst = append(dst, ".1"...)
		}
		dst = append(dst, ";mp=1"...)
		for range i {
			dst = append(dst, ".1"...)
		}
	}
	return append(dst, "\r\n"...)
}

// appendURI appends what a setting names as a URI in angle brackets: a SIP URI as
// it is (directory checked it), else the user part of one of the domain.
func appendURI(dst []byte, to, domain, cause string) []byte {
	user, isURI := strings.CutPrefix(to, "sip:")
	dst = append(dst, "<sip:"...)
	for _, c := range []byte(user) {
		switch {
		case isURI:
			dst = append(dst, c)
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '-', c == '.', c == '_', c == '*':
			dst = append(dst, c)
		default: // RFC 3261 §19.1.2
			const hex = "0123456789ABCDEF"
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	if !isURI {
		dst = append(append(dst, '@'), domain...)
	}
	if cause != "" {
		dst = append(dst, ";cause="...)
		dst = append(dst, cause...)
	}
	return append(dst, '>')
}

// diversion is the reason of a forward as RFC 5806 §5.1 names it.
func diversion(r routing.RuleName) string {
	switch r {
	case "forward.all":
		return "unconditional"
	case "forward.busy":
		return "user-busy"
	case "forward.no-answer":
		return "no-answer"
	case "forward.unreachable":
		return "unavailable"
	case "dnd":
		return "do-not-disturb"
	case "presence.forward":
		return "away"
	default:
		return "unknown"
	}
}

// cause is the reason of a forward as RFC 4458 §2 numbers it.
func cause(r routing.RuleName) string {
	switch r {
	case "forward.busy", "dnd":
		return "486"
	case "forward.no-answer":
		return "408"
	case "forward.unreachable":
		return "503"
	default:
		return "302"
	}
}
