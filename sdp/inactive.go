// Package sdp writes and reads session descriptions (RFC 8866) as far as we
// answer calls ourselves. It is pure.
package sdp

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// ErrSyntax reports what is no session description, or has no media.
var ErrSyntax = errors.New("sdp: not a session description")

// An Origin is who describes a session (RFC 8866 §5.2). Version grows with each
// description of one session.
type Origin struct {
	ID, Version uint64
	Addr        netip.Addr
}

// maxMedia bounds the streams of an offer that is answered.
const maxMedia = 32

// discard is the port of a stream over which nothing goes (RFC 863): it is not 0,
// which would refuse the stream.
const discard = "9"

// Inactive answers an offer: each stream that could be is there, in the formats
// that were offered, and nothing goes over it (RFC 3264 §6.1). A stream that
// takes more than plain RTP, or SRTP with keys in the description (RFC 4568), is
// refused. key is random, for those; it is never used. The error is [ErrSyntax].
func Inactive(offer []byte, o Origin, key [46]byte) ([]byte, error) {
	lines := strings.FieldsFunc(string(offer), func(r rune) bool { return r == '\r' || r == '\n' })
	if len(lines) == 0 || lines[0] != "v=0" {
		return nil, ErrSyntax
	}
	b := o.head(timing(lines))
	n := 0
	for i := 0; i < len(lines); {
		if !strings.HasPrefix(lines[i], "m=") {
			i++
			continue
		}
		end := i + 1
		for end < len(lines) && !strings.HasPrefix(lines[end], "m=") {
			end++
		}
		var ok bool
		if b, ok = appendMedia(b, lines[i][2:], lines[i+1:end], key); !ok {
			return nil, ErrSyntax
		}
		if n++; n > maxMedia {
			return nil, ErrSyntax
		}
		i = end
	}
	if n == 0 {
		return nil, ErrSyntax
	}
	return b, nil
}

// InactiveOffer offers one stream of sound over which nothing goes.
func InactiveOffer(o Origin) []byte {
	return append(o.head("0 0"), "m=audio "+discard+" RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=inactive\r\n"...)
}

func (o Origin) head(timing string) []byte {
	at := "IP4 0.0.0.0"
	if a := o.Addr.Unmap().WithZone(""); a.Is4() {
		at = "IP4 " + a.String()
	} else if a.Is6() {
		at = "IP6 " + a.String()
	}
	return []byte("v=0\r\no=- " + strconv.FormatUint(o.ID, 10) + " " + strconv.FormatUint(o.Version, 10) + " IN " + at +
		"\r\ns=-\r\nc=IN " + at + "\r\nt=" + timing + "\r\n")
}

// timing is that of the offer, which an answer repeats (RFC 3264 §6).
func timing(lines []string) string {
	for _, l := range lines {
		if t, ok := strings.CutPrefix(l, "t="); ok {
			return t
		}
	}
	return "0 0"
}

// appendMedia answers one stream: what stands after "m=", and its lines.
func appendMedia(b []byte, m string, lines []string, key [46]byte) ([]byte, bool) {
	f := strings.Fields(m)
	if len(f) < 4 {
		return b, false
	}
	port, crypto := discard, ""
	switch strings.ToUpper(f[2]) {
	case "RTP/AVP", "RTP/AVPF":
	case "RTP/SAVP", "RTP/SAVPF":
		if crypto = answerCrypto(lines, key); crypto == "" {
			port = "0"
		}
	default:
		port = "0"
	}
	if f[1] == "0" {
		port = "0"
	}
	b = append(b, "m="+f[0]+" "+port+" "+strings.Join(f[2:], " ")+"\r\n"...)
	for _, l := range lines {
		if strings.HasPrefix(l, "a=mid:") || port != "0" && (strings.HasPrefix(l, "a=rtpmap:") || strings.HasPrefix(l, "a=fmtp:")) {
			b = append(b, l+"\r\n"...)
		}
	}
	if crypto != "" && port != "0" {
		b = append(b, crypto+"\r\n"...)
	}
	return append(b, "a=inactive\r\n"...), true
}

// answerCrypto takes the first suite that is offered and known (RFC 4568 §5.1.2,
// RFC 6188, RFC 7714).
func answerCrypto(lines []string, key [46]byte) string {
	for _, l := range lines {
		rest, ok := strings.CutPrefix(l, "a=crypto:")
		f := strings.Fields(rest)
		if !ok || len(f) < 3 {
			continue
		}
		var length int
		switch strings.ToUpper(f[1]) {
		case "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32":
			length = 30
		case "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32":
			length = 46
		case "AEAD_AES_128_GCM":
			length = 28
		case "AEAD_AES_256_GCM":
			length = 44
		default:
			continue
		}
		return "a=crypto:" + f[0] + " " + f[1] + " inline:" + base64(key[:length])
	}
	return ""
}

// base64 is that of RFC 4648 §4.
func base64(b []byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	var out strings.Builder
	for ; len(b) > 0; b = b[min(3, len(b)):] {
		var c [3]byte
		n := copy(c[:], b)
		v := uint(c[0])<<16 | uint(c[1])<<8 | uint(c[2])
		for i := range 4 {
			if i > n {
				out.WriteByte('=')
				continue
			}
			out.WriteByte(digits[v>>(18-6*i)&63])
		}
	}
	return out.String()
}
