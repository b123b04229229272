package sqlstore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bellhop/routing/directory"
	"bellhop/store/sqlstore"
	"bellhop/store/storetest"
)

// certificate makes a certificate for localhost that is its own authority.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// TestTLS reaches PostgreSQL by TLS: with the authority that signed it, and under the
// name in its certificate only. A connection on which it is silent is given up there too.
func TestTLS(t *testing.T) {
	t.Parallel()
	p, err := storetest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := p.SQL("ALTER ROLE bellhop PASSWORD 'hush'"); err != nil {
		t.Fatal(err)
	}
	cert, key := certificate(t)
	other, _ := certificate(t)
	port := p.ServeTLS(t, cert, key)
	trust := func(pem []byte) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, pem, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	to := func(host, query, password string) sqlstore.Options {
		o := at(fmt.Sprintf("postgres://bellhop@%s:%d/postgres?%s", host, port, query), t.TempDir(), 1)
		o.PostgreSQL.Password, o.PostgreSQL.Timeout = password, time.Second
		return o
	}
	for _, tt := range []struct{ name, host, query, password, says string }{
		{"in the clear", "localhost", "sslmode=disable", "hush", "no encryption"},
		{"another authority", "localhost", "sslmode=verify-full&sslrootcert=" + trust(other), "hush", "unknown authority"},
		{"another name", "127.0.0.1", "sslmode=verify-full&sslrootcert=" + trust(cert), "hush", "127.0.0.1"},
		{"another password", "localhost", "sslmode=verify-full&sslrootcert=" + trust(cert), "hash", "password authentication failed"},
	} {
		s, err := sqlstore.New(t.Context(), to(tt.host, tt.query, tt.password))
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), tt.password) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
	s := open(t, to("localhost", "sslmode=verify-full&sslrootcert="+trust(cert), "hush"))
	storetest.Provision(t, s)
	if out, err := p.SQL("SELECT COUNT(*), BOOL_AND(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'bellhop-1'"); err != nil || !strings.HasSuffix(strings.TrimSpace(out), "|t") {
		t.Errorf("connections and whether all are TLS: %s, %v", out, err)
	}
	if err := p.Stall(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := s.Get(t.Context(), storetest.Ref(directory.KindUser, "ana")); err == nil || time.Since(begin) > 10*time.Second {
		t.Errorf("Get of a database that is silent = %v after %v", err, time.Since(begin))
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	soon(t, "it answers again", func() bool {
		_, err := s.Get(t.Context(), storetest.Ref(directory.KindUser, "ana"))
		return err == nil
	})
}
