package transport

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"strings"
	"time"
)

// verifiedNames are the names that the certificate of a peer proves, when one of
// the authorities signed it. A certificate that nobody asked to trust, such as
// phones have from their maker, proves nothing and does no harm.
func verifiedNames(state tls.ConnectionState, authorities *x509.CertPool) (names []string) {
	if authorities == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: authorities, Intermediates: between, CurrentTime: time.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, // RFC 5924 is optional
	})
	if err != nil {
		return nil
	}
	for _, u := range leaf.URIs { // RFC 5922 §7.1: with sip URIs there, host names do not count
		if name, ok := sipDomain(u); ok {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		return names
	}
	for _, name := range leaf.DNSNames {
		names = append(names, strings.ToLower(name))
	}
	return names
}

// sipDomain returns the domain of a sip URI without a user part.
func sipDomain(u *url.URL) (string, bool) {
	if !strings.EqualFold(u.Scheme, "sip") || u.Opaque == "" || strings.Contains(u.Opaque, "@") {
		return "", false
	}
	host, _, _ := strings.Cut(u.Opaque, ";")
	return strings.ToLower(host), true
}
