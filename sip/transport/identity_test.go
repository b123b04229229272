package transport_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"bellhop/sip/transport"
)

// What was stored of an earlier process, or comes from another node, does not lead
// down a connection of this one, though the addresses are the same.
func TestFlowIsOfOneProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before, now := openHall(t, transport.Proven), openHall(t, transport.Proven)
		for _, h := range []*hall{before, now} {
			c := h.dial("192.0.2.7:4000")
			write(t, c, options)
			expect(t, c, options)
		}
		flow := before.peers[0].Flow()
		if err := now.Send(flow, []byte(options)); !errors.Is(err, transport.ErrGone) {
			t.Errorf("Send down %+v of another process = %v, want %v", flow, err, transport.ErrGone)
		}
		if flow.Conn == 0 || flow.Conn>>63 != 0 {
			t.Errorf("Conn = %x, want one that has room to grow, and not 0", flow.Conn)
		}
	})
}
