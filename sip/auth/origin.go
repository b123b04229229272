package auth

// An Origin is the trunk that a request was proven to come from (trust.md §1).
// The zero Origin is nobody. It is comparable.
type Origin struct {
	Domain string // canonical name of the domain that the trunk belongs to
	Trunk  string // its name

	// Trusted: P-Asserted-Identity, Diversion and History-Info that enter with
	// its requests are kept; from others they are dropped.
	Trusted bool
	// Contact: the Request-URI is the Contact that we registered with it: the number
	// that was called stands in To.
	Contact bool
	// Verified: its carrier vouches for the number in From (rule snr.inbound).
	Verified bool
}
