package pipe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// ImpostorError tells that somebody spoke TLS who is not of the cluster.
type ImpostorError struct {
	// Subject is the name in the certificate that was presented.
	Subject string
	// Err is why it was not believed.
	Err error
}

// Error implements error.
func (e *ImpostorError) Error() string {
	return fmt.Sprintf("the answer has a certificate of %q, not of the cluster (%v)", e.Subject, e.Err)
}

// Unwrap returns why the certificate was not believed.
func (e *ImpostorError) Unwrap() error { return e.Err }

// handshake lets the other end prove that it is the cluster, and closes conn.
// Nothing of ours is shown.
func (d *Dialer) handshake(ctx context.Context, conn net.Conn) error {
	defer func() { _ = conn.Close() }()
	config, err := d.cfg.TLS()
	if err != nil {
		return err
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	err = tls.Client(conn, config).HandshakeContext(ctx)
	var unverified *tls.CertificateVerificationError
	if !errors.As(err, &unverified) {
		return err
	}
	impostor := &ImpostorError{Subject: "nobody", Err: err}
	if certs := unverified.UnverifiedCertificates; len(certs) > 0 {
		impostor.Subject = certs[0].Subject.String()
	}
	return impostor
}

func describe(addr string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("handshake with %s: %w", addr, err)
}
