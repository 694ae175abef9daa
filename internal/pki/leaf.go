package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"time"
)

// Issuer is an authority and how it issues leaves.
type Issuer struct {
	*CA
	// Cross certify the authority by its predecessor, while that is still
	// trusted. They go behind every leaf, so that who knows only the predecessor
	// accepts it.
	Cross []*x509.Certificate
	// Lifetime is how long a leaf is valid; [LeafLifetime] when zero.
	Lifetime time.Duration
}

func (i Issuer) lifetime() time.Duration {
	if i.Lifetime == 0 {
		return LeafLifetime
	}
	return i.Lifetime
}

// Issue signs a leaf and returns it with what goes behind it.
func (i Issuer) Issue(public crypto.PublicKey, names Names, now time.Time) ([]*x509.Certificate, error) {
	leaf, err := i.sign(public, names, now, i.lifetime())
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{leaf}, i.Cross...), nil
}

// EnsureLeaf is [Issuer.Ensure] for an authority without further wishes.
func EnsureLeaf(certFile, keyFile string, ca *CA, names Names, now time.Time) (*x509.Certificate, bool, error) {
	return Issuer{CA: ca}.Ensure(certFile, keyFile, names, now)
}

// Ensure keeps the leaf at certFile and keyFile as wanted: it issues one when
// there is none, and again, for the same key, when the present one is
// unreadable, of another authority or key, does not cover names, lives longer
// than wanted, or should be renewed by now (see [RenewAt]). Addresses that a
// certificate has beyond the wanted ones are no reason. It reports whether it
// wrote a certificate.
func (i Issuer) Ensure(certFile, keyFile string, names Names, now time.Time) (*x509.Certificate, bool, error) {
	key, _, err := EnsureKey(keyFile)
	if err != nil {
		return nil, false, err
	}
	// Whatever is wrong with the present certificate, a new one mends it.
	if chain, err := ReadCerts(certFile); err == nil && i.current(chain, key, names, now) {
		return chain[0], false, nil
	}
	return i.write(certFile, key, names, now)
}

// Replace issues a new leaf whatever the present one is, for a new key where
// newKey is set. A reader that finds the new key beside the old certificate is
// to keep what it has until both fit.
func (i Issuer) Replace(certFile, keyFile string, names Names, now time.Time, newKey bool) (*x509.Certificate, error) {
	if newKey {
		// Made good by Ensure if the process ends before the certificate is there.
		key, err := NewKey()
		if err != nil {
			return nil, err
		}
		if err := WriteKey(keyFile, key); err != nil {
			return nil, err
		}
	}
	key, _, err := EnsureKey(keyFile)
	if err != nil {
		return nil, err
	}
	cert, _, err := i.write(certFile, key, names, now)
	return cert, err
}

func (i Issuer) write(certFile string, key *ecdsa.PrivateKey, names Names, now time.Time) (*x509.Certificate, bool, error) {
	chain, err := i.Issue(&key.PublicKey, names, now)
	if err != nil {
		return nil, false, err
	}
	return chain[0], true, WriteCert(certFile, chain...)
}

func (i Issuer) current(chain []*x509.Certificate, key *ecdsa.PrivateKey, names Names, now time.Time) bool {
	leaf := chain[0]
	return SameKey(leaf, key) &&
		leaf.CheckSignatureFrom(i.Cert) == nil &&
		slices.EqualFunc(chain[1:], i.Cross, (*x509.Certificate).Equal) &&
		names.Covers(leaf) &&
		!leaf.NotAfter.After(now.Add(i.lifetime()+issueSlack)) &&
		now.Before(RenewAt(leaf))
}

// issueSlack is how far clocks may go back without a reason to renew.
const issueSlack = 24 * time.Hour

// ReadCerts reads all certificates of a PEM file. An absent file gives an error
// that wraps [io/fs.ErrNotExist].
func ReadCerts(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	certs, err := ParseCerts(text)
	if err != nil {
		return nil, fmt.Errorf("read certificates %s: %w", path, err)
	}
	return certs, nil
}
