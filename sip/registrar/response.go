package registrar

import (
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"bellhop/routing/location"
	"bellhop/routing/ring"
	"bellhop/sip/wire"
)

// flowTimer is how often a client must show that its flow lives (RFC 5626
// §4.4.1), in seconds.
const flowTimer = "120"

// accepted makes the 200: all bindings of the AOR, each with its time left and
// its preference (RFC 3261 §10.3 step 8).
func (j *Job) accepted(bs location.Bindings, changes []location.Change) Response {
	res := Response{Status: 200, AOR: j.aor}
	now := time.Now()
	b := make([]byte, 0, 96+160*len(bs))
	for i := range bs {
		b = j.appendContact(b, &bs[i], now)
	}
	for _, p := range j.register.Path { // RFC 3327 §5.3
		b = wire.AppendLine(b, "Path", p)
	}
	if j.outbound { // RFC 5626 §6
		b = append(b, "Require: outbound\r\nFlow-Timer: "+flowTimer+"\r\n"...)
	}
	b = append(b, "Supported: path, outbound, gruu\r\nDate: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat) // RFC 3261 §20.17
	res.Lines = append(b, "\r\n"...)
	for i := range changes {
		if w := changes[i].What; w == location.Added || w == location.Moved {
			res.Added = append(res.Added, ring.TargetOf(&changes[i].After))
		}
	}
	return res
}

// appendContact appends a binding as a Contact line.
func (j *Job) appendContact(dst []byte, b *location.Binding, now time.Time) []byte {
	start := len(dst)
	dst = append(dst, "Contact: <"...)
	dst = append(dst, b.Contact...)
	dst = append(dst, ">;expires="...)
	dst = strconv.AppendInt(dst, max(0, int64(b.Expires.Sub(now).Round(time.Second)/time.Second)), 10)
	if b.Q < 1000 {
		dst = append(dst, ";q=0."...)
		dst = append(dst, byte('0'+b.Q/100), byte('0'+b.Q/10%10), byte('0'+b.Q%10))
	}
	if b.Instance != "" {
		dst = append(dst, ";+sip.instance="...)
		dst = wire.AppendQuoted(dst, b.Instance)
	}
	if b.RegID > 0 {
		dst = append(dst, ";reg-id="...)
		dst = strconv.AppendUint(dst, uint64(b.RegID), 10)
	}
	if g := j.registrar.gruus; g != nil && j.gruu && b.Instance != "" { // RFC 5627 §5.2
		dst = append(dst, `;pub-gruu="`...)
		dst = append(g.AppendPublic(dst, j.aor, b.Instance), `";temp-gruu="`...)
		dst = append(g.AppendTemporary(dst, j.aor, b), '"')
	}
	for i, c := range dst[start:] { // a folded value of a peer
		if c == '\r' || c == '\n' {
			dst[start+i] = ' '
		}
	}
	return append(dst, "\r\n"...)
}

// Append renders the response to req, which came from source: top Via with
// received and rport (RFC 3261 §18.2.1, RFC 3581 §4), and To with toTag.
func (r *Response) Append(dst []byte, req *wire.Message, source netip.AddrPort, toTag []byte) []byte {
	var room [256]byte
	via := req.AppendTopVia(room[:0], source)
	return wire.AppendResponseVia(dst, req, via, r.Status, r.Reason, toTag, r.Lines)
}
