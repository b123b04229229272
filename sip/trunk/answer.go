package trunk

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/icholy/digest"

	"bellhop/routing/directory"
	"bellhop/sip/wire"
)

// maxChallenge bounds what a parameter of a challenge may be long, in bytes: it
// comes back in every request.
const maxChallenge = 512

// maxRealms is how many realms of one response are answered: a carrier's, and
// those of proxies on the way.
const maxRealms = 4

// Answer returns the header lines, with their CRLFs, that answer the 401 or 407
// res of a peer to a request of ours with this method and Request-URI: one for
// each realm that asks. ok is false when the trunk has no credentials for what is
// asked. Who got an answer to it refused, without stale=true, must not ask again
// (RFC 3261 §22.1): the credentials are wrong.
func (m *Manager) Answer(domain, name, method, uri string, res *wire.Message) (lines []byte, ok bool) {
	m.mu.Lock()
	t := m.trunks[key{domain, name}]
	m.mu.Unlock()
	if t == nil {
		return nil, false
	}
	return m.answer(m.definition(t), method, uri, res)
}

func (m *Manager) definition(t *trunk) *directory.Peering {
	m.mu.Lock()
	defer m.mu.Unlock()
	return t.def
}

// answer is Answer for a trunk. The password is opened for as long as this
// takes.
func (m *Manager) answer(def *directory.Peering, method, uri string, res *wire.Message) (lines []byte, ok bool) {
	if def.Username == "" {
		return nil, false
	}
	asks, name := wire.WWWAuthenticate, "Authorization"
	if res.Status() == 407 {
		asks, name = wire.ProxyAuthenticate, "Proxy-Authorization"
	}
	challenges := chooseChallenges(res, asks, def)
	if len(challenges) == 0 {
		return nil, false
	}
	secret, err := m.keys.Open(directory.SealTrunk, def.Sealed, directory.TrunkAAD(def.Domain, def.Name))
	if err != nil {
		m.log.Error("credentials of a trunk cannot be opened", "domain", def.Domain, "trunk", def.Name, "err", err)
		return nil, false
	}
	defer clear(secret)
	for _, c := range challenges {
		cred, err := digest.Digest(&c, digest.Options{Method: method, URI: uri, Count: 1, Username: def.Username, Password: string(secret)})
		if err != nil {
			continue // an algorithm that chooseChallenges would not have chosen
		}
		lines = appendCredentials(append(append(lines, name...), ": "...), cred)
	}
	return lines, len(lines) > 0
}

// chooseChallenges returns the challenge that is answered of each realm: the
// first whose algorithm is known, since the one who asks put the best one first
// (RFC 8760 §2.4).
func chooseChallenges(res *wire.Message, f wire.Field, def *directory.Peering) (out []digest.Challenge) {
	only := ""
	if r := def.Trunk.Register; r != nil {
		only = r.Realm
	}
	seen := map[string]bool{}
	for v := range res.All(f) {
		c, ok := parseChallenge(v.Bytes())
		if !ok || seen[c.Realm] || only != "" && c.Realm != only || len(seen) == maxRealms {
			continue
		}
		seen[c.Realm] = true
		out = append(out, c)
	}
	return out
}

// parseChallenge reads a challenge that can be answered: digest, with an
// algorithm and a quality of protection that we have.
func parseChallenge(b []byte) (c digest.Challenge, ok bool) {
	a, ok := wire.ParseAuth(b)
	if !ok || !bytes.EqualFold(a.Scheme, []byte("Digest")) {
		return c, false
	}
	get := func(name string) string {
		v, _ := a.Param(name)
		if len(v) > 0 && v[0] == '"' {
			v = wire.AppendUnquoted(nil, v)
		}
		if len(v) > maxChallenge || bytes.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			ok = false
		}
		return string(v)
	}
	c = digest.Challenge{Realm: get("realm"), Nonce: get("nonce"), Opaque: get("opaque"), Stale: strings.EqualFold(get("stale"), "true")}
	switch alg := strings.ToUpper(get("algorithm")); alg {
	case "", "MD5", "SHA-256", "SHA-512-256": // RFC 8760 §2.2; the -sess forms are not known to be used
		c.Algorithm = alg
	default:
		return c, false
	}
	if qop := get("qop"); qop != "" {
		for q := range strings.SplitSeq(qop, ",") {
			if strings.EqualFold(strings.TrimSpace(q), "auth") {
				c.QOP = []string{"auth"}
			}
		}
		ok = ok && c.QOP != nil // auth-int alone would need the body
	}
	return c, ok && c.Nonce != ""
}

// appendCredentials appends the value of an Authorization field and its CRLF
// (RFC 7616 §3.4): what is quoted is what SIP quotes (RFC 3261 §25.1).
func appendCredentials(dst []byte, c *digest.Credentials) []byte {
	quoted := func(name, value string) {
		dst = append(dst, name...)
		dst = wire.AppendQuoted(dst, value)
	}
	quoted("Digest username=", c.Username)
	quoted(",realm=", c.Realm)
	quoted(",nonce=", c.Nonce)
	quoted(",uri=", c.URI)
	quoted(",response=", c.Response)
	if c.Algorithm != "" {
		dst = append(append(dst, ",algorithm="...), c.Algorithm...)
	}
	if c.QOP != "" {
		quoted(",cnonce=", c.Cnonce)
		dst = fmt.Appendf(dst, ",qop=%s,nc=%08x", c.QOP, c.Nc)
	}
	if c.Opaque != "" {
		quoted(",opaque=", c.Opaque)
	}
	return append(dst, "\r\n"...)
}

// stale reports whether a challenge asks for the same credentials with another
// nonce (RFC 7616 §3.3).
func stale(res *wire.Message) bool {
	for _, f := range []wire.Field{wire.WWWAuthenticate, wire.ProxyAuthenticate} {
		for v := range res.All(f) {
			if c, ok := parseChallenge(v.Bytes()); ok && c.Stale {
				return true
			}
		}
	}
	return false
}
