package transport_test

import (
	"net/netip"
	"testing"

	"bellhop/routing/location"
	"bellhop/sip/siptest"
	"bellhop/sip/transport"
)

// TestDialFrom: a peer knows us by a listener that it can reach.
func TestDialFrom(t *testing.T) {
	t.Parallel()
	n := siptest.NewNetwork(1)
	var ls []transport.Listener
	for _, at := range []string{"127.0.0.1:5060", "192.0.2.1:5060", "[2001:db8::1]:5060", "192.0.2.2:5060"} {
		ls = append(ls, transport.Listener{Transport: location.UDP, Conn: n.Listen(netip.MustParseAddrPort(at))})
	}
	tr, err := transport.New(transport.Options{Listeners: ls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	for to, want := range map[string]string{
		"198.51.100.1:5060":          "192.0.2.1:5060",
		"[::ffff:198.51.100.1]:5060": "192.0.2.1:5060",
		"127.0.0.9:5090":             "127.0.0.1:5060",
		"[2001:db8::9]:5060":         "[2001:db8::1]:5060",
		"[::1]:5060":                 "[2001:db8::1]:5060",
	} {
		f, err := tr.Dial(t.Context(), location.UDP, netip.MustParseAddrPort(to), "")
		if err != nil || f.Local.String() != want {
			t.Errorf("Dial(%s) comes from %s, %v, want %s", to, f.Local, err, want)
		}
	}
}
