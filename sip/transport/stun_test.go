package transport_test

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"bellhop/sip/transport"
)

// raw reads hex with spaces.
func raw(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The transaction and the addresses of RFC 5769.
const (
	stunID  = "2112a442 b7e7a701 bc34d686 fa87dfae"
	peer4   = "192.0.2.1:32853"
	peer6   = "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
	mapped4 = "0020 0008 0001a147 e112a643"
	mapped6 = "0020 0014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9"
)

func TestSTUN(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, peer string
		want           string // "": none
		ok             bool
	}{
		{"IPv4 (RFC 5769 §2.2)", "0001 0000" + stunID, peer4, "0101 000c" + stunID + mapped4, true},
		{"IPv6 (RFC 5769 §2.3)", "0001 0000" + stunID, peer6, "0101 0018" + stunID + mapped6, true},
		{"IPv4 in IPv6", "0001 0000" + stunID, "[::ffff:192.0.2.1]:32853", "0101 000c" + stunID + mapped4, true},
		{"attributes that may be ignored", "0001 0008" + stunID + "8022 0003 61626300", peer4, "0101 000c" + stunID + mapped4, true},
		{"credentials that nobody asked for", "0001 0008" + stunID + "0006 0001 61000000", peer4, "0101 000c" + stunID + mapped4, true},
		{
			"an attribute that must be understood", "0001 0008" + stunID + "0003 0004 00000006", peer4,
			"0111 0010" + stunID + "0009 0004 00000414 000a 0002 0003 0000", true,
		},
		{
			"two of them", "0001 0008" + stunID + "0003 0000 7fff 0000", peer4,
			"0111 0010" + stunID + "0009 0004 00000414 000a 0004 0003 7fff", true,
		},
		{"an indication", "0011 0000" + stunID, peer4, "", true},
		{"an answer", "0101 0000" + stunID, peer4, "", false},
		{"another method", "0003 0000" + stunID, peer4, "", false},
		{"longer than it is", "0001 0004" + stunID, peer4, "", false},
		{"shorter than it is", "0001 0000" + stunID + "80220000", peer4, "", false},
		{"an odd length", "0001 0002" + stunID + "8022", peer4, "", false},
		{"an attribute beyond the end", "0001 0004" + stunID + "80220001", peer4, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := raw(t, tt.in)
			if !transport.IsSTUN(b) {
				t.Fatal("it is not taken for STUN")
			}
			got, ok := transport.AnswerSTUN(nil, b, netip.MustParseAddrPort(tt.peer))
			if ok != tt.ok || hex.EncodeToString(got) != hex.EncodeToString(raw(t, tt.want)) {
				t.Errorf("answer = %x, %v, want %s, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
	for _, s := range []string{"", "0001 0000 2112a442", "0001 0000 2112a443" + stunID[8:], hex.EncodeToString([]byte(options))} {
		if transport.IsSTUN(raw(t, s)) {
			t.Errorf("%q is taken for STUN", s)
		}
	}
}

func FuzzSTUN(f *testing.F) {
	for _, s := range []string{"0001 0000" + stunID, "0001 0008" + stunID + "0003 0004 00000006", "0011 0004" + stunID + "80280000"} {
		f.Add(raw(f, s), false)
		f.Add(raw(f, s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, six bool) {
		if !transport.IsSTUN(b) {
			return
		}
		peer, headers := netip.MustParseAddrPort(peer4), 28
		if six {
			peer, headers = netip.MustParseAddrPort(peer6), 48
		}
		got, ok := transport.AnswerSTUN(nil, b, peer)
		if !ok || len(got) == 0 {
			return
		}
		if len(got)+headers > 2*(len(b)+headers) {
			t.Errorf("%d bytes answer %d", len(got), len(b))
		}
		if string(got[4:20]) != string(b[4:20]) || int(got[2])<<8|int(got[3]) != len(got)-20 {
			t.Errorf("answer %x to %x", got, b)
		}
		if _, again := transport.AnswerSTUN(nil, got, peer); again {
			t.Error("an answer is answered") // two of us would go on for ever
		}
	})
}

// TestSTUNBesideSIP keeps a binding open with STUN on the port of SIP.
func TestSTUNBesideSIP(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	tr := run(t, transport.Options{Listeners: udp("127.0.0.1:0"), Registerer: reg}, echo(t))
	c := dial(t, tr.Addrs()[0])
	b := make([]byte, 1500)
	ask := func(in []byte) []byte {
		t.Helper()
		if _, err := c.Write(in); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return b[:n]
	}
	request := raw(t, "0001 0000"+stunID)
	want, _ := transport.AnswerSTUN(nil, request, netip.MustParseAddrPort(c.LocalAddr().String()))
	if got := ask(request); string(got) != string(want) {
		t.Errorf("answer = %x, want %x", got, want)
	}
	if _, err := c.Write(raw(t, "0001 0004"+stunID)); err != nil { // damaged: no answer
		t.Fatal(err)
	}
	if got := ask([]byte(options)); string(got) != options {
		t.Errorf("after STUN: %q", got)
	}
	for name, want := range map[string]float64{
		"bellhop_transport_keep_alives_total": 1, "bellhop_transport_messages_unreadable_total": 1, "bellhop_transport_messages_received_total": 1,
	} {
		if got := metric(t, reg, name); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}
