package trunk_test

import (
	"net/netip"
	"testing"

	"bellhop/routing/location"
)

// TestNext: where requests within a call go.
func TestNext(t *testing.T) {
	t.Parallel()
	udp := location.Flow{Transport: location.UDP, Local: public, Remote: netip.MustParseAddrPort("198.51.100.1:5060")}
	stream := func(tr location.Transport, remote string) location.Flow {
		return location.Flow{Transport: tr, Local: public, Remote: netip.MustParseAddrPort(remote), Conn: 7}
	}
	tests := []struct {
		name, uri string
		was       location.Flow
		down      string // refuses connections
		want      string // "": an error
	}{
		{"an address", "sip:gw@192.0.2.7:5090", udp, "", "UDP 192.0.2.7:5090"},
		{"a name by SRV, as the call goes already", "sip:gw@carrier.example;lr", udp, "", "UDP [2001:db8::1]:5060"},
		{"a transport", "sip:gw@carrier.example;transport=TCP", udp, "", "TCP [2001:db8::1]:5080"},
		{"sips", "sips:gw@carrier.example", udp, "", "TLS [2001:db8::1]:5061"},
		{"the next where one refuses", "sip:gw@carrier.example;transport=tcp", udp, "[2001:db8::1]:5080", "TCP 192.0.2.1:5080"},
		{"maddr", "sip:gw@nowhere.example;maddr=192.0.2.8", udp, "", "UDP 192.0.2.8:5060"},
		{"a connection that we made", "sip:gw@10.0.0.1", stream(location.TCP, "192.0.2.50:5066"), "", "TCP 192.0.2.50:5066"},
		{"one that the peer made", "sip:gw@10.0.0.1", stream(location.TCP, "192.0.2.50:40123"), "", "TCP 192.0.2.50:5066"},
		{"its peer is gone", "sip:gw@192.0.2.9;transport=tcp", stream(location.TCP, "192.0.2.50:5066"), "192.0.2.50:5066", "TCP 192.0.2.9:5060"},
		{"a name that there is not", "sip:gw@nowhere.example", udp, "", ""},
		{"not a SIP URI", "tel:+491", udp, "", ""},
		{"another transport", "sip:gw@192.0.2.7;transport=sctp", udp, "", "UDP 192.0.2.7:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, h *house) {
				h.set(peering(t, "carrier", `{"proof":"digest","health":"off","peers":["192.0.2.50:5066;transport=tcp"]}`))
				h.conns[tt.down] = true
				f, err := h.m.Next(t.Context(), domain, "carrier", tt.uri, tt.was)
				got := f.Transport.String() + " " + f.Remote.String()
				if (err == nil) != (tt.want != "") || err == nil && got != tt.want {
					t.Errorf("Next(%s) = %s, %v, want %s", tt.uri, got, err, tt.want)
				}
			})
		})
	}
}
