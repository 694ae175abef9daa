package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
)

// NewRequest returns a signing request (PKCS #10, DER) that proves possession
// of key. The common name is for people who read logs; signers ignore it.
func NewRequest(key *ecdsa.PrivateKey, commonName string) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: commonName}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("make signing request for %q: %w", commonName, err)
	}
	return der, nil
}

// CheckRequest returns the public key of a signing request whose sender proved
// possession of it. Only ECDSA P-256 is accepted. Nothing else of the request
// is looked at: names, addresses and extensions are the signer's to choose.
func CheckRequest(der []byte) (*ecdsa.PublicKey, error) {
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("parse signing request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("check signing request: %w", err)
	}
	return checkKey(request.PublicKey)
}

// ParsePublicKey reads an ECDSA P-256 key from its PKIX form.
func ParsePublicKey(der []byte) (*ecdsa.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse public key: %w", err)
	}
	return checkKey(key)
}

func checkKey(key any) (*ecdsa.PublicKey, error) {
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("the key is not ECDSA P-256")
	}
	return public, nil
}
