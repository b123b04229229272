package sdp_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"bellhop/sdp"
)

func us() sdp.Origin {
	return sdp.Origin{ID: 7, Version: 1, Addr: netip.MustParseAddr("192.0.2.1")}
}

const head = "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"

func TestInactive(t *testing.T) {
	t.Parallel()
	const offered = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
	for _, tt := range []struct{ name, offer, want string }{
		{
			"sound", offered + "m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n",
			head + "m=audio 9 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=inactive\r\n",
		},
		{
			"sound and sight", offered + "m=audio 4000 RTP/AVP 8\r\na=mid:0\r\nm=video 4002 RTP/AVPF 97\r\na=rtpmap:97 H264/90000\r\na=mid:1\r\n",
			head + "m=audio 9 RTP/AVP 8\r\na=mid:0\r\na=inactive\r\nm=video 9 RTP/AVPF 97\r\na=rtpmap:97 H264/90000\r\na=mid:1\r\na=inactive\r\n",
		},
		{
			"a stream that is off", offered + "m=audio 4000 RTP/AVP 8\r\nm=video 0 RTP/AVP 97\r\n",
			head + "m=audio 9 RTP/AVP 8\r\na=inactive\r\nm=video 0 RTP/AVP 97\r\na=inactive\r\n",
		},
		{
			"a browser", offered + "m=audio 4000 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=mid:0\r\n",
			head + "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=inactive\r\n",
		},
		{
			"keys", offered + "m=audio 4000 RTP/SAVP 8\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:x\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:y\r\n",
			head + "m=audio 9 RTP/SAVP 8\r\na=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" + strings.Repeat("A", 40) + "\r\na=inactive\r\n",
		},
		{"keys without any", offered + "m=audio 4000 RTP/SAVP 8\r\n", head + "m=audio 0 RTP/SAVP 8\r\na=inactive\r\n"},
		{"line feeds alone", strings.ReplaceAll(offered+"m=audio 4000 RTP/AVP 8\r\n", "\r", ""), head + "m=audio 9 RTP/AVP 8\r\na=inactive\r\n"},
		{"no media", offered, ""},
		{"half a line", offered + "m=audio 4000\r\n", ""},
		{"nothing", "", ""},
		{"something else", "hello", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := sdp.Inactive([]byte(tt.offer), us(), [46]byte{})
			if string(got) != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("Inactive = %v\n%s\nwant\n%s", err, got, tt.want)
			}
		})
	}
}

func TestInactiveOffer(t *testing.T) {
	t.Parallel()
	o := us()
	o.Addr = netip.MustParseAddr("2001:db8::1")
	got := sdp.InactiveOffer(o)
	if !bytes.Contains(got, []byte("c=IN IP6 2001:db8::1\r\n")) || !bytes.HasSuffix(got, []byte("a=inactive\r\n")) {
		t.Errorf("InactiveOffer = %s", got)
	}
}

// FuzzInactive holds that an answer has as many streams as its offer, that it can
// be offered in its turn, and that its own answer has as many again.
func FuzzInactive(f *testing.F) {
	f.Add([]byte("v=0\r\nm=audio 4000 RTP/AVP 8\r\n"))
	f.Add([]byte("v=0\nt=1 2\nm=a 1 RTP/SAVP 0\na=crypto:1 AEAD_AES_256_GCM inline:x|2^31\nm=b 0 x y"))
	f.Fuzz(func(t *testing.T, offer []byte) {
		got, err := sdp.Inactive(offer, us(), [46]byte{1, 2, 3})
		if err != nil {
			return
		}
		again, err := sdp.Inactive(got, us(), [46]byte{1, 2, 3})
		if err != nil {
			t.Fatalf("Inactive(%q) = %v", got, err)
		}
		if a, b := bytes.Count(got, []byte("\r\nm=")), bytes.Count(again, []byte("\r\nm=")); a != b || a == 0 {
			t.Errorf("%d streams answered with %d", a, b)
		}
	})
}
