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
	"github.com/kedge-io/kedge/tunnel/sock"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// connect makes a control session. When the server has proven it, admitted gets
// the grant for lanes, or nil if the server has none.
func (s *Spoke) connect(ctx context.Context, tickets tls.ClientSessionCache, admitted chan *transport.Grant) (*transport.Session, error) {
	cfg, err := s.dialConfig(tickets)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	cfg.Dial = func(ctx context.Context, t tunnel.Target) (net.Conn, error) {
		if t == tunnel.TargetProof {
			return answerProof(func(g *transport.Grant) { once.Do(func() { admitted <- g }) }), nil
		}
		return s.answer(ctx, t, s.lanes.Load())
	}
	return transport.Dial(ctx, cfg)
}

// newTickets is for the connections of one session: its lanes resume the TLS
// session of their control lane (RFC 8446, 2.2), which saves both ends the
// signatures. It goes with the session, so that a renewed certificate is shown
// by the next one.
func newTickets() tls.ClientSessionCache { return tls.NewLRUClientSessionCache(1) }

// dialConfig is for one connection to the server.
func (s *Spoke) dialConfig(tickets tls.ClientSessionCache) (transport.DialConfig, error) {
	config, err := s.tls(tickets)
	return transport.DialConfig{
		Config: s.cfg.Session, URL: s.url, TLS: config, Proxy: s.cfg.Proxy, NetDial: s.cfg.NetDial,
		Hello: transport.Hello{Software: s.cfg.Software, Capabilities: s.capabilities()},
	}, err
}

func (s *Spoke) capabilities() []string {
	if s.cfg.ControlOnly {
		return nil
	}
	words := []string{transport.CapabilityLanes}
	if s.cfg.Packet != nil {
		words = append(words, transport.CapabilityRelay)
	}
	if s.cfg.Firewall != nil {
		words = append(words, transport.CapabilityFirewall)
	}
	return words
}

// tls reads the files anew: certificates are renewed while the spoke runs.
func (s *Spoke) tls(tickets tls.ClientSessionCache) (*tls.Config, error) {
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
	config.ClientSessionCache = tickets
	// Not Certificates: crypto/tls leaves those out, without a word, that the
	// server's list of authorities does not name.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, nil
}

// answer does what the server asks for: something of the spoke's own, or a
// connection that the rules allow. k is nil while there are no lanes.
func (s *Spoke) answer(ctx context.Context, t tunnel.Target, k *lanes) (net.Conn, error) {
	switch t {
	case tunnel.TargetEcho, tunnel.TargetSink, tunnel.TargetSource:
		return s.bench(t)
	case tunnel.TargetStatus:
		return s.ask(t)
	case tunnel.TargetFirewall:
		return s.firewall(t)
	case tunnel.TargetWant(tunnel.LaneBulk):
		if k != nil {
			k.want(tunnel.LaneBulk)
			return nothing(), nil
		}
	}
	return s.dial(ctx, t)
}

// nothing is a connection that ends at once.
func nothing() net.Conn {
	theirs, ours := net.Pipe()
	_ = ours.Close()
	return theirs
}

// dial connects to what the server asked for, if the rules allow it.
func (s *Spoke) dial(ctx context.Context, t tunnel.Target) (net.Conn, error) {
	addr, err := s.cfg.Rules().Allow(t)
	if err != nil {
		if s.refused.First(t.String()) {
			s.log.Warn("dial refused", "target", t.String(), "error", err)
		}
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, &tunnel.RefusedError{What: "dial " + t.String(), Kind: tunnel.RefusedDial, Reason: err.Error()}
	}
	return sock.KeepTail(conn), nil
}

// answerProof returns what is sent, and calls admitted when the server says so,
// with the grant that a server with lanes sends next.
func answerProof(admitted func(*transport.Grant)) net.Conn {
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
		if _, err := io.ReadFull(ours, buf[:1]); err != nil || buf[0] != tunnel.ProofAdmitted {
			return
		}
		grant, err := transport.ReadGrant(ours)
		if err != nil {
			grant = nil // a server without lanes closes the stream here
		}
		admitted(grant)
	}()
	return theirs
}
