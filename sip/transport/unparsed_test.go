package transport_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"bellhop/sip/transport"
)

// sized is a message of n bytes.
func sized(n int) string {
	body := n - len(options) - 4
	return strings.Replace(options, "Content-Length: 0", fmt.Sprintf("Content-Length: %05d", body), 1) + strings.Repeat("x", body)
}

// TestUnparsedBytes: messages that have begun take so much memory in all, and a
// sixteenth of it from one source; who is above that goes, and nobody else.
func TestUnparsedBytes(t *testing.T) {
	t.Parallel()
	const most = 256 << 10
	for _, tt := range []struct {
		name   string
		bytes  int
		source func(i int) string
		fit    int // connections
	}{
		{"too large for its source alone", 40_000, func(int) string { return "192.0.2.7:0" }, 0},
		{"of one source", 10_000, func(int) string { return "192.0.2.7:0" }, 2},
		{"of one IPv6 subscriber", 10_000, func(i int) string { return fmt.Sprintf("[2001:db8::%d]:0", i+1) }, 2},
		{"of all", 16_000, func(i int) string { return fmt.Sprintf("192.0.2.%d:0", i+1) }, 18},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := openHall(t, transport.Proven, func(o *transport.Options) { o.Limits.Unparsed = most })
				var conns []net.Conn
				open := func() int {
					synctest.Wait()
					return int(h.sum("connections", ""))
				}
				for i := range tt.fit + 1 {
					c := h.dial(tt.source(i))
					write(t, c, options) // proves it
					expect(t, c, options)
					_, _ = c.Write([]byte(sized(tt.bytes)[:tt.bytes-1])) // all but its end
					conns = append(conns, c)
					if n := open(); n != min(i+1, tt.fit) {
						t.Fatalf("%d connections are open after %d, want %d", n, i+1, min(i+1, tt.fit))
					}
				}
				if n := h.sum("connections_closed_total", "unparsed"); n != 1 {
					t.Errorf("%v connections closed for what they began, want 1", n)
				}
				other := h.dial("198.51.100.1:0") // whole messages cost nothing
				write(t, other, options)
				expect(t, other, options)
				for _, c := range conns[:tt.fit] {
					write(t, c, "x")
					expect(t, c, sized(tt.bytes))
				}
				for _, c := range conns {
					c.Close()
				}
				if n := open(); n != 1 {
					t.Errorf("%d connections are open, want 1", n)
				}
				again := h.dial(tt.source(0)) // nothing is left of the account
				write(t, again, sized(16_000)[:15_999])
				if n := open(); n != 2 {
					t.Errorf("%d connections are open when there is room again, want 2", n)
				}
			})
		})
	}
}
