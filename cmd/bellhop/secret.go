package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// secretPrefix begins what generate makes, so that it meets the password rules
// (behaviour.md §4: upper and lower case, a digit, a special character).
const secretPrefix = "Bh1-"

// generate returns a new secret of at least 128 random bits, 30 characters.
func generate() string { return secretPrefix + strings.ToLower(rand.Text()) }

// generated reports whether a secret was made by generate: what somebody chose
// is known to more than this file, and is likely used twice.
func generated(secret string, all map[string]string) bool {
	uses := 0
	for _, s := range all {
		if s == secret {
			uses++
		}
	}
	return uses == 1 && strings.HasPrefix(secret, secretPrefix) && len(secret) == len(generate())
}

// certLife is how long a self-signed certificate is good for; it is made again
// a month before.
const certLife = 365 * 24 * time.Hour

// selfSigned makes a certificate for names and addresses in the files cert and
// key, unless a good one is there.
func selfSigned(cert, key string, names []string, ips []netip.Addr) error {
	if covers(cert, key, names, ips) {
		return nil
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "bellhop demo"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certLife),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
	)
}

// covers reports whether the files hold a pair for all names and addresses that
// is good for another month.
func covers(cert, key string, names []string, ips []netip.Addr) bool {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil || pair.Leaf == nil || time.Now().Add(certLife/12).After(pair.Leaf.NotAfter) {
		return false
	}
	for _, name := range names {
		if pair.Leaf.VerifyHostname(name) != nil {
			return false
		}
	}
	for _, ip := range ips {
		if pair.Leaf.VerifyHostname(ip.String()) != nil {
			return false
		}
	}
	return true
}
