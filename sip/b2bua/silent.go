package b2bua

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"bellhop/routing/location"
	"bellhop/sdp"
)

// Silent returns a service that answers and lets nothing be heard: every stream
// of the caller is inactive. It hangs up after lasts, 0 for never. Until there is
// media it confirms what a code did, and holds a caller that a re-INVITE is to
// give somebody to talk to.
func (b *B2BUA) Silent(name string, flow location.Flow, lasts time.Duration) *Service {
	var key [46]byte
	var id [8]byte
	_, _ = rand.Read(key[:]) // never fails (crypto/rand)
	_, _ = rand.Read(id[:])
	o := sdp.Origin{ID: binary.BigEndian.Uint64(id[:]) >> 1, Addr: b.net.Advertise(flow.Local).Addr()} // RFC 8866 §5.2: at most 63 bits
	return &Service{Name: name, Lasts: lasts, Describe: func(offer []byte) ([]byte, error) {
		o.Version++
		if offer == nil {
			return sdp.InactiveOffer(o), nil
		}
		return sdp.Inactive(offer, o, key)
	}}
}
