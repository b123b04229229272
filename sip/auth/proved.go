package auth

import (
	"bytes"
	"time"

	"bellhop/routing/directory"
	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// maxProved is how many devices one connection may stand for: a phone with
// several accounts.
const maxProved = 8

// A Proved is the devices that authenticated over one connection, which counts for
// them until it closes or their credential changes (trust.md §1). It never
// changes: see [Proved.With]. The nil Proved is none.
type Proved struct{ devices []proved }

type proved struct {
	domain     string
	credential directory.Credential
}

// With returns a Proved that has a device of a domain as well.
func (p *Proved) With(domain string, c *directory.Credential) *Proved {
	var next Proved
	if p != nil {
		for _, d := range p.devices {
			if d.domain != domain || d.credential.Username != c.Username {
				next.devices = append(next.devices, d)
			}
		}
	}
	if len(next.devices) == maxProved {
		next.devices = next.devices[1:]
	}
	next.devices = append(next.devices, proved{domain, *c})
	return &next
}

// Again says whether a request is one that its connection speaks for: From is a
// line of a device that authenticated over it, and whose credential is still the
// same. Otherwise the request must prove itself.
func (a *Authenticator) Again(req *wire.Message, flow location.Flow, domain string, p *Proved, now time.Time) (Verdict, bool) {
	if p == nil {
		return Verdict{}, false
	}
	for i := range p.devices {
		d := &p.devices[i]
		if d.domain != domain {
			continue
		}
		c, known, cached := a.credentials.Credential(domain, d.credential.Username)
		if !cached || !known || !c.Usable(now) || c.Device != d.credential.Device || !bytes.Equal(c.Sealed, d.credential.Sealed) {
			continue
		}
		if v := a.admit(req, flow, c, domain); v.Kind == Accepted {
			a.verdicts[Accepted].Inc()
			return v, true
		}
	}
	return Verdict{}, false
}
