package spoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// connect makes a session; admitted is closed when the server has proven it.
func (s *Spoke) connect(ctx context.Context, admitted chan struct{}) (*transport.Session, error) {
	config, err := s.tls()
	if err != nil {
		return nil, err
	}
	cfg := s.cfg.Session
	var once sync.Once
	cfg.Dial = func(ctx context.Context, t tunnel.Target) (net.Conn, error) {
		if t == tunnel.TargetProof {
			return answerProof(func() { once.Do(func() { close(admitted) }) }), nil
		}
		return s.dial(ctx, t)
	}
	return transport.Dial(ctx, transport.DialConfig{
		Config: cfg, URL: s.url, TLS: config, Proxy: s.cfg.Proxy, NetDial: s.cfg.NetDial,
		Hello: transport.Hello{Software: s.cfg.Software},
	})
}

// tls reads the files anew: certificates are renewed while the spoke runs.
func (s *Spoke) tls() (*tls.Config, error) {
	ca, err := os.ReadFile(s.cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the server CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("server CA %s holds no certificate; join the node again", s.cfg.CAFile)
	}
	pair, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the node certificate %s: %w", s.cfg.CertFile, err)
	}
	config := pki.ServerTLS(roots, s.cfg.Now)
	// Not Certificates: crypto/tls leaves those out, without a word, that the
	// server's list of authorities does not name.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, nil
}

// dial connects to what the server asked for, if the rules allow it.
func (s *Spoke) dial(ctx context.Context, t tunnel.Target) (net.Conn, error) {
	addr, err := s.cfg.Rules().Allow(t)
	if err != nil {
		s.log.Warn("dial refused", "target", t.String(), "error", err)
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, &tunnel.RefusedError{What: "dial " + t.String(), Kind: tunnel.RefusedDial, Reason: err.Error()}
	}
	return conn, nil
}

// answerProof returns what is sent, and calls admitted when the server says so.
func answerProof(admitted func()) net.Conn {
	theirs, ours := net.Pipe()
	_ = ours.SetDeadline(time.Now().Add(admitTimeout))
	go func() {
		defer ours.Close()
		buf := make([]byte, tunnel.ProofSize)
		if _, err := io.ReadFull(ours, buf); err != nil {
			return
		}
		if _, err := ours.Write(buf); err != nil {
			return
		}
		if _, err := io.ReadFull(ours, buf[:1]); err == nil && buf[0] == tunnel.ProofAdmitted {
			admitted()
		}
	}()
	return theirs
}
