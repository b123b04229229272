package auth

import (
	"bytes"

	"bellhop/sip/wire"
)

// credentials are the parameters of one Authorization or Proxy-Authorization
// value (RFC 7616 §3.4). They borrow the bytes of the message. Quoted values
// are without quotes and with their backslashes: that is how they are hashed.
type credentials struct {
	username, realm, nonce, uri, response, algorithm, cnonce, qop, nc []byte
}

// maxCredentials is how many values of a request are looked at. Proxies on the
// way may have realms of their own.
const maxCredentials = 8

// find returns the credentials of req that are for realm. malformed says that
// there are none, but something that cannot be read.
func find(req *wire.Message, f wire.Field, realm string) (c credentials, ok, malformed bool) {
	n := 0
	for v := range req.All(f) {
		if n++; n > maxCredentials {
			break
		}
		a, isAuth := wire.ParseAuth(v.Bytes())
		if !isAuth || !bytes.EqualFold(a.Scheme, []byte("Digest")) {
			continue
		}
		c, ok := parseCredentials(a.Params)
		switch {
		case !ok:
			malformed = true
		case string(c.realm) == realm:
			return c, true, false
		default: // for somebody else
		}
	}
	return credentials{}, false, malformed
}

// field returns where the value of the parameter called name belongs, or nil.
func (c *credentials) field(name []byte) *[]byte {
	switch len(name) { // most names are told apart by their length
	case 2:
		if bytes.EqualFold(name, []byte("nc")) {
			return &c.nc
		}
	case 3:
		switch {
		case bytes.EqualFold(name, []byte("uri")):
			return &c.uri
		case bytes.EqualFold(name, []byte("qop")):
			return &c.qop
		}
	case 5:
		switch {
		case bytes.EqualFold(name, []byte("realm")):
			return &c.realm
		case bytes.EqualFold(name, []byte("nonce")):
			return &c.nonce
		}
	case 6:
		if bytes.EqualFold(name, []byte("cnonce")) {
			return &c.cnonce
		}
	case 8:
		switch {
		case bytes.EqualFold(name, []byte("username")):
			return &c.username
		case bytes.EqualFold(name, []byte("response")):
			return &c.response
		}
	case 9:
		if bytes.EqualFold(name, []byte("algorithm")) {
			return &c.algorithm
		}
	}
	return nil
}

// parseCredentials reads "name=value, name="value"". It is false for what two
// readers could understand in two ways: a parameter that comes twice, an open
// quote, a name without a value. Unknown parameters are passed over, and so are
// empty elements and blanks where there should be none.
func parseCredentials(b []byte) (c credentials, ok bool) {
	for {
		b = skipBlanks(b)
		switch {
		case len(b) == 0:
			return c, true
		case b[0] == ',':
			b = b[1:]
			continue
		}
		end := wordEnd(b)
		name := b[:end]
		if b = skipBlanks(b[end:]); end == 0 || len(b) == 0 || b[0] != '=' {
			return c, false
		}
		value, rest, ok := cutValue(skipBlanks(b[1:]))
		if !ok {
			return c, false
		}
		if f := c.field(name); f != nil {
			if *f != nil {
				return c, false
			}
			*f = value
		}
		if b = skipBlanks(rest); len(b) > 0 && b[0] != ',' {
			return c, false
		}
	}
}

// cutValue returns the token or the inside of the quoted-string that b begins
// with; it is never nil when ok.
func cutValue(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != '"' {
		end := wordEnd(b)
		for end < len(b) && b[end] == '=' { // base64 that should have been quoted
			end++
		}
		return b[:end], b[end:], end > 0
	}
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return b[1:i], b[i+1:], true
		}
	}
	return nil, nil, false
}

// wordEnd returns where the word that b begins with ends.
func wordEnd(b []byte) int {
	for i, c := range b {
		switch c {
		case ',', '=', '"', '\\', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return len(b)
}

func skipBlanks(b []byte) []byte {
	i := 0
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return b[i:]
}

// complete reports whether everything is there that qop=auth needs, in its form
// (RFC 7616 §3.4).
func (c *credentials) complete() bool {
	return len(c.username) > 0 && len(c.nonce) > 0 && len(c.uri) > 0 && len(c.cnonce) > 0 &&
		len(c.response) > 0 && len(c.nc) == 8
}

// count returns the nonce count, false when it is no number from 1.
func (c *credentials) count() (nc uint32, ok bool) {
	for _, x := range c.nc {
		switch {
		case x >= '0' && x <= '9':
			x -= '0'
		case x|0x20 >= 'a' && x|0x20 <= 'f':
			x = x | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		nc = nc<<4 | uint32(x)
	}
	return nc, nc > 0
}
