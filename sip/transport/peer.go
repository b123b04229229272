package transport

// A Peer is the other end of a connection, as long as the connection lives. A
// [Packet] that came over one has it; those of UDP have none.
type Peer struct {
	names []string
}

// Names are the identities that the certificate of a TLS peer proves: host names
// and the domains of SIP URIs in subjectAltName (RFC 5922 §7.1), in lower case.
// There are none without a certificate that one of our authorities signed, and
// of a nil peer.
func (p *Peer) Names() []string {
	if p == nil {
		return nil
	}
	return p.names
}
