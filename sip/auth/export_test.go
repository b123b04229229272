package auth

// Answer returns the response of credentials, for test vectors.
func Answer(alg, username, realm, secret, method, params string) string {
	c, ok := parseCredentials([]byte(params))
	a, known := parseAlgorithm([]byte(alg))
	if !ok || !known {
		return ""
	}
	return string(a.appendAnswer(nil, newHA1(username, realm, []byte(secret)), []byte(method), &c))
}

// ParseCredentials returns the parameters of credentials as they are hashed.
func ParseCredentials(params string) (m map[string]string, ok bool) {
	c, ok := parseCredentials([]byte(params))
	m = make(map[string]string)
	for name, v := range map[string][]byte{
		"username": c.username, "realm": c.realm, "nonce": c.nonce, "uri": c.uri, "response": c.response,
		"algorithm": c.algorithm, "cnonce": c.cnonce, "qop": c.qop, "nc": c.nc,
	} {
		if v != nil {
			m[name] = string(v)
		}
	}
	return m, ok
}
