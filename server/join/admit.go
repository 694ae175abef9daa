package join

import (
	"context"
	"crypto/x509"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tunnel"
)

// ClientCAs returns the authorities of client certificates, or an empty pool
// while they cannot be read: nobody is trusted then.
func (s *Server) ClientCAs() *x509.CertPool {
	a, err := s.signers()
	if err != nil {
		s.log.Error("client authority not readable", "error", err)
		return x509.NewCertPool()
	}
	return a.clients
}

// AdmitNode refuses the link of a machine that was replaced, although its
// certificate is still good.
func (s *Server) AdmitNode(_ context.Context, _ tunnel.NodeName, cert *x509.Certificate) error {
	if device, ok := pki.DeviceOf(cert); ok && s.replaced(device) {
		return wasReplaced()
	}
	return nil
}
