package trunk

import (
	"context"

	"bellhop/routing/directory"
	"bellhop/sip/auth"
)

// Credentials returns the credentials of trunks with proof digest, and of devices
// those of others.
func (m *Manager) Credentials(others auth.Credentials) auth.Credentials {
	return credentials{m, others}
}

type credentials struct {
	m      *Manager
	others auth.Credentials
}

// Credential implements [auth.Credentials].
func (c credentials) Credential(domain, username string) (directory.Credential, bool, bool) {
	if cr, ok := c.m.matcher.Load().logins[login{domain, username}]; ok {
		return cr, true, true
	}
	return c.others.Credential(domain, username)
}

// Load implements [auth.Credentials].
func (c credentials) Load(ctx context.Context, domain, username string) error {
	return c.others.Load(ctx, domain, username)
}

// Origin returns the trunk called name as the origin of a request that its
// credentials proved.
func (m *Manager) Origin(domain, name string) (auth.Origin, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.trunks[key{domain, name}]
	if t == nil {
		return auth.Origin{}, false
	}
	return auth.Origin{Domain: domain, Trunk: name, Trusted: t.def.Trunk.Trusted, Verified: t.def.Trunk.Verified}, true
}
