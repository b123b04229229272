package trunk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"bellhop/routing/location"
	"bellhop/sip/wire"
)

// purposeContact derives the secret of the tokens of registrations.
const purposeContact = "trunk contact"

// tokenBytes is the length of a token before base32: 130 bits are 26 characters.
const tokenBytes = 16

// token is what our Contact with a trunk is called: the same after a restart, on
// every node, and known to nobody but the carrier. It is in lower case, since
// some carriers fold the case of user parts.
func token(secret []byte, k key) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte{byte(len(k.domain))})
	mac.Write([]byte(k.domain))
	mac.Write([]byte(k.name))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil)[:tokenBytes]))
}

// tokens are all tokens of a trunk that are good, the newest first.
func (m *Manager) tokens(k key) (out []string) {
	_, secrets := m.keys.Derive(purposeContact)
	for _, s := range secrets {
		out = append(out, token(s, k))
	}
	return out
}

// contact is the Contact that a trunk is to call us at. The token stands in the
// user part, and in a parameter for carriers that put the called number there
// (as other servers do it).
func (m *Manager) contact(k key, f location.Flow) string {
	at := m.network.Advertise(f.Local).String()
	param := transportParam(strings.ToLower(f.Transport.String()))
	ts := m.tokens(k)
	if len(ts) == 0 {
		return "<sip:" + at + param + ">"
	}
	return "<sip:" + ts[0] + "@" + at + param + ";line=" + ts[0] + ">"
}

// grantedFor reads for how long a 200 registers us: our Contact among those of
// the AOR, else the Expires field, else what was asked (RFC 3261 §10.2.4).
func (m *Manager) grantedFor(k key, res *wire.Message, asked time.Duration) time.Duration {
	expires := asked
	if v, ok := res.Get(wire.Expires); ok {
		expires = seconds(v.Bytes())
	}
	for v := range res.All(wire.Contact) {
		n, ok := wire.ParseNameAddr(v.Bytes())
		if !ok {
			continue
		}
		u, ok := wire.ParseURI(n.URI)
		if !ok || !m.isToken(k, u.User) {
			continue
		}
		if e, ok := n.Param("expires"); ok {
			expires = seconds(e)
		}
	}
	return min(max(expires, minExpires), maxExpires)
}

func (m *Manager) isToken(k key, user []byte) bool {
	for _, t := range m.tokens(k) {
		if strings.EqualFold(t, string(user)) {
			return true
		}
	}
	return false
}
