package pki

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/wire"
)

const (
	// CALifetime is how long an authority is valid.
	CALifetime = 10 * 365 * 24 * time.Hour
	// LeafLifetime is how long a leaf is valid where nobody says otherwise.
	LeafLifetime = 365 * 24 * time.Hour
)

// EncodeCert returns the certificates as PEM.
func EncodeCert(certs ...*x509.Certificate) []byte {
	var text []byte
	for _, cert := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: pemCert, Bytes: cert.Raw})...)
	}
	return text
}

// ParseCerts reads every certificate of PEM text; other blocks are refused. It
// fails when there is none.
func ParseCerts(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != pemCert {
			return nil, fmt.Errorf("a PEM block %.40q is not a certificate", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate found")
	}
	return certs, nil
}

// ReadCert reads the first certificate of a PEM file. An absent file gives an
// error that wraps [io/fs.ErrNotExist].
func ReadCert(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	certs, err := ParseCerts(text)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", path, err)
	}
	return certs[0], nil
}

// WriteCert writes certs to path with mode 0644.
func WriteCert(path string, certs ...*x509.Certificate) error {
	return fsx.WriteFile(path, EncodeCert(certs...), certMode)
}

// Pool returns a pool of certs.
func Pool(certs ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool
}

// SameKey says whether cert certifies the public half of key.
func SameKey(cert *x509.Certificate, key *ecdsa.PrivateKey) bool {
	return key.PublicKey.Equal(cert.PublicKey)
}

// Names is what a leaf says about its owner. The signer chooses it.
type Names struct {
	CommonName    string
	Organizations []string
	DNS           []string
	IPs           []netip.Addr
	// Device, unless zero, is the hash of the device key of the machine that
	// holds the leaf. It goes into the subject's serialNumber, which Kubernetes
	// does not look at, and lets a server refuse a machine that was replaced.
	Device wire.Pin
	// Server and Client say what the leaf may be used for.
	Server, Client bool
}

// Covers says whether cert was issued for exactly this identity and at least
// these addresses and uses.
func (n Names) Covers(cert *x509.Certificate) bool {
	if cert.Subject.CommonName != n.CommonName || !slices.Equal(cert.Subject.Organization, n.Organizations) {
		return false
	}
	if cert.Subject.SerialNumber != n.serialNumber() {
		return false
	}
	for _, name := range n.DNS {
		if !slices.Contains(cert.DNSNames, name) {
			return false
		}
	}
	for _, ip := range n.IPs {
		if !slices.ContainsFunc(cert.IPAddresses, net.IP(ip.AsSlice()).Equal) {
			return false
		}
	}
	for _, usage := range n.usages() {
		if !slices.Contains(cert.ExtKeyUsage, usage) {
			return false
		}
	}
	return true
}

func (n Names) serialNumber() string {
	if n.Device == (wire.Pin{}) {
		return ""
	}
	return n.Device.String()
}

// DeviceOf returns the device hash that a certificate carries, if it does.
func DeviceOf(cert *x509.Certificate) (wire.Pin, bool) {
	device, err := wire.ParsePin(cert.Subject.SerialNumber)
	return device, err == nil
}

func (n Names) usages() []x509.ExtKeyUsage {
	var usages []x509.ExtKeyUsage
	if n.Server {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	if n.Client {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	return usages
}
