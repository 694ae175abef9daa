package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
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

// EnsureCA reads the authority at certFile and keyFile, or makes one. A certificate without its key, an unreadable
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

// NewCA makes an authority with a key of its own, in memory.
func NewCA(commonName string, now time.Time) (*CA, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	return newCA(key, commonName, now)
}

// Write writes the authority where [ReadCA] finds it, the key first.
func (ca *CA) Write(certFile, keyFile string) error {
	if err := WriteKey(keyFile, ca.key); err != nil {
		return err
	}
	return WriteCert(certFile, ca.Cert)
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

// maxPathLen lets an authority certify its successor (see [CA.Cross]).
const maxPathLen = 1

func newCA(key *ecdsa.PrivateKey, commonName string, now time.Time) (*CA, error) {
	template, err := authorityTemplate(pkix.Name{CommonName: commonName}, now)
	if err != nil {
		return nil, err
	}
	template.NotAfter, template.MaxPathLen = now.Add(CALifetime), maxPathLen
	cert, err := create(template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign authority %q: %w", commonName, err)
	}
	return &CA{Cert: cert, key: key}, nil
}

func authorityTemplate(subject pkix.Name, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	issued, err := issuedExtension(now)
	if err != nil {
		return nil, fmt.Errorf("encode the time of signing: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject, NotBefore: Beginning,
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:        x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{issued},
	}, nil
}

// ErrNoCross tells that an authority was made (by the first version) so that it
// cannot certify another one.
var ErrNoCross = errors.New("the authority may not certify another one (path length 0)")

// Cross returns the certificate by which those who trust ca alone accept what
// successor signs, as long as ca is valid. The error may be [ErrNoCross].
func (ca *CA) Cross(successor *x509.Certificate, now time.Time) (*x509.Certificate, error) {
	if ca.Cert.MaxPathLen == 0 && ca.Cert.MaxPathLenZero {
		return nil, ErrNoCross
	}
	template, err := authorityTemplate(successor.Subject, now)
	if err != nil {
		return nil, err
	}
	template.NotAfter, template.MaxPathLenZero = earliest(ca.Cert.NotAfter, successor.NotAfter), true
	template.SubjectKeyId = successor.SubjectKeyId
	cert, err := create(template, ca.Cert, successor.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("certify authority %q by %q: %w", successor.Subject.CommonName, ca.Cert.Subject.CommonName, err)
	}
	return cert, nil
}

// SignDigest signs a SHA-256 sum with the authority's key (ECDSA, ASN.1). What is
// signed so must not be taken for a certificate: say in it what it is.
func (ca *CA) SignDigest(digest [sha256.Size]byte) ([]byte, error) {
	return ecdsa.SignASN1(rand.Reader, ca.key, digest[:])
}

// Sign issues a leaf for public with the given names for [LeafLifetime], or as
// long as the authority is valid.
func (ca *CA) Sign(public crypto.PublicKey, names Names, now time.Time) (*x509.Certificate, error) {
	return ca.sign(public, names, now, LeafLifetime)
}

func (ca *CA) sign(public crypto.PublicKey, names Names, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	if !now.Before(ca.Cert.NotAfter) {
		return nil, fmt.Errorf("authority %q has ended at %s and can sign nothing more: is the clock right (now %s)?",
			ca.Cert.Subject.CommonName, ca.Cert.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	issued, err := issuedExtension(now)
	if err != nil {
		return nil, fmt.Errorf("encode the time of signing: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: names.CommonName, Organization: names.Organizations, SerialNumber: names.serialNumber()},
		DNSNames:              names.DNS,
		NotBefore:             Beginning,
		NotAfter:              earliest(now.Add(lifetime), ca.Cert.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           names.usages(),
		ExtraExtensions:       []pkix.Extension{issued},
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

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
