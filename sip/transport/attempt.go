package transport

import "bellhop/routing/location"

// An Attempt is one way to reach a number by a trunk: one address of one of its
// peers (RFC 3263 §4.2). Attempts come in the order in which they are tried. It
// is comparable.
type Attempt struct {
	Domain string        // canonical name of the domain that the trunk belongs to
	Trunk  string        // its name
	Peer   string        // the peer as the trunk's settings name it
	Flow   location.Flow // where the request goes
	URI    string        // its Request-URI

	// MayStream says that a request which is too large for a datagram may go by TCP.
	MayStream bool
}
