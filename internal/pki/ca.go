package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"path/filepath"
	"time"
)

// CA is an authority that can sign. It is safe for concurrent use.
type CA struct {
	Cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// EnsureCA reads the authority at certFile and keyFile, or makes one that is
// valid from an hour before now. A certificate without its key, an unreadable
// file or a pair that does not belong together is an error that says what to
// restore: replacing an authority would cut off everything it has signed.
func EnsureCA(certFile, keyFile, commonName string, now time.Time) (*CA, error) {
	cert, err := ReadCert(certFile)
	switch {
	case err == nil:
		return readCA(cert, certFile, keyFile)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	key, _, err := EnsureKey(keyFile)
	if err != nil {
		return nil, err
	}
	ca, err := newCA(key, commonName, now)
	if err != nil {
		return nil, err
	}
	return ca, WriteCert(certFile, ca.Cert)
}

// ReadCA reads an authority that [EnsureCA] has made.
func ReadCA(certFile, keyFile string) (*CA, error) {
	cert, err := ReadCert(certFile)
	if err != nil {
		return nil, err
	}
	return readCA(cert, certFile, keyFile)
}

func readCA(cert *x509.Certificate, certFile, keyFile string) (*CA, error) {
	key, err := ReadKey(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("authority %s has lost its key %s: restore %s from a backup", certFile, keyFile, filepath.Dir(keyFile))
	}
	if err != nil {
		return nil, err
	}
	if !cert.IsCA || !SameKey(cert, key) {
		return nil, fmt.Errorf("authority %s does not belong to key %s: restore %s from a backup", certFile, keyFile, filepath.Dir(keyFile))
	}
	return &CA{Cert: cert, key: key}, narrow(keyFile)
}

func newCA(key *ecdsa.PrivateKey, commonName string, now time.Time) (*CA, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-Backdate),
		NotAfter:              now.Add(CALifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, err := create(template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign authority %q: %w", commonName, err)
	}
	return &CA{Cert: cert, key: key}, nil
}

// Sign issues a leaf for public with the given names, valid from an hour
// before now for [LeafLifetime] or as long as the authority.
func (ca *CA) Sign(public crypto.PublicKey, names Names, now time.Time) (*x509.Certificate, error) {
	if err := CheckClockAgainst(now, ca.Cert); err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: names.CommonName, Organization: names.Organizations, SerialNumber: names.serialNumber()},
		DNSNames:              names.DNS,
		NotBefore:             latest(now.Add(-Backdate), ca.Cert.NotBefore),
		NotAfter:              earliest(now.Add(LeafLifetime), ca.Cert.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           names.usages(),
	}
	for _, ip := range names.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.AsSlice()))
	}
	cert, err := create(template, ca.Cert, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate %q: %w", names.CommonName, err)
	}
	return cert, nil
}

func create(template, parent *x509.Certificate, public crypto.PublicKey, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns 127 random bits, positive and within the 20 octets of
// RFC 5280, section 4.1.2.2.
func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
