package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
)

const (
	nodePrefix = "system:node:"
	nodeGroup  = "system:nodes"

	// AgentGroup is the group of the agents' own clients. Its rights are
	// granted by a ClusterRole that the server installs.
	AgentGroup  = "system:kedge:agents"
	agentPrefix = "system:kedge:agent:"
)

// NodeClient names a node's kubelet as the Node authorizer expects it.
func NodeClient(node string, device wire.Pin) Names {
	return Names{Device: device, CommonName: nodePrefix + node, Organizations: []string{nodeGroup}, Client: true}
}

// NodeServing names what a node's kubelet serves with. The apiserver dials
// kubelets by node name, so that name is the one that matters.
func NodeServing(node string, ips []netip.Addr) Names {
	all := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	for _, ip := range ips {
		if ip = ip.Unmap(); !slices.Contains(all, ip) {
			all = append(all, ip)
		}
	}
	return Names{
		CommonName: nodePrefix + node, Organizations: []string{nodeGroup},
		DNS: []string{node}, IPs: all, Server: true,
	}
}

// ProxyClient names kube-proxy, the same on every node.
func ProxyClient(device wire.Pin) Names {
	return Names{Device: device, CommonName: "system:kube-proxy", Client: true}
}

// AgentClient names the agent's own client on a node (network, DNS, firewall).
func AgentClient(node string, device wire.Pin) Names {
	return Names{Device: device, CommonName: agentPrefix + node, Organizations: []string{AgentGroup}, Client: true}
}

// VerifyNode checks a client certificate as a TLS server received it (without
// having verified it) and returns the name of its node. It accepts nothing but
// an unexpired node certificate of the given authorities.
func VerifyNode(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (string, error) {
	if len(chain) == 0 {
		return "", errors.New("no client certificate was presented")
	}
	leaf := chain[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: Pool(chain[1:]...), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return "", fmt.Errorf("verify client certificate: %w", err)
	}
	name, ok := strings.CutPrefix(leaf.Subject.CommonName, nodePrefix)
	if !ok || !slices.Equal(leaf.Subject.Organization, []string{nodeGroup}) {
		return "", fmt.Errorf("client certificate %.80q is not a node's", leaf.Subject.CommonName)
	}
	if err := wire.CheckNodeName(name); err != nil {
		return "", err
	}
	return name, nil
}

// ServerTLS returns the client side of a connection to a kedge server: the
// peer must hold a certificate of roots for [wire.ServerIdentity], whatever
// address or host name was dialled. now gives the time to verify against. The
// caller adds client certificates.
func ServerTLS(roots *x509.CertPool, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The standard check would compare the dialled host name, which says
		// nothing here: VerifyConnection replaces it and is always called.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			return verifyServer(state.PeerCertificates, roots, now())
		},
	}
}

func verifyServer(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) error {
	if len(chain) == 0 {
		return errors.New("the server presented no certificate")
	}
	intermediates := Pool(chain[1:]...)
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: now,
		DNSName: wire.ServerIdentity, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}
