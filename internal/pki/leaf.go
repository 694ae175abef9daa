package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"time"
)

// EnsureLeaf keeps the leaf at certFile and keyFile as wanted: it issues one
// when there is none, and again, for the same key, when the present one is
// unreadable, of another authority or key, does not cover names, or should be
// renewed by now (see [RenewAt]). Addresses that a certificate has beyond the
// wanted ones are no reason. It reports whether it wrote a certificate.
func EnsureLeaf(certFile, keyFile string, ca *CA, names Names, now time.Time) (*x509.Certificate, bool, error) {
	key, _, err := EnsureKey(keyFile)
	if err != nil {
		return nil, false, err
	}
	// Whatever is wrong with the present certificate, a new one mends it.
	if cert, err := ReadCert(certFile); err == nil && current(cert, key, ca, names, now) {
		return cert, false, nil
	}
	cert, err := ca.Sign(&key.PublicKey, names, now)
	if err != nil {
		return nil, false, err
	}
	return cert, true, WriteCert(certFile, cert)
}

func current(cert *x509.Certificate, key *ecdsa.PrivateKey, ca *CA, names Names, now time.Time) bool {
	return SameKey(cert, key) &&
		cert.CheckSignatureFrom(ca.Cert) == nil &&
		names.Covers(cert) &&
		!now.Before(cert.NotBefore) && now.Before(RenewAt(cert))
}
