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
	a, err := s.config.Authorities()
	if err != nil {
		s.log.Error("client authority not readable", "error", err)
		return x509.NewCertPool()
	}
	return a.Clients
}

// AdmitNode refuses the link of a barred machine, although its certificate is
// still good.
func (s *Server) AdmitNode(_ context.Context, _ tunnel.NodeName, cert *x509.Certificate) error {
	if device, ok := pki.DeviceOf(cert); ok {
		return s.refusal(device)
	}
	return nil
}
