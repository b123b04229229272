package location

import "net/netip"

// A Transport is how a message travels (RFC 3261 §18, RFC 7118).
type Transport uint8

// The transports. The zero Transport is none.
const (
	UDP Transport = iota + 1
	TCP
	TLS
	WS
	WSS
)

// String returns the transport as a Via field spells it.
func (t Transport) String() string {
	switch t {
	case UDP:
		return "UDP"
	case TCP:
		return "TCP"
	case TLS:
		return "TLS"
	case WS:
		return "WS"
	case WSS:
		return "WSS"
	default:
		return "NONE"
	}
}

// A Flow is the path between us and a peer (RFC 5626 §2): for UDP the pair of
// addresses, for a stream the connection. It is comparable. Requests to a
// device go down its flow, never to an address read from a Contact.
type Flow struct {
	Transport Transport
	Local     netip.AddrPort // our side: a listener's bound address; of a wildcard the one that was asked
	Remote    netip.AddrPort // where messages of the peer come from
	Conn      uint64         // identity of a connection; 0 for UDP
}

// WebSocket reports whether f is one of a browser, which knows no address of its
// own (RFC 7118 §5).
func (f Flow) WebSocket() bool { return f.Transport == WS || f.Transport == WSS }

// Secure reports whether what goes down f is encrypted as far as the peer.
func (f Flow) Secure() bool { return f.Transport == TLS || f.Transport == WSS }

// IsZero reports whether f is no flow.
func (f Flow) IsZero() bool { return f.Transport == 0 }
