package sip

import (
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{
			"credentials", "REGISTER sip:b SIP/2.0\nAuthorization: Digest username=\"desk\",\n response=\"0123\"\nproxy-authorization :Digest nonce=\"n\"\nCSeq: 1 REGISTER\n\n",
			"REGISTER sip:b SIP/2.0\nAuthorization: Digest (removed)\nproxy-authorization: Digest (removed)\nCSeq: 1 REGISTER\n\n",
		},
		{
			"keys of media", "INVITE sip:b SIP/2.0\nc: application/SDP\n\nv=0\na=crypto:1 AES inline:WVNf\na=ice-pwd:secret\na=sendrecv\n",
			"INVITE sip:b SIP/2.0\nc: application/SDP\n\nv=0\na=crypto: (removed)\na=ice-pwd: (removed)\na=sendrecv\n",
		},
		{
			"digits", "INFO sip:b SIP/2.0\nContent-Type: application/dtmf-relay\n\nSignal=5\n",
			"INFO sip:b SIP/2.0\nContent-Type: application/dtmf-relay\n\n(10 bytes of application/dtmf-relay removed)\n",
		},
		{"no body", "SIP/2.0 200 OK\nTo: <sip:a@b>\n folded\n\n", "SIP/2.0 200 OK\nTo: <sip:a@b>\n folded\n\n"},
	} {
		got := strings.ReplaceAll(redact([]byte(strings.ReplaceAll(tt.in, "\n", "\r\n"))), "\r\n", "\n")
		if got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// FuzzRedact holds that a digest in a header field of credentials never comes
// through, whatever is around it.
func FuzzRedact(f *testing.F) {
	f.Add("To: <sip:a@b>\r\n", "\r\n folded", "v=0\r\n")
	f.Fuzz(func(t *testing.T, before, within, body string) {
		const secret = "6629fae49393a05397450978507c4ef1"
		if strings.Contains(before, "\r\n\r\n") || strings.Contains(within, "\r\n") && !strings.HasPrefix(within, "\r\n ") {
			t.Skip("the secret is in no field of credentials")
		}
		if i := strings.LastIndex(within, "\r\n"); i > 0 || strings.Contains(within[min(len(within), 2):], "\r\n") {
			t.Skip("more fields")
		}
		text := redact([]byte("INVITE sip:b SIP/2.0\r\n" + before + "\r\nAuthorization: Digest x=\"y\"" + within + " response=" + secret + "\r\n\r\n" + body))
		if strings.Contains(text, secret) && !strings.Contains(before+within+body, secret) {
			t.Errorf("%q", text)
		}
	})
}
