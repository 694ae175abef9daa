package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// Authorities are who signs and who is trusted at one moment. It is not changed;
// ask for it anew for each piece of work.
type Authorities struct {
	// State is that of the rotation.
	State State
	// Server are the authorities that nodes are to trust for their servers, the
	// one that signs now first.
	Server []*x509.Certificate
	// Servers are the same, with their keys.
	Servers []*pki.CA
	// Client and Kubelet issue the certificates of nodes.
	Client, Kubelet pki.Issuer
	// ClientBundle are the authorities of clients, the one that signs now first,
	// and Clients the same for verifying.
	ClientBundle []*x509.Certificate
	Clients      *x509.CertPool
}

// ReadAuthorities reads what [Ensure] has made. Leaves get the given lifetime,
// zero for [pki.LeafLifetime].
func ReadAuthorities(paths Paths, lifetime time.Duration) (*Authorities, error) {
	state, err := ReadState(paths)
	if err != nil {
		return nil, err
	}
	a := &Authorities{State: state}
	for _, s := range paths.slots() {
		k, err := s.read(paths, state, lifetime)
		if err != nil {
			return nil, err
		}
		switch s.pair {
		case paths.ServerCA:
			a.Servers = k.all
			a.Server = k.trusted()
		case paths.ClientCA:
			a.Client, a.ClientBundle = k.issuer, k.trusted()
			a.Clients = pki.Pool(a.ClientBundle...)
		case paths.KubeletCA:
			a.Kubelet = k.issuer
		}
	}
	return a, nil
}

// ClientIssuer returns the pin of the client authority that has signed cert, which
// need not be valid any more; zero if none of those that are trusted has.
func (a *Authorities) ClientIssuer(cert *x509.Certificate) wire.Pin {
	for _, ca := range a.ClientBundle {
		if cert.CheckSignatureFrom(ca) == nil {
			return pki.PinOf(ca)
		}
	}
	return wire.Pin{}
}

// kind is one kind of authority: how it issues, and all of it that is trusted,
// the one that signs first.
type kind struct {
	issuer pki.Issuer
	all    []*pki.CA
}

func (k kind) trusted() []*x509.Certificate {
	var certs []*x509.Certificate
	for _, ca := range k.all {
		certs = append(certs, ca.Cert)
	}
	return certs
}

// read returns one kind of authority as the phase says.
func (s slot) read(paths Paths, state State, lifetime time.Duration) (kind, error) {
	signing, err := pki.ReadCA(s.pair.Cert, s.pair.Key)
	if err != nil {
		return kind{}, err
	}
	k := kind{issuer: pki.Issuer{CA: signing, Lifetime: lifetime}, all: []*pki.CA{signing}}
	other := map[Phase]string{PhasePrepared: nextFolder, PhaseSwitched: formerFolder}[state.Phase]
	if other == "" {
		return k, nil
	}
	pair := s.in(paths, other)
	second, err := pki.ReadCA(pair.Cert, pair.Key)
	if err != nil {
		return kind{}, err
	}
	k.all = append(k.all, second)
	if state.Phase != PhaseSwitched {
		return k, nil
	}
	cross, err := pki.ReadCert(s.cross(paths))
	switch {
	case err == nil:
		k.issuer.Cross = []*x509.Certificate{cross}
	case !errors.Is(err, fs.ErrNotExist):
		return kind{}, fmt.Errorf("read the cross certificate of %s: %w", s.file, err)
	}
	return k, nil
}
