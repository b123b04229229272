package wire

import (
	"strconv"
)

// AppendResponse appends a response to req to dst (RFC 3261 §8.2.6): all Via
// values as they came, From, To, Call-ID and CSeq, Record-Route where the
// response may make a dialog (§12.1.1), Timestamp in a 100, then lines, and
// Content-Length: 0. toTag is added to To when To has no tag yet; an empty one
// never is. An empty reason is the usual one of the status.
//
// A server that must say where the request came from gives the top Via value
// to [AppendResponseVia].
func AppendResponse(dst []byte, req *Message, status int, reason string, toTag, lines []byte) []byte {
	return AppendResponseVia(dst, req, nil, status, reason, toTag, lines)
}

// AppendResponseVia is AppendResponse with topVia in the place of the top Via
// value, as [Message.AppendTopVia] made it. An empty topVia changes nothing.
func AppendResponseVia(dst []byte, req *Message, topVia []byte, status int, reason string, toTag, lines []byte) []byte {
	dst = appendStatus(append(dst, "SIP/2.0 "...), status, reason)
	dst = append(dst, '\r', '\n')
	for n := req.first[Via]; n != 0; n = req.lines[n-1].next {
		ln := &req.lines[n-1]
		if n != req.first[Via] || len(topVia) == 0 || !req.hop.ready {
			dst = AppendLine(dst, "Via", req.b[ln.value:ln.valueEnd])
			continue
		}
		dst = appendText(append(dst, "Via: "...), topVia)
		dst = appendText(dst, req.b[req.hop.value.End():ln.valueEnd])
		dst = append(dst, '\r', '\n')
	}
	if status > 100 && status < 300 {
		dst = appendField(dst, req, RecordRoute)
	}
	dst = appendOne(dst, req, From)
	dst = appendOne(dst, req, To)
	if req.Has(To) && req.toTag.Len == 0 && len(toTag) > 0 {
		dst = appendText(append(dst[:len(dst)-2], ";tag="...), toTag)
		dst = append(dst, '\r', '\n')
	}
	dst = appendOne(dst, req, CallID)
	dst = appendOne(dst, req, CSeq)
	if status == 100 {
		dst = appendOne(dst, req, Timestamp) // RFC 3261 §8.2.6.1
	}
	dst = appendLines(dst, lines)
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

// AppendCancel appends the CANCEL of sent, an INVITE as it was sent, to dst
// (RFC 3261 §9.1).
func AppendCancel(dst []byte, sent *Message, lines []byte) []byte {
	return appendSame(dst, sent, sent, "CANCEL", lines)
}

// AppendAck appends the ACK to dst that confirms res, a 300 to 699 response
// to sent, an INVITE as it was sent (RFC 3261 §17.1.1.3).
func AppendAck(dst []byte, sent, res *Message) []byte {
	return appendSame(dst, sent, res, "ACK", nil)
}

// appendSame appends a request that belongs to the transaction of sent: only
// the top Via, the same Request-URI, Call-ID, From, CSeq number and Route; To
// from another message.
func appendSame(dst []byte, sent, to *Message, method string, lines []byte) []byte {
	dst = append(append(dst, method...), ' ')
	dst = appendText(dst, sent.RequestURI())
	dst = append(dst, " SIP/2.0\r\n"...)
	dst = AppendLine(dst, "Via", sent.hop.value.of(sent.b))
	dst = append(dst, "Max-Forwards: 70\r\n"...)
	dst = appendField(dst, sent, Route)
	dst = appendOne(dst, sent, From)
	dst = appendOne(dst, to, To)
	dst = appendOne(dst, sent, CallID)
	dst = append(dst, "CSeq: "...)
	dst = strconv.AppendUint(dst, uint64(sent.cseq), 10)
	dst = append(append(append(dst, ' '), method...), '\r', '\n')
	dst = appendLines(dst, lines)
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

// appendOne appends the first line of field f, if there is one.
func appendOne(dst []byte, m *Message, f Field) []byte {
	if v, ok := m.Get(f); ok {
		dst = AppendLine(dst, fields[f].name, v.b)
	}
	return dst
}

// appendField appends all lines of field f.
func appendField(dst []byte, m *Message, f Field) []byte {
	for n := m.first[f]; n != 0; n = m.lines[n-1].next {
		ln := &m.lines[n-1]
		dst = AppendLine(dst, fields[f].name, m.b[ln.value:ln.valueEnd])
	}
	return dst
}
