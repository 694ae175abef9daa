package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/wire"
)

const (
	pemKey  = "EC PRIVATE KEY" // the type that Kubernetes' key loaders know
	pemCert = "CERTIFICATE"

	keyMode  fs.FileMode = 0o600
	certMode fs.FileMode = 0o644
)

// NewKey makes an ECDSA P-256 key.
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a P-256 key: %w", err)
	}
	return key, nil
}

// EncodeKey returns key as PEM (SEC 1).
func EncodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), nil
}

// ParseKey reads the first key of PEM text, SEC 1 or PKCS #8. Only ECDSA keys
// are accepted.
func ParseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block found")
	}
	if block.Type == pemKey {
		return x509.ParseECPrivateKey(block.Bytes)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a %T is not an ECDSA key", parsed)
	}
	return key, nil
}

// ReadKey reads a key file. An absent file gives an error that wraps
// [fs.ErrNotExist].
func ReadKey(path string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return key, nil
}

// WriteKey writes key to path with mode 0600.
func WriteKey(path string, key *ecdsa.PrivateKey) error {
	text, err := EncodeKey(key)
	if err != nil {
		return err
	}
	return fsx.WriteFile(path, text, keyMode)
}

// EnsureKey reads the key at path, or makes and writes one when there is none.
// A file that cannot be read or parsed is an error, never replaced. It narrows
// the mode of a key file that others could read.
func EnsureKey(path string) (key *ecdsa.PrivateKey, made bool, err error) {
	key, err = ReadKey(path)
	switch {
	case err == nil:
		return key, false, narrow(path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, err
	}
	if key, err = NewKey(); err != nil {
		return nil, false, err
	}
	return key, true, WriteKey(path, key)
}

func narrow(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&^keyMode == 0 {
		return nil
	}
	return os.Chmod(path, keyMode)
}

// HashPublicKey returns the SHA-256 of key's SubjectPublicKeyInfo.
func HashPublicKey(key crypto.PublicKey) (wire.Pin, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return wire.Pin{}, fmt.Errorf("hash public key: %w", err)
	}
	return sha256.Sum256(der), nil
}

// PinOf returns the SHA-256 of the certificate's SubjectPublicKeyInfo: what a
// join token pins.
func PinOf(cert *x509.Certificate) wire.Pin {
	return sha256.Sum256(cert.RawSubjectPublicKeyInfo)
}
