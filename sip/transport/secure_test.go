package transport_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bellhop/routing/location"
	"bellhop/sip/transport"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	a.cert, a.key = certify(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	a.pool.AddCert(a.cert)
	return a
}

func certify(t *testing.T, c *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "bellhop test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := c, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

// sign makes a certificate for host names and URIs.
func (a *authority) sign(t *testing.T, hosts []string, uris ...string) *tls.Certificate {
	t.Helper()
	c := &x509.Certificate{DNSNames: hosts, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		c.URIs = append(c.URIs, parsed)
	}
	made, key := certify(t, c, a)
	return &tls.Certificate{Certificate: [][]byte{made.Raw}, PrivateKey: key}
}

// secure are the options of a transport with one TLS listener.
func secure(cert *atomic.Pointer[tls.Certificate], clients *x509.CertPool) transport.Options {
	return transport.Options{Listeners: []transport.Listener{{
		Bind: netip.MustParseAddrPort("127.0.0.1:0"), Transport: location.TLS,
		TLS: &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil },
			ClientCAs:      clients,
		},
	}}}
}

func holder(c *tls.Certificate) *atomic.Pointer[tls.Certificate] {
	var p atomic.Pointer[tls.Certificate]
	p.Store(c)
	return &p
}

func dialTLS(t *testing.T, to netip.AddrPort, c *tls.Config) *tls.Conn {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: c}
	nc, err := d.DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc.(*tls.Conn)
}

// A certificate names its holder when one of our authorities signed it, and only
// then; the connection stands either way.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	tests := []struct {
		name   string
		cert   *tls.Certificate
		asked  bool
		proves []string
	}{
		{"none", nil, true, nil},
		{"of ours", ours.sign(t, []string{"Trunk.example"}), true, []string{"trunk.example"}},
		{"with a SIP domain", ours.sign(t, []string{"host.example"}, "sip:Trunk.example"), true, []string{"trunk.example"}},
		{"with a SIP user", ours.sign(t, []string{"host.example"}, "sip:bob@trunk.example"), true, []string{"host.example"}},
		{"of somebody else", theirs.sign(t, []string{"trunk.example"}), true, nil},
		{"not asked for", ours.sign(t, []string{"trunk.example"}), false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			names := make(chan []string, 1)
			pool := ours.pool
			if !tt.asked {
				pool = nil
			}
			tr := run(t, secure(holder(ours.sign(t, []string{"pbx.example"})), pool), func(_ *transport.Transport, p *transport.Packet) {
				names <- p.Peer.Names()
			})
			c := &tls.Config{RootCAs: ours.pool, ServerName: "pbx.example"}
			if tt.cert != nil { // whoever the server asks for
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tt.cert, nil }
			}
			write(t, dialTLS(t, tr.Addrs()[0], c), options)
			if diff := cmp.Diff(tt.proves, <-names); diff != "" {
				t.Errorf("Names (-want +got):\n%s", diff)
			}
		})
	}
}

// A peer that stalls in its handshake delays nobody (trap 5), and a certificate
// that is replaced drops nobody.
func TestHandshakeStallsAndCertificateChanges(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert := holder(ca.sign(t, []string{"pbx.example"}))
	tr := run(t, secure(cert, nil), echo(t))
	for range 10 { // they say nothing
		nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", tr.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	client := &tls.Config{RootCAs: ca.pool, ServerName: "pbx.example"}
	first := dialTLS(t, tr.Addrs()[0], client)
	write(t, first, options)
	expect(t, first, options)
	next := ca.sign(t, []string{"pbx.example"})
	cert.Store(next)
	second := dialTLS(t, tr.Addrs()[0], client)
	if got := second.ConnectionState().PeerCertificates[0].Raw; !bytes.Equal(got, next.Certificate[0]) {
		t.Error("a new connection got the old certificate")
	}
	write(t, first, options)
	expect(t, first, options)
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	tr := run(t, secure(holder(ca.sign(t, []string{"pbx.example"})), nil), echo(t))
	c := &tls.Config{RootCAs: ca.pool, ServerName: "pbx.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // that is the test
	d := tls.Dialer{Config: c}
	if nc, err := d.DialContext(t.Context(), "tcp", tr.Addrs()[0].String()); err == nil {
		nc.Close()
		t.Error("a handshake with TLS 1.1 succeeded")
	}
}

// We take no certificate for another name, and prove ourselves when asked.
func TestDialTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	names := make(chan []string, 1)
	peer := run(t, secure(holder(ca.sign(t, []string{"trunk.example"})), ca.pool), func(tr *transport.Transport, p *transport.Packet) {
		names <- p.Peer.Names()
		_ = tr.Send(p.Flow, p.Msg.Bytes())
	})
	back := make(chan []string, 1)
	o := secure(holder(ca.sign(t, []string{"pbx.example"})), nil)
	o.ClientTLS = &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{*ca.sign(t, []string{"pbx.example"})}}
	tr := run(t, o, func(_ *transport.Transport, p *transport.Packet) { back <- p.Peer.Names() })
	to := peer.Addrs()[0]
	if f, err := tr.Dial(t.Context(), location.TLS, to, "other.example"); err == nil {
		t.Errorf("Dial to the wrong name = %v, want an error", f)
	} else if bad, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Errorf("Dial to the wrong name = %v, want %T", err, bad)
	}
	f, err := tr.Dial(t.Context(), location.TLS, to, "Trunk.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Send(f, []byte(options)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pbx.example"}, <-names); diff != "" {
		t.Errorf("we proved (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"trunk.example"}, <-back); diff != "" {
		t.Errorf("the peer proved (-want +got):\n%s", diff)
	}
}

func TestPlainTextToTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	tr := run(t, secure(holder(ca.sign(t, []string{"pbx.example"})), nil), func(_ *transport.Transport, p *transport.Packet) {
		t.Errorf("a message came: %q", p.Msg.Bytes())
	})
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", tr.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	write(t, nc, options)
	_ = nc.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read = %v, want the end", err)
	}
}
