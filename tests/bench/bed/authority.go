package bed

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// Authority is a directory with the certificates of a cluster as a server makes
// them: ECDSA, an authority for servers and one for clients.
type Authority struct {
	// Dir is where everything is.
	Dir            string
	server, client *pki.CA
}

// NewAuthority makes or reads the authorities in dir and a server certificate
// for the addresses.
func NewAuthority(dir string, addresses ...netip.Addr) (*Authority, error) {
	a := &Authority{Dir: dir}
	var err error
	if a.server, err = a.ca("server-ca"); err != nil {
		return nil, err
	}
	if a.client, err = a.ca("client-ca"); err != nil {
		return nil, err
	}
	_, _, err = pki.EnsureLeaf(a.path("server.crt"), a.path("server.key"), a.server, pki.Names{
		CommonName: "kube-apiserver", DNS: []string{wire.ServerIdentity, "localhost"}, IPs: addresses, Server: true,
	}, time.Now())
	return a, err
}

func (a *Authority) ca(name string) (*pki.CA, error) {
	return pki.EnsureCA(a.path(name+".crt"), a.path(name+".key"), name, time.Now())
}

func (a *Authority) path(name string) string { return filepath.Join(a.Dir, name) }

// ServerCA is the file with the authority that nodes trust.
func (a *Authority) ServerCA() string { return a.path("server-ca.crt") }

// ClientCA is the file with the authority of nodes' certificates.
func (a *Authority) ClientCA() string { return a.path("client-ca.crt") }

// Server is the server's certificate and key.
func (a *Authority) Server() (cert, key string) { return a.path("server.crt"), a.path("server.key") }

// Node makes the certificate of a node and returns its files.
func (a *Authority) Node(name string) (cert, key string, err error) {
	cert, key = a.path("node-"+name+".crt"), a.path("node-"+name+".key")
	_, _, err = pki.EnsureLeaf(cert, key, a.client, pki.Names{
		CommonName: "system:node:" + name, Organizations: []string{"system:nodes"}, Client: true,
	}, time.Now())
	return cert, key, err
}

// ServerTLS is the configuration of the server's end: TLS 1.3, and client
// certificates asked for as the apiserver does.
func ServerTLS(dir string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS13,
	}, nil
}

// NodeTLS is the configuration of a node's end.
func NodeTLS(dir, node string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "node-"+node+".crt"), filepath.Join(dir, "node-"+node+".key"))
	if err != nil {
		return nil, fmt.Errorf("node certificate: %w", err)
	}
	ca, err := pki.ReadCert(filepath.Join(dir, "server-ca.crt"))
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pki.Pool(ca), ServerName: wire.ServerIdentity, MinVersion: tls.VersionTLS13,
	}, nil
}
