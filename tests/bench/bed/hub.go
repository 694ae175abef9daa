package bed

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tunnel/hub"
)

// Hub is a hub behind an HTTP server of its own with the apiserver's settings.
type Hub struct {
	*hub.Hub
	server *http.Server
	// Addr is where it listens.
	Addr net.Addr
}

// ServeHub serves a hub on addr with the certificates in dir. Who observes it may
// be nil.
func ServeHub(dir, addr string, observe hub.Observer, log *slog.Logger) (*Hub, error) {
	ca, err := pki.ReadCert(filepath.Join(dir, "client-ca.crt"))
	if err != nil {
		return nil, err
	}
	pool := pki.Pool(ca)
	h, err := hub.New(hub.Config{ClientCAs: func() *x509.CertPool { return pool }, Software: "bench", Observe: observe}, log)
	if err != nil {
		return nil, err
	}
	server, listener, err := Serve(dir, addr, h.Handler(), log)
	if err != nil {
		return nil, err
	}
	return &Hub{Hub: h, server: server, Addr: listener.Addr()}, nil
}

// Close ends the sessions and the server.
func (h *Hub) Close() {
	h.Hub.Close()
	_ = h.server.Close()
}

// Serve serves handler on addr over TLS, with the limits and time-outs of the
// apiserver's own server (k8s.io/apiserver/pkg/server/secure_serving.go).
func Serve(dir, addr string, handler http.Handler, log *slog.Logger) (*http.Server, net.Listener, error) {
	config, err := ServerTLS(dir)
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: 1 << 20, IdleTimeout: 90 * time.Second, ReadHeaderTimeout: 32 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() { _ = server.Serve(tls.NewListener(listener, config)) }()
	return server, listener, nil
}
