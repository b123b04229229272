package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"

	"bellhop/config"
	"bellhop/routing/location"
	"bellhop/sip/transport"
)

// A certificate is what listeners show; a reload replaces it.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}

// getOwn is the same for a peer that asks us; an empty one says that we have none.
func (c *certificate) getOwn(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if own := c.current.Load(); own != nil {
		return own, nil
	}
	return new(tls.Certificate), nil
}

// certificates are the pairs that a configuration names; nil where it needs none.
type certificates struct{ https, sip *tls.Certificate }

// readCertificates reads them.
func readCertificates(c *config.Config) (pairs certificates, err error) {
	if !c.HTTPS.Plain {
		if pairs.https, err = readPair("https", c.HTTPS.Cert, c.HTTPS.Key); err != nil {
			return pairs, err
		}
		pairs.sip = pairs.https
	}
	if c.SIP.TLS.Cert != "" {
		pairs.sip, err = readPair("sip.tls", c.SIP.TLS.Cert, c.SIP.TLS.Key)
	}
	return pairs, err
}

func readPair(section, cert, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s.cert, %s.key: %w", section, section, err)
	}
	return &pair, nil
}

// readAuthorities reads a file of certificates; nil for none.
func readAuthorities(key, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no file is no pool
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: %s has no certificate", key, file)
	}
	return pool, nil
}

// openCertificates reads what listeners show.
func (a *App) openCertificates() error {
	pairs, err := readCertificates(a.conf)
	if err != nil {
		return err
	}
	if pairs.https != nil {
		a.cert = &certificate{}
	}
	a.show(pairs)
	return nil
}

// show puts certificates in force. Connections that are open stay.
func (a *App) show(pairs certificates) {
	if a.cert != nil && pairs.https != nil {
		a.cert.current.Store(pairs.https)
	}
	if pairs.sip != nil {
		a.sipCert.current.Store(pairs.sip)
	}
}

// sipListeners are the listeners of SIP as the configuration has them.
func (a *App) sipListeners() (out []transport.Listener, err error) {
	clients, err := readAuthorities("sip.tls.client_ca", a.conf.SIP.TLS.ClientCA)
	if err != nil {
		return nil, err
	}
	for _, l := range a.conf.SIP.Listeners {
		t := transport.Listener{Bind: l.Bind, Advertise: l.Advertise, Transport: location.UDP, Private: l.Network == config.Private}
		if l.Advertise == l.Bind {
			t.Advertise = netip.AddrPort{} // what it is bound to, whatever port a 0 becomes
		}
		for _, from := range l.ProxyProtocolFrom {
			prefix, err := config.ParsePrefix(from)
			if err != nil {
				return nil, err // it was validated
			}
			t.ProxyFrom = append(t.ProxyFrom, prefix)
		}
		switch l.Transport {
		case config.TCP:
			t.Transport = location.TCP
		case config.TLS:
			t.Transport = location.TLS
			t.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.sipCert.get, ClientCAs: clients}
		case config.UDP:
		default:
		}
		out = append(out, t)
	}
	return append(out, a.webListener()), nil
}

// webListener is that of SIP over WebSocket, at the listener of the API. Nobody
// connects to what it advertises: it is the name of the flow.
func (a *App) webListener() transport.Listener {
	at := a.HTTPSAddr()
	l := transport.Listener{Bind: at, Transport: location.WSS, Origins: a.conf.HTTPS.Origins}
	if a.cert == nil {
		l.Transport = location.WS
	}
	if at.Addr().IsUnspecified() {
		l.Advertise = netip.AddrPortFrom(a.conf.SIP.Listeners[0].Advertise.Addr(), at.Port())
	}
	return l
}

// clientTLS is how we connect to trunks.
func (a *App) clientTLS() (*tls.Config, error) {
	trusted, err := readAuthorities("sip.tls.trunk_ca", a.conf.SIP.TLS.TrunkCA)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted, GetClientCertificate: a.sipCert.getOwn}, err
}
